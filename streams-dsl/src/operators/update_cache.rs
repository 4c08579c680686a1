//! Updates of a table that are held until the next commit: of each key only the last one is sent on, with the value that was
//! there before the first (Kafka's record cache). They go in the order of their last updates, each with its timestamp and
//! headers, and as if it came from where the last of them came from. A row that came and went in between was never there.
//!
//! What is held is in the table's store too, not committed yet, and counts there: when it fills the store's share of
//! `cache_max_bytes`, the thread commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use streams_core::edge::{AtCommit, Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult, Result};
use streams_core::serde::Serde;
use streams_core::store::{KeyValueStore, SessionStore, StoreResult, WindowStore};
use streams_core::topology::Wiring;
use streams_core::{Record, RecordMetadata, TaskContext};

use super::place;
use crate::Change;
use crate::windows::Windowed;

/// What a table's updates are held with: how keys are told apart, and the table's store.
pub(crate) struct Cache<K> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) rows: OpenRows<K>,
    /// What is said of this table; if nothing is, the topology's default counts.
    pub(crate) is_wanted: Option<bool>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            key_serde: Arc::clone(&self.key_serde),
            rows: Arc::clone(&self.rows),
            is_wanted: self.is_wanted,
        }
    }
}

/// A store, as far as its cache must know it.
pub(crate) trait CachedRows<K> {
    /// Whether there was a row at the last commit.
    fn was_there(&self, key: &K) -> StoreResult<bool>;
}

/// Opens the store of a cache, and has it count what is held.
pub(crate) type OpenRows<K> = Arc<dyn Fn(&Wiring<'_>) -> Result<Box<dyn CachedRows<K>>> + Send + Sync>;

/// A key-value store.
pub(crate) fn rows<K: 'static, V: 'static>(store: &str) -> OpenRows<K> {
    let store = store.to_owned();
    Arc::new(move |wiring| {
        let store: KeyValueStore<K, V> = wiring.store_behind(&store)?;
        store.hold_updates();
        Ok(Box::new(store))
    })
}

/// A window store.
pub(crate) fn windows<K: 'static, V: 'static>(store: &str) -> OpenRows<Windowed<K>> {
    let store = store.to_owned();
    Arc::new(move |wiring| {
        let store: WindowStore<K, V> = wiring.store_behind(&store)?;
        store.hold_updates();
        Ok(Box::new(store))
    })
}

/// A session store.
pub(crate) fn sessions<K: 'static, V: 'static>(store: &str) -> OpenRows<Windowed<K>> {
    let store = store.to_owned();
    Arc::new(move |wiring| {
        let store: SessionStore<K, V> = wiring.store_behind(&store)?;
        store.hold_updates();
        Ok(Box::new(store))
    })
}

impl<K, V> CachedRows<K> for KeyValueStore<K, V> {
    fn was_there(&self, key: &K) -> StoreResult<bool> {
        self.was_committed(key)
    }
}

impl<K, V> CachedRows<Windowed<K>> for WindowStore<K, V> {
    fn was_there(&self, key: &Windowed<K>) -> StoreResult<bool> {
        self.was_committed(&key.key, key.window.start_ms)
    }
}

impl<K, V> CachedRows<Windowed<K>> for SessionStore<K, V> {
    fn was_there(&self, key: &Windowed<K>) -> StoreResult<bool> {
        self.was_committed(&key.key, (key.window.start_ms, key.window.end_ms))
    }
}

/// What comes after a table's operator, behind a cache if there is one.
pub(crate) fn cached<K: 'static, V: 'static>(
    cache: Option<&Cache<K>>,
    wiring: &mut Wiring<'_>,
    next: Edge<K, Change<V>>,
) -> Result<Edge<K, Change<V>>> {
    let Some(cache) = cache else { return Ok(next) };
    let node = wiring.node_name().to_owned();
    let rows = (cache.rows)(wiring)?;
    Ok(wiring.at_commit(UpdateCache {
        node,
        key_serde: Arc::clone(&cache.key_serde),
        rows,
        places: HashMap::new(),
        order: BTreeMap::new(),
        updates: Vec::new(),
        next_place: 0,
        next,
    }))
}

struct UpdateCache<K, V> {
    node: String,
    key_serde: Arc<dyn Serde<K>>,
    rows: Box<dyn CachedRows<K>>,
    /// Where in `order` a key is, by its bytes.
    places: HashMap<Vec<u8>, u64>,
    /// Where in `updates` they are, in the order of their last updates.
    order: BTreeMap<u64, usize>,
    /// One for each key.
    updates: Vec<Option<Held<K, V>>>,
    next_place: u64,
    next: Edge<K, Change<V>>,
}

struct Held<K, V> {
    record: Record<K, Change<V>>,
    /// What it was made of; nothing during punctuation.
    origin: Option<RecordMetadata>,
}

impl<K, V> Process<K, Change<V>> for UpdateCache<K, V> {
    fn process(&mut self, mut record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut key = Vec::new();
        let written = self.key_serde.serialize(&self.node, &record.key, &mut key);
        written.map_err(|error| {
            let cause = ProcessCause::Serde {
                action: "write",
                part: "key",
                topic: self.node.clone(),
                error,
            };
            place(cause, &self.node, task)
        })?;
        let earlier = self.places.insert(key, self.next_place);
        let at = earlier.and_then(|place| self.order.remove(&place));
        let at = at.unwrap_or(self.updates.len());
        self.order.insert(self.next_place, at);
        self.next_place += 1;
        let origin = task.record_metadata();
        match self.updates.get_mut(at) {
            Some(held) => {
                if let Some(earlier) = held.take() {
                    record.value.old = earlier.record.value.old;
                }
                *held = Some(Held { record, origin });
            }
            None => self.updates.push(Some(Held { record, origin })),
        }
        Ok(())
    }
}

impl<K, V> AtCommit for UpdateCache<K, V> {
    fn at_commit(&mut self, task: &mut TaskContext<'_>) -> ProcessResult {
        self.places.clear();
        let mut updates = std::mem::take(&mut self.updates);
        for at in std::mem::take(&mut self.order).into_values() {
            let Some(Held { mut record, origin }) = updates[at].take() else {
                continue;
            };
            let was_there = self.rows.was_there(&record.key);
            if !was_there.map_err(|cause| place(cause, &self.node, task))? {
                if record.value.new.is_none() {
                    continue;
                }
                // An aggregation says what it began with.
                record.value.old = None;
            }
            match &origin {
                Some(origin) => task.as_from(origin, |task| self.next.process(record, task))?,
                None => self.next.process(record, task)?,
            }
        }
        Ok(())
    }
}
