//! `count`, `reduce` and `aggregate` in sliding windows: a window for each set of records that are near enough.
//!
//! A record has a left window, which ends with it, and a right window, which begins just after it and exists once a later
//! record falls into it. So a new record updates every window it falls into, makes its own left window, the right window of
//! the record before it, and its own right window if there are later records; what those begin with is the aggregate of a
//! neighbour. Records before the time difference share one window from 0 on, since none begins earlier.
//!
//! Null keys and values are dropped, and records whose right window is closed; of the others, updates of windows that have.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{Direction, ValueAndTimestamp};
use streams_core::{Record, TaskContext};

use super::aggregate::{Base, Steps};
use super::window_rows::WindowRows;
use super::{decided, place};
use crate::change::Change;
use crate::windows::{SlidingWindows, Window, Windowed};

pub(crate) struct SlidingAggregate<K, V, A> {
    pub(crate) step: Steps<K, V, A>,
    pub(crate) windows: SlidingWindows,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) rows: WindowRows<K, A>,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    pub(crate) next: Edge<Windowed<K>, Change<A>>,
}

/// A window that is there: its start, and its row.
type Found<A> = (i64, ValueAndTimestamp<A>);

/// What was learnt from the windows around a record.
struct Around<A> {
    starts_ms: Vec<i64>,
    /// Aggregate of the nearest window before the record.
    left: Option<ValueAndTimestamp<A>>,
    /// Aggregate of records after it, if the newest of them is later.
    right: Option<ValueAndTimestamp<A>>,
    has_left_window: bool,
    /// Time of the record before it.
    previous_ms: Option<i64>,
}

impl<K: Clone, V: Clone, A: Clone> Process<K, V> for SlidingAggregate<K, V, A> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let updated = self.update_all(record, task);
        decided(updated, &self.rows.node, task)
    }
}

