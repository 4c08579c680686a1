//! `TimeWindows`: windows of a fixed size, one after the other or overlapping.

use std::time::Duration;

use super::{FixedWindows, Window, Windows, millis};
use crate::{CogroupedKStream, Data, KGroupedStream, TimeWindowedCogroupedKStream, TimeWindowedKStream};

/// Windows of a fixed size, aligned to the epoch: tumbling, or hopping if they advance by less than their size.
///
/// There is no implicit grace, so say which you want. Without, a record is late as soon as an operator has seen a timestamp at or after its window's
/// end. Grace keeps windows open for that much longer.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, String>("clicks").group_by_key();
/// let millis = Duration::from_millis;
/// let overlapping = TimeWindows::of_size_and_grace(millis(100), millis(100)).advance_by(millis(50));
/// let starts: Vec<i64> = overlapping.windows_for(120).map(|window| window.start_ms).collect();
/// assert_eq!(starts, [50, 100]);
/// clicks.windowed_by(overlapping).count(Materialized::named("counts"));
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for at_ms in [120, 160] {
///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
/// }
/// let counts = driver.window_store::<String, i64>("counts")?;
/// let count = |start_ms| counts.fetch(&"ada".into(), start_ms).unwrap().unwrap().value;
/// assert_eq!((count(50), count(100), count(150)), (1, 2, 1));
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    /// Where the first one starts.
    pub(super) origin_ms: i64,
    pub(super) size_ms: i64,
    pub(super) advance_ms: i64,
    pub(super) grace_ms: i64,
}

impl TimeWindows {
    /// Tumbling windows of this size, which close as soon as they end. At least a millisecond; smaller parts are dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// clicks.windowed_by(seconds).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// // The last one comes after its window has closed.
    /// for at_ms in [100, 1_000, 900] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// assert_eq!(driver.dropped(DropReason::Late), 1);
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 1_000).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_size_with_no_grace(size: Duration) -> Self {
        Self::of_size_and_grace(size, Duration::ZERO)
    }

    /// Tumbling windows of this size, which stay open for `grace` after they end, by event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let seconds = TimeWindows::of_size_and_grace(Duration::from_secs(1), Duration::from_millis(500));
    /// clicks.windowed_by(seconds).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [100, 1_000, 900] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 0).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_size_and_grace(size: Duration, grace: Duration) -> Self {
        let size_ms = millis(size);
        Self {
            origin_ms: 0,
            size_ms,
            advance_ms: size_ms,
            grace_ms: millis(grace),
        }
    }

    /// Hopping windows: one starts every `advance`, at most the size.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let size = TimeWindows::of_size_and_grace(Duration::from_secs(10), Duration::from_secs(10));
    /// clicks.windowed_by(size.advance_by(Duration::from_secs(5))).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [6_000, 12_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// let count = |start_ms| counts.fetch(&"ada".into(), start_ms).unwrap().unwrap().value;
    /// assert_eq!((count(0), count(5_000), count(10_000)), (1, 2, 1));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn advance_by(mut self, advance: Duration) -> Self {
        self.advance_ms = millis(advance);
        self
    }

    /// Size in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// clicks.windowed_by(windows).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [0, windows.size_ms() - 1] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 0).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// Grace in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = TimeWindows::of_size_and_grace(Duration::from_secs(1), Duration::from_secs(5));
    /// clicks.windowed_by(windows).emit_on_window_close().count(Materialized::named("counts")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [0, windows.size_ms() + windows.grace_ms() - 1] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// assert!(driver.written("counts").is_empty());
    /// driver.input("clicks").pipe_at("bob".to_string(), "home".to_string(), 6_000)?;
    /// assert_eq!(driver.written("counts").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// The windows that a timestamp falls into, earliest first. Windows never start before the epoch.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let hourly = TimeWindows::of_size_with_no_grace(Duration::from_secs(3_600));
    /// let starts: Vec<i64> = hourly.windows_for(3_600_005).map(|window| window.start_ms).collect();
    /// assert_eq!(starts, [3_600_000]);
    /// clicks.windowed_by(hourly).count(Materialized::named("hourly"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), 3_600_005)?;
    /// let store = driver.window_store::<String, i64>("hourly")?;
    /// assert_eq!(store.fetch(&"ada".into(), starts[0]).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn windows_for(&self, timestamp_ms: i64) -> impl Iterator<Item = Window> + use<> {
        let (origin_ms, size_ms, advance_ms) = (self.origin_ms, self.size_ms, self.advance_ms.max(1));
        let since_ms = timestamp_ms.saturating_sub(origin_ms);
        let first_ms =
            since_ms.saturating_sub(size_ms).saturating_add(advance_ms).max(0) / advance_ms * advance_ms;
        std::iter::successors(Some(first_ms), move |start_ms| start_ms.checked_add(advance_ms))
            .take_while(move |&start_ms| start_ms <= since_ms)
            .map(move |start_ms| Window {
                start_ms: origin_ms + start_ms,
                end_ms: (origin_ms + start_ms).saturating_add(size_ms),
            })
    }

    /// What is wrong with them.
    pub(super) fn problem(&self) -> Option<String> {
        if self.size_ms < 1 {
            return Some("a window must last at least a millisecond".to_owned());
        }
        if self.advance_ms < 1 || self.advance_ms > self.size_ms {
            return Some(format!(
                "windows of {} ms must advance by 1 to {} ms, not {}",
                self.size_ms, self.size_ms, self.advance_ms
            ));
        }
        None
    }
}

impl Windows for TimeWindows {
    type Stream<K: Data, V: Data> = TimeWindowedKStream<K, V>;

    fn group<K: Data, V: Data>(self, grouped: KGroupedStream<K, V>) -> TimeWindowedKStream<K, V> {
        TimeWindowedKStream::new(grouped, FixedWindows::Time(self))
    }

    type Cogrouped<K: Data, A: Data> = TimeWindowedCogroupedKStream<K, A>;

    fn cogroup<K: Data, A: Data>(
        self,
        cogrouped: CogroupedKStream<K, A>,
    ) -> TimeWindowedCogroupedKStream<K, A> {
        TimeWindowedCogroupedKStream::new(cogrouped, FixedWindows::Time(self))
    }
}
