//! Global stores: filled from a topic by one thread of the application, read by all of its tasks.
//!
//! ```text
//!   topic, all partitions -> update function -> byte store <- GlobalKeyValueStore of each task
//! ```
//!
//! The topic is the store's changelog. Rows and the offsets they correspond to lie in the same byte store and change together,
//! so that a restart goes on where the store is. Nothing else is logged.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use state_store::{Direction, WriteBatch};

use super::global_processor::{GlobalProcessor, GlobalUpdate, Updater};
use super::global_times::{RowTimes, TimedRows};
use super::keys::{after_prefix, as_slice, key_bounds};
use super::{StoreKind, StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::serde::{DefaultSerde, Serde};
use crate::topology::{ErasedHandle, SourceOptions};

/// In front of the keys of rows.
pub(super) const ROW: u8 = b'r';
/// In front of a partition, whose position the row is.
const POSITION: u8 = b'p';
/// Bytes of the timestamp in front of a stored value.
const TIMESTAMP_BYTES: usize = 8;

/// Declares a [`GlobalKeyValueStore`].
///
/// ```
/// use streams_core::store::{GlobalStoreBuilder, StoreKind};
///
/// let prices = GlobalStoreBuilder::<String, i64>::new("prices").kind(StoreKind::InMemory);
/// ```
#[derive(Clone, Debug)]
pub struct GlobalStoreBuilder<K, V> {
    name: String,
    kind: Option<StoreKind>,
    times: Option<RowTimes>,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: DefaultSerde, V: DefaultSerde> GlobalStoreBuilder<K, V> {
    /// A store of this name with the types' default serdes.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_serdes(name, K::default_serde(), V::default_serde())
    }
}

impl<K: 'static, V: 'static> GlobalStoreBuilder<K, V> {
    /// A store of this name with these serdes.
    pub fn with_serdes(
        name: impl Into<String>,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            name: name.into(),
            kind: None,
            times: None,
            key_serde,
            value_serde,
        }
    }

    /// Where rows are kept. In memory they are read from the topic at every start. Default: as the topology says, or on disk.
    #[must_use]
    pub fn kind(mut self, kind: StoreKind) -> Self {
        self.kind = Some(kind);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A store whose rows have a time.
    pub(super) fn timed<T: 'static>(
        self,
        times: RowTimes,
        of_key: impl FnOnce(Arc<dyn Serde<K>>) -> Arc<dyn Serde<T>>,
    ) -> GlobalStoreBuilder<T, V> {
        GlobalStoreBuilder {
            name: self.name,
            kind: self.kind,
            times: Some(times),
            key_serde: of_key(self.key_serde),
            value_serde: self.value_serde,
        }
    }

    /// The store on its own, with these rows: key, value, event time.
    pub(crate) fn filled(
        self,
        bytes: GlobalRows,
        rows: impl IntoIterator<Item = (K, V, i64)>,
    ) -> StoreResult<GlobalKeyValueStore<K, V>> {
        let store = GlobalKeyValueStore {
            topic: Arc::from(self.name),
            rows: bytes,
            times: self.times,
            key_serde: self.key_serde,
            value_serde: self.value_serde,
        };
        let mut batch = WriteBatch::new();
        for (key, value, timestamp_ms) in rows {
            let row_key = store.row_key(&key)?;
            batch.put(&row_key, &store.write_row(&value, timestamp_ms)?);
            if let Some(time_ms) = store.times.and_then(|times| times.time_ms(&row_key)) {
                batch.put(&RowTimes::time_key(time_ms, &row_key), &[]);
            }
        }
        store.rows.write(&batch)?;
        Ok(store)
    }

    /// The store as data: what `supplier` makes turns the records of the topic into rows.
    pub(crate) fn into_spec<KI: 'static, VI: 'static, P: GlobalProcessor<KI, VI, K, V>>(
        self,
        topic: &str,
        processor: &str,
        options: SourceOptions<KI, VI>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) -> GlobalStoreSpec {
        let Self {
            name,
            kind,
            times,
            key_serde,
            value_serde,
        } = self;
        let topic: Arc<str> = Arc::from(topic);
        let serdes_topic = Arc::clone(&topic);
        let open = move |rows| GlobalKeyValueStore {
            topic: Arc::clone(&serdes_topic),
            rows,
            times,
            key_serde: Arc::clone(&key_serde),
            value_serde: Arc::clone(&value_serde),
        };
        let options = Arc::new(options);
        let open_reader = open.clone();
        GlobalStoreSpec {
            name,
            topic,
            processor: processor.to_owned(),
            kind,
            open: Arc::new(move |rows| ErasedHandle::new(open_reader(rows))),
            updater: Arc::new(move |rows| {
                Box::new(Updater {
                    options: Arc::clone(&options),
                    processor: supplier(),
                    store: open(rows),
                })
            }),
        }
    }
}

