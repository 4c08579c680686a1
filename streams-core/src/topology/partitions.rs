//! Which partitions of a topic a record goes to, where the user chooses.

use std::sync::Arc;

/// Chooses the partitions of a record from its key, its value and how many partitions there are (Kafka's `StreamPartitioner`).
pub type Partitioner<K, V> = Arc<dyn Fn(&K, &V, u32) -> Partitions + Send + Sync>;

/// What a partitioner answers (KIP-837): made of a number, of an `Option` of one, or of several.
///
/// ```
/// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
/// use streams_core::topology::{Partitions, SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let said = builder.add_source::<String, i64>("in", [TopicName::external("said")], SourceOptions::default());
/// let options = SinkOptions::default().partitioner(|key: &String, _: &i64, partitions| match key.as_str() {
///     "all" => Partitions::all(partitions),
///     "none" => Partitions::DROP,
///     "last" => Partitions::One(partitions as i32 - 1),
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
    choose: impl Fn(&K, &V, u32) -> P + Send + Sync + 'static,
) -> Partitioner<K, V> {
    Arc::new(move |key, value, partitions| choose(key, value, partitions).into())
}
