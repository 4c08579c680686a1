//! The global thread: reads the topics of the global stores to their ends before any task runs, and then goes on.
//!
//! It is in no group and commits nothing: each instance reads all partitions, and its stores know how far they are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Shared, State, StateDirectory, StreamsConfig};
use crate::error::{LogError, Result};
use crate::global::{GlobalState, GlobalStores, position};
use crate::log::{Admin, Consumer, ConsumerConfig, Log, OffsetSpec, TopicPartition};
use crate::store::{GlobalStoreSpec, StoreKind};
use crate::topology::Topology;
use state_store::{Layout, MemoryEngine, StoreEngine, StoreIdentity, StoreSpec};

/// What stands for the task in the identity of a global store.
const TASK: &str = "global";
/// How long the first read may wait for records that are known to be there.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// See the file's top.
#[derive(Debug)]
pub(crate) struct GlobalThread {
    index: usize,
    shared: Arc<Shared>,
    state: GlobalState,
    consumer: Box<dyn Consumer>,
}

/// Opens the byte stores of the application's global stores.
pub(crate) fn open(
    topology: &Topology,
    config: &StreamsConfig,
    directory: &StateDirectory,
    persistent: &dyn StoreEngine,
) -> Result<(GlobalState, GlobalStores)> {
    let mut open = |spec: &GlobalStoreSpec| {
        let identity = StoreIdentity::new(&config.application_id, TASK, &spec.name);
        let store = StoreSpec::new(identity, Layout::Plain);
        Ok(match spec.kind.unwrap_or_default() {
            StoreKind::Persistent => {
                persistent.open(&store, Some(&directory.global_store_path(&spec.name)))?
            }
            StoreKind::InMemory => MemoryEngine.open(&store, None)?,
        })
    };
    GlobalState::open(topology, config.errors.clone(), &mut open)
}

impl GlobalThread {
    /// Brings the stores up to the ends of their topics.
    pub(crate) fn start(
        index: usize,
        shared: Arc<Shared>,
        state: GlobalState,
        partitions: &[TopicPartition],
        log: &dyn Log,
    ) -> Result<Self> {
        let config = &shared.config;
        let mut admin = log.admin()?;
        let positions = start_positions(&shared, partitions, &mut *admin)?;
        let ends = admin.offsets(partitions, OffsetSpec::Latest, config.isolation())?;
        let mut behind: Vec<(TopicPartition, i64)> = Vec::new();
        for ((partition, position), end_offset) in positions.iter().zip(ends) {
            let position = position.unwrap_or(0);
            if position < end_offset {
                tracing::info!(%partition, position, end_offset, "reading the topic of a global store");
                behind.push((partition.clone(), end_offset));
            }
        }
        let mut consumer = log.consumer(&ConsumerConfig {
            isolation: config.isolation(),
            ..ConsumerConfig::new(format!("{}-global-consumer", shared.client_id()))
        })?;
        consumer.assign(&positions)?;
        let mut thread = Self {
            index,
            state,
            consumer,
            shared: Arc::clone(&shared),
        };
        thread.catch_up(behind)?;
        Ok(thread)
    }

    fn catch_up(&mut self, mut behind: Vec<(TopicPartition, i64)>) -> Result<()> {
        let clock = Arc::clone(&self.shared.config.clock);
        let mut progress_at = clock.elapsed();
        while let Some((partition, end_offset)) = behind.first() {
            if clock.elapsed().saturating_sub(progress_at) > STALLED_AFTER {
                let what = format!("records of {partition}, which ends at offset {end_offset}");
                return Err(LogError::TimedOut { what }.into());
            }
            for fetched in self.consumer.poll(self.poll_timeout())? {
                self.state.apply(&fetched)?;
                progress_at = clock.elapsed();
                behind
                    .retain(|(partition, end)| *partition != fetched.partition || fetched.next_offset < *end);
            }
        }
        Ok(())
    }

    /// Runs until the application closes.
    pub(crate) fn run(mut self) -> Result<()> {
        self.shared.set_thread_state(self.index, State::Running);
        while !self.shared.closing() {
            for fetched in self.consumer.poll(self.poll_timeout())? {
                self.state.apply(&fetched)?;
            }
        }
        for rows in self.shared.globals.values() {
            rows.flush()?;
        }
        Ok(())
    }

    fn poll_timeout(&self) -> Duration {
        Duration::from_millis(self.shared.config.poll_ms)
    }
}

/// Where each partition is read from. A store that does not fit its topic is emptied and filled from the topic's start.
fn start_positions(
    shared: &Shared,
    partitions: &[TopicPartition],
    admin: &mut dyn Admin,
) -> Result<Vec<(TopicPartition, Option<i64>)>> {
    let isolation = shared.config.isolation();
    let log_starts = admin.offsets(partitions, OffsetSpec::Earliest, isolation)?;
    let ends = admin.offsets(partitions, OffsetSpec::Latest, isolation)?;
    let mut misfits = BTreeSet::new();
    let mut positions = Vec::new();
    for ((partition, log_start), end) in partitions.iter().zip(&log_starts).zip(ends) {
        let position = position(&shared.topology, &shared.globals, partition)?;
        if let Some(offset) = position
            && !(*log_start..=end).contains(&offset)
        {
            let error = LogError::OffsetOutOfRange {
                partition: partition.clone(),
                offset,
                log_start_offset: *log_start,
                log_end_offset: end,
            };
            tracing::warn!(%error, "the global store does not fit its topic; reading all of it");
            misfits.insert(Arc::clone(&partition.topic));
        }
        positions.push((partition.clone(), Some(position.unwrap_or(*log_start))));
    }
    for spec in &shared.topology.graph().global_stores {
        if let Some(rows) = shared
            .globals
            .get(&spec.name)
            .filter(|_| misfits.contains(&spec.topic))
        {
            rows.clear()?;
        }
    }
    for ((partition, position), log_start) in positions.iter_mut().zip(log_starts) {
        if misfits.contains(&partition.topic) {
            *position = Some(log_start);
        }
    }
    Ok(positions)
}
