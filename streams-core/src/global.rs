//! The global stores of one instance: opened together, each filled with the records of its topic.
//!
//! Whoever has the records drives it: the global thread of the runtime, or the test driver.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{ProcessCause, ProcessError, Result};
use crate::handlers::{ErrorHandlers, ErrorResponse, Stage};
use crate::log::{Fetched, TopicPartition};
use crate::metrics::TaskMetrics;
use crate::store::{GlobalProblem, GlobalRows, GlobalStoreSpec, GlobalUpdate, PendingRows, global_position};
use crate::topology::{RawInput, Times, Topology};

/// Byte stores by name: what tasks open their readers on.
pub(crate) type GlobalStores = BTreeMap<String, GlobalRows>;

/// Fills the stores.
#[derive(Debug)]
pub(crate) struct GlobalState {
    stores: Vec<LiveGlobalStore>,
    handlers: ErrorHandlers,
    metrics: Arc<TaskMetrics>,
}

#[derive(Debug)]
struct LiveGlobalStore {
    topic: Arc<str>,
    processor: String,
    rows: GlobalRows,
    update: Box<dyn GlobalUpdate>,
    pending: PendingRows,
    /// Largest event time of each partition since the start.
    partition_times_ms: BTreeMap<i32, i64>,
}

impl GlobalState {
    /// Opens the byte stores of a topology's global stores.
    pub(crate) fn open(
        topology: &Topology,
        handlers: ErrorHandlers,
        open: &mut dyn FnMut(&GlobalStoreSpec) -> Result<GlobalRows>,
    ) -> Result<(Self, GlobalStores)> {
        let (mut stores, mut by_name) = (Vec::new(), GlobalStores::new());
        for spec in &topology.graph().global_stores {
            let rows = open(spec)?;
            by_name.insert(spec.name.clone(), Arc::clone(&rows));
            stores.push(LiveGlobalStore {
                topic: Arc::clone(&spec.topic),
                processor: spec.processor.clone(),
                update: (spec.updater)(Arc::clone(&rows)),
                rows,
                pending: PendingRows::default(),
                partition_times_ms: BTreeMap::new(),
            });
        }
        let state = Self {
            stores,
            handlers,
            metrics: Arc::default(),
        };
        Ok((state, by_name))
    }

    pub(crate) fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }

    /// True if a store is filled from this topic.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        self.stores.iter().any(|store| *store.topic == *topic)
    }

    /// Applies what was fetched of one partition, and remembers how far that is.
    pub(crate) fn apply(&mut self, fetched: &Fetched, wall_clock_ms: i64) -> Result<()> {
        let topic = &fetched.partition.topic;
        let Some(store) = self.stores.iter_mut().find(|store| store.topic == *topic) else {
            return Ok(());
        };
        for index in 0..fetched.records.len() {
            store.apply(fetched, index, wall_clock_ms, &self.handlers, &self.metrics)?;
        }
        store
            .pending
            .write(&store.rows, fetched.partition.partition, fetched.next_offset)?;
        Ok(())
    }
}

impl LiveGlobalStore {
    fn apply(
        &mut self,
        fetched: &Fetched,
        index: usize,
        wall_clock_ms: i64,
        handlers: &ErrorHandlers,
        metrics: &TaskMetrics,
    ) -> Result<()> {
        let (records, partition) = (&fetched.records, &fetched.partition);
        let span = records.spans[index];
        let input = RawInput {
            topic: &self.topic,
            partition: partition.partition,
            offset: span.offset,
            key: records.key(index),
            value: records.value(index),
            timestamp_ms: span.timestamp_ms,
            headers: records.headers(index),
        };
        let time_ms = self.partition_times_ms.entry(partition.partition).or_insert(-1);
        let times = Times {
            partition_ms: *time_ms,
            wall_clock_ms,
        };
        let updated = self
            .update
            .update(input, partition, times, &mut self.pending, metrics);
        let place = |cause: ProcessCause| {
            Box::new(ProcessError {
                cause,
                processor: Some(self.processor.clone()),
                task: None,
                input: Some((partition.clone(), span.offset)),
            })
        };
        let (stage, error) = match updated {
            Ok(timestamp_ms) => {
                *time_ms = timestamp_ms.max(*time_ms);
                return Ok(());
            }
            Err(GlobalProblem::Untimed(cause)) => return Err(place(cause).into()),
            Err(GlobalProblem::Unreadable(cause)) => (Stage::Deserialization, place(cause)),
            Err(GlobalProblem::Failed(cause)) => (Stage::Processing, place(cause)),
        };
        if handlers.handle(stage, &error) == ErrorResponse::Fail {
            return Err(error.into());
        }
        tracing::warn!(%error, "record dropped");
        metrics.count_dropped(stage.drop_reason());
        Ok(())
    }
}

/// Up to where a store has read a partition of its topic, if it has.
pub(crate) fn position(
    topology: &Topology,
    stores: &GlobalStores,
    partition: &TopicPartition,
) -> Result<Option<i64>> {
    let specs = &topology.graph().global_stores;
    let spec = specs.iter().find(|spec| spec.topic == partition.topic);
    let Some(rows) = spec.and_then(|spec| stores.get(&spec.name)) else {
        return Ok(None);
    };
    Ok(global_position(rows, partition.partition)?)
}
