//! Settings of an application. Names and defaults are Kafka Streams' where it has them.

use std::path::PathBuf;
use std::sync::Arc;

use super::listeners::{Listeners, RestoreListener, StateListener};
use crate::error::{Result, StreamsError};
use crate::handlers::ErrorHandlers;
use crate::log::Isolation;
use crate::metrics::RecordingLevel;
use crate::store::RocksDbOptions;
use crate::task::{MAX_TASK_IDLE_MS_DISABLED, TaskSettings};
use crate::time::{Clock, SystemClock};
#[cfg(doc)]
use crate::topology::fail_on_invalid_timestamp;
use crate::topology::{
    AutoOffsetReset, ConsumerRecord, DefaultTimestampExtractor, ExtractedTimestamp, InternalTopics,
    timestamp_extractor,
};

/// Settings of an application; `new` gives the defaults, fields are set directly or with the methods.
///
/// ```
/// use streams_core::runtime::{ProcessingGuarantee, StreamsConfig};
///
/// let config = StreamsConfig::new("word-count").state_dir("/var/lib/word-count").num_stream_threads(2);
/// assert_eq!(config.processing_guarantee, ProcessingGuarantee::ExactlyOnce);
/// ```
#[derive(Clone, Debug)]
pub struct StreamsConfig {
    /// `application.id`: names the consumer group, internal topics, transactional ids and the state directory.
    pub application_id: String,
    /// `client.id`: names threads and clients, in logs and on the cluster. Default: `<application id>-<process id>`; the process id is a
    /// UUID that the state directory keeps, in `kafka-streams-process-metadata`.
    pub client_id: Option<String>,
    /// `state.dir`: directory of persistent stores. Default: `headwater` in the system's folder for temporary files, as Kafka
    /// Streams does; set it for anything that should survive.
    pub state_dir: PathBuf,
    /// `num.stream.threads`. Default: 1.
    pub num_stream_threads: usize,
    /// `processing.guarantee`. Default: exactly once.
    pub processing_guarantee: ProcessingGuarantee,
    /// `commit.interval.ms`. Default: 100 with exactly-once, 30,000 with at-least-once, as Kafka Streams.
    pub commit_interval_ms: Option<u64>,
    /// `poll.ms`: longest wait for input when there is none. Default: 100.
    pub poll_ms: u64,
    /// `buffered.records.per.partition`: a partition with more records waiting is not fetched. Default: 1,000.
    pub buffered_records_per_partition: usize,
    /// `max.task.idle.ms`: how long a task that reads several partitions waits, by the wall clock, for one that has no more records: one
    /// may come that is older than those of the others (KIP-695). 0: only for what is on the log already, so that records are
    /// processed in the order of their times as far as they are known; [`MAX_TASK_IDLE_MS_DISABLED`], -1: not even for that.
    /// Default: 0.
    pub max_task_idle_ms: i64,
    /// `statestore.cache.max.bytes`: memory for typed values of all stores of the instance. Default: 64 MiB.
    pub cache_max_bytes: usize,
    /// Committed rows go to the byte stores this often at the latest; a crash replays at most what came since. Default: 5,000.
    pub store_flush_interval_ms: u64,
    /// `repartition.purge.interval.ms`: consumed records of repartition topics are deleted this often. Default: 30,000.
    pub repartition_purge_interval_ms: u64,
    /// `transaction.timeout.ms`: a transaction open longer than this is aborted. Default: 10,000.
    pub transaction_timeout_ms: i32,
    /// `session.timeout.ms`: an instance not heard of for this long is thrown out. Default: 10,000.
    pub session_timeout_ms: i32,
    /// `heartbeat.interval.ms`. Default: 1,000.
    pub heartbeat_interval_ms: i32,
    /// `max.poll.interval.ms`: how long others wait for this instance in a rebalance. Default: 60,000.
    pub max_poll_interval_ms: i32,
    /// `metadata.max.age.ms`: how often topics are looked for that patterns match. Default: 300,000.
    pub metadata_max_age_ms: u64,
    /// `auto.offset.reset`: where sources begin on a partition without a usable committed offset, unless they say so themselves.
    /// Default: earliest, as Kafka Streams. Internal topics and those of global tables are read from their first record.
    pub auto_offset_reset: AutoOffsetReset,
    pub(crate) timestamp_extractor: Option<DefaultTimestampExtractor>,
    /// How changelogs and repartition topics are made (`replication.factor` and what begins with `topic.`).
    pub internal_topics: InternalTopics,
    /// Limits of persistent stores in RocksDB, and what single stores have of their own (`rocksdb.config.setter`). Of no use with
    /// another engine.
    pub rocksdb: RocksDbOptions,
    pub(crate) listeners: Listeners,
    /// What is done about records that fail. Default: stop.
    pub errors: ErrorHandlers,
    /// `metrics.recording.level`: sensors of processors that are finer record nothing. Default: info.
    pub metrics_recording_level: RecordingLevel,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What a failure can do to results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// `exactly_once_v2`: outputs, state and input offsets are committed together, in one transaction for each thread.
    ExactlyOnce,
    /// `at_least_once`: after a failure, records since the last commit are processed again.
    AtLeastOnce,
}

