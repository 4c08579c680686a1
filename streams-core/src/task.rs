//! A task: one sub-topology over one partition of each of its topics, alive.
//!
//! It buffers fetched records by partition, always processes the one with the smallest timestamp, keeps stream time,
//! punctuates, and knows what has to be committed. It does not know who polls, when to commit, or that there are threads:
//! the stream thread and the test driver both drive it through the calls below.

mod heads;
mod idle;
mod metadata;
mod queue;
mod settings;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use self::heads::Heads;
pub use self::idle::MAX_TASK_IDLE_MS_DISABLED;
pub(crate) use self::queue::{PartitionQueue, StartPosition};
pub(crate) use self::settings::TaskSettings;

use crate::assignment::TaskId;
use crate::context::{TaskContext, TaskState};
use crate::edge::AtCommit;
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result};
use crate::handlers::send_dead_letter;
use crate::log::{Fetched, OffsetAndMetadata, Producer, TopicPartition};
use crate::metrics::{DropReason, TaskMetrics};
use crate::processor::{PunctuationType, Scheduler};
use crate::store::TaskStore;
use crate::topology::{LivePunctuation, LiveTopology, RawInput, SourceNode, TopicName};

/// See the file's top.
pub(crate) struct StreamTask {
    state: TaskState,
    queues: Vec<PartitionQueue>,
    /// The queues that have records.
    heads: Heads,
    sources: Vec<Box<dyn SourceNode>>,
    /// What each source reads.
    topics: Vec<Vec<TopicName>>,
    settings: TaskSettings,
    stores: Vec<Box<dyn TaskStore>>,
    punctuations: Vec<LivePunctuation>,
    at_commit: Vec<Rc<RefCell<dyn AtCommit>>>,
    /// Something was processed or punctuated since the last commit.
    uncommitted: bool,
}

impl StreamTask {
    /// A task that reads these partitions, each from its position. Its stores must be restored by then.
    pub(crate) fn new(
        id: TaskId,
        application_id: Arc<str>,
        live: LiveTopology,
        inputs: Vec<(TopicPartition, StartPosition)>,
        settings: TaskSettings,
    ) -> Self {
        let (topics, sources): (Vec<_>, Vec<_>) = live.sources.into_iter().unzip();
        let partitions = inputs.iter().map(|(partition, _)| partition.clone()).collect();
        let mut processor_times_ms: BTreeMap<String, i64> = BTreeMap::new();
        let queues: Vec<PartitionQueue> = inputs
            .into_iter()
            .map(|(partition, start)| {
                for (name, time_ms) in &start.times.processors_ms {
                    let latest = processor_times_ms.entry(name.clone()).or_insert(*time_ms);
                    *latest = (*latest).max(*time_ms);
                }
                let source = source_of(&topics, &partition.topic, &application_id)
                    .expect("a task's inputs are its sources' topics");
                let extractor = settings.extractor_of(&*sources[source], &topics[source]);
                PartitionQueue::new(partition, source, extractor, start)
            })
            .collect();
        let mut state = TaskState::new(id, application_id, partitions);
        state.handlers = settings.handlers.clone();
        state.processor_times_ms = processor_times_ms;
        state.stream_time_ms = queues
            .iter()
            .map(|queue| queue.partition_time_ms)
            .max()
            .unwrap_or(-1);
        let LiveTopology {
            stores,
            punctuations,
            at_commit,
            state_dir,
            metrics,
            ..
        } = live;
        state.state_dir = state_dir;
        state.metrics = metrics;
        for LivePunctuation { scheduler, .. } in &punctuations {
            scheduler.begin(state.stream_time_ms);
        }
        Self {
            state,
            queues,
            heads: Heads::default(),
            sources,
            topics,
            settings,
            stores,
            punctuations,
            at_commit,
            uncommitted: false,
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.state.task_id
    }

    pub(crate) fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.state.metrics
    }

