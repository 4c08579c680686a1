//! One segment of a partition log: a file of whole record batches, one behind the other, with its indexes.
//! All reading and writing of batches on disk happens here, at explicit positions (pread, pwrite), so that
//! readers need no lock on the file. What must stay true: `size` never covers a batch that was not written
//! completely; bytes behind it do not exist for anyone.
//!
//! Small appends to a file that is not new go into zeros that one large write put there before: a system that gives a large write
//! one large piece of page cache has nothing to allocate then when a small one follows, which halves its cost, and reading large
//! pieces costs less than half of reading pages. These spare bytes are cut off when the segment is sealed or closed; after a crash
//! the zeros at the end of a file that was never synced are not damage.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::log::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, BatchView};
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::files::{self, Durability, offset_file};
use crate::log::index::SegmentIndex;
use crate::log::slice::LogSlice;
use crate::log::transaction_index::TransactionIndex;

/// Bytes read at once to find a batch near its index entry.
const HEADERS_CHUNK_BYTES: usize = 8 * 1024;
/// Bytes read at once when all batches of a segment are walked.
const SCAN_CHUNK_BYTES: usize = 1024 * 1024;
/// More zeros than this at the end of a file are not what appending left there.
pub(crate) const MAX_SPARE_BYTES: u64 = 256 * 1024;
static ZEROS: [u8; (MAX_SPARE_BYTES / 2) as usize] = [0; (MAX_SPARE_BYTES / 2) as usize];
/// The kinds of files a segment has.
pub(crate) const EXTENSIONS: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// A segment file, its indexes, and how far it is written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    dir: PathBuf,
    path: Arc<PathBuf>,
    file: Arc<File>,
    size: u64,
    /// The length of the file: beyond `size` it has zeros.
    length: u64,
    pub(crate) index: SegmentIndex,
    pub(crate) aborted: TransactionIndex,
    /// Largest timestamp of the first batch: the age of the segment counts from it.
    first_timestamp: Option<i64>,
    /// Broker time of the last append, or of the last change of the file.
    pub(crate) last_append_ms: i64,
    /// How much of the segment its index files describe.
    indexes_cover: u64,
}

/// Reading failed: the disk, or what is on it.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Storage(LogError),
    Damaged { position: u64, reason: BatchError },
}

impl From<LogError> for SegmentError {
    fn from(error: LogError) -> Self {
        Self::Storage(error)
    }
}

/// Where whole batches of one segment are.
#[derive(Debug)]
pub(crate) struct SegmentSlice {
    pub(crate) records: LogSlice,
    /// The offset behind the last batch of `records`.
    pub(crate) next_offset: i64,
}

impl Segment {
    /// A new, empty segment.
    pub(crate) fn create(dir: &Path, base_offset: i64, now_ms: i64) -> Result<Self, LogError> {
        let path = offset_file(dir, base_offset, "log");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(LogError::io("create", &path))?;
        Ok(Self {
            base_offset,
            dir: dir.to_owned(),
            path: Arc::new(path),
            file: Arc::new(file),
            size: 0,
            length: 0,
            index: SegmentIndex::new(base_offset),
            aborted: TransactionIndex::default(),
            first_timestamp: None,
            last_append_ms: now_ms,
            indexes_cover: 0,
        })
    }

    /// An existing segment without its indexes, which the caller loads or rebuilds.
    pub(crate) fn open(dir: &Path, base_offset: i64) -> Result<Self, LogError> {
        let path = offset_file(dir, base_offset, "log");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        let metadata = file.metadata().map_err(LogError::io("look at", &path))?;
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let mut segment = Self {
            base_offset,
            dir: dir.to_owned(),
            path: Arc::new(path),
            file: Arc::new(file),
            size: metadata.len(),
            length: metadata.len(),
            index: SegmentIndex::new(base_offset),
            aborted: TransactionIndex::default(),
            first_timestamp: None,
            last_append_ms: modified.map_or(0, |age| age.as_millis() as i64),
            indexes_cover: 0,
        };
        let mut header = [0; BATCH_HEADER_BYTES];
        if segment.size >= header.len() as u64 {
            segment.read_exact(&mut header, 0)?;
            segment.first_timestamp = BatchHeader::parse(&header)
                .ok()
                .map(|header| header.max_timestamp);
        }
        Ok(segment)
    }

