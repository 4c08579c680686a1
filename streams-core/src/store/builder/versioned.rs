//! `VersionedKeyValueStoreBuilder`: a row for each key and what it was, for as long as it is said.

use std::sync::Arc;

use state_store::Layout;

use super::live::{Shape, live};
use super::{Common, StoreBuilder, said};
use crate::serde::{DefaultSerde, Serde};
use crate::store::versioned::VersionSerde;
use crate::store::{OpenStore, OpenedStore, StoreKind, StoreSpec, VersionedKeyValueStore};
use crate::topology::ErasedHandle;

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
        let said = said::<Self>(&(&common, &history_ms, &key_serde, &value_serde));
        let version_serde: Arc<dyn Serde<Option<V>>> = Arc::new(VersionSerde(Arc::clone(&value_serde)));
        let open = move |name: &str, open: OpenStore| {
            let topic = Arc::clone(&open.topic);
            let (store, cached) = live(name, open, &version_serde, Shape::Versions(history_ms));
            let serdes = (Arc::clone(&key_serde), Arc::clone(&value_serde));
            let handle = VersionedKeyValueStore::new(topic, serdes, history_ms, cached);
            OpenedStore {
                store,
                handle: ErasedHandle::new(handle),
            }
        };
        common.into_spec(Layout::Plain, Arc::new(open), said)
    }
}
