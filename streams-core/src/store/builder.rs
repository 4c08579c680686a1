//! How a store is declared: typed builders, and the plain data that the topology keeps of them.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use state_store::{KeySchema, Layout, MemoryEngine, StoreEngine};

use super::buffer::{LiveBuffer, Rows};
use super::cached::{Cached, RowIndex, UntypedCached};
use super::key_value::Eviction;
use super::task::{Changelog, LiveStore, StoreBase, TaskStore};
use super::versioned::VersionSerde;
use super::{KeyValueStore, SessionStore, TimeOrderedBuffer, VersionedKeyValueStore, WindowStore};
use crate::serde::{DefaultSerde, Serde};
use crate::topology::{ChangelogConfigs, ErasedHandle, TopicName};

/// Where a store keeps its rows.
#[derive(Clone, Debug, Default)]
pub enum StoreKind {
    /// On disk, through the application's persistent engine (RocksDB).
    #[default]
    Persistent,
    /// In memory; restored from its changelog at every start.
    InMemory,
    /// In a store of one's own (what a store supplier is in Kafka): any [`StoreEngine`] that passes the suite
    /// `state_store::conformance` (with the feature of that name) is as good as the two above. It gets a directory of its own for
    /// each store, in the test driver only if [that has one](crate::testing::TestDriverOptions::state_dir).
    ///
    /// ```
    /// use std::path::Path;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use streams_core::store::engine::{self, MemoryEngine, StoreEngine};
    /// use streams_core::store::{KeyValueStoreBuilder, StoreKind};
    /// use streams_core::testing::MockProcessorContext;
    ///
    /// /// Counts how many stores it has opened.
    /// #[derive(Debug, Default)]
    /// struct Counting(AtomicUsize);
    ///
    /// impl StoreEngine for Counting {
    ///     fn open(&self, spec: &engine::StoreSpec, directory: Option<&Path>) -> engine::Result<Arc<dyn engine::KeyValueStore>> {
    ///         self.0.fetch_add(1, Ordering::Relaxed);
    ///         MemoryEngine.open(spec, directory)
    ///     }
    /// }
    ///
    /// let counting = Arc::new(Counting::default());
    /// let store = KeyValueStoreBuilder::<String, i64>::new("counts").kind(StoreKind::Custom(counting.clone()));
    /// let counts = MockProcessorContext::<(), ()>::new().add_store(store)?;
    /// counts.put(&"a".to_string(), Some(1), 0)?;
    /// assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    Custom(Arc<dyn StoreEngine>),
}

/// Opens a byte store with the engine that its kind asks for. `directory` is for this store alone.
pub(crate) fn open_bytes(
    kind: Option<&StoreKind>,
    persistent: &dyn StoreEngine,
    memory: &MemoryEngine,
    spec: &state_store::StoreSpec,
    directory: Option<&Path>,
) -> state_store::Result<Arc<dyn state_store::KeyValueStore>> {
    match kind {
        None | Some(StoreKind::Persistent) => persistent.open(spec, directory),
        Some(StoreKind::InMemory) => memory.open(spec, None),
        Some(StoreKind::Custom(engine)) => engine.open(spec, directory),
    }
}

/// Declares a store that processors of a topology share.
pub trait StoreBuilder {
    /// What processors hold of it: a cheap handle.
    type Store: Clone + 'static;

    /// What the topology keeps of it.
    #[doc(hidden)]
    fn into_spec(self) -> StoreSpec;
}

/// A store as data. Made by builders; opaque outside of this crate.
#[derive(Clone)]
pub struct StoreSpec {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    /// `None` until the topology is built: as it says.
    pub(crate) kind: Option<StoreKind>,
    pub(crate) logged: bool,
    /// The topic its rows are read from, which is its changelog.
    pub(crate) source_topic: Option<TopicName>,
    /// Configs of the changelog topic.
    pub(crate) changelog_configs: ChangelogConfigs,
    /// Opens it under its name.
    pub(crate) open: Open,
}

