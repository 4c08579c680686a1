//! Sub-topologies: the connected parts of a topology, their tasks, and the internal topics between them.
//!
//! Numbered as Kafka numbers them: in the order in which their first sources were added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Graph, InternalTopics, NodeId, NodeKind, NodeSpec, TopicName, Topology};
use crate::assignment::{TaskId, Tasks};
use crate::error::{Result, StreamsError};
use crate::log::{NewTopic, TopicPartition};
use crate::store::StoreSpec;

/// Nodes that pass records to one another, or share a store: what one task runs.
#[derive(Clone, Debug)]
pub struct Subtopology {
    /// Number, from 0.
    pub id: u32,
    /// Its nodes, in the order they were added.
    pub nodes: Vec<NodeId>,
    /// Its stores, in the order they were added.
    pub stores: Vec<String>,
    /// True if it fills a global store: it has no tasks.
    pub is_global: bool,
    pub(crate) sources: Vec<TopicName>,
    pub(crate) sinks: Vec<TopicName>,
}

impl Subtopology {
    /// All of a topology as if it were one part, which is how the test driver runs it.
    pub(crate) fn whole(topology: &Topology) -> Self {
        let graph = topology.graph();
        let of_tasks = topology.subtopologies().iter().filter(|part| !part.is_global);
        let parts: Vec<&Subtopology> = of_tasks.collect();
        let all = 0..graph.nodes.len();
        Self {
            id: 0,
            nodes: all
                .filter(|&index| !graph.nodes[index].kind.is_global())
                .map(|index| graph.id(index))
                .collect(),
            stores: parts.iter().flat_map(|part| part.stores.clone()).collect(),
            is_global: false,
            sources: parts.iter().flat_map(|part| part.sources.clone()).collect(),
            sinks: parts.iter().flat_map(|part| part.sinks.clone()).collect(),
        }
    }
}

/// Splits a graph into its connected parts.
pub(super) fn split(graph: &Graph) -> Vec<Subtopology> {
    let mut group: Vec<usize> = (0..graph.nodes.len()).collect();
    let mut by_store: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for parent in &node.parents {
            unite(&mut group, parent.0, index);
        }
        for store in &node.stores {
            match by_store.get(store.as_str()) {
                Some(&other) => unite(&mut group, other, index),
                None => {
                    by_store.insert(store, index);
                }
            }
        }
    }
    let sources: Vec<usize> = (0..graph.nodes.len())
        .filter(|&index| graph.nodes[index].kind.is_source())
        .collect();
    let mut roots = Vec::new();
    for source in sources {
        let root = root(&mut group, source);
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    (0_u32..)
        .zip(roots)
        .map(|(id, of)| describe_part(graph, &mut group, id, of))
        .collect()
}

fn describe_part(graph: &Graph, group: &mut [usize], id: u32, of: usize) -> Subtopology {
    let nodes: Vec<NodeId> = (0..graph.nodes.len())
        .filter(|&index| root(group, index) == of)
        .map(|index| graph.id(index))
        .collect();
    let (mut sources, mut sinks, mut used) = (Vec::new(), Vec::new(), BTreeSet::new());
    for node in nodes.iter().map(|node| &graph.nodes[node.0]) {
        used.extend(node.stores.iter().cloned());
        sources.extend(node.kind.topics().iter().cloned());
        if let NodeKind::Sink {
            topic: Some(topic), ..
        } = &node.kind
        {
            sinks.push(topic.clone());
        }
    }
    let is_global = nodes.iter().any(|node| graph.nodes[node.0].kind.is_global());
    let stores = graph
        .stores
        .iter()
        .map(|store| store.name.clone())
        .filter(|name| used.contains(name))
        .collect();
    Subtopology {
        id,
        nodes,
        stores,
        is_global,
        sources,
        sinks,
    }
}

fn root(group: &mut [usize], mut of: usize) -> usize {
    while group[of] != of {
        group[of] = group[group[of]];
        of = group[of];
    }
    of
}

