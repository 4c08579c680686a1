//! The test driver: runs a topology without broker, threads or waiting, deterministically (Kafka's `TopologyTestDriver`).
//!
//! Each record that is piped in is processed to the end, punctuation and commit included, before the call returns; what
//! goes to repartition topics is read again at once. All topics have one partition; stores are in memory; the wall clock
//! stands still until it is moved.

mod topics;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use state_store::{MemoryEngine, StoreEngine, StoreIdentity};

pub use topics::{TestInputTopic, TestOutputTopic};

use crate::assignment::TaskId;
use crate::error::{LogError, Result, StreamsError};
use crate::global::GlobalState;
use crate::handlers::ErrorHandlers;
use crate::log::{
    Fetched, LogResult, OffsetAndMetadata, Producer, RecordSet, RecordSpan, RecordView, Span, TopicHandle,
    TopicPartition,
};
use crate::membership::GroupMetadata;
use crate::metrics::DropReason;
use crate::processor::PunctuationType;
use crate::record::Headers;
use crate::serde::{DefaultSerde, Serde};
use crate::store::{
    GlobalKeyValueStore, GlobalStoreSpec, KeyValueStore, SessionStore, StoreSpec, WindowStore,
};
use crate::task::{StartPosition, StreamTask};
use crate::topology::{ErasedHandle, StorePlace, Subtopology, Topology, open_global_stores, wire};

/// The application id that names internal topics in the driver.
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
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    task: StreamTask,
    handles: BTreeMap<String, ErasedHandle>,
    global: GlobalState,
    global_handles: BTreeMap<String, ErasedHandle>,
    producer: CapturingProducer,
    source_topics: Vec<String>,
    /// Next offset of each source topic.
    offsets: BTreeMap<String, i64>,
    now_ms: i64,
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
    /// A driver with empty stores, its wall clock at the Unix epoch.
    ///
    /// # Errors
    /// If the topology cannot be made live.
    pub fn new(topology: &Topology) -> Result<Self> {
        Self::with_errors(topology, ErrorHandlers::default())
    }

    /// A driver that does this about records that fail.
    ///
    /// ```
    /// use streams_core::handlers::{ErrorHandlers, LogAndContinue};
    /// use streams_core::metrics::DropReason;
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
    /// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
    /// let handlers = ErrorHandlers::default().deserialization(LogAndContinue).dead_letter_topic("dead-letters");
    /// let driver = TopologyTestDriver::with_errors(&builder.build()?, handlers)?;
    ///
    /// driver.input("numbers").pipe("a".to_string(), "seven".to_string())?;
    /// assert_eq!(driver.dropped(DropReason::Deserialization), 1);
    /// let dead: (String, String) = driver.output("dead-letters").read_key_values().remove(0);
    /// assert_eq!(dead, ("a".into(), "seven".into()));
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// If the topology cannot be made live.
    pub fn with_errors(topology: &Topology, handlers: ErrorHandlers) -> Result<Self> {
        let whole = Subtopology::whole(topology);
        let engine = MemoryEngine;
        let mut open = |spec: &StoreSpec| {
            let identity = StoreIdentity::new(APPLICATION_ID, "0_0", &spec.name);
            let spec = state_store::StoreSpec::new(identity, spec.layout);
            Ok(engine.open(&spec, None)?)
        };
        let mut open_global = |spec: &GlobalStoreSpec| {
            let identity = StoreIdentity::new(APPLICATION_ID, "global", &spec.name);
            let spec = state_store::StoreSpec::new(identity, state_store::Layout::Plain);
            Ok(engine.open(&spec, None)?)
        };
        let (global, global_stores) = GlobalState::open(topology, handlers.clone(), &mut open_global)?;
        let mut place = StorePlace {
            application_id: APPLICATION_ID,
            partition: 0,
            cache_bytes: usize::MAX,
            logs_every_put: true,
            globals: &global_stores,
            open: &mut open,
        };
        let mut producer = CapturingProducer::default();
        let mut live = wire(topology, &whole, &mut place, &mut producer)?;
        let handles = std::mem::take(&mut live.handles);
        let global_handles = open_global_stores(topology, &global_stores);
        let source_topics: Vec<String> = live
            .sources
            .iter()
            .flat_map(|(topics, _)| topics.clone())
            .collect();
        let inputs = source_topics
            .iter()
            .map(|topic| (TopicPartition::new(topic.as_str(), 0), StartPosition::at(0)))
            .collect();
        let id = TaskId {
            subtopology: 0,
            partition: 0,
        };
        let mut task = StreamTask::new(id, Arc::from(APPLICATION_ID), live, inputs, handlers);
        task.set_wall_clock_ms(0);
        task.punctuate(PunctuationType::WallClockTime, &mut producer)?;
        let inner = Inner {
            task,
            handles,
            global,
            global_handles,
            producer,
            source_topics,
            offsets: BTreeMap::new(),
            now_ms: 0,
        };
        Ok(Self {
            inner: Rc::new(RefCell::new(inner)),
        })
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
        inner.enqueue(topic, record)?;
        inner.run()
    }

    /// Moves the wall clock; calls wall-clock schedules that become due, each at most once.
    ///
    /// # Errors
    /// If a punctuation failed.
    pub fn advance_wall_clock(&self, by: Duration) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.now_ms = inner
            .now_ms
            .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        inner.task.set_wall_clock_ms(inner.now_ms);
        inner
            .task
            .punctuate(PunctuationType::WallClockTime, &mut inner.producer)?;
        inner.commit()?;
        inner.run()
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

    /// All that was ever written to a topic, internal ones included (`app-counts-changelog`), in order.
    #[must_use]
    pub fn written(&self, topic: &str) -> Vec<WrittenRecord> {
        let inner = self.inner.borrow();
        inner
            .producer
            .topics
            .iter()
            .find(|(name, _)| name == topic)
            .map(|(_, all)| all.clone())
            .unwrap_or_default()
    }

    fn written_at(&self, topic: &str, index: usize) -> Option<WrittenRecord> {
        let inner = self.inner.borrow();
        let (_, all) = inner.producer.topics.iter().find(|(name, _)| name == topic)?;
        all.get(index).cloned()
    }

    /// Names of all topics that were written or could be.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.inner
            .borrow()
            .producer
            .topics
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// How many records were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        let inner = self.inner.borrow();
        inner.task.metrics().dropped(reason) + inner.global.metrics().dropped(reason)
    }

    fn store<T: Clone + 'static>(&self, name: &str) -> Result<T> {
        let inner = self.inner.borrow();
        typed(inner.handles.get(name), name)
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
            .field("topics", &self.topics())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn enqueue(&mut self, topic: &str, record: &WrittenRecord) -> Result<()> {
        let is_global = self.global.reads(topic);
        if !is_global && !self.source_topics.iter().any(|source| source == topic) {
            let topics = self.source_topics.join(", ");
            return Err(StreamsError::Topology(format!(
                "the topology does not read topic {topic}, only: {topics}"
            )));
        }
        let next = self.offsets.entry(topic.to_owned()).or_default();
        let offset = *next;
        *next += 1;
        let fetched = Fetched {
            partition: TopicPartition::new(topic, 0),
            records: record.to_set(offset),
            next_offset: offset + 1,
            end_offset: offset + 1,
        };
        if is_global {
            return self.global.apply(&fetched);
        }
        self.task.add(fetched);
        Ok(())
    }

    /// Processes, punctuates and commits record by record until nothing is left.
    fn run(&mut self) -> Result<()> {
        loop {
            self.requeue()?;
            if self.task.process(1, &mut self.producer)? == 0 {
                return Ok(());
            }
            self.task
                .punctuate(PunctuationType::StreamTime, &mut self.producer)?;
            self.commit()?;
        }
    }

    fn commit(&mut self) -> Result<()> {
        self.task.prepare_commit(&mut self.producer)?;
        self.task.committed(&self.producer);
        self.task.flush()?;
        Ok(())
    }

    /// What was written to topics that the topology reads comes back as input.
    fn requeue(&mut self) -> Result<()> {
        while let Some((topic, record)) = self.producer.fresh.pop_front() {
            if self.source_topics.contains(&topic) || self.global.reads(&topic) {
                self.enqueue(&topic, &record)?;
            }
        }
        Ok(())
    }
}

