//! `count`, `reduce` and `aggregate` in time windows: one row per key and window start.
//!
//! A record updates each of its windows that is still open: whose end is after the largest timestamp this operator has
//! seen, less the grace. That time belongs to the operator and starts anew with its task, as in Kafka. Null values are
//! aggregated; null keys are dropped.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::WindowStore;
use streams_core::{Headers, Record, TaskContext};

use super::aggregate::{Step, advance};
use super::place;
use crate::change::Change;
use crate::windows::{TimeWindows, Window, Windowed};

pub(crate) struct WindowAggregate<K, A, S> {
    pub(crate) node: String,
    pub(crate) step: Arc<S>,
    pub(crate) windows: TimeWindows,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: WindowStore<K, A>,
    pub(crate) send_old: bool,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    pub(crate) next: Edge<Windowed<K>, Change<A>>,
}

impl<K: Clone, V: Clone, A: Clone, S: Step<K, V, A>> Process<K, V> for WindowAggregate<K, A, S> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        self.stream_time_ms = self.stream_time_ms.max(record.timestamp_ms);
        let close_time_ms = self.stream_time_ms.saturating_sub(self.windows.grace_ms());
        let mut windows = self.windows.windows_for(record.timestamp_ms);
        let Some(mut window) = windows.next() else {
            return Ok(());
        };
        // One window is held back, so that the last one gets the record itself and not a clone.
        for following in windows {
            let current = std::mem::replace(&mut window, following);
            self.update(current, close_time_ms, record.clone(), task)?;
        }
        self.update(window, close_time_ms, record, task)
    }
}

impl<K, A: Clone, S> WindowAggregate<K, A, S> {
    fn update<V>(
        &mut self,
        window: Window,
        close_time_ms: i64,
        record: Record<K, V>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult
    where
        S: Step<K, V, A>,
    {
        if window.end_ms <= close_time_ms {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let is_null = |aggregate: &A| self.result_serde.is_null(aggregate);
        let updated = self.store.update(&key, window.start_ms, timestamp_ms, |stored| {
            advance(
                &*self.step,
                is_null,
                self.send_old,
                (&key, value, timestamp_ms),
                stored,
            )
        });
        let (change, timestamp_ms) = updated.map_err(|cause| place(cause, &self.node, task))?;
        self.forward(Windowed { key, window }, change, timestamp_ms, headers, task)
    }

    fn forward(
        &mut self,
        key: Windowed<K>,
        value: Change<A>,
        timestamp_ms: i64,
        headers: Headers,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let result = Record {
            key,
            value,
            timestamp_ms,
            headers,
        };
        self.next.process(result, task)
    }
}
