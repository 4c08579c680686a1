//! Timestamp extractors: where a record's event time is taken from.

use std::sync::Arc;

use crate::processor::BoxError;
use crate::record::Headers;
use crate::topology::RawInput;

/// Takes the event time of a record (Kafka's `TimestampExtractor`). Asked once for each record, in the order of offsets, when the one
/// before it was processed.
///
/// A record whose key or value cannot be read is not asked about, and does not move time.
pub type TimestampExtractor<K, V> =
    Arc<dyn Fn(&ConsumerRecord<'_, K, V>) -> ExtractedTimestamp + Send + Sync>;

/// A record as it was read, for who takes its event time: Kafka's class of the same name, and what else there is to know then.
///
/// ```
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// // Millions of records a day, numbered: they have a time, but it says little.
/// let options = SourceOptions::<String, i64>::default().timestamp_extractor(|record| match record.topic {
///     "numbered" => record.offset,
///     _ => record.timestamp_ms,
/// });
/// let read = builder.add_source("in", ["numbered", "timed"].map(TopicName::external), options);
/// builder.add_sink("out", TopicName::external("out"), &[read], SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for topic in ["numbered", "numbered", "timed"] {
///     driver.input(topic).pipe_at("a".to_string(), 7_i64, 60_000)?;
/// }
/// let times: Vec<i64> = driver.written("out").iter().map(|record| record.timestamp_ms).collect();
/// assert_eq!(times, [0, 1, 60_000]);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Debug)]
pub struct ConsumerRecord<'a, K: ?Sized, V: ?Sized> {
    /// The topic's name on the log.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's own timestamp: milliseconds since the Unix epoch, or -1 if its producer set none.
    pub timestamp_ms: i64,
    /// The headers.
    pub headers: &'a Headers,
    /// The key. `None`: null, where the type has none.
    pub key: Option<&'a K>,
    /// The value. `None`: null, where the type has none; in tables, a deletion.
    pub value: Option<&'a V>,
    /// The largest event time of this partition's records before this one; -1 before the first.
    pub partition_time_ms: i64,
    /// The wall clock as of the last time the thread looked, milliseconds since the Unix epoch.
    pub wall_clock_ms: i64,
}

/// What an extractor answers: made of milliseconds since the Unix epoch, of an `Option` of them, or of a `Result` of either.
///
/// ```
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// // A record whose text is no time stops the application; one without text keeps its own timestamp.
/// let options = SourceOptions::<String, String>::default()
///     .timestamp_extractor(|record| record.value.map(|text| text.parse::<i64>()).transpose());
/// let read = builder.add_source("in", [TopicName::external("in")], options);
/// builder.add_sink("out", TopicName::external("out"), &[read], SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("in").pipe("a".to_string(), "7000".to_string())?;
/// assert_eq!(driver.written("out")[0].timestamp_ms, 7_000);
/// let error = driver.input("in").pipe("a".to_string(), "noon".to_string()).unwrap_err().to_string();
/// assert!(error.starts_with("the timestamp extractor failed: invalid digit found in string"), "{error}");
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Debug)]
pub enum ExtractedTimestamp {
    /// Event time, milliseconds since the Unix epoch. If negative, the record is dropped, counted as
    /// [`DropReason::InvalidTimestamp`](crate::metrics::DropReason::InvalidTimestamp).
    At(i64),
    /// The record's own timestamp. If that is negative, the record is dropped as well.
    Own,
    /// None: stops the application, whatever [error handlers](crate::handlers::ErrorHandlers) say, as in Kafka Streams.
    Failed(BoxError),
}

impl From<i64> for ExtractedTimestamp {
    fn from(timestamp_ms: i64) -> Self {
        Self::At(timestamp_ms)
    }
}

/// `None` is the record's own.
impl From<Option<i64>> for ExtractedTimestamp {
    fn from(timestamp_ms: Option<i64>) -> Self {
        timestamp_ms.map_or(Self::Own, Self::At)
    }
}

