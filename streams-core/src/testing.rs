//! The test driver: runs a topology without broker, threads or waiting, deterministically (Kafka's `TopologyTestDriver`).
//!
//! Each record that is piped in is processed to the end, punctuation and commit included, before the call returns; what
//! goes to repartition topics is read again at once. All topics have one partition, unless [more](TestDriverOptions::partitions) are
//! asked for; stores are in memory; the wall clock stands still until it is moved.
//!
//! One processor alone, without a topology, is tested in a [`MockProcessorContext`].

mod processor;
mod producer;
mod tasks;
mod topics;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use processor::{CapturedForward, MockProcessorContext};
pub use topics::{TestInputTopic, TestOutputTopic};

use self::tasks::Driven;
use crate::assignment::TaskId;
use crate::error::{Result, StreamsError};
use crate::handlers::ErrorHandlers;
use crate::log::TopicPartition;
use crate::metrics::{DropReason, Metric, RecordingLevel};
use crate::record::Headers;
use crate::serde::{DefaultSerde, Serde};
use crate::store::{
    Custom, CustomStore, GlobalKeyValueStore, KeyValueStore, SessionStore, VersionedKeyValueStore,
    WindowStore,
};
use crate::topology::{
    ConsumerRecord, DefaultTimestampExtractor, ErasedHandle, ExtractedTimestamp, Topology,
    timestamp_extractor,
};

/// The application id that names internal topics in the driver, unless [another](TestDriverOptions::application_id) is said.
pub const APPLICATION_ID: &str = "app";

/// Runs one topology. See the module's page.
///
/// ```
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
/// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
///
/// driver.input::<String, i64>("numbers").pipe("a".into(), 7).unwrap();
/// assert_eq!(driver.output::<String, i64>("copies").read_key_values(), [("a".into(), 7)]);
/// ```
#[derive(Clone)]
pub struct TopologyTestDriver {
    inner: Rc<RefCell<Driven>>,
    /// The partition it is asked about; otherwise keys decide, and all partitions are read.
    partition: Option<i32>,
}

/// How a [`TopologyTestDriver`] runs.
///
/// ```
/// use streams_core::handlers::{ErrorHandlers, LogAndContinue};
/// use streams_core::metrics::DropReason;
/// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
/// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
/// let handlers = ErrorHandlers::default().deserialization(LogAndContinue).dead_letter_topic("dead-letters");
/// let options = TestDriverOptions::default().errors(handlers);
/// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
///
/// driver.input("numbers").pipe("a".to_string(), "seven".to_string())?;
/// assert_eq!(driver.dropped(DropReason::Deserialization), 1);
/// let dead: (String, String) = driver.output("dead-letters").read_key_values().remove(0);
/// assert_eq!(dead, ("a".into(), "seven".into()));
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TestDriverOptions {
    application_id: Arc<str>,
    wall_clock_ms: i64,
    state_dir: Option<PathBuf>,
    errors: ErrorHandlers,
    metrics_recording_level: RecordingLevel,
    timestamp_extractor: Option<DefaultTimestampExtractor>,
    max_task_idle_ms: i64,
    partitions: BTreeMap<String, u32>,
}

impl Default for TestDriverOptions {
    fn default() -> Self {
        Self {
            application_id: Arc::from(APPLICATION_ID),
            wall_clock_ms: 0,
            state_dir: None,
            errors: ErrorHandlers::default(),
            metrics_recording_level: RecordingLevel::default(),
            timestamp_extractor: None,
            max_task_idle_ms: 0,
            partitions: BTreeMap::new(),
        }
    }
}

impl TestDriverOptions {
    /// The application's id, which the names of internal topics begin with. Default: [`APPLICATION_ID`].
    #[must_use]
    pub fn application_id(mut self, id: &str) -> Self {
        self.application_id = Arc::from(id);
        self
    }

    /// Where the wall clock stands at first, in milliseconds since the Unix epoch. Default: 0.
    #[must_use]
    pub fn wall_clock_ms(mut self, now_ms: i64) -> Self {
        self.wall_clock_ms = now_ms;
        self
    }

