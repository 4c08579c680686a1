//! The rim between logs and whoever waits for records: a counter that grows when any partition has more
//! to read, and a way to sleep until it does. The only place of the storage half that blocks.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts appends and moves of last stable offsets over all partitions of a broker.
#[derive(Debug, Default)]
pub struct Progress {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    /// The count now: read it before looking for records, and wait for it to change if there are none.
    pub fn current(&self) -> u64 {
        // The counter is whole whatever its holder did: a poisoned lock changes nothing.
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until the count is no longer `seen`, at most `timeout`, and answers the count then.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .changed
            .wait_timeout_while(count, timeout, |count| *count == seen)
            .unwrap_or_else(PoisonError::into_inner);
        *count
    }

    /// Grows the count and wakes everybody who waits.
    pub fn bump(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.wrapping_add(1);
        drop(count);
        self.changed.notify_all();
    }
}
