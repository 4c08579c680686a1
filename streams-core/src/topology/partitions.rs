//! Which partitions of a topic a record goes to, where the user chooses.

use std::sync::Arc;

use crate::record::Headers;

/// Chooses the partitions of a record (Kafka's `StreamPartitioner`).
pub type Partitioner<K, V> = Arc<dyn Fn(&ProducerRecord<'_, K, V>) -> Partitions + Send + Sync>;

/// A record on its way to a topic, as a [`Partitioner`] sees it: before it is written, so without headers that serdes add.
///
/// ```
/// use std::sync::Arc;
/// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let said = builder.add_source::<String, i64>("in", [TopicName::external("said")], SourceOptions::default());
/// // One topic has a partition for each day of the week, the others go by key.
/// let options = SinkOptions::<String, i64>::default().partitioner(|record| match record.topic {
///     "said-days" => Some((record.timestamp_ms / 86_400_000) as i32 % record.partitions as i32),
///     _ => None,
/// });
/// builder.add_dynamic_sink("out", Arc::new(|record, _| format!("said-{}", record.key)), &[said], options);
/// let partitions = TestDriverOptions::default().partitions("said-days", 7);
/// let driver = TopologyTestDriver::with_options(&builder.build()?, partitions)?;
/// driver.input("said").pipe_at("days".to_string(), 1_i64, 3 * 86_400_000)?;
/// assert_eq!(driver.on_partition(3).written("said-days").len(), 1);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Debug)]
pub struct ProducerRecord<'a, K, V> {
    /// The topic's name on the log: as it was chosen, or with the application's id if it is an internal one.
    pub topic: &'a str,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// The key.
    pub key: &'a K,
    /// The value.
    pub value: &'a V,
    /// Event time, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The record's headers.
    pub headers: &'a Headers,
}

/// What a partitioner answers (KIP-837): made of a number, of an `Option` of one, or of several.
///
/// ```
/// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
/// use streams_core::topology::{Partitions, SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let said = builder.add_source::<String, i64>("in", [TopicName::external("said")], SourceOptions::default());
/// let options = SinkOptions::<String, i64>::default().partitioner(|record| match record.key.as_str() {
///     "all" => Partitions::all(record.partitions),
///     "none" => Partitions::DROP,
///     "last" => Partitions::One(record.partitions as i32 - 1),
///     _ => Partitions::Default,
/// });
/// builder.add_sink("out", TopicName::external("heard"), &[said], options);
/// let partitions = TestDriverOptions::default().partitions("heard", 3);
/// let driver = TopologyTestDriver::with_options(&builder.build()?, partitions)?;
/// for key in ["all", "none", "last"] {
///     driver.input("said").pipe(key.to_string(), 1_i64)?;
/// }
/// let heard = |partition| driver.on_partition(partition).output::<String, i64>("heard").read_key_values().len();
/// assert_eq!([heard(0), heard(1), heard(2)], [1, 1, 2]);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// As without a partitioner: by the key's bytes.
    Default,
    /// This one, from 0.
    One(i32),
    /// Each of these. Without any the record is dropped, counted as
    /// [`DropReason::NoPartition`](crate::metrics::DropReason::NoPartition).
    Several(Vec<i32>),
}

impl Partitions {
    /// None: the record is dropped and counted.
    pub const DROP: Self = Self::Several(Vec::new());

    /// All that there are.
    #[must_use]
    pub fn all(partitions: u32) -> Self {
        Self::Several((0..partitions.cast_signed()).collect())
    }
}

impl From<i32> for Partitions {
    fn from(partition: i32) -> Self {
        Self::One(partition)
    }
}

/// `None` is the default.
impl From<Option<i32>> for Partitions {
    fn from(partition: Option<i32>) -> Self {
        partition.map_or(Self::Default, Self::One)
    }
}

impl From<Vec<i32>> for Partitions {
    fn from(partitions: Vec<i32>) -> Self {
        Self::Several(partitions)
    }
}

/// A user's function as a partitioner.
pub fn partitioner<K, V, P: Into<Partitions>>(
    choose: impl Fn(&ProducerRecord<'_, K, V>) -> P + Send + Sync + 'static,
) -> Partitioner<K, V> {
    Arc::new(move |record| choose(record).into())
}
