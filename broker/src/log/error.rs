//! What can go wrong with a partition log, each error naming the place and what was expected. The
//! variants of [`AppendError`] and [`ReadError`] stand for one Kafka error code each, so that the handler
//! answers a client without interpreting anything.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::batch::BatchError;

/// A log could not be opened, flushed or changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A segment is damaged where records that were stored completely follow: nothing was changed.
    #[error(
        "corrupt segment {path} at byte {position} (offset {offset}): {reason}. Nothing was changed. \
         Restore the file from a copy, or give up the records from offset {offset} on: cut the file to \
         {position} bytes (truncate -s {position}), delete the later segments and log-checkpoint in this \
         folder, and start again"
    )]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// Where the first bad batch starts.
        position: u64,
        /// The offset expected there.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The log was deleted, closed, or gave up after a write that could not be taken back.
    #[error("partition {partition} takes no requests: {reason}")]
    Unavailable {
        /// Topic and partition.
        partition: Arc<str>,
        /// Why.
        reason: &'static str,
    },
    /// A configuration value cannot be used.
    #[error(transparent)]
    Config(#[from] crate::log::config::ConfigError),
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// A record that was refused, by its position in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Index of the record in its batch.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why a batch was not appended; nothing was written then. One variant per Kafka error code.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// 2 CORRUPT_MESSAGE.
    #[error("corrupt batch for {partition}: {reason}")]
    CorruptMessage {
        /// Topic and partition.
        partition: Arc<str>,
        /// What does not fit.
        reason: BatchError,
    },
    /// 10 MESSAGE_TOO_LARGE.
    #[error("batch of {size} bytes for {partition} is larger than max.message.bytes ({limit})")]
    MessageTooLarge {
        /// Topic and partition.
        partition: Arc<str>,
        /// Bytes of the batch.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// 18 RECORD_LIST_TOO_LARGE.
    #[error("batch of {size} bytes for {partition} is larger than segment.bytes ({limit})")]
    RecordListTooLarge {
        /// Topic and partition.
        partition: Arc<str>,
        /// Bytes of the batch.
        size: usize,
        /// The limit.
        limit: u64,
    },
    /// 32 INVALID_TIMESTAMP.
    #[error("timestamp {timestamp} for {partition} is out of range: {limit} at broker time {now_ms}")]
    InvalidTimestamp {
        /// Topic and partition.
        partition: Arc<str>,
        /// The offending timestamp in milliseconds.
        timestamp: i64,
        /// Which limit, as configured.
        limit: String,
        /// The broker's time in milliseconds.
        now_ms: i64,
    },
    /// 45 OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "out of order sequence for {partition}: producer {producer_id} epoch {producer_epoch} sent \
         sequence {got}, expected {expected}"
    )]
    OutOfOrderSequence {
        /// Topic and partition.
        partition: Arc<str>,
        /// The producer.
        producer_id: i64,
        /// The producer's epoch.
        producer_epoch: i16,
        /// The sequence that would follow what is stored.
        expected: i32,
        /// The first sequence of the batch.
        got: i32,
    },
    /// 47 INVALID_PRODUCER_EPOCH: a newer instance of the producer took over.
    #[error("producer {producer_id} epoch {got} is fenced on {partition}: epoch {current} was already seen")]
    InvalidProducerEpoch {
        /// Topic and partition.
        partition: Arc<str>,
        /// The producer.
        producer_id: i64,
        /// The epoch of the batch.
        got: i16,
        /// The epoch stored.
        current: i16,
    },
    /// 48 INVALID_TXN_STATE.
    #[error("producer {producer_id} epoch {producer_epoch} on {partition}: {reason}")]
    InvalidTxnState {
        /// Topic and partition.
        partition: Arc<str>,
        /// The producer.
        producer_id: i64,
        /// The producer's epoch.
        producer_epoch: i16,
        /// What the transaction's state forbids.
        reason: &'static str,
    },
    /// 52 TRANSACTION_COORDINATOR_FENCED: a marker of an older coordinator.
    #[error(
        "marker for producer {producer_id} on {partition} comes from coordinator epoch {got}, epoch \
         {current} was already seen"
    )]
    TransactionCoordinatorFenced {
        /// Topic and partition.
        partition: Arc<str>,
        /// The producer.
        producer_id: i64,
        /// The coordinator epoch of the marker.
        got: i32,
        /// The coordinator epoch stored.
        current: i32,
    },
    /// 87 INVALID_RECORD.
    #[error("invalid batch for {partition}: {reason}")]
    InvalidRecord {
        /// Topic and partition.
        partition: Arc<str>,
        /// What is wrong with the batch.
        reason: String,
        /// The offending records, if single ones are to blame.
        record_errors: Vec<RecordError>,
    },
    /// 56 KAFKA_STORAGE_ERROR.
    #[error(transparent)]
    Storage(#[from] LogError),
}

impl AppendError {
    /// The number of the Kafka error that a client gets.
    pub fn error_code(&self) -> i16 {
        match self {
            Self::CorruptMessage { .. } => 2,
            Self::MessageTooLarge { .. } => 10,
            Self::RecordListTooLarge { .. } => 18,
            Self::InvalidTimestamp { .. } => 32,
            Self::OutOfOrderSequence { .. } => 45,
            Self::InvalidProducerEpoch { .. } => 47,
            Self::InvalidTxnState { .. } => 48,
            Self::TransactionCoordinatorFenced { .. } => 52,
            Self::Storage(_) => 56,
            Self::InvalidRecord { .. } => 87,
        }
    }
}

/// Why nothing could be read (or deleted) at an offset.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// 1 OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} of {partition} is outside of its log, {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// Topic and partition.
        partition: Arc<str>,
        /// The offset asked for.
        offset: i64,
        /// The first offset that can be read.
        log_start_offset: i64,
        /// The offset behind the last.
        log_end_offset: i64,
    },
    /// 44 POLICY_VIOLATION: records of a compacted topic cannot be deleted by offset.
    #[error("records of {partition} cannot be deleted: its cleanup.policy does not contain delete")]
    PolicyViolation {
        /// Topic and partition.
        partition: Arc<str>,
    },
    /// 2 CORRUPT_MESSAGE: what was stored cannot be decoded (or decompressed) here.
    #[error("cannot decode the batch at offset {offset} of {partition}: {reason}")]
    Undecodable {
        /// Topic and partition.
        partition: Arc<str>,
        /// Base offset of the batch, or the offset looked for.
        offset: i64,
        /// Why.
        reason: BatchError,
    },
    /// 56 KAFKA_STORAGE_ERROR.
    #[error(transparent)]
    Storage(#[from] LogError),
}

impl ReadError {
    /// The number of the Kafka error that a client gets.
    pub fn error_code(&self) -> i16 {
        match self {
            Self::OffsetOutOfRange { .. } => 1,
            Self::Undecodable { .. } => 2,
            Self::PolicyViolation { .. } => 44,
            Self::Storage(_) => 56,
        }
    }
}