    pub(crate) fn queues(&self) -> &[PartitionQueue] {
        &self.queues
    }

    /// Adds a partition of a topic that one of the sources' patterns matches. False if none does.
    pub(crate) fn add_input(&mut self, partition: &TopicPartition) -> bool {
        let source = source_of(&self.topics, &partition.topic, &self.state.application_id);
        if let Some(source) = source {
            let extractor = self
                .settings
                .extractor_of(&*self.sources[source], &self.topics[source]);
            let start = StartPosition::at(0);
            let queue = PartitionQueue::new(partition.clone(), source, extractor, start);
            self.queues.push(queue);
            self.state.partitions.push(partition.clone());
        }
        source.is_some()
    }

    /// Buffers what was fetched for one of the task's partitions. Returns how many records that has buffered now.
    pub(crate) fn add(&mut self, fetched: Fetched) -> usize {
        let partition = &fetched.partition;
        let Some(index) = self.queues.iter().position(|queue| queue.partition == *partition) else {
            return 0;
        };
        let queue = &mut self.queues[index];
        let was_empty = queue.is_empty();
        queue.add(fetched, &*self.sources[queue.source], self.state.wall_clock_ms);
        let buffered = queue.buffered;
        if was_empty && buffered > 0 {
            self.heads.offer(index, |index| self.queues[index].head_ms);
        }
        buffered
    }

    /// What the log says the end of a partition is.
    pub(crate) fn set_end(&mut self, partition: &TopicPartition, end_offset: i64) {
        if let Some(queue) = self.queues.iter_mut().find(|queue| queue.partition == *partition) {
            queue.set_end(end_offset);
        }
    }

    /// Goes on elsewhere on a partition, if it is one of the task's: the records at its position are gone.
    pub(crate) fn reset(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(queue) = self.queues.iter_mut().find(|queue| queue.partition == *partition) {
            queue.reset_to(offset);
        }
    }

    pub(crate) fn set_wall_clock_ms(&mut self, now_ms: i64) {
        self.state.wall_clock_ms = now_ms;
        for LivePunctuation { scheduler, .. } in &self.punctuations {
            scheduler.set_wall_clock_ms(now_ms);
        }
    }

    /// Processes up to `limit` records, smallest timestamp first. Stops early when a partition ran empty that is to be waited for.
    pub(crate) fn process(
        &mut self,
        limit: usize,
        producer: &mut dyn Producer,
    ) -> Result<usize, Box<ProcessError>> {
        let mut processed = 0;
        while processed < limit && !self.state.commit_requested {
            let Some(index) = self.next_queue() else { break };
            self.process_head(index, producer)?;
            processed += 1;
            if self.waits_for(&self.queues[index]) {
                break;
            }
        }
        if processed > 0 {
            self.uncommitted = true;
            self.state.metrics.count_processed(processed as u64);
        }
        Ok(processed)
    }

    fn next_queue(&self) -> Option<usize> {
        self.heads.first()
    }

    fn process_head(&mut self, index: usize, producer: &mut dyn Producer) -> ProcessResult {
        let queue = &mut self.queues[index];
        let source = &mut *self.sources[queue.source];
        let Some(head) = queue.head() else { return Ok(()) };
        self.state.input = Some((index, head.offset));
        let timestamp_ms = head.timestamp_ms;
        let mut is_read = true;
        if timestamp_ms < 0 {
            self.drop_without_timestamp(index)?;
        } else {
            let mut task = TaskContext {
                state: &mut self.state,
                producer,
            };
            let processed = source.process(head, &mut task);
            if processed.is_err() || !self.state.failures.is_empty() {
                self.send_dead_letters(
                    Some(index),
                    timestamp_ms,
                    processed.as_ref().err().map(|error| &**error),
                    producer,
                )?;
            }
            is_read = processed?;
        }
        self.heads.poll(|index| self.queues[index].head_ms);
        let queue = &mut self.queues[index];
        if is_read {
            queue.observe_head();
        }
        queue.advance(&*self.sources[queue.source], self.state.wall_clock_ms);
        if !queue.is_empty() {
            self.heads.offer(index, |index| self.queues[index].head_ms);
        }
        Ok(())
    }

