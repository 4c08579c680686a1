//! Opening a partition log: what is on disk becomes the state in memory. After a clean shutdown that is
//! the index files and the producer snapshot. Otherwise everything behind the recovery point is read and
//! checked, and indexes, producers and transactions are rebuilt from it.
//!
//! Two kinds of damage are told apart. A last batch that was being written when the machine stopped is cut
//! off and reported; what a power cut left of segments behind a place that was never synced goes with it. Damage with whole
//! batches behind it in its segment is not ours to repair: opening fails, names the
//! place, and changes nothing. Therefore all checks come before the first change.

use std::fs;
use std::path::{Path, PathBuf};

use crate::log::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, BatchView, MAGIC, MAGIC_AT};
use crate::log::builder::{ControlType, marker_coordinator_epoch};
use crate::log::checkpoint::Checkpoint;
use crate::log::cleaner::finish_swaps;
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::files::{self, Durability, file_offset, list_offsets, offset_file};
use crate::log::flush::SealedSegment;
use crate::log::index::SegmentIndex;
use crate::log::partition::PartitionLog;
use crate::log::producer_snapshot;
use crate::log::producer_state::ProducerState;
use crate::log::segment::{EXTENSIONS, MAX_SPARE_BYTES, Segment, SegmentError};
use crate::log::transaction_index::TransactionIndex;

/// What opening a log found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments that were read as a whole, because the shutdown was not clean or an index was missing.
    pub checked_segments: usize,
    /// Batches that producers and transactions were rebuilt from.
    pub replayed_batches: usize,
    /// The incomplete write that was cut off.
    pub truncated: Option<TruncatedTail>,
}

/// The torn end of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruncatedTail {
    /// The segment file.
    pub path: PathBuf,
    /// Where it ends now.
    pub position: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// What was wrong with them.
    pub reason: BatchError,
}

impl PartitionLog {
    /// Opens the log in `dir`, or starts one there. `clean_shutdown` says that the log was
    /// [closed](PartitionLog::close) and nothing happened to it since; without it the records behind the
    /// last flush are checked.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if a segment is damaged in the middle: nothing is changed then.
    /// [`LogError::Io`] if the files cannot be read or written.
    pub fn open(
        dir: &Path,
        topic: &str,
        partition: i32,
        config: LogConfig,
        clean_shutdown: bool,
        now_ms: i64,
    ) -> Result<(Self, RecoveryReport), LogError> {
        fs::create_dir_all(dir).map_err(LogError::io("create", dir))?;
        let mut recovery = Recovery::load(dir, config, clean_shutdown, now_ms)?;
        recovery.replay()?;
        let (log, report) = recovery.finish(format!("{topic}-{partition}").into())?;
        Ok((log, report))
    }
}

/// A log on its way into memory; nothing on disk was changed yet.
struct Recovery {
    dir: PathBuf,
    config: LogConfig,
    now_ms: i64,
    checkpoint: Checkpoint,
    segments: Vec<Segment>,
    /// For each segment, whether its indexes could be taken from the files.
    trusted: Vec<bool>,
    /// How many segments there are up to where the log breaks off.
    keep_segments: usize,
    /// Segments with spare bytes at their end, and where those begin.
    spare: Vec<(usize, u64)>,
    producers: ProducerState,
    log_end_offset: i64,
    report: RecoveryReport,
}

impl Recovery {
    fn load(dir: &Path, config: LogConfig, clean_shutdown: bool, now_ms: i64) -> Result<Self, LogError> {
        finish_swaps(dir)?;
        let checkpoint = Checkpoint::read(dir)?;
        let base_offsets = list_offsets(dir, "log")?;
        let mut segments = Vec::with_capacity(base_offsets.len());
        let mut trusted = Vec::with_capacity(base_offsets.len());
        for (index, &base_offset) in base_offsets.iter().enumerate() {
            let mut segment = Segment::open(dir, base_offset)?;
            let synced = base_offsets
                .get(index + 1)
                .is_some_and(|end| *end <= checkpoint.recovery_point);
            trusted.push((clean_shutdown || synced) && segment.load_indexes()?);
            segments.push(segment);
        }
        Ok(Self {
            dir: dir.to_owned(),
            config,
            now_ms,
            checkpoint,
            keep_segments: segments.len(),
            spare: Vec::new(),
            segments,
            trusted,
            producers: ProducerState::default(),
            log_end_offset: base_offsets.last().copied().unwrap_or(0),
            report: RecoveryReport::default(),
        })
    }

