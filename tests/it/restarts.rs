//! Applications that are stopped and started again, with their state and without, give what they give in one go.
//!
//! What they give in one go is the test driver's answer. Input is in the order of its timestamps, so that both process it in the
//! same order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_dsl::Headers;
use streams_dsl::prelude::*;
use streams_dsl::store::RocksDbOptions;
use streams_dsl::store::engine::{self, KeyValueStore, MemoryEngine, StoreEngine, StoreSpec};
use streams_dsl::testing::WrittenRecord;

use crate::support::{create_topics, embedded, read, send, wait};

const INPUTS: [&str; 2] = ["left", "right"];
const RECORDS: i64 = 600;
const RESTARTS: usize = 6;

/// Topic, key, value, timestamp.
type Input = (&'static str, String, String, i64);
/// Key, value, timestamp.
type Output = (Vec<u8>, Option<Vec<u8>>, i64);

/// Keys come again and again, and now and then time makes a jump.
fn input() -> Vec<Input> {
    let record = |n: i64| {
        let topic = INPUTS[usize::from(n * 7 % 3 == 1)];
        let key = format!("k{}", n * 5 % 11);
        (
            topic,
            key,
            format!("{}:{n}", n * 3 % 4),
            1_000 + n * 13 + n / 100 * 900,
        )
    };
    (0..RECORDS).map(record).collect()
}

fn in_one_go(topology: &Topology) -> Vec<Output> {
    let driver = TopologyTestDriver::new(topology).unwrap();
    let described = topology.describe();
    for (topic, key, value, timestamp_ms) in input() {
        if !described.contains(&format!("(topics: [{topic}])")) {
            continue;
        }
        let record = WrittenRecord {
            key: Some(key.into_bytes().into()),
            value: Some(value.into_bytes().into()),
            timestamp_ms,
            headers: Headers::default(),
        };
        driver.pipe_raw(topic, &record).unwrap();
    }
    let output = |record: &WrittenRecord| {
        let value = record.value.as_ref().map(|value| value.to_vec());
        (record.key.as_ref().unwrap().to_vec(), value, record.timestamp_ms)
    };
    driver.written("out").iter().map(output).collect()
}

fn with_restarts(topology: &Topology) -> Vec<Output> {
    let (log, dir) = embedded();
    create_topics(&*log, &[("left", 1), ("right", 1), ("out", 1)]);
    let state = dir.path().join("state");
    let input = input();
    for (run, chunk) in input.chunks(input.len().div_ceil(RESTARTS)).enumerate() {
        let records = chunk.iter();
        send(
            &*log,
            records.map(|(topic, key, value, timestamp_ms)| {
                (*topic, 0, key.as_bytes(), Some(value.as_bytes()), *timestamp_ms)
            }),
        );
        let config = StreamsConfig::new("app").state_dir(&state).num_stream_threads(2);
        let streams = Streams::start(topology, config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
        if run % 2 == 1 {
            std::fs::remove_dir_all(&state).unwrap();
        }
    }
    read(&*log, "out", 0)
        .into_iter()
        .map(|(key, value, timestamp_ms)| (key.unwrap(), value, timestamp_ms))
        .collect()
}

fn built(optimization: Optimization, add: impl FnOnce(&StreamsBuilder)) -> Topology {
    let builder = StreamsBuilder::new();
    add(&builder);
    builder.build_with(optimization).unwrap()
}

/// One sub-topology: all of the output is the same.
fn check(name: &str, topology: &Topology) {
    let expected = in_one_go(topology);
    assert!(
        expected.len() > 20,
        "{name}: {} results show nothing",
        expected.len()
    );
    let found = with_restarts(topology);
    let text = |output: Option<&Output>| {
        output.map(|(key, value, timestamp_ms)| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(key), value.as_deref().map(text), *timestamp_ms)
        })
    };
    for index in 0..expected.len().max(found.len()) {
        assert_eq!(
            text(found.get(index)),
            text(expected.get(index)),
            "{name}, result {index}"
        );
    }
}

fn within(ms: u64) -> JoinWindows {
    JoinWindows::of_time_difference_and_grace(Duration::from_millis(ms), Duration::from_millis(20))
}

#[test]
fn joins_of_streams_keep_what_waits_for_its_match() {
    let topology = built(Optimization::NONE, |builder| {
        let left = builder.stream::<String, String>("left");
        let right = builder.stream::<String, String>("right");
        let joined = left.outer_join_stream(&right, |a, b| format!("{a:?}+{b:?}"), within(90));
        joined.to("out");
    });
    check("outer join", &topology);
    let topology = built(Optimization::ALL, |builder| {
        let left = builder.stream::<String, String>("left");
        left.join_stream(&left, |a, b| format!("{a}+{b}"), within(400))
            .to("out");
    });
    check("self-join", &topology);
}

