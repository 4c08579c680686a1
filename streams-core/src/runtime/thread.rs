//! The stream thread: one loop that can be read aloud.
//!
//! Everything a thread does happens here, in this order: membership, restore, poll, process, punctuate, commit. A commit
//! is one transaction over all tasks of the thread: outputs, changelogs and input offsets; only then are stores told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::start_positions::reset_position;
use super::tasks::Tasks;
use super::{Shared, State};
use crate::assignment::{Assignor, TaskId};
use crate::error::{LogError, ProcessCause, Result, StreamsError};
use crate::log::{
    Admin, Consumer, ConsumerConfig, Log, OffsetAndMetadata, Producer, ProducerConfig, TopicPartition,
};
use crate::membership::{Membership, MembershipConfig, MembershipEvent};
use crate::processor::PunctuationType;
use crate::restore::Restorer;
use crate::task::StreamTask;

/// Records a task processes before the next one's turn, and before the clock is looked at again.
const RECORDS_PER_TURN: usize = 1_000;
/// How long a member waits in one step of joining.
const JOIN_STEP: Duration = Duration::from_millis(100);

/// See the file's top.
#[derive(Debug)]
pub(crate) struct StreamThread<'a> {
    index: usize,
    name: String,
    shared: Arc<Shared>,
    log: &'a dyn Log,
    consumer: Box<dyn Consumer>,
    producer: Box<dyn Producer>,
    admin: Box<dyn Admin>,
    membership: Box<dyn Membership>,
    membership_config: MembershipConfig,
    tasks: Tasks,
    /// Between giving tasks up and getting new ones, nothing is processed.
    joining: bool,
    in_transaction: bool,
    last_commit: Duration,
    last_flush: Duration,
    last_purge: Duration,
    last_metadata: Duration,
    /// Of the tasks that the group was joined with.
    layout_version: u64,
    has_patterns: bool,
}

impl<'a> StreamThread<'a> {
    pub(crate) fn new(index: usize, name: String, shared: Arc<Shared>, log: &'a dyn Log) -> Result<Self> {
        let config = &shared.config;
        let isolation = config.isolation();
        let consumer_config = |role: &str| ConsumerConfig {
            isolation,
            ..ConsumerConfig::new(format!("{name}-{role}"))
        };
        let consumer = log.consumer(&consumer_config("consumer"))?;
        let restore_consumer = log.consumer(&consumer_config("restore-consumer"))?;
        let restorer = Restorer::new(restore_consumer, Arc::clone(&config.listeners.restore));
        let producer = log.producer(&producer_config(index, &name, &shared))?;
        let assignor = Arc::clone(&shared.assignor);
        let membership_config = MembershipConfig {
            group_id: config.application_id.clone(),
            client_id: name.clone(),
            topics: topics(&assignor),
            assignor,
            session_timeout_ms: config.session_timeout_ms,
            rebalance_timeout_ms: config.max_poll_interval_ms,
            heartbeat_interval_ms: config.heartbeat_interval_ms,
        };
        let membership = log.membership(&membership_config)?;
        let now = config.clock.elapsed();
        let tasks = Tasks::new(Arc::clone(&shared), restorer);
        Ok(Self {
            index,
            admin: log.admin()?,
            name,
            log,
            consumer,
            producer,
            membership,
            membership_config,
            tasks,
            joining: true,
            in_transaction: false,
            last_commit: now,
            last_flush: now,
            last_purge: now,
            last_metadata: now,
            layout_version: shared.layout_version(),
            has_patterns: shared.topology.has_patterns(),
            shared,
        })
    }

    /// Runs until the application closes.
    pub(crate) fn run(mut self) -> Result<()> {
        if self.shared.config.exactly_once() {
            self.producer.init_transactions()?;
        }
        while !self.shared.closing() {
            match self.run_once() {
                Ok(()) => {}
                Err(error) if fenced(&error) => self.start_over(&error)?,
                Err(error) => return Err(error),
            }
        }
        self.shut_down()
    }

    fn run_once(&mut self) -> Result<()> {
        self.follow_topics()?;
        self.follow_membership()?;
        if self.joining {
            return Ok(());
        }
        self.advance_restoring()?;
        self.poll()?;
        self.process()?;
        self.punctuate()?;
        if self.commit_due() {
            self.commit()?;
        }
        self.purge_repartition_topics()
    }

