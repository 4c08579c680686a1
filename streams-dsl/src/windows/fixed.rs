//! Windows whose length is known before there are records, of either kind.

use super::{SlidingWindows, TimeWindows};
use crate::options::Materialized;
use crate::plan::Plan;

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
            Self::Time(windows) => windows.size_ms(),
            Self::Sliding(windows) => windows.time_difference_ms(),
        }
    }

    pub(crate) fn grace_ms(self) -> i64 {
        match self {
            Self::Time(windows) => windows.grace_ms(),
            Self::Sliding(windows) => windows.grace_ms(),
        }
    }

    /// How long rows must be kept, at least.
    fn retention_ms(self) -> i64 {
        match self {
            Self::Time(windows) => windows.size_ms().saturating_add(windows.grace_ms()),
            // A record may need the aggregate of a window that began two differences before it.
            Self::Sliding(windows) => windows
                .time_difference_ms()
                .saturating_mul(2)
                .saturating_add(windows.grace_ms()),
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
            Self::Sliding(windows) if windows.time_difference_ms() < 1 => Some(
                "records of a sliding window must be allowed to be at least a millisecond apart".to_owned(),
            ),
            Self::Sliding(_) => None,
        }
    }
}
