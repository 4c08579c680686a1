//! Drives the two coordinators: performs their actions on the partition logs and reports back, until nothing is left to do.
//!
//! What must stay true: actions are performed in order and under the coordinator's lock; a failed append is reported as such
//! and never retried here, because the state machine decides what follows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::parked::{Groups, ToldTopics};
use super::{Broker, Refusal};
use crate::coordinator_records::{OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC};
use crate::group::{GroupAction, GroupEvent, GroupReply, InternalTopic, TopicImage, TopicInfo};
use crate::log::{AppendOptions, BatchBuilder, ProducerStamp};
use crate::topic::{Topic, TopicError};
use crate::transaction::{
    Markers, Token, TopicPartitions, TransactionAction, TransactionCoordinator, TransactionEvent,
    TransactionReply, TransactionRequest,
};

impl Broker {
    /// Runs one request through the transaction coordinator. Everything it leads to, markers included, is done on return.
    pub(super) fn run_transaction(
        &self,
        coordinator: &mut TransactionCoordinator,
        request: TransactionRequest,
        now_ms: i64,
    ) -> Result<TransactionReply, ResponseError> {
        let token = self.next_token();
        let actions = coordinator.handle(TransactionEvent::Request { token, request }, now_ms);
        // Local appends are acknowledged at once, so the reply is there unless the state machine has a bug.
        self.perform_transactions(coordinator, actions, Some(token), now_ms)
            .ok_or(ResponseError::CoordinatorNotAvailable)
    }

    /// Performs actions and what follows from them; answers the reply to `token`.
    pub(super) fn perform_transactions(
        &self,
        coordinator: &mut TransactionCoordinator,
        actions: Vec<TransactionAction>,
        token: Option<Token>,
        now_ms: i64,
    ) -> Option<TransactionReply> {
        let mut queue = VecDeque::from(actions);
        let mut answer = None;
        while let Some(action) = queue.pop_front() {
            let event = match action {
                TransactionAction::Reply {
                    token: replied,
                    reply,
                } => {
                    if token == Some(replied) {
                        answer = Some(reply);
                    }
                    continue;
                }
                TransactionAction::Append {
                    append,
                    partition,
                    key,
                    value,
                } => {
                    let records = [(key, value)];
                    let result =
                        self.append_internal(TRANSACTION_STATE_TOPIC, partition, &records, None, now_ms);
                    TransactionEvent::Appended {
                        append,
                        result: result.map(|_| ()),
                    }
                }
                TransactionAction::WriteMarkers(markers) => {
                    let failed = self.write_markers(&markers, now_ms);
                    TransactionEvent::MarkersWritten {
                        transactional_id: markers.transactional_id,
                        failed,
                    }
                }
            };
            queue.extend(coordinator.handle(event, now_ms));
        }
        answer
    }

    /// Runs one event through the group coordinator; answers the reply to `token` if it came at once.
    pub(super) fn run_group(
        &self,
        groups: &mut Groups,
        event: GroupEvent,
        token: Option<Token>,
        now_ms: i64,
    ) -> Option<GroupReply> {
        self.tell_topics(groups, now_ms);
        let actions = groups.coordinator.handle(event, now_ms);
        self.perform_group(groups, actions, token, now_ms)
    }

    /// Hands the group coordinator a new picture of the topics if they changed since its last one, or the rules about who
    /// sees which.
    fn tell_topics(&self, groups: &mut Groups, now_ms: i64) {
        // Counted before they are looked at: what changes in between is seen twice rather than never.
        let changes = self.topics.changes();
        let cluster = self.cluster.current();
        if let Some(told) = &mut groups.told
            && told.changes == changes
            && (Arc::ptr_eq(&told.cluster, &cluster) || told.cluster.acls == cluster.acls)
        {
            told.cluster = cluster;
            return;
        }
        let Ok(topics) = self.topics.list() else { return };
        let described = topics.iter().map(|topic| {
            let info = TopicInfo {
                id: topic.id(),
                partition_count: topic.partitions().len() as i32,
            };
            (topic.name().to_owned(), info)
        });
        // Version 0 is that of a picture without topics.
        let version = groups.told.as_ref().map_or(0, |told| told.version) + 1;
        let image = TopicImage::new(version, described);
        let event = GroupEvent::TopicsChanged(Arc::new(image));
        let actions = groups.coordinator.handle(event, now_ms);
        groups.told = Some(ToldTopics {
            changes,
            cluster,
            version,
        });
        self.perform_group(groups, actions, None, now_ms);
    }

