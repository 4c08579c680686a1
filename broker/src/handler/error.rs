//! Why a broker could not be opened or closed.

use crate::config::BrokerConfigError;
use crate::coordinator_records::RecordError;
use crate::log::ReadError;
use crate::topic::TopicError;

/// Why a broker could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The data directory or a log in it.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A log could not be read while the coordinators' state was loaded.
    #[error("cannot load {topic}-{partition}: {source}")]
    Load {
        /// The internal topic.
        topic: &'static str,
        /// Its partition.
        partition: i32,
        /// Why.
        source: ReadError,
    },
    /// A record of an internal topic does not make sense.
    #[error(
        "cannot load {topic}-{partition}: the record at offset {offset} is not readable: {source}. If a newer broker wrote it, \
         start that one again; otherwise restore the partition from a backup"
    )]
    Record {
        /// The internal topic.
        topic: &'static str,
        /// Its partition.
        partition: i32,
        /// Offset of the record.
        offset: i64,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The reservation of producer ids.
    #[error("cannot reserve producer ids: {0}")]
    ProducerIds(std::io::Error),
    /// The thread that compacts.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A dynamic setting that this program does not know.
    #[error("cannot use what is set in cluster.json: {0}")]
    Config(#[from] BrokerConfigError),
    /// A thread panicked while it held a coordinator.
    #[error("a thread panicked while it held the {0} coordinator; restart the process")]
    Poisoned(&'static str),
}
