//! A stream as a table: the latest value of each key, kept in a store where one is wanted.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{KeyValueStore, KeyValueStoreBuilder};
use streams_core::topology::Node;
use streams_core::{Record, TaskContext};

use crate::options::Materialized;
use crate::stream::KStream;
use crate::table::{KTable, View};

/// Declares the table of a stream. It has its store if `needed`, or if something looks values up in it.
pub(crate) fn table<K: Clone + 'static, V: Clone + 'static>(
    stream: &KStream<K, Option<V>>,
    store: String,
    needed: bool,
    materialized: Materialized<V>,
    prefix: &str,
) -> KTable<K, V> {
    let key_serde = stream
        .key_serde
        .clone()
        .expect("whoever makes a table gives its key serde");
    let needed = Rc::new(Cell::new(needed));
    let view = View::of_optional_store(&store, Rc::clone(&needed));
    let value_serde = Arc::clone(&materialized.value_serde);
    let (keys, values) = (Arc::clone(&key_serde), Arc::clone(&value_serde));
    let mut plan = stream.plan.borrow_mut();
    let name = plan.names.processor(prefix);
    let node = plan.add(name, &[stream.node], move |topology, name, parents| {
        let parents: Vec<Node<K, Option<V>>> = parents.iter().map(|parent| topology.node(*parent)).collect();
        let store = needed.get().then_some(store);
        if let Some(store) = &store {
            let mut builder =
                KeyValueStoreBuilder::with_serdes(store, Arc::clone(&keys), values).kind(materialized.kind);
            if !materialized.logged {
                builder = builder.logging_disabled();
            }
            topology.add_store(builder);
        }
        let connected = store.clone();
        let connected: Vec<&str> = connected.as_deref().into_iter().collect();
        let build = move |wiring: &mut streams_core::topology::Wiring<'_>, next| {
            let store = store
                .as_deref()
                .map(|store| wiring.key_value_store(store))
                .transpose()?;
            Ok(Box::new(TableSource {
                key_serde: Arc::clone(&keys),
                store,
                next,
            }) as Edge<K, Option<V>>)
        };
        topology.add_operator(name, &parents, &connected, build).id()
    });
    drop(plan);
    let serdes = (Some(key_serde), Some(value_serde));
    KTable::new(
        Rc::clone(&stream.plan),
        node,
        stream.sources.clone(),
        serdes,
        view,
    )
}

struct TableSource<K, V> {
    key_serde: Arc<dyn Serde<K>>,
    store: Option<KeyValueStore<K, V>>,
    next: Edge<K, Option<V>>,
}

impl<K, V: Clone> Process<K, Option<V>> for TableSource<K, V> {
    fn process(&mut self, record: Record<K, Option<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if let Some(store) = &self.store {
            store.put(&record.key, record.value.clone(), record.timestamp_ms)?;
        }
        self.next.process(record, task)
    }
}
