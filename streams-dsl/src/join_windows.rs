//! What a join of two streams is told: how far apart records may be, and how it is named and stored.

use std::sync::Arc;
use std::time::Duration;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::store::StoreKind;

use crate::options::SerdeOf;
use crate::windows::millis;

/// How far apart in event time two records may be to be joined (Kafka's `JoinWindows`).
///
/// A record of this stream is joined with those of the other whose timestamps are at most `before` earlier and at most
/// `after` later. There is no implicit grace, so say which you want: records that come later than that still join what is
/// there, but a record that found nothing is given up once its window and the grace have passed.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::JoinWindows;
///
/// let minute = Duration::from_secs(60);
/// let within = JoinWindows::of_time_difference_with_no_grace(minute);
/// assert_eq!((within.before_ms(), within.after_ms(), within.grace_ms()), (60_000, 60_000, 0));
/// let then = JoinWindows::of_time_difference_and_grace(minute, minute).before(Duration::ZERO);
/// assert_eq!((then.before_ms(), then.after_ms(), then.grace_ms()), (0, 60_000, 60_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before_ms: i64,
    after_ms: i64,
    grace_ms: i64,
}

impl JoinWindows {
    /// Records at most this far apart, either way; whoever is later than that by stream time comes too late.
    #[must_use]
    pub fn of_time_difference_with_no_grace(difference: Duration) -> Self {
        Self::of_time_difference_and_grace(difference, Duration::ZERO)
    }

    /// Records at most this far apart, either way, waited for for `grace` longer, by event time.
    #[must_use]
    pub fn of_time_difference_and_grace(difference: Duration, grace: Duration) -> Self {
        Self {
            before_ms: millis(difference),
            after_ms: millis(difference),
            grace_ms: millis(grace),
        }
    }

    /// How much earlier the other record may be.
    #[must_use]
    pub fn before(mut self, before: Duration) -> Self {
        self.before_ms = millis(before);
        self
    }

    /// How much later the other record may be.
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
    #[must_use]
    pub fn before_ms(&self) -> i64 {
        self.before_ms
    }

    /// How much later the other record may be, in milliseconds; negative, if it must be earlier.
    #[must_use]
    pub fn after_ms(&self) -> i64 {
        self.after_ms
    }

    /// Grace in milliseconds.
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

/// How two streams are joined: serdes of their key and values, names, stores (Kafka's `StreamJoined`).
///
/// ```
/// use streams_dsl::StreamJoined;
///
/// let joined = StreamJoined::<String, i64, String>::named("clicks-of-views").with_store_name("clicks-of-views");
/// ```
#[derive(Clone, Debug)]
pub struct StreamJoined<K, V, W> {
    pub(crate) key_serde: SerdeOf<K>,
    pub(crate) value_serde: SerdeOf<V>,
    pub(crate) other_value_serde: SerdeOf<W>,
    pub(crate) name: Option<String>,
    pub(crate) store_name: Option<String>,
    pub(crate) kind: Option<StoreKind>,
    pub(crate) logged: bool,
    pub(crate) changelog_configs: Vec<(String, String)>,
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> Default for StreamJoined<K, V, W> {
    fn default() -> Self {
        Self::of(SerdeOf::carried(), SerdeOf::carried(), SerdeOf::carried())
    }
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> StreamJoined<K, V, W> {
    /// With this name, which names processors and repartition topics, and the serdes of the streams or the types.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().with_name(name)
    }
}

impl<K, V, W> StreamJoined<K, V, W> {
    fn of(key_serde: SerdeOf<K>, value_serde: SerdeOf<V>, other_value_serde: SerdeOf<W>) -> Self {
        Self {
            key_serde,
            value_serde,
            other_value_serde,
            name: None,
            store_name: None,
            kind: None,
            logged: true,
            changelog_configs: Vec::new(),
        }
    }

    /// With these serdes of the key, this stream's value and the other's; the types then need no default ones.
    #[must_use]
    pub fn with(
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
        other_value_serde: Arc<dyn Serde<W>>,
    ) -> Self {
        Self::of(
            SerdeOf::Given(key_serde),
            SerdeOf::Given(value_serde),
            SerdeOf::Given(other_value_serde),
        )
    }

    /// Sets the name of the processors and repartition topics. Stores keep theirs.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what the names of the stores begin with, and so those of their changelog topics. Default: generated names.
    #[must_use]
    pub fn with_store_name(mut self, name: impl Into<String>) -> Self {
        self.store_name = Some(name.into());
        self
    }

    /// Where records are kept. Default: on disk.
    #[must_use]
    pub fn kind(mut self, kind: StoreKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Without changelogs: records that wait for their match are lost with their disk. Default: with them.
    #[must_use]
    pub fn logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// Sets one config of the changelog topics, over the defaults.
    #[must_use]
    pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.changelog_configs.push((key.into(), value.into()));
        self
    }
}
