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

macro_rules! key_value_options {
    ($type:ident) => {
        impl<K: DefaultSerde, V: DefaultSerde> Default for $type<K, V> {
            fn default() -> Self {
                Self::of(SerdeOf::carried(), SerdeOf::carried())
            }
        }

        impl<K, V> $type<K, V> {
            /// With these serdes; the types then need no default ones.
            #[must_use]
            pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
                Self::of(SerdeOf::Given(key_serde), SerdeOf::Given(value_serde))
            }
        }
    };
}

macro_rules! named_options {
    ($type:ident, $names:literal) => {
        impl<K: DefaultSerde, V: DefaultSerde> $type<K, V> {
            #[doc = concat!("With this name, which ", $names, ", and the serdes of the stream or the types.")]
            #[must_use]
            pub fn named(name: impl Into<String>) -> Self {
                Self::default().with_name(name)
            }
        }

        impl<K, V> $type<K, V> {
            #[doc = concat!("Sets the name, which ", $names, ".")]
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
/// use std::sync::Arc;
/// use streams_dsl::serde::{DefaultSerde, JsonSerde};
/// use streams_dsl::{Consumed, Record, StreamsBuilder};
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Reading { celsius: f64, taken_ms: i64 }
///
/// let builder = StreamsBuilder::new();
/// let readings = builder.stream_with(
///     "readings",
///     Consumed::with(String::default_serde(), Arc::new(JsonSerde))
///         .timestamp_extractor(|record: &Record<String, Reading>, _| record.value.taken_ms),
/// );
/// # readings.for_each(|_, _| ());
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
    /// // Streams of one topic share its source, and so must agree.
    /// builder.stream::<String, i64>("alarms").to("archive");
    /// let error = builder.build().unwrap_err().to_string();
    /// assert!(error.contains("alarms is read with the offset reset policies latest and"), "{error}");
    /// ```
    #[must_use]
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.auto_offset_reset = Some(reset);
        self
    }
}

key_value_options!(Consumed);

/// How a topic is written.
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

key_value_options!(Produced);

/// How a grouped stream is keyed and, if it must be, repartitioned.
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

key_value_options!(Grouped);
named_options!(
    Grouped,
    "names the repartition topic and the processor that selects the key"
);

/// How a stream is joined with a table: the stream's serdes, for the repartition that may be needed.
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
    #[must_use]
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace_ms = Some(millis(grace));
        self
    }
}

key_value_options!(Joined);
named_options!(Joined, "names the join and the repartition topic");

/// How a stream is repartitioned.
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

key_value_options!(Repartitioned);
named_options!(Repartitioned, "names the topic");
debug_options!(Consumed, Produced, Grouped, Joined, Repartitioned);

/// How a table is stored. Its keys are written as the table's keys are, so only the value's serde can be given.
///
/// ```
/// use streams_dsl::store::StoreKind;
/// use streams_dsl::{Materialized, StreamsBuilder};
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
/// let by_user = clicks.count(Materialized::named("clicks-by-user").kind(StoreKind::InMemory));
/// assert_eq!(by_user.store_name().as_deref(), Some("clicks-by-user"));
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
    #[must_use]
    pub fn with(value_serde: Arc<dyn Serde<V>>) -> Self {
        Self::of(SerdeOf::Given(value_serde))
    }

    /// Sets the name of the store and its changelog topic. Default: a generated one.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where rows are kept. Default: on disk.
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
    /// use streams_dsl::Materialized;
    ///
    /// let counts = Materialized::<i64>::named("counts").caching_enabled();
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
    #[must_use]
    pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.changelog_configs.push((key.into(), value.into()));
        self
    }
}
