//! The embedded broker against the suite of every log, against crashes at every step of a transaction, and against random
//! interleavings of producers and crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;
use streams_core::Headers;
use streams_core::log::{
    ConsumerConfig, Isolation, Log, NewTopic, OffsetAndMetadata, OffsetSpec, Producer, ProducerConfig,
    RecordView, TopicPartition, conformance,
};
use streams_core::membership::GroupMetadata;
use streams_core::time::{ManualClock, SystemClock};

use super::EmbeddedBroker;
use crate::handler::BrokerConfig;
use crate::ids::CountingIds;

const GROUP: &str = "app";
const TIMEOUT_MS: i32 = 10_000;

fn open(data: &Path, clock: &Arc<ManualClock>) -> Arc<EmbeddedBroker> {
    EmbeddedBroker::open(data, BrokerConfig::embedded(), clock.clone()).unwrap()
}

fn create_topic(broker: &EmbeddedBroker, name: &str, partitions: u32) {
    let mut admin = broker.admin().unwrap();
    admin.create_topic(&NewTopic::new(name, partitions)).unwrap();
}

fn producer(broker: &EmbeddedBroker, id: &str) -> Box<dyn Producer> {
    let mut config = ProducerConfig::new(id);
    config.transactional_id = Some(id.to_owned());
    config.transaction_timeout_ms = TIMEOUT_MS;
    broker.producer(&config).unwrap()
}

fn send(producer: &mut dyn Producer, topic: &str, partition: i32, value: &str) {
    let handle = producer.topic(topic).unwrap();
    let headers = Headers::default();
    let record = RecordView {
        key: None,
        value: Some(value.as_bytes()),
        timestamp_ms: 0,
        headers: &headers,
    };
    producer.send(handle, partition, record).unwrap();
}

fn values(broker: &EmbeddedBroker, topic: &str, partition: i32, isolation: Isolation) -> Vec<String> {
    let mut config = ConsumerConfig::new("reader");
    config.isolation = isolation;
    let mut consumer = broker.consumer(&config).unwrap();
    consumer
        .assign(&[(TopicPartition::new(topic, partition), Some(0))])
        .unwrap();
    let mut values = Vec::new();
    loop {
        let fetched = consumer.poll(Duration::ZERO).unwrap();
        if fetched.is_empty() {
            return values;
        }
        for set in fetched {
            values.extend(
                (0..set.records.len())
                    .map(|index| String::from_utf8(set.records.value(index).unwrap().to_vec()).unwrap()),
            );
        }
    }
}

fn no_member() -> GroupMetadata {
    GroupMetadata {
        group_id: GROUP.to_owned(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn it_is_a_log_like_any_other() {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::default());
    let broker = EmbeddedBroker::open(data.path(), BrokerConfig::embedded(), clock).unwrap();
    conformance::run_all(&conformance::Harness::new(broker, "embedded"));
}

#[test]
fn a_closed_broker_says_so_and_its_directory_can_be_opened_again_at_once() {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000));
    let broker = open(data.path(), &clock);
    create_topic(&broker, "out", 1);
    let mut writer = producer(&broker, "writer");
    writer.init_transactions().unwrap();
    writer.begin_transaction().unwrap();
    send(&mut *writer, "out", 0, "a");
    writer.commit_transaction().unwrap();
    broker.close().unwrap();
    expect!["the log is closed"].assert_eq(&writer.begin_transaction().unwrap_err().to_string());
    expect!["the log is closed"].assert_eq(&broker.admin().unwrap_err().to_string());

    let again = open(data.path(), &clock);
    assert_eq!(values(&again, "out", 0, Isolation::ReadCommitted), ["a"]);
    drop(again);
    assert_eq!(
        values(&open(data.path(), &clock), "out", 0, Isolation::ReadCommitted),
        ["a"]
    );
}

