//! Updates of a table held back in a buffer, by time.
//!
//! A later update of a key takes the place of the earlier one, and keeps its time. What is older than the stream time of this
//! operator less the wait goes on, oldest first; so does what is too much, or the application stops. That time belongs to the
//! operator and starts anew with its task, as in Kafka.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult};
use streams_core::store::{Oldest, RecordContext, StoreResult, TimeOrderedBuffer};
use streams_core::{Record, RecordMetadata, TaskContext};

use super::place;
use crate::change::Change;

/// What happens when a buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    EmitEarly,
    ShutDown,
}

pub(crate) struct Suppress<K, V> {
    pub(crate) node: String,
    pub(crate) store: String,
    pub(crate) buffer: TimeOrderedBuffer<K, V>,
    pub(crate) wait_ms: i64,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) time_ms: fn(&K, i64) -> i64,
    /// Nothing was sent before of what is deleted.
    pub(crate) drop_deletions: bool,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    pub(crate) next: Edge<K, Change<V>>,
}

impl<K, V> Process<K, Change<V>> for Suppress<K, V> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        self.stream_time_ms = self.stream_time_ms.max(record.timestamp_ms);
        let kept = self.keep(&record, task);
        kept.map_err(|cause| place(cause, &self.node, task))?;
        let expiry_ms = self.stream_time_ms.saturating_sub(self.wait_ms);
        while self
            .is_due(expiry_ms)
            .map_err(|cause| place(cause, &self.node, task))?
        {
            self.emit_first(task)?;
        }
        while self.is_full().map_err(|cause| place(cause, &self.node, task))? {
            if self.when_full == WhenFull::ShutDown {
                let full = self.full();
                return Err(full.map_or_else(
                    |cause| place(cause, &self.node, task),
                    |cause| place(cause, &self.node, task),
                ));
            }
            self.emit_first(task)?;
        }
        Ok(())
    }
}

impl<K, V> Suppress<K, V> {
    fn keep(&self, record: &Record<K, Change<V>>, task: &TaskContext<'_>) -> StoreResult<()> {
        let origin = task.record_metadata();
        let context = RecordContext {
            timestamp_ms: record.timestamp_ms,
            topic: origin
                .as_ref()
                .map_or_else(|| Arc::from(""), |origin| Arc::clone(&origin.topic)),
            partition: origin.as_ref().map_or(-1, |origin| origin.partition),
            offset: origin.as_ref().map_or(-1, |origin| origin.offset),
            headers: record.headers.clone(),
        };
        let time_ms = (self.time_ms)(&record.key, record.timestamp_ms);
        let values = (record.value.new.as_ref(), record.value.old.as_ref());
        self.buffer.put(time_ms, &record.key, values, context)
    }

    fn is_due(&self, expiry_ms: i64) -> StoreResult<bool> {
        Ok(self
            .buffer
            .first_time_ms()?
            .is_some_and(|first_ms| first_ms <= expiry_ms))
    }

    fn is_full(&self) -> StoreResult<bool> {
        Ok(self.buffer.len()? > self.max_records || self.buffer.used_bytes()? > self.max_bytes)
    }

    fn full(&self) -> StoreResult<ProcessCause> {
        Ok(ProcessCause::BufferFull {
            store: self.store.clone(),
            records: self.buffer.len()?,
            used_bytes: self.buffer.used_bytes()?,
        })
    }

    /// Sends the oldest update, and only then takes it out: who looks the table up meanwhile sees what was there before.
    fn emit_first(&mut self, task: &mut TaskContext<'_>) -> ProcessResult {
        let first = self.buffer.first();
        let first = first.map_err(|cause| place(cause, &self.node, task))?;
        if let Some(first) = first {
            self.send(first, task)?;
        }
        let removed = self.buffer.remove_first();
        removed.map_err(|cause| place(cause, &self.node, task))
    }

    fn send(&mut self, first: Oldest<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Oldest {
            key,
            new,
            old,
            context,
        } = first;
        if new.is_none() && self.drop_deletions {
            return Ok(());
        }
        let RecordContext {
            timestamp_ms,
            topic,
            partition,
            offset,
            headers,
        } = context;
        let value = Change {
            new,
            old,
            is_latest: true,
        };
        let record = Record {
            key,
            value,
            timestamp_ms,
            headers,
        };
        let next = &mut self.next;
        task.as_from(
            &RecordMetadata {
                topic,
                partition,
                offset,
            },
            |task| next.process(record, task),
        )
    }
}
