//! Rules of producing, consuming and topics.

use std::time::Duration;

use super::{Harness, no_headers, send, values};
use crate::error::LogError;
use crate::log::{Consumer, ConsumerConfig, Isolation, NewTopic, OffsetSpec, RecordView, TopicPartition};
use crate::record::Headers;

pub(super) fn records_are_kept(harness: &Harness) {
    let topic = harness.topic(2);
    let mut producer = harness.producer();
    let handle = producer.topic(&topic).unwrap();
    assert_eq!(handle.partitions, 2);
    let headers = Headers::default().with("a", Some(b"1")).with("a", None);
    type Case<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, i64, &'a Headers);
    let none = Headers::default();
    let cases: [Case<'_>; 4] = [
        (Some(b"k"), Some(b"v"), 5, &none),
        (None, Some(b""), 4, &headers),
        (Some(b""), None, 1_700_000_000_000, &none),
        (None, None, 1, &none),
    ];
    for (key, value, timestamp_ms, headers) in cases {
        producer
            .send(
                handle,
                1,
                RecordView {
                    key,
                    value,
                    timestamp_ms,
                    headers,
                },
            )
            .unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(producer.last_offset(handle, 1), Some(3));
    assert_eq!(producer.last_offset(handle, 0), None);

    let mut consumer = harness.consumer(&topic, 1, Isolation::ReadCommitted);
    let mut seen = 0;
    while seen < cases.len() {
        for fetched in consumer.poll(Duration::from_secs(5)).unwrap() {
            for (index, span) in fetched.records.spans.iter().enumerate() {
                let (key, value, timestamp_ms, headers) = cases[seen];
                assert_eq!(span.offset, seen as i64);
                assert_eq!(fetched.records.key(index), key);
                assert_eq!(fetched.records.value(index), value);
                assert_eq!(span.timestamp_ms, timestamp_ms);
                assert_eq!(&fetched.records.headers(index), headers);
                seen += 1;
            }
            assert_eq!(fetched.partition, TopicPartition::new(topic.as_str(), 1));
            assert!(
                fetched.records.headers != no_headers() || seen < 2 || fetched.records.spans[0].offset > 1
            );
        }
    }
}

pub(super) fn flushed_is_readable(harness: &Harness) {
    const COUNT: usize = 20_000;
    let topic = harness.topic(1);
    let mut producer = harness.producer();
    let handle = producer.topic(&topic).unwrap();
    for n in 0..COUNT {
        send(
            &mut *producer,
            handle,
            0,
            &format!("value number {n} and some more text to fill batches"),
        );
    }
    producer.flush().unwrap();
    assert_eq!(producer.last_offset(handle, 0), Some(COUNT as i64 - 1));
    let read = harness.read(&topic, 0, Isolation::ReadCommitted, COUNT);
    assert!(
        read.iter()
            .enumerate()
            .all(|(n, value)| value.starts_with(&format!("value number {n} ")))
    );
    assert_eq!(harness.end(&topic, Isolation::ReadCommitted), COUNT as i64);
    assert!(matches!(
        producer.topic(&harness.name("none")),
        Err(LogError::UnknownTopic { .. })
    ));
}

pub(super) fn positions(harness: &Harness) {
    let topic = harness.topic(1);
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut producer = harness.producer();
    let handle = producer.topic(&topic).unwrap();
    for value in ["a", "b", "c"] {
        send(&mut *producer, handle, 0, value);
    }
    producer.flush().unwrap();
    let mut consumer = harness.consumer(&topic, 0, Isolation::ReadCommitted);
    assert_eq!(values(&mut *consumer, 3), ["a", "b", "c"]);
    consumer.seek(&partition, 1).unwrap();
    assert_eq!(values(&mut *consumer, 2), ["b", "c"]);
    consumer.pause(&partition).unwrap();
    send(&mut *producer, handle, 0, "d");
    producer.flush().unwrap();
    assert_eq!(consumer.poll(Duration::from_millis(200)).unwrap().len(), 0);
    consumer.resume(&partition).unwrap();
    assert_eq!(values(&mut *consumer, 1), ["d"]);
    consumer.assign(&[]).unwrap();
    assert!(consumer.seek(&partition, 0).is_err());
    assert!(
        consumer.assign(&[(partition, None)]).is_err(),
        "a new partition needs a position"
    );
}

pub(super) fn polls_wait_and_are_bounded(harness: &Harness) {
    let topic = harness.topic(1);
    let config = ConsumerConfig {
        max_poll_bytes: 1_000,
        max_partition_bytes: 1_000,
        ..ConsumerConfig::new(harness.name("consumer"))
    };
    let mut consumer: Box<dyn Consumer> = harness.log.consumer(&config).unwrap();
    consumer
        .assign(&[(TopicPartition::new(topic.as_str(), 0), Some(0))])
        .unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = harness.producer();
            let handle = producer.topic(&topic).unwrap();
            for _ in 0..3 {
                send(&mut *producer, handle, 0, &"x".repeat(5_000));
                producer.flush().unwrap();
            }
        });
        // One record is more than the limit, and is delivered all the same.
        assert_eq!(values(&mut *consumer, 3).len(), 3);
    });
}

