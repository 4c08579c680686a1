//! The two sparse indexes of a segment: offset to byte position, and timestamp to offset, with Kafka's
//! entries and bytes. In memory they are sorted vectors; the files exist so that a clean start need not
//! read the log. They are always derived from the log: a file that does not check out is rebuilt, never
//! trusted. An index entry may be missing, but never point behind what it stands for. Therefore a segment that is
//! written no more can keep fewer of them in memory.

use crate::log::epochs::partition_point;

/// Bytes of an entry in a `.index` file.
const OFFSET_ENTRY_BYTES: usize = 8;
/// Bytes of an entry in a `.timeindex` file.
const TIME_ENTRY_BYTES: usize = 12;
/// Bytes of log between two offset entries that a sealed segment keeps in memory: at most 8,192 of them in a segment of
/// 1 GiB, and no more time entries. A read looks at that many bytes' batch headers at most to find its place.
pub(crate) const SEALED_INTERVAL_BYTES: i32 = 128 * 1024;

/// The batch that ends with this offset starts at this position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetEntry {
    relative_offset: i32,
    position: i32,
}

/// Up to here no record is later than `timestamp`, which the batch of this offset has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeEntry {
    timestamp: i64,
    relative_offset: i32,
}

/// Both indexes of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    base_offset: i64,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    /// The largest timestamp of the segment and the last offset of the first batch that has it.
    max_timestamp: i64,
    max_timestamp_offset: i64,
    bytes_since_entry: u64,
}

impl SegmentIndex {
    pub(crate) fn new(base_offset: i64) -> Self {
        Self {
            base_offset,
            offsets: Vec::new(),
            times: Vec::new(),
            max_timestamp: i64::MIN,
            max_timestamp_offset: base_offset,
            bytes_since_entry: 0,
        }
    }

    /// Size of the `.index` file, the larger of the two that `segment.index.bytes` bounds by their number of entries.
    pub(crate) fn file_bytes(&self) -> usize {
        self.offsets.len() * OFFSET_ENTRY_BYTES
    }

    /// Accounts for a batch at `position`, with an entry every `interval_bytes`.
    pub(crate) fn add(
        &mut self,
        last_offset: i64,
        max_timestamp: i64,
        position: u64,
        size: usize,
        interval_bytes: u32,
    ) {
        if max_timestamp > self.max_timestamp {
            self.max_timestamp = max_timestamp;
            self.max_timestamp_offset = last_offset;
        }
        if self.bytes_since_entry > u64::from(interval_bytes) {
            let relative_offset = self.relative(last_offset);
            self.offsets.push(OffsetEntry {
                relative_offset,
                position: position as i32,
            });
            self.add_time_entry();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += size as u64;
    }

    /// Keeps only what a segment needs that is written no more, and whose files are. What is kept depends on the entries alone.
    pub(crate) fn thin(&mut self) {
        let mut next = 0;
        self.offsets.retain(|entry| {
            let keep = entry.position >= next;
            if keep {
                next = entry.position.saturating_add(SEALED_INTERVAL_BYTES);
            }
            keep
        });
        self.offsets.shrink_to_fit();
        // As many at most, evenly spread, the last one among them.
        let every = self.times.len().div_ceil(self.offsets.len().max(1)).max(1);
        let mut behind = self.times.len();
        self.times.retain(|_| {
            behind -= 1;
            behind.is_multiple_of(every)
        });
        self.times.shrink_to_fit();
    }

    /// Completes the time index: its last entry always is the segment's largest timestamp.
    pub(crate) fn seal(&mut self) {
        if self.max_timestamp > i64::MIN {
            self.add_time_entry();
        }
    }

    fn add_time_entry(&mut self) {
        if self
            .times
            .last()
            .is_none_or(|last| self.max_timestamp > last.timestamp)
        {
            let relative_offset = self.relative(self.max_timestamp_offset);
            self.times.push(TimeEntry {
                timestamp: self.max_timestamp,
                relative_offset,
            });
        }
    }

    fn relative(&self, offset: i64) -> i32 {
        // A segment rolls before its offsets span more than an i32.
        (offset - self.base_offset) as i32
    }

    /// A position at or before the batch that contains `offset`.
    pub(crate) fn position_before(&self, offset: i64) -> u64 {
        let relative = offset - self.base_offset;
        let after = self
            .offsets
            .partition_point(|entry| i64::from(entry.relative_offset) <= relative);
        after
            .checked_sub(1)
            .map_or(0, |index| self.offsets[index].position as u64)
    }

    /// The last indexed batch that neither starts behind `position` nor ends at `offset` or later: where it starts.
    pub(crate) fn last_before(&self, position: u64, offset: i64) -> Option<u64> {
        let relative = offset - self.base_offset;
        let after = self.offsets.partition_point(|entry| {
            entry.position as u64 <= position && i64::from(entry.relative_offset) < relative
        });
        after
            .checked_sub(1)
            .map(|index| self.offsets[index].position as u64)
    }

    /// The position of the last entry in front, given that all up to it are; 0 if none is.
    pub(crate) fn last_in_front<E>(&self, is_in_front: impl Fn(u64) -> Result<bool, E>) -> Result<u64, E> {
        let behind = partition_point(&self.offsets, |entry| is_in_front(entry.position as u64))?;
        Ok(behind
            .checked_sub(1)
            .map_or(0, |index| self.offsets[index].position as u64))
    }

    /// The position of the last entry: where to go on after loading from files.
    pub(crate) fn last_position(&self) -> u64 {
        self.offsets.last().map_or(0, |entry| entry.position as u64)
    }

    /// An offset at or before the first record whose timestamp is at least `timestamp`.
    pub(crate) fn offset_before_timestamp(&self, timestamp: i64) -> i64 {
        let after = self.times.partition_point(|entry| entry.timestamp <= timestamp);
        let relative = after
            .checked_sub(1)
            .map_or(0, |index| self.times[index].relative_offset);
        self.base_offset + i64::from(relative)
    }

    /// The largest timestamp, `i64::MIN` if there is no batch.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The last offset of the first batch that has the largest timestamp.
    pub(crate) fn max_timestamp_offset(&self) -> i64 {
        self.max_timestamp_offset
    }

    /// The bytes of the `.index` file.
    pub(crate) fn encode_offsets(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.offsets.len() * OFFSET_ENTRY_BYTES);
        for entry in &self.offsets {
            bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        bytes
    }

    /// The bytes of the `.timeindex` file.
    pub(crate) fn encode_times(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.times.len() * TIME_ENTRY_BYTES);
        for entry in &self.times {
            bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
            bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
        }
        bytes
    }

