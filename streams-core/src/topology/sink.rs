//! Sinks: where typed records become bytes again, and get their partition.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::sync::Arc;

use super::TopicName;
use super::partitions::{Partitioner, Partitions, ProducerRecord, partitioner};
use super::wire::{ErasedEdge, Wiring};
use crate::context::TaskContext;
use crate::edge::Process;
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result, StreamsError};
use crate::handlers::Stage;
use crate::log::{RecordView, TopicHandle};
use crate::metrics::DropReason;
use crate::partitioner::partition_for_key;
use crate::processor::BoxError;
use crate::record::{Headers, Record};
use crate::serde::{DefaultSerde, Serde};

/// How a sink writes.
pub struct SinkOptions<K, V> {
    /// Writes keys.
    pub key_serde: Arc<dyn Serde<K>>,
    /// Writes values.
    pub value_serde: Arc<dyn Serde<V>>,
    /// Chooses the partitions. Default: Kafka's, by the key's bytes; null keys stay on one partition for a while, then move on.
    pub partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> SinkOptions<K, V> {
    /// With these serdes and Kafka's partitioner.
    pub fn new(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            partitioner: None,
        }
    }

    /// Sets who chooses the partitions: what it sees is a [`ProducerRecord`], what it answers are [`Partitions`].
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&ProducerRecord<'_, K, V>) -> P + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(partitioner(choose));
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for SinkOptions<K, V> {
    fn default() -> Self {
        Self::new(K::default_serde(), V::default_serde())
    }
}

impl<K, V> Debug for SinkOptions<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkOptions")
            .field("key_serde", &self.key_serde)
            .field("value_serde", &self.value_serde)
            .finish_non_exhaustive()
    }
}

