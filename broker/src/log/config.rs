//! The configuration of one partition's log, with Kafka's names and defaults. A topic's overrides arrive
//! as text and are parsed here once; the log then reads plain fields.

use std::collections::BTreeMap;

use crate::log::batch::Compression;

/// What happens to old records: `cleanup.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// Only the latest record of each key is kept; records need a key.
    pub compact: bool,
}

/// Who sets the timestamp of records: `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The broker, when it appends.
    LogAppendTime,
}

/// How batches are stored: `compression.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// With this codec; others are decompressed and compressed again.
    Codec(Compression),
}

/// How hard the broker compresses when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressionLevels {
    /// `compression.gzip.level`, 1 to 9, default -1: zlib's own.
    pub gzip: i32,
    /// `compression.zstd.level`, default 3.
    pub zstd: i32,
}

/// A topic's configuration as far as its logs use it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `cleanup.policy`, default delete.
    pub cleanup_policy: CleanupPolicy,
    /// `segment.bytes`, default 1 GiB. At most 2147483647: positions in a segment are 32 bits.
    pub segment_bytes: u64,
    /// `segment.ms`, default 7 days.
    pub segment_ms: i64,
    /// `segment.jitter.ms`, default 0: segments are sealed up to so much earlier than `segment.ms`, each at a time of its own.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`, default 10 MiB: a segment is sealed when its offset index would be larger.
    pub segment_index_bytes: usize,
    /// `index.interval.bytes`, default 4096.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`, default 1048588: the largest batch a client may send.
    pub max_message_bytes: usize,
    /// `retention.ms`, default 7 days; -1 is forever.
    pub retention_ms: i64,
    /// `retention.bytes`, default -1: no limit.
    pub retention_bytes: i64,
    /// `flush.messages`, default never: records after which an append is followed by an fsync.
    pub flush_messages: i64,
    /// `flush.ms`, default never: how long written records may wait for an fsync.
    pub flush_ms: i64,
    /// `message.timestamp.type`, default CreateTime.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`, default no limit: how far timestamps may lie in the past.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`, default 1 hour: how far timestamps may lie in the future.
    pub message_timestamp_after_max_ms: i64,
    /// `compression.type`, default producer.
    pub compression_type: CompressionType,
    /// For a `compression.type` other than producer, and for compaction.
    pub compression_levels: CompressionLevels,
    /// `min.cleanable.dirty.ratio`, default 0.5: a log is compacted when more of it than this was never compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`, default 0: records stay uncompacted for at least so long.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`, default no limit: records are compacted after so long, whatever the ratio.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`, default 1 day: how long tombstones stay after the first compaction that sees them.
    pub delete_retention_ms: i64,
    /// Group commit, `headwater.group.commit.enable`, default false: consumers see, and producers get acknowledged, what has
    /// been synced to disk. A broker setting.
    pub group_commit: bool,
    /// Strict validation, `headwater.strict.validation.enable`, default false: every record of a produced batch is looked at before the
    /// batch is appended, and not only the batch's header and checksum. A broker setting.
    pub strict_validation: bool,
    /// Default 128 KiB, a power of two; 0 is none: how many zeros are written ahead of small appends, see the module `segment`. None are
    /// with group commit. Not a setting of topics.
    pub spare_bytes: u64,
    /// `producer.id.expiration.ms`, default 1 day: how long an idle producer is remembered. A broker
    /// setting in Kafka, hence not among a topic's overrides.
    pub producer_id_expiration_ms: i64,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const MAX_SEGMENT_BYTES: i64 = i32::MAX as i64;

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: false,
            },
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 * 1024 * 1024,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 60 * 60 * 1000,
            compression_type: CompressionType::Producer,
            compression_levels: CompressionLevels { gzip: -1, zstd: 3 },
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: DAY_MS,
            group_commit: false,
            strict_validation: false,
            spare_bytes: 128 * 1024,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}

