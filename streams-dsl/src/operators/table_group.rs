//! A table grouped by something else than its key: updates are taken apart into what leaves a group and what enters one.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessError, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::processor::BoxError;
use streams_core::serde::Serde;
use streams_core::{Record, TaskContext};

use super::table_store::TableStore;
use super::{Tried, place};
use crate::change::Change;

/// Of key and value of a row: those of its group.
pub(crate) type Select<K, V, KO, VO> = Arc<dyn Fn(&K, &V) -> Tried<(KO, VO)> + Send + Sync>;

/// Finds the groups of the old row and of the new one. A row whose new key or value is null belongs to no group.
pub(crate) struct TableSelect<K, V, KO, VO> {
    pub(crate) node: String,
    /// What serdes are told where keys are compared: several topics may follow.
    pub(crate) topic: String,
    pub(crate) select: Select<K, V, KO, VO>,
    pub(crate) key_serde: Arc<dyn Serde<KO>>,
    pub(crate) value_serde: Arc<dyn Serde<VO>>,
    /// Rows of a versioned table that are not the latest are in no group.
    pub(crate) uses_versions: bool,
    pub(crate) next: Edge<KO, Change<VO>>,
}

impl<K, V, KO, VO> TableSelect<K, V, KO, VO> {
    fn selected(&self, key: &K, value: Option<&V>, task: &mut TaskContext<'_>) -> Tried<Option<(KO, VO)>> {
        let Some(value) = value else { return Ok(None) };
        let (key, value) = (self.select)(key, value)?;
        let dropped = if self.key_serde.is_null(&key) {
            DropReason::NullKey
        } else if self.value_serde.is_null(&value) {
            DropReason::NullValue
        } else {
            return Ok(Some((key, value)));
        };
        task.count_dropped(dropped);
        Ok(None)
    }

    /// Groups are the same if their keys are written alike.
    fn is_same(&self, one: &KO, other: &KO, task: &TaskContext<'_>) -> Result<bool, Box<ProcessError>> {
        let mut bytes = [Vec::new(), Vec::new()];
        for (key, bytes) in [one, other].into_iter().zip(&mut bytes) {
            self.key_serde
                .serialize(&self.topic, key, bytes)
                .map_err(|error| {
                    let cause = ProcessCause::Serde {
                        action: "write",
                        part: "key",
                        topic: self.topic.clone(),
                        error,
                    };
                    place(cause, &self.node, task)
                })?;
        }
        Ok(bytes[0] == bytes[1])
    }
}

impl<K, V, KO, VO> Process<K, Change<V>> for TableSelect<K, V, KO, VO> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.uses_versions && !record.value.is_latest {
            return Ok(());
        }
        let selected = self
            .selected(&record.key, record.value.old.as_ref(), task)
            .and_then(|old| Ok((old, self.selected(&record.key, record.value.new.as_ref(), task)?)));
        let (old, new) = match selected {
            Ok(selected) => selected,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let stays = match (&old, &new) {
            (Some((old_key, _)), Some((key, _))) => self.is_same(old_key, key, task)?,
            _ => false,
        };
        let (timestamp_ms, headers) = (record.timestamp_ms, record.headers);
        let mut send = |key, old, new| {
            let record = Record {
                key,
                value: Change {
                    new,
                    old,
                    is_latest: true,
                },
                timestamp_ms,
                headers: headers.clone(),
            };
            self.next.process(record, task)
        };
        match (old, new) {
            (Some((_, old)), Some((key, new))) if stays => send(key, Some(old), Some(new)),
            (old, new) => {
                if let Some((key, old)) = old {
                    send(key, Some(old), None)?;
                }
                new.map_or(Ok(()), |(key, new)| send(key, None, Some(new)))
            }
        }
    }
}

/// How a group's aggregate changes: what it was, if anything, and what leaves or enters it.
pub(crate) trait Regroup<K, V, A>: Send + Sync {
    /// # Errors
    /// What a function of the user's fails with.
    fn remove(&self, key: &K, value: V, from: A) -> Result<A, BoxError>;
    /// # Errors
    /// What a function of the user's fails with.
    fn add(&self, key: &K, value: V, to: Option<A>) -> Result<A, BoxError>;
}

/// `aggregate`.
pub(crate) struct Refold<I, F, G> {
    pub(crate) initial: I,
    pub(crate) add: F,
    pub(crate) remove: G,
}

impl<K, V, A, I, F, G> Regroup<K, V, A> for Refold<I, F, G>
where
    I: Fn() -> A + Send + Sync + 'static,
    F: Fn(&K, V, A) -> A + Send + Sync + 'static,
    G: Fn(&K, V, A) -> A + Send + Sync + 'static,
{
    fn remove(&self, key: &K, value: V, from: A) -> Result<A, BoxError> {
        Ok((self.remove)(key, value, from))
    }

    fn add(&self, key: &K, value: V, to: Option<A>) -> Result<A, BoxError> {
        Ok((self.add)(key, value, to.unwrap_or_else(&self.initial)))
    }
}

