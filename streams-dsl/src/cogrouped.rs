//! `CogroupedKStream`: several grouped streams aggregated into one table.

mod members;

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::processor::BoxError;
use streams_core::serde::Serde;
use streams_core::topology::Wiring;

use self::members::{Aggregation, Grouped, Member, Merge};
use crate::lower::{Lower, table_operator_of};
use crate::names::prefix;
use crate::operators::update_cache::{self, Cache, OpenRows};
use crate::options::Materialized;
use crate::plan::{KeyEffect, Kind, PlanId, PlanNode, SharedPlan, TableState};
use crate::stores::{self, WindowStoreShape};
use crate::view::{self, OpenView};
use crate::windows::{
    FixedWindows, SessionWindowedSerde, SessionWindows, TimeWindowedSerde, Windowed, Windows,
};
use crate::{Change, Data, KGroupedStream, KTable};

/// Several grouped streams that are aggregated into one table (Kafka's `CogroupedKStream`, KIP-150).
///
/// Each stream has its own way to add a value to the aggregate; they share one store. As with one stream, records whose key
/// is null are dropped and counted, and without windows those whose value is null. All streams must have the same number of
/// partitions.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let bought = builder.stream::<String, i64>("bought").group_by_key();
/// let sold = builder.stream::<String, i64>("sold").group_by_key();
/// let stock = bought
///     .cogroup(|_, n, stock: i64| stock + n)
///     .cogroup(&sold, |_, n, stock| stock - n)
///     .aggregate(|| 0, Materialized::named("stock"));
/// stock.to_stream().to("stock-changes");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("bought").pipe("tea".to_string(), 9_i64)?;
/// driver.input("sold").pipe("tea".to_string(), 2_i64)?;
/// let changes = driver.output::<String, i64>("stock-changes").read_key_values();
/// assert_eq!(changes, [("tea".into(), 9), ("tea".into(), 7)]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
pub struct CogroupedKStream<K, A> {
    plan: SharedPlan,
    key_serde: Arc<dyn Serde<K>>,
    members: Vec<Rc<dyn Member<K, A>>>,
}

/// [`CogroupedKStream`] by time or sliding windows.
pub struct TimeWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: FixedWindows,
}