    /// Joins the group anew when there are topics that it does not know.
    fn follow_topics(&mut self) -> Result<()> {
        if !self.has_patterns {
            return Ok(());
        }
        let now = self.shared.config.clock.elapsed();
        let max_age = Duration::from_millis(self.shared.config.metadata_max_age_ms);
        if now.saturating_sub(self.last_metadata) >= max_age {
            self.last_metadata = now;
            match self.shared.follow_topics(&mut *self.admin) {
                Err(StreamsError::Log(error)) => {
                    tracing::warn!(%error, "cannot look for topics that patterns match; trying again later");
                }
                looked => looked?,
            }
        }
        if self.layout_version == self.shared.layout_version() {
            return Ok(());
        }
        self.shared.set_thread_state(self.index, State::Rebalancing);
        if !self.joining {
            self.commit()?;
        }
        self.layout_version = self.shared.layout_version();
        self.membership_config.topics = topics(&self.shared.assignor);
        self.join_anew()
    }

    /// As a new member.
    fn join_anew(&mut self) -> Result<()> {
        if let Err(error) = self.membership.leave() {
            tracing::debug!(%error, "the group has dropped this member already");
        }
        self.membership = self.log.membership(&self.membership_config)?;
        self.joining = true;
        Ok(())
    }

    fn follow_membership(&mut self) -> Result<()> {
        let owned = match self.joining {
            true => self.tasks.owned_or_on_disk(self.index),
            false => self.tasks.owned(),
        };
        match self.membership.poll(&owned, JOIN_STEP)? {
            MembershipEvent::Unchanged => Ok(()),
            MembershipEvent::RevokeThenRejoin => {
                self.shared.set_thread_state(self.index, State::Rebalancing);
                self.commit()?;
                self.joining = true;
                Ok(())
            }
            MembershipEvent::Assigned(assigned) => self.take(assigned),
            MembershipEvent::Lost => {
                let reason = "thrown out of the group".to_owned();
                Err(LogError::Fenced { reason }.into())
            }
        }
    }

    /// Takes over what was assigned. What this thread keeps goes on undisturbed.
    fn take(&mut self, assigned: Vec<TaskId>) -> Result<()> {
        tracing::info!(thread = self.name, tasks = assigned.len(), "assigned");
        if self.has_patterns && self.shared.assignor.check_known(&assigned).is_err() {
            // The member that shared the tasks out knows topics that this instance does not.
            self.shared.follow_topics(&mut *self.admin)?;
            self.shared.assignor.check_known(&assigned)?;
        }
        self.joining = false;
        self.shared.set_thread_state(self.index, State::Rebalancing);
        self.tasks.keep_only(&assigned)?;
        self.tasks.wait_for(assigned);
        self.assign_partitions()
    }

    fn advance_restoring(&mut self) -> Result<()> {
        if self.tasks.all_running() {
            self.shared.set_thread_state(self.index, State::Running);
            return Ok(());
        }
        let started = self.tasks.create_waiting(&mut *self.admin, &mut *self.producer)?;
        let finished = self.tasks.restore(Duration::ZERO)?;
        if started || finished {
            self.assign_partitions()?;
        }
        Ok(())
    }

