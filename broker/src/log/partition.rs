//! The log of one partition: an unbroken run of offsets over a list of segments, of which only the last is
//! written. This file holds the writing side; reading, recovery and retention are beside it.
//!
//! There is one replica, so a batch is committed as soon as it is written: the high watermark is the log
//! end offset. The last stable offset is the start of the earliest open transaction.
//!
//! No fsync per append by default, as in Kafka: a killed process loses nothing, because what `append`
//! answered is with the operating system. Against power cuts there are `flush.messages`, `flush.ms` and
//! [`PartitionLog::flush`], which the owner calls from time to time and `close` calls in the end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use bytes::{Bytes, BytesMut};

use crate::log::batch::{
    BatchError, BatchHeader, BatchView, LEADER_EPOCH_AT, NO_SEQUENCE, NO_TIMESTAMP, OFFSET_AT,
};
use crate::log::builder::{ControlType, put, stamp_append_time, transaction_marker};
use crate::log::checkpoint::Checkpoint;
use crate::log::config::{LogConfig, TimestampType};
use crate::log::error::{AppendError, LogError, RecordError};
use crate::log::files::{self, Durability, offset_file};
use crate::log::producer_snapshot;
use crate::log::producer_state::{ProducerState, RememberedBatch, Verdict};
use crate::log::read::Isolation;
use crate::log::segment::{Segment, sync_indexes};
use crate::topic::progress::Progress;
use crate::topic::sync::SyncQueue;
use crate::topic::waiter::{FetchWaiter, Waiters};

/// The leader epoch stamped on batches: with one replica there is never an election.
const LEADER_EPOCH: i32 = 0;
/// The front of a batch, with all that is stamped on it: offset, length, leader epoch.
const STAMPED_BYTES: usize = 16;
const SYNC_FAILED: &str = "syncing it failed; restart the broker to recover it";
/// How many damaged records of a batch an error lists.
const MAX_RECORD_ERRORS: usize = 100;

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A produce request: everything is validated, sequence numbers too.
    Client,
    /// A coordinator of this broker, writing its own records: it has no sequence numbers, may exceed
    /// `max.message.bytes`, and vouches for the transaction.
    Coordinator,
}

/// What an append needs to know beside the records. `AppendOrigin` converts into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOptions {
    /// Who appends.
    pub origin: AppendOrigin,
    /// For transactional batches: the transaction coordinator confirmed that this partition belongs to the
    /// open transaction of this producer and epoch (KIP-890). Only looked at when the log knows of no open
    /// transaction of the producer. The caller must not let the coordinator end that transaction between
    /// its confirmation and the append (hold its lock): otherwise the batch would open a transaction that
    /// nobody ends.
    pub verified: bool,
    /// The producer speaks transaction version 2: after its state was lost, it must begin with sequence 0.
    pub transaction_version_2: bool,
}

impl AppendOptions {
    /// A produce request whose transaction, if it has one, is not verified.
    pub const CLIENT: Self = Self {
        origin: AppendOrigin::Client,
        verified: false,
        transaction_version_2: false,
    };
    /// A coordinator's own records.
    pub const COORDINATOR: Self = Self {
        origin: AppendOrigin::Coordinator,
        verified: true,
        transaction_version_2: false,
    };

    /// The same, with the coordinator's confirmation. See [`AppendOptions::verified`].
    pub const fn verified(self) -> Self {
        Self {
            verified: true,
            ..self
        }
    }

    /// The same, for a producer with transaction version 2.
    pub const fn transaction_version_2(self) -> Self {
        Self {
            transaction_version_2: true,
            ..self
        }
    }
}

impl From<AppendOrigin> for AppendOptions {
    fn from(origin: AppendOrigin) -> Self {
        match origin {
            AppendOrigin::Client => Self::CLIENT,
            AppendOrigin::Coordinator => Self::COORDINATOR,
        }
    }
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The timestamp the broker gave the records with LogAppendTime, otherwise -1.
    pub log_append_time_ms: i64,
    /// First offset of the partition.
    pub log_start_offset: i64,
    /// The batch was in the log before: nothing was written, the offsets are the original ones.
    pub duplicate: bool,
}

