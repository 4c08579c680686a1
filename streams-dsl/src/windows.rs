//! Windows of event time, and keys that carry one. A file for each kind of windows, and one for the serdes of such keys.

mod fixed;
mod serde;
mod session;
mod sliding;
mod time;
mod unlimited;

use std::time::Duration;

pub(crate) use self::fixed::FixedWindows;
pub use self::serde::{SessionWindowedSerde, TimeWindowedSerde};
pub use self::session::SessionWindows;
pub use self::sliding::SlidingWindows;
pub use self::time::TimeWindows;
pub use self::unlimited::UnlimitedWindows;
use crate::{CogroupedKStream, Data, KGroupedStream};

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
    impl Sealed for super::SessionWindows {}
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
