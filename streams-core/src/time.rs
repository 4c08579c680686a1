//! Time, handed in. The only file of the project that reads the real clock.
//!
//! Everything that needs to know the time takes a [`Clock`]; tests and the test driver own a [`ManualClock`]. Event time
//! is not here: it travels in records.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The seam for time.
pub trait Clock: Send + Sync + Debug {
    /// Wall-clock time in milliseconds since the Unix epoch. May jump, in either direction.
    fn now_ms(&self) -> i64;

    /// Time since some fixed moment; never goes back. For intervals and rates.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
///
/// ```
/// use streams_core::time::{Clock, SystemClock};
///
/// assert!(SystemClock::default().now_ms() > 1_600_000_000_000);
/// ```
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the edge that reads the real clock"
    )]
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the edge that reads the real clock"
    )]
    fn now_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when told to.
///
/// ```
/// use std::time::Duration;
/// use streams_core::time::{Clock, ManualClock};
///
/// let clock = ManualClock::new(0);
/// clock.advance(Duration::from_millis(250));
/// assert_eq!(clock.now_ms(), 250);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    start_ms: i64,
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now_ms`.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self {
            start_ms: now_ms,
            now_ms: AtomicI64::new(now_ms),
        }
    }

    /// Moves the clock forward; parts of a millisecond are dropped.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let later = |now_ms: i64| Some(now_ms.saturating_add(by_ms));
        // Never fails: there is always a later time, if only the last one.
        let _ = self
            .now_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now_ms().saturating_sub(self.start_ms)).unwrap_or(0))
    }
}