impl StoreSpec {
    /// The store's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSpec")
            .field("name", &self.name)
            .field("layout", &self.layout)
            .field("kind", &self.kind)
            .field("logged", &self.logged)
            .finish_non_exhaustive()
    }
}

/// What a store is opened with in one task.
pub(crate) struct OpenStore {
    pub(crate) bytes: Arc<dyn state_store::KeyValueStore>,
    /// Name of the changelog topic, given to serdes even if nothing is logged.
    pub(crate) topic: Arc<str>,
    pub(crate) changelog: Option<Changelog>,
    pub(crate) cache_bytes: usize,
    pub(crate) logs_every_put: bool,
}

impl OpenStore {
    fn base(self, name: &str) -> StoreBase {
        StoreBase {
            name: name.to_owned(),
            bytes: self.bytes,
            changelog: self.changelog,
        }
    }
}

/// Opens a store of this name.
type Open = Arc<dyn Fn(&str, OpenStore) -> OpenedStore + Send + Sync>;

/// A store in one task: for the task, and for its processors.
pub(crate) struct OpenedStore {
    pub(crate) store: Box<dyn TaskStore>,
    pub(crate) handle: ErasedHandle,
}

/// Settings that all kinds of stores have.
#[derive(Clone, Debug)]
struct Common {
    name: String,
    kind: Option<StoreKind>,
    logged: bool,
    changelog_configs: ChangelogConfigs,
}

impl Common {
    fn new(name: String, cleanup_policy: &str) -> Self {
        Self {
            name,
            kind: None,
            logged: true,
            changelog_configs: ChangelogConfigs::new(cleanup_policy),
        }
    }
}

macro_rules! common_settings {
    () => {
        /// Where rows are kept. Default: as the topology says, or on disk.
        #[must_use]
        pub fn kind(mut self, kind: StoreKind) -> Self {
            self.common.kind = Some(kind);
            self
        }

        /// Without a changelog: state is lost with its disk, or at every start if it is in memory, and after a crash may
        /// miss or repeat what was not committed. Default: with one.
        #[must_use]
        pub fn logging_disabled(mut self) -> Self {
            self.common.logged = false;
            self
        }

        /// Sets one config of the changelog topic, over the defaults.
        #[must_use]
        pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.common.changelog_configs.give(key.into(), value.into());
            self
        }
    };
}

/// Declares a [`KeyValueStore`].
///
/// ```
/// use streams_core::store::{KeyValueStoreBuilder, StoreKind};
///
/// let counts = KeyValueStoreBuilder::<String, i64>::new("counts").kind(StoreKind::InMemory);
/// ```
#[derive(Clone, Debug)]
pub struct KeyValueStoreBuilder<K, V> {
    common: Common,
    ordered: bool,
    lru: Option<Evictions<V>>,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: DefaultSerde, V: DefaultSerde> KeyValueStoreBuilder<K, V> {
    /// A store of this name with the types' default serdes.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_serdes(name, K::default_serde(), V::default_serde())
    }
}

impl<K: 'static, V: 'static> KeyValueStoreBuilder<K, V> {
    /// A store of this name with these serdes.
    pub fn with_serdes(
        name: impl Into<String>,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            common: Common::new(name.into(), "compact"),
            ordered: false,
            lru: None,
            key_serde,
            value_serde,
        }
    }

    common_settings!();

    /// Keeps what is not on disk yet in order, for stores that are read by ranges all the time. Default: not, which writes
    /// faster.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Keeps this many rows in memory, at least one, and deletes those that were not read or written for longest, from the
    /// changelog too (Kafka's `Stores.lruMap`). Restored rows count as used in the order of their keys. Default: all rows.
    ///
    /// ```
    /// use streams_core::store::KeyValueStoreBuilder;
    ///
    /// let recent = KeyValueStoreBuilder::<String, i64>::new("recent").lru(1_000);
    /// ```
    #[must_use]
    pub fn lru(mut self, entries_max: usize) -> Self
    where
        V: Clone,
    {
        self.common.kind = Some(StoreKind::InMemory);
        self.lru = Some(Evictions {
            entries_max,
            make: Eviction::new,
        });
        self
    }
}

