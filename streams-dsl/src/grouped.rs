//! Streams grouped by key, before they are aggregated; and the same in windows.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::Serde;

use crate::names::prefix;
use crate::operators::repartition::Through;
use crate::operators::{aggregate, window_aggregate};
use crate::options::Materialized;
use crate::stream::KStream;
use crate::table::KTable;
use crate::windowed::Windowed;
use crate::windows::TimeWindows;

/// A stream grouped by its key (Kafka's `KGroupedStream`). If the key was changed on the way, the records go through a
/// repartition topic first, so that all of a key meet in one task.
///
/// Every record makes one update of the result. Its timestamp is the largest of the records that went into the row. Records
/// with null keys or null values are dropped and counted.
#[derive(Clone, Debug)]
pub struct KGroupedStream<K, V> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) name: Option<String>,
    /// The stream behind its repartition topic. A topic with a name is shared by all aggregations of this grouping; without
    /// one each has its own, named after its store.
    pub(crate) repartitioned: Rc<RefCell<Option<KStream<K, V>>>>,
}

impl<K: Clone + 'static, V: Clone + 'static> KGroupedStream<K, V> {
    /// Number of records of each key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks");
    /// clicks.group_by_key().count(Materialized::named("clicks-by-user")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let input = driver.input::<String, String>("clicks");
    /// input.pipe("ada".into(), "/home".into())?;
    /// input.pipe("ada".into(), "/cart".into())?;
    /// let counts = driver.output::<String, Option<i64>>("counts").read_key_values();
    /// assert_eq!(counts, [("ada".into(), Some(1)), ("ada".into(), Some(2))]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, materialized: Materialized<i64>) -> KTable<K, i64> {
        self.burn_for_count(&materialized);
        aggregate::table(self, prefix::STREAM_AGGREGATE, materialized, |_, _, count| {
            Some(count.unwrap_or(0) + 1)
        })
    }

    /// The values of each key combined two by two; the first stands as it is.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let bids = builder.stream::<String, i64>("bids");
    /// bids.group_by_key().reduce(|a, b| a.max(b), Materialized::named("highest")).to_stream().to("highest");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for bid in [5, 9, 7] {
    ///     driver.input::<String, i64>("bids").pipe("lot".into(), bid)?;
    /// }
    /// let last = driver.output::<String, Option<i64>>("highest").read_key_values().pop();
    /// assert_eq!(last, Some(("lot".into(), Some(9))));
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn reduce(
        &self,
        reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        aggregate::table(self, prefix::STREAM_REDUCE, materialized, reduction(reducer))
    }

    /// An aggregate of each key: begins as `initializer` says, and takes in each value. If the aggregate's type can be null,
    /// a null one deletes the row.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// let longest = words.group_by_key().aggregate(
    ///     || 0_u64,
    ///     |_, word, longest| longest.max(word.len() as u64),
    ///     Materialized::named("longest"),
    /// );
    /// longest.to_stream().to("longest");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("words").pipe("en".into(), "stream".into())?;
    /// assert_eq!(driver.output::<String, Option<u64>>("longest").read_key_values(), [("en".into(), Some(6))]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate<A: Clone + 'static>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        aggregate::table(
            self,
            prefix::STREAM_AGGREGATE,
            materialized,
            aggregation(initializer, aggregator),
        )
    }

    /// The same, in windows of time.
    #[must_use]
    pub fn windowed_by(&self, windows: TimeWindows) -> TimeWindowedKStream<K, V> {
        TimeWindowedKStream {
            grouped: self.clone(),
            windows,
        }
    }

    /// Names of the store and the processor, numbered as Kafka Streams numbers them.
    pub(crate) fn names(&self, prefix: &str, store: Option<&str>) -> (String, String) {
        let names = &mut self.stream.plan.borrow_mut().names;
        let store = store.map_or_else(|| names.store(prefix), str::to_owned);
        (store, names.processor(prefix))
    }

    /// Kafka Streams takes a number for nothing when a count has no name.
    fn burn_for_count(&self, materialized: &Materialized<i64>) {
        if materialized.name.is_none() {
            self.stream.plan.borrow_mut().names.burn();
        }
    }

    /// The stream with its records where their keys belong.
    pub(crate) fn partitioned(&self, store: &str) -> KStream<K, V> {
        if !self.stream.key_changed {
            return self.stream.clone();
        }
        if let Some(repartitioned) = &*self.repartitioned.borrow() {
            return repartitioned.clone();
        }
        let through = Through {
            name: self.name.clone().unwrap_or_else(|| store.to_owned()),
            key_serde: Arc::clone(&self.key_serde),
            value_serde: Arc::clone(&self.value_serde),
            partitions: None,
            keep_null_keys: false,
        };
        let stream = through.apply(&self.stream);
        if self.name.is_some() {
            *self.repartitioned.borrow_mut() = Some(stream.clone());
        }
        stream
    }
}

