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
    let written = topics.iter().filter(|topic| !topic.starts_with("app-"));
    let written: Vec<_> = written.map(|topic| (*topic, 1)).collect();
    create_topics(&*log, &[("in", 1)]);
    create_topics(&*log, &written);
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

fn said(of_topology: bool) -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    if of_topology {
        builder.default_caching_enabled();
    }
    builder
}

/// Updates of one key, by their numbers. How many commits they are in is a matter of the machine's load: a few.
const UPDATES: usize = 200;

/// Runs a topology over the updates. Gives what is in these topics then.
fn updated(builder: StreamsBuilder, topics: &[&str]) -> Vec<Vec<String>> {
    let numbers: Vec<String> = (1..=UPDATES).map(|n| n.to_string()).collect();
    let records: Vec<_> = (0..)
        .zip(&numbers)
        .map(|(at_ms, n)| ("a", Some(n.as_str()), at_ms))
        .collect();
    in_one_commit(&builder.build().unwrap(), &records, topics)
}

/// Whether updates were held; what is there in the end is the same.
fn held(updates: &[String], last: &str) -> bool {
    assert_eq!(updates.last().unwrap(), last);
    let is_held = updates.len() < UPDATES;
    assert!(!is_held || updates.len() * 4 < UPDATES, "{updates:?}");
    is_held
}

#[test]
fn tables_that_say_nothing_do_what_the_topology_says() {
    let held = |of_topology, materialized: Materialized<i64>| {
        let builder = said(of_topology);
        let counts = builder.stream::<String, String>("in").group_by_key();
        let counts = counts.count(materialized).to_stream();
        counts.map_values(|n| n.unwrap().to_string()).to("out");
        held(&updated(builder, &["out"])[0], "a=200")
    };
    let named = || Materialized::named("counts");
    assert!(!held(false, Materialized::default()));
    assert!(held(true, Materialized::default()));
    assert!(!held(false, named()));
    assert!(held(true, named()));
    assert!(!held(true, named().caching_disabled()));
    assert!(held(false, named().caching_enabled()));
    assert!(!held(false, named().caching_enabled().caching_disabled()));
    // A versioned store is as it is without.
    assert!(!held(true, named().versioned(Duration::from_secs(60))));
}

#[test]
fn tables_of_several_streams_and_joined_ones_do_what_the_topology_says() {
    let held = |of_topology| {
        let builder = said(of_topology);
        let grouped = builder.stream::<String, String>("in").group_by_key();
        let sums = grouped
            .cogroup(|_, _, n: i64| n + 2)
            .aggregate(|| 0, Materialized::named("sums").caching_disabled());
        let counts = grouped
            .cogroup(|_, _, n: i64| n + 1)
            .aggregate(|| 0, Materialized::named("counts"));
        let text = |n: Option<i64>| n.unwrap().to_string();
        counts.to_stream().map_values(text).to("out");
        let both = sums.join_with(&sums, |a, b| a + b, Materialized::named("both"));
        both.to_stream().map_values(text).to("both");
        let updates = updated(builder, &["out", "both"]);
        [held(&updates[0], "a=200"), held(&updates[1], "a=800")]
    };
    assert_eq!(held(false), [false; 2]);
    assert_eq!(held(true), [true; 2]);
}

#[test]
fn a_table_without_a_name_is_held_if_somebody_needs_its_store() {
    let held = |of_topology, is_looked_up: bool| {
        let builder = said(of_topology);
        let table = builder.table::<String, String>("in", Materialized::default());
        table.to_stream().to("out");
        if is_looked_up {
            let asked = builder.stream::<String, String>("asked");
            asked.join(&table, |_, row| row.clone()).to("answers");
        }
        held(&updated(builder, &["out", "asked", "answers"])[0], "a=200")
    };
    assert!(!held(false, true));
    assert!(held(true, true));
    assert!(!held(true, false));
}

#[test]
fn results_of_closed_windows_are_as_they_are_without() {
    let results = |of_topology| {
        let builder = said(of_topology);
        let grouped = builder.stream::<String, String>("in").group_by_key();
        let kept = || Materialized::default().retention(Duration::from_secs(1));
        let (size, text) = (Duration::from_millis(10), |n: Option<i64>| n.unwrap().to_string());
        let tumbling = grouped.windowed_by(TimeWindows::of_size_with_no_grace(size));
        let tumbling = tumbling.emit_on_window_close().count(kept());
        let sliding = grouped.windowed_by(SlidingWindows::of_time_difference_with_no_grace(size));
        let sliding = sliding.emit_on_window_close().count(kept());
        let sessions = grouped.windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(size));
        let sessions = sessions.emit_on_window_close().count(kept());
        for (table, topic) in [
            (tumbling, "tumbling"),
            (sliding, "sliding"),
            (sessions, "sessions"),
        ] {
            let counts = table.to_stream().map_values(text);
            counts.map(|key, n| (key.key, n)).to(topic);
        }
        let records = [0, 1, 30, 31, 60, 90].map(|at_ms| ("a", Some("x"), at_ms));
        let topics = ["tumbling", "sliding", "sessions"];
        in_one_commit(&builder.build().unwrap(), &records, &topics)
    };
    let every = results(false);
    assert_eq!(every[0], ["a=2", "a=2", "a=1"]);
    assert_eq!(every[2], ["a=2", "a=2", "a=1"]);
    assert_eq!(results(true), every);
}
