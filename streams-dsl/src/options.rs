//! What operators can be told beside what they do: serdes, names, stores. Required by position, optional by chaining.
//!
//! A serde is either given, or taken from the stream it travelled with, or the type's own: [`SerdeOf`] says which, so that
//! an operator that needs a serde always has one, or does not compile.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::store::StoreKind;
use streams_core::topology::{AutoOffsetReset, Partitioner, Partitions, TimestampExtractor, partitioner};

use crate::operators::update_cache::{Cache, OpenRows};
use crate::plan::Plan;
use crate::windows::millis;

/// Which serde to use.
pub(crate) enum SerdeOf<T> {
    /// This one.
    Given(Arc<dyn Serde<T>>),
    /// The one the stream carries, else the type's own.
    Carried(fn() -> Arc<dyn Serde<T>>),
}

impl<T> SerdeOf<T> {
    pub(crate) fn carried() -> Self
    where
        T: DefaultSerde,
    {
        Self::Carried(T::default_serde)
    }

    pub(crate) fn resolve(self, carried: Option<&Arc<dyn Serde<T>>>) -> Arc<dyn Serde<T>> {
        match (self, carried) {
            (Self::Given(serde), _) => serde,
            (Self::Carried(_), Some(serde)) => Arc::clone(serde),
            (Self::Carried(default), None) => default(),
        }
    }
}

impl<T> Clone for SerdeOf<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Given(serde) => Self::Given(Arc::clone(serde)),
            Self::Carried(default) => Self::Carried(*default),
        }
    }
}

impl<T> Debug for SerdeOf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(serde) => write!(f, "Given({serde:?})"),
            Self::Carried(_) => write!(f, "Carried"),
        }
    }
}

// The examples are given where the macros are used, since each is of one type.
macro_rules! key_value_options {
    ($type:ident, $(#[$example:meta])+ with) => {
        impl<K: DefaultSerde, V: DefaultSerde> Default for $type<K, V> {
            fn default() -> Self {
                Self::of(SerdeOf::carried(), SerdeOf::carried())
            }
        }

        impl<K, V> $type<K, V> {
            /// With these serdes; the types then need no default ones.
            ///
            $(#[$example])+
            #[must_use]
            pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
                Self::of(SerdeOf::Given(key_serde), SerdeOf::Given(value_serde))
            }
        }
    };
}

macro_rules! named_options {
    ($type:ident, $names:literal, $(#[$named:meta])+ named, $(#[$with_name:meta])+ with_name) => {
        impl<K: DefaultSerde, V: DefaultSerde> $type<K, V> {
            #[doc = concat!("With this name, which ", $names, ", and the serdes of the stream or the types.")]
            ///
            $(#[$named])+
            #[must_use]
            pub fn named(name: impl Into<String>) -> Self {
                Self::default().with_name(name)
            }
        }

        impl<K, V> $type<K, V> {
            #[doc = concat!("Sets the name, which ", $names, ".")]
            ///
            $(#[$with_name])+
            #[must_use]
            pub fn with_name(mut self, name: impl Into<String>) -> Self {
                self.name = Some(name.into());
                self
            }
        }
    };
}

macro_rules! debug_options {
    ($($type:ident),+) => {$(
        impl<K, V> Debug for $type<K, V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("key_serde", &self.key_serde)
                    .field("value_serde", &self.value_serde)
                    .finish_non_exhaustive()
            }
        }
    )+};
}

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

/// How a topic is written.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let by_size = Produced::default().partitioner(|_: &String, n: &i64, _| i32::from(*n > 9));
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

    /// Chooses the partition from key, value and the number of partitions, or [several or none](Partitions). Default: Kafka's hash of
    /// the key's bytes, of a windowed key its inner key's.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_size = Produced::<String, i64>::default().partitioner(|_, size, partitions| (*size % i64::from(partitions)) as i32);
    /// builder.stream::<String, i64>("parcels").to_with("by-size", by_size);
    /// let urgent_first = |_: &String, size: &i64, _| (*size > 100).then_some(0);
    /// let or_by_key = Produced::<String, i64>::default().partitioner(urgent_first);
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
        choose: impl Fn(&K, &V, u32) -> P + Send + Sync + 'static,
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
    with
}

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
    with
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
    /// later but are older than they are found (KIP-923). The table must be [versioned](Materialized::versioned), with a history
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
    with
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

    /// Chooses the partitions, as for [`Produced`](Produced::partitioner). Default: Kafka's hash of the key's bytes. What is
    /// aggregated or joined afterwards needs equal keys on one partition, and joined topics the same choice.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_size = Repartitioned::named("by-size").partitions(2).partitioner(|_, n: &i64, _| i32::from(*n > 9));
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
        choose: impl Fn(&K, &V, u32) -> P + Send + Sync + 'static,
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
    with
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
debug_options!(Consumed, Produced, Grouped, Joined, Repartitioned);

/// How a table is stored. Its keys are written as the table's keys are, so only the value's serde can be given.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
/// let by_user = clicks.count(Materialized::named("clicks-by-user").kind(StoreKind::InMemory));
/// assert_eq!(by_user.store_name().as_deref(), Some("clicks-by-user"));
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
/// let counts = driver.key_value_store::<String, i64>("clicks-by-user")?;
/// assert_eq!(counts.get(&"ada".into()).unwrap().unwrap().value, 1);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Materialized<V> {
    pub(crate) name: Option<String>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) kind: Option<StoreKind>,
    pub(crate) logged: bool,
    pub(crate) caching: bool,
    pub(crate) entries_max: Option<usize>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) history_ms: Option<i64>,
    pub(crate) changelog_configs: Vec<(String, String)>,
}

