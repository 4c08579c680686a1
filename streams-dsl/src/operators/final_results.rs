//! Windows that send one result, when they close: which windows are still to be sent, by time.
//!
//! The store has rows by key, so the windows that wait are listed here, in memory: their times and keys, not their values.
//! After a restart the list is read from the store, and the time up to which results were sent comes with the committed
//! offsets. Kafka also lets a second of wall-clock time pass between two looks; here event time alone decides.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use streams_core::TaskContext;
use streams_core::store::StoreResult;

/// A window that waits: two times to order it by, and the bytes of its key.
type Waiting = (i64, i64, Vec<u8>);

/// See the file's top. `T` is what is remembered of a window.
pub(crate) struct FinalResults<T> {
    /// Names the time that is committed.
    store: String,
    waiting: Option<BTreeMap<Waiting, T>>,
    /// Close time up to which results were sent; -1 if none were.
    pub(crate) sent_ms: i64,
}

impl<T> FinalResults<T> {
    pub(crate) fn new(store: &str) -> Self {
        Self {
            store: store.to_owned(),
            waiting: None,
            sent_ms: -1,
        }
    }

    /// The first time: remembers what the store has, and up to when results were sent.
    pub(crate) fn load(
        &mut self,
        task: &TaskContext<'_>,
        rows: impl FnOnce() -> StoreResult<Vec<(Waiting, T)>>,
    ) -> StoreResult<()> {
        if self.waiting.is_none() {
            self.waiting = Some(rows()?.into_iter().collect());
            self.sent_ms = task.processor_time_ms(&self.store).unwrap_or(-1);
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, window: Waiting, what: T) {
        self.waiting.get_or_insert_default().insert(window, what);
    }

    pub(crate) fn remove(&mut self, window: &Waiting) {
        self.waiting.get_or_insert_default().remove(window);
    }

    /// True if windows may have closed since results were sent.
    pub(crate) fn is_due(&self, close_time_ms: i64) -> bool {
        self.sent_ms == -1 || self.sent_ms < close_time_ms
    }

    /// Takes the windows whose first time is in this range, in order, and forgets those before it.
    pub(crate) fn take(&mut self, times_ms: RangeInclusive<i64>) -> Vec<T> {
        let Some(waiting) = &mut self.waiting else {
            return Vec::new();
        };
        let (first, after) = (*times_ms.start(), times_ms.end().saturating_add(1));
        let rest = waiting.split_off(&(after, i64::MIN, Vec::new()));
        let closed = std::mem::replace(waiting, rest);
        let taken = closed.into_iter().filter(|((time_ms, ..), _)| *time_ms >= first);
        taken.map(|(_, what)| what).collect()
    }

    /// Results were sent up to this close time.
    pub(crate) fn sent(&mut self, close_time_ms: i64, task: &mut TaskContext<'_>) {
        self.sent_ms = close_time_ms;
        task.set_processor_time_ms(&self.store, close_time_ms);
    }
}
