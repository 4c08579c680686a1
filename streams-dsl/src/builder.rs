//! Where a topology begins: streams and tables from topics, and stores for processors.

use std::any::{TypeId, type_name};
use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::{DefaultSerde, NullableSerde, Serde};
use streams_core::store::{StoreBuilder, StoreKind};
use streams_core::topology::{
    ConsumerRecord, OperatorSupplier, SourceOptions, SourceSupplier, TimestampExtractor, TopicName,
    TopicPattern, Topology, Wiring,
};

use crate::lower::{Lower, Lowered, cache_behind, lower};
use crate::names::prefix;
use crate::operators::table_source::{TableSource, ValueOf, VersionedTableSource};
use crate::operators::update_cache::{Cache, cached};
use crate::optimize::Optimization;
use crate::options::{Consumed, Materialized};
use crate::plan::{KeyEffect, Kind, PlanNode, PlanStore, SharedPlan};
use crate::repartition::Serdes;
use crate::{Change, Data, KStream, KTable, stores, view};

/// Builds a topology from streams and tables (Kafka's `StreamsBuilder`).
///
/// What is wrong with it is found by [`build`](Self::build), so that the calls before need no handling.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("numbers").map_values(|n| n * 2).to("doubled");
/// let topology = builder.build()?;
///
/// let driver = TopologyTestDriver::new(&topology)?;
/// driver.input("numbers").pipe("a".to_string(), 21_i64)?;
/// assert_eq!(driver.output::<String, i64>("doubled").read_key_values(), [("a".into(), 42)]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Debug, Default)]
pub struct StreamsBuilder {
    pub(crate) plan: SharedPlan,
}

/// One topic, or several that are read as one stream: by their names, or all that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Vec<TopicName>);

/// All topics of the user's that it matches, also those that come later.
impl From<TopicPattern> for Topics {
    fn from(pattern: TopicPattern) -> Self {
        Self(vec![TopicName::Pattern(pattern)])
    }
}

impl From<&str> for Topics {
    fn from(topic: &str) -> Self {
        Self(vec![TopicName::external(topic)])
    }
}

impl From<String> for Topics {
    fn from(topic: String) -> Self {
        Self(vec![TopicName::external(topic)])
    }
}

impl<T: Into<String>> From<Vec<T>> for Topics {
    fn from(topics: Vec<T>) -> Self {
        Self(
            topics
                .into_iter()
                .map(|topic| TopicName::external(topic.into()))
                .collect(),
        )
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Topics {
    fn from(topics: [T; N]) -> Self {
        Self(
            topics
                .into_iter()
                .map(|topic| TopicName::external(topic.into()))
                .collect(),
        )
    }
}

impl StreamsBuilder {
    /// An empty topology.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of a topic, or of several, with the types' default serdes. Instead of names a
    /// [`TopicPattern`](streams_core::topology::TopicPattern) may be given, for all topics that it matches, also those that come later.
    ///
    /// A null key or value on the wire is `None` if the type is an `Option`; where it is not, the record is dropped and
    /// counted. Several streams of the same topics share one source.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<Option<String>, String>(["lines", "more-lines"]).to("all-lines");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("more-lines").pipe(None::<String>, "hello".to_string())?;
    /// let lines = driver.output::<Option<String>, String>("all-lines");
    /// assert_eq!(lines.read_key_values(), [(None, "hello".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    ///
    /// By a pattern, which must not match a topic that is read by its name:
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>(TopicPattern::new("orders-.*")?).to("all");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Source: KSTREAM-SOURCE-0000000000 (topics: orders-.*)"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("orders-eu").pipe("tea".to_string(), 1_i64)?;
    /// driver.input("orders-us").pipe("tea".to_string(), 2_i64)?;
    /// let all: Vec<i64> = driver.output::<String, i64>("all").read_key_values().into_iter().map(|(_, n)| n).collect();
    /// assert_eq!(all, [1, 2]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn stream<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        &self,
        topics: impl Into<Topics>,
    ) -> KStream<K, V> {
        self.stream_with(topics, Consumed::default())
    }

    /// The records of a topic, or of several, read as `consumed` says.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { item: String, n: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let consumed = Consumed::with(String::default_serde(), Arc::new(JsonSerde));
    /// builder.stream_with("orders", consumed).map_values(|order: Order| order.n).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.output::<String, i64>("amounts").read_key_values(), [("ada".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn stream_with<K: Data, V: Data>(
        &self,
        topics: impl Into<Topics>,
        consumed: Consumed<K, V>,
    ) -> KStream<K, V> {
        let Topics(topics) = topics.into();
        let key_serde = consumed.key_serde.resolve(None);
        let value_serde = consumed.value_serde.resolve(None);
        let mut options = SourceOptions::new(Arc::clone(&key_serde), Arc::clone(&value_serde));
        options.timestamp_extractor = consumed.timestamp_extractor;
        options.auto_offset_reset = consumed.auto_offset_reset;
        let names = topics.clone();
        let supplier = SourceSupplier::new(options);
        let lower = Lower::nodes(move |lowering| {
            let name = &lowering.node.name;
            let source = lowering.builder.add_source_of(name, names, supplier);
            Lowered::source(source, source)
        });
        let mut plan = self.plan.borrow_mut();
        let name = plan.names.processor(prefix::SOURCE);
        let mut node = PlanNode::new(name, Vec::new(), lower);
        node.kind = Kind::Source {
            topics,
            reset: consumed.auto_offset_reset,
            types: (TypeId::of::<(K, V)>(), type_name::<(K, V)>()),
        };
        node.key = KeyEffect::Settles;
        let node = plan.add(node);
        KStream::new(Rc::clone(&self.plan), node, Some(key_serde), Some(value_serde))
    }