/// The rows of a global store, to whoever has the bytes.
pub(crate) type GlobalRows = Arc<dyn state_store::KeyValueStore>;

/// A global store as data.
#[derive(Clone)]
pub(crate) struct GlobalStoreSpec {
    pub(crate) name: String,
    pub(crate) topic: Arc<str>,
    /// The processor that updates it.
    pub(crate) processor: String,
    /// `None` until the topology is built: as it says.
    pub(crate) kind: Option<StoreKind>,
    /// Makes a reader, a `GlobalKeyValueStore<K, V>`.
    pub(crate) open: Arc<dyn Fn(GlobalRows) -> ErasedHandle + Send + Sync>,
    /// Makes what turns records into rows, anew for each start.
    pub(crate) updater: Arc<dyn Fn(GlobalRows) -> Box<dyn GlobalUpdate> + Send + Sync>,
}

impl Debug for GlobalStoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalStoreSpec")
            .field("name", &self.name)
            .field("topic", &self.topic)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A store with the rows of a whole topic, the same in all tasks (Kafka's `ReadOnlyKeyValueStore` of a global table).
///
/// What it shows is not in step with the records that a task processes: updates appear as they are read from the topic.
/// Keys are the same if their bytes are.
///
/// ```
/// use streams_core::store::{Direction, GlobalStoreBuilder};
/// use streams_core::testing::MockProcessorContext;
///
/// let mut context = MockProcessorContext::<(), ()>::new();
/// let rows = [("tea", 7), ("milk", 2), ("oats", 1)].map(|(name, price)| (name.to_string(), price, 0));
/// let prices = context.add_global_store(GlobalStoreBuilder::<String, i64>::new("prices"), rows)?;
/// let names = |rows: streams_core::store::GlobalIter<'_, String, i64>| -> Vec<String> {
///     rows.map(|row| row.unwrap().0).collect()
/// };
/// assert_eq!(names(prices.range(&"n".to_string().., Direction::Backward)?), ["tea", "oats"]);
/// assert_eq!(names(prices.prefix_scan(b"mi", Direction::Forward)?), ["milk"]);
/// assert_eq!(prices.approximate_num_entries()?, 3);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct GlobalKeyValueStore<K, V> {
    topic: Arc<str>,
    pub(super) rows: GlobalRows,
    pub(super) times: Option<RowTimes>,
    pub(super) key_serde: Arc<dyn Serde<K>>,
    pub(super) value_serde: Arc<dyn Serde<V>>,
}

impl<K, V> Clone for GlobalKeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            rows: Arc::clone(&self.rows),
            times: self.times,
            key_serde: Arc::clone(&self.key_serde),
            value_serde: Arc::clone(&self.value_serde),
        }
    }
}

