//! What tests of running applications share: a log to run on, records sent to it, and what came out.

use std::sync::Arc;
use std::time::Duration;

use broker::{BrokerConfig, EmbeddedBroker};
use streams_dsl::Headers;
use streams_dsl::log::{
    ConsumerConfig, Isolation, Log, NewTopic, OffsetSpec, ProducerConfig, RecordView, TopicPartition,
};
use streams_dsl::prelude::*;
use streams_dsl::time::SystemClock;
use tempfile::TempDir;

/// Key, value and timestamp of a record.
pub(crate) type Bytes3 = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

/// An embedded broker in a directory of its own.
pub(crate) fn embedded() -> (Arc<dyn Log>, TempDir) {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(SystemClock::default());
    let broker = EmbeddedBroker::open(&dir.path().join("broker"), BrokerConfig::embedded(), clock).unwrap();
    (broker, dir)
}

pub(crate) fn create_topics(log: &dyn Log, topics: &[(&str, u32)]) {
    for (topic, partitions) in topics {
        let topic = NewTopic::new(*topic, *partitions);
        log.admin().unwrap().create_topic(&topic).unwrap();
    }
}

/// Topic, partition, key, value, timestamp.
pub(crate) type Sent<'a> = (&'a str, i32, &'a [u8], Option<&'a [u8]>, i64);

pub(crate) fn send<'a>(log: &dyn Log, records: impl IntoIterator<Item = Sent<'a>>) {
    let mut producer = log.producer(&ProducerConfig::new("test")).unwrap();
    let headers = Headers::default();
    for (topic, partition, key, value, timestamp_ms) in records {
        let handle = producer.topic(topic).unwrap();
        let record = RecordView {
            key: Some(key),
            value,
            timestamp_ms,
            headers: &headers,
        };
        producer.send(handle, partition, record).unwrap();
    }
    producer.flush().unwrap();
}

/// Waits until these instances have processed everything there is.
pub(crate) fn wait(streams: &[&Streams]) {
    for _ in 0..3_000 {
        if streams.iter().all(|streams| streams.caught_up().unwrap()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let states: Vec<_> = streams.iter().map(|streams| streams.state()).collect();
    panic!("not caught up after 30 s: {states:?}");
}

/// Waits until an application stops by itself, and says why it did.
pub(crate) fn wait_for_failure(streams: &Streams) -> String {
    let error = (0..1_000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        streams.caught_up().err()
    });
    error.expect("the application must stop").to_string()
}

/// All committed records of a partition.
pub(crate) fn read(log: &dyn Log, topic: &str, partition: i32) -> Vec<Bytes3> {
    let partition = TopicPartition::new(topic, partition);
    let of = std::slice::from_ref(&partition);
    let mut admin = log.admin().unwrap();
    let ends = admin.offsets(of, OffsetSpec::Latest, Isolation::ReadCommitted);
    let end = ends.unwrap()[0];
    let mut consumer = log.consumer(&ConsumerConfig::new("test")).unwrap();
    consumer.assign(&[(partition, Some(0))]).unwrap();
    let (mut position, mut found) = (0, Vec::new());
    while position < end {
        for fetched in consumer.poll(Duration::from_secs(1)).unwrap() {
            position = fetched.next_offset;
            for (index, span) in fetched.records.spans.iter().enumerate() {
                let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                let (key, value) = (fetched.records.key(index), fetched.records.value(index));
                found.push((owned(key), owned(value), span.timestamp_ms));
            }
        }
    }
    found
}
