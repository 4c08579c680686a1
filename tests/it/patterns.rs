//! Streams of all topics that a pattern matches: those that are there, and those that come while the application runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streams_core::log::memory::MemoryLog;
use streams_core::time::SystemClock;
use streams_dsl::log::Log;
use streams_dsl::prelude::*;
use tempfile::TempDir;

use crate::support::{create_topics, embedded, read, send, wait, wait_for_failure};

fn logs() -> [(Arc<dyn Log>, TempDir); 2] {
    let memory = MemoryLog::new(Arc::new(SystemClock::default()));
    [(Arc::new(memory), TempDir::new().unwrap()), embedded()]
}

fn pattern(text: &str) -> TopicPattern {
    TopicPattern::new(text).unwrap()
}

/// Counts by key what is on all topics of words. The pattern would match the application's own topics, too.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>(pattern(".*words.*"));
    let counts = words
        .group_by(|_, word| word.clone())
        .count(Materialized::named("words"));
    counts.to_stream().to("out");
    builder.build().unwrap()
}

fn start(log: &Arc<dyn Log>, state: &Path) -> Streams {
    let mut config = StreamsConfig::new("app").state_dir(state).num_stream_threads(2);
    config.metadata_max_age_ms = 50;
    Streams::start(&topology(), config, Arc::clone(log)).unwrap()
}

fn say(log: &dyn Log, topic: &str, partition: i32, words: &[&str]) {
    let record = |word: &&'static str| (topic, partition, b"key".as_slice(), Some(word.as_bytes()), 1);
    let words: Vec<&'static str> = words.iter().map(|word| &*String::from(*word).leak()).collect();
    send(log, words.iter().map(record));
}

/// The last count of each word.
fn counts(log: &dyn Log) -> BTreeMap<String, i64> {
    let records = (0..2).flat_map(|partition| read(log, "out", partition));
    let count = |value: Option<Vec<u8>>| i64::from_be_bytes(value.unwrap().try_into().unwrap());
    records
        .map(|(word, value, _)| (String::from_utf8(word.unwrap()).unwrap(), count(value)))
        .collect()
}

/// Waits until a word was counted so often.
fn wait_for(log: &dyn Log, word: &str, expected: i64) {
    for _ in 0..3_000 {
        if counts(log).get(word) == Some(&expected) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{word} was not counted {expected} times: {:?}", counts(log));
}

#[test]
fn topics_that_come_later_are_read_by_all_instances() {
    for (log, dir) in logs() {
        create_topics(&*log, &[("out", 2), ("other", 1), ("words-1", 2)]);
        say(&*log, "words-1", 0, &["tea"]);
        say(&*log, "words-1", 1, &["tea", "milk"]);
        say(&*log, "other", 0, &["tea"]);
        let first = start(&log, &dir.path().join("state-1"));
        wait_for(&*log, "tea", 2);
        let second = start(&log, &dir.path().join("state-2"));
        // As many partitions, and what is there is added to tasks that run; then fewer.
        create_topics(&*log, &[("words-2", 2), ("more-words", 1)]);
        say(&*log, "words-2", 1, &["tea", "milk"]);
        say(&*log, "more-words", 0, &["tea"]);
        wait_for(&*log, "tea", 4);
        wait_for(&*log, "milk", 2);
        first.close().unwrap();
        say(&*log, "words-1", 0, &["tea"]);
        say(&*log, "words-2", 0, &["tea"]);
        wait(&[&second]);
        assert_eq!(counts(&*log)["tea"], 6);
        second.close().unwrap();
        // Another start finds all of them, and where it was in each.
        let again = start(&log, &dir.path().join("state-1"));
        wait(&[&again]);
        say(&*log, "more-words", 0, &["milk"]);
        wait(&[&again]);
        again.close().unwrap();
        assert_eq!(
            counts(&*log),
            BTreeMap::from([("milk".into(), 3), ("tea".into(), 6)])
        );
    }
}

#[test]
fn an_application_waits_for_its_first_topic() {
    for (log, dir) in logs() {
        create_topics(&*log, &[("out", 2)]);
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>(pattern("words-.*")).to("out");
        let mut config = StreamsConfig::new("app").state_dir(dir.path());
        config.metadata_max_age_ms = 50;
        let streams = Streams::start(&builder.build().unwrap(), config, Arc::clone(&log)).unwrap();
        streams.wait_until_running(Duration::from_secs(30)).unwrap();
        create_topics(&*log, &[("words-1", 1)]);
        say(&*log, "words-1", 0, &["tea"]);
        for _ in 0..3_000 {
            if streams.processed() == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(streams.processed(), 1);
        streams.close().unwrap();
    }
}

#[test]
fn a_topic_that_two_patterns_match_stops_the_application() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("out", 1), ("words-1", 1)]);
    let builder = StreamsBuilder::new();
    for text in ["words-.*", ".*-2"] {
        builder.stream::<String, String>(pattern(text)).to("out");
    }
    let topology = builder.build().unwrap();
    let mut config = StreamsConfig::new("app").state_dir(dir.path());
    config.metadata_max_age_ms = 50;
    let streams = Streams::start(&topology, config, Arc::clone(&log)).unwrap();
    streams.wait_until_running(Duration::from_secs(30)).unwrap();
    create_topics(&*log, &[("words-2", 1)]);
    assert_eq!(
        wait_for_failure(&streams),
        "topology: topic words-2 is read by two sources, KSTREAM-SOURCE-0000000000 and KSTREAM-SOURCE-0000000002: change their \
         patterns"
    );
}

#[test]
fn streams_of_one_pattern_share_a_source_and_named_topics_cannot_be_matched() {
    let builder = StreamsBuilder::new();
    for out in ["a", "b"] {
        builder.stream::<String, String>(pattern("words-.*")).to(out);
    }
    let described = builder.build().unwrap().describe();
    assert_eq!(described.matches("Source: ").count(), 1, "{described}");
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>(pattern("words-.*")).to("a");
    builder.stream::<String, String>("words-1").to("b");
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        "topology: pattern words-.* of source KSTREAM-SOURCE-0000000000 matches topic words-1, which source \
         KSTREAM-SOURCE-0000000002 reads"
    );
}

#[test]
fn a_matched_topic_that_is_joined_has_as_many_partitions() {
    let builder = StreamsBuilder::new();
    let prices = builder.table::<String, String>("prices", Materialized::default());
    let orders = builder.stream::<String, String>(pattern("orders-.*"));
    orders
        .join(&prices, |order, price| format!("{order} for {price}"))
        .to("out");
    let topology = builder.build().unwrap();
    let options = TestDriverOptions::default()
        .partitions("prices", 2)
        .partitions("orders-eu", 3);
    let error = TopologyTestDriver::with_options(&topology, options)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("have 2 and 3 partitions"), "{error}");
    let options = TestDriverOptions::default()
        .partitions("prices", 2)
        .partitions("orders-eu", 2);
    let driver = TopologyTestDriver::with_options(&topology, options).unwrap();
    driver
        .input("prices")
        .pipe("tea".to_string(), "3".to_string())
        .unwrap();
    driver
        .input("orders-eu")
        .pipe("tea".to_string(), "one".to_string())
        .unwrap();
    let out = driver.output::<String, String>("out").read_key_values();
    assert_eq!(out, [("tea".into(), "one for 3".into())]);
}