/// How many rows a store keeps. Says that its values can be cloned, which not all stores' values must.
struct Evictions<V> {
    entries_max: usize,
    make: fn(usize) -> Eviction<V>,
}

impl<V> Clone for Evictions<V> {
    fn clone(&self) -> Self {
        Self {
            entries_max: self.entries_max,
            make: self.make,
        }
    }
}

impl<V> std::fmt::Debug for Evictions<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evictions({})", self.entries_max)
    }
}

impl<K: 'static, V: 'static> StoreBuilder for KeyValueStoreBuilder<K, V> {
    type Store = KeyValueStore<K, V>;

    fn into_spec(self) -> StoreSpec {
        let Self {
            common,
            ordered,
            lru,
            key_serde,
            value_serde,
        } = self;
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let (store, cached) = live(name, open, &value_serde, Shape::ranged(ordered));
            let lru = lru.as_ref().map(|of| (of.make)(of.entries_max));
            let handle = KeyValueStore::new(topic, Arc::clone(&key_serde), cached, lru);
            OpenedStore {
                store,
                handle: ErasedHandle::new(handle),
            }
        };
        spec(common, Layout::Plain, Arc::new(open))
    }
}

/// Declares a [`WindowStore`].
///
/// ```
/// use streams_core::store::WindowStoreBuilder;
///
/// let hourly = WindowStoreBuilder::<String, i64>::new("hourly", 24 * 3_600_000);
/// ```
#[derive(Clone, Debug)]
pub struct WindowStoreBuilder<K, V> {
    common: Common,
    retention_ms: i64,
    retain_duplicates: bool,
    time_ordered: bool,
    ordered: bool,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: DefaultSerde, V: DefaultSerde> WindowStoreBuilder<K, V> {
    /// A store of this name with the types' default serdes. Rows are kept for at least `retention_ms` of event time.
    pub fn new(name: impl Into<String>, retention_ms: i64) -> Self {
        Self::with_serdes(name, retention_ms, K::default_serde(), V::default_serde())
    }
}

impl<K: 'static, V: 'static> WindowStoreBuilder<K, V> {
    /// A store of this name with these serdes. Rows are kept for at least `retention_ms` of event time.
    pub fn with_serdes(
        name: impl Into<String>,
        retention_ms: i64,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        let mut common = Common::new(name.into(), "compact,delete");
        common.changelog_configs.retain_ms(retention_ms);
        Self {
            common,
            retention_ms,
            retain_duplicates: false,
            time_ordered: false,
            ordered: false,
            key_serde,
            value_serde,
        }
    }

    common_settings!();

    /// Keeps every value that is put for a key and time, instead of the last one. Deletions do nothing then, and the
    /// changelog is kept by time alone, not compacted. Default: not.
    ///
    /// ```
    /// use streams_core::store::WindowStoreBuilder;
    ///
    /// let events = WindowStoreBuilder::<String, i64>::new("events", 3_600_000).retain_duplicates();
    /// ```
    #[must_use]
    pub fn retain_duplicates(mut self) -> Self {
        self.retain_duplicates = true;
        self.changelog_config("cleanup.policy", "delete")
    }

    /// As Kafka's time-ordered stores, which windows that emit on close are kept in: rows exactly as old as the retention are
    /// still found. Default: not.
    #[must_use]
    pub fn time_ordered(mut self) -> Self {
        self.time_ordered = true;
        self
    }

    /// Keeps what is not on disk yet in order, for stores that are read by ranges all the time. Default: not, which writes
    /// faster.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }
}

impl<K: 'static, V: 'static> StoreBuilder for WindowStoreBuilder<K, V> {
    type Store = WindowStore<K, V>;

    fn into_spec(self) -> StoreSpec {
        let Self {
            common,
            retention_ms,
            retain_duplicates,
            time_ordered,
            ordered,
            key_serde,
            value_serde,
        } = self;
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let shape = Shape::ranged(retain_duplicates || ordered);
            let (store, cached) = live(name, open, &value_serde, shape);
            let key_serde = Arc::clone(&key_serde);
            let flags = (retain_duplicates, time_ordered);
            let handle = WindowStore::new(topic, key_serde, retention_ms, flags, cached);
            OpenedStore {
                store,
                handle: ErasedHandle::new(handle),
            }
        };
        let layout = Layout::segmented(retention_ms, KeySchema::Window);
        spec(common, layout, Arc::new(open))
    }
}

