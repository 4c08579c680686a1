//! The two ends of a driven topology: typed input and output topics.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{TopologyTestDriver, WrittenRecord};
use crate::error::{ProcessCause, ProcessError, Result};
use crate::record::{Headers, Record};
use crate::serde::Serde;

/// Pipes typed records into a topic (Kafka's `TestInputTopic`).
///
/// Records without a timestamp of their own get the handle's time: first the driver's wall clock as it was when the handle was
/// made, unless it [starts elsewhere](Self::starting_at). Each call processes its record to the end before it returns.
///
/// ```
/// use std::time::Duration;
/// use streams_core::Record;
/// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let input = builder.add_source::<Option<String>, i64>("in", [TopicName::external("in")], SourceOptions::default());
/// builder.add_sink("out", TopicName::external("out"), &[input], SinkOptions::default());
/// let options = TestDriverOptions::default().wall_clock_ms(1_000);
/// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
///
/// let input = driver.input::<Option<String>, i64>("in");
/// input.pipe_value(7)?;
/// input.advance_time(Duration::from_secs(1));
/// input.pipe(Some("a".into()), 8)?;
/// input.starting_at(60_000, Duration::from_millis(5)).pipe_values([1, 2])?;
/// input.pipe_records(&[Record::new(None, 9, 3)])?;
///
/// let written = driver.output::<Option<String>, i64>("out").read_records();
/// assert_eq!(written.iter().map(|record| record.timestamp_ms).collect::<Vec<_>>(), [1_000, 2_000, 60_000, 60_005, 3]);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
pub struct TestInputTopic<K, V> {
    driver: TopologyTestDriver,
    topic: String,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    now_ms: Cell<i64>,
    advance_ms: i64,
}

impl<K, V> TestInputTopic<K, V> {
    pub(super) fn new(
        driver: TopologyTestDriver,
        topic: &str,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
    ) -> Self {
        let now_ms = Cell::new(driver.wall_clock_ms());
        Self {
            driver,
            topic: topic.to_owned(),
            key_serde,
            value_serde,
            now_ms,
            advance_ms: 0,
        }
    }

    /// Another handle of the topic, with a time of its own: its first record without a timestamp gets `timestamp_ms`, and each
    /// one after it `advance` more, in whole milliseconds.
    #[must_use]
    pub fn starting_at(&self, timestamp_ms: i64, advance: Duration) -> Self {
        Self {
            driver: self.driver.clone(),
            topic: self.topic.clone(),
            key_serde: Arc::clone(&self.key_serde),
            value_serde: Arc::clone(&self.value_serde),
            now_ms: Cell::new(timestamp_ms),
            advance_ms: whole_ms(advance),
        }
    }

    /// Moves the handle's time.
    pub fn advance_time(&self, by: Duration) {
        self.now_ms.set(self.now_ms.get().saturating_add(whole_ms(by)));
    }

    /// Pipes one record with the handle's time.
    ///
    /// # Errors
    /// If the topology does not read the topic, or processing failed.
    pub fn pipe(&self, key: K, value: V) -> Result<()> {
        self.pipe_at(key, value, self.next_time_ms())
    }

