//! The simplest log: a vector per partition behind one lock. For tests of applications, and the measure of what a [`Log`] is.
//!
//! Semantics are Kafka's: transactions with markers that take an offset, a last stable offset, fencing of producers and
//! members, groups that rebalance. Nothing survives the process. Time is handed in; waiting is on a condition variable.

mod consumer;
mod group;
mod producer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use self::consumer::MemoryConsumer;
use self::group::{Group, MemoryMembership};
use self::producer::MemoryProducer;
use super::{
    Admin, Consumer, ConsumerConfig, Isolation, Log, LogResult, NewTopic, OffsetAndMetadata, OffsetSpec,
    Producer, ProducerConfig, TopicPartition,
};
use crate::error::LogError;
use crate::membership::{Membership, MembershipConfig};
use crate::record::Headers;
use crate::time::Clock;

/// How long [`Admin::committed_offsets`] waits for open transactions.
const PENDING_OFFSETS_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a waiting caller looks whether time has ended something.
const WAIT_STEP: Duration = Duration::from_millis(20);

/// See the module's page.
///
/// ```
/// use std::sync::Arc;
/// use streams_core::log::memory::MemoryLog;
/// use streams_core::log::{Log, NewTopic};
/// use streams_core::time::ManualClock;
///
/// let log = MemoryLog::new(Arc::new(ManualClock::new(0)));
/// log.admin()?.create_topic(&NewTopic::new("events", 3))?;
/// assert_eq!(log.admin()?.partition_counts(&["events", "none"])?, [Some(3), None]);
/// # Ok::<(), streams_core::error::LogError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Arc<str>, Vec<Partition>>,
    transactions: Vec<Transaction>,
    /// By transactional id: current epoch, and its open transaction.
    producers: BTreeMap<String, (u32, Option<usize>)>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Offset of the first entry.
    start: i64,
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Index of its transaction.
    transaction: Option<usize>,
    /// None: a control record.
    record: Option<StoredRecord>,
}

#[derive(Clone, Debug)]
struct StoredRecord {
    key: Option<Bytes>,
    value: Option<Bytes>,
    timestamp_ms: i64,
    headers: Headers,
}

#[derive(Debug)]
struct Transaction {
    outcome: Outcome,
    started_ms: i64,
    timeout_ms: i64,
    partitions: Vec<TopicPartition>,
    /// Offsets that become committed with it, by group.
    offsets: Vec<(String, TopicPartition, OffsetAndMetadata)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Committed,
    Aborted,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
                clock,
            }),
        }
    }
}

impl Log for MemoryLog {
    fn consumer(&self, config: &ConsumerConfig) -> LogResult<Box<dyn Consumer>> {
        Ok(Box::new(MemoryConsumer::new(
            Arc::clone(&self.shared),
            config.clone(),
        )))
    }

    fn producer(&self, config: &ProducerConfig) -> LogResult<Box<dyn Producer>> {
        Ok(Box::new(MemoryProducer::new(
            Arc::clone(&self.shared),
            config.clone(),
        )))
    }

    fn admin(&self) -> LogResult<Box<dyn Admin>> {
        Ok(Box::new(MemoryAdmin {
            shared: Arc::clone(&self.shared),
        }))
    }

    fn membership(&self, config: &MembershipConfig) -> LogResult<Box<dyn Membership>> {
        Ok(Box::new(MemoryMembership::new(
            Arc::clone(&self.shared),
            config.clone(),
        )))
    }
}

impl Shared {
    /// The state, with transactions that timed out aborted.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.abort_timed_out(self.clock.now_ms());
        state
    }

    /// Waits for a change, a little while at most.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, timeout.min(WAIT_STEP));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.abort_timed_out(self.clock.now_ms());
        state
    }
}

impl State {
    fn partition(&self, of: &TopicPartition) -> LogResult<&Partition> {
        let partitions = self.topics.get(&of.topic);
        let index = usize::try_from(of.partition).ok();
        let found = partitions
            .zip(index)
            .and_then(|(partitions, index)| partitions.get(index));
        match found {
            Some(partition) => Ok(partition),
            None if partitions.is_none() => Err(LogError::UnknownTopic {
                topic: of.topic.to_string(),
            }),
            None => Err(LogError::UnknownPartition {
                partition: of.clone(),
            }),
        }
    }

    fn partition_mut(&mut self, of: &TopicPartition) -> LogResult<&mut Partition> {
        self.partition(of)?;
        let partitions = self.topics.get_mut(&of.topic).expect("checked one line above");
        Ok(&mut partitions[usize::try_from(of.partition).expect("checked two lines above")])
    }

    /// Offset after the last one that a consumer may read.
    fn end_offset(&self, of: &TopicPartition, isolation: Isolation) -> LogResult<i64> {
        let partition = self.partition(of)?;
        let high_watermark = partition.end();
        if isolation == Isolation::ReadUncommitted {
            return Ok(high_watermark);
        }
        let open = |entry: &Entry| {
            entry
                .transaction
                .is_some_and(|t| self.transactions[t].outcome == Outcome::Open)
        };
        let first_open = partition.entries.iter().position(open);
        Ok(first_open.map_or(high_watermark, |index| partition.start + index as i64))
    }

    /// Offset of the first record from a time on that a consumer may reach, or its end.
    fn offset_at(&self, of: &TopicPartition, timestamp_ms: i64, isolation: Isolation) -> LogResult<i64> {
        let partition = self.partition(of)?;
        let end_offset = self.end_offset(of, isolation)?;
        let is_later = |entry: &Entry| {
            let record = entry.record.as_ref();
            record.is_some_and(|record| record.timestamp_ms >= timestamp_ms)
        };
        let found = partition.entries.iter().position(is_later);
        Ok(found.map_or(end_offset, |index| end_offset.min(partition.start + index as i64)))
    }

