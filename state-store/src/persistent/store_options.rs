//! What can be set of RocksDB for one store, and who says so.

use std::fmt;
use std::sync::Arc;

use rocksdb::{BlockBasedOptions, Cache, DBCompactionStyle, Options};

use super::RocksDbOptions;
use crate::{Error, Result};

/// Settings of RocksDB for one store: what [`RocksDbOptions::per_store`] is given and gives back. Sizes in bytes.
///
/// A store is one database: of each task, one. What is said of a file or a write buffer holds for each segment of a store with
/// segments. Every setting may differ from one start to the next, on the store that is there.
///
/// What would break what stores promise cannot be set: the write-ahead log is on, rows and the offset they correspond to are
/// flushed together, keys are ordered as their bytes, nothing merges, filters or expires rows behind the changelog's back (so there
/// are no comparators, merge operators, compaction filters, no compaction by age that deletes files). Compression is not offered
/// since RocksDB is built without any codec.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RocksDbStoreOptions {
    /// Rows in memory before they are written to a file. Default: [`RocksDbOptions::write_buffer_bytes`]. How much all stores have
    /// together is [`RocksDbOptions::total_write_buffer_bytes`], whatever is said here.
    pub write_buffer_bytes: usize,
    /// Write buffers, with those that are being written to files; when all are full, writes wait. At least 2. Default 2.
    pub write_buffers: i32,
    /// A block cache of the store's own, in each task, instead of a share of the one of
    /// [`block_cache_bytes`](RocksDbOptions::block_cache_bytes). Default: none of its own.
    pub own_block_cache_bytes: Option<usize>,
    /// What is read from a file at once, about. Larger ones are fewer, with a smaller index, and dearer to read a single row from.
    /// Default 4 KiB.
    pub block_bytes: usize,
    /// Bits per key of the bloom filters; 0 for none. Default: [`RocksDbOptions::bloom_bits_per_key`].
    pub bloom_bits_per_key: f64,
    /// No filters for the oldest rows, which are most: for stores that are hardly ever asked for keys that are not there.
    /// Default: false.
    pub filters_for_hits: bool,
    /// Open files. Default: [`RocksDbOptions::max_open_files`].
    pub max_open_files: i32,
    /// The write-ahead log. Default: [`RocksDbOptions::max_wal_bytes`].
    pub max_wal_bytes: u64,
    /// How files are merged. Default: by levels.
    pub compaction: RocksDbCompaction,
    /// New files that are waited for before they are merged. Default 4.
    pub level_0_files: i32,
    /// The first level of merged files; each further one is ten times as large. Default 256 MiB.
    pub level_bytes: u64,
    /// A merged file, about. Default 64 MiB.
    pub file_bytes: u64,
}

/// How a store's files are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RocksDbCompaction {
    /// By levels: less disk, and fewer files to read.
    Level,
    /// Files of like size: less is written over and over, and up to twice the disk is needed. What Kafka Streams sets.
    Universal,
}

impl RocksDbStoreOptions {
    /// What holds for a store of which nothing else is said.
    pub(super) fn new(all: &RocksDbOptions) -> Self {
        Self {
            write_buffer_bytes: all.write_buffer_bytes,
            write_buffers: 2,
            own_block_cache_bytes: None,
            block_bytes: 4 << 10,
            bloom_bits_per_key: all.bloom_bits_per_key,
            filters_for_hits: false,
            max_open_files: all.max_open_files,
            max_wal_bytes: all.max_wal_bytes,
            compaction: RocksDbCompaction::Level,
            level_0_files: 4,
            level_bytes: 256 << 20,
            file_bytes: 64 << 20,
        }
    }

    /// Sets how much is in memory before it is written to a file.
    #[must_use]
    pub fn write_buffer_bytes(mut self, bytes: usize) -> Self {
        self.write_buffer_bytes = bytes;
        self
    }

    /// Sets how many write buffers there are.
    #[must_use]
    pub fn write_buffers(mut self, buffers: i32) -> Self {
        self.write_buffers = buffers;
        self
    }

    /// Gives the store, in each task, a block cache of its own.
    #[must_use]
    pub fn own_block_cache_bytes(mut self, bytes: usize) -> Self {
        self.own_block_cache_bytes = Some(bytes);
        self
    }

