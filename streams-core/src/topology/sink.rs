//! Sinks: where typed records become bytes again, and get their partition.

use std::fmt::Debug;
use std::sync::Arc;

use super::TopicName;
use super::wire::{BuildNode, ErasedEdge};
use crate::context::TaskContext;
use crate::edge::Process;
use crate::error::{ProcessCause, ProcessError, ProcessResult};
use crate::log::{RecordView, TopicHandle};
use crate::partitioner::partition_for_key;
use crate::record::Record;
use crate::serde::{DefaultSerde, Serde};

/// Chooses a partition from a key, a value and the number of partitions (Kafka's `StreamPartitioner`).
pub type Partitioner<K, V> = Arc<dyn Fn(&K, &V, u32) -> i32 + Send + Sync>;

/// How a sink writes.
pub struct SinkOptions<K, V> {
    /// Writes keys.
    pub key_serde: Arc<dyn Serde<K>>,
    /// Writes values.
    pub value_serde: Arc<dyn Serde<V>>,
    /// Chooses the partition. Default: Kafka's, by the key's bytes; null keys stay on one partition for a while, then move on.
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

pub(super) fn builder<K: 'static, V: 'static>(topic: TopicName, options: SinkOptions<K, V>) -> BuildNode {
    let options = Arc::new(options);
    Arc::new(move |wiring, _children| {
        let node = wiring.node_name().to_owned();
        let (topic, handle) = wiring.topic(&topic)?;
        Ok(ErasedEdge::new(Box::new(Sink {
            node,
            topic,
            handle,
            options: Arc::clone(&options),
            keyless: 0,
        })))
    })
}

/// How many records without a key go to one partition before the next one is taken.
const KEYLESS_RUN: u32 = 1_000;

struct Sink<K, V> {
    node: String,
    topic: Arc<str>,
    handle: TopicHandle,
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
        result.map_err(|cause| self.place(cause, task))
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
        let key = write(
            &*self.options.key_serde,
            &record.key,
            key_buffer,
            &self.topic,
            "key",
        )?;
        let value = write(
            &*self.options.value_serde,
            &record.value,
            value_buffer,
            &self.topic,
            "value",
        )?;
        let partition = match (&self.options.partitioner, key) {
            (Some(partitioner), _) => partitioner(&record.key, &record.value, self.handle.partitions),
            (None, Some(key)) if self.handle.partitions > 1 => partition_for_key(
                self.options.key_serde.partition_bytes(key),
                self.handle.partitions,
            ),
            (None, Some(_)) => 0,
            (None, None) => self.keyless_partition(),
        };
        let view = RecordView {
            key,
            value,
            timestamp_ms: record.timestamp_ms,
            headers: &record.headers,
        };
        task.producer.send(self.handle, partition, view)?;
        task.state.metrics.count_sent();
        Ok(())
    }

    fn keyless_partition(&mut self) -> i32 {
        let run = self.keyless / KEYLESS_RUN;
        self.keyless = self.keyless.wrapping_add(1);
        i32::try_from(run % self.handle.partitions).unwrap_or(0)
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
