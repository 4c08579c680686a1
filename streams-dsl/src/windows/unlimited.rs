//! `UnlimitedWindows`: one window that never ends.

use super::{TimeWindows, Windows};
use crate::{CogroupedKStream, Data, KGroupedStream, TimeWindowedCogroupedKStream, TimeWindowedKStream};

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