/// Declares a [`SessionStore`].
///
/// ```
/// use streams_core::store::SessionStoreBuilder;
///
/// let visits = SessionStoreBuilder::<String, i64>::new("visits", 24 * 3_600_000);
/// ```
#[derive(Clone, Debug)]
pub struct SessionStoreBuilder<K, V> {
    common: Common,
    retention_ms: i64,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: DefaultSerde, V: DefaultSerde> SessionStoreBuilder<K, V> {
    /// A store of this name with the types' default serdes. Rows are kept for at least `retention_ms` of event time.
    pub fn new(name: impl Into<String>, retention_ms: i64) -> Self {
        Self::with_serdes(name, retention_ms, K::default_serde(), V::default_serde())
    }
}

impl<K: 'static, V: 'static> SessionStoreBuilder<K, V> {
    /// A store of this name with these serdes. Rows are kept for at least `retention_ms` of event time.
    pub fn with_serdes(
        name: impl Into<String>,
        retention_ms: i64,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        let mut common = Common::new(name.into(), "compact,delete");
        common.changelog_configs.retain_ms(retention_ms);
        Self {
            common,
            retention_ms,
            key_serde,
            value_serde,
        }
    }

    common_settings!();
}

impl<K: 'static, V: 'static> StoreBuilder for SessionStoreBuilder<K, V> {
    type Store = SessionStore<K, V>;

    fn into_spec(self) -> StoreSpec {
        let Self {
            common,
            retention_ms,
            key_serde,
            value_serde,
        } = self;
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let (store, cached) = live(name, open, &value_serde, Shape::ranged(true));
            let handle = SessionStore::new(topic, Arc::clone(&key_serde), retention_ms, cached);
            OpenedStore {
                store,
                handle: ErasedHandle::new(handle),
            }
        };
        let layout = Layout::segmented(retention_ms, KeySchema::Session);
        spec(common, layout, Arc::new(open))
    }
}

/// Declares a [`VersionedKeyValueStore`].
///
/// ```
/// use streams_core::store::VersionedKeyValueStoreBuilder;
///
/// let prices = VersionedKeyValueStoreBuilder::<String, i64>::new("prices", 24 * 3_600_000);
/// ```
#[derive(Clone, Debug)]
pub struct VersionedKeyValueStoreBuilder<K, V> {
    common: Common,
    history_ms: i64,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: DefaultSerde, V: DefaultSerde + Clone> VersionedKeyValueStoreBuilder<K, V> {
    /// A store of this name with the types' default serdes, that knows what held up to `history_ms` of event time ago.
    pub fn new(name: impl Into<String>, history_ms: i64) -> Self {
        Self::with_serdes(name, history_ms, K::default_serde(), V::default_serde())
    }
}

impl<K: 'static, V: Clone + 'static> VersionedKeyValueStoreBuilder<K, V> {
    /// A store of this name with these serdes, that knows what held up to `history_ms` of event time ago.
    pub fn with_serdes(
        name: impl Into<String>,
        history_ms: i64,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        let mut common = Common::new(name.into(), "compact");
        common.changelog_configs.keep_history_ms(history_ms);
        Self {
            common,
            history_ms,
            key_serde,
            value_serde,
        }
    }

    common_settings!();
}

impl<K: 'static, V: Clone + 'static> StoreBuilder for VersionedKeyValueStoreBuilder<K, V> {
    type Store = VersionedKeyValueStore<K, V>;

