//! The typed session store of a processor: one value per key and session.
//!
//! The same cache as a key-value store's, with Kafka's row key: key ‖ session end ‖ session start.

use std::cell::RefCell;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use state_store::Direction;
use state_store::key_schema::{SessionKey, session_bounds};

use super::cached::{Cached, CachedIter};
use super::{StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::serde::Serde;

/// A store of one value per key and session (Kafka's `SessionStore`). A session goes from its first record to its last, both
/// included.
///
/// Rows older than the store's retention, counted from the latest session end written, are dropped in whole segments. What
/// is put that is that old already is counted as dropped ([`DropReason::Expired`](crate::metrics::DropReason::Expired)) at
/// the next commit. A cheap handle: clones reach the same store. Keys are the same if their bytes are.
pub struct SessionStore<K, V> {
    topic: Arc<str>,
    key_serde: Arc<dyn Serde<K>>,
    retention_ms: i64,
    inner: Rc<RefCell<Inner<V>>>,
}

struct Inner<V> {
    cached: Rc<RefCell<Cached<V>>>,
    /// Latest session end written.
    observed_ms: i64,
}

impl<K, V> Clone for SessionStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            key_serde: Arc::clone(&self.key_serde),
            retention_ms: self.retention_ms,
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<K, V> SessionStore<K, V> {
    pub(crate) fn new(
        topic: Arc<str>,
        key_serde: Arc<dyn Serde<K>>,
        retention_ms: i64,
        cached: Rc<RefCell<Cached<V>>>,
    ) -> Self {
        let inner = Inner {
            cached,
            observed_ms: i64::MIN,
        };
        Self {
            topic,
            key_serde,
            retention_ms,
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// The value of the session of `key` from `start_ms` to `end_ms`, and when it was written, in event time.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch(&self, key: &K, start_ms: i64, end_ms: i64) -> StoreResult<Option<ValueAndTimestamp<V>>>
    where
        V: Clone,
    {
        if end_ms < self.first_kept_ms() {
            return Ok(None);
        }
        self.fetch_closed(key, start_ms, end_ms)
    }

    /// As [`fetch`](Self::fetch), and also if the session is older than the retention, as long as it is there.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch_closed(
        &self,
        key: &K,
        start_ms: i64,
        end_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>>
    where
        V: Clone,
    {
        let row = self.row_key(key, start_ms, end_ms)?;
        let inner = self.inner.borrow();
        let mut cached = inner.cached.borrow_mut();
        let slot = cached.find(&row)?;
        Ok(cached.value(slot).cloned())
    }

    /// Sets the value of the session of `key` from `start_ms` to `end_ms`; `None`, and a value that is null on
    /// the wire, delete it. Returns what was there.
    /// `timestamp_ms` is the event time of the change.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn put(
        &self,
        key: &K,
        (start_ms, end_ms): (i64, i64),
        value: Option<V>,
        timestamp_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        let row = self.row_key(key, start_ms, end_ms)?;
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let mut cached = inner.cached.borrow_mut();
        if end_ms > inner.observed_ms {
            inner.observed_ms = end_ms;
            cached.expire_before_ms = Some(end_ms.saturating_sub(self.retention_ms));
        }
        let slot = cached.find(&row)?;
        let first_kept_ms = inner
            .observed_ms
            .saturating_sub(self.retention_ms)
            .saturating_add(1);
        cached.expired += u64::from(end_ms < first_kept_ms && value.is_some());
        let value = value.map(|value| ValueAndTimestamp { value, timestamp_ms });
        Ok(cached.set(slot, value, timestamp_ms))
    }

    /// The sessions of `key` that end at `earliest_end_ms` or later and start at `latest_start_ms` or earlier, by their end.
    /// A snapshot.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn find_sessions(
        &self,
        key: &K,
        earliest_end_ms: i64,
        latest_start_ms: i64,
    ) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let mut bytes = Vec::new();
        self.write_key(key, &mut bytes)?;
        let earliest_end_ms = earliest_end_ms.max(self.first_kept_ms());
        let (first, last) = session_bounds(&bytes, earliest_end_ms);
        self.iter(
            Bound::Included(&first),
            Bound::Included(&last),
            Some(bytes),
            latest_start_ms,
        )
    }

    /// All rows in the order of key bytes, then session ends. A snapshot.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        self.iter(Bound::Unbounded, Bound::Unbounded, None, i64::MAX)
    }

    fn iter(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        key: Option<Vec<u8>>,
        latest_start_ms: i64,
    ) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let inner = self.inner.borrow();
        let rows = inner.cached.borrow().range(from, to, Direction::Forward)?;
        Ok(SessionIter {
            rows,
            topic: Arc::clone(&self.topic),
            key_serde: Arc::clone(&self.key_serde),
            key,
            latest_start_ms,
        })
    }

    /// Sessions that ended before this time are not found any more.
    fn first_kept_ms(&self) -> i64 {
        let observed_ms = self.inner.borrow().observed_ms;
        observed_ms.saturating_sub(self.retention_ms).saturating_add(1)
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

    /// Whether there was a row at the last commit. For what sends updates on at commits.
    #[doc(hidden)]
    pub fn was_committed(&self, key: &K, (start_ms, end_ms): (i64, i64)) -> StoreResult<bool> {
        let row_key = self.row_key(key, start_ms, end_ms)?;
        self.inner.borrow().cached.borrow_mut().was_committed(&row_key)
    }

    /// What is not committed is held by somebody else too, until the commit: it counts twice.
    #[doc(hidden)]
    pub fn hold_updates(&self) {
        self.inner.borrow().cached.borrow_mut().count_twice();
    }

    fn row_key(&self, key: &K, start_ms: i64, end_ms: i64) -> StoreResult<Vec<u8>> {
        let mut row = Vec::new();
        self.write_key(key, &mut row)?;
        row.extend_from_slice(&end_ms.to_be_bytes());
        row.extend_from_slice(&start_ms.to_be_bytes());
        Ok(row)
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

impl<K, V> std::fmt::Debug for SessionStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore")
            .field("changelog", &self.topic)
            .finish_non_exhaustive()
    }
}

