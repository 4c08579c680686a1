//! Syncing a partition log to disk, in two steps so that nobody waits for the disk with the log locked: what is to be synced,
//! and what is known once it was.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use crate::log::error::LogError;
use crate::log::files;
use crate::log::partition::PartitionLog;
use crate::log::segment::{Segment, sync_indexes};
use crate::topic::sync::SyncQueue;

const SYNC_FAILED: &str = "syncing it failed; restart the broker to recover it";

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

impl PartitionLog {
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

    pub(in crate::log) fn queue_for_sync(&mut self) {
        if let Some((queue, own)) = self.sync_queue.as_ref().filter(|_| !self.queued_for_sync) {
            queue.push(own.clone());
            self.queued_for_sync = true;
        }
    }

    /// Where this log, reached through `own`, says that it has records to sync.
    pub(crate) fn set_sync_queue(&mut self, queue: Arc<SyncQueue>, own: Weak<Mutex<PartitionLog>>) {
        self.sync_queue = Some((queue, own));
    }
}
