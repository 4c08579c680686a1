//! Compaction: of every key, the latest record is kept. Follows Kafka's `LogCleaner`.
//!
//! ```text
//!  plan (log locked)    which segments may be cleaned: sealed, decided, old enough; is it worth it?
//!  clean (unlocked)     dirty part -> latest offset of each key; all segments -> new files without the rest
//!  swap (log locked)    new files in the place of the old ones, in steps that a start can complete
//! ```
//!
//! Sealed segments never change, so that cleaning needs no lock. What must stay true: offsets, the log start offset and the
//! log end offset never change; of a producer's batches the last stays, if only its header, so that its sequence is known; a
//! tombstone or a transaction marker goes only `delete.retention.ms` after the first cleaning that saw it without anything
//! left for it to say.

mod keys;
mod rewrite;
mod swap;
#[cfg(test)]
mod tests;
mod transactions;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::partition::PartitionLog;
use crate::log::segment::{Scanner, SegmentError};
use crate::log::transaction_index::AbortedEntry;
use keys::{KeyOffsets, Noted};
use rewrite::Rewriter;
use swap::CleanedGroup;
use transactions::CleanedTransactions;

pub(crate) use swap::finish_swaps;

/// Settings of compaction that are not a topic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanerConfig {
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of one round; more keys are cleaned in several. 128 MiB.
    pub dedupe_buffer_bytes: usize,
}

impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            dedupe_buffer_bytes: 128 * 1024 * 1024,
        }
    }
}

/// A sealed segment, as cleaning sees it.
#[derive(Debug)]
struct PlannedSegment {
    base_offset: i64,
    /// Where the next segment begins.
    end_offset: i64,
    file: Arc<File>,
    path: Arc<PathBuf>,
    size: u64,
    last_append_ms: i64,
}

impl PlannedSegment {
    fn scan(&self) -> Scanner<'_> {
        Scanner::new(&self.file, &self.path, self.size, 0)
    }

    fn damaged(&self, error: SegmentError, offset: i64) -> LogError {
        match error {
            SegmentError::Storage(error) => error,
            SegmentError::Damaged { position, reason } => LogError::Corrupt {
                path: self.path.as_ref().clone(),
                position,
                offset,
                reason: reason.to_string(),
            },
        }
    }
}

/// What is known of a producer that is still remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastOfProducer {
    /// Offset of its last record, if it is remembered.
    pub(crate) last_offset: Option<i64>,
    pub(crate) producer_epoch: i16,
}

/// What to clean, and all that is needed for it without the log.
#[derive(Debug)]
pub(crate) struct CleaningPlan {
    dir: PathBuf,
    config: Arc<LogConfig>,
    segments: Vec<PlannedSegment>,
    /// The first offset that was never cleaned.
    first_dirty: i64,
    aborted: Vec<AbortedEntry>,
    producers: HashMap<i64, LastOfProducer>,
    /// How much of what can be cleaned never was: the dirtiest log comes first.
    pub(crate) dirty_ratio: f64,
}

/// New files that wait to take the place of old ones.
#[derive(Debug)]
pub(crate) struct Cleaned {
    groups: Vec<CleanedGroup>,
    cleaned_to: i64,
}

impl PartitionLog {
    /// What there is to clean, if it is worth it.
    pub(crate) fn plan_cleaning(&self, now_ms: i64) -> Option<CleaningPlan> {
        if !self.config.cleanup_policy.compact || self.unavailable.is_some() || self.uncleanable {
            return None;
        }
        let active_base = self.segments.last()?.base_offset;
        let first_base = self.segments.first()?.base_offset;
        let first_dirty = if self.cleaned_to > active_base {
            first_base
        } else {
            self.cleaned_to.max(first_base)
        };
        let decided = self.last_stable_offset();
        let newest_ms = now_ms.saturating_sub(self.config.min_compaction_lag_ms);
        let mut plan = CleaningPlan {
            dir: self.dir.clone(),
            config: self.config.clone(),
            segments: Vec::new(),
            first_dirty,
            aborted: Vec::new(),
            producers: self.producers.last_of_each(),
            dirty_ratio: 0.0,
        };
        let (mut clean_bytes, mut dirty_bytes, mut overdue) = (0, 0, false);
        for pair in self.segments.windows(2) {
            let (segment, end_offset) = (&pair[0], pair[1].base_offset);
            let is_clean = end_offset <= first_dirty;
            let lags = self.config.min_compaction_lag_ms > 0 && segment.newest_timestamp() > newest_ms;
            if !is_clean && (end_offset > decided || lags) {
                break;
            }
            if is_clean {
                clean_bytes += segment.size();
            } else {
                dirty_bytes += segment.size();
                let first_ms = segment.first_timestamp().unwrap_or(segment.last_append_ms);
                overdue |= now_ms.saturating_sub(first_ms) > self.config.max_compaction_lag_ms;
            }
            plan.segments.push(PlannedSegment {
                base_offset: segment.base_offset,
                end_offset,
                file: segment.file().clone(),
                path: segment.path().clone(),
                size: segment.size(),
                last_append_ms: segment.last_append_ms,
            });
        }
        if dirty_bytes == 0 {
            return None;
        }
        plan.dirty_ratio = dirty_bytes as f64 / (clean_bytes + dirty_bytes) as f64;
        if plan.dirty_ratio <= self.config.min_cleanable_dirty_ratio && !overdue {
            return None;
        }
        // The marker of a transaction may be in a segment that is not cleaned yet.
        let entries = self.segments.iter().flat_map(|segment| segment.aborted.entries());
        plan.aborted = entries.copied().collect();
        Some(plan)
    }

