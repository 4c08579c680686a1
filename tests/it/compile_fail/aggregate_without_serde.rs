//! A type without a serde cannot be stored.
use streams_dsl::prelude::*;

#[derive(Clone)]
struct Opaque;

fn main() {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in").group_by_key();
    let _ = grouped.aggregate(|| Opaque, |_, _, so_far| so_far, Materialized::named("store"));
}
