//! A stream joined with a table: each record of the stream looks the table up; the table's updates trigger nothing.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{KeyValueStore, RecordContext, StoreResult};
use streams_core::{Record, RecordMetadata, TaskContext};

use super::{Tried, failed, place};
use crate::view::TableView;
use crate::waiting_serde::{TIME_FIRST, WaitingKey, WaitingValue};

/// Of key, value and row: the result; `None` sends nothing.
pub(crate) type Join<K, V, T, R> = Arc<dyn Fn(&K, V, Option<&T>) -> Tried<Option<R>> + Send + Sync>;

pub(crate) struct StreamTableJoin<K, V, T, R> {
    pub(crate) node: String,
    pub(crate) join: Join<K, V, T, R>,
    /// A record without a key finds nothing, and is not dropped.
    pub(crate) left: bool,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) table: Box<dyn TableView<K, T>>,
    /// If records wait before they are joined.
    pub(crate) waiting: Option<Waiting<K, V>>,
    pub(crate) next: Edge<K, R>,
}

/// Records that wait for updates of the table that are older than they are.
pub(crate) struct Waiting<K, V> {
    grace_ms: i64,
    store: KeyValueStore<WaitingKey<K>, WaitingValue<V>>,
    /// Largest timestamp that was put; -1 before the first.
    observed_ms: i64,
    number: u32,
}

impl<K, V> Waiting<K, V> {
    pub(crate) fn new(grace_ms: i64, store: KeyValueStore<WaitingKey<K>, WaitingValue<V>>) -> Self {
        Self {
            grace_ms,
            store,
            observed_ms: -1,
            number: 0,
        }
    }

    /// Records from before this time do not wait any more.
    fn waits_from_ms(&self) -> i64 {
        self.observed_ms.saturating_sub(self.grace_ms)
    }
}

impl<K: Clone, V: Clone> Waiting<K, V> {
    /// Keeps a record under the next number that is free.
    fn put(&mut self, record: Record<K, V>, origin: Option<RecordMetadata>) -> StoreResult<()> {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        self.observed_ms = self.observed_ms.max(timestamp_ms);
        let (topic, partition, offset) = match origin {
            Some(origin) => (origin.topic, origin.partition, origin.offset),
            None => (Arc::from(""), -1, -1),
        };
        let context = RecordContext {
            timestamp_ms,
            topic,
            partition,
            offset,
            headers,
        };
        let mut place = WaitingKey {
            timestamp_ms,
            key,
            number: self.number,
        };
        loop {
            place.number = if place.number == LAST_NUMBER {
                0
            } else {
                place.number + 1
            };
            // Numbers start again with the task. What an earlier life put is kept.
            if !self.store.read(&place, |row| row.is_some())? {
                break;
            }
        }
        self.number = place.number;
        let put = self
            .store
            .put(&place, Some(WaitingValue { context, value }), timestamp_ms);
        put.map(|_| ())
    }

    /// Takes the next record out that waits no longer. `from` moves behind it.
    fn pop(&self, from: &mut Vec<u8>, timestamp_ms: i64) -> StoreResult<Option<(K, WaitingValue<V>)>> {
        let first = self.store.first_from(from)?;
        let Some((place, row)) = first.filter(|(place, _)| place.timestamp_ms <= self.waits_from_ms()) else {
            return Ok(None);
        };
        *from = self.store.key_bytes(&place)?;
        from.push(0);
        self.store.put(&place, None, timestamp_ms)?;
        Ok(Some((place.key, row.value)))
    }
}

/// Kafka's numbers are positive, and start again after this one.
const LAST_NUMBER: u32 = i32::MAX as u32;

impl<K: Clone, V: Clone, T, R> Process<K, V> for StreamTableJoin<K, V, T, R> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let Some(waiting) = &mut self.waiting else {
            return self.look_up(record, task);
        };
        let waits_from_ms = waiting.waits_from_ms();
        if self.key_serde.is_null(&record.key) || record.timestamp_ms < waits_from_ms {
            return self.look_up(record, task);
        }
        let timestamp_ms = record.timestamp_ms;
        let put = waiting.put(record, task.record_metadata());
        put.map_err(|cause| place(cause, &self.node, task))?;
        let mut from = vec![TIME_FIRST];
        from.extend_from_slice(&waits_from_ms.max(0).to_be_bytes());
        loop {
            let next = match &self.waiting {
                Some(waiting) => waiting.pop(&mut from, timestamp_ms),
                None => Ok(None),
            };
            let next = next.map_err(|cause| place(cause, &self.node, task))?;
            let Some((key, WaitingValue { context, value })) = next else {
                return Ok(());
            };
            let record = Record {
                key,
                value,
                timestamp_ms: context.timestamp_ms,
                headers: context.headers,
            };
            let origin = RecordMetadata {
                topic: context.topic,
                partition: context.partition,
                offset: context.offset,
            };
            task.as_from(&origin, |task| self.look_up(record, task))?;
        }
    }
}

impl<K, V, T, R> StreamTableJoin<K, V, T, R> {
    /// Joins a record with the row of its key, of its time if the table knows of times.
    fn look_up(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let result = if !self.key_serde.is_null(&key) {
            let (mut value, mut result) = (Some(value), Ok(None));
            let looked_up = self.table.read_as_of(&key, timestamp_ms, &mut |row| {
                if let Some(value) = value.take() {
                    result = (self.join)(&key, value, row.map(|(row, _)| row));
                }
            });
            looked_up.and(result.map_err(ProcessCause::User))
        } else if self.left {
            (self.join)(&key, value, None).map_err(ProcessCause::User)
        } else {
            task.count_dropped(DropReason::NullKey);
            Ok(None)
        };
        let value = match result {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(()),
            Err(cause) => return failed(cause, &self.node, task),
        };
        let joined = Record {
            key,
            value,
            timestamp_ms,
            headers,
        };
        self.next.process(joined, task)
    }
}
