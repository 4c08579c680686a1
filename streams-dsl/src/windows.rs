//! Windows of event time, and keys that carry one.

use std::sync::Arc;
use std::time::Duration;

use streams_core::serde::{DefaultSerde, Serde, SerdeError};

use crate::options::Materialized;
use crate::plan::Plan;
use crate::{CogroupedKStream, Data, KGroupedStream, TimeWindowedCogroupedKStream, TimeWindowedKStream};

/// A span of event time: from `start_ms`, included, to `end_ms`, excluded. Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First millisecond.
    pub start_ms: i64,
    /// First millisecond after it.
    pub end_ms: i64,
}

/// A key in one window (Kafka's `Windowed`): the key of a table that a windowed aggregation made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    /// The key that was grouped by.
    pub key: K,
    /// The window.
    pub window: Window,
}

/// Windows that a grouped stream can be grouped by too, and what becomes of it.
pub trait Windows: sealed::Sealed + Sized {
    /// The stream by key and window.
    type Stream<K: Data, V: Data>;

    /// Groups a stream by these windows; see [`KGroupedStream::windowed_by`].
    fn group<K: Data, V: Data>(self, grouped: KGroupedStream<K, V>) -> Self::Stream<K, V>;

    /// Several streams by key and window.
    type Cogrouped<K: Data, A: Data>;

    /// Groups several streams by these windows; see [`CogroupedKStream::windowed_by`].
    fn cogroup<K: Data, A: Data>(self, cogrouped: CogroupedKStream<K, A>) -> Self::Cogrouped<K, A>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TimeWindows {}
    impl Sealed for super::SlidingWindows {}
    impl Sealed for super::UnlimitedWindows {}
    impl Sealed for crate::session::SessionWindows {}
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

/// Windows whose size is fixed: by the clock, or by records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FixedWindows {
    Time(TimeWindows),
    Sliding(SlidingWindows),
}

impl FixedWindows {
    /// From a window's start to its end.
    pub(crate) fn size_ms(self) -> i64 {
        match self {
            Self::Time(windows) => windows.size_ms,
            Self::Sliding(windows) => windows.time_difference_ms,
        }
    }

    pub(crate) fn grace_ms(self) -> i64 {
        match self {
            Self::Time(windows) => windows.grace_ms,
            Self::Sliding(windows) => windows.grace_ms,
        }
    }

    /// How long rows must be kept, at least.
    fn retention_ms(self) -> i64 {
        match self {
            Self::Time(windows) => windows.size_ms.saturating_add(windows.grace_ms),
            // A record may need the aggregate of a window that began two differences before it.
            Self::Sliding(windows) => windows
                .time_difference_ms
                .saturating_mul(2)
                .saturating_add(windows.grace_ms),
        }
    }

    /// How long rows are kept: as `materialized` says, or as short as can be. What is wrong with that is a problem of `name`.
    pub(crate) fn checked_retention_ms<A>(
        self,
        plan: &mut Plan,
        materialized: &Materialized<A>,
        name: &str,
    ) -> i64 {
        if let Some(problem) = self.problem() {
            plan.problems.push(format!("{name}: {problem}"));
        }
        let least_ms = self.retention_ms();
        materialized.check_windows(plan, name);
        let retention_ms = materialized.retention_ms.unwrap_or(least_ms);
        if retention_ms < least_ms {
            plan.problems.push(format!(
                "{name}: a retention of {retention_ms} ms is less than its windows need, {least_ms} ms"
            ));
        }
        retention_ms
    }

    /// What is wrong with them.
    fn problem(self) -> Option<String> {
        match self {
            Self::Time(windows) => windows.problem(),
            Self::Sliding(windows) if windows.time_difference_ms < 1 => Some(
                "records of a sliding window must be allowed to be at least a millisecond apart".to_owned(),
            ),
            Self::Sliding(_) => None,
        }
    }
}

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
    origin_ms: i64,
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
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
    fn problem(&self) -> Option<String> {
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

/// One window without an end, for everything from some time on (Kafka's `UnlimitedWindows`). It never closes; records from
/// before its start are in no window.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let this_year = UnlimitedWindows::start_on(1_767_225_600_000);
/// let sales = builder.stream::<String, i64>("sales").group_by_key().windowed_by(this_year);
/// sales.count(Materialized::named("sales")).to_stream().to("counts");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for at_ms in [1_767_225_599_999, 1_767_225_600_000, 1_767_999_999_999] {
///     driver.input("sales").pipe_at("tea".to_string(), 1_i64, at_ms)?;
/// }
/// let store = driver.window_store::<String, i64>("sales")?;
/// assert_eq!(store.fetch(&"tea".into(), 1_767_225_600_000).unwrap().unwrap().value, 2);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnlimitedWindows {
    start_ms: i64,
}