/// [`CogroupedKStream`] by sessions.
pub struct SessionWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: SessionWindows,
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// Begins an aggregation of several streams, with how a value of this one is added.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bought = builder.stream::<String, i64>("bought").group_by_key();
    /// let sold = builder.stream::<String, i64>("sold").group_by_key();
    /// bought.cogroup(|_, n, sum: i64| sum + n).aggregate(|| 0, Materialized::named("sums"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [9_i64, 2] {
    ///     driver.input("bought").pipe("tea".to_string(), n)?;
    /// }
    /// let sums = driver.key_value_store::<String, i64>("sums")?;
    /// assert_eq!(sums.get(&"tea".into()).unwrap().unwrap().value, 11);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn cogroup<A: Data>(
        &self,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        self.cogroup_of_none().cogroup(self, add)
    }

    /// As [`cogroup`](Self::cogroup), with a function that may fail. What it returns as an error goes to the
    /// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts").group_by_key();
    /// let add = |_: &String, text: String, sum: i64| Ok::<_, ParseIntError>(sum + text.parse::<i64>()?);
    /// texts.try_cogroup(add).aggregate(|| 0, Materialized::named("sums"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven", "1"] {
    ///     driver.input("texts").pipe("ada".to_string(), text.to_string())?;
    /// }
    /// let sums = driver.key_value_store::<String, i64>("sums")?;
    /// assert_eq!(sums.get(&"ada".into()).unwrap().unwrap().value, 8);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_cogroup<A: Data, E: Into<BoxError> + 'static>(
        &self,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        self.cogroup_of_none().try_cogroup(self, add)
    }

    fn cogroup_of_none<A>(&self) -> CogroupedKStream<K, A> {
        CogroupedKStream {
            plan: Rc::clone(&self.plan),
            key_serde: Arc::clone(&self.serdes.key),
            members: Vec::new(),
        }
    }
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    /// Adds a stream, with how a value of it is added to the aggregate.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bought = builder.stream::<String, i64>("bought").group_by_key();
    /// let sold = builder.stream::<String, i64>("sold").group_by_key();
    /// let stock = bought.cogroup(|_, n, stock: i64| stock + n).cogroup(&sold, |_, n, stock| stock - n);
    /// stock.aggregate(|| 0, Materialized::named("stock"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("bought").pipe("tea".to_string(), 9_i64)?;
    /// driver.input("sold").pipe("tea".to_string(), 2_i64)?;
    /// let stock = driver.key_value_store::<String, i64>("stock")?;
    /// assert_eq!(stock.get(&"tea".into()).unwrap().unwrap().value, 7);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn cogroup<V: Data>(
        self,
        grouped: &KGroupedStream<K, V>,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> Self {
        let is_own = Rc::ptr_eq(&self.plan, &grouped.plan);
        self.with(Rc::new(Grouped::sure(grouped, add)), is_own)
    }

    /// As [`cogroup`](Self::cogroup), with a function that may fail: see
    /// [`try_cogroup` of one stream](KGroupedStream::try_cogroup).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bought = builder.stream::<String, i64>("bought").group_by_key();
    /// let sold = builder.stream::<String, i64>("sold").group_by_key();
    /// let stock = bought.cogroup(|_, n, stock: i64| stock + n);
    /// let stock = stock.try_cogroup(&sold, |_, n, stock| if n > stock { Err("not there") } else { Ok(stock - n) });
    /// stock.aggregate(|| 0, Materialized::named("stock"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("bought").pipe("tea".to_string(), 9_i64)?;
    /// for n in [5_i64, 7, 3] {
    ///     driver.input("sold").pipe("tea".to_string(), n)?;
    /// }
    /// let stock = driver.key_value_store::<String, i64>("stock")?;
    /// assert_eq!(stock.get(&"tea".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_cogroup<V: Data, E: Into<BoxError> + 'static>(
        self,
        grouped: &KGroupedStream<K, V>,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
    ) -> Self {
        let is_own = Rc::ptr_eq(&self.plan, &grouped.plan);
        self.with(Rc::new(Grouped::unsure(grouped, add)), is_own)
    }

    fn with(mut self, member: Rc<dyn Member<K, A>>, is_own: bool) -> Self {
        if is_own {
            self.members.push(member);
        } else {
            let problem = "a stream cannot be grouped with one of another builder".to_owned();
            self.plan.borrow_mut().problems.push(problem);
        }
        self
    }

    /// All values of a key folded into one, from `initial()` on. A null result deletes the row.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bought = builder.stream::<String, i64>("bought").group_by_key();
    /// let sold = builder.stream::<String, i64>("sold").group_by_key();
    /// let trades = bought.cogroup(|_, _, trades: i64| trades + 1).cogroup(&sold, |_, _, trades| trades + 1);
    /// trades.aggregate(|| 0, Materialized::named("trades")).to_stream().to("trades");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("sold").pipe("tea".to_string(), 2_i64)?;
    /// driver.input("bought").pipe("tea".to_string(), 9_i64)?;
    /// let trades = driver.output::<String, i64>("trades").read_key_values();
    /// assert_eq!(trades, [("tea".into(), 1), ("tea".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let (aggregation, parents) = self.begin(initial, &materialized);
        let Aggregation {
            result_serde, store, ..
        } = &aggregation;
        let key = Arc::clone(&self.key_serde);
        let is_versioned = materialized.checked_versions(&mut self.plan.borrow_mut(), store);
        let stored = stores::table(materialized, store, Arc::clone(&key), Arc::clone(result_serde));
        self.plan.borrow_mut().stores.push(stored);
        let lower = self
            .members
            .iter()
            .map(|member| member.plain(&aggregation))
            .collect();
        let view = view::of_table(store, is_versioned);
        self.table(
            &aggregation,
            parents,
            lower,
            None,
            key,
            (view, update_cache::rows::<K, A>(store)),
        )
    }

    /// Groups by windows too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views").group_by_key();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let both = views.cogroup(|_, _, n: i64| n + 1).cogroup(&clicks, |_, _, n| n + 100);
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// let sums = both.windowed_by(seconds).aggregate(|| 0, Materialized::named("sums"));
    /// sums.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 100)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 200)?;
    /// let store = driver.window_store::<String, i64>("sums")?;
    /// assert_eq!(store.fetch(&"ada".into(), 0).unwrap().unwrap().value, 101);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn windowed_by<W: Windows>(self, windows: W) -> W::Cogrouped<K, A> {
        windows.cogroup(self)
    }

    /// What the streams have in common, and where each of them is partitioned by key.
    fn begin(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        materialized: &Materialized<A>,
    ) -> (Aggregation<A>, Vec<PlanId>) {
        let mut plan = self.plan.borrow_mut();
        let store = plan
            .names
            .store_or(materialized.name.as_deref(), prefix::COGROUP_AGGREGATE);
        let members = self.members.iter();
        let parents: Vec<PlanId> = members
            .map(|member| member.partitioned(&mut plan, &store))
            .collect();
        plan.copartition_all(&parents);
        let aggregation = Aggregation {
            initial: Arc::new(initial),
            result_serde: materialized.value_serde.clone().resolve(None),
            store,
            caching: materialized.caching,
            is_versioned: materialized.history_ms.is_some(),
        };
        (aggregation, parents)
    }

    /// A node for each stream, one behind them all, and the table it makes.
    fn table<R: Data>(
        &self,
        aggregation: &Aggregation<A>,
        parents: Vec<PlanId>,
        lower: Vec<Lower>,
        window_grace_ms: Option<i64>,
        key_serde: Arc<dyn Serde<R>>,
        (view, rows): (OpenView<R, A>, OpenRows<R>),
    ) -> KTable<R, A> {
        let mut plan = self.plan.borrow_mut();
        let mut nodes = Vec::new();
        for (parent, lower) in parents.into_iter().zip(lower) {
            let name = plan.names.processor(prefix::COGROUP_AGGREGATE);
            let mut node = crate::grouped::aggregation(name, parent, &aggregation.store, lower);
            node.window_grace_ms = window_grace_ms;
            node.is_versioned = Some(aggregation.is_versioned);
            nodes.push(plan.add(node));
        }
        let name = plan.names.processor(prefix::COGROUP_MERGE);
        let cache = (!aggregation.is_versioned).then(|| Cache {
            key_serde: Arc::clone(&key_serde),
            rows,
            is_wanted: aggregation.caching,
        });
        let merge = table_operator_of(cache, |_| |_: &mut Wiring<'_>, next: Edge<R, Change<A>>| Ok(next));
        let mut node = PlanNode::new(name, nodes, merge);
        node.kind = Kind::CogroupMerge;
        node.key = KeyEffect::Settles;
        node.table = TableState::Merged(aggregation.store.clone());
        let node = plan.add(node);
        let result_serde = Arc::clone(&aggregation.result_serde);
        KTable::new(Rc::clone(&self.plan), node, key_serde, Some(result_serde), view)
    }
}

