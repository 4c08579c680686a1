//! Stores in the plan: settings turned into a store builder of `streams-core`.

use std::sync::Arc;

use streams_core::serde::Serde;
use streams_core::store::{
    KeyValueStoreBuilder, SessionStoreBuilder, StoreBuilder, StoreKind, TimeOrderedBufferBuilder,
    VersionedKeyValueStoreBuilder, WindowStoreBuilder,
};

use crate::Data;
use crate::operators::update_cache::{self, Cache};
use crate::options::Materialized;
use crate::plan::{Plan, PlanStore};
use crate::repartition::Serdes;
use crate::waiting_serde::{WaitingKeySerde, WaitingValueSerde};

/// What all kinds of stores can be told.
#[derive(Clone, Debug)]
pub(crate) struct StoreSettings {
    /// Default: as the topology says.
    pub(crate) kind: Option<StoreKind>,
    pub(crate) logged: bool,
    pub(crate) changelog_configs: Vec<(String, String)>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            kind: None,
            logged: true,
            changelog_configs: Vec::new(),
        }
    }
}

/// A store as its builder says.
fn plan_store(store: impl StoreBuilder) -> PlanStore {
    let spec = store.into_spec();
    PlanStore {
        name: spec.name().to_owned(),
        source_topic: None,
        add: Box::new(move |builder| builder.add_store_spec(spec)),
    }
}

macro_rules! settings {
    ($builder:expr, $settings:expr) => {{
        let mut builder = $builder;
        let settings: StoreSettings = $settings;
        if let Some(kind) = settings.kind {
            builder = builder.kind(kind);
        }
        if !settings.logged {
            builder = builder.logging_disabled();
        }
        for (key, value) in settings.changelog_configs {
            builder = builder.changelog_config(key, value);
        }
        builder
    }};
}

/// A store of all records of some time.
pub(crate) fn records<K: 'static, V: 'static>(
    name: &str,
    retention_ms: i64,
    serdes: &Serdes<K, V>,
    settings: StoreSettings,
) -> PlanStore {
    let Serdes { key, value } = serdes.clone();
    let store = WindowStoreBuilder::with_serdes(name, retention_ms, key, value);
    plan_store(settings!(store, settings).retain_duplicates())
}

/// A store of one row per key that is read in order.
pub(crate) fn rows<K: 'static, V: 'static>(
    name: &str,
    serdes: &Serdes<K, V>,
    settings: StoreSettings,
) -> PlanStore {
    let Serdes { key, value } = serdes.clone();
    let store = KeyValueStoreBuilder::with_serdes(name, key, value);
    plan_store(settings!(store, settings).ordered())
}

/// The store of a table that is read from a topic, or made of a stream.
pub(crate) fn table<K: 'static, V: Clone + 'static>(
    materialized: Materialized<V>,
    name: &str,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let Some(history_ms) = materialized.history_ms else {
        return key_value(materialized, name, key_serde, value_serde);
    };
    let store = VersionedKeyValueStoreBuilder::with_serdes(name, history_ms, key_serde, value_serde);
    plan_store(settings!(store, materialized.settings))
}

/// Puts the store of the table that `processor` makes into the plan. Returns whether it keeps versions, and what updates are held
/// with until a commit, if they are.
pub(crate) fn add_table<K: Data, V: Data>(
    plan: &mut Plan,
    materialized: Materialized<V>,
    (processor, store): (&str, &str),
    serdes: &Serdes<K, V>,
) -> (bool, Option<Cache<K>>) {
    let is_versioned = materialized.checked_versions(plan, processor);
    let cache = materialized.cache_of(&serdes.key, update_cache::rows::<K, V>(store));
    let Serdes { key, value } = serdes.clone();
    plan.stores.push(table(materialized, store, key, value));
    (is_versioned, cache)
}

/// Records that wait to be joined with a table.
pub(crate) fn waiting<K: Clone + 'static, V: Clone + 'static>(
    name: &str,
    serdes: &Serdes<K, V>,
) -> PlanStore {
    let serdes = Serdes {
        key: Arc::new(WaitingKeySerde(Arc::clone(&serdes.key))) as Arc<dyn Serde<_>>,
        value: Arc::new(WaitingValueSerde(Arc::clone(&serdes.value))) as Arc<dyn Serde<_>>,
    };
    rows(name, &serdes, StoreSettings::default())
}

/// A buffer of updates.
pub(crate) fn buffer<K: 'static, V: 'static>(
    name: &str,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    settings: StoreSettings,
) -> PlanStore {
    let store = TimeOrderedBufferBuilder::with_serdes(name, key_serde, value_serde);
    plan_store(settings!(store, settings))
}

pub(crate) fn key_value<K: 'static, V: Clone + 'static>(
    materialized: Materialized<V>,
    name: &str,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let entries_max = materialized.entries_max;
    let store = KeyValueStoreBuilder::with_serdes(name, key_serde, value_serde);
    let mut store = settings!(store, materialized.settings);
    if let Some(entries_max) = entries_max {
        store = store.lru(entries_max);
    }
    plan_store(store)
}

/// What a window store is used for.
#[derive(Clone, Copy)]
pub(crate) struct WindowStoreShape {
    pub(crate) retention_ms: i64,
    pub(crate) time_ordered: bool,
    /// Ranges are read all the time.
    pub(crate) ordered: bool,
}

pub(crate) fn window<K: 'static, V: 'static>(
    materialized: Materialized<V>,
    name: &str,
    shape: WindowStoreShape,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let store = WindowStoreBuilder::with_serdes(name, shape.retention_ms, key_serde, value_serde);
    let mut store = settings!(store, materialized.settings);
    if shape.time_ordered {
        store = store.time_ordered();
    }
    if shape.ordered {
        store = store.ordered();
    }
    plan_store(store)
}

pub(crate) fn session<K: 'static, V: 'static>(
    materialized: Materialized<V>,
    name: &str,
    retention_ms: i64,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let store = SessionStoreBuilder::with_serdes(name, retention_ms, key_serde, value_serde);
    plan_store(settings!(store, materialized.settings))
}
