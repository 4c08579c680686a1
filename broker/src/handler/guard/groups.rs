//! Groups, their members and their offsets.

use kafka_protocol::messages::consumer_group_describe_response;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    BrokerId, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse,
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatResponse, JoinGroupResponse,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{GROUP_DENIED, TOPIC_DENIED, TRANSACTIONAL_ID_DENIED, take_denied};
use crate::acl::{Operation, ResourceType};
use crate::handler::heartbeats::{impossible_topics, topics_of};
use crate::handler::offsets::refused_fetch;
use crate::handler::{Broker, Outcome, Request, RequestContext, Response};
use crate::protocol::streams_describe::{
    DescribedGroup as StreamsDescribedGroup, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse,
};
use crate::protocol::streams_heartbeat::{StreamsGroupHeartbeatResponse, Topology};

/// First version of FindCoordinator for several keys.
const COORDINATOR_KEYS_VERSION: i16 = 4;
/// First version of OffsetFetch for several groups.
const FETCH_GROUPS_VERSION: i16 = 8;
/// What is said of a group with topics that who asks may not see.
const HIDDEN_CONSUMER_GROUP: &str =
    "The group has described topic(s) that the client is not authorized to describe.";
/// The same of a streams group.
const HIDDEN_STREAMS_GROUP: &str =
    "The described group uses topics that the client is not authorized to describe.";
/// `key_type` of a transactional id.
const TRANSACTIONAL_ID_KEY: i8 = 1;

impl Broker {
    /// Members must be allowed to read from their group; those that say what they subscribe to must be allowed to see it.
    pub(super) fn guard_membership(
        &self,
        context: &RequestContext,
        request: Request,
        now_ms: i64,
    ) -> Outcome {
        let may = |group: &str| self.may_group(context, Operation::Read, group);
        let response = match &request {
            Request::JoinGroup(join) if !may(&join.group_id) => {
                Response::JoinGroup(JoinGroupResponse::default().with_error_code(GROUP_DENIED))
            }
            Request::SyncGroup(sync) if !may(&sync.group_id) => {
                Response::SyncGroup(SyncGroupResponse::default().with_error_code(GROUP_DENIED))
            }
            Request::Heartbeat(heartbeat) if !may(&heartbeat.group_id) => {
                Response::Heartbeat(HeartbeatResponse::default().with_error_code(GROUP_DENIED))
            }
            Request::LeaveGroup(leave) if !may(&leave.group_id) => {
                Response::LeaveGroup(LeaveGroupResponse::default().with_error_code(GROUP_DENIED))
            }
            Request::ConsumerGroupHeartbeat(heartbeat) => {
                let names = heartbeat.subscribed_topic_names.iter().flatten();
                let mut unseen = names.filter(|name| !self.may_topic(context, Operation::Describe, name));
                let code = if !may(&heartbeat.group_id) {
                    GROUP_DENIED
                } else if unseen.next().is_some() {
                    TOPIC_DENIED
                } else {
                    return self.serve(context, request, now_ms);
                };
                Response::ConsumerGroupHeartbeat(
                    ConsumerGroupHeartbeatResponse::default().with_error_code(code),
                )
            }
            Request::StreamsGroupHeartbeat(heartbeat) => {
                let code = if !may(&heartbeat.group_id) {
                    GROUP_DENIED
                } else if !self.may_run(context, heartbeat.topology.as_ref()) {
                    TOPIC_DENIED
                } else {
                    return self.serve(context, request, now_ms);
                };
                Response::StreamsGroupHeartbeat(StreamsGroupHeartbeatResponse {
                    error_code: code,
                    ..StreamsGroupHeartbeatResponse::default()
                })
            }
            _ => return self.serve(context, request, now_ms),
        };
        Outcome::Ready(response)
    }

    /// Whether who asks may see the topics of a topology. One with impossible topics is refused for those.
    fn may_run(&self, context: &RequestContext, topology: Option<&Topology>) -> bool {
        topology.is_none_or(|topology| {
            impossible_topics(topology).is_some()
                || topics_of(topology).all(|name| self.may_topic(context, Operation::Describe, name))
        })
    }

