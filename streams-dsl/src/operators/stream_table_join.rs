//! A stream joined with a table: each record of the stream looks the table up; the table's updates trigger nothing.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::{Record, TaskContext};

use super::place;
use crate::view::TableView;

pub(crate) struct StreamTableJoin<K, V, T, R, F> {
    pub(crate) node: String,
    /// Makes the result; `None` sends nothing.
    pub(crate) join: Arc<F>,
    /// A record without a key finds nothing, and is not dropped.
    pub(crate) left: bool,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) table: Box<dyn TableView<K, T>>,
    pub(crate) next: Edge<K, R>,
}

impl<K, V, T, R, F: Fn(V, Option<&T>) -> Option<R>> Process<K, V> for StreamTableJoin<K, V, T, R, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let result = if !self.key_serde.is_null(&key) {
            let (mut value, mut result) = (Some(value), None);
            let looked_up = self.table.read(&key, &mut |row| {
                result = value
                    .take()
                    .and_then(|value| (self.join)(value, row.map(|(row, _)| row)));
            });
            looked_up.map_err(|cause| place(cause, &self.node, task))?;
            result
        } else if self.left {
            (self.join)(value, None)
        } else {
            task.count_dropped(DropReason::NullKey);
            None
        };
        let Some(value) = result else {
            return Ok(());
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
