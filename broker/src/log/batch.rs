//! Record batch v2 (magic 2), the one format of records on the wire and on disk: the fixed header, its
//! checks, and a walk over the batches of a buffer. Records inside a batch are in `record.rs`, writing
//! is in `builder.rs`. Nothing here trusts its input: any bytes give a value or a [`BatchError`].
//!
//! The base offset, the length, the leader epoch, the magic and the checksum itself are outside the
//! checksum, so that a leader assigns offsets in place without computing it again.

use crate::log::record::RecordIter;

/// Bytes of the fixed header, before the first record.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes of base offset and length, which `batch_length` does not count.
pub(crate) const LOG_OVERHEAD_BYTES: usize = 12;
/// The only record format this broker reads and writes.
pub const MAGIC: i8 = 2;
/// Producer id of a batch whose producer is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// Producer epoch of a batch whose producer is not idempotent.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// Base sequence of a batch without sequence numbers (not idempotent, or written by a coordinator).
pub const NO_SEQUENCE: i32 = -1;
/// Timestamp of a batch or record that has none.
pub const NO_TIMESTAMP: i64 = -1;

pub(crate) const OFFSET_AT: usize = 0;
pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const PRODUCER_ID_AT: usize = 43;
pub(crate) const PRODUCER_EPOCH_AT: usize = 51;
pub(crate) const BASE_SEQUENCE_AT: usize = 53;
pub(crate) const RECORD_COUNT_AT: usize = 57;

pub(crate) const COMPRESSION_MASK: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME_FLAG: i16 = 0x08;
pub(crate) const TRANSACTIONAL_FLAG: i16 = 0x10;
pub(crate) const CONTROL_FLAG: i16 = 0x20;
pub(crate) const DELETE_HORIZON_FLAG: i16 = 0x40;

/// Why bytes are not a record batch, or not one that can be read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The buffer ends before the batch does.
    #[error("incomplete record batch: {needed} bytes needed, {available} available")]
    Incomplete {
        /// Bytes the batch has by its header (or the header itself needs).
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The length field cannot be right.
    #[error("record batch length {0} is shorter than its header")]
    InvalidLength(i32),
    /// Another record format.
    #[error("record batch has magic {0}, only magic 2 is supported")]
    UnsupportedMagic(i8),
    /// The bytes changed since the producer wrote them.
    #[error("record batch CRC-32C is {computed:#010x}, its header says {stored:#010x}")]
    CrcMismatch {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A field contradicts another, or a record runs out of its bounds.
    #[error("malformed record batch: {what} at byte {position}")]
    Malformed {
        /// What was expected there.
        what: &'static str,
        /// Byte position in the batch (or in the decompressed records).
        position: usize,
    },
    /// The records are compressed with a codec that cannot be read.
    #[error("record batch is compressed with {0}, which cannot be decompressed here")]
    UnsupportedCompression(Compression),
    /// The compressed records are damaged.
    #[error("the {codec} records of a batch cannot be decompressed: {reason}")]
    Decompression {
        /// The codec.
        codec: Compression,
        /// What it says.
        reason: String,
    },
    /// The records grow too large.
    #[error("the records of a batch have more than {limit} bytes when decompressed")]
    DecompressedSize {
        /// The most they may have.
        limit: usize,
    },
}

/// The codec of the records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// Snappy, raw or in the framing of Java clients.
    Snappy,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
    /// A codec number that no Kafka version defines.
    Unknown(u8),
}

impl Compression {
    /// Its number in the attributes of a batch.
    pub(crate) fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
            Self::Unknown(id) => i16::from(id),
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip => f.write_str("gzip"),
            Self::Snappy => f.write_str("snappy"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd => f.write_str("zstd"),
            Self::Unknown(codec) => write!(f, "codec number {codec}"),
        }
    }
}

/// CRC-32C (Castagnoli), the checksum of record batches and producer snapshots.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The fixed header of a batch, decoded once; plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (0 in a produce request).
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    /// Epoch of the leader that wrote it.
    pub partition_leader_epoch: i32,
    /// CRC-32C of the bytes from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control and delete horizon bits.
    pub attributes: i16,
    /// Offset of the last record minus the base offset; stays when compaction removes records.
    pub last_offset_delta: i32,
    /// Timestamp that record deltas count from, in milliseconds.
    pub base_timestamp: i64,
    /// The largest timestamp of the records, in milliseconds.
    pub max_timestamp: i64,
    /// Idempotent producer, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// Its epoch, or [`NO_PRODUCER_EPOCH`].
    pub producer_epoch: i16,
    /// Sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// How many records there are; 0 for a batch that compaction emptied.
    pub record_count: i32,
}

