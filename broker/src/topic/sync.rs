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

    /// Waits until there is something to sync and no other round runs, at most `timeout`, and begins a round.
    pub(crate) fn begin_round(&self, timeout: Duration) -> Option<Round<'_>> {
        let must_wait =
            |state: &mut State| state.dirty.is_empty() || state.finished_round != state.next_round;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if must_wait(&mut state) {
            return None;
        }
        state.next_round += 1;
        Some(Round {
            queue: self,
            partitions: std::mem::take(&mut state.dirty),
            failed: true,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole: a holder that panicked left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sync of all partitions that had something to sync. Rounds do not overlap: one is over when this is dropped, and has
/// failed unless [`Round::succeed`] was called.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    queue: &'a SyncQueue,
    pub(crate) partitions: Vec<Weak<Mutex<PartitionLog>>>,
    failed: bool,
}

impl Round<'_> {
    /// All of it is on disk.
    pub(crate) fn succeed(mut self) {
        self.failed = false;
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.finished_round = state.next_round;
        if self.failed {
            if state.failed_rounds.len() == MAX_FAILED_ROUNDS {
                state.failed_rounds.remove(0);
            }
            let round = state.next_round;
            state.failed_rounds.push(round);
        }
        for waker in state.wakers.drain(..) {
            waker.wake();
        }
        drop(state);
        self.queue.changed.notify_all();
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
