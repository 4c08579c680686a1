//! `filter` on a table: rows that do not pass become deletions.
//!
//! Without old values nobody knows whether a row had passed before, so a deletion is sent in any case, as in Kafka.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::{Record, TaskContext};

use super::table_store::TableStore;
use super::{Tried, place};
use crate::change::Change;

/// Of key and value: whether the row is kept.
pub(crate) type Keep<K, V> = Arc<dyn Fn(&K, &V) -> Tried<bool> + Send + Sync>;

pub(crate) struct TableFilter<K, V> {
    pub(crate) node: String,
    pub(crate) keep: Keep<K, V>,
    pub(crate) store: Option<TableStore<K, V>>,
    pub(crate) send_old: bool,
    /// Of a versioned table also what changes nothing is sent, since it changes what was.
    pub(crate) uses_versions: bool,
    pub(crate) next: Edge<K, Change<V>>,
}

impl<K, V: Clone> Process<K, Change<V>> for TableFilter<K, V> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value: change,
            timestamp_ms,
            headers,
        } = record;
        let mut is_latest = change.is_latest;
        let tried = self.kept(&key, change.new).and_then(|new| {
            let recomputed = change.old.filter(|_| self.send_old && self.store.is_none());
            Ok((new, self.kept(&key, recomputed)?))
        });
        let (new, recomputed) = match tried {
            Ok(tried) => tried,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let old = match &self.store {
            Some(store) if self.send_old => {
                let row = store.get(&key).map_err(|cause| place(cause, &self.node, task))?;
                row.map(|row| row.value)
            }
            _ => recomputed,
        };
        if !self.uses_versions && self.send_old && new.is_none() && old.is_none() {
            return Ok(());
        }
        if let Some(store) = &self.store {
            let put = store.put(&key, new.clone(), timestamp_ms);
            let Some(put) = put.map_err(|cause| place(cause, &self.node, task))? else {
                task.count_dropped(DropReason::Late);
                return Ok(());
            };
            is_latest = put.is_latest;
        }
        let update = Record {
            key,
            value: Change { new, old, is_latest },
            timestamp_ms,
            headers,
        };
        self.next.process(update, task)
    }
}

impl<K, V> TableFilter<K, V> {
    fn kept(&self, key: &K, value: Option<V>) -> Tried<Option<V>> {
        let Some(value) = value else { return Ok(None) };
        Ok((self.keep)(key, &value)?.then_some(value))
    }
}
