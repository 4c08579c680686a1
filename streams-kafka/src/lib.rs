//! Headwater on Apache Kafka: the seams of `streams-core` over librdkafka.
//!
//! ```text
//! KafkaLog --consumer()--> assigned partitions, one queue each, batched into record sets
//!          --producer()--> idempotent or transactional, acknowledgements noted by partition
//!          --membership()-> a group consumer that never fetches: it only joins, and commits as a member
//!          --admin()-----> topics and offsets
//! ```
//!
//! The same application that ran on the embedded broker runs on a cluster by starting on a [`KafkaLog`]. The only crate that
//! builds librdkafka. Group assignment is Kafka's range assignor, so topics that a task joins need equal partition counts.

mod admin;
mod consumer;
mod error;
mod membership;
mod producer;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::ClientConfig;
use streams_core::error::LogError;
use streams_core::log::{
    Admin, Consumer, ConsumerConfig, Isolation, Log, LogResult, Producer, ProducerConfig,
};
use streams_core::membership::{Membership, MembershipConfig};

use crate::membership::GroupConsumer;

/// How long one call to the cluster may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings that belong to the runtime: setting them otherwise would break its guarantees.
const RESERVED: [&str; 10] = [
    "bootstrap.servers",
    "client.id",
    "group.id",
    "transactional.id",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "isolation.level",
];

/// An Apache Kafka cluster.
///
/// librdkafka takes a timestamp of 0 for "now": a record of the very first millisecond of 1970 gets the time it is written.
///
/// ```no_run
/// use std::sync::Arc;
/// use streams_core::runtime::{Streams, StreamsConfig};
/// use streams_kafka::KafkaLog;
/// # fn run(topology: &streams_core::topology::Topology) -> Result<(), streams_core::error::StreamsError> {
/// let log = KafkaLog::new("kafka-1:9092,kafka-2:9092").set("security.protocol", "plaintext")?;
/// let streams = Streams::start(topology, StreamsConfig::new("word-count"), Arc::new(log))?;
/// # streams.close()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KafkaLog {
    bootstrap_servers: String,
    settings: BTreeMap<String, String>,
    members: Members,
}

/// Live group members by their name at the seam: a transaction's offsets are fenced by the member's own client.
pub(crate) type Members = Arc<Mutex<HashMap<String, Weak<GroupConsumer>>>>;

impl KafkaLog {
    /// The cluster that these `host:port` pairs, separated by commas, belong to. Nothing is connected yet.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            settings: BTreeMap::new(),
            members: Members::default(),
        }
    }

    /// Sets one of librdkafka's settings, such as those of security, for all clients.
    ///
    /// # Errors
    /// If the setting is one that the runtime decides.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> LogResult<Self> {
        if RESERVED.contains(&key) {
            return Err(LogError::invalid(format!(
                "{key} is set by the runtime; leave it out"
            )));
        }
        self.settings.insert(key.to_owned(), value.into());
        Ok(self)
    }

    fn config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id);
        for (key, value) in &self.settings {
            config.set(key, value);
        }
        config
    }
}

impl Log for KafkaLog {
    fn consumer(&self, config: &ConsumerConfig) -> LogResult<Box<dyn Consumer>> {
        let mut client = self.config(&config.client_id);
        client.set("isolation.level", isolation_level(config.isolation));
        Ok(Box::new(consumer::KafkaConsumer::new(client, config.clone())?))
    }

    fn producer(&self, config: &ProducerConfig) -> LogResult<Box<dyn Producer>> {
        let client = self.config(&config.client_id);
        Ok(Box::new(producer::KafkaProducer::new(
            client,
            config,
            Arc::clone(&self.members),
        )?))
    }

    fn admin(&self) -> LogResult<Box<dyn Admin>> {
        Ok(Box::new(admin::KafkaAdmin::new(self.config("admin"))?))
    }

    fn membership(&self, config: &MembershipConfig) -> LogResult<Box<dyn Membership>> {
        let client = self.config(&config.client_id);
        Ok(Box::new(membership::KafkaMembership::new(
            client,
            config.clone(),
            Arc::clone(&self.members),
        )?))
    }
}

pub(crate) fn isolation_level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    }
}
