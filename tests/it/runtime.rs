//! The runtime over its logs: threads and instances that come and go, restarts with and without their state, user processors.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use streams_core::log::Log;
use streams_core::log::memory::MemoryLog;
use streams_core::time::SystemClock;
use streams_dsl::prelude::*;
use tempfile::TempDir;

use crate::support::{self, embedded, wait};

const PARTITIONS: i32 = 4;
const KEYS: usize = 100;

fn memory() -> (Arc<dyn Log>, TempDir) {
    (
        Arc::new(MemoryLog::new(Arc::new(SystemClock::default()))),
        TempDir::new().unwrap(),
    )
}

fn create_topics(log: &dyn Log) {
    support::create_topics(log, &[("in", PARTITIONS as u32), ("out", PARTITIONS as u32)]);
}

/// Sends `count` records over all partitions and keys.
fn send(log: &dyn Log, from: usize, count: usize) {
    let keys: Vec<String> = (from..from + count)
        .map(|n| format!("key-{}", n % KEYS))
        .collect();
    let value: Option<&[u8]> = Some(b"x");
    let records = (from as i64..).zip(&keys);
    support::send(
        log,
        records.map(|(n, key)| ("in", n as i32 % PARTITIONS, key.as_bytes(), value, n)),
    );
}

/// Counts by key behind a repartition, since input partitions do not follow the keys.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let counts = builder
        .stream::<String, String>("in")
        .group_by(|key, _| key.clone())
        .count(Materialized::named("counts"));
    counts.to_stream().to("out");
    builder.build().unwrap()
}

fn start(log: &Arc<dyn Log>, state: &std::path::Path, threads: usize) -> Streams {
    let config = StreamsConfig::new("app")
        .state_dir(state)
        .num_stream_threads(threads);
    Streams::start(&topology(), config, Arc::clone(log)).unwrap()
}

/// All committed updates of each key, in order.
fn updates(log: &dyn Log) -> HashMap<String, Vec<i64>> {
    let mut updates: HashMap<String, Vec<i64>> = HashMap::new();
    for partition in 0..PARTITIONS {
        for (key, count, _) in support::read(log, "out", partition) {
            let key = String::from_utf8(key.unwrap()).unwrap();
            let count = i64::from_be_bytes(count.unwrap().try_into().unwrap());
            updates.entry(key).or_default().push(count);
        }
    }
    updates
}

/// Exactly once: each key was counted up one by one, without gap or repetition.
fn check(log: &dyn Log, records: usize) {
    let updates = updates(log);
    assert_eq!(updates.len(), KEYS);
    for (key, counts) in updates {
        let expected: Vec<i64> = (1..=(records / KEYS) as i64).collect();
        assert_eq!(counts, expected, "{key}");
    }
}

#[test]
fn threads_share_the_work() {
    for (log, dir) in [memory(), embedded()] {
        create_topics(&*log);
        send(&*log, 0, 4_000);
        let streams = start(&log, &dir.path().join("state"), 3);
        wait(&[&streams]);
        streams.close().unwrap();
        check(&*log, 4_000);
    }
}

#[test]
fn instances_come_and_go() {
    for (log, dir) in [memory(), embedded()] {
        create_topics(&*log);
        let first = start(&log, &dir.path().join("state-1"), 1);
        send(&*log, 0, 2_000);
        let second = start(&log, &dir.path().join("state-2"), 2);
        send(&*log, 2_000, 2_000);
        wait(&[&first, &second]);
        first.close().unwrap();
        send(&*log, 4_000, 2_000);
        wait(&[&second]);
        let third = start(&log, &dir.path().join("state-1"), 1);
        send(&*log, 6_000, 2_000);
        wait(&[&second, &third]);
        second.close().unwrap();
        third.close().unwrap();
        check(&*log, 8_000);
    }
}

#[test]
fn state_that_is_lost_comes_back_from_the_changelog() {
    let (log, dir) = embedded();
    create_topics(&*log);
    for (run, keep) in [false, true, true, false].into_iter().enumerate() {
        let state = dir.path().join("state");
        if !keep {
            let _ = std::fs::remove_dir_all(&state);
        }
        send(&*log, run * 1_000, 1_000);
        let streams = start(&log, &state, 1);
        wait(&[&streams]);
        streams.close().unwrap();
    }
    check(&*log, 4_000);
}

#[test]
fn a_failing_processor_stops_the_application_and_loses_nothing() {
    let (log, dir) = embedded();
    create_topics(&*log);
    send(&*log, 0, 400);
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .map_values(|value| {
            assert_ne!(value, "x", "the value nobody expected");
            value
        })
        .to("out");
    let config = StreamsConfig::new("app").state_dir(dir.path().join("state"));
    let streams = Streams::start(&builder.build().unwrap(), config, Arc::clone(&log)).unwrap();
    let error = support::wait_for_failure(&streams);
    assert!(
        error.contains("panicked") && error.contains("the value nobody expected"),
        "{error}"
    );
    drop(streams);
    let streams = start(&log, &dir.path().join("state"), 1);
    wait(&[&streams]);
    streams.close().unwrap();
    check(&*log, 400);
}

#[test]
fn topics_that_are_missing_are_named() {
    let (log, dir) = memory();
    let config = StreamsConfig::new("app").state_dir(dir.path());
    let error = Streams::start(&topology(), config, log).unwrap_err().to_string();
    assert_eq!(
        error,
        "topic in does not exist; create it before the application starts"
    );
}

/// Runs over some records and tells the names of the threads that processed them.
fn thread_names(config: StreamsConfig) -> (String, BTreeSet<String>) {
    let (log, _dir) = memory();
    create_topics(&*log);
    send(&*log, 0, 400);
    let names: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&names);
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").for_each(move |_, _| {
        let name = std::thread::current().name().unwrap().to_owned();
        seen.lock().unwrap().insert(name);
    });
    let streams = Streams::start(&builder.build().unwrap(), config, log).unwrap();
    wait(&[&streams]);
    let client_id = streams.client_id();
    streams.close().unwrap();
    let names = names.lock().unwrap().clone();
    (client_id, names)
}

#[test]
fn threads_are_named_after_the_application_and_the_process() {
    let dir = TempDir::new().unwrap();
    let config = StreamsConfig::new("app").state_dir(dir.path());
    let (client_id, names) = thread_names(config.clone());
    let metadata = dir.path().join("app/kafka-streams-process-metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    assert_eq!(
        client_id,
        format!("app-{}", metadata["processId"].as_str().unwrap())
    );
    assert_eq!(names, BTreeSet::from([format!("{client_id}-StreamThread-1")]));
    // The process keeps its name over restarts.
    assert_eq!(thread_names(config.clone()).0, client_id);
    let (client_id, names) = thread_names(config.client_id("mine").num_stream_threads(2));
    assert_eq!(client_id, "mine");
    // The first one may have done it all before the second one joined.
    let both = ["mine-StreamThread-1", "mine-StreamThread-2"].map(String::from);
    assert!(
        !names.is_empty() && names.is_subset(&BTreeSet::from(both)),
        "{names:?}"
    );
}
