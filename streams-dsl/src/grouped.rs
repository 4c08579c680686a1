//! `KGroupedStream`: a stream by key, to be aggregated into a table.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::Serde;
use streams_core::topology::Wiring;

use crate::lower::{Lower, table_operator_of};
use crate::names::prefix;
use crate::operators::aggregate::{Aggregate, Aggregator, Reducer, Steps};
use crate::operators::table_store::TableStore;
use crate::operators::update_cache::Cache;
use crate::options::Materialized;
use crate::plan::{KeyEffect, Plan, PlanId, PlanNode, SharedPlan, TableState};
use crate::repartition::{self, Serdes};
use crate::windows::Windows;
use crate::{Change, Data, KTable, stores, view};

/// A stream grouped by key (Kafka's `KGroupedStream`).
///
/// An aggregation of it is a table with one row per key, updated by each record. The result's timestamp is the largest that
/// went into it. Records whose key or value is null are dropped and counted.
pub struct KGroupedStream<K, V> {
    pub(crate) plan: SharedPlan,
    node: PlanId,
    pub(crate) serdes: Serdes<K, V>,
    /// Names the repartition topic.
    name: Option<String>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            node: self.node,
            serdes: self.serdes.clone(),
            name: self.name.clone(),
        }
    }
}

impl<K, V> std::fmt::Debug for KGroupedStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KGroupedStream")
            .field("node", &self.node)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<K, V> KGroupedStream<K, V> {
    pub(crate) fn new(plan: SharedPlan, node: PlanId, serdes: Serdes<K, V>, name: Option<String>) -> Self {
        Self {
            plan,
            node,
            serdes,
            name,
        }
    }
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// How many records each key has.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// clicks.count(Materialized::named("clicks-by-user")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for page in ["home", "about"] {
    ///     driver.input("clicks").pipe("ada".to_string(), page.to_string())?;
    /// }
    /// let counts = driver.output::<String, i64>("counts").read_key_values();
    /// assert_eq!(counts, [("ada".into(), 1), ("ada".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, materialized: Materialized<i64>) -> KTable<K, i64> {
        if materialized.name.is_none() {
            // Kafka takes a store name here and then another one.
            self.plan.borrow_mut().names.burn();
        }
        self.aggregate(|| 0, |_, _, count| count + 1, materialized)
    }

    /// All values of a key reduced to one: `reduce(so far, value)`. The first value is the first result.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let readings = builder.stream::<String, i64>("readings").group_by_key();
    /// readings.reduce(i64::max, Materialized::named("highest")).to_stream().to("highest");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [3_i64, 1] {
    ///     driver.input("readings").pipe("a".to_string(), n)?;
    /// }
    /// let highest = driver.output::<String, i64>("highest").read_key_values();
    /// assert_eq!(highest, [("a".into(), 3), ("a".into(), 3)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn reduce(
        &self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        let materialized = materialized.carried_by(&self.serdes.value);
        let step = Steps::InPlace(Arc::new(Reducer(reduce)));
        self.stepped(prefix::REDUCE, step, materialized)
    }

    /// All values of a key folded into one of another type, from `initial()` on. A null result deletes the row.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders").group_by_key();
    /// let list = orders.aggregate(String::new, |_, n, list| format!("{list}{n};"), Materialized::named("lists"));
    /// list.to_stream().to("lists");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [3_i64, 1] {
    ///     driver.input("orders").pipe("a".to_string(), n)?;
    /// }
    /// let lists = driver.output::<String, String>("lists").read_key_values();
    /// assert_eq!(lists, [("a".into(), "3;".into()), ("a".into(), "3;1;".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let step = Steps::InPlace(Arc::new(Aggregator { initial, add }));
        self.stepped(prefix::AGGREGATE, step, materialized)
    }

    /// Groups by windows too: [`TimeWindows`](crate::TimeWindows) make a
    /// [`TimeWindowedKStream`](crate::TimeWindowedKStream), [`SessionWindows`](crate::SessionWindows) a
    /// [`SessionWindowedKStream`](crate::SessionWindowedKStream).
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let hour = TimeWindows::of_size_and_grace(Duration::from_secs(3_600), Duration::from_secs(60));
    /// clicks.windowed_by(hour).count(Materialized::named("hourly"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [1, 3_599_999, 3_600_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let hourly = driver.window_store::<String, i64>("hourly")?;
    /// assert_eq!(hourly.fetch(&"ada".into(), 0).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn windowed_by<W: Windows>(&self, windows: W) -> W::Stream<K, V> {
        windows.group(self.clone())
    }

    pub(crate) fn stepped<A: Data>(
        &self,
        prefix: &str,
        step: Steps<K, V, A>,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let mut plan = self.plan.borrow_mut();
        let store = plan.names.store_or(materialized.name.as_deref(), prefix);
        let name = plan.names.processor(prefix);
        let parent = self.partitioned(&mut plan, &store);
        let rows = Serdes {
            key: Arc::clone(&self.serdes.key),
            value: materialized.value_serde.clone().resolve(None),
        };
        let (is_versioned, cache) = stores::add_table(&mut plan, materialized, (&name, &store), &rows);
        let live = LiveAggregate {
            step,
            serdes: self.serdes.clone(),
            result_serde: Arc::clone(&rows.value),
            store: store.clone(),
        };
        let mut node = aggregation(name, parent, &store, live.lower(cache));
        node.is_versioned = Some(is_versioned);
        let node = plan.add(node);
        KTable::new(
            Rc::clone(&self.plan),
            node,
            rows.key,
            Some(rows.value),
            view::of_table(&store, is_versioned),
        )
    }

    /// Where equal keys are together: here, or after a repartition that is named after the group or the store.
    pub(crate) fn partitioned(&self, plan: &mut Plan, store: &str) -> PlanId {
        if !plan.repartition_required(self.node) {
            return self.node;
        }
        let prefix = self.name.as_deref().unwrap_or(store);
        repartition::shared(plan, self.node, prefix, self.serdes.clone())
    }
}

/// The node of an aggregation, which owns its store.
pub(crate) fn aggregation(name: String, parent: PlanId, store: &str, lower: Lower) -> PlanNode {
    let mut node = PlanNode::new(name, vec![parent], lower);
    node.key = KeyEffect::Settles;
    node.stores.push(store.to_owned());
    node.table = TableState::Stored(store.to_owned());
    node.is_versioned = Some(false);
    node
}

/// What makes an aggregation live.
pub(crate) struct LiveAggregate<K, V, A> {
    pub(crate) step: Steps<K, V, A>,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: String,
}

impl<K: Data, V: Data, A: Data> LiveAggregate<K, V, A> {
    /// As an operator of the plan. Updates are held in the cache until a commit, if there is one.
    pub(crate) fn lower(self, cache: Option<Cache<K>>) -> Lower {
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
        next: Edge<K, Change<A>>,
    ) -> Result<Edge<K, V>> {
        Ok(Box::new(Aggregate {
            node: node.to_owned(),
            step: self.step.clone(),
            key_serde: Arc::clone(&self.serdes.key),
            value_serde: Arc::clone(&self.serdes.value),
            result_serde: Arc::clone(&self.result_serde),
            store: TableStore::open(wiring, &self.store)?,
            send_old,
            next,
        }))
    }
}