    /// A topic as a table: each record sets the value of its key, a null deletes it.
    ///
    /// Without a name there is no store unless the table is looked up (a join) or asked for old values. A null key is dropped
    /// and counted.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("prices", Materialized::default()).to_stream().to("price-changes");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let prices = driver.input::<String, Option<i64>>("prices");
    /// prices.pipe("tea".into(), Some(3))?;
    /// prices.pipe("tea".into(), None)?;
    /// let changes = driver.output::<String, Option<i64>>("price-changes").read_key_values();
    /// assert_eq!(changes, [("tea".into(), Some(3)), ("tea".into(), None)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn table<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        &self,
        topic: &str,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.table_with(topic, Consumed::default(), materialized)
    }

    /// A topic as a table, read as `consumed` says.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table_with("prices", Consumed::<String, i64>::default(), Materialized::named("prices"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// let store = driver.key_value_store::<String, i64>("prices")?;
    /// assert_eq!(store.get(&"tea".into()).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn table_with<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        let mut plan = self.plan.borrow_mut();
        let store = plan
            .names
            .store_or(materialized.name.as_deref(), &format!("{topic}-"));
        let source_name = plan.names.processor(prefix::SOURCE);
        let name = plan.names.processor(prefix::TABLE_SOURCE);
        let key_serde = consumed.key_serde.resolve(None);
        let value_serde = consumed.value_serde.resolve(None);
        let named = materialized.name.is_some();
        let rows = Serdes {
            key: Arc::clone(&key_serde),
            value: materialized.value_serde.clone().resolve(Some(&value_serde)),
        };
        let (is_versioned, cache) = stores::add_table(&mut plan, materialized, (&name, &store), &rows);
        let mut options = SourceOptions::<K, Option<V>>::new(
            Arc::clone(&key_serde),
            Arc::new(NullableSerde::new(Arc::clone(&value_serde))),
        );
        options.timestamp_extractor = consumed.timestamp_extractor.map(of_values);
        options.auto_offset_reset = consumed.auto_offset_reset;
        let lower = lower_table(
            TopicName::external(topic),
            options,
            Arc::clone(&key_serde),
            (store.clone(), is_versioned),
            cache,
        );
        let mut node = PlanNode::new(name, Vec::new(), lower);
        node.kind = Kind::TableSource {
            source_name,
            topic: topic.to_owned(),
            store: store.clone(),
        };
        node.key = KeyEffect::Settles;
        node.keeps_table(&store, named, is_versioned);
        let node = plan.add(node);
        let view = view::of_table(&store, is_versioned);
        KTable::new(Rc::clone(&self.plan), node, rows.key, Some(rows.value), view)
    }

    /// Declares a store for several processors, which connect it by its name: see [`KStream::process`]. It need not be declared if they
    /// [bring it along](crate::store::ConnectedStores).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder};
    ///
    /// /// Numbers the records of each key, whichever topic they come from.
    /// struct Number(KeyValueStore<String, i64>);
    ///
    /// impl Processor<String, String, String, i64> for Number {
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, String>,
    ///         context: &mut ProcessorContext<'_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         let number = self.0.get(&record.key)?.map_or(0, |row| row.value) + 1;
    ///         self.0.put(&record.key, Some(number), record.timestamp_ms)?;
    ///         context.forward(record.with_value(number))
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.add_state_store("numbers", KeyValueStoreBuilder::<String, i64>::new("numbers"));
    /// for topic in ["in", "more"] {
    ///     let input = builder.stream::<String, String>(topic);
    ///     input.process(&["numbers"], |init| Ok(Number(init.key_value_store("numbers")?))).to("out");
    /// }
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), "hello".to_string())?;
    /// driver.input("more").pipe("a".to_string(), "again".to_string())?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 1), ("a".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn add_state_store(&self, name: &str, store: impl StoreBuilder + 'static) {
        self.plan.borrow_mut().stores.push(PlanStore {
            name: name.to_owned(),
            source_topic: None,
            add: Box::new(move |builder| builder.add_store(store)),
        });
    }

    /// Where the rows of stores are kept that do not say so themselves (Kafka's `dsl.store.suppliers.class`). Default: on disk.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.default_store_kind(StoreKind::InMemory);
    /// builder.stream::<String, i64>("clicks").group_by_key().count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// let counts = driver.key_value_store::<String, i64>("counts")?;
    /// assert_eq!(counts.get(&"ada".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn default_store_kind(&self, kind: StoreKind) {
        self.plan.borrow_mut().default_store_kind = Some(kind);
    }

    /// Holds updates of tables until the next commit, and then sends on the last one of each key, where a table does not say
    /// otherwise by [`caching_disabled`](Materialized::caching_disabled). This is what Kafka does by default
    /// (`statestore.cache.max.bytes`): see [`Materialized::caching_enabled`] for what is held, and what is not. Default: every
    /// update is sent on as it happens.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.default_caching_enabled();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// // The test driver commits after each record.
    /// assert_eq!(driver.output::<String, i64>("counts").read_values(), [1]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn default_caching_enabled(&self) {
        self.plan.borrow_mut().default_caching = true;
    }

    /// Requires that all that outlives the application has a name of the user's: stores, their changelogs, and repartition topics
    /// (Kafka's `ensure.explicit.internal.resource.naming`, KIP-1111). Generated names shift when an operator is added, and what is
    /// kept under them is lost. Default: names are generated.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let build = |materialized: Materialized<i64>| {
    ///     let builder = StreamsBuilder::new();
    ///     builder.require_explicit_names();
    ///     builder.stream::<String, i64>("clicks").group_by_key().count(materialized);
    ///     builder.build()
    /// };
    /// let error = build(Materialized::default()).unwrap_err().to_string();
    /// assert!(error.contains("the stores KSTREAM-AGGREGATE-STATE-STORE-0000000002"), "{error}");
    /// let driver = TopologyTestDriver::new(&build(Materialized::named("counts"))?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// let counts = driver.key_value_store::<String, i64>("counts")?;
    /// assert_eq!(counts.get(&"ada".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn require_explicit_names(&self) {
        self.plan.borrow_mut().requires_names = true;
    }

    /// Checks and finishes the topology. Streams and tables made by this builder are of no use afterwards: a topology that an
    /// operator was declared for too late is an error where it is to be run.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter(|_, n| *n > 0).to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: KSTREAM-FILTER-0000000001"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("out").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// [`StreamsError::Topology`](streams_core::error::StreamsError::Topology) with all that is wrong.
    pub fn build(self) -> Result<Topology> {
        self.build_with(Optimization::NONE)
    }

    /// As [`build`](Self::build), with rewrites that save topics and stores (Kafka's `topology.optimization`).
    ///
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_word = builder.stream::<Option<String>, String>("words").select_key(|_, word| word.clone());
    /// by_word.group_by_key().count(Materialized::named("counts"));
    /// by_word.group_by_key().reduce(|_, word| word, Materialized::named("latest"));
    /// let topology = builder.build_with(Optimization::ALL)?;
    /// assert_eq!(topology.describe().matches("Sink: ").count(), 1);
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("words").pipe(None::<String>, "be".to_string())?;
    /// let counts = driver.key_value_store::<String, i64>("counts")?;
    /// assert_eq!(counts.get(&"be".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn build_with(self, optimization: Optimization) -> Result<Topology> {
        let mut plan = self.plan.borrow_mut();
        let topology = lower(&mut plan, optimization);
        let late_changes = topology.as_ref().map(|topology| topology.late_changes().clone());
        plan.late_changes = Some(late_changes.unwrap_or_default());
        topology
    }
}

