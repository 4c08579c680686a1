//! Tables that send on only the last update of each key and commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streams_dsl::prelude::*;

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
