//! `Consumed`: how topics are read.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::{
    AutoOffsetReset, ConsumerRecord, ExtractedTimestamp, TimestampExtractor, timestamp_extractor,
};

use super::SerdeOf;

/// How topics are read.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let by_value = Consumed::<String, i64>::default().timestamp_extractor(|record| record.value.copied());
/// builder.stream_with("readings", by_value).to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("readings").pipe("a".to_string(), 7_000_i64)?;
/// assert_eq!(driver.output::<String, i64>("out").read_record().unwrap().timestamp_ms, 7_000);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct Consumed<K, V> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) timestamp_extractor: Option<TimestampExtractor<K, V>>,
    pub(crate) auto_offset_reset: Option<AutoOffsetReset>,
}

impl<K, V> Consumed<K, V> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>) -> Self {
        Self {
            key_serde,
            value_serde,
            timestamp_extractor: None,
            auto_offset_reset: None,
        }
    }

    /// Takes event time from this function of a [record](ConsumerRecord). It answers milliseconds since the Unix epoch, an `Option` of
    /// them, where `None` is the record's own timestamp, or a `Result`, whose error [stops](ExtractedTimestamp::Failed) the application; a
    /// record with a negative time is dropped and counted. Default: as the application's
    /// [setting](streams_core::runtime::StreamsConfig::default_timestamp_extractor) says, or else the record's own timestamp.
    ///
    /// The value is an `Option` for nulls: in a table those are deletions, which have a time as well. In a stream, a null is what its
    /// type says, and `None` only if the type has none; such a record moves time, and is then dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::Headers;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Reading { celsius: f64, taken_ms: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let consumed = Consumed::with(String::default_serde(), Arc::new(JsonSerde))
    ///     .timestamp_extractor(|record| record.value.map(|reading: &Reading| reading.taken_ms));
    /// builder.stream_with("readings", consumed).map_values(|reading| reading.celsius).to("celsius");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("readings").pipe("a".to_string(), r#"{"celsius":21.5,"taken_ms":7000}"#.to_string())?;
    /// let celsius = driver.output::<String, f64>("celsius").read_record().unwrap();
    /// assert_eq!((celsius.value, celsius.timestamp_ms), (21.5, 7_000));
    ///
    /// // Deletions have no value that says when they were made: here a header does, or else they keep their own time.
    /// let builder = StreamsBuilder::new();
    /// let deleted_ms = |headers: &Headers| {
    ///     let ms = headers.last("deleted-ms")?.value.as_deref()?.try_into().ok()?;
    ///     Some(i64::from_be_bytes(ms))
    /// };
    /// let consumed = Consumed::<String, i64>::default()
    ///     .timestamp_extractor(move |record| record.value.copied().or_else(|| deleted_ms(record.headers)));
    /// builder.table_with("sold", consumed, Materialized::default()).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("sold").pipe("tea".to_string(), 5_000_i64)?;
    /// let mut deletion = Record::new("tea".to_string(), None::<i64>, 0);
    /// deletion.headers = Headers::default().with("deleted-ms", Some(&6_000_i64.to_be_bytes()));
    /// driver.input("sold").pipe_record(&deletion)?;
    /// let times: Vec<i64> = driver.written("out").iter().map(|record| record.timestamp_ms).collect();
    /// assert_eq!(times, [5_000, 6_000]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn timestamp_extractor<T: Into<ExtractedTimestamp>>(
        mut self,
        extract: impl Fn(&ConsumerRecord<'_, K, V>) -> T + Send + Sync + 'static,
    ) -> Self {
        self.timestamp_extractor = Some(timestamp_extractor(extract));
        self
    }

    /// Where reading begins on partitions without a usable committed offset (KIP-1106). Default: as the application's
    /// [setting](streams_core::runtime::StreamsConfig::auto_offset_reset) says. Global tables are always read from the first record.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let from_now_on = Consumed::<String, i64>::default().auto_offset_reset(AutoOffsetReset::Latest);
    /// builder.stream_with("alarms", from_now_on).to("pages");
    /// // It decides what is read of what was there before: the test driver has read all it is given.
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("alarms").pipe("smoke".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("pages").read_key_values().len(), 1);
    ///
    /// // Streams of one topic share its source, and so must agree.
    /// let builder = StreamsBuilder::new();
    /// let from_now_on = Consumed::<String, i64>::default().auto_offset_reset(AutoOffsetReset::Latest);
    /// builder.stream_with("alarms", from_now_on).to("pages");
    /// builder.stream::<String, i64>("alarms").to("archive");
    /// let error = builder.build().unwrap_err().to_string();
    /// assert!(error.contains("alarms is read with the offset reset policies latest and"), "{error}");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.auto_offset_reset = Some(reset);
        self
    }
}

key_value_options! {
    Consumed,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { item: String, n: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let read = Consumed::with(String::default_serde(), Arc::new(JsonSerde));
    /// let orders = builder.stream_with::<String, Order>("orders", read);
    /// orders.map_values(|order| order.n).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.output::<String, i64>("amounts").read_key_values(), [("ada".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream_with::<String, i64>("clicks", Consumed::key_serde(Arc::new(JsonSerde)));
    /// clicks.to_with("out", Produced::with(String::default_serde(), i64::default_serde()));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe(r#""ada""#.to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("ada".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    key_serde,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { item: String, n: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let read = Consumed::value_serde(Arc::new(JsonSerde));
    /// let orders = builder.stream_with::<String, Order>("orders", read);
    /// orders.map_values(|order| order.n).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.output::<String, i64>("amounts").read_key_values(), [("ada".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    value_serde
}

debug_options!(Consumed);
