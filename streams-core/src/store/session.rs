//! The typed session store of a processor: one value per key and session.
//!
//! The same cache as a key-value store's, with Kafka's row key: key ‖ session end ‖ session start.

use std::cell::RefCell;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;
use std::sync::Arc;

use state_store::Direction;
use state_store::key_schema::{SessionKey, session_bounds, session_key_range_bounds};

use super::cached::{Cached, CachedIter};
use super::keys::{KeyCodec, Keys, first_and_last_ms};
use super::{StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::serde::Serde;

/// A store of one value per key and session (Kafka's `SessionStore`). A session goes from its first record to its last, both
/// included.
///
/// Rows older than the store's retention, counted from the latest session end written, are dropped in whole segments. What
/// is put that is that old already is counted as dropped ([`DropReason::Expired`](crate::metrics::DropReason::Expired)) at
/// the next commit. A cheap handle: clones reach the same store. Keys are the same if their bytes are.
///
/// ```
/// use streams_core::store::{Direction, SessionStoreBuilder};
/// use streams_core::testing::MockProcessorContext;
///
/// let mut context = MockProcessorContext::<(), ()>::new();
/// let visits = context.add_store(SessionStoreBuilder::<String, i64>::new("visits", 3_600_000))?;
/// let [ada, bob] = ["ada", "bob"].map(str::to_owned);
/// for (user, start_ms, end_ms) in [(&ada, 0, 10), (&ada, 40, 50), (&bob, 5, 45)] {
///     visits.put(user, (start_ms, end_ms), Some(1), end_ms)?;
/// }
/// let found = |rows: streams_core::store::SessionIter<String, i64>| -> Vec<(String, i64)> {
///     rows.map(|row| row.map(|session| (session.key, session.end_ms)).unwrap()).collect()
/// };
/// assert_eq!(found(visits.fetch(&ada, Direction::Backward)?), [(ada.clone(), 50), (ada.clone(), 10)]);
/// let around_20 = visits.find_all_sessions(.., 20.., ..=20, Direction::Forward)?;
/// assert_eq!(found(around_20), [(bob.clone(), 45)]);
/// let ended_by_45 = visits.find_all_sessions(&ada..=&bob, ..=45, .., Direction::Forward)?;
/// assert_eq!(found(ended_by_45), [(ada.clone(), 10), (bob, 45)]);
/// assert_eq!(visits.remove(&ada, (0, 10), 60)?.unwrap().value, 1);
/// assert_eq!(visits.fetch_session(&ada, 0, 10)?, None);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct SessionStore<K, V> {
    keys: KeyCodec<K>,
    retention_ms: i64,
    inner: Rc<RefCell<Inner<V>>>,
}

/// The first and the last end, and the first and the last start.
type Times = ((i64, i64), (i64, i64));

const ALL_TIMES: (i64, i64) = (i64::MIN, i64::MAX);

struct Inner<V> {
    cached: Rc<RefCell<Cached<V>>>,
    /// Latest session end written.
    observed_ms: i64,
}

