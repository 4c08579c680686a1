//! Keys with a window: what windowed aggregations are keyed by, and their bytes in topics.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde, SerdeError};

use crate::windows::Window;

const START_BYTES: usize = size_of::<i64>();

/// A key and the window its value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
}

/// Windowed keys in topics, in Kafka's bytes: the key's, then the window's start in 8. The size is not written: the reader
/// knows it. Windows of one key go to one partition (Kafka's `TimeWindowedSerializer` and `WindowedStreamPartitioner`).
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let serde = TimeWindowedSerde::new(String::default_serde(), Some(10));
/// let key = Windowed { key: "k".to_string(), window: Window { start_ms: 20, end_ms: 30 } };
/// let mut bytes = Vec::new();
/// serde.serialize("topic", &key, &mut bytes)?;
/// assert_eq!(bytes, b"k\0\0\0\0\0\0\0\x14");
/// assert_eq!(serde.deserialize("topic", &bytes)?, key);
/// # Ok::<(), streams_dsl::core::serde::SerdeError>(())
/// ```
#[derive(Clone)]
pub struct TimeWindowedSerde<K> {
    inner: Arc<dyn Serde<K>>,
    size_ms: Option<i64>,
}

impl<K> TimeWindowedSerde<K> {
    /// Around the serde of the key. Windows read without a size end at the end of time, as in Kafka.
    pub fn new(inner: Arc<dyn Serde<K>>, size_ms: Option<i64>) -> Self {
        Self { inner, size_ms }
    }
}

impl<K: 'static> Serde<Windowed<K>> for TimeWindowedSerde<K> {
    fn serialize(&self, topic: &str, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.inner.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.window.start_ms.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let Some((key, start)) = bytes.split_last_chunk::<START_BYTES>() else {
            return Err(SerdeError::new(format!(
                "a windowed key ends with {START_BYTES} bytes of its window's start, but only {} bytes were found",
                bytes.len()
            )));
        };
        let start_ms = i64::from_be_bytes(*start);
        let end_ms = self
            .size_ms
            .map_or(i64::MAX, |size_ms| start_ms.saturating_add(size_ms));
        Ok(Windowed {
            key: self.inner.deserialize(topic, key)?,
            window: Window { start_ms, end_ms },
        })
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.inner.is_null(&value.key)
    }

    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
            .split_last_chunk::<START_BYTES>()
            .map_or(bytes, |(key, _)| key)
    }
}

impl<K> std::fmt::Debug for TimeWindowedSerde<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "TimeWindowedSerde({:?}, size_ms: {:?})",
            self.inner, self.size_ms
        )
    }
}

impl<K: DefaultSerde> DefaultSerde for Windowed<K> {
    fn default_serde() -> Arc<dyn Serde<Self>> {
        Arc::new(TimeWindowedSerde::new(K::default_serde(), None))
    }
}