impl UnlimitedWindows {
    /// From the epoch on.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// clicks.windowed_by(UnlimitedWindows::of()).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [0, 1_767_225_600_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 0).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of() -> Self {
        Self::default()
    }

    /// From this time on, in milliseconds since the Unix epoch; negative is the epoch.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// clicks.windowed_by(UnlimitedWindows::start_on(1_000)).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [999, 1_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.window_store::<String, i64>("counts")?;
    /// assert_eq!(counts.fetch(&"ada".into(), 1_000).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn start_on(start_ms: i64) -> Self {
        Self {
            start_ms: start_ms.max(0),
        }
    }

    fn as_time_windows(self) -> TimeWindows {
        TimeWindows {
            origin_ms: self.start_ms,
            size_ms: i64::MAX,
            advance_ms: i64::MAX,
            grace_ms: 0,
        }
    }
}

impl Windows for UnlimitedWindows {
    type Stream<K: Data, V: Data> = TimeWindowedKStream<K, V>;

    fn group<K: Data, V: Data>(self, grouped: KGroupedStream<K, V>) -> TimeWindowedKStream<K, V> {
        self.as_time_windows().group(grouped)
    }

    type Cogrouped<K: Data, A: Data> = TimeWindowedCogroupedKStream<K, A>;

    fn cogroup<K: Data, A: Data>(
        self,
        cogrouped: CogroupedKStream<K, A>,
    ) -> TimeWindowedCogroupedKStream<K, A> {
        self.as_time_windows().cogroup(cogrouped)
    }
}

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

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The serde of windowed keys in topics: the key's bytes, then the window's start in 8 bytes (Kafka's `TimeWindowedSerde`).
///
/// The end is not written; reading computes it from the size. Records lie on the partition of the inner key.
///
/// ```
/// use std::sync::Arc;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let serde: Arc<dyn Serde<Windowed<String>>> = Arc::new(TimeWindowedSerde::new(String::default_serde(), 100));
/// let counts = builder.stream_with("counts", Consumed::with(Arc::clone(&serde), i64::default_serde()));
/// counts.map(|key, n| (key.window.end_ms, n)).to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let key = Windowed { key: "a".to_string(), window: Window { start_ms: 200, end_ms: 300 } };
/// driver.input_with("counts", Arc::clone(&serde), i64::default_serde()).pipe(key.clone(), 7)?;
/// assert_eq!(driver.output::<i64, i64>("out").read_key_values(), [(300, 7)]);
///
/// let mut bytes = Vec::new();
/// serde.serialize("topic", &key, &mut bytes).unwrap();
/// assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0, 200]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
pub struct TimeWindowedSerde<K> {
    inner: Arc<dyn Serde<K>>,
    size_ms: i64,
}

const START_BYTES: usize = 8;

impl<K> TimeWindowedSerde<K> {
    /// Windows of this size around keys that `inner` reads and writes.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// clicks.windowed_by(seconds).count(Materialized::named("per-second")).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), 1_700)?;
    /// let serde = Arc::new(TimeWindowedSerde::new(String::default_serde(), 1_000));
    /// let count = driver.output_with("counts", serde, i64::default_serde()).read_record().unwrap();
    /// assert_eq!((count.key.window.start_ms, count.key.window.end_ms), (1_000, 2_000));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn new(inner: Arc<dyn Serde<K>>, size_ms: i64) -> Self {
        Self { inner, size_ms }
    }
}

impl<K> std::fmt::Debug for TimeWindowedSerde<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeWindowedSerde")
            .field("inner", &self.inner)
            .field("size_ms", &self.size_ms)
            .finish()
    }
}

impl<K> Serde<Windowed<K>> for TimeWindowedSerde<K> {
    fn serialize(&self, topic: &str, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.inner.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.window.start_ms.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let Some((key, start)) = bytes.split_last_chunk::<START_BYTES>() else {
            return Err(SerdeError::new(format!(
                "a windowed key ends with {START_BYTES} bytes of window start, but only {} bytes were found",
                bytes.len()
            )));
        };
        let start_ms = i64::from_be_bytes(*start);
        let window = Window {
            start_ms,
            end_ms: start_ms.saturating_add(self.size_ms),
        };
        let key = self.inner.deserialize(topic, key)?;
        Ok(Windowed { key, window })
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.inner.is_null(&value.key)
    }

    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..bytes.len().saturating_sub(START_BYTES)]
    }
}

/// Without a size, as Kafka's default: keys that are read have windows without end. A table's own serde knows the size.
impl<K: DefaultSerde> DefaultSerde for Windowed<K> {
    fn default_serde() -> Arc<dyn Serde<Self>> {
        Arc::new(TimeWindowedSerde::new(K::default_serde(), i64::MAX))
    }
}
