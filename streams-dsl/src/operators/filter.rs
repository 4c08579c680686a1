//! `filter`, `filter_not`, and `require_key`: pass a record on as it is, or not.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::{Record, TaskContext};

use super::Tried;

pub(crate) struct Filter<K, V, F> {
    pub(crate) node: String,
    pub(crate) keep: Arc<F>,
    /// What the predicate must say for a record to pass.
    pub(crate) wanted: bool,
    pub(crate) next: Edge<K, V>,
}

impl<K, V, F: Fn(&K, &V) -> Tried<bool>> Process<K, V> for Filter<K, V, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        match (self.keep)(&record.key, &record.value) {
            Ok(keep) if keep == self.wanted => self.next.process(record, task),
            Ok(_) => Ok(()),
            Err(error) => task.processing_failed(error, &self.node),
        }
    }
}

/// Takes the key out of its `Option`; a record without one is dropped and counted.
pub(crate) struct RequireKey<K, V> {
    pub(crate) next: Edge<K, V>,
}

impl<K, V> Process<Option<K>, V> for RequireKey<K, V> {
    fn process(&mut self, record: Record<Option<K>, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let Some(key) = key else {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        };
        let record = Record {
            key,
            value,
            timestamp_ms,
            headers,
        };
        self.next.process(record, task)
    }
}
