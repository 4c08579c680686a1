//! Group commit: one sync of the disk for all that was appended meanwhile, whoever appended it and to which partition.
//!
//! ```text
//!  append --> queue of partitions with unsynced records        acknowledgement --> wait for the round that covers it
//!                  |                                                                        ^
//!                  '--> a round: sync each of them, move its high watermark ----------------'
//! ```
//!
//! Rounds are driven by whoever owns a thread for it ([`super::Topics::sync_round`]); here is only who waits for what.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::log::PartitionLog;

/// What was appended could not be synced: whether it survives a power cut is unknown, so it is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "what was appended could not be synced to disk; see the log of the broker for the file and the reason"
)]
pub struct SyncFailed;

/// Partitions with unsynced records, and who waits for them.
#[derive(Debug, Default)]
pub struct SyncQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    dirty: Vec<Weak<Mutex<PartitionLog>>>,
    /// Number of the round that covers what is appended now.
    next_round: u64,
    /// The last round that is over.
    finished_round: u64,
    /// Rounds that failed lately: a waiter looks at once, so that a few suffice.
    failed_rounds: Vec<u64>,
    wakers: Vec<Waker>,
}

/// How many failed rounds are remembered.
const MAX_FAILED_ROUNDS: usize = 100;

impl SyncQueue {
    /// Records were appended to this partition, which was clean before.
    pub(crate) fn push(&self, partition: Weak<Mutex<PartitionLog>>) {
        self.lock().dirty.push(partition);
        self.changed.notify_all();
    }

    /// Waits until all that was appended so far is synced.
    pub fn barrier(self: &Arc<Self>) -> SyncWait {
        let state = self.lock();
        // A round that runs may have begun before the latest append: then the one after it counts.
        let is_idle = state.dirty.is_empty() && state.finished_round == state.next_round;
        SyncWait {
            queue: self.clone(),
            round: if is_idle {
                0
            } else {
                state.next_round + u64::from(!state.dirty.is_empty())
            },
        }
    }

    /// Waits until there is something to sync, at most `timeout`, and begins a round.
    pub(crate) fn begin_round(&self, timeout: Duration) -> Option<(u64, Vec<Weak<Mutex<PartitionLog>>>)> {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, timeout, |state| state.dirty.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.dirty.is_empty() {
            return None;
        }
        state.next_round += 1;
        Some((state.next_round, std::mem::take(&mut state.dirty)))
    }

    pub(crate) fn finish_round(&self, round: u64, failed: bool) {
        let mut state = self.lock();
        state.finished_round = round;
        if failed {
            if state.failed_rounds.len() == MAX_FAILED_ROUNDS {
                state.failed_rounds.remove(0);
            }
            state.failed_rounds.push(round);
        }
        for waker in state.wakers.drain(..) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole: a holder that panicked left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`SyncQueue::barrier`].
#[derive(Debug)]
pub struct SyncWait {
    queue: Arc<SyncQueue>,
    round: u64,
}

impl Future for SyncWait {
    type Output = Result<(), SyncFailed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.queue.lock();
        if state.finished_round < self.round {
            if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            return Poll::Pending;
        }
        if state.failed_rounds.contains(&self.round) {
            Poll::Ready(Err(SyncFailed))
        } else {
            Poll::Ready(Ok(()))
        }
    }
}
