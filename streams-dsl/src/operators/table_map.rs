//! Table operators that look at one row: filter and map-values, as a step in the flow of updates and as a view for look-ups.
//! A row that a filter does not let through is a deletion downstream.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::store::{KeyValueStore, ValueAndTimestamp};
use streams_core::topology::Node;
use streams_core::{Record, TaskContext};

use crate::names::prefix;
use crate::options::Materialized;
use crate::table::{KTable, View};

/// What a step makes of a row.
pub(crate) type Step<K, V, W> = Arc<dyn Fn(&K, V) -> Option<W> + Send + Sync>;

/// Declares a step, materialised if a name is given.
pub(crate) fn table<K: Clone + 'static, V: Clone + 'static, W: Clone + 'static>(
    table: &KTable<K, V>,
    prefix: &str,
    step: Step<K, V, W>,
    materialized: Option<Materialized<W>>,
) -> KTable<K, W> {
    let value_serde = materialized
        .as_ref()
        .map(|materialized| Arc::clone(&materialized.value_serde));
    let store = materialized.and_then(|materialized| {
        let key_serde = table.key_serde.clone()?;
        let name = materialized
            .name
            .clone()
            .unwrap_or_else(|| table.plan.borrow_mut().names.store(prefix));
        let values = Arc::clone(&materialized.value_serde);
        let mut builder = streams_core::store::KeyValueStoreBuilder::with_serdes(&name, key_serde, values);
        builder = builder.kind(materialized.kind);
        if !materialized.logged {
            builder = builder.logging_disabled();
        }
        Some((name, builder))
    });
    let view = match &store {
        Some((name, _)) => View::of_store(name),
        None => table.view.map(Arc::clone(&step)),
    };
    let mut plan = table.plan.borrow_mut();
    let name = plan.names.processor(prefix);
    let node = plan.add(name, &[table.node], move |topology, name, parents| {
        let parents: Vec<Node<K, Option<V>>> = parents.iter().map(|parent| topology.node(*parent)).collect();
        let store = store.map(|(name, builder)| {
            topology.add_store(builder);
            name
        });
        let connected = store.clone();
        let connected: Vec<&str> = connected.as_deref().into_iter().collect();
        let build = move |wiring: &mut streams_core::topology::Wiring<'_>, next| {
            let store = store
                .as_deref()
                .map(|store| wiring.key_value_store(store))
                .transpose()?;
            Ok(Box::new(TableMap {
                step: Arc::clone(&step),
                store,
                next,
            }) as Edge<K, Option<V>>)
        };
        topology.add_operator(name, &parents, &connected, build).id()
    });
    drop(plan);
    let serdes = (table.key_serde.clone(), value_serde);
    KTable::new(
        std::rc::Rc::clone(&table.plan),
        node,
        table.sources.clone(),
        serdes,
        view,
    )
}

struct TableMap<K, V, W> {
    step: Step<K, V, W>,
    store: Option<KeyValueStore<K, W>>,
    next: Edge<K, Option<W>>,
}

impl<K, V, W: Clone> Process<K, Option<V>> for TableMap<K, V, W> {
    fn process(&mut self, record: Record<K, Option<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let value = value.and_then(|value| (self.step)(&key, value));
        if let Some(store) = &self.store {
            store.put(&key, value.clone(), timestamp_ms)?;
        }
        self.next.process(
            Record {
                key,
                value,
                timestamp_ms,
                headers,
            },
            task,
        )
    }
}

/// A table as a stream of its updates.
pub(crate) fn to_stream<K: Clone + 'static, V: Clone + 'static>(table: &KTable<K, V>) -> crate::plan::PlanId {
    let mut plan = table.plan.borrow_mut();
    plan.add_operator::<K, Option<V>, K, Option<V>>(prefix::TABLE_TO_STREAM, &[table.node], |_, next| {
        Ok(next)
    })
}

/// A look-up that goes through a step.
pub(crate) fn map_found<K, V, W>(
    step: &Step<K, V, W>,
    key: &K,
    found: Option<ValueAndTimestamp<V>>,
) -> Option<ValueAndTimestamp<W>> {
    let ValueAndTimestamp { value, timestamp_ms } = found?;
    step(key, value).map(|value| ValueAndTimestamp { value, timestamp_ms })
}
