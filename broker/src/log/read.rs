//! The reading side of a partition log: records by offset, offsets by timestamp. Nothing here changes the
//! log. What a consumer gets are the stored bytes, cut to whole batches; only a search by timestamp looks
//! at records.

use bytes::Bytes;

use crate::log::batch::BatchView;
use crate::log::error::{LogError, ReadError};
use crate::log::partition::PartitionLog;
use crate::log::segment::{Segment, SegmentError};
use crate::log::slice::LogSlice;
use crate::log::transaction_index::AbortedTransaction;

/// The most bytes that one read returns, whatever was asked for: Kafka's `fetch.max.bytes` of a broker.
/// A single batch may be larger.
const MAX_READ_BYTES: usize = 55 * 1024 * 1024;

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// All records.
    ReadUncommitted,
    /// Records up to the first undecided transaction; those of aborted ones are named, to be skipped.
    ReadCommitted,
}

/// What a read found, and where the log stands.
#[derive(Debug, Clone)]
pub struct ReadInfo<R = Bytes> {
    /// Whole record batches, the first one perhaps beginning before the offset asked for.
    pub records: R,
    /// Aborted transactions with records in `records`; `None` for read_uncommitted.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// The offset behind the last committed record.
    pub high_watermark: i64,
    /// The offset that read_committed consumers may read up to.
    pub last_stable_offset: i64,
    /// First offset that can be read.
    pub log_start_offset: i64,
}

/// A read whose records were found but not read yet; None if there are none. See [`PartitionLog::find`].
pub type FoundInfo = ReadInfo<Option<LogSlice>>;

impl FoundInfo {
    /// Reads the records from their file. The log need not be locked for it.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn read(self) -> Result<ReadInfo, LogError> {
        let records = match &self.records {
            Some(slice) => slice.read()?,
            None => Bytes::new(),
        };
        Ok(ReadInfo {
            records,
            aborted: self.aborted,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset,
            log_start_offset: self.log_start_offset,
        })
    }
}

