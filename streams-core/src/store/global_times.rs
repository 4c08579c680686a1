//! Global stores whose rows have a time and end with it: of windows and of sessions.
//!
//! ```text
//!   row    r ‖ key ‖ window start ‖ 4 bytes of zero     as in a window store
//!          r ‖ key ‖ session end ‖ session start        as in a session store
//!   time   t ‖ window start or session end ‖ the row's key from its second byte on
//! ```
//!
//! The times have no value. They are in the same byte store as the rows, so that what is over is found at their beginning, and how
//! far time has come at their end.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use state_store::key_schema::{
    SESSION_SUFFIX_BYTES, SessionKey, WINDOW_SUFFIX_BYTES, WindowKey, session_bounds,
    session_key_range_bounds, window_bounds, window_key_range_bounds,
};
use state_store::{Direction, KeySchema, WriteBatch};

use super::global::{GlobalIter, GlobalKeyValueStore, GlobalRows, GlobalStoreBuilder, ROW};
use super::keys::{KeyBounds, Keys, first_and_last_ms, key_bounds};
use super::{StoreResult, ValueAndTimestamp};
use crate::serde::{Serde, SerdeError};

/// In front of the times of rows.
const TIME: u8 = b't';
/// Rows that are over and dropped with one batch of records, at most: what is left goes with the next ones, and is not found.
const MAX_DROPPED_ROWS: usize = 10_000;

/// A key of a global store of [windows](GlobalStoreBuilder::windows).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowStart<K> {
    /// The key.
    pub key: K,
    /// Where its window starts, in milliseconds.
    pub start_ms: i64,
}

/// A key of a global store of [sessions](GlobalStoreBuilder::sessions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionSpan<K> {
    /// The key.
    pub key: K,
    /// Time of its first record, in milliseconds.
    pub start_ms: i64,
    /// Time of its last record, in milliseconds.
    pub end_ms: i64,
}

impl<K: 'static, V: 'static> GlobalStoreBuilder<K, V> {
    /// A store of one value per key and window instead (Kafka's `WindowStore`, as the store of `addGlobalStore`). It is written by
    /// key and [start](WindowStart) of the window; rows of windows that start `retention_ms` or more before the latest start that
    /// was put are not found any more, and dropped. What is put that is that old already is counted
    /// ([`DropReason::Expired`](crate::metrics::DropReason::Expired)).
    ///
    /// ```
    /// use streams_core::store::{Direction, GlobalStoreBuilder, WindowStart};
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SourceOptions, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_global_store(
    ///     GlobalStoreBuilder::<String, i64>::new("temperatures").windows(24 * 3_600_000),
    ///     ("measured", "measured"),
    ///     "keep-hours",
    ///     SourceOptions::<String, i64>::default(),
    ///     |record, store| {
    ///         let start_ms = record.timestamp_ms - record.timestamp_ms % 3_600_000;
    ///         let hour = WindowStart { key: record.key, start_ms };
    ///         Ok(store.put(&hour, Some(&record.value), record.timestamp_ms)?)
    ///     },
    /// );
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (degrees, minute) in [(17_i64, 5), (18, 50), (21, 65)] {
    ///     driver.input("measured").pipe_at("Oslo".to_string(), degrees, minute * 60_000)?;
    /// }
    /// let oslo = "Oslo".to_string();
    /// let hours = driver.global_store::<WindowStart<String>, i64>("temperatures")?;
    /// assert_eq!(hours.fetch(&oslo, 0).unwrap().unwrap().value, 18);
    /// let all = hours.fetch_range(&oslo, .., Direction::Backward).unwrap();
    /// assert_eq!(all.map(|row| row.unwrap().1.value).collect::<Vec<_>>(), [21, 18]);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn windows(self, retention_ms: i64) -> GlobalStoreBuilder<WindowStart<K>, V> {
        let schema = KeySchema::Window;
        self.timed(RowTimes { schema, retention_ms }, |key| {
            Arc::new(WindowStartSerde(key))
        })
    }

    /// A store of one value per key and session instead (Kafka's `SessionStore`, as the store of `addGlobalStore`). It is written by
    /// key, first and last [time](SessionSpan) of the session; rows of sessions that end `retention_ms` or more before the latest
    /// end that was put are not found any more, and dropped. What is put that is that old already is counted
    /// ([`DropReason::Expired`](crate::metrics::DropReason::Expired)).
    ///
    /// ```
    /// use streams_core::store::{Direction, GlobalStoreBuilder, SessionSpan};
    /// use streams_core::testing::MockProcessorContext;
    ///
    /// let mut context = MockProcessorContext::<(), ()>::new();
    /// let visit = |key: &str, start_ms, end_ms| SessionSpan { key: key.to_string(), start_ms, end_ms };
    /// let rows = [(visit("ada", 0, 10), 3, 10), (visit("ada", 40, 50), 7, 50), (visit("bob", 5, 45), 1, 45)];
    /// let visits = GlobalStoreBuilder::<String, i64>::new("visits").sessions(3_600_000);
    /// let visits = context.add_global_store(visits, rows)?;
    /// assert_eq!(visits.get(&visit("ada", 40, 50))?.unwrap().value, 7);
    /// let around_20 = visits.find_all_sessions(.., 20.., ..=20, Direction::Forward)?;
    /// assert_eq!(around_20.map(|row| row.unwrap().0.key).collect::<Vec<_>>(), ["bob"]);
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    #[must_use]
    pub fn sessions(self, retention_ms: i64) -> GlobalStoreBuilder<SessionSpan<K>, V> {
        let schema = KeySchema::Session;
        self.timed(RowTimes { schema, retention_ms }, |key| {
            Arc::new(SessionSpanSerde(key))
        })
    }
}

/// What the rows of a store have for a time, and for how long they are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowTimes {
    pub(super) schema: KeySchema,
    pub(super) retention_ms: i64,
}

