//! OffsetCommit and OffsetFetch with topics by id: asked by name, answered by id. An id that no topic has, such as that of a
//! topic which was deleted and made again, is UNKNOWN_TOPIC_ID and has no offsets.

use std::collections::HashMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, TopicName,
};
use uuid::Uuid;

use super::{Broker, Outcome, RequestContext, Response, text};
use crate::protocol::offsets_by_id::{
    CommittedPartitionResult, CommittedTopic, CommittedTopicResult, FetchedGroup, FetchedGroupResult,
    FetchedPartitionResult, FetchedTopic, FetchedTopicResult, OffsetCommitByIdRequest,
    OffsetCommitByIdResponse, OffsetFetchByIdRequest, OffsetFetchByIdResponse,
};

const UNKNOWN_ID: i16 = ResponseError::UnknownTopicId.code();

impl Broker {
    pub(super) fn offset_commit_by_id(
        &self,
        context: &RequestContext,
        request: OffsetCommitByIdRequest,
        now_ms: i64,
    ) -> OffsetCommitByIdResponse {
        let mut ids = HashMap::new();
        let mut unknown = Vec::new();
        let mut topics = Vec::new();
        for topic in request.topics {
            match self.known_id(topic.topic_id) {
                Some(name) => {
                    ids.insert(name.clone(), topic.topic_id);
                    topics.push(committed_by_name(name, topic));
                }
                None => unknown.push(refused_commit(&topic)),
            }
        }
        let by_name = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&request.group_id)))
            .with_generation_id_or_member_epoch(request.generation_id_or_member_epoch)
            .with_member_id(text(&request.member_id))
            .with_group_instance_id(request.group_instance_id.as_deref().map(text))
            .with_topics(topics);
        let Outcome::Ready(Response::OffsetCommit(answer)) = self.handle(context, by_name.into(), now_ms)
        else {
            unreachable!("an OffsetCommit is answered by its response, at once")
        };
        let mut topics = commit_results(answer, &ids);
        topics.extend(unknown);
        OffsetCommitByIdResponse {
            throttle_time_ms: 0,
            topics,
        }
    }

    pub(super) fn offset_fetch_by_id(
        &self,
        context: &RequestContext,
        request: OffsetFetchByIdRequest,
        now_ms: i64,
    ) -> OffsetFetchByIdResponse {
        let mut unknown = Vec::new();
        let mut groups = Vec::new();
        for group in request.groups {
            let mut not_there = Vec::new();
            groups.push(self.fetched_by_name(group, &mut not_there));
            unknown.push(not_there);
        }
        let by_name = OffsetFetchRequest::default()
            .with_groups(groups)
            .with_require_stable(request.require_stable);
        let Outcome::Ready(Response::OffsetFetch(answer)) = self.handle(context, by_name.into(), now_ms)
        else {
            unreachable!("an OffsetFetch is answered by its response, at once")
        };
        let groups = answer.groups.into_iter().zip(unknown);
        OffsetFetchByIdResponse {
            throttle_time_ms: 0,
            groups: groups
                .map(|(group, unknown)| self.fetch_result(group, unknown))
                .collect(),
        }
    }

    fn known_id(&self, id: Uuid) -> Option<TopicName> {
        let topic = self.topics.topic_by_id(id).ok()?;
        Some(TopicName(text(topic.name())))
    }

    /// The same question by name. What no topic has the id of is answered in `unknown`.
    fn fetched_by_name(
        &self,
        group: FetchedGroup,
        unknown: &mut Vec<FetchedTopicResult>,
    ) -> OffsetFetchRequestGroup {
        let topics = group.topics.map(|topics| {
            let known = topics.into_iter().filter_map(|topic| {
                let Some(name) = self.known_id(topic.topic_id) else {
                    unknown.push(refused_fetch(&topic));
                    return None;
                };
                let asked = OffsetFetchRequestTopics::default().with_name(name);
                Some(asked.with_partition_indexes(topic.partition_indexes))
            });
            known.collect()
        });
        OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(&group.group_id)))
            .with_member_id(group.member_id.as_deref().map(text))
            .with_member_epoch(group.member_epoch)
            .with_topics(topics)
    }

    /// The same answer by id. Topics that are gone in the meantime are left out.
    fn fetch_result(
        &self,
        group: OffsetFetchResponseGroup,
        unknown: Vec<FetchedTopicResult>,
    ) -> FetchedGroupResult {
        let known = group.topics.into_iter().filter_map(|topic| {
            let id = self.topics.topic(&topic.name).ok()?.id();
            let partitions = topic
                .partitions
                .into_iter()
                .map(|partition| FetchedPartitionResult {
                    partition_index: partition.partition_index,
                    committed_offset: partition.committed_offset,
                    committed_leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.metadata.map(|metadata| metadata.to_string()),
                    error_code: partition.error_code,
                });
            Some(FetchedTopicResult {
                topic_id: id,
                partitions: partitions.collect(),
            })
        });
        let mut topics: Vec<_> = known.collect();
        if group.error_code == 0 {
            topics.extend(unknown);
        }
        FetchedGroupResult {
            group_id: group.group_id.to_string(),
            topics,
            error_code: group.error_code,
        }
    }
}

fn committed_by_name(name: TopicName, topic: CommittedTopic) -> OffsetCommitRequestTopic {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_committed_metadata(partition.committed_metadata.as_deref().map(text))
    });
    OffsetCommitRequestTopic::default()
        .with_name(name)
        .with_partitions(partitions.collect())
}

fn commit_results(answer: OffsetCommitResponse, ids: &HashMap<TopicName, Uuid>) -> Vec<CommittedTopicResult> {
    let results = answer.topics.into_iter().map(|topic| {
        let partitions = topic
            .partitions
            .into_iter()
            .map(|partition| CommittedPartitionResult {
                partition_index: partition.partition_index,
                error_code: partition.error_code,
            });
        CommittedTopicResult {
            topic_id: ids.get(&topic.name).copied().unwrap_or_default(),
            partitions: partitions.collect(),
        }
    });
    results.collect()
}

fn refused_commit(topic: &CommittedTopic) -> CommittedTopicResult {
    let partitions = topic.partitions.iter().map(|partition| CommittedPartitionResult {
        partition_index: partition.partition_index,
        error_code: UNKNOWN_ID,
    });
    CommittedTopicResult {
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

fn refused_fetch(topic: &FetchedTopic) -> FetchedTopicResult {
    let partitions = topic
        .partition_indexes
        .iter()
        .map(|partition| FetchedPartitionResult {
            partition_index: *partition,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: UNKNOWN_ID,
        });
    FetchedTopicResult {
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}
