//! What fills a global store: a processor of the user's, or a function.
//!
//! It sees the records of the topic one after another, in the order of each partition, and can do nothing but read and write its
//! own store: there is nothing to forward to and no schedule, as in Kafka's global processors.

use std::fmt::Debug;
use std::sync::Arc;

use super::global::PendingRows;
use super::global_times::RowTimes;
use super::{GlobalKeyValueStore, StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::log::TopicPartition;
use crate::metrics::{DropReason, TaskMetrics};
use crate::processor::BoxError;
use crate::record::{Record, RecordMetadata};
use crate::topology::{ExtractedTimestamp, RawInput, SourceOptions, Times};

/// Keeps a global store: turns each record of its topic into rows (the processor of Kafka's `addGlobalStore`).
///
/// There is one for each instance of the application, made when it starts. It runs before any task does for what the store does
/// not have of the topic yet, and then for each new record as it comes. So what is restored goes through it too, as in Kafka
/// (KAFKA-7663): a store on disk goes on where it is, one in memory begins at the topic's first record. What the
/// processor remembers beside its store is gone with a restart.
///
/// ```
/// use streams_core::Record;
/// use streams_core::processor::BoxError;
/// use streams_core::store::{GlobalProcessor, GlobalStoreBuilder, GlobalStoreWriter};
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SourceOptions, TopologyBuilder};
///
/// /// Keeps the names of items by their numbers; what is no name it only counts.
/// #[derive(Default)]
/// struct Names {
///     empty: u64,
/// }
///
/// impl GlobalProcessor<i64, String, i64, String> for Names {
///     fn process(
///         &mut self,
///         record: Record<i64, String>,
///         store: &mut GlobalStoreWriter<'_, i64, String>,
///     ) -> Result<(), BoxError> {
///         if record.value.is_empty() {
///             self.empty += 1;
///             let at = store.record_metadata();
///             eprintln!("{} of {} has no name; {} so far", at.offset, at.topic, self.empty);
///             return Ok(());
///         }
///         Ok(store.put(&record.key, Some(&record.value), record.timestamp_ms)?)
///     }
/// }
///
/// let mut builder = TopologyBuilder::new();
/// builder.add_global_store_processor(
///     GlobalStoreBuilder::<i64, String>::new("names"),
///     ("items", "items"),
///     "keep-names",
///     SourceOptions::<i64, String>::default(),
///     Names::default,
/// );
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for name in ["tea", ""] {
///     driver.input("items").pipe(7_i64, name.to_string())?;
/// }
/// let names = driver.global_store::<i64, String>("names")?;
/// assert_eq!(names.get(&7).unwrap().unwrap().value, "tea");
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
pub trait GlobalProcessor<KI, VI, K, V>: Send + 'static {
    /// Processes one record.
    ///
    /// # Errors
    /// What it returns goes to the [processing handler](crate::handlers::ErrorHandlers::processing), which stops the application
    /// or drops the record. What was put before stays.
    fn process(
        &mut self,
        record: Record<KI, VI>,
        store: &mut GlobalStoreWriter<'_, K, V>,
    ) -> Result<(), BoxError>;
}

/// A function without state.
pub(crate) struct UpdateFunction<F>(pub(crate) Arc<F>);

impl<KI, VI, K, V, F> GlobalProcessor<KI, VI, K, V> for UpdateFunction<F>
where
    F: Fn(Record<KI, VI>, &mut GlobalStoreWriter<'_, K, V>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn process(
        &mut self,
        record: Record<KI, VI>,
        store: &mut GlobalStoreWriter<'_, K, V>,
    ) -> Result<(), BoxError> {
        (self.0)(record, store)
    }
}

/// What fills a global store writes to this, one record at a time. It reads what it wrote.
pub struct GlobalStoreWriter<'a, K, V> {
    store: &'a GlobalKeyValueStore<K, V>,
    pending: &'a mut PendingRows,
    metrics: &'a TaskMetrics,
    metadata: RecordMetadata,
}

