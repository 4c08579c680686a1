//! What the end-to-end benches share: a broker with input on it, and a run to the end of that input.

use std::sync::Arc;
use std::time::Duration;

use broker::{BrokerConfig, EmbeddedBroker};
use streams_core::Headers;
use streams_core::log::{Log, NewTopic, ProducerConfig, RecordView, TopicHandle};
use streams_core::time::SystemClock;
use streams_dsl::prelude::*;
use tempfile::TempDir;

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