fn unite(group: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(group, a), root(group, b));
    group[a.max(b)] = a.min(b);
}

impl StoreSpec {
    /// Name of the store's changelog topic on the log.
    pub(crate) fn changelog_topic(&self, application_id: &str) -> String {
        match &self.source_topic {
            Some(topic) => topic.resolve(application_id),
            None => format!("{application_id}-{}-changelog", self.name),
        }
    }
}

/// Topics by their names: for patterns, those that are known and match.
fn expand(topics: &[TopicName], counts: &BTreeMap<TopicName, u32>) -> Vec<TopicName> {
    let mut all = Vec::new();
    for topic in topics {
        match topic {
            TopicName::Pattern(_) => all.extend(counts.keys().filter(|known| topic.reads(known)).cloned()),
            _ => all.push(topic.clone()),
        }
    }
    all
}

/// Tasks and internal topics, once the partition counts of the user's topics are known.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) tasks: Tasks,
    pub(crate) internal_topics: Vec<NewTopic>,
    /// What global stores are filled from.
    pub(crate) global_partitions: Vec<TopicPartition>,
}

impl Topology {
    /// Lays tasks and internal topics out over the user's topics: those that are read by their names and all that patterns match.
    ///
    /// # Errors
    /// If topics that are joined have unlike partition counts.
    pub(crate) fn layout(
        &self,
        application_id: &str,
        settings: &InternalTopics,
        partitions: &BTreeMap<String, u32>,
    ) -> Result<Layout> {
        let counts = self.partition_counts(partitions)?;
        self.check_matches(&counts)?;
        let mut tasks = BTreeMap::new();
        let mut internal_topics: Vec<NewTopic> = self
            .graph()
            .repartition_topics
            .iter()
            .map(|topic| {
                let name = TopicName::Internal(Arc::clone(&topic.name));
                settings.repartition(name.resolve(application_id), counts[&name])
            })
            .collect();
        let specs = self.stores();
        for part in self.subtopologies().iter().filter(|part| !part.is_global) {
            let sources = expand(&part.sources, &counts);
            let count = sources.iter().map(|topic| counts[topic]).max().unwrap_or(0);
            for partition in 0..count.cast_signed() {
                let inputs = sources
                    .iter()
                    .filter(|topic| partition < counts[*topic].cast_signed())
                    .map(|topic| TopicPartition::new(topic.resolve(application_id), partition))
                    .collect();
                tasks.insert(
                    TaskId {
                        subtopology: part.id,
                        partition,
                    },
                    inputs,
                );
            }
            for spec in part
                .stores
                .iter()
                .map(|name| specs[name.as_str()])
                .filter(|spec| spec.logged && spec.source_topic.is_none())
            {
                let name = spec.changelog_topic(application_id);
                internal_topics.push(settings.changelog(name, count, &spec.changelog_configs));
            }
        }
        let globals = self.graph().global_stores.iter();
        let global_partitions = globals.flat_map(|store| {
            let count = counts[&TopicName::External(Arc::clone(&store.topic))];
            (0..count.cast_signed()).map(|partition| TopicPartition::new(Arc::clone(&store.topic), partition))
        });
        Ok(Layout {
            global_partitions: global_partitions.collect(),
            tasks,
            internal_topics,
        })
    }

    /// A topic that two sources match has no one reader.
    fn check_matches(&self, counts: &BTreeMap<TopicName, u32>) -> Result<()> {
        for topic in counts.keys() {
            let reads = |node: &&NodeSpec| node.kind.topics().iter().any(|of| of.reads(topic));
            let mut readers = self.graph().nodes.iter().filter(reads);
            if let (Some(one), Some(other)) = (readers.next(), readers.next()) {
                return Err(StreamsError::Topology(format!(
                    "topic {topic} is read by two sources, {} and {}: change their patterns",
                    one.name, other.name
                )));
            }
        }
        Ok(())
    }