impl RowTimes {
    /// The time of a row.
    pub(super) fn time_ms(self, row_key: &[u8]) -> Option<i64> {
        self.schema.timestamp_ms(row_key.get(1..)?)
    }

    /// Where a row is noted by its time.
    pub(super) fn time_key(time_ms: i64, row_key: &[u8]) -> Vec<u8> {
        [&[TIME][..], &time_ms.to_be_bytes(), &row_key[1..]].concat()
    }

    /// The latest time of a row in a byte store.
    pub(super) fn last_ms(rows: &GlobalRows) -> StoreResult<Option<i64>> {
        let times = (Bound::Included(&[TIME][..]), Bound::Excluded(&[TIME + 1][..]));
        let last = rows.range(times.0, times.1, Direction::Backward)?.next();
        let time = last
            .transpose()?
            .and_then(|(key, _)| key[1..].first_chunk().copied());
        Ok(time.map(i64::from_be_bytes))
    }

    /// The first time of which rows are still found, if this is the latest.
    pub(super) fn first_kept_ms(self, last_ms: Option<i64>) -> i64 {
        last_ms.map_or(0, |last_ms| {
            last_ms.saturating_sub(self.retention_ms).saturating_add(1).max(0)
        })
    }

    /// Has rows that are over deleted with a batch.
    pub(super) fn drop_before(
        first_kept_ms: i64,
        rows: &GlobalRows,
        batch: &mut WriteBatch,
    ) -> state_store::Result<()> {
        let end = [&[TIME][..], &first_kept_ms.to_be_bytes()].concat();
        let over = rows.range(
            Bound::Included(&[TIME]),
            Bound::Excluded(&end),
            Direction::Forward,
        )?;
        for row in over.take(MAX_DROPPED_ROWS) {
            let (time_key, _) = row?;
            batch.delete(&time_key);
            let of_row = time_key.get(end.len()..).unwrap_or_default();
            batch.delete(&[&[ROW], of_row].concat());
        }
        Ok(())
    }
}

/// Which rows of a range are meant: others lie between them.
pub(super) struct TimedRows {
    schema: KeySchema,
    keys: Keys,
    /// Starts of windows, or ends of sessions.
    times_ms: (i64, i64),
    /// Of sessions.
    starts_ms: (i64, i64),
}

const ALL_TIMES: (i64, i64) = (i64::MIN, i64::MAX);