/// Chooses the topic of a record (Kafka's `TopicNameExtractor`). The task says where the record came from.
pub type TopicNameExtractor<K, V> = Arc<dyn Fn(&Record<K, V>, &TaskContext<'_>) -> String + Send + Sync>;

/// A [`TopicNameExtractor`] that may fail.
pub type TryTopicNameExtractor<K, V> =
    Arc<dyn Fn(&Record<K, V>, &TaskContext<'_>) -> Result<String, BoxError> + Send + Sync>;

/// Makes a live sink from the topic that it always writes to, if it does.
pub(crate) type BuildSink =
    Box<dyn Fn(&mut Wiring<'_>, Option<&TopicName>) -> Result<ErasedEdge> + Send + Sync>;

/// Makes a live sink for each task. Its types are known inside only, as those of an
/// [`OperatorSupplier`](super::OperatorSupplier).
pub struct SinkSupplier(pub(super) BuildSink);

impl SinkSupplier {
    /// Of a sink that always writes to one topic, which is named where it is added.
    pub fn new<K: 'static, V: 'static>(options: SinkOptions<K, V>) -> Self {
        Self::of(None, options)
    }

    /// Of a sink that writes each record to the topic that is chosen for it.
    pub fn dynamic<K: 'static, V: 'static>(
        extractor: TopicNameExtractor<K, V>,
        options: SinkOptions<K, V>,
    ) -> Self {
        Self::try_dynamic(Arc::new(move |record, task| Ok(extractor(record, task))), options)
    }

    /// As [`dynamic`](Self::dynamic), with an extractor that may fail: the processing handler decides about what it returns as an
    /// error.
    pub fn try_dynamic<K: 'static, V: 'static>(
        extractor: TryTopicNameExtractor<K, V>,
        options: SinkOptions<K, V>,
    ) -> Self {
        Self::of(Some(extractor), options)
    }

    fn of<K: 'static, V: 'static>(
        extractor: Option<TryTopicNameExtractor<K, V>>,
        options: SinkOptions<K, V>,
    ) -> Self {
        let options = Arc::new(options);
        Self(Box::new(move |wiring, topic| {
            let fixed = match &extractor {
                Some(_) => None,
                None => Some(topic_of(wiring, topic)?),
            };
            Ok(ErasedEdge::new(Box::new(Sink {
                end: End::new(wiring.node_name(), fixed),
                extractor: extractor.clone(),
                options: Arc::clone(&options),
            })))
        }))
    }
}

fn topic_of(wiring: &mut Wiring<'_>, topic: Option<&TopicName>) -> Result<Topic> {
    match topic {
        Some(topic) => wiring.topic(topic),
        None => Err(StreamsError::Topology(format!(
            "sink {} is to write to one topic, and none was named",
            wiring.node_name()
        ))),
    }
}

impl Debug for SinkSupplier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SinkSupplier")
    }
}

/// A topic's name on the log, and how the producer knows it.
type Topic = (Arc<str>, TopicHandle);

/// How many records without a key go to one partition before the next one is taken.
const KEYLESS_RUN: u32 = 1_000;

struct Sink<K, V> {
    end: End,
    /// If topics are chosen.
    extractor: Option<TryTopicNameExtractor<K, V>>,
    options: Arc<SinkOptions<K, V>>,
}

impl<K, V> Process<K, V> for Sink<K, V> {
    fn process(&mut self, mut record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut key_buffer = std::mem::take(&mut task.state.key_buffer);
        let mut value_buffer = std::mem::take(&mut task.state.value_buffer);
        let result = self.send(&mut record, &mut key_buffer, &mut value_buffer, task);
        task.state.key_buffer = key_buffer;
        task.state.value_buffer = value_buffer;
        match result {
            Ok(()) => Ok(()),
            Err(cause) => self.end.failed(cause, task),
        }
    }
}

impl<K, V> Sink<K, V> {
    fn send(
        &mut self,
        record: &mut Record<K, V>,
        key_buffer: &mut Vec<u8>,
        value_buffer: &mut Vec<u8>,
        task: &mut TaskContext<'_>,
    ) -> Result<(), ProcessCause> {
        let options = &*self.options;
        let name = match &self.extractor {
            Some(extractor) => Some(extractor(record, task).map_err(ProcessCause::User)?),
            None => None,
        };
        let (topic, handle) = self.end.topic(name, task)?;
        let chosen = match &options.partitioner {
            Some(partitioner) => partitioner(&ProducerRecord {
                topic,
                partitions: handle.partitions,
                key: &record.key,
                value: &record.value,
                timestamp_ms: record.timestamp_ms,
                headers: &record.headers,
            }),
            None => Partitions::Default,
        };
        let headers = &mut record.headers;
        let key = write(
            &*options.key_serde,
            &record.key,
            headers,
            key_buffer,
            topic,
            "key",
        )?;
        let value = write(
            &*options.value_serde,
            &record.value,
            headers,
            value_buffer,
            topic,
            "value",
        )?;
        let view = RecordView {
            key,
            value,
            timestamp_ms: record.timestamp_ms,
            headers: &record.headers,
        };
        let hashed = key.map(|key| options.key_serde.partition_bytes(key));
        self.end.send(handle, chosen, hashed, view, task)
    }
}

/// What a sink does whatever its types are.
struct End {
    node: String,
    /// The topic, if it is always the same.
    fixed: Option<Topic>,
    /// Those that were chosen so far.
    known: HashMap<String, Topic>,
    /// Records without a key so far.
    keyless: u32,
}

impl End {
    fn new(node: &str, fixed: Option<Topic>) -> Self {
        Self {
            node: node.to_owned(),
            fixed,
            known: HashMap::new(),
            keyless: 0,
        }
    }

    fn topic(
        &mut self,
        chosen: Option<String>,
        task: &mut TaskContext<'_>,
    ) -> Result<(&str, TopicHandle), ProcessCause> {
        let (name, handle) = match (&self.fixed, chosen) {
            (Some(fixed), _) => fixed,
            (None, chosen) => match self.known.entry(chosen.unwrap_or_default()) {
                Entry::Occupied(known) => &*known.into_mut(),
                Entry::Vacant(new) => {
                    let topic = (Arc::from(new.key().as_str()), task.producer.topic(new.key())?);
                    &*new.insert(topic)
                }
            },
        };
        Ok((name, *handle))
    }

    /// Sends a record to the partitions that were chosen. `hashed`: what the default partition of its key is taken from.
    fn send(
        &mut self,
        handle: TopicHandle,
        chosen: Partitions,
        hashed: Option<&[u8]>,
        record: RecordView<'_>,
        task: &mut TaskContext<'_>,
    ) -> Result<(), ProcessCause> {
        let one = match chosen {
            Partitions::One(partition) => partition,
            Partitions::Default => self.default_partition(hashed, handle.partitions),
            Partitions::Several(several) if several.is_empty() => {
                task.count_dropped(DropReason::NoPartition);
                return Ok(());
            }
            Partitions::Several(several) => {
                for partition in several {
                    task.producer.send(handle, partition, record)?;
                    task.state.metrics.count_sent();
                }
                return Ok(());
            }
        };
        task.producer.send(handle, one, record)?;
        task.state.metrics.count_sent();
        Ok(())
    }

    fn default_partition(&mut self, hashed: Option<&[u8]>, partitions: u32) -> i32 {
        match hashed {
            Some(key) if partitions > 1 => partition_for_key(key, partitions),
            Some(_) => 0,
            None => self.keyless_partition(partitions),
        }
    }

    fn keyless_partition(&mut self, partitions: u32) -> i32 {
        let run = self.keyless / KEYLESS_RUN;
        self.keyless = self.keyless.wrapping_add(1);
        i32::try_from(run % partitions).unwrap_or(0)
    }

    #[cold]
    fn failed(&self, cause: ProcessCause, task: &mut TaskContext<'_>) -> ProcessResult {
        let stage = match &cause {
            ProcessCause::Serde { .. } => Some(Stage::Production),
            ProcessCause::User(_) => Some(Stage::Processing),
            _ => None,
        };
        let error = Box::new(ProcessError {
            cause,
            processor: Some(self.node.clone()),
            task: Some(task.task_id().to_string()),
            input: task.state.input_position(),
        });
        match stage {
            Some(stage) => task.failed(stage, error),
            None => Err(error),
        }
    }
}

#[inline]
fn write<'a, T>(
    serde: &dyn Serde<T>,
    value: &T,
    headers: &mut Headers,
    buffer: &'a mut Vec<u8>,
    topic: &str,
    part: &'static str,
) -> Result<Option<&'a [u8]>, ProcessCause> {
    if serde.is_null(value) {
        return Ok(None);
    }
    buffer.clear();
    match serde.serialize_with_headers(topic, headers, value, buffer) {
        Ok(()) => Ok(Some(buffer)),
        Err(error) => Err(ProcessCause::serde("write", part, topic, error)),
    }
}
