//! Aggregations with functions that may fail: as those without if they do not, and what is left if they do.

use std::convert::Infallible;
use std::time::Duration;

use streams_dsl::CogroupedKStream;
use streams_dsl::prelude::*;

type Out = Vec<Record<String, String>>;

/// What a topology sends to `out` for a few records of two keys, some late, some at the same time.
fn results(add: impl Fn(KStream<String, i64>)) -> Out {
    let builder = StreamsBuilder::new();
    add(builder.stream("in"));
    let topology = builder.build().unwrap();
    let driver = TopologyTestDriver::new(&topology).unwrap();
    let times_ms = [5, 7, 30, 12, 12, 100, 95, 40, 230, 110, 300];
    for (n, at_ms) in (1_i64..).zip(times_ms) {
        let key = format!("k{}", n % 2);
        driver.input("in").pipe_at(key, n, at_ms).unwrap();
    }
    let out = driver.output::<String, String>("out").read_records();
    assert!(out.len() > 5, "{out:?}");
    out
}

/// Sends a table, with what another table is told of it by old values.
fn send<K: std::fmt::Debug + Clone + Send + Sync + 'static>(table: &KTable<K, i64>) {
    let changes = table.to_stream();
    changes
        .map(|key, n| (format!("{key:?}"), format!("{n:?}")))
        .to("out");
    let grouped = table.group_by(|key, n| (format!("all but {key:?}").len().to_string(), *n));
    let sums = grouped.reduce(|a, b| a + b, |a, b| a - b, Materialized::default());
    sums.to_stream().map(|key, n| (key, format!("{n:?}"))).to("out");
}

fn sure<T>(value: T) -> Result<T, Infallible> {
    Ok(value)
}

macro_rules! alike {
    ($name:literal, $windows:expr) => {
        let plain = results(|stream| {
            let windowed = stream.group_by_key().windowed_by($windows);
            send(&windowed.aggregate(|| 0, |_, n, sum| sum + n, Materialized::default()));
            send(&windowed.reduce(|sum, n| sum + n, Materialized::default()));
        });
        let fallible = results(|stream| {
            let windowed = stream.group_by_key().windowed_by($windows);
            send(&windowed.try_aggregate(|| sure(0), |_, n, sum| sure(sum + n), Materialized::default()));
            send(&windowed.try_reduce(|sum, n| sure(sum + n), Materialized::default()));
        });
        assert_eq!(plain, fallible, $name);
    };
}

#[test]
fn what_does_not_fail_is_as_without() {
    let plain = results(|stream| {
        let grouped = stream.group_by_key();
        send(&grouped.aggregate(|| 0, |_, n, sum| sum + n, Materialized::default()));
        send(&grouped.reduce(
            |sum, n| sum + n,
            Materialized::named("r").versioned(Duration::from_millis(50)),
        ));
    });
    let fallible = results(|stream| {
        let grouped = stream.group_by_key();
        send(&grouped.try_aggregate(|| sure(0), |_, n, sum| sure(sum + n), Materialized::default()));
        let history = Materialized::named("r").versioned(Duration::from_millis(50));
        send(&grouped.try_reduce(|sum, n| sure(sum + n), history));
    });
    assert_eq!(plain, fallible);
    let (size, grace) = (Duration::from_millis(20), Duration::from_millis(100));
    alike!("tumbling", TimeWindows::of_size_and_grace(size, grace));
    alike!(
        "hopping",
        TimeWindows::of_size_and_grace(size, grace).advance_by(Duration::from_millis(7))
    );
    alike!(
        "sliding",
        SlidingWindows::of_time_difference_and_grace(size, grace)
    );
    let sessions = SessionWindows::of_inactivity_gap_and_grace(size, grace);
    let plain = results(|stream| {
        let windowed = stream.group_by_key().windowed_by(sessions);
        send(&windowed.aggregate(
            || 0,
            |_, n, sum| sum + n,
            |_, a, b| a + b,
            Materialized::default(),
        ));
        send(&windowed.reduce(|sum, n| sum + n, Materialized::default()));
    });
    let fallible = results(|stream| {
        let windowed = stream.group_by_key().windowed_by(sessions);
        let (add, merge) = (|_: &String, n, sum| sure(sum + n), |_: &String, a, b| sure(a + b));
        send(&windowed.try_aggregate(|| sure(0), add, merge, Materialized::default()));
        send(&windowed.try_reduce(|sum, n| sure(sum + n), Materialized::default()));
    });
    assert_eq!(plain, fallible, "sessions");
}

/// Odd numbers less even ones.
fn cogrouped(numbers: &KStream<String, i64>, is_fallible: bool) -> CogroupedKStream<String, i64> {
    let odd = numbers.filter(|_, n| n % 2 == 1).group_by_key();
    let even = numbers.filter(|_, n| n % 2 == 0).group_by_key();
    match is_fallible {
        true => odd
            .try_cogroup(|_, n, sum| sure(sum + n))
            .try_cogroup(&even, |_, n, sum| sure(sum - n)),
        false => odd
            .cogroup(|_, n, sum: i64| sum + n)
            .cogroup(&even, |_, n, sum| sum - n),
    }
}

