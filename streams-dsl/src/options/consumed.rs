//! `Consumed`: how topics are read.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::{AutoOffsetReset, TimestampExtractor};

use super::SerdeOf;

/// How topics are read.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let by_value = Consumed::<String, i64>::default().timestamp_extractor(|record: &Record<String, i64>, _| record.value);
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
    pub(crate) timestamp_extractor: Option<Arc<dyn TimestampExtractor<K, V>>>,
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

    /// Takes event time from this function of a record and its partition's time, both in milliseconds since the Unix
    /// epoch. Default: the record's own timestamp.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Reading { celsius: f64, taken_ms: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let consumed = Consumed::with(String::default_serde(), Arc::new(JsonSerde))
    ///     .timestamp_extractor(|record: &Record<String, Reading>, _| record.value.taken_ms);
    /// builder.stream_with("readings", consumed).map_values(|reading| reading.celsius).to("celsius");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("readings").pipe("a".to_string(), r#"{"celsius":21.5,"taken_ms":7000}"#.to_string())?;
    /// let celsius = driver.output::<String, f64>("celsius").read_record().unwrap();
    /// assert_eq!((celsius.value, celsius.timestamp_ms), (21.5, 7_000));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn timestamp_extractor(mut self, extractor: impl TimestampExtractor<K, V> + 'static) -> Self {
        self.timestamp_extractor = Some(Arc::new(extractor));
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
    with
}

debug_options!(Consumed);
