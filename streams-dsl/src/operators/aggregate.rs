//! `count`, `reduce` and `aggregate` without windows: one row per key, replaced with one look-up. If the user's functions can fail,
//! with two: a row is only touched when there is a new one.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::processor::BoxError;
use streams_core::serde::Serde;
use streams_core::store::{StoreResult, ValueAndTimestamp, WindowStore};
use streams_core::{Record, TaskContext};

use super::table_store::TableStore;
use super::{decided, place_step};
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

/// A step whose functions may fail.
pub(crate) trait TryStep<K, V, A>: Send + Sync {
    /// As [`Step::step`].
    fn try_step(
        &self,
        key: &K,
        value: V,
        stored: Option<A>,
        send_old: bool,
    ) -> Result<(A, Option<A>), BoxError>;
}

/// `try_aggregate`.
pub(crate) struct TryAggregator<I, F> {
    pub(crate) initial: I,
    pub(crate) add: F,
}

impl<K, V, A, E, I, F> TryStep<K, V, A> for TryAggregator<I, F>
where
    A: Clone,
    E: Into<BoxError>,
    I: Fn() -> Result<A, E> + Send + Sync + 'static,
    F: Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
{
    fn try_step(
        &self,
        key: &K,
        value: V,
        stored: Option<A>,
        send_old: bool,
    ) -> Result<(A, Option<A>), BoxError> {
        let before = stored.map_or_else(&self.initial, Ok).map_err(Into::into)?;
        let old = send_old.then(|| before.clone());
        Ok(((self.add)(key, value, before).map_err(Into::into)?, old))
    }
}

/// `try_reduce`.
pub(crate) struct TryReducer<F>(pub(crate) F);

impl<K, V, E, F> TryStep<K, V, V> for TryReducer<F>
where
    V: Clone,
    E: Into<BoxError>,
    F: Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
{
    fn try_step(
        &self,
        _key: &K,
        value: V,
        stored: Option<V>,
        send_old: bool,
    ) -> Result<(V, Option<V>), BoxError> {
        let Some(before) = stored else {
            return Ok((value, None));
        };
        let old = send_old.then(|| before.clone());
        Ok(((self.0)(before, value).map_err(Into::into)?, old))
    }
}

/// What a row is advanced by, and how.
pub(crate) struct Advance<'a, K, V, A> {
    pub(crate) key: &'a K,
    pub(crate) value: V,
    pub(crate) timestamp_ms: i64,
    pub(crate) is_null: &'a dyn Fn(&A) -> bool,
    /// Whether an old value is wanted.
    pub(crate) send_old: bool,
}

/// What is sent of a row that was advanced, and with which time.
pub(crate) type Advanced<A> = (Change<A>, i64);

/// From where on a row is advanced.
pub(crate) enum Base<A> {
    /// From what is stored.
    Stored,
    /// From this.
    Given(Option<ValueAndTimestamp<A>>),
}

impl<A> Base<A> {
    fn of(self, stored: Option<ValueAndTimestamp<A>>) -> Option<ValueAndTimestamp<A>> {
        match self {
            Self::Stored => stored,
            Self::Given(base) => base,
        }
    }
}

/// Replaces rows of stores by a step of theirs. What a function of the user's fails with is [`ProcessCause::User`]; then the row is
/// as it was.
pub(crate) enum Steps<K, V, A> {
    /// A step that cannot fail: it replaces rows in place, with one look-up.
    InPlace(Arc<dyn Step<K, V, A>>),
    /// A step that may fail: it reads a row, and writes it if there is a new one.
    Fallible(Arc<dyn TryStep<K, V, A>>),
}

impl<K, V, A> Clone for Steps<K, V, A> {
    fn clone(&self) -> Self {
        match self {
            Self::InPlace(step) => Self::InPlace(Arc::clone(step)),
            Self::Fallible(step) => Self::Fallible(Arc::clone(step)),
        }
    }
}

