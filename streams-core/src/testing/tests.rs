//! What the driver and its topics promise beside the examples of their pages.

use std::time::Duration;

use super::{TestDriverOptions, TopologyTestDriver};
use crate::record::{Headers, Record};
use crate::topology::{SinkOptions, SourceOptions, TopicName, Topology, TopologyBuilder};

/// Copies a topic, by way of an internal one.
fn copy() -> Topology {
    let mut builder = TopologyBuilder::new();
    let topic = TopicName::external("in");
    let read = builder.add_source::<Option<String>, i64>("in", [topic], SourceOptions::default());
    let between = TopicName::internal("between-repartition");
    builder.add_repartition_topic("between-repartition", None);
    builder.add_sink("between-sink", between.clone(), &[read], SinkOptions::default());
    let read =
        builder.add_source::<Option<String>, i64>("between-source", [between], SourceOptions::default());
    builder.add_sink("out", TopicName::external("out"), &[read], SinkOptions::default());
    builder.build().unwrap()
}

fn times(driver: &TopologyTestDriver) -> Vec<i64> {
    let out = driver.output::<Option<String>, i64>("out").read_records();
    out.iter().map(|record| record.timestamp_ms).collect()
}

#[test]
fn records_get_the_time_of_their_handle() {
    let options = TestDriverOptions::default().wall_clock_ms(50);
    let driver = TopologyTestDriver::with_options(&copy(), options).unwrap();
    let early = driver.input::<Option<String>, i64>("in");
    driver.advance_wall_clock(Duration::from_millis(30)).unwrap();
    let late = driver.input::<Option<String>, i64>("in");
    let steps = early.starting_at(1_000, Duration::from_millis(7));

    late.pipe(None, 1).unwrap();
    early.pipe(None, 2).unwrap();
    steps.pipe_key_values([(None, 3), (None, 4)]).unwrap();
    steps.pipe_at(None, 5, 1).unwrap();
    steps.pipe_values([6]).unwrap();
    steps.advance_time(Duration::from_secs(1));
    steps.pipe_value(7).unwrap();
    early.pipe(None, 8).unwrap();
    assert_eq!(times(&driver), [80, 50, 1_000, 1_007, 1, 1_014, 2_021, 50]);
}

#[test]
fn records_keep_their_headers_and_end_with_the_first_that_fails() {
    let driver = TopologyTestDriver::new(&copy()).unwrap();
    let headers = Headers::default().with("trace", Some(b"1"));
    let with_headers = Record {
        headers,
        ..Record::new(Some("a".to_owned()), 1, 5)
    };
    let negative = Record::new(None, 2, -1);
    let input = driver.input::<Option<String>, i64>("in");
    let records = [with_headers.clone(), negative, Record::new(None, 3, 7)];
    input.pipe_records(&records).unwrap_err();
    let out = driver.output::<Option<String>, i64>("out");
    assert_eq!(out.read_records(), [with_headers]);
}

#[test]
fn an_output_topic_counts_down() {
    let driver = TopologyTestDriver::new(&copy()).unwrap();
    let out = driver.output::<Option<String>, i64>("out");
    assert_eq!((out.queue_size(), out.is_empty()), (0, true));
    assert_eq!((out.read_value(), out.read_key_value()), (None, None));
    driver
        .input::<Option<String>, i64>("in")
        .pipe_values([1, 2, 3])
        .unwrap();
    assert_eq!(out.queue_size(), 3);
    assert_eq!(out.read_value(), Some(1));
    assert_eq!(out.queue_size(), 2);
    assert_eq!(out.read_values(), [2, 3]);
    assert!(out.is_empty());
}

#[test]
#[should_panic(expected = "a key of out is null")]
fn a_null_key_has_no_place_in_a_map() {
    let driver = TopologyTestDriver::new(&copy()).unwrap();
    driver.input::<Option<String>, i64>("in").pipe_value(1).unwrap();
    let _ = driver
        .output::<Option<String>, i64>("out")
        .read_key_values_to_map();
}

#[test]
fn internal_topics_begin_with_the_application_id() {
    for (options, internal) in [
        (TestDriverOptions::default(), "app-between-repartition"),
        (
            TestDriverOptions::default().application_id("shop"),
            "shop-between-repartition",
        ),
        (
            TestDriverOptions::default()
                .application_id("shop")
                .partitions("in", 2),
            "shop-between-repartition",
        ),
    ] {
        let driver = TopologyTestDriver::with_options(&copy(), options).unwrap();
        assert_eq!(driver.produced_topic_names(), [].into());
        driver.input("in").pipe(Some("a".to_owned()), 1_i64).unwrap();
        let names = [internal, "out"].map(str::to_owned);
        assert_eq!(driver.produced_topic_names(), names.into());
    }
}
