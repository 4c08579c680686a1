//! Where a source begins that has no usable committed offset.

use std::fmt::{self, Display};
use std::time::Duration;

/// Where reading begins on a partition without a committed offset, or with one whose records are gone (`auto.offset.reset`,
/// KIP-1106; Kafka Streams' `AutoOffsetReset`).
///
/// It is a setting of the application, and each source may say otherwise. The place that was taken is committed with the next
/// commit, so that a restart goes on from there. When a committed offset is no longer in its log, a warning says so, with what
/// was skipped. Internal topics are always read from their first record, and so are those of global tables.
///
/// ```
/// use std::time::Duration;
/// use streams_core::topology::{AutoOffsetReset, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let last_hour = AutoOffsetReset::ByDuration(Duration::from_secs(3_600));
/// let options = SourceOptions::<String, i64>::default().auto_offset_reset(last_hour);
/// builder.add_source("readings", [TopicName::external("readings")], options);
/// assert_eq!(last_hour.to_string(), "by_duration:3600s");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// From the first record there is. The default.
    #[default]
    Earliest,
    /// From the records that come after the task has started.
    Latest,
    /// From the first record whose timestamp is at most so long ago by the wall clock; as [`Latest`](Self::Latest) if there is
    /// none.
    ByDuration(Duration),
    /// Nowhere: the application stops, and says which partition it was.
    None,
}

impl Display for AutoOffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::ByDuration(ago) => write!(f, "by_duration:{ago:?}"),
            Self::None => f.write_str("none"),
        }
    }
}