/// A configuration that no topic can have: Kafka's error 40 INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No topic configuration has this name.
    #[error("unknown topic config {0}")]
    UnknownName(String),
    /// The value is not of the config's type or range.
    #[error("invalid value {value:?} for topic config {name}: expected {expected}")]
    InvalidValue {
        /// Name of the config.
        name: String,
        /// The value given.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// Names that Kafka knows and this log stores and describes, but does not act on.
const ACCEPTED_NAMES: [&str; 15] = [
    "compression.lz4.level",
    "file.delete.delay.ms",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "unclean.leader.election.enable",
];

impl LogConfig {
    /// How long a segment is written at most: one that is never sealed is never compacted.
    pub(crate) fn max_segment_ms(&self) -> i64 {
        if self.cleanup_policy.compact {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    /// These defaults with a topic's overrides applied.
    ///
    /// # Errors
    /// [`ConfigError`] for the first name or value that is not valid.
    ///
    /// ```
    /// use broker::log::LogConfig;
    ///
    /// let overrides = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
    /// let config = LogConfig::default().with_overrides(&overrides).unwrap();
    /// assert!(config.cleanup_policy.compact && !config.cleanup_policy.delete);
    /// ```
    pub fn with_overrides(&self, overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        for (name, value) in overrides {
            config.set(name, value)?;
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "cleanup.policy" => self.cleanup_policy = cleanup_policy(value)?,
            "segment.bytes" => self.segment_bytes = number(name, value, 14, MAX_SEGMENT_BYTES)? as u64,
            "segment.jitter.ms" => self.segment_jitter_ms = number(name, value, 0, i64::MAX)?,
            "segment.index.bytes" => {
                self.segment_index_bytes = number(name, value, 4, i64::from(i32::MAX))? as usize;
            }
            "segment.ms" => self.segment_ms = number(name, value, 1, i64::MAX)?,
            "index.interval.bytes" => {
                self.index_interval_bytes = number(name, value, 0, i64::from(i32::MAX))? as u32;
            }
            "max.message.bytes" => {
                self.max_message_bytes = number(name, value, 0, i64::from(i32::MAX))? as usize;
            }
            "retention.ms" => self.retention_ms = number(name, value, -1, i64::MAX)?,
            "retention.bytes" => self.retention_bytes = number(name, value, i64::MIN, i64::MAX)?,
            "flush.messages" => self.flush_messages = number(name, value, 1, i64::MAX)?,
            "flush.ms" => self.flush_ms = number(name, value, 0, i64::MAX)?,
            "message.timestamp.type" => self.message_timestamp_type = timestamp_type(value)?,
            "message.timestamp.before.max.ms" => {
                self.message_timestamp_before_max_ms = number(name, value, 0, i64::MAX)?;
            }
            "message.timestamp.after.max.ms" => {
                self.message_timestamp_after_max_ms = number(name, value, 0, i64::MAX)?;
            }
            "compression.gzip.level" => {
                self.compression_levels.gzip = number(name, value, -1, 9)? as i32;
            }
            "compression.zstd.level" => {
                self.compression_levels.zstd = number(name, value, -131_072, 22)? as i32;
            }
            "compression.type" => self.compression_type = compression_type(value)?,
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = ratio(name, value)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = number(name, value, 0, i64::MAX)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = number(name, value, 1, i64::MAX)?,
            "delete.retention.ms" => self.delete_retention_ms = number(name, value, 0, i64::MAX)?,
            _ if ACCEPTED_NAMES.contains(&name) => {}
            _ => return Err(ConfigError::UnknownName(name.to_owned())),
        }
        Ok(())
    }
}

fn number(name: &str, value: &str, least: i64, most: i64) -> Result<i64, ConfigError> {
    value
        .trim()
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| ConfigError::InvalidValue {
            name: name.to_owned(),
            value: value.to_owned(),
            expected: "a whole number in the range of this config",
        })
}

fn ratio(name: &str, value: &str) -> Result<f64, ConfigError> {
    value
        .trim()
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| ConfigError::InvalidValue {
            name: name.to_owned(),
            value: value.to_owned(),
            expected: "a number from 0 to 1",
        })
}

fn compression_type(value: &str) -> Result<CompressionType, ConfigError> {
    Ok(match value {
        "producer" => CompressionType::Producer,
        "uncompressed" => CompressionType::Codec(Compression::None),
        "gzip" => CompressionType::Codec(Compression::Gzip),
        "snappy" => CompressionType::Codec(Compression::Snappy),
        "lz4" => CompressionType::Codec(Compression::Lz4),
        "zstd" => CompressionType::Codec(Compression::Zstd),
        _ => {
            return Err(ConfigError::InvalidValue {
                name: "compression.type".to_owned(),
                value: value.to_owned(),
                expected: "producer, uncompressed, gzip, snappy, lz4 or zstd",
            });
        }
    })
}

fn cleanup_policy(value: &str) -> Result<CleanupPolicy, ConfigError> {
    let mut policy = CleanupPolicy {
        delete: false,
        compact: false,
    };
    for word in value.split(',').map(str::trim) {
        match word {
            "delete" => policy.delete = true,
            "compact" => policy.compact = true,
            "" if value.trim().is_empty() => {}
            _ => {
                return Err(ConfigError::InvalidValue {
                    name: "cleanup.policy".to_owned(),
                    value: value.to_owned(),
                    expected: "delete, compact, or both separated by a comma",
                });
            }
        }
    }
    Ok(policy)
}

fn timestamp_type(value: &str) -> Result<TimestampType, ConfigError> {
    match value {
        "CreateTime" => Ok(TimestampType::CreateTime),
        "LogAppendTime" => Ok(TimestampType::LogAppendTime),
        _ => Err(ConfigError::InvalidValue {
            name: "message.timestamp.type".to_owned(),
            value: value.to_owned(),
            expected: "CreateTime or LogAppendTime",
        }),
    }
}
