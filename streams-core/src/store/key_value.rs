//! The typed key-value store of a processor.

use std::cell::RefCell;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;
use std::sync::Arc;

use state_store::Direction;

use super::cached::{Cached, CachedIter, Slot};
use super::keys::{KeyCodec, after_prefix, as_slice};
use super::lru::Lru;
use super::{StoreResult, ValueAndTimestamp};
use crate::serde::Serde;

/// A store of one value per key, each with its event time (Kafka's `TimestampedKeyValueStore`).
///
/// A cheap handle: clones reach the same store. What is written is visible to this task at once, in the changelog after
/// the next commit, and on disk after the flush that follows it. Keys are the same if their bytes are.
///
/// ```
/// use streams_core::store::{Direction, KeyValueStoreBuilder};
/// use streams_core::testing::MockProcessorContext;
///
/// let mut context = MockProcessorContext::<(), ()>::new();
/// let stock = context.add_store(KeyValueStoreBuilder::<String, i64>::new("stock"))?;
/// let [milk, oats, tea] = ["milk", "oats", "tea"].map(str::to_owned);
/// stock.put_all([(tea.clone(), Some(7), 0), (milk.clone(), Some(2), 0), (oats.clone(), Some(1), 0)])?;
/// assert_eq!(stock.put_if_absent(&milk, 9, 5)?.unwrap().value, 2);
///
/// let names = |rows: streams_core::store::KeyValueIter<String, i64>| -> Vec<String> {
///     rows.map(|row| row.unwrap().0).collect()
/// };
/// assert_eq!(names(stock.all()?), ["milk", "oats", "tea"]);
/// assert_eq!(names(stock.range(&oats.., Direction::Backward)?), ["tea", "oats"]);
/// assert_eq!(names(stock.range(&milk..&tea, Direction::Forward)?), ["milk", "oats"]);
/// assert_eq!(names(stock.prefix_scan(b"te", Direction::Forward)?), ["tea"]);
///
/// assert_eq!(stock.delete(&oats, 6)?.unwrap().value, 1);
/// assert_eq!(stock.approximate_num_entries()?, 2);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct KeyValueStore<K, V> {
    keys: KeyCodec<K>,
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
            keys: self.keys.clone(),
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
            keys: KeyCodec::new(topic, key_serde),
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

    /// Sets the value of `key` if it has none. Returns what was there.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn put_if_absent(
        &self,
        key: &K,
        value: V,
        timestamp_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>>
    where
        V: Clone,
    {
        self.with(key, |cached, slot| {
            let there = cached.value(slot).cloned();
            if there.is_none() {
                cached.set(
                    slot,
                    Some(ValueAndTimestamp { value, timestamp_ms }),
                    timestamp_ms,
                );
            }
            there
        })
    }

    /// Puts rows one after the other, each as [`put`](Self::put) takes it: key, value or `None`, event time.
    ///
    /// # Errors
    /// As [`put`](Self::put); what comes after the row that failed is not put.
    pub fn put_all(&self, rows: impl IntoIterator<Item = (K, Option<V>, i64)>) -> StoreResult<()> {
        for (key, value, timestamp_ms) in rows {
            self.put(&key, value, timestamp_ms)?;
        }
        Ok(())
    }

    /// Deletes the row of `key`, at this event time. Returns what was there.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn delete(&self, key: &K, timestamp_ms: i64) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        self.put(key, None, timestamp_ms)
    }

    /// All rows in the order of their key bytes: `range(.., Direction::Forward)`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        self.range(.., Direction::Forward)
    }

    /// The rows of a range of keys, in the order of their key bytes or backward (Kafka's `range`, `reverseRange` and
    /// `reverseAll`). The order and the range are those of bytes, not of `K`: see the [module's page](super). A snapshot: later
    /// writes are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn range(&self, keys: impl RangeBounds<K>, direction: Direction) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        let (from, to) = self.keys.bounds(&keys)?;
        self.iter(as_slice(&from), as_slice(&to), direction)
    }

    /// The rows whose key bytes begin with `prefix`, in the order of their key bytes or backward (Kafka's `prefixScan`). A
    /// snapshot: later writes are not seen.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn prefix_scan(&self, prefix: &[u8], direction: Direction) -> StoreResult<KeyValueIter<K, V>>
    where
        V: Clone,
    {
        self.iter(
            Bound::Included(prefix),
            as_slice(&after_prefix(prefix)),
            direction,
        )
    }

    /// About how many rows there are. Exact in memory; a store on disk guesses, but for what is not there yet. Looks at all
    /// rows that were written since the last commit.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub fn approximate_num_entries(&self) -> StoreResult<u64> {
        self.inner.borrow().cached.borrow().approximate_len()
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
        Ok(Some((self.keys.read(&key)?, value)))
    }

    /// The bytes of a key, as the store has them.
    ///
    /// # Errors
    /// If the key cannot be written.
    pub fn key_bytes(&self, key: &K) -> StoreResult<Vec<u8>> {
        self.keys.bytes(key)
    }

    /// Whether there was a row of `key` at the last commit. For what sends updates on at commits.
    #[doc(hidden)]
    pub fn was_committed(&self, key: &K) -> StoreResult<bool> {
        let bytes = self.keys.bytes(key)?;
        self.inner.borrow().cached.borrow_mut().was_committed(&bytes)
    }

    /// What is not committed is held by somebody else too, until the commit: it counts twice.
    #[doc(hidden)]
    pub fn hold_updates(&self) {
        self.inner.borrow().cached.borrow_mut().count_twice();
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
            keys: self.keys.clone(),
        })
    }

    /// Does something with the row of a key.
    fn with<R>(&self, key: &K, f: impl FnOnce(&mut Cached<V>, Slot) -> R) -> StoreResult<R> {
        let mut inner = self.inner.borrow_mut();
        let Inner {
            cached,
            key: bytes,
            lru,
        } = &mut *inner;
        let mut cached = cached.borrow_mut();
        let slot = self.find(key, bytes, &mut cached)?;
        let result = f(&mut cached, slot);
        if let Some(Eviction { lru, used }) = lru {
            used(lru, bytes, &mut cached)?;
        }
        Ok(result)
    }

    /// Apart from [`with`](Self::with), so that it is compiled once for all that is done with a row.
    fn find(&self, key: &K, bytes: &mut Vec<u8>, cached: &mut Cached<V>) -> StoreResult<Slot> {
        bytes.clear();
        self.keys.write(key, bytes)?;
        cached.find(bytes)
    }
}

impl<K, V> std::fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValueStore")
            .field("changelog", &self.keys.topic)
            .finish_non_exhaustive()
    }
}

/// Rows of a [`KeyValueStore`].
pub struct KeyValueIter<K, V> {
    rows: CachedIter<V>,
    keys: KeyCodec<K>,
}

impl<K, V> Iterator for KeyValueIter<K, V> {
    type Item = StoreResult<(K, ValueAndTimestamp<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.rows.next()? {
            Ok((key, value)) => self.keys.read(&key).map(|key| (key, value)),
            Err(error) => Err(error),
        })
    }
}

impl<K, V> std::fmt::Debug for KeyValueIter<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValueIter")
            .field("changelog", &self.keys.topic)
            .finish_non_exhaustive()
    }
}
