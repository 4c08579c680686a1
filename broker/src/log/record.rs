//! The records of a batch, read where they lie: one bounds-checked pass, no allocation, no copy. Apart
//! from the batch header because this is the innermost loop of every consumer. Each record's own length
//! bounds what is read for it, so that a damaged record cannot reach into the next.

use std::ops::Range;

use crate::log::batch::{BatchError, BatchHeader};
use crate::log::varint::{read_varint, read_varlong};

/// One record, borrowed from the buffer it was read from.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp in milliseconds.
    pub timestamp: i64,
    /// Key; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is Kafka's null (a tombstone in a table).
    pub value: Option<&'a [u8]>,
    key_start: usize,
    value_start: usize,
    headers: Headers<'a>,
}

impl<'a> RecordView<'a> {
    /// Where the key lies in [`RecordIter::buffer`]: lets an owner of the buffer share it without a copy.
    pub fn key_range(&self) -> Option<Range<usize>> {
        self.key.map(|key| self.key_start..self.key_start + key.len())
    }

    /// Where the value lies in [`RecordIter::buffer`].
    pub fn value_range(&self) -> Option<Range<usize>> {
        self.value
            .map(|value| self.value_start..self.value_start + value.len())
    }

    /// The headers, in the order they were written.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// Walks the records of a batch; ends after the first error.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    buffer: &'a [u8],
    position: usize,
    remaining: i32,
    base_offset: i64,
    base_timestamp: i64,
    /// With LogAppendTime all records carry the batch's timestamp.
    append_time: Option<i64>,
}

impl<'a> RecordIter<'a> {
    pub(crate) fn new(header: &BatchHeader, buffer: &'a [u8], position: usize) -> Self {
        Self {
            buffer,
            position,
            remaining: header.record_count,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: header.is_log_append_time().then_some(header.max_timestamp),
        }
    }

    /// Where in the buffer the next record begins.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// What the ranges of the records count in: the whole batch, or the decompressed records.
    pub fn buffer(&self) -> &'a [u8] {
        self.buffer
    }

    #[inline]
    fn read(&mut self) -> Result<RecordView<'a>, BatchError> {
        let start = self.position;
        let mut position = start;
        let length = read_varint(self.buffer, &mut position).ok_or(malformed("a record length", start))?;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| position.checked_add(length))
            .filter(|end| *end <= self.buffer.len())
            .ok_or(malformed("a record length within the batch", start))?;
        let record = &self.buffer[..end];

        position += 1; // attributes: no bit of them is in use
        let timestamp_delta =
            read_varlong(record, &mut position).ok_or(malformed("a timestamp delta", position))?;
        let offset_delta =
            read_varint(record, &mut position).ok_or(malformed("an offset delta", position))?;
        let key = read_nullable(record, &mut position, "a key")?;
        let key_start = position - key.map_or(0, <[u8]>::len);
        let value = read_nullable(record, &mut position, "a value")?;
        let value_start = position - value.map_or(0, <[u8]>::len);
        let header_count = read_varint(record, &mut position).ok_or(malformed("a header count", position))?;
        if header_count < 0 || (header_count == 0 && position != end) {
            return Err(malformed("the end of the record", position));
        }
        self.position = end;
        Ok(RecordView {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: match self.append_time {
                Some(append_time) => append_time,
                None => self.base_timestamp.wrapping_add(timestamp_delta),
            },
            key,
            value,
            key_start,
            value_start,
            headers: Headers {
                record,
                position,
                remaining: header_count,
            },
        })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            return None;
        }
        let record = self.read();
        self.remaining = if record.is_ok() { self.remaining - 1 } else { 0 };
        Some(record)
    }
}

/// Walks the headers of a record; ends after the first error. Null header keys do not exist in Kafka.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    record: &'a [u8],
    position: usize,
    remaining: i32,
}

impl<'a> Headers<'a> {
    /// Whether there are none: the usual case, worth asking before collecting.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    fn read(&mut self) -> Result<(&'a str, Option<&'a [u8]>), BatchError> {
        let start = self.position;
        let key = read_nullable(self.record, &mut self.position, "a header key")?
            .and_then(|key| std::str::from_utf8(key).ok())
            .ok_or(malformed("a header key in UTF-8", start))?;
        let value = read_nullable(self.record, &mut self.position, "a header value")?;
        Ok((key, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, Option<&'a [u8]>), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            return None;
        }
        let header = self.read();
        self.remaining = if header.is_ok() { self.remaining - 1 } else { 0 };
        Some(header)
    }
}

/// A length of -1 is null, any other negative one is damage.
#[inline(always)]
fn read_nullable<'a>(
    record: &'a [u8],
    position: &mut usize,
    what: &'static str,
) -> Result<Option<&'a [u8]>, BatchError> {
    let start = *position;
    let length = read_varint(record, position).ok_or(malformed(what, start))?;
    if length < 0 {
        return if length == -1 {
            Ok(None)
        } else {
            Err(malformed(what, start))
        };
    }
    let bytes = record
        .get(*position..)
        .and_then(|rest| rest.get(..length as usize))
        .ok_or(malformed(what, start))?;
    *position += length as usize;
    Ok(Some(bytes))
}

#[inline(always)]
fn malformed(what: &'static str, position: usize) -> BatchError {
    BatchError::Malformed { what, position }
}
