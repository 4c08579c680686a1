//! `count`, `reduce` and `aggregate` in sessions: a record joins the sessions of its key that are near enough, and they become
//! one. The sessions that were joined are deleted, which is sent before the new one.
//!
//! A session is late if it ended more than gap and grace before the largest timestamp this operator has seen. That time belongs
//! to the operator and starts anew with its task, as in Kafka. Null values are aggregated; null keys are dropped.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{Session, SessionStore};
use streams_core::{Headers, Record, TaskContext};

use super::place;
use crate::change::Change;
use crate::session::SessionWindows;
use crate::windows::{Window, Windowed};

/// The aggregate of a session that a value joins, from those of the sessions it brings together.
pub(crate) trait SessionStep<K, V, A>: Send + Sync + 'static {
    fn step(&self, key: &K, joined: impl Iterator<Item = A>, value: V) -> A;
}

/// `aggregate`.
pub(crate) struct SessionAggregator<I, F, M> {
    pub(crate) initial: I,
    pub(crate) add: F,
    pub(crate) merge: M,
}

impl<K, V, A, I, F, M> SessionStep<K, V, A> for SessionAggregator<I, F, M>
where
    I: Fn() -> A + Send + Sync + 'static,
    F: Fn(&K, V, A) -> A + Send + Sync + 'static,
    M: Fn(&K, A, A) -> A + Send + Sync + 'static,
{
    fn step(&self, key: &K, joined: impl Iterator<Item = A>, value: V) -> A {
        let so_far = joined.fold((self.initial)(), |so_far, session| {
            (self.merge)(key, so_far, session)
        });
        (self.add)(key, value, so_far)
    }
}

/// `reduce`.
pub(crate) struct SessionReducer<F>(pub(crate) F);

impl<K, V, F: Fn(V, V) -> V + Send + Sync + 'static> SessionStep<K, V, V> for SessionReducer<F> {
    fn step(&self, _key: &K, joined: impl Iterator<Item = V>, value: V) -> V {
        match joined.reduce(&self.0) {
            Some(so_far) => (self.0)(so_far, value),
            None => value,
        }
    }
}

pub(crate) struct SessionAggregate<K, A, S> {
    pub(crate) node: String,
    pub(crate) step: Arc<S>,
    pub(crate) windows: SessionWindows,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: SessionStore<K, A>,
    pub(crate) send_old: bool,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    pub(crate) next: Edge<Windowed<K>, Change<A>>,
}

impl<K: Clone, V, A: Clone, S: SessionStep<K, V, A>> Process<K, V> for SessionAggregate<K, A, S> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        self.stream_time_ms = self.stream_time_ms.max(timestamp_ms);
        let gap_ms = self.windows.gap_ms();
        let close_time_ms = self
            .stream_time_ms
            .saturating_sub(self.windows.grace_ms())
            .saturating_sub(gap_ms);
        let (earliest_end_ms, latest_start_ms) = (
            timestamp_ms.saturating_sub(gap_ms),
            timestamp_ms.saturating_add(gap_ms),
        );
        let found = self.store.find_sessions(&key, earliest_end_ms, latest_start_ms);
        let found: Result<Vec<Session<K, A>>, _> = found.and_then(Iterator::collect);
        let joined = found.map_err(|cause| place(cause, &self.node, task))?;
        let mut window = Window {
            start_ms: timestamp_ms,
            end_ms: timestamp_ms,
        };
        for session in &joined {
            window.start_ms = window.start_ms.min(session.start_ms);
            window.end_ms = window.end_ms.max(session.end_ms);
        }
        if window.end_ms < close_time_ms {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        let aggregates: Vec<A> = joined.iter().map(|session| session.value.clone()).collect();
        let grows = window.start_ms < timestamp_ms || window.end_ms > timestamp_ms;
        for session in joined.into_iter().filter(|_| grows) {
            self.remove(session, timestamp_ms, headers.clone(), task)?;
        }
        let aggregate = self.step.step(&key, aggregates.into_iter(), value);
        let aggregate = (!self.result_serde.is_null(&aggregate)).then_some(aggregate);
        self.store
            .put(
                &key,
                (window.start_ms, window.end_ms),
                aggregate.clone(),
                timestamp_ms,
            )
            .map_err(|cause| place(cause, &self.node, task))?;
        let change = Change {
            new: aggregate,
            old: None,
        };
        self.forward(Windowed { key, window }, change, headers, task)
    }
}

impl<K, A, S> SessionAggregate<K, A, S> {
    fn remove(
        &mut self,
        session: Session<K, A>,
        timestamp_ms: i64,
        headers: Headers,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Session {
            key,
            start_ms,
            end_ms,
            value,
        } = session;
        self.store
            .put(&key, (start_ms, end_ms), None, timestamp_ms)
            .map_err(|cause| place(cause, &self.node, task))?;
        let window = Window { start_ms, end_ms };
        let change = Change {
            new: None,
            old: Some(value).filter(|_| self.send_old),
        };
        self.forward(Windowed { key, window }, change, headers, task)
    }

    /// With the time of the session's end.
    fn forward(
        &mut self,
        key: Windowed<K>,
        value: Change<A>,
        headers: Headers,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let timestamp_ms = key.window.end_ms;
        let result = Record {
            key,
            value,
            timestamp_ms,
            headers,
        };
        self.next.process(result, task)
    }
}
