//! Edges of a topology that do not fit.
use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};

/// What comes in at a node is what goes out before it.
fn edge_of_unlike_types(builder: &mut TopologyBuilder) {
    let numbers =
        builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    let options = SinkOptions::<String, String>::default();
    builder.add_sink("out", TopicName::external("out"), &[numbers], options);
}

/// Nothing comes after a sink.
fn child_of_a_sink(builder: &mut TopologyBuilder) {
    let numbers =
        builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    let sink = builder.add_sink(
        "out",
        TopicName::external("out"),
        &[numbers],
        SinkOptions::default(),
    );
    let options = SinkOptions::<String, i64>::default();
    builder.add_sink("again", TopicName::external("again"), &[sink], options);
}

fn main() {}