    pub(super) fn guard_streams_group_describe(
        &self,
        context: &RequestContext,
        mut request: StreamsGroupDescribeRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.group_ids, |group| {
            self.may_group(context, Operation::Describe, group)
        });
        let mut response: StreamsGroupDescribeResponse = self.answer(context, request, now_ms);
        for group in &mut response.groups {
            if !self.may_see_topics_of(context, group) {
                *group = StreamsDescribedGroup {
                    group_id: std::mem::take(&mut group.group_id),
                    error_code: TOPIC_DENIED,
                    error_message: Some(HIDDEN_STREAMS_GROUP.to_owned()),
                    authorized_operations: i32::MIN,
                    ..StreamsDescribedGroup::default()
                };
            }
        }
        response
            .groups
            .extend(denied.into_iter().map(|group_id| StreamsDescribedGroup {
                group_id,
                error_code: GROUP_DENIED,
                ..StreamsDescribedGroup::default()
            }));
        Response::StreamsGroupDescribe(response)
    }

    fn may_see_topics_of(&self, context: &RequestContext, group: &StreamsDescribedGroup) -> bool {
        let parts = group
            .topology
            .iter()
            .flat_map(|topology| topology.subtopologies.iter().flatten());
        parts.into_iter().all(|part| {
            let sources = part.source_topics.iter().chain(&part.repartition_sink_topics);
            let internal = part
                .repartition_source_topics
                .iter()
                .chain(&part.state_changelog_topics);
            sources
                .chain(internal.map(|topic| &topic.name))
                .all(|name| self.may_topic(context, Operation::Describe, name))
        })
    }

    pub(super) fn guard_find_coordinator(
        &self,
        context: &RequestContext,
        mut request: FindCoordinatorRequest,
        now_ms: i64,
    ) -> Response {
        let (resource_type, code) = if request.key_type == TRANSACTIONAL_ID_KEY {
            (ResourceType::TransactionalId, TRANSACTIONAL_ID_DENIED)
        } else {
            (ResourceType::Group, GROUP_DENIED)
        };
        let may = |key: &str| self.may(context, Operation::Describe, resource_type, key);
        if context.version < COORDINATOR_KEYS_VERSION {
            return Response::FindCoordinator(if may(&request.key) {
                self.answer(context, request, now_ms)
            } else {
                FindCoordinatorResponse::default()
                    .with_error_code(code)
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
            });
        }
        let denied = take_denied(&mut request.coordinator_keys, |key| may(key));
        let mut response: FindCoordinatorResponse = self.answer(context, request, now_ms);
        let refused = |key: StrBytes| {
            Coordinator::default()
                .with_key(key)
                .with_error_code(code)
                .with_node_id(BrokerId(-1))
                .with_port(-1)
        };
        response.coordinators.extend(denied.into_iter().map(refused));
        Response::FindCoordinator(response)
    }

    pub(super) fn guard_offset_commit(
        &self,
        context: &RequestContext,
        mut request: OffsetCommitRequest,
        now_ms: i64,
    ) -> Response {
        let may_group = self.may_group(context, Operation::Read, &request.group_id);
        let denied = take_denied(&mut request.topics, |topic| {
            let name = self.name_of(&topic.name, topic.topic_id);
            may_group && name.is_none_or(|name| self.may_topic(context, Operation::Read, &name))
        });
        let mut response = if may_group {
            self.answer(context, request, now_ms)
        } else {
            OffsetCommitResponse::default()
        };
        response.topics.extend(denied.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(if may_group { TOPIC_DENIED } else { GROUP_DENIED })
            });
            OffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_topic_id(topic.topic_id)
                .with_name(topic.name)
        }));
        Response::OffsetCommit(response)
    }

    /// Of all offsets those of visible topics are told; of named topics those that are not visible are refused.
    pub(super) fn guard_offset_fetch(
        &self,
        context: &RequestContext,
        request: OffsetFetchRequest,
        now_ms: i64,
    ) -> Response {
        Response::OffsetFetch(if context.version < FETCH_GROUPS_VERSION {
            self.guard_offset_fetch_of_one(context, request, now_ms)
        } else {
            self.guard_offset_fetch_of_groups(context, request, now_ms)
        })
    }

    fn guard_offset_fetch_of_one(
        &self,
        context: &RequestContext,
        mut request: OffsetFetchRequest,
        now_ms: i64,
    ) -> OffsetFetchResponse {
        if !self.may_group(context, Operation::Describe, &request.group_id) {
            return refused_fetch(context.version, request.topics.as_deref(), GROUP_DENIED);
        }
        let may = |name: &str| self.may_topic(context, Operation::Describe, name);
        let denied = match &mut request.topics {
            Some(topics) => take_denied(topics, |topic| may(&topic.name)),
            None => Vec::new(),
        };
        let mut response: OffsetFetchResponse = self.answer(context, request, now_ms);
        response.topics.retain(|topic| may(&topic.name));
        response.topics.extend(denied.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(*index)
                    .with_committed_offset(-1)
                    .with_metadata(Some(StrBytes::default()))
                    .with_error_code(TOPIC_DENIED)
            });
            OffsetFetchResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        }));
        response
    }

    fn guard_offset_fetch_of_groups(
        &self,
        context: &RequestContext,
        mut request: OffsetFetchRequest,
        now_ms: i64,
    ) -> OffsetFetchResponse {
        let may = |name: &str| self.may_topic(context, Operation::Describe, name);
        let denied_groups = take_denied(&mut request.groups, |group| {
            self.may_group(context, Operation::Describe, &group.group_id)
        });
        let denied: Vec<_> = request
            .groups
            .iter_mut()
            .map(|group| match &mut group.topics {
                Some(topics) => take_denied(topics, |topic| {
                    let name = self.name_of(&topic.name, topic.topic_id);
                    name.is_none_or(|name| may(&name))
                }),
                None => Vec::new(),
            })
            .collect();
        let mut response: OffsetFetchResponse = self.answer(context, request, now_ms);
        for (group, denied) in response.groups.iter_mut().zip(denied) {
            group.topics.retain(|topic| {
                let name = self.name_of(&topic.name, topic.topic_id);
                name.is_none_or(|name| may(&name))
            });
            group.topics.extend(denied.into_iter().map(|topic| {
                let partitions = topic.partition_indexes.iter().map(|index| {
                    OffsetFetchResponsePartitions::default()
                        .with_partition_index(*index)
                        .with_committed_offset(-1)
                        .with_metadata(Some(StrBytes::default()))
                        .with_error_code(TOPIC_DENIED)
                });
                OffsetFetchResponseTopics::default()
                    .with_partitions(partitions.collect())
                    .with_topic_id(topic.topic_id)
                    .with_name(topic.name)
            }));
        }
        response.groups.extend(denied_groups.into_iter().map(|group| {
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_error_code(GROUP_DENIED)
        }));
        response
    }

    pub(super) fn guard_offset_delete(
        &self,
        context: &RequestContext,
        mut request: OffsetDeleteRequest,
        now_ms: i64,
    ) -> Response {
        if !self.may_group(context, Operation::Delete, &request.group_id) {
            return Response::OffsetDelete(OffsetDeleteResponse::default().with_error_code(GROUP_DENIED));
        }
        let denied = take_denied(&mut request.topics, |topic| {
            self.may_topic(context, Operation::Read, &topic.name)
        });
        let mut response: OffsetDeleteResponse = self.answer(context, request, now_ms);
        response.topics.extend(denied.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(TOPIC_DENIED)
            });
            OffsetDeleteResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        }));
        Response::OffsetDelete(response)
    }

    pub(super) fn guard_list_groups(
        &self,
        context: &RequestContext,
        request: ListGroupsRequest,
        now_ms: i64,
    ) -> Response {
        let mut response: ListGroupsResponse = self.answer(context, request, now_ms);
        if !self.may_on_cluster(context, Operation::Describe) {
            let may = |group: &str| self.may_group(context, Operation::Describe, group);
            response.groups.retain(|group| may(&group.group_id));
        }
        Response::ListGroups(response)
    }

    pub(super) fn guard_describe_groups(
        &self,
        context: &RequestContext,
        mut request: DescribeGroupsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.groups, |group| {
            self.may_group(context, Operation::Describe, group)
        });
        let mut response: DescribeGroupsResponse = self.answer(context, request, now_ms);
        response.groups.extend(denied.into_iter().map(|group| {
            DescribedGroup::default()
                .with_group_id(group)
                .with_error_code(GROUP_DENIED)
        }));
        Response::DescribeGroups(response)
    }

    pub(super) fn guard_consumer_group_describe(
        &self,
        context: &RequestContext,
        mut request: ConsumerGroupDescribeRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.group_ids, |group| {
            self.may_group(context, Operation::Describe, group)
        });
        let mut response: ConsumerGroupDescribeResponse = self.answer(context, request, now_ms);
        for group in &mut response.groups {
            let assignments = group
                .members
                .iter()
                .flat_map(|member| [&member.assignment, &member.target_assignment]);
            let may_see_all = assignments
                .flat_map(|assignment| &assignment.topic_partitions)
                .all(|topic| self.may_topic(context, Operation::Describe, &topic.topic_name));
            if !may_see_all {
                *group = consumer_group_describe_response::DescribedGroup::default()
                    .with_group_id(std::mem::take(&mut group.group_id))
                    .with_error_code(TOPIC_DENIED)
                    .with_error_message(Some(StrBytes::from_static_str(HIDDEN_CONSUMER_GROUP)));
            }
        }
        response.groups.extend(denied.into_iter().map(|group| {
            consumer_group_describe_response::DescribedGroup::default()
                .with_group_id(group)
                .with_error_code(GROUP_DENIED)
        }));
        Response::ConsumerGroupDescribe(response)
    }

    pub(super) fn guard_delete_groups(
        &self,
        context: &RequestContext,
        mut request: DeleteGroupsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.groups_names, |group| {
            self.may_group(context, Operation::Delete, group)
        });
        let mut response: DeleteGroupsResponse = self.answer(context, request, now_ms);
        response.results.extend(denied.into_iter().map(|group| {
            DeletableGroupResult::default()
                .with_group_id(group)
                .with_error_code(GROUP_DENIED)
        }));
        Response::DeleteGroups(response)
    }
}
