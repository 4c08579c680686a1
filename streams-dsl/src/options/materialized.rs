//! `Materialized`: how a table is stored.

use std::sync::Arc;
use std::time::Duration;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::store::StoreKind;

use super::SerdeOf;
use crate::operators::update_cache::{Cache, OpenRows};
use crate::plan::Plan;
use crate::stores::StoreSettings;
use crate::windows::millis;

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
    pub(crate) settings: StoreSettings,
    pub(crate) caching: Option<bool>,
    pub(crate) entries_max: Option<usize>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) history_ms: Option<i64>,
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
            settings: StoreSettings::default(),
            caching: None,
            entries_max: None,
            retention_ms: None,
            history_ms: None,
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
        self.settings.kind = Some(kind);
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
        self.settings.logged = false;
        self
    }

    /// Sends on only the last update of each key, at the next commit, instead of every one as it happens: fewer records for
    /// whatever comes after. A row that came and went in between is not sent at all. What waits counts towards `cache_max_bytes`;
    /// when that is full, the thread commits. Results that are sent when windows close, and tables that are not stored or
    /// versioned, are as they are without. Default: what the topology says by
    /// [`default_caching_enabled`](crate::StreamsBuilder::default_caching_enabled), or else every update, unlike Kafka, where caching
    /// is the default; the store itself is behind a cache either way.
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
        self.caching = Some(true);
        self
    }

    /// Sends on every update as it happens, if the topology says otherwise by
    /// [`default_caching_enabled`](crate::StreamsBuilder::default_caching_enabled).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.default_caching_enabled();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// clicks.count(Materialized::named("counts").caching_disabled()).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for _ in 0..2 {
    ///     driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("counts").read_values(), [1, 2]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn caching_disabled(mut self) -> Self {
        self.caching = Some(false);
        self
    }

    /// With the serde that the grouped values carry, unless one is given.
    pub(crate) fn carried_by(mut self, values: &Arc<dyn Serde<V>>) -> Self {
        self.value_serde = SerdeOf::Given(self.value_serde.resolve(Some(values)));
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

    /// What updates are held with until a commit, if they can be. `rows` opens the store.
    pub(crate) fn cache_of<K>(&self, key_serde: &Arc<dyn Serde<K>>, rows: OpenRows<K>) -> Option<Cache<K>> {
        self.history_ms.is_none().then(|| Cache {
            key_serde: Arc::clone(key_serde),
            rows,
            is_wanted: self.caching,
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
        self.settings.changelog_configs.push((key.into(), value.into()));
        self
    }
}
