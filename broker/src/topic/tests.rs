//! The data directory: what survives a restart, what a crash in between leaves, and who is kept out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::log::{AppendOrigin, BatchBuilder, Isolation, LogConfig, LogError, ProducerStamp};
use crate::topic::{TopicError, Topics, decode_id, encode_id};

fn open(dir: &Path) -> Topics {
    Topics::open(dir, LogConfig::default(), 0).unwrap()
}

fn open_error(dir: &Path) -> TopicError {
    Topics::open(dir, LogConfig::default(), 0).unwrap_err()
}

fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn append(topics: &Topics, topic: &str, partition: i32) -> i64 {
    let mut builder = BatchBuilder::new();
    builder.append(0, Some(b"k"), Some(b"v"), &[]).unwrap();
    let topic = topics.topic(topic).unwrap();
    let mut log = topic.lock(partition).unwrap();
    log.append(
        builder.finish(ProducerStamp::NONE).unwrap(),
        AppendOrigin::Client,
        0,
    )
    .unwrap()
    .base_offset
}

#[test]
fn topics_survive_a_restart_clean_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    let cluster_id = topics.cluster_id().to_owned();
    let wanted = configs(&[
        ("cleanup.policy", "compact"),
        ("follower.replication.throttled.replicas", "a\\\nb="),
    ]);
    let id = topics.create_topic("orders", 3, &wanted, 0).unwrap().id();
    append(&topics, "orders", 2);
    topics.close().unwrap();
    for clean in [true, false] {
        let topics = open(dir.path());
        assert_eq!(topics.cluster_id(), cluster_id);
        let orders = topics.topic_by_id(id).unwrap();
        assert_eq!(
            (orders.name(), orders.partitions().len(), orders.configs()),
            ("orders", 3, &wanted)
        );
        assert!(orders.lock(0).unwrap().config().cleanup_policy.compact);
        let checked = topics
            .recovery()
            .iter()
            .any(|(_, report)| report.checked_segments > 0);
        assert_eq!(checked, !clean);
        assert_eq!(append(&topics, "orders", 2), if clean { 1 } else { 2 });
    }
}

#[test]
fn every_start_is_a_leader_epoch_of_the_topics_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let epoch = |topics: &Topics, topic: &str| {
        let topic = topics.topic(topic).unwrap();
        assert_eq!(topic.lock(0).unwrap().leader_epoch(), topic.leader_epoch());
        topic.leader_epoch()
    };
    let topics = open(dir.path());
    topics.create_topic("old", 1, &configs(&[]), 0).unwrap();
    assert_eq!(epoch(&topics, "old"), 0);
    topics.close().unwrap();
    let topics = open(dir.path());
    topics.create_topic("young", 1, &configs(&[]), 0).unwrap();
    topics.create_partitions("old", 2, 0).unwrap();
    assert_eq!((epoch(&topics, "old"), epoch(&topics, "young")), (1, 0));
    drop(topics);
    let topics = open(dir.path());
    topics
        .alter_configs("old", |_| Ok::<_, TopicError>(configs(&[])))
        .unwrap();
    assert_eq!((epoch(&topics, "old"), epoch(&topics, "young")), (2, 1));
}

#[test]
fn a_directory_that_did_not_count_starts_begins_to() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    topics.create_topic("orders", 1, &configs(&[]), 0).unwrap();
    topics.close().unwrap();
    for file in ["meta.properties", "topics/orders.properties"] {
        let path = dir.path().join(file);
        let content = fs::read_to_string(&path).unwrap();
        let known = content.lines().filter(|line| !line.contains("starts="));
        let known: String = known.map(|line| format!("{line}\n")).collect();
        assert!(known.len() < content.len(), "{file}");
        fs::write(&path, known).unwrap();
    }
    assert_eq!(open(dir.path()).topic("orders").unwrap().leader_epoch(), 1);
    assert_eq!(open(dir.path()).topic("orders").unwrap().leader_epoch(), 2);
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    let error = open_error(dir.path());
    assert!(matches!(error, TopicError::InUse { .. }));
    assert!(error.to_string().contains(&dir.path().display().to_string()));
    drop(topics);
    open(dir.path());
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("meta.properties"), "version=2\ncluster.id=x\n").unwrap();
    assert!(matches!(
        open_error(dir.path()),
        TopicError::NewerFormat {
            found: 2,
            supported: 1,
            ..
        }
    ));
    fs::write(dir.path().join("meta.properties"), "garbage").unwrap();
    assert!(matches!(open_error(dir.path()), TopicError::Damaged { .. }));
}

#[test]
fn topics_that_kafka_refuses_are_refused_with_its_codes() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    let none = configs(&[]);
    topics.create_topic("a.b", 1, &none, 0).unwrap();
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a/b", "ä", "a b", "a_b", long.as_str()] {
        assert_eq!(
            topics.create_topic(name, 1, &none, 0).unwrap_err().error_code(),
            17,
            "{name}"
        );
    }
    assert_eq!(
        topics.create_topic("a.b", 1, &none, 0).unwrap_err().error_code(),
        36
    );
    assert_eq!(
        topics.create_topic("c", 0, &none, 0).unwrap_err().error_code(),
        37
    );
    for (name, value) in [
        ("no.such", "1"),
        ("segment.bytes", "x"),
        ("retention.ms", "-2"),
        ("cleanup.policy", "x"),
    ] {
        let created = topics.create_topic("c", 1, &configs(&[(name, value)]), 0);
        assert_eq!(created.unwrap_err().error_code(), 40, "{name}={value}");
    }
    assert_eq!(topics.topic("none").unwrap_err().error_code(), 3);
    assert_eq!(topics.topic("a.b").unwrap().lock(1).unwrap_err().error_code(), 3);
}