    pub(super) fn perform_group(
        &self,
        groups: &mut Groups,
        actions: Vec<GroupAction>,
        token: Option<Token>,
        now_ms: i64,
    ) -> Option<GroupReply> {
        let mut queue = VecDeque::from(actions);
        let mut answer = None;
        while let Some(action) = queue.pop_front() {
            match action {
                GroupAction::Reply {
                    token: replied,
                    reply,
                } if token == Some(replied) => answer = Some(reply),
                GroupAction::Reply { token, reply } => groups.answer(token, reply),
                GroupAction::CreateTopics(topics) => {
                    if let Some(asker) = &groups.asker {
                        let names = topics.iter().map(|topic| &topic.name);
                        groups.not_created = names.filter(|name| !asker.may_create(name)).cloned().collect();
                    }
                    // All or none, as in Kafka.
                    if groups.not_created.is_empty() {
                        self.create_for_streams(&topics, now_ms);
                    }
                }
                GroupAction::Append {
                    append,
                    partition,
                    records,
                    transaction,
                } => {
                    let result =
                        self.append_internal(OFFSETS_TOPIC, partition, &records, transaction, now_ms);
                    let event = GroupEvent::Appended { append, result };
                    queue.extend(groups.coordinator.handle(event, now_ms));
                }
            }
        }
        answer
    }

    /// Makes the internal topics of a streams application.
    fn create_for_streams(&self, topics: &[InternalTopic], now_ms: i64) {
        for topic in topics {
            let created =
                self.topics
                    .create_topic(&topic.name, topic.partition_count, &topic.configs, now_ms);
            match created {
                Ok(_) | Err(TopicError::TopicAlreadyExists { .. }) => {}
                Err(error) => tracing::error!(
                    topic = topic.name,
                    %error,
                    "an internal topic of a streams application cannot be made"
                ),
            }
        }
    }

    pub(super) fn tick_coordinators(&self, now_ms: i64) {
        if let Ok(mut coordinator) = self.lock_transactions() {
            let actions = coordinator.handle(TransactionEvent::Tick, now_ms);
            self.perform_transactions(&mut coordinator, actions, None, now_ms);
        }
        if let Ok(mut groups) = self.lock_groups() {
            self.run_group(&mut groups, GroupEvent::Tick, None, now_ms);
        }
    }

    /// Appends records of a coordinator as one batch; answers the offset of the first, or the error that clients get.
    fn append_internal(
        &self,
        topic: &'static str,
        partition: i32,
        records: &[(Bytes, Option<Bytes>)],
        transaction: Option<(i64, i16)>,
        now_ms: i64,
    ) -> Result<i64, ResponseError> {
        let appended = self.try_append_internal(topic, partition, records, transaction, now_ms);
        appended.map_err(|refusal| {
            tracing::error!(
                topic,
                partition,
                error = refusal.message,
                "a coordinator could not write its log"
            );
            coordinator_error(refusal.code)
        })
    }