impl<T: Into<Self>, E: Into<BoxError>> From<Result<T, E>> for ExtractedTimestamp {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Self::Failed(error.into()), Into::into)
    }
}

/// A user's function as an extractor.
pub fn timestamp_extractor<K: ?Sized, V: ?Sized, T: Into<ExtractedTimestamp>>(
    extract: impl Fn(&ConsumerRecord<'_, K, V>) -> T + Send + Sync + 'static,
) -> TimestampExtractor<K, V> {
    Arc::new(move |record| extract(record).into())
}

/// Own timestamps; a negative one stops the application (Kafka's `FailOnInvalidTimestamp`). As without an extractor.
#[must_use]
pub fn fail_on_invalid_timestamp<K: ?Sized, V: ?Sized>(
    record: &ConsumerRecord<'_, K, V>,
) -> ExtractedTimestamp {
    match record.timestamp_ms {
        0.. => ExtractedTimestamp::Own,
        wrong => ExtractedTimestamp::Failed(
            format!("the record's timestamp is {wrong}: its producer is older than Kafka 0.10, or set it so")
                .into(),
        ),
    }
}

/// Own timestamps; a record with a negative one is dropped, with a line in the log (Kafka's `LogAndSkipOnInvalidTimestamp`).
#[must_use]
pub fn log_and_skip_on_invalid_timestamp<K: ?Sized, V: ?Sized>(
    record: &ConsumerRecord<'_, K, V>,
) -> ExtractedTimestamp {
    if record.timestamp_ms < 0 {
        let ConsumerRecord {
            topic,
            partition,
            offset,
            timestamp_ms,
            ..
        } = record;
        tracing::warn!(
            topic,
            partition,
            offset,
            timestamp_ms,
            "record dropped, for its timestamp"
        );
    }
    ExtractedTimestamp::Own
}

/// Own timestamps; instead of a negative one, the partition's time, which stops the application as long as there is none (Kafka's
/// `UsePartitionTimeOnInvalidTimestamp`).
#[must_use]
pub fn use_partition_time_on_invalid_timestamp<K: ?Sized, V: ?Sized>(
    record: &ConsumerRecord<'_, K, V>,
) -> ExtractedTimestamp {
    match (record.timestamp_ms, record.partition_time_ms) {
        (0.., _) => ExtractedTimestamp::Own,
        (_, known @ 0..) => ExtractedTimestamp::At(known),
        (wrong, _) => ExtractedTimestamp::Failed(
            format!("the record's timestamp is {wrong}, and there is no record before it whose time could be taken")
                .into(),
        ),
    }
}

/// The time at which a record is processed (Kafka's `WallclockTimestampExtractor`).
#[must_use]
pub fn wallclock_timestamp<K: ?Sized, V: ?Sized>(record: &ConsumerRecord<'_, K, V>) -> ExtractedTimestamp {
    ExtractedTimestamp::At(record.wall_clock_ms)
}

/// The times that go with a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) partition_ms: i64,
    pub(crate) wall_clock_ms: i64,
}

impl RawInput<'_> {
    pub(crate) fn consumer_record<'a, K: ?Sized, V: ?Sized>(
        &'a self,
        key: Option<&'a K>,
        value: Option<&'a V>,
        times: Times,
    ) -> ConsumerRecord<'a, K, V> {
        ConsumerRecord {
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            headers: &self.headers,
            key,
            value,
            partition_time_ms: times.partition_ms,
            wall_clock_ms: times.wall_clock_ms,
        }
    }
}

/// An application's extractor, for all sources without one of their own: sees bytes.
#[derive(Clone)]
pub(crate) struct DefaultTimestampExtractor(pub(crate) TimestampExtractor<[u8], [u8]>);

impl DefaultTimestampExtractor {
    pub(crate) fn extract(&self, input: &RawInput<'_>, times: Times) -> ExtractedTimestamp {
        (self.0)(&input.consumer_record(input.key, input.value, times))
    }
}

impl std::fmt::Debug for DefaultTimestampExtractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DefaultTimestampExtractor")
    }
}
