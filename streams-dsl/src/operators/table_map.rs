//! `map_values` on a table: deletions pass, values are mapped.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::{Record, TaskContext};

use super::table_store::TableStore;
use super::{Tried, place};
use crate::change::Change;

/// Of key and value: the value to be; `None` deletes.
pub(crate) type Map<K, V, W> = Arc<dyn Fn(&K, V) -> Tried<Option<W>> + Send + Sync>;

pub(crate) struct TableMap<K, V, W> {
    pub(crate) node: String,
    pub(crate) map: Map<K, V, W>,
    pub(crate) store: Option<TableStore<K, W>>,
    pub(crate) send_old: bool,
    pub(crate) next: Edge<K, Change<W>>,
}

impl<K, V, W: Clone> Process<K, Change<V>> for TableMap<K, V, W> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value: change,
            timestamp_ms,
            headers,
        } = record;
        let mut is_latest = change.is_latest;
        let tried = self.mapped(&key, change.new).and_then(|new| {
            let recomputed = change.old.filter(|_| self.send_old && self.store.is_none());
            Ok((new, self.mapped(&key, recomputed)?))
        });
        let (new, recomputed) = match tried {
            Ok(tried) => tried,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let old = match &self.store {
            Some(store) => {
                let put = store.put(&key, new.clone(), timestamp_ms);
                let Some(put) = put.map_err(|cause| place(cause, &self.node, task))? else {
                    task.count_dropped(DropReason::Late);
                    return Ok(());
                };
                is_latest = put.is_latest;
                put.before.filter(|_| self.send_old).map(|row| row.value)
            }
            None => recomputed,
        };
        let update = Record {
            key,
            value: Change { new, old, is_latest },
            timestamp_ms,
            headers,
        };
        self.next.process(update, task)
    }
}

impl<K, V, W> TableMap<K, V, W> {
    fn mapped(&self, key: &K, value: Option<V>) -> Tried<Option<W>> {
        match value {
            Some(value) => (self.map)(key, value),
            None => Ok(None),
        }
    }
}
