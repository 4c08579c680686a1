//! The tasks of one stream thread, from assignment to close.
//!
//! ```text
//! waiting (for another thread to let go) -> restoring -> running -> closed (committed) or abandoned
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::start_positions::start_positions;
use super::state_directory::TaskLock;
use crate::assignment::TaskId;
use crate::error::Result;
use crate::log::{Admin, Fetched, Producer, TopicPartition};
use crate::metrics::TaskMetrics;
use crate::restore::Restorer;
use crate::store::{StoreSpec, open_bytes};
use crate::task::{StartPosition, StreamTask};
use crate::topology::{LiveTopology, StorePlace, TopicName, wire};

/// See the file's top.
#[derive(Debug)]
pub(crate) struct Tasks {
    shared: Arc<Shared>,
    restorer: Restorer,
    waiting: Vec<TaskId>,
    restoring: BTreeMap<TaskId, RestoringTask>,
    running: BTreeMap<TaskId, RunningTask>,
    owner: BTreeMap<TopicPartition, TaskId>,
    /// Partitions not fetched for now, since they have enough buffered.
    pub(crate) paused: Vec<TopicPartition>,
}

struct RestoringTask {
    live: LiveTopology,
    inputs: Vec<(TopicPartition, StartPosition)>,
    lock: TaskLock,
}

struct RunningTask {
    // Before the lock, so that stores are closed when it is released.
    task: StreamTask,
    _lock: TaskLock,
}

