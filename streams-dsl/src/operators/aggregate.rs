//! Aggregation by key: one row per key, one update downstream per record.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{KeyValueStore, KeyValueStoreBuilder, ValueAndTimestamp};
use streams_core::topology::Node;
use streams_core::{Record, TaskContext};

use crate::grouped::KGroupedStream;
use crate::options::Materialized;
use crate::table::{KTable, View};

/// Declares an aggregation. `update` makes the new aggregate from key, value and the old one; `None` deletes the row.
pub(crate) fn table<K, V, A, F>(
    grouped: &KGroupedStream<K, V>,
    prefix: &str,
    materialized: Materialized<A>,
    update: F,
) -> KTable<K, A>
where
    K: Clone + 'static,
    V: Clone + 'static,
    A: Clone + 'static,
    F: Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
{
    let (store, name) = grouped.names(prefix, materialized.name.as_deref());
    let stream = grouped.partitioned(&store);
    let (key_serde, value_serde) = (Arc::clone(&grouped.key_serde), Arc::clone(&grouped.value_serde));
    let result_serde = Arc::clone(&materialized.value_serde);
    let mut builder =
        KeyValueStoreBuilder::with_serdes(&store, Arc::clone(&key_serde), Arc::clone(&result_serde))
            .kind(materialized.kind);
    if !materialized.logged {
        builder = builder.logging_disabled();
    }
    let (update, store_name, aggregate_serde) = (Arc::new(update), store.clone(), Arc::clone(&result_serde));
    let node = stream
        .plan
        .borrow_mut()
        .add(name, &[stream.node], move |topology, name, parents| {
            topology.add_store(builder);
            let parents: Vec<Node<K, V>> = parents.iter().map(|parent| topology.node(*parent)).collect();
            let stores = [store_name.clone()];
            let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
            let build = move |wiring: &mut streams_core::topology::Wiring<'_>, next| {
                Ok(Box::new(Aggregate {
                    key_serde: Arc::clone(&key_serde),
                    value_serde: Arc::clone(&value_serde),
                    aggregate_serde: Arc::clone(&aggregate_serde),
                    update: Arc::clone(&update),
                    store: wiring.key_value_store(&store_name)?,
                    next,
                }) as Edge<K, V>)
            };
            topology.add_operator(name, &parents, &stores, build).id()
        });
    let serdes = (Some(Arc::clone(&grouped.key_serde)), Some(result_serde));
    KTable::new(
        Rc::clone(&stream.plan),
        node,
        stream.sources.clone(),
        serdes,
        View::of_store(&store),
    )
}

struct Aggregate<K, V, A, F> {
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    aggregate_serde: Arc<dyn Serde<A>>,
    update: Arc<F>,
    store: KeyValueStore<K, A>,
    next: Edge<K, Option<A>>,
}

impl<K, V, A, F> Process<K, V> for Aggregate<K, V, A, F>
where
    A: Clone,
    F: Fn(&K, V, Option<A>) -> Option<A>,
{
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        if self.key_serde.is_null(&key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if self.value_serde.is_null(&value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let (update, serde) = (&*self.update, &*self.aggregate_serde);
        let (value, timestamp_ms) = self.store.update(&key, |old| {
            let timestamp_ms = old
                .as_ref()
                .map_or(timestamp_ms, |old| old.timestamp_ms.max(timestamp_ms));
            let new = update(&key, value, old.map(|old| old.value)).filter(|new| !serde.is_null(new));
            let row = new.clone().map(|value| ValueAndTimestamp { value, timestamp_ms });
            (row, (new, timestamp_ms))
        })?;
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
