//! `KStream`: a handle to a stream in the plan. Each method adds one operator to the plan and returns the handle after it.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};

use crate::lower::{Lower, operator, table_operator_of};
use crate::names::prefix;
use crate::operators::filter::{Filter, RequireKey};
use crate::operators::flat_map::{FlatMap, FlatMapValues};
use crate::operators::map::{Map, MapValues, SelectKey};
use crate::operators::peek::{ForEach, Peek};
use crate::options::{Grouped, Materialized, Repartitioned};
use crate::plan::{KeyEffect, Kind, PlanId, PlanNode, SharedPlan};
use crate::repartition::{self, Partitioning, Serdes};
use crate::{BranchedKStream, Data, KGroupedStream, KTable, Terminal, builder, stores, view};

/// An unbounded stream of records (Kafka's `KStream`).
///
/// A cheap handle: clones are the same stream, and one that is used twice sends each record both ways. Results keep the
/// timestamp and the headers of the record they come from, unless an operator says otherwise.
///
/// Each operator's processor has a generated name, which shifts when an operator is inserted before it; with
/// [`named`](Self::named) it keeps the one it is given.
pub struct KStream<K, V> {
    pub(crate) plan: SharedPlan,
    pub(crate) node: PlanId,
    pub(crate) key_serde: Option<Arc<dyn Serde<K>>>,
    pub(crate) value_serde: Option<Arc<dyn Serde<V>>>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        self.with_node(self.node)
    }
}

impl<K, V> std::fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KStream")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl<K, V> KStream<K, V> {
    pub(crate) fn new(
        plan: SharedPlan,
        node: PlanId,
        key_serde: Option<Arc<dyn Serde<K>>>,
        value_serde: Option<Arc<dyn Serde<V>>>,
    ) -> Self {
        Self {
            plan,
            node,
            key_serde,
            value_serde,
        }
    }

    /// The same types and serdes at another node.
    pub(crate) fn with_node(&self, node: PlanId) -> Self {
        Self::new(
            Rc::clone(&self.plan),
            node,
            self.key_serde.clone(),
            self.value_serde.clone(),
        )
    }

    /// Other values at another node: their serde is not known.
    pub(crate) fn with_values<W>(&self, node: PlanId) -> KStream<K, W> {
        KStream::new(Rc::clone(&self.plan), node, self.key_serde.clone(), None)
    }

    /// Adds a node after this one.
    pub(crate) fn add(&self, prefix: &str, make: impl FnOnce(String, Vec<PlanId>) -> PlanNode) -> PlanId {
        let mut plan = self.plan.borrow_mut();
        let name = plan.names.processor(prefix);
        plan.add(make(name, vec![self.node]))
    }

    pub(crate) fn then(&self, prefix: &str, key: KeyEffect, lower: Lower) -> PlanId {
        self.add(prefix, |name, parents| {
            let mut node = PlanNode::new(name, parents, lower);
            node.key = key;
            node
        })
    }

    /// Names the processor of the last operator, instead of a generated name. Call it right after the operator: names of
    /// internal topics are made of it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.filter(|_, word| word.len() > 2).named("long-words").to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: long-words"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("words").pipe("a".to_string(), "to".to_string())?;
    /// assert!(driver.output::<String, String>("out").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.plan.borrow_mut().rename(self.node, name);
        self
    }
}