    /// Ends a transaction: a marker in every partition, and its offsets.
    fn end(&mut self, index: usize, outcome: Outcome) {
        let transaction = &mut self.transactions[index];
        if transaction.outcome != Outcome::Open {
            return;
        }
        transaction.outcome = outcome;
        let partitions = std::mem::take(&mut transaction.partitions);
        let offsets = std::mem::take(&mut transaction.offsets);
        for partition in &partitions {
            if let Ok(partition) = self.partition_mut(partition) {
                partition.entries.push_back(Entry {
                    transaction: Some(index),
                    record: None,
                });
            }
        }
        if outcome == Outcome::Committed {
            for (group, partition, offset) in offsets {
                self.groups
                    .entry(group)
                    .or_default()
                    .committed
                    .insert(partition, offset);
            }
        }
    }

    fn abort_timed_out(&mut self, now_ms: i64) {
        for (epoch, open) in self.producers.values_mut() {
            let Some(index) = *open else { continue };
            let transaction = &self.transactions[index];
            if now_ms - transaction.started_ms > transaction.timeout_ms {
                // The producer that left it open is fenced.
                *epoch += 1;
                *open = None;
            }
        }
        for index in 0..self.transactions.len() {
            let owned = self.producers.values().any(|(_, open)| *open == Some(index));
            if !owned && self.transactions[index].outcome == Outcome::Open {
                self.end(index, Outcome::Aborted);
            }
        }
    }

    fn has_pending_offsets(&self, group: &str, partitions: &[TopicPartition]) -> bool {
        let open = self
            .transactions
            .iter()
            .filter(|transaction| transaction.outcome == Outcome::Open);
        open.flat_map(|transaction| &transaction.offsets)
            .any(|(of, partition, _)| of == group && partitions.contains(partition))
    }
}

impl Partition {
    fn end(&self) -> i64 {
        self.start + self.entries.len() as i64
    }
}

#[derive(Debug)]
struct MemoryAdmin {
    shared: Arc<Shared>,
}

impl Admin for MemoryAdmin {
    fn partition_counts(&mut self, topics: &[&str]) -> LogResult<Vec<Option<u32>>> {
        let state = self.shared.lock();
        let count = |topic: &&str| {
            state
                .topics
                .get(*topic)
                .and_then(|partitions| u32::try_from(partitions.len()).ok())
        };
        Ok(topics.iter().map(count).collect())
    }

    fn topics(&mut self) -> LogResult<BTreeMap<String, u32>> {
        let state = self.shared.lock();
        let count = |(name, partitions): (&Arc<str>, &Vec<Partition>)| {
            (
                name.to_string(),
                u32::try_from(partitions.len()).unwrap_or(u32::MAX),
            )
        };
        Ok(state.topics.iter().map(count).collect())
    }

    fn create_topic(&mut self, topic: &NewTopic) -> LogResult<()> {
        let name = topic.name.as_str();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.bytes().all(legal) {
            return Err(LogError::invalid(format!(
                "`{name}` is not a topic name: use 1 to 249 ASCII letters, digits, `.`, `_` and `-`"
            )));
        }
        if topic.partitions == 0 {
            return Err(LogError::invalid(format!(
                "topic {name} needs at least 1 partition"
            )));
        }
        let mut state = self.shared.lock();
        if state.topics.contains_key(name) {
            return Err(LogError::TopicExists {
                topic: name.to_owned(),
            });
        }
        let partitions = (0..topic.partitions).map(|_| Partition::default()).collect();
        state.topics.insert(Arc::from(name), partitions);
        Ok(())
    }

    fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        which: OffsetSpec,
        isolation: Isolation,
    ) -> LogResult<Vec<i64>> {
        let state = self.shared.lock();
        let offset = |partition: &TopicPartition| match which {
            OffsetSpec::Earliest => state.partition(partition).map(|partition| partition.start),
            OffsetSpec::Latest => state.end_offset(partition, isolation),
            OffsetSpec::AtTimestamp(timestamp_ms) => state.offset_at(partition, timestamp_ms, isolation),
        };
        partitions.iter().map(offset).collect()
    }

    fn committed_offsets(
        &mut self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> LogResult<Vec<Option<OffsetAndMetadata>>> {
        let deadline = self.shared.clock.elapsed() + PENDING_OFFSETS_TIMEOUT;
        let mut state = self.shared.lock();
        while state.has_pending_offsets(group_id, partitions) {
            if self.shared.clock.elapsed() >= deadline {
                let what = format!("an open transaction to end that holds offsets of group {group_id}");
                return Err(LogError::TimedOut { what });
            }
            state = self.shared.wait(state, WAIT_STEP);
        }
        let group = state.groups.get(group_id);
        Ok(partitions
            .iter()
            .map(|partition| group?.committed.get(partition).cloned())
            .collect())
    }

    fn delete_records(&mut self, before: &[(TopicPartition, i64)]) -> LogResult<()> {
        let mut state = self.shared.lock();
        for (of, offset) in before {
            let partition = state.partition_mut(of)?;
            if *offset > partition.end() {
                return Err(LogError::OffsetOutOfRange {
                    partition: of.clone(),
                    offset: *offset,
                    log_start_offset: partition.start,
                    log_end_offset: partition.end(),
                });
            }
            while partition.start < *offset {
                partition.entries.pop_front();
                partition.start += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance::{self, Harness};
    use crate::time::SystemClock;

    #[test]
    fn conforms() {
        let log = Arc::new(MemoryLog::new(Arc::new(SystemClock::default())));
        conformance::run_all(&Harness::new(log, "memory"));
    }
}
