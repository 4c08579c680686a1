//! Windows of time: which one a record falls into, and when it is too late.

use std::time::Duration;

/// Fixed windows that follow one another without gap or overlap, aligned to the Unix epoch (Kafka's tumbling
/// `TimeWindows`). A window includes its start and excludes its end.
///
/// A record is late, dropped and counted when its window's end plus grace is not after the largest time that the operator
/// has seen. There is no implicit grace: say which you want. Hopping, sliding and session windows will be types beside this.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let hours = TimeWindows::of_size_and_grace(Duration::from_secs(3_600), Duration::from_secs(60));
/// assert_eq!(hours.window_of(3_600_001), Window { start_ms: 3_600_000, end_ms: 7_200_000 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    pub(crate) size_ms: i64,
    pub(crate) grace_ms: i64,
}

/// A stretch of time, milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// First millisecond of it.
    pub start_ms: i64,
    /// First millisecond after it.
    pub end_ms: i64,
}

impl TimeWindows {
    /// Windows of this size; a record is late as soon as its window has ended. At least a millisecond.
    #[must_use]
    pub fn of_size_with_no_grace(size: Duration) -> Self {
        Self::of_size_and_grace(size, Duration::ZERO)
    }

    /// Windows of this size, at least a millisecond, that stay open for `grace` after they have ended.
    #[must_use]
    pub fn of_size_and_grace(size: Duration, grace: Duration) -> Self {
        Self {
            size_ms: millis(size).max(1),
            grace_ms: millis(grace),
        }
    }

    /// The window that a time falls into.
    #[must_use]
    pub fn window_of(&self, timestamp_ms: i64) -> Window {
        let start_ms = timestamp_ms - timestamp_ms.rem_euclid(self.size_ms);
        Window {
            start_ms,
            end_ms: start_ms.saturating_add(self.size_ms),
        }
    }

    /// True if a window takes no more records at this stream time.
    #[must_use]
    pub fn is_closed(&self, window: Window, stream_time_ms: i64) -> bool {
        window.end_ms <= stream_time_ms.saturating_sub(self.grace_ms)
    }

    /// How long a window's row must be kept.
    pub(crate) fn retention_ms(&self) -> i64 {
        self.size_ms.saturating_add(self.grace_ms)
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