/// Operators without state.
impl<K: Data, V: Data> KStream<K, V> {
    /// The records for which `keep` holds.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter(|_, n| n % 2 == 0).to("even");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let input = driver.input::<String, i64>("in");
    /// input.pipe("a".into(), 1)?;
    /// input.pipe("b".into(), 2)?;
    /// assert_eq!(driver.output::<String, i64>("even").read_key_values(), [("b".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filtered(keep, true)
    }

    /// The records for which `drop` does not hold.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter_not(|_, n| *n < 0).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), -1_i64)?;
    /// assert!(driver.output::<String, i64>("out").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filtered(drop, false)
    }

    fn filtered(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static, wanted: bool) -> KStream<K, V> {
        let keep = Arc::new(keep);
        let lower = operator::<K, V, K, V>(move |_, next| {
            let keep = Arc::clone(&keep);
            Ok(Box::new(Filter { keep, wanted, next }))
        });
        self.with_node(self.then(prefix::FILTER, KeyEffect::Keeps, lower))
    }

    /// A new key and value for each record. What needs equal keys together repartitions afterwards, even if the key did not
    /// change: prefer [`map_values`](Self::map_values).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map(|name, n| (n, name)).to("swapped");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<i64, String>("swapped").read_key_values(), [(7, "a".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map<KO: Data, VO: Data>(
        &self,
        map: impl Fn(K, V) -> (KO, VO) + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, KO, VO>(move |_, next| {
            let map = Arc::clone(&map);
            Ok(Box::new(Map { map, next }))
        });
        let node = self.then(prefix::MAP, KeyEffect::Changes, lower);
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// A new value for each record.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").map_values(|text| text.len() as i64).to("lengths");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), "four".to_string())?;
    /// assert_eq!(driver.output::<String, i64>("lengths").read_key_values(), [("a".into(), 4)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values<VO: Data>(&self, map: impl Fn(V) -> VO + Send + Sync + 'static) -> KStream<K, VO> {
        self.map_values_with_key(move |_, value| map(value))
    }

    /// A new value for each record, made of key and value.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let input = builder.stream::<String, i64>("in");
    /// input.map_values_with_key(|name, n| format!("{name} has {n}")).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, String>("out").read_value().unwrap(), "a has 7");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values_with_key<VO: Data>(
        &self,
        map: impl Fn(&K, V) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, K, VO>(move |_, next| {
            let map = Arc::clone(&map);
            Ok(Box::new(MapValues { map, next }))
        });
        let node = self.then(prefix::MAP_VALUES, KeyEffect::Keeps, lower);
        self.plan.borrow_mut().node_mut(node).changes_values = true;
        self.with_values(node)
    }

    /// Any number of records for each, keys included. As for [`map`](Self::map), a repartition may follow.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let input = builder.stream::<String, i64>("in");
    /// input.flat_map(|name, n| (0..n).map(move |i| (i, name.clone()))).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 2_i64)?;
    /// let out = driver.output::<i64, String>("out").read_key_values();
    /// assert_eq!(out, [(0, "a".into()), (1, "a".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map<KO: Data, VO: Data, I: IntoIterator<Item = (KO, VO)>>(
        &self,
        map: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, KO, VO>(move |_, next| {
            let map = Arc::clone(&map);
            Ok(Box::new(FlatMap { map, next }))
        });
        let node = self.then(prefix::FLAT_MAP, KeyEffect::Changes, lower);
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// Any number of values for each record, under its key.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<Option<String>, String>("lines");
    /// lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).to("words");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("lines").pipe(None::<String>, "to be".to_string())?;
    /// let words = driver.output::<Option<String>, String>("words").read_key_values();
    /// assert_eq!(words, [(None, "to".into()), (None, "be".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values<VO: Data, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.flat_map_values_with_key(move |_, value| map(value))
    }

    /// Any number of values for each record, made of key and value.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<i64, i64>("in").flat_map_values_with_key(|key, n| [*key, n]).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(1_i64, 2_i64)?;
    /// assert_eq!(driver.output::<i64, i64>("out").read_key_values(), [(1, 1), (1, 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values_with_key<VO: Data, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, K, VO>(move |_, next| {
            let map = Arc::clone(&map);
            Ok(Box::new(FlatMapValues { map, next }))
        });
        let node = self.then(prefix::FLAT_MAP_VALUES, KeyEffect::Keeps, lower);
        self.plan.borrow_mut().node_mut(node).changes_values = true;
        self.with_values(node)
    }

    /// A new key for each record. A repartition follows where equal keys are needed together.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<Option<String>, String>("words").select_key(|_, word| word.clone()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(None::<String>, "be".to_string())?;
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().key, "be");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn select_key<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> KO + Send + Sync + 'static,
    ) -> KStream<KO, V> {
        let node = self.select(select);
        KStream::new(Rc::clone(&self.plan), node, None, self.value_serde.clone())
    }

    fn select<KO: Data>(&self, select: impl Fn(&K, &V) -> KO + Send + Sync + 'static) -> PlanId {
        let select = Arc::new(select);
        let lower = operator::<K, V, KO, V>(move |_, next| {
            let select = Arc::clone(&select);
            Ok(Box::new(SelectKey { select, next }))
        });
        self.then(prefix::KEY_SELECT, KeyEffect::Changes, lower)
    }

    /// Shows each record to `look` and passes it on. After a failure records are shown again, exactly-once or not.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use streams_dsl::prelude::*;
    ///
    /// static SEEN: AtomicUsize = AtomicUsize::new(0);
    /// let builder = StreamsBuilder::new();
    /// let input = builder.stream::<String, i64>("in");
    /// input.peek(|_, _| { SEEN.fetch_add(1, Ordering::Relaxed); }).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(SEEN.load(Ordering::Relaxed), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> KStream<K, V> {
        let look = Arc::new(look);
        let lower = operator::<K, V, K, V>(move |_, next| {
            let look = Arc::clone(&look);
            Ok(Box::new(Peek { look, next }))
        });
        self.with_node(self.then(prefix::PEEK, KeyEffect::Keeps, lower))
    }

    /// Gives each record to `action`, and ends there. After a failure records come again, exactly-once or not.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use streams_dsl::prelude::*;
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").for_each(move |_, n| sender.send(n).unwrap());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn for_each(&self, action: impl Fn(K, V) + Send + Sync + 'static) -> Terminal {
        let action = Arc::new(action);
        // Nothing can come after it: the output's types are of no account.
        let lower = operator::<K, V, (), ()>(move |_, _| {
            let action = Arc::clone(&action);
            Ok(Box::new(ForEach { action }))
        });
        self.terminal(self.then(prefix::FOR_EACH, KeyEffect::Keeps, lower))
    }

    /// The records of both streams, in no particular order between the two.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (a, b) = (builder.stream::<String, i64>("a"), builder.stream::<String, i64>("b"));
    /// a.merge(&b).to("both");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("b").pipe("k".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("both").read_key_values(), [("k".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn merge(&self, other: &KStream<K, V>) -> KStream<K, V> {
        let mut parents = vec![self.node];
        if self.same_builder(&other.plan, "merge") {
            parents.push(other.node);
        }
        let pass = operator::<K, V, K, V>(|_, next| Ok(next));
        let node = self.add(prefix::MERGE, |name, _| {
            let mut node = PlanNode::new(name, parents, pass);
            node.kind = Kind::Merge;
            node
        });
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// Splits the stream: each record goes to the first branch that takes it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mut split = builder.stream::<String, i64>("in").split();
    /// split.branch(|_, n| *n < 0).to("negative");
    /// split.branch(|_, n| *n > 9).to("large");
    /// split.default_branch().to("small");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert!(driver.output::<String, i64>("large").is_empty());
    /// assert_eq!(driver.output::<String, i64>("small").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn split(&self) -> BranchedKStream<K, V> {
        BranchedKStream::new(self)
    }

    pub(crate) fn same_builder(&self, other: &SharedPlan, what: &str) -> bool {
        let same = Rc::ptr_eq(&self.plan, other);
        if !same {
            let mut plan = self.plan.borrow_mut();
            let problem = format!(
                "{what} after {} with a stream or table of another StreamsBuilder",
                plan.node(self.node).name
            );
            plan.problems.push(problem);
        }
        same
    }
}

