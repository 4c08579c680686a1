//! Describes a topology in Kafka's order, which its text shows: of nodes, of their neighbours and of their stores.

mod java_order;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use self::java_order::{TreeSet, hash_map_order};
use super::{
    DescribedKind, Graph, NodeDescription, NodeId, NodeKind, Subtopology, SubtopologyDescription, Topology,
    TopologyDescription,
};

/// Describes all sub-topologies.
pub(super) fn describe(topology: &Topology) -> TopologyDescription {
    let described = |part: &Subtopology| {
        let nodes = Part::new(topology.graph(), part);
        SubtopologyDescription {
            id: part.id,
            is_global: part.is_global,
            nodes: nodes
                .sorted()
                .into_iter()
                .map(|index| nodes.describe(index))
                .collect(),
        }
    };
    TopologyDescription {
        subtopologies: topology.subtopologies().iter().map(described).collect(),
    }
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

    fn describe(&self, index: usize) -> NodeDescription {
        let node = &self.graph.nodes[self.ids[index].0];
        let kind = match &node.kind {
            NodeKind::Source { .. } | NodeKind::GlobalSource { .. } => DescribedKind::Source {
                topics: node.kind.topics().to_vec(),
            },
            NodeKind::Processor { .. } | NodeKind::GlobalUpdate => {
                let names: Vec<&str> = node.stores.iter().map(String::as_str).collect();
                let stores = hash_map_order(&names).into_iter();
                DescribedKind::Processor {
                    stores: stores.map(|place| node.stores[place].clone()).collect(),
                }
            }
            NodeKind::Sink { topic, .. } => DescribedKind::Sink { topic: topic.clone() },
        };
        NodeDescription {
            name: node.name.clone(),
            kind,
            predecessors: self.names(&self.predecessors[index]),
            successors: self.names(&self.successors[index]),
        }
    }

    fn names(&self, nodes: &TreeSet) -> Vec<String> {
        let nodes = nodes.items().into_iter();
        nodes.map(|node| self.name(node).to_owned()).collect()
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
