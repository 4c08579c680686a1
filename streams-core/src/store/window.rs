//! The typed window store of a processor: one value per key and window start.
//!
//! The same cache as a key-value store's, with Kafka's row key: key ‖ window start ‖ sequence.

use std::cell::RefCell;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;
use std::sync::Arc;

use state_store::Direction;
use state_store::key_schema::{WindowKey, window_bounds, window_key_range_bounds};

use super::cached::{Cached, CachedIter, Slot};
use super::keys::{KeyCodec, Keys, first_and_last_ms};
use super::{StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::serde::Serde;

/// A store of one value per key and window start, each with its event time (Kafka's `TimestampedWindowStore`).
///
/// Rows older than the store's retention, counted from the largest window start written, are not found any more, and
/// dropped in whole segments. What is put that is that old already is counted as dropped
/// ([`DropReason::Expired`](crate::metrics::DropReason::Expired)) at the next commit. A cheap handle: clones reach the same store. Keys are the same if their bytes are.
///
/// ```
/// use streams_core::store::{Direction, WindowStoreBuilder};
/// use streams_core::testing::MockProcessorContext;
///
/// let mut context = MockProcessorContext::<(), ()>::new();
/// let clicks = context.add_store(WindowStoreBuilder::<String, i64>::new("clicks", 3_600_000))?;
/// let [ada, bob] = ["ada", "bob"].map(str::to_owned);
/// for (user, start_ms) in [(&ada, 0), (&ada, 60_000), (&bob, 60_000), (&ada, 120_000)] {
///     clicks.put(user, start_ms, Some(1), start_ms)?;
/// }
/// let windows = |rows: streams_core::store::WindowIter<String, i64>| -> Vec<(String, i64)> {
///     rows.map(|row| row.map(|(user, start_ms, _)| (user, start_ms)).unwrap()).collect()
/// };
/// let of_ada = clicks.fetch_range(&ada, 0..=60_000, Direction::Backward)?;
/// assert_eq!(windows(of_ada), [(ada.clone(), 60_000), (ada.clone(), 0)]);
/// let at_one = clicks.fetch_all(.., 60_000..120_000, Direction::Forward)?;
/// assert_eq!(windows(at_one), [(ada.clone(), 60_000), (bob.clone(), 60_000)]);
/// let from_bob = clicks.fetch_all(&bob.., .., Direction::Forward)?;
/// assert_eq!(windows(from_bob), [(bob, 60_000)]);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// A store that [retains duplicates](super::WindowStoreBuilder::retain_duplicates) keeps every value that is put, numbered;
/// only ranges can be read from it.
pub struct WindowStore<K, V> {
    keys: KeyCodec<K>,
    retention_ms: i64,
    inner: Rc<RefCell<Inner<V>>>,
}

struct Inner<V> {
    cached: Rc<RefCell<Cached<V>>>,
    row_key: Vec<u8>,
    /// Largest window start written.
    observed_ms: i64,
    retains_duplicates: bool,
    /// If duplicates are retained, from the first one on.
    duplicates: Option<Duplicates>,
    /// Rows exactly as old as the retention are still found.
    time_ordered: bool,
}

/// Kafka's numbers of duplicates are positive, and start again after this one.
const LAST_DUPLICATE: u32 = i32::MAX as u32;

/// The numbers that tell the values of one key and time apart. They start again with each life of the task, where Kafka's
/// may then overwrite what an earlier life put. Here they start with the changelog's offset: there is a record in the
/// changelog for each number that was ever taken, so that those from there up to the last one are free.
#[derive(Clone, Copy)]
struct Duplicates {
    /// The last that was taken.
    last: u32,
    /// How many are free for sure. Behind them each is looked up.
    free: u32,
}

impl Duplicates {
    /// For a store whose rows are in the changelog up to this offset; `None` if it has none, or nothing in it.
    fn new(changelog_offset: Option<i64>, is_empty: bool) -> Self {
        let is_known = changelog_offset.is_some() || is_empty;
        let taken = u32::try_from(changelog_offset.unwrap_or_default()).unwrap_or(LAST_DUPLICATE);
        let last = taken.min(LAST_DUPLICATE);
        Self {
            last,
            free: if is_known { LAST_DUPLICATE - last } else { 0 },
        }
    }

    /// The next number, and whether it is free for sure.
    fn next(&mut self) -> (u32, bool) {
        self.last = if self.last == LAST_DUPLICATE {
            0
        } else {
            self.last + 1
        };
        let is_free = self.free > 0;
        self.free = self.free.saturating_sub(1);
        (self.last, is_free)
    }
}

impl<K, V> Clone for WindowStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            retention_ms: self.retention_ms,
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<K, V> WindowStore<K, V> {
    pub(crate) fn new(
        topic: Arc<str>,
        key_serde: Arc<dyn Serde<K>>,
        retention_ms: i64,
        (retain_duplicates, time_ordered): (bool, bool),
        cached: Rc<RefCell<Cached<V>>>,
    ) -> Self {
        let inner = Inner {
            cached,
            row_key: Vec::new(),
            observed_ms: i64::MIN,
            retains_duplicates: retain_duplicates,
            duplicates: None,
            time_ordered,
        };
        Self {
            keys: KeyCodec::new(topic, key_serde),
            retention_ms,
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// The value of `key` in the window that starts at `start_ms`, and its event time.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch(&self, key: &K, start_ms: i64) -> StoreResult<Option<ValueAndTimestamp<V>>>
    where
        V: Clone,
    {
        if start_ms < self.first_kept_ms() {
            return Ok(None);
        }
        self.with(key, start_ms, |cached, slot| cached.value(slot).cloned())
    }

    /// Sets the value of `key` in the window that starts at `start_ms`; `None`, and a value that is null on the wire, delete
    /// it. Returns what was there. Where duplicates are retained, the value is added to what is there, and `None` changes
    /// nothing.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn put(
        &self,
        key: &K,
        start_ms: i64,
        value: Option<V>,
        timestamp_ms: i64,
    ) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        let value = value.map(|value| ValueAndTimestamp { value, timestamp_ms });
        if self.inner.borrow().retains_duplicates {
            let value = value.filter(|row| !self.is_null(&row.value));
            if value.is_some() {
                self.observe(start_ms);
                let is_expired = start_ms < self.first_kept_ms();
                self.inner.borrow().cached.borrow_mut().count_expired(is_expired);
            }
            // A null deletes nothing. It takes a number where it is logged, as in Kafka, and only there: another life would take
            // a number again that no record in the changelog is for.
            if value.is_some() || self.inner.borrow().cached.borrow().logs_every_put() {
                self.add(key, start_ms, value, timestamp_ms)?;
            }
            return Ok(None);
        }
        self.observe(start_ms);
        let is_expired = start_ms < self.first_kept_ms();
        self.with(key, start_ms, |cached, slot| {
            cached.count_expired(is_expired && value.is_some());
            cached.set(slot, value, timestamp_ms)
        })
    }

    fn is_null(&self, value: &V) -> bool {
        self.inner.borrow().cached.borrow().is_null(value)
    }

    /// Puts a value under the next number that is free.
    fn add(
        &self,
        key: &K,
        start_ms: i64,
        value: Option<ValueAndTimestamp<V>>,
        timestamp_ms: i64,
    ) -> StoreResult<()> {
        let mut inner = self.inner.borrow_mut();
        let Inner {
            cached,
            row_key,
            duplicates,
            ..
        } = &mut *inner;
        let mut cached = cached.borrow_mut();
        let duplicates = match duplicates {
            Some(duplicates) => duplicates,
            None => duplicates.insert(Duplicates::new(cached.changelog_offset()?, cached.is_empty()?)),
        };
        row_key.clear();
        self.keys.write(key, row_key)?;
        row_key.extend_from_slice(&start_ms.to_be_bytes());
        let numberless = row_key.len();
        loop {
            let (number, is_free) = duplicates.next();
            row_key.truncate(numberless);
            row_key.extend_from_slice(&number.to_be_bytes());
            let slot = if is_free {
                cached.add(row_key)
            } else {
                cached.find(row_key)?
            };
            if cached.value(slot).is_none() {
                cached.set(slot, value, timestamp_ms);
                return Ok(());
            }
        }
    }

    /// Rows of windows that start before this time are not found any more.
    pub fn first_kept_ms(&self) -> i64 {
        let inner = self.inner.borrow();
        let oldest_ms = inner.observed_ms.saturating_sub(self.retention_ms);
        oldest_ms.saturating_add(i64::from(!inner.time_ordered))
    }

    /// The bytes of a key, as the store has them.
    ///
    /// # Errors
    /// If the key cannot be written.
    pub fn key_bytes(&self, key: &K) -> StoreResult<Vec<u8>> {
        self.keys.bytes(key)
    }

    /// Replaces the value of `key` in one window by what `change` makes of it, with one look-up. `None` deletes, or leaves
    /// nothing. What `change` returns beside it is passed on. `timestamp_ms` is the time of a deletion.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn update<R>(
        &self,
        key: &K,
        start_ms: i64,
        timestamp_ms: i64,
        change: impl FnOnce(Option<ValueAndTimestamp<V>>) -> (Option<ValueAndTimestamp<V>>, R),
    ) -> StoreResult<R> {
        self.observe(start_ms);
        let is_expired = start_ms < self.first_kept_ms();
        self.with(key, start_ms, |cached, slot| {
            let (value, result) = change(cached.take(slot));
            cached.count_expired(is_expired && value.is_some());
            cached.set(slot, value, timestamp_ms);
            result
        })
    }

    /// The windows of `key` that start at these times, in the order of time or backward (Kafka's `fetch` and `backwardFetch` of a
    /// key and times). A snapshot: later writes are not seen.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch_range(
        &self,
        key: &K,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<WindowIter<K, V>>
    where
        V: Clone,
    {
        let (from_ms, to_ms) = self.kept_ms(&starts_ms);
        let bytes = self.keys.bytes(key)?;
        let (first, last) = window_bounds(&bytes, from_ms, to_ms);
        let rows = (Bound::Included(&*first), Bound::Included(&*last));
        self.iter(rows, Keys::One(bytes), (from_ms, to_ms), direction)
    }

    /// The windows of a range of keys that start at these times, or backward (Kafka's `fetch` of two keys, `fetchAll`,
    /// `backwardFetchAll` and `backwardAll`). They come in the order of their rows' bytes, which is by key, then time; only of two
    /// keys whose bytes begin alike, so that one is the beginning of the other, windows may be mixed. A snapshot: later writes
    /// are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn fetch_all(
        &self,
        keys: impl RangeBounds<K>,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<WindowIter<K, V>>
    where
        V: Clone,
    {
        let (from_ms, to_ms) = self.kept_ms(&starts_ms);
        let keys = Keys::Between(self.keys.bounds(&keys)?);
        let (from_key, to_key) = keys.ends();
        let last = to_key.map(|to_key| window_key_range_bounds(from_key, to_key, to_ms).1);
        let from_key = from_key.to_vec();
        let last = last.as_deref().map_or(Bound::Unbounded, Bound::Included);
        self.iter(
            (Bound::Included(&*from_key), last),
            keys,
            (from_ms, to_ms),
            direction,
        )
    }

    /// All rows: `fetch_all(.., .., Direction::Forward)`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> StoreResult<WindowIter<K, V>>
    where
        V: Clone,
    {
        self.fetch_all(.., .., Direction::Forward)
    }

    /// The first and the last of these times, as far as rows are kept.
    fn kept_ms(&self, starts_ms: &impl RangeBounds<i64>) -> (i64, i64) {
        let (from_ms, to_ms) = first_and_last_ms(starts_ms);
        (from_ms.max(self.first_kept_ms()).max(0), to_ms)
    }

    fn iter(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        keys: Keys,
        (from_ms, to_ms): (i64, i64),
        direction: Direction,
    ) -> StoreResult<WindowIter<K, V>>
    where
        V: Clone,
    {
        let inner = self.inner.borrow();
        let cached = inner.cached.borrow();
        Ok(WindowIter {
            rows: cached.range_during(from, to, from_ms..=to_ms, direction)?,
            codec: self.keys.clone(),
            keys,
            from_ms,
            to_ms,
        })
    }

    /// Whether there was a row at the last commit. For what sends updates on at commits.
    #[doc(hidden)]
    pub fn was_committed(&self, key: &K, start_ms: i64) -> StoreResult<bool> {
        let mut row_key = self.keys.bytes(key)?;
        row_key.extend_from_slice(&start_ms.to_be_bytes());
        row_key.extend_from_slice(&0_u32.to_be_bytes());
        self.inner.borrow().cached.borrow_mut().was_committed(&row_key)
    }

    /// What is not committed is held by somebody else too, until the commit: it counts twice.
    #[doc(hidden)]
    pub fn hold_updates(&self) {
        self.inner.borrow().cached.borrow_mut().count_twice();
    }

    fn observe(&self, start_ms: i64) {
        let mut inner = self.inner.borrow_mut();
        if start_ms > inner.observed_ms {
            inner.observed_ms = start_ms;
            let mut cached = inner.cached.borrow_mut();
            cached.expire_before(start_ms.saturating_sub(self.retention_ms));
        }
    }

    fn with<R>(&self, key: &K, start_ms: i64, f: impl FnOnce(&mut Cached<V>, Slot) -> R) -> StoreResult<R> {
        let mut inner = self.inner.borrow_mut();
        let Inner { cached, row_key, .. } = &mut *inner;
        let mut cached = cached.borrow_mut();
        let slot = self.find(key, start_ms, row_key, &mut cached)?;
        Ok(f(&mut cached, slot))
    }

    /// Apart from [`with`](Self::with), so that it is compiled once for all that is done with a row.
    fn find(
        &self,
        key: &K,
        start_ms: i64,
        row_key: &mut Vec<u8>,
        cached: &mut Cached<V>,
    ) -> StoreResult<Slot> {
        row_key.clear();
        self.keys.write(key, row_key)?;
        row_key.extend_from_slice(&start_ms.to_be_bytes());
        row_key.extend_from_slice(&0_u32.to_be_bytes());
        cached.find(row_key)
    }
}

impl<K, V> std::fmt::Debug for WindowStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowStore")
            .field("changelog", &self.keys.topic)
            .finish_non_exhaustive()
    }
}

/// Rows of a [`WindowStore`]: key, window start in milliseconds, value.
pub struct WindowIter<K, V> {
    rows: CachedIter<V>,
    codec: KeyCodec<K>,
    keys: Keys,
    from_ms: i64,
    to_ms: i64,
}

impl<K, V> Iterator for WindowIter<K, V> {
    type Item = StoreResult<(K, i64, ValueAndTimestamp<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (row_key, value) = match self.rows.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            let Some(row) = WindowKey::decode(&row_key) else {
                return Some(Err(ProcessCause::CorruptRow {
                    store: self.codec.topic.to_string(),
                    length: row_key.len(),
                }));
            };
            if !self.keys.contain(row.key) || row.start_ms < self.from_ms || row.start_ms > self.to_ms {
                continue;
            }
            let key = self.codec.read(row.key);
            return Some(key.map(|key| (key, row.start_ms, value)));
        }
    }
}

impl<K, V> std::fmt::Debug for WindowIter<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowIter")
            .field("changelog", &self.codec.topic)
            .finish_non_exhaustive()
    }
}
