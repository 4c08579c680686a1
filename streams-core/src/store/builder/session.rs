//! `SessionStoreBuilder`: a row for each key and session, kept for as long as it is said.

use std::sync::Arc;

use state_store::{KeySchema, Layout};

use super::live::{Shape, live};
use super::{Common, StoreBuilder, said};
use crate::serde::{DefaultSerde, Serde};
use crate::store::{OpenStore, OpenedStore, SessionStore, StoreKind, StoreSpec};
use crate::topology::ErasedHandle;

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
        let said = said::<Self>(&(&common, &retention_ms, &key_serde, &value_serde));
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
        common.into_spec(layout, Arc::new(open), said)
    }
}
