//! The typed key-value store of a processor.

use std::cell::RefCell;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use state_store::Direction;

use super::cached::{Cached, CachedIter};
use super::lru::Lru;
use super::{StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::serde::Serde;

/// A store of one value per key, each with its event time (Kafka's `TimestampedKeyValueStore`).
///
/// A cheap handle: clones reach the same store. What is written is visible to this task at once, in the changelog after
/// the next commit, and on disk after the flush that follows it. Keys are the same if their bytes are.
pub struct KeyValueStore<K, V> {
    topic: Arc<str>,
    key_serde: Arc<dyn Serde<K>>,
    inner: Rc<RefCell<Inner<V>>>,
}

struct Inner<V> {
    cached: Rc<RefCell<Cached<V>>>,
    key: Vec<u8>,
    /// If only so many rows are kept.
    lru: Option<Eviction<V>>,
}

/// Which rows were used last, and what forgets the others.
pub(super) struct Eviction<V> {
    lru: Lru,
    used: fn(&mut Lru, &[u8], &mut Cached<V>) -> StoreResult<()>,
}

impl<V: Clone> Eviction<V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            lru: Lru::new(entries_max),
            used: Lru::used,
        }
    }
}

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            key_serde: Arc::clone(&self.key_serde),
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<K, V> KeyValueStore<K, V> {
    pub(super) fn new(
        topic: Arc<str>,
        key_serde: Arc<dyn Serde<K>>,
        cached: Rc<RefCell<Cached<V>>>,
        lru: Option<Eviction<V>>,
    ) -> Self {
        Self {
            topic,
            key_serde,
            inner: Rc::new(RefCell::new(Inner {
                cached,
                key: Vec::new(),
                lru,
            })),
        }
    }

    /// The value of `key` and its event time.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn get(&self, key: &K) -> StoreResult<Option<ValueAndTimestamp<V>>>
    where
        V: Clone,
    {
        self.with(key, |cached, slot| cached.value(slot).cloned())
    }

    /// Looks at the value of `key` without cloning it. `look` must not use this store.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn read<R>(&self, key: &K, look: impl FnOnce(Option<&ValueAndTimestamp<V>>) -> R) -> StoreResult<R> {
        self.with(key, |cached, slot| look(cached.value(slot)))
    }

    /// Sets the value of `key`; `None`, and a value that is null on the wire, delete it. Returns what was there.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn put(
        &self,
        key: &K,
        value: Option<V>,
        timestamp_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        let value = value.map(|value| ValueAndTimestamp { value, timestamp_ms });
        self.with(key, |cached, slot| cached.set(slot, value, timestamp_ms))
    }

    /// Replaces the value of `key` by what `change` makes of it, with one look-up. `None` deletes, or leaves nothing.
    /// What `change` returns beside it is passed on. `timestamp_ms` is the time of a deletion.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn update<R>(
        &self,
        key: &K,
        timestamp_ms: i64,
        change: impl FnOnce(Option<ValueAndTimestamp<V>>) -> (Option<ValueAndTimestamp<V>>, R),
    ) -> StoreResult<R> {
        self.with(key, |cached, slot| {
            let (value, result) = change(cached.take(slot));
            cached.set(slot, value, timestamp_ms);
            result
        })
    }

    /// All rows in the order of their key bytes. A snapshot: later writes are not seen.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        self.iter(Bound::Unbounded, Bound::Unbounded, Direction::Forward)
    }

    /// Rows from `from` to `to`, both included, in the order of their key bytes. A snapshot: later writes are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn range(&self, from: &K, to: &K) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        self.write_key(from, &mut first)?;
        self.write_key(to, &mut last)?;
        self.iter(
            Bound::Included(&first),
            Bound::Included(&last),
            Direction::Forward,
        )
    }

    /// The rows whose key bytes begin with `prefix`, in the order of their key bytes. A snapshot: later writes are not seen.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn prefix(&self, prefix: &[u8]) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        let mut after = prefix.to_vec();
        // The first key behind all that begin with it: the last byte that can be more is, and those behind it are not there.
        while after.last() == Some(&u8::MAX) {
            after.pop();
        }
        let to = match after.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(after.as_slice())
            }
            None => Bound::Unbounded,
        };
        self.iter(Bound::Included(prefix), to, Direction::Forward)
    }

    /// The first row whose key bytes are `from` or come after them. For stores whose keys begin with what they are ordered by;
    /// declare them [ordered](super::KeyValueStoreBuilder::ordered).
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn first_from(&self, from: &[u8]) -> StoreResult<Option<(K, ValueAndTimestamp<V>)>>
    where
        V: Clone,
    {
        let first = self.inner.borrow().cached.borrow().first_from(from)?;
        let Some((key, value)) = first else {
            return Ok(None);
        };
        Ok(Some((self.read_key(&key)?, value)))
    }

    /// The bytes of a key, as the store has them.
    ///
    /// # Errors
    /// If the key cannot be written.
    pub fn key_bytes(&self, key: &K) -> StoreResult<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_key(key, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether there was a row of `key` at the last commit. For what sends updates on at commits.
    #[doc(hidden)]
    pub fn was_committed(&self, key: &K) -> StoreResult<bool> {
        let mut bytes = Vec::new();
        self.write_key(key, &mut bytes)?;
        self.inner.borrow().cached.borrow_mut().was_committed(&bytes)
    }

    /// What is not committed is held by somebody else too, until the commit: it counts twice.
    #[doc(hidden)]
    pub fn hold_updates(&self) {
        self.inner.borrow().cached.borrow_mut().count_twice();
    }

    fn read_key(&self, bytes: &[u8]) -> StoreResult<K> {
        self.key_serde
            .deserialize(&self.topic, bytes)
            .map_err(|error| ProcessCause::Serde {
                action: "read",
                part: "key",
                topic: self.topic.to_string(),
                error,
            })
    }

    fn iter(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
    ) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        let rows = self.inner.borrow().cached.borrow().range(from, to, direction)?;
        Ok(KeyValueIter {
            rows,
            topic: Arc::clone(&self.topic),
            key_serde: Arc::clone(&self.key_serde),
        })
    }

    fn with<R>(&self, key: &K, f: impl FnOnce(&mut Cached<V>, super::cached::Slot) -> R) -> StoreResult<R> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.key.clear();
        self.write_key(key, &mut inner.key)?;
        let mut cached = inner.cached.borrow_mut();
        let slot = cached.find(&inner.key)?;
        let result = f(&mut cached, slot);
        if let Some(Eviction { lru, used }) = &mut inner.lru {
            used(lru, &inner.key, &mut cached)?;
        }
        Ok(result)
    }

    fn write_key(&self, key: &K, out: &mut Vec<u8>) -> StoreResult<()> {
        self.key_serde
            .serialize(&self.topic, key, out)
            .map_err(|error| ProcessCause::Serde {
                action: "write",
                part: "key",
                topic: self.topic.to_string(),
                error,
            })
    }
}

impl<K, V> std::fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValueStore")
            .field("changelog", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Rows of a [`KeyValueStore`].
pub struct KeyValueIter<K, V> {
    rows: CachedIter<V>,
    topic: Arc<str>,
    key_serde: Arc<dyn Serde<K>>,
}

impl<K, V> Iterator for KeyValueIter<K, V> {
    type Item = StoreResult<(K, ValueAndTimestamp<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.rows.next()?.and_then(|(key, value)| {
            let key = self
                .key_serde
                .deserialize(&self.topic, &key)
                .map_err(|error| ProcessCause::Serde {
                    action: "read",
                    part: "key",
                    topic: self.topic.to_string(),
                    error,
                })?;
            Ok((key, value))
        }))
    }
}

impl<K, V> std::fmt::Debug for KeyValueIter<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValueIter")
            .field("changelog", &self.topic)
            .finish_non_exhaustive()
    }
}