/// A segment that was sealed since the last sync.
#[derive(Debug, Clone)]
pub(in crate::log) struct SealedSegment {
    base_offset: i64,
    file: Arc<File>,
}

impl SealedSegment {
    pub(in crate::log) fn of(segment: &Segment) -> Self {
        Self {
            base_offset: segment.base_offset,
            file: segment.file().clone(),
        }
    }
}

/// A sync of what a log had written when it was begun.
#[derive(Debug)]
pub(crate) struct PendingFlush {
    dir: PathBuf,
    sealed: Vec<SealedSegment>,
    active: Arc<File>,
    /// Whether files were made since the last sync.
    new_names: bool,
    end_offset: i64,
}

impl PendingFlush {
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        for file in self
            .sealed
            .iter()
            .map(|sealed| &sealed.file)
            .chain([&self.active])
        {
            files::sync_data(file).map_err(LogError::io("sync a segment in", &self.dir))?;
        }
        // The recovery point will pass them: from then on their indexes are believed.
        for sealed in &self.sealed {
            sync_indexes(&self.dir, sealed.base_offset)?;
        }
        if self.new_names {
            files::sync_dir(&self.dir)?;
        }
        Ok(())
    }
}

/// The log of one partition.
#[derive(Debug)]
pub struct PartitionLog {
    pub(in crate::log) partition: Arc<str>,
    pub(in crate::log) dir: PathBuf,
    pub(in crate::log) config: LogConfig,
    /// By base offset, never empty; only the last is written.
    pub(in crate::log) segments: Vec<Segment>,
    pub(in crate::log) producers: ProducerState,
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
        self.config = config;
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// Whether the producer has a transaction open on this partition, in this epoch.
    pub fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producers.has_open_transaction(producer_id, producer_epoch)
    }

    /// Appends one record batch and answers the offsets it got. It is written as it came but for the base offset and the
    /// leader epoch, which its checksum leaves out. A transactional batch that opens a transaction on this partition must be
    /// [`verified`](AppendOptions::verified).
    ///
    /// # Errors
    /// [`AppendError`], one variant for each Kafka error code. Nothing is written then.
    pub fn append(
        &mut self,
        records: Bytes,
        options: impl Into<AppendOptions>,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let options = options.into();
        self.check_available()?;
        let mut header = self.validate(&records, options.origin, now_ms)?;
        header.base_offset = self.log_end_offset;
        if header.has_producer_id()
            && let Verdict::Duplicate(batch) =
                self.producers.check_batch(&self.partition, &header, options)?
        {
            return Ok(self.duplicate_info(batch));
        }

        let stable = self.last_stable_offset();
        let log_append_time_ms = match self.config.message_timestamp_type {
            TimestampType::CreateTime => {
                self.write(&header, &records, now_ms)?;
                NO_TIMESTAMP
            }
            TimestampType::LogAppendTime => {
                let mut batch = BytesMut::from(&records[..]);
                stamp_append_time(&mut batch, now_ms);
                header.max_timestamp = now_ms;
                self.write(&header, &batch, now_ms)?;
                now_ms
            }
        };
        if header.has_producer_id() {
            self.producers.apply_batch(&header, now_ms);
        }
        self.finish_append(&header, stable, log_append_time_ms)
    }

    /// Appends the marker that ends a transaction of this producer here. It is written even if the
    /// transaction has no records on this partition. A higher epoch than the log has seen fences the older.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`] for a stale producer epoch,
    /// [`AppendError::TransactionCoordinatorFenced`] for a stale coordinator, [`AppendError::Storage`].
    pub fn append_marker(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_available()?;
        self.producers
            .check_marker(&self.partition, producer_id, producer_epoch, coordinator_epoch)?;
        let control_type = if commit {
            ControlType::Commit
        } else {
            ControlType::Abort
        };
        let marker = transaction_marker(
            producer_id,
            producer_epoch,
            control_type,
            coordinator_epoch,
            now_ms,
        );
        let stable = self.last_stable_offset();
        let mut header = BatchHeader::parse(&marker).expect("a marker just built has a header");
        header.base_offset = self.log_end_offset;
        self.write(&header, &marker, now_ms)?;
        let ended = self.producers.apply_marker(&header, coordinator_epoch, now_ms);
        let aborted = ended.and_then(|ended| self.producers.aborted_entry(&header, control_type, ended));
        if let Some(entry) = aborted {
            self.active().aborted.add(entry);
        }
        self.finish_append(&header, stable, NO_TIMESTAMP)
    }

    /// Forgets idempotent producers that appended nothing for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now_ms: i64) {
        self.producers
            .expire(now_ms, self.config.producer_id_expiration_ms);
    }

    /// Makes everything appended so far survive a power cut, and remembers that it does.
    ///
    /// # Errors
    /// [`LogError::Io`]; the log takes no more requests then, because what a failed sync left behind is
    /// unknown.
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.check_available()?;
        let Some(flush) = self.begin_flush() else {
            return Ok(());
        };
        let synced = flush.sync();
        self.finish_flush(&flush, synced)
    }

    /// What [`PendingFlush::sync`] has to do if records wait longer than `flush.ms`, or if a segment was
    /// sealed (so that a later recovery need not read it). The log need not be locked meanwhile.
    pub(crate) fn begin_flush_if_due(&self, now_ms: i64) -> Option<PendingFlush> {
        let due = self
            .unflushed_since_ms
            .is_some_and(|since| now_ms.saturating_sub(since) >= self.config.flush_ms);
        if due || !self.unsynced.is_empty() {
            self.begin_flush()
        } else {
            None
        }
    }

    fn begin_flush(&self) -> Option<PendingFlush> {
        if self.recovery_point == self.log_end_offset || self.unavailable.is_some() {
            return None;
        }
        let active = self.segments.last().expect("a log has a segment").file();
        Some(PendingFlush {
            dir: self.dir.clone(),
            sealed: self.unsynced.clone(),
            active: active.clone(),
            new_names: !self.names_synced,
            end_offset: self.log_end_offset,
        })
    }

    /// Accounts for a sync that was begun on this log.
    pub(crate) fn finish_flush(
        &mut self,
        flush: &PendingFlush,
        synced: Result<(), LogError>,
    ) -> Result<(), LogError> {
        if let Err(error) = synced {
            self.unavailable = Some(SYNC_FAILED);
            return Err(error);
        }
        if flush.end_offset <= self.recovery_point || self.unavailable.is_some() {
            return Ok(());
        }
        let synced = |segment: &SealedSegment| {
            flush
                .sealed
                .iter()
                .any(|done| Arc::ptr_eq(&done.file, &segment.file))
        };
        self.unsynced.retain(|segment| !synced(segment));
        // A roll since has put its sealed segment on the list.
        self.names_synced = self.unsynced.is_empty();
        if flush.end_offset == self.log_end_offset {
            self.unflushed_since_ms = None;
        }
        self.recovery_point = flush.end_offset;
        if self.config.group_commit {
            // How much came to be seen is not known here: whoever waits looks again. The checkpoint saves reading at the next
            // start, for which that of the last sealed segment is enough.
            self.waiters.finish();
            self.notify();
            if flush.sealed.is_empty() {
                return Ok(());
            }
        }
        self.write_checkpoint()
    }

    /// Whether records may be in it that will never be known to be on disk.
    pub(crate) fn has_failed_to_sync(&self) -> bool {
        self.unavailable == Some(SYNC_FAILED)
    }

    /// With group commit: what is to be synced now.
    pub(crate) fn begin_group_commit(&mut self) -> Option<PendingFlush> {
        self.queued_for_sync = false;
        self.begin_flush()
    }

    fn queue_for_sync(&mut self) {
        if let Some((queue, own)) = self.sync_queue.as_ref().filter(|_| !self.queued_for_sync) {
            queue.push(own.clone());
            self.queued_for_sync = true;
        }
    }

    /// Where this log, reached through `own`, says that it has records to sync.
    pub(crate) fn set_sync_queue(&mut self, queue: Arc<SyncQueue>, own: Weak<Mutex<PartitionLog>>) {
        self.sync_queue = Some((queue, own));
    }

    /// Flushes, and writes the indexes and the producer state, so that the next start reads no records.
    /// The log takes no requests afterwards.
    ///
    /// # Errors
    /// [`LogError`]; the next start must then be told that the shutdown was not clean.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.flush()?;
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

    fn duplicate_info(&self, batch: RememberedBatch) -> AppendInfo {
        AppendInfo {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset,
            // Whoever set it: Kafka tells it here in either case.
            log_append_time_ms: batch.timestamp,
            log_start_offset: self.log_start_offset,
            duplicate: true,
        }
    }

    /// What holds for a batch before its producer is looked at.
    fn validate(
        &self,
        records: &[u8],
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<BatchHeader, AppendError> {
        let corrupt = |reason| AppendError::CorruptMessage {
            partition: self.partition.clone(),
            reason,
        };
        let batch = BatchView::parse(records).map_err(|error| match error {
            BatchError::UnsupportedMagic(_) => self.invalid(&error.to_string()),
            error => corrupt(error),
        })?;
        let header = *batch.header();
        let size = header.size_bytes();
        if size != records.len() {
            return Err(self.invalid("a request holds exactly one batch for each partition"));
        }
        if origin == AppendOrigin::Client && size > self.config.max_message_bytes {
            let limit = self.config.max_message_bytes;
            return Err(AppendError::MessageTooLarge {
                partition: self.partition.clone(),
                size,
                limit,
            });
        }
        if size as u64 > self.config.segment_bytes {
            let limit = self.config.segment_bytes;
            return Err(AppendError::RecordListTooLarge {
                partition: self.partition.clone(),
                size,
                limit,
            });
        }
        batch.check_crc().map_err(corrupt)?;
        if header.record_count <= 0 || header.last_offset_delta != header.record_count - 1 {
            return Err(self.invalid("record count and last offset delta do not agree"));
        }
        if header.is_control() {
            return Err(self.invalid("a client cannot write control records"));
        }
        if header.is_transactional() && !header.has_producer_id() {
            return Err(self.invalid("a transactional batch needs a producer id"));
        }
        if header.has_producer_id() && header.producer_epoch < 0 {
            return Err(self.invalid("a producer id needs a producer epoch"));
        }
        if origin == AppendOrigin::Client {
            if header.base_offset != 0 {
                return Err(self.invalid("the base offset of a produced batch is 0"));
            }
            if header.has_producer_id() && header.base_sequence < 0 {
                return Err(self.invalid("an idempotent producer needs sequence numbers"));
            }
            self.validate_timestamps(&header, now_ms)?;
        }
        if header.base_sequence < NO_SEQUENCE {
            return Err(self.invalid("a sequence number is not negative"));
        }
        if self.config.cleanup_policy.compact {
            self.validate_keys(&batch)?;
        }
        Ok(header)
    }

    fn validate_timestamps(&self, header: &BatchHeader, now_ms: i64) -> Result<(), AppendError> {
        if self.config.message_timestamp_type == TimestampType::LogAppendTime {
            return Ok(());
        }
        let invalid = |timestamp, limit| {
            Err(AppendError::InvalidTimestamp {
                partition: self.partition.clone(),
                timestamp,
                limit,
                now_ms,
            })
        };
        let after_ms = self.config.message_timestamp_after_max_ms;
        if header.max_timestamp.saturating_sub(now_ms) > after_ms {
            return invalid(
                header.max_timestamp,
                format!("message.timestamp.after.max.ms={after_ms}"),
            );
        }
        let before_ms = self.config.message_timestamp_before_max_ms;
        let oldest = header.base_timestamp.min(header.max_timestamp);
        if oldest != NO_TIMESTAMP && now_ms.saturating_sub(oldest) > before_ms {
            return invalid(oldest, format!("message.timestamp.before.max.ms={before_ms}"));
        }
        Ok(())
    }

    /// Compaction finds records by key: without one they could never be removed.
    fn validate_keys(&self, batch: &BatchView<'_>) -> Result<(), AppendError> {
        let corrupt = |reason| AppendError::CorruptMessage {
            partition: self.partition.clone(),
            reason,
        };
        let mut scratch = Vec::new();
        let mut record_errors = Vec::new();
        for (batch_index, record) in (0..).zip(batch.records(&mut scratch).map_err(corrupt)?) {
            if record.map_err(corrupt)?.key.is_none() && record_errors.len() < MAX_RECORD_ERRORS {
                let message = format!(
                    "compacted topic {} needs keys, this record has none",
                    self.partition
                );
                record_errors.push(RecordError { batch_index, message });
            }
        }
        if record_errors.is_empty() {
            return Ok(());
        }
        Err(AppendError::InvalidRecord {
            partition: self.partition.clone(),
            reason: "one or more records have been rejected".to_owned(),
            record_errors,
        })
    }

    fn invalid(&self, reason: &str) -> AppendError {
        AppendError::InvalidRecord {
            partition: self.partition.clone(),
            reason: reason.to_owned(),
            record_errors: Vec::new(),
        }
    }

    /// Writes a batch under the base offset of `header`, and this log's leader epoch.
    fn write(&mut self, header: &BatchHeader, batch: &[u8], now_ms: i64) -> Result<(), AppendError> {
        if self.must_roll(header, batch.len(), now_ms) {
            self.roll(now_ms)?;
        }
        let (front, rest) = batch.split_at(STAMPED_BYTES);
        let mut stamped = [0; STAMPED_BYTES];
        stamped.copy_from_slice(front);
        put(&mut stamped, OFFSET_AT, header.base_offset.to_be_bytes());
        put(&mut stamped, LEADER_EPOCH_AT, LEADER_EPOCH.to_be_bytes());
        let interval_bytes = self.config.index_interval_bytes;
        let parts = [&stamped[..], rest];
        if let Err((error, taken_back)) = self.active().append(header, parts, interval_bytes, now_ms) {
            if !taken_back {
                self.unavailable =
                    Some("a failed write could not be taken back; restart the broker to recover it");
            }
            return Err(error.into());
        }
        self.log_end_offset = header.next_offset();
        self.unflushed_since_ms.get_or_insert(now_ms);
        Ok(())
    }

    /// `stable_before` is where the last stable offset was.
    fn finish_append(
        &mut self,
        header: &BatchHeader,
        stable_before: i64,
        log_append_time_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        if self.config.group_commit {
            self.queue_for_sync();
        } else {
            let decided = self.last_stable_offset() > stable_before;
            self.waiters.arrived(header.size_bytes() as u64, decided);
            self.notify();
        }
        if self.log_end_offset - self.recovery_point >= self.config.flush_messages {
            self.flush()?;
        }
        Ok(AppendInfo {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            log_append_time_ms,
            log_start_offset: self.log_start_offset,
            duplicate: false,
        })
    }

    fn notify(&self) {
        if let Some(progress) = &self.progress {
            progress.bump();
        }
    }

    pub(in crate::log) fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment")
    }

    fn must_roll(&self, header: &BatchHeader, size: usize, now_ms: i64) -> bool {
        let active = self.segments.last().expect("a log has a segment");
        if active.size() == 0 {
            return false;
        }
        let age_ms = match active.first_timestamp() {
            Some(first) if first >= 0 && header.max_timestamp >= 0 => {
                header.max_timestamp.saturating_sub(first)
            }
            _ => now_ms.saturating_sub(active.last_append_ms),
        };
        active.size() + size as u64 > self.config.segment_bytes
            || age_ms > self.config.segment_ms
            || header.last_offset() - active.base_offset > i64::from(i32::MAX)
    }

    /// Seals the active segment and starts the next. The sealed one is synced at the next flush: doing so
    /// here would hold up producers for as long as the disk takes for a whole segment.
    pub(in crate::log) fn roll(&mut self, now_ms: i64) -> Result<(), LogError> {
        let next = Segment::create(&self.dir, self.log_end_offset, now_ms)?;
        let sealed = self.active();
        sealed.write_indexes(Durability::Process)?;
        let sealed = SealedSegment::of(sealed);
        self.unsynced.push(sealed);
        self.names_synced = false;
        self.write_snapshot(self.log_end_offset)?;
        self.segments.push(next);
        Ok(())
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
