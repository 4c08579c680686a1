//! What other young brokers got wrong.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.address());
    config
}

pub(crate) fn create(server: &Server, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = config(server).create().unwrap();
    let mut topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let (topics, options) = ([topic], AdminOptions::new());
    for result in futures::executor::block_on(admin.create_topics(&topics, &options)).unwrap() {
        result.unwrap();
    }
}

/// A consumer of these partitions from their beginning.
pub(crate) fn consumer(
    server: &Server,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> BaseConsumer {
    let mut config = config(server);
    config
        .set("group.id", "unused")
        .set("enable.auto.commit", "false");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();
    consumer
}

/// Everything up to the ends of all partitions: partition, offset, value.
pub(crate) fn read_to_end(consumer: &BaseConsumer, partitions: i32) -> Vec<(i32, i64, String)> {
    let (mut records, mut ended) = (Vec::new(), HashSet::new());
    let deadline = Instant::now() + PATIENCE;
    while ended.len() < partitions as usize {
        assert!(
            Instant::now() < deadline,
            "{} records, ends of {ended:?}",
            records.len()
        );
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => {
                let value = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
                records.push((message.partition(), message.offset(), value));
            }
        }
    }
    records
}

const TO_END: (&str, &str) = ("enable.partition.eof", "true");

#[test]
fn one_producer_commits_and_aborts_many_transactions_with_default_settings() {
    let server = Server::start(&[]);
    create(&server, "many", 2, &[]);
    let producer: BaseProducer = config(&server).set("transactional.id", "many").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for round in 0..10 {
        producer.begin_transaction().unwrap();
        for partition in 0..2 {
            let value = format!("{round}");
            producer
                .send(
                    BaseRecord::<(), _>::to("many")
                        .partition(partition)
                        .payload(&value),
                )
                .unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        if round % 3 == 2 {
            producer.abort_transaction(PATIENCE).unwrap();
        } else {
            producer.commit_transaction(PATIENCE).unwrap();
        }
    }
    let committed = consumer(
        &server,
        "many",
        2,
        &[TO_END, ("isolation.level", "read_committed")],
    );
    let values: HashSet<String> = read_to_end(&committed, 2)
        .into_iter()
        .map(|record| record.2)
        .collect();
    assert_eq!(
        values,
        ["0", "1", "3", "4", "6", "7", "9"].map(str::to_owned).into()
    );
}

#[test]
fn an_empty_topic_tells_its_end_and_nothing_else() {
    let server = Server::start(&[]);
    create(&server, "empty", 3, &[]);
    for isolation in ["read_committed", "read_uncommitted"] {
        let consumer = consumer(&server, "empty", 3, &[TO_END, ("isolation.level", isolation)]);
        assert_eq!(read_to_end(&consumer, 3), []);
        // Long polls that end without records are no errors either.
        let until = Instant::now() + Duration::from_millis(1_200);
        while Instant::now() < until {
            assert!(consumer.poll(Duration::from_millis(100)).is_none());
        }
    }
}

/// Median time from sending a record to having it back, of a consumer of `partitions` of which one is written.
fn median_round_trip(server: &Server, topic: &str, partitions: i32) -> Duration {
    create(server, topic, partitions, &[]);
    let consumer = consumer(server, topic, partitions, &[]);
    let producer: BaseProducer = config(server).set("linger.ms", "0").create().unwrap();
    let mut times = Vec::new();
    for round in 0..60 {
        let sent = Instant::now();
        producer
            .send(BaseRecord::<(), str>::to(topic).partition(0).payload("v"))
            .unwrap();
        while consumer
            .poll(Duration::from_millis(1))
            .transpose()
            .unwrap()
            .is_none()
        {
            producer.poll(Duration::ZERO);
            assert!(sent.elapsed() < PATIENCE);
        }
        // The first ones pay for connecting.
        if round >= 20 {
            times.push(sent.elapsed());
        }
    }
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn idle_partitions_do_not_slow_a_busy_one() {
    let server = Server::start(&[]);
    let alone = median_round_trip(&server, "alone", 1);
    let among_idle = median_round_trip(&server, "among-idle", 10);
    assert!(
        among_idle < alone + Duration::from_millis(2),
        "{among_idle:?} with nine idle partitions, {alone:?} alone"
    );
}

#[test]
fn any_port_that_is_free_will_do_and_clients_are_told_it() {
    let (one, other) = (Server::start_own(&[]), Server::start_own(&[]));
    assert_ne!(one.address(), other.address());
    for server in [&one, &other] {
        let consumer: BaseConsumer = config(server).create().unwrap();
        let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
        let broker = &metadata.brokers()[0];
        assert_eq!(format!("{}:{}", broker.host(), broker.port()), server.address());
    }
}
