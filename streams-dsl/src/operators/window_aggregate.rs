//! `count`, `reduce` and `aggregate` in time windows: one row per key and window start.
//!
//! A record updates each of its windows that is still open: whose end is after the largest timestamp this operator has
//! seen, less the grace. That time belongs to the operator and starts anew with its task, as in Kafka. Null values are
//! aggregated; null keys are dropped.

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::{Record, TaskContext};

use super::aggregate::Steps;
use super::decided;
use super::window_rows::WindowRows;
use crate::change::Change;
use crate::windows::{TimeWindows, Window, Windowed};

pub(crate) struct WindowAggregate<K, V, A> {
    pub(crate) step: Steps<K, V, A>,
    pub(crate) windows: TimeWindows,
    pub(crate) rows: WindowRows<K, A>,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    pub(crate) next: Edge<Windowed<K>, Change<A>>,
}

impl<K: Clone, V: Clone, A: Clone> Process<K, V> for WindowAggregate<K, V, A> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let updated = self.update_all(record, task);
        decided(updated, &self.rows.node, task)
    }
}

impl<K: Clone, V: Clone, A: Clone> WindowAggregate<K, V, A> {
    /// Updates the windows of a record, up to one that fails.
    fn update_all(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.rows.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        self.rows.load(task)?;
        self.stream_time_ms = self.stream_time_ms.max(record.timestamp_ms);
        let close_time_ms = self.stream_time_ms.saturating_sub(self.windows.grace_ms());
        let mut windows = self.windows.windows_for(record.timestamp_ms);
        let Some(mut window) = windows.next() else {
            return Ok(());
        };
        let headers = self.rows.emits_finally().then(|| record.headers.clone());
        // One window is held back, so that the last one gets the record itself and not a clone.
        for following in windows {
            let current = std::mem::replace(&mut window, following);
            self.update(current, close_time_ms, record.clone(), task)?;
        }
        self.update(window, close_time_ms, record, task)?;
        let Some(headers) = headers else { return Ok(()) };
        match self.closed(close_time_ms) {
            Some(starts_ms) => self
                .rows
                .send_final(starts_ms, close_time_ms, &headers, &mut self.next, task),
            None => Ok(()),
        }
    }

    fn update(
        &mut self,
        window: Window,
        close_time_ms: i64,
        record: Record<K, V>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        if window.end_ms <= close_time_ms {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        self.rows.update(&self.step, window, record, &mut self.next, task)
    }

    /// The starts of the windows that have closed since results were sent, if there can be any.
    fn closed(&self, close_time_ms: i64) -> Option<std::ops::RangeInclusive<i64>> {
        let sent_ms = self.rows.sent_ms(close_time_ms)?;
        let last_ms = close_time_ms.saturating_sub(self.windows.size_ms());
        if last_ms < 0 {
            return None;
        }
        if sent_ms == -1 {
            return Some(0..=last_ms);
        }
        let sent_start_ms = sent_ms.saturating_sub(self.windows.size_ms()).max(0);
        let starts = |at_ms| self.windows.windows_for(at_ms).map(|window| window.start_ms);
        // Between two times in the same windows no window closes.
        (!starts(last_ms).eq(starts(sent_start_ms))).then(|| sent_start_ms.saturating_add(1)..=last_ms)
    }
}
