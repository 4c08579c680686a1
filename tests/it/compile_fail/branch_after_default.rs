//! Nothing is left after the default branch.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let mut split = builder.stream::<String, i64>("in").split();
    split.default_branch().to("all");
    split.branch(|_, n| *n > 9).to("large");
}
