//! `count`, `reduce` and `aggregate` in sessions: a record joins the sessions of its key that are near enough, and they become
//! one. The sessions that were joined are deleted, which is sent before the new one.
//!
//! A session is late if it ended more than gap and grace before the largest timestamp this operator has seen. That time belongs
//! to the operator and starts anew with its task, as in Kafka. Null values are aggregated; null keys are dropped.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessError, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::processor::BoxError;
use streams_core::serde::Serde;
use streams_core::store::{Direction, Session, SessionStore};
use streams_core::{Headers, Record, TaskContext};

use super::final_results::FinalResults;
use super::{decided, place};
use crate::change::Change;
use crate::windows::{SessionWindows, Window, Windowed};

/// The aggregate of a session that a value joins, from those of the sessions it brings together.
pub(crate) trait SessionStep<K, V, A>: Send + Sync {
    /// # Errors
    /// What a function of the user's fails with.
    fn step(&self, key: &K, joined: &mut dyn Iterator<Item = A>, value: V) -> Result<A, BoxError>;
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
    fn step(&self, key: &K, joined: &mut dyn Iterator<Item = A>, value: V) -> Result<A, BoxError> {
        let so_far = joined.fold((self.initial)(), |so_far, session| {
            (self.merge)(key, so_far, session)
        });
        Ok((self.add)(key, value, so_far))
    }
}

/// `try_aggregate`.
pub(crate) struct TrySessionAggregator<I, F, M> {
    pub(crate) initial: I,
    pub(crate) add: F,
    pub(crate) merge: M,
}

impl<K, V, A, E, I, F, M> SessionStep<K, V, A> for TrySessionAggregator<I, F, M>
where
    E: Into<BoxError>,
    I: Fn() -> Result<A, E> + Send + Sync + 'static,
    F: Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
    M: Fn(&K, A, A) -> Result<A, E> + Send + Sync + 'static,
{
    fn step(&self, key: &K, joined: &mut dyn Iterator<Item = A>, value: V) -> Result<A, BoxError> {
        let mut so_far = (self.initial)().map_err(Into::into)?;
        for session in joined {
            so_far = (self.merge)(key, so_far, session).map_err(Into::into)?;
        }
        (self.add)(key, value, so_far).map_err(Into::into)
    }
}

/// `reduce`.
pub(crate) struct SessionReducer<F>(pub(crate) F);

impl<K, V, F: Fn(V, V) -> V + Send + Sync + 'static> SessionStep<K, V, V> for SessionReducer<F> {
    fn step(&self, _key: &K, joined: &mut dyn Iterator<Item = V>, value: V) -> Result<V, BoxError> {
        Ok(match joined.reduce(&self.0) {
            Some(so_far) => (self.0)(so_far, value),
            None => value,
        })
    }
}

/// `try_reduce`.
pub(crate) struct TrySessionReducer<F>(pub(crate) F);

impl<K, V, E, F> SessionStep<K, V, V> for TrySessionReducer<F>
where
    E: Into<BoxError>,
    F: Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
{
    fn step(&self, _key: &K, joined: &mut dyn Iterator<Item = V>, value: V) -> Result<V, BoxError> {
        let Some(mut so_far) = joined.next() else {
            return Ok(value);
        };
        for session in joined {
            so_far = (self.0)(so_far, session).map_err(Into::into)?;
        }
        (self.0)(so_far, value).map_err(Into::into)
    }
}

pub(crate) struct SessionAggregate<K, V, A> {
    pub(crate) node: String,
    pub(crate) step: Arc<dyn SessionStep<K, V, A>>,
    pub(crate) windows: SessionWindows,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: SessionStore<K, A>,
    pub(crate) send_old: bool,
    /// Largest timestamp seen; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    /// If results are sent when their session closes.
    pub(crate) finals: Option<FinalResults<Windowed<K>>>,
    pub(crate) next: Edge<Windowed<K>, Change<A>>,
}

impl<K: Clone, V, A: Clone> Process<K, V> for SessionAggregate<K, V, A> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let updated = self.update(record, task);
        decided(updated, &self.node, task)
    }
}

impl<K: Clone, V, A: Clone> SessionAggregate<K, V, A> {
    fn update(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        self.load(task)?;
        self.stream_time_ms = self.stream_time_ms.max(record.timestamp_ms);
        let close_time_ms = self
            .stream_time_ms
            .saturating_sub(self.windows.grace_ms())
            .saturating_sub(self.windows.gap_ms());
        let headers = self.finals.is_some().then(|| record.headers.clone());
        self.join_sessions(record, close_time_ms, task)?;
        match headers {
            Some(headers) => self.send_final(close_time_ms, &headers, task),
            None => Ok(()),
        }
    }

