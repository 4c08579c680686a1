//! From old files to new ones, so that a crash at any moment leaves one or the other.
//!
//! ```text
//!  BASE-END.cleaned   being written; a start deletes it
//!  BASE-END.swap      complete and synced: it counts, and all segments from BASE to END do not; a start completes the swap
//!  BASE.log           the new segment
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::log::batch::BatchHeader;
use crate::log::error::LogError;
use crate::log::files::{self, Durability, list_offsets, offset_file};
use crate::log::index::SegmentIndex;
use crate::log::partition::PartitionLog;
use crate::log::segment::{EXTENSIONS, Segment, SegmentError};
use crate::log::transaction_index::TransactionIndex;

use super::rewrite::{Rest, Rewriter};
use super::{Cleaned, PlannedSegment};

const CLEANED: &str = "cleaned";
const SWAP: &str = "swap";
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// One new segment that takes the place of some old ones.
#[derive(Debug)]
pub(super) struct CleanedGroup {
    base_offset: i64,
    end_offset: i64,
    pub(super) path: PathBuf,
    index: SegmentIndex,
    aborted: TransactionIndex,
    last_append_ms: i64,
    /// Base offsets and sizes of the old segments.
    pub(super) replaces: Vec<(i64, u64)>,
    /// Whether it differs from what it replaces.
    changed: bool,
}

impl CleanedGroup {
    /// Writes what is left of `segments` to a new file. None if it was cancelled; nothing is left behind then.
    pub(super) fn write(
        dir: &Path,
        segments: &[PlannedSegment],
        rewriter: &mut Rewriter<'_>,
        cancelled: &impl Fn() -> bool,
    ) -> Result<Option<Self>, LogError> {
        let base_offset = segments[0].base_offset;
        let end_offset = segments[segments.len() - 1].end_offset;
        let path = dir.join(format!("{base_offset:020}-{end_offset:020}.{CLEANED}"));
        let mut group = Self {
            base_offset,
            end_offset,
            path,
            index: SegmentIndex::new(base_offset),
            aborted: TransactionIndex::default(),
            last_append_ms: segments
                .iter()
                .map(|segment| segment.last_append_ms)
                .max()
                .unwrap_or(0),
            replaces: segments
                .iter()
                .map(|segment| (segment.base_offset, segment.size))
                .collect(),
            changed: segments.len() > 1,
        };
        match group.fill(segments, rewriter, cancelled) {
            Ok(true) => Ok(Some(group)),
            Ok(false) => {
                group.discard();
                Ok(None)
            }
            Err(error) => {
                group.discard();
                Err(error)
            }
        }
    }

    fn fill(
        &mut self,
        segments: &[PlannedSegment],
        rewriter: &mut Rewriter<'_>,
        cancelled: &impl Fn() -> bool,
    ) -> Result<bool, LogError> {
        let file = File::create(&self.path).map_err(LogError::io("create", &self.path))?;
        let mut writer = BufWriter::with_capacity(WRITE_BUFFER_BYTES, file);
        let mut position = 0;
        for segment in segments {
            let mut scanner = segment.scan();
            loop {
                if cancelled() {
                    return Ok(false);
                }
                let next = scanner
                    .next()
                    .map_err(|error| segment.damaged(error, segment.base_offset))?;
                let Some((at, batch)) = next else { break };
                let offset = batch.header().base_offset;
                let (rest, entry) = rewriter.rewrite(&batch).map_err(|reason| {
                    segment.damaged(SegmentError::Damaged { position: at, reason }, offset)
                })?;
                let bytes = match &rest {
                    Rest::Whole => batch.bytes(),
                    Rest::Part(bytes) => bytes,
                    Rest::Nothing => {
                        self.changed = true;
                        continue;
                    }
                };
                self.changed |= rest != Rest::Whole;
                let header =
                    BatchHeader::parse(bytes).expect("a batch that was read or just written has a header");
                self.index.add(
                    header.last_offset(),
                    header.max_timestamp,
                    position,
                    bytes.len(),
                    rewriter.index_interval_bytes(),
                );
                if let Some(entry) = entry {
                    self.aborted.add(entry);
                }
                writer
                    .write_all(bytes)
                    .map_err(LogError::io("write", &self.path))?;
                position += bytes.len() as u64;
            }
        }
        let file = writer
            .into_inner()
            .map_err(|error| LogError::io("write", &self.path)(error.into_error()))?;
        files::sync_data(&file).map_err(LogError::io("sync", &self.path))?;
        Ok(true)
    }

