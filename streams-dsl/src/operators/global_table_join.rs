//! A stream joined with a global table: each record looks up the row that is chosen by its key and value.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::GlobalKeyValueStore;
use streams_core::{Record, TaskContext};

use super::{Tried, place};

/// Of key and value: the key of the row.
pub(crate) type Select<K, V, GK> = Arc<dyn Fn(&K, &V) -> Tried<Option<GK>> + Send + Sync>;
/// Of key, chosen key, value and row: the result; `None` sends nothing.
pub(crate) type Join<K, V, GK, GV, R> =
    Arc<dyn Fn(&K, Option<&GK>, V, Option<GV>) -> Tried<Option<R>> + Send + Sync>;

pub(crate) struct GlobalTableJoin<K, V, GK, GV, R> {
    pub(crate) node: String,
    pub(crate) select: Select<K, V, GK>,
    pub(crate) join: Join<K, V, GK, GV, R>,
    /// A record that chooses no row is not dropped.
    pub(crate) left: bool,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) table_key_serde: Arc<dyn Serde<GK>>,
    pub(crate) table: GlobalKeyValueStore<GK, GV>,
    pub(crate) next: Edge<K, R>,
}

impl<K, V, GK, GV, R> Process<K, V> for GlobalTableJoin<K, V, GK, GV, R> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let chosen = match (self.select)(&record.key, &record.value) {
            Ok(chosen) => chosen,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let chosen = chosen.filter(|key| !self.table_key_serde.is_null(key));
        let row = match &chosen {
            Some(key) => {
                let row = self.table.get(key);
                row.map_err(|cause| place(cause, &self.node, task))?
            }
            None if self.left => None,
            None => {
                task.count_dropped(DropReason::NullKey);
                return Ok(());
            }
        };
        let (key, timestamp_ms, headers) = (record.key, record.timestamp_ms, record.headers);
        let value = match (self.join)(&key, chosen.as_ref(), record.value, row.map(|row| row.value)) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(()),
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let joined = Record {
            key,
            value,
            timestamp_ms,
            headers,
        };
        self.next.process(joined, task)
    }
}
