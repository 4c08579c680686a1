//! The rows of a windowed aggregation: how one is updated and what is sent of it, at once or when its window closes.

use std::ops::RangeInclusive;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::ProcessResult;
use streams_core::serde::Serde;
use streams_core::store::{StoreResult, ValueAndTimestamp, WindowStore};
use streams_core::{Headers, Record, TaskContext};

use super::aggregate::{Advance, Base, Steps};
use super::final_results::FinalResults;
use super::{place, place_step};
use crate::change::Change;
use crate::windows::{Window, Windowed};

pub(crate) struct WindowRows<K, A> {
    pub(crate) node: String,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) result_serde: Arc<dyn Serde<A>>,
    pub(crate) store: WindowStore<K, A>,
    pub(crate) size_ms: i64,
    pub(crate) send_old: bool,
    /// If results are sent when their window closes.
    pub(crate) finals: Option<FinalResults<Windowed<K>>>,
}

type Next<K, A> = Edge<Windowed<K>, Change<A>>;

impl<K: Clone, A: Clone> WindowRows<K, A> {
    pub(crate) fn emits_finally(&self) -> bool {
        self.finals.is_some()
    }

    pub(crate) fn load(&mut self, task: &TaskContext<'_>) -> ProcessResult {
        let (store, size_ms) = (&self.store, self.size_ms);
        let Some(finals) = &mut self.finals else {
            return Ok(());
        };
        let loaded = finals.load(task, || {
            let mut windows = Vec::new();
            for row in store.all()? {
                let (key, start_ms, _) = row?;
                let bytes = store.key_bytes(&key)?;
                let window = Window {
                    start_ms,
                    end_ms: start_ms.saturating_add(size_ms),
                };
                windows.push(((start_ms, 0, bytes), Windowed { key, window }));
            }
            Ok(windows)
        });
        loaded.map_err(|cause| place(cause, &self.node, task))
    }

    /// Up to when results were sent, if some may be due now.
    pub(crate) fn sent_ms(&self, close_time_ms: i64) -> Option<i64> {
        let finals = self.finals.as_ref().filter(|finals| finals.is_due(close_time_ms));
        finals.map(|finals| finals.sent_ms)
    }

    /// Advances the row of a record's key in a window by the record.
    pub(crate) fn update<V>(
        &mut self,
        step: &Steps<K, V, A>,
        window: Window,
        record: Record<K, V>,
        next: &mut Next<K, A>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        self.replace(step, window, record, Base::Stored, next, task)
    }

    /// As [`update`](Self::update), from `base` on.
    pub(crate) fn replace<V>(
        &mut self,
        step: &Steps<K, V, A>,
        window: Window,
        record: Record<K, V>,
        base: Base<A>,
        next: &mut Next<K, A>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
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
        let advanced = step.in_window(&self.store, window.start_ms, by, base);
        let (change, timestamp_ms) = advanced.map_err(|cause| place_step(cause, &self.node, task))?;
        self.written(
            Windowed { key, window },
            change,
            timestamp_ms,
            headers,
            next,
            task,
        )
    }

    /// Sets a row as it is.
    pub(crate) fn put(
        &mut self,
        key: Windowed<K>,
        row: ValueAndTimestamp<A>,
        headers: Headers,
        next: &mut Next<K, A>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let ValueAndTimestamp { value, timestamp_ms } = row;
        let put = self
            .store
            .put(&key.key, key.window.start_ms, Some(value.clone()), timestamp_ms);
        put.map_err(|cause| place(cause, &self.node, task))?;
        let change = Change {
            new: Some(value),
            old: None,
            is_latest: true,
        };
        self.written(key, change, timestamp_ms, headers, next, task)
    }

    /// A row was written: it is sent now, or waits for its window to close.
    fn written(
        &mut self,
        key: Windowed<K>,
        value: Change<A>,
        timestamp_ms: i64,
        headers: Headers,
        next: &mut Next<K, A>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Some(finals) = &mut self.finals else {
            return next.process(
                Record {
                    key,
                    value,
                    timestamp_ms,
                    headers,
                },
                task,
            );
        };
        let bytes = self.store.key_bytes(&key.key);
        let bytes = bytes.map_err(|cause| place(cause, &self.node, task))?;
        finals.add((key.window.start_ms, 0, bytes), key);
        Ok(())
    }

    /// Sends the results of the windows that start in this range and have closed. As in Kafka, those that the store does not
    /// keep any more are left out: a longer retention keeps them over gaps in time.
    pub(crate) fn send_final(
        &mut self,
        starts_ms: RangeInclusive<i64>,
        close_time_ms: i64,
        headers: &Headers,
        next: &mut Next<K, A>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Some(finals) = &mut self.finals else {
            return Ok(());
        };
        for key in finals.take(starts_ms) {
            let row: StoreResult<_> = self.store.fetch(&key.key, key.window.start_ms);
            let row = row.map_err(|cause| place(cause, &self.node, task))?;
            let Some(ValueAndTimestamp { value, timestamp_ms }) = row else {
                continue;
            };
            let result = Record {
                key,
                value: Change {
                    new: Some(value),
                    old: None,
                    is_latest: true,
                },
                timestamp_ms,
                headers: headers.clone(),
            };
            next.process(result, task)?;
        }
        finals.sent(close_time_ms, task);
        Ok(())
    }
}