/// Copies the data directory of a running broker after every step of a transaction with records in two partitions and an
/// input offset, and starts over from the copy.
#[test]
fn a_crash_after_any_step_of_a_transaction_leaves_all_of_it_or_nothing() {
    let clock = Arc::new(ManualClock::new(1_000));
    let mut outcomes = Vec::new();
    for steps in 0..=6 {
        let data = tempfile::tempdir().unwrap();
        let crashed = tempfile::tempdir().unwrap();
        let broker = open(data.path(), &clock);
        create_topic(&broker, "in", 1);
        create_topic(&broker, "out", 2);
        let mut writer = producer(&broker, "writer");
        writer.init_transactions().unwrap();
        let run: [fn(&mut dyn Producer); 6] = [
            |writer| writer.begin_transaction().unwrap(),
            |writer| send(writer, "out", 0, "a"),
            |writer| send(writer, "out", 1, "b"),
            |writer| writer.flush().unwrap(),
            |writer| {
                let offset = OffsetAndMetadata {
                    offset: 7,
                    metadata: "m".to_owned(),
                };
                writer
                    .send_offsets(&[(TopicPartition::new("in", 0), offset)], &no_member())
                    .unwrap();
            },
            |writer| writer.commit_transaction().unwrap(),
        ];
        for step in run.into_iter().take(steps) {
            step(&mut *writer);
        }
        copy(data.path(), crashed.path());
        outcomes.push(after_restart(crashed.path(), &clock));
    }
    expect![[r#"
        0 steps: out-0 [] out-1 [] offset None
        1 steps: out-0 [] out-1 [] offset None
        2 steps: out-0 [] out-1 [] offset None
        3 steps: out-0 [] out-1 [] offset None
        4 steps: out-0 [] out-1 [] offset None
        5 steps: out-0 [] out-1 [] offset None
        6 steps: out-0 ["a"] out-1 ["b"] offset Some(7)
    "#]]
    .assert_eq(
        &outcomes
            .iter()
            .enumerate()
            .map(|(steps, outcome)| format!("{steps} steps: {outcome}\n"))
            .collect::<String>(),
    );
}

/// Opens a crashed directory, lets a new producer take over as an application would, and says what is visible. The last
/// stable offset must have reached the end: nothing may be left hanging.
fn after_restart(data: &Path, clock: &Arc<ManualClock>) -> String {
    let broker = open(data, clock);
    let mut writer = producer(&broker, "writer");
    writer.init_transactions().unwrap();
    let mut admin = broker.admin().unwrap();
    let partitions = [TopicPartition::new("out", 0), TopicPartition::new("out", 1)];
    let stable = admin
        .offsets(&partitions, OffsetSpec::Latest, Isolation::ReadCommitted)
        .unwrap();
    let end = admin
        .offsets(&partitions, OffsetSpec::Latest, Isolation::ReadUncommitted)
        .unwrap();
    assert_eq!(stable, end);
    let offset = admin
        .committed_offsets(GROUP, &[TopicPartition::new("in", 0)])
        .unwrap()
        .remove(0);
    let read = |partition| values(&broker, "out", partition, Isolation::ReadCommitted);
    format!(
        "out-0 {:?} out-1 {:?} offset {:?}",
        read(0),
        read(1),
        offset.map(|offset| offset.offset)
    )
}

/// Cuts the files of a finished transaction back to every combination a crash can leave: the coordinator's log decides.
#[test]
fn what_the_coordinators_log_says_is_completed_after_a_crash_between_decision_and_markers() {
    let clock = Arc::new(ManualClock::new(1_000));
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path(), &clock);
    create_topic(&broker, "in", 1);
    create_topic(&broker, "out", 2);
    let mut writer = producer(&broker, "writer");
    writer.init_transactions().unwrap();
    writer.begin_transaction().unwrap();
    send(&mut *writer, "out", 0, "a");
    send(&mut *writer, "out", 1, "b");
    let offset = OffsetAndMetadata {
        offset: 7,
        metadata: String::new(),
    };
    writer
        .send_offsets(&[(TopicPartition::new("in", 0), offset)], &no_member())
        .unwrap();
    writer.flush().unwrap();
    let before: BTreeMap<&str, u64> = LOGS
        .into_iter()
        .map(|log| (log, log_bytes(data.path(), log)))
        .collect();
    writer.commit_transaction().unwrap();
    let state_log = LOGS[0];
    let batches = batch_ends(data.path(), state_log);
    let decided = *batches.iter().find(|end| **end > before[state_log]).unwrap();
    let complete = log_bytes(data.path(), state_log);

    let mut report = String::new();
    // How much of the coordinator's log is there, and how many of the three partitions have their markers.
    for (name, state_bytes) in [
        ("open", before[state_log]),
        ("decided", decided),
        ("complete", complete),
    ] {
        for marked in 0..=3 {
            // Markers follow the decision, completion follows all markers.
            if (name == "open" && marked > 0) || (name == "complete" && marked < 3) {
                continue;
            }
            let crashed = tempfile::tempdir().unwrap();
            copy(data.path(), crashed.path());
            cut(crashed.path(), state_log, state_bytes);
            for log in &LOGS[1 + marked..] {
                cut(crashed.path(), log, before[log]);
            }
            report += &format!(
                "{name}, {marked} markers: {}\n",
                after_restart(crashed.path(), &clock)
            );
        }
    }
    expect![[r#"
        open, 0 markers: out-0 [] out-1 [] offset None
        decided, 0 markers: out-0 ["a"] out-1 ["b"] offset Some(7)
        decided, 1 markers: out-0 ["a"] out-1 ["b"] offset Some(7)
        decided, 2 markers: out-0 ["a"] out-1 ["b"] offset Some(7)
        decided, 3 markers: out-0 ["a"] out-1 ["b"] offset Some(7)
        complete, 3 markers: out-0 ["a"] out-1 ["b"] offset Some(7)
    "#]]
    .assert_eq(&report);
}

/// The logs of that test: the coordinator's, then those that get markers, in the order they get them.
const LOGS: [&str; 4] = ["__transaction_state-0", "__consumer_offsets-0", "out-0", "out-1"];

fn log_file(data: &Path, log: &str) -> std::path::PathBuf {
    data.join(log).join("00000000000000000000.log")
}

fn log_bytes(data: &Path, log: &str) -> u64 {
    fs::metadata(log_file(data, log)).unwrap().len()
}

fn cut(data: &Path, log: &str, bytes: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(log_file(data, log))
        .unwrap()
        .set_len(bytes)
        .unwrap();
}

fn batch_ends(data: &Path, log: &str) -> Vec<u64> {
    let bytes = fs::read(log_file(data, log)).unwrap();
    let mut end = 0;
    crate::log::Batches::new(&bytes)
        .map(|batch| {
            end += batch.unwrap().header().size_bytes() as u64;
            end
        })
        .collect()
}

#[test]
fn a_transaction_of_a_producer_that_vanished_is_aborted_by_its_timeout() {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000));
    let broker = open(data.path(), &clock);
    create_topic(&broker, "out", 1);
    let mut gone = producer(&broker, "gone");
    gone.init_transactions().unwrap();
    gone.begin_transaction().unwrap();
    send(&mut *gone, "out", 0, "never");
    gone.flush().unwrap();
    let mut other = producer(&broker, "other");
    other.init_transactions().unwrap();
    other.begin_transaction().unwrap();
    send(&mut *other, "out", 0, "held back");
    other.commit_transaction().unwrap();
    assert!(values(&broker, "out", 0, Isolation::ReadCommitted).is_empty());

    clock.advance(Duration::from_millis(TIMEOUT_MS as u64 + 10_001));
    broker.tick();
    assert_eq!(values(&broker, "out", 0, Isolation::ReadCommitted), ["held back"]);
    assert!(gone.commit_transaction().unwrap_err().is_fenced());
}

#[derive(Debug, Clone)]
enum Step {
    Send {
        producer: usize,
        partition: i32,
    },
    Flush(usize),
    Commit(usize),
    Abort(usize),
    /// The producer is replaced by a new one with the same id, and the old one tries to commit afterwards.
    Takeover(usize),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..3usize;
    prop_oneof![
        6 => (who.clone(), 0..2i32).prop_map(|(producer, partition)| Step::Send { producer, partition }),
        2 => who.clone().prop_map(Step::Flush),
        3 => who.clone().prop_map(Step::Commit),
        2 => who.clone().prop_map(Step::Abort),
        1 => who.prop_map(Step::Takeover),
        1 => Just(Step::Crash),
    ]
}

/// Producers, what each has in its open transaction, and what the model says was committed, by partition.
struct World {
    directories: Vec<tempfile::TempDir>,
    clock: Arc<ManualClock>,
    broker: Arc<EmbeddedBroker>,
    producers: Vec<Box<dyn Producer>>,
    open: Vec<Vec<(i32, String)>>,
    committed: [Vec<String>; 2],
    sent: usize,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_000));
        let broker = Self::start(directory.path(), &clock, 0);
        create_topic(&broker, "out", 2);
        let mut world = Self {
            directories: vec![directory],
            clock,
            broker,
            producers: Vec::new(),
            open: vec![Vec::new(); 3],
            committed: Default::default(),
            sent: 0,
        };
        world.start_producers();
        world
    }

    fn start(data: &Path, clock: &Arc<ManualClock>, generation: usize) -> Arc<EmbeddedBroker> {
        let ids = CountingIds::above((generation as u128 + 1) << 64);
        EmbeddedBroker::open_with_ids(data, BrokerConfig::embedded(), clock.clone(), ids).unwrap()
    }

    fn start_producers(&mut self) {
        self.producers = (0..3).map(|index| self.new_producer(index)).collect();
        self.open = vec![Vec::new(); 3];
    }

    fn new_producer(&self, index: usize) -> Box<dyn Producer> {
        let mut started = producer(&self.broker, &format!("p{index}"));
        started.init_transactions().unwrap();
        started.begin_transaction().unwrap();
        started
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send { producer, partition } => {
                let value = self.sent.to_string();
                self.sent += 1;
                send(&mut *self.producers[producer], "out", partition, &value);
                self.open[producer].push((partition, value));
            }
            Step::Flush(producer) => self.producers[producer].flush().unwrap(),
            Step::Commit(producer) => {
                self.producers[producer].commit_transaction().unwrap();
                for (partition, value) in self.open[producer].drain(..) {
                    self.committed[partition as usize].push(value);
                }
                self.producers[producer].begin_transaction().unwrap();
            }
            Step::Abort(producer) => {
                self.producers[producer].abort_transaction().unwrap();
                self.open[producer].clear();
                self.producers[producer].begin_transaction().unwrap();
            }
            Step::Takeover(producer) => {
                let next = self.new_producer(producer);
                let mut zombie = std::mem::replace(&mut self.producers[producer], next);
                assert!(zombie.commit_transaction().unwrap_err().is_fenced());
                self.open[producer].clear();
            }
            Step::Crash => {
                // What was written is what a copy of the files holds; the process that goes on is the copy's.
                let directory = tempfile::tempdir().unwrap();
                copy(self.directories.last().unwrap().path(), directory.path());
                self.broker = Self::start(directory.path(), &self.clock, self.directories.len());
                self.directories.push(directory);
                self.start_producers();
            }
        }
    }

    /// Every partition shows committed records and no others, each once, and never one that could still be undone.
    fn check(&self, all: bool) {
        for (partition, committed) in self.committed.iter().enumerate() {
            let mut seen = values(&self.broker, "out", partition as i32, Isolation::ReadCommitted);
            let mut expected = committed.clone();
            let shown = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), shown, "a record was seen twice");
            expected.sort_unstable();
            if all {
                assert_eq!(seen, expected);
            } else {
                assert!(
                    seen.iter().all(|value| expected.binary_search(value).is_ok()),
                    "{seen:?} not in {expected:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn committed_records_are_seen_once_and_aborted_ones_never(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check(false);
        }
        // Nothing may hold back what was committed once no transaction is open.
        for producer in 0..3 {
            world.step(&Step::Abort(producer));
        }
        world.check(true);
    }
}

#[test]
fn a_new_producer_takes_over_what_its_predecessor_left_open() {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000));
    let broker = open(data.path(), &clock);
    create_topic(&broker, "out", 1);
    let mut zombie = producer(&broker, "writer");
    zombie.init_transactions().unwrap();
    zombie.begin_transaction().unwrap();
    send(&mut *zombie, "out", 0, "lost");
    zombie.flush().unwrap();
    // The marker is in a segment of its own then, and so is fetched without the records that it ends.
    clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    let mut heir = producer(&broker, "writer");
    heir.init_transactions().unwrap();
    heir.begin_transaction().unwrap();
    send(&mut *heir, "out", 0, "kept");
    heir.commit_transaction().unwrap();
    assert_eq!(
        values(&broker, "out", 0, Isolation::ReadUncommitted),
        ["lost", "kept"]
    );
    assert_eq!(values(&broker, "out", 0, Isolation::ReadCommitted), ["kept"]);
    assert!(zombie.commit_transaction().unwrap_err().is_fenced());
}
