//! The two ends of a driven topology: typed input and output topics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{TopologyTestDriver, WrittenRecord};
use crate::error::{ProcessCause, ProcessError, Result};
use crate::record::Record;
use crate::serde::Serde;

/// Pipes typed records into a topic (Kafka's `TestInputTopic`).
pub struct TestInputTopic<K, V> {
    driver: TopologyTestDriver,
    topic: String,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    now_ms: std::cell::Cell<i64>,
    advance_ms: i64,
}

impl<K, V> TestInputTopic<K, V> {
    pub(super) fn new(
        driver: TopologyTestDriver,
        topic: &str,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        let (topic, now_ms) = (topic.to_owned(), std::cell::Cell::new(0));
        Self {
            driver,
            topic,
            key_serde,
            value_serde,
            now_ms,
            advance_ms: 0,
        }
    }

    /// Gives records without a timestamp of their own this one, and each later one `advance` more. Default: all 0.
    #[must_use]
    pub fn starting_at(mut self, timestamp_ms: i64, advance: Duration) -> Self {
        self.now_ms = std::cell::Cell::new(timestamp_ms);
        self.advance_ms = i64::try_from(advance.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Pipes one record with the topic's current timestamp, and processes it to the end.
    ///
    /// # Errors
    /// If the topology does not read the topic, or processing failed.
    pub fn pipe(&self, key: K, value: V) -> Result<()> {
        let timestamp_ms = self.now_ms.get();
        self.now_ms.set(timestamp_ms.saturating_add(self.advance_ms));
        self.pipe_record(&Record::new(key, value, timestamp_ms))
    }

    /// Pipes one record with this timestamp, and processes it to the end.
    ///
    /// # Errors
    /// If the topology does not read the topic, or processing failed.
    pub fn pipe_at(&self, key: K, value: V, timestamp_ms: i64) -> Result<()> {
        self.pipe_record(&Record::new(key, value, timestamp_ms))
    }

    /// Pipes one record with its own timestamp and headers, and processes it to the end.
    ///
    /// # Errors
    /// If the topology does not read the topic, or processing failed.
    pub fn pipe_record(&self, record: &Record<K, V>) -> Result<()> {
        let written = WrittenRecord {
            key: write(&*self.key_serde, &record.key, &self.topic, "key")?,
            value: write(&*self.value_serde, &record.value, &self.topic, "value")?,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.clone(),
        };
        self.driver.pipe_raw(&self.topic, &written)
    }
}

impl<K, V> std::fmt::Debug for TestInputTopic<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestInputTopic")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

fn write<T>(serde: &dyn Serde<T>, value: &T, topic: &str, part: &'static str) -> Result<Option<Bytes>> {
    if serde.is_null(value) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    match serde.serialize(topic, value, &mut bytes) {
        Ok(()) => Ok(Some(Bytes::from(bytes))),
        Err(error) => {
            let cause = ProcessCause::Serde {
                action: "write",
                part,
                topic: topic.to_owned(),
                error,
            };
            Err(Box::<ProcessError>::from(cause).into())
        }
    }
}

/// Reads typed records from a topic that the topology writes (Kafka's `TestOutputTopic`). Each handle reads from the start.
pub struct TestOutputTopic<K, V> {
    driver: TopologyTestDriver,
    topic: String,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    next: std::cell::Cell<usize>,
}

impl<K, V> TestOutputTopic<K, V> {
    pub(super) fn new(
        driver: TopologyTestDriver,
        topic: &str,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        Self {
            driver,
            topic: topic.to_owned(),
            key_serde,
            value_serde,
            next: std::cell::Cell::new(0),
        }
    }

    /// The next record.
    ///
    /// # Panics
    /// If the record is not of these types: a test that reads a topic with the wrong types has failed.
    #[must_use]
    pub fn read(&self) -> Option<Record<K, V>> {
        let record = self.driver.written_at(&self.topic, self.next.get())?;
        self.next.set(self.next.get() + 1);
        Some(Record {
            key: self.typed(&*self.key_serde, record.key.as_deref(), "key"),
            value: self.typed(&*self.value_serde, record.value.as_deref(), "value"),
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.clone(),
        })
    }

    /// All records not read yet.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[must_use]
    pub fn read_records(&self) -> Vec<Record<K, V>> {
        std::iter::from_fn(|| self.read()).collect()
    }

    /// Keys and values of all records not read yet.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[must_use]
    pub fn read_key_values(&self) -> Vec<(K, V)> {
        self.read_records()
            .into_iter()
            .map(|Record { key, value, .. }| (key, value))
            .collect()
    }

    /// True if there is nothing left to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.driver.written_at(&self.topic, self.next.get()).is_none()
    }

    fn typed<T>(&self, serde: &dyn Serde<T>, bytes: Option<&[u8]>, part: &str) -> T {
        let topic = &self.topic;
        match bytes {
            Some(bytes) => match serde.deserialize(topic, bytes) {
                Ok(value) => value,
                Err(error) => panic!("cannot read a {part} of {topic}: {error}"),
            },
            None => serde
                .null()
                .unwrap_or_else(|| panic!("a {part} of {topic} is null: read it as Option<..>")),
        }
    }
}

impl<K, V> std::fmt::Debug for TestOutputTopic<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestOutputTopic")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