impl TimedRows {
    /// All that are kept.
    pub(super) fn from(schema: KeySchema, first_kept_ms: i64) -> Self {
        Self {
            schema,
            keys: Keys::Between((Bound::Unbounded, Bound::Unbounded)),
            times_ms: (first_kept_ms, i64::MAX),
            starts_ms: ALL_TIMES,
        }
    }

    pub(super) fn contain(&self, row_key: &[u8]) -> bool {
        let within = |(first_ms, last_ms): (i64, i64), at_ms| first_ms <= at_ms && at_ms <= last_ms;
        let row_key = row_key.get(1..).unwrap_or_default();
        match self.schema {
            KeySchema::Window => WindowKey::decode(row_key)
                .is_some_and(|row| self.keys.contain(row.key) && within(self.times_ms, row.start_ms)),
            KeySchema::Session => SessionKey::decode(row_key).is_some_and(|row| {
                self.keys.contain(row.key)
                    && within(self.times_ms, row.end_ms)
                    && within(self.starts_ms, row.start_ms)
            }),
            // Its schemas may become more; a store has one of these two.
            _ => false,
        }
    }
}

/// The rows of windows.
impl<K: Clone, V> GlobalKeyValueStore<WindowStart<K>, V> {
    /// The value of `key` in the window that starts at `start_ms`, and its event time.
    ///
    /// # Errors
    /// If the key cannot be written, or the row not be read.
    pub fn fetch(&self, key: &K, start_ms: i64) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        let key = key.clone();
        self.get(&WindowStart { key, start_ms })
    }

    /// The windows of `key` that start at these times, in the order of time or backward: see
    /// [`WindowStore::fetch_range`](super::WindowStore::fetch_range). A snapshot: later updates are not seen.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn fetch_range(
        &self,
        key: &K,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, WindowStart<K>, V>> {
        let times_ms = self.kept_ms(&starts_ms)?;
        let bytes = self.key_of_window(key)?;
        let (first, last) = window_bounds(&bytes, times_ms.0, times_ms.1);
        let rows = (KeySchema::Window, Keys::One(bytes), times_ms, ALL_TIMES);
        self.timed_iter((first, Some(last)), rows, direction)
    }

    /// The windows of a range of keys that start at these times, or backward: see
    /// [`WindowStore::fetch_all`](super::WindowStore::fetch_all). A snapshot: later updates are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn fetch_all(
        &self,
        keys: impl RangeBounds<K>,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, WindowStart<K>, V>> {
        let times_ms = self.kept_ms(&starts_ms)?;
        let keys: KeyBounds = key_bounds(&keys, &|key| self.key_of_window(key))?;
        let keys = Keys::Between(keys);
        let (from, to) = keys.ends();
        let first = from.to_vec();
        let last = to.map(|to| window_key_range_bounds(from, to, times_ms.1).1);
        let rows = (KeySchema::Window, keys, times_ms, ALL_TIMES);
        self.timed_iter((first, last), rows, direction)
    }

    fn key_of_window(&self, key: &K) -> StoreResult<Vec<u8>> {
        let key = key.clone();
        self.key_alone(&WindowStart { key, start_ms: 0 }, WINDOW_SUFFIX_BYTES)
    }
}

/// The rows of sessions.
impl<K: Clone, V> GlobalKeyValueStore<SessionSpan<K>, V> {
    /// The sessions of `key` that end and that start at these times, by their end or backward: see
    /// [`SessionStore::find_sessions`](super::SessionStore::find_sessions). A snapshot: later updates are not seen.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn find_sessions(
        &self,
        key: &K,
        ends_ms: impl RangeBounds<i64>,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, SessionSpan<K>, V>> {
        let times_ms = self.kept_ms(&ends_ms)?;
        let bytes = self.key_of_session(key)?;
        let (first, last) = session_bounds(&bytes, times_ms.0);
        let starts_ms = first_and_last_ms(&starts_ms);
        let rows = (KeySchema::Session, Keys::One(bytes), times_ms, starts_ms);
        self.timed_iter((first, Some(last)), rows, direction)
    }