    /// The first record of a queue has no timestamp: is dropped if an extractor said so, else that is an error.
    #[cold]
    fn drop_without_timestamp(&mut self, index: usize) -> ProcessResult {
        let queue = &mut self.queues[index];
        let cause = match queue.take_head_failure() {
            Some(error) => ProcessCause::TimestampExtractor(error),
            None if queue.extracts_timestamps(&*self.sources[queue.source]) => {
                self.state.metrics.count_dropped(DropReason::InvalidTimestamp);
                return Ok(());
            }
            None => ProcessCause::InvalidTimestamp {
                timestamp_ms: queue.head_ms,
            },
        };
        Err(self.place(cause))
    }

    /// Writes a dead letter for each failure: the record at the head of a queue, if it was that one that failed. What a
    /// punctuator made, or what had been held back, has no bytes of input any more, and is at `at_ms`.
    #[cold]
    fn send_dead_letters(
        &mut self,
        index: Option<usize>,
        at_ms: i64,
        fatal: Option<&ProcessError>,
        producer: &mut dyn Producer,
    ) -> ProcessResult {
        let failures = std::mem::take(&mut self.state.failures);
        let Some(topic) = self.state.handlers.dead_letters() else {
            return Ok(());
        };
        let topic = producer.topic(topic)?;
        let head = index.and_then(|index| Some((index, self.queues[index].head()?)));
        for error in failures.iter().chain(fatal) {
            let is_head = |(index, offset): (usize, i64)| match &error.input {
                Some((partition, failed)) => *partition == self.state.partitions[index] && *failed == offset,
                None => true,
            };
            match &head {
                Some((index, head)) if is_head((*index, head.offset)) => {
                    send_dead_letter(producer, topic, head, error)?;
                }
                _ => send_dead_letter(producer, topic, &RawInput::without_bytes(at_ms), error)?,
            }
        }
        Ok(())
    }

    /// What failed without a record of the input.
    fn settle<T>(
        &mut self,
        at_ms: i64,
        result: Result<T, Box<ProcessError>>,
        producer: &mut dyn Producer,
    ) -> Result<T, Box<ProcessError>> {
        if result.is_err() || !self.state.failures.is_empty() {
            self.send_dead_letters(None, at_ms, result.as_ref().err().map(|error| &**error), producer)?;
        }
        result
    }

    /// Calls all schedules of this kind that are due. Returns how many.
    pub(crate) fn punctuate(
        &mut self,
        kind: PunctuationType,
        producer: &mut dyn Producer,
    ) -> Result<usize, Box<ProcessError>> {
        let now_ms = match kind {
            PunctuationType::StreamTime => self.state.stream_time_ms,
            PunctuationType::WallClockTime => self.state.wall_clock_ms,
        };
        if now_ms < 0 {
            return Ok(0);
        }
        let fired = self.fire(kind, now_ms, producer);
        let fired = self.settle(now_ms, fired, producer)?;
        self.uncommitted |= fired > 0;
        Ok(fired)
    }

    fn fire(
        &mut self,
        kind: PunctuationType,
        now_ms: i64,
        producer: &mut dyn Producer,
    ) -> Result<usize, Box<ProcessError>> {
        let mut fired = 0;
        for LivePunctuation { scheduler, node } in &self.punctuations {
            for schedule in scheduler.take_due(kind, now_ms) {
                if schedule.is_cancelled() {
                    continue;
                }
                self.state.input = None;
                let mut task = TaskContext {
                    state: &mut self.state,
                    producer,
                };
                node.borrow_mut().punctuate(schedule, now_ms, &mut task)?;
                fired += 1;
            }
        }
        Ok(fired)
    }

