//! How long a task waits for an input that has no records: `max.task.idle.ms`.

use std::sync::Arc;
use std::time::Duration;

use streams_dsl::log::Log;
use streams_dsl::prelude::*;
use streams_dsl::runtime::MAX_TASK_IDLE_MS_DISABLED;
use streams_dsl::time::{Clock, ManualClock};

use crate::support::{create_topics, embedded, read, send};

/// All that comes in, in the order in which it is processed.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>(["a", "b"]).to("out");
    builder.build().unwrap()
}

struct Driven {
    driver: TopologyTestDriver,
}

impl Driven {
    fn new(options: TestDriverOptions) -> Self {
        let driver = TopologyTestDriver::with_options(&topology(), options).unwrap();
        Self { driver }
    }

    fn pipe(&self, topic: &str, timestamp_ms: i64) {
        let input = self.driver.input(topic);
        input.pipe_at(topic.to_owned(), 0_i64, timestamp_ms).unwrap();
    }

    fn advance(&self, ms: u64) {
        self.driver.advance_wall_clock(Duration::from_millis(ms)).unwrap();
    }

    /// Timestamps of all that was processed so far.
    fn processed(&self) -> Vec<i64> {
        let written = self.driver.written("out");
        written.iter().map(|record| record.timestamp_ms).collect()
    }
}

#[test]
fn nothing_waits_unless_told_to() {
    for options in [
        TestDriverOptions::default(),
        TestDriverOptions::default().max_task_idle_ms(MAX_TASK_IDLE_MS_DISABLED),
    ] {
        let driven = Driven::new(options);
        driven.pipe("a", 20);
        driven.pipe("b", 10);
        assert_eq!(driven.processed(), [20, 10]);
    }
}

#[test]
fn records_wait_for_older_ones_of_the_other_input() {
    let driven = Driven::new(TestDriverOptions::default().max_task_idle_ms(100));
    for timestamp_ms in [20, 30, 50] {
        driven.pipe("a", timestamp_ms);
    }
    assert!(driven.processed().is_empty());
    driven.pipe("b", 40);
    // Up to where `b` has none again.
    assert_eq!(driven.processed(), [20, 30, 40]);
    driven.pipe("b", 45);
    assert_eq!(driven.processed(), [20, 30, 40, 45]);
    driven.advance(99);
    assert_eq!(driven.processed().len(), 4);
    driven.advance(1);
    assert_eq!(driven.processed(), [20, 30, 40, 45, 50]);
}

#[test]
fn an_input_that_was_given_up_is_waited_for_again_when_it_had_records() {
    // Wherever the clock stood before the first record.
    let driven = Driven::new(
        TestDriverOptions::default()
            .max_task_idle_ms(100)
            .wall_clock_ms(7),
    );
    driven.advance(1_000);
    driven.pipe("a", 1);
    driven.advance(60);
    driven.pipe("a", 2);
    driven.advance(39);
    assert!(driven.processed().is_empty());
    driven.advance(1);
    assert_eq!(driven.processed(), [1, 2]);
    // `b` is given up, but now `a` has none either, and is what the next record of `b` waits for.
    driven.pipe("a", 3);
    assert_eq!(driven.processed(), [1, 2, 3]);
    driven.pipe("b", 5);
    assert_eq!(driven.processed(), [1, 2, 3]);
    driven.advance(100);
    assert_eq!(driven.processed(), [1, 2, 3, 5]);
    driven.pipe("a", 6);
    assert_eq!(driven.processed(), [1, 2, 3, 5]);
    driven.pipe("b", 4);
    assert_eq!(driven.processed(), [1, 2, 3, 5, 4]);
}

#[test]
fn tasks_of_one_partition_wait_for_nothing() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("a").to("out");
    let options = TestDriverOptions::default().max_task_idle_ms(100);
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    driver.input("a").pipe("k".to_owned(), 1_i64).unwrap();
    assert_eq!(driver.written("out").len(), 1);
}

fn timestamps(log: &dyn Log) -> Vec<i64> {
    let records = read(log, "out", 0);
    records.iter().map(|(_, _, timestamp_ms)| *timestamp_ms).collect()
}

/// Runs `step` until that many records came out.
fn until_out(log: &dyn Log, count: usize, mut step: impl FnMut()) -> Vec<i64> {
    for _ in 0..1_000 {
        let out = timestamps(log);
        if out.len() >= count {
            return out;
        }
        step();
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{count} records expected, but found {:?}", timestamps(log));
}

#[test]
fn an_application_waits_as_long_by_its_clock() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("a", 1), ("b", 1), ("out", 1)]);
    let clock = Arc::new(ManualClock::new(0));
    let mut config = StreamsConfig::new("app")
        .state_dir(dir.path().join("state"))
        .commit_interval_ms(0)
        .max_task_idle_ms(500);
    config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let streams = Streams::start(&topology(), config, Arc::clone(&log)).unwrap();
    let zero = 0_i64.to_be_bytes();
    let record = |topic, timestamp_ms| (topic, 0, b"k".as_slice(), Some(zero.as_slice()), timestamp_ms);
    send(&*log, [record("a", 20)]);
    std::thread::sleep(Duration::from_millis(300));
    send(&*log, [record("b", 10)]);
    assert_eq!(until_out(&*log, 1, || {}), [10]);
    assert_eq!(clock.now_ms(), 0);
    let step = || clock.advance(Duration::from_millis(50));
    assert_eq!(until_out(&*log, 2, step), [10, 20]);
    assert!(clock.now_ms() >= 500, "{}", clock.now_ms());
    streams.close().unwrap();
}

#[test]
fn other_settings_are_refused() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("a", 1), ("b", 1), ("out", 1)]);
    let config = StreamsConfig::new("app")
        .state_dir(dir.path())
        .max_task_idle_ms(-2);
    let error = Streams::start(&topology(), config, log)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("max_task_idle_ms is -2"), "{error}");
}

/// How many records of each ten milliseconds came in time.
fn counts() -> Topology {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
    let both = builder.stream::<String, i64>(["a", "b"]).group_by_key();
    let counts = both.windowed_by(windows).count(Materialized::default());
    counts
        .to_stream()
        .map(|window, count| (window.key, count))
        .to("out");
    builder.build().unwrap()
}

#[test]
fn a_restart_does_not_know_the_time_of_what_waits() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("a", 1), ("b", 1), ("out", 1)]);
    let zero = 0_i64.to_be_bytes();
    let record = |topic, timestamp_ms| (topic, 0, b"k".as_slice(), Some(zero.as_slice()), timestamp_ms);
    let counted = || {
        let records = read(&*log, "out", 0);
        let (_, count, _) = records.last()?;
        Some(i64::from_be_bytes(count.clone()?.try_into().unwrap()))
    };
    // The first record of `a` that is left would close the window, and waits for `b` both times.
    for (input, expected) in [
        (vec![record("a", 5), record("a", 100), record("b", 6)], 2),
        (vec![record("b", 7)], 3),
    ] {
        let config = StreamsConfig::new("app")
            .state_dir(dir.path().join("state"))
            .max_task_idle_ms(600_000);
        let streams = Streams::start(&counts(), config, Arc::clone(&log)).unwrap();
        send(&*log, input);
        let is_counted = (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            counted() == Some(expected)
        });
        assert!(is_counted, "{expected} expected, but {:?} found", counted());
        streams.close().unwrap();
    }
}