impl<K, V> GlobalKeyValueStore<K, V> {
    /// The value of `key` and its event time. A null key has none.
    ///
    /// # Errors
    /// If the key cannot be written, or the row not be read.
    pub fn get(&self, key: &K) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        if self.key_serde.is_null(key) {
            return Ok(None);
        }
        let row_key = self.row_key(key)?;
        let time_ms = self.times.and_then(|times| times.time_ms(&row_key));
        if time_ms.is_some() && time_ms < self.first_kept_ms()? {
            return Ok(None);
        }
        let row = self.rows.get(&row_key)?;
        row.map(|row| self.read_row(&row)).transpose()
    }

    /// All rows in the order of their key bytes: `range(.., Direction::Forward)`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&self) -> StoreResult<GlobalIter<'_, K, V>> {
        self.range(.., Direction::Forward)
    }

    /// The rows of a range of keys, in the order of their key bytes or backward: see
    /// [`KeyValueStore::range`](super::KeyValueStore::range). A snapshot: later updates are not seen.
    ///
    /// # Errors
    /// If a key cannot be written, or the store not be read.
    pub fn range(
        &self,
        keys: impl RangeBounds<K>,
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, K, V>> {
        let (from, to) = key_bounds(&keys, &|key| self.row_key(key))?;
        let from = match &from {
            Bound::Unbounded => Bound::Included(&[ROW][..]),
            from => as_slice(from),
        };
        let to = match &to {
            Bound::Unbounded => Bound::Excluded(&[ROW + 1][..]),
            to => as_slice(to),
        };
        self.iter(from, to, direction)
    }

    /// The rows whose key bytes begin with `prefix`, in the order of their key bytes or backward. A snapshot: later updates
    /// are not seen.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn prefix_scan(&self, prefix: &[u8], direction: Direction) -> StoreResult<GlobalIter<'_, K, V>> {
        let prefix = [&[ROW], prefix].concat();
        self.iter(
            Bound::Included(&prefix),
            as_slice(&after_prefix(&prefix)),
            direction,
        )
    }

    /// About how many rows there are. Exact in memory; a store on disk guesses.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub fn approximate_num_entries(&self) -> StoreResult<u64> {
        let positions = self.rows.prefix(&[POSITION])?.count() as u64;
        let rows = self.rows.approximate_len()?.saturating_sub(positions);
        // Each is there a second time, by its time.
        Ok(if self.times.is_some() { rows / 2 } else { rows })
    }

    /// The first time of which rows are found, if they have a time.
    pub(super) fn first_kept_ms(&self) -> StoreResult<Option<i64>> {
        let Some(times) = self.times else {
            return Ok(None);
        };
        Ok(Some(times.first_kept_ms(RowTimes::last_ms(&self.rows)?)))
    }

    fn iter(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
    ) -> StoreResult<GlobalIter<'_, K, V>> {
        let of_time = match (self.times, self.first_kept_ms()?) {
            (Some(times), Some(first_kept_ms)) => Some(TimedRows::from(times.schema, first_kept_ms)),
            _ => None,
        };
        self.iter_of(from, to, direction, of_time)
    }

    /// The rows of a range, of those with a time only these.
    pub(super) fn iter_of(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        of_time: Option<TimedRows>,
    ) -> StoreResult<GlobalIter<'_, K, V>> {
        let rows = self.rows.range(from, to, direction)?;
        Ok(GlobalIter {
            rows,
            of_time,
            store: self,
        })
    }

    pub(super) fn row_key(&self, key: &K) -> StoreResult<Vec<u8>> {
        let mut bytes = vec![ROW];
        let written = self.key_serde.serialize(&self.topic, key, &mut bytes);
        written.map_err(|error| self.problem("write", "key", error))?;
        Ok(bytes)
    }

    pub(super) fn write_row(&self, value: &V, timestamp_ms: i64) -> StoreResult<Vec<u8>> {
        let mut row = timestamp_ms.to_be_bytes().to_vec();
        let written = self.value_serde.serialize(&self.topic, value, &mut row);
        written.map_err(|error| self.problem("write", "value", error))?;
        Ok(row)
    }

    pub(super) fn read_row(&self, row: &[u8]) -> StoreResult<ValueAndTimestamp<V>> {
        let Some((timestamp, value)) = row.split_first_chunk::<TIMESTAMP_BYTES>() else {
            return Err(ProcessCause::CorruptRow {
                store: self.rows.name().to_owned(),
                length: row.len(),
            });
        };
        let value = self.value_serde.deserialize(&self.topic, value);
        Ok(ValueAndTimestamp {
            value: value.map_err(|error| self.problem("read", "value", error))?,
            timestamp_ms: i64::from_be_bytes(*timestamp),
        })
    }

    fn problem(
        &self,
        action: &'static str,
        part: &'static str,
        error: crate::serde::SerdeError,
    ) -> ProcessCause {
        ProcessCause::serde(action, part, &self.topic, error)
    }
}

