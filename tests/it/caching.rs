//! Tables that send on only the last update of each key and commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};

use crate::support::{create_topics, embedded, read, send, wait};

const KEYS: i64 = 7;
const RECORDS: i64 = 2_000;

/// Sums by key, and the sum of the sums: a table of a table. And counts in windows.
fn topology(caching: bool) -> Topology {
    let with = |name: &str| match caching {
        true => Materialized::<i64>::named(name).caching_enabled(),
        false => Materialized::named(name),
    };
    let builder = StreamsBuilder::new();
    let ones = builder.stream::<String, String>("in").map_values(|_| 1_i64);
    let sums = ones.group_by_key().reduce(|a, b| a + b, with("sums"));
    let total =
        sums.group_by(|_, sum| ("all".to_owned(), *sum))
            .reduce(|a, b| a + b, |a, b| a - b, with("total"));
    total.to_stream().to("total");
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(500));
    let windowed = builder
        .stream::<String, String>("in")
        .group_by_key()
        .windowed_by(windows);
    windowed.count(with("windowed")).to_stream().to("windowed");
    builder.build().unwrap()
}

/// How many updates there are, and what is there in the end.
type Updates = (usize, BTreeMap<Vec<u8>, Option<Vec<u8>>>);

fn run(caching: bool) -> [Updates; 2] {
    let (log, dir) = embedded();
    create_topics(&*log, &[("in", 2), ("total", 1), ("windowed", 1)]);
    for chunk in [0..RECORDS / 2, RECORDS / 2..RECORDS] {
        let keys: Vec<String> = chunk.clone().map(|n| format!("k{}", n % KEYS)).collect();
        let value: Option<&[u8]> = Some(b"x");
        let records = chunk.zip(&keys);
        send(
            &*log,
            records.map(|(n, key)| ("in", (n % KEYS % 2) as i32, key.as_bytes(), value, n)),
        );
        let config = StreamsConfig::new("app")
            .state_dir(dir.path().join("state"))
            .commit_interval_ms(200);
        let streams = Streams::start(&topology(caching), config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
    }
    let updates = |topic| {
        let records = read(&*log, topic, 0).into_iter();
        let records: Vec<_> = records.map(|(key, value, _)| (key.unwrap(), value)).collect();
        (records.len(), records.into_iter().collect())
    };
    ["total", "windowed"].map(updates)
}

#[test]
fn fewer_updates_lead_to_the_same_tables() {
    let (without, with) = (run(false), run(true));
    assert_eq!(
        with[0].1[b"all".as_slice()].as_deref(),
        Some(RECORDS.to_be_bytes().as_slice())
    );
    for ((every, all), (last, same)) in without.into_iter().zip(with) {
        assert_eq!(all, same);
        assert!(last * 10 < every, "{last} updates instead of {every}");
    }
}

#[test]
fn the_test_driver_commits_after_each_record() {
    let updates = |caching| {
        let driver = TopologyTestDriver::new(&topology(caching)).unwrap();
        for n in 0..20_i64 {
            let key = format!("k{}", n % KEYS);
            driver.input("in").pipe_at(key, "x".to_owned(), n * 100).unwrap();
        }
        (driver.written("total"), driver.written("windowed"))
    };
    assert_eq!(updates(true), updates(false));
}

/// Commits long after a few records that were there at the start are processed.
fn one_commit(dir: &Path) -> StreamsConfig {
    let config = StreamsConfig::new("app").state_dir(dir.join("state"));
    config.commit_interval_ms(2_000)
}

/// Runs a topology over records that are all in one commit. Gives what is in these topics then, as text.
fn in_one_commit(
    topology: &Topology,
    records: &[(&str, Option<&str>, i64)],
    topics: &[&str],
) -> Vec<Vec<String>> {
    let (log, dir) = embedded();
    create_topics(&*log, &[("in", 1), ("out", 1)]);
    send(
        &*log,
        records.iter().map(|(key, value, timestamp_ms)| {
            ("in", 0, key.as_bytes(), value.map(str::as_bytes), *timestamp_ms)
        }),
    );
    let config = one_commit(dir.path());
    let streams = Streams::start(topology, config, Arc::clone(&log)).unwrap();
    wait(&[&streams]);
    streams.close().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let record = |(key, value, _): (Option<Vec<u8>>, Option<Vec<u8>>, i64)| {
        let value = value.map_or("gone".to_owned(), text);
        format!("{}={value}", text(key.unwrap()))
    };
    let written = |topic: &&str| read(&*log, topic, 0).into_iter().map(record).collect();
    topics.iter().map(written).collect()
}

#[test]
fn what_came_and_went_was_never_there() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Materialized::named("rows").caching_enabled());
    table.to_stream().to("out");
    let records = [
        ("a", Some("1"), 0),
        ("b", Some("1"), 1),
        ("a", None, 2),
        ("b", Some("2"), 3),
    ];
    let topics = ["out", "app-rows-changelog"];
    let written = in_one_commit(&builder.build().unwrap(), &records, &topics);
    assert_eq!(written, [["b=2"], ["b=2"]]);
}