    fn into_spec(self) -> StoreSpec {
        let Self {
            common,
            history_ms,
            key_serde,
            value_serde,
        } = self;
        let version_serde: Arc<dyn Serde<Option<V>>> = Arc::new(VersionSerde(Arc::clone(&value_serde)));
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let (store, cached) = live(name, open, &version_serde, Shape::Versions);
            let serdes = (Arc::clone(&key_serde), Arc::clone(&value_serde));
            let handle = VersionedKeyValueStore::new(topic, serdes, history_ms, cached);
            OpenedStore {
                store,
                handle: ErasedHandle::new(handle),
            }
        };
        spec(common, Layout::Plain, Arc::new(open))
    }
}

/// Declares a [`TimeOrderedBuffer`].
///
/// ```
/// use streams_core::serde::DefaultSerde;
/// use streams_core::store::TimeOrderedBufferBuilder;
///
/// let held_back =
///     TimeOrderedBufferBuilder::with_serdes("held-back", String::default_serde(), i64::default_serde()).logging_disabled();
/// ```
#[derive(Clone, Debug)]
pub struct TimeOrderedBufferBuilder<K, V> {
    common: Common,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
}

impl<K: 'static, V: 'static> TimeOrderedBufferBuilder<K, V> {
    /// A buffer of this name with these serdes.
    pub fn with_serdes(
        name: impl Into<String>,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            common: Common::new(name.into(), "compact"),
            key_serde,
            value_serde,
        }
    }

    common_settings!();
}

impl<K: 'static, V: 'static> StoreBuilder for TimeOrderedBufferBuilder<K, V> {
    type Store = TimeOrderedBuffer<K, V>;

    fn into_spec(self) -> StoreSpec {
        let Self {
            common,
            key_serde,
            value_serde,
        } = self;
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let rows = Rc::new(RefCell::new(Rows::new(Arc::clone(&open.bytes))));
            let store = LiveBuffer {
                base: open.base(name),
                rows: Rc::clone(&rows),
            };
            let handle =
                TimeOrderedBuffer::new(topic, Arc::clone(&key_serde), Arc::clone(&value_serde), rows);
            OpenedStore {
                store: Box::new(store),
                handle: ErasedHandle::new(handle),
            }
        };
        spec(common, Layout::Plain, Arc::new(open))
    }
}

fn spec(common: Common, layout: Layout, open: Open) -> StoreSpec {
    let Common {
        name,
        kind,
        logged,
        changelog_configs,
    } = common;
    StoreSpec {
        name,
        layout,
        kind,
        logged,
        source_topic: None,
        changelog_configs,
        open,
    }
}

/// How a cache's rows are read and logged.
#[derive(Clone, Copy)]
enum Shape {
    /// One at a time.
    Single,
    /// By ranges, all the time.
    Ranged,
    /// By ranges, and they are versions of keys.
    Versions,
}

impl Shape {
    fn ranged(is_ranged: bool) -> Self {
        if is_ranged { Self::Ranged } else { Self::Single }
    }
}

fn live<V: 'static>(
    name: &str,
    open: OpenStore,
    value_serde: &Arc<dyn Serde<V>>,
    shape: Shape,
) -> (Box<dyn TaskStore>, Rc<RefCell<Cached<V>>>) {
    let index = index_of(&open, Cached::<V>::ROW_BYTES, shape);
    let cached = Cached::new(index, Arc::clone(&open.topic), Arc::clone(value_serde));
    let cached = Rc::new(RefCell::new(cached));
    let any = Rc::clone(&cached) as Rc<RefCell<dyn UntypedCached>>;
    (live_store(name, open, any), cached)
}

fn index_of(open: &OpenStore, row_bytes: usize, shape: Shape) -> RowIndex {
    let mut index = RowIndex::new(Arc::clone(&open.bytes), row_bytes, open.cache_bytes);
    if open.logs_every_put || matches!(shape, Shape::Versions) {
        index.log_every_put();
    }
    match shape {
        Shape::Single => {}
        Shape::Ranged => index.keep_order(),
        Shape::Versions => {
            index.keep_order();
            index.is_versioned = true;
        }
    }
    index
}

fn live_store(name: &str, open: OpenStore, cached: Rc<RefCell<dyn UntypedCached>>) -> Box<dyn TaskStore> {
    Box::new(LiveStore {
        base: open.base(name),
        cached,
    })
}