#[test]
fn windows_that_wait_to_close_are_sent_once() {
    let size = Duration::from_millis(200);
    let retention = Duration::from_secs(5);
    let count = || Materialized::named("counts").retention(retention);
    let topology = built(Optimization::NONE, |builder| {
        let grouped = builder.stream::<String, String>("left").group_by_key();
        let windowed = grouped.windowed_by(TimeWindows::of_size_with_no_grace(size));
        windowed
            .emit_on_window_close()
            .count(count())
            .to_stream()
            .to("out");
    });
    check("tumbling", &topology);
    let topology = built(Optimization::NONE, |builder| {
        let grouped = builder.stream::<String, String>("left").group_by_key();
        let windowed = grouped.windowed_by(SlidingWindows::of_time_difference_with_no_grace(size));
        windowed
            .emit_on_window_close()
            .count(count())
            .to_stream()
            .to("out");
    });
    check("sliding", &topology);
    let topology = built(Optimization::NONE, |builder| {
        let grouped = builder.stream::<String, String>("left").group_by_key();
        let windowed = grouped.windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(size));
        windowed
            .emit_on_window_close()
            .count(count())
            .to_stream()
            .to("out");
    });
    check("sessions", &topology);
}

#[test]
fn what_is_suppressed_is_sent_once() {
    let size = Duration::from_millis(200);
    let topology = built(Optimization::NONE, |builder| {
        let grouped = builder.stream::<String, String>("left").group_by_key();
        let counts = grouped
            .windowed_by(TimeWindows::of_size_with_no_grace(size))
            .count(Materialized::named("counts"));
        counts
            .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
            .to_stream()
            .to("out");
    });
    check("until windows close", &topology);
    let topology = built(Optimization::NONE, |builder| {
        let table = builder.table::<String, String>("left", Materialized::named("table"));
        let limit = Suppressed::until_time_limit(size, BufferConfig::max_records(6));
        table.suppress(limit).to_stream().to("out");
    });
    check("until a time limit", &topology);
}

#[test]
fn cogrouped_streams_share_their_store() {
    let topology = built(Optimization::NONE, |builder| {
        let left = builder.stream::<String, String>("left").group_by_key();
        let right = builder.stream::<String, String>("right").group_by_key();
        let both = left
            .cogroup(|_, _, n: i64| n + 1)
            .cogroup(&right, |_, _, n| n + 1_000);
        both.aggregate(|| 0, Materialized::named("sums"))
            .to_stream()
            .to("out");
    });
    check("cogroup", &topology);
}

#[test]
fn a_table_can_be_restored_from_its_source() {
    let topology = built(Optimization::ALL, |builder| {
        let table = builder.table::<String, String>("right", Materialized::named("table"));
        let stream = builder.stream::<String, String>("left");
        stream.left_join(&table, |a, b| format!("{a}+{b:?}")).to("out");
    });
    check("source as changelog", &topology);
}

#[test]
fn foreign_keys_are_joined_in_the_end() {
    let topology = built(Optimization::NONE, |builder| {
        let left = builder.table::<String, String>("left", Materialized::named("left"));
        let right = builder.table::<String, String>("right", Materialized::named("right"));
        let foreign_key = |_: &String, value: &String| Some(format!("k{}", value.split(':').next()?));
        let joined = left.left_join_foreign_key(&right, foreign_key, |a, b| format!("{a}+{b:?}"));
        joined.to_stream().to("out");
    });
    // Rows and answers overtake each other: what counts is what is there in the end.
    let last = |outputs: Vec<Output>| -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        outputs.into_iter().map(|(key, value, _)| (key, value)).collect()
    };
    let expected = last(in_one_go(&topology));
    assert_eq!(expected.len(), 11);
    assert_eq!(last(with_restarts(&topology)), expected);
}

#[test]
fn a_versioned_table_knows_its_past_and_records_wait_for_it() {
    let topology = built(Optimization::NONE, |builder| {
        let versioned = Materialized::named("right").versioned(Duration::from_secs(60));
        let table = builder.table::<String, String>("right", versioned);
        let stream = builder.stream::<String, String>("left");
        let waits = Joined::named("join").grace_period(Duration::from_millis(300));
        let joined = stream.left_join_with(&table, |a, b| format!("{a}+{b:?}"), waits);
        joined.to("out");
    });
    check("versioned table", &topology);
}

