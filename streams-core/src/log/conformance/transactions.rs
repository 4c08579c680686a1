//! Rules of transactions.

use std::time::Duration;

use super::{DEADLINE, Harness, offset, outside, send, values};
use crate::log::{Isolation, Producer};

pub(super) fn visibility(harness: &Harness) {
    let topic = harness.topic(2);
    let mut producer = harness.transactional(&harness.name("txn"));
    let handle = producer.topic(&topic).unwrap();
    for (value, commit) in [("a", true), ("b", false), ("c", true)] {
        producer.begin_transaction().unwrap();
        send(&mut *producer, handle, 0, value);
        send(&mut *producer, handle, 1, value);
        match commit {
            true => producer.commit_transaction().unwrap(),
            false => producer.abort_transaction().unwrap(),
        }
    }
    // Queued records of an aborted transaction may never have been written: only committed ones can be counted on.
    for partition in [0, 1] {
        assert_eq!(
            harness.read(&topic, partition, Isolation::ReadCommitted, 2),
            ["a", "c"]
        );
    }
    let mut consumer = harness.consumer(&topic, 0, Isolation::ReadCommitted);
    let mut position = 0;
    for _ in 0..DEADLINE.as_millis() / 100 {
        for fetched in consumer.poll(Duration::from_millis(100)).unwrap() {
            position = fetched.next_offset;
        }
        if position == harness.end(&topic, Isolation::ReadCommitted) {
            return;
        }
    }
    panic!("the position stays at {position} and never passes the last marker");
}

pub(super) fn last_stable_offset(harness: &Harness) {
    let topic = harness.topic(1);
    let mut open = harness.transactional(&harness.name("txn"));
    let handle = open.topic(&topic).unwrap();
    let mut plain = harness.producer();
    let plain_handle = plain.topic(&topic).unwrap();
    send(&mut *plain, plain_handle, 0, "before");
    plain.flush().unwrap();
    open.begin_transaction().unwrap();
    send(&mut *open, handle, 0, "open");
    open.flush().unwrap();
    send(&mut *plain, plain_handle, 0, "after");
    plain.flush().unwrap();
    assert_eq!(harness.end(&topic, Isolation::ReadCommitted), 1);
    assert_eq!(harness.end(&topic, Isolation::ReadUncommitted), 3);
    assert_eq!(
        harness.read(&topic, 0, Isolation::ReadUncommitted, 3),
        ["before", "open", "after"]
    );
    let mut consumer = harness.consumer(&topic, 0, Isolation::ReadCommitted);
    assert_eq!(values(&mut *consumer, 1), ["before"]);
    assert!(
        consumer
            .poll(Duration::from_millis(200))
            .unwrap()
            .iter()
            .all(|fetched| fetched.records.is_empty())
    );
    open.commit_transaction().unwrap();
    assert_eq!(values(&mut *consumer, 2), ["open", "after"]);
}

pub(super) fn offsets(harness: &Harness) {
    let topic = harness.topic(1);
    let group = harness.name("group");
    let mut producer = harness.transactional(&harness.name("txn"));
    assert_eq!(harness.committed(&group, &topic), None);
    producer.begin_transaction().unwrap();
    producer
        .send_offsets(&[offset(&topic, 7)], &outside(&group))
        .unwrap();
    producer.commit_transaction().unwrap();
    assert_eq!(harness.committed(&group, &topic), Some(7));
    producer.begin_transaction().unwrap();
    producer
        .send_offsets(&[offset(&topic, 9)], &outside(&group))
        .unwrap();
    producer.abort_transaction().unwrap();
    assert_eq!(harness.committed(&group, &topic), Some(7));
}

pub(super) fn empty(harness: &Harness) {
    let topic = harness.topic(1);
    let mut producer = harness.transactional(&harness.name("txn"));
    let handle = producer.topic(&topic).unwrap();
    producer.begin_transaction().unwrap();
    producer.commit_transaction().unwrap();
    producer.begin_transaction().unwrap();
    producer.abort_transaction().unwrap();
    producer.begin_transaction().unwrap();
    send(&mut *producer, handle, 0, "a");
    producer.commit_transaction().unwrap();
    assert_eq!(harness.read(&topic, 0, Isolation::ReadCommitted, 1), ["a"]);
    assert!(
        producer.commit_transaction().is_err(),
        "there is no open transaction"
    );
}

pub(super) fn fencing(harness: &Harness) {
    let topic = harness.topic(1);
    let group = harness.name("group");
    let id = harness.name("txn");
    let mut zombie = harness.transactional(&id);
    let handle = zombie.topic(&topic).unwrap();
    zombie.begin_transaction().unwrap();
    send(&mut *zombie, handle, 0, "lost");
    zombie.flush().unwrap();
    zombie
        .send_offsets(&[offset(&topic, 1)], &outside(&group))
        .unwrap();

    let mut heir = harness.transactional(&id);
    let heir_handle = heir.topic(&topic).unwrap();
    // The predecessor's transaction has ended: nothing waits for it, nothing of it is seen.
    assert_eq!(harness.committed(&group, &topic), None);
    heir.begin_transaction().unwrap();
    send(&mut *heir, heir_handle, 0, "kept");
    heir.commit_transaction().unwrap();
    assert_eq!(harness.read(&topic, 0, Isolation::ReadCommitted, 1), ["kept"]);

    let error = use_after_fencing(&mut *zombie, handle);
    assert!(
        error.is_some_and(|error| error.is_fenced()),
        "a fenced producer must be told so"
    );
    assert_eq!(harness.read(&topic, 0, Isolation::ReadCommitted, 1), ["kept"]);
}

/// Some calls may still go through to a queue; the commit cannot.
fn use_after_fencing(
    zombie: &mut dyn Producer,
    handle: crate::log::TopicHandle,
) -> Option<crate::error::LogError> {
    let record = crate::log::RecordView {
        key: None,
        value: Some(b"zombie"),
        timestamp_ms: 0,
        headers: &crate::record::Headers::default(),
    };
    zombie
        .send(handle, 0, record)
        .err()
        .or_else(|| zombie.commit_transaction().err())
}
