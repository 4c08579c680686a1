//! Fetch and ListOffsets: the reading side. A Fetch never waits here; whoever serves it waits for progress and asks again.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, ListOffsetsResponse, TopicName};
use uuid::Uuid;

use super::fetch_answer::{FetchAnswer, PartitionAnswer, TopicAnswer};
use super::fetch_sessions::FetchContext;
use super::{Broker, Refusal, RequestContext};
use crate::log::{BatchView, Batches, Compression, FoundInfo, Isolation, ReadError};
use crate::topic::waiter::FetchWaiter;
use crate::topic::{Topic, TopicError};

/// First version that may carry zstd.
const ZSTD_VERSION: i16 = 10;
/// First version that names topics by id.
pub(super) const TOPIC_ID_VERSION: i16 = 13;

/// First version of ListOffsets with leader epochs.
const LIST_OFFSETS_EPOCH_VERSION: i16 = 4;

const LATEST_TIMESTAMP: i64 = -1;
const EARLIEST_TIMESTAMP: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
const LATEST_TIERED_TIMESTAMP: i64 = -5;

impl Broker {
    /// Serves a Fetch that does not wait.
    pub(super) fn fetch(
        &self,
        context: &RequestContext,
        mut request: FetchRequest,
        now_ms: i64,
    ) -> FetchAnswer {
        let session = match self.open_fetch(context, &mut request, now_ms) {
            Ok(session) => session,
            Err(error) => return FetchAnswer::refused(error),
        };
        let denied = self.take_unreadable(context, &mut request);
        let mut answer = self.find(context.version, &request, None);
        denied.into_iter().for_each(|topic| answer.push(topic));
        self.complete_fetch(session, &mut answer, now_ms);
        answer
    }

    /// Makes the full request of one that is part of a fetch session. To be completed when there is an answer.
    pub(crate) fn open_fetch(
        &self,
        context: &RequestContext,
        request: &mut FetchRequest,
        now_ms: i64,
    ) -> Result<FetchContext, ResponseError> {
        let name_of = |id: Uuid| {
            let topic = self.topics.topic_by_id(id).ok()?;
            Some(TopicName(super::text(topic.name())))
        };
        self.fetch_sessions
            .open(context.version, request, &name_of, now_ms)
    }

    /// Takes out of an answer what its client knows already, if it fetches in a session.
    pub(crate) fn complete_fetch(&self, session: FetchContext, answer: &mut FetchAnswer, now_ms: i64) {
        self.fetch_sessions.complete(session, answer, now_ms);
    }

    /// What a Fetch finds, with the records still in their files. Never waits; `waiter`, if there is one, is registered with
    /// every partition before that is looked at.
    pub(crate) fn find(
        &self,
        version: i16,
        request: &FetchRequest,
        waiter: Option<&Arc<FetchWaiter>>,
    ) -> FetchAnswer {
        let isolation = isolation(request.isolation_level);
        let mut remaining = usize::try_from(request.max_bytes)
            .unwrap_or(0)
            .min(self.config.max_fetch_bytes);
        let mut nothing_yet = true;
        let mut answer = FetchAnswer::default();
        let mut unknown = Vec::new();
        for topic in &request.topics {
            let found = self.look_up(version, topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            let mut unknown_partitions = Vec::new();
            for partition in &topic.partitions {
                let max_bytes = usize::try_from(partition.partition_max_bytes)
                    .unwrap_or(0)
                    .min(remaining);
                let found = found.as_ref().map_err(Clone::clone).and_then(|topic| {
                    let mut log = topic.lock(partition.partition)?;
                    check_epoch(topic, partition.current_leader_epoch)?;
                    if let Some(waiter) = waiter {
                        log.add_waiter(waiter, isolation);
                    }
                    let found = log.find(partition.fetch_offset, max_bytes, isolation, nothing_yet)?;
                    drop(log);
                    check_codecs(&found, version)?;
                    Ok(found)
                });
                let is_unknown = found.as_ref().is_err_and(Refusal::is_of_unknown_topic);
                let answered = PartitionAnswer::new(partition.partition, found);
                let bytes = answered.bytes();
                nothing_yet &= bytes == 0;
                remaining = remaining.saturating_sub(bytes);
                if is_unknown {
                    unknown_partitions.push(answered);
                } else {
                    partitions.push(answered);
                }
            }
            answer.push(TopicAnswer::new(topic, partitions));
            if !unknown_partitions.is_empty() {
                unknown.push(TopicAnswer::new(topic, unknown_partitions));
            }
        }
        // As Kafka has it: first what was looked at, then what is not there.
        unknown.into_iter().for_each(|topic| answer.push(topic));
        answer
    }

    fn look_up(&self, version: i16, topic: &FetchTopic) -> Result<Arc<Topic>, Refusal> {
        if version < TOPIC_ID_VERSION {
            return self.topics.topic(&topic.topic).map_err(Refusal::from);
        }
        self.topics
            .topic_by_id(topic.topic_id)
            .map_err(|error| self.unknown_id(topic, &error))
    }

    /// What to say of a topic whose id is not there: whether it ever was is known in a session only.
    fn unknown_id(&self, topic: &FetchTopic, error: &TopicError) -> Refusal {
        let code = if topic.topic.is_empty() {
            ResponseError::UnknownTopicId
        } else if self.topics.topic(&topic.topic).is_ok() {
            ResponseError::InconsistentTopicId
        } else {
            ResponseError::UnknownTopicOrPartition
        };
        Refusal::new(code, error.to_string())
    }

    pub(super) fn list_offsets(&self, version: i16, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let isolation = isolation(request.isolation_level);
        let mut response = ListOffsetsResponse::default();
        let named_twice = named_twice(request);
        let mut refused = HashSet::new();
        for topic in &request.topics {
            let mut answered = ListOffsetsTopicResponse::default().with_name(topic.name.clone());
            for partition in &topic.partitions {
                let named = (&topic.name, partition.partition_index);
                let found = if named_twice.contains(&named) {
                    if !refused.insert(named) {
                        continue;
                    }
                    Err(ResponseError::InvalidRequest.into())
                } else {
                    self.list_offset(&topic.name, partition, isolation, version)
                };
                let mut listed =
                    ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index);
                match found {
                    Ok((offset, timestamp, leader_epoch)) => {
                        listed.offset = offset;
                        listed.timestamp = timestamp;
                        let tells_epoch = version >= LIST_OFFSETS_EPOCH_VERSION;
                        listed.leader_epoch = if tells_epoch { leader_epoch } else { -1 };
                    }
                    Err(refusal) => {
                        listed.error_code = refusal.code;
                        listed.offset = -1;
                        listed.timestamp = -1;
                        listed.leader_epoch = -1;
                    }
                }
                answered.partitions.push(listed);
            }
            response.topics.push(answered);
        }
        response
    }

