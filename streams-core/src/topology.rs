//! A topology: sources, processors, sinks and stores as plain data, with typed handles to build it.
//!
//! Nothing here is alive. Names, kinds, stores and the type of each edge can be inspected, described and split into
//! sub-topologies by code that knows no types; each node also keeps a function that makes the live node, and
//! [`wire`](self) calls those when a task starts. The handles ([`Node`]) make it impossible to connect nodes of unlike
//! types.

mod builder;
mod describe;
mod description;
mod graph;
mod internal_topics;
mod late_changes;
mod node;
mod offset_reset;
mod partitions;
mod pattern;
mod picture;
mod sink;
mod source;
mod subtopology;
mod summary;
mod timestamps;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use builder::TopologyBuilder;
pub use description::{DescribedKind, NodeDescription, SubtopologyDescription, TopologyDescription};
pub(crate) use graph::{Graph, NodeKind, NodeSpec};
pub use graph::{NodeId, TopicName};
pub(crate) use internal_topics::ChangelogConfigs;
pub use internal_topics::InternalTopics;
pub use late_changes::LateChanges;
pub use node::Node;
pub use offset_reset::AutoOffsetReset;
pub use partitions::{Partitioner, Partitions, ProducerRecord, partitioner};
pub use pattern::TopicPattern;
pub use sink::{SinkOptions, SinkSupplier, TopicNameExtractor, TryTopicNameExtractor};
pub(crate) use source::{RawInput, SourceNode};
pub use source::{SourceOptions, SourceSupplier};
pub(crate) use subtopology::Layout;
pub use subtopology::Subtopology;
pub use summary::{StoreSummary, SubtopologySummary, TopologySummary, UpgradeFinding};
pub use timestamps::{
    ConsumerRecord, ExtractedTimestamp, TimestampExtractor, fail_on_invalid_timestamp,
    log_and_skip_on_invalid_timestamp, timestamp_extractor, use_partition_time_on_invalid_timestamp,
    wallclock_timestamp,
};
pub(crate) use timestamps::{DefaultTimestampExtractor, Times};
pub(crate) use wire::{ErasedHandle, LivePunctuation, LiveTopology, StorePlace, open_global_stores, wire};
pub use wire::{OperatorSupplier, Wiring, same};

use crate::store::StoreSpec;

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
    fn new(graph: Graph, subtopologies: Vec<Subtopology>) -> Self {
        Self {
            inner: Arc::new(Inner {
                graph,
                subtopologies,
                late_changes: LateChanges::default(),
            }),
        }
    }

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
