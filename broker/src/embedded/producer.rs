//! The producer: records are encoded straight into one batch per partition, and whole batches go into the partition logs.
//!
//! Always idempotent: every batch carries producer id, epoch and sequence, so that the log itself refuses what is repeated,
//! lost or late. In transactions (version 2, KIP-890) the epoch moves on with every transaction, and partitions are added
//! once each, all those known at a time with one request. What must stay true: after an error inside of a transaction nothing
//! but an abort is possible, because what was sent may be there in part.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, GroupId, InitProducerIdRequest, InitProducerIdResponse, ProducerId,
    TopicName, TransactionalId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;
use streams_core::error::LogError;
use streams_core::log::{
    LogResult, OffsetAndMetadata, Producer, ProducerConfig, RecordView, TopicHandle, TopicPartition,
};
use streams_core::membership::GroupMetadata;

use super::{Inner, unknown_partition};
use crate::handler::AppendContext;
use crate::log::{BatchBuilder, ProducerStamp};
use crate::topic::Topic;

/// How often initialising is tried while an earlier producer's transaction is being aborted. In process the second try
/// finds it done; more are needed only while markers cannot be written.
const INIT_ATTEMPTS: usize = 10;
/// Version of Produce that a batch is treated as: with transactions verified, not implicitly added.
const PRODUCE_VERSION: i16 = 11;
const ADD_PARTITIONS_VERSION: i16 = 3;
const ADD_OFFSETS_VERSION: i16 = 3;
const TXN_OFFSET_COMMIT_VERSION: i16 = 4;
/// Version of EndTxn that bumps the epoch.
const END_TXN_VERSION: i16 = 5;
const INIT_PRODUCER_ID_VERSION: i16 = 4;

#[derive(Debug)]
pub(super) struct EmbeddedProducer {
    inner: Arc<Inner>,
    config: ProducerConfig,
    topics: Vec<TopicState>,
    by_name: HashMap<Arc<str>, u32>,
    /// Producer id and epoch, once initialised.
    identity: Option<(i64, i16)>,
    transaction: TransactionState,
    /// Partitions with queued records, or with state of the open transaction, as indexes.
    touched: Vec<(usize, usize)>,
    /// Groups whose offsets are part of the transaction.
    groups: Vec<String>,
    /// Whether the coordinator knows of the open transaction.
    registered: bool,
}

#[derive(Debug)]
enum TransactionState {
    None,
    Open,
    /// Only an abort is possible.
    Failed {
        reason: String,
        fenced: bool,
    },
}

#[derive(Debug)]
struct TopicState {
    name: Arc<str>,
    topic: Arc<Topic>,
    /// A batch is written before it grows beyond this.
    batch_bytes: usize,
    partitions: Vec<PartitionState>,
}

#[derive(Debug, Default)]
struct PartitionState {
    builder: BatchBuilder,
    next_sequence: i32,
    last_offset: Option<i64>,
    touched: bool,
    /// Part of the open transaction, as the coordinator knows.
    added: bool,
}

impl EmbeddedProducer {
    pub(super) fn new(inner: Arc<Inner>, config: ProducerConfig) -> Self {
        Self {
            inner,
            config,
            topics: Vec::new(),
            by_name: HashMap::new(),
            identity: None,
            transaction: TransactionState::None,
            touched: Vec::new(),
            groups: Vec::new(),
            registered: false,
        }
    }

    fn transactional_id(&self) -> LogResult<&str> {
        self.config.transactional_id.as_deref().ok_or_else(|| {
            LogError::invalid(format!(
                "producer {} has no transactional id and cannot use transactions",
                self.config.client_id
            ))
        })
    }

    fn identity(&mut self) -> LogResult<(i64, i16)> {
        match self.identity {
            Some(identity) => Ok(identity),
            None if self.config.transactional_id.is_some() => Err(LogError::invalid(
                "init_transactions must be called before anything is sent",
            )),
            None => self.init_producer_id(None),
        }
    }

