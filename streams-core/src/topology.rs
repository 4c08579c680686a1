//! A topology: sources, processors, sinks and stores as plain data, with typed handles to build it.
//!
//! Nothing here is alive. Names, kinds, stores and the type of each edge can be inspected, described and split into
//! sub-topologies by code that knows no types; each node also keeps a function that makes the live node, and
//! [`wire`](self) calls those when a task starts. The handles ([`Node`]) make it impossible to connect nodes of unlike
//! types.

mod describe;
mod description;
mod graph;
mod internal_topics;
mod late_changes;
mod offset_reset;
mod partitions;
mod pattern;
mod picture;
mod sink;
mod source;
mod subtopology;
mod summary;
mod wire;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

pub use description::{DescribedKind, NodeDescription, SubtopologyDescription, TopologyDescription};
pub(crate) use graph::{Graph, NodeKind, NodeSpec, RepartitionTopic};
pub use graph::{NodeId, TopicName};
pub(crate) use internal_topics::ChangelogConfigs;
pub use internal_topics::InternalTopics;
pub use late_changes::LateChanges;
pub use offset_reset::AutoOffsetReset;
pub use partitions::{Partitioner, Partitions, partitioner};
pub use pattern::TopicPattern;
pub use sink::{SinkOptions, SinkSupplier, TopicNameExtractor};
pub(crate) use source::{RawInput, SourceNode};
pub use source::{SourceOptions, SourceSupplier, TimestampExtractor};
pub(crate) use subtopology::Layout;
pub use subtopology::Subtopology;
pub use summary::{StoreSummary, SubtopologySummary, TopologySummary, UpgradeFinding};
pub(crate) use wire::{ErasedHandle, LivePunctuation, LiveTopology, StorePlace, open_global_stores, wire};
pub use wire::{OperatorSupplier, Wiring, same};

use crate::edge::Edge;
use crate::error::{Result, StreamsError};
use crate::processor::{BoxError, FixedKeyProcessor, Processor, ProcessorInit};
use crate::record::Record;
use crate::store::{
    ConnectedStores, GlobalProcessor, GlobalStoreBuilder, GlobalStoreWriter, StoreBuilder, StoreConnections,
    StoreKind, StoreSpec, UpdateFunction,
};

/// A node of the topology being built that gives out records of `K` and `V`. It is good for its own builder: given to another
/// one, it is an error of [that one's topology](TopologyBuilder::build).
pub struct Node<K, V> {
    id: NodeId,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Node<K, V> {}

impl<K, V> Node<K, V> {
    /// The node's place in the topology.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }
}

impl<K, V> std::fmt::Debug for Node<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({:?})", self.id)
    }
}

/// Builds a [`Topology`] node by node (Kafka's `Topology` class). The DSL is built on it.
///
/// Errors of naming and wiring are found by [`build`](Self::build), so that the calls before it need no handling.
///
/// ```
/// use streams_core::Record;
/// use streams_core::processor::{BoxError, Processor, ProcessorContext};
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// struct Shout;
/// impl Processor<String, String, String, String> for Shout {
///     fn process(
///         &mut self,
///         record: Record<String, String>,
///         context: &mut ProcessorContext<'_, '_, String, String>,
///     ) -> Result<(), BoxError> {
///         context.forward(record.map_value(|text| text.to_uppercase()))
///     }
/// }
///
/// let mut builder = TopologyBuilder::new();
/// let said = builder.add_source::<String, String>("said", [TopicName::external("said")], SourceOptions::default());
/// let shouted = builder.add_processor("shout", &[said], &[], |_| Ok(Shout));
/// builder.add_sink("shouted", TopicName::external("shouted"), &[shouted], SinkOptions::default());
/// let topology = builder.build().unwrap();
/// assert_eq!(topology.subtopologies().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct TopologyBuilder {
    graph: Graph,
    problems: Vec<String>,
}

impl TopologyBuilder {
    /// An empty topology.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source that reads these topics: one or more by their names, or those of one [pattern](TopicName::Pattern).
    pub fn add_source<K: Clone + 'static, V: Clone + 'static>(
        &mut self,
        name: impl Into<String>,
        topics: impl IntoIterator<Item = TopicName>,
        options: SourceOptions<K, V>,
    ) -> Node<K, V> {
        let source = SourceSupplier::new(options);
        let id = self.add_source_of(&name.into(), topics.into_iter().collect(), source);
        self.node(id)
    }