    fn try_append_internal(
        &self,
        topic: &'static str,
        partition: i32,
        records: &[(Bytes, Option<Bytes>)],
        transaction: Option<(i64, i16)>,
        now_ms: i64,
    ) -> Result<i64, Refusal> {
        let topic = self.internal_topic(topic, now_ms)?;
        let mut builder = BatchBuilder::new();
        for (key, value) in records {
            let added = builder.append(now_ms, Some(key), value.as_deref(), &[]);
            added.map_err(|error| Refusal {
                code: ResponseError::MessageTooLarge.code(),
                message: error.to_string(),
            })?;
        }
        let stamp = transaction.map_or(ProducerStamp::NONE, |(producer_id, producer_epoch)| {
            ProducerStamp {
                producer_id,
                producer_epoch,
                base_sequence: ProducerStamp::NONE.base_sequence,
                transactional: true,
            }
        });
        let batch = builder
            .finish(stamp)
            .expect("coordinators append at least one record");
        Ok(topic
            .lock(partition)?
            .append(batch, AppendOptions::COORDINATOR, now_ms)?
            .base_offset)
    }

    /// Writes the markers of a decided transaction; answers the partitions to be tried again.
    fn write_markers(&self, markers: &Markers, now_ms: i64) -> TopicPartitions {
        let mut failed = TopicPartitions::new();
        for (name, partitions) in offsets_last(&markers.partitions) {
            // A topic that was deleted meanwhile has nothing left to mark.
            let Ok(topic) = self.topics.topic(name) else {
                continue;
            };
            for partition in partitions {
                if let Err(refusal) = self.write_marker(&topic, *partition, markers, now_ms) {
                    let code = refusal.code;
                    tracing::warn!(
                        topic = name,
                        partition,
                        code,
                        error = refusal.message,
                        "cannot write a marker"
                    );
                    // Of these, trying again can only mend storage.
                    if code == ResponseError::KafkaStorageError.code() {
                        failed.entry(name.clone()).or_default().insert(*partition);
                    }
                }
            }
        }
        failed
    }

    pub(super) fn write_marker(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        markers: &Markers,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let append = || -> Result<(), Refusal> {
            topic.lock(partition)?.append_marker(
                markers.producer_id,
                markers.producer_epoch,
                markers.commit,
                markers.coordinator_epoch,
                now_ms,
            )?;
            Ok(())
        };
        if topic.name() != OFFSETS_TOPIC {
            return append();
        }
        // Offsets become visible in the same step as their marker is written.
        let mut groups = self.lock_groups()?;
        append()?;
        let (producer_id, committed) = (markers.producer_id, markers.commit);
        let event = GroupEvent::TransactionEnded {
            partition,
            producer_id,
            committed,
        };
        self.run_group(&mut groups, event, None, now_ms);
        Ok(())
    }
}

/// Who sees the offsets of a transaction in this process sees its records too.
fn offsets_last(partitions: &TopicPartitions) -> impl Iterator<Item = (&String, &BTreeSet<i32>)> {
    let is_offsets = |(name, _): &(&String, _)| *name == OFFSETS_TOPIC;
    let records = partitions.iter().filter(move |topic| !is_offsets(topic));
    records.chain(partitions.iter().filter(is_offsets))
}

/// What a client is told when a coordinator cannot write its own log, as in Kafka.
fn coordinator_error(code: i16) -> ResponseError {
    match ResponseError::try_from_code(code) {
        Some(ResponseError::UnknownTopicOrPartition) => ResponseError::CoordinatorNotAvailable,
        Some(ResponseError::KafkaStorageError) => ResponseError::NotCoordinator,
        Some(error @ (ResponseError::InvalidProducerEpoch | ResponseError::InvalidTxnState)) => error,
        _ => ResponseError::UnknownServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::{TopicPartitions, offsets_last};

    #[test]
    fn offsets_are_seen_last() {
        let names = ["OUT", "__consumer_offsets", "out"].map(|name| (name.to_owned(), [0].into()));
        let partitions = TopicPartitions::from(names);
        let marked: Vec<&str> = offsets_last(&partitions).map(|(name, _)| name.as_str()).collect();
        assert_eq!(marked, ["OUT", "out", "__consumer_offsets"]);
    }
}
