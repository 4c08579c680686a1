//! A stream joined with itself, kept once: each record is joined with the others around it, as the left and as the right one,
//! and with itself, in the order in which two joined streams would send it.
//!
//! Null keys and values are dropped. A record that is older than the retention is not joined with itself any more; the time
//! that decides it belongs to the operator and starts anew with its task.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessError, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{Direction, WindowStore};
use streams_core::{Record, TaskContext};

use super::stream_join::Join;
use super::{decided, place};
use crate::join_windows::JoinWindows;

/// `V` is the value, and `W` the same type, seen as the right side's.
pub(crate) struct SelfJoin<K, V, W, R> {
    pub(crate) node: String,
    /// Of the key, the left and the right value.
    pub(crate) join: Join<K, V, W, R>,
    pub(crate) as_right: for<'a> fn(&'a V) -> Option<&'a W>,
    pub(crate) windows: JoinWindows,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) store: WindowStore<K, V>,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    pub(crate) next: Edge<K, R>,
}

impl<K, V, W, R> Process<K, V> for SelfJoin<K, V, W, R>
where
    K: Clone,
    V: Clone,
{
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let joined = self.join_around(&record, task);
        decided(joined, &self.node, task)
    }
}

impl<K, V, W, R> SelfJoin<K, V, W, R>
where
    K: Clone,
    V: Clone,
{
    /// Joins a record with those around it, and with itself.
    fn join_around(&mut self, record: &Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let at_ms = record.timestamp_ms;
        self.stream_time_ms = self.stream_time_ms.max(at_ms);
        let kept_from_ms = self
            .stream_time_ms
            .saturating_sub(self.windows.retention_ms())
            .saturating_add(1);
        let (before_ms, after_ms) = (self.windows.before_ms(), self.windows.after_ms());
        let is_near_itself = before_ms >= 0 && after_ms >= 0;
        let mut joins_itself = at_ms > kept_from_ms && is_near_itself;
        for (other_ms, other) in self.around(record, before_ms, after_ms, task)? {
            self.send(record, &record.value, &other, at_ms.max(other_ms), task)?;
        }
        for (other_ms, other) in self.around(record, after_ms, before_ms, task)? {
            if joins_itself && other_ms > at_ms {
                joins_itself = false;
                self.send(record, &record.value, &record.value, at_ms, task)?;
            }
            self.send(record, &other, &record.value, at_ms.max(other_ms), task)?;
        }
        if joins_itself {
            self.send(record, &record.value, &record.value, at_ms, task)?;
        }
        Ok(())
    }

    fn around(
        &self,
        record: &Record<K, V>,
        before_ms: i64,
        after_ms: i64,
        task: &TaskContext<'_>,
    ) -> Result<Vec<(i64, V)>, Box<ProcessError>> {
        let from_ms = record.timestamp_ms.saturating_sub(before_ms).max(0);
        let to_ms = record.timestamp_ms.saturating_add(after_ms).max(0);
        let rows = self
            .store
            .fetch_range(&record.key, from_ms..=to_ms, Direction::Forward);
        let failed = |cause| place(cause, &self.node, task);
        let mut around = Vec::new();
        for row in rows.map_err(failed)? {
            let (_, at_ms, row) = row.map_err(failed)?;
            around.push((at_ms, row.value));
        }
        Ok(around)
    }

    fn send(
        &mut self,
        record: &Record<K, V>,
        left: &V,
        right: &V,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let joined = (self.join)(&record.key, Some(left), (self.as_right)(right));
        let Some(value) = joined.map_err(ProcessCause::User)? else {
            return Ok(());
        };
        let result = Record {
            key: record.key.clone(),
            value,
            timestamp_ms,
            headers: record.headers.clone(),
        };
        self.next.process(result, task)
    }
}
