//! `Produced`: how a topic is written.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::{Partitioner, Partitions, ProducerRecord, partitioner};

use super::SerdeOf;

/// How a topic is written.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let by_size = Produced::<String, i64>::default().partitioner(|record| i32::from(*record.value > 9));
/// builder.stream::<String, i64>("in").to_with("out", by_size);
/// let options = TestDriverOptions::default().partitions("out", 2);
/// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
/// driver.input("in").pipe("a".to_string(), 10_i64)?;
/// assert_eq!(driver.on_partition(1).written("out").len(), 1);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct Produced<K, V> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> Produced<K, V> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>) -> Self {
        Self {
            key_serde,
            value_serde,
            partitioner: None,
        }
    }

    /// Chooses the partition of a [record](ProducerRecord), or [several or none](Partitions). Default: Kafka's hash of the key's bytes, of
    /// a windowed key its inner key's.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_size = Produced::<String, i64>::default()
    ///     .partitioner(|record| (*record.value % i64::from(record.partitions)) as i32);
    /// builder.stream::<String, i64>("parcels").to_with("by-size", by_size);
    /// // `None`: by the key.
    /// let or_by_key = Produced::<String, i64>::default().partitioner(|record| (*record.value > 100).then_some(0));
    /// builder.stream::<String, i64>("letters").to_with("by-urgency", or_by_key);
    /// let options = TestDriverOptions::default().partitions("by-size", 3);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.input("parcels").pipe("a".to_string(), 5_i64)?;
    /// assert_eq!(driver.on_partition(2).output::<String, i64>("by-size").read_key_values().len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&ProducerRecord<'_, K, V>) -> P + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(partitioner(choose));
        self
    }
}

key_value_options! {
    Produced,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { item: String, n: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("items").map_values(|item| Order { item, n: 1 });
    /// orders.to_with("orders", Produced::with(String::default_serde(), Arc::new(JsonSerde)));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("items").pipe("ada".to_string(), "tea".to_string())?;
    /// let json = driver.output::<String, String>("orders").read_record().unwrap().value;
    /// assert_eq!(json, r#"{"item":"tea","n":1}"#);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks");
    /// clicks.to_with("out", Produced::key_serde(Arc::new(JsonSerde)));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [(r#""ada""#.into(), 7)]);
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
    /// let orders = builder.stream::<String, String>("items").map_values(|item| Order { item, n: 1 });
    /// orders.to_with("orders", Produced::value_serde(Arc::new(JsonSerde)));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("items").pipe("ada".to_string(), "tea".to_string())?;
    /// let json = driver.output::<String, String>("orders").read_value().unwrap();
    /// assert_eq!(json, r#"{"item":"tea","n":1}"#);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    value_serde
}

debug_options!(Produced);
