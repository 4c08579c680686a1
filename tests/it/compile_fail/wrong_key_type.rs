//! A stream cannot be written with serdes of other types.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    stream.to_with("out", Produced::with(i64::default_serde(), i64::default_serde()));
}