    /// Decodes both files; `None` if they cannot belong to a segment of `log_size` bytes.
    pub(crate) fn decode(base_offset: i64, offsets: &[u8], times: &[u8], log_size: u64) -> Option<Self> {
        let mut index = Self::new(base_offset);
        let (offset_entries, rest) = offsets.as_chunks::<OFFSET_ENTRY_BYTES>();
        let (time_entries, time_rest) = times.as_chunks::<TIME_ENTRY_BYTES>();
        if !rest.is_empty() || !time_rest.is_empty() || (time_entries.is_empty() && log_size > 0) {
            return None;
        }
        for entry in offset_entries {
            let entry = OffsetEntry {
                relative_offset: i32::from_be_bytes(entry[..4].try_into().ok()?),
                position: i32::from_be_bytes(entry[4..].try_into().ok()?),
            };
            let follows = index.offsets.last().is_none_or(|last| {
                entry.relative_offset > last.relative_offset && entry.position > last.position
            });
            if !follows
                || entry.relative_offset < 0
                || entry.position < 0
                || entry.position as u64 >= log_size
            {
                return None;
            }
            index.offsets.push(entry);
        }
        for entry in time_entries {
            let entry = TimeEntry {
                timestamp: i64::from_be_bytes(entry[..8].try_into().ok()?),
                relative_offset: i32::from_be_bytes(entry[8..].try_into().ok()?),
            };
            let follows = index.times.last().is_none_or(|last| {
                entry.timestamp > last.timestamp && entry.relative_offset > last.relative_offset
            });
            if !follows || entry.relative_offset < 0 {
                return None;
            }
            index.times.push(entry);
        }
        if let Some(last) = index.times.last() {
            index.max_timestamp = last.timestamp;
            index.max_timestamp_offset = base_offset + i64::from(last.relative_offset);
        }
        Some(index)
    }

    /// Forgets how many bytes follow the last entry, which the files do not say, and counts anew.
    pub(crate) fn set_bytes_since_entry(&mut self, bytes: u64) {
        self.bytes_since_entry = bytes;
    }
}
