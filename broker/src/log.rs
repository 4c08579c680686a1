//! The storage half of the broker: partition logs of record batches, in Kafka's formats.
//!
//! ```text
//! batch bytes --PartitionLog::append--> check (header, CRC, producer) --> one write, offset stamped on the way
//!                                                                                             |
//! batch bytes <--PartitionLog::read---- one pread <-- whole batches <-- sparse index <-- segment file
//! ```
//!
//! Reading order: [`batch`](BatchHeader) and `record`, the format; `builder`, writing it; `partition`, the log
//! itself; `producer_state`, retries and transactions; `segment` and its indexes, the files; `recovery`, what a
//! start does with them. No sockets, no clock, no threads: a log is a function of its state, the input and
//! the time it is given.

pub(crate) mod active_producers;
pub(crate) mod append;
mod batch;
pub(crate) mod builder;
mod checkpoint;
pub(crate) mod cleaner;
pub(crate) mod compression;
pub(crate) mod config;
mod epochs;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod flush;
mod index;
pub(crate) mod partition;
mod prepare;
mod producer_snapshot;
mod producer_state;
mod read;
mod record;
mod recovery;
mod retention;
mod segment;
mod slice;
mod transaction_index;
mod varint;

pub use active_producers::ActiveProducer;
pub use append::{AppendInfo, AppendOptions, AppendOrigin};
pub use batch::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, BatchView, Batches, Compression, MAGIC, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP,
};
pub use builder::{BatchBuilder, ControlType, MAX_BATCH_BYTES, ProducerStamp, transaction_marker};
pub use cleaner::CleanerConfig;
pub use compression::MAX_DECOMPRESSED_BATCH_BYTES;
pub use config::{CleanupPolicy, CompressionLevels, CompressionType, ConfigError, LogConfig, TimestampType};
pub use error::{AppendError, LogError, ReadError, RecordError};
pub use partition::PartitionLog;
pub use read::{FoundInfo, Isolation, ReadInfo};
pub use record::{Headers, RecordIter, RecordView};
pub use recovery::{RecoveryReport, TruncatedTail};
pub use slice::LogSlice;
pub use transaction_index::AbortedTransaction;

#[cfg(test)]
mod tests;