impl WrittenRecord {
    fn to_set(&self, offset: i64) -> RecordSet {
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        let data = [key.unwrap_or_default(), value.unwrap_or_default()].concat();
        let key_span = key.map_or(Span::NULL, |key| Span::new(0, key.len()));
        let value_span = value.map_or(Span::NULL, |value| {
            Span::new(data.len() - value.len(), value.len())
        });
        let span = RecordSpan {
            offset,
            timestamp_ms: self.timestamp_ms,
            key: key_span,
            value: value_span,
        };
        let headers = match self.headers.is_empty() {
            true => BTreeMap::new(),
            false => BTreeMap::from([(0, self.headers.clone())]),
        };
        RecordSet {
            data: Bytes::from(data),
            spans: vec![span],
            headers,
        }
    }
}

/// Keeps what is written, by topic.
#[derive(Debug, Default)]
struct CapturingProducer {
    topics: Vec<(String, Vec<WrittenRecord>)>,
    /// Not yet looked at by the driver.
    fresh: VecDeque<(String, WrittenRecord)>,
}

impl Producer for CapturingProducer {
    fn topic(&mut self, name: &str) -> LogResult<TopicHandle> {
        let index = match self.topics.iter().position(|(topic, _)| topic == name) {
            Some(index) => index,
            None => {
                self.topics.push((name.to_owned(), Vec::new()));
                self.topics.len() - 1
            }
        };
        let index = u32::try_from(index).map_err(|_| LogError::invalid("too many topics"))?;
        Ok(TopicHandle { index, partitions: 1 })
    }

    fn send(&mut self, topic: TopicHandle, _partition: i32, record: RecordView<'_>) -> LogResult<()> {
        let written = WrittenRecord {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.clone(),
        };
        let (name, all) = &mut self.topics[topic.index as usize];
        self.fresh.push_back((name.clone(), written.clone()));
        all.push(written);
        Ok(())
    }

    fn flush(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn last_offset(&self, topic: TopicHandle, _partition: i32) -> Option<i64> {
        let written = self.topics[topic.index as usize].1.len();
        i64::try_from(written)
            .ok()
            .filter(|count| *count > 0)
            .map(|count| count - 1)
    }

    fn init_transactions(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn begin_transaction(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn send_offsets(
        &mut self,
        _: &[(TopicPartition, OffsetAndMetadata)],
        _: &GroupMetadata,
    ) -> LogResult<()> {
        Ok(())
    }

    fn commit_transaction(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn abort_transaction(&mut self) -> LogResult<()> {
        Ok(())
    }
}
