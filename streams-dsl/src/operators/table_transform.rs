//! `transform_values` on a table: a function with state sees every update, deletions too.

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::processor::BoxError;
use streams_core::{Record, TaskContext};

use super::place;
use super::table_store::TableStore;
use crate::change::Change;

pub(crate) struct TableTransform<K, W, T> {
    pub(crate) node: String,
    /// The value to be, of key and value; `None` deletes.
    pub(crate) transform: T,
    pub(crate) store: Option<TableStore<K, W>>,
    pub(crate) send_old: bool,
    pub(crate) next: Edge<K, Change<W>>,
}

impl<K, V, W: Clone, T> Process<K, Change<V>> for TableTransform<K, W, T>
where
    T: FnMut(&K, Option<&V>) -> Result<Option<W>, BoxError>,
{
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value: change,
            timestamp_ms,
            headers,
        } = record;
        let new = match (self.transform)(&key, change.new.as_ref()) {
            Ok(new) => new,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let recomputed = match &self.store {
            None if self.send_old => (self.transform)(&key, change.old.as_ref()),
            _ => Ok(None),
        };
        let recomputed = match recomputed {
            Ok(old) => old,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let mut is_latest = change.is_latest;
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
