//! `SlidingWindows`: windows around records that are near enough to each other.

use std::time::Duration;

use super::{FixedWindows, Windows, millis};
use crate::{CogroupedKStream, Data, KGroupedStream, TimeWindowedCogroupedKStream, TimeWindowedKStream};

/// Windows of records: one for each set of records of a key that are at most the time difference apart (Kafka's
/// `SlidingWindows`).
///
/// Both ends belong to a window. A record makes the window that ends with it, and once a later record falls into it the one
/// that begins a millisecond after it; windows of the same records are one. None begins before the epoch. There is no
/// implicit grace, so say which you want: a record is late if even the window that begins after it has closed.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let windows = SlidingWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
/// let logins = builder.stream::<String, String>("logins").group_by_key().windowed_by(windows);
/// logins.count(Materialized::named("logins")).to_stream().to("counts");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for at_ms in [20, 28] {
///     driver.input("logins").pipe_at("ada".to_string(), "ok".to_string(), at_ms)?;
/// }
/// let store = driver.window_store::<String, i64>("logins")?;
/// let count = |start_ms| store.fetch(&"ada".into(), start_ms).unwrap().unwrap().value;
/// assert_eq!((count(10), count(18), count(21)), (1, 2, 1));
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    time_difference_ms: i64,
    grace_ms: i64,
}

impl SlidingWindows {
    /// Windows of records at most this far apart, which close as soon as stream time is past their end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SlidingWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// clicks.windowed_by(windows).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [20, 28] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 18).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_time_difference_with_no_grace(difference: Duration) -> Self {
        Self::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// Windows of records at most this far apart, which stay open for `grace` longer, by event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SlidingWindows::of_time_difference_and_grace(Duration::from_millis(10), Duration::from_secs(1));
    /// clicks.windowed_by(windows).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// // The last one is out of order, but not late.
    /// for at_ms in [28, 500, 20] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 18).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> Self {
        Self {
            time_difference_ms: millis(difference),
            grace_ms: millis(grace),
        }
    }

    /// Time difference in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SlidingWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// clicks.windowed_by(windows).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), 20)?;
    /// // The window that ends with the record.
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// let start_ms = 20 - windows.time_difference_ms();
    /// assert_eq!(counts.fetch(&"ada".into(), start_ms).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn time_difference_ms(&self) -> i64 {
        self.time_difference_ms
    }

    /// Grace in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SlidingWindows::of_time_difference_and_grace(Duration::from_millis(10), Duration::from_millis(100));
    /// clicks.windowed_by(windows).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let late_ms = 500 - windows.time_difference_ms() - windows.grace_ms() - 1;
    /// for at_ms in [500, late_ms] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// assert_eq!(driver.dropped(DropReason::Late), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }
}

impl Windows for SlidingWindows {
    type Stream<K: Data, V: Data> = TimeWindowedKStream<K, V>;

    fn group<K: Data, V: Data>(self, grouped: KGroupedStream<K, V>) -> TimeWindowedKStream<K, V> {
        TimeWindowedKStream::new(grouped, FixedWindows::Sliding(self))
    }

    type Cogrouped<K: Data, A: Data> = TimeWindowedCogroupedKStream<K, A>;

    fn cogroup<K: Data, A: Data>(
        self,
        cogrouped: CogroupedKStream<K, A>,
    ) -> TimeWindowedCogroupedKStream<K, A> {
        TimeWindowedCogroupedKStream::new(cogrouped, FixedWindows::Sliding(self))
    }
}
