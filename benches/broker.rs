//! The broker as a server, driven by librdkafka: CPU time of the broker for each million records in and out, throughput,
//! latency of acknowledgements at a low rate, memory. With an Apache Kafka beside it, both are measured in turns:
//!
//! ```sh
//! streams-kafka/tests/with-apache-kafka cargo bench --bench broker
//! ```
//!
//! Every load runs several times, with topics of its own; medians come last.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "its result is what it prints")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../tests/common/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use server::Server;

/// How often each load is measured.
const ROUNDS: usize = 3;
/// Bytes of a record, partitions, acks.
const LOADS: [(usize, i32, &str); 6] = [
    (100, 1, "1"),
    (100, 1, "all"),
    (100, 16, "1"),
    (100, 16, "all"),
    (1024, 1, "all"),
    (1024, 16, "all"),
];

/// One of the brokers that are compared.
struct Subject {
    name: &'static str,
    address: String,
    process: u32,
}

impl Subject {
    /// CPU time it has used, in seconds.
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux.
        ticks as f64 / 100.0
    }

    fn resident_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    fn create(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let topics = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new();
        let created = admin.create_topics(&topics, &options);
        for result in futures::executor::block_on(created).unwrap() {
            result.unwrap();
        }
    }

    /// Before the system writes all of it to disk.
    fn delete(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let options = AdminOptions::new();
        futures::executor::block_on(admin.delete_topics(&[topic], &options)).unwrap();
    }
}

/// Counts acknowledgements, and when they came if somebody wants to know.
struct Acknowledged {
    started: Instant,
    count: Arc<AtomicU64>,
    latencies: Arc<Mutex<Vec<Duration>>>,
}

impl Default for Acknowledged {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            count: Arc::default(),
            latencies: Arc::default(),
        }
    }
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    /// Nanoseconds after the start at which it was sent; 0 if nobody wants to know.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        result.as_ref().unwrap();
        self.count.fetch_add(1, Ordering::Relaxed);
        if sent > 0 {
            let latency = self.started.elapsed() - Duration::from_nanos(sent as u64);
            self.latencies.lock().unwrap().push(latency);
        }
    }
}

type Results = BTreeMap<(String, &'static str), Vec<Measured>>;

/// CPU seconds of the broker for a million records and megabytes a second, produced; then the same, consumed.
#[derive(Clone, Copy)]
struct Measured([f64; 4]);

impl Measured {
    fn median(all: &[Self]) -> Self {
        Self(std::array::from_fn(|column| {
            let mut values: Vec<f64> = all.iter().map(|one| one.0[column]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        }))
    }

    fn print_head() {
        println!(
            "{:14} {:>6} {:>10} {:>5} {:>24} {:>24}",
            "", "bytes", "partitions", "acks", "produce", "consume"
        );
    }

    fn print(&self, subject: &Subject, load: &Load) {
        let Self([produce_cpu, produce_rate, consume_cpu, consume_rate]) = self;
        println!(
            "{:14} {:>6} {:>10} {:>5} {produce_cpu:>8.3} s/M {produce_rate:>6.0} MB/s {consume_cpu:>8.3} s/M {consume_rate:>6.0} MB/s",
            subject.name, load.record_bytes, load.partitions, load.acks
        );
    }
}

/// Records of one size to a topic.
struct Load {
    records: u64,
    record_bytes: usize,
    partitions: i32,
    acks: &'static str,
}

impl Load {
    fn topic(&self) -> String {
        format!("load-{}-{}-{}", self.record_bytes, self.partitions, self.acks)
    }

    fn new((record_bytes, partitions, acks): (usize, i32, &'static str), scale: u64) -> Self {
        Self {
            records: if record_bytes > 100 { 500_000 } else { 5_000_000 } / scale,
            record_bytes,
            partitions,
            acks,
        }
    }

    /// Produces to a new topic and consumes it.
    fn run(&self, subject: &Subject, full_size: bool) -> Measured {
        subject.create(&self.topic(), self.partitions);
        warm_page_cache(if full_size { 1_000 } else { 1 });
        let (produce_cpu, produce_rate) = self.measure(subject, || self.produce(subject));
        let (consume_cpu, consume_rate) = self.measure(subject, || self.consume(subject));
        subject.delete(&self.topic());
        Measured([produce_cpu, produce_rate, consume_cpu, consume_rate])
    }

    /// CPU seconds of the broker for a million records, and megabytes a second.
    fn measure(&self, subject: &Subject, run: impl FnOnce()) -> (f64, f64) {
        let (cpu, started) = (subject.cpu_seconds(), Instant::now());
        run();
        let seconds = started.elapsed().as_secs_f64();
        let millions = self.records as f64 / 1e6;
        let megabytes = self.records as f64 * self.record_bytes as f64 / 1e6;
        ((subject.cpu_seconds() - cpu) / millions, megabytes / seconds)
    }

    fn produce(&self, subject: &Subject) {
        let context = Acknowledged::default();
        let count = context.count.clone();
        let producer: BaseProducer<Acknowledged> = subject
            .config()
            .set("acks", self.acks)
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "1000000")
            .create_with_context(context)
            .unwrap();
        let topic = self.topic();
        let value = vec![b'x'; self.record_bytes];
        for number in 0..self.records {
            let partition = (number % self.partitions as u64) as i32;
            let mut record = BaseRecord::<(), [u8], _>::with_opaque_to(&topic, 0)
                .partition(partition)
                .payload(&value[..]);
            while let Err((error, back)) = producer.send(record) {
                assert!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "{error}"
                );
                producer.poll(Duration::from_millis(10));
                record = back;
            }
            if number % 1024 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Duration::from_secs(60)).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), self.records);
    }

    fn consume(&self, subject: &Subject) {
        let consumer: BaseConsumer = subject
            .config()
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            // As rdkafka_performance: otherwise it rests for a second whenever it has 100,000 records.
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", "1000000")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..self.partitions {
            partitions
                .add_partition_offset(&self.topic(), partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let mut count = 0;
        while count < self.records {
            let message = consumer
                .poll(Duration::from_secs(30))
                .expect("all records come back");
            assert_eq!(
                message.unwrap().payload().map(<[u8]>::len),
                Some(self.record_bytes)
            );
            count += 1;
        }
    }
}

