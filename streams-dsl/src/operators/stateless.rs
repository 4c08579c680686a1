//! Operators without state: filter, map, flat-map, peek. A record is moved through; nothing is cloned but keys of several
//! results.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::{Record, TaskContext};

/// Passes on what satisfies a predicate.
pub(crate) struct Filter<F, K, V> {
    pub(crate) predicate: Arc<F>,
    pub(crate) next: Edge<K, V>,
}

impl<K, V, F: Fn(&K, &V) -> bool> Process<K, V> for Filter<F, K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        match (self.predicate)(&record.key, &record.value) {
            true => self.next.process(record, task),
            false => Ok(()),
        }
    }
}

/// Maps the value.
pub(crate) struct MapValues<F, K, W> {
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<K, W>,
}

impl<K, V, W, F: Fn(&K, V) -> W> Process<K, V> for MapValues<F, K, W> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let value = (self.map)(&key, value);
        self.next.process(
            Record {
                key,
                value,
                timestamp_ms,
                headers,
            },
            task,
        )
    }
}

/// Maps key and value.
pub(crate) struct Map<F, L, W> {
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<L, W>,
}

impl<K, V, L, W, F: Fn(K, V) -> (L, W)> Process<K, V> for Map<F, L, W> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let (key, value) = (self.map)(key, value);
        self.next.process(
            Record {
                key,
                value,
                timestamp_ms,
                headers,
            },
            task,
        )
    }
}

/// Any number of values for one, all with its key.
pub(crate) struct FlatMapValues<F, K, W> {
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<K, W>,
}

impl<K: Clone, V, W, I: IntoIterator<Item = W>, F: Fn(&K, V) -> I> Process<K, V> for FlatMapValues<F, K, W> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        for value in (self.map)(&key, value) {
            let record = Record {
                key: key.clone(),
                value,
                timestamp_ms,
                headers: headers.clone(),
            };
            self.next.process(record, task)?;
        }
        Ok(())
    }
}

/// Any number of records for one.
pub(crate) struct FlatMap<F, L, W> {
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<L, W>,
}

impl<K, V, L, W, I: IntoIterator<Item = (L, W)>, F: Fn(K, V) -> I> Process<K, V> for FlatMap<F, L, W> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        for (key, value) in (self.map)(key, value) {
            self.next.process(
                Record {
                    key,
                    value,
                    timestamp_ms,
                    headers: headers.clone(),
                },
                task,
            )?;
        }
        Ok(())
    }
}

/// A new key from key and value.
pub(crate) struct SelectKey<F, L, V> {
    pub(crate) select: Arc<F>,
    pub(crate) next: Edge<L, V>,
}

impl<K, V, L, F: Fn(&K, &V) -> L> Process<K, V> for SelectKey<F, L, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let key = (self.select)(&record.key, &record.value);
        self.next.process(record.with_key(key), task)
    }
}

/// Looks at a record and passes it on.
pub(crate) struct Peek<F, K, V> {
    pub(crate) look: Arc<F>,
    pub(crate) next: Edge<K, V>,
}

impl<K, V, F: Fn(&K, &V)> Process<K, V> for Peek<F, K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        (self.look)(&record.key, &record.value);
        self.next.process(record, task)
    }
}

/// Takes the key out of its `Option`; a record without one is dropped and counted.
pub(crate) struct RequireKey<K, V> {
    pub(crate) next: Edge<K, V>,
}

impl<K, V> Process<Option<K>, V> for RequireKey<K, V> {
    fn process(&mut self, record: Record<Option<K>, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        match key {
            Some(key) => self.next.process(
                Record {
                    key,
                    value,
                    timestamp_ms,
                    headers,
                },
                task,
            ),
            None => {
                task.count_dropped(DropReason::NullKey);
                Ok(())
            }
        }
    }
}
