//! The typed versioned store of a processor: for each key the values it had, and from when on.
//!
//! A version is a row: key ‖ time from which it holds, with a byte in front of the value that says whether there is one or the
//! key was deleted then. The changelog has keys and values as they are, each with its time, so that it is any table's.

use std::cell::RefCell;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use state_store::Direction;

use super::cached::{Cached, UntypedCached};
use super::keys::KeyCodec;
use super::{StoreResult, ValueAndTimestamp};
use crate::serde::{Serde, SerdeError};

/// Bytes of the time at the end of a row's key.
pub(crate) const TIME_BYTES: usize = 8;
/// In front of a value.
pub(crate) const IS_THERE: u8 = 1;
/// Instead of a value.
pub(crate) const IS_DELETED: u8 = 0;

/// What became of a value that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is the key's latest.
    Latest,
    /// It holds up to this time, in milliseconds, from which on the key has another.
    Until(i64),
    /// It is older than the history that is kept, and was not put.
    NotPut,
}

/// A store of the values that each key had over time (Kafka's `VersionedKeyValueStore`, KIP-889).
///
/// The latest value of a key is kept for ever. What held before is kept as long as the history retention, counted from the
/// largest time written; a value that is older than that is not put any more. Versions that nobody can ask for, and keys whose
/// deletion is that old, are dropped from the disk within about half of the history retention, by looking through the store a few
/// rows at a time. A cheap handle: clones reach the same store.
///
/// ```
/// use streams_core::store::{Validity, VersionedKeyValueStoreBuilder};
/// use streams_core::testing::MockProcessorContext;
///
/// let mut context = MockProcessorContext::<(), ()>::new();
/// let prices = context.add_store(VersionedKeyValueStoreBuilder::<String, i64>::new("prices", 60_000))?;
/// let tea = "tea".to_string();
/// assert_eq!(prices.put(&tea, Some(3), 10)?, Validity::Latest);
/// assert_eq!(prices.put(&tea, Some(4), 30)?, Validity::Latest);
/// let before = prices.delete(&tea, 20)?.unwrap();
/// assert_eq!((before.value, before.timestamp_ms), (3, 10));
/// let price = |at_ms| prices.get_as_of(&tea, at_ms).unwrap().map(|row| row.value);
/// assert_eq!([5, 15, 25, 35].map(price), [None, Some(3), None, Some(4)]);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct VersionedKeyValueStore<K, V> {
    keys: KeyCodec<K>,
    value_serde: Arc<dyn Serde<V>>,
    history_ms: i64,
    inner: Rc<RefCell<Inner<V>>>,
}

struct Inner<V> {
    cached: Rc<RefCell<Cached<Option<V>>>>,
    /// Largest time written.
    observed_ms: i64,
}