    /// Where processors find their tasks' [directories](crate::TaskContext::state_dir). The driver's own stores are in memory all
    /// the same. Default: there are none.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// What is done about records that fail. Default: the call that piped the record returns the error.
    #[must_use]
    pub fn errors(mut self, handlers: ErrorHandlers) -> Self {
        self.errors = handlers;
        self
    }

    /// How much [sensors](crate::processor::ProcessorInit::add_sensor) record. Default: info.
    #[must_use]
    pub fn metrics_recording_level(mut self, level: RecordingLevel) -> Self {
        self.metrics_recording_level = level;
        self
    }

    /// Who takes the event time of records whose source has no extractor of its own: as
    /// [in an application](crate::runtime::StreamsConfig::default_timestamp_extractor). Default: records' own timestamps.
    ///
    /// ```
    /// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder, wallclock_timestamp};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let read = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    /// builder.add_sink("out", TopicName::external("out"), &[read], SinkOptions::default());
    /// let options = TestDriverOptions::default().default_timestamp_extractor(wallclock_timestamp).wall_clock_ms(9_000);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 5)?;
    /// assert_eq!(driver.written("out")[0].timestamp_ms, 9_000);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn default_timestamp_extractor<T: Into<ExtractedTimestamp>>(
        mut self,
        extract: impl Fn(&ConsumerRecord<'_, [u8], [u8]>) -> T + Send + Sync + 'static,
    ) -> Self {
        self.timestamp_extractor = Some(DefaultTimestampExtractor(timestamp_extractor(extract)));
        self
    }

    /// How long a task waits for an input that has no more records, as
    /// [in an application](crate::runtime::StreamsConfig::max_task_idle_ms): records that wait are processed when all other inputs have
    /// some, or the [wall clock](TopologyTestDriver::advance_wall_clock) was moved by as much since the first of them was piped. Default:
    /// 0, so nothing waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let topics = ["orders", "payments"].map(TopicName::external);
    /// let both = builder.add_source::<String, i64>("in", topics, SourceOptions::default());
    /// builder.add_sink("out", TopicName::external("out"), &[both], SinkOptions::default());
    /// let options = TestDriverOptions::default().max_task_idle_ms(500);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// let out = driver.output::<String, i64>("out");
    ///
    /// driver.input("orders").pipe_at("order".to_string(), 1_i64, 20)?;
    /// assert!(out.is_empty());
    /// driver.input("payments").pipe_at("payment".to_string(), 1_i64, 10)?;
    /// // The payment is older. Now payments are waited for again.
    /// assert_eq!(out.read_key_values(), [("payment".into(), 1)]);
    /// driver.advance_wall_clock(Duration::from_millis(500))?;
    /// assert_eq!(out.read_key_values(), [("order".into(), 1)]);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn max_task_idle_ms(mut self, idle_ms: i64) -> Self {
        self.max_task_idle_ms = idle_ms;
        self
    }

    /// How many partitions a topic has. Once one is said, the driver has a task for each sub-topology and partition, as a running
    /// application: joined topics must have equal counts, and each task has its own part of the state. Topics that are not
    /// said have one partition, internal topics as many as their input.
    ///
    /// ```
    /// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
    /// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
    /// let options = TestDriverOptions::default().partitions("numbers", 3).partitions("copies", 2);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    ///
    /// driver.on_partition(2).input("numbers").pipe("a".to_string(), 7_i64)?;
    /// // Keys decide the partition of what is written.
    /// let by_partition = [0, 1].map(|p| driver.on_partition(p).output::<String, i64>("copies").read_key_values().len());
    /// assert_eq!(by_partition, [1, 0]);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn partitions(mut self, topic: &str, partitions: u32) -> Self {
        self.partitions.insert(topic.to_owned(), partitions.max(1));
        self
    }
}

/// A record as it was written to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRecord {
    /// Key bytes; `None` is null.
    pub key: Option<Bytes>,
    /// Value bytes; `None` is null.
    pub value: Option<Bytes>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Headers.
    pub headers: Headers,
}

impl TopologyTestDriver {
    /// A driver with empty stores and default options.
    ///
    /// # Errors
    /// If the topology cannot be made live.
    pub fn new(topology: &Topology) -> Result<Self> {
        Self::with_options(topology, TestDriverOptions::default())
    }