/// `try_aggregate`.
pub(crate) struct TryRefold<I, F, G> {
    pub(crate) initial: I,
    pub(crate) add: F,
    pub(crate) remove: G,
}

impl<K, V, A, E, I, F, G> Regroup<K, V, A> for TryRefold<I, F, G>
where
    E: Into<BoxError>,
    I: Fn() -> Result<A, E> + Send + Sync + 'static,
    F: Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
    G: Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
{
    fn remove(&self, key: &K, value: V, from: A) -> Result<A, BoxError> {
        (self.remove)(key, value, from).map_err(Into::into)
    }

    fn add(&self, key: &K, value: V, to: Option<A>) -> Result<A, BoxError> {
        let to = to.map_or_else(&self.initial, Ok).map_err(Into::into)?;
        (self.add)(key, value, to).map_err(Into::into)
    }
}

/// `reduce`: the first value is the aggregate.
pub(crate) struct Rereduce<F, G> {
    pub(crate) add: F,
    pub(crate) remove: G,
}

impl<K, V, F, G> Regroup<K, V, V> for Rereduce<F, G>
where
    F: Fn(V, V) -> V + Send + Sync + 'static,
    G: Fn(V, V) -> V + Send + Sync + 'static,
{
    fn remove(&self, _key: &K, value: V, from: V) -> Result<V, BoxError> {
        Ok((self.remove)(from, value))
    }

    fn add(&self, _key: &K, value: V, to: Option<V>) -> Result<V, BoxError> {
        Ok(match to {
            Some(to) => (self.add)(to, value),
            None => value,
        })
    }
}

/// `try_reduce`.
pub(crate) struct TryRereduce<F, G> {
    pub(crate) add: F,
    pub(crate) remove: G,
}

impl<K, V, E, F, G> Regroup<K, V, V> for TryRereduce<F, G>
where
    E: Into<BoxError>,
    F: Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
    G: Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
{
    fn remove(&self, _key: &K, value: V, from: V) -> Result<V, BoxError> {
        (self.remove)(from, value).map_err(Into::into)
    }

    fn add(&self, _key: &K, value: V, to: Option<V>) -> Result<V, BoxError> {
        match to {
            Some(to) => (self.add)(to, value).map_err(Into::into),
            None => Ok(value),
        }
    }
}

/// Keeps the aggregates of the groups: first the old value is taken out, then the new one put in. A value is not taken out
/// of a group that has no aggregate. A null key is an error, as in Kafka: the groups' keys were checked before their topic.
pub(crate) struct TableAggregate<K, V, A> {
    pub(crate) node: String,
    pub(crate) store_name: String,
    pub(crate) step: Arc<dyn Regroup<K, V, A>>,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: TableStore<K, A>,
    pub(crate) send_old: bool,
    pub(crate) next: Edge<K, Change<A>>,
}

impl<K, V, A: Clone> Process<K, Change<V>> for TableAggregate<K, V, A> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            let error = format!(
                "a row without a key cannot be aggregated in store {}: nothing this application sends has none, so \
                 something else writes to its repartition topic",
                self.store_name
            );
            return task.processing_failed(error.into(), &self.node);
        }
        let Record {
            key,
            value: change,
            timestamp_ms,
            headers,
        } = record;
        let failed = |cause, task: &TaskContext<'_>| place(cause, &self.node, task);
        let row = self.store.get(&key).map_err(|cause| failed(cause, task))?;
        let was_there = row.as_ref().map(|row| row.timestamp_ms);
        let stored = row.map(|row| row.value);
        let old = stored.clone().filter(|_| self.send_old);
        let mut result_time_ms = timestamp_ms;
        let mut aggregate = stored;
        if let Some(value) = change.old
            && let Some(from) = aggregate.take()
        {
            match self.step.remove(&key, value, from) {
                Ok(removed) => aggregate = self.not_null(removed),
                Err(error) => return task.processing_failed(error, &self.node),
            }
            result_time_ms = result_time_ms.max(was_there.unwrap_or(i64::MIN));
        }
        if let Some(value) = change.new {
            match self.step.add(&key, value, aggregate) {
                Ok(added) => aggregate = self.not_null(added),
                Err(error) => return task.processing_failed(error, &self.node),
            }
            result_time_ms = result_time_ms.max(was_there.unwrap_or(i64::MIN));
        }
        let put = self.store.put(&key, aggregate.clone(), result_time_ms);
        let Some(put) = put.map_err(|cause| failed(cause, task))? else {
            task.count_dropped(DropReason::Late);
            return Ok(());
        };
        let result = Record {
            key,
            value: Change {
                new: aggregate,
                old,
                is_latest: put.is_latest,
            },
            timestamp_ms: result_time_ms,
            headers,
        };
        self.next.process(result, task)
    }
}

impl<K, V, A> TableAggregate<K, V, A> {
    fn not_null(&self, aggregate: A) -> Option<A> {
        (!self.result_serde.is_null(&aggregate)).then_some(aggregate)
    }
}