fn lower_table<K: Data, V: Data>(
    topic: TopicName,
    options: SourceOptions<K, Option<V>>,
    key_serde: Arc<dyn Serde<K>>,
    store: (String, bool),
    cache: Option<Cache<K>>,
) -> Lower {
    let supplier = SourceSupplier::new(options);
    let table_of = move |node: &PlanNode| {
        let cache = cache_behind(node, cache);
        let source_of = table_source(node, key_serde, store, Arc::new(|value: Option<V>| value));
        OperatorSupplier::new(move |wiring, next| {
            let next = cached(cache.as_ref(), wiring, next)?;
            source_of(wiring, next)
        })
    };
    lower_table_source(topic, supplier, Box::new(table_of))
}

fn lower_table_source(
    topic: TopicName,
    supplier: SourceSupplier,
    table_of: Box<dyn FnOnce(&PlanNode) -> OperatorSupplier>,
) -> Lower {
    Lower::nodes(move |lowering| {
        let node = lowering.node;
        let Kind::TableSource { source_name, .. } = &node.kind else {
            unreachable!("made as a table source, and kinds do not change");
        };
        let builder = &mut *lowering.builder;
        let source = builder.add_source_of(source_name, vec![topic], supplier);
        let table = builder.add_operator_of(&node.name, table_of(node), &[source], &node.stores());
        Lowered::source(source, table)
    })
}

