//! Operators with functions that may fail, where more than the one record is at stake: tables, joins, what waits.

use std::num::ParseIntError;
use std::time::Duration;

use streams_dsl::prelude::*;

fn lenient(builder: StreamsBuilder) -> TopologyTestDriver {
    let options = TestDriverOptions::default().errors(ErrorHandlers::default().processing(LogAndContinue));
    let topology = builder.build_with(Optimization::ALL).unwrap();
    TopologyTestDriver::with_options(&topology, options).unwrap()
}

fn pipe(driver: &TopologyTestDriver, topic: &str, values: &[&str]) {
    for value in values {
        driver
            .input(topic)
            .pipe("a".to_owned(), (*value).to_owned())
            .unwrap();
    }
}

fn parsed(text: &str) -> Result<i64, ParseIntError> {
    text.parse()
}

#[test]
fn what_fails_names_its_processor_and_stops_the_application() {
    type Add = fn(KStream<String, String>);
    let operators: [Add; 10] = [
        |texts| {
            texts
                .try_filter_not(|_, text| parsed(text).map(|n| n > 0))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_map(|key, text| parsed(&text).map(|n| (key, n)))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_map_values(|text| parsed(&text))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_flat_map(|key, text| parsed(&text).map(|n| [(key, n)]))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_flat_map_values(|text| parsed(&text).map(|n| [n]))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_select_key(|_, text| parsed(text))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_peek(|_, text| parsed(text).map(|_| ()))
                .named("it")
                .to("out")
                .named("end");
        },
        |texts| {
            texts
                .try_for_each(|_, text| parsed(&text).map(|_| ()))
                .named("it");
        },
        |texts| {
            let mut split = texts.split().named("it");
            split.try_branch(|_, text| parsed(text).map(|n| n > 0)).to("out");
        },
        |texts| {
            let chosen = texts.try_to_dynamic(
                |record, _| parsed(&record.value).map(|n| n.to_string()),
                Produced::default(),
            );
            chosen.named("it");
        },
    ];
    for (number, add) in operators.into_iter().enumerate() {
        let builder = StreamsBuilder::new();
        add(builder.stream("texts"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
        let error = driver.input("texts").pipe("a".to_owned(), "seven".to_owned());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("it"), "{number}: {error}");
        assert!(error.contains("invalid digit"), "{number}: {error}");
    }
}

/// Sums a table whose values may fail, by old and new values.
fn sums(is_stored: bool) -> (Vec<i64>, u64) {
    let builder = StreamsBuilder::new();
    let texts = builder.table::<String, String>("texts", Materialized::default());
    let numbers = match is_stored {
        true => texts.try_map_values_with(|text| parsed(&text), Materialized::named("numbers")),
        false => texts.try_map_values(|text| parsed(&text)),
    };
    let all = numbers.group_by(|_, n| ("all".to_owned(), *n));
    let sums = all.reduce(|a, b| a + b, |a, b| a - b, Materialized::named("sums"));
    sums.to_stream().to("sums");
    let driver = lenient(builder);
    pipe(&driver, "texts", &["1", "x", "3", "4"]);
    let sums = driver.output::<String, i64>("sums").read_values();
    (sums, driver.dropped(DropReason::Processing))
}

#[test]
fn a_row_that_failed_is_as_it_was_if_it_is_stored() {
    assert_eq!(sums(true), (vec![1, 3, 4], 1));
    // Without a store the old value of 3 fails too, and 4 takes 3 away, which was never there: as in Kafka.
    assert_eq!(sums(false), (vec![1, 2], 2));
}

#[test]
fn a_filter_that_failed_passes_on_what_it_kept() {
    let builder = StreamsBuilder::new();
    let texts = builder.table::<String, String>("texts", Materialized::default());
    let large = texts.try_filter_with(
        |_, text| parsed(text).map(|n| n > 9),
        Materialized::named("large"),
    );
    let all = large.group_by(|_, text| ("all".to_owned(), text.len() as i64));
    let lengths = all.reduce(|a, b| a + b, |a, b| a - b, Materialized::named("lengths"));
    lengths.to_stream().to("lengths");
    let driver = lenient(builder);
    pipe(&driver, "texts", &["10", "x", "100", "1"]);
    assert_eq!(driver.output::<String, i64>("lengths").read_values(), [2, 3, 0]);
    assert_eq!(driver.dropped(DropReason::Processing), 1);
}

#[test]
fn who_looks_up_a_row_that_fails_fails_itself() {
    let builder = StreamsBuilder::new();
    let texts = builder.table::<String, String>("texts", Materialized::default());
    let others = builder.table::<String, String>("others", Materialized::default());
    let numbers = texts.try_map_values(|text| parsed(&text));
    let joined = builder
        .stream::<String, String>("in")
        .join(&numbers, |text, n| format!("{text}{n}"));
    joined.to("out");
    let tables = numbers.join(&others, |n, other| format!("{n}{other}"));
    tables.to_stream().to("tables");
    let driver = lenient(builder);
    pipe(&driver, "texts", &["x"]);
    assert_eq!(driver.dropped(DropReason::Processing), 1);
    pipe(&driver, "in", &["lost"]);
    assert_eq!(driver.dropped(DropReason::Processing), 2);
    pipe(&driver, "others", &["lost"]);
    assert_eq!(driver.dropped(DropReason::Processing), 3);
    pipe(&driver, "texts", &["7"]);
    pipe(&driver, "in", &["kept"]);
    assert_eq!(driver.output::<String, String>("out").read_values(), ["kept7"]);
    assert_eq!(driver.output::<String, String>("tables").read_values(), ["7lost"]);
}

#[test]
fn a_foreign_key_that_failed_leaves_the_joined_row_alone() {
    let builder = StreamsBuilder::new();
    let orders = builder.table::<i64, String>("orders", Materialized::default());
    let names = builder.table::<i64, String>("names", Materialized::default());
    let joined = orders.try_join_foreign_key_with(
        &names,
        |_, order| parsed(order).map(Some),
        |_, name| Ok(name.clone()),
        TableJoined::default(),
        Materialized::default(),
    );
    joined.to_stream().to("out");
    let driver = lenient(builder);
    let order = |text: &str| driver.input("orders").pipe(1_i64, text.to_owned()).unwrap();
    let name = |id: i64, text: &str| driver.input("names").pipe(id, text.to_owned()).unwrap();
    let output = driver.output::<i64, String>("out");
    let out = || output.read_values();
    name(7, "Ada");
    name(8, "Bob");
    order("7");
    assert_eq!(out(), ["Ada"]);
    order("x");
    assert_eq!((out(), driver.dropped(DropReason::Processing)), (vec![], 1));
    // The row is another one than the one that was joined.
    name(7, "Eva");
    assert_eq!((out(), driver.dropped(DropReason::StaleResponse)), (vec![], 1));
    // Where it was is not known.
    order("8");
    assert_eq!((out(), driver.dropped(DropReason::Processing)), (vec![], 2));
    order("7");
    assert_eq!(out(), ["Eva"]);
    assert_eq!(driver.dropped(DropReason::Processing), 2);
}

fn near() -> JoinWindows {
    JoinWindows::of_time_difference_with_no_grace(Duration::from_millis(10))
}

fn added(a: i64, b: i64) -> Result<i64, &'static str> {
    a.checked_add(b).ok_or("too much")
}

