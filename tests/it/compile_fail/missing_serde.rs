//! A type without a serde cannot be written.
use streams_dsl::prelude::*;

#[derive(Clone)]
struct Opaque;

fn main() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").map_values(|_| Opaque);
    stream.to("out");
}
