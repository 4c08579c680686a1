//! Writing record batches: records go straight into one growing buffer behind space for the header,
//! and `finish` fills the header in and computes the checksum once. Apart from reading because only
//! producers need it. What is finished here passes the broker's own validation.

use bytes::Bytes;

use crate::log::batch::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, BatchError, CONTROL_FLAG, CRC_AT,
    LAST_OFFSET_DELTA_AT, LENGTH_AT, LOG_APPEND_TIME_FLAG, LOG_OVERHEAD_BYTES, MAGIC, MAGIC_AT,
    MAX_TIMESTAMP_AT, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, PRODUCER_EPOCH_AT, PRODUCER_ID_AT,
    RECORD_COUNT_AT, TRANSACTIONAL_FLAG, crc32c,
};
use crate::log::varint::{MAX_VARINT_BYTES, MAX_VARLONG_BYTES, varint_size, varlong_size};
use crate::log::varint::{write_varint, write_varlong};

/// The largest batch that can be built: lengths are 32 bits and positions in a segment too.
pub const MAX_BATCH_BYTES: usize = i32::MAX as usize / 2;

/// Who writes a batch: what an idempotent or transactional producer stamps on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Whether the batch belongs to the producer's open transaction.
    pub transactional: bool,
}

impl ProducerStamp {
    /// A producer that is not idempotent.
    pub const NONE: Self = Self {
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        base_sequence: NO_SEQUENCE,
        transactional: false,
    };
}

