//! Sources: where bytes become typed records.

use std::fmt::Debug;
use std::sync::Arc;

use super::offset_reset::AutoOffsetReset;
use super::wire::{ErasedEdge, Wiring, typed_children};
use crate::context::TaskContext;
use crate::edge::{Edge, fan_out};
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result};
use crate::handlers::Stage;
use crate::metrics::DropReason;
use crate::record::{Headers, Record};
use crate::serde::{DefaultSerde, Serde, SerdeError};

/// Takes the event time of a record (Kafka's `TimestampExtractor`).
///
/// `partition_time_ms` is the largest time seen on the record's partition, -1 before the first. A negative answer drops
/// the record, counted as [`DropReason::InvalidTimestamp`].
pub trait TimestampExtractor<K, V>: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn extract(&self, record: &Record<K, V>, partition_time_ms: i64) -> i64;
}

impl<K, V, F: Fn(&Record<K, V>, i64) -> i64 + Send + Sync> TimestampExtractor<K, V> for F {
    fn extract(&self, record: &Record<K, V>, partition_time_ms: i64) -> i64 {
        self(record, partition_time_ms)
    }
}

/// How a source reads.
pub struct SourceOptions<K, V> {
    /// Reads keys.
    pub key_serde: Arc<dyn Serde<K>>,
    /// Reads values.
    pub value_serde: Arc<dyn Serde<V>>,
    /// Takes the event time. Default: the record's own timestamp.
    pub timestamp_extractor: Option<Arc<dyn TimestampExtractor<K, V>>>,
    /// Where it begins without a committed offset. Default: as the application's setting says.
    pub auto_offset_reset: Option<AutoOffsetReset>,
}

impl<K, V> SourceOptions<K, V> {
    /// With these serdes and records' own timestamps.
    pub fn new(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            timestamp_extractor: None,
            auto_offset_reset: None,
        }
    }

    /// Sets where it begins without a committed offset.
    #[must_use]
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.auto_offset_reset = Some(reset);
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for SourceOptions<K, V> {
    fn default() -> Self {
        Self::new(K::default_serde(), V::default_serde())
    }
}

impl<K, V> Debug for SourceOptions<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceOptions")
            .field("key_serde", &self.key_serde)
            .field("value_serde", &self.value_serde)
            .finish_non_exhaustive()
    }
}

/// A record as it comes from the log.
pub(crate) struct RawInput<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: Headers,
}

/// A live source.
pub(crate) trait SourceNode {
    /// True if event times are not the records' own timestamps.
    fn extracts_timestamps(&self) -> bool;

    /// True if records with negative timestamps are dropped; else they are an error.
    fn skips_invalid_timestamps(&self) -> bool {
        self.extracts_timestamps()
    }

    /// Event time of a record.
    fn timestamp_ms(&self, input: &RawInput<'_>, partition_time_ms: i64) -> i64;

    /// Reads a record and processes it, all the way down.
    fn process(&mut self, input: RawInput<'_>, task: &mut TaskContext<'_>) -> ProcessResult;
}

pub(crate) type BuildSource =
    Arc<dyn Fn(&mut Wiring<'_>, Vec<ErasedEdge>) -> Result<Box<dyn SourceNode>> + Send + Sync>;

pub(super) fn builder<K: Clone + 'static, V: Clone + 'static>(options: SourceOptions<K, V>) -> BuildSource {
    let options = Arc::new(options);
    Arc::new(move |wiring, children| {
        let node = wiring.node_name().to_owned();
        let children = typed_children(children, &node)?;
        Ok(Box::new(Source {
            node,
            options: Arc::clone(&options),
            next: fan_out(children),
        }))
    })
}

struct Source<K, V> {
    node: String,
    options: Arc<SourceOptions<K, V>>,
    next: Edge<K, V>,
}

impl<K, V> SourceNode for Source<K, V> {
    fn extracts_timestamps(&self) -> bool {
        self.options.timestamp_extractor.is_some()
    }

    fn timestamp_ms(&self, input: &RawInput<'_>, partition_time_ms: i64) -> i64 {
        let Some(extractor) = &self.options.timestamp_extractor else {
            return input.timestamp_ms;
        };
        // What cannot be read is reported when its turn to be processed comes.
        match self.options.read(input) {
            Ok((Some(key), Some(value))) => {
                let headers = input.headers.clone();
                let record = Record {
                    key,
                    value,
                    timestamp_ms: input.timestamp_ms,
                    headers,
                };
                extractor.extract(&record, partition_time_ms)
            }
            _ => input.timestamp_ms,
        }
    }

    fn process(&mut self, input: RawInput<'_>, task: &mut TaskContext<'_>) -> ProcessResult {
        let read = match self.options.read(&input) {
            Ok(read) => read,
            Err(cause) => return self.unreadable(cause, task),
        };
        let (Some(key), Some(value)) = read else {
            task.count_dropped(DropReason::UnexpectedNull);
            return Ok(());
        };
        self.next.process(
            Record {
                key,
                value,
                timestamp_ms: input.timestamp_ms,
                headers: input.headers,
            },
            task,
        )
    }
}

impl<K, V> SourceOptions<K, V> {
    /// Key and value of a record; `None` where it has a null and the type has not.
    #[inline]
    pub(crate) fn read(&self, input: &RawInput<'_>) -> Result<(Option<K>, Option<V>), ProcessCause> {
        let key = read(&*self.key_serde, input.topic, input.key);
        let key = key.map_err(|error| unreadable("key", input, error))?;
        let value = read(&*self.value_serde, input.topic, input.value);
        let value = value.map_err(|error| unreadable("value", input, error))?;
        Ok((key, value))
    }
}

#[inline]
fn read<T>(serde: &dyn Serde<T>, topic: &str, bytes: Option<&[u8]>) -> Result<Option<T>, SerdeError> {
    match bytes {
        Some(bytes) => serde.deserialize(topic, bytes).map(Some),
        None => Ok(serde.null()),
    }
}

#[cold]
fn unreadable(part: &'static str, input: &RawInput<'_>, error: SerdeError) -> ProcessCause {
    ProcessCause::Serde {
        action: "read",
        part,
        topic: input.topic.to_owned(),
        error,
    }
}

impl<K, V> Source<K, V> {
    #[cold]
    fn unreadable(&self, cause: ProcessCause, task: &mut TaskContext<'_>) -> ProcessResult {
        let error = Box::new(ProcessError {
            cause,
            processor: Some(self.node.clone()),
            task: Some(task.task_id().to_string()),
            input: task.state.input_position(),
        });
        task.failed(Stage::Deserialization, error)
    }
}