    /// Pipes one record with this timestamp. The handle's time stays.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    pub fn pipe_at(&self, key: K, value: V, timestamp_ms: i64) -> Result<()> {
        self.pipe_record(&Record::new(key, value, timestamp_ms))
    }

    /// Pipes one record with its own timestamp and headers. The handle's time stays.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    pub fn pipe_record(&self, record: &Record<K, V>) -> Result<()> {
        let mut headers = record.headers.clone();
        let key = write(&*self.key_serde, &record.key, &mut headers, &self.topic, "key")?;
        self.pipe_written(key, &record.value, record.timestamp_ms, headers)
    }

    /// Pipes a value whose key is null, whatever the type of keys, with the handle's time.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    pub fn pipe_value(&self, value: V) -> Result<()> {
        self.pipe_written(None, &value, self.next_time_ms(), Headers::default())
    }

    /// Pipes values one after the other, each as [`pipe_value`](Self::pipe_value).
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe); what comes after the value that failed is not piped.
    pub fn pipe_values(&self, values: impl IntoIterator<Item = V>) -> Result<()> {
        values.into_iter().try_for_each(|value| self.pipe_value(value))
    }

    /// Pipes keys and values one after the other, each as [`pipe`](Self::pipe).
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe); what comes after the record that failed is not piped.
    pub fn pipe_key_values(&self, records: impl IntoIterator<Item = (K, V)>) -> Result<()> {
        records
            .into_iter()
            .try_for_each(|(key, value)| self.pipe(key, value))
    }

    /// Pipes records one after the other, each as [`pipe_record`](Self::pipe_record).
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe); what comes after the record that failed is not piped.
    pub fn pipe_records(&self, records: &[Record<K, V>]) -> Result<()> {
        records.iter().try_for_each(|record| self.pipe_record(record))
    }

    fn next_time_ms(&self) -> i64 {
        self.now_ms
            .replace(self.now_ms.get().saturating_add(self.advance_ms))
    }

    fn pipe_written(
        &self,
        key: Option<Bytes>,
        value: &V,
        timestamp_ms: i64,
        mut headers: Headers,
    ) -> Result<()> {
        let record = WrittenRecord {
            key,
            value: write(&*self.value_serde, value, &mut headers, &self.topic, "value")?,
            timestamp_ms,
            headers,
        };
        self.driver.pipe_raw(&self.topic, &record)
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl<K, V> std::fmt::Debug for TestInputTopic<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestInputTopic")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

fn write<T>(
    serde: &dyn Serde<T>,
    value: &T,
    headers: &mut Headers,
    topic: &str,
    part: &'static str,
) -> Result<Option<Bytes>> {
    if serde.is_null(value) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    match serde.serialize_with_headers(topic, headers, value, &mut bytes) {
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

/// Reads typed records from a topic that the topology writes, internal topics included (Kafka's `TestOutputTopic`). Each handle
/// reads from the start. A topic that was never written is empty.
///
/// ```
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
/// builder.add_sink("out", TopicName::external("out"), &[input], SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let records = [("a", 1_i64), ("b", 2), ("a", 3), ("c", 4), ("c", 5)];
/// driver.input("in").pipe_key_values(records.map(|(key, value)| (key.to_string(), value)))?;
///
/// let out = driver.output::<String, i64>("out");
/// assert_eq!(out.queue_size(), 5);
/// assert_eq!(out.read_value(), Some(1));
/// assert_eq!(out.read_key_value(), Some(("b".into(), 2)));
/// assert_eq!(out.read_key_values_to_map(), [("a".into(), 3), ("c".into(), 5)].into());
/// assert!(out.is_empty() && out.read_record().is_none());
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
pub struct TestOutputTopic<K, V> {
    driver: TopologyTestDriver,
    topic: String,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    next: Cell<usize>,
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
            next: Cell::new(0),
        }
    }

    /// The next record; `None` if all are read.
    ///
    /// # Panics
    /// If the record is not of these types: a test that reads a topic with the wrong types has failed.
    #[must_use]
    pub fn read_record(&self) -> Option<Record<K, V>> {
        let record = self.driver.written_at(&self.topic, self.next.get())?;
        self.next.set(self.next.get() + 1);
        Some(Record {
            key: self.typed(&*self.key_serde, record.key.as_deref(), &record.headers, "key"),
            value: self.typed(
                &*self.value_serde,
                record.value.as_deref(),
                &record.headers,
                "value",
            ),
            timestamp_ms: record.timestamp_ms,
            headers: record.headers,
        })
    }

    /// Key and value of the next record; `None` if all are read.
    ///
    /// # Panics
    /// As [`read_record`](Self::read_record).
    #[must_use]
    pub fn read_key_value(&self) -> Option<(K, V)> {
        self.read_record().map(|Record { key, value, .. }| (key, value))
    }

    /// Value of the next record, whose key must be of its type all the same; `None` if all are read.
    ///
    /// # Panics
    /// As [`read_record`](Self::read_record).
    #[must_use]
    pub fn read_value(&self) -> Option<V> {
        self.read_record().map(|record| record.value)
    }

    /// All records not read yet.
    ///
    /// # Panics
    /// As [`read_record`](Self::read_record).
    #[must_use]
    pub fn read_records(&self) -> Vec<Record<K, V>> {
        std::iter::from_fn(|| self.read_record()).collect()
    }

    /// Keys and values of all records not read yet.
    ///
    /// # Panics
    /// As [`read_record`](Self::read_record).
    #[must_use]
    pub fn read_key_values(&self) -> Vec<(K, V)> {
        std::iter::from_fn(|| self.read_key_value()).collect()
    }

    /// Values of all records not read yet.
    ///
    /// # Panics
    /// As [`read_record`](Self::read_record).
    #[must_use]
    pub fn read_values(&self) -> Vec<V> {
        std::iter::from_fn(|| self.read_value()).collect()
    }

    /// The last value of each key among all records not read yet: the topic as a table.
    ///
    /// # Panics
    /// As [`read_record`](Self::read_record), and if a key is null: such records do not replace one another.
    #[must_use]
    pub fn read_key_values_to_map(&self) -> BTreeMap<K, V>
    where
        K: Ord,
    {
        let not_null = |(key, value)| {
            let topic = &self.topic;
            assert!(
                !self.key_serde.is_null(&key),
                "a key of {topic} is null: it has no place in a map, use read_key_values"
            );
            (key, value)
        };
        std::iter::from_fn(|| self.read_key_value().map(not_null)).collect()
    }

    /// How many records are not read yet.
    #[must_use]
    pub fn queue_size(&self) -> usize {
        self.driver.written_count(&self.topic) - self.next.get()
    }

    /// True if there is nothing left to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue_size() == 0
    }

    fn typed<T>(&self, serde: &dyn Serde<T>, bytes: Option<&[u8]>, headers: &Headers, part: &str) -> T {
        let topic = &self.topic;
        match bytes {
            Some(bytes) => match serde.deserialize_with_headers(topic, headers, bytes) {
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
