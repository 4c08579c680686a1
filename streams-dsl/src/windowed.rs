//! `TimeWindowedKStream`: a stream by key and time window, to be aggregated into a table.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::Serde;
use streams_core::topology::Wiring;

use crate::grouped::aggregation;
use crate::lower::{Lower, table_operator_of};
use crate::names::prefix;
use crate::operators::aggregate::{Aggregator, Reducer, Steps};
use crate::operators::final_results::FinalResults;
use crate::operators::sliding_aggregate::SlidingAggregate;
use crate::operators::update_cache::{self, Cache};
use crate::operators::window_aggregate::WindowAggregate;
use crate::operators::window_rows::WindowRows;
use crate::options::Materialized;
use crate::repartition::Serdes;
use crate::stores::WindowStoreShape;
use crate::windows::{FixedWindows, TimeWindowedSerde, Windowed};
use crate::{Change, Data, KGroupedStream, KTable, stores, view};

/// A stream grouped by key and time window (Kafka's `TimeWindowedKStream`).
///
/// An aggregation of it is a table with one row per key and window, updated by each record of the window that is not late:
/// a window closes when the operator has seen a timestamp that is its end plus the grace, or later. Late records are dropped
/// and counted. Records whose key is null are dropped and counted; null values are aggregated.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// let per_second = clicks.windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_secs(1)));
/// per_second.count(Materialized::named("per-second")).to_stream().to("counts");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let input = driver.input::<String, String>("clicks");
/// input.pipe_at("ada".into(), "home".into(), 100)?;
/// input.pipe_at("ada".into(), "about".into(), 1_700)?;
/// input.pipe_at("ada".into(), "late".into(), 900)?;
/// let counts = driver.output::<Windowed<String>, i64>("counts").read_records();
/// let counts: Vec<(i64, i64)> = counts.iter().map(|r| (r.key.window.start_ms, r.value)).collect();
/// assert_eq!(counts, [(0, 1), (1_000, 1)]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TimeWindowedKStream<K, V> {
    pub(crate) grouped: KGroupedStream<K, V>,
    windows: FixedWindows,
    emit_final: bool,
}

impl<K: Data, V: Data> TimeWindowedKStream<K, V> {
    pub(crate) fn new(grouped: KGroupedStream<K, V>, windows: FixedWindows) -> Self {
        Self {
            grouped,
            windows,
            emit_final: false,
        }
    }

