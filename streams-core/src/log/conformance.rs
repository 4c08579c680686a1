//! The suite that every [`Log`] passes. One function a rule; [`run_all`] runs them and names the one that failed.
//!
//! Written for logs that are slow and shared: topics and groups have names of their own, and whatever takes time is waited
//! for with a deadline, never slept for.

mod consuming;
mod membership;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{
    Consumer, ConsumerConfig, Isolation, Log, NewTopic, OffsetAndMetadata, Producer, ProducerConfig,
    RecordView, TopicHandle, TopicPartition,
};
use crate::membership::GroupMetadata;
use crate::record::Headers;

/// How long a rule waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A log under test.
#[derive(Debug)]
pub struct Harness {
    log: Arc<dyn Log>,
    prefix: String,
    names: AtomicU32,
}

/// One rule: its name and how it is checked. A rule that does not hold panics.
pub type Rule = (&'static str, fn(&Harness));

/// All rules.
pub const RULES: &[Rule] = &[
    (
        "records keep order, keys, values, headers and timestamps",
        consuming::records_are_kept,
    ),
    (
        "what is flushed can be read, over many batches",
        consuming::flushed_is_readable,
    ),
    (
        "a position can be sought, paused and resumed",
        consuming::positions,
    ),
    (
        "a poll waits for data and is bounded in bytes",
        consuming::polls_wait_and_are_bounded,
    ),
    (
        "deleted records are gone and their offsets out of range",
        consuming::deleted_records,
    ),
    ("offsets are found by time", consuming::offsets_by_time),
    ("topics are created once, with legal names", consuming::topics),
    (
        "committed transactions are visible, aborted ones are not",
        transactions::visibility,
    ),
    (
        "an open transaction holds back what comes after it",
        transactions::last_stable_offset,
    ),
    (
        "a transaction's offsets are committed with it",
        transactions::offsets,
    ),
    (
        "empty transactions end well, and another follows",
        transactions::empty,
    ),
    (
        "a new producer fences its predecessor and ends its transaction",
        transactions::fencing,
    ),
    ("one member gets all tasks", membership::one_member),
    ("tasks move as members join and leave", membership::join_and_leave),
    ("a member that is gone cannot commit", membership::fenced_commit),
];

/// Checks all rules, one after the other.
///
/// # Panics
/// If rules do not hold, with their names.
pub fn run_all(harness: &Harness) {
    let holds = |rule: &fn(&Harness)| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rule(harness))).is_ok()
    };
    let broken: Vec<&str> = RULES
        .iter()
        .filter(|(_, rule)| !holds(rule))
        .map(|(name, _)| *name)
        .collect();
    assert!(broken.is_empty(), "the log breaks these rules: {broken:#?}");
}

impl Harness {
    /// `prefix` begins all names of topics and groups, so that several suites can share a log.
    pub fn new(log: Arc<dyn Log>, prefix: &str) -> Self {
        Self {
            log,
            prefix: prefix.to_owned(),
            names: AtomicU32::new(0),
        }
    }

    fn name(&self, what: &str) -> String {
        format!(
            "{}-{what}-{}",
            self.prefix,
            self.names.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn topic(&self, partitions: u32) -> String {
        let name = self.name("topic");
        self.log
            .admin()
            .unwrap()
            .create_topic(&NewTopic::new(&name, partitions))
            .unwrap();
        name
    }

    fn producer(&self) -> Box<dyn Producer> {
        self.log
            .producer(&ProducerConfig::new(self.name("producer")))
            .unwrap()
    }

    fn transactional(&self, id: &str) -> Box<dyn Producer> {
        let config = ProducerConfig {
            transactional_id: Some(id.to_owned()),
            ..ProducerConfig::new(id)
        };
        let mut producer = self.log.producer(&config).unwrap();
        producer.init_transactions().unwrap();
        producer
    }

    fn consumer(&self, topic: &str, partition: i32, isolation: Isolation) -> Box<dyn Consumer> {
        let config = ConsumerConfig {
            isolation,
            ..ConsumerConfig::new(self.name("consumer"))
        };
        let mut consumer = self.log.consumer(&config).unwrap();
        consumer
            .assign(&[(TopicPartition::new(topic, partition), Some(0))])
            .unwrap();
        consumer
    }

    /// Values of a partition from the start, until there are `count` of them.
    fn read(&self, topic: &str, partition: i32, isolation: Isolation, count: usize) -> Vec<String> {
        values(&mut *self.consumer(topic, partition, isolation), count)
    }

    fn end(&self, topic: &str, isolation: Isolation) -> i64 {
        let partition = TopicPartition::new(topic, 0);
        self.log
            .admin()
            .unwrap()
            .offsets(&[partition], super::OffsetSpec::Latest, isolation)
            .unwrap()[0]
    }

    fn committed(&self, group: &str, topic: &str) -> Option<i64> {
        let partition = TopicPartition::new(topic, 0);
        let committed = self
            .log
            .admin()
            .unwrap()
            .committed_offsets(group, &[partition])
            .unwrap();
        committed[0].as_ref().map(|committed| committed.offset)
    }
}

fn send(producer: &mut dyn Producer, topic: TopicHandle, partition: i32, value: &str) {
    let record = RecordView {
        key: Some(b"key"),
        value: Some(value.as_bytes()),
        timestamp_ms: 1_000,
        headers: &Headers::default(),
    };
    producer.send(topic, partition, record).unwrap();
}

/// The next `count` values a consumer gets.
fn values(consumer: &mut dyn Consumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    for _ in 0..DEADLINE.as_millis() / 100 {
        for fetched in consumer.poll(Duration::from_millis(100)).unwrap() {
            let texts =
                (0..fetched.records.len()).map(|index| fetched.records.value(index).unwrap_or_default());
            values.extend(texts.map(|text| String::from_utf8(text.to_vec()).unwrap()));
        }
        if values.len() >= count {
            break;
        }
    }
    assert_eq!(values.len(), count, "{values:?}");
    values
}

fn outside(group: &str) -> GroupMetadata {
    GroupMetadata {
        group_id: group.to_owned(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
    }
}

fn offset(topic: &str, offset: i64) -> (TopicPartition, OffsetAndMetadata) {
    (
        TopicPartition::new(topic, 0),
        OffsetAndMetadata {
            offset,
            metadata: "m".to_owned(),
        },
    )
}

fn no_headers() -> BTreeMap<u32, Headers> {
    BTreeMap::new()
}
