//! What the end-to-end benches share: a broker with input on it, a run to the end of that input, and CPU time as the measure.
//!
//! CPU time of the whole process (broker, application, RocksDB's threads) is what is compared: machines are shared, and wall
//! time measures the neighbours.

use std::sync::Arc;
use std::time::Duration;

use broker::{BrokerConfig, EmbeddedBroker};
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use streams_core::Headers;
use streams_core::log::{Log, NewTopic, ProducerConfig, RecordView, TopicHandle};
use streams_core::time::SystemClock;
use streams_dsl::prelude::*;
use tempfile::TempDir;

/// True if this is a benchmark run; else the bench is a test and its input small.
pub(crate) fn full_size() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// A broker in a directory of its own.
pub(crate) struct Bench {
    pub(crate) broker: Arc<EmbeddedBroker>,
    directory: TempDir,
}

impl Bench {
    /// With these topics, of one partition each.
    pub(crate) fn new(topics: &[&str]) -> Self {
        let directory = TempDir::with_prefix("headwater-bench-").expect("a temporary directory");
        let clock = Arc::new(SystemClock::default());
        let broker = EmbeddedBroker::open(&directory.path().join("broker"), BrokerConfig::embedded(), clock);
        let broker = broker.expect("a new broker");
        for topic in topics {
            broker
                .admin()
                .and_then(|mut admin| admin.create_topic(&NewTopic::new(*topic, 1)))
                .expect("a new topic");
        }
        Self { broker, directory }
    }

    /// Fills a topic with what `fill` sends.
    pub(crate) fn load(&self, topic: &str, fill: impl FnOnce(&mut dyn FnMut(Option<&[u8]>, &[u8]))) {
        let mut producer = self
            .broker
            .producer(&ProducerConfig::new("loader"))
            .expect("a producer");
        let handle: TopicHandle = producer.topic(topic).expect("a topic that was created");
        let headers = Headers::default();
        fill(&mut |key, value| {
            let record = RecordView {
                key,
                value: Some(value),
                timestamp_ms: 0,
                headers: &headers,
            };
            producer.send(handle, 0, record).expect("a record");
        });
        producer.flush().expect("all records");
    }

    /// Runs the application under this id until all input is processed and committed, and closes it.
    pub(crate) fn run(&self, topology: &Topology, application_id: &str) -> u64 {
        let config = StreamsConfig::new(application_id).state_dir(self.directory.path().join("state"));
        let log: Arc<dyn Log> = Arc::clone(&self.broker) as Arc<dyn Log>;
        let streams = Streams::start(topology, config, log).expect("an application");
        while !streams.caught_up().expect("an application that does not fail") {
            std::thread::sleep(Duration::from_millis(5));
        }
        let processed = streams.processed();
        streams.close().expect("a clean end");
        processed
    }
}

/// Criterion over CPU time; few samples, since each is a whole run.
pub(crate) fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .configure_from_args()
}

/// CPU time of this process, all threads, user and system.
pub(crate) struct CpuTime;

/// Clock ticks a second, which Linux fixes for `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

impl CpuTime {
    fn seconds() -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }
}

impl Measurement for CpuTime {
    type Intermediate = f64;
    type Value = f64;

    fn start(&self) -> f64 {
        Self::seconds()
    }

    fn end(&self, start: f64) -> f64 {
        Self::seconds() - start
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &CpuSeconds
    }
}

struct CpuSeconds;

impl ValueFormatter for CpuSeconds {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "CPU-s"
    }

    fn scale_throughputs(&self, _typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (Throughput::Elements(count) | Throughput::Bytes(count)) = throughput else {
            return "runs/CPU-s";
        };
        for value in values {
            *value = *count as f64 / 1e6 / *value;
        }
        "M records/CPU-s"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "CPU-s"
    }
}