/// Builds uncompressed record batches, one after the other, in a buffer that keeps its size.
///
/// ```
/// use broker::log::{BatchBuilder, BatchView, ProducerStamp};
///
/// let mut builder = BatchBuilder::new();
/// builder.append(1_700_000_000_000, Some(b"k"), Some(b"v"), &[("trace", Some(b"7"))]).unwrap();
/// builder.append(1_700_000_000_005, None, None, &[]).unwrap();
/// let batch = builder.finish(ProducerStamp::NONE).unwrap();
/// assert_eq!(BatchView::parse(&batch).unwrap().header().record_count, 2);
/// assert!(builder.finish(ProducerStamp::NONE).is_none(), "nothing appended since");
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder; the buffer grows as needed.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty builder with room for `capacity_bytes`, header included.
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(capacity_bytes),
            record_count: 0,
            base_timestamp: 0,
            max_timestamp: i64::MIN,
        }
    }

    /// How many records wait in the batch.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes the batch would have if it were finished now.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len().max(BATCH_HEADER_BYTES)
    }

    /// The most bytes that one more record could add to the batch.
    pub fn size_upper_bound(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        let fixed = 5 * MAX_VARINT_BYTES + MAX_VARLONG_BYTES + 1;
        let headers: usize = headers
            .iter()
            .map(|(key, value)| 2 * MAX_VARINT_BYTES + key.len() + value.map_or(0, <[u8]>::len))
            .sum();
        fixed + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers
    }

    /// Adds a record and answers its offset delta. `None` is Kafka's null; the timestamp is in milliseconds.
    ///
    /// # Errors
    /// [`BatchError::Malformed`] if the batch would exceed [`MAX_BATCH_BYTES`]; the batch is unchanged.
    #[inline]
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<i32, BatchError> {
        let upper_bound = Self::size_upper_bound(key, value, headers);
        if self.buffer.len().saturating_add(upper_bound) > MAX_BATCH_BYTES {
            return Err(BatchError::Malformed {
                what: "a batch below the largest batch size",
                position: self.buffer.len(),
            });
        }
        if self.record_count == 0 {
            self.buffer.clear();
            self.buffer.resize(BATCH_HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let offset_delta = self.record_count;
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let key_length = nullable_length(key);
        let value_length = nullable_length(value);
        let header_count = headers.len() as i32;
        let mut body = 1
            + varlong_size(timestamp_delta)
            + varint_size(offset_delta)
            + varint_size(key_length)
            + key.map_or(0, <[u8]>::len)
            + varint_size(value_length)
            + value.map_or(0, <[u8]>::len)
            + varint_size(header_count);
        if !headers.is_empty() {
            body += headers_size(headers);
        }

        // All numbers before the key go through the stack and arrive in one copy.
        self.buffer.reserve(upper_bound);
        let mut front = [0; 3 * MAX_VARINT_BYTES + MAX_VARLONG_BYTES + 1];
        let mut end = write_varint(&mut front, 0, body as i32);
        end += 1; // attributes: none is in use
        end = write_varlong(&mut front, end, timestamp_delta);
        end = write_varint(&mut front, end, offset_delta);
        end = write_varint(&mut front, end, key_length);
        self.buffer.extend_from_slice(&front[..end]);
        self.buffer.extend_from_slice(key.unwrap_or_default());
        self.push_varint(value_length);
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.push_varint(header_count);
        for (key, value) in headers {
            self.push_varint(key.len() as i32);
            self.buffer.extend_from_slice(key.as_bytes());
            self.push_varint(nullable_length(*value));
            self.buffer.extend_from_slice(value.unwrap_or_default());
        }

        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.record_count += 1;
        Ok(offset_delta)
    }

    /// Completes the batch with base offset 0 and starts the next one; `None` if nothing was appended.
    pub fn finish(&mut self, stamp: ProducerStamp) -> Option<Bytes> {
        let attributes = if stamp.transactional {
            TRANSACTIONAL_FLAG
        } else {
            0
        };
        self.finish_with(stamp, attributes)
    }

    fn finish_with(&mut self, stamp: ProducerStamp, attributes: i16) -> Option<Bytes> {
        if self.is_empty() {
            return None;
        }
        let next = Vec::with_capacity(self.buffer.len());
        let mut batch = std::mem::replace(&mut self.buffer, next);
        let length = (batch.len() - LOG_OVERHEAD_BYTES) as i32;
        put(&mut batch, LENGTH_AT, length.to_be_bytes());
        batch[MAGIC_AT] = MAGIC as u8;
        put(&mut batch, ATTRIBUTES_AT, attributes.to_be_bytes());
        put(
            &mut batch,
            LAST_OFFSET_DELTA_AT,
            (self.record_count - 1).to_be_bytes(),
        );
        put(&mut batch, BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        put(&mut batch, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put(&mut batch, PRODUCER_ID_AT, stamp.producer_id.to_be_bytes());
        put(&mut batch, PRODUCER_EPOCH_AT, stamp.producer_epoch.to_be_bytes());
        put(&mut batch, BASE_SEQUENCE_AT, stamp.base_sequence.to_be_bytes());
        put(&mut batch, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        stamp_crc(&mut batch);
        self.record_count = 0;
        Some(Bytes::from(batch))
    }

    #[inline(always)]
    fn push_varint(&mut self, value: i32) {
        if (-64..64).contains(&value) {
            self.buffer.push(((value << 1) ^ (value >> 31)) as u8);
        } else {
            let mut number = [0; MAX_VARINT_BYTES];
            let end = write_varint(&mut number, 0, value);
            self.buffer.extend_from_slice(&number[..end]);
        }
    }
}

/// How a transaction ended, as its marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// The transaction's records are void.
    Abort,
    /// The transaction's records count.
    Commit,
}

impl ControlType {
    /// Reads the type out of a control record's key; `None` for control records that are no markers.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match key {
            [_, _, 0, 0, ..] => Some(Self::Abort),
            [_, _, 0, 1, ..] => Some(Self::Commit),
            _ => None,
        }
    }
}

/// Encodes a control batch: the marker that ends a transaction on one partition.
pub fn transaction_marker(
    producer_id: i64,
    producer_epoch: i16,
    control_type: ControlType,
    coordinator_epoch: i32,
    timestamp_ms: i64,
) -> Bytes {
    let kind: u8 = match control_type {
        ControlType::Abort => 0,
        ControlType::Commit => 1,
    };
    let mut value = [0; 6]; // version 0, then the coordinator's epoch
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::with_capacity(96);
    builder
        .append(timestamp_ms, Some(&[0, 0, 0, kind]), Some(&value), &[])
        .expect("a marker is far below the largest batch");
    let stamp = ProducerStamp {
        producer_id,
        producer_epoch,
        base_sequence: NO_SEQUENCE,
        transactional: true,
    };
    builder
        .finish_with(stamp, TRANSACTIONAL_FLAG | CONTROL_FLAG)
        .expect("one record was appended")
}

/// The coordinator epoch in the value of a marker's record.
pub(crate) fn marker_coordinator_epoch(value: &[u8]) -> Option<i32> {
    value
        .get(2..6)
        .and_then(|epoch| epoch.try_into().ok())
        .map(i32::from_be_bytes)
}

/// Turns a batch to LogAppendTime: all its records then have `now_ms`. Recomputes the checksum.
pub(crate) fn stamp_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    put(
        batch,
        ATTRIBUTES_AT,
        (attributes | LOG_APPEND_TIME_FLAG).to_be_bytes(),
    );
    put(batch, MAX_TIMESTAMP_AT, now_ms.to_be_bytes());
    stamp_crc(batch);
}

/// Overwrites a header field in place.
pub(crate) fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    batch[at..at + N].copy_from_slice(&field);
}

pub(crate) fn stamp_crc(batch: &mut [u8]) {
    let crc = crc32c(&batch[ATTRIBUTES_AT..]);
    put(batch, CRC_AT, crc.to_be_bytes());
}

#[inline(always)]
fn nullable_length(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |bytes| bytes.len() as i32)
}

fn headers_size(headers: &[(&str, Option<&[u8]>)]) -> usize {
    headers
        .iter()
        .map(|(key, value)| {
            varint_size(key.len() as i32)
                + key.len()
                + varint_size(nullable_length(*value))
                + value.map_or(0, <[u8]>::len)
        })
        .sum()
}