    /// An offset with its timestamp and leader epoch; -1 for each that there is not.
    fn list_offset(
        &self,
        topic: &str,
        partition: &ListOffsetsPartition,
        isolation: Isolation,
        version: i16,
    ) -> Result<(i64, i64, i32), Refusal> {
        let first_version = match partition.timestamp {
            MAX_TIMESTAMP => 7,
            EARLIEST_LOCAL_TIMESTAMP => 8,
            LATEST_TIERED_TIMESTAMP => 9,
            _ => 0,
        };
        if version < first_version {
            return Err(ResponseError::UnsupportedVersion.into());
        }
        let topic = self.topics.topic(topic)?;
        let log = topic.lock(partition.partition_index)?;
        check_epoch(&topic, partition.current_leader_epoch)?;
        let found = match partition.timestamp {
            LATEST_TIMESTAMP if isolation == Isolation::ReadCommitted => {
                return Ok((log.last_stable_offset(), -1, topic.leader_epoch()));
            }
            LATEST_TIMESTAMP => return Ok((log.high_watermark(), -1, topic.leader_epoch())),
            EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => Some((log.log_start_offset(), -1)),
            MAX_TIMESTAMP => log.max_timestamp_offset()?,
            LATEST_TIERED_TIMESTAMP => None,
            timestamp => log.offset_for_timestamp(timestamp, isolation)?,
        };
        Ok(match found {
            Some((offset, timestamp)) => (offset, timestamp, log.leader_epoch_at(offset)?),
            None => (-1, -1, -1),
        })
    }
}

/// The partitions that are asked for more than once.
fn named_twice(request: &ListOffsetsRequest) -> HashSet<(&TopicName, i32)> {
    let mut seen = HashSet::new();
    let named = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (&topic.name, partition.partition_index))
    });
    named.filter(|one| !seen.insert(*one)).collect()
}

fn isolation(level: i8) -> Isolation {
    if level == 1 {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    }
}

/// Compares the leader epoch that a client knows with the topic's; a negative one is not compared.
pub(super) fn check_epoch(topic: &Topic, current_leader_epoch: i32) -> Result<(), Refusal> {
    match current_leader_epoch.cmp(&topic.leader_epoch()) {
        _ if current_leader_epoch < 0 => Ok(()),
        Ordering::Less => Err(ResponseError::FencedLeaderEpoch.into()),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(ResponseError::UnknownLeaderEpoch.into()),
    }
}

/// Clients that cannot know zstd are told so instead.
fn check_codecs(found: &FoundInfo, version: i16) -> Result<(), Refusal> {
    let Some(slice) = found.records.as_ref().filter(|_| version < ZSTD_VERSION) else {
        return Ok(());
    };
    let records = slice.read().map_err(ReadError::from)?;
    let is_zstd = |batch: BatchView<'_>| batch.header().compression() == Compression::Zstd;
    if Batches::new(&records).flatten().any(is_zstd) {
        Err(ResponseError::UnsupportedCompressionType.into())
    } else {
        Ok(())
    }
}