pub(super) fn deleted_records(harness: &Harness) {
    let topic = harness.topic(1);
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut producer = harness.producer();
    let handle = producer.topic(&topic).unwrap();
    for value in ["a", "b", "c"] {
        send(&mut *producer, handle, 0, value);
    }
    producer.flush().unwrap();
    let mut admin = harness.log.admin().unwrap();
    admin.delete_records(&[(partition.clone(), 2)]).unwrap();
    let of = std::slice::from_ref(&partition);
    assert_eq!(
        admin
            .offsets(of, OffsetSpec::Earliest, Isolation::ReadCommitted)
            .unwrap(),
        [2]
    );
    let mut consumer = harness.consumer(&topic, 0, Isolation::ReadCommitted);
    let error = (0..100).find_map(|_| consumer.poll(Duration::from_millis(100)).err());
    match error {
        Some(LogError::OffsetOutOfRange {
            offset: 0,
            log_start_offset: 2,
            log_end_offset: 3,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    consumer.seek(&partition, 2).unwrap();
    assert_eq!(values(&mut *consumer, 1), ["c"]);
    assert!(admin.delete_records(&[(partition, 4)]).is_err());
}

pub(super) fn offsets_by_time(harness: &Harness) {
    let topic = harness.topic(1);
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut producer = harness.producer();
    let handle = producer.topic(&topic).unwrap();
    let headers = Headers::default();
    for timestamp_ms in [1_000, 3_000, 2_000, 4_000] {
        let record = RecordView {
            key: None,
            value: Some(b"v"),
            timestamp_ms,
            headers: &headers,
        };
        producer.send(handle, 0, record).unwrap();
        producer.flush().unwrap();
    }
    let mut admin = harness.log.admin().unwrap();
    let mut at = |timestamp_ms| {
        let of = std::slice::from_ref(&partition);
        let which = OffsetSpec::AtTimestamp(timestamp_ms);
        admin.offsets(of, which, Isolation::ReadCommitted).unwrap()[0]
    };
    // The first one in the log that is not older, though one behind it may be.
    let found = [0, 1_000, 1_001, 2_000, 3_001, 4_000, 4_001].map(&mut at);
    assert_eq!(found, [0, 0, 1, 1, 3, 3, 4]);
    admin.delete_records(&[(partition.clone(), 2)]).unwrap();
    let of = std::slice::from_ref(&partition);
    let which = OffsetSpec::AtTimestamp(0);
    assert_eq!(admin.offsets(of, which, Isolation::ReadCommitted).unwrap(), [2]);
}

pub(super) fn topics(harness: &Harness) {
    let mut admin = harness.log.admin().unwrap();
    let topic = NewTopic::new(harness.name("topic"), 2).config("cleanup.policy", "compact");
    admin.create_topic(&topic).unwrap();
    assert!(matches!(
        admin.create_topic(&topic),
        Err(LogError::TopicExists { .. })
    ));
    assert!(admin.create_topic(&NewTopic::new("a/b", 1)).is_err());
    assert!(
        admin
            .create_topic(&NewTopic::new(harness.name("topic"), 0))
            .is_err()
    );
    let none = harness.name("none");
    assert_eq!(
        admin.partition_counts(&[&topic.name, &none]).unwrap(),
        [Some(2), None]
    );
    let all = admin.topics().unwrap();
    assert_eq!((all.get(&topic.name), all.get(&none)), (Some(&2), None));
    let unknown = TopicPartition::new(none.as_str(), 0);
    assert!(
        admin
            .offsets(&[unknown], OffsetSpec::Latest, Isolation::ReadCommitted)
            .is_err()
    );
}