    /// When the next wall-clock schedule is due.
    pub(crate) fn next_wall_clock_punctuation_ms(&self) -> Option<i64> {
        let schedulers = self.punctuations.iter().map(|punctuation| &punctuation.scheduler);
        schedulers.filter_map(Scheduler::next_wall_clock_ms).min()
    }

    /// True if there is something to commit: records, or positions that moved over control records.
    pub(crate) fn has_uncommitted(&self) -> bool {
        self.uncommitted || self.queues.iter().any(PartitionQueue::moved)
    }

    /// True if user code asked for a commit, or dirty state fills a store's cache.
    pub(crate) fn wants_commit(&self) -> bool {
        self.state.commit_requested || self.stores.iter().any(|store| store.over_limit())
    }

    /// First half of a commit: what was held back is processed, and state goes to the changelogs. Returns the input offsets that belong to it.
    pub(crate) fn prepare_commit(
        &mut self,
        producer: &mut dyn Producer,
    ) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>, Box<ProcessError>> {
        self.state.input = None;
        let sent = self.send_held_back(producer);
        self.settle(self.state.stream_time_ms.max(0), sent, producer)?;
        for store in &self.stores {
            store
                .write_changelog(producer)
                .map_err(|cause| self.place(cause))?;
            let expired = store.take_expired();
            self.state.metrics.count_all_dropped(DropReason::Expired, expired);
        }
        Ok(self
            .queues
            .iter()
            .filter_map(|queue| queue.commit_position(&self.state.processor_times_ms))
            .collect())
    }

    fn send_held_back(&mut self, producer: &mut dyn Producer) -> ProcessResult {
        for node in &self.at_commit {
            let mut task = TaskContext {
                state: &mut self.state,
                producer,
            };
            node.borrow_mut().at_commit(&mut task)?;
        }
        Ok(())
    }

    /// Second half, once the log has it all.
    pub(crate) fn committed(&mut self, producer: &dyn Producer) {
        let position = |topic: &str, partition: i32| {
            let mut queues = self.queues.iter();
            let of = |queue: &&PartitionQueue| {
                *queue.partition.topic == *topic && queue.partition.partition == partition
            };
            queues.find(of).map(PartitionQueue::position)
        };
        for store in &self.stores {
            store.committed(producer, &position);
        }
        for queue in &mut self.queues {
            queue.committed();
        }
        self.uncommitted = false;
        self.state.commit_requested = false;
    }

    /// Writes what is committed to the stores. Only right after a commit.
    pub(crate) fn flush(&self) -> Result<(), Box<ProcessError>> {
        for store in &self.stores {
            store.flush().map_err(|cause| self.place(cause))?;
        }
        Ok(())
    }

    /// Makes all stores complete and durable. Only right after a commit.
    pub(crate) fn close(&self) -> Result<(), Box<ProcessError>> {
        self.flush()?;
        for store in &self.stores {
            store.bytes().flush().map_err(|error| self.place(error.into()))?;
        }
        Ok(())
    }

    pub(crate) fn over_limit(&self) -> bool {
        self.stores.iter().any(|store| store.over_limit())
    }

    fn place(&self, cause: ProcessCause) -> Box<ProcessError> {
        Box::new(ProcessError {
            cause,
            processor: None,
            task: Some(self.state.task_id.to_string()),
            input: self.state.input_position(),
        })
    }
}

/// Which source reads a topic of the log: the one that names it, else the one whose pattern it matches.
fn source_of(topics: &[Vec<TopicName>], topic: &str, application_id: &str) -> Option<usize> {
    let position = |by_pattern: bool| {
        let reads = |of: &TopicName| {
            matches!(of, TopicName::Pattern(_)) == by_pattern && of.is(topic, application_id)
        };
        topics.iter().position(|topics| topics.iter().any(reads))
    };
    position(false).or_else(|| position(true))
}