    /// Adds a processor of the user's (Kafka's Processor API). `supplier` makes one for each task; it takes schedules and the
    /// stores that are [connected](ConnectedStores) here, by their names or with all they are, from its argument.
    pub fn add_processor<KI, VI, KO, VO, P>(
        &mut self,
        name: impl Into<String>,
        parents: &[Node<KI, VI>],
        stores: impl ConnectedStores,
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> Node<KO, VO>
    where
        KI: 'static,
        VI: 'static,
        KO: Clone + 'static,
        VO: Clone + 'static,
        P: Processor<KI, VI, KO, VO>,
    {
        let operator = OperatorSupplier::processor::<KI, VI, KO, VO, P>(supplier);
        let stores = StoreConnections::of(stores);
        let id = self.add_connected(&name.into(), operator, &ids(parents), stores);
        self.node(id)
    }

    /// Adds a processor of the user's that leaves keys as they are. Otherwise as [`add_processor`](Self::add_processor).
    pub fn add_fixed_key_processor<K, VI, VO, P>(
        &mut self,
        name: impl Into<String>,
        parents: &[Node<K, VI>],
        stores: impl ConnectedStores,
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> Node<K, VO>
    where
        K: Clone + 'static,
        VI: 'static,
        VO: Clone + 'static,
        P: FixedKeyProcessor<K, VI, VO>,
    {
        let operator = OperatorSupplier::fixed_key_processor::<K, VI, VO, P>(supplier);
        let stores = StoreConnections::of(stores);
        let id = self.add_connected(&name.into(), operator, &ids(parents), stores);
        self.node(id)
    }

    /// Adds an operator: `build` makes the live node for each task from what comes after it.
    pub fn add_operator<KI, VI, KO, VO>(
        &mut self,
        name: impl Into<String>,
        parents: &[Node<KI, VI>],
        stores: &[&str],
        build: impl Fn(&mut Wiring<'_>, Edge<KO, VO>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
    ) -> Node<KO, VO>
    where
        KI: 'static,
        VI: 'static,
        KO: Clone + 'static,
        VO: Clone + 'static,
    {
        let operator = OperatorSupplier::new(build);
        let id = self.add_operator_of(&name.into(), operator, &ids(parents), stores);
        self.node(id)
    }

    /// Adds an operator that chooses among what comes after it: `build` gets one edge a child, in the order the children
    /// were added.
    pub fn add_router<KI, VI, KO, VO>(
        &mut self,
        name: impl Into<String>,
        parents: &[Node<KI, VI>],
        stores: &[&str],
        build: impl Fn(&mut Wiring<'_>, Vec<Edge<KO, VO>>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
    ) -> Node<KO, VO>
    where
        KI: 'static,
        VI: 'static,
        KO: 'static,
        VO: 'static,
    {
        let operator = OperatorSupplier::router(build);
        let id = self.add_operator_of(&name.into(), operator, &ids(parents), stores);
        self.node(id)
    }

    /// Adds a sink that writes to this topic.
    pub fn add_sink<K: 'static, V: 'static>(
        &mut self,
        name: impl Into<String>,
        topic: TopicName,
        parents: &[Node<K, V>],
        options: SinkOptions<K, V>,
    ) {
        self.add_sink_of(
            &name.into(),
            Some(topic),
            SinkSupplier::new(options),
            &ids(parents),
        );
    }

    /// Adds a sink that writes each record to the topic that is chosen for it. The topics must exist.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let words = builder.add_source::<String, String>("in", [TopicName::external("words")], SourceOptions::default());
    /// builder.add_dynamic_sink("out", Arc::new(|word, _| format!("words-of-{}", word.key)), &[words], SinkOptions::default());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe("ada".to_string(), "tea".to_string())?;
    /// assert_eq!(driver.output::<String, String>("words-of-ada").read_key_values().len(), 1);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    pub fn add_dynamic_sink<K: 'static, V: 'static>(
        &mut self,
        name: impl Into<String>,
        extractor: TopicNameExtractor<K, V>,
        parents: &[Node<K, V>],
        options: SinkOptions<K, V>,
    ) {
        let sink = SinkSupplier::dynamic(extractor, options);
        self.add_sink_of(&name.into(), None, sink, &ids(parents));
    }

    /// Adds a store. It becomes part of the topology where a processor names it.
    pub fn add_store(&mut self, store: impl StoreBuilder) {
        self.add_store_spec(store.into_spec());
    }

    /// Adds a store that a processor brings.
    #[doc(hidden)]
    pub fn add_store_spec(&mut self, spec: StoreSpec) {
        self.check_store_is_new(&spec.name);
        self.graph.stores.push(spec);
    }

    /// Adds an operator, and the stores that it brings.
    fn add_connected(
        &mut self,
        name: &str,
        operator: OperatorSupplier,
        parents: &[NodeId],
        stores: StoreConnections,
    ) -> NodeId {
        let StoreConnections { names, brought } = stores;
        for spec in brought {
            self.add_store_spec(spec);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.add_operator_of(name, operator, parents, &names)
    }

    /// Adds a store that is filled from a topic by a processor, in each task from its own partitions, and restored from that topic:
    /// there is no changelog (Kafka's `Topology.addReadOnlyStateStore`, KIP-813). Other processors connect it by its name, and
    /// should only read it: what they write is not restored.
    ///
    /// The store gets bytes of the topic as they are when it is restored, without the processor. So of each record it must keep the
    /// value under the key, as they were read, with the record's timestamp, or delete the row.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use streams_core::Record;
    /// use streams_core::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_core::store::{KeyValueStore, KeyValueStoreBuilder};
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// struct KeepNames(KeyValueStore<i64, String>);
    ///
    /// impl Processor<i64, Option<String>, Infallible, Infallible> for KeepNames {
    ///     fn process(
    ///         &mut self,
    ///         name: Record<i64, Option<String>>,
    ///         _: &mut ProcessorContext<'_, '_, Infallible, Infallible>,
    ///     ) -> Result<(), BoxError> {
    ///         self.0.put(&name.key, name.value, name.timestamp_ms)?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Greet(KeyValueStore<i64, String>);
    ///
    /// impl Processor<i64, String, i64, String> for Greet {
    ///     fn process(
    ///         &mut self,
    ///         greeting: Record<i64, String>,
    ///         context: &mut ProcessorContext<'_, '_, i64, String>,
    ///     ) -> Result<(), BoxError> {
    ///         let name = self.0.get(&greeting.key)?.map_or_else(|| "stranger".to_string(), |row| row.value);
    ///         context.forward(greeting.map_value(|greeting| format!("{greeting}, {name}!")))
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_read_only_store(
    ///     KeyValueStoreBuilder::<i64, String>::new("names"),
    ///     ("read-names", "names"),
    ///     "keep-names",
    ///     SourceOptions::<i64, Option<String>>::default(),
    ///     |init| Ok(KeepNames(init.key_value_store("names")?)),
    /// );
    /// let topics = [TopicName::external("greetings")];
    /// let greetings = builder.add_source::<i64, String>("read-greetings", topics, SourceOptions::default());
    /// let greeted = builder.add_processor("greet", &[greetings], "names", |init| Ok(Greet(init.key_value_store("names")?)));
    /// builder.add_sink("write", TopicName::external("out"), &[greeted], SinkOptions::default());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe(7_i64, "Ada".to_string())?;
    /// for to in [7_i64, 8] {
    ///     driver.input("greetings").pipe(to, "Hello".to_string())?;
    /// }
    /// assert_eq!(driver.output::<i64, String>("out").read_values(), ["Hello, Ada!", "Hello, stranger!"]);
    /// assert_eq!(driver.produced_topic_names(), ["out".to_string()].into());
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    pub fn add_read_only_store<K: Clone + 'static, V: Clone + 'static, P>(
        &mut self,
        store: impl StoreBuilder,
        (source, topic): (&str, &str),
        processor: &str,
        options: SourceOptions<K, V>,
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) where
        P: Processor<K, V, Infallible, Infallible>,
    {
        let topic = TopicName::external(topic);
        let mut spec = store.into_spec();
        let name = spec.name.clone();
        // Its log is the topic, whatever was said of a changelog.
        spec.logged = true;
        self.add_store_spec(spec);
        self.restore_from(&name, topic.clone());
        let source = self.add_source(source, [topic], options);
        let _ = self.add_processor(processor, &[source], name.as_str(), supplier);
    }

    /// Adds a store that is filled from all partitions of a topic and that all processors of all tasks can read, without being
    /// connected to it (Kafka's `Topology.addGlobalStore`).
    ///
    /// `update` turns each record of the topic into rows; what it returns as an error stops the application. It runs for the
    /// topic's records from the first on, before any task does, and then for each new one as it comes; a restart goes on where
    /// the store is. Nothing is sent on from here, and nothing but the topic and the store may decide what it writes. What has
    /// a state of its own is a [processor](Self::add_global_store_processor).
    ///
    /// ```
    /// use streams_core::Record;
    /// use streams_core::store::GlobalStoreBuilder;
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SourceOptions, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_global_store(
    ///     GlobalStoreBuilder::<String, i64>::new("lengths"),
    ///     ("words", "words"),
    ///     "measure",
    ///     SourceOptions::<String, String>::default(),
    ///     |record, store| Ok(store.put(&record.key, Some(&(record.value.len() as i64)), record.timestamp_ms)?),
    /// );
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe("a".to_string(), "tea".to_string())?;
    /// let lengths = driver.global_store::<String, i64>("lengths")?;
    /// assert_eq!(lengths.get(&"a".into()).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    pub fn add_global_store<KI: 'static, VI: 'static, K: 'static, V: 'static>(
        &mut self,
        store: GlobalStoreBuilder<K, V>,
        (source, topic): (&str, &str),
        processor: &str,
        options: SourceOptions<KI, VI>,
        update: impl Fn(Record<KI, VI>, &mut GlobalStoreWriter<'_, K, V>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) {
        let update = Arc::new(update);
        let supplier = move || UpdateFunction(Arc::clone(&update));
        self.add_global_store_processor(store, (source, topic), processor, options, supplier);
    }

    /// As [`add_global_store`](Self::add_global_store), with a processor, which `supplier` makes at each start: see
    /// [`GlobalProcessor`], also for an example.
    pub fn add_global_store_processor<KI: 'static, VI: 'static, K: 'static, V: 'static, P>(
        &mut self,
        store: GlobalStoreBuilder<K, V>,
        (source, topic): (&str, &str),
        processor: &str,
        options: SourceOptions<KI, VI>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) where
        P: GlobalProcessor<KI, VI, K, V>,
    {
        let spec = store.into_spec(topic, processor, options, supplier);
        self.check_store_is_new(&spec.name);
        let kind = NodeKind::GlobalSource {
            topic: TopicName::external(topic),
        };
        let source = self.add_node(source, kind, &[], &[]);
        self.add_node(processor, NodeKind::GlobalUpdate, &[source], &[&spec.name]);
        self.graph.global_stores.push(spec);
    }

    fn check_store_is_new(&mut self, name: &str) {
        let stores = self.graph.stores.iter().map(|store| &store.name);
        let globals = self.graph.global_stores.iter().map(|store| &store.name);
        if stores.chain(globals).any(|other| other == name) {
            self.problems.push(format!(
                "store {name} is added twice: add or bring it once, and name it where else it is used"
            ));
        }
    }

    /// Where the rows of stores are kept that do not say so themselves (Kafka's `dsl.store.suppliers.class`). Default: on disk. Call it when
    /// all stores are added.
    pub fn default_store_kind(&mut self, kind: StoreKind) {
        for unsaid in self.store_kinds().filter(|of| of.is_none()) {
            *unsaid = Some(kind.clone());
        }
    }

    fn store_kinds(&mut self) -> impl Iterator<Item = &mut Option<StoreKind>> {
        let globals = self.graph.global_stores.iter_mut().map(|store| &mut store.kind);
        self.graph
            .stores
            .iter_mut()
            .map(|store| &mut store.kind)
            .chain(globals)
    }

    /// Has a store restored from the topic its rows are read from, instead of a changelog: of each record the bytes of key and
    /// value must be those of the row.
    pub fn restore_from(&mut self, store: &str, topic: TopicName) {
        match self.graph.stores.iter_mut().find(|spec| spec.name == store) {
            Some(spec) => spec.source_topic = Some(topic),
            None => self
                .problems
                .push(format!("store {store} is not there to be restored from {topic}")),
        }
    }

    /// Connects a store that was added to a processor that was added.
    pub fn connect_store<K, V>(&mut self, node: Node<K, V>, store: &str) {
        if !self.is_own(node.id, || {
            format!("the processor that store {store} is connected to")
        }) {
            return;
        }
        let stores = &mut self.graph.nodes[node.id.0].stores;
        if !stores.iter().any(|name| name == store) {
            stores.push(store.to_owned());
        }
    }

    /// The handle of a node that was added, for those who kept only its id. Types are checked when a task is made live.
    #[must_use]
    pub fn node<K, V>(&self, id: NodeId) -> Node<K, V> {
        Node {
            id,
            types: PhantomData,
        }
    }

    /// Declares an internal topic between two sub-topologies. `partitions`: as many as the input of whoever writes to it
    /// has, if `None`.
    pub fn add_repartition_topic(&mut self, name: &str, partitions: Option<u32>) {
        self.graph.repartition_topics.push(RepartitionTopic {
            name: Arc::from(name),
            partitions,
        });
    }

    /// Requires these sources to read topics with equal partition counts, since an operator joins what they read.
    pub fn copartition(&mut self, sources: &[NodeId]) {
        let mut own = sources.to_vec();
        own.retain(|&source| self.is_own(source, || "a source of copartitioned topics".to_owned()));
        self.graph.copartitioned.push(own);
    }

    /// True if a node is one of this builder's; otherwise that is a problem.
    fn is_own(&mut self, node: NodeId, what: impl FnOnce() -> String) -> bool {
        let is_own = node.1 == self.graph.builder;
        if !is_own {
            self.problems
                .push(format!("{} is a node of another TopologyBuilder", what()));
        }
        is_own
    }

    /// Checks and finishes the topology.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] with all that is wrong: names used twice or not valid, sources of the same topic,
    /// processors without parents, nodes of other builders, stores that do not exist, internal topics nobody writes or reads.
    pub fn build(self) -> Result<Topology> {
        let Self { graph, mut problems } = self;
        problems.extend(graph.problems());
        if !problems.is_empty() {
            return Err(StreamsError::Topology(problems.join("; ")));
        }
        let subtopologies = subtopology::split(&graph);
        Ok(Topology {
            inner: Arc::new(Inner {
                graph,
                subtopologies,
                late_changes: LateChanges::default(),
            }),
        })
    }

    /// Adds an operator, as [`add_operator`](Self::add_operator), by those who do not know its types. That its parents give
    /// what it takes is checked when a task is made live.
    pub fn add_operator_of(
        &mut self,
        name: &str,
        OperatorSupplier(build): OperatorSupplier,
        parents: &[NodeId],
        stores: &[&str],
    ) -> NodeId {
        self.add_node(name, NodeKind::Processor { build }, parents, stores)
    }

    /// Adds a source, as [`add_source`](Self::add_source), by those who do not know its types.
    pub fn add_source_of(&mut self, name: &str, topics: Vec<TopicName>, source: SourceSupplier) -> NodeId {
        let SourceSupplier { reset, build } = source;
        self.add_node(name, NodeKind::Source { topics, reset, build }, &[], &[])
    }

    /// Adds a sink that writes to this topic, or if there is none to the one that is chosen for each record, as
    /// [`add_sink`](Self::add_sink) and [`add_dynamic_sink`](Self::add_dynamic_sink), by those who do not know its types.
    pub fn add_sink_of(
        &mut self,
        name: &str,
        topic: Option<TopicName>,
        SinkSupplier(build): SinkSupplier,
        parents: &[NodeId],
    ) {
        self.add_node(name, NodeKind::Sink { topic, build }, parents, &[]);
    }

    fn add_node(&mut self, name: &str, kind: NodeKind, parents: &[NodeId], stores: &[&str]) -> NodeId {
        let id = self.graph.id(self.graph.nodes.len());
        let mut parents = parents.to_vec();
        parents.retain(|&parent| self.is_own(parent, || format!("a parent of {name}")));
        for parent in &parents {
            self.graph.nodes[parent.0].children.push(id);
        }
        self.graph.nodes.push(NodeSpec {
            name: name.to_owned(),
            kind,
            parents,
            children: Vec::new(),
            stores: stores.iter().map(|store| (*store).to_owned()).collect(),
        });
        id
    }
}

fn ids<K, V>(nodes: &[Node<K, V>]) -> Vec<NodeId> {
    let mut ids = Vec::with_capacity(nodes.len());
    for node in nodes {
        ids.push(node.id);
    }
    ids
}

/// Kafka's own topics.
const COORDINATOR_TOPICS: [&str; 4] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
];

/// A checked topology. Cheap to clone; made live once for every task.
#[derive(Clone, Debug)]
pub struct Topology {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    graph: Graph,
    subtopologies: Vec<Subtopology>,
    late_changes: LateChanges,
}

impl Topology {
    /// The connected parts, numbered as Kafka numbers them.
    #[must_use]
    pub fn subtopologies(&self) -> &[Subtopology] {
        &self.inner.subtopologies
    }

    /// Topics the application reads by their names that it does not make itself, those of global stores included.
    #[must_use]
    pub fn source_topics(&self) -> Vec<String> {
        self.topics(|kind| kind.topics().to_vec())
    }

    /// Topics the application writes that it does not make itself.
    #[must_use]
    pub fn sink_topics(&self) -> Vec<String> {
        self.topics(|kind| match kind {
            NodeKind::Sink { topic, .. } => topic.iter().cloned().collect(),
            _ => Vec::new(),
        })
    }

    /// The text of Kafka's `TopologyDescription`.
    #[must_use]
    pub fn describe(&self) -> String {
        self.description().to_string()
    }

    /// What the topology consists of, for programs.
    #[must_use]
    pub fn description(&self) -> TopologyDescription {
        describe::describe(self)
    }

    /// The topology as a picture: the text of a [Mermaid](https://mermaid.js.org) flow chart, which Markdown pages show. Topics
    /// are flags, stores cylinders.
    ///
    /// ```
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
    /// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
    /// let topology = builder.build()?;
    /// assert!(topology.to_mermaid().contains("t_numbers --> n0"));
    /// assert!(topology.to_graphviz().contains("t_numbers -> n0"));
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        picture::mermaid(self)
    }

    /// The topology as a picture: the text of a [Graphviz](https://graphviz.org) graph.
    #[must_use]
    pub fn to_graphviz(&self) -> String {
        picture::graphviz(self)
    }

    /// True if some topics are read by patterns, so that there may be more of them in time.
    pub(crate) fn has_patterns(&self) -> bool {
        let mut topics = self.graph().nodes.iter().flat_map(|node| node.kind.topics());
        topics.any(|topic| matches!(topic, TopicName::Pattern(_)))
    }

    /// True if a topic on the log is read by a pattern. Those of the application itself and of coordinators never are.
    pub(crate) fn is_matched(&self, topic: &str, application_id: &str) -> bool {
        let mut topics = self.graph().nodes.iter().flat_map(|node| node.kind.topics());
        topics.any(|of| matches!(of, TopicName::Pattern(pattern) if pattern.matches(topic)))
            && !COORDINATOR_TOPICS.contains(&topic)
            && !self.is_internal(topic, application_id)
    }

    fn is_internal(&self, topic: &str, application_id: &str) -> bool {
        let mut repartitions = self.graph().repartition_topics.iter();
        let mut stores = self
            .graph()
            .stores
            .iter()
            .filter(|store| store.source_topic.is_none());
        repartitions.any(|of| TopicName::Internal(Arc::clone(&of.name)).is(topic, application_id))
            || stores.any(|store| store.changelog_topic(application_id) == topic)
    }

    /// Where a builder whose handles outlive it says that one of them was used after all.
    #[doc(hidden)]
    #[must_use]
    pub fn late_changes(&self) -> &LateChanges {
        &self.inner.late_changes
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.inner.graph
    }

    /// What the source says that reads this topic of the log; `None` if it is one of the application's own.
    pub(crate) fn offset_reset(
        &self,
        topic: &str,
        application_id: &str,
        default: AutoOffsetReset,
    ) -> Option<AutoOffsetReset> {
        if self.is_internal(topic, application_id) {
            return None;
        }
        let mut nodes = self.graph().nodes.iter();
        nodes.find_map(|node| match &node.kind {
            NodeKind::Source { topics, reset, .. } => {
                let mut topics = topics.iter();
                topics
                    .any(|of| of.is_users(topic))
                    .then(|| reset.unwrap_or(default))
            }
            _ => None,
        })
    }

    pub(crate) fn stores(&self) -> BTreeMap<&str, &StoreSpec> {
        self.graph()
            .stores
            .iter()
            .map(|store| (store.name.as_str(), store))
            .collect()
    }

    fn topics(&self, of: impl Fn(&NodeKind) -> Vec<TopicName>) -> Vec<String> {
        let mut topics: Vec<String> = self
            .graph()
            .nodes
            .iter()
            .flat_map(|node| of(&node.kind))
            .filter_map(|topic| match topic {
                TopicName::External(name) => Some(name.to_string()),
                TopicName::Internal(_) | TopicName::Pattern(_) => None,
            })
            .collect();
        topics.sort();
        topics.dedup();
        topics
    }
}
