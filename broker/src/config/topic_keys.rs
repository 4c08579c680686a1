//! Every config a topic can have, and which config of the broker says what topics without it have.

use super::key::*;

/// A topic config and where its default comes from.
#[derive(Debug, Clone, Copy)]
pub struct TopicKey {
    /// The config.
    pub key: ConfigKey,
    /// The broker's configs that give the default, the strongest first, each with the milliseconds in one of its units.
    pub defaults: &'static [(&'static str, i64)],
}

const fn from(defaults: &'static [(&'static str, i64)], key: ConfigKey) -> TopicKey {
    TopicKey { key, defaults }
}

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
const CODECS: Allowed = words(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);

/// All topic configs, by name.
#[rustfmt::skip]
pub const TOPIC_KEYS: &[TopicKey] = &[
    from(&[("log.cleanup.policy", 1)], list("cleanup.policy", "delete", words(&["compact", "delete"]), "What happens to old records: delete drops whole segments by age and size, compact keeps the latest of each key.")),
    from(&[("compression.gzip.level", 1)], int("compression.gzip.level", "-1", between(-1, 9), "Level at which the broker compresses with gzip.")),
    from(&[("compression.lz4.level", 1)], int("compression.lz4.level", "9", between(1, 17), "Level at which the broker compresses with lz4. Accepted without effect: there is one.")),
    from(&[("compression.type", 1)], string("compression.type", "producer", CODECS, "Codec in which batches are stored; producer keeps what the producer chose.")),
    from(&[("compression.zstd.level", 1)], int("compression.zstd.level", "3", between(-131_072, 22), "Level at which the broker compresses with zstd.")),
    from(&[("log.cleaner.delete.retention.ms", 1)], long("delete.retention.ms", "86400000", at_least(0), "How long a compacted topic keeps the tombstone of a deleted key.")),
    from(&[("log.segment.delete.delay.ms", 1)], long("file.delete.delay.ms", "60000", at_least(0), "How long a segment's files stay after the segment was deleted. Accepted without effect: who still reads one may finish.")),
    from(&[("log.flush.interval.messages", 1)], long("flush.messages", "9223372036854775807", at_least(1), "Number of records after which a log is synced to disk.")),
    from(&[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)], long("flush.ms", "9223372036854775807", at_least(0), "How long a written record may wait for a sync to disk.")),
    from(&[], list("follower.replication.throttled.replicas", "", Allowed::Replicas, "Replicas whose replication is throttled on the follower. This broker keeps one replica.")),
    from(&[("log.index.interval.bytes", 1)], int("index.interval.bytes", "4096", at_least(0), "Bytes of records between two entries of the offset index.")),
    from(&[], list("leader.replication.throttled.replicas", "", Allowed::Replicas, "Replicas whose replication is throttled on the leader. This broker keeps one replica.")),
    from(&[("log.local.retention.bytes", 1)], long("local.retention.bytes", "-2", at_least(-2), "Bytes kept here of a topic with tiered storage, which this broker does not have.")),
    from(&[("log.local.retention.ms", 1)], long("local.retention.ms", "-2", at_least(-2), "Time kept here of a topic with tiered storage, which this broker does not have.")),
    from(&[("log.cleaner.max.compaction.lag.ms", 1)], long("max.compaction.lag.ms", "9223372036854775807", at_least(1), "The longest a record waits for compaction.")),
    from(&[("message.max.bytes", 1)], int("max.message.bytes", "1048588", at_least(0), "Largest record batch that is accepted, as it is compressed.")),
    from(&[("log.message.timestamp.after.max.ms", 1)], long("message.timestamp.after.max.ms", "3600000", at_least(0), "How far the timestamp of a record may lie in the future.")),
    from(&[("log.message.timestamp.before.max.ms", 1)], long("message.timestamp.before.max.ms", "9223372036854775807", at_least(0), "How far the timestamp of a record may lie in the past.")),
    from(&[("log.message.timestamp.type", 1)], string("message.timestamp.type", "CreateTime", words(&["CreateTime", "LogAppendTime"]), "Whether records carry the producer's time or the time of the append.")),
    from(&[("log.cleaner.min.cleanable.ratio", 1)], double("min.cleanable.dirty.ratio", "0.5", Allowed::Ratio(0.0, 1.0), "Share of a compacted log that must be new before it is compacted again.")),
    from(&[("log.cleaner.min.compaction.lag.ms", 1)], long("min.compaction.lag.ms", "0", at_least(0), "The shortest a record is safe from compaction.")),
    from(&[("min.insync.replicas", 1)], int("min.insync.replicas", "1", at_least(1), "Replicas that must have a batch before a producer with acks=all is answered.")),
    from(&[("log.preallocate", 1)], boolean("preallocate", "false", "Whether the file of a new segment is made at its full size. Accepted without effect.")),
    from(&[], boolean("remote.log.copy.disable", "false", "Stops copying to tiered storage, which this broker does not have.")),
    from(&[], boolean("remote.log.delete.on.disable", "false", "Deletes from tiered storage when that is switched off. This broker does not have it.")),
    from(&[], boolean("remote.storage.enable", "false", "Tiered storage, which this broker does not have.")),
    from(&[("log.retention.bytes", 1)], long("retention.bytes", "-1", ANY, "Size of a partition above which its oldest segments are deleted; -1 for no limit.")),
    from(&[("log.retention.ms", 1), ("log.retention.minutes", MINUTE_MS), ("log.retention.hours", HOUR_MS)], long("retention.ms", "604800000", at_least(-1), "Age above which segments are deleted; -1 for never.")),
    from(&[("log.segment.bytes", 1)], int("segment.bytes", "1073741824", at_least(14), "Size at which a log goes on in a new segment.")),
    from(&[("log.index.size.max.bytes", 1)], int("segment.index.bytes", "10485760", at_least(4), "Largest size of a segment's index.")),
    from(&[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)], long("segment.jitter.ms", "0", at_least(0), "Most by which a new segment may come early, so that not all come at once.")),
    from(&[("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)], long("segment.ms", "604800000", at_least(1), "Age at which a log goes on in a new segment.")),
    from(&[("unclean.leader.election.enable", 1)], boolean("unclean.leader.election.enable", "false", "Whether a replica that misses records may lead. This broker keeps one replica.")),
];

/// What a subscription to clients' metrics would be. None is kept, since they are not collected.
#[rustfmt::skip]
pub const CLIENT_METRICS_KEYS: &[ConfigKey] = &[
    int("interval.ms", "300000", between(100, 3_600_000), "How often clients would send metrics."),
    list("match", "", ANY, "Which clients would send metrics."),
    list("metrics", "", ANY, "Which metrics clients would send."),
];

/// Configs that older clients still set: accepted, without effect, and not described.
pub const RETIRED_TOPIC_CONFIGS: [&str; 3] = [
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
];
