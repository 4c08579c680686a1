//! `SessionWindowedKStream`: a stream by key and session, to be aggregated into a table.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::Serde;
use streams_core::topology::Wiring;

use crate::grouped::aggregation;
use crate::lower::{Lower, table_operator_of};
use crate::names::prefix;
use crate::operators::final_results::FinalResults;
use crate::operators::session_aggregate::{SessionAggregate, SessionAggregator, SessionReducer, SessionStep};
use crate::operators::update_cache::{self, Cache};
use crate::options::Materialized;
use crate::repartition::Serdes;
use crate::windows::{SessionWindowedSerde, SessionWindows, Windowed};
use crate::{Change, Data, KGroupedStream, KTable, stores, view};

/// A stream grouped by key and session (Kafka's `SessionWindowedKStream`).
///
/// An aggregation of it is a table with one row per key and session. A record may bring sessions together: their rows are
/// deleted, and one that goes over all of them is made. The result's timestamp is the end of its session. Records whose key is
/// null are dropped and counted, as are late ones; null values are aggregated.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let visits = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(10), Duration::from_secs(60));
/// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(visits);
/// clicks.count(Materialized::named("visits")).to_stream().to("visits");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for (page, at_ms) in [("home", 1_000), ("about", 9_000), ("home", 60_000)] {
///     driver.input("clicks").pipe_at("ada".to_string(), page.to_string(), at_ms)?;
/// }
/// let store = driver.session_store::<String, i64>("visits")?;
/// assert_eq!(store.fetch_session(&"ada".into(), 1_000, 9_000).unwrap().unwrap().value, 2);
/// assert_eq!(store.fetch_session(&"ada".into(), 60_000, 60_000).unwrap().unwrap().value, 1);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionWindowedKStream<K, V> {
    pub(crate) grouped: KGroupedStream<K, V>,
    windows: SessionWindows,
    emit_final: bool,
}

impl<K: Data, V: Data> SessionWindowedKStream<K, V> {
    pub(crate) fn new(grouped: KGroupedStream<K, V>, windows: SessionWindows) -> Self {
        Self {
            grouped,
            windows,
            emit_final: false,
        }
    }

    /// Sends one result per key and session, when the session closes (KIP-825): as soon as the operator has seen a timestamp
    /// that is more than gap and grace after the session's end. Default: every update is sent. Nothing closes without input.
    /// Keys and times of sessions that are open are kept in memory.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(10));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(visits);
    /// clicks.emit_on_window_close().count(Materialized::named("visits")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [1_000, 9_000, 60_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// assert_eq!(driver.written("counts").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn emit_on_window_close(mut self) -> Self {
        self.emit_final = true;
        self
    }

    /// How many records each session has.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(10));
    /// clicks.windowed_by(visits).count(Materialized::named("visits")).to_stream().to("visits");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "about".to_string(), 9_000)?;
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 1_000, 9_000).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, materialized: Materialized<i64>) -> KTable<Windowed<K>, i64> {
        if materialized.name.is_none() {
            // Kafka takes a store name here and then another one.
            self.grouped.plan.borrow_mut().names.burn();
        }
        self.aggregate(
            || 0,
            |_, _, count| count + 1,
            |_, one, other| one + other,
            materialized,
        )
    }

    /// All values of a session reduced to one: `reduce(so far, value)`, also for sessions that come together, the one that
    /// ended first first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sessions = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(10));
    /// let readings = builder.stream::<String, i64>("in").group_by_key().windowed_by(sessions);
    /// readings.reduce(i64::max, Materialized::named("highest"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (n, at_ms) in [(3_i64, 5), (1, 12)] {
    ///     driver.input("in").pipe_at("a".to_string(), n, at_ms)?;
    /// }
    /// let store = driver.session_store::<String, i64>("highest")?;
    /// assert_eq!(store.fetch_session(&"a".into(), 5, 12).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn reduce(
        &self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        let materialized = materialized.carried_by(&self.grouped.serdes.value);
        self.stepped(prefix::REDUCE, Arc::new(SessionReducer(reduce)), materialized)
    }

    /// All values of a session folded into one of another type, from `initial()` on; `merge` makes one of two sessions that
    /// come together. A null result deletes the row.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sessions = SessionWindows::of_inactivity_gap_and_grace(Duration::from_millis(10), Duration::from_secs(1));
    /// let readings = builder.stream::<String, i64>("in").group_by_key().windowed_by(sessions);
    /// readings.aggregate(|| 0_i64, |_, n, sum| sum + n, |_, a, b| a + b, Materialized::named("sums"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (n, at_ms) in [(3_i64, 5), (1, 25), (10, 15)] {
    ///     driver.input("in").pipe_at("a".to_string(), n, at_ms)?;
    /// }
    /// let store = driver.session_store::<String, i64>("sums")?;
    /// assert_eq!(store.fetch_session(&"a".into(), 5, 25).unwrap().unwrap().value, 14);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let step = Arc::new(SessionAggregator { initial, add, merge });
        self.stepped(prefix::AGGREGATE, step, materialized)
    }

    pub(crate) fn stepped<A: Data>(
        &self,
        prefix: &str,
        step: Arc<dyn SessionStep<K, V, A>>,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let mut plan = self.grouped.plan.borrow_mut();
        let store = plan.names.store_or(materialized.name.as_deref(), prefix);
        let name = plan.names.processor(prefix);
        let parent = self.grouped.partitioned(&mut plan, &store);
        let Serdes { key, .. } = self.grouped.serdes.clone();
        let result_serde = materialized.value_serde.clone().resolve(None);
        let retention_ms = self.windows.checked_retention_ms(&mut plan, &materialized, &name);
        let windowed_serde: Arc<dyn Serde<Windowed<K>>> =
            Arc::new(SessionWindowedSerde::new(Arc::clone(&key)));
        let cache = materialized
            .cache_of(&windowed_serde, update_cache::sessions::<K, A>(&store))
            .filter(|_| !self.emit_final);
        plan.stores.push(stores::session(
            materialized,
            &store,
            retention_ms,
            Arc::clone(&key),
            Arc::clone(&result_serde),
        ));
        let live = LiveSessions {
            windows: self.windows,
            emit_final: self.emit_final,
            step,
            serdes: self.grouped.serdes.clone(),
            result_serde: Arc::clone(&result_serde),
            store: store.clone(),
        };
        let mut node = aggregation(name, parent, &store, live.lower(cache));
        node.window_grace_ms = Some(self.windows.retention_ms());
        let node = plan.add(node);
        KTable::new(
            Rc::clone(&self.grouped.plan),
            node,
            windowed_serde,
            Some(result_serde),
            view::sessions::<K, A>(&store),
        )
    }
}

/// What makes an aggregation live.
pub(crate) struct LiveSessions<K, V, A> {
    pub(crate) windows: SessionWindows,
    pub(crate) emit_final: bool,
    pub(crate) step: Arc<dyn SessionStep<K, V, A>>,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: String,
}

impl<K: Data, V: Data, A: Data> LiveSessions<K, V, A> {
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
        Ok(Box::new(SessionAggregate {
            node: node.to_owned(),
            step: Arc::clone(&self.step),
            windows: self.windows,
            key_serde: Arc::clone(&self.serdes.key),
            result_serde: Arc::clone(&self.result_serde),
            store: wiring.session_store(&self.store)?,
            send_old,
            stream_time_ms: -1,
            finals: self.emit_final.then(|| FinalResults::new(&self.store)),
            next,
        }))
    }
}