impl<V: DefaultSerde> Default for Materialized<V> {
    fn default() -> Self {
        Self::of(SerdeOf::carried())
    }
}

impl<V: DefaultSerde> Materialized<V> {
    /// In a store of this name, which names the changelog topic too, with the serde of the stream or the type.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-counts-changelog").len(), 1);
    /// let counts = driver.key_value_store::<String, i64>("counts")?;
    /// assert_eq!(counts.get(&"ada".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().with_name(name)
    }
}

impl<V> Materialized<V> {
    fn of(value_serde: SerdeOf<V>) -> Self {
        Self {
            name: None,
            value_serde,
            kind: None,
            logged: true,
            caching: false,
            entries_max: None,
            retention_ms: None,
            history_ms: None,
            changelog_configs: Vec::new(),
        }
    }

    /// With this serde; the type then needs no default one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// let lists = Materialized::with(Arc::new(JsonSerde)).with_name("lists");
    /// clicks.aggregate(Vec::new, |_, n, mut list: Vec<i64>| { list.push(n); list }, lists);
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// let row = driver.written("app-lists-changelog")[0].value.clone().unwrap();
    /// assert!(row.ends_with(b"[7]"));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with(value_serde: Arc<dyn Serde<V>>) -> Self {
        Self::of(SerdeOf::Given(value_serde))
    }

    /// Sets the name of the store and its changelog topic. Default: a generated one.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::with(i64::default_serde()).with_name("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// let counts = driver.key_value_store::<String, i64>("counts")?;
    /// assert_eq!(counts.get(&"ada".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where rows are kept. Default: on disk.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts").kind(StoreKind::InMemory));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// // It is restored from its changelog, wherever it is.
    /// assert_eq!(driver.written("app-counts-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn kind(mut self, kind: StoreKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Keeps this many rows, in memory, and deletes those that were not read or written for longest (Kafka's `Stores.lruMap`). For
    /// tables that are not windowed or versioned. Default: all rows.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let recent = clicks.count(Materialized::named("recent").lru(2));
    /// recent.to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for user in ["ada", "bob", "ada", "cyd", "bob"] {
    ///     driver.input("clicks").pipe(user.to_string(), "home".to_string())?;
    /// }
    /// // Bob was forgotten when Cyd came.
    /// let counts: Vec<i64> = driver.output::<String, i64>("counts").read_key_values().into_iter().map(|(_, n)| n).collect();
    /// assert_eq!(counts, [1, 1, 2, 1, 1]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn lru(mut self, entries_max: usize) -> Self {
        self.entries_max = Some(entries_max);
        self
    }

    /// Without a changelog: the state is lost with its disk. Default: with one.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts").logging_disabled());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// assert!(driver.written("app-counts-changelog").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Sends on only the last update of each key, at the next commit, instead of every one as it happens: fewer records for
    /// whatever comes after. A row that came and went in between is not sent at all. What waits counts towards `cache_max_bytes`;
    /// when that is full, the thread commits. Results that are sent when windows close, and tables that are not stored or
    /// versioned, are as they are without. Default: every update, unlike Kafka, where caching is the default; the store itself is
    /// behind a cache either way.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts").caching_enabled()).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// // The test driver commits after each record.
    /// assert_eq!(driver.output::<String, i64>("counts").read_key_values(), [("ada".into(), 1)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn caching_enabled(mut self) -> Self {
        self.caching = true;
        self
    }

    /// Whether the key-value store of `processor` keeps versions. What cannot be with that is a problem of the plan.
    pub(crate) fn checked_versions(&self, plan: &mut Plan, processor: &str) -> bool {
        let is_versioned = self.history_ms.is_some();
        if is_versioned && self.name.is_none() {
            plan.problems.push(format!(
                "{processor}: a versioned table needs a name for its store"
            ));
        }
        if is_versioned && self.entries_max.is_some() {
            let store = self.name.as_deref().unwrap_or(processor);
            plan.problems
                .push(format!("{store}: a versioned store cannot be an LRU store"));
        }
        is_versioned
    }

    /// Problems of a store of windows or sessions that is to keep what only key-value stores can.
    pub(crate) fn check_windows(&self, plan: &mut Plan, processor: &str) {
        let store = self.name.as_deref().unwrap_or(processor);
        if self.entries_max.is_some() {
            plan.problems
                .push(format!("{store}: a store of windows cannot be an LRU store"));
        }
        if self.history_ms.is_some() {
            plan.problems
                .push(format!("{store}: a store of windows cannot be versioned"));
        }
    }

    /// What updates are held with until a commit, if they are. `rows` opens the store.
    pub(crate) fn cache_of<K>(&self, key_serde: &Arc<dyn Serde<K>>, rows: OpenRows<K>) -> Option<Cache<K>> {
        (self.caching && self.history_ms.is_none()).then(|| Cache {
            key_serde: Arc::clone(key_serde),
            rows,
        })
    }

    /// For windows: how long rows are kept, by event time. Default, and the least there can be: size and grace.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key().windowed_by(seconds);
    /// clicks.count(Materialized::named("counts").retention(Duration::from_secs(3_600)));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [100, 60_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), 7_i64, at_ms)?;
    /// }
    /// // Closed for a minute, and still there.
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 0).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention_ms = Some(millis(retention));
        self
    }

    /// Keeps what rows were too, for so long by event time (KIP-889, KIP-914). A join then finds the row of its record's time, and
    /// what comes late changes what was and not what is; what is older than the history is dropped and counted. For all tables
    /// that are not windowed. Needs a name; such a store is not an LRU store and its updates are not held back by
    /// [`caching_enabled`](Self::caching_enabled). Default: only what rows are.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let history = Materialized::named("prices").versioned(Duration::from_secs(3_600));
    /// let prices = builder.table::<String, i64>("prices", history);
    /// builder.stream::<String, i64>("sold").join(&prices, |n, price| n * price).to("paid");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe_at("tea".to_string(), 3_i64, 1_000)?;
    /// driver.input("prices").pipe_at("tea".to_string(), 4_i64, 2_000)?;
    /// driver.input("sold").pipe_at("tea".to_string(), 10_i64, 1_500)?;
    /// assert_eq!(driver.output::<String, i64>("paid").read_key_values(), [("tea".into(), 30)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn versioned(mut self, history: Duration) -> Self {
        self.history_ms = Some(millis(history));
        self
    }

    /// Sets one config of the changelog topic, over the defaults.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts").changelog_config("min.insync.replicas", "2"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-counts-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.changelog_configs.push((key.into(), value.into()));
        self
    }
}