#[test]
fn sessions_that_were_merged_were_never_there() {
    let builder = StreamsBuilder::new();
    let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(10));
    let counts = builder
        .stream::<String, String>("in")
        .group_by_key()
        .windowed_by(windows);
    let counts = counts.count(Materialized::named("counts").caching_enabled());
    let text = counts
        .to_stream()
        .map(|window, count| (window.key.clone(), format!("{count:?}")));
    text.to("out");
    let records = [0, 4, 8].map(|at_ms| ("a", Some("x"), at_ms));
    let topics = ["out", "app-counts-changelog"];
    let [out, changelog] = &in_one_commit(&builder.build().unwrap(), &records, &topics)[..] else {
        panic!("two topics");
    };
    assert_eq!(*out, ["a=Some(3)"]);
    assert_eq!(changelog.len(), 1, "{changelog:?}");
}

/// Where a record came from, as its value.
struct Origin;

impl FixedKeyProcessor<String, Option<String>, String> for Origin {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, Option<String>>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, String, String>,
    ) -> Result<(), BoxError> {
        let origin = context
            .task()
            .record_metadata()
            .map(|from| (from.topic.to_string(), from.offset));
        context.forward(record.with_value(format!("{origin:?}")))
    }
}

#[test]
fn what_was_held_comes_from_where_its_last_update_did() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Materialized::named("rows").caching_enabled());
    table.to_stream().process_values(&[], |_| Ok(Origin)).to("out");
    let records = [("a", Some("1"), 0), ("b", Some("1"), 1), ("a", Some("2"), 2)];
    let written = in_one_commit(&builder.build().unwrap(), &records, &["out"]);
    assert_eq!(written, [[r#"b=Some(("in", 1))"#, r#"a=Some(("in", 2))"#]]);
}

/// With little memory, what is held leads to more commits.
#[test]
fn what_is_held_is_bounded_by_the_size_of_the_cache() {
    let builder = StreamsBuilder::new();
    let ones = builder.stream::<String, String>("in").group_by_key();
    ones.count(Materialized::named("counts").caching_enabled())
        .to_stream()
        .to("out");
    let (log, dir) = embedded();
    create_topics(&*log, &[("in", 1), ("out", 1)]);
    let keys: Vec<String> = (0..RECORDS).map(|n| format!("k{}", n % KEYS)).collect();
    send(
        &*log,
        keys.iter()
            .map(|key| ("in", 0, key.as_bytes(), Some(b"x".as_slice()), 0)),
    );
    let mut config = one_commit(dir.path());
    config.cache_max_bytes = 1024;
    let streams = Streams::start(&builder.build().unwrap(), config, Arc::clone(&log)).unwrap();
    wait(&[&streams]);
    streams.close().unwrap();
    let written = read(&*log, "out", 0).len();
    assert!(written > KEYS as usize, "{written}");
}
