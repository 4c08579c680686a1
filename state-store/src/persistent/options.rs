//! The limits of the RocksDB engine.

use std::sync::Arc;

use super::store_options::{PerStore, RocksDbStoreOptions};

/// The limits of a [`RocksDbEngine`](super::RocksDbEngine). Sizes in bytes; cache and total write buffers are shared by all its stores.
///
/// Files are not compressed, as by default in Kafka Streams; there is no setting for it, since RocksDB is built without any codec.
/// What single stores have of their own is said with [`per_store`](Self::per_store).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RocksDbOptions {
    /// Blocks read from disk, with their indexes and filters, over all stores. Default 32 MiB.
    pub block_cache_bytes: usize,
    /// Rows in memory before one store (or segment) writes them to a file. Default 8 MiB.
    pub write_buffer_bytes: usize,
    /// Rows in memory over all stores; beyond it files are written early. Default 64 MiB.
    pub total_write_buffer_bytes: usize,
    /// The write-ahead log of one store; beyond it the oldest rows in memory are written to a file. Bounds how much is
    /// replayed when a store is opened. Default 32 MiB.
    pub max_wal_bytes: u64,
    /// Open files per store. Default 128.
    pub max_open_files: i32,
    /// Threads that write and compact files, over all stores of the process. Default 2.
    pub max_background_jobs: i32,
    /// Bits per key of the bloom filters, with about one false hit in a hundred lookups. Default 10.
    pub bloom_bits_per_key: f64,
    /// RocksDB's own log per store, in which only warnings are written. Default 1 MiB.
    pub max_log_file_bytes: usize,
    /// What stores have of their own.
    pub(super) per_store: PerStore,
}

impl Default for RocksDbOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 32 << 20,
            write_buffer_bytes: 8 << 20,
            total_write_buffer_bytes: 64 << 20,
            max_wal_bytes: 32 << 20,
            max_open_files: 128,
            max_background_jobs: 2,
            bloom_bits_per_key: 10.0,
            max_log_file_bytes: 1 << 20,
            per_store: PerStore::default(),
        }
    }
}

impl RocksDbOptions {
    /// Sets how much is kept of what was read from disk, over all stores.
    #[must_use]
    pub fn block_cache_bytes(mut self, bytes: usize) -> Self {
        self.block_cache_bytes = bytes;
        self
    }

    /// Sets how much one store (or segment) has in memory before it is written to a file.
    #[must_use]
    pub fn write_buffer_bytes(mut self, bytes: usize) -> Self {
        self.write_buffer_bytes = bytes;
        self
    }

    /// Sets how much all stores have in memory before files are written early.
    #[must_use]
    pub fn total_write_buffer_bytes(mut self, bytes: usize) -> Self {
        self.total_write_buffer_bytes = bytes;
        self
    }

    /// Sets how many files one store has open.
    #[must_use]
    pub fn max_open_files(mut self, files: i32) -> Self {
        self.max_open_files = files;
        self
    }

    /// Sets how many threads write and compact files, over all stores of the process.
    #[must_use]
    pub fn max_background_jobs(mut self, threads: i32) -> Self {
        self.max_background_jobs = threads;
        self
    }

    /// Sets who says what single stores have of their own (Kafka's `rocksdb.config.setter`). The function is given the name of a
    /// store and what holds for all, and gives back what is to hold for this one; it is asked whenever the store is opened, in
    /// each task, also for global stores. What cannot be keeps the store from being opened, with its name in the error. Default:
    /// nobody.
    ///
    /// ```
    /// use state_store::{RocksDbCompaction, RocksDbOptions};
    ///
    /// let options = RocksDbOptions::default().per_store(|store, options| match store {
    ///     // Large, and asked for keys that are there.
    ///     "customers" => options.block_bytes(16 << 10).filters_for_hits(true).own_block_cache_bytes(64 << 20),
    ///     // Written all the time.
    ///     "clicks" => options.write_buffers(4).compaction(RocksDbCompaction::Universal),
    ///     _ => options,
    /// });
    /// assert!(options.check().is_ok());
    /// ```
    #[must_use]
    pub fn per_store(
        mut self,
        set: impl Fn(&str, RocksDbStoreOptions) -> RocksDbStoreOptions + Send + Sync + 'static,
    ) -> Self {
        self.per_store = PerStore(Some(Arc::new(set)));
        self
    }

    /// That nothing is zero or less that cannot be. What RocksDB itself makes of other numbers is its own.
    ///
    /// # Errors
    /// A sentence that names the first setting that cannot be.
    pub fn check(&self) -> Result<(), String> {
        let sizes = [
            ("block_cache_bytes", self.block_cache_bytes),
            ("write_buffer_bytes", self.write_buffer_bytes),
            ("total_write_buffer_bytes", self.total_write_buffer_bytes),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, bytes)| *bytes == 0) {
            return Err(format!("{name} of RocksDB is 0: give it some memory"));
        }
        if self.write_buffer_bytes > self.total_write_buffer_bytes {
            return Err(format!(
                "write_buffer_bytes of RocksDB ({}) is more than total_write_buffer_bytes ({}): one store would have more than all",
                self.write_buffer_bytes, self.total_write_buffer_bytes
            ));
        }
        if self.max_background_jobs < 1 {
            return Err(
                "max_background_jobs of RocksDB is less than 1: files would never be written".to_owned(),
            );
        }
        Ok(())
    }
}