    /// Takes the indexes from their files; `false` if they are missing or do not fit.
    pub(crate) fn load_indexes(&mut self) -> Result<bool, LogError> {
        if self.size == 0 {
            return Ok(true);
        }
        let Some(offsets) = files::read_if_present(&self.file_path("index"))? else {
            return Ok(false);
        };
        let Some(times) = files::read_if_present(&self.file_path("timeindex"))? else {
            return Ok(false);
        };
        let aborted = files::read_if_present(&self.file_path("txnindex"))?.unwrap_or_default();
        let (Some(mut index), Some(aborted)) = (
            SegmentIndex::decode(self.base_offset, &offsets, &times, self.size),
            TransactionIndex::decode(&aborted),
        ) else {
            return Ok(false);
        };
        index.set_bytes_since_entry(self.size - index.last_position());
        self.index = index;
        self.aborted = aborted;
        self.indexes_cover = self.size;
        Ok(true)
    }

    /// Writes the index files. The offset index comes last: where it is, the others are. Those of a segment below the
    /// recovery point are believed without looking: they must be on disk ([`Durability::Disk`]), or be synced
    /// ([`sync_indexes`]) before the recovery point passes the segment.
    pub(crate) fn write_indexes(&mut self, durability: Durability) -> Result<(), LogError> {
        self.index.seal();
        let aborted = self.file_path("txnindex");
        if self.aborted.is_empty() {
            files::remove_if_present(&aborted)?;
        } else {
            files::replace(&aborted, &self.aborted.encode(), durability)?;
        }
        files::replace(
            &self.file_path("timeindex"),
            &self.index.encode_times(),
            durability,
        )?;
        files::replace(&self.file_path("index"), &self.index.encode_offsets(), durability)?;
        self.indexes_cover = self.size;
        Ok(())
    }

    /// Whether the index files describe the whole segment; an empty one needs none.
    pub(crate) fn has_index_files(&self) -> bool {
        self.indexes_cover == self.size
    }