    /// Damage was found: cleaning is not tried again before the log is opened anew.
    pub(crate) fn mark_uncleanable(&mut self) {
        self.uncleanable = true;
    }
}

impl CleaningPlan {
    /// Writes the new files. None if it was cancelled.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if a segment is damaged, [`LogError::Io`]. Nothing has changed then.
    pub(crate) fn clean(
        &self,
        config: &CleanerConfig,
        now_ms: i64,
        cancelled: &AtomicBool,
    ) -> Result<Option<Cleaned>, LogError> {
        let cancelled = || cancelled.load(Ordering::Relaxed);
        let Some(keys) = self.latest_offsets(config.dedupe_buffer_bytes, &cancelled)? else {
            return Ok(None);
        };
        let mut cleaned = Cleaned {
            groups: Vec::new(),
            cleaned_to: keys.end_offset(),
        };
        let start = self.segments.first().map_or(0, |segment| segment.base_offset);
        let mut transactions = CleanedTransactions::new(&self.aborted, start);
        for group in self.groups(keys.end_offset()) {
            let mut rewriter = Rewriter::new(self, &keys, &mut transactions, now_ms);
            match CleanedGroup::write(&self.dir, group, &mut rewriter, &cancelled) {
                Ok(Some(group)) => cleaned.groups.push(group),
                Ok(None) => {
                    cleaned.discard();
                    return Ok(None);
                }
                Err(error) => {
                    cleaned.discard();
                    return Err(error);
                }
            }
        }
        Ok(Some(cleaned))
    }

    /// The latest offset of each key in the dirty part, as far as there is memory for.
    fn latest_offsets(
        &self,
        memory_bytes: usize,
        cancelled: &impl Fn() -> bool,
    ) -> Result<Option<KeyOffsets>, LogError> {
        let mut keys = KeyOffsets::new(memory_bytes, self.first_dirty);
        let dirty = self
            .segments
            .partition_point(|segment| segment.end_offset <= self.first_dirty);
        let dirty = &self.segments[dirty..];
        // Transactions whose markers are not met here must not begin here either.
        let start = dirty
            .first()
            .map_or(self.first_dirty, |segment| segment.base_offset);
        let mut transactions = CleanedTransactions::new(&self.aborted, start);
        let mut scratch = Vec::new();
        for segment in dirty {
            let mut scanner = segment.scan();
            loop {
                if cancelled() {
                    return Ok(None);
                }
                let damaged = |error, offset| segment.damaged(error, offset);
                let next = scanner
                    .next()
                    .map_err(|error| damaged(error, keys.end_offset()))?;
                let Some((position, batch)) = next else { break };
                let header = *batch.header();
                let is_void = if header.is_control() {
                    transactions.control(&batch);
                    true
                } else {
                    transactions.data(&header)
                };
                if is_void {
                    keys.reach(header.next_offset());
                    continue;
                }
                let noted = keys.note(&batch, &mut scratch).map_err(|reason| {
                    damaged(SegmentError::Damaged { position, reason }, header.base_offset)
                })?;
                if noted == Noted::Full {
                    return Ok(Some(keys));
                }
            }
            keys.reach(segment.end_offset);
        }
        Ok(Some(keys))
    }

    /// Neighbours that fit into one segment become one.
    fn groups(&self, end_offset: i64) -> Vec<&[PlannedSegment]> {
        let concerned = self
            .segments
            .partition_point(|segment| segment.base_offset < end_offset);
        let segments = &self.segments[..concerned];
        let mut groups = Vec::new();
        let mut start = 0;
        while start < segments.len() {
            let base = segments[start].base_offset;
            let mut size = segments[start].size;
            let mut end = start + 1;
            while let Some(next) = segments.get(end) {
                size += next.size;
                let too_large = size > self.config.segment_bytes;
                let too_long = next.end_offset - base > i64::from(i32::MAX);
                if too_large || too_long {
                    break;
                }
                end += 1;
            }
            groups.push(&segments[start..end]);
            start = end;
        }
        groups
    }
}