    fn init_producer_id(&mut self, transactional_id: Option<String>) -> LogResult<(i64, i16)> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| TransactionalId(StrBytes::from_string(id))))
            .with_transaction_timeout_ms(self.config.transaction_timeout_ms)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let concurrent = ResponseError::ConcurrentTransactions.code();
        let mut response = InitProducerIdResponse::default();
        for _ in 0..INIT_ATTEMPTS {
            response =
                self.inner
                    .request(&self.config.client_id, INIT_PRODUCER_ID_VERSION, request.clone())?;
            if response.error_code != concurrent {
                break;
            }
            self.inner.tick();
        }
        self.inner.check(response.error_code, || {
            format!("initialising producer {}", self.config.client_id)
        })?;
        let identity = (response.producer_id.0, response.producer_epoch);
        self.identity = Some(identity);
        Ok(identity)
    }

    /// That records may be sent now.
    fn check_sendable(&self) -> LogResult<()> {
        match &self.transaction {
            TransactionState::Open => Ok(()),
            TransactionState::Failed { reason, fenced: true } => Err(LogError::Fenced {
                reason: reason.clone(),
            }),
            TransactionState::Failed {
                reason,
                fenced: false,
            } => Err(LogError::invalid(format!(
                "the transaction failed and must be aborted: {reason}"
            ))),
            TransactionState::None if self.config.transactional_id.is_none() => Ok(()),
            TransactionState::None => Err(LogError::invalid(
                "no transaction is open: call begin_transaction first",
            )),
        }
    }

    /// Remembers an error of the open transaction.
    fn failed<T>(&mut self, result: LogResult<T>) -> LogResult<T> {
        if let Err(error) = &result
            && matches!(self.transaction, TransactionState::Open)
        {
            self.transaction = TransactionState::Failed {
                reason: error.to_string(),
                fenced: error.is_fenced(),
            };
        }
        result
    }

    fn write_batch(&mut self, topic_index: usize, partition_index: usize) -> LogResult<()> {
        let (producer_id, producer_epoch) = self.identity()?;
        let transactional = matches!(self.transaction, TransactionState::Open);
        if transactional && !self.topics[topic_index].partitions[partition_index].added {
            self.add_partitions()?;
        }
        let now_ms = self.inner.now_ms();
        let state = &mut self.topics[topic_index];
        let partition = &mut state.partitions[partition_index];
        let base_sequence = partition.next_sequence;
        let record_count = partition.builder.record_count();
        let stamp = ProducerStamp {
            producer_id,
            producer_epoch,
            base_sequence,
            transactional,
        };
        let Some(batch) = partition.builder.finish(stamp) else {
            return Ok(());
        };
        let context = AppendContext {
            transactional_id: self.config.transactional_id.as_deref(),
            version: PRODUCE_VERSION,
        };
        let appended =
            self.inner
                .broker
                .append_batch(&state.topic, partition_index as i32, batch, context, now_ms);
        match appended {
            Ok(info) => {
                // Sequences go from 2147483647 to 0.
                let next = i64::from(base_sequence) + i64::from(record_count);
                partition.next_sequence = (next & i64::from(i32::MAX)) as i32;
                partition.last_offset = Some(info.last_offset);
                Ok(())
            }
            Err(refused) => {
                let context = format!("writing to {}-{partition_index}", state.name);
                Err(self
                    .inner
                    .error(refused.refusal.code, &context, &refused.refusal.message))
            }
        }
    }

    /// Makes every partition with queued records part of the transaction, with one request.
    fn add_partitions(&mut self) -> LogResult<()> {
        let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
        let mut sorted = self.touched.clone();
        sorted.sort_unstable();
        let mut last_topic = None;
        for (topic_index, partition_index) in &sorted {
            let state = &self.topics[*topic_index];
            if state.partitions[*partition_index].added {
                continue;
            }
            if last_topic != Some(*topic_index) {
                last_topic = Some(*topic_index);
                topics.push(AddPartitionsToTxnTopic::default().with_name(TopicName(text(&state.name))));
            }
            topics
                .last_mut()
                .expect("it was just pushed")
                .partitions
                .push(*partition_index as i32);
        }
        let (producer_id, epoch) = self.identity()?;
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(self.transactional_id()?)))
            .with_v3_and_below_producer_id(ProducerId(producer_id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(topics);
        let response: AddPartitionsToTxnResponse =
            self.inner
                .request(&self.config.client_id, ADD_PARTITIONS_VERSION, request)?;
        for topic in &response.results_by_topic_v3_and_below {
            for partition in &topic.results_by_partition {
                self.inner.check(partition.partition_error_code, || {
                    format!(
                        "adding {}-{} to the transaction",
                        topic.name.as_str(),
                        partition.partition_index
                    )
                })?;
            }
        }
        self.registered = true;
        for (topic_index, partition_index) in sorted {
            self.topics[topic_index].partitions[partition_index].added = true;
        }
        Ok(())
    }

    fn write_all(&mut self) -> LogResult<()> {
        self.inner.check_open()?;
        for index in 0..self.touched.len() {
            let (topic, partition) = self.touched[index];
            if !self.topics[topic].partitions[partition].builder.is_empty() {
                self.write_batch(topic, partition)?;
            }
        }
        if !matches!(self.transaction, TransactionState::Open) {
            self.forget_touched();
        }
        Ok(())
    }

    fn forget_touched(&mut self) {
        for (topic, partition) in self.touched.drain(..) {
            let state = &mut self.topics[topic].partitions[partition];
            state.touched = false;
            state.added = false;
        }
    }

    fn end_transaction(&mut self, commit: bool) -> LogResult<()> {
        let (producer_id, epoch) = self.identity()?;
        let transactional_id = self.transactional_id()?.to_owned();
        let what = if commit { "committing" } else { "aborting" };
        let context = || format!("{what} the transaction of {transactional_id}");
        if self.registered {
            let request = EndTxnRequest::default()
                .with_transactional_id(TransactionalId(text(&transactional_id)))
                .with_producer_id(ProducerId(producer_id))
                .with_producer_epoch(epoch)
                .with_committed(commit);
            let response: EndTxnResponse =
                self.inner
                    .request(&self.config.client_id, END_TXN_VERSION, request)?;
            self.inner.check(response.error_code, context)?;
            let next = (response.producer_id.0, response.producer_epoch);
            self.identity = Some(next);
            // A new epoch starts its sequences anew, on every partition.
            for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.next_sequence = 0;
            }
        } else {
            self.check_current()?;
        }
        self.forget_touched();
        self.groups.clear();
        self.registered = false;
        self.transaction = TransactionState::None;
        Ok(())
    }

    /// That no other producer took over the transactional id.
    fn check_current(&mut self) -> LogResult<()> {
        let identity = self.identity()?;
        let transactional_id = self.transactional_id()?;
        if self.inner.broker.is_current_producer(transactional_id, identity) {
            return Ok(());
        }
        Err(LogError::Fenced {
            reason: format!("another producer took over the transactional id {transactional_id}"),
        })
    }

    fn try_send_offsets(
        &mut self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> LogResult<()> {
        let (producer_id, epoch) = self.identity()?;
        let transactional_id = TransactionalId(text(self.transactional_id()?));
        let client_id = self.config.client_id.clone();
        let context = || format!("sending offsets of group {}", group.group_id);
        if !self.groups.contains(&group.group_id) {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(transactional_id.clone())
                .with_producer_id(ProducerId(producer_id))
                .with_producer_epoch(epoch)
                .with_group_id(GroupId(text(&group.group_id)));
            let added: AddOffsetsToTxnResponse =
                self.inner.request(&client_id, ADD_OFFSETS_VERSION, request)?;
            self.inner.check(added.error_code, context)?;
            self.groups.push(group.group_id.clone());
            self.registered = true;
        }
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional_id)
            .with_group_id(GroupId(text(&group.group_id)))
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
            .with_generation_id(group.generation_id)
            .with_member_id(text(&group.member_id))
            .with_group_instance_id(group.group_instance_id.as_deref().map(text))
            .with_topics(txn_topics(offsets));
        let response: TxnOffsetCommitResponse =
            self.inner
                .request(&client_id, TXN_OFFSET_COMMIT_VERSION, request)?;
        let codes = response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code);
        codes
            .into_iter()
            .try_for_each(|code| self.inner.check(code, context))
    }

    fn try_send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> LogResult<()> {
        let topic_index = topic.index as usize;
        let Some(state) = self.topics.get_mut(topic_index) else {
            return Err(LogError::invalid("a topic handle of another producer was used"));
        };
        let partition_index = usize::try_from(partition).unwrap_or(usize::MAX);
        let batch_bytes = state.batch_bytes;
        let Some(queued) = state.partitions.get_mut(partition_index) else {
            return Err(unknown_partition(&state.name, partition));
        };
        if !queued.touched {
            queued.touched = true;
            self.touched.push((topic_index, partition_index));
        }
        let storage: Vec<(&str, Option<&[u8]>)>;
        let headers = if record.headers.is_empty() {
            &[][..]
        } else {
            storage = record
                .headers
                .iter()
                .map(|header| (header.key.as_ref(), header.value.as_deref()))
                .collect();
            &storage[..]
        };
        let room = batch_bytes.saturating_sub(queued.builder.size_bytes());
        if !queued.builder.is_empty()
            && BatchBuilder::size_upper_bound(record.key, record.value, headers) > room
        {
            self.write_batch(topic_index, partition_index)?;
        }
        let state = &mut self.topics[topic_index];
        let queued = &mut state.partitions[partition_index];
        match queued
            .builder
            .append(record.timestamp_ms, record.key, record.value, headers)
        {
            Ok(_) => Ok(()),
            Err(error) => Err(LogError::failed(
                format!("queueing a record for {}-{partition}", state.name),
                error,
            )),
        }
    }
}

