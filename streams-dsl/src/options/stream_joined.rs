//! `StreamJoined`: how streams are joined.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::store::StoreKind;

use super::SerdeOf;
use crate::stores::StoreSettings;

/// How two streams are joined: serdes of their key and values, names, stores (Kafka's `StreamJoined`).
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let views = builder.stream::<String, String>("views");
/// let clicks = builder.stream::<String, String>("clicks");
/// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
/// let joined = StreamJoined::named("clicks-of-views").with_store_name("clicks-of-views").kind(StoreKind::InMemory);
/// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("Processor: clicks-of-views-this-join"));
/// let driver = TopologyTestDriver::new(&topology)?;
/// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
/// assert_eq!(driver.written("app-clicks-of-views-this-join-store-changelog").len(), 1);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamJoined<K, V, W> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) other_value_serde: SerdeOf<W>,
    pub(crate) name: Option<String>,
    pub(crate) store_name: Option<String>,
    pub(crate) settings: StoreSettings,
    pub(crate) this: SideStore,
    pub(crate) other: SideStore,
}

/// What is said of the store of one side alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideStore {
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<StoreKind>,
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> Default for StreamJoined<K, V, W> {
    fn default() -> Self {
        Self::of(SerdeOf::carried(), SerdeOf::carried(), SerdeOf::carried())
    }
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> StreamJoined<K, V, W> {
    /// With this name, which names processors and repartition topics, and the serdes of the streams or the types.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::named("clicked");
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: clicked-other-join"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert!(driver.output::<String, String>("out").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().with_name(name)
    }
}

impl<K, V, W> StreamJoined<K, V, W> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>, other_value_serde: SerdeOf<W>) -> Self {
        Self {
            key_serde,
            value_serde,
            other_value_serde,
            name: None,
            store_name: None,
            settings: StoreSettings::default(),
            this: SideStore::default(),
            other: SideStore::default(),
        }
    }

    /// With these serdes of the key, this stream's value and the other's; the types then need no default ones.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let counts = builder.stream::<String, i64>("counts");
    /// let numbers = counts.map_values(|n| vec![n]);
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::with(String::default_serde(), String::default_serde(), Arc::new(JsonSerde));
    /// views.join_stream_with(&numbers, |view, n: &Vec<i64>| format!("{view}: {}", n[0]), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("counts").pipe_at("ada".to_string(), 7_i64, 1_000)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "home: 7");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with(
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
        other_value_serde: Arc<dyn Serde<W>>,
    ) -> Self {
        Self::of(
            SerdeOf::Given(key_serde),
            SerdeOf::Given(value_serde),
            SerdeOf::Given(other_value_serde),
        )
    }

    /// Sets the name of the processors and repartition topics. Stores keep theirs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::with(String::default_serde(), String::default_serde(), String::default_serde());
    /// let joined = joined.with_name("clicked");
    /// let views = views.select_key(|_, view| view.clone());
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// // The key changed, so that the stream is repartitioned.
    /// assert_eq!(driver.written("app-clicked-left-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what the names of the stores begin with, and so those of their changelog topics. Default: generated names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().with_store_name("clicked");
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert_eq!(driver.written("app-clicked-this-join-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_store_name(mut self, name: impl Into<String>) -> Self {
        self.store_name = Some(name.into());
        self
    }

    /// Where records of both sides are kept, and those of left and outer joins that wait for a match (Kafka's
    /// `withDslStoreSuppliers`). Default: on disk.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().kind(StoreKind::InMemory);
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "home, buy");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn kind(mut self, kind: StoreKind) -> Self {
        self.settings.kind = Some(kind);
        self
    }

    /// Where records of this stream are kept (Kafka's `withThisStoreSupplier`), and, unless [`kind`](Self::kind) is said too, those
    /// of left and outer joins that wait for a match. Default: as [`kind`](Self::kind) says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().this_kind(StoreKind::InMemory);
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["home, buy"]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn this_kind(mut self, kind: StoreKind) -> Self {
        self.this.kind = Some(kind);
        self
    }

    /// Where records of the other stream are kept (Kafka's `withOtherStoreSupplier`). Default: as [`kind`](Self::kind) says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().other_kind(StoreKind::InMemory);
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["home, buy"]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn other_kind(mut self, kind: StoreKind) -> Self {
        self.other.kind = Some(kind);
        self
    }

    /// The whole name of the store of this stream, which names its changelog topic too: that of the supplier that Kafka's
    /// `withThisStoreSupplier` is given. Default: what [`with_store_name`](Self::with_store_name) makes, or a generated name.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().this_store_name("views-kept").other_store_name("clicks-kept");
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert_eq!(driver.written("app-views-kept-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn this_store_name(mut self, name: impl Into<String>) -> Self {
        self.this.name = Some(name.into());
        self
    }

    /// The whole name of the store of the other stream: see [`this_store_name`](Self::this_store_name).
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().with_store_name("clicked").other_store_name("clicks-kept");
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// assert_eq!(driver.written("app-clicked-this-join-store-changelog").len(), 1);
    /// assert_eq!(driver.written("app-clicks-kept-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn other_store_name(mut self, name: impl Into<String>) -> Self {
        self.other.name = Some(name.into());
        self
    }

    /// Without changelogs: records that wait for their match are lost with their disk. Default: with them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().with_store_name("clicked").logging_disabled();
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert!(driver.written("app-clicked-this-join-store-changelog").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn logging_disabled(mut self) -> Self {
        self.settings.logged = false;
        self
    }

    /// Sets one config of the changelog topics, over the defaults.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::default().with_store_name("clicked").changelog_config("min.insync.replicas", "2");
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert_eq!(driver.written("app-clicked-this-join-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.changelog_configs.push((key.into(), value.into()));
        self
    }
}
