//! Where a table begins: each record sets the value of its key, a null deletes it.
//!
//! Updates are applied in the order of offsets, even if their timestamps say otherwise, and all are passed on, even if
//! nothing changes: both as in Kafka. There is a store only if somebody looks the table up or needs old values.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{KeyValueStore, Validity, VersionedKeyValueStore};
use streams_core::{Record, TaskContext};

use super::place;
use crate::change::Change;

/// The table's value of a record's; `None` deletes.
pub(crate) type ValueOf<U, V> = Arc<dyn Fn(U) -> Option<V> + Send + Sync>;

pub(crate) struct TableSource<K, U, V> {
    pub(crate) node: String,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value: ValueOf<U, V>,
    pub(crate) store: Option<KeyValueStore<K, V>>,
    pub(crate) send_old: bool,
    pub(crate) next: Edge<K, Change<V>>,
}

impl<K, U, V: Clone> Process<K, U> for TableSource<K, U, V> {
    fn process(&mut self, record: Record<K, U>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let new = (self.value)(value);
        let mut old = None;
        if let Some(store) = &self.store {
            let before = store
                .put(&key, new.clone(), timestamp_ms)
                .map_err(|cause| place(cause, &self.node, task))?;
            old = before.filter(|_| self.send_old).map(|row| row.value);
        }
        let update = Record {
            key,
            value: Change {
                new,
                old,
                is_latest: true,
            },
            timestamp_ms,
            headers,
        };
        self.next.process(update, task)
    }
}

/// The beginning of a table in a versioned store: what is too old for it goes no further.
pub(crate) struct VersionedTableSource<K, U, V> {
    pub(crate) node: String,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value: ValueOf<U, V>,
    pub(crate) store: VersionedKeyValueStore<K, V>,
    pub(crate) send_old: bool,
    pub(crate) next: Edge<K, Change<V>>,
}

impl<K, U, V: Clone> Process<K, U> for VersionedTableSource<K, U, V> {
    fn process(&mut self, record: Record<K, U>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let new = (self.value)(value);
        let old = if self.send_old {
            self.store.get(&key)
        } else {
            Ok(None)
        };
        let old = old.map_err(|cause| place(cause, &self.node, task))?;
        let put = self.store.put(&key, new.clone(), timestamp_ms);
        let is_latest = match put.map_err(|cause| place(cause, &self.node, task))? {
            Validity::NotPut => {
                task.count_dropped(DropReason::Late);
                return Ok(());
            }
            validity => validity == Validity::Latest,
        };
        let old = old.map(|row| row.value);
        let update = Record {
            key,
            value: Change { new, old, is_latest },
            timestamp_ms,
            headers,
        };
        self.next.process(update, task)
    }
}