/// The live node of a table's beginning. `store` is a name, and whether it is versioned.
pub(crate) fn table_source<K: Data, U: Data, V: Data>(
    node: &PlanNode,
    key_serde: Arc<dyn Serde<K>>,
    (store, is_versioned): (String, bool),
    value: ValueOf<U, V>,
) -> impl Fn(&mut Wiring<'_>, Edge<K, Change<V>>) -> Result<Edge<K, U>> + Send + Sync + use<K, U, V> {
    let (name, send_old) = (node.name.clone(), node.send_old_values);
    let stored = node.stores.contains(&store);
    move |wiring, next| {
        if is_versioned {
            return Ok(Box::new(VersionedTableSource {
                node: name.clone(),
                key_serde: Arc::clone(&key_serde),
                value: Arc::clone(&value),
                store: wiring.versioned_store::<K, V>(&store)?,
                send_old,
                next,
            }));
        }
        let store = if stored {
            Some(wiring.key_value_store::<K, V>(&store)?)
        } else {
            None
        };
        Ok(Box::new(TableSource {
            node: name.clone(),
            key_serde: Arc::clone(&key_serde),
            value: Arc::clone(&value),
            store,
            send_old,
            next,
        }))
    }
}

/// The extractor of a table's values, for its records, which may be deletions.
pub(crate) fn of_values<K: Data, V: Data>(
    extract: TimestampExtractor<K, V>,
) -> TimestampExtractor<K, Option<V>> {
    Arc::new(move |record| {
        extract(&ConsumerRecord {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers,
            key: record.key,
            value: record.value.and_then(Option::as_ref),
            partition_time_ms: record.partition_time_ms,
            wall_clock_ms: record.wall_clock_ms,
        })
    })
}