#[test]
fn what_does_not_fail_of_several_streams_is_as_without() {
    let (size, grace) = (Duration::from_millis(20), Duration::from_millis(100));
    for windows in ["none", "sliding", "sessions"] {
        let [plain, fallible] = [false, true].map(|is_fallible| {
            results(|numbers| {
                let both = cogrouped(&numbers, is_fallible);
                let unnamed = Materialized::default;
                match windows {
                    "none" => send(&both.aggregate(|| 0, unnamed())),
                    "sliding" => {
                        let windows = SlidingWindows::of_time_difference_and_grace(size, grace);
                        send(&both.windowed_by(windows).aggregate(|| 0, unnamed()));
                    }
                    _ => {
                        let windows = SessionWindows::of_inactivity_gap_and_grace(size, grace);
                        let sessions = both.windowed_by(windows);
                        send(&sessions.aggregate(|| 0, |_, a, b| a + b, unnamed()));
                    }
                }
            })
        });
        assert_eq!(plain, fallible, "{windows}");
    }
}

/// Adds up numbers to no more than 9.
fn up_to_9(sum: i64, n: i64) -> Result<i64, String> {
    match sum + n {
        sum @ ..=9 => Ok(sum),
        sum => Err(format!("{sum} is more than 9")),
    }
}

fn lenient(topology: &Topology) -> TopologyTestDriver {
    let handlers = ErrorHandlers::default()
        .processing(LogAndContinue)
        .dead_letter_topic("dead");
    TopologyTestDriver::with_options(topology, TestDriverOptions::default().errors(handlers)).unwrap()
}

#[test]
fn what_fails_names_the_processor_and_leaves_the_row_alone() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in").group_by_key();
    let sums = numbers.try_aggregate(|| Ok(0), |_, n, sum| up_to_9(sum, n), Materialized::named("sums"));
    sums.to_stream().to("out");
    let topology = builder.build().unwrap();
    let strict = TopologyTestDriver::new(&topology).unwrap();
    strict.input("in").pipe("k".to_owned(), 7_i64).unwrap();
    let error = strict
        .input("in")
        .pipe("k".to_owned(), 7_i64)
        .unwrap_err()
        .to_string();
    for part in [
        "14 is more than 9",
        "KSTREAM-AGGREGATE-0000000001",
        "offset 1 of in-0",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let driver = lenient(&topology);
    for n in [7_i64, 7, 2] {
        driver.input("in").pipe("k".to_owned(), n).unwrap();
    }
    assert_eq!(driver.output::<String, i64>("out").read_values(), [7, 9]);
    assert_eq!(driver.written("app-sums-changelog").len(), 2);
    assert_eq!(driver.output::<String, i64>("dead").read_values(), [7]);
    assert_eq!(driver.dropped(DropReason::Processing), 1);
}

#[test]
fn a_first_value_that_cannot_be_made_is_dropped_too() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in").group_by_key();
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
    let none = numbers.windowed_by(windows).try_aggregate(
        || Err("nothing to begin with"),
        |_, n, sum: i64| Ok(sum + n),
        Materialized::named("sums"),
    );
    none.to_stream().to("out");
    let driver = lenient(&builder.build().unwrap());
    driver.input("in").pipe("k".to_owned(), 7_i64).unwrap();
    assert!(driver.written("out").is_empty() && driver.written("app-sums-changelog").is_empty());
    assert_eq!(driver.dropped(DropReason::Processing), 1);
}

#[test]
fn windows_that_come_after_one_that_fails_are_not_updated() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in").group_by_key();
    let hopping =
        TimeWindows::of_size_with_no_grace(Duration::from_millis(20)).advance_by(Duration::from_millis(10));
    let sums = numbers.windowed_by(hopping).try_reduce(
        up_to_9,
        Materialized::named("sums").retention(Duration::from_secs(1)),
    );
    sums.to_stream().to("out");
    let driver = lenient(&builder.build().unwrap());
    // The second is too much for the window from 0 on, the last for that from 10 on: the next one does not get it either.
    for (n, at_ms) in [(7_i64, 5), (3, 15), (8, 25), (2, 26)] {
        driver.input("in").pipe_at("k".to_owned(), n, at_ms).unwrap();
    }
    let store = driver.window_store::<String, i64>("sums").unwrap();
    let row = |start_ms: i64| {
        store
            .fetch(&"k".to_owned(), start_ms)
            .unwrap()
            .map(|row| row.value)
    };
    assert_eq!([0, 10, 20].map(row), [Some(7), Some(8), Some(8)]);
    assert_eq!(driver.dropped(DropReason::Processing), 2);
}