    /// Partition count of every topic that is read: given for the user's, derived for repartition topics.
    fn partition_counts(&self, given: &BTreeMap<String, u32>) -> Result<BTreeMap<TopicName, u32>> {
        let mut counts: BTreeMap<TopicName, u32> = given
            .iter()
            .map(|(name, count)| (TopicName::external(name.as_str()), *count))
            .collect();
        for topic in &self.graph().repartition_topics {
            if let Some(partitions) = topic.partitions {
                counts.insert(TopicName::Internal(Arc::clone(&topic.name)), partitions);
            }
        }
        // A repartition topic is as wide as the input of whoever writes it, which may be another repartition topic: go
        // round until nothing new is known. Each round settles at least one, or there is a cycle.
        loop {
            let mut progress = self.copartition(&mut counts)?;
            for topic in self.open_repartition_topics(&counts) {
                let writers = self
                    .subtopologies()
                    .iter()
                    .filter(|part| part.sinks.contains(&topic));
                let inputs: Vec<Option<u32>> = writers
                    .flat_map(|part| expand(&part.sources, &counts))
                    .map(|source| counts.get(&source).copied())
                    .collect();
                if let Some(count) = inputs
                    .into_iter()
                    .collect::<Option<Vec<u32>>>()
                    .and_then(|all| all.into_iter().max())
                {
                    counts.insert(topic, count);
                    progress = true;
                }
            }
            if !progress {
                break;
            }
        }
        if let Some(topic) = self.open_repartition_topics(&counts).first() {
            return Err(StreamsError::Topology(format!(
                "the partition count of internal topic {topic} depends on itself: give it one with `Repartitioned`"
            )));
        }
        self.copartition(&mut counts)?;
        Ok(counts)
    }

    fn open_repartition_topics(&self, counts: &BTreeMap<TopicName, u32>) -> Vec<TopicName> {
        self.graph()
            .repartition_topics
            .iter()
            .map(|topic| TopicName::Internal(Arc::clone(&topic.name)))
            .filter(|topic| !counts.contains_key(topic))
            .collect()
    }

    /// Gives joined repartition topics the count of what they are joined with, and checks that counts agree.
    fn copartition(&self, counts: &mut BTreeMap<TopicName, u32>) -> Result<bool> {
        let mut progress = false;
        for group in &self.graph().copartitioned {
            let topics: Vec<TopicName> = group
                .iter()
                .flat_map(|node| match &self.graph().nodes[node.0].kind {
                    NodeKind::Source { topics, .. } => expand(topics, counts),
                    _ => Vec::new(),
                })
                .collect();
            let fixed = |topic: &&TopicName| match topic {
                TopicName::External(_) | TopicName::Pattern(_) => true,
                TopicName::Internal(name) => self
                    .graph()
                    .repartition_topics
                    .iter()
                    .any(|t| t.name == *name && t.partitions.is_some()),
            };
            let mut wanted: Option<(&TopicName, u32)> = None;
            for topic in topics.iter().filter(fixed) {
                let count = counts.get(topic).copied().unwrap_or(0);
                match wanted {
                    Some((other, others)) if others != count => {
                        return Err(StreamsError::Topology(format!(
                            "{other} and {topic} are joined but have {others} and {count} partitions: joined topics need \
                             equal counts; repartition one of them"
                        )));
                    }
                    _ => wanted = Some((topic, count)),
                }
            }
            let all_known = topics.iter().all(|topic| counts.contains_key(topic));
            let count = match wanted {
                Some((_, count)) => count,
                None if all_known => topics.iter().map(|topic| counts[topic]).max().unwrap_or(0),
                None => continue,
            };
            for topic in topics.iter().filter(|topic| !fixed(topic)) {
                progress |= counts.insert(topic.clone(), count) != Some(count);
            }
        }
        Ok(progress)
    }
}
