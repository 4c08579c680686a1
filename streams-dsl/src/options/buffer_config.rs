//! `BufferConfig`: how much a suppression may hold back.

use crate::operators::suppress::WhenFull;
use crate::stores::StoreSettings;

/// How much a suppression may hold back, and what it does when that is full (Kafka's `BufferConfig`).
///
/// A limit by itself lets the oldest updates go early when it is reached. Final results must not go early, so
/// [`Suppressed::until_window_closes`](crate::Suppressed::until_window_closes) takes a [`StrictBufferConfig`]: without limits, or one that stops the application.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let table = builder.table::<String, i64>("in", Materialized::default());
/// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(1));
/// table.suppress(until).to_stream().to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for (key, at_ms) in [("a", 1_000), ("b", 2_000)] {
///     driver.input("in").pipe_at(key.to_string(), 7_i64, at_ms)?;
/// }
/// // There is room for one: the oldest goes early.
/// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BufferConfig {
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) settings: StoreSettings,
}

/// A [`BufferConfig`] that never lets go early.
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
/// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(seconds);
/// let buffer = BufferConfig::max_records(1_000).shut_down_when_full();
/// clicks.count(Materialized::default()).suppress(Suppressed::until_window_closes(buffer)).to_stream().to("counts");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for at_ms in [100, 200, 1_000] {
///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
/// }
/// assert_eq!(driver.output::<Windowed<String>, i64>("counts").read_record().unwrap().value, 2);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StrictBufferConfig(BufferConfig);

impl BufferConfig {
    /// Without limits: it takes as much memory as there are keys to hold back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::unbounded());
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (key, at_ms) in [("a", 1_000), ("b", 2_000), ("c", 6_000)] {
    ///     driver.input("in").pipe_at(key.to_string(), 7_i64, at_ms)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn unbounded() -> StrictBufferConfig {
        StrictBufferConfig(Self::of(usize::MAX, usize::MAX))
    }

    /// At most this many keys.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(2));
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for key in ["a", "b", "c"] {
    ///     driver.input("in").pipe_at(key.to_string(), 7_i64, 1_000)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn max_records(records: usize) -> Self {
        Self::of(records, usize::MAX)
    }

    /// At most about this many bytes of keys, values and their places.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_bytes(1));
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// // It is larger than that.
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn max_bytes(bytes: usize) -> Self {
        Self::of(usize::MAX, bytes)
    }

    fn of(max_records: usize, max_bytes: usize) -> Self {
        Self {
            max_records,
            max_bytes,
            when_full: WhenFull::EmitEarly,
            settings: StoreSettings::default(),
        }
    }

    /// At most this many keys, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_bytes(1_000_000).with_max_records(1));
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for key in ["a", "b"] {
    ///     driver.input("in").pipe_at(key.to_string(), 7_i64, 1_000)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// At most about this many bytes, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(1_000).with_max_bytes(1));
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Stops the application when it is full, instead of letting the oldest go early.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(1).shut_down_when_full());
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// let full = driver.input("in").pipe_at("b".to_string(), 8_i64, 1_000);
    /// assert!(full.unwrap_err().to_string().contains("is full"));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn shut_down_when_full(mut self) -> StrictBufferConfig {
        self.when_full = WhenFull::ShutDown;
        StrictBufferConfig(self)
    }

    /// Without a changelog: what is held back is lost with its disk. Default: with one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(9).logging_disabled()).with_name("held");
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert!(driver.written("app-held-store-changelog").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn logging_disabled(mut self) -> Self {
        self.settings.logged = false;
        self
    }

    /// Sets one config of the changelog topic, over the defaults.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let buffer = BufferConfig::max_records(9).changelog_config("min.insync.replicas", "2");
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), buffer).with_name("held");
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert_eq!(driver.written("app-held-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.changelog_configs.push((key.into(), value.into()));
        self
    }
}

impl StrictBufferConfig {
    /// As [`BufferConfig::logging_disabled`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let buffer = BufferConfig::unbounded().logging_disabled();
    /// let held = table.suppress(Suppressed::until_time_limit(Duration::from_secs(5), buffer).with_name("held"));
    /// held.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert!(driver.written("app-held-store-changelog").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn logging_disabled(self) -> Self {
        Self(self.0.logging_disabled())
    }

    /// As [`BufferConfig::changelog_config`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let buffer = BufferConfig::unbounded().changelog_config("min.insync.replicas", "2");
    /// let held = table.suppress(Suppressed::until_time_limit(Duration::from_secs(5), buffer).with_name("held"));
    /// held.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert_eq!(driver.written("app-held-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn changelog_config(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self(self.0.changelog_config(key, value))
    }
}

impl From<StrictBufferConfig> for BufferConfig {
    fn from(strict: StrictBufferConfig) -> Self {
        strict.0
    }
}
