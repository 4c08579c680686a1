//! `KStream`: a stream of records, and its operators. Each method declares one operator; what it does is in `operators/`.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::processor::{Processor, ProcessorInit};
use streams_core::serde::{DefaultSerde, NullableSerde, Serde};
use streams_core::topology::{Node, SinkOptions, TopicName};

use crate::branched::BranchedKStream;
use crate::grouped::KGroupedStream;
use crate::names::prefix;
use crate::operators::repartition::Through;
use crate::operators::stateless::{
    Filter, FlatMap, FlatMapValues, Map, MapValues, Peek, RequireKey, SelectKey,
};
use crate::operators::stream_table_join::StreamTableJoin;
use crate::operators::table_source;
use crate::options::{Grouped, Joined, Materialized, Produced, Repartitioned};
use crate::plan::{PlanId, SharedPlan};
use crate::table::KTable;

/// A stream of records (Kafka's `KStream`). A cheap handle: used twice, each record goes both ways, first the one that was
/// declared first.
///
/// Operators keep timestamp and headers of the record they work on. Those that change the key say so: a grouping, join or
/// table that follows goes through a repartition topic first.
pub struct KStream<K, V> {
    pub(crate) plan: SharedPlan,
    pub(crate) node: PlanId,
    pub(crate) sources: Vec<PlanId>,
    pub(crate) key_serde: Option<Arc<dyn Serde<K>>>,
    pub(crate) value_serde: Option<Arc<dyn Serde<V>>>,
    /// The key may have changed since the records were partitioned by it.
    pub(crate) key_changed: bool,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            node: self.node,
            sources: self.sources.clone(),
            key_serde: self.key_serde.clone(),
            value_serde: self.value_serde.clone(),
            key_changed: self.key_changed,
        }
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    pub(crate) fn new(
        plan: SharedPlan,
        node: PlanId,
        sources: Vec<PlanId>,
        key_serde: Option<Arc<dyn Serde<K>>>,
        value_serde: Option<Arc<dyn Serde<V>>>,
        key_changed: bool,
    ) -> Self {
        Self {
            plan,
            node,
            sources,
            key_serde,
            value_serde,
            key_changed,
        }
    }

    /// Gives the last operator a name instead of its number. Names make topologies stable: numbers move when operators are
    /// added before them.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.plan.borrow_mut().rename(self.node, name);
        self
    }

    /// Records that satisfy a predicate.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter(|_, n| n % 2 == 0).to("even");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in 1..=3 {
    ///     driver.input::<String, i64>("in").pipe("k".into(), n)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("even").read_key_values(), [("k".into(), 2)]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let predicate = Arc::new(predicate);
        let node = self.operator(prefix::STREAM_FILTER, move |next| Filter {
            predicate: Arc::clone(&predicate),
            next,
        });
        Self { node, ..self.clone() }
    }

    /// Records that do not satisfy a predicate; see [`filter`](Self::filter).
    #[must_use]
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// Each record with its value mapped. Null values, if the type has them, are mapped too.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map_values(|n| n * 10).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, i64>("in").pipe("k".into(), 4)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("k".into(), 40)]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values<W: Clone + 'static>(
        &self,
        map: impl Fn(V) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.map_values_with_key(move |_, value| map(value))
    }

    /// As [`map_values`](Self::map_values), with a look at the key.
    #[must_use]
    pub fn map_values_with_key<W: Clone + 'static>(
        &self,
        map: impl Fn(&K, V) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let map = Arc::new(map);
        let node = self.operator(prefix::STREAM_MAP_VALUES, move |next| MapValues {
            map: Arc::clone(&map),
            next,
        });
        self.same_key(node)
    }

    /// Each record with key and value mapped. Changes the key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map(|key, n| (n, key)).to("swapped");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, i64>("in").pipe("k".into(), 4)?;
    /// assert_eq!(driver.output::<i64, String>("swapped").read_key_values(), [(4, "k".into())]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn map<L: Clone + 'static, W: Clone + 'static>(
        &self,
        map: impl Fn(K, V) -> (L, W) + Send + Sync + 'static,
    ) -> KStream<L, W> {
        let map = Arc::new(map);
        let node = self.operator(prefix::STREAM_MAP, move |next| Map {
            map: Arc::clone(&map),
            next,
        });
        self.other_key(node, None)
    }

    /// Any number of values for each record, all with its key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<String, String>("lines");
    /// lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).to("words");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("lines").pipe("k".into(), "so be it".into())?;
    /// assert_eq!(driver.output::<String, String>("words").read_key_values().len(), 3);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values<W: Clone + 'static, I: IntoIterator<Item = W> + 'static>(
        &self,
        map: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> KStream<K, W> {
        let map = Arc::new(move |_: &K, value: V| map(value));
        let node = self.operator(prefix::STREAM_FLAT_MAP_VALUES, move |next| FlatMapValues {
            map: Arc::clone(&map),
            next,
        });
        self.same_key(node)
    }

    /// Any number of records for each record. Changes the key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").flat_map(|key, n| (0..n).map(move |i| (i, key.clone()))).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, i64>("in").pipe("k".into(), 2)?;
    /// assert_eq!(driver.output::<i64, String>("out").read_key_values(), [(0, "k".into()), (1, "k".into())]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map<L, W, I>(&self, map: impl Fn(K, V) -> I + Send + Sync + 'static) -> KStream<L, W>
    where
        L: Clone + 'static,
        W: Clone + 'static,
        I: IntoIterator<Item = (L, W)> + 'static,
    {
        let map = Arc::new(map);
        let node = self.operator(prefix::STREAM_FLAT_MAP, move |next| FlatMap {
            map: Arc::clone(&map),
            next,
        });
        self.other_key(node, None)
    }

    /// Each record with a new key. Changes the key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").select_key(|_, n| *n).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, i64>("in").pipe("k".into(), 4)?;
    /// assert_eq!(driver.output::<i64, i64>("out").read_key_values(), [(4, 4)]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn select_key<L: Clone + 'static>(
        &self,
        select: impl Fn(&K, &V) -> L + Send + Sync + 'static,
    ) -> KStream<L, V> {
        let select = Arc::new(select);
        let node = self.operator(prefix::STREAM_KEY_SELECT, move |next| SelectKey {
            select: Arc::clone(&select),
            next,
        });
        self.other_key(node, self.value_serde.clone())
    }

    /// Calls a function with each record, and passes the record on. After a failure it may be called again for the same
    /// record, exactly-once or not.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").peek(|key, n| println!("{key}: {n}")).to("out");
    /// # builder.build()?;
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        let look = Arc::new(look);
        let node = self.operator(prefix::STREAM_PEEK, move |next| Peek {
            look: Arc::clone(&look),
            next,
        });
        Self { node, ..self.clone() }
    }

    /// Calls a function with each record, and ends the stream. As for [`peek`](Self::peek), it may be called again.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").for_each(|key, n| println!("{key}: {n}"));
    /// # builder.build()?;
    /// # Ok::<(), StreamsError>(())
    /// ```
    pub fn for_each(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) {
        let look = Arc::new(look);
        self.operator(prefix::STREAM_FOR_EACH, move |next: Edge<K, V>| Peek {
            look: Arc::clone(&look),
            next,
        });
    }

    /// The records of both streams. There is no order between the two.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let (web, app) = (builder.stream::<String, i64>("web"), builder.stream("app"));
    /// web.merge(&app).to("all");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, i64>("web").pipe("k".into(), 1)?;
    /// driver.input::<String, i64>("app").pipe("k".into(), 2)?;
    /// assert_eq!(driver.output::<String, i64>("all").read_key_values().len(), 2);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn merge(&self, other: &KStream<K, V>) -> Self {
        let parents = [self.node, other.node];
        let mut plan = self.plan.borrow_mut();
        let node = plan.add_operator::<K, V, K, V>(prefix::STREAM_MERGE, &parents, |_, next| Ok(next));
        drop(plan);
        let sources = [self.sources.as_slice(), &other.sources].concat();
        Self {
            node,
            sources,
            key_changed: self.key_changed || other.key_changed,
            ..self.clone()
        }
    }

    /// Splits the stream into branches: see [`BranchedKStream`].
    #[must_use]
    pub fn split(&self) -> BranchedKStream<K, V> {
        BranchedKStream::new(self.clone())
    }

    /// Groups by a new key, with default serdes. Changes the key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// let by_city = orders.group_by(|_, city| city.clone()).count(Materialized::named("orders-by-city"));
    /// by_city.to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("orders").pipe("1".into(), "Bonn".into())?;
    /// assert_eq!(driver.output::<String, Option<i64>>("counts").read_key_values(), [("Bonn".into(), Some(1))]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by<L: DefaultSerde + Clone>(
        &self,
        select: impl Fn(&K, &V) -> L + Send + Sync + 'static,
    ) -> KGroupedStream<L, V>
    where
        V: DefaultSerde,
    {
        let value_serde = self.value_serde.clone().unwrap_or_else(V::default_serde);
        self.group_by_with(select, Grouped::with(L::default_serde(), value_serde))
    }

    /// Groups by a new key. Changes the key.
    #[must_use]
    pub fn group_by_with<L: Clone + 'static>(
        &self,
        select: impl Fn(&K, &V) -> L + Send + Sync + 'static,
        grouped: Grouped<L, V>,
    ) -> KGroupedStream<L, V> {
        let selected = self.select_key(select);
        let selected = match &grouped.name {
            Some(name) => selected.named(name),
            None => selected,
        };
        selected.group_by_key_with(grouped)
    }

    /// Groups by the key, with default serdes.
    #[must_use]
    pub fn group_by_key(&self) -> KGroupedStream<K, V>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let (key_serde, value_serde) = self.default_serdes();
        self.group_by_key_with(Grouped::with(key_serde, value_serde))
    }

    /// Groups by the key.
    #[must_use]
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        let Grouped {
            key_serde,
            value_serde,
            name,
        } = grouped;
        KGroupedStream {
            stream: self.clone(),
            key_serde,
            value_serde,
            name,
            repartitioned: Rc::default(),
        }
    }

    /// Joins each record with the table's row of the same key as it is now. Without a row there is no result. Null keys and
    /// null values are dropped and counted.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let users = builder.table::<String, String>("users", Materialized::default());
    /// let clicks = builder.stream::<String, String>("clicks");
    /// clicks.join(&users, |page, name| format!("{name} saw {page}")).to("seen");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("users").pipe("7".into(), "Ada".into())?;
    /// driver.input::<String, String>("clicks").pipe("7".into(), "/home".into())?;
    /// driver.input::<String, String>("clicks").pipe("8".into(), "/home".into())?;
    /// assert_eq!(driver.output::<String, String>("seen").read_key_values(), [("7".into(), "Ada saw /home".into())]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn join<T: Clone + 'static, W: Clone + 'static>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, T) -> W + Send + Sync + 'static,
    ) -> KStream<K, W>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let (key_serde, value_serde) = self.default_serdes();
        self.join_with(table, joiner, Joined::with(key_serde, value_serde))
    }

    /// As [`join`](Self::join), with serdes and a name.
    #[must_use]
    pub fn join_with<T: Clone + 'static, W: Clone + 'static>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, T) -> W + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, W> {
        let join = move |value, row: Option<T>| row.map(|row| joiner(value, row));
        self.join_table(table, prefix::STREAM_JOIN, false, join, joined)
    }

    /// As [`join`](Self::join), but a record without a row is joined with `None`; so is one with a null key.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let users = builder.table::<String, String>("users", Materialized::default());
    /// let clicks = builder.stream::<String, String>("clicks");
    /// clicks.left_join(&users, |page, name| format!("{} saw {page}", name.unwrap_or("?".into()))).to("seen");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("clicks").pipe("8".into(), "/home".into())?;
    /// assert_eq!(driver.output::<String, String>("seen").read_key_values(), [("8".into(), "? saw /home".into())]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join<T: Clone + 'static, W: Clone + 'static>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, Option<T>) -> W + Send + Sync + 'static,
    ) -> KStream<K, W>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let (key_serde, value_serde) = self.default_serdes();
        self.left_join_with(table, joiner, Joined::with(key_serde, value_serde))
    }

    /// As [`left_join`](Self::left_join), with serdes and a name.
    #[must_use]
    pub fn left_join_with<T: Clone + 'static, W: Clone + 'static>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, Option<T>) -> W + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, W> {
        let join = move |value, row| Some(joiner(value, row));
        self.join_table(table, prefix::STREAM_LEFT_JOIN, true, join, joined)
    }

    /// Sends the stream through an internal topic, so that it is partitioned by its key.
    #[must_use]
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> Self {
        let Repartitioned {
            key_serde,
            value_serde,
            name,
            partitions,
        } = repartitioned;
        let generated = self.plan.borrow_mut().names.processor(prefix::STREAM_REPARTITION);
        self.through(
            name.unwrap_or(generated),
            key_serde,
            value_serde,
            partitions,
            false,
        )
    }

    /// Processes the stream with a processor of yours (Kafka's Processor API), connected to stores that were added to the
    /// builder. Changes the key, as far as anyone knows.
    #[must_use]
    pub fn process<KO, VO, P>(
        &self,
        stores: &[&str],
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> KStream<KO, VO>
    where
        KO: Clone + 'static,
        VO: Clone + 'static,
        P: Processor<K, V, KO, VO>,
    {
        let stores: Vec<String> = stores.iter().map(|store| (*store).to_owned()).collect();
        let mut plan = self.plan.borrow_mut();
        let name = plan.names.processor(prefix::STREAM_PROCESSOR);
        let node = plan.add(name, &[self.node], move |builder, name, parents| {
            let parents: Vec<Node<K, V>> = parents.iter().map(|parent| builder.node(*parent)).collect();
            let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
            let node: Node<KO, VO> = builder.add_processor(name, &parents, &stores, supplier);
            node.id()
        });
        drop(plan);
        self.other_key(node, None)
    }

    /// Writes the stream to a topic, which must exist, with default serdes.
    pub fn to(&self, topic: &str)
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let (key_serde, value_serde) = self.default_serdes();
        self.to_with(topic, Produced::with(key_serde, value_serde));
    }

    /// Writes the stream to a topic, which must exist.
    pub fn to_with(&self, topic: &str, produced: Produced<K, V>) {
        let Produced {
            key_serde,
            value_serde,
            partitioner,
            name,
        } = produced;
        let topic = TopicName::external(topic);
        let mut plan = self.plan.borrow_mut();
        let generated = plan.names.processor(prefix::STREAM_SINK);
        plan.add(
            name.unwrap_or(generated),
            &[self.node],
            move |builder, name, parents| {
                let parents: Vec<Node<K, V>> = parents.iter().map(|parent| builder.node(*parent)).collect();
                let options = SinkOptions {
                    key_serde,
                    value_serde,
                    partitioner,
                };
                builder.add_sink(name, topic, &parents, options);
                parents[0].id()
            },
        );
    }

    fn join_table<T: Clone + 'static, W: Clone + 'static>(
        &self,
        table: &KTable<K, T>,
        prefix: &str,
        left: bool,
        join: impl Fn(V, Option<T>) -> Option<W> + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, W> {
        let Joined {
            key_serde,
            value_serde,
            name,
        } = joined;
        table.view.require();
        let stream = match self.key_changed {
            true => {
                let topic = name
                    .clone()
                    .unwrap_or_else(|| self.plan.borrow().name(self.node).to_owned());
                self.through(
                    topic,
                    Arc::clone(&key_serde),
                    Arc::clone(&value_serde),
                    None,
                    left,
                )
            }
            false => self.clone(),
        };
        let (getter, stores, join) = (
            Arc::clone(&table.view.getter),
            table.view.stores.clone(),
            Arc::new(join),
        );
        let mut plan = stream.plan.borrow_mut();
        plan.copartition([stream.sources.as_slice(), &table.sources].concat());
        let generated = plan.names.processor(prefix);
        let keys = Arc::clone(&key_serde);
        let node = plan.add(
            name.unwrap_or(generated),
            &[stream.node],
            move |builder, name, parents| {
                let parents: Vec<Node<K, V>> = parents.iter().map(|parent| builder.node(*parent)).collect();
                let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
                let build = move |wiring: &mut streams_core::topology::Wiring<'_>, next| {
                    Ok(Box::new(StreamTableJoin {
                        key_serde: Arc::clone(&keys),
                        value_serde: Arc::clone(&value_serde),
                        get: getter(wiring)?,
                        left,
                        join: Arc::clone(&join),
                        next,
                    }) as Edge<K, V>)
                };
                builder.add_operator(name, &parents, &stores, build).id()
            },
        );
        drop(plan);
        let sources = [stream.sources.as_slice(), &table.sources].concat();
        KStream::new(
            Rc::clone(&stream.plan),
            node,
            sources,
            Some(key_serde),
            None,
            false,
        )
    }

    fn through(
        &self,
        name: String,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
        partitions: Option<u32>,
        keep_null_keys: bool,
    ) -> Self {
        Through {
            name,
            key_serde,
            value_serde,
            partitions,
            keep_null_keys,
        }
        .apply(self)
    }

    fn default_serdes(&self) -> (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>)
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        let key_serde = self.key_serde.clone().unwrap_or_else(K::default_serde);
        (
            key_serde,
            self.value_serde.clone().unwrap_or_else(V::default_serde),
        )
    }

    /// Declares an operator on this stream from how its live node is made.
    fn operator<L, W, P>(
        &self,
        prefix: &str,
        make: impl Fn(Edge<L, W>) -> P + Send + Sync + 'static,
    ) -> PlanId
    where
        L: Clone + 'static,
        W: Clone + 'static,
        P: streams_core::edge::Process<K, V> + 'static,
    {
        let build =
            move |_: &mut streams_core::topology::Wiring<'_>, next| Ok(Box::new(make(next)) as Edge<K, V>);
        self.plan.borrow_mut().add_operator(prefix, &[self.node], build)
    }

    fn same_key<W: Clone + 'static>(&self, node: PlanId) -> KStream<K, W> {
        let (plan, sources) = (Rc::clone(&self.plan), self.sources.clone());
        KStream::new(
            plan,
            node,
            sources,
            self.key_serde.clone(),
            None,
            self.key_changed,
        )
    }

    fn other_key<L: Clone + 'static, W: Clone + 'static>(
        &self,
        node: PlanId,
        value_serde: Option<Arc<dyn Serde<W>>>,
    ) -> KStream<L, W> {
        KStream::new(
            Rc::clone(&self.plan),
            node,
            self.sources.clone(),
            None,
            value_serde,
            true,
        )
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<Option<K>, V> {
    /// The stream without its optional keys: records that have none are dropped and counted.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<Option<String>, i64>("in").require_key().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<Option<String>, i64>("in").pipe(None, 1)?;
    /// driver.input::<Option<String>, i64>("in").pipe(Some("k".into()), 2)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("k".into(), 2)]);
    /// assert_eq!(driver.dropped(DropReason::NullKey), 1);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn require_key(&self) -> KStream<K, V> {
        let node = self.operator(prefix::STREAM_FILTER, |next| RequireKey { next });
        let (plan, sources) = (Rc::clone(&self.plan), self.sources.clone());
        KStream::new(
            plan,
            node,
            sources,
            None,
            self.value_serde.clone(),
            self.key_changed,
        )
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, Option<V>> {
    /// The stream as a table: the latest value of each key, `None` deletes it. Goes through a repartition topic if the key
    /// has changed. Null keys are dropped and counted.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let moves = builder.stream::<String, Option<String>>("moves");
    /// moves.to_table(Materialized::named("place"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("moves").pipe("ada".into(), "Bonn".into())?;
    /// let place = driver.key_value_store::<String, String>("place")?;
    /// assert_eq!(place.get(&"ada".into()).unwrap().unwrap().value, "Bonn");
    /// # Ok::<(), StreamsError>(())
    /// ```
    pub fn to_table(&self, materialized: Materialized<V>) -> KTable<K, V>
    where
        K: DefaultSerde,
    {
        let store = match &materialized.name {
            Some(name) => name.clone(),
            None => self.plan.borrow_mut().names.store(prefix::STREAM_TO_TABLE),
        };
        let key_serde = self.key_serde.clone().unwrap_or_else(K::default_serde);
        let value_serde = Arc::new(NullableSerde::new(Arc::clone(&materialized.value_serde)));
        let stream = match self.key_changed {
            true => self.through(store.clone(), key_serde, value_serde, None, false),
            false => KStream {
                key_serde: Some(key_serde),
                ..self.clone()
            },
        };
        let needed = materialized.name.is_some();
        table_source::table(&stream, store, needed, materialized, prefix::STREAM_TO_TABLE)
    }
}

impl<K, V> std::fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KStream")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
