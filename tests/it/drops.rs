//! What is dropped is counted, whoever drops it, by its reason.

use std::time::Duration;

use streams_dsl::prelude::*;

#[test]
fn records_without_a_key_are_counted_before_a_repartition() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in");
    let halves = numbers.select_key(|_, n| (n % 2 == 0).then_some(n / 2));
    halves
        .group_by_key()
        .count(Materialized::default())
        .to_stream()
        .to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for n in 0..5_i64 {
        driver.input("in").pipe("a".to_owned(), n).unwrap();
    }
    assert_eq!(driver.output::<Option<i64>, i64>("out").read_records().len(), 3);
    assert_eq!(driver.dropped(DropReason::NullKey), 2);
}

#[test]
fn rows_of_no_group_are_counted() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("in", Materialized::default());
    let grouped = table.group_by(|key, n| ((*n > 0).then(|| key.clone()), (*n < 10).then_some(*n)));
    grouped.count(Materialized::default()).to_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    // The old row is in no group either when it goes.
    for n in [1_i64, 0, 10] {
        driver.input("in").pipe("a".to_owned(), n).unwrap();
    }
    assert_eq!(driver.dropped(DropReason::NullKey), 2);
    assert_eq!(driver.dropped(DropReason::NullValue), 1);
}

#[test]
fn records_that_a_join_does_not_keep_any_more_are_counted() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, i64>("left");
    let right = builder.stream::<String, i64>("right");
    let windows = JoinWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    left.join_stream(&right, |a, b| a + b, windows).to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for at_ms in [1_000, 990, 500] {
        driver
            .input("left")
            .pipe_at("a".to_owned(), 1_i64, at_ms)
            .unwrap();
    }
    assert_eq!(driver.dropped(DropReason::Expired), 1);
}