#[test]
fn what_was_too_old_for_a_versioned_table_is_not_there_after_a_restore() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("left", 1), ("right", 1), ("out", 1)]);
    let topology = built(Optimization::NONE, |builder| {
        let versioned = Materialized::named("table").versioned(Duration::from_millis(100));
        let table = builder.stream::<String, String>("right").to_table(versioned);
        let stream = builder.stream::<String, String>("left");
        stream.left_join(&table, |a, b| format!("{a}+{b:?}")).to("out");
    });
    let state = dir.path().join("state");
    let run = |topic: &'static str, key: &[u8], value: &[u8], at_ms: i64| {
        send(&*log, [(topic, 0, key, Some(value), at_ms)]);
        let config = StreamsConfig::new("app").state_dir(&state);
        let streams = Streams::start(&topology, config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
    };
    run("right", b"old", b"kept", 10);
    send(
        &*log,
        [("right", 0, b"new".as_slice(), Some(b"kept".as_slice()), 1_000)],
    );
    run("right", b"late", b"not kept", 50);
    run("left", b"late", b"before", 1_000);
    std::fs::remove_dir_all(&state).unwrap();
    run("left", b"late", b"after", 1_000);
    run("left", b"old", b"after", 1_000);
    let joined: Vec<String> = read(&*log, "out", 0)
        .into_iter()
        .map(|(_, value, _)| String::from_utf8(value.unwrap()).unwrap())
        .collect();
    assert_eq!(joined, ["before+None", "after+None", "after+Some(\"kept\")"]);
}

#[test]
fn stores_are_within_the_limits_that_are_set() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("left", 1), ("out", 1)]);
    send(
        &*log,
        [("left", 0, b"key".as_slice(), Some(b"value".as_slice()), 1)],
    );
    let builder = StreamsBuilder::new();
    let latest = Materialized::named("latest");
    builder
        .stream::<String, String>("left")
        .group_by_key()
        .reduce(|_, new| new, latest)
        .to_stream()
        .to("out");
    let topology = builder.build().unwrap();
    let state = dir.path().join("state");
    let start = |options: RocksDbOptions| {
        let config = StreamsConfig::new("app").state_dir(&state).rocksdb(options);
        Streams::start(&topology, config, Arc::clone(&log))
    };
    let error = start(RocksDbOptions::default().write_buffer_bytes(0)).unwrap_err();
    assert!(
        error.to_string().contains("write_buffer_bytes of RocksDB is 0"),
        "{error}"
    );
    let streams = start(RocksDbOptions::default().write_buffer_bytes(64 << 10)).unwrap();
    wait(&[&streams]);
    streams.close().unwrap();
    // RocksDB writes down what a store was opened with.
    let files = std::fs::read_dir(state.join("app/0_0/rocksdb/latest")).unwrap();
    let options = files.filter_map(|file| {
        let path = file.unwrap().path();
        let is_options = path.file_name()?.to_str()?.starts_with("OPTIONS");
        is_options.then(|| std::fs::read_to_string(path).unwrap())
    });
    let written: Vec<bool> = options
        .map(|text| text.contains("write_buffer_size=65536"))
        .collect();
    assert!(!written.is_empty() && written.iter().all(|is_set| *is_set));
}

/// A store of the user's: remembers where it was opened.
#[derive(Debug, Default)]
struct Own(Mutex<Vec<PathBuf>>);

impl StoreEngine for Own {
    fn open(&self, spec: &StoreSpec, directory: Option<&Path>) -> engine::Result<Arc<dyn KeyValueStore>> {
        self.0.lock().unwrap().push(directory.unwrap().to_owned());
        MemoryEngine.open(spec, None)
    }
}

#[test]
fn stores_of_ones_own_are_used_and_restored() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("clicks", 1), ("cities", 1), ("counts", 1)]);
    let own = Arc::new(Own::default());
    let builder = StreamsBuilder::new();
    builder.default_store_kind(StoreKind::Custom(own.clone()));
    let _cities = builder.global_table::<String, String>("cities", Materialized::named("cities"));
    let clicks = builder.stream::<String, String>("clicks").group_by_key();
    let counts = clicks.count(Materialized::named("counts"));
    counts.to_stream().to("counts");
    let topology = builder.build().unwrap();
    for at_ms in [1, 2] {
        send(
            &*log,
            [("clicks", 0, b"ada".as_slice(), Some(b"home".as_slice()), at_ms)],
        );
        let config = StreamsConfig::new("app").state_dir(dir.path().join("state"));
        let streams = Streams::start(&topology, config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
    }
    let counts: Vec<_> = read(&*log, "counts", 0)
        .into_iter()
        .map(|(_, value, _)| value)
        .collect();
    assert_eq!(
        counts.last().unwrap().as_deref(),
        Some(2_i64.to_be_bytes().as_slice())
    );
    let opened = own.0.lock().unwrap().clone();
    let of = |store: &str| opened.iter().filter(|path| path.ends_with(store)).count();
    assert_eq!((of("counts"), of("cities")), (2, 2), "{opened:?}");
}
