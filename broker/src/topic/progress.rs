//! The rim between logs and whoever waits for records: a counter that grows when any partition has more
//! to read, and a way to sleep until it does. The only place of the storage half that blocks.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts appends and moves of last stable offsets over all partitions of a broker.
#[derive(Debug, Default)]
pub struct Progress {
    count: AtomicU64,
    /// How many threads sleep or are about to.
    sleepers: AtomicUsize,
    /// Held by who goes to sleep, from looking at the count on.
    sleep: Mutex<()>,
    changed: Condvar,
}

impl Progress {
    /// The count now: read it before looking for records, and wait for it to change if there are none.
    pub fn current(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Sleeps until the count is no longer `seen`, at most `timeout`, and answers the count then.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        let unchanged = |(): &mut ()| self.current() == seen;
        let _woken = self.changed.wait_timeout_while(guard, timeout, unchanged);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        self.current()
    }

    /// Grows the count and wakes everybody who waits.
    pub fn bump(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        // Mostly nobody sleeps, and waking nobody is a system call too. Who is not counted yet will see the new count.
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_wake_up_is_lost() {
        const ROUNDS: u64 = 20_000;
        const FOREVER: Duration = Duration::from_secs(60);
        let (there, back) = (Progress::default(), Progress::default());
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    assert_eq!(there.wait(round, FOREVER), round + 1);
                    back.bump();
                }
            });
            for round in 0..ROUNDS {
                there.bump();
                assert_eq!(back.wait(round, FOREVER), round + 1);
            }
        });
    }

    #[test]
    fn nobody_waits_longer_than_said() {
        let progress = Progress::default();
        assert_eq!(progress.wait(0, Duration::from_millis(1)), 0);
        progress.bump();
        assert_eq!(progress.wait(0, Duration::from_secs(60)), 1);
    }
}