impl Producer for EmbeddedProducer {
    fn topic(&mut self, name: &str) -> LogResult<TopicHandle> {
        let known = self.by_name.get(name).copied();
        let index = match known {
            Some(index) => index,
            None => {
                let topic = self.inner.topic(name)?;
                let max_message_bytes = topic
                    .lock(0)
                    .map_err(|error| LogError::failed(format!("looking up topic {name}"), error))?
                    .config()
                    .max_message_bytes;
                let name: Arc<str> = name.into();
                let index =
                    u32::try_from(self.topics.len()).map_err(|_| LogError::invalid("too many topics"))?;
                let partitions = topic
                    .partitions()
                    .iter()
                    .map(|_| PartitionState::default())
                    .collect();
                let batch_bytes = self.config.batch_bytes.min(max_message_bytes);
                self.topics.push(TopicState {
                    name: name.clone(),
                    topic,
                    batch_bytes,
                    partitions,
                });
                self.by_name.insert(name, index);
                index
            }
        };
        let partitions = self.topics[index as usize].partitions.len() as u32;
        Ok(TopicHandle { index, partitions })
    }

    fn send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> LogResult<()> {
        self.check_sendable()?;
        let sent = self.try_send(topic, partition, record);
        if sent.is_ok() { sent } else { self.failed(sent) }
    }