    /// Sends one result per key and window, when the window closes (KIP-825): as soon as the operator has seen a timestamp that
    /// is the window's end plus the grace, or later. Default: every update is sent.
    ///
    /// Nothing closes without input. A window that the store does not keep any more when it closes, because time made a jump
    /// that is longer than the retention, has no result, as in Kafka: give [`Materialized::retention`] the longest gap there
    /// may be. Keys and times of windows that are open are kept in memory.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(seconds);
    /// clicks.emit_on_window_close().count(Materialized::named("per-second")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [100, 200, 1_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.output::<Windowed<String>, i64>("counts").read_records();
    /// let counts: Vec<(i64, i64)> = counts.iter().map(|r| (r.key.window.start_ms, r.value)).collect();
    /// assert_eq!(counts, [(0, 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn emit_on_window_close(mut self) -> Self {
        self.emit_final = true;
        self
    }

    /// How many records each key has in each window.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(seconds);
    /// clicks.count(Materialized::named("per-second"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [100, 900] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("per-second")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 0).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, materialized: Materialized<i64>) -> KTable<Windowed<K>, i64> {
        if materialized.name.is_none() && matches!(self.windows, FixedWindows::Time(_)) {
            // Kafka takes a store name here and then another one.
            self.grouped.plan.borrow_mut().names.burn();
        }
        self.aggregate(|| 0, |_, _, count| count + 1, materialized)
    }

    /// All values of a key in a window reduced to one: `reduce(so far, value)`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let readings = builder.stream::<String, i64>("in").group_by_key().windowed_by(minutes);
    /// readings.reduce(i64::max, Materialized::named("highest")).to_stream().to("highest");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [3_i64, 1] {
    ///     driver.input("in").pipe_at("a".to_string(), n, 5)?;
    /// }
    /// let store = driver.window_store::<String, i64>("highest")?;
    /// assert_eq!(store.fetch(&"a".into(), 0).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn reduce(
        &self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        let materialized = materialized.carried_by(&self.grouped.serdes.value);
        let step = Steps::InPlace(Arc::new(Reducer(reduce)));
        self.stepped(prefix::REDUCE, step, materialized)
    }

    /// All values of a key in a window folded into one of another type, from `initial()` on. A null result deletes the row.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let readings = builder.stream::<String, i64>("in").group_by_key().windowed_by(minutes);
    /// readings.aggregate(|| 0_i64, |_, n, sum| sum + n, Materialized::named("sums"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [3_i64, 1] {
    ///     driver.input("in").pipe_at("a".to_string(), n, 5)?;
    /// }
    /// let store = driver.window_store::<String, i64>("sums")?;
    /// assert_eq!(store.fetch(&"a".into(), 0).unwrap().unwrap().value, 4);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let step = Steps::InPlace(Arc::new(Aggregator { initial, add }));
        self.stepped(prefix::AGGREGATE, step, materialized)
    }

    pub(crate) fn stepped<A: Data>(
        &self,
        prefix: &str,
        step: Steps<K, V, A>,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let mut plan = self.grouped.plan.borrow_mut();
        let store = plan.names.store_or(materialized.name.as_deref(), prefix);
        let name = plan.names.processor(prefix);
        let parent = self.grouped.partitioned(&mut plan, &store);
        let serdes = self.grouped.serdes.clone();
        let result_serde = materialized.value_serde.clone().resolve(None);
        let shape = WindowStoreShape {
            retention_ms: self.windows.checked_retention_ms(&mut plan, &materialized, &name),
            time_ordered: self.emit_final,
            ordered: matches!(self.windows, FixedWindows::Sliding(_)),
        };
        let key = Arc::clone(&serdes.key);
        let windowed_serde: Arc<dyn Serde<Windowed<K>>> =
            Arc::new(TimeWindowedSerde::new(Arc::clone(&key), self.windows.size_ms()));
        let cache = materialized
            .cache_of(&windowed_serde, update_cache::windows::<K, A>(&store))
            .filter(|_| !self.emit_final);
        let stored = stores::window(materialized, &store, shape, key, Arc::clone(&result_serde));
        plan.stores.push(stored);
        let live = LiveWindows {
            windows: self.windows,
            emit_final: self.emit_final,
            step,
            serdes,
            result_serde: Arc::clone(&result_serde),
            store: store.clone(),
        };
        let mut node = aggregation(name, parent, &store, live.lower(cache));
        node.window_grace_ms = Some(self.windows.grace_ms());
        let node = plan.add(node);
        KTable::new(
            Rc::clone(&self.grouped.plan),
            node,
            windowed_serde,
            Some(result_serde),
            view::windowed::<K, A>(&store),
        )
    }
}

/// What makes an aggregation live.
pub(crate) struct LiveWindows<K, V, A> {
    pub(crate) windows: FixedWindows,
    pub(crate) emit_final: bool,
    pub(crate) step: Steps<K, V, A>,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: String,
}

impl<K: Data, V: Data, A: Data> LiveWindows<K, V, A> {
    /// As an operator of the plan. Updates are held in the cache until a commit, if there is one.
    pub(crate) fn lower(self, cache: Option<Cache<Windowed<K>>>) -> Lower {
        table_operator_of(cache, move |node| {
            let (node, send_old) = (node.name.clone(), node.send_old_values);
            move |wiring: &mut Wiring<'_>, next| self.build(&node, send_old, wiring, next)
        })
    }

    fn build(
        &self,
        node: &str,
        send_old: bool,
        wiring: &mut Wiring<'_>,
        next: Edge<Windowed<K>, Change<A>>,
    ) -> Result<Edge<K, V>> {
        let rows = WindowRows {
            node: node.to_owned(),
            key_serde: Arc::clone(&self.serdes.key),
            result_serde: Arc::clone(&self.result_serde),
            store: wiring.window_store(&self.store)?,
            size_ms: self.windows.size_ms(),
            send_old,
            finals: self.emit_final.then(|| FinalResults::new(&self.store)),
        };
        let step = self.step.clone();
        Ok(match self.windows {
            FixedWindows::Time(windows) => Box::new(WindowAggregate {
                step,
                windows,
                rows,
                stream_time_ms: -1,
                next,
            }),
            FixedWindows::Sliding(windows) => Box::new(SlidingAggregate {
                step,
                windows,
                value_serde: Arc::clone(&self.serdes.value),
                rows,
                stream_time_ms: -1,
                next,
            }),
        })
    }
}