impl<K: Data, A: Data> TimeWindowedCogroupedKStream<K, A> {
    pub(crate) fn new(cogrouped: CogroupedKStream<K, A>, windows: FixedWindows) -> Self {
        Self { cogrouped, windows }
    }

    /// All values of a key in a window folded into one, from `initial()` on. A null result deletes the row.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bought = builder.stream::<String, i64>("bought").group_by_key();
    /// let sold = builder.stream::<String, i64>("sold").group_by_key();
    /// let stock = bought.cogroup(|_, n, stock: i64| stock + n).cogroup(&sold, |_, n, stock| stock - n);
    /// let hours = TimeWindows::of_size_and_grace(Duration::from_secs(3_600), Duration::from_secs(60));
    /// stock.windowed_by(hours).aggregate(|| 0, Materialized::named("hourly"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("bought").pipe_at("tea".to_string(), 9_i64, 1_000)?;
    /// driver.input("sold").pipe_at("tea".to_string(), 2_i64, 3_600_000)?;
    /// let hourly = driver.window_store::<String, i64>("hourly")?;
    /// let of_hour = |start_ms| hourly.fetch(&"tea".into(), start_ms).unwrap().unwrap().value;
    /// assert_eq!((of_hour(0), of_hour(3_600_000)), (9, -2));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let (aggregation, parents) = self.cogrouped.begin(initial, &materialized);
        let Aggregation {
            result_serde, store, ..
        } = &aggregation;
        let key = Arc::clone(&self.cogrouped.key_serde);
        let mut plan = self.cogrouped.plan.borrow_mut();
        let shape = WindowStoreShape {
            retention_ms: self.windows.checked_retention_ms(&mut plan, &materialized, store),
            time_ordered: false,
            ordered: matches!(self.windows, FixedWindows::Sliding(_)),
        };
        plan.stores.push(stores::window(
            materialized,
            store,
            shape,
            Arc::clone(&key),
            Arc::clone(result_serde),
        ));
        drop(plan);
        let members = self.cogrouped.members.iter();
        let lower = members
            .map(|member| member.windowed(self.windows, &aggregation))
            .collect();
        let windowed = Arc::new(TimeWindowedSerde::new(key, self.windows.size_ms()));
        let (grace_ms, view) = (Some(self.windows.grace_ms()), view::windowed::<K, A>(store));
        self.cogrouped.table(
            &aggregation,
            parents,
            lower,
            grace_ms,
            windowed,
            (view, update_cache::windows::<K, A>(store)),
        )
    }
}

