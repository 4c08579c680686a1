//! `count`, `reduce` and `aggregate` without windows: one row per key, replaced with one look-up.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::ValueAndTimestamp;
use streams_core::{Record, TaskContext};

use super::place;
use super::table_store::TableStore;
use crate::change::Change;

/// One step of an aggregation: from a value and what is stored to the new aggregate and the old value to send.
pub(crate) trait Step<K, V, A>: Send + Sync {
    /// The last argument says whether an old value is wanted.
    fn step(&self, key: &K, value: V, stored: Option<A>, send_old: bool) -> (A, Option<A>);
}

/// `aggregate`: the old value of a new row is the initial one, as in Kafka.
pub(crate) struct Aggregator<I, F> {
    pub(crate) initial: I,
    pub(crate) add: F,
}

impl<K, V, A, I, F> Step<K, V, A> for Aggregator<I, F>
where
    A: Clone,
    I: Fn() -> A + Send + Sync + 'static,
    F: Fn(&K, V, A) -> A + Send + Sync + 'static,
{
    #[inline]
    fn step(&self, key: &K, value: V, stored: Option<A>, send_old: bool) -> (A, Option<A>) {
        let before = stored.unwrap_or_else(&self.initial);
        let old = send_old.then(|| before.clone());
        ((self.add)(key, value, before), old)
    }
}

/// `reduce`: the first value is the aggregate.
pub(crate) struct Reducer<F>(pub(crate) F);

impl<K, V, F> Step<K, V, V> for Reducer<F>
where
    V: Clone,
    F: Fn(V, V) -> V + Send + Sync + 'static,
{
    #[inline]
    fn step(&self, _key: &K, value: V, stored: Option<V>, send_old: bool) -> (V, Option<V>) {
        match stored {
            None => (value, None),
            Some(before) => {
                let old = send_old.then(|| before.clone());
                ((self.0)(before, value), old)
            }
        }
    }
}

/// What the row becomes and what is sent downstream. The result's time is the later one of the record's and the row's; an
/// aggregate that is null deletes the row.
#[inline]
pub(crate) fn advance<K, V, A: Clone>(
    step: &dyn Step<K, V, A>,
    is_null: &dyn Fn(&A) -> bool,
    send_old: bool,
    (key, value, timestamp_ms): (&K, V, i64),
    stored: Option<ValueAndTimestamp<A>>,
) -> (Option<ValueAndTimestamp<A>>, (Change<A>, i64)) {
    let (stored, timestamp_ms) = match stored {
        Some(row) => (Some(row.value), row.timestamp_ms.max(timestamp_ms)),
        None => (None, timestamp_ms),
    };
    let (new, old) = step.step(key, value, stored, send_old);
    let old = old.filter(|old| !is_null(old));
    if is_null(&new) {
        return (
            None,
            (
                Change {
                    new: None,
                    old,
                    is_latest: true,
                },
                timestamp_ms,
            ),
        );
    }
    let row = ValueAndTimestamp {
        value: new.clone(),
        timestamp_ms,
    };
    (
        Some(row),
        (
            Change {
                new: Some(new),
                old,
                is_latest: true,
            },
            timestamp_ms,
        ),
    )
}

pub(crate) struct Aggregate<K, V, A> {
    pub(crate) node: String,
    pub(crate) step: Arc<dyn Step<K, V, A>>,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: TableStore<K, A>,
    pub(crate) send_old: bool,
    pub(crate) next: Edge<K, Change<A>>,
}

impl<K, V, A: Clone> Process<K, V> for Aggregate<K, V, A> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let is_null = |aggregate: &A| self.result_serde.is_null(aggregate);
        let updated = self.store.update(&key, timestamp_ms, |stored| {
            advance(
                &*self.step,
                &is_null,
                self.send_old,
                (&key, value, timestamp_ms),
                stored,
            )
        });
        let Some((change, timestamp_ms)) = updated.map_err(|cause| place(cause, &self.node, task))? else {
            task.count_dropped(DropReason::Late);
            return Ok(());
        };
        let result = Record {
            key,
            value: change,
            timestamp_ms,
            headers,
        };
        self.next.process(result, task)
    }
}