    /// A driver that runs as `options` say.
    ///
    /// # Errors
    /// If the topology cannot be made live, or topics that are joined have unlike partition counts.
    pub fn with_options(topology: &Topology, options: TestDriverOptions) -> Result<Self> {
        topology.late_changes().check()?;
        Ok(Self {
            inner: Rc::new(RefCell::new(Driven::new(topology, options)?)),
            partition: None,
        })
    }

    /// The same driver, asked about one partition: what is piped goes there, whatever its key, what is read was written there,
    /// and stores are those of its task.
    #[must_use]
    pub fn on_partition(&self, partition: i32) -> Self {
        Self {
            inner: Rc::clone(&self.inner),
            partition: Some(partition),
        }
    }

    /// An input topic with the types' default serdes.
    #[must_use]
    pub fn input<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> TestInputTopic<K, V> {
        self.input_with(topic, K::default_serde(), V::default_serde())
    }

    /// An input topic with these serdes.
    #[must_use]
    pub fn input_with<K, V>(
        &self,
        topic: &str,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> TestInputTopic<K, V> {
        TestInputTopic::new(self.clone(), topic, key_serde, value_serde)
    }

    /// An output topic with the types' default serdes.
    #[must_use]
    pub fn output<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> TestOutputTopic<K, V> {
        self.output_with(topic, K::default_serde(), V::default_serde())
    }

    /// An output topic with these serdes.
    #[must_use]
    pub fn output_with<K, V>(
        &self,
        topic: &str,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> TestOutputTopic<K, V> {
        TestOutputTopic::new(self.clone(), topic, key_serde, value_serde)
    }

    /// Pipes raw bytes into a topic.
    ///
    /// # Errors
    /// If the topology does not read the topic, or processing failed.
    pub fn pipe_raw(&self, topic: &str, record: &WrittenRecord) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        let partition = match self.partition {
            Some(partition) => partition,
            None => inner.partition_of(topic, record.key.as_deref()),
        };
        inner.enqueue(TopicPartition::new(topic, partition), record)?;
        inner.run()
    }

    /// Moves the wall clock; calls wall-clock schedules that become due, each at most once.
    ///
    /// # Errors
    /// If a punctuation failed.
    pub fn advance_wall_clock(&self, by: Duration) -> Result<()> {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.inner.borrow_mut().advance_wall_clock(by_ms)
    }

    /// Where the wall clock stands, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn wall_clock_ms(&self) -> i64 {
        self.inner.borrow().now_ms
    }