impl<K, V> Debug for GlobalKeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalKeyValueStore")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Rows of a [`GlobalKeyValueStore`].
pub struct GlobalIter<'a, K, V> {
    rows: state_store::KeyValueIter,
    of_time: Option<TimedRows>,
    store: &'a GlobalKeyValueStore<K, V>,
}

impl<K, V> Iterator for GlobalIter<'_, K, V> {
    type Item = StoreResult<(K, ValueAndTimestamp<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let store = self.store;
        let read = |(key, row): (Bytes, Bytes)| {
            let bytes = key.get(1..).unwrap_or_default();
            let key = store.key_serde.deserialize(&store.topic, bytes);
            let key = key.map_err(|error| store.problem("read", "key", error))?;
            Ok((key, store.read_row(&row)?))
        };
        let of_time = &self.of_time;
        let is_meant = |key: &[u8]| of_time.as_ref().is_none_or(|rows| rows.contain(key));
        let row = self
            .rows
            .find(|row| row.as_ref().map_or(true, |(key, _)| is_meant(key)))?;
        Some(row.map_err(ProcessCause::from).and_then(read))
    }
}

impl<K, V> Debug for GlobalIter<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalIter")
            .field("store", self.store)
            .finish_non_exhaustive()
    }
}

/// Rows that are not in the byte store yet, `None` for deletions.
#[derive(Debug, Default)]
pub(crate) struct PendingRows {
    pub(super) rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Of rows with a time: the latest, once it is known.
    last_ms: Option<i64>,
    /// And the first of which rows are kept.
    pub(super) first_kept_ms: i64,
}

impl PendingRows {
    /// Writes all rows, and with them the position up to which the partition is read.
    pub(crate) fn write(
        &mut self,
        rows: &GlobalRows,
        partition: i32,
        position: i64,
    ) -> state_store::Result<()> {
        let mut batch = WriteBatch::new();
        batch.put(&position_key(partition), &position.to_be_bytes());
        for (key, row) in std::mem::take(&mut self.rows) {
            match row {
                Some(row) => batch.put(&key, &row),
                None => batch.delete(&key),
            }
        }
        if self.first_kept_ms > 0 {
            RowTimes::drop_before(self.first_kept_ms, rows, &mut batch)?;
        }
        rows.write(&batch)
    }

    /// A row of this time is put. True if it is kept.
    pub(super) fn observe(&mut self, times: RowTimes, time_ms: i64, rows: &GlobalRows) -> StoreResult<bool> {
        let last_ms = match self.last_ms {
            Some(last_ms) => Some(last_ms),
            None => RowTimes::last_ms(rows)?,
        };
        self.last_ms = Some(last_ms.map_or(time_ms, |last_ms| last_ms.max(time_ms)));
        self.first_kept_ms = times.first_kept_ms(self.last_ms);
        Ok(time_ms >= self.first_kept_ms)
    }
}

/// Up to where a partition is read, if it is.
pub(crate) fn position(rows: &GlobalRows, partition: i32) -> state_store::Result<Option<i64>> {
    let position = rows.get(&position_key(partition))?;
    Ok(position.and_then(|bytes| Some(i64::from_be_bytes(bytes.as_ref().try_into().ok()?))))
}

fn position_key(partition: i32) -> [u8; 5] {
    let [a, b, c, d] = partition.to_be_bytes();
    [POSITION, a, b, c, d]
}
