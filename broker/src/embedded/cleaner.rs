//! The one thread of an embedded broker: it compacts, which may take seconds that nobody who polls should wait for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Inner;

/// Compacts from time to time, until it is stopped or the broker is gone.
#[derive(Debug)]
pub(super) struct BackgroundCleaner {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    cancelled: AtomicBool,
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl BackgroundCleaner {
    /// Starts the thread; no interval, no thread.
    pub(super) fn start(inner: &Arc<Inner>) -> std::io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let thread = if inner.broker.config().cleaner_interval_ms > 0 {
            let (inner, signal) = (Arc::downgrade(inner), signal.clone());
            let run = move || run(&inner, &signal);
            Some(Builder::new().name("log-cleaner".to_owned()).spawn(run)?)
        } else {
            None
        };
        Ok(Self {
            signal,
            thread: Mutex::new(thread),
        })
    }

    /// Ends the thread, also in the middle of a log, and waits for that.
    pub(super) fn stop(&self) {
        self.signal.cancelled.store(true, Ordering::Relaxed);
        *self.signal.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread itself may be the last to let go of the broker: it cannot wait for its own end.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("compaction panicked; logs were not compacted since");
        }
    }
}

fn run(inner: &Weak<Inner>, signal: &Signal) {
    loop {
        // Looked at each time: administrators may change it.
        let interval_ms = match inner.upgrade() {
            Some(inner) => inner.broker.live_config().cleaner_interval_ms,
            None => return,
        };
        let interval = Duration::from_millis(u64::try_from(interval_ms).unwrap_or(0).max(1));
        let stopped = signal.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = signal
            .changed
            .wait_timeout_while(stopped, interval, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if *waited.0 {
            return;
        }
        drop(waited);
        let Some(inner) = inner.upgrade() else { return };
        for error in inner.broker.compact(inner.clock.now_ms(), &signal.cancelled) {
            tracing::error!(%error, "compaction failed");
        }
    }
}