    pub(crate) fn path(&self) -> &Arc<PathBuf> {
        &self.path
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The timestamp that `segment.ms` counts from.
    pub(crate) fn first_timestamp(&self) -> Option<i64> {
        self.first_timestamp
    }

    /// The newest thing in the segment, for retention: its largest timestamp, or when it was written.
    pub(crate) fn newest_timestamp(&self) -> i64 {
        let newest = self.index.max_timestamp();
        if newest >= 0 { newest } else { self.last_append_ms }
    }

    /// Writes a batch, given in two parts, behind the others. After an error nothing of it is left; if even that could not be done, the flag
    /// beside the error is false.
    pub(crate) fn append(
        &mut self,
        header: &BatchHeader,
        batch: [&[u8]; 2],
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<(), (LogError, bool)> {
        let size = self.size + header.size_bytes() as u64;
        let prepared = self.write_spare(size, config);
        if let Err(error) = prepared.and_then(|()| write_both(&self.file, batch, self.size)) {
            let taken_back = self.file.set_len(self.size).is_ok();
            self.length = self.size;
            return Err((LogError::io("write to", &self.path)(error), taken_back));
        }
        self.account(header, self.size, config.index_interval_bytes);
        self.size = size;
        self.length = self.length.max(size);
        self.last_append_ms = now_ms;
        Ok(())
    }

    /// Before a small append that makes the segment `size` bytes long: writes zeros where the next ones will go, if none are left and
    /// this one begins another block of so many.
    fn write_spare(&mut self, size: u64, config: &LogConfig) -> io::Result<()> {
        let spare_bytes = config.spare_bytes.min(MAX_SPARE_BYTES / 2);
        let is_small = size - self.size <= spare_bytes;
        // With group commit a power cut could take one of two appends into the zeros and leave the later one.
        if config.group_commit || !is_small || size <= self.length || self.size < spare_bytes {
            return Ok(());
        }
        let block = size - size % spare_bytes;
        if block >= self.size {
            self.file.write_all_at(&ZEROS[..spare_bytes as usize], block)?;
            self.length = block + spare_bytes;
        }
        Ok(())
    }

    /// Gives back what was written ahead.
    pub(crate) fn cut_spare(&mut self) -> Result<(), LogError> {
        if self.length > self.size {
            self.truncate(self.size)?;
        }
        Ok(())
    }

    /// Adds a batch that is in the file to the index.
    pub(crate) fn account(&mut self, header: &BatchHeader, position: u64, interval_bytes: u32) {
        if position == 0 {
            self.first_timestamp = Some(header.max_timestamp);
        }
        self.index.add(
            header.last_offset(),
            header.max_timestamp,
            position,
            header.size_bytes(),
            interval_bytes,
        );
    }

    /// Cuts the file: everything from `position` on is gone.
    pub(crate) fn truncate(&mut self, position: u64) -> Result<(), LogError> {
        self.file
            .set_len(position)
            .map_err(LogError::io("truncate", &self.path))?;
        self.size = position;
        self.length = position;
        Ok(())
    }

    /// Where the whole batches are from the one that contains `offset` on, at most `max_bytes`, none that starts at
    /// `upper_bound` or later. The first may exceed `max_bytes` if `at_least_one_batch`. The segment's own offsets are below
    /// `segment_end`. `None` if the segment has no batch in that range.
    pub(crate) fn slice(
        &self,
        offset: i64,
        upper_bound: i64,
        segment_end: i64,
        max_bytes: usize,
        at_least_one_batch: bool,
    ) -> Result<Option<SegmentSlice>, SegmentError> {
        let Some((position, first)) = self.locate(offset)? else {
            return Ok(None);
        };
        if first.base_offset >= upper_bound {
            return Ok(None);
        }
        let first_end = position + first.size_bytes() as u64;
        let mut end = (position, offset);
        if first.size_bytes() <= max_bytes || at_least_one_batch {
            let limit = position.saturating_add(max_bytes as u64).max(first_end);
            end = if limit >= self.size && upper_bound >= segment_end {
                (self.size, segment_end)
            } else {
                self.end_of_batches((first_end, first.next_offset()), limit, upper_bound)?
            };
        }
        Ok(Some(SegmentSlice {
            records: LogSlice {
                file: self.file.clone(),
                path: self.path.clone(),
                position,
                length: (end.0 - position) as usize,
            },
            next_offset: end.1,
        }))
    }

    /// The last end of a batch, from the known one at `from` on, that is neither behind the position `limit` nor behind the
    /// offset `upper_bound`: its position, and the offset behind it.
    fn end_of_batches(
        &self,
        from: (u64, i64),
        limit: u64,
        upper_bound: i64,
    ) -> Result<(u64, i64), SegmentError> {
        let mut end = from;
        let indexed = self.index.last_before(limit, upper_bound);
        // An entry stands at the start of its batch, which is the end of the one before; its first offset is read below.
        let mut position = indexed.map_or(from.0, |indexed| indexed.max(from.0));
        let mut headers = Headers::new(self);
        while position < self.size {
            let header = headers.at(position)?;
            if header.base_offset >= upper_bound {
                break;
            }
            if position > end.0 {
                end = (position, header.base_offset);
            }
            let next = position + header.size_bytes() as u64;
            if next > limit {
                break;
            }
            end = (next, header.next_offset());
            position = next;
        }
        Ok(end)
    }

    /// The first batch whose last offset is at least `offset`, and its position.
    pub(crate) fn locate(&self, offset: i64) -> Result<Option<(u64, BatchHeader)>, SegmentError> {
        let mut position = self.index.position_before(offset);
        let mut headers = Headers::new(self);
        while position < self.size {
            let header = headers.at(position)?;
            if header.last_offset() >= offset {
                return Ok(Some((position, header)));
            }
            position += header.size_bytes() as u64;
        }
        Ok(None)
    }

    /// The first batch of a segment that has one.
    pub(crate) fn first_header(&self) -> Result<BatchHeader, SegmentError> {
        Headers::new(self).at(0)
    }

    /// Of a segment whose first batch is of this leader epoch or a lower one: the epoch of the last such batch, and the base offset
    /// of the next one, if the segment has it.
    pub(crate) fn end_of_leader_epoch(&self, asked: i32) -> Result<(i32, Option<i64>), SegmentError> {
        let is_up_to = |position| {
            let header = Headers::new(self).at(position)?;
            Ok::<_, SegmentError>(header.partition_leader_epoch <= asked)
        };
        let mut position = self.index.last_in_front(is_up_to)?;
        let mut headers = Headers::new(self);
        let mut epoch = asked;
        while position < self.size {
            let header = headers.at(position)?;
            if header.partition_leader_epoch > asked {
                return Ok((epoch, Some(header.base_offset)));
            }
            epoch = header.partition_leader_epoch;
            position += header.size_bytes() as u64;
        }
        Ok((epoch, None))
    }

    /// Walks all batches from `position`, which must be the start of one.
    pub(crate) fn scan(&self, position: u64) -> Scanner<'_> {
        Scanner::new(&self.file, &self.path, self.size, position)
    }

    /// All bytes from `position` to the end.
    pub(crate) fn read_from(&self, position: u64) -> Result<Vec<u8>, LogError> {
        let mut rest = vec![0; (self.size - position) as usize];
        self.read_exact(&mut rest, position)?;
        Ok(rest)
    }

    /// Whether where a batch should begin nothing was written.
    pub(crate) fn has_zeros_at(&self, position: u64) -> Result<bool, LogError> {
        let mut header = [0; BATCH_HEADER_BYTES];
        let available = (self.size - position).min(header.len() as u64) as usize;
        self.read_exact(&mut header[..available], position)?;
        Ok(header == [0; BATCH_HEADER_BYTES])
    }

    fn read_exact(&self, target: &mut [u8], position: u64) -> Result<(), LogError> {
        self.file
            .read_exact_at(target, position)
            .map_err(LogError::io("read", &self.path))
    }

    /// Deletes all files of the segment. Readers that hold the file can finish.
    pub(crate) fn remove(&self) -> Result<(), LogError> {
        fs::remove_file(self.path.as_path()).map_err(LogError::io("delete", &self.path))?;
        for extension in &EXTENSIONS[1..] {
            files::remove_if_present(&self.file_path(extension))?;
        }
        Ok(())
    }

    fn file_path(&self, extension: &str) -> PathBuf {
        offset_file(&self.dir, self.base_offset, extension)
    }
}

/// Makes the index files of the segment at `base_offset` survive a power cut, as far as they are there.
pub(crate) fn sync_indexes(dir: &Path, base_offset: i64) -> Result<(), LogError> {
    EXTENSIONS[1..]
        .iter()
        .try_for_each(|extension| files::sync_if_present(&offset_file(dir, base_offset, extension)))
}

/// Writes both parts, in one call if the system takes them.
fn write_both(file: &File, [front, rest]: [&[u8]; 2], position: u64) -> io::Result<()> {
    let written = rustix::io::pwritev(file, &[IoSlice::new(front), IoSlice::new(rest)], position)?;
    if written < front.len() {
        file.write_all_at(&front[written..], position + written as u64)?;
    }
    let done = written.saturating_sub(front.len());
    file.write_all_at(&rest[done..], position + (front.len() + done) as u64)
}

/// Reads headers of batches that are near one another.
struct Headers<'a> {
    segment: &'a Segment,
    chunk: [u8; HEADERS_CHUNK_BYTES],
    start: u64,
    length: usize,
}

