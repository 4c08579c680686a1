//! `SessionWindows`: records of a key that are followed by a gap.

use std::time::Duration;

use super::{Windows, millis};
use crate::options::Materialized;
use crate::plan::Plan;
use crate::{
    CogroupedKStream, Data, KGroupedStream, SessionWindowedCogroupedKStream, SessionWindowedKStream,
};

/// Sessions: records of a key belong together as long as no gap between them is longer than the inactivity gap (Kafka's
/// `SessionWindows`).
///
/// The window of a session goes from its first record to its last: here `end_ms` is the time of the last record, which
/// belongs to it. There is no implicit grace, so say which you want. A record is late if the session it would make or join
/// ended more than gap and grace before the largest timestamp the operator has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap_ms: i64,
    grace_ms: i64,
}

impl SessionWindows {
    /// Sessions that end with a gap longer than this, and close with it. At least a millisecond; smaller parts are dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(5));
    /// clicks.windowed_by(visits).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [1_000, 6_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 1_000, 6_000).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_inactivity_gap_with_no_grace(gap: Duration) -> Self {
        Self::of_inactivity_gap_and_grace(gap, Duration::ZERO)
    }

    /// Sessions that end with a gap longer than this, and stay open for `grace` after it, by event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(5), Duration::from_secs(60));
    /// clicks.windowed_by(visits).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// // The last one is out of order, and makes one session of two.
    /// for at_ms in [1_000, 9_000, 5_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 1_000, 9_000).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn of_inactivity_gap_and_grace(gap: Duration, grace: Duration) -> Self {
        Self {
            gap_ms: millis(gap),
            grace_ms: millis(grace),
        }
    }

    /// Inactivity gap in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(5));
    /// clicks.windowed_by(windows).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [0, windows.gap_ms()] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let visits = driver.session_store::<String, i64>("visits")?;
    /// assert_eq!(visits.fetch_session(&"ada".into(), 0, 5_000).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    /// Grace in milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let windows = SessionWindows::of_inactivity_gap_and_grace(Duration::from_secs(5), Duration::from_secs(1));
    /// clicks.windowed_by(windows).count(Materialized::named("visits"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let late_ms = 20_000 - windows.gap_ms() - windows.grace_ms() - 1;
    /// for at_ms in [20_000, late_ms] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// assert_eq!(driver.dropped(DropReason::Late), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// How long rows must be kept, at least: as long as a session stays open after its end.
    pub(crate) fn retention_ms(self) -> i64 {
        self.gap_ms.saturating_add(self.grace_ms)
    }

    /// How long rows are kept: as `materialized` says, or as short as can be. What is wrong with that is a problem of `name`.
    pub(crate) fn checked_retention_ms<A>(
        self,
        plan: &mut Plan,
        materialized: &Materialized<A>,
        name: &str,
    ) -> i64 {
        let least_ms = self.retention_ms();
        materialized.check_windows(plan, name);
        let retention_ms = materialized.retention_ms.unwrap_or(least_ms);
        if self.gap_ms < 1 || retention_ms < least_ms {
            plan.problems.push(format!(
                "{name}: the inactivity gap of {} ms must be at least 1 ms, and the retention of {retention_ms} ms at least gap \
                 and grace, {least_ms} ms",
                self.gap_ms
            ));
        }
        retention_ms
    }
}

impl Windows for SessionWindows {
    type Stream<K: Data, V: Data> = SessionWindowedKStream<K, V>;

    fn group<K: Data, V: Data>(self, grouped: KGroupedStream<K, V>) -> SessionWindowedKStream<K, V> {
        SessionWindowedKStream::new(grouped, self)
    }

    type Cogrouped<K: Data, A: Data> = SessionWindowedCogroupedKStream<K, A>;

    fn cogroup<K: Data, A: Data>(
        self,
        cogrouped: CogroupedKStream<K, A>,
    ) -> SessionWindowedCogroupedKStream<K, A> {
        SessionWindowedCogroupedKStream::new(cogrouped, self)
    }
}
