//! `KeyValueStoreBuilder`: a row for each key, all of them or those that were used last.

use std::sync::Arc;

use state_store::Layout;

use super::live::{Shape, live};
use super::{Common, StoreBuilder, said};
use crate::serde::{DefaultSerde, Serde};
use crate::store::key_value::Eviction;
use crate::store::{KeyValueStore, OpenStore, OpenedStore, StoreKind, StoreSpec};
use crate::topology::ErasedHandle;

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
        let said = said::<Self>(&(&common, &ordered, &lru, &key_serde, &value_serde));
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
        common.into_spec(Layout::Plain, Arc::new(open), said)
    }
}