    fn assign_partitions(&mut self) -> Result<()> {
        self.consumer.assign(&self.tasks.positions())?;
        for partition in &self.tasks.paused {
            self.consumer.pause(partition)?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<()> {
        self.learn_ends()?;
        let timeout = self.poll_timeout();
        let polled = match self.consumer.poll(timeout) {
            Err(LogError::OffsetOutOfRange {
                partition, offset, ..
            }) => return self.reset(&partition, offset),
            polled => polled?,
        };
        let now_ms = self.shared.config.clock.now_ms();
        for task in self.tasks.running_mut() {
            task.set_wall_clock_ms(now_ms);
        }
        for fetched in polled {
            let partition = fetched.partition.clone();
            if self.tasks.add(fetched) > self.shared.config.buffered_records_per_partition {
                self.consumer.pause(&partition)?;
                self.tasks.paused.push(partition);
            }
        }
        self.tasks.running_mut().for_each(StreamTask::note_idle);
        Ok(())
    }

    /// The records at a position are gone: goes on where the topic's source says.
    fn reset(&mut self, partition: &TopicPartition, lost: i64) -> Result<()> {
        let offset = reset_position(&self.shared, partition, Some(lost), &mut *self.admin)?;
        self.tasks.reset(partition, offset);
        // All positions are given again: those that the failed poll had moved already are set back.
        self.assign_partitions()
    }

    /// A task that joins several partitions must know which of the empty ones have more to come.
    fn learn_ends(&mut self) -> Result<()> {
        let unknown: Vec<TopicPartition> = self
            .tasks
            .running()
            .flat_map(|task| task.unknown_ends().cloned())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let isolation = self.shared.config.isolation();
        let ends = self
            .admin
            .offsets(&unknown, crate::log::OffsetSpec::Latest, isolation)?;
        for (partition, end) in unknown.iter().zip(ends) {
            for task in self.tasks.running_mut() {
                task.set_end(partition, end);
            }
        }
        Ok(())
    }

    /// No wait while there is work; else until the next thing that is due.
    fn poll_timeout(&self) -> Duration {
        let config = &self.shared.config;
        if !self.tasks.all_running() || self.tasks.running().any(StreamTask::has_work) {
            return Duration::ZERO;
        }
        let mut timeout = Duration::from_millis(config.poll_ms);
        if self.tasks.running().any(StreamTask::has_uncommitted) {
            let interval = Duration::from_millis(config.effective_commit_interval_ms());
            let due = (self.last_commit + interval).saturating_sub(config.clock.elapsed());
            timeout = timeout.min(due);
        }
        let now_ms = config.clock.now_ms();
        let due = |task: &StreamTask| [task.next_wall_clock_punctuation_ms(), task.idle_until_ms()];
        let next = self.tasks.running().flat_map(due).flatten().min();
        if let Some(next_ms) = next {
            timeout = timeout.min(Duration::from_millis(
                u64::try_from(next_ms.saturating_sub(now_ms)).unwrap_or(0),
            ));
        }
        timeout
    }

    fn process(&mut self) -> Result<()> {
        if self.tasks.running().any(StreamTask::has_work) {
            self.begin_transaction()?;
        }
        for task in self.tasks.running_mut() {
            if task.ready() {
                task.process(RECORDS_PER_TURN, &mut *self.producer)?;
                task.punctuate(PunctuationType::StreamTime, &mut *self.producer)?;
            }
        }
        let limit = self.shared.config.buffered_records_per_partition;
        for partition in self.tasks.take_resumable(limit) {
            self.consumer.resume(&partition)?;
        }
        Ok(())
    }

    fn punctuate(&mut self) -> Result<()> {
        if self
            .tasks
            .running()
            .any(|task| task.next_wall_clock_punctuation_ms().is_some())
        {
            self.begin_transaction()?;
        }
        for task in self.tasks.running_mut() {
            task.punctuate(PunctuationType::WallClockTime, &mut *self.producer)?;
        }
        Ok(())
    }

    fn begin_transaction(&mut self) -> Result<()> {
        if self.shared.config.exactly_once() && !self.in_transaction {
            self.producer.begin_transaction()?;
            self.in_transaction = true;
        }
        Ok(())
    }

    fn commit_due(&self) -> bool {
        let config = &self.shared.config;
        let interval = Duration::from_millis(config.effective_commit_interval_ms());
        let due = config.clock.elapsed().saturating_sub(self.last_commit) >= interval;
        self.tasks
            .running()
            .any(|task| task.wants_commit() || (due && task.has_uncommitted()))
    }

    /// Commits all tasks: see the file's top.
    fn commit(&mut self) -> Result<()> {
        let mut offsets = Vec::new();
        if self.tasks.running().any(StreamTask::has_uncommitted) {
            self.begin_transaction()?;
        }
        for task in self.tasks.running_mut().filter(|task| task.has_uncommitted()) {
            offsets.extend(task.prepare_commit(&mut *self.producer)?);
        }
        if self.shared.config.exactly_once() {
            self.commit_transaction(&offsets)?;
        } else {
            self.producer.flush()?;
            if !offsets.is_empty() {
                self.membership.commit(&offsets)?;
            }
        }
        for task in self.tasks.running_mut() {
            task.committed(&*self.producer);
        }
        self.last_commit = self.shared.config.clock.elapsed();
        self.flush_when_due()
    }

    fn commit_transaction(&mut self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        if !self.in_transaction {
            return Ok(());
        }
        if !offsets.is_empty() {
            self.producer
                .send_offsets(offsets, &self.membership.group_metadata())?;
        }
        self.producer.commit_transaction()?;
        self.in_transaction = false;
        Ok(())
    }

    /// Only ever right after a commit, so that stores hold nothing that is not in their changelogs.
    fn flush_when_due(&mut self) -> Result<()> {
        let interval = Duration::from_millis(self.shared.config.store_flush_interval_ms);
        let due = self.last_commit.saturating_sub(self.last_flush) >= interval;
        if due {
            self.last_flush = self.last_commit;
        }
        for task in self.tasks.running() {
            if due || task.over_limit() {
                task.flush()?;
            }
        }
        Ok(())
    }

    /// Deletes what was consumed of repartition topics: nobody else reads them.
    fn purge_repartition_topics(&mut self) -> Result<()> {
        let config = &self.shared.config;
        let interval = Duration::from_millis(config.repartition_purge_interval_ms);
        if config.clock.elapsed().saturating_sub(self.last_purge) < interval {
            return Ok(());
        }
        self.last_purge = config.clock.elapsed();
        let consumed = self.tasks.consumed_repartition_offsets();
        if !consumed.is_empty()
            && let Err(error) = self.admin.delete_records(&consumed)
        {
            tracing::warn!(%error, "cannot delete consumed records of repartition topics; trying again later");
        }
        Ok(())
    }

    /// Another instance took over: drop what was not committed and join again as a new member.
    fn start_over(&mut self, why: &StreamsError) -> Result<()> {
        tracing::warn!(thread = self.name, error = %why, "tasks lost; joining again");
        self.shared.set_thread_state(self.index, State::Rebalancing);
        self.abandon();
        self.consumer.assign(&[])?;
        self.join_anew()?;
        self.producer = self
            .log
            .producer(&producer_config(self.index, &self.name, &self.shared))?;
        if self.shared.config.exactly_once() {
            self.producer.init_transactions()?;
        }
        Ok(())
    }

    /// Closes all tasks without commit.
    fn abandon(&mut self) {
        self.tasks.abandon();
        if self.in_transaction {
            self.in_transaction = false;
            if let Err(error) = self.producer.abort_transaction() {
                tracing::warn!(%error, "cannot abort the transaction; it is aborted when it times out");
            }
        }
    }

    fn shut_down(mut self) -> Result<()> {
        match self.commit() {
            Ok(()) => self.tasks.close(),
            // The new owner of what was lost has it all: nothing to report.
            Err(error) if fenced(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// However a thread ends, by closing, failing or panicking: its transaction is aborted and its tasks are free for others at
/// once, not after timeouts.
impl Drop for StreamThread<'_> {
    fn drop(&mut self) {
        self.abandon();
        if let Err(error) = self.membership.leave() {
            tracing::warn!(%error, "cannot leave the group; the session expires by itself");
        }
    }
}

/// All topics that tasks read.
fn topics(assignor: &Assignor) -> Vec<String> {
    let tasks = assignor.tasks();
    let partitions = tasks.values().flatten();
    let topics: BTreeSet<String> = partitions.map(|partition| partition.topic.to_string()).collect();
    topics.into_iter().collect()
}

fn producer_config(index: usize, name: &str, shared: &Shared) -> ProducerConfig {
    let config = &shared.config;
    let id = format!(
        "{}-{}-{}",
        config.application_id,
        shared.directory.process_id(),
        index + 1
    );
    ProducerConfig {
        transactional_id: config.exactly_once().then_some(id),
        transaction_timeout_ms: config.transaction_timeout_ms,
        ..ProducerConfig::new(format!("{name}-producer"))
    }
}

fn fenced(error: &StreamsError) -> bool {
    match error {
        StreamsError::Log(error) => error.is_fenced(),
        StreamsError::Process(error) => matches!(&error.cause, ProcessCause::Log(error) if error.is_fenced()),
        _ => false,
    }
}