    fn flush(&mut self) -> LogResult<()> {
        if matches!(self.transaction, TransactionState::Failed { .. }) {
            return self.check_sendable();
        }
        let written = self.write_all();
        self.failed(written)
    }

    fn last_offset(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        let partition = usize::try_from(partition).ok()?;
        self.topics
            .get(topic.index as usize)?
            .partitions
            .get(partition)?
            .last_offset
    }

    fn init_transactions(&mut self) -> LogResult<()> {
        let transactional_id = self.transactional_id()?.to_owned();
        if self.identity.is_some() {
            return Err(LogError::invalid("init_transactions was called already"));
        }
        self.init_producer_id(Some(transactional_id)).map(|_| ())
    }

    fn begin_transaction(&mut self) -> LogResult<()> {
        self.transactional_id()?;
        self.inner.check_open()?;
        match &self.transaction {
            TransactionState::None => {}
            TransactionState::Open => return Err(LogError::invalid("a transaction is open already")),
            TransactionState::Failed { .. } => return self.check_sendable(),
        }
        self.check_current()?;
        self.transaction = TransactionState::Open;
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> LogResult<()> {
        self.transactional_id()?;
        self.check_sendable()?;
        let sent = self.try_send_offsets(offsets, group);
        self.failed(sent)
    }

    fn commit_transaction(&mut self) -> LogResult<()> {
        self.transactional_id()?;
        self.check_sendable()?;
        let ended = self.write_all().and_then(|()| self.end_transaction(true));
        self.failed(ended)
    }

    fn abort_transaction(&mut self) -> LogResult<()> {
        self.transactional_id()?;
        if matches!(self.transaction, TransactionState::None) {
            return Err(LogError::invalid("no transaction is open"));
        }
        for (topic, partition) in &self.touched {
            // What was not written yet is dropped.
            self.topics[*topic].partitions[*partition].builder = BatchBuilder::new();
        }
        let ended = self.end_transaction(false);
        self.failed(ended)
    }
}

fn txn_topics(offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Vec<TxnOffsetCommitRequestTopic> {
    let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
    for (partition, offset) in offsets {
        let request = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text(&offset.metadata)));
        match topics
            .last_mut()
            .filter(|topic| topic.name.as_str() == &*partition.topic)
        {
            Some(topic) => topic.partitions.push(request),
            None => topics.push(
                TxnOffsetCommitRequestTopic::default()
                    .with_name(TopicName(text(&partition.topic)))
                    .with_partitions(vec![request]),
            ),
        }
    }
    topics
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