    /// The sessions of a range of keys that end and that start at these times, or backward: see
    /// [`SessionStore::find_all_sessions`](super::SessionStore::find_all_sessions). A snapshot: later updates are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn find_all_sessions(
        &self,
        keys: impl RangeBounds<K>,
        ends_ms: impl RangeBounds<i64>,
        starts_ms: impl RangeBounds<i64>,
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, SessionSpan<K>, V>> {
        let times_ms = self.kept_ms(&ends_ms)?;
        let keys = Keys::Between(key_bounds(&keys, &|key| self.key_of_session(key))?);
        let (from, to) = keys.ends();
        let first = from.to_vec();
        let last = to.map(|to| session_key_range_bounds(from, to, times_ms.1).1);
        let starts_ms = first_and_last_ms(&starts_ms);
        let rows = (KeySchema::Session, keys, times_ms, starts_ms);
        self.timed_iter((first, last), rows, direction)
    }

    fn key_of_session(&self, key: &K) -> StoreResult<Vec<u8>> {
        let key = key.clone();
        let span = SessionSpan {
            key,
            start_ms: 0,
            end_ms: 0,
        };
        self.key_alone(&span, SESSION_SUFFIX_BYTES)
    }
}

impl<K, V> GlobalKeyValueStore<K, V> {
    /// A key as bytes, without what comes behind it in a row's.
    fn key_alone(&self, key: &K, suffix_bytes: usize) -> StoreResult<Vec<u8>> {
        let mut bytes = self.row_key(key)?;
        bytes.truncate(bytes.len() - suffix_bytes);
        bytes.remove(0);
        Ok(bytes)
    }

    /// The first and the last of these times, as far as rows are kept.
    fn kept_ms(&self, times_ms: &impl RangeBounds<i64>) -> StoreResult<(i64, i64)> {
        let (from_ms, to_ms) = first_and_last_ms(times_ms);
        Ok((from_ms.max(self.first_kept_ms()?.unwrap_or(0)), to_ms))
    }

    fn timed_iter(
        &self,
        (first, last): (Vec<u8>, Option<Vec<u8>>),
        (schema, keys, times_ms, starts_ms): (KeySchema, Keys, (i64, i64), (i64, i64)),
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, K, V>> {
        let row = |key: Vec<u8>| [&[ROW][..], &key].concat();
        let last = last.map_or(Bound::Excluded(vec![ROW + 1]), |last| Bound::Included(row(last)));
        let rows = TimedRows {
            schema,
            keys,
            times_ms,
            starts_ms,
        };
        self.iter_of(
            Bound::Included(&row(first)),
            last.as_ref().map(Vec::as_slice),
            direction,
            Some(rows),
        )
    }
}

/// The key of a row of a window store.
struct WindowStartSerde<K>(Arc<dyn Serde<K>>);

impl<K> Debug for WindowStartSerde<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WindowStartSerde").field(&self.0).finish()
    }
}

impl<K> Serde<WindowStart<K>> for WindowStartSerde<K> {
    fn serialize(&self, topic: &str, value: &WindowStart<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.start_ms.to_be_bytes());
        out.extend_from_slice(&0_u32.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<WindowStart<K>, SerdeError> {
        let row = WindowKey::decode(bytes);
        let row = row.ok_or_else(|| SerdeError::new("a row of a window has at least 12 bytes"))?;
        Ok(WindowStart {
            key: self.0.deserialize(topic, row.key)?,
            start_ms: row.start_ms,
        })
    }

    fn is_null(&self, value: &WindowStart<K>) -> bool {
        self.0.is_null(&value.key)
    }
}

/// The key of a row of a session store.
struct SessionSpanSerde<K>(Arc<dyn Serde<K>>);

impl<K> Debug for SessionSpanSerde<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionSpanSerde").field(&self.0).finish()
    }
}

impl<K> Serde<SessionSpan<K>> for SessionSpanSerde<K> {
    fn serialize(&self, topic: &str, value: &SessionSpan<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.end_ms.to_be_bytes());
        out.extend_from_slice(&value.start_ms.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<SessionSpan<K>, SerdeError> {
        let row = SessionKey::decode(bytes);
        let row = row.ok_or_else(|| SerdeError::new("a row of a session has at least 16 bytes"))?;
        Ok(SessionSpan {
            key: self.0.deserialize(topic, row.key)?,
            start_ms: row.start_ms,
            end_ms: row.end_ms,
        })
    }

    fn is_null(&self, value: &SessionSpan<K>) -> bool {
        self.0.is_null(&value.key)
    }
}
