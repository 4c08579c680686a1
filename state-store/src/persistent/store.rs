//! One store: a database, of which each part is a column family.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rocksdb::{BoundColumnFamily, Options, WriteOptions};

use super::Database;
use super::errors::read_error;
use super::files::manifest;
use super::parts::Parts;
use super::rows::Rows;
use crate::segments::{self, PLAIN_PART, PartId, Router};
use crate::store::KeyRange;
use crate::{Direction, Error, KeyValueIter, KeyValueStore, Layout, Result, StoreSpec, WriteBatch, metadata};

pub(super) struct RocksDbStore {
    pub(super) name: String,
    pub(super) path: PathBuf,
    router: Router,
    /// `None`: plain.
    pub(super) segment_interval_ms: Option<i64>,
    pub(super) parts: RwLock<Parts>,
    pub(super) rows_options: Options,
    pub(super) database: Arc<Database>,
    /// Held exclusively while something is written and shared while iterators over several parts are made, so that these
    /// agree on what they see. RocksDB takes care of single reads.
    gate: RwLock<()>,
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
    /// The store in an open database, whose parts are not known yet.
    pub(super) fn new(spec: &StoreSpec, path: &Path, database: Database, rows_options: Options) -> Self {
        Self {
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
        }
    }

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

    /// Writes a batch, with a note on the manifest.
    pub(super) fn write_rows(&self, mut rows: rocksdb::WriteBatch, operation: &'static str) -> Result<()> {
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

    pub(super) fn metadata_family(&self) -> Result<Arc<BoundColumnFamily<'_>>> {
        self.database
            .cf_handle(metadata::COLUMN_FAMILY)
            .ok_or_else(|| Error::Corrupt {
                path: self.path.clone(),
                detail: format!("its column family {:?} is missing", metadata::COLUMN_FAMILY),
            })
    }

    pub(super) fn read_metadata(&self, row: &'static [u8]) -> Result<Option<i64>> {
        let value = self.database.get_cf(&self.metadata_family()?, row);
        let value = value.map_err(|error| self.failed("read", error))?;
        value
            .map(|value| metadata::decode_i64(&self.path, row, &value))
            .transpose()
    }

    /// Synced, since what is said about the store must hold before the store changes accordingly.
    pub(super) fn write_metadata(&self, rows: &[(&'static [u8], Vec<u8>)]) -> Result<()> {
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

    pub(super) fn failed(&self, operation: &'static str, error: rocksdb::Error) -> Error {
        read_error(&self.name, &self.path, operation, error)
    }
}