#[test]
fn creating_and_deleting_are_completed_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    topics.create_topic("half", 3, &configs(&[]), 0).unwrap();
    topics.create_topic("going", 2, &configs(&[]), 0).unwrap();
    drop(topics);
    // As if the process died after the topic's file was written, and after the mark of deletion.
    fs::remove_dir_all(dir.path().join("half-1")).unwrap();
    fs::remove_file(dir.path().join("half-2/partition.metadata")).unwrap();
    let going = dir.path().join("topics/going.properties");
    fs::rename(&going, going.with_extension("deleted")).unwrap();
    fs::write(dir.path().join("topics/new.properties.tmp"), "vers").unwrap();

    let topics = open(dir.path());
    assert_eq!(topics.list().unwrap().len(), 1);
    assert_eq!(append(&topics, "half", 1), 0);
    assert_eq!(append(&topics, "half", 2), 0);
    assert!(!dir.path().join("going-0").exists() && !going.with_extension("deleted").exists());
    topics.create_topic("going", 1, &configs(&[]), 0).unwrap();
}

#[test]
fn a_deleted_topic_is_gone_for_those_who_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    let old = topics.create_topic("orders", 1, &configs(&[]), 0).unwrap();
    append(&topics, "orders", 0);
    topics.delete_topic("orders").unwrap();
    let read = old
        .lock(0)
        .unwrap()
        .read(0, 100, Isolation::ReadUncommitted, true);
    assert_eq!(read.unwrap_err().error_code(), 56);
    let new = topics.create_topic("orders", 1, &configs(&[]), 0).unwrap();
    assert_ne!(new.id(), old.id());
    assert_eq!(append(&topics, "orders", 0), 0);
}

#[test]
fn partitions_are_added_and_configs_change_for_those_who_hold_the_topic() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    let old = topics.create_topic("orders", 1, &configs(&[]), 0).unwrap();
    topics
        .alter_configs("orders", |_| {
            Ok::<_, TopicError>(configs(&[("retention.ms", "5")]))
        })
        .unwrap();
    assert_eq!(
        topics.create_partitions("orders", 1, 0).unwrap_err().error_code(),
        37
    );
    topics.create_partitions("orders", 2, 0).unwrap();
    assert_eq!(old.lock(0).unwrap().config().retention_ms, 5);
    drop(topics);
    let topics = open(dir.path());
    assert_eq!(append(&topics, "orders", 1), 0);
    assert_eq!(
        topics
            .topic("orders")
            .unwrap()
            .lock(1)
            .unwrap()
            .config()
            .retention_ms,
        5
    );
    append(&topics, "orders", 0);
    assert!(topics.maintain(1_000, true).is_empty());
    assert_eq!(
        topics
            .topic("orders")
            .unwrap()
            .lock(0)
            .unwrap()
            .log_start_offset(),
        1
    );
}

#[test]
fn a_corrupt_log_stops_the_start_and_keeps_the_clean_mark() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    topics
        .create_topic("orders", 1, &configs(&[("segment.bytes", "100")]), 0)
        .unwrap();
    for _ in 0..3 {
        append(&topics, "orders", 0);
    }
    drop(topics);
    let path = dir.path().join("orders-0/00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    bytes[69] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, TopicError::Storage(LogError::Corrupt { .. })));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    bytes[69] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(append(&open(dir.path()), "orders", 0), 3);
}

#[test]
fn whoever_waits_is_woken_by_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    topics.create_topic("orders", 1, &configs(&[]), 0).unwrap();
    let seen = topics.progress();
    assert_eq!(
        topics.wait_for_progress(seen, Duration::from_millis(1)),
        seen,
        "nothing happens"
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| topics.wait_for_progress(seen, Duration::from_secs(60)));
        append(&topics, "orders", 0);
        assert_ne!(waiting.join().unwrap(), seen);
    });
}

#[test]
fn a_panic_with_a_partition_is_an_error_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(dir.path());
    let orders = topics.create_topic("orders", 1, &configs(&[]), 0).unwrap();
    let log = orders.partition(0).unwrap().clone();
    let panicked = std::thread::spawn(move || {
        let _guard = log.lock().unwrap();
        panic!("on purpose");
    });
    panicked.join().unwrap_err();
    assert!(matches!(orders.lock(0).unwrap_err(), TopicError::Poisoned { .. }));
}

#[test]
fn ids_are_text_as_kafka_has_it() {
    let id = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(encode_id(id), "ASNFZ4mrze8BI0VniavN7w");
    assert_eq!(decode_id("ASNFZ4mrze8BI0VniavN7w"), Some(id));
    assert_eq!(decode_id("ASNFZ4mrze8BI0VniavN7x"), None, "bits that no id has");
    assert_eq!(
        encode_id(uuid::Uuid::from_u128(u128::MAX)),
        "_____________________w"
    );
}
