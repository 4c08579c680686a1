//! The memory engine: ordered maps behind one lock.
//!
//! For tests, for state that is cheap to restore, and as the plainest statement of what a store does. A batch is applied
//! under the write lock, after everything that could be refused has been checked. Iterators share the leaves of the map
//! (`ordered.rs`): making one copies no rows and it holds no lock while it is read.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::ordered::OrderedMap;
use crate::segments::{self, PartId, Router};
use crate::store::KeyRange;
use crate::{Direction, KeyValueIter, KeyValueStore, Result, StoreEngine, StoreSpec, WriteBatch};

/// Opens stores that live in memory and end with the process. Directories are ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryEngine;

impl StoreEngine for MemoryEngine {
    fn open(&self, spec: &StoreSpec, _directory: Option<&Path>) -> Result<Arc<dyn KeyValueStore>> {
        spec.validate()?;
        Ok(Arc::new(MemoryStore {
            name: spec.identity.store_name.clone(),
            router: Router::new(spec),
            state: RwLock::new(State::new()),
        }))
    }
}

#[derive(Debug)]
struct MemoryStore {
    name: String,
    router: Router,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    parts: BTreeMap<PartId, OrderedMap>,
    /// Parts below this one are expired.
    first_alive: PartId,
    changelog_offset: Option<i64>,
}

impl State {
    fn new() -> Self {
        Self {
            parts: BTreeMap::new(),
            first_alive: PartId::MIN,
            changelog_offset: None,
        }
    }

    /// Drops the parts below `first_alive`, and returns how many there were.
    fn expire(&mut self, first_alive: PartId) -> usize {
        self.first_alive = self.first_alive.max(first_alive);
        let alive = self.parts.split_off(&self.first_alive);
        std::mem::replace(&mut self.parts, alive).len()
    }
}

impl MemoryStore {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nothing panics while it holds the lock")
    }

    fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state
            .write()
            .expect("nothing panics while it holds the lock")
    }

    fn snapshot(
        &self,
        range: &KeyRange,
        parts: RangeInclusive<PartId>,
        direction: Direction,
    ) -> KeyValueIter {
        if range.is_empty() || parts.is_empty() {
            return Box::new(std::iter::empty());
        }
        let state = self.read();
        let snapshots = state
            .parts
            .range(parts)
            .map(|(_, map)| -> KeyValueIter { Box::new(map.snapshot(range.clone(), direction)) });
        segments::merge(snapshots.collect(), direction)
    }
}

impl KeyValueStore for MemoryStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn persistent(&self) -> bool {
        false
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(part) = self.router.part_of(key) else {
            return Ok(None);
        };
        Ok(self.read().parts.get(&part).and_then(|map| map.get(key)).cloned())
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let mut state = self.lock();
        let newest = state.parts.last_key_value().map(|(&part, _)| part);
        let first_alive = self.router.plan(batch, newest, state.first_alive)?;
        state.expire(first_alive);
        for (key, value) in batch.iter() {
            let part = self.router.route(key)?;
            match value {
                _ if part < first_alive => {}
                Some(value) => state.parts.entry(part).or_default().insert(key, value),
                None => {
                    if let Some(map) = state.parts.get_mut(&part) {
                        map.remove(key);
                    }
                }
            }
        }
        if batch.changelog_offset().is_some() {
            state.changelog_offset = batch.changelog_offset();
        }
        Ok(())
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, direction: Direction) -> Result<KeyValueIter> {
        Ok(self.snapshot(&KeyRange::new(from, to), PartId::MIN..=PartId::MAX, direction))
    }

    fn range_during(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        times_ms: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<KeyValueIter> {
        Ok(self.snapshot(
            &KeyRange::new(from, to),
            self.router.parts_during(&times_ms),
            direction,
        ))
    }

    fn approximate_len(&self) -> Result<u64> {
        Ok(self.read().parts.values().map(|map| map.len() as u64).sum())
    }

    fn changelog_offset(&self) -> Result<Option<i64>> {
        Ok(self.read().changelog_offset)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        *self.lock() = State::new();
        Ok(())
    }

    fn expire_before(&self, time_ms: i64) -> Result<usize> {
        match self.router.first_part_alive_at(time_ms) {
            Some(first_alive) => Ok(self.lock().expire(first_alive)),
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        crate::conformance::check_engine(&MemoryEngine, None);
    }
}
