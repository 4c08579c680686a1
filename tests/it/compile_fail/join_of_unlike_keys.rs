//! A stream and a table with keys of different types cannot be joined.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let names = builder.table::<i64, String>("names", Materialized::default());
    let visits = builder.stream::<String, String>("visits");
    let _ = visits.join(&names, |page, name| format!("{name} saw {page}"));
}