impl BatchHeader {
    /// Decodes the header at the start of `bytes`. Checks magic and the smallest length, not the checksum
    /// and not whether the records are all there.
    ///
    /// # Errors
    /// [`BatchError::Incomplete`], [`BatchError::UnsupportedMagic`] or [`BatchError::InvalidLength`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::Incomplete {
                needed: BATCH_HEADER_BYTES,
                available: bytes.len(),
            });
        };
        let magic = header[MAGIC_AT] as i8;
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic(magic));
        }
        let batch_length = i32::from_be_bytes(field(header, LENGTH_AT));
        if batch_length < (BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return Err(BatchError::InvalidLength(batch_length));
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(field(header, OFFSET_AT)),
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(field(header, LEADER_EPOCH_AT)),
            crc: u32::from_be_bytes(field(header, CRC_AT)),
            attributes: i16::from_be_bytes(field(header, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(header, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(header, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT_AT)),
        })
    }

    /// Bytes of the whole batch, header included.
    pub fn size_bytes(&self) -> usize {
        // The length was checked to be positive when the header was decoded.
        self.batch_length as usize + LOG_OVERHEAD_BYTES
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset that follows the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// The codec of the records.
    pub fn compression(&self) -> Compression {
        match (self.attributes & COMPRESSION_MASK) as u8 {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            other => Compression::Unknown(other),
        }
    }

    /// Whether the broker set the timestamp: then every record has `max_timestamp`.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_FLAG != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_FLAG != 0
    }

    /// Whether the batch is a control batch (a transaction marker), which consumers skip.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_FLAG != 0
    }

    /// When the tombstones or the marker of this batch may be removed, if compaction has set that; it then stands in the place
    /// of the base timestamp, which the records count from all the same.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_FLAG != 0).then_some(self.base_timestamp)
    }

    /// Whether the producer is idempotent.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// Sequence number of the last record: wraps from 2147483647 to 0. [`NO_SEQUENCE`] if there is none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last & i64::from(i32::MAX)) as i32
    }
}

fn field<const N: usize>(header: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

/// One whole record batch, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the start of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`]; also [`BatchError::Incomplete`] if the batch is longer than `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let size = header.size_bytes();
        match bytes.get(..size) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(BatchError::Incomplete {
                needed: size,
                available: bytes.len(),
            }),
        }
    }

    /// The decoded header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Compares the checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::CrcMismatch`].
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch {
                stored: self.header.crc,
                computed,
            })
        }
    }

    /// The records. `scratch` receives them if they are compressed; otherwise they are read where they are.
    ///
    /// # Errors
    /// [`BatchError::UnsupportedCompression`], or one of the others if decompression fails.
    pub fn records<'b>(&self, scratch: &'b mut Vec<u8>) -> Result<RecordIter<'b>, BatchError>
    where
        'a: 'b,
    {
        // Compaction leaves batches without records, and nothing to decompress, behind.
        if self.header.compression() == Compression::None || self.header.record_count == 0 {
            return Ok(RecordIter::new(&self.header, self.bytes, BATCH_HEADER_BYTES));
        }
        crate::log::compression::decompress(
            self.header.compression(),
            &self.bytes[BATCH_HEADER_BYTES..],
            scratch,
        )?;
        Ok(RecordIter::new(&self.header, scratch, 0))
    }
}

/// The batches of a buffer, one after the other, as a fetch returns them.
///
/// ```
/// use broker::log::{BatchBuilder, Batches, ProducerStamp};
///
/// let mut builder = BatchBuilder::new();
/// builder.append(1_000, Some(b"key"), Some(b"value"), &[]).unwrap();
/// let bytes = builder.finish(ProducerStamp::NONE).unwrap();
/// let mut scratch = Vec::new();
/// for batch in Batches::new(&bytes) {
///     for record in batch.unwrap().records(&mut scratch).unwrap() {
///         assert_eq!(record.unwrap().value, Some(&b"value"[..]));
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// Walks `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchView::parse(self.rest);
        self.rest = match &batch {
            Ok(batch) => &self.rest[batch.bytes.len()..],
            Err(_) => &[],
        };
        Some(batch)
    }
}