impl<'a> Headers<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self {
            segment,
            chunk: [0; HEADERS_CHUNK_BYTES],
            start: 0,
            length: 0,
        }
    }

    /// The header at this position, which lies before the end of the segment, of a batch that the segment holds whole.
    fn at(&mut self, position: u64) -> Result<BatchHeader, SegmentError> {
        let rest = self.segment.size - position;
        let needed = rest.min(BATCH_HEADER_BYTES as u64);
        if position < self.start || position + needed > self.start + self.length as u64 {
            self.start = position;
            self.length = rest.min(HEADERS_CHUNK_BYTES as u64) as usize;
            self.segment
                .read_exact(&mut self.chunk[..self.length], position)?;
        }
        let at = (position - self.start) as usize;
        match BatchHeader::parse(&self.chunk[at..self.length]) {
            Ok(header) if header.size_bytes() as u64 > rest => Err(SegmentError::Damaged {
                position,
                reason: BatchError::InvalidLength(header.batch_length),
            }),
            Ok(header) => Ok(header),
            Err(reason) => Err(SegmentError::Damaged { position, reason }),
        }
    }
}

/// Walks the batches of a segment through a large buffer.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a File,
    path: &'a Path,
    size: u64,
    position: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
    ends_at_spare: bool,
}

impl<'a> Scanner<'a> {
    /// Walks the first `size` bytes of `file` from `position`, which must be the start of a batch.
    pub(crate) fn new(file: &'a File, path: &'a Path, size: u64, position: u64) -> Self {
        Self {
            file,
            path,
            size,
            position,
            buffer: Vec::new(),
            buffer_start: position,
            ends_at_spare: false,
        }
    }