impl Tasks {
    pub(crate) fn new(shared: Arc<Shared>, restorer: Restorer) -> Self {
        Self {
            shared,
            restorer,
            waiting: Vec::new(),
            restoring: BTreeMap::new(),
            running: BTreeMap::new(),
            owner: BTreeMap::new(),
            paused: Vec::new(),
        }
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &StreamTask> {
        self.running.values().map(|running| &running.task)
    }

    pub(crate) fn running_mut(&mut self) -> impl Iterator<Item = &mut StreamTask> {
        self.running.values_mut().map(|running| &mut running.task)
    }

    pub(crate) fn all_running(&self) -> bool {
        self.waiting.is_empty() && self.restoring.is_empty()
    }

    pub(crate) fn owned(&self) -> Vec<TaskId> {
        self.running
            .keys()
            .chain(self.restoring.keys())
            .chain(&self.waiting)
            .copied()
            .collect()
    }

    /// What this thread would best be given: its own tasks, or else those with state on this instance's disk. Threads of
    /// one instance divide these among themselves.
    pub(crate) fn owned_or_on_disk(&self, thread: usize) -> Vec<TaskId> {
        let owned = self.owned();
        if !owned.is_empty() {
            return owned;
        }
        let mut on_disk = self.shared.directory.tasks();
        on_disk.sort_unstable();
        on_disk.retain(|task| self.shared.assignor.tasks().contains_key(task));
        let threads = self.shared.config.num_stream_threads;
        on_disk.into_iter().skip(thread).step_by(threads).collect()
    }

    /// Closes committed tasks that are no longer this thread's.
    /// Those that read other partitions now are closed too, and made anew.
    pub(crate) fn keep_only(&mut self, assigned: &[TaskId]) -> Result<()> {
        let tasks = self.shared.assignor.tasks();
        let is_kept = |id: &TaskId, reads: Vec<&TopicPartition>| {
            assigned.contains(id) && tasks.get(id).is_some_and(|inputs| inputs.iter().eq(reads))
        };
        let keeps_running = |id: &TaskId, running: &RunningTask| {
            is_kept(
                id,
                running
                    .task
                    .queues()
                    .iter()
                    .map(|queue| &queue.partition)
                    .collect(),
            )
        };
        let keeps_restoring = |id: &TaskId, restoring: &RestoringTask| {
            is_kept(
                id,
                restoring.inputs.iter().map(|(partition, _)| partition).collect(),
            )
        };
        for (id, running) in &self.running {
            if !keeps_running(id, running) {
                running.task.flush()?;
            }
        }
        self.running.retain(|id, running| keeps_running(id, running));
        for (id, restoring) in &self.restoring {
            if !keeps_restoring(id, restoring) {
                self.restorer.remove(&restoring.live.stores)?;
            }
        }
        self.restoring
            .retain(|id, restoring| keeps_restoring(id, restoring));
        self.waiting.clear();
        self.index_partitions();
        Ok(())
    }

    /// Adds those of the assigned tasks that this thread does not have yet.
    pub(crate) fn wait_for(&mut self, assigned: Vec<TaskId>) {
        let is_new = |id: &TaskId| !self.running.contains_key(id) && !self.restoring.contains_key(id);
        self.waiting = assigned.into_iter().filter(is_new).collect();
    }

    /// Makes waiting tasks live, where no other thread has their stores open. True if there were any.
    pub(crate) fn create_waiting(
        &mut self,
        admin: &mut dyn Admin,
        producer: &mut dyn Producer,
    ) -> Result<bool> {
        let mut created = false;
        for id in std::mem::take(&mut self.waiting) {
            let Some(lock) = self.shared.directory.try_lock_task(id) else {
                self.waiting.push(id);
                continue;
            };
            // Waits for open transactions of whoever had the task before, so that changelogs are complete after it.
            let tasks = self.shared.assignor.tasks();
            // Its topics are gone: the next assignment is without it.
            let Some(partitions) = tasks.get(&id) else {
                continue;
            };
            let inputs = start_positions(&self.shared, partitions, admin)?;
            let live = self.make_live(id, producer)?;
            self.restorer.add(&live.stores, &inputs, admin)?;
            self.restoring.insert(id, RestoringTask { live, inputs, lock });
            created = true;
        }
        Ok(created)
    }

    /// Restores some more. True if a task is complete and runs now.
    pub(crate) fn restore(&mut self, timeout: Duration) -> Result<bool> {
        self.restorer.step(timeout)?;
        let restorer = &self.restorer;
        let done: Vec<TaskId> = self
            .restoring
            .iter()
            .filter(|(_, restoring)| restorer.done(&restoring.live.stores))
            .map(|(id, _)| *id)
            .collect();
        for id in &done {
            let Some(RestoringTask { live, inputs, lock }) = self.restoring.remove(id) else {
                continue;
            };
            let application_id = Arc::from(self.shared.config.application_id.as_str());
            let settings = self.shared.config.task_settings();
            let task = StreamTask::new(*id, application_id, live, inputs, settings);
            self.shared.register(*id, task.metrics());
            self.running.insert(*id, RunningTask { task, _lock: lock });
        }
        self.index_partitions();
        Ok(!done.is_empty())
    }

    /// Partitions of all running tasks and where to read on.
    pub(crate) fn positions(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let queues = self.running().flat_map(StreamTask::queues);
        queues
            .map(|queue| (queue.partition.clone(), Some(queue.next_offset())))
            .collect()
    }

    /// Goes on elsewhere on a partition whose records at the position are gone.
    pub(crate) fn reset(&mut self, partition: &TopicPartition, offset: i64) {
        for task in self.running_mut() {
            task.reset(partition, offset);
        }
    }

    /// Buffers what was fetched. Returns how many records the partition now has buffered.
    pub(crate) fn add(&mut self, fetched: Fetched) -> usize {
        let owner = self.owner.get(&fetched.partition);
        owner
            .and_then(|id| self.running.get_mut(id))
            .map_or(0, |running| running.task.add(fetched))
    }

    /// Paused partitions that have at most `limit` records buffered; they count as resumed from here on.
    pub(crate) fn take_resumable(&mut self, limit: usize) -> Vec<TopicPartition> {
        if self.paused.is_empty() {
            return Vec::new();
        }
        let buffered = |partition: &TopicPartition| {
            let queues = self.running.values().flat_map(|running| running.task.queues());
            queues
                .filter(|queue| queue.partition == *partition)
                .map(|queue| queue.buffered)
                .sum::<usize>()
        };
        let (resume, stay) = self
            .paused
            .iter()
            .cloned()
            .partition(|partition| buffered(partition) <= limit);
        self.paused = stay;
        resume
    }

    /// Committed offsets of the repartition topics this thread reads.
    pub(crate) fn consumed_repartition_offsets(&self) -> Vec<(TopicPartition, i64)> {
        let application_id = &self.shared.config.application_id;
        let graph = self.shared.topology.graph();
        let topics: Vec<String> = graph
            .repartition_topics
            .iter()
            .map(|topic| TopicName::Internal(Arc::clone(&topic.name)).resolve(application_id))
            .collect();
        let queues = self.running().flat_map(StreamTask::queues);
        queues
            .filter(|queue| topics.iter().any(|topic| **topic == *queue.partition.topic))
            .filter_map(|queue| Some((queue.partition.clone(), queue.committed_offset()?)))
            .collect()
    }

    /// Closes all tasks, which must be committed: stores get what they lack.
    pub(crate) fn close(&mut self) -> Result<()> {
        for running in self.running.values() {
            running.task.close()?;
        }
        self.abandon();
        Ok(())
    }

    /// Drops all tasks. Stores keep what was flushed.
    pub(crate) fn abandon(&mut self) {
        for restoring in self.restoring.values() {
            if let Err(error) = self.restorer.remove(&restoring.live.stores) {
                tracing::warn!(%error, "cannot stop restoring");
            }
        }
        self.waiting.clear();
        self.restoring.clear();
        self.running.clear();
        self.owner.clear();
        self.paused.clear();
    }

    fn index_partitions(&mut self) {
        self.owner = self
            .running
            .iter()
            .flat_map(|(id, running)| {
                running
                    .task
                    .queues()
                    .iter()
                    .map(|queue| (queue.partition.clone(), *id))
            })
            .collect();
        let owner = &self.owner;
        self.paused.retain(|partition| owner.contains_key(partition));
    }

    fn make_live(&self, id: TaskId, producer: &mut dyn Producer) -> Result<LiveTopology> {
        let shared = &self.shared;
        let config = &shared.config;
        let subtopology = &shared.topology.subtopologies()[id.subtopology as usize];
        let stores: usize = shared
            .assignor
            .tasks()
            .keys()
            .map(|task| {
                shared.topology.subtopologies()[task.subtopology as usize]
                    .stores
                    .len()
            })
            .sum();
        let mut open = |spec: &StoreSpec| {
            let identity =
                state_store::StoreIdentity::new(&config.application_id, id.to_string(), &spec.name);
            let store = state_store::StoreSpec::new(identity, spec.layout);
            let path = shared.directory.store_path(id, &spec.name);
            let kind = spec.kind.as_ref();
            let opened = open_bytes(kind, &*shared.persistent, &shared.memory, &store, Some(&path));
            Ok(opened?)
        };
        let mut place = StorePlace {
            application_id: &config.application_id,
            task_id: id,
            state_dir: Some(shared.directory.task_path(id)),
            cache_bytes: config.cache_max_bytes / stores.max(1),
            logs_every_put: false,
            globals: &shared.globals,
            metrics: Arc::new(TaskMetrics::new(config.metrics_recording_level)),
            open: &mut open,
        };
        wire(&shared.topology, subtopology, &mut place, producer)
    }
}

impl std::fmt::Debug for RestoringTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestoringTask")
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RunningTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningTask")
            .field("id", &self.task.id())
            .finish_non_exhaustive()
    }
}
