//! Writes to a memory log, at once: nothing is queued.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;

use super::{Entry, Outcome, Shared, State, StoredRecord, Transaction};
use crate::error::LogError;
use crate::log::{
    LogResult, OffsetAndMetadata, Producer, ProducerConfig, RecordView, TopicHandle, TopicPartition,
};
use crate::membership::GroupMetadata;

#[derive(Debug)]
pub(super) struct MemoryProducer {
    shared: Arc<Shared>,
    config: ProducerConfig,
    topics: Vec<Arc<str>>,
    last_offsets: BTreeMap<(u32, i32), i64>,
    epoch: Option<u32>,
    in_transaction: bool,
}

impl MemoryProducer {
    pub(super) fn new(shared: Arc<Shared>, config: ProducerConfig) -> Self {
        Self {
            shared,
            config,
            topics: Vec::new(),
            last_offsets: BTreeMap::new(),
            epoch: None,
            in_transaction: false,
        }
    }

    fn transactional_id(&self) -> LogResult<&str> {
        let id = self.config.transactional_id.as_deref();
        id.ok_or_else(|| {
            LogError::invalid(format!(
                "producer {} has no transactional id",
                self.config.client_id
            ))
        })
    }

    /// Checks that no other producer took over, and gives the open transaction if there is one on the log.
    fn check(&self, state: &State) -> LogResult<Option<usize>> {
        let id = self.transactional_id()?;
        let Some(epoch) = self.epoch else {
            return Err(LogError::invalid(format!(
                "call init_transactions before other calls of producer {id}"
            )));
        };
        match state.producers.get(id) {
            Some((current, open)) if *current == epoch => Ok(*open),
            _ => Err(LogError::Fenced {
                reason: format!("another producer uses transactional id {id}"),
            }),
        }
    }

    /// The open transaction, begun on the log if this is the first call of it.
    fn open(&self, state: &mut MutexGuard<'_, State>) -> LogResult<usize> {
        if let Some(index) = self.check(state)? {
            return Ok(index);
        }
        let index = state.transactions.len();
        state.transactions.push(Transaction {
            outcome: Outcome::Open,
            started_ms: self.shared.clock.now_ms(),
            timeout_ms: self.config.transaction_timeout_ms.into(),
            partitions: Vec::new(),
            offsets: Vec::new(),
        });
        if let Some((_, open)) = state.producers.get_mut(self.transactional_id()?) {
            *open = Some(index);
        }
        Ok(index)
    }

    fn end(&mut self, outcome: Outcome) -> LogResult<()> {
        self.require_transaction()?;
        self.in_transaction = false;
        let mut state = self.shared.lock();
        if let Some(index) = self.check(&state)? {
            state.end(index, outcome);
            if let Some((_, open)) = state.producers.get_mut(self.transactional_id()?) {
                *open = None;
            }
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    fn require_transaction(&self) -> LogResult<()> {
        match self.in_transaction {
            true => Ok(()),
            false => Err(LogError::invalid(format!(
                "producer {} has no open transaction",
                self.config.client_id
            ))),
        }
    }
}

impl Producer for MemoryProducer {
    fn topic(&mut self, name: &str) -> LogResult<TopicHandle> {
        let state = self.shared.lock();
        let Some((topic, partitions)) = state.topics.get_key_value(name) else {
            return Err(LogError::UnknownTopic {
                topic: name.to_owned(),
            });
        };
        let index = self
            .topics
            .iter()
            .position(|known| **known == *name)
            .unwrap_or_else(|| {
                self.topics.push(Arc::clone(topic));
                self.topics.len() - 1
            });
        let count =
            |n: usize| u32::try_from(n).map_err(|_| LogError::invalid("too many topics or partitions"));
        Ok(TopicHandle {
            index: count(index)?,
            partitions: count(partitions.len())?,
        })
    }

    fn send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> LogResult<()> {
        let to = TopicPartition::new(Arc::clone(&self.topics[topic.index as usize]), partition);
        if self.config.transactional_id.is_some() {
            self.require_transaction()?;
        }
        let mut state = self.shared.lock();
        state.partition(&to)?;
        let transaction = match self.in_transaction {
            true => Some(self.open(&mut state)?),
            false => None,
        };
        if let Some(index) = transaction {
            let partitions = &mut state.transactions[index].partitions;
            if !partitions.contains(&to) {
                partitions.push(to.clone());
            }
        }
        let record = StoredRecord {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.clone(),
        };
        let log = state.partition_mut(&to)?;
        self.last_offsets.insert((topic.index, partition), log.end());
        log.entries.push_back(Entry {
            transaction,
            record: Some(record),
        });
        self.shared.changed.notify_all();
        Ok(())
    }

    fn flush(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn last_offset(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        self.last_offsets.get(&(topic.index, partition)).copied()
    }

    fn init_transactions(&mut self) -> LogResult<()> {
        let id = self.transactional_id()?.to_owned();
        let mut state = self.shared.lock();
        let (epoch, open) = state.producers.entry(id).or_default();
        *epoch += 1;
        self.epoch = Some(*epoch);
        if let Some(index) = open.take() {
            state.end(index, Outcome::Aborted);
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    fn begin_transaction(&mut self) -> LogResult<()> {
        self.check(&self.shared.lock())?;
        if self.in_transaction {
            return Err(LogError::invalid(format!(
                "producer {} is in a transaction",
                self.config.client_id
            )));
        }
        self.in_transaction = true;
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> LogResult<()> {
        self.require_transaction()?;
        let mut state = self.shared.lock();
        state
            .groups
            .entry(group.group_id.clone())
            .or_default()
            .check(group)?;
        let index = self.open(&mut state)?;
        let pending = &mut state.transactions[index].offsets;
        pending.extend(
            offsets
                .iter()
                .map(|(tp, offset)| (group.group_id.clone(), tp.clone(), offset.clone())),
        );
        Ok(())
    }

    fn commit_transaction(&mut self) -> LogResult<()> {
        self.end(Outcome::Committed)
    }

    fn abort_transaction(&mut self) -> LogResult<()> {
        self.end(Outcome::Aborted)
    }
}
