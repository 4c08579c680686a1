//! Waiting for records of certain partitions: a Fetch without enough of them registers with each, and is woken once, when
//! enough came or when waiting has become pointless.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// Somebody who waits for bytes in any of several partitions.
///
/// Register first, look second: what is appended in between is counted, so that no wake-up is lost. Nothing is woken before
/// [`expect`](Self::expect) says how much is missing.
#[derive(Debug)]
pub struct FetchWaiter {
    arrived_bytes: AtomicU64,
    expected_bytes: AtomicU64,
    done: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Default for FetchWaiter {
    fn default() -> Self {
        Self {
            arrived_bytes: AtomicU64::new(0),
            expected_bytes: AtomicU64::new(u64::MAX),
            done: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }
}

impl FetchWaiter {
    /// Says how many bytes have to come before it is worth looking again.
    pub fn expect(&self, bytes: u64) {
        self.expected_bytes.store(bytes, Ordering::SeqCst);
        self.arrived(0);
    }

    /// Bytes have come that a consumer can read.
    pub(crate) fn arrived(&self, bytes: u64) {
        let before = self.arrived_bytes.fetch_add(bytes, Ordering::SeqCst);
        if before.saturating_add(bytes) >= self.expected_bytes.load(Ordering::SeqCst) {
            self.finish();
        }
    }

    /// Waiting on is pointless, or cannot be judged from here: look again.
    pub(crate) fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Completes when it is time to look again. There is one waiting task at a time.
    pub fn wait(self: &Arc<Self>) -> FetchWait {
        FetchWait { waiter: self.clone() }
    }
}

/// See [`FetchWaiter::wait`].
#[derive(Debug)]
pub struct FetchWait {
    waiter: Arc<FetchWaiter>,
}

impl Future for FetchWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        {
            let mut waker = self.waiter.waker.lock().unwrap_or_else(PoisonError::into_inner);
            *waker = Some(context.waker().clone());
        }
        // After the waker is there: whoever finishes later finds it, whoever finished before is seen here.
        if self.waiter.is_done() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// The waiters of one partition. Those that are gone are swept out from time to time, so that there are never more than twice
/// as many as really wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Vec<(Weak<FetchWaiter>, bool)>,
    sweep_at: usize,
}

/// Below so many nothing is swept.
const MIN_SWEEP: usize = 16;

impl Waiters {
    /// Registers a waiter; `committed` if it only sees what is decided.
    pub(crate) fn add(&mut self, waiter: &Arc<FetchWaiter>, committed: bool) {
        if self.list.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.list
                .retain(|(waiter, _)| waiter.upgrade().is_some_and(|waiter| !waiter.is_done()));
            self.sweep_at = self.list.len() * 2;
        }
        self.list.push((Arc::downgrade(waiter), committed));
    }

    /// Bytes were appended; `decided` if the last stable offset moved with them.
    pub(crate) fn arrived(&mut self, bytes: u64, decided: bool) {
        self.list.retain(|(waiter, committed)| {
            let Some(waiter) = waiter.upgrade() else {
                return false;
            };
            if decided || !committed {
                waiter.arrived(bytes);
            }
            !waiter.is_done()
        });
    }

    /// All of them look again.
    pub(crate) fn finish(&mut self) {
        for (waiter, _) in self.list.drain(..) {
            if let Some(waiter) = waiter.upgrade() {
                waiter.finish();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(waiter: &Arc<FetchWaiter>) -> bool {
        let mut wait = waiter.wait();
        Pin::new(&mut wait)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    #[test]
    fn enough_bytes_from_several_partitions_end_the_wait() {
        let (mut one, mut other) = (Waiters::default(), Waiters::default());
        let waiter = Arc::new(FetchWaiter::default());
        one.add(&waiter, false);
        other.add(&waiter, false);
        one.arrived(60, true);
        waiter.expect(100);
        assert!(waits(&waiter));
        other.arrived(40, true);
        assert!(!waits(&waiter));
    }

    #[test]
    fn what_came_before_it_was_known_how_much_is_needed_counts() {
        let mut waiters = Waiters::default();
        let waiter = Arc::new(FetchWaiter::default());
        waiters.add(&waiter, false);
        waiters.arrived(5, true);
        assert!(waits(&waiter));
        waiter.expect(5);
        assert!(!waits(&waiter));
    }

    #[test]
    fn undecided_records_do_not_wake_who_reads_committed_ones() {
        let mut waiters = Waiters::default();
        let waiter = Arc::new(FetchWaiter::default());
        waiters.add(&waiter, true);
        waiter.expect(1);
        waiters.arrived(1_000, false);
        assert!(waits(&waiter));
        waiters.arrived(70, true);
        assert!(!waits(&waiter));
    }

    #[test]
    fn waiters_that_gave_up_are_swept_out() {
        let mut waiters = Waiters::default();
        let stays = Arc::new(FetchWaiter::default());
        waiters.add(&stays, false);
        for _ in 0..10_000 {
            waiters.add(&Arc::new(FetchWaiter::default()), false);
        }
        assert!(waiters.list.len() <= MIN_SWEEP);
        waiters.finish();
        assert!(!waits(&stays));
    }
}