    /// Reads what has to be read: segments without trusted indexes, and what the newest usable snapshot
    /// does not cover.
    fn replay(&mut self) -> Result<(), LogError> {
        let Some(last) = self.segments.len().checked_sub(1) else {
            return Ok(());
        };
        let first_untrusted = self.trusted.iter().position(|trusted| !trusted);
        let newest = first_untrusted.map_or(i64::MAX, |index| self.segments[index].base_offset);
        let replay_from = self.load_snapshot(newest)?;
        self.replay_segments(last, replay_from)?;
        if self.log_end_offset < replay_from {
            // The snapshot knows of records that are gone: somebody cut the file. Only the log counts.
            self.trusted.fill(false);
            self.report = RecoveryReport::default();
            self.producers = ProducerState::default();
            let replay_from = self.load_snapshot(self.segments[0].base_offset)?;
            self.replay_segments(last, replay_from)?;
        }
        let recovery_point = self.checkpoint.recovery_point;
        if self.log_end_offset < recovery_point && recovery_point > self.checkpoint.log_start_offset {
            let segment = &self.segments[last];
            let reason = format!("the records up to offset {recovery_point} were stored and are missing");
            return Err(corrupt(segment, segment.size(), self.log_end_offset, reason));
        }
        Ok(())
    }

    fn replay_segments(&mut self, last: usize, replay_from: i64) -> Result<(), LogError> {
        self.keep_segments = last + 1;
        self.spare.clear();
        for index in 0..=last {
            let end = self.segments.get(index + 1).map(|next| next.base_offset);
            if self.trusted[index] && end.is_some_and(|end| end <= replay_from) {
                continue;
            }
            self.replay_segment(index, replay_from, end)?;
            if self.report.truncated.is_some() {
                self.keep_segments = index + 1;
                break;
            }
        }
        Ok(())
    }

    /// The newest snapshot that is not after `newest`; none is a log that is replayed from its start.
    fn load_snapshot(&mut self, newest: i64) -> Result<i64, LogError> {
        let offsets = list_offsets(&self.dir, "snapshot")?;
        for &offset in offsets.iter().rev().filter(|offset| **offset <= newest) {
            let bytes = files::read_if_present(&offset_file(&self.dir, offset, "snapshot"))?;
            if let Some(state) = bytes.as_deref().and_then(producer_snapshot::decode) {
                self.producers = state;
                return Ok(offset);
            }
        }
        Ok(0)
    }

    fn replay_segment(&mut self, index: usize, replay_from: i64, end: Option<i64>) -> Result<(), LogError> {
        let rebuild = !self.trusted[index];
        let mut segment_index = SegmentIndex::new(self.segments[index].base_offset);
        let mut aborted = TransactionIndex::default();
        let mut expected = self.segments[index].base_offset;
        let segment = &self.segments[index];
        let start = if rebuild {
            0
        } else {
            segment.index.position_before(replay_from)
        };
        let mut scanner = segment.scan(start).until_spare();
        let damage = loop {
            let (position, batch) = match scanner.next() {
                Ok(Some(next)) => next,
                Ok(None) => break None,
                Err(SegmentError::Storage(error)) => return Err(error),
                Err(SegmentError::Damaged { position, reason }) => break Some((position, reason)),
            };
            let header = *batch.header();
            if let Err(reason) = check(&batch, expected, end, rebuild) {
                break Some((position, reason));
            }
            expected = header.next_offset();
            if rebuild {
                segment_index.add(
                    header.last_offset(),
                    header.max_timestamp,
                    position,
                    header.size_bytes(),
                    self.config.index_interval_bytes,
                );
            }
            if header.base_offset >= replay_from {
                self.report.replayed_batches += 1;
                if let Some(entry) = self.producers.replay(&header, marker(&batch), self.now_ms)
                    && rebuild
                {
                    aborted.add(entry);
                }
            }
        };
        let end_position = scanner.position();
        // Compaction leaves gaps, also in what is no longer compacted.
        let may_have_gaps = self.config.cleanup_policy.compact
            || self.segments[index].base_offset < self.checkpoint.cleaned_to;
        let missing = end.is_some_and(|end| expected < end) && !may_have_gaps;
        match damage {
            Some((position, reason)) => self.judge(index, position, expected, reason)?,
            // Never synced: a power cut can leave the file behind and take the records.
            None if missing && expected >= self.checkpoint.recovery_point => {
                self.report.truncated = Some(TruncatedTail {
                    path: segment.path().as_ref().clone(),
                    position: end_position,
                    bytes: 0,
                    reason: BatchError::Malformed {
                        what: "the records up to the next segment",
                        position: end_position as usize,
                    },
                });
            }
            None if missing => {
                let reason = "the records up to the next segment are missing".to_owned();
                return Err(corrupt(segment, end_position, expected, reason));
            }
            None if end_position < segment.size() && expected < self.checkpoint.recovery_point => {
                let reason = "only zeros follow where records were stored".to_owned();
                return Err(corrupt(segment, end_position, expected, reason));
            }
            None if end_position < segment.size() => self.spare.push((index, end_position)),
            None => {}
        }
        self.report.checked_segments += usize::from(rebuild);
        if rebuild {
            self.segments[index].index = segment_index;
            self.segments[index].aborted = aborted;
        }
        self.log_end_offset = expected;
        Ok(())
    }

