//! The RocksDB engine, and the only file that names RocksDB.
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

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{fmt, io};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, DBCompressionType, DBRawIteratorWithThreadMode,
    DBWithThreadMode, ErrorKind, LogLevel, MultiThreaded, Options, ReadOptions, WriteBufferManager,
    WriteOptions,
};

use self::files::{Files, manifest};
use crate::segments::{self, PLAIN_PART, PartId, Router};
use crate::store::KeyRange;
use crate::{
    Direction, Error, KeyValueIter, KeyValueStore, Layout, Result, StoreEngine, StoreSpec, WriteBatch,
    metadata,
};

mod files;
#[cfg(test)]
mod tests;

type Database = DBWithThreadMode<MultiThreaded>;
type RawIterator<'a> = DBRawIteratorWithThreadMode<'a, Database>;

const DATA_COLUMN_FAMILY: &str = "data";
const SEGMENT_COLUMN_FAMILY_PREFIX: &str = "segment.";
/// How often a probe is tried: the files of a store that is open elsewhere can change under it.
const PROBE_ATTEMPTS: u32 = 3;

/// The limits of a [`RocksDbEngine`]. Sizes in bytes; cache and total write buffers are shared by all its stores.
///
/// Files are not compressed, as by default in Kafka Streams; there is no setting for it, since RocksDB is built without any codec.
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

    /// That nothing is zero or less that cannot be. What RocksDB itself makes of other numbers is its own.
    ///
    /// # Errors
    /// A sentence that names the first setting that cannot be.
    pub fn check(&self) -> std::result::Result<(), String> {
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

    fn open_as(&self, spec: &StoreSpec, path: &Path, format: u32) -> Result<RocksDbStore> {
        let Found { mut families, signed } = self.probe(spec, path)?;
        let mut options = self.database_options();
        options.create_if_missing(families.is_empty());
        options.create_missing_column_families(true);

        let rows_options = self.column_family_options();
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

        let store = RocksDbStore {
            name: spec.identity.store_name.clone(),
            path: path.into(),
            router: Router::new(spec),
            segment_interval_ms: match spec.layout {
                Layout::Plain => None,
                Layout::Segmented {
                    segment_interval_ms, ..
                } => Some(segment_interval_ms),
            },
            parts: RwLock::new(Parts {
                names: BTreeMap::new(),
                first_alive: PartId::MIN,
            }),
            rows_options,
            database: Arc::new(database),
            gate: RwLock::new(()),
        };
        if !signed {
            store.write_metadata(&metadata::rows(spec, format))?;
        }
        // Opening has begun a new manifest, and every batch notes how far it has come: begin with an empty one.
        store.write_rows(rocksdb::WriteBatch::default(), "write")?;
        store.load_parts(&families)?;
        Ok(store)
    }

    /// Looks at a directory without writing to it, and checks that the store there is the one that is wanted.
    fn probe(&self, spec: &StoreSpec, path: &Path) -> Result<Found> {
        if !Files::in_directory(path)?.is_database(path)? {
            return Ok(Found {
                families: Vec::new(),
                signed: false,
            });
        }
        let mut attempt = 1;
        loop {
            match self.probe_once(spec, path) {
                Err(Error::Corrupt { .. }) if attempt < PROBE_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn probe_once(&self, spec: &StoreSpec, path: &Path) -> Result<Found> {
        let options = self.database_options();
        let failed = |error| open_error(path, error);
        let families = Database::list_cf(&options, path).map_err(failed)?;
        let has_metadata = families.iter().any(|name| name == metadata::COLUMN_FAMILY);
        let wanted = [rocksdb::DEFAULT_COLUMN_FAMILY_NAME, metadata::COLUMN_FAMILY];
        let wanted = &wanted[..if has_metadata { 2 } else { 1 }];
        let database = Database::open_cf_for_read_only(&options, path, wanted, false).map_err(failed)?;
        let read = |row: &'static [u8]| match database.cf_handle(metadata::COLUMN_FAMILY) {
            Some(family) => database.get_cf(&family, row).map_err(failed),
            None => Ok(None),
        };
        let files = Files::in_directory(path)?;
        if !has_metadata && files.had_metadata {
            let detail = "its MANIFEST file has forgotten the metadata".into();
            return Err(Error::Corrupt {
                path: path.into(),
                detail,
            });
        }
        if read(metadata::FORMAT)?.is_none() && database.latest_sequence_number() == 0 && !files.has_table {
            // Made, but its maker ended before it could sign: nobody has written to it.
            return Ok(Found {
                families,
                signed: false,
            });
        }
        if !has_metadata {
            return Err(Error::NotAStore { path: path.into() });
        }
        metadata::check(path, spec, read)?;
        if let Some(row) = read(metadata::MANIFEST)? {
            let manifest = manifest(path).map_err(|source| Error::Directory {
                path: path.into(),
                source,
            })?;
            metadata::check_manifest(path, &row, manifest)?;
        }
        Ok(Found {
            families,
            signed: true,
        })
    }

    fn database_options(&self) -> Options {
        let mut options = Options::default();
        options.set_max_open_files(self.options.max_open_files);
        options.set_max_background_jobs(self.options.max_background_jobs);
        options.set_max_total_wal_size(self.options.max_wal_bytes);
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

    fn column_family_options(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.block_cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_bloom_filter(self.options.bloom_bits_per_key, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(self.options.write_buffer_bytes);
        options.set_compression_type(DBCompressionType::None);
        options
    }
}

/// What a probe saw.
struct Found {
    /// The column families that must be opened; none if there is no database.
    families: Vec<String>,
    /// Whether the database says what it is.
    signed: bool,
}

struct RocksDbStore {
    name: String,
    path: PathBuf,
    router: Router,
    /// `None`: plain.
    segment_interval_ms: Option<i64>,
    parts: RwLock<Parts>,
    rows_options: Options,
    database: Arc<Database>,
    /// Held exclusively while something is written and shared while iterators over several parts are made, so that these
    /// agree on what they see. RocksDB takes care of single reads.
    gate: RwLock<()>,
}

struct Parts {
    names: BTreeMap<PartId, String>,
    /// Parts below this one are expired.
    first_alive: PartId,
}

impl fmt::Debug for RocksDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksDbStore")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KeyValueStore for RocksDbStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn persistent(&self) -> bool {
        true
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(family) = self.router.part_of(key).and_then(|part| self.family_of(part)) else {
            return Ok(None);
        };
        let value = self
            .database
            .get_pinned_cf(&family, key)
            .map_err(|error| self.failed("read", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let (newest, first_alive) = {
            let parts = self.parts();
            (
                parts.names.last_key_value().map(|(&part, _)| part),
                parts.first_alive,
            )
        };
        let first_alive = self.router.plan(batch, newest, first_alive)?;
        let mut rows = rocksdb::WriteBatch::with_capacity_bytes(batch.byte_len() + batch.len() * 8);
        // Sorted batches stay in one part for long: one lookup serves a run of rows.
        let mut target: Option<(PartId, Option<Arc<BoundColumnFamily<'_>>>)> = None;
        for (key, value) in batch.iter() {
            let part = self.router.route(key)?;
            if part < first_alive {
                continue;
            }
            if target
                .as_ref()
                .is_none_or(|(other, family)| *other != part || family.is_none())
            {
                let family = match value {
                    Some(_) => Some(self.create_part(part)?),
                    None => self.family_of(part),
                };
                target = Some((part, family));
            }
            match (target.as_ref().and_then(|(_, family)| family.as_ref()), value) {
                (Some(family), Some(value)) => rows.put_cf(family, key, value),
                (Some(family), None) => rows.delete_cf(family, key),
                (None, _) => {}
            }
        }
        if let Some(offset) = batch.changelog_offset() {
            rows.put_cf(
                &self.metadata_family()?,
                metadata::CHANGELOG_OFFSET,
                offset.to_be_bytes(),
            );
        }
        self.write_rows(rows, "write")?;
        self.expire(first_alive)?;
        Ok(())
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, direction: Direction) -> Result<KeyValueIter> {
        self.snapshot(&KeyRange::new(from, to), PartId::MIN..=PartId::MAX, direction)
    }

    fn range_during(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        times_ms: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<KeyValueIter> {
        self.snapshot(
            &KeyRange::new(from, to),
            self.router.parts_during(&times_ms),
            direction,
        )
    }

    fn approximate_len(&self) -> Result<u64> {
        let parts: Vec<PartId> = self.parts().names.keys().copied().collect();
        let mut rows = 0;
        for family in parts.into_iter().filter_map(|part| self.family_of(part)) {
            let estimate = self
                .database
                .property_int_value_cf(&family, rocksdb::properties::ESTIMATE_NUM_KEYS);
            rows += estimate
                .map_err(|error| self.failed("estimate its size", error))?
                .unwrap_or(0);
        }
        Ok(rows)
    }

    fn changelog_offset(&self) -> Result<Option<i64>> {
        self.read_metadata(metadata::CHANGELOG_OFFSET)
    }

    fn flush(&self) -> Result<()> {
        let sync = true;
        self.database
            .flush_wal(sync)
            .map_err(|error| self.failed("flush", error))
    }

    fn clear(&self) -> Result<()> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<PartId> = self.parts().names.keys().copied().collect();
        // First the atomic part: no row and no offset. What follows gives the space back, and a crash may interrupt it.
        let mut rows = rocksdb::WriteBatch::default();
        for family in parts.iter().filter_map(|&part| self.family_of(part)) {
            let mut iterator = self.database.raw_iterator_cf(&family);
            iterator.seek_to_last();
            if let Some(last) = iterator.key() {
                rows.delete_range_cf(&family, &b""[..], last);
                rows.delete_cf(&family, last);
            }
            iterator.status().map_err(|error| self.failed("clear", error))?;
        }
        let metadata_family = self.metadata_family()?;
        rows.delete_cf(&metadata_family, metadata::CHANGELOG_OFFSET);
        rows.delete_cf(&metadata_family, metadata::FIRST_SEGMENT);
        self.write_rows(rows, "clear")?;
        self.parts_mut().first_alive = PartId::MIN;
        for part in parts {
            self.drop_part(part)?;
        }
        if self.segment_interval_ms.is_none() {
            self.create_part(PLAIN_PART)?;
        }
        Ok(())
    }

    fn expire_before(&self, time_ms: i64) -> Result<usize> {
        let Some(first_alive) = self.router.first_part_alive_at(time_ms) else {
            return Ok(0);
        };
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        if first_alive <= self.parts().first_alive {
            return Ok(0);
        }
        self.write_metadata(&[(metadata::FIRST_SEGMENT, first_alive.to_be_bytes().to_vec())])?;
        self.expire(first_alive)
    }
}

impl RocksDbStore {
    /// Iterators over the rows of some parts, all as of one moment.
    fn snapshot(
        &self,
        range: &KeyRange,
        parts: RangeInclusive<PartId>,
        direction: Direction,
    ) -> Result<KeyValueIter> {
        if range.is_empty() || parts.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        // One iterator always agrees with itself: reads of a plain store never wait for a write.
        let _gate = self
            .segment_interval_ms
            .map(|_| self.gate.read().unwrap_or_else(PoisonError::into_inner));
        let names: Vec<String> = self
            .parts()
            .names
            .range(parts)
            .map(|(_, name)| name.clone())
            .collect();
        let mut iterators: Vec<KeyValueIter> = Vec::with_capacity(names.len());
        for name in names {
            if let Some(rows) = Rows::new(self, &name, range, direction) {
                iterators.push(Box::new(rows));
            }
        }
        Ok(segments::merge(iterators, direction))
    }

    fn parts(&self) -> RwLockReadGuard<'_, Parts> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts_mut(&self) -> RwLockWriteGuard<'_, Parts> {
        self.parts.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn family_of(&self, part: PartId) -> Option<Arc<BoundColumnFamily<'_>>> {
        if self.segment_interval_ms.is_none() {
            return self.database.cf_handle(DATA_COLUMN_FAMILY);
        }
        self.database.cf_handle(self.parts().names.get(&part)?)
    }

    fn name_of(&self, part: PartId) -> String {
        match self.segment_interval_ms {
            None => DATA_COLUMN_FAMILY.to_owned(),
            // Only the very first segment of time starts before i64 does; it is named after where i64 starts.
            Some(interval_ms) => format!(
                "{SEGMENT_COLUMN_FAMILY_PREFIX}{}",
                part.saturating_mul(interval_ms)
            ),
        }
    }

    /// The part's column family, made if it is not there.
    fn create_part(&self, part: PartId) -> Result<Arc<BoundColumnFamily<'_>>> {
        if let Some(family) = self.family_of(part) {
            return Ok(family);
        }
        let name = self.name_of(part);
        self.database
            .create_cf(&name, &self.rows_options)
            .map_err(|error| self.failed("add a segment", error))?;
        self.parts_mut().names.insert(part, name);
        Ok(self
            .family_of(part)
            .expect("the column family was just made, and the gate is held"))
    }

    fn drop_part(&self, part: PartId) -> Result<()> {
        let Some(name) = self.parts_mut().names.remove(&part) else {
            return Ok(());
        };
        self.database
            .drop_cf(&name)
            .map_err(|error| self.failed("drop a segment", error))
    }

    /// Drops the parts below `first_alive`, and returns how many there were.
    fn expire(&self, first_alive: PartId) -> Result<usize> {
        let expired: Vec<PartId> = {
            let mut parts = self.parts_mut();
            parts.first_alive = parts.first_alive.max(first_alive);
            parts
                .names
                .range(..parts.first_alive)
                .map(|(&part, _)| part)
                .collect()
        };
        for &part in &expired {
            self.drop_part(part)?;
        }
        Ok(expired.len())
    }

    /// After opening: which parts there are, and which of them an earlier process had expired but not dropped yet.
    fn load_parts(&self, families: &[String]) -> Result<()> {
        let first_alive = self
            .read_metadata(metadata::FIRST_SEGMENT)?
            .unwrap_or(PartId::MIN);
        for name in families {
            let part = match (
                self.segment_interval_ms,
                name.strip_prefix(SEGMENT_COLUMN_FAMILY_PREFIX),
            ) {
                (None, None) if name == DATA_COLUMN_FAMILY => PLAIN_PART,
                (Some(interval_ms), Some(start)) => {
                    let start_ms: i64 = start.parse().map_err(|_| Error::Corrupt {
                        path: self.path.clone(),
                        detail: format!("its column family {name:?} is not named after a time"),
                    })?;
                    start_ms.div_euclid(interval_ms)
                }
                _ => continue,
            };
            self.parts_mut().names.insert(part, name.clone());
        }
        self.expire(first_alive)?;
        Ok(())
    }

    /// Writes a batch, with a note on the manifest.
    fn write_rows(&self, mut rows: rocksdb::WriteBatch, operation: &'static str) -> Result<()> {
        // Unreadable only while it is being replaced: the next batch will tell.
        if let Ok(manifest) = manifest(&self.path) {
            rows.put_cf(
                &self.metadata_family()?,
                metadata::MANIFEST,
                metadata::encode_manifest(manifest),
            );
        }
        self.database
            .write(rows)
            .map_err(|error| self.failed(operation, error))
    }

    fn metadata_family(&self) -> Result<Arc<BoundColumnFamily<'_>>> {
        self.database
            .cf_handle(metadata::COLUMN_FAMILY)
            .ok_or_else(|| Error::Corrupt {
                path: self.path.clone(),
                detail: format!("its column family {:?} is missing", metadata::COLUMN_FAMILY),
            })
    }

    fn read_metadata(&self, row: &'static [u8]) -> Result<Option<i64>> {
        let value = self.database.get_cf(&self.metadata_family()?, row);
        let value = value.map_err(|error| self.failed("read", error))?;
        value
            .map(|value| metadata::decode_i64(&self.path, row, &value))
            .transpose()
    }

    /// Synced, since what is said about the store must hold before the store changes accordingly.
    fn write_metadata(&self, rows: &[(&'static [u8], Vec<u8>)]) -> Result<()> {
        let family = self.metadata_family()?;
        let mut batch = rocksdb::WriteBatch::default();
        for (name, value) in rows {
            batch.put_cf(&family, name, value);
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.database
            .write_opt(batch, &synced)
            .map_err(|error| self.failed("write", error))
    }

    fn failed(&self, operation: &'static str, error: rocksdb::Error) -> Error {
        read_error(&self.name, &self.path, operation, error)
    }
}

self_cell::self_cell!(
    /// A RocksDB iterator borrows its database; together they can be handed out.
    struct OwnedIterator {
        owner: Arc<Database>,
        #[not_covariant]
        dependent: RawIterator,
    }
);

/// The rows of one column family within a range, as of the moment when this was made.
struct Rows {
    iterator: OwnedIterator,
    direction: Direction,
    done: bool,
    name: String,
    path: PathBuf,
}

impl Rows {
    /// `None` if the column family is gone.
    fn new(store: &RocksDbStore, family: &str, range: &KeyRange, direction: Direction) -> Option<Self> {
        store.database.cf_handle(family)?;
        let mut options = ReadOptions::default();
        if !range.lower.is_empty() {
            options.set_iterate_lower_bound(range.lower.clone());
        }
        if let Some(upper) = &range.upper {
            options.set_iterate_upper_bound(upper.clone());
        }
        let iterator = OwnedIterator::try_new(Arc::clone(&store.database), |database| {
            let family = database.cf_handle(family).ok_or(())?;
            let mut iterator = database.raw_iterator_cf_opt(&family, options);
            match direction {
                Direction::Forward => iterator.seek_to_first(),
                Direction::Backward => iterator.seek_to_last(),
            }
            Ok::<_, ()>(iterator)
        });
        let (name, path) = (store.name.clone(), store.path.clone());
        Some(Self {
            iterator: iterator.ok()?,
            direction,
            done: false,
            name,
            path,
        })
    }
}

impl Iterator for Rows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let direction = self.direction;
        let row = self.iterator.with_dependent_mut(|_, iterator| {
            let Some((key, value)) = iterator.item() else {
                return iterator.status().err().map(Err);
            };
            let row = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            match direction {
                Direction::Forward => iterator.next(),
                Direction::Backward => iterator.prev(),
            }
            Some(Ok(row))
        });
        self.done = !matches!(row, Some(Ok(_)));
        row.map(|row| row.map_err(|error| read_error(&self.name, &self.path, "iterate", error)))
    }
}

fn open_error(path: &Path, error: rocksdb::Error) -> Error {
    let text: &str = error.as_ref();
    // RocksDB has no code for these; another process and this one are told in different words.
    if text.contains("While lock file") || text.contains("lock hold by current process") {
        return Error::Locked {
            path: path.into(),
            source: error.into(),
        };
    }
    let missing_file = text.contains("No such file or directory");
    match error.kind() {
        ErrorKind::IOError if !missing_file => Error::Directory {
            path: path.into(),
            source: io::Error::other(error),
        },
        ErrorKind::NotSupported => Error::engine(path.display(), "open", error),
        _ => Error::Corrupt {
            path: path.into(),
            detail: error.into_string(),
        },
    }
}

fn read_error(name: &str, path: &Path, operation: &'static str, error: rocksdb::Error) -> Error {
    match error.kind() {
        ErrorKind::Corruption => Error::Corrupt {
            path: path.into(),
            detail: error.into_string(),
        },
        _ => Error::engine(format_args!("{name} in {}", path.display()), operation, error),
    }
}