impl<K: Data, A: Data> SessionWindowedCogroupedKStream<K, A> {
    pub(crate) fn new(cogrouped: CogroupedKStream<K, A>, windows: SessionWindows) -> Self {
        Self { cogrouped, windows }
    }

    /// All values of a session folded into one, from `initial()` on; `merge` makes one of two sessions that come together. A
    /// null result deletes the row.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let bought = builder.stream::<String, i64>("bought").group_by_key();
    /// let sold = builder.stream::<String, i64>("sold").group_by_key();
    /// let stock = bought.cogroup(|_, n, stock: i64| stock + n).cogroup(&sold, |_, n, stock| stock - n);
    /// let sessions = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(10), Duration::from_secs(10));
    /// stock.windowed_by(sessions).aggregate(|| 0, |_, one, other| one + other, Materialized::named("sessions"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("bought").pipe_at("tea".to_string(), 9_i64, 1_000)?;
    /// driver.input("sold").pipe_at("tea".to_string(), 2_i64, 8_000)?;
    /// let sessions = driver.session_store::<String, i64>("sessions")?;
    /// assert_eq!(sessions.fetch_session(&"tea".into(), 1_000, 8_000).unwrap().unwrap().value, 7);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let (aggregation, parents) = self.cogrouped.begin(initial, &materialized);
        let Aggregation {
            result_serde, store, ..
        } = &aggregation;
        let key = Arc::clone(&self.cogrouped.key_serde);
        let mut plan = self.cogrouped.plan.borrow_mut();
        let retention_ms = self.windows.checked_retention_ms(&mut plan, &materialized, store);
        let (key_serde, value_serde) = (Arc::clone(&key), Arc::clone(result_serde));
        plan.stores.push(stores::session(
            materialized,
            store,
            retention_ms,
            key_serde,
            value_serde,
        ));
        drop(plan);
        let merge: Merge<K, A> = Arc::new(merge);
        let members = self.cogrouped.members.iter();
        let lower = members
            .map(|member| member.sessions(self.windows, Arc::clone(&merge), &aggregation))
            .collect();
        let windowed = Arc::new(SessionWindowedSerde::new(key));
        let (grace_ms, view) = (Some(self.windows.retention_ms()), view::sessions::<K, A>(store));
        self.cogrouped.table(
            &aggregation,
            parents,
            lower,
            grace_ms,
            windowed,
            (view, update_cache::sessions::<K, A>(store)),
        )
    }
}

impl<K, A> std::fmt::Debug for CogroupedKStream<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CogroupedKStream")
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl<K, A> std::fmt::Debug for TimeWindowedCogroupedKStream<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeWindowedCogroupedKStream")
            .field("windows", &self.windows)
            .finish_non_exhaustive()
    }
}

impl<K, A> std::fmt::Debug for SessionWindowedCogroupedKStream<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionWindowedCogroupedKStream")
            .field("windows", &self.windows)
            .finish_non_exhaustive()
    }
}
