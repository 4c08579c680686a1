//! Ordered byte stores for stream state: in memory and RocksDB.

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[error("placeholder")]
pub struct Error;
