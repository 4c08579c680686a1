//! `kill -9` under load, again and again: every acknowledged record is there once and in order, and nothing of an aborted
//! transaction is ever read.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::behaviour::{config, consumer, create, read_to_end};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;
const READ_COMMITTED: [(&str, &str); 2] = [
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
];

/// How often the broker is killed: more often in slow tests.
fn kills() -> u64 {
    if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        100
    } else {
        8
    }
}

/// Notes what was acknowledged: partition, offset, number.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<Vec<(i32, i64, usize)>>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Ok(message) = result {
            let (partition, offset) = (
                rdkafka::Message::partition(message),
                rdkafka::Message::offset(message),
            );
            self.0.lock().unwrap().push((partition, offset, number));
        }
    }
}

/// Sends numbers, idempotent, until told to stop; answers what was acknowledged.
fn produce(producer: &BaseProducer<Acknowledged>, topic: &str, keys: usize, stop: &AtomicBool) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = ((number % keys).to_string(), number.to_string());
        let record = BaseRecord::with_opaque_to(topic, number)
            .partition((number % PARTITIONS as usize) as i32)
            .key(&key)
            .payload(&value);
        let _ = producer.send(record);
        producer.poll(Duration::from_micros(300));
    }
    producer.flush(PATIENCE).unwrap();
}

fn idempotent(server: &Server) -> (BaseProducer<Acknowledged>, Acknowledged) {
    let acknowledged = Acknowledged::default();
    let producer = config(server)
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("message.timeout.ms", "120000")
        .set("reconnect.backoff.max.ms", "200")
        .create_with_context(acknowledged.clone())
        .unwrap();
    (producer, acknowledged)
}

/// Transactions of two records each, every third aborted; answers those whose commit was acknowledged, and those that were
/// certainly aborted. What a crash leaves unknown is in neither.
fn transactions(server: &Server, stop: &AtomicBool) -> (HashSet<String>, HashSet<String>) {
    let (mut committed, mut aborted) = (HashSet::new(), HashSet::new());
    let producer: BaseProducer = config(server)
        .set("transactional.id", "killed")
        .set("message.timeout.ms", "60000")
        .set("reconnect.backoff.max.ms", "200")
        .set("retry.backoff.ms", "20")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let value = format!("t{number}");
        producer.begin_transaction().unwrap();
        for partition in 0..PARTITIONS {
            producer
                .send(
                    BaseRecord::<(), _>::to("transactions")
                        .partition(partition)
                        .payload(&value),
                )
                .unwrap();
        }
        if number % 3 == 2 {
            producer.flush(PATIENCE).unwrap();
            producer.abort_transaction(PATIENCE).unwrap();
            aborted.insert(value);
        } else {
            producer.commit_transaction(PATIENCE).unwrap();
            committed.insert(value);
        }
    }
    (committed, aborted)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_aborted_is_read() {
    let mut server = Server::start_own(&["log.flush.interval.ms=1000"]);
    create(&server, "plain", PARTITIONS, &[]);
    create(&server, "transactions", PARTITIONS, &[]);
    create(
        &server,
        "compacted",
        PARTITIONS,
        &[
            ("cleanup.policy", "compact"),
            ("segment.bytes", "20000"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ],
    );
    let stop = AtomicBool::new(false);
    let (plain, plain_acknowledged) = idempotent(&server);
    let (compacted, compacted_acknowledged) = idempotent(&server);
    let mut known = None;
    thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || produce(&plain, "plain", 1_000_000, stop));
        scope.spawn(move || produce(&compacted, "compacted", 50, stop));
        // The address stays the same over restarts.
        let address = Server::beside(&server);
        let transactional = scope.spawn(move || transactions(&address, stop));
        let mut pause_ms = 150;
        for _ in 0..kills() {
            thread::sleep(Duration::from_millis(pause_ms));
            server.restart();
            // Not always at the same moment of what happens in between.
            pause_ms = 100 + (pause_ms * 7 + 13) % 400;
        }
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        known = Some(transactional.join().unwrap());
    });
    let (committed, aborted) = known.unwrap();

    let records = read_to_end(
        &consumer(&server, "plain", PARTITIONS, &READ_COMMITTED),
        PARTITIONS,
    );
    let acknowledged = plain_acknowledged.0.lock().unwrap();
    assert!(acknowledged.len() > 100, "{} acknowledged", acknowledged.len());
    let by_offset: BTreeMap<(i32, i64), &str> = records
        .iter()
        .map(|(partition, offset, value)| ((*partition, *offset), value.as_str()))
        .collect();
    for (partition, offset, number) in acknowledged.iter() {
        assert_eq!(
            by_offset.get(&(*partition, *offset)),
            Some(&number.to_string().as_str())
        );
    }
    for partition in 0..PARTITIONS {
        let numbers = records.iter().filter(|record| record.0 == partition);
        let numbers: Vec<u64> = numbers.map(|record| record.2.parse().unwrap()).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "each once, in order"
        );
    }

    let read = read_to_end(
        &consumer(&server, "transactions", PARTITIONS, &READ_COMMITTED),
        PARTITIONS,
    );
    for partition in 0..PARTITIONS {
        let values: Vec<&String> = read
            .iter()
            .filter(|record| record.0 == partition)
            .map(|record| &record.2)
            .collect();
        let once: HashSet<&String> = values.iter().copied().collect();
        assert_eq!(once.len(), values.len(), "each once");
        assert!(
            committed.iter().all(|value| once.contains(value)),
            "every committed transaction"
        );
        assert!(
            aborted.iter().all(|value| !once.contains(value)),
            "no aborted transaction"
        );
    }
    assert!(
        committed.len() > 3 && !aborted.is_empty(),
        "{} and {}",
        committed.len(),
        aborted.len()
    );

    // Of the compacted topic: for every key the latest acknowledged value, or a later one.
    let read = read_to_end(
        &consumer(&server, "compacted", PARTITIONS, &READ_COMMITTED),
        PARTITIONS,
    );
    let mut latest: BTreeMap<(i32, usize), usize> = BTreeMap::new();
    for (partition, _, value) in &read {
        let number: usize = value.parse().unwrap();
        let seen = latest.entry((*partition, number % 50)).or_default();
        assert!(number >= *seen, "in order");
        *seen = number;
    }
    for (partition, _, number) in compacted_acknowledged.0.lock().unwrap().iter() {
        assert!(latest[&(*partition, number % 50)] >= *number);
    }
}
