//! Streams of different values cannot be merged.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("numbers");
    let texts = builder.stream::<String, String>("texts");
    let _ = numbers.merge(&texts);
}
