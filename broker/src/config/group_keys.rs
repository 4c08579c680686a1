//! Every config a group can have (resource type GROUP), and which config of the broker gives its default.

use super::key::*;

/// A group config and the broker's config that gives its default.
#[derive(Debug, Clone, Copy)]
pub struct GroupKey {
    /// The config.
    pub key: ConfigKey,
    /// The broker's config.
    pub default: &'static str,
    /// The broker's configs that give the least and the most a group may set.
    pub limits: (Option<&'static str>, Option<&'static str>),
}

const fn group(
    default: &'static str,
    limits: (Option<&'static str>, Option<&'static str>),
    key: ConfigKey,
) -> GroupKey {
    GroupKey { key, default, limits }
}

/// All group configs, by name. Those of share groups are not among them: this broker has none.
#[rustfmt::skip]
pub const GROUP_KEYS: &[GroupKey] = &[
    group("group.consumer.heartbeat.interval.ms", (Some("group.consumer.min.heartbeat.interval.ms"), Some("group.consumer.max.heartbeat.interval.ms")),
        int("consumer.heartbeat.interval.ms", "5000", at_least(1), "How often members of a consumer group report.")),
    group("group.consumer.session.timeout.ms", (Some("group.consumer.min.session.timeout.ms"), Some("group.consumer.max.session.timeout.ms")),
        int("consumer.session.timeout.ms", "45000", at_least(1), "How long a member of a consumer group may be silent before it is removed.")),
    group("group.streams.heartbeat.interval.ms", (Some("group.streams.min.heartbeat.interval.ms"), Some("group.streams.max.heartbeat.interval.ms")),
        int("streams.heartbeat.interval.ms", "5000", at_least(1), "How often members of a streams group report.")),
    group("group.streams.num.standby.replicas", (None, Some("group.streams.max.standby.replicas")),
        int("streams.num.standby.replicas", "0", at_least(0), "Standby copies of each stateful task of a streams group.")),
    group("group.streams.session.timeout.ms", (Some("group.streams.min.session.timeout.ms"), Some("group.streams.max.session.timeout.ms")),
        int("streams.session.timeout.ms", "45000", at_least(1), "How long a member of a streams group may be silent before it is removed.")),
];
