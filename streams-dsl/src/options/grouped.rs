//! `Grouped`: how a stream is keyed that is grouped.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};

use super::SerdeOf;

/// How a grouped stream is keyed and, if it must be, repartitioned.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let words = builder.stream::<i64, String>("words");
/// let by_length = words.group_by_with(|_, word| word.len() as i64, Grouped::named("by-length"));
/// by_length.count(Materialized::named("counts"));
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("words").pipe(0_i64, "be".to_string())?;
/// assert_eq!(driver.written("app-by-length-repartition").len(), 1);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct Grouped<K, V> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) name: Option<String>,
}

impl<K, V> Grouped<K, V> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>) -> Self {
        Self {
            key_serde,
            value_serde,
            name: None,
        }
    }
}

key_value_options! {
    Grouped,
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
    /// let by_item = Grouped::with(String::default_serde(), Arc::new(JsonSerde));
    /// orders.group_by_with(|_, order| order.item.clone(), by_item).count(Materialized::named("orders"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// let counts = driver.key_value_store::<String, i64>("orders")?;
    /// assert_eq!(counts.get(&"tea".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let numbers = builder.stream::<String, i64>("numbers");
    /// let by_parity = Grouped::key_serde(Arc::new(JsonSerde)).with_name("by-parity");
    /// numbers.group_by_with(|_, n| n % 2, by_parity).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("numbers").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-by-parity-repartition")[0].key.as_deref(), Some(&b"1"[..]));
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
    /// let by_item = Grouped::value_serde(Arc::new(JsonSerde));
    /// orders.group_by_with(|_, order| order.item.clone(), by_item).count(Materialized::named("orders"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// let counts = driver.key_value_store::<String, i64>("orders")?;
    /// assert_eq!(counts.get(&"tea".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    value_serde
}
named_options! {
    Grouped,
    "names the repartition topic and the processor that selects the key",
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_length = builder.stream::<i64, String>("words").map(|_, word| (word.len() as i64, word));
    /// by_length.group_by_key_with(Grouped::named("by-length")).count(Materialized::default());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(0_i64, "be".to_string())?;
    /// assert_eq!(driver.written("app-by-length-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    named,
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<i64, String>("words");
    /// let grouped = Grouped::with(i64::default_serde(), String::default_serde()).with_name("by-length");
    /// words.group_by_with(|_, word| word.len() as i64, grouped).count(Materialized::default());
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: by-length"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("words").pipe(0_i64, "be".to_string())?;
    /// assert_eq!(driver.written("app-by-length-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with_name
}

debug_options!(Grouped);
