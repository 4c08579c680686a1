//! The transport seam: where records come from and where they go.
//!
//! ```text
//!            append ->  | 0 | 1 | 2 | 3 | C | 5 | 6 |        C: control record (commit or abort), never delivered
//!                         ^               ^       ^
//!                  log start offset   last stable  high watermark (next offset to be written)
//! ```
//!
//! Rules every implementation keeps, and the module `conformance` checks: records of a partition are delivered in offset order, once
//! per position, without gaps but for control records and aborted ones; a read-committed consumer sees nothing at or
//! beyond the last stable offset and nothing of an aborted transaction; what a producer sent is readable after
//! [`Producer::flush`] returned; a transaction's records and its offsets become visible together or not at all.
//!
//! All traits are object-safe and blocking, with time limits: a stream thread is an OS thread. Records cross the seam in
//! batches ([`RecordSet`]: one buffer and an index of plain structs), so that a record costs no allocation here.

#[cfg(any(test, feature = "conformance"))]
#[allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a rule that does not hold panics"
)]
pub mod conformance;
pub mod memory;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::LogError;
use crate::membership::{GroupMetadata, Membership, MembershipConfig};
use crate::record::Headers;

/// Result of a call over the seam.
pub type LogResult<T> = Result<T, LogError>;

/// A transport: the embedded broker, memory, or a Kafka cluster.
pub trait Log: Send + Sync + Debug {
    /// A consumer with nothing assigned.
    ///
    /// # Errors
    /// If the log is closed or cannot be reached.
    fn consumer(&self, config: &ConsumerConfig) -> LogResult<Box<dyn Consumer>>;

    /// A producer. Nothing is fenced before [`Producer::init_transactions`].
    ///
    /// # Errors
    /// If the log is closed or cannot be reached.
    fn producer(&self, config: &ProducerConfig) -> LogResult<Box<dyn Producer>>;

    /// Topics, offsets and what else an application administers.
    ///
    /// # Errors
    /// If the log is closed or cannot be reached.
    fn admin(&self) -> LogResult<Box<dyn Admin>>;

    /// Membership of this instance's thread in its consumer group.
    ///
    /// # Errors
    /// If the log is closed or cannot be reached.
    fn membership(&self, config: &MembershipConfig) -> LogResult<Box<dyn Membership>>;
}

/// Reads assigned partitions.
pub trait Consumer: Send + Debug {
    /// Replaces the assignment. Partitions that stay keep their position and pause state unless a position is given;
    /// new ones need a position.
    ///
    /// # Errors
    /// If a partition does not exist, or a new one comes without position.
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> LogResult<()>;

    /// Moves the position of an assigned partition: the next offset to be delivered.
    ///
    /// # Errors
    /// If the partition is not assigned.
    fn seek(&mut self, partition: &TopicPartition, offset: i64) -> LogResult<()>;

    /// Stops fetching a partition until [`resume`](Self::resume). Its position stays.
    ///
    /// # Errors
    /// If the partition is not assigned.
    fn pause(&mut self, partition: &TopicPartition) -> LogResult<()>;

    /// Fetches a paused partition again.
    ///
    /// # Errors
    /// If the partition is not assigned.
    fn resume(&mut self, partition: &TopicPartition) -> LogResult<()>;

    /// What arrived, waiting up to `timeout` for the first records; empty if nothing did. Bounded by
    /// [`ConsumerConfig::max_poll_bytes`]. A set may hold no records and still move the position (control records).
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] if a position is outside its log; others if the log failed.
    fn poll(&mut self, timeout: Duration) -> LogResult<Vec<Fetched>>;
}

/// Writes records, in transactions if it has a transactional id.
pub trait Producer: Send + Debug {
    /// Looks a topic up once, so that sending needs no names.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`] if it does not exist.
    fn topic(&mut self, name: &str) -> LogResult<TopicHandle>;

    /// Queues one record; it is written when its batch is full or at [`flush`](Self::flush). Blocks while the queue is full.
    ///
    /// # Errors
    /// Of this record, or of one sent earlier; after an error the transaction can only be aborted.
    fn send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> LogResult<()>;