/// A row of a [`SessionStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<K, V> {
    /// The key.
    pub key: K,
    /// Time of its first record, in milliseconds.
    pub start_ms: i64,
    /// Time of its last record, in milliseconds.
    pub end_ms: i64,
    /// The value.
    pub value: V,
}

/// Rows of a [`SessionStore`].
pub struct SessionIter<K, V> {
    rows: CachedIter<V>,
    topic: Arc<str>,
    key_serde: Arc<dyn Serde<K>>,
    /// Only this key: a key that begins with it lies in the same range.
    key: Option<Vec<u8>>,
    latest_start_ms: i64,
}

impl<K, V> Iterator for SessionIter<K, V> {
    type Item = StoreResult<Session<K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (row_key, row) = match self.rows.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            let Some(session) = SessionKey::decode(&row_key) else {
                return Some(Err(ProcessCause::CorruptRow {
                    store: self.topic.to_string(),
                    length: row_key.len(),
                }));
            };
            let other_key = self.key.as_ref().is_some_and(|key| key != session.key);
            if other_key || session.start_ms > self.latest_start_ms {
                continue;
            }
            let key = self.key_serde.deserialize(&self.topic, session.key);
            let key = key.map_err(|error| ProcessCause::Serde {
                action: "read",
                part: "key",
                topic: self.topic.to_string(),
                error,
            });
            return Some(key.map(|key| Session {
                key,
                start_ms: session.start_ms,
                end_ms: session.end_ms,
                value: row.value,
            }));
        }
    }
}

impl<K, V> std::fmt::Debug for SessionIter<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionIter")
            .field("changelog", &self.topic)
            .finish_non_exhaustive()
    }
}
