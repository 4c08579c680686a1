//! `TableJoined`: how tables are joined by a foreign key.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};

use super::SerdeOf;

/// Chooses a partition from a key and the number of partitions. It sees no more of a record: messages of a join are its own, and those of
/// one key must all go to one partition.
pub(crate) type KeyPartitioner<K> = Arc<dyn Fn(&K, u32) -> i32 + Send + Sync>;

/// How tables are joined by a foreign key: serdes of both values, partitioners of both keys, and a name (Kafka's
/// `TableJoined`). `K` and `V` are key and value of this table, `F` and `W` those of the other.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.table::<i64, String>("orders", Materialized::default());
/// let customers = builder.table::<String, String>("customers", Materialized::default());
/// let joined = TableJoined::named("owners");
/// let owners = orders.join_foreign_key_with(
///     &customers,
///     |_, customer| Some(customer.clone()),
///     |_, name| name.clone(),
///     joined,
///     Materialized::named("owners"),
/// );
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
/// driver.input("orders").pipe(7_i64, "c1".to_string())?;
/// assert_eq!(driver.written("app-owners-subscription-registration-topic").len(), 1);
/// let row = driver.key_value_store::<i64, String>("owners")?.get(&7).unwrap().unwrap();
/// assert_eq!(row.value, "Ada");
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct TableJoined<K, V, F, W> {
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) other_value_serde: SerdeOf<W>,
    pub(crate) partitioner: Option<KeyPartitioner<K>>,
    pub(crate) other_partitioner: Option<KeyPartitioner<F>>,
    pub(crate) name: Option<String>,
}

impl<K, V: DefaultSerde, F, W: DefaultSerde> Default for TableJoined<K, V, F, W> {
    fn default() -> Self {
        Self::of(SerdeOf::carried(), SerdeOf::carried())
    }
}

impl<K, V: DefaultSerde, F, W: DefaultSerde> TableJoined<K, V, F, W> {
    /// With this name, which names processors, topics and the store of subscriptions, and the serdes of the tables or types.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let joined = TableJoined::named("owners");
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(7_i64, "c1".to_string())?;
    /// assert_eq!(driver.written("app-owners-subscription-registration-topic").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().with_name(name)
    }
}

impl<K, V, F, W> TableJoined<K, V, F, W> {
    fn of(value_serde: SerdeOf<V>, other_value_serde: SerdeOf<W>) -> Self {
        Self {
            value_serde,
            other_value_serde,
            partitioner: None,
            other_partitioner: None,
            name: None,
        }
    }

    /// With these serdes of this table's and the other's values; the types then need no default ones.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { customer: String }
    ///
    /// let builder = StreamsBuilder::new();
    /// let read = Consumed::with(i64::default_serde(), Arc::new(JsonSerde));
    /// let orders = builder.table_with("orders", read, Materialized::with(Arc::new(JsonSerde)));
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let joined = TableJoined::with(Arc::new(JsonSerde), String::default_serde());
    /// let customer = |_: &i64, order: &Order| Some(order.customer.clone());
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("owners");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
    /// driver.input("orders").pipe(7_i64, r#"{"customer":"c1"}"#.to_string())?;
    /// assert_eq!(driver.output::<i64, String>("owners").read_key_values(), [(7, "Ada".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with(value_serde: Arc<dyn Serde<V>>, other_value_serde: Arc<dyn Serde<W>>) -> Self {
        Self::of(SerdeOf::Given(value_serde), SerdeOf::Given(other_value_serde))
    }

    /// Sets the name of processors, topics and the store of subscriptions. Default: generated names.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let joined = TableJoined::with(String::default_serde(), String::default_serde()).with_name("owners");
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("stores: [owners-subscription-store]"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("orders").pipe(7_i64, "c1".to_string())?;
    /// assert_eq!(driver.written("app-owners-subscription-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Chooses the partition of answers from this table's key and the number of partitions. Default: the one that the row came
    /// from, which is right however the topic of this table was partitioned.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// // As whoever writes the orders chooses it.
    /// let joined = TableJoined::named("owners").partitioner(|order: &i64, n| (*order % i64::from(n)) as i32);
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("owners");
    /// let options = TestDriverOptions::default().partitions("orders", 2).partitions("customers", 2);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
    /// driver.on_partition(1).input("orders").pipe(7_i64, "c1".to_string())?;
    /// let answers = driver.on_partition(1).written("app-owners-subscription-response-topic");
    /// assert_eq!(answers.len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl Fn(&K, u32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Chooses the partition to ask in, from the other table's key and the number of partitions: as the topic of the other table
    /// is partitioned. Default: Kafka's hash of the key's bytes.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let joined = TableJoined::named("owners").other_partitioner(|customer: &String, _| i32::from(customer.as_str() > "c5"));
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("owners");
    /// let options = TestDriverOptions::default().partitions("orders", 2).partitions("customers", 2);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// for (partition, customer) in [(0, "c1"), (1, "c9")] {
    ///     driver.on_partition(partition).input("customers").pipe(customer.to_string(), customer.to_uppercase())?;
    ///     driver.input("orders").pipe(i64::from(partition), customer.to_string())?;
    /// }
    /// let owners = driver.output::<i64, String>("owners").read_key_values();
    /// assert_eq!(owners, [(0, "C1".into()), (1, "C9".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn other_partitioner(mut self, partitioner: impl Fn(&F, u32) -> i32 + Send + Sync + 'static) -> Self {
        self.other_partitioner = Some(Arc::new(partitioner));
        self
    }
}

impl<K, V, F, W> std::fmt::Debug for TableJoined<K, V, F, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableJoined")
            .field("value_serde", &self.value_serde)
            .field("other_value_serde", &self.other_value_serde)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