impl<K, V> Clone for SessionStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
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
            keys: KeyCodec::new(topic, key_serde),
            retention_ms,
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// The value of the session of `key` from `start_ms` to `end_ms`, and when it was written, in event time.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch_session(
        &self,
        key: &K,
        start_ms: i64,
        end_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>>
    where
        V: Clone,
    {
        if end_ms < self.first_kept_ms() {
            return Ok(None);
        }
        self.fetch_closed(key, start_ms, end_ms)
    }

    /// As [`fetch_session`](Self::fetch_session), and also if the session is older than the retention, as long as it is there.
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
            cached.expire_before(end_ms.saturating_sub(self.retention_ms));
        }
        let slot = cached.find(&row)?;
        let first_kept_ms = inner
            .observed_ms
            .saturating_sub(self.retention_ms)
            .saturating_add(1);
        cached.count_expired(end_ms < first_kept_ms && value.is_some());
        let value = value.map(|value| ValueAndTimestamp { value, timestamp_ms });
        Ok(cached.set(slot, value, timestamp_ms))
    }

    /// Deletes the session of `key` from `start_ms` to `end_ms`, at this event time. Returns what was there.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn remove(
        &self,
        key: &K,
        session: (i64, i64),
        timestamp_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        self.put(key, session, None, timestamp_ms)
    }

    /// All sessions of `key`, by their end or backward: `find_sessions(key, .., .., direction)`.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch(&self, key: &K, direction: Direction) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        self.find_sessions(key, .., .., direction)
    }

    /// The sessions of `key` that end and that start at these times, by their end or backward (Kafka's `findSessions` and
    /// `backwardFindSessions` of a key). Those that touch a time from `a` to `b` end in `a..` and start in `..=b`. A snapshot:
    /// later writes are not seen.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn find_sessions(
        &self,
        key: &K,
        ends_ms: impl RangeBounds<i64>,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let ends_ms = self.kept_ms(&ends_ms);
        let bytes = self.keys.bytes(key)?;
        let (first, last) = session_bounds(&bytes, ends_ms.0);
        let rows = (Bound::Included(&*first), Bound::Included(&*last));
        let times_ms = (ends_ms, first_and_last_ms(&starts_ms));
        self.iter(rows, Keys::One(bytes), times_ms, direction)
    }

    /// The sessions of a range of keys that end and that start at these times, or backward (Kafka's `findSessions` of two keys,
    /// or of all that end from one time to another). They come in the order of their rows' bytes, which is by key, then end; only
    /// of two keys whose bytes begin alike, so that one is the beginning of the other, sessions may be mixed. A snapshot: later
    /// writes are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn find_all_sessions(
        &self,
        keys: impl RangeBounds<K>,
        ends_ms: impl RangeBounds<i64>,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let keys = Keys::Between(self.keys.bounds(&keys)?);
        let times_ms = (self.kept_ms(&ends_ms), first_and_last_ms(&starts_ms));
        self.iter_keys(keys, times_ms, direction)
    }

    /// All rows, those that are older than the retention included as long as they are there, by key bytes, then session ends.
    /// A snapshot: later writes are not seen.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let keys = Keys::Between((Bound::Unbounded, Bound::Unbounded));
        self.iter_keys(keys, (ALL_TIMES, ALL_TIMES), Direction::Forward)
    }

    fn iter_keys(&self, keys: Keys, times_ms: Times, direction: Direction) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let (from_key, to_key) = keys.ends();
        let ((_, latest_end_ms), _) = times_ms;
        let last = to_key.map(|to_key| session_key_range_bounds(from_key, to_key, latest_end_ms).1);
        let from_key = from_key.to_vec();
        let last = last.as_deref().map_or(Bound::Unbounded, Bound::Included);
        self.iter((Bound::Included(&*from_key), last), keys, times_ms, direction)
    }

    fn iter(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        keys: Keys,
        (ends_ms, starts_ms): Times,
        direction: Direction,
    ) -> StoreResult<SessionIter<K, V>>
    where
        V: Clone,
    {
        let inner = self.inner.borrow();
        let cached = inner.cached.borrow();
        Ok(SessionIter {
            rows: cached.range_during(from, to, ends_ms.0..=ends_ms.1, direction)?,
            codec: self.keys.clone(),
            keys,
            ends_ms,
            starts_ms,
        })
    }

    /// The first and the last of these ends, as far as rows are kept.
    fn kept_ms(&self, ends_ms: &impl RangeBounds<i64>) -> (i64, i64) {
        let (from_ms, to_ms) = first_and_last_ms(ends_ms);
        (from_ms.max(self.first_kept_ms()), to_ms)
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
        self.keys.bytes(key)
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
        let mut row = self.keys.bytes(key)?;
        row.extend_from_slice(&end_ms.to_be_bytes());
        row.extend_from_slice(&start_ms.to_be_bytes());
        Ok(row)
    }
}

impl<K, V> std::fmt::Debug for SessionStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore")
            .field("changelog", &self.keys.topic)
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
    codec: KeyCodec<K>,
    keys: Keys,
    ends_ms: (i64, i64),
    starts_ms: (i64, i64),
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
                    store: self.codec.topic.to_string(),
                    length: row_key.len(),
                }));
            };
            let within = |(first_ms, last_ms), time_ms| first_ms <= time_ms && time_ms <= last_ms;
            let at_times = within(self.ends_ms, session.end_ms) && within(self.starts_ms, session.start_ms);
            if !at_times || !self.keys.contain(session.key) {
                continue;
            }
            let key = self.codec.read(session.key);
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
            .field("changelog", &self.codec.topic)
            .finish_non_exhaustive()
    }
}