    /// Sets how much is read from a file at once.
    #[must_use]
    pub fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes;
        self
    }

    /// Sets how large bloom filters are; 0 for none.
    #[must_use]
    pub fn bloom_bits_per_key(mut self, bits: f64) -> Self {
        self.bloom_bits_per_key = bits;
        self
    }

    /// Leaves out the filters that tell only what is not there at all.
    #[must_use]
    pub fn filters_for_hits(mut self, for_hits: bool) -> Self {
        self.filters_for_hits = for_hits;
        self
    }

    /// Sets how many files are open.
    #[must_use]
    pub fn max_open_files(mut self, files: i32) -> Self {
        self.max_open_files = files;
        self
    }

    /// Sets how large the write-ahead log becomes.
    #[must_use]
    pub fn max_wal_bytes(mut self, bytes: u64) -> Self {
        self.max_wal_bytes = bytes;
        self
    }

    /// Sets how files are merged.
    #[must_use]
    pub fn compaction(mut self, compaction: RocksDbCompaction) -> Self {
        self.compaction = compaction;
        self
    }

    /// Sets how many new files there are before they are merged.
    #[must_use]
    pub fn level_0_files(mut self, files: i32) -> Self {
        self.level_0_files = files;
        self
    }

    /// Sets how large the first level of merged files is.
    #[must_use]
    pub fn level_bytes(mut self, bytes: u64) -> Self {
        self.level_bytes = bytes;
        self
    }

    /// Sets how large merged files are.
    #[must_use]
    pub fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// That nothing is zero or less that cannot be.
    fn check(&self, all: &RocksDbOptions) -> std::result::Result<(), String> {
        let least = [
            ("write_buffer_bytes", self.write_buffer_bytes as u64, 1),
            ("write_buffers", u64::try_from(self.write_buffers).unwrap_or(0), 2),
            (
                "own_block_cache_bytes",
                self.own_block_cache_bytes.map_or(1, |bytes| bytes as u64),
                1,
            ),
            ("block_bytes", self.block_bytes as u64, 1),
            ("max_wal_bytes", self.max_wal_bytes, 1),
            ("level_0_files", u64::try_from(self.level_0_files).unwrap_or(0), 1),
            ("level_bytes", self.level_bytes, 1),
            ("file_bytes", self.file_bytes, 1),
        ];
        if let Some((name, _, least)) = least.iter().find(|(_, value, least)| value < least) {
            return Err(format!("its {name} of RocksDB is less than {least}"));
        }
        if self.bloom_bits_per_key.is_nan() || self.bloom_bits_per_key < 0.0 {
            return Err("its bloom_bits_per_key of RocksDB is negative: 0 is for no filters".to_owned());
        }
        if self.write_buffer_bytes > all.total_write_buffer_bytes {
            return Err(format!(
                "its write_buffer_bytes of RocksDB ({}) is more than total_write_buffer_bytes ({}), which is for all stores",
                self.write_buffer_bytes, all.total_write_buffer_bytes
            ));
        }
        Ok(())
    }

    /// For each of a store's column families.
    pub(super) fn column_family_options(&self, shared_cache: &Cache) -> Options {
        let mut table = BlockBasedOptions::default();
        match self.own_block_cache_bytes {
            Some(bytes) => table.set_block_cache(&Cache::new_lru_cache(bytes)),
            None => table.set_block_cache(shared_cache),
        }
        table.set_block_size(self.block_bytes);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if self.bloom_bits_per_key > 0.0 {
            table.set_bloom_filter(self.bloom_bits_per_key, false);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_max_write_buffer_number(self.write_buffers);
        options.set_optimize_filters_for_hits(self.filters_for_hits);
        options.set_compaction_style(match self.compaction {
            RocksDbCompaction::Level => DBCompactionStyle::Level,
            RocksDbCompaction::Universal => DBCompactionStyle::Universal,
        });
        options.set_level_zero_file_num_compaction_trigger(self.level_0_files);
        options.set_max_bytes_for_level_base(self.level_bytes);
        options.set_target_file_size_base(self.file_bytes);
        options.set_compression_type(rocksdb::DBCompressionType::None);
        options
    }
}

/// Says what is set for each store.
pub(super) type SetOptions = dyn Fn(&str, RocksDbStoreOptions) -> RocksDbStoreOptions + Send + Sync;

/// Who says it, if anybody does.
#[derive(Clone, Default)]
pub(super) struct PerStore(pub(super) Option<Arc<SetOptions>>);

impl PerStore {
    /// What is set for a store.
    pub(super) fn options_of(&self, store: &str, all: &RocksDbOptions) -> Result<RocksDbStoreOptions> {
        let options = RocksDbStoreOptions::new(all);
        let options = match &self.0 {
            Some(set) => set(store, options),
            None => options,
        };
        match options.check(all) {
            Ok(()) => Ok(options),
            Err(reason) => Err(Error::InvalidSpec {
                store: store.to_owned(),
                reason,
            }),
        }
    }
}

/// Functions are equal if they are the same one.
impl PartialEq for PerStore {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for PerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a function" } else { "none" })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::persistent::RocksDbEngine;
    use crate::{KeySchema, KeyValueStore, Layout, StoreEngine, StoreIdentity, StoreSpec, WriteBatch};