/// Median and 99th percentile of the time from sending to acknowledgement, one record at a time.
fn latency(subject: &Subject, records: u64) -> (Duration, Duration) {
    subject.create("latency", 1);
    let context = Acknowledged::default();
    let (started, latencies) = (context.started, context.latencies.clone());
    let producer: BaseProducer<Acknowledged> = subject
        .config()
        .set("acks", "all")
        .set("linger.ms", "0")
        .create_with_context(context)
        .unwrap();
    let value = [b'x'; 100];
    for _ in 0..records {
        let sent = started.elapsed().as_nanos() as usize;
        let record = BaseRecord::<(), [u8], _>::with_opaque_to("latency", sent).payload(&value[..]);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        let next = Instant::now() + Duration::from_millis(1);
        while Instant::now() < next {
            producer.poll(Duration::from_micros(100));
        }
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let mut latencies = std::mem::take(&mut *latencies.lock().unwrap());
    // The first ones pay for connecting.
    latencies.drain(..latencies.len() / 10);
    latencies.sort_unstable();
    (
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
    )
}

/// Writes and deletes a file. Memory that a virtual machine has never used costs several times as much at its first touch, and
/// that is nobody's CPU time in particular.
fn warm_page_cache(megabytes: usize) {
    let mut file = tempfile::tempfile().unwrap();
    let chunk = vec![1; 1_000_000];
    for _ in 0..megabytes {
        std::io::Write::write_all(&mut file, &chunk).unwrap();
    }
}

fn main() {
    let full_size = std::env::args().any(|argument| argument == "--bench");
    let scale = if full_size { 1 } else { 1000 };
    let apache = std::env::var("HEADWATER_TEST_KAFKA").ok();
    // The first one is built, too.
    drop(Server::start_own(&[]));
    let started = Instant::now();
    let server = Server::start_own(&[]);
    println!("ready after {} ms", started.elapsed().as_millis());
    let mut subjects = vec![Subject {
        name: "headwater",
        address: server.address().to_owned(),
        process: server.id(),
    }];
    if let Some(address) = apache {
        let process = std::env::var("HEADWATER_TEST_KAFKA_PID")
            .unwrap()
            .parse()
            .unwrap();
        subjects.push(Subject {
            name: "apache kafka",
            address,
            process,
        });
    }
    // Before the loads: while the kernel writes gigabytes back, acknowledgements wait for it and not for the broker.
    for subject in &subjects {
        let (median, slowest) = latency(subject, 10_000 / scale);
        println!(
            "{:14} acknowledged after {:.3} ms (median), {:.3} ms (p99)",
            subject.name,
            median.as_secs_f64() * 1e3,
            slowest.as_secs_f64() * 1e3,
        );
    }
    let rounds = if full_size { ROUNDS } else { 1 };
    let mut results = Results::new();
    Measured::print_head();
    for _ in 0..rounds {
        for load in LOADS.map(|load| Load::new(load, scale)) {
            for subject in &subjects {
                let measured = load.run(subject, full_size);
                measured.print(subject, &load);
                results
                    .entry((load.topic(), subject.name))
                    .or_default()
                    .push(measured);
            }
        }
    }
    println!("medians of {rounds}:");
    Measured::print_head();
    for load in LOADS.map(|load| Load::new(load, scale)) {
        for subject in &subjects {
            Measured::median(&results[&(load.topic(), subject.name)]).print(subject, &load);
        }
    }
    for subject in &subjects {
        println!(
            "{:14} {:.1} MB resident",
            subject.name,
            subject.resident_megabytes()
        );
    }
}
