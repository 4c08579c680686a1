//! Session windows, the serde of their keys, and `SessionWindowedKStream`: a stream by key and session.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::{Serde, SerdeError};
use streams_core::topology::Wiring;

use crate::grouped::aggregation;
use crate::lower::{Lower, table_operator_of};
use crate::names::prefix;
use crate::operators::final_results::FinalResults;
use crate::operators::session_aggregate::{SessionAggregate, SessionAggregator, SessionReducer, SessionStep};
use crate::operators::update_cache::{self, Cache};
use crate::options::Materialized;
use crate::plan::Plan;
use crate::repartition::Serdes;
use crate::windows::{Window, Windowed, Windows, millis};
use crate::{
    Change, CogroupedKStream, Data, KGroupedStream, KTable, SessionWindowedCogroupedKStream, stores, view,
};

/// Sessions: records of a key belong together as long as no gap between them is longer than the inactivity gap (Kafka's
/// `SessionWindows`).
///
/// The window of a session goes from its first record to its last: here `end_ms` is the time of the last record, which
/// belongs to it. There is no implicit grace, so say which you want. A record is late if the session it would make or join
/// ended more than gap and grace before the largest timestamp the operator has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap_ms: i64,
    grace_ms: i64,
}

impl SessionWindows {
    /// Sessions that end with a gap longer than this, and close with it. At least a millisecond; smaller parts are dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(5));
    /// clicks.windowed_by(visits).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [1_000, 6_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 1_000, 6_000).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_inactivity_gap_with_no_grace(gap: Duration) -> Self {
        Self::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    /// Sessions that end with a gap longer than this, and stay open for `grace` after it, by event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(5), Duration::from_secs(60));
    /// clicks.windowed_by(visits).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// // The last one is out of order, and makes one session of two.
    /// for at_ms in [1_000, 9_000, 5_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 1_000, 9_000).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_inactivity_gap_and_grace(gap: Duration, grace: Duration) -> Self {
        Self {
            gap_ms: millis(gap),
            grace_ms: millis(grace),
        }
    }

    /// Inactivity gap in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(5));
    /// clicks.windowed_by(windows).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [0, windows.gap_ms()] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 0, 5_000).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    /// Grace in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(5), Duration::from_secs(1));
    /// clicks.windowed_by(windows).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let late_ms = 20_000 - windows.gap_ms() - windows.grace_ms() - 1;
    /// for at_ms in [20_000, late_ms] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// assert_eq!(driver.dropped(DropReason::Late), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// How long rows must be kept, at least: as long as a session stays open after its end.
    pub(crate) fn retention_ms(self) -> i64 {
        self.gap_ms.saturating_add(self.grace_ms)
    }

    /// How long rows are kept: as `materialized` says, or as short as can be. What is wrong with that is a problem of `name`.
    pub(crate) fn checked_retention_ms<A>(
        self,
        plan: &mut Plan,
        materialized: &Materialized<A>,
        name: &str,
    ) -> i64 {
        let least_ms = self.retention_ms();
        materialized.check_windows(plan, name);
        let retention_ms = materialized.retention_ms.unwrap_or(least_ms);
        if self.gap_ms < 1 || retention_ms < least_ms {
            plan.problems.push(format!(
                "{name}: the inactivity gap of {} ms must be at least 1 ms, and the retention of {retention_ms} ms at least gap \
                 and grace, {least_ms} ms",
                self.gap_ms
            ));
        }
        retention_ms
    }
}

impl Windows for SessionWindows {
    type Stream<K: Data, V: Data> = SessionWindowedKStream<K, V>;

    fn group<K: Data, V: Data>(self, grouped: KGroupedStream<K, V>) -> SessionWindowedKStream<K, V> {
        SessionWindowedKStream {
            grouped,
            windows: self,
            emit_final: false,
        }
    }

    type Cogrouped<K: Data, A: Data> = SessionWindowedCogroupedKStream<K, A>;

    fn cogroup<K: Data, A: Data>(
        self,
        cogrouped: CogroupedKStream<K, A>,
    ) -> SessionWindowedCogroupedKStream<K, A> {
        SessionWindowedCogroupedKStream::new(cogrouped, self)
    }
}

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

/// The serde of session keys in topics: the key's bytes, then the session's end and its start in 8 bytes each (Kafka's
/// `SessionWindowedSerde`). Records lie on the partition of the inner key.
///
/// ```
/// use std::sync::Arc;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let serde: Arc<dyn Serde<Windowed<String>>> = Arc::new(SessionWindowedSerde::new(String::default_serde()));
/// let visits = builder.stream_with("visits", Consumed::with(Arc::clone(&serde), i64::default_serde()));
/// visits.map(|visit, n| (visit.key, visit.window.end_ms - visit.window.start_ms + n)).to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let key = Windowed { key: "a".to_string(), window: Window { start_ms: 1, end_ms: 2 } };
/// driver.input_with("visits", Arc::clone(&serde), i64::default_serde()).pipe(key.clone(), 7)?;
/// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 8)]);
///
/// let mut bytes = Vec::new();
/// serde.serialize("topic", &key, &mut bytes).unwrap();
/// assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
pub struct SessionWindowedSerde<K> {
    inner: Arc<dyn Serde<K>>,
}

const TIME_BYTES: usize = 8;

impl<K> SessionWindowedSerde<K> {
    /// Sessions of keys that `inner` reads and writes.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(10));
    /// clicks.windowed_by(visits).count(Materialized::named("visits")).to_stream().to("visits");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// let serde = Arc::new(SessionWindowedSerde::new(String::default_serde()));
    /// let visit = driver.output_with("visits", serde, i64::default_serde()).read_record().unwrap();
    /// assert_eq!((visit.key.window.start_ms, visit.key.window.end_ms), (1_000, 1_000));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn new(inner: Arc<dyn Serde<K>>) -> Self {
        Self { inner }
    }
}

impl<K> std::fmt::Debug for SessionWindowedSerde<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionWindowedSerde")
            .field("inner", &self.inner)
            .finish()
    }
}

impl<K> Serde<Windowed<K>> for SessionWindowedSerde<K> {
    fn serialize(&self, topic: &str, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.inner.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.window.end_ms.to_be_bytes());
        out.extend_from_slice(&value.window.start_ms.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let times = bytes.split_last_chunk::<TIME_BYTES>().and_then(|(rest, start)| {
            let (key, end) = rest.split_last_chunk::<TIME_BYTES>()?;
            Some((key, i64::from_be_bytes(*start), i64::from_be_bytes(*end)))
        });
        let Some((key, start_ms, end_ms)) = times else {
            return Err(SerdeError::new(format!(
                "a session's key ends with {} bytes of its end and start, but only {} bytes were found",
                2 * TIME_BYTES,
                bytes.len()
            )));
        };
        let key = self.inner.deserialize(topic, key)?;
        let window = Window { start_ms, end_ms };
        Ok(Windowed { key, window })
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.inner.is_null(&value.key)
    }

    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..bytes.len().saturating_sub(2 * TIME_BYTES)]
    }
}