    fn discard(&self) {
        // It is deleted at the next start otherwise.
        let _ = files::remove_if_present(&self.path);
    }

    /// Whether the log still has exactly the segments that were cleaned: retention may have been faster.
    fn place_in(&self, log: &PartitionLog) -> Option<usize> {
        let (first, _) = self.replaces.first()?;
        let at = log
            .segments
            .iter()
            .position(|segment| segment.base_offset == *first)?;
        let there = log.segments.get(at..at + self.replaces.len())?;
        let same = there
            .iter()
            .zip(&self.replaces)
            .all(|(segment, (base, size))| segment.base_offset == *base && segment.size() == *size);
        // The active segment is never cleaned.
        (same && at + self.replaces.len() < log.segments.len()).then_some(at)
    }

    fn swap_into(self, log: &mut PartitionLog) -> Result<(), LogError> {
        let Some(at) = self.place_in(log).filter(|_| self.changed) else {
            self.discard();
            return Ok(());
        };
        let swap = self.path.with_extension(SWAP);
        fs::rename(&self.path, &swap).map_err(LogError::io("rename to", &swap))?;
        files::sync_dir(&log.dir)?;
        complete(&log.dir, &swap, self.base_offset, self.end_offset)?;
        let mut segment = Segment::open(&log.dir, self.base_offset)?;
        segment.index = self.index;
        segment.aborted = self.aborted;
        segment.last_append_ms = self.last_append_ms;
        segment.write_indexes(Durability::Disk)?;
        segment.index.thin();
        log.segments.splice(at..at + self.replaces.len(), [segment]);
        Ok(())
    }
}

impl Cleaned {
    /// Puts the new files in the place of the old ones.
    ///
    /// # Errors
    /// [`LogError::Io`]; if files were already moved, the log takes no more requests: a restart completes the swap.
    pub(crate) fn swap_into(self, log: &mut PartitionLog) -> Result<(), LogError> {
        if let Err(error) = log.check_available() {
            self.discard();
            return Err(error);
        }
        for group in self.groups {
            if let Err(error) = group.swap_into(log) {
                log.unavailable = Some("a compaction could not be completed; restart the broker to do so");
                return Err(error);
            }
        }
        log.cleaned_to = self.cleaned_to;
        log.write_checkpoint()
    }

    /// Takes back what was written.
    pub(crate) fn discard(&self) {
        for group in &self.groups {
            group.discard();
        }
    }
}

/// Completes swaps that a crash interrupted, and deletes what was being written.
pub(crate) fn finish_swaps(dir: &Path) -> Result<(), LogError> {
    for entry in fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let path = entry.map_err(LogError::io("list", dir))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(CLEANED) => files::remove_if_present(&path)?,
            Some(SWAP) => {
                if let Some((base_offset, end_offset)) = offsets_of(&path) {
                    complete(dir, &path, base_offset, end_offset)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deletes the segments from `base_offset` to `end_offset` and gives the new one its name.
fn complete(dir: &Path, swap: &Path, base_offset: i64, end_offset: i64) -> Result<(), LogError> {
    // Indexes first: none may ever be found beside records that it does not describe.
    for extension in EXTENSIONS.iter().rev() {
        for offset in list_offsets(dir, extension)? {
            if (base_offset..end_offset).contains(&offset) {
                files::remove_if_present(&offset_file(dir, offset, extension))?;
            }
        }
    }
    // No old segment may come back beside the new one.
    files::sync_dir(dir)?;
    let path = offset_file(dir, base_offset, EXTENSIONS[0]);
    fs::rename(swap, &path).map_err(LogError::io("rename to", &path))?;
    files::sync_dir(dir)
}

fn offsets_of(path: &Path) -> Option<(i64, i64)> {
    let (base, end) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((base.parse().ok()?, end.parse().ok()?))
}
