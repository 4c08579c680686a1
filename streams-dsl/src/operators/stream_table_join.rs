//! Stream-table join: each record of the stream meets the table's row of the same key, as it is at that moment.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::{Record, TaskContext};

use crate::table::Getter;

/// Joins the rows a table has; what a record without a row becomes is `None` for an inner join.
pub(crate) struct StreamTableJoin<K, V, T, W, F> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) get: Getter<K, T>,
    /// Left join: a record with a null key has no row, but is joined all the same (KIP-962).
    pub(crate) left: bool,
    pub(crate) join: Arc<F>,
    pub(crate) next: Edge<K, W>,
}

impl<K, V, T, W, F: Fn(V, Option<T>) -> Option<W>> Process<K, V> for StreamTableJoin<K, V, T, W, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        if self.value_serde.is_null(&value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let row = match self.key_serde.is_null(&key) {
            false => (self.get)(&key)?,
            true if self.left => None,
            true => {
                task.count_dropped(DropReason::NullKey);
                return Ok(());
            }
        };
        match (self.join)(value, row.map(|row| row.value)) {
            Some(value) => self.next.process(
                Record {
                    key,
                    value,
                    timestamp_ms,
                    headers,
                },
                task,
            ),
            None => Ok(()),
        }
    }
}
