//! What can go wrong with topics and the data directory; the variants that a client can cause know their
//! Kafka error code.

use std::path::PathBuf;

use crate::log::{ConfigError, LogError};

/// A request about topics failed, or the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// 3 UNKNOWN_TOPIC_OR_PARTITION.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// 3 UNKNOWN_TOPIC_OR_PARTITION.
    #[error("topic {name} has no partition {partition}, only {count} counted from 0")]
    UnknownPartition {
        /// The topic.
        name: String,
        /// The partition asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// 17 INVALID_TOPIC_EXCEPTION.
    #[error("invalid topic name {name:?}: {reason}")]
    InvalidTopic {
        /// The name.
        name: String,
        /// Why it is not allowed.
        reason: String,
    },
    /// 36 TOPIC_ALREADY_EXISTS.
    #[error("topic {name} already exists")]
    TopicAlreadyExists {
        /// The name.
        name: String,
    },
    /// 37 INVALID_PARTITIONS.
    #[error("topic {name} cannot have {count} partitions: {reason}")]
    InvalidPartitions {
        /// The topic.
        name: String,
        /// The number asked for.
        count: i32,
        /// Why not.
        reason: String,
    },
    /// 40 INVALID_CONFIG.
    #[error("topic {name}: {source}")]
    InvalidConfig {
        /// The topic.
        name: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// The directory belongs to another process.
    #[error(
        "data directory {dir} is in use by another process: stop that one, or give this one a data \
         directory of its own"
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory was written by a later version.
    #[error(
        "data directory {dir} has format version {found}, this program knows {supported} and older: \
         start it with the newer version, or give this one another data directory"
    )]
    NewerFormat {
        /// The data directory.
        dir: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// A file that describes a topic or the directory cannot be understood.
    #[error("cannot understand {path}: {reason}. Restore the file from a copy; nothing was changed")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder is in the way of a partition: it belongs to another topic.
    #[error("folder {path} belongs to another topic, id {found}: move it out of the data directory")]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// The topic id in it.
        found: String,
    },
    /// A thread panicked while it held a lock; what the lock guards cannot be trusted.
    #[error("{what} is locked since a thread panicked with it: restart the broker")]
    Poisoned {
        /// What cannot be used.
        what: String,
    },
    /// 56 KAFKA_STORAGE_ERROR.
    #[error(transparent)]
    Storage(#[from] LogError),
}

impl TopicError {
    /// The number of the Kafka error that a client gets.
    pub fn error_code(&self) -> i16 {
        match self {
            Self::UnknownTopic { .. } | Self::UnknownPartition { .. } => 3,
            Self::InvalidTopic { .. } => 17,
            Self::TopicAlreadyExists { .. } => 36,
            Self::InvalidPartitions { .. } => 37,
            Self::InvalidConfig { .. } => 40,
            Self::InUse { .. }
            | Self::NewerFormat { .. }
            | Self::Damaged { .. }
            | Self::ForeignFolder { .. }
            | Self::Poisoned { .. }
            | Self::Storage(_) => 56,
        }
    }
}
