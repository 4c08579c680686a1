//! Which keys of a store were used last, for stores that keep only so many (Kafka's `Stores.lruMap`).

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use state_store::Direction;

use super::StoreResult;
use super::cached::Cached;

/// See the file's top.
#[derive(Debug)]
pub(super) struct Lru {
    entries_max: usize,
    /// Keys in the order of their last uses.
    by_use: BTreeMap<u64, Box<[u8]>>,
    uses: HashMap<Box<[u8]>, u64>,
    next_use: u64,
    /// What the store had when it was opened is known.
    loaded: bool,
}

impl Lru {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries_max: entries_max.max(1),
            by_use: BTreeMap::new(),
            uses: HashMap::new(),
            next_use: 0,
            loaded: false,
        }
    }

    /// After a key was looked up or written: remembers that, and deletes what was not used for longest if there is too much. What
    /// was restored counts as used in the order of its keys.
    pub(super) fn used<V: Clone>(&mut self, key: &[u8], cached: &mut Cached<V>) -> StoreResult<()> {
        if !self.loaded {
            self.loaded = true;
            for row in cached.range(Bound::Unbounded, Bound::Unbounded, Direction::Forward)? {
                self.touch(&row?.0);
            }
        }
        let slot = cached.find(key)?;
        match cached.value(slot) {
            Some(_) => self.touch(key),
            None => self.forget(key),
        }
        while self.uses.len() > self.entries_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.uses.remove(&oldest);
            let slot = cached.find(&oldest)?;
            let deleted_ms = cached.value(slot).map_or(0, |row| row.timestamp_ms);
            cached.set(slot, None, deleted_ms);
        }
        Ok(())
    }

    fn touch(&mut self, key: &[u8]) {
        self.forget(key);
        self.by_use.insert(self.next_use, Box::from(key));
        self.uses.insert(Box::from(key), self.next_use);
        self.next_use += 1;
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(at) = self.uses.remove(key) {
            self.by_use.remove(&at);
        }
    }
}