    /// One session of all that the record brings together.
    fn join_sessions(
        &mut self,
        record: Record<K, V>,
        close_time_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = record;
        let joined = self.near(&key, timestamp_ms, task)?;
        let mut window = Window {
            start_ms: timestamp_ms,
            end_ms: timestamp_ms,
        };
        let mut aggregates = Vec::with_capacity(joined.len());
        for session in &joined {
            window.start_ms = window.start_ms.min(session.start_ms);
            window.end_ms = window.end_ms.max(session.end_ms);
            aggregates.push(session.value.clone());
        }
        if window.end_ms < close_time_ms {
            task.count_dropped(DropReason::Late);
            return Ok(());
        }
        // Before any session is removed: it may fail.
        let aggregate = self.step.step(&key, &mut aggregates.into_iter(), value);
        let aggregate = aggregate.map_err(ProcessCause::User)?;
        let grows = window.start_ms < timestamp_ms || window.end_ms > timestamp_ms;
        if grows {
            for session in joined {
                self.remove(session, timestamp_ms, headers.clone(), task)?;
            }
        }
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
            is_latest: true,
        };
        self.written(Windowed { key, window }, change, headers, task)
    }

    /// The sessions of a key that a record of this time joins, the one that ended first first.
    fn near(
        &self,
        key: &K,
        timestamp_ms: i64,
        task: &TaskContext<'_>,
    ) -> Result<Vec<Session<K, A>>, Box<ProcessError>> {
        let gap_ms = self.windows.gap_ms();
        let ends_ms = timestamp_ms.saturating_sub(gap_ms)..;
        let starts_ms = ..=timestamp_ms.saturating_add(gap_ms);
        let found = self
            .store
            .find_sessions(key, ends_ms, starts_ms, Direction::Forward);
        let failed = |cause| place(cause, &self.node, task);
        let mut near = Vec::new();
        for session in found.map_err(failed)? {
            near.push(session.map_err(failed)?);
        }
        Ok(near)
    }

    fn load(&mut self, task: &TaskContext<'_>) -> ProcessResult {
        let store = &self.store;
        let Some(finals) = &mut self.finals else {
            return Ok(());
        };
        let loaded = finals.load(task, || {
            let mut sessions = Vec::new();
            for session in store.all()? {
                let Session {
                    key,
                    start_ms,
                    end_ms,
                    ..
                } = session?;
                let bytes = store.key_bytes(&key)?;
                let window = Window { start_ms, end_ms };
                sessions.push(((end_ms, start_ms, bytes), Windowed { key, window }));
            }
            Ok(sessions)
        });
        loaded.map_err(|cause| place(cause, &self.node, task))
    }

    /// Sends the results of the sessions that have closed since.
    fn send_final(
        &mut self,
        close_time_ms: i64,
        headers: &Headers,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Some(finals) = self.finals.as_mut().filter(|finals| finals.is_due(close_time_ms)) else {
            return Ok(());
        };
        // Both ends of a session belong to it.
        let (first_ms, last_ms) = (finals.sent_ms.max(0), close_time_ms.saturating_sub(1));
        if last_ms < first_ms {
            return Ok(());
        }
        for key in finals.take(first_ms..=last_ms) {
            let row = self
                .store
                .fetch_closed(&key.key, key.window.start_ms, key.window.end_ms);
            let row = row.map_err(|cause| place(cause, &self.node, task))?;
            let Some(row) = row else { continue };
            let result = Record {
                timestamp_ms: key.window.end_ms,
                key,
                value: Change {
                    new: Some(row.value),
                    old: None,
                    is_latest: true,
                },
                headers: headers.clone(),
            };
            self.next.process(result, task)?;
        }
        finals.sent(close_time_ms, task);
        Ok(())
    }
}

impl<K, V, A> SessionAggregate<K, V, A> {
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
            is_latest: true,
        };
        self.written(Windowed { key, window }, change, headers, task)
    }

    /// A session was written or deleted: it is sent now, with the time of its end, or waits to close.
    fn written(
        &mut self,
        key: Windowed<K>,
        value: Change<A>,
        headers: Headers,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let timestamp_ms = key.window.end_ms;
        let Some(finals) = &mut self.finals else {
            let result = Record {
                key,
                value,
                timestamp_ms,
                headers,
            };
            return self.next.process(result, task);
        };
        let bytes = self.store.key_bytes(&key.key);
        let bytes = bytes.map_err(|cause| place(cause, &self.node, task))?;
        let place = (key.window.end_ms, key.window.start_ms, bytes);
        match value.new {
            Some(_) => finals.add(place, key),
            None => finals.remove(&place),
        }
        Ok(())
    }
}