    fn spec(store: &str, layout: Layout) -> StoreSpec {
        StoreSpec::new(StoreIdentity::new("app", "0_0", store), layout)
    }

    fn open(options: &RocksDbOptions, spec: &StoreSpec, path: &Path) -> Result<Arc<dyn KeyValueStore>> {
        RocksDbEngine::new(options.clone()).open(spec, Some(path))
    }

    /// What RocksDB writes down of what a store was opened with.
    fn written(path: &Path) -> String {
        let names = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
        let options = names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("OPTIONS"));
        std::fs::read_to_string(options.max().unwrap()).unwrap()
    }

    #[test]
    fn each_store_has_what_is_said_of_it() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let names = Arc::clone(&asked);
        let options = RocksDbOptions::default().per_store(move |store, options| {
            names.lock().unwrap().push(store.to_owned());
            match store {
                "clicks" => options
                    .write_buffer_bytes(1 << 20)
                    .write_buffers(5)
                    .own_block_cache_bytes(1 << 20)
                    .block_bytes(16 << 10)
                    .bloom_bits_per_key(0.0)
                    .max_wal_bytes(1 << 20)
                    .max_open_files(37)
                    .level_0_files(7)
                    .level_bytes(9 << 20)
                    .file_bytes(3 << 20)
                    .compaction(RocksDbCompaction::Universal),
                _ => options,
            }
        });
        let directory = tempfile::tempdir().unwrap();
        for store in ["clicks", "counts"] {
            let path = directory.path().join(store);
            open(&options, &spec(store, Layout::Plain), &path).unwrap();
            let written = written(&path);
            for set in [
                "write_buffer_size=1048576",
                "max_write_buffer_number=5",
                "block_size=16384",
                "filter_policy=nullptr",
                "max_total_wal_size=1048576",
                "max_open_files=37",
                "level0_file_num_compaction_trigger=7",
                "max_bytes_for_level_base=9437184",
                "target_file_size_base=3145728",
                "compaction_style=kCompactionStyleUniversal",
            ] {
                assert_eq!(written.contains(set), store == "clicks", "{set} of {store}");
            }
            assert!(written.contains("atomic_flush=true"), "{store}");
        }
        assert_eq!(*asked.lock().unwrap(), ["clicks", "counts"]);
    }

    #[test]
    fn a_store_opens_with_other_settings_than_before() {
        let many_files = |set: fn(RocksDbStoreOptions) -> RocksDbStoreOptions| {
            RocksDbOptions::default().per_store(move |_, options| {
                set(options
                    .write_buffer_bytes(16 << 10)
                    .level_0_files(2)
                    .file_bytes(32 << 10))
            })
        };
        let settings = [
            many_files(|options| options),
            many_files(|options| options.compaction(RocksDbCompaction::Universal)),
            many_files(|options| options.bloom_bits_per_key(0.0).block_bytes(1 << 10)),
            many_files(|options| options.filters_for_hits(true).own_block_cache_bytes(1 << 20)),
        ];
        for layout in [Layout::Plain, Layout::segmented(1 << 40, KeySchema::Window)] {
            let directory = tempfile::tempdir().unwrap();
            let spec = spec("counts", layout);
            let mut rows = 0_u32;
            for options in settings.iter().chain(&settings) {
                let store = open(options, &spec, directory.path()).unwrap();
                for _ in 0..20 {
                    let mut batch = WriteBatch::new();
                    for _ in 0..200 {
                        let row = crate::key_schema::WindowKey {
                            key: &rows.wrapping_mul(2_654_435_761).to_be_bytes(),
                            start_ms: 0,
                            sequence: 0,
                        };
                        batch.put(&row.encode(), &[7; 40]);
                        rows += 1;
                    }
                    store.write(&batch).unwrap();
                }
                assert_eq!(
                    store.all(crate::Direction::Forward).unwrap().count(),
                    rows as usize
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_keeps_the_store_shut_and_names_it() {
        let directory = tempfile::tempdir().unwrap();
        type Set = fn(RocksDbStoreOptions) -> RocksDbStoreOptions;
        let cases: [(Set, &str); 4] = [
            (
                |options| options.write_buffers(1),
                "its write_buffers of RocksDB is less than 2",
            ),
            (
                |options| options.own_block_cache_bytes(0),
                "own_block_cache_bytes",
            ),
            (
                |options| options.bloom_bits_per_key(-1.0),
                "bloom_bits_per_key of RocksDB is negative",
            ),
            (
                |options| options.write_buffer_bytes(1 << 30),
                "total_write_buffer_bytes",
            ),
        ];
        for (set, said) in cases {
            let options = RocksDbOptions::default().per_store(move |_, options| set(options));
            let error = open(&options, &spec("counts", Layout::Plain), directory.path()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("counts") && error.contains(said), "{error}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
