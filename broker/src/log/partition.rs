//! The log of one partition: an unbroken run of offsets over a list of segments, of which only the last is
//! written. Here is what it knows of itself; appending, syncing, reading, recovery and retention are beside it.
//!
//! There is one replica, so a batch is committed as soon as it is written: the high watermark is the log
//! end offset. The last stable offset is the start of the earliest open transaction.
//!
//! No fsync per append by default, as in Kafka: a killed process loses nothing, because what `append`
//! answered is with the operating system. Against power cuts there are `flush.messages`, `flush.ms` and
//! [`PartitionLog::flush`], which the owner calls from time to time and `close` calls in the end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use crate::log::checkpoint::Checkpoint;
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::files::{self, Durability, offset_file};
use crate::log::flush::SealedSegment;
use crate::log::producer_snapshot;
use crate::log::producer_state::ProducerState;
use crate::log::read::Isolation;
use crate::log::segment::Segment;
use crate::topic::progress::Progress;
use crate::topic::sync::SyncQueue;
use crate::topic::waiter::{FetchWaiter, Waiters};

/// The log of one partition.
#[derive(Debug)]
pub struct PartitionLog {
    pub(in crate::log) partition: Arc<str>,
    pub(in crate::log) dir: PathBuf,
    pub(in crate::log) config: Arc<LogConfig>,
    /// By base offset, never empty; only the last is written.
    pub(in crate::log) segments: Vec<Segment>,
    pub(in crate::log) producers: ProducerState,
    /// Stamped on batches.
    pub(in crate::log) leader_epoch: i32,
    pub(in crate::log) log_start_offset: i64,
    pub(in crate::log) log_end_offset: i64,
    pub(in crate::log) recovery_point: i64,
    /// Up to here the log was compacted.
    pub(in crate::log) cleaned_to: i64,
    /// A damaged record keeps the log from being compacted.
    pub(in crate::log) uncleanable: bool,
    /// Sealed segments that were not synced yet.
    pub(in crate::log) unsynced: Vec<SealedSegment>,
    /// When the oldest record that is not synced was written.
    pub(in crate::log) unflushed_since_ms: Option<i64>,
    /// Why the log takes no requests any more.
    pub(in crate::log) unavailable: Option<&'static str>,
    pub(in crate::log) progress: Option<Arc<Progress>>,
    pub(in crate::log) waiters: Waiters,
    /// With group commit: where to say that there is something to sync, and how this log is reached.
    pub(in crate::log) sync_queue: Option<(Arc<SyncQueue>, Weak<Mutex<PartitionLog>>)>,
    pub(in crate::log) queued_for_sync: bool,
    /// The names of all segment files are on disk.
    pub(in crate::log) names_synced: bool,
}

impl PartitionLog {
    /// First offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// The offset behind the last committed record: with group commit the last that is on disk.
    pub fn high_watermark(&self) -> i64 {
        if self.config.group_commit {
            self.recovery_point.max(self.log_start_offset)
        } else {
            self.log_end_offset
        }
    }

    /// The offset that read_committed consumers may read up to: all earlier transactions are decided.
    pub fn last_stable_offset(&self) -> i64 {
        self.producers
            .first_open_offset()
            .unwrap_or(self.log_end_offset)
            .min(self.high_watermark())
            .max(self.log_start_offset)
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// Topic and partition, as `topic-0`.
    pub fn name(&self) -> &str {
        &self.partition
    }

    /// The folder that holds the files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the configuration; it applies from the next append and retention on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = Arc::new(config);
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// Whether the producer has a transaction open on this partition, in this epoch.
    pub fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producers.has_open_transaction(producer_id, producer_epoch)
    }

    /// Forgets idempotent producers that appended nothing for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now_ms: i64) {
        self.producers
            .expire(now_ms, self.config.producer_id_expiration_ms);
    }

    /// Flushes, and writes the indexes and the producer state, so that the next start reads no records.
    /// The log takes no requests afterwards.
    ///
    /// # Errors
    /// [`LogError`]; the next start must then be told that the shutdown was not clean.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.flush()?;
        // A power cut may undo this: the next start looks at the end of the last segment in any case.
        self.active().cut_spare()?;
        if !self.active().has_index_files() {
            // After a clean shutdown all indexes are believed.
            self.active().write_indexes(Durability::Disk)?;
        }
        self.write_snapshot(self.log_end_offset)?;
        self.unavailable = Some("it was closed");
        self.waiters.finish();
        Ok(())
    }

    /// Makes the log refuse all requests, before its files are deleted.
    pub(crate) fn mark_deleted(&mut self) {
        self.unavailable = Some("it was deleted");
        self.waiters.finish();
        self.notify();
    }

    /// Wakes this waiter when there is more to read for consumers of this isolation, or when the log goes away.
    pub(crate) fn add_waiter(&mut self, waiter: &Arc<FetchWaiter>, isolation: Isolation) {
        self.waiters.add(waiter, isolation == Isolation::ReadCommitted);
    }

    /// Bumps this counter whenever there is more to read.
    pub(crate) fn set_progress(&mut self, progress: Arc<Progress>) {
        self.progress = Some(progress);
    }

    pub(crate) fn check_available(&self) -> Result<(), LogError> {
        match self.unavailable {
            None => Ok(()),
            Some(reason) => Err(LogError::Unavailable {
                partition: self.partition.clone(),
                reason,
            }),
        }
    }

    pub(in crate::log) fn notify(&self) {
        if let Some(progress) = &self.progress {
            progress.bump();
        }
    }

    pub(in crate::log) fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment")
    }

    pub(in crate::log) fn write_snapshot(&self, offset: i64) -> Result<(), LogError> {
        let path = offset_file(&self.dir, offset, "snapshot");
        files::replace(
            &path,
            &producer_snapshot::encode(&self.producers),
            Durability::Process,
        )
    }

    pub(in crate::log) fn write_checkpoint(&self) -> Result<(), LogError> {
        Checkpoint {
            log_start_offset: self.log_start_offset,
            recovery_point: self.recovery_point,
            cleaned_to: self.cleaned_to,
        }
        .write(&self.dir)
    }
}
