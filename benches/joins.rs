//! Joins on the test driver: what each of Kafka's five costs a record, both sides' stores included.

mod common;
#[path = "common/driver.rs"]
mod driver;

use std::time::Duration;

use driver::{Case, OUTPUT};
use streams_dsl::prelude::*;

/// A key has a record every 20 s in each of two streams that take turns, so that half of the records find one of the other.
const WITHIN: Duration = Duration::from_secs(10);

fn main() {
    driver::run(
        "joins",
        &[
            Case {
                name: "stream and table, inner",
                declare: stream_table,
                filled: &["right"],
                inputs: &["left"],
            },
            Case {
                name: "stream and global table, inner",
                declare: stream_global_table,
                filled: &["right"],
                inputs: &["left"],
            },
            Case {
                name: "stream and stream, inner, 10 s",
                declare: stream_stream,
                filled: &[],
                inputs: &["left", "right"],
            },
            Case {
                name: "table and table, left",
                declare: table_table,
                filled: &[],
                inputs: &["left", "right"],
            },
            Case {
                name: "table and table by foreign key, inner",
                declare: foreign_key,
                filled: &[],
                inputs: &["left", "right"],
            },
        ],
    );
}

fn stream_table(builder: &StreamsBuilder) {
    let right = builder.table::<i64, String>("right", Materialized::default());
    let left = builder.stream::<i64, String>("left");
    left.join(&right, |left, right| left + right).to(OUTPUT);
}

fn stream_global_table(builder: &StreamsBuilder) {
    let right = builder.global_table::<i64, String>("right", Materialized::default());
    let left = builder.stream::<i64, String>("left");
    left.join_global(&right, |key, _| *key, |left, right| left + right)
        .to(OUTPUT);
}

fn stream_stream(builder: &StreamsBuilder) {
    let left = builder.stream::<i64, String>("left");
    let right = builder.stream::<i64, String>("right");
    let within = JoinWindows::of_time_difference_with_no_grace(WITHIN);
    left.join_stream(&right, |left, right| joined(left, right), within)
        .to(OUTPUT);
}

fn table_table(builder: &StreamsBuilder) {
    let left = builder.table::<i64, String>("left", Materialized::default());
    let right = builder.table::<i64, String>("right", Materialized::default());
    left.left_join(&right, |left, right| match right {
        Some(right) => joined(left, right),
        None => left.clone(),
    })
    .to_stream()
    .to(OUTPUT);
}

/// Each row of the right table is found by one of the left on average.
fn foreign_key(builder: &StreamsBuilder) {
    let left = builder.table::<i64, String>("left", Materialized::default());
    let right = builder.table::<i64, String>("right", Materialized::default());
    left.join_foreign_key(
        &right,
        |_, value| value.parse().ok(),
        |left, right| joined(left, right),
    )
    .to_stream()
    .to(OUTPUT);
}

fn joined(left: &str, right: &str) -> String {
    [left, right].concat()
}