    /// For a file that was not closed: where only spare bytes follow is its end.
    pub(crate) fn until_spare(self) -> Self {
        Self {
            ends_at_spare: true,
            ..self
        }
    }

    /// Where the next batch begins, or would.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch and its position; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, BatchView<'_>)>, SegmentError> {
        let position = self.position;
        let available = self.size - position;
        if available == 0 || (self.ends_at_spare && self.only_spare_follows(available)?) {
            return Ok(None);
        }
        let damaged = |reason| SegmentError::Damaged { position, reason };
        let incomplete = |needed| {
            damaged(BatchError::Incomplete {
                needed,
                available: available.try_into().unwrap_or(usize::MAX),
            })
        };
        if available < BATCH_HEADER_BYTES as u64 {
            return Err(incomplete(BATCH_HEADER_BYTES));
        }
        self.fill(BATCH_HEADER_BYTES)?;
        let header = BatchHeader::parse(self.rest()).map_err(damaged)?;
        let size = header.size_bytes();
        if size as u64 > available {
            return Err(incomplete(size));
        }
        self.fill(size)?;
        self.position += size as u64;
        let start = (position - self.buffer_start) as usize;
        let view = BatchView::parse(&self.buffer[start..]).map_err(damaged)?;
        Ok(Some((position, view)))
    }

    fn only_spare_follows(&mut self, available: u64) -> Result<bool, LogError> {
        self.fill(available.min(BATCH_HEADER_BYTES as u64) as usize)?;
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        // No batch begins with so many: its length is among them.
        if available > MAX_SPARE_BYTES || !is_zero(&self.rest()[..self.rest().len().min(BATCH_HEADER_BYTES)])
        {
            return Ok(false);
        }
        self.fill(available as usize)?;
        Ok(is_zero(self.rest()))
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[(self.position - self.buffer_start) as usize..]
    }

    /// Makes sure that the buffer holds `needed` bytes from the position on; the file has them.
    fn fill(&mut self, needed: usize) -> Result<(), LogError> {
        if self.rest().len() >= needed {
            return Ok(());
        }
        let available = self.size - self.position;
        let length = (needed.max(SCAN_CHUNK_BYTES) as u64).min(available) as usize;
        self.buffer.resize(length, 0);
        self.buffer_start = self.position;
        self.file
            .read_exact_at(&mut self.buffer, self.position)
            .map_err(LogError::io("read", self.path))
    }
}