    /// Tells a write that was interrupted from damage to what was stored.
    fn judge(
        &mut self,
        index: usize,
        position: u64,
        offset: i64,
        reason: BatchError,
    ) -> Result<(), LogError> {
        let segment = &self.segments[index];
        let stored = self.trusted[index] || offset < self.checkpoint.recovery_point;
        // A power cut can leave a segment short, also one that others follow; it does not change what is in the middle.
        let is_short = matches!(reason, BatchError::Incomplete { .. });
        if stored || (index + 1 < self.segments.len() && !is_short) {
            return Err(corrupt(segment, position, offset, reason.to_string()));
        }
        // It can also take an append into spare bytes and leave a later one there.
        let bytes = segment.size() - position;
        let is_unwritten =
            bytes <= MAX_SPARE_BYTES && !self.config.group_commit && segment.has_zeros_at(position)?;
        if !is_unwritten && let Some(valid) = valid_batch_after(segment, position, offset)? {
            let reason = format!("{reason}, but a whole batch follows at byte {valid}");
            return Err(corrupt(segment, position, offset, reason));
        }
        self.report.truncated = Some(TruncatedTail {
            path: segment.path().as_ref().clone(),
            position,
            bytes,
            reason,
        });
        Ok(())
    }

    /// All checks passed: now the disk is brought in line.
    fn finish(mut self, partition: std::sync::Arc<str>) -> Result<(PartitionLog, RecoveryReport), LogError> {
        for &(index, position) in &self.spare {
            self.segments[index].truncate(position)?;
        }
        for segment in self.segments.drain(self.keep_segments..) {
            if let Some(truncated) = &mut self.report.truncated {
                truncated.bytes += segment.size();
            }
            segment.remove()?;
        }
        if let Some(truncated) = &self.report.truncated {
            let position = truncated.position;
            self.segments
                .last_mut()
                .expect("a segment was truncated")
                .truncate(position)?;
        }
        self.remove_leftovers()?;
        let last = self.segments.len().saturating_sub(1);
        for (segment, trusted) in self.segments[..last].iter_mut().zip(&self.trusted) {
            if !trusted {
                segment.write_indexes(Durability::Disk)?;
            }
            segment.index.thin();
        }
        if self.log_end_offset < self.checkpoint.log_start_offset {
            // Only deleted records were left, and not all of them: go on where the deletion ended.
            for segment in self.segments.drain(..) {
                segment.remove()?;
            }
            self.log_end_offset = self.checkpoint.log_start_offset;
        }
        if self.segments.is_empty() {
            self.segments
                .push(Segment::create(&self.dir, self.log_end_offset, self.now_ms)?);
        }
        let first_offset = self.segments[0].base_offset;
        let recovery_point = self.checkpoint.recovery_point.min(self.log_end_offset);
        // They were read back, from memory maybe: the recovery point passes them only when they are synced.
        let sealed = self
            .segments
            .windows(2)
            .filter(|pair| pair[1].base_offset > recovery_point);
        let unsynced = sealed.map(|pair| SealedSegment::of(&pair[0])).collect();
        let log = PartitionLog {
            partition,
            dir: self.dir,
            config: self.config.into(),
            segments: self.segments,
            producers: self.producers,
            leader_epoch: 0,
            log_start_offset: self.checkpoint.log_start_offset.max(first_offset),
            log_end_offset: self.log_end_offset,
            recovery_point,
            cleaned_to: self.checkpoint.cleaned_to,
            uncleanable: false,
            unsynced,
            unflushed_since_ms: (recovery_point < self.log_end_offset).then_some(self.now_ms),
            unavailable: None,
            progress: None,
            waiters: crate::topic::waiter::Waiters::default(),
            sync_queue: None,
            queued_for_sync: false,
            names_synced: false,
        };
        Ok((log, self.report))
    }

