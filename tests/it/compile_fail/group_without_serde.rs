//! A type without a serde cannot be grouped by.
use streams_dsl::prelude::*;

#[derive(Clone)]
struct Opaque;

fn main() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in");
    let _ = stream.group_by(|_, _| Opaque);
}
