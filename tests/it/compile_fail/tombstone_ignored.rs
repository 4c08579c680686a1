//! The updates of a table may be deletions, so their values are optional.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("table", Materialized::default());
    let _: KStream<String, i64> = table.to_stream();
}
