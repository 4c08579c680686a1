//! Aggregation by key and window.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{ValueAndTimestamp, WindowStore, WindowStoreBuilder};
use streams_core::topology::Node;
use streams_core::{Record, TaskContext};

use crate::grouped::KGroupedStream;
use crate::options::Materialized;
use crate::table::{KTable, View};
use crate::windowed::{TimeWindowedSerde, Windowed};
use crate::windows::TimeWindows;

/// Declares a windowed aggregation. `update` makes the new aggregate from key, value and the old one; `None` deletes the row.
pub(crate) fn table<K, V, A, F>(
    grouped: &KGroupedStream<K, V>,
    windows: TimeWindows,
    prefix: &str,
    materialized: Materialized<A>,
    update: F,
) -> KTable<Windowed<K>, A>
where
    K: Clone + 'static,
    V: Clone + 'static,
    A: Clone + 'static,
    F: Fn(&K, V, Option<A>) -> Option<A> + Send + Sync + 'static,
{
    let (store, name) = grouped.names(prefix, materialized.name.as_deref());
    let stream = grouped.partitioned(&store);
    let key_serde = Arc::clone(&grouped.key_serde);
    let result_serde = Arc::clone(&materialized.value_serde);
    let retention_ms = materialized.retention_ms.unwrap_or(0).max(windows.retention_ms());
    let (keys, values) = (Arc::clone(&key_serde), Arc::clone(&result_serde));
    let mut builder =
        WindowStoreBuilder::with_serdes(&store, retention_ms, keys, values).kind(materialized.kind);
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
                Ok(Box::new(WindowAggregate {
                    windows,
                    key_serde: Arc::clone(&key_serde),
                    aggregate_serde: Arc::clone(&aggregate_serde),
                    update: Arc::clone(&update),
                    store: wiring.window_store(&store_name)?,
                    stream_time_ms: i64::MIN,
                    next,
                }) as Edge<K, V>)
            };
            topology.add_operator(name, &parents, &stores, build).id()
        });
    let windowed = TimeWindowedSerde::new(Arc::clone(&grouped.key_serde), Some(windows.size_ms));
    let windowed: Arc<dyn Serde<Windowed<K>>> = Arc::new(windowed);
    let serdes = (Some(windowed), Some(result_serde));
    KTable::new(
        Rc::clone(&stream.plan),
        node,
        stream.sources.clone(),
        serdes,
        View::of_window_store(&store),
    )
}

struct WindowAggregate<K, A, F> {
    windows: TimeWindows,
    key_serde: Arc<dyn Serde<K>>,
    aggregate_serde: Arc<dyn Serde<A>>,
    update: Arc<F>,
    store: WindowStore<K, A>,
    /// Largest time this operator has seen; as in Kafka, not restored after a restart.
    stream_time_ms: i64,
    next: Edge<Windowed<K>, Option<A>>,
}

impl<K, V, A, F> Process<K, V> for WindowAggregate<K, A, F>
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
        self.stream_time_ms = self.stream_time_ms.max(timestamp_ms);
        let window = self.windows.window_of(timestamp_ms);
        if self.windows.is_closed(window, self.stream_time_ms) {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        let (update, serde) = (&*self.update, &*self.aggregate_serde);
        let (value, timestamp_ms) = self.store.update(&key, window.start_ms, |old| {
            let timestamp_ms = old
                .as_ref()
                .map_or(timestamp_ms, |old| old.timestamp_ms.max(timestamp_ms));
            let new = update(&key, value, old.map(|old| old.value)).filter(|new| !serde.is_null(new));
            let row = new.clone().map(|value| ValueAndTimestamp { value, timestamp_ms });
            (row, (new, timestamp_ms))
        })?;
        self.next.process(
            Record {
                key: Windowed { key, window },
                value,
                timestamp_ms,
                headers,
            },
            task,
        )
    }
}
