//! The RocksDB engine. Nothing outside of this folder names RocksDB.
//!
//! ```text
//!   <directory>/             one database per store
//!     data                   column family with the rows of a plain store, or
//!     segment.<start ms>     one column family per segment: a batch over several segments is still one atomic batch,
//!                            and an expired segment goes without a scan
//!     offsets                column family with what metadata.rs describes
//! ```
//!
//! Writes go through the write-ahead log without a sync: a killed process loses nothing, a crashed machine loses at most
//! what was written since the last flush, from the end backwards and across all column families alike. Before a directory
//! is opened for writing it is probed read-only, so that a foreign or newer store stays exactly as it is.

mod engine;
mod errors;
mod files;
mod options;
mod parts;
mod probe;
mod rows;
mod store;
mod store_options;
#[cfg(test)]
mod tests;

use rocksdb::{DBWithThreadMode, MultiThreaded};

pub use self::engine::RocksDbEngine;
pub use self::options::RocksDbOptions;
pub use self::store_options::{RocksDbCompaction, RocksDbStoreOptions};

type Database = DBWithThreadMode<MultiThreaded>;

const DATA_COLUMN_FAMILY: &str = "data";