    /// Files that an interrupted roll, retention or replacement left, and snapshots nobody needs: those of
    /// offsets that were cut off, and those of clean shutdowns before the last.
    fn remove_leftovers(&self) -> Result<(), LogError> {
        let bases: Vec<i64> = self.segments.iter().map(|segment| segment.base_offset).collect();
        let snapshots = list_offsets(&self.dir, "snapshot")?;
        let newest = snapshots
            .iter()
            .rev()
            .find(|offset| **offset <= self.log_end_offset);
        for entry in fs::read_dir(&self.dir).map_err(LogError::io("list", &self.dir))? {
            let path = entry.map_err(LogError::io("list", &self.dir))?.path();
            let orphan = EXTENSIONS[1..]
                .iter()
                .any(|kind| file_offset(&path, kind).is_some_and(|base| !bases.contains(&base)));
            let stale = file_offset(&path, "snapshot").is_some_and(|offset| {
                Some(&offset) != newest && (offset > self.log_end_offset || !bases.contains(&offset))
            });
            if orphan || stale || path.extension().is_some_and(|extension| extension == "tmp") {
                files::remove_if_present(&path)?;
            }
        }
        Ok(())
    }
}

/// What must hold for a stored batch, beyond what its header says of itself.
fn check(batch: &BatchView<'_>, expected: i64, end: Option<i64>, check_crc: bool) -> Result<(), BatchError> {
    let header = batch.header();
    if check_crc {
        batch.check_crc()?;
    }
    let within = end.is_none_or(|end| header.last_offset() < end);
    if header.base_offset < expected || header.last_offset_delta < 0 || !within {
        let what = "a batch that continues the offsets of the log";
        return Err(BatchError::Malformed { what, position: 0 });
    }
    Ok(())
}

/// What a control batch says, if it is a transaction marker.
fn marker(batch: &BatchView<'_>) -> Option<(ControlType, i32)> {
    if !batch.header().is_control() {
        return None;
    }
    let mut scratch = Vec::new();
    let record = batch.records(&mut scratch).ok()?.next()?.ok()?;
    Some((
        ControlType::from_key(record.key?)?,
        marker_coordinator_epoch(record.value?)?,
    ))
}

fn corrupt(segment: &Segment, position: u64, offset: i64, reason: String) -> LogError {
    LogError::Corrupt {
        path: segment.path().as_ref().clone(),
        position,
        offset,
        reason,
    }
}

/// The position of a whole batch anywhere behind a damaged one: the proof that more was stored after it.
fn valid_batch_after(segment: &Segment, damaged: u64, offset: i64) -> Result<Option<u64>, LogError> {
    let rest = segment.read_from(damaged)?;
    for at in 1..rest.len().saturating_sub(BATCH_HEADER_BYTES - 1) {
        if rest[at + MAGIC_AT] as i8 != MAGIC {
            continue;
        }
        let Ok(header) = BatchHeader::parse(&rest[at..]) else {
            continue;
        };
        if header.base_offset <= offset || header.last_offset_delta < 0 {
            continue;
        }
        if BatchView::parse(&rest[at..]).is_ok_and(|batch| batch.check_crc().is_ok()) {
            return Ok(Some(damaged + at as u64));
        }
    }
    Ok(None)
}
