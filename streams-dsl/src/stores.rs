//! Stores in the plan: `Materialized` turned into a store builder of `streams-core`.

use std::sync::Arc;

use streams_core::serde::Serde;
use streams_core::store::{KeyValueStoreBuilder, SessionStoreBuilder, WindowStoreBuilder};

use crate::options::Materialized;
use crate::plan::PlanStore;

macro_rules! settings {
    ($builder:expr, $materialized:ident) => {{
        let mut builder = $builder.kind($materialized.kind);
        if !$materialized.logged {
            builder = builder.logging_disabled();
        }
        for (key, value) in $materialized.changelog_configs {
            builder = builder.changelog_config(key, value);
        }
        builder
    }};
}

pub(crate) fn key_value<K: 'static, V: 'static>(
    materialized: Materialized<V>,
    name: &str,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let store = KeyValueStoreBuilder::with_serdes(name, key_serde, value_serde);
    let store = settings!(store, materialized);
    PlanStore {
        name: name.to_owned(),
        add: Box::new(move |builder| builder.add_store(store)),
    }
}

pub(crate) fn window<K: 'static, V: 'static>(
    materialized: Materialized<V>,
    name: &str,
    retention_ms: i64,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let store = WindowStoreBuilder::with_serdes(name, retention_ms, key_serde, value_serde);
    let store = settings!(store, materialized);
    PlanStore {
        name: name.to_owned(),
        add: Box::new(move |builder| builder.add_store(store)),
    }
}

pub(crate) fn session<K: 'static, V: 'static>(
    materialized: Materialized<V>,
    name: &str,
    retention_ms: i64,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
) -> PlanStore {
    let store = SessionStoreBuilder::with_serdes(name, retention_ms, key_serde, value_serde);
    let store = settings!(store, materialized);
    PlanStore {
        name: name.to_owned(),
        add: Box::new(move |builder| builder.add_store(store)),
    }
}