impl<K: Data, V: Data> KStream<Option<K>, V> {
    /// The records that have a key, as a stream whose keys cannot be null. The others are dropped and counted.
    ///
    /// ```
    /// use streams_dsl::metrics::DropReason;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let keyed: KStream<String, i64> = builder.stream::<Option<String>, i64>("in").require_key();
    /// keyed.to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None::<String>, 7_i64)?;
    /// assert!(driver.output::<String, i64>("out").is_empty());
    /// assert_eq!(driver.dropped(DropReason::NullKey), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn require_key(&self) -> KStream<K, V> {
        let lower = operator::<Option<K>, V, K, V>(|_, next| Ok(Box::new(RequireKey { next })));
        let node = self.then(prefix::FILTER, KeyEffect::Keeps, lower);
        KStream::new(Rc::clone(&self.plan), node, None, self.value_serde.clone())
    }
}

/// Grouping, tables, and repartitions.
impl<K: Data, V: Data> KStream<K, V> {
    /// Groups the stream by its key, to be aggregated. Repartitions if the key may have changed.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sums = builder.stream::<String, i64>("in").group_by_key().reduce(|a, b| a + b, Materialized::default());
    /// sums.to_stream().to("sums");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [1_i64, 2] {
    ///     driver.input("in").pipe("a".to_string(), n)?;
    /// }
    /// let sums = driver.output::<String, i64>("sums").read_key_values();
    /// assert_eq!(sums, [("a".into(), 1), ("a".into(), 3)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_key(&self) -> KGroupedStream<K, V>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.group_by_key_with(Grouped::default())
    }

    /// Groups the stream by its key as `grouped` says.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_length = builder.stream::<i64, String>("words").map(|_, word| (word.len() as i64, word));
    /// by_length.group_by_key_with(Grouped::named("by-length")).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(0_i64, "be".to_string())?;
    /// assert_eq!(driver.written("app-by-length-repartition").len(), 1);
    /// let counts = driver.key_value_store::<i64, i64>("counts")?;
    /// assert_eq!(counts.get(&2).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        let serdes = Serdes {
            key: grouped.key_serde.resolve(self.key_serde.as_ref()),
            value: grouped.value_serde.resolve(self.value_serde.as_ref()),
        };
        KGroupedStream::new(Rc::clone(&self.plan), self.node, serdes, grouped.name)
    }

    /// Groups the stream by a new key, and so repartitions it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<Option<String>, String>("words");
    /// let counts = words.group_by(|_, word| word.len() as i64).count(Materialized::named("by-length"));
    /// counts.to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(None::<String>, "be".to_string())?;
    /// assert_eq!(driver.output::<i64, i64>("counts").read_key_values(), [(2, 1)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by<KO: Data + DefaultSerde>(
        &self,
        select: impl Fn(&K, &V) -> KO + Send + Sync + 'static,
    ) -> KGroupedStream<KO, V>
    where
        V: DefaultSerde,
    {
        self.group_by_with(select, Grouped::default())
    }

    /// Groups the stream by a new key as `grouped` says.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<Option<String>, String>("words");
    /// let by_length = words.group_by_with(|_, word| word.len() as i64, Grouped::named("by-length"));
    /// by_length.count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for word in ["to", "be"] {
    ///     driver.input("words").pipe(None::<String>, word.to_string())?;
    /// }
    /// assert_eq!(driver.written("app-by-length-repartition").len(), 2);
    /// let counts = driver.key_value_store::<i64, i64>("counts")?;
    /// assert_eq!(counts.get(&2).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_with<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> KO + Send + Sync + 'static,
        grouped: Grouped<KO, V>,
    ) -> KGroupedStream<KO, V> {
        let node = self.select(select);
        if let Some(name) = &grouped.name {
            self.plan.borrow_mut().rename(node, name);
        }
        let serdes = Serdes {
            key: grouped.key_serde.resolve(None),
            value: grouped.value_serde.resolve(self.value_serde.as_ref()),
        };
        KGroupedStream::new(Rc::clone(&self.plan), node, serdes, grouped.name)
    }

    /// Sends the stream through a topic of its own, partitioned by key, whether or not that is needed. Null keys are
    /// dropped.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").repartition(Repartitioned::named("wide").partitions(12)).to("out");
    /// let topology = builder.build()?;
    /// assert_eq!(topology.subtopologies().len(), 2);
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-wide-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> KStream<K, V> {
        let serdes = Serdes {
            key: repartitioned.key_serde.resolve(self.key_serde.as_ref()),
            value: repartitioned.value_serde.resolve(self.value_serde.as_ref()),
        };
        let mut plan = self.plan.borrow_mut();
        let prefix = match repartitioned.name {
            Some(name) => name,
            None => plan.names.processor(prefix::REPARTITION),
        };
        let names = plan.names.repartition(&prefix);
        let partitioning = Partitioning {
            partitions: repartitioned.partitions,
            partitioner: repartitioned.partitioner,
        };
        let node = repartition::add(&mut plan, self.node, names, serdes.clone(), partitioning);
        KStream::new(Rc::clone(&self.plan), node, Some(serdes.key), Some(serdes.value))
    }

    /// The stream as a table: each record sets the value of its key, a null deletes it. Repartitions if the key may have
    /// changed. Null keys are dropped and counted.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let latest = builder.stream::<String, i64>("in").to_table(Materialized::named("latest"));
    /// latest.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_table(&self, materialized: Materialized<V>) -> KTable<K, V>
    where
        K: DefaultSerde,
    {
        let key_serde = self.key_serde.clone().unwrap_or_else(K::default_serde);
        self.to_table_with(key_serde, materialized)
    }

    /// As [`to_table`](Self::to_table), with this serde for the keys: those of the store, and of all that is made of the table.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Seat { row: u32 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_seat = builder.stream::<i64, String>("guests").map(|row, name| (Seat { row: row as u32 }, name));
    /// let guests = by_seat.to_table_with(Arc::new(JsonSerde), Materialized::named("guests"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("guests").pipe(7_i64, "Ada".to_string())?;
    /// let row = driver.key_value_store::<Seat, String>("guests")?.get(&Seat { row: 7 }).unwrap().unwrap();
    /// assert_eq!(row.value, "Ada");
    /// assert_eq!(driver.written("app-guests-changelog")[0].key.as_deref(), Some(&br#"{"row":7}"#[..]));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_table_with(&self, key_serde: Arc<dyn Serde<K>>, materialized: Materialized<V>) -> KTable<K, V> {
        let serdes = Serdes {
            key: key_serde,
            value: materialized
                .value_serde
                .clone()
                .resolve(self.value_serde.as_ref()),
        };
        let mut plan = self.plan.borrow_mut();
        let named = materialized.name.is_some();
        let name = plan.names.processor(prefix::TO_TABLE);
        let store = plan
            .names
            .store_or(materialized.name.as_deref(), prefix::TO_TABLE);
        let parent = if plan.repartition_required(self.node) {
            repartition::shared(&mut plan, self.node, &name, serdes.clone())
        } else {
            self.node
        };
        let (is_versioned, cache) = stores::add_table(&mut plan, materialized, (&name, &store), &serdes);
        let (key_serde, value_serde) = (Arc::clone(&serdes.key), Arc::clone(&serdes.value));
        let store_name = store.clone();
        let lower = table_operator_of(cache.filter(|_| named), move |node| {
            let value = move |value: V| (!value_serde.is_null(&value)).then_some(value);
            builder::table_source(node, key_serde, (store_name, is_versioned), Arc::new(value))
        });
        let mut node = PlanNode::new(name, vec![parent], lower);
        node.keeps_table(&store, named, is_versioned);
        let node = plan.add(node);
        KTable::new(
            Rc::clone(&self.plan),
            node,
            serdes.key,
            Some(serdes.value),
            view::of_table(&store, is_versioned),
        )
    }
}
