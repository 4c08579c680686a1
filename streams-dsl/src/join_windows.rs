//! `JoinWindows`: how far apart in time records of two streams may be to be joined.

use std::time::Duration;

use crate::windows::millis;

/// How far apart in event time two records may be to be joined (Kafka's `JoinWindows`).
///
/// A record of this stream is joined with those of the other whose timestamps are at most `before` earlier and at most
/// `after` later. There is no implicit grace, so say which you want: records that come later than that still join what is
/// there, but a record that found nothing is given up once its window and the grace have passed.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let views = builder.stream::<String, String>("views");
/// let clicks = builder.stream::<String, String>("clicks");
/// let minute = Duration::from_secs(60);
/// let then = JoinWindows::of_time_difference_and_grace(minute, minute).before(Duration::ZERO);
/// assert_eq!((then.before_ms(), then.after_ms(), then.grace_ms()), (0, 60_000, 60_000));
/// views.join_stream(&clicks, |view, click| format!("{view}, {click}"), then).to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("clicks").pipe_at("ada".to_string(), "too soon".to_string(), 900)?;
/// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
/// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 61_000)?;
/// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "home, buy");
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before_ms: i64,
    after_ms: i64,
    grace_ms: i64,
}

impl JoinWindows {
    /// Records at most this far apart, either way; whoever is later than that by stream time comes too late.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// views.join_stream(&clicks, |view, click| format!("{view}, {click}"), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 11_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "sell".to_string(), 11_001)?;
    /// let out = driver.output::<String, String>("out").read_key_values();
    /// assert_eq!(out, [("ada".into(), "home, buy".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_time_difference_with_no_grace(difference: Duration) -> Self {
        Self::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// Records at most this far apart, either way, waited for for `grace` longer, by event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_and_grace(Duration::from_secs(10), Duration::from_secs(60));
    /// views.left_join_stream(&clicks, |_, click| click.is_some(), within).to("clicked");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("views").pipe_at("ada".to_string(), "about".to_string(), 60_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "late".to_string(), 2_000)?;
    /// // The click comes late, but the view has waited for it.
    /// assert_eq!(driver.output::<String, bool>("clicked").read_key_values(), [("ada".into(), true)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> Self {
        Self {
            before_ms: millis(difference),
            after_ms: millis(difference),
            grace_ms: millis(grace),
        }
    }

    /// How much earlier the other record may be.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10)).before(Duration::from_secs(1));
    /// views.join_stream(&clicks, |view, click| format!("{view}, {click}"), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "early".to_string(), 8_999)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 10_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_key_values(), [("ada".into(), "home, buy".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn before(mut self, before: Duration) -> Self {
        self.before_ms = millis(before);
        self
    }

    /// How much later the other record may be.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10)).after(Duration::from_secs(1));
    /// views.join_stream(&clicks, |view, click| format!("{view}, {click}"), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 10_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 11_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "late".to_string(), 11_001)?;
    /// assert_eq!(driver.output::<String, String>("out").read_key_values(), [("ada".into(), "home, buy".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after_ms = millis(after);
        self
    }

    /// How much earlier the other record must be at least, so that it cannot be later: Kafka's `after` with a negative time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (starts, ends) = (builder.stream::<String, i64>("starts"), builder.stream::<String, i64>("ends"));
    /// let seconds = Duration::from_secs;
    /// let window = JoinWindows::of_time_difference_with_no_grace(seconds(10)).at_least_before(seconds(5));
    /// ends.join_stream(&starts, |end, start| end - start, window).to("durations");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("starts").pipe_at("a".to_string(), 60_000_i64, 60_000)?;
    /// for end in [64_000_i64, 67_000, 71_000] {
    ///     driver.input("ends").pipe_at("a".to_string(), end, end)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("durations").read_key_values(), [("a".into(), 7_000)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn at_least_before(mut self, before: Duration) -> Self {
        self.after_ms = -millis(before);
        self
    }

    /// How much later the other record must be at least, so that it cannot be earlier: Kafka's `before` with a negative time.
    /// Records are kept for as long as they can be joined, here too, where Kafka keeps them for the difference only.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (starts, ends) = (builder.stream::<String, i64>("starts"), builder.stream::<String, i64>("ends"));
    /// let seconds = Duration::from_secs;
    /// let window = JoinWindows::of_time_difference_with_no_grace(seconds(10)).at_least_after(seconds(5));
    /// starts.join_stream(&ends, |start, end| end - start, window).to("durations");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("starts").pipe_at("a".to_string(), 60_000_i64, 60_000)?;
    /// for end in [64_000_i64, 67_000, 71_000] {
    ///     driver.input("ends").pipe_at("a".to_string(), end, end)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("durations").read_key_values(), [("a".into(), 7_000)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn at_least_after(mut self, after: Duration) -> Self {
        self.before_ms = -millis(after);
        self
    }

    /// How much earlier the other record may be, in milliseconds; negative, if it must be later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// views.join_stream(&clicks, |view, click| format!("{view}, {click}"), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [20_000 - within.before_ms() - 1, 20_000 - within.before_ms()] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), format!("at {at_ms}"), at_ms)?;
    /// }
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 20_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_key_values(), [("ada".into(), "home, at 10000".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn before_ms(&self) -> i64 {
        self.before_ms
    }

    /// How much later the other record may be, in milliseconds; negative, if it must be earlier.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// views.join_stream(&clicks, |view, click| format!("{view}, {click}"), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 20_000)?;
    /// for at_ms in [20_000 + within.after_ms(), 20_000 + within.after_ms() + 1] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), format!("at {at_ms}"), at_ms)?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_key_values(), [("ada".into(), "home, at 30000".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn after_ms(&self) -> i64 {
        self.after_ms
    }

    /// Grace in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_and_grace(Duration::from_secs(10), Duration::from_secs(5));
    /// views.left_join_stream(&clicks, |_, click| click.is_some(), within).to("clicked");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 0)?;
    /// let closes_ms = within.after_ms() + within.grace_ms();
    /// for (at_ms, results) in [(closes_ms, 0), (closes_ms + 1, 1)] {
    ///     driver.advance_wall_clock(Duration::from_secs(1))?;
    ///     driver.input("views").pipe_at("bob".to_string(), "home".to_string(), at_ms)?;
    ///     assert_eq!(driver.written("clicked").len(), results);
    /// }
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// How long records must be kept.
    pub(crate) fn retention_ms(self) -> i64 {
        let size_ms = self.before_ms.saturating_add(self.after_ms);
        let reach_ms = size_ms.max(self.before_ms).max(self.after_ms);
        reach_ms.saturating_add(self.grace_ms)
    }

    /// No two records are so far apart.
    pub(crate) fn is_empty(self) -> bool {
        self.before_ms.saturating_add(self.after_ms) < 0
    }
}