    /// Returns when all that was sent is acknowledged.
    ///
    /// # Errors
    /// If a record could not be written.
    fn flush(&mut self) -> LogResult<()>;

    /// Offset of the last acknowledged record that this producer wrote to a partition.
    fn last_offset(&self, topic: TopicHandle, partition: i32) -> Option<i64>;

    /// Fences earlier producers of the same transactional id and ends their open transaction. Once, before any other
    /// transactional call.
    ///
    /// # Errors
    /// If there is no transactional id, or the log failed.
    fn init_transactions(&mut self) -> LogResult<()>;

    /// Starts a transaction; all that is sent until its end belongs to it.
    ///
    /// # Errors
    /// [`LogError::Fenced`] if another producer took over the transactional id.
    fn begin_transaction(&mut self) -> LogResult<()>;

    /// Makes input offsets part of the transaction (KIP-447: fenced by the group's generation).
    ///
    /// # Errors
    /// [`LogError::Fenced`] if the member is no longer part of the group's generation.
    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> LogResult<()>;

    /// Flushes and commits. When it returns, all of the transaction is visible to read-committed consumers.
    ///
    /// # Errors
    /// [`LogError::Fenced`], or if the log failed; the outcome is then known only after [`init_transactions`](Self::init_transactions)
    /// of a new producer.
    fn commit_transaction(&mut self) -> LogResult<()>;

    /// Drops what is queued and aborts.
    ///
    /// # Errors
    /// [`LogError::Fenced`], or if the log failed.
    fn abort_transaction(&mut self) -> LogResult<()>;
}

/// Topics and offsets.
pub trait Admin: Send + Debug {
    /// Number of partitions of each topic, `None` for those that do not exist.
    ///
    /// # Errors
    /// If the log cannot be reached.
    fn partition_counts(&mut self, topics: &[&str]) -> LogResult<Vec<Option<u32>>>;

    /// Names and partition counts of all topics there are.
    ///
    /// # Errors
    /// If the log cannot be reached.
    fn topics(&mut self) -> LogResult<BTreeMap<String, u32>>;

    /// Creates a topic.
    ///
    /// # Errors
    /// [`LogError::TopicExists`], or if the name, the count or a config is not valid.
    fn create_topic(&mut self, topic: &NewTopic) -> LogResult<()>;

    /// First offset, the offset after the last one a consumer of that isolation may read, or the first from a time on.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        which: OffsetSpec,
        isolation: Isolation,
    ) -> LogResult<Vec<i64>>;

    /// Committed offsets of a group; `None` where it never committed. Waits for open transactions that hold an offset of
    /// these partitions (Kafka's `requireStable`).
    ///
    /// # Errors
    /// If the log cannot be reached, or an open transaction did not end in time.
    fn committed_offsets(
        &mut self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> LogResult<Vec<Option<OffsetAndMetadata>>>;

    /// Removes all records before an offset. Used on repartition topics once their input is committed.
    ///
    /// # Errors
    /// If the offset is beyond the end, or the topic's cleanup policy forbids it.
    fn delete_records(&mut self, before: &[(TopicPartition, i64)]) -> LogResult<()>;
}

/// A topic and one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A topic as one producer knows it. Only of use with the producer it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicHandle {
    /// Index within the producer.
    pub index: u32,
    /// Number of partitions, at least 1.
    pub partitions: u32,
}

/// One record on its way to the log. `None` is a null key or value.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Event time, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Headers.
    pub headers: &'a Headers,
}

/// Records of one partition, as fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where they come from.
    pub partition: TopicPartition,
    /// The records, in offset order.
    pub records: RecordSet,
    /// Offset after the last one covered, control records included: the consumer's new position.
    pub next_offset: i64,
    /// Offset after the last record that this consumer could read when these were fetched.
    pub end_offset: i64,
}

/// Records in one shared buffer, and where each lies in it.
#[derive(Clone, Debug, Default)]
pub struct RecordSet {
    /// The bytes of all keys and values.
    pub data: Bytes,
    /// One entry a record.
    pub spans: Vec<RecordSpan>,
    /// Headers of those records that have some, by index into `spans`.
    pub headers: BTreeMap<u32, Headers>,
}

