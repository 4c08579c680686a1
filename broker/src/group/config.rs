//! Settings of the group coordinator.

use std::collections::BTreeMap;

use super::consumer::Assignor;
use super::migration::MigrationPolicy;

/// Settings of the group coordinator, with Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// `offsets.topic.num.partitions`. Must not change while the topic holds records.
    pub partition_count: i32,
    /// `group.min.session.timeout.ms`. 6 s.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`. 30 minutes.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first members of a group wait for more. 3 s.
    pub initial_rebalance_delay_ms: i64,
    /// `group.max.size`: most members of a classic group. 10,000 (Kafka sets no limit).
    pub max_size: usize,
    /// Most groups. A further one is refused with POLICY_VIOLATION. 100,000.
    pub max_groups: usize,
    /// `offset.metadata.max.bytes`. 4096.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds. 7 days.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`. 10 minutes.
    pub offsets_retention_check_interval_ms: i64,
    /// How long a member's first JoinGroup may stay parked (5 minutes in Kafka, not configurable there).
    pub new_member_join_timeout_ms: i64,
    /// Of consumer groups (KIP-848).
    pub consumer: ConsumerGroupConfig,
    /// Of streams groups (KIP-1071).
    pub streams: StreamsGroupConfig,
}

/// Settings of consumer groups, with Kafka's names and defaults. A group can have its own, see [`GroupOverrides`].
#[derive(Debug, Clone)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`. 45 s.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`. 5 s.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`: most members of a group. 10,000 (Kafka sets no limit).
    pub max_size: usize,
    /// The first of `group.consumer.assignors`: what a group uses whose members ask for none. `uniform`.
    pub assignor: Assignor,
    /// `group.consumer.migration.policy`: which way live groups may change their protocol. Both ways.
    pub migration: MigrationPolicy,
    /// All of `group.consumer.assignors`: what members may ask for. `uniform` and `range`.
    pub assignors: Vec<Assignor>,
}

impl Default for ConsumerGroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            max_size: 10_000,
            assignor: Assignor::Uniform,
            migration: MigrationPolicy::default(),
            assignors: Assignor::ALL.to_vec(),
        }
    }
}

/// Settings of streams groups, with Kafka's names and defaults. A group can have its own, see [`GroupOverrides`].
#[derive(Debug, Clone)]
pub struct StreamsGroupConfig {
    /// `group.streams.session.timeout.ms`. 45 s.
    pub session_timeout_ms: i32,
    /// `group.streams.heartbeat.interval.ms`. 5 s.
    pub heartbeat_interval_ms: i32,
    /// `group.streams.max.size`: most members of a group. 10,000 (Kafka sets no limit).
    pub max_size: usize,
    /// `group.streams.num.standby.replicas`: copies of each stateful task beside the active one. 0.
    pub standby_replicas: i32,
}

impl Default for StreamsGroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            max_size: 10_000,
            standby_replicas: 0,
        }
    }
}

impl GroupConfig {
    /// Kafka's defaults, with this many partitions of `__consumer_offsets`.
    pub fn new(partition_count: i32) -> Self {
        Self {
            partition_count,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: 10_000,
            max_groups: 100_000,
            offset_metadata_max_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
            new_member_join_timeout_ms: 5 * 60 * 1000,
            consumer: ConsumerGroupConfig::default(),
            streams: StreamsGroupConfig::default(),
        }
    }
}

/// What a single group sets for itself: the configs of resource type GROUP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupOverrides {
    /// `consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: Option<i32>,
    /// `streams.session.timeout.ms`.
    pub streams_session_timeout_ms: Option<i32>,
    /// `streams.heartbeat.interval.ms`.
    pub streams_heartbeat_interval_ms: Option<i32>,
    /// `streams.num.standby.replicas`.
    pub streams_standby_replicas: Option<i32>,
}

impl GroupOverrides {
    /// Reads configs by Kafka's keys. Whoever stores them has checked them; what is not known here has no effect.
    pub fn from_configs(configs: &BTreeMap<String, String>) -> Self {
        let own = |key: &str| configs.get(key).and_then(|value| value.trim().parse().ok());
        Self {
            consumer_session_timeout_ms: own("consumer.session.timeout.ms"),
            consumer_heartbeat_interval_ms: own("consumer.heartbeat.interval.ms"),
            streams_session_timeout_ms: own("streams.session.timeout.ms"),
            streams_heartbeat_interval_ms: own("streams.heartbeat.interval.ms"),
            streams_standby_replicas: own("streams.num.standby.replicas"),
        }
    }
}
