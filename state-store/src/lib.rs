//! Ordered byte stores for stream state: in memory and RocksDB.