impl RecordSet {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Key of record `index`; `None` is null.
    #[inline]
    #[must_use]
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        self.spans[index].key.of(&self.data)
    }

    /// Value of record `index`; `None` is null.
    #[inline]
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.spans[index].value.of(&self.data)
    }

    /// Headers of record `index`.
    #[inline]
    #[must_use]
    pub fn headers(&self, index: usize) -> Headers {
        if self.headers.is_empty() {
            return Headers::default();
        }
        u32::try_from(index)
            .ok()
            .and_then(|index| self.headers.get(&index))
            .cloned()
            .unwrap_or_default()
    }
}

/// Where one record lies in its [`RecordSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSpan {
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Key bytes.
    pub key: Span,
    /// Value bytes.
    pub value: Span,
}

/// A part of a buffer, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// A null key or value.
    pub const NULL: Span = Span {
        start: 0,
        len: u32::MAX,
    };

    /// `len` bytes from `start`. A buffer is far smaller than 4 GiB: fetches are bounded.
    ///
    /// # Panics
    /// If the part does not lie within the first 4 GiB.
    #[inline]
    #[must_use]
    pub fn new(start: usize, len: usize) -> Self {
        let span = Self {
            start: u32::try_from(start).expect("fetch buffers are bounded well below 4 GiB"),
            len: u32::try_from(len).expect("fetch buffers are bounded well below 4 GiB"),
        };
        assert!(span.len != u32::MAX, "fetch buffers are bounded well below 4 GiB");
        span
    }

    /// The bytes, or `None` for null.
    #[inline]
    #[must_use]
    pub fn of(self, data: &[u8]) -> Option<&[u8]> {
        if self.len == u32::MAX {
            return None;
        }
        Some(&data[self.start as usize..self.start as usize + self.len as usize])
    }
}

/// A committed offset: the next one to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// Next offset to be read.
    pub offset: i64,
    /// What the application stored with it, at most 4,096 bytes.
    pub metadata: String,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Number of partitions, at least 1.
    pub partitions: u32,
    /// How many brokers have a copy; `None`: as the cluster's default says. Logs of one process have one.
    pub replication_factor: Option<i16>,
    /// Kafka topic configs, such as `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with default configs.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication_factor: None,
            configs: BTreeMap::new(),
        }
    }

    /// Sets one config.
    #[must_use]
    pub fn config(mut self, key: &str, value: impl Into<String>) -> Self {
        self.configs.insert(key.to_owned(), value.into());
        self
    }
}

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one still there.
    Earliest,
    /// The one after the last that a consumer of the given isolation may read.
    Latest,
    /// The first record's whose timestamp, in milliseconds since the Unix epoch, is at least this; as `Latest` if there is none.
    AtTimestamp(i64),
}

/// What a consumer may see of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All records.
    ReadUncommitted,
    /// Only records outside transactions and of committed ones.
    #[default]
    ReadCommitted,
}

/// How a consumer reads.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Name in logs and metrics.
    pub client_id: String,
    /// What it sees of transactions. Default: read committed.
    pub isolation: Isolation,
    /// Most bytes that one poll returns over all partitions (`fetch.max.bytes`). Default: 4 MiB.
    pub max_poll_bytes: usize,
    /// Most bytes of one partition in one poll (`max.partition.fetch.bytes`). Default: 1 MiB.
    pub max_partition_bytes: usize,
}

impl ConsumerConfig {
    /// Defaults under this name.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            isolation: Isolation::default(),
            max_poll_bytes: 4 << 20,
            max_partition_bytes: 1 << 20,
        }
    }
}

/// How a producer writes. Always idempotent.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// Name in logs and metrics.
    pub client_id: String,
    /// Set: the producer writes in transactions. Default: none.
    pub transactional_id: Option<String>,
    /// A transaction open longer than this is aborted by the log (`transaction.timeout.ms`). Default: 10 s, as Kafka Streams.
    pub transaction_timeout_ms: i32,
    /// A batch is written when it has this many bytes (`batch.size`). Default: 256 KiB.
    pub batch_bytes: usize,
}

impl ProducerConfig {
    /// Defaults under this name.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            transactional_id: None,
            transaction_timeout_ms: 10_000,
            batch_bytes: 256 << 10,
        }
    }
}