impl StreamsConfig {
    /// Defaults for this application.
    pub fn new(application_id: impl Into<String>) -> Self {
        Self {
            application_id: application_id.into(),
            client_id: None,
            state_dir: std::env::temp_dir().join("headwater"),
            num_stream_threads: 1,
            processing_guarantee: ProcessingGuarantee::ExactlyOnce,
            commit_interval_ms: None,
            poll_ms: 100,
            buffered_records_per_partition: 1_000,
            max_task_idle_ms: 0,
            cache_max_bytes: 64 << 20,
            store_flush_interval_ms: 5_000,
            repartition_purge_interval_ms: 30_000,
            transaction_timeout_ms: 10_000,
            session_timeout_ms: 10_000,
            heartbeat_interval_ms: 1_000,
            max_poll_interval_ms: 60_000,
            metadata_max_age_ms: 300_000,
            auto_offset_reset: AutoOffsetReset::default(),
            timestamp_extractor: None,
            internal_topics: InternalTopics::default(),
            rocksdb: RocksDbOptions::default(),
            listeners: Listeners::default(),
            errors: ErrorHandlers::default(),
            metrics_recording_level: RecordingLevel::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// Sets what threads and clients are named after.
    ///
    /// ```
    /// use streams_core::runtime::StreamsConfig;
    ///
    /// // Its threads are `counter-a-StreamThread-1` and so on, their consumers `counter-a-StreamThread-1-consumer`.
    /// let config = StreamsConfig::new("word-count").client_id("counter-a");
    /// ```
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Sets the directory of persistent stores.
    #[must_use]
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = directory.into();
        self
    }

    /// Sets the number of stream threads.
    #[must_use]
    pub fn num_stream_threads(mut self, threads: usize) -> Self {
        self.num_stream_threads = threads;
        self
    }

    /// Sets the guarantee.
    #[must_use]
    pub fn processing_guarantee(mut self, guarantee: ProcessingGuarantee) -> Self {
        self.processing_guarantee = guarantee;
        self
    }

    /// Sets what is done about records that fail.
    #[must_use]
    pub fn errors(mut self, handlers: ErrorHandlers) -> Self {
        self.errors = handlers;
        self
    }

    /// Sets where sources begin that have no committed offset and do not say so themselves.
    #[must_use]
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.auto_offset_reset = reset;
        self
    }