#[test]
fn a_record_that_failed_to_join_is_there_for_later_ones() {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, i64>("left"), builder.stream("right"));
    let sum = |_: &String, a: &i64, b: &i64| added(*a, *b);
    left.try_join_stream_with_key(&right, sum, near(), StreamJoined::default())
        .to("out");
    let driver = lenient(builder);
    let pipe = |topic: &str, n: i64, at_ms| driver.input(topic).pipe_at("a".to_owned(), n, at_ms).unwrap();
    pipe("left", 1, 5);
    pipe("left", -1, 6);
    // It fails on the first of two, and is not joined with the second.
    pipe("right", i64::MAX, 7);
    assert_eq!(driver.dropped(DropReason::Processing), 1);
    pipe("left", -2, 8);
    let out = driver.output::<String, i64>("out").read_values();
    assert_eq!(out, [i64::MAX - 2]);
}

#[test]
fn a_self_join_drops_what_failed() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in");
    let sum = |_: &String, a: &i64, b: &i64| added(*a, *b);
    let joined = numbers.try_join_stream_with_key(&numbers, sum, near(), StreamJoined::default());
    joined.to("out");
    let driver = lenient(builder);
    for (n, at_ms) in [(1, 5), (i64::MAX, 6), (2, 100)] {
        driver.input("in").pipe_at("a".to_owned(), n, at_ms).unwrap();
    }
    assert_eq!(driver.output::<String, i64>("out").read_values(), [2, 4]);
    assert_eq!(driver.dropped(DropReason::Processing), 1);
}

#[test]
fn what_waited_in_vain_and_fails_does_not_hold_up_what_comes_after() {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, i64>("left"), builder.stream("right"));
    let sum = |_: &String, a: Option<&i64>, b: Option<&i64>| added(*a.unwrap_or(&1), *b.unwrap_or(&1));
    left.try_outer_join_stream_with_key(&right, sum, near(), StreamJoined::default())
        .to("out");
    let driver = lenient(builder);
    let out = driver.output::<String, i64>("out");
    let pipe = |topic: &str, n: i64, at_ms| driver.input(topic).pipe_at("a".to_owned(), n, at_ms).unwrap();
    pipe("left", i64::MAX, 0);
    pipe("left", 10, 1);
    assert!(out.is_empty());
    driver.advance_wall_clock(Duration::from_secs(5)).unwrap();
    pipe("right", 20, 100);
    assert_eq!(out.read_values(), [11]);
    assert_eq!(driver.dropped(DropReason::Processing), 1);
    driver.advance_wall_clock(Duration::from_secs(5)).unwrap();
    pipe("right", 30, 200);
    pipe("left", i64::MAX, 201);
    assert_eq!(out.read_values(), [21]);
    // Of the record that failed to join nothing waits.
    assert_eq!(driver.dropped(DropReason::Processing), 2);
    driver.advance_wall_clock(Duration::from_secs(5)).unwrap();
    pipe("left", 40, 300);
    assert_eq!(driver.dropped(DropReason::Processing), 2);
}

#[test]
fn a_global_join_fails_by_its_key_or_by_its_value() {
    let builder = StreamsBuilder::new();
    let limits = builder.global_table::<i64, i64>("limits", Materialized::default());
    let joined = builder
        .stream::<String, String>("in")
        .try_left_join_global_with_key(
            &limits,
            |_, text| parsed(text).map_err(|error| error.to_string()),
            |_, n, _, limit| match (n, limit) {
                (Some(n), Some(limit)) if n > limit => Err(format!("{n} is too much")),
                (n, _) => Ok(n.copied().unwrap_or_default()),
            },
            Joined::default(),
        );
    joined.to("out");
    let driver = lenient(builder);
    driver.input("limits").pipe(7_i64, 6_i64).unwrap();
    pipe(&driver, "in", &["6", "x", "7", "8"]);
    assert_eq!(driver.output::<String, i64>("out").read_values(), [6, 8]);
    assert_eq!(driver.dropped(DropReason::Processing), 2);
}