/// A grouped stream in windows (Kafka's `TimeWindowedKStream`): one row per key and window.
///
/// As for [`KGroupedStream`], but late records are dropped and counted too, and null values are not dropped.
#[derive(Clone, Debug)]
pub struct TimeWindowedKStream<K, V> {
    grouped: KGroupedStream<K, V>,
    windows: TimeWindows,
}

impl<K: Clone + 'static, V: Clone + 'static> TimeWindowedKStream<K, V> {
    /// Number of records of each key in each window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let clicks = builder.stream::<String, String>("clicks");
    /// clicks.group_by_key().windowed_by(minutes).count(Materialized::named("clicks-a-minute")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let input = driver.input::<String, String>("clicks");
    /// for time_ms in [0, 59_999, 60_000] {
    ///     input.pipe_at("ada".into(), "/".into(), time_ms)?;
    /// }
    /// let counts = driver.output::<Windowed<String>, Option<i64>>("counts").read_key_values();
    /// let counts: Vec<_> = counts.into_iter().map(|(key, count)| (key.window.start_ms, count)).collect();
    /// assert_eq!(counts, [(0, Some(1)), (0, Some(2)), (60_000, Some(1))]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, materialized: Materialized<i64>) -> KTable<Windowed<K>, i64> {
        self.grouped.burn_for_count(&materialized);
        let update = |_: &K, _: V, count: Option<i64>| Some(count.unwrap_or(0) + 1);
        window_aggregate::table(
            &self.grouped,
            self.windows,
            prefix::STREAM_AGGREGATE,
            materialized,
            update,
        )
    }

    /// The values of each key and window combined two by two; see [`KGroupedStream::reduce`].
    #[must_use]
    pub fn reduce(
        &self,
        reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        window_aggregate::table(
            &self.grouped,
            self.windows,
            prefix::STREAM_REDUCE,
            materialized,
            reduction(reducer),
        )
    }

    /// An aggregate of each key and window; see [`KGroupedStream::aggregate`].
    #[must_use]
    pub fn aggregate<A: Clone + 'static>(
        &self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let update = aggregation(initializer, aggregator);
        window_aggregate::table(
            &self.grouped,
            self.windows,
            prefix::STREAM_AGGREGATE,
            materialized,
            update,
        )
    }
}

fn reduction<K, V>(reducer: impl Fn(V, V) -> V) -> impl Fn(&K, V, Option<V>) -> Option<V> {
    move |_, value, reduced| match reduced {
        Some(reduced) => Some(reducer(reduced, value)),
        None => Some(value),
    }
}

fn aggregation<K, V, A>(
    initializer: impl Fn() -> A,
    aggregator: impl Fn(&K, V, A) -> A,
) -> impl Fn(&K, V, Option<A>) -> Option<A> {
    move |key, value, aggregate| Some(aggregator(key, value, aggregate.unwrap_or_else(&initializer)))
}
