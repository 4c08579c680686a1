//! The parts of a store: which column families there are, how one is added, and how those that are expired go.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use rocksdb::BoundColumnFamily;

use super::DATA_COLUMN_FAMILY;
use super::store::RocksDbStore;
use crate::segments::{PLAIN_PART, PartId};
use crate::{Error, Result, metadata};

const SEGMENT_COLUMN_FAMILY_PREFIX: &str = "segment.";

/// The column families of a store, in the order of the times of their rows.
pub(super) struct Parts {
    pub(super) names: BTreeMap<PartId, String>,
    /// Parts below this one are expired.
    pub(super) first_alive: PartId,
}

impl RocksDbStore {
    pub(super) fn parts(&self) -> RwLockReadGuard<'_, Parts> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn parts_mut(&self) -> RwLockWriteGuard<'_, Parts> {
        self.parts.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn family_of(&self, part: PartId) -> Option<Arc<BoundColumnFamily<'_>>> {
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
    pub(super) fn create_part(&self, part: PartId) -> Result<Arc<BoundColumnFamily<'_>>> {
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

    pub(super) fn drop_part(&self, part: PartId) -> Result<()> {
        let Some(name) = self.parts_mut().names.remove(&part) else {
            return Ok(());
        };
        self.database
            .drop_cf(&name)
            .map_err(|error| self.failed("drop a segment", error))
    }

    /// Drops the parts below `first_alive`, and returns how many there were.
    pub(super) fn expire(&self, first_alive: PartId) -> Result<usize> {
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
    pub(super) fn load_parts(&self, families: &[String]) -> Result<()> {
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
}
