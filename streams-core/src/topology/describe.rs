//! The text of Kafka's `TopologyDescription`, to the byte, so that topologies can be compared with Kafka's and with their
//! own past.

mod java_order;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

use self::java_order::{TreeSet, hash_map_order};
use super::{Graph, NodeId, NodeKind, Subtopology, TopicName, Topology};

/// Describes all sub-topologies.
pub(super) fn describe(topology: &Topology) -> String {
    let mut text = String::from("Topologies:\n ");
    for part in topology.subtopologies() {
        let described = Part::new(topology.graph(), part);
        let (note, end) = match part.is_global {
            true => (" for global store (will not generate tasks)", ""),
            false => ("", "\n"),
        };
        writeln!(text, "  Sub-topology: {}{note}", part.id).expect("writing to a String cannot fail");
        for index in described.sorted() {
            described.describe_node(index, &mut text);
        }
        text.push_str(end);
    }
    text
}

/// The nodes of one sub-topology with their neighbours in Kafka's order.
struct Part<'a> {
    graph: &'a Graph,
    ids: Vec<NodeId>,
    /// How many paths begin at each node.
    sizes: Vec<usize>,
    predecessors: Vec<TreeSet>,
    successors: Vec<TreeSet>,
}

impl<'a> Part<'a> {
    fn new(graph: &'a Graph, part: &Subtopology) -> Self {
        let ids = in_kafkas_order(graph, part);
        let places: BTreeMap<NodeId, usize> =
            ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let mut all = Self {
            graph,
            sizes: vec![1; ids.len()],
            predecessors: ids.iter().map(|_| TreeSet::default()).collect(),
            successors: ids.iter().map(|_| TreeSet::default()).collect(),
            ids,
        };
        for node in 0..all.ids.len() {
            for parent in &graph.nodes[all.ids[node].0].parents {
                all.connect(places[parent], node);
            }
        }
        all
    }

    /// Sizes grow with each connection, and with them the order in which the next neighbours are put.
    fn connect(&mut self, parent: usize, node: usize) {
        let mut predecessors = std::mem::take(&mut self.predecessors[node]);
        predecessors.insert(parent, |other| self.compare(parent, other));
        self.predecessors[node] = predecessors;
        let mut successors = std::mem::take(&mut self.successors[parent]);
        successors.insert(node, |other| self.compare(node, other));
        self.successors[parent] = successors;
        self.grow(parent, self.sizes[node]);
    }

    fn grow(&mut self, node: usize, by: usize) {
        self.sizes[node] += by;
        for parent in self.predecessors[node].items() {
            self.grow(parent, by);
        }
    }

    /// The largest first, then by name.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        let by_name = self.name(a).cmp(self.name(b));
        self.sizes[b].cmp(&self.sizes[a]).then(by_name)
    }

    fn name(&self, node: usize) -> &'a str {
        &self.graph.nodes[self.ids[node].0].name
    }

    fn sorted(&self) -> Vec<usize> {
        let mut nodes: Vec<usize> = (0..self.ids.len()).collect();
        nodes.sort_by(|a, b| self.compare(*a, *b));
        nodes
    }

    fn describe_node(&self, index: usize, text: &mut String) {
        let node = &self.graph.nodes[self.ids[index].0];
        let head = match &node.kind {
            NodeKind::Source { .. } | NodeKind::GlobalSource { .. } => {
                let topics: Vec<&str> = node.kind.topics().iter().map(TopicName::as_str).collect();
                match node.kind.topics() {
                    [TopicName::Pattern(pattern)] => format!("    Source: {} (topics: {pattern})", node.name),
                    _ => format!("    Source: {} (topics: [{}])", node.name, topics.join(", ")),
                }
            }
            NodeKind::Processor { .. } | NodeKind::GlobalUpdate => {
                let names: Vec<&str> = node.stores.iter().map(String::as_str).collect();
                let stores: Vec<&str> = hash_map_order(&names)
                    .into_iter()
                    .map(|place| names[place])
                    .collect();
                format!("    Processor: {} (stores: [{}])", node.name, stores.join(", "))
            }
            NodeKind::Sink {
                topic: Some(topic), ..
            } => format!("    Sink: {} (topic: {topic})", node.name),
            NodeKind::Sink { topic: None, .. } => format!("    Sink: {} (extractor class: fn)", node.name),
        };
        text.push_str(&head);
        text.push('\n');
        if !matches!(node.kind, NodeKind::Sink { .. }) {
            text.push_str(&format!("      --> {}\n", self.names(&self.successors[index])));
        }
        if !node.kind.is_source() {
            text.push_str(&format!("      <-- {}\n", self.names(&self.predecessors[index])));
        }
    }

    fn names(&self, nodes: &TreeSet) -> String {
        let names: Vec<&str> = nodes.items().into_iter().map(|node| self.name(node)).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}

/// The order in which Kafka connects nodes: that of a hash map filled as nodes were added.
fn in_kafkas_order(graph: &Graph, part: &Subtopology) -> Vec<NodeId> {
    let names: Vec<&str> = part
        .nodes
        .iter()
        .map(|id| graph.nodes[id.0].name.as_str())
        .collect();
    hash_map_order(&names)
        .into_iter()
        .map(|place| part.nodes[place])
        .collect()
}