impl<K, V, A: Clone> Steps<K, V, A> {
    /// The row of a key. `None` if the record is too old for the store.
    fn in_table(
        &self,
        store: &TableStore<K, A>,
        by: Advance<'_, K, V, A>,
    ) -> StoreResult<Option<Advanced<A>>> {
        let key = by.key;
        let step = match self {
            Self::InPlace(step) => {
                return store.update(key, by.timestamp_ms, |stored| advance(&**step, by, stored));
            }
            Self::Fallible(step) => step,
        };
        let (row, (mut change, timestamp_ms)) = try_advance(&**step, by, store.get(key)?)?;
        let put = store.put(key, row.map(|row| row.value), timestamp_ms)?;
        Ok(put.map(|put| {
            change.is_latest = put.is_latest;
            (change, timestamp_ms)
        }))
    }

    /// The row of a key in a window.
    pub(crate) fn in_window(
        &self,
        store: &WindowStore<K, A>,
        start_ms: i64,
        by: Advance<'_, K, V, A>,
        base: Base<A>,
    ) -> StoreResult<Advanced<A>> {
        let key = by.key;
        let step = match self {
            Self::InPlace(step) => {
                return store.update(key, start_ms, by.timestamp_ms, |stored| {
                    advance(&**step, by, base.of(stored))
                });
            }
            Self::Fallible(step) => step,
        };
        let stored = store.fetch(key, start_ms)?;
        let (row, (change, timestamp_ms)) = try_advance(&**step, by, base.of(stored))?;
        store.put(key, start_ms, row.map(|row| row.value), timestamp_ms)?;
        Ok((change, timestamp_ms))
    }
}

/// What the row becomes, and what is sent.
type Outcome<A> = (Option<ValueAndTimestamp<A>>, Advanced<A>);

#[inline]
fn advance<K, V, A: Clone>(
    step: &dyn Step<K, V, A>,
    by: Advance<'_, K, V, A>,
    stored: Option<ValueAndTimestamp<A>>,
) -> Outcome<A> {
    let (stored, timestamp_ms) = latest(stored, by.timestamp_ms);
    let stepped = step.step(by.key, by.value, stored, by.send_old);
    outcome(stepped, by.is_null, timestamp_ms)
}

fn try_advance<K, V, A: Clone>(
    step: &dyn TryStep<K, V, A>,
    by: Advance<'_, K, V, A>,
    stored: Option<ValueAndTimestamp<A>>,
) -> Result<Outcome<A>, ProcessCause> {
    let (stored, timestamp_ms) = latest(stored, by.timestamp_ms);
    let stepped = step.try_step(by.key, by.value, stored, by.send_old);
    Ok(outcome(
        stepped.map_err(ProcessCause::User)?,
        by.is_null,
        timestamp_ms,
    ))
}

/// The result's time is the later one of the record's and the row's.
#[inline]
fn latest<A>(stored: Option<ValueAndTimestamp<A>>, timestamp_ms: i64) -> (Option<A>, i64) {
    match stored {
        Some(row) => (Some(row.value), row.timestamp_ms.max(timestamp_ms)),
        None => (None, timestamp_ms),
    }
}

/// An aggregate that is null deletes the row.
#[inline]
fn outcome<A: Clone>(
    (new, old): (A, Option<A>),
    is_null: &dyn Fn(&A) -> bool,
    timestamp_ms: i64,
) -> Outcome<A> {
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
    pub(crate) step: Steps<K, V, A>,
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
        let by = Advance {
            key: &key,
            value,
            timestamp_ms,
            is_null: &is_null,
            send_old: self.send_old,
        };
        let (change, timestamp_ms) = match self.step.in_table(&self.store, by) {
            Ok(Some(advanced)) => advanced,
            Ok(None) => {
                task.count_dropped(DropReason::Late);
                return Ok(());
            }
            Err(cause) => return decided(Err(place_step(cause, &self.node, task)), &self.node, task),
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
