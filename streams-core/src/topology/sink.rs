//! Sinks: where typed records become bytes again, and get their partition.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::sync::Arc;

use super::TopicName;
use super::partitions::{Partitioner, Partitions, partitioner};
use super::wire::{BuildNode, ErasedEdge};
use crate::context::TaskContext;
use crate::edge::Process;
use crate::error::{ProcessCause, ProcessError, ProcessResult};
use crate::handlers::Stage;
use crate::log::{RecordView, TopicHandle};
use crate::metrics::DropReason;
use crate::partitioner::partition_for_key;
use crate::record::Record;
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

    /// Sets who chooses the partitions: see [`Partitions`].
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&K, &V, u32) -> P + Send + Sync + 'static,
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

/// Where a sink writes to.
pub(super) enum Destination<K, V> {
    /// Always this topic.
    Topic(TopicName),
    /// The topic that is chosen for each record.
    Chosen(TopicNameExtractor<K, V>),
}

pub(super) fn builder<K: 'static, V: 'static>(
    destination: Destination<K, V>,
    options: SinkOptions<K, V>,
) -> BuildNode {
    let options = Arc::new(options);
    Arc::new(move |wiring, _children| {
        let node = wiring.node_name().to_owned();
        let target = match &destination {
            Destination::Topic(topic) => Target::Topic(wiring.topic(topic)?),
            Destination::Chosen(extractor) => Target::Chosen {
                extractor: Arc::clone(extractor),
                known: HashMap::new(),
            },
        };
        Ok(ErasedEdge::new(Box::new(Sink {
            node,
            target,
            options: Arc::clone(&options),
            keyless: 0,
        })))
    })
}

/// A topic's name on the log, and how the producer knows it.
type Topic = (Arc<str>, TopicHandle);

/// A live destination.
enum Target<K, V> {
    Topic(Topic),
    Chosen {
        extractor: TopicNameExtractor<K, V>,
        known: HashMap<String, Topic>,
    },
}

impl<K, V> Target<K, V> {
    fn topic(&mut self, record: &Record<K, V>, task: &mut TaskContext<'_>) -> Result<&Topic, ProcessCause> {
        match self {
            Self::Topic(topic) => Ok(topic),
            Self::Chosen { extractor, known } => {
                let name = extractor(record, task);
                match known.entry(name) {
                    Entry::Occupied(known) => Ok(known.into_mut()),
                    Entry::Vacant(new) => {
                        let topic = (Arc::from(new.key().as_str()), task.producer.topic(new.key())?);
                        Ok(new.insert(topic))
                    }
                }
            }
        }
    }
}

/// How many records without a key go to one partition before the next one is taken.
const KEYLESS_RUN: u32 = 1_000;

struct Sink<K, V> {
    node: String,
    target: Target<K, V>,
    options: Arc<SinkOptions<K, V>>,
    /// Records without a key so far.
    keyless: u32,
}

impl<K, V> Process<K, V> for Sink<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut key_buffer = std::mem::take(&mut task.state.key_buffer);
        let mut value_buffer = std::mem::take(&mut task.state.value_buffer);
        let result = self.send(&record, &mut key_buffer, &mut value_buffer, task);
        task.state.key_buffer = key_buffer;
        task.state.value_buffer = value_buffer;
        match result {
            Ok(()) => Ok(()),
            Err(cause @ ProcessCause::Serde { .. }) => {
                task.failed(Stage::Production, self.place(cause, task))
            }
            Err(cause) => Err(self.place(cause, task)),
        }
    }
}

impl<K, V> Sink<K, V> {
    fn send(
        &mut self,
        record: &Record<K, V>,
        key_buffer: &mut Vec<u8>,
        value_buffer: &mut Vec<u8>,
        task: &mut TaskContext<'_>,
    ) -> Result<(), ProcessCause> {
        let options = &*self.options;
        let (topic, handle) = self.target.topic(record, task)?;
        let (handle, partitions) = (*handle, handle.partitions);
        let key = write(&*options.key_serde, &record.key, key_buffer, topic, "key")?;
        let value = write(&*options.value_serde, &record.value, value_buffer, topic, "value")?;
        let view = RecordView {
            key,
            value,
            timestamp_ms: record.timestamp_ms,
            headers: &record.headers,
        };
        let chosen = match &options.partitioner {
            Some(partitioner) => partitioner(&record.key, &record.value, partitions),
            None => Partitions::Default,
        };
        let one = match chosen {
            Partitions::One(partition) => partition,
            Partitions::Default => self.default_partition(key, partitions),
            Partitions::Several(several) if several.is_empty() => {
                task.count_dropped(DropReason::NoPartition);
                return Ok(());
            }
            Partitions::Several(several) => {
                for partition in several {
                    task.producer.send(handle, partition, view)?;
                    task.state.metrics.count_sent();
                }
                return Ok(());
            }
        };
        task.producer.send(handle, one, view)?;
        task.state.metrics.count_sent();
        Ok(())
    }

    #[inline]
    fn default_partition(&mut self, key: Option<&[u8]>, partitions: u32) -> i32 {
        match key {
            Some(key) if partitions > 1 => {
                partition_for_key(self.options.key_serde.partition_bytes(key), partitions)
            }
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
    fn place(&self, cause: ProcessCause, task: &TaskContext<'_>) -> Box<ProcessError> {
        Box::new(ProcessError {
            cause,
            processor: Some(self.node.clone()),
            task: Some(task.task_id().to_string()),
            input: task.state.input_position(),
        })
    }
}

#[inline]
fn write<'a, T>(
    serde: &dyn Serde<T>,
    value: &T,
    buffer: &'a mut Vec<u8>,
    topic: &str,
    part: &'static str,
) -> Result<Option<&'a [u8]>, ProcessCause> {
    if serde.is_null(value) {
        return Ok(None);
    }
    buffer.clear();
    match serde.serialize(topic, value, buffer) {
        Ok(()) => Ok(Some(buffer)),
        Err(error) => Err(ProcessCause::Serde {
            action: "write",
            part,
            topic: topic.to_owned(),
            error,
        }),
    }
}
