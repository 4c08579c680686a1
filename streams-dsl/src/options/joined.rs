//! `Joined`: how a stream is joined with a table.

use std::sync::Arc;
use std::time::Duration;

use streams_core::serde::{DefaultSerde, Serde};

use super::SerdeOf;
use crate::windows::millis;

/// How a stream is joined with a table: the stream's serdes, for the repartition that may be needed.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let names = builder.table::<i64, String>("names", Materialized::default());
/// let visits = builder.stream::<i64, String>("visits");
/// visits.join_with(&names, |page, name| format!("{name}: {page}"), Joined::named("who")).to("out");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: who"));
/// let driver = TopologyTestDriver::new(&topology)?;
/// driver.input("visits").pipe(1_i64, "home".to_string())?;
/// assert!(driver.output::<i64, String>("out").is_empty());
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct Joined<K, V> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) name: Option<String>,
    pub(crate) grace_ms: Option<i64>,
}

impl<K, V> Joined<K, V> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>) -> Self {
        Self {
            key_serde,
            value_serde,
            name: None,
            grace_ms: None,
        }
    }

    /// Lets records of the stream wait for so long, by event time, before they are joined, so that updates of the table that come
    /// later but are older than they are found (KIP-923). The table must be [versioned](crate::Materialized::versioned), with a history
    /// at least as long. Records that wait are kept in a store. Default: they do not wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let history = Materialized::named("prices").versioned(Duration::from_secs(60));
    /// let prices = builder.table::<String, i64>("prices", history);
    /// let joined = Joined::named("paid").grace_period(Duration::from_secs(10));
    /// builder.stream::<String, i64>("sold").join_with(&prices, |n, price| n * price, joined).to("paid");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("sold").pipe_at("tea".to_string(), 2_i64, 5_000)?;
    /// // The price of that time comes later, and is found.
    /// driver.input("prices").pipe_at("tea".to_string(), 3_i64, 4_000)?;
    /// driver.input("sold").pipe_at("milk".to_string(), 1_i64, 20_000)?;
    /// assert_eq!(driver.output::<String, i64>("paid").read_key_values(), [("tea".into(), 6)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace_ms = Some(millis(grace));
        self
    }
}

key_value_options! {
    Joined,
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
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let joined = Joined::with(String::default_serde(), Arc::new(JsonSerde));
    /// let by_item = orders.select_key(|_, order| order.item.clone());
    /// by_item.join_with(&prices, |order, price| order.n * price, joined).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.output::<String, i64>("amounts").read_key_values(), [("tea".into(), 6)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with,
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<i64, i64>("prices", Materialized::default());
    /// let sold = builder.stream::<String, i64>("sold").select_key(|item, _| item.len() as i64);
    /// let joined = Joined::key_serde(Arc::new(JsonSerde)).with_name("paid");
    /// sold.join_with(&prices, |n, price| n * price, joined).to("paid");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("sold").pipe("tea".to_string(), 2_i64)?;
    /// assert_eq!(driver.written("app-paid-repartition")[0].key.as_deref(), Some(&b"3"[..]));
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
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let by_item = orders.select_key(|_, order| order.item.clone());
    /// let joined = Joined::value_serde(Arc::new(JsonSerde));
    /// by_item.join_with(&prices, |order, price| order.n * price, joined).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// driver.input("orders").pipe("ada".to_string(), r#"{"item":"tea","n":2}"#.to_string())?;
    /// assert_eq!(driver.output::<String, i64>("amounts").read_key_values(), [("tea".into(), 6)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    value_serde
}
named_options! {
    Joined,
    "names the join and the repartition topic",
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// visits.join_with(&names, |page, name| format!("{name}: {page}"), Joined::named("who")).to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: who"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("names").pipe(1_i64, "Ada".to_string())?;
    /// driver.input("visits").pipe(1_i64, "home".to_string())?;
    /// assert_eq!(driver.output::<i64, String>("out").read_record().unwrap().value, "Ada: home");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    named,
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// let joined = Joined::with(i64::default_serde(), String::default_serde()).with_name("who");
    /// let by_user = visits.select_key(|_, user| user.len() as i64);
    /// by_user.left_join_with(&names, |user, name| name.cloned().unwrap_or(user), joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("visits").pipe(1_i64, "ada".to_string())?;
    /// // The key changed, so that the stream is repartitioned.
    /// assert_eq!(driver.written("app-who-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    with_name
}

debug_options!(Joined);
