//! Pictures of a topology: as Mermaid text, for Markdown pages, and as Graphviz text.

use std::fmt::Write;

use super::{Graph, NodeId, NodeKind, Subtopology, TopicName, Topology};

/// One way to write a picture down.
trait Pen {
    fn begin(&self, out: &mut String);
    fn begin_part(&self, part: &Subtopology, out: &mut String);
    fn end_part(&self, out: &mut String);
    fn node(&self, id: &str, label: &str, shape: Shape, out: &mut String);
    fn edge(&self, from: &str, to: &str, style: Style, out: &mut String);
    fn end(&self, out: &mut String);
}

#[derive(Clone, Copy)]
enum Shape {
    Topic,
    Processor,
    Store,
}

#[derive(Clone, Copy)]
enum Style {
    Records,
    State,
}

pub(super) fn mermaid(topology: &Topology) -> String {
    draw(topology, &Mermaid)
}

pub(super) fn graphviz(topology: &Topology) -> String {
    draw(topology, &Graphviz)
}

fn draw(topology: &Topology, pen: &dyn Pen) -> String {
    let graph = topology.graph();
    let mut out = String::new();
    pen.begin(&mut out);
    let mut topics: Vec<&TopicName> = Vec::new();
    for part in topology.subtopologies() {
        pen.begin_part(part, &mut out);
        draw_part(graph, part, pen, &mut out);
        pen.end_part(&mut out);
        for topic in part.sources.iter().chain(&part.sinks) {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
    }
    for topic in &topics {
        pen.node(&topic_id(topic), topic.as_str(), Shape::Topic, &mut out);
    }
    for part in topology.subtopologies() {
        for &id in &part.nodes {
            draw_edges(graph, id, pen, &mut out);
        }
    }
    pen.end(&mut out);
    out
}

fn draw_part(graph: &Graph, part: &Subtopology, pen: &dyn Pen, out: &mut String) {
    let mut stores: Vec<&String> = Vec::new();
    for &id in &part.nodes {
        let node = &graph.nodes[id.0];
        pen.node(&node_id(id), &node.name, Shape::Processor, out);
        for store in &node.stores {
            if !stores.contains(&store) {
                stores.push(store);
            }
        }
    }
    for store in stores {
        pen.node(&store_id(store), store, Shape::Store, out);
    }
}

fn draw_edges(graph: &Graph, id: NodeId, pen: &dyn Pen, out: &mut String) {
    let node = &graph.nodes[id.0];
    for topic in node.kind.topics() {
        pen.edge(&topic_id(topic), &node_id(id), Style::Records, out);
    }
    if let NodeKind::Sink {
        topic: Some(topic), ..
    } = &node.kind
    {
        pen.edge(&node_id(id), &topic_id(topic), Style::Records, out);
    }
    for &child in &node.children {
        pen.edge(&node_id(id), &node_id(child), Style::Records, out);
    }
    for store in &node.stores {
        pen.edge(&node_id(id), &store_id(store), Style::State, out);
    }
}

fn node_id(id: NodeId) -> String {
    format!("n{}", id.0)
}

fn topic_id(topic: &TopicName) -> String {
    format!("t_{}", identifier(topic.as_str()))
}

fn store_id(store: &str) -> String {
    format!("s_{}", identifier(store))
}

/// Letters, digits and underscores; others by their number, so that unlike names stay unlike.
fn identifier(name: &str) -> String {
    name.chars().fold(String::new(), |mut id, c| {
        if c.is_ascii_alphanumeric() {
            id.push(c);
        } else {
            id.push_str(&format!("_{:x}_", u32::from(c)));
        }
        id
    })
}

/// <https://mermaid.js.org/syntax/flowchart.html>
struct Mermaid;

impl Pen for Mermaid {
    fn begin(&self, out: &mut String) {
        out.push_str("flowchart LR\n");
    }

    fn begin_part(&self, part: &Subtopology, out: &mut String) {
        line(out, format_args!("  subgraph sub{0} [Sub-topology {0}]", part.id));
    }

    fn end_part(&self, out: &mut String) {
        out.push_str("  end\n");
    }

    fn node(&self, id: &str, label: &str, shape: Shape, out: &mut String) {
        match shape {
            Shape::Topic => line(out, format_args!("  {id}>\"{label}\"]")),
            Shape::Processor => line(out, format_args!("    {id}[\"{label}\"]")),
            Shape::Store => line(out, format_args!("    {id}[(\"{label}\")]")),
        }
    }

    fn edge(&self, from: &str, to: &str, style: Style, out: &mut String) {
        match style {
            Style::Records => line(out, format_args!("  {from} --> {to}")),
            Style::State => line(out, format_args!("  {from} -.- {to}")),
        }
    }

    fn end(&self, _: &mut String) {}
}

/// <https://graphviz.org/doc/info/lang.html>
struct Graphviz;

impl Pen for Graphviz {
    fn begin(&self, out: &mut String) {
        out.push_str("digraph topology {\n  rankdir=LR;\n");
    }

    fn begin_part(&self, part: &Subtopology, out: &mut String) {
        line(out, format_args!("  subgraph cluster_{} {{", part.id));
        line(out, format_args!("    label=\"Sub-topology {}\";", part.id));
    }

    fn end_part(&self, out: &mut String) {
        out.push_str("  }\n");
    }

    fn node(&self, id: &str, label: &str, shape: Shape, out: &mut String) {
        let shape = match shape {
            Shape::Topic => "cds",
            Shape::Processor => "box",
            Shape::Store => "cylinder",
        };
        line(out, format_args!("    {id} [label=\"{label}\", shape={shape}];"));
    }

    fn edge(&self, from: &str, to: &str, style: Style, out: &mut String) {
        match style {
            Style::Records => line(out, format_args!("  {from} -> {to};")),
            Style::State => line(out, format_args!("  {from} -> {to} [style=dashed, dir=none];")),
        }
    }

    fn end(&self, out: &mut String) {
        out.push_str("}\n");
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a String cannot fail");
}
