//! The errors of this crate. Each says what happened, where, and what to do about it.

use std::path::PathBuf;

use crate::log::TopicPartition;
use crate::serde::SerdeError;

/// What a [`Log`](crate::log::Log) can answer instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A topic does not exist.
    #[error("topic {topic} does not exist; create it before the application starts")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// A topic exists already.
    #[error("topic {topic} exists already")]
    TopicExists {
        /// Its name.
        topic: String,
    },
    /// A partition does not exist, or is not assigned to this consumer.
    #[error("partition {partition} is unknown here")]
    UnknownPartition {
        /// Which one.
        partition: TopicPartition,
    },
    /// A position lies outside of the log: the records there were deleted, or never written.
    #[error(
        "offset {offset} of {partition} is outside of the log, which goes from {log_start_offset} to {log_end_offset}"
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: i64,
        /// First offset there is.
        log_start_offset: i64,
        /// Offset after the last one.
        log_end_offset: i64,
    },
    /// Another instance took over: the transactional id or the membership. What was not committed is lost to this one.
    #[error("fenced: {reason}")]
    Fenced {
        /// By what.
        reason: String,
    },
    /// A record or a request is not acceptable.
    #[error("{reason}")]
    Invalid {
        /// Why, with place and remedy.
        reason: String,
    },
    /// Did not come about in time; may be tried again.
    #[error("timed out: {what}")]
    TimedOut {
        /// What was waited for.
        what: String,
    },
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// The log failed: disk, network, or an answer that makes no sense.
    #[error("{context}: {source}")]
    Failed {
        /// What was being done, and where.
        context: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LogError {
    /// A failure of disk, network or protocol.
    pub fn failed(
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed {
            context: context.into(),
            source: source.into(),
        }
    }

    /// A record or request that is not acceptable.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid {
            reason: reason.into(),
        }
    }

    /// True if another instance took over.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }
}

/// What stops an application.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The topology cannot be built or run.
    #[error("topology: {0}")]
    Topology(String),
    /// A setting is not valid.
    #[error("configuration: {0}")]
    Config(String),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] state_store::Error),
    /// A file or directory of the application.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A record could not be read, processed or written.
    #[error("{0}")]
    Process(Box<ProcessError>),
    /// A stream thread panicked.
    #[error("stream thread {thread} panicked: {message}")]
    Panicked {
        /// Name of the thread.
        thread: String,
        /// The panic's message.
        message: String,
    },
}

/// Result of what can stop an application.
pub type Result<T, E = StreamsError> = std::result::Result<T, E>;

/// A failure while one record was processed, with the place it happened.
#[derive(Debug)]
pub struct ProcessError {
    /// Why.
    pub cause: ProcessCause,
    /// Processor, where known.
    pub processor: Option<String>,
    /// Task, where known.
    pub task: Option<String>,
    /// Input record, where known.
    pub input: Option<(TopicPartition, i64)>,
}

impl ProcessCause {
    /// What a serde says, and where: `action` is `"read"` or `"write"`, `part` is `"key"` or `"value"`.
    #[cold]
    pub(crate) fn serde(action: &'static str, part: &'static str, topic: &str, error: SerdeError) -> Self {
        Self::Serde {
            action,
            part,
            topic: topic.to_owned(),
            error,
        }
    }
}

/// Why a record could not be processed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessCause {
    /// Bytes could not be read or a value not be written.
    #[error("cannot {action} the {part} for {topic}: {error}")]
    Serde {
        /// `"read"` or `"write"`.
        action: &'static str,
        /// `"key"` or `"value"`.
        part: &'static str,
        /// Topic whose serde it is.
        topic: String,
        /// What is wrong with it.
        error: SerdeError,
    },
    /// A store was asked for the row of a null key.
    #[error(
        "a store has no row for a null key (its changelog is {topic}): drop such records, or give them a key, before they get there"
    )]
    NullKey {
        /// The store's changelog.
        topic: String,
    },
    /// The log refused a record.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] state_store::Error),
    /// A row of a store is too short to be one.
    #[error(
        "store {store} holds a row of {length} bytes that it cannot have written; restore it by removing its directory"
    )]
    CorruptRow {
        /// The store.
        store: String,
        /// Bytes found.
        length: usize,
    },
    /// A record without a usable timestamp.
    #[error(
        "the record's timestamp is {timestamp_ms}: give the source a timestamp extractor, which may also drop it by a negative answer"
    )]
    InvalidTimestamp {
        /// As found.
        timestamp_ms: i64,
    },
    /// A timestamp extractor has no answer.
    #[error("the timestamp extractor failed: {0}")]
    TimestampExtractor(Box<dyn std::error::Error + Send + Sync>),
    /// A buffer that must not be emptied early is full.
    #[error(
        "buffer {store} is full, with {records} records and {used_bytes} bytes: give it more, or let it emit early when it is full"
    )]
    BufferFull {
        /// Its store.
        store: String,
        /// How many keys are in it.
        records: usize,
        /// What it takes.
        used_bytes: usize,
    },
    /// User code returned an error.
    #[error("{0}")]
    User(Box<dyn std::error::Error + Send + Sync>),
}

impl ProcessCause {
    /// The variant with its path. What it wraps may be of a type that nobody here can name.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Serde { .. } => "streams_core::error::ProcessCause::Serde",
            Self::NullKey { .. } => "streams_core::error::ProcessCause::NullKey",
            Self::Log(_) => "streams_core::error::ProcessCause::Log",
            Self::Store(_) => "streams_core::error::ProcessCause::Store",
            Self::CorruptRow { .. } => "streams_core::error::ProcessCause::CorruptRow",
            Self::InvalidTimestamp { .. } => "streams_core::error::ProcessCause::InvalidTimestamp",
            Self::TimestampExtractor(_) => "streams_core::error::ProcessCause::TimestampExtractor",
            Self::BufferFull { .. } => "streams_core::error::ProcessCause::BufferFull",
            Self::User(_) => "streams_core::error::ProcessCause::User",
        }
    }

    /// What caused it, beneath what its own message tells.
    pub(crate) fn caused_by(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::User(error) | Self::TimestampExtractor(error) => error.source(),
            Self::Log(error) => std::error::Error::source(error),
            Self::Store(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl std::fmt::Display for ProcessError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(processor) = &self.processor {
            write!(f, ", in processor {processor}")?;
        }
        if let Some(task) = &self.task {
            write!(f, ", task {task}")?;
        }
        if let Some((partition, offset)) = &self.input {
            write!(f, ", while processing offset {offset} of {partition}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ProcessError {}

impl<T: Into<ProcessCause>> From<T> for Box<ProcessError> {
    fn from(cause: T) -> Self {
        Box::new(ProcessError {
            cause: cause.into(),
            processor: None,
            task: None,
            input: None,
        })
    }
}

impl From<Box<ProcessError>> for StreamsError {
    fn from(error: Box<ProcessError>) -> Self {
        StreamsError::Process(error)
    }
}

/// Result of processing: one word when it went well.
pub type ProcessResult = std::result::Result<(), Box<ProcessError>>;
