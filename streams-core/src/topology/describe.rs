//! The text of Kafka's `TopologyDescription`, to the byte, so that topologies can be compared with Kafka's and with their
//! own past.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Graph, NodeId, NodeKind, Subtopology, Topology};

/// Describes all sub-topologies.
pub(super) fn describe(topology: &Topology) -> String {
    let mut text = String::from("Topologies:\n");
    for part in topology.subtopologies() {
        describe_part(topology.graph(), part, &mut text);
    }
    text
}

fn describe_part(graph: &Graph, part: &Subtopology, text: &mut String) {
    writeln!(text, "   Sub-topology: {}", part.id).expect("writing to a String cannot fail");
    for id in ordered(graph, part) {
        describe_node(graph, id, text);
    }
    text.push('\n');
}

fn describe_node(graph: &Graph, id: NodeId, text: &mut String) {
    let node = &graph.nodes[id.0];
    let head = match &node.kind {
        NodeKind::Source { topics, .. } => {
            let topics: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
            format!("    Source: {} (topics: [{}])", node.name, topics.join(", "))
        }
        NodeKind::Processor { .. } => {
            let mut stores = node.stores.clone();
            stores.sort();
            format!("    Processor: {} (stores: [{}])", node.name, stores.join(", "))
        }
        NodeKind::Sink { topic, .. } => format!("    Sink: {} (topic: {topic})", node.name),
    };
    text.push_str(&head);
    text.push('\n');
    if !matches!(node.kind, NodeKind::Sink { .. }) {
        text.push_str(&format!("      --> {}\n", names(graph, &node.children)));
    }
    if !matches!(node.kind, NodeKind::Source { .. }) {
        text.push_str(&format!("      <-- {}\n", names(graph, &node.parents)));
    }
}

fn names(graph: &Graph, nodes: &[NodeId]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    let mut names: Vec<&str> = nodes
        .iter()
        .map(|node| graph.nodes[node.0].name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// By the size of what hangs below, largest first, then by name: Kafka's order.
fn ordered(graph: &Graph, part: &Subtopology) -> Vec<NodeId> {
    let mut sizes: BTreeMap<NodeId, usize> = BTreeMap::new();
    for id in part.nodes.iter().rev() {
        let below: usize = graph.nodes[id.0].children.iter().map(|child| sizes[child]).sum();
        sizes.insert(*id, below + 1);
    }
    let mut nodes = part.nodes.clone();
    nodes.sort_by(|a, b| {
        sizes[b]
            .cmp(&sizes[a])
            .then_with(|| graph.nodes[a.0].name.cmp(&graph.nodes[b.0].name))
    });
    nodes
}