impl<K: Clone, V: Clone, A: Clone> SlidingAggregate<K, V, A> {
    /// Updates the windows of a record, up to one that fails.
    fn update_all(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.rows.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        self.rows.load(task)?;
        self.stream_time_ms = self.stream_time_ms.max(record.timestamp_ms);
        let difference_ms = self.windows.time_difference_ms();
        let close_time_ms = self.stream_time_ms.saturating_sub(self.windows.grace_ms());
        if record.timestamp_ms.saturating_add(difference_ms) < close_time_ms {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        if record.timestamp_ms < difference_ms {
            return self.process_early(&record, close_time_ms, task);
        }
        let from_ms = record
            .timestamp_ms
            .saturating_sub(difference_ms.saturating_mul(2));
        let mut found = self.found(&record, from_ms, task)?;
        found.reverse();
        if let Some(around) = self.update_around(&record, found, close_time_ms, task)? {
            self.create(&record, around, close_time_ms, task)?;
        }
        self.send_final(&record, close_time_ms, task)
    }

    /// The windows of a record's key that start from `from_ms` to just after the record: its right window is the last one.
    fn found(
        &self,
        record: &Record<K, V>,
        from_ms: i64,
        task: &TaskContext<'_>,
    ) -> Result<Vec<Found<A>>, Box<streams_core::error::ProcessError>> {
        let to_ms = record.timestamp_ms.saturating_add(1);
        let store = &self.rows.store;
        let failed = |cause| place(cause, &self.rows.node, task);
        let rows = store.fetch_range(&record.key, from_ms..=to_ms, Direction::Forward);
        let mut found = Vec::new();
        for row in rows.map_err(failed)? {
            let (_, start_ms, row) = row.map_err(failed)?;
            found.push((start_ms, row));
        }
        Ok(found)
    }

    /// Updates the windows that a record falls into, latest first. `None` if its left window ends with another record at the
    /// same time: then all other windows are there.
    fn update_around(
        &mut self,
        record: &Record<K, V>,
        found: Vec<Found<A>>,
        close_time_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> Result<Option<Around<A>>, Box<streams_core::error::ProcessError>> {
        let at_ms = record.timestamp_ms;
        let mut around = Around {
            starts_ms: Vec::new(),
            left: None,
            right: None,
            has_left_window: false,
            previous_ms: None,
        };
        for (start_ms, row) in found {
            around.starts_ms.push(start_ms);
            let window = self.window(start_ms);
            let newest_ms = row.timestamp_ms;
            if at_ms.checked_add(1) == Some(start_ms) {
                continue;
            } else if window.end_ms > at_ms {
                around.right.get_or_insert_with(|| row.clone());
                self.update(window, Some(row), record, close_time_ms, task)?;
            } else if window.end_ms == at_ms {
                around.has_left_window = true;
                self.update(window, Some(row), record, close_time_ms, task)?;
                if newest_ms >= at_ms {
                    return Ok(None);
                }
                around.previous_ms = Some(newest_ms);
            } else {
                around.left = Some(row);
                around.previous_ms = Some(newest_ms);
                break;
            }
        }
        Ok(Some(around))
    }

    /// Makes the windows that come to be with a record.
    fn create(
        &mut self,
        record: &Record<K, V>,
        around: Around<A>,
        close_time_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let (at_ms, difference_ms) = (record.timestamp_ms, self.windows.time_difference_ms());
        if let Some(previous_ms) = around.previous_ms {
            let start_ms = previous_ms.saturating_add(1);
            let reaches = start_ms.saturating_add(difference_ms) >= at_ms;
            if reaches && !around.starts_ms.contains(&start_ms) {
                self.update(self.window(start_ms), None, record, close_time_ms, task)?;
            }
        }
        if !around.has_left_window {
            let holds_more = around
                .previous_ms
                .is_some_and(|previous_ms| at_ms.saturating_sub(difference_ms) <= previous_ms);
            let left = around.left.filter(|_| holds_more).map(|left| ValueAndTimestamp {
                value: left.value,
                timestamp_ms: at_ms,
            });
            self.update(
                self.window(at_ms.saturating_sub(difference_ms)),
                left,
                record,
                close_time_ms,
                task,
            )?;
        }
        self.create_right(record, around.right, &around.starts_ms, task)
    }

    /// The window that begins just after a record, if there are later ones and it is not there yet.
    fn create_right(
        &mut self,
        record: &Record<K, V>,
        right: Option<ValueAndTimestamp<A>>,
        starts_ms: &[i64],
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        // Nothing is later than the end of time.
        let Some(start_ms) = record.timestamp_ms.checked_add(1) else {
            return Ok(());
        };
        let right = right.filter(|right| right.timestamp_ms > record.timestamp_ms);
        let Some(right) = right.filter(|_| !starts_ms.contains(&start_ms)) else {
            return Ok(());
        };
        let key = Windowed {
            key: record.key.clone(),
            window: self.window(start_ms),
        };
        self.rows
            .put(key, right, record.headers.clone(), &mut self.next, task)
    }

    /// A record earlier than the time difference: it goes into the window from 0 on.
    fn process_early(
        &mut self,
        record: &Record<K, V>,
        close_time_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let at_ms = record.timestamp_ms;
        let (mut combined, mut right, mut previous_ms) = (None, None, None);
        let mut starts_ms = Vec::new();
        for (start_ms, row) in self.found(record, 0, task)? {
            starts_ms.push(start_ms);
            if start_ms == 0 {
                previous_ms = Some(row.timestamp_ms).filter(|newest_ms| *newest_ms < at_ms);
                combined = Some(row);
            } else if start_ms <= at_ms {
                right = Some(row.clone());
                self.update(self.window(start_ms), Some(row), record, close_time_ms, task)?;
            }
        }
        if right.is_none() {
            right = combined
                .clone()
                .filter(|combined: &ValueAndTimestamp<A>| combined.timestamp_ms > at_ms);
        }
        self.create_right(record, right, &starts_ms, task)?;
        if let Some(previous_ms) = previous_ms
            && let start_ms = previous_ms.saturating_add(1)
            && !starts_ms.contains(&start_ms)
        {
            self.update(self.window(start_ms), None, record, close_time_ms, task)?;
        }
        self.update(self.window(0), combined, record, close_time_ms, task)
    }

    fn window(&self, start_ms: i64) -> Window {
        Window {
            start_ms,
            end_ms: start_ms.saturating_add(self.windows.time_difference_ms()),
        }
    }

    /// Advances a window from `base` on by the record, unless it has closed.
    fn update(
        &mut self,
        window: Window,
        base: Option<ValueAndTimestamp<A>>,
        record: &Record<K, V>,
        close_time_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        if window.end_ms < close_time_ms {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        let record = record.clone();
        self.rows.replace(
            &self.step,
            window,
            record,
            Base::Given(base),
            &mut self.next,
            task,
        )
    }

    fn send_final(
        &mut self,
        record: &Record<K, V>,
        close_time_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Some(sent_ms) = self.rows.sent_ms(close_time_ms) else {
            return Ok(());
        };
        let difference_ms = self.windows.time_difference_ms();
        // Both ends of a sliding window belong to it.
        let last_ms = close_time_ms.saturating_sub(difference_ms).saturating_sub(1);
        if last_ms < 0 {
            return Ok(());
        }
        let first_ms = sent_ms.saturating_sub(difference_ms).max(0);
        let (headers, next) = (&record.headers, &mut self.next);
        self.rows
            .send_final(first_ms..=last_ms, close_time_ms, headers, next, task)
    }
}