    /// A key-value store of the topology.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn key_value_store<K: 'static, V: 'static>(&self, name: &str) -> Result<KeyValueStore<K, V>> {
        self.store(name)
    }

    /// A window store of the topology.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn window_store<K: 'static, V: 'static>(&self, name: &str) -> Result<WindowStore<K, V>> {
        self.store(name)
    }

    /// A session store of the topology.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn session_store<K: 'static, V: 'static>(&self, name: &str) -> Result<SessionStore<K, V>> {
        self.store(name)
    }

    /// A global store of the topology.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn global_store<K: 'static, V: 'static>(&self, name: &str) -> Result<GlobalKeyValueStore<K, V>> {
        let inner = self.inner.borrow();
        typed(inner.global_handles.get(name), name)
    }

    /// A versioned store of the topology.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn versioned_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<K, V>> {
        self.store(name)
    }

    /// A store of one's own of the topology.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn custom_store<S: CustomStore>(&self, name: &str) -> Result<Custom<S>> {
        self.store(name)
    }

    /// All that was ever written to a topic, internal ones included (`app-counts-changelog`), in order.
    #[must_use]
    pub fn written(&self, topic: &str) -> Vec<WrittenRecord> {
        let inner = self.inner.borrow();
        let all = inner
            .producer
            .find(topic)
            .into_iter()
            .flat_map(|log| &log.records);
        all.filter(|(partition, _)| self.partition.is_none_or(|asked| asked == *partition))
            .map(|(_, record)| record.clone())
            .collect()
    }

    fn written_at(&self, topic: &str, index: usize) -> Option<WrittenRecord> {
        let inner = self.inner.borrow();
        let records = &inner.producer.find(topic)?.records;
        let (_, record) = match self.partition {
            None => records.get(index)?,
            Some(asked) => records
                .iter()
                .filter(|(partition, _)| *partition == asked)
                .nth(index)?,
        };
        Some(record.clone())
    }

    fn written_count(&self, topic: &str) -> usize {
        let inner = self.inner.borrow();
        let Some(log) = inner.producer.find(topic) else {
            return 0;
        };
        let asked = |partition| self.partition.is_none_or(|asked| asked == partition);
        let of_asked = log.records.iter().filter(|(partition, _)| asked(*partition));
        of_asked.count()
    }

    /// Names of all topics that were written so far, internal ones included, in order.
    #[must_use]
    pub fn produced_topic_names(&self) -> BTreeSet<String> {
        let inner = self.inner.borrow();
        let names = inner.producer.topics.iter().map(|log| log.name.to_string());
        names.filter(|topic| self.written_count(topic) > 0).collect()
    }

    /// Names of all stores of the topology, global ones included, in order.
    ///
    /// ```
    /// # use streams_core::processor::{BoxError, Processor, ProcessorContext};
    /// # struct Nothing;
    /// # impl Processor<String, i64, String, i64> for Nothing {
    /// #     fn process(&mut self, _: streams_core::Record<String, i64>, _: &mut ProcessorContext<'_, '_, String, i64>) -> Result<(), BoxError> { Ok(()) }
    /// # }
    /// use streams_core::store::KeyValueStoreBuilder;
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SourceOptions, TopicName, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    /// builder.add_store(KeyValueStoreBuilder::<String, i64>::new("counts"));
    /// builder.add_processor::<_, _, String, i64, _>("count", &[input], &["counts"], |_| Ok(Nothing));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.store_names(), ["counts".to_string()].into());
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn store_names(&self) -> BTreeSet<String> {
        let inner = self.inner.borrow();
        let asked = |id: TaskId| self.partition.is_none_or(|partition| id.partition == partition);
        let tasks = inner.tasks.iter().filter(|task| asked(task.task.id()));
        let of_tasks = tasks.flat_map(|task| task.handles.keys());
        of_tasks.chain(inner.global_handles.keys()).cloned().collect()
    }

    /// How many records were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        let inner = self.inner.borrow();
        let by_tasks = inner.tasks.iter().map(|task| task.task.metrics().dropped(reason));
        by_tasks.sum::<u64>() + inner.global.metrics().dropped(reason)
    }

    /// All that is counted and measured of all tasks, by sensors of processors too; each has the tag `task-id`. See
    /// [`ProcessorInit::add_sensor`](crate::processor::ProcessorInit::add_sensor) for an example.
    #[must_use]
    pub fn read_metrics(&self) -> Vec<Metric> {
        let inner = self.inner.borrow();
        let asked = |id: TaskId| self.partition.is_none_or(|partition| id.partition == partition);
        let tasks = inner.tasks.iter().map(|task| &task.task);
        let tasks = tasks.filter(|task| asked(task.id()));
        tasks
            .flat_map(|task| task.metrics().read(task.id(), inner.now_ms))
            .collect()
    }

    fn store<T: Clone + 'static>(&self, name: &str) -> Result<T> {
        let inner = self.inner.borrow();
        let asked = |id: TaskId| self.partition.is_none_or(|partition| id.partition == partition);
        let mut having = inner
            .tasks
            .iter()
            .filter(|task| asked(task.task.id()))
            .filter_map(|task| task.handles.get(name));
        let first = having.next();
        if having.next().is_some() {
            return Err(StreamsError::Topology(format!(
                "several tasks have a part of store {name}: say which, with on_partition"
            )));
        }
        typed(first, name)
    }
}

fn typed<T: Clone + 'static>(handle: Option<&ErasedHandle>, name: &str) -> Result<T> {
    handle.and_then(ErasedHandle::typed::<T>).ok_or_else(|| {
        StreamsError::Topology(format!(
            "there is no store {name} of type {}",
            std::any::type_name::<T>()
        ))
    })
}

impl std::fmt::Debug for TopologyTestDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopologyTestDriver")
            .field("topics", &self.produced_topic_names())
            .finish_non_exhaustive()
    }
}
