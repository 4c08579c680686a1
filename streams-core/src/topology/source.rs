//! Sources: where bytes become typed records.

use std::fmt::Debug;
use std::sync::Arc;

use super::offset_reset::AutoOffsetReset;
use super::timestamps::{ConsumerRecord, ExtractedTimestamp, Times, TimestampExtractor, timestamp_extractor};
use super::wire::{ErasedEdge, Wiring, next_of};
use crate::context::TaskContext;
use crate::edge::Edge;
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result};
use crate::handlers::Stage;
use crate::metrics::DropReason;
use crate::record::{Headers, Record};
use crate::serde::{DefaultSerde, Serde, SerdeError};

/// How a source reads.
pub struct SourceOptions<K, V> {
    /// Reads keys.
    pub key_serde: Arc<dyn Serde<K>>,
    /// Reads values.
    pub value_serde: Arc<dyn Serde<V>>,
    /// Takes the event time. Default: as the application's setting says, or else the record's own timestamp.
    pub timestamp_extractor: Option<TimestampExtractor<K, V>>,
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

    /// Sets who takes the event time: what it sees is a [`ConsumerRecord`], what it answers is an [`ExtractedTimestamp`].
    #[must_use]
    pub fn timestamp_extractor<T: Into<ExtractedTimestamp>>(
        mut self,
        extract: impl Fn(&ConsumerRecord<'_, K, V>) -> T + Send + Sync + 'static,
    ) -> Self {
        self.timestamp_extractor = Some(timestamp_extractor(extract));
        self
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
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: Headers,
}

impl RawInput<'_> {
    /// What stands for an input record where there is none.
    pub(crate) fn without_bytes(timestamp_ms: i64) -> Self {
        Self {
            topic: "",
            partition: -1,
            offset: -1,
            key: None,
            value: None,
            timestamp_ms,
            headers: Headers::default(),
        }
    }
}

/// A live source.
pub(crate) trait SourceNode {
    /// True if event times are not simply the records' own timestamps.
    fn extracts_timestamps(&self) -> bool;

    /// Event time of a record.
    fn extract(&self, input: &RawInput<'_>, times: Times) -> ExtractedTimestamp;

    /// Reads a record and processes it, all the way down. Answers whether it could be read: if not, it has no time of which others
    /// could be late.
    fn process(&mut self, input: RawInput<'_>, task: &mut TaskContext<'_>)
    -> Result<bool, Box<ProcessError>>;
}

pub(crate) type BuildSource =
    Box<dyn Fn(&mut Wiring<'_>, Vec<ErasedEdge>) -> Result<Box<dyn SourceNode>> + Send + Sync>;

/// Makes a live source for each task. Its types are known inside only, as those of an
/// [`OperatorSupplier`](super::OperatorSupplier).
pub struct SourceSupplier {
    pub(super) reset: Option<AutoOffsetReset>,
    pub(super) build: BuildSource,
}

impl SourceSupplier {
    /// Of a source that reads so.
    pub fn new<K: Clone + 'static, V: Clone + 'static>(options: SourceOptions<K, V>) -> Self {
        let reset = options.auto_offset_reset;
        let options = Arc::new(options);
        let build: BuildSource = Box::new(move |wiring, children| {
            let node = wiring.node_name().to_owned();
            let next = next_of(children, &node)?;
            Ok(Box::new(Source {
                node,
                options: Arc::clone(&options),
                next,
            }))
        });
        Self { reset, build }
    }
}

impl Debug for SourceSupplier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceSupplier")
            .field("reset", &self.reset)
            .finish_non_exhaustive()
    }
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

    fn extract(&self, input: &RawInput<'_>, times: Times) -> ExtractedTimestamp {
        self.options.extract(input, times)
    }

    fn process(
        &mut self,
        mut input: RawInput<'_>,
        task: &mut TaskContext<'_>,
    ) -> Result<bool, Box<ProcessError>> {
        let headers = std::mem::take(&mut input.headers);
        let record = match self.options.read(&input, headers) {
            Ok(record) => record,
            Err(cause) => return failed(&self.node, cause, task).map(|()| false),
        };
        task.state.stream_time_ms = task.state.stream_time_ms.max(input.timestamp_ms);
        match record {
            Some(record) => self.next.process(record, task)?,
            None => task.count_dropped(DropReason::UnexpectedNull),
        }
        Ok(true)
    }
}

impl<K, V> SourceOptions<K, V> {
    /// A record, with these headers; `None` if it has a null where the type has not.
    pub(crate) fn read(
        &self,
        input: &RawInput<'_>,
        headers: Headers,
    ) -> Result<Option<Record<K, V>>, ProcessCause> {
        let key = self.read_key(input, &headers)?;
        let value = self.read_value(input, &headers)?;
        let (Some(key), Some(value)) = (key, value) else {
            return Ok(None);
        };
        Ok(Some(Record {
            key,
            value,
            timestamp_ms: input.timestamp_ms,
            headers,
        }))
    }

    /// The key; `None` if it is null and the type has none.
    fn read_key(&self, input: &RawInput<'_>, headers: &Headers) -> Result<Option<K>, ProcessCause> {
        let key = read(&*self.key_serde, input.topic, headers, input.key);
        key.map_err(|error| ProcessCause::serde("read", "key", input.topic, error))
    }

    /// The value; `None` if it is null and the type has none.
    fn read_value(&self, input: &RawInput<'_>, headers: &Headers) -> Result<Option<V>, ProcessCause> {
        let value = read(&*self.value_serde, input.topic, headers, input.value);
        value.map_err(|error| ProcessCause::serde("read", "value", input.topic, error))
    }

    pub(crate) fn extract(&self, input: &RawInput<'_>, times: Times) -> ExtractedTimestamp {
        let Some(extract) = &self.timestamp_extractor else {
            return ExtractedTimestamp::Own;
        };
        let headers = &input.headers;
        match (self.read_key(input, headers), self.read_value(input, headers)) {
            (Ok(key), Ok(value)) => extract(&input.consumer_record(key.as_ref(), value.as_ref(), times)),
            // What cannot be read is reported when its turn to be processed comes, and has no time of which others could be late.
            _ => ExtractedTimestamp::At(times.partition_ms.max(0)),
        }
    }
}

#[inline]
fn read<T>(
    serde: &dyn Serde<T>,
    topic: &str,
    headers: &Headers,
    bytes: Option<&[u8]>,
) -> Result<Option<T>, SerdeError> {
    match bytes {
        Some(bytes) => serde.deserialize_with_headers(topic, headers, bytes).map(Some),
        None => Ok(serde.null()),
    }
}

#[cold]
fn failed(node: &str, cause: ProcessCause, task: &mut TaskContext<'_>) -> ProcessResult {
    let error = Box::new(ProcessError {
        cause,
        processor: Some(node.to_owned()),
        task: Some(task.task_id().to_string()),
        input: task.state.input_position(),
    });
    task.failed(Stage::Deserialization, error)
}
