//! Settings of a broker: Kafka's defaults for a server, and those of a broker inside of an application.

use crate::config::{NetworkConfig, Properties, SecurityConfig};
use crate::coordinator_records::{EMBEDDED_COORDINATOR_PARTITIONS, SERVER_COORDINATOR_PARTITIONS};
use crate::group::GroupConfig;
use crate::log::{CleanerConfig, LogConfig};
use crate::transaction::TransactionConfig;

/// Settings of a broker, with Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `node.id`. 0.
    pub node_id: i32,
    /// Host of `advertised.listeners`. `localhost`.
    pub host: String,
    /// Port of `advertised.listeners`. 9092.
    pub port: i32,
    /// Defaults of topic configs.
    pub log: LogConfig,
    /// `auto.create.topics.enable`: whether asking for a topic's metadata creates it. True for a server, false embedded.
    pub auto_create_topics: bool,
    /// `num.partitions` of topics that do not say. 1.
    pub default_partitions: i32,
    /// `fetch.max.bytes`: most bytes of one Fetch response, but for a single larger batch. 55 MiB.
    pub max_fetch_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`: most fetch sessions that are kept. 1000.
    pub fetch_session_slots: usize,
    /// `delete.topic.enable`. True.
    pub delete_topics: bool,
    /// `broker.rack`. None.
    pub rack: Option<String>,
    /// `max.request.partition.size.limit`: most partitions of one DescribeTopicPartitions response. 2000.
    pub max_described_partitions: usize,
    /// How often idle producers and due syncs are looked after, in milliseconds. 5 s.
    pub maintenance_interval_ms: i64,
    /// `log.retention.check.interval.ms`: how often retention is enforced; the first time after 30 s at the latest. 5 minutes.
    pub retention_check_interval_ms: i64,
    /// How often it is looked for logs to compact, in milliseconds; 0 is never. 1 s in a server, 15 s embedded.
    pub cleaner_interval_ms: i64,
    /// Settings of compaction.
    pub cleaner: CleanerConfig,
    /// `offsets.topic.segment.bytes`. 100 MiB.
    pub offsets_segment_bytes: usize,
    /// `transaction.state.log.segment.bytes`. 100 MiB.
    pub transaction_state_segment_bytes: usize,
    /// The transaction coordinator's.
    pub transaction: TransactionConfig,
    /// The group coordinator's.
    pub group: GroupConfig,
    /// Over how long client quotas are measured.
    pub quota_window: QuotaWindow,
    /// Over how long changes of topics are limited: `controller.quota.window.num` and `controller.quota.window.size.seconds`.
    pub mutation_quota_window: QuotaWindow,
    /// The server's around the broker.
    pub network: NetworkConfig,
    /// Authentication and authorization.
    pub security: SecurityConfig,
    /// What was set to come to these settings, as text: what DescribeConfigs tells.
    pub properties: Properties,
}

/// `quota.window.num` samples of `quota.window.size.seconds`: over how long rates are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaWindow {
    /// Number of samples. 11.
    pub samples: usize,
    /// Length of each, in milliseconds. 1 s.
    pub sample_ms: i64,
}

impl Default for QuotaWindow {
    fn default() -> Self {
        Self {
            samples: 11,
            sample_ms: 1000,
        }
    }
}

impl BrokerConfig {
    /// Kafka's defaults.
    pub fn server() -> Self {
        Self::with_coordinator_partitions(SERVER_COORDINATOR_PARTITIONS)
    }

    /// For a broker inside of an application: few files, topics only on demand, groups that do not wait for more members than
    /// there are, and no retention unless a topic sets `retention.ms`. Retention goes by the records' timestamps, which in an
    /// application are event times: with Kafka's 7 days, input from last month would be deleted before it is read.
    pub fn embedded() -> Self {
        Self::with_coordinator_partitions(SERVER_COORDINATOR_PARTITIONS).with_own_defaults(&[
            ("auto.create.topics.enable", "false".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
            ("log.cleaner.backoff.ms", "15000".to_owned()),
            ("log.retention.ms", "-1".to_owned()),
            (
                "offsets.topic.num.partitions",
                EMBEDDED_COORDINATOR_PARTITIONS.to_string(),
            ),
            (
                "transaction.state.log.num.partitions",
                EMBEDDED_COORDINATOR_PARTITIONS.to_string(),
            ),
        ])
    }

    fn with_coordinator_partitions(count: i32) -> Self {
        Self {
            node_id: 0,
            host: "localhost".to_owned(),
            port: 9092,
            log: LogConfig::default(),
            auto_create_topics: true,
            default_partitions: 1,
            max_fetch_bytes: 55 * 1024 * 1024,
            fetch_session_slots: 1000,
            delete_topics: true,
            rack: None,
            max_described_partitions: 2000,
            maintenance_interval_ms: 5_000,
            retention_check_interval_ms: 5 * 60 * 1000,
            cleaner_interval_ms: 1_000,
            cleaner: CleanerConfig::default(),
            offsets_segment_bytes: 100 * 1024 * 1024,
            transaction_state_segment_bytes: 100 * 1024 * 1024,
            transaction: TransactionConfig::new(count),
            group: GroupConfig::new(count),
            quota_window: QuotaWindow::default(),
            mutation_quota_window: QuotaWindow::default(),
            network: NetworkConfig::default(),
            security: SecurityConfig::default(),
            properties: Properties::default(),
        }
    }
}
