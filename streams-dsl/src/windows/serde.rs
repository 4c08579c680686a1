//! The serdes of windowed keys in topics: of windows of a fixed size, and of sessions.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde, SerdeError};

use super::{Window, Windowed};

/// Bytes of one end of a window.
const TIME_BYTES: usize = 8;

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
        let Some((key, start)) = bytes.split_last_chunk::<TIME_BYTES>() else {
            return Err(SerdeError::new(format!(
                "a windowed key ends with {TIME_BYTES} bytes of window start, but only {} bytes were found",
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
        &bytes[..bytes.len().saturating_sub(TIME_BYTES)]
    }
}

/// Only reads, and keys with windows of a fixed size, whose end it does not know: it is as if they had none. Writing is an
/// error, since nothing says how such keys are written. The table of an aggregation carries the serde that knows its windows; after
/// `map`, `select_key` and what else makes new keys, give one.
impl<K: DefaultSerde> DefaultSerde for Windowed<K> {
    fn default_serde() -> Arc<dyn Serde<Self>> {
        Arc::new(ReadOnly(TimeWindowedSerde::new(K::default_serde(), i64::MAX)))
    }
}

struct ReadOnly<K>(TimeWindowedSerde<K>);

impl<K> std::fmt::Debug for ReadOnly<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadOnly").field(&self.0).finish()
    }
}

impl<K> Serde<Windowed<K>> for ReadOnly<K> {
    fn serialize(&self, _topic: &str, _value: &Windowed<K>, _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Err(SerdeError::new(
            "nothing says how the windows of these keys are written: give a TimeWindowedSerde or a SessionWindowedSerde",
        ))
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        self.0.deserialize(topic, bytes)
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.0.is_null(value)
    }

    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.0.partition_bytes(bytes)
    }
}

/// The serde of session keys in topics: the key's bytes, then the session's end and its start in 8 bytes each (Kafka's
/// `SessionWindowedSerde`). Records lie on the partition of the inner key.
///
/// ```
/// use std::sync::Arc;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let serde: Arc<dyn Serde<Windowed<String>>> = Arc::new(SessionWindowedSerde::new(String::default_serde()));
/// let visits = builder.stream_with("visits", Consumed::with(Arc::clone(&serde), i64::default_serde()));
/// visits.map(|visit, n| (visit.key, visit.window.end_ms - visit.window.start_ms + n)).to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let key = Windowed { key: "a".to_string(), window: Window { start_ms: 1, end_ms: 2 } };
/// driver.input_with("visits", Arc::clone(&serde), i64::default_serde()).pipe(key.clone(), 7)?;
/// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 8)]);
///
/// let mut bytes = Vec::new();
/// serde.serialize("topic", &key, &mut bytes).unwrap();
/// assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
pub struct SessionWindowedSerde<K> {
    inner: Arc<dyn Serde<K>>,
}

impl<K> SessionWindowedSerde<K> {
    /// Sessions of keys that `inner` reads and writes.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// let visits = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(10));
    /// clicks.windowed_by(visits).count(Materialized::named("visits")).to_stream().to("visits");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// let serde = Arc::new(SessionWindowedSerde::new(String::default_serde()));
    /// let visit = driver.output_with("visits", serde, i64::default_serde()).read_record().unwrap();
    /// assert_eq!((visit.key.window.start_ms, visit.key.window.end_ms), (1_000, 1_000));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn new(inner: Arc<dyn Serde<K>>) -> Self {
        Self { inner }
    }
}

impl<K> std::fmt::Debug for SessionWindowedSerde<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionWindowedSerde")
            .field("inner", &self.inner)
            .finish()
    }
}

impl<K> Serde<Windowed<K>> for SessionWindowedSerde<K> {
    fn serialize(&self, topic: &str, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.inner.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.window.end_ms.to_be_bytes());
        out.extend_from_slice(&value.window.start_ms.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let times = bytes.split_last_chunk::<TIME_BYTES>().and_then(|(rest, start)| {
            let (key, end) = rest.split_last_chunk::<TIME_BYTES>()?;
            Some((key, i64::from_be_bytes(*start), i64::from_be_bytes(*end)))
        });
        let Some((key, start_ms, end_ms)) = times else {
            return Err(SerdeError::new(format!(
                "a session's key ends with {} bytes of its end and start, but only {} bytes were found",
                2 * TIME_BYTES,
                bytes.len()
            )));
        };
        let key = self.inner.deserialize(topic, key)?;
        let window = Window { start_ms, end_ms };
        Ok(Windowed { key, window })
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.inner.is_null(&value.key)
    }

    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..bytes.len().saturating_sub(2 * TIME_BYTES)]
    }
}
