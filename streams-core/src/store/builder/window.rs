//! `WindowStoreBuilder`: a row for each key and time, kept for as long as it is said.

use std::sync::Arc;

use state_store::{KeySchema, Layout};

use super::live::{Shape, live};
use super::{Common, StoreBuilder, said};
use crate::serde::{DefaultSerde, Serde};
use crate::store::{OpenStore, OpenedStore, StoreKind, StoreSpec, WindowStore};
use crate::topology::ErasedHandle;

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
        let said = said::<Self>(&(
            &common,
            &retention_ms,
            &retain_duplicates,
            &time_ordered,
            &ordered,
            &key_serde,
            &value_serde,
        ));
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
        common.into_spec(layout, Arc::new(open), said)
    }
}