impl PartitionLog {
    /// [`find`](Self::find), with the records read.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one_batch: bool,
    ) -> Result<ReadInfo, ReadError> {
        Ok(self
            .find(offset, max_bytes, isolation, at_least_one_batch)?
            .read()?)
    }

    /// Finds whole batches from the one that contains `offset`, at most `max_bytes`; more only for a
    /// single batch, and only if `at_least_one_batch`. At the end of what the isolation lets see, there are none.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] outside of the log; [`ReadError::Undecodable`] or
    /// [`ReadError::Storage`] if the files cannot be read.
    pub fn find(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one_batch: bool,
    ) -> Result<FoundInfo, ReadError> {
        self.check_available()?;
        if !(self.log_start_offset..=self.log_end_offset).contains(&offset) {
            return Err(self.out_of_range(offset));
        }
        let bound = self.bound(isolation);
        let (records, upper_bound) =
            self.find_records(offset, bound, max_bytes.min(MAX_READ_BYTES), at_least_one_batch)?;
        let aborted = match isolation {
            Isolation::ReadUncommitted => None,
            Isolation::ReadCommitted => Some(self.aborted_between(offset, upper_bound)),
        };
        Ok(ReadInfo {
            records,
            aborted,
            high_watermark: self.high_watermark(),
            last_stable_offset: self.last_stable_offset(),
            log_start_offset: self.log_start_offset,
        })
    }

    /// The first record with at least this timestamp that the isolation lets see: its offset and its
    /// timestamp. `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError::Undecodable`] (compressed with a codec that cannot be read here) or
    /// [`ReadError::Storage`].
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        self.check_available()?;
        let bound = self.bound(isolation);
        for segment in &self.segments[self.segment_with(self.log_start_offset)..] {
            if segment.base_offset >= bound {
                break;
            }
            if segment.index.max_timestamp() < timestamp {
                continue;
            }
            let from = segment.index.offset_before_timestamp(timestamp);
            if let Some(found) = self.find_timestamp(segment, from, timestamp)? {
                return Ok(Some(found).filter(|(offset, _)| *offset < bound));
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp, the first if there are several: its offset and timestamp.
    ///
    /// # Errors
    /// As [`PartitionLog::offset_for_timestamp`].
    pub fn max_timestamp_offset(&self) -> Result<Option<(i64, i64)>, ReadError> {
        self.check_available()?;
        let mut newest: Option<(i64, i64)> = None;
        for segment in &self.segments[self.segment_with(self.log_start_offset)..] {
            if newest.is_some_and(|(_, timestamp)| timestamp >= segment.index.max_timestamp()) {
                continue;
            }
            if let Some((offset, timestamp)) = self.newest_record(segment)?
                && timestamp >= 0
                && newest.is_none_or(|(_, before)| timestamp > before)
            {
                newest = Some((offset, timestamp));
            }
        }
        Ok(newest)
    }

    pub(in crate::log) fn out_of_range(&self, offset: i64) -> ReadError {
        ReadError::OffsetOutOfRange {
            partition: self.partition.clone(),
            offset,
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
        }
    }

    fn bound(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// Index of the segment whose range of offsets holds `offset`.
    pub(in crate::log) fn segment_with(&self, offset: i64) -> usize {
        self.segments
            .partition_point(|segment| segment.base_offset <= offset)
            .saturating_sub(1)
    }

    /// Where the records are, and the offset behind them.
    fn find_records(
        &self,
        offset: i64,
        bound: i64,
        max_bytes: usize,
        at_least_one_batch: bool,
    ) -> Result<(Option<LogSlice>, i64), ReadError> {
        if offset >= bound {
            return Ok((None, offset));
        }
        for index in self.segment_with(offset)..self.segments.len() {
            let next = self.segments.get(index + 1);
            let end = next.map_or(self.log_end_offset, |next| next.base_offset);
            let found = self.segments[index].slice(offset, bound, end, max_bytes, at_least_one_batch);
            if let Some(found) = found.map_err(|error| self.unreadable(offset, error))? {
                let records = Some(found.records).filter(|records| !records.is_empty());
                return Ok((records, found.next_offset));
            }
        }
        Ok((None, offset))
    }

    fn aborted_between(&self, offset: i64, upper_bound: i64) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        if upper_bound <= offset {
            return found;
        }
        for segment in &self.segments[self.segment_with(offset)..] {
            if segment.aborted.collect(offset, upper_bound, &mut found) {
                break;
            }
        }
        found
    }

    /// The first record from the batch with `from` on whose timestamp is at least `timestamp`.
    fn find_timestamp(
        &self,
        segment: &Segment,
        from: i64,
        timestamp: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        let from = from.max(self.log_start_offset);
        let Some((position, _)) = segment
            .locate(from)
            .map_err(|error| self.unreadable(from, error))?
        else {
            return Ok(None);
        };
        let mut scanner = segment.scan(position);
        while let Some((_, batch)) = scanner.next().map_err(|error| self.unreadable(from, error))? {
            if batch.header().max_timestamp < timestamp {
                continue;
            }
            if let Some(found) = self.first_record_at(&batch, timestamp)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of a segment, as far as it can still be read.
    fn newest_record(&self, segment: &Segment) -> Result<Option<(i64, i64)>, ReadError> {
        let indexed = segment.index.max_timestamp();
        let found = self.find_timestamp(segment, segment.index.max_timestamp_offset(), indexed)?;
        if found.is_some() || segment.base_offset >= self.log_start_offset {
            return Ok(found);
        }
        // The index still counts a deleted record: step up through the timestamps of those that are left.
        let mut newest = None;
        let mut next = i64::MIN;
        while let Some(found) = self.find_timestamp(segment, self.log_start_offset, next)? {
            newest = Some(found);
            next = found.1.saturating_add(1);
        }
        Ok(newest)
    }

    fn first_record_at(
        &self,
        batch: &BatchView<'_>,
        timestamp: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        let undecodable = |reason| ReadError::Undecodable {
            partition: self.partition.clone(),
            offset: batch.header().base_offset,
            reason,
        };
        let mut scratch = Vec::new();
        for record in batch.records(&mut scratch).map_err(undecodable)? {
            let record = record.map_err(undecodable)?;
            if record.timestamp >= timestamp && record.offset >= self.log_start_offset {
                return Ok(Some((record.offset, record.timestamp)));
            }
        }
        Ok(None)
    }

    pub(in crate::log) fn unreadable(&self, offset: i64, error: SegmentError) -> ReadError {
        match error {
            SegmentError::Storage(error) => error.into(),
            SegmentError::Damaged { reason, .. } => ReadError::Undecodable {
                partition: self.partition.clone(),
                offset,
                reason,
            },
        }
    }
}
