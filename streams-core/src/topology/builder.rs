//! `TopologyBuilder`: how a topology is put together, by those who know types and by those who do not.

mod stores;

use std::sync::Arc;

use super::graph::{Graph, NodeKind, NodeSpec, RepartitionTopic};
use super::node::ids;
use super::{
    Node, NodeId, OperatorSupplier, SinkOptions, SinkSupplier, SourceOptions, SourceSupplier, TopicName,
    TopicNameExtractor, Topology, Wiring, subtopology,
};
use crate::edge::Edge;
use crate::error::{Result, StreamsError};
use crate::processor::{FixedKeyProcessor, Processor, ProcessorInit};
use crate::store::{ConnectedStores, StoreConnections};

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
            self.share_store_spec(spec);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.add_operator_of(name, operator, parents, &names)
    }

    /// The handle of a node that was added, for those who kept only its id. Types are checked when a task is made live.
    #[must_use]
    pub fn node<K, V>(&self, id: NodeId) -> Node<K, V> {
        Node::new(id)
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
        Ok(Topology::new(graph, subtopologies))
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
