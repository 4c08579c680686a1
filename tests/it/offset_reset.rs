//! Where applications begin without a usable committed offset: at first, after topics lost what was not read, and while running.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::log::memory::MemoryLog;
use streams_core::time::{Clock, SystemClock};
use streams_dsl::log::{Log, TopicPartition};
use streams_dsl::prelude::*;
use tempfile::TempDir;

use crate::support::{create_topics, embedded, read, wait, wait_for_failure};

fn logs() -> [(Arc<dyn Log>, TempDir); 2] {
    let memory = MemoryLog::new(Arc::new(SystemClock::default()));
    let logs: [(Arc<dyn Log>, TempDir); 2] = [(Arc::new(memory), TempDir::new().unwrap()), embedded()];
    for (log, _) in &logs {
        create_topics(&**log, &[("in", 1), ("out", 1)]);
    }
    logs
}

/// Sends records whose values are these numbers.
fn send(log: &dyn Log, numbers: impl IntoIterator<Item = i64>, timestamp_ms: i64) {
    let values: Vec<_> = numbers.into_iter().map(i64::to_be_bytes).collect();
    let record = |value| ("in", 0, b"key".as_slice(), Some(value), timestamp_ms);
    let values = values.iter().map(<[u8; 8]>::as_slice);
    crate::support::send(log, values.map(record));
}

fn received(log: &dyn Log) -> Vec<i64> {
    let values = read(log, "out", 0)
        .into_iter()
        .map(|(_, value, _)| value.unwrap());
    values
        .map(|value| i64::from_be_bytes(value.try_into().unwrap()))
        .collect()
}

/// Copies, behind a repartition.
fn topology(reset: Option<AutoOffsetReset>) -> Topology {
    let builder = StreamsBuilder::new();
    let mut consumed = Consumed::<String, i64>::default();
    if let Some(reset) = reset {
        consumed = consumed.auto_offset_reset(reset);
    }
    builder
        .stream_with("in", consumed)
        .repartition(Repartitioned::named("copies"))
        .to("out");
    builder.build().unwrap()
}

fn start(log: &Arc<dyn Log>, dir: &Path, topology: &Topology, reset: AutoOffsetReset) -> Streams {
    let config = StreamsConfig::new("app")
        .state_dir(dir.join("state"))
        .auto_offset_reset(reset);
    Streams::start(topology, config, Arc::clone(log)).unwrap()
}

fn now_ms() -> i64 {
    SystemClock::default().now_ms()
}

#[test]
fn an_application_begins_where_its_source_says() {
    let hour = AutoOffsetReset::ByDuration(Duration::from_secs(3_600));
    let cases = [
        (AutoOffsetReset::Earliest, vec![1, 2, 3, 4, 5]),
        (AutoOffsetReset::Latest, vec![5]),
        (hour, vec![3, 4, 5]),
    ];
    for of_source in [true, false] {
        for (reset, expected) in &cases {
            for (log, dir) in logs() {
                send(&*log, [1, 2], now_ms() - 7_200_000);
                send(&*log, [3, 4], now_ms() - 60_000);
                // What the source says comes before what the application says, which is for internal topics in no case.
                let (topology, of_application) = match of_source {
                    true => (topology(Some(*reset)), AutoOffsetReset::Latest),
                    false => (topology(None), *reset),
                };
                let streams = start(&log, dir.path(), &topology, of_application);
                wait(&[&streams]);
                streams.close().unwrap();
                // The place it began at is committed, so that nothing is skipped that comes while it is away.
                send(&*log, [5], now_ms());
                let streams = start(&log, dir.path(), &topology, of_application);
                wait(&[&streams]);
                streams.close().unwrap();
                assert_eq!(received(&*log), *expected, "{reset}");
            }
        }
    }
}

#[test]
fn without_a_policy_the_application_stops_and_says_where() {
    for (log, dir) in logs() {
        let topology = topology(Some(AutoOffsetReset::None));
        let streams = start(&log, dir.path(), &topology, AutoOffsetReset::Earliest);
        assert_eq!(
            wait_for_failure(&streams),
            "configuration: in-0 has no committed offset, and auto_offset_reset is none: commit an offset for group members to \
             begin at, or set auto_offset_reset of the source or the application"
        );
    }
}

#[test]
fn records_that_are_deleted_unread_are_skipped_by_the_policy() {
    let cases = [
        (AutoOffsetReset::Earliest, vec![1, 4]),
        (AutoOffsetReset::Latest, vec![1]),
        (AutoOffsetReset::ByDuration(Duration::from_secs(60)), vec![1, 4]),
    ];
    for (reset, expected) in cases {
        for (log, dir) in logs() {
            send(&*log, [1], now_ms());
            let streams = start(&log, dir.path(), &topology(None), AutoOffsetReset::Earliest);
            wait(&[&streams]);
            streams.close().unwrap();
            send(&*log, [2, 3, 4], now_ms());
            let delete = [(TopicPartition::new("in", 0), 3)];
            log.admin().unwrap().delete_records(&delete).unwrap();
            let streams = start(&log, dir.path(), &topology(None), reset);
            wait(&[&streams]);
            streams.close().unwrap();
            assert_eq!(received(&*log), expected, "{reset}");
        }
    }
}

#[test]
fn records_that_are_deleted_while_it_runs_are_skipped_too() {
    for (log, dir) in logs() {
        let (gate, started) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        let builder = StreamsBuilder::new();
        let (waiting, seen) = (Arc::clone(&gate), Arc::clone(&started));
        let slow = builder.stream::<String, i64>("in").peek(move |_, _| {
            seen.store(true, Ordering::SeqCst);
            drop(waiting.lock().unwrap());
        });
        slow.to("out");
        let topology = builder.build().unwrap();
        let held = gate.lock().unwrap();
        send(&*log, 0..10, now_ms());
        let mut config = StreamsConfig::new("app").state_dir(dir.path().join("state"));
        config.buffered_records_per_partition = 1;
        let streams = Streams::start(&topology, config, Arc::clone(&log)).unwrap();
        // The first ten are fetched, and the first of them is being processed.
        while !started.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        send(&*log, 10..20, now_ms());
        let delete = [(TopicPartition::new("in", 0), 15)];
        log.admin().unwrap().delete_records(&delete).unwrap();
        drop(held);
        wait(&[&streams]);
        streams.close().unwrap();
        let expected: Vec<i64> = (0..10).chain(15..20).collect();
        assert_eq!(received(&*log), expected);
    }
}