    /// Sets who takes the event time of records whose source has no [extractor](crate::topology::SourceOptions::timestamp_extractor)
    /// of its own (`default.timestamp.extractor`). It sees keys and values as bytes. Internal topics, whose records have event times,
    /// and global tables do without. Default: [records' own timestamps](fail_on_invalid_timestamp).
    ///
    /// ```
    /// use streams_core::runtime::StreamsConfig;
    /// use streams_core::topology::log_and_skip_on_invalid_timestamp;
    ///
    /// let config = StreamsConfig::new("word-count").default_timestamp_extractor(log_and_skip_on_invalid_timestamp);
    /// ```
    #[must_use]
    pub fn default_timestamp_extractor<T: Into<ExtractedTimestamp>>(
        mut self,
        extract: impl Fn(&ConsumerRecord<'_, [u8], [u8]>) -> T + Send + Sync + 'static,
    ) -> Self {
        self.timestamp_extractor = Some(DefaultTimestampExtractor(timestamp_extractor(extract)));
        self
    }

    /// Sets how changelogs and repartition topics are made.
    #[must_use]
    pub fn internal_topics(mut self, settings: InternalTopics) -> Self {
        self.internal_topics = settings;
        self
    }

    /// Sets the limits of persistent stores.
    ///
    /// ```
    /// use streams_core::runtime::StreamsConfig;
    /// use streams_core::store::RocksDbOptions;
    ///
    /// let limits = RocksDbOptions::default().block_cache_bytes(256 << 20).write_buffer_bytes(16 << 20);
    /// let config = StreamsConfig::new("word-count").rocksdb(limits);
    /// assert_eq!(config.rocksdb.total_write_buffer_bytes, 64 << 20);
    /// ```
    ///
    /// What is set for one store, by its name, is said with [`per_store`](RocksDbOptions::per_store):
    ///
    /// ```
    /// use streams_core::runtime::StreamsConfig;
    /// use streams_core::store::{RocksDbCompaction, RocksDbOptions};
    ///
    /// let limits = RocksDbOptions::default().per_store(|store, options| match store {
    ///     "clicks" => options.write_buffers(4).compaction(RocksDbCompaction::Universal),
    ///     _ => options,
    /// });
    /// let config = StreamsConfig::new("word-count").rocksdb(limits);
    /// ```
    #[must_use]
    pub fn rocksdb(mut self, options: RocksDbOptions) -> Self {
        self.rocksdb = options;
        self
    }

    /// Sets who hears how stores are restored. Default: nobody.
    #[must_use]
    pub fn restore_listener(mut self, listener: impl RestoreListener + 'static) -> Self {
        self.listeners.restore = Arc::new(listener);
        self
    }

    /// Sets who hears how the application's state changes. Default: nobody.
    #[must_use]
    pub fn state_listener(mut self, listener: impl StateListener + 'static) -> Self {
        self.listeners.state = Arc::new(listener);
        self
    }

    /// Sets how much [sensors](crate::processor::ProcessorInit::add_sensor) record.
    #[must_use]
    pub fn metrics_recording_level(mut self, level: RecordingLevel) -> Self {
        self.metrics_recording_level = level;
        self
    }

    /// Sets how long tasks [wait](Self::max_task_idle_ms) for partitions that have no more records.
    ///
    /// ```
    /// use streams_core::runtime::StreamsConfig;
    ///
    /// // Whoever fills the joined topics does so within two seconds.
    /// let config = StreamsConfig::new("orders").max_task_idle_ms(2_000);
    /// ```
    #[must_use]
    pub fn max_task_idle_ms(mut self, idle_ms: i64) -> Self {
        self.max_task_idle_ms = idle_ms;
        self
    }

    /// Sets the commit interval.
    #[must_use]
    pub fn commit_interval_ms(mut self, interval_ms: u64) -> Self {
        self.commit_interval_ms = Some(interval_ms);
        self
    }

    pub(crate) fn task_settings(&self) -> TaskSettings {
        TaskSettings {
            handlers: self.errors.clone(),
            timestamp_extractor: self.timestamp_extractor.clone(),
            max_idle_ms: self.max_task_idle_ms,
        }
    }

    pub(crate) fn exactly_once(&self) -> bool {
        self.processing_guarantee == ProcessingGuarantee::ExactlyOnce
    }

    /// What the application sees of others' transactions.
    pub(crate) fn isolation(&self) -> Isolation {
        match self.exactly_once() {
            true => Isolation::ReadCommitted,
            false => Isolation::ReadUncommitted,
        }
    }

    pub(crate) fn effective_commit_interval_ms(&self) -> u64 {
        self.commit_interval_ms
            .unwrap_or(if self.exactly_once() { 100 } else { 30_000 })
    }

    pub(crate) fn check(&self) -> Result<()> {
        let id = &self.application_id;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if id.is_empty() || id == "." || id == ".." || !id.bytes().all(legal) {
            return Err(StreamsError::Config(format!(
                "application id `{id}` names topics and directories: use ASCII letters, digits, `.`, `_` and `-`"
            )));
        }
        self.rocksdb.check().map_err(StreamsError::Config)?;
        if self.num_stream_threads == 0 {
            return Err(StreamsError::Config(
                "num_stream_threads is 0: at least 1 is needed".to_owned(),
            ));
        }
        if self.max_task_idle_ms < MAX_TASK_IDLE_MS_DISABLED {
            return Err(StreamsError::Config(format!(
                "max_task_idle_ms is {}: use -1 to wait for no partition, 0 to wait for what is on the log, or milliseconds",
                self.max_task_idle_ms
            )));
        }
        let timeout_ms = u64::try_from(self.transaction_timeout_ms).unwrap_or(0);
        if self.exactly_once() && timeout_ms <= self.effective_commit_interval_ms() {
            return Err(StreamsError::Config(format!(
                "transaction_timeout_ms ({timeout_ms}) must be longer than commit_interval_ms ({}), or transactions are \
                 aborted before they are committed",
                self.effective_commit_interval_ms()
            )));
        }
        Ok(())
    }
}