impl<K, V> GlobalStoreWriter<'_, K, V> {
    /// The value of `key` and its event time. A null key has none.
    ///
    /// # Errors
    /// If the key cannot be written, or the row not be read.
    pub fn get(&self, key: &K) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        if self.store.key_serde.is_null(key) {
            return Ok(None);
        }
        let bytes = self.store.row_key(key)?;
        let time_ms = self.store.times.and_then(|times| times.time_ms(&bytes));
        if time_ms.is_some_and(|time_ms| time_ms < self.pending.first_kept_ms) {
            return Ok(None);
        }
        match self.pending.rows.get(&bytes) {
            Some(row) => row.as_ref().map(|row| self.store.read_row(row)).transpose(),
            None => self.store.get(key),
        }
    }

    /// Sets the value of `key`; `None`, and a value that is null on the wire, delete it. A null key is dropped and counted.
    ///
    /// # Errors
    /// If key or value cannot be written.
    pub fn put(&mut self, key: &K, value: Option<&V>, timestamp_ms: i64) -> StoreResult<()> {
        if self.store.key_serde.is_null(key) {
            self.metrics.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        let bytes = self.store.row_key(key)?;
        let value = value.filter(|value| !self.store.value_serde.is_null(value));
        let row = value.map(|value| self.store.write_row(value, timestamp_ms));
        let row = row.transpose()?;
        if self.note_time(&bytes, row.is_some())? {
            self.pending.rows.insert(bytes, row);
        }
        Ok(())
    }

    /// Notes the time of a row that is put or deleted, if it has one. False, and counted, if it cannot be.
    fn note_time(&mut self, row_key: &[u8], is_put: bool) -> StoreResult<bool> {
        let Some(times) = self.store.times else {
            return Ok(true);
        };
        let time_ms = times.time_ms(row_key).unwrap_or(-1);
        if time_ms < 0 {
            self.metrics.count_dropped(DropReason::InvalidTimestamp);
            return Ok(false);
        }
        if !self.pending.observe(times, time_ms, &self.store.rows)? {
            if is_put {
                self.metrics.count_dropped(DropReason::Expired);
            }
            return Ok(false);
        }
        let noted = is_put.then(Vec::new);
        self.pending
            .rows
            .insert(RowTimes::time_key(time_ms, row_key), noted);
        Ok(true)
    }

    /// Where the record being processed came from.
    #[must_use]
    pub fn record_metadata(&self) -> &RecordMetadata {
        &self.metadata
    }

    /// Counts the record as dropped.
    pub fn count_dropped(&self, reason: DropReason) {
        self.metrics.count_dropped(reason);
    }
}

impl<K, V> Debug for GlobalStoreWriter<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalStoreWriter")
            .field("store", self.store)
            .finish_non_exhaustive()
    }
}

/// Turns records into rows, whatever their types.
pub(crate) trait GlobalUpdate: Send + Debug {
    /// Answers the record's event time.
    fn update(
        &mut self,
        input: RawInput<'_>,
        partition: &TopicPartition,
        times: Times,
        pending: &mut PendingRows,
        metrics: &TaskMetrics,
    ) -> Result<i64, GlobalProblem>;
}

/// Why a record did not become a row.
pub(crate) enum GlobalProblem {
    /// It cannot be read.
    Unreadable(ProcessCause),
    /// It could not be processed.
    Failed(ProcessCause),
    /// It has no time, and nobody is asked what to do about it.
    Untimed(ProcessCause),
}

pub(super) struct Updater<KI, VI, K, V, P> {
    pub(super) options: Arc<SourceOptions<KI, VI>>,
    pub(super) processor: P,
    pub(super) store: GlobalKeyValueStore<K, V>,
}

impl<KI, VI, K, V, P> Debug for Updater<KI, VI, K, V, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updater")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<KI, VI, K, V, P: GlobalProcessor<KI, VI, K, V>> GlobalUpdate for Updater<KI, VI, K, V, P> {
    fn update(
        &mut self,
        mut input: RawInput<'_>,
        partition: &TopicPartition,
        times: Times,
        pending: &mut PendingRows,
        metrics: &TaskMetrics,
    ) -> Result<i64, GlobalProblem> {
        match self.options.extract(&input, times) {
            ExtractedTimestamp::Own => {}
            ExtractedTimestamp::At(timestamp_ms) => input.timestamp_ms = timestamp_ms,
            ExtractedTimestamp::Failed(error) => {
                return Err(GlobalProblem::Untimed(ProcessCause::TimestampExtractor(error)));
            }
        }
        let headers = std::mem::take(&mut input.headers);
        let read = self.options.read(&input, headers);
        let Some(record) = read.map_err(GlobalProblem::Unreadable)? else {
            let reason = match input.key {
                None => DropReason::NullKey,
                Some(_) => DropReason::UnexpectedNull,
            };
            metrics.count_dropped(reason);
            return Ok(input.timestamp_ms);
        };
        let timestamp_ms = record.timestamp_ms;
        if timestamp_ms < 0 {
            metrics.count_dropped(DropReason::InvalidTimestamp);
            return Ok(timestamp_ms);
        }
        let mut writer = GlobalStoreWriter {
            store: &self.store,
            pending,
            metrics,
            metadata: RecordMetadata {
                topic: Arc::clone(&partition.topic),
                partition: partition.partition,
                offset: input.offset,
            },
        };
        self.processor
            .process(record, &mut writer)
            .map_err(|error| GlobalProblem::Failed(ProcessCause::User(error)))?;
        Ok(timestamp_ms)
    }
}