impl<K, V> Clone for VersionedKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            value_serde: Arc::clone(&self.value_serde),
            history_ms: self.history_ms,
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<K, V: Clone> VersionedKeyValueStore<K, V> {
    pub(super) fn new(
        topic: Arc<str>,
        (key_serde, value_serde): (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>),
        history_ms: i64,
        cached: Rc<RefCell<Cached<Option<V>>>>,
    ) -> Self {
        let inner = Inner {
            cached,
            observed_ms: i64::MIN,
        };
        Self {
            keys: KeyCodec::new(topic, key_serde),
            value_serde,
            history_ms,
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// The latest value of `key`, and from when on it holds.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn get(&self, key: &K) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        Ok(self.newest(key, i64::MAX)?.and_then(present))
    }

    /// The value that `key` had at `at_ms`, and from when on it held. `None` if there was none, or it is not known any more.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn get_as_of(&self, key: &K, at_ms: i64) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        let from_ms = self.inner.borrow().observed_ms.saturating_sub(self.history_ms);
        let version = if at_ms < from_ms {
            // The latest version is always known.
            self.newest(key, i64::MAX)?
                .filter(|version| version.timestamp_ms <= at_ms)
        } else {
            self.newest(key, at_ms)?
        };
        Ok(version.and_then(present))
    }

    /// Sets the value of `key` from `from_ms` on; `None`, and a value that is null on the wire, say that it had none.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn put(&self, key: &K, value: Option<V>, from_ms: i64) -> StoreResult<Validity> {
        let observed_ms = self.inner.borrow().observed_ms.max(from_ms);
        let oldest_ms = observed_ms.saturating_sub(self.history_ms);
        let row_key = self.row_key(key, from_ms)?;
        let value = value.filter(|value| !self.value_serde.is_null(value));
        let is_deletion = value.is_none();
        let version = ValueAndTimestamp {
            value,
            timestamp_ms: from_ms,
        };
        let mut inner = self.inner.borrow_mut();
        let Inner {
            cached,
            observed_ms: latest_ms,
        } = &mut *inner;
        let mut cached = cached.borrow_mut();
        let slot = cached.find(&row_key)?;
        cached.set(slot, Some(version), from_ms);
        cached.mark_deletion(slot, is_deletion);
        if from_ms < oldest_ms {
            // It is in the changelog all the same, as in Kafka.
            cached.discard(slot);
            return Ok(Validity::NotPut);
        }
        *latest_ms = observed_ms;
        cached.expire_before(oldest_ms);
        Ok(match next_after(&*cached, &row_key)? {
            Some(until_ms) => Validity::Until(until_ms),
            None => Validity::Latest,
        })
    }

    /// Says that `key` had no value from `at_ms` on. Returns the value that it had then, and from when on it held; `None` too if
    /// that is older than the history that is kept, and then nothing is deleted.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn delete(&self, key: &K, at_ms: i64) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        let before = self.get_as_of(key, at_ms)?;
        Ok(match self.put(key, None, at_ms)? {
            Validity::NotPut => None,
            Validity::Latest | Validity::Until(_) => before,
        })
    }

    /// The newest version of a key that holds from `at_ms` on or earlier.
    fn newest(&self, key: &K, at_ms: i64) -> StoreResult<Option<ValueAndTimestamp<Option<V>>>> {
        let (first, last) = (self.row_key(key, i64::MIN)?, self.row_key(key, at_ms)?);
        let inner = self.inner.borrow();
        let cached = inner.cached.borrow();
        let mut rows = cached.range(
            Bound::Included(&first[..first.len() - TIME_BYTES]),
            Bound::Included(&last),
            Direction::Backward,
        )?;
        let version = rows.find(|row| row.as_ref().map_or(true, |(row_key, _)| is_of(row_key, &last)));
        Ok(version.transpose()?.map(|(_, version)| version))
    }

    fn row_key(&self, key: &K, from_ms: i64) -> StoreResult<Vec<u8>> {
        let mut row = self.keys.bytes(key)?;
        row.extend_from_slice(&from_ms.max(0).to_be_bytes());
        Ok(row)
    }
}

// These know nothing of the types of keys and values, and are compiled once.

/// When the version of a key that follows one begins.
fn next_after(cached: &dyn UntypedCached, row_key: &[u8]) -> StoreResult<Option<i64>> {
    let last = row_at(row_key, i64::MAX);
    let rows = (Bound::Excluded(row_key), Bound::Included(&*last));
    let mut next = None;
    cached.each_version(rows, Direction::Forward, &mut |other, version| {
        let is_next = is_of(other, row_key);
        next = is_next.then_some(version.from_ms);
        !is_next
    })?;
    Ok(next)
}

/// The row of the same key at another time.
pub(super) fn row_at(row_key: &[u8], at_ms: i64) -> Vec<u8> {
    let key = &row_key[..row_key.len() - TIME_BYTES];
    [key, &at_ms.max(0).to_be_bytes()].concat()
}

/// Whether a row is of the same key as another: a key that begins with it lies in the same range.
pub(super) fn is_of(row_key: &[u8], other: &[u8]) -> bool {
    row_key.len() == other.len() && row_key[..row_key.len() - TIME_BYTES] == other[..other.len() - TIME_BYTES]
}

fn present<V>(version: ValueAndTimestamp<Option<V>>) -> Option<ValueAndTimestamp<V>> {
    Some(ValueAndTimestamp {
        value: version.value?,
        timestamp_ms: version.timestamp_ms,
    })
}

impl<K, V> std::fmt::Debug for VersionedKeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VersionedKeyValueStore")
            .field("changelog", &self.keys.topic)
            .finish_non_exhaustive()
    }
}

/// The value of a version, and whether there is one.
pub(super) struct VersionSerde<V>(pub(super) Arc<dyn Serde<V>>);

impl<V> std::fmt::Debug for VersionSerde<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VersionSerde").field(&self.0).finish()
    }
}

impl<V> Serde<Option<V>> for VersionSerde<V> {
    fn serialize(&self, topic: &str, value: &Option<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match value {
            None => out.push(IS_DELETED),
            Some(value) => {
                out.push(IS_THERE);
                self.0.serialize(topic, value, out)?;
            }
        }
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Option<V>, SerdeError> {
        match bytes.split_first() {
            Some((&IS_DELETED, [])) => Ok(None),
            Some((&IS_THERE, value)) => self.0.deserialize(topic, value).map(Some),
            _ => Err(SerdeError::new("a version begins with a byte of 0 or 1")),
        }
    }
}
