//! What does not go with a stream, or with what becomes of it.
use std::rc::Rc;

use streams_dsl::prelude::*;

/// Nothing comes after a sink.
fn after_a_sink(builder: &StreamsBuilder) {
    builder
        .stream::<String, i64>("in")
        .to("out")
        .filter(|_, n| *n > 0);
}

/// Tasks run on several threads.
fn state_of_one_thread(builder: &StreamsBuilder) {
    let offset = Rc::new(7_i64);
    let _ = builder
        .stream::<String, i64>("in")
        .map_values(move |n| n + *offset);
}

/// Keys that are never null are not asked for.
fn keys_that_are_there_anyway(builder: &StreamsBuilder) {
    let _ = builder.stream::<String, i64>("in").require_key();
}

/// An aggregate is stored as what it is.
fn aggregate_stored_as_another_type(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, i64>("in").group_by_key();
    let _ = grouped.aggregate(
        || 0_i64,
        |_, n, sum| sum + n,
        Materialized::<String>::named("sums"),
    );
}

/// Values are reduced to one of them.
fn reduce_to_another_type(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, i64>("in").group_by_key();
    let _ = grouped.reduce(|a, b| format!("{a}, {b}"), Materialized::named("lists"));
}

/// A source reads what its serdes read.
fn source_with_serdes_of_other_types(builder: &StreamsBuilder) {
    let consumed = Consumed::with(i64::default_serde(), i64::default_serde());
    let _ = builder.stream_with::<String, i64>("in", consumed);
}

/// JSON is made of types that serde knows.
struct Unknown;
json_serde!(Unknown);

fn main() {}
