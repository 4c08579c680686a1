//! `RocksDbEngine`: what its stores share, and how a database is opened.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{Cache, LogLevel, Options, WriteBufferManager};

use super::errors::open_error;
use super::probe::Found;
use super::store::RocksDbStore;
use super::store_options::RocksDbStoreOptions;
use super::{DATA_COLUMN_FAMILY, Database, RocksDbOptions};
use crate::{Error, KeyValueStore, Layout, Result, StoreEngine, StoreSpec, metadata};

/// Opens stores in RocksDB, all with one block cache and one budget for write buffers. Cheap to clone.
///
/// ```
/// use state_store::{Layout, RocksDbEngine, RocksDbOptions, StoreEngine, StoreIdentity, StoreSpec, WriteBatch};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let engine = RocksDbEngine::new(RocksDbOptions::default());
/// let spec = StoreSpec::new(StoreIdentity::new("word-count", "0_3", "counts"), Layout::Plain);
/// let mut batch = WriteBatch::new();
/// batch.put(b"hello", b"1");
/// batch.set_changelog_offset(1);
/// engine.open(&spec, Some(directory.path()))?.write(&batch)?;
///
/// let store = engine.open(&spec, Some(directory.path()))?;
/// assert_eq!(store.get(b"hello")?, Some("1".into()));
/// assert_eq!(store.changelog_offset()?, Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RocksDbEngine {
    options: RocksDbOptions,
    block_cache: Cache,
    write_buffers: WriteBufferManager,
}

impl fmt::Debug for RocksDbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksDbEngine")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Default for RocksDbEngine {
    fn default() -> Self {
        Self::new(RocksDbOptions::default())
    }
}

impl StoreEngine for RocksDbEngine {
    fn open(&self, spec: &StoreSpec, directory: Option<&Path>) -> Result<Arc<dyn KeyValueStore>> {
        spec.validate()?;
        let Some(path) = directory else {
            return Err(Error::DirectoryRequired {
                store: spec.identity.store_name.clone(),
            });
        };
        Ok(Arc::new(self.open_as(spec, path, metadata::FORMAT_VERSION)?))
    }
}

impl RocksDbEngine {
    /// An engine with these limits.
    pub fn new(options: RocksDbOptions) -> Self {
        let block_cache = Cache::new_lru_cache(options.block_cache_bytes);
        let stall = false;
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager(options.total_write_buffer_bytes, stall);
        Self {
            options,
            block_cache,
            write_buffers,
        }
    }

    pub(super) fn open_as(&self, spec: &StoreSpec, path: &Path, format: u32) -> Result<RocksDbStore> {
        let of_store = &self.options.per_store;
        let of_store = of_store.options_of(&spec.identity.store_name, &self.options)?;
        let Found { mut families, signed } = self.probe(spec, path)?;
        let mut options = self.database_options(&of_store);
        options.create_if_missing(families.is_empty());
        options.create_missing_column_families(true);

        let rows_options = of_store.column_family_options(&self.block_cache);
        families.retain(|name| name != rocksdb::DEFAULT_COLUMN_FAMILY_NAME);
        let needed = [metadata::COLUMN_FAMILY, DATA_COLUMN_FAMILY];
        for name in &needed[..if spec.layout == Layout::Plain { 2 } else { 1 }] {
            if !families.iter().any(|other| other == name) {
                families.push((*name).to_owned());
            }
        }
        families.push(rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned());
        let with_options = families.iter().map(|name| (name, rows_options.clone()));
        let database = Database::open_cf_with_opts(&options, path, with_options)
            .map_err(|error| open_error(path, error))?;

        let store = RocksDbStore::new(spec, path, database, rows_options);
        if !signed {
            store.write_metadata(&metadata::rows(spec, format))?;
        }
        // Opening has begun a new manifest, and every batch notes how far it has come: begin with an empty one.
        store.write_rows(rocksdb::WriteBatch::default(), "write")?;
        store.load_parts(&families)?;
        Ok(store)
    }

    /// What holds for a store of which nothing is said.
    pub(super) fn options_of_all(&self) -> RocksDbStoreOptions {
        RocksDbStoreOptions::new(&self.options)
    }

    pub(super) fn database_options(&self, of_store: &RocksDbStoreOptions) -> Options {
        let mut options = Options::default();
        options.set_max_open_files(of_store.max_open_files);
        options.set_max_background_jobs(self.options.max_background_jobs);
        options.set_max_total_wal_size(of_store.max_wal_bytes);
        options.set_write_buffer_manager(&self.write_buffers);
        // Rows and the offset they correspond to go to files in the same moment: see metadata::MANIFEST.
        options.set_atomic_flush(true);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(1);
        options.set_max_log_file_size(self.options.max_log_file_bytes);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        // By default sixteen threads start and end for every column family that is opened.
        options.set_max_file_opening_threads(1);
        options
    }
}
