//! What operators do where it is easily got wrong: tables that are computed anew, bounds of joins, null keys, writers that fail.

use std::io::{Error, Write};
use std::time::Duration;

use streams_dsl::error::ProcessError;
use streams_dsl::prelude::*;
use streams_dsl::processor::BoxError;

fn driver(builder: StreamsBuilder) -> TopologyTestDriver {
    TopologyTestDriver::new(&builder.build().unwrap()).unwrap()
}

#[test]
fn a_transformed_table_is_computed_where_it_is_looked_up() {
    let builder = StreamsBuilder::new();
    let prices = builder.table::<String, i64>("prices", Materialized::default());
    let doubled = prices.transform_values(
        &[],
        |_| Ok(|_: &String, price: Option<&i64>| Ok::<_, BoxError>(price.map(|n| n * 2))),
        Materialized::default(),
    );
    let sold = builder.stream::<String, i64>("sold");
    sold.join(&doubled, |n, price| n * price).to("paid");
    let topology = builder.build().unwrap();
    // As in Kafka, only the table that it is made of is kept.
    let parts = topology.subtopologies().iter();
    let stores: Vec<String> = parts.flat_map(|part| part.stores.clone()).collect();
    assert_eq!(stores, ["prices-STATE-STORE-0000000000"]);
    let driver = TopologyTestDriver::new(&topology).unwrap();
    driver.input("prices").pipe("tea".to_string(), 3_i64).unwrap();
    driver.input("sold").pipe("tea".to_string(), 10_i64).unwrap();
    let paid = driver.output::<String, i64>("paid").read_key_values();
    assert_eq!(paid, [("tea".into(), 60)]);
}

/// Looks up a row that cannot be computed, and was dropped as an update. Gives how many records were dropped, or the error.
fn look_up_what_fails(at_look: ErrorResponse) -> Result<u64, String> {
    let builder = StreamsBuilder::new();
    let texts = builder.table::<String, String>("texts", Materialized::default());
    let numbers = texts.transform_values(
        &[],
        |_| {
            let mut calls = 0;
            Ok(move |_: &String, text: Option<&String>| {
                calls += 1;
                let number = text.map(|text| text.parse::<i64>()).transpose();
                number.map_err(|error| BoxError::from(format!("call {calls}: {error}")))
            })
        },
        Materialized::default(),
    );
    let asked = builder.stream::<String, i64>("asked");
    asked
        .left_join(&numbers, |_, n| n.copied().unwrap_or(-1))
        .named("look")
        .to("out");
    let handler = move |error: &ProcessError| match error.processor.as_deref() {
        Some("look") => at_look,
        _ => ErrorResponse::Continue,
    };
    let handlers = ErrorHandlers::default().processing(handler);
    let options = TestDriverOptions::default().errors(handlers);
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    let texts = driver.input("texts");
    texts.pipe("a".to_string(), "seven".to_string()).unwrap();
    assert_eq!(driver.dropped(DropReason::Processing), 1);
    let asked = driver.input("asked").pipe("a".to_string(), 1_i64);
    asked.map_err(|error| error.to_string())?;
    assert!(driver.output::<String, i64>("out").is_empty());
    Ok(driver.dropped(DropReason::Processing))
}

#[test]
fn a_transformed_table_that_fails_when_looked_up_says_where() {
    let error = look_up_what_fails(ErrorResponse::Fail).unwrap_err();
    assert!(
        error.contains("call 1: invalid digit") && error.contains("processor look"),
        "{error}"
    );
    assert_eq!(look_up_what_fails(ErrorResponse::Continue), Ok(2));
}

#[test]
fn old_values_of_a_transformed_table_are_transformed() {
    let builder = StreamsBuilder::new();
    let prices = builder.table::<String, i64>("prices", Materialized::named("prices"));
    let doubled = prices.transform_values(
        &[],
        |_| Ok(|_: &String, price: Option<&i64>| Ok::<_, BoxError>(price.map(|n| n * 2))),
        Materialized::default(),
    );
    let all = doubled.group_by(|_, price| ("all".to_string(), *price));
    let sums = all.reduce(|sum, n| sum + n, |sum, n| sum - n, Materialized::named("sums"));
    sums.to_stream().to("sums");
    let driver = driver(builder);
    for price in [3_i64, 4] {
        driver.input("prices").pipe("tea".to_string(), price).unwrap();
    }
    let sums = driver.key_value_store::<String, i64>("sums").unwrap();
    assert_eq!(sums.get(&"all".into()).unwrap().unwrap().value, 8);
}

#[test]
fn a_join_whose_window_ends_before_it_begins_is_refused() {
    let builder = StreamsBuilder::new();
    let (left, right) = (
        builder.stream::<String, i64>("left"),
        builder.stream::<String, i64>("right"),
    );
    let seconds = Duration::from_secs;
    let none = JoinWindows::of_time_difference_with_no_grace(seconds(5)).at_least_after(seconds(6));
    let _ = left.join_stream(&right, |a, b| a + b, none);
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("at most -6000 ms earlier and at most 5000 ms later"),
        "{error}"
    );
}

#[test]
fn records_that_must_be_far_apart_wait_for_as_long() {
    let builder = StreamsBuilder::new();
    let (starts, ends) = (
        builder.stream::<String, i64>("starts"),
        builder.stream::<String, i64>("ends"),
    );
    let seconds = Duration::from_secs;
    let window = JoinWindows::of_time_difference_with_no_grace(seconds(10)).at_least_after(seconds(5));
    starts
        .join_stream(&ends, |start, end| end - start, window)
        .to("out");
    let driver = driver(builder);
    // Kafka forgets the first one when the second one comes.
    for at_ms in [100_000, 106_000] {
        driver
            .input("starts")
            .pipe_at("a".to_string(), at_ms, at_ms)
            .unwrap();
    }
    driver
        .input("ends")
        .pipe_at("a".to_string(), 108_000_i64, 108_000)
        .unwrap();
    let out = driver.output::<String, i64>("out").read_key_values();
    assert_eq!(out, [("a".into(), 8_000)]);
}

#[test]
fn nothing_is_null() {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<(), String>("words");
    words.map_values(|word| word.len() as i64).to("lengths");
    let _ = words.group_by_key().count(Materialized::named("none"));
    let driver = driver(builder);
    driver.input("words").pipe((), "be".to_string()).unwrap();
    assert_eq!(driver.written("lengths")[0].key, None);
    assert_eq!(driver.output::<(), i64>("lengths").read_key_values(), [((), 2)]);
    assert_eq!(driver.dropped(DropReason::NullKey), 1);
}

#[test]
fn a_line_that_cannot_be_printed_is_a_failure_of_its_record() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> Result<usize, Error> {
            Err(Error::other("the disk is full"))
        }

        fn flush(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }
    let builder = StreamsBuilder::new();
    let printed = Printed::default().writer(Full);
    builder
        .stream::<String, i64>("in")
        .print(printed)
        .named("printer");
    let driver = driver(builder);
    let error = driver
        .input("in")
        .pipe("a".to_string(), 7_i64)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the disk is full, in processor printer"),
        "{error}"
    );
}
