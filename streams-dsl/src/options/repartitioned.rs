//! `Repartitioned`: how a stream is repartitioned.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::{Partitioner, Partitions, ProducerRecord, partitioner};

use super::SerdeOf;

/// How a stream is repartitioned.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let words = builder.stream::<String, String>("words");
/// words.repartition(Repartitioned::named("spread").partitions(2)).to("out");
/// let options = TestDriverOptions::default().partitions("words", 1);
/// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
/// for key in ["a", "b", "c", "d"] {
///     driver.input("words").pipe(key.to_string(), "be".to_string())?;
/// }
/// let written = [0, 1].map(|p| driver.on_partition(p).written("app-spread-repartition").len());
/// assert_eq!(written.iter().sum::<usize>(), 4);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct Repartitioned<K, V> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) name: Option<String>,
    pub(crate) partitions: Option<u32>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> Repartitioned<K, V> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>) -> Self {
        Self {
            key_serde,
            value_serde,
            name: None,
            partitions: None,
            partitioner: None,
        }
    }

    /// How many partitions the topic has. Default: as many as the input.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.repartition(Repartitioned::named("spread").partitions(2)).to("out");
    /// let options = TestDriverOptions::default().partitions("words", 1);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
    ///     driver.input("words").pipe(key.to_string(), "be".to_string())?;
    /// }
    /// let written = [0, 1].map(|p| driver.on_partition(p).written("app-spread-repartition").len());
    /// assert!(written[0] > 0 && written[1] > 0);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Chooses the partitions, as for [`Produced`](crate::Produced::partitioner). Default: Kafka's hash of the key's bytes. What is
    /// aggregated or joined afterwards needs equal keys on one partition, and joined topics the same choice.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_size = Repartitioned::<String, i64>::named("by-size")
    ///     .partitions(2)
    ///     .partitioner(|record| i32::from(*record.value > 9));
    /// builder.stream::<String, i64>("in").repartition(by_size).to("out");
    /// let options = TestDriverOptions::default().partitions("in", 1);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// for n in [1_i64, 10, 11] {
    ///     driver.input("in").pipe("a".to_string(), n)?;
    /// }
    /// let written = [0, 1].map(|p| driver.on_partition(p).written("app-by-size-repartition").len());
    /// assert_eq!(written, [1, 2]);
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
    Repartitioned,
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
    /// let by_item = orders.select_key(|_, order| order.item.clone());
    /// let repartitioned = Repartitioned::with(String::default_serde(), Arc::new(JsonSerde)).with_name("by-item");
    /// by_item.repartition(repartitioned).map_values(|order| order.n).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.written("app-by-item-repartition")[0].key.as_deref(), Some(&b"tea"[..]));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_length = builder.stream::<String, i64>("in").select_key(|word, _| word.len() as i64);
    /// by_length.repartition(Repartitioned::key_serde(Arc::new(JsonSerde)).with_name("by-length")).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("tea".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-by-length-repartition")[0].key.as_deref(), Some(&b"3"[..]));
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
    /// let by_item = orders.select_key(|_, order| order.item.clone());
    /// let repartitioned = Repartitioned::value_serde(Arc::new(JsonSerde)).with_name("by-item");
    /// by_item.repartition(repartitioned).map_values(|order| order.n).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.written("app-by-item-repartition")[0].key.as_deref(), Some(&b"tea"[..]));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    value_serde
}
named_options! {
    Repartitioned,
    "names the topic",
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.repartition(Repartitioned::named("spread")).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe("a".to_string(), "be".to_string())?;
    /// assert_eq!(driver.written("app-spread-repartition").len(), 1);
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "be");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    named,
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// let repartitioned = Repartitioned::default().partitions(4).with_name("spread");
    /// words.repartition(repartitioned).to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Sink: spread-repartition-sink"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("words").pipe("a".to_string(), "be".to_string())?;
    /// assert_eq!(driver.written("app-spread-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with_name
}

debug_options!(Repartitioned);
