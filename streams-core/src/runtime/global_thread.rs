//! The global thread: reads the topics of the global stores to their ends before any task runs, and then goes on.
//!
//! It is in no group and commits nothing: each instance reads all partitions, and its stores know how far they are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{RestoreListener, Shared, State, StateDirectory, StreamsConfig};
use crate::error::{LogError, Result};
use crate::global::{GlobalState, GlobalStores, position};
use crate::log::{Admin, Consumer, ConsumerConfig, Fetched, Log, OffsetSpec, TopicPartition};
use crate::store::{GlobalStoreSpec, open_bytes};
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
        let path = directory.global_store_path(&spec.name);
        Ok(open_bytes(
            spec.kind.as_ref(),
            persistent,
            &MemoryEngine,
            &store,
            Some(&path),
        )?)
    };
    GlobalState::open(topology, config.errors.clone(), &mut open)
}

/// A partition that is not read to its end yet, as of the start.
struct Behind {
    partition: TopicPartition,
    end_offset: i64,
    store: String,
    /// Records so far.
    restored: u64,
}

impl Behind {
    /// True if that was the last of it.
    fn applied(&mut self, fetched: &Fetched, listener: &dyn RestoreListener) -> bool {
        if let Some(last) = fetched.records.spans.last() {
            let count = fetched.records.len() as u64;
            self.restored += count;
            listener.on_batch_restored(&self.partition, &self.store, last.offset, count);
        }
        let is_done = fetched.next_offset >= self.end_offset;
        if is_done {
            listener.on_restore_end(&self.partition, &self.store, self.restored);
        }
        is_done
    }
}

/// The store that a topic fills.
fn store_of(topology: &Topology, partition: &TopicPartition) -> String {
    let mut stores = topology.graph().global_stores.iter();
    let store = stores.find(|store| store.topic == partition.topic);
    store.map_or_else(String::new, |store| store.name.clone())
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
        let mut behind: Vec<Behind> = Vec::new();
        for ((partition, position), end_offset) in positions.iter().zip(ends) {
            let position = position.unwrap_or(0);
            let store = store_of(&shared.topology, partition);
            let listener = &config.listeners.restore;
            listener.on_restore_start(partition, &store, position, end_offset);
            if position < end_offset {
                tracing::info!(%partition, position, end_offset, "reading the topic of a global store");
                behind.push(Behind {
                    partition: partition.clone(),
                    end_offset,
                    store,
                    restored: 0,
                });
            } else {
                listener.on_restore_end(partition, &store, 0);
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

    fn catch_up(&mut self, mut behind: Vec<Behind>) -> Result<()> {
        let listener = Arc::clone(&self.shared.config.listeners.restore);
        let clock = Arc::clone(&self.shared.config.clock);
        let mut progress_at = clock.elapsed();
        while let Some(Behind {
            partition,
            end_offset,
            ..
        }) = behind.first()
        {
            if clock.elapsed().saturating_sub(progress_at) > STALLED_AFTER {
                let what = format!("records of {partition}, which ends at offset {end_offset}");
                return Err(LogError::TimedOut { what }.into());
            }
            for fetched in self.consumer.poll(self.poll_timeout())? {
                self.state.apply(&fetched, clock.now_ms())?;
                progress_at = clock.elapsed();
                behind
                    .retain_mut(|of| of.partition != fetched.partition || !of.applied(&fetched, &*listener));
            }
        }
        Ok(())
    }

    /// Runs until the application closes.
    pub(crate) fn run(mut self) -> Result<()> {
        self.shared.set_thread_state(self.index, State::Running);
        while !self.shared.closing() {
            let polled = self.consumer.poll(self.poll_timeout())?;
            let now_ms = self.shared.config.clock.now_ms();
            for fetched in polled {
                self.state.apply(&fetched, now_ms)?;
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
