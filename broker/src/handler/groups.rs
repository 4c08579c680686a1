//! The APIs of group membership and of looking at groups. JoinGroup and SyncGroup may be parked until other members have come.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as ConsumerDescribedGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse,
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupResponse,
};

use super::heartbeats::tell_not_created;
use super::parked::{ParkedApi, into_response};
use super::{Broker, Outcome, Request, RequestContext, Response, text};
use crate::group::{ClassicGroup, ClassicState, Group, GroupEvent, GroupOverrides, GroupReply, GroupRequest};

use crate::protocol::streams_describe::{
    DescribedGroup as StreamsDescribedGroup, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse,
};
use crate::protocol::streams_heartbeat::StreamsGroupHeartbeatResponse;

/// "Not requested" in `authorized_operations`.
const OPERATIONS_NOT_REQUESTED: i32 = i32::MIN;
/// First version of DescribeGroups that knows GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 6;

/// First version of SyncGroup that must say the protocol.
const SYNC_PROTOCOL_VERSION: i16 = 5;

impl Broker {
    pub(super) fn group_membership(
        &self,
        context: &RequestContext,
        request: Request,
        now_ms: i64,
    ) -> Outcome {
        let (request, parks) = match request {
            Request::JoinGroup(request) => (GroupRequest::Join(request), Some(ParkedApi::Join)),
            Request::SyncGroup(request) => (GroupRequest::Sync(request), Some(ParkedApi::Sync)),
            Request::Heartbeat(request) => (GroupRequest::Heartbeat(request), None),
            Request::LeaveGroup(request) => (GroupRequest::Leave(request), None),
            Request::ConsumerGroupHeartbeat(request) => (GroupRequest::ConsumerHeartbeat(request), None),
            Request::StreamsGroupHeartbeat(request) => (GroupRequest::StreamsHeartbeat(request), None),
            Request::OffsetDelete(request) => (GroupRequest::DeleteOffsets(request), None),
            other => unreachable!("{other:?} is not about membership"),
        };
        if let GroupRequest::Sync(sync) = &request
            && context.version >= SYNC_PROTOCOL_VERSION
            && (sync.protocol_type.is_none() || sync.protocol_name.is_none())
        {
            return Outcome::Ready(refusal_of(&request, ResponseError::InconsistentGroupProtocol));
        }
        if let Some(refused) = self.refused_heartbeat(&request) {
            return Outcome::Ready(refused);
        }
        let unavailable = refusal_of(&request, ResponseError::CoordinatorNotAvailable);
        let Ok(mut groups) = self.lock_groups() else {
            return Outcome::Ready(unavailable);
        };
        if self.is_closed() {
            return Outcome::Ready(unavailable);
        }
        groups.serve_for(self.asker(context));
        let token = self.next_token();
        let client = context.client.clone();
        let event = GroupEvent::Request {
            token,
            client,
            version: context.version,
            request: Box::new(request),
        };
        match (self.run_group(&mut groups, event, Some(token), now_ms), parks) {
            (Some(GroupReply::StreamsHeartbeat(mut response)), _) => {
                tell_not_created(&mut response, &groups.not_created);
                Outcome::Ready(Response::StreamsGroupHeartbeat(response))
            }
            (Some(reply), _) => Outcome::Ready(into_response(reply, context.version)),
            (None, Some(api)) => Outcome::Parked(groups.park(token, api, context.version)),
            (None, None) => Outcome::Ready(unavailable),
        }
    }

    /// OffsetDelete. Topics that are not there are refused here, as in Kafka.
    pub(super) fn offset_delete(
        &self,
        context: &RequestContext,
        mut request: OffsetDeleteRequest,
        now_ms: i64,
    ) -> OffsetDeleteResponse {
        let (there, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut request.topics)
            .into_iter()
            .partition(|topic| self.topics.topic(&topic.name).is_ok());
        let missing = missing.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
            });
            OffsetDeleteResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        let mut response = OffsetDeleteResponse::default();
        if !there.is_empty() {
            request.topics = there;
            let event = Request::OffsetDelete(request);
            response = match self.group_membership(context, event, now_ms) {
                Outcome::Ready(Response::OffsetDelete(response)) => response,
                _ => response.with_error_code(ResponseError::CoordinatorNotAvailable.code()),
            };
        }
        if response.error_code == 0 {
            response.topics.extend(missing);
        }
        response
    }

    /// Takes over a group's own configs (resource type GROUP); they replace all it had. To be called when they are set and,
    /// because the coordinator does not store them, at the start.
    ///
    /// # Errors
    /// The coordinator is not available.
    pub fn override_group(
        &self,
        group_id: &str,
        configs: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let mut groups = self.lock_groups()?;
        let (group_id, overrides) = (group_id.to_owned(), GroupOverrides::from_configs(configs));
        self.run_group(
            &mut groups,
            GroupEvent::Overridden { group_id, overrides },
            None,
            now_ms,
        );
        Ok(())
    }

    pub(super) fn list_groups(&self, request: &ListGroupsRequest) -> ListGroupsResponse {
        let groups = match self.lock_groups() {
            Ok(groups) => groups,
            Err(error) => return ListGroupsResponse::default().with_error_code(error.code()),
        };
        let among = |filter: &[kafka_protocol::protocol::StrBytes], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let listed = groups
            .coordinator
            .groups()
            .filter(|group| {
                among(&request.states_filter, group.state_name())
                    && among(&request.types_filter, group.type_name())
            })
            .map(|group| {
                ListedGroup::default()
                    .with_group_id(GroupId(text(group.group_id())))
                    .with_protocol_type(text(group.protocol_type()))
                    .with_group_state(text(group.state_name()))
                    .with_group_type(text(group.type_name()))
            });
        ListGroupsResponse::default().with_groups(listed.collect())
    }

    pub(super) fn describe_groups(
        &self,
        version: i16,
        request: &DescribeGroupsRequest,
    ) -> DescribeGroupsResponse {
        let groups = self.lock_groups();
        let described = request.groups.iter().map(|group_id| {
            let described = DescribedGroup::default()
                .with_group_id(group_id.clone())
                .with_authorized_operations(OPERATIONS_NOT_REQUESTED);
            let group = match &groups {
                Err(error) => return described.with_error_code(error.code()),
                Ok(groups) => groups.coordinator.group(group_id),
            };
            if let Some(group) = group.and_then(Group::as_classic) {
                return describe(described, group);
            }
            let dead = described.with_group_state(text(ClassicState::Dead.name()));
            // Older clients take a group that is not there for a dead one.
            if version < GROUP_ID_NOT_FOUND_VERSION {
                return dead;
            }
            let message = match group {
                None => format!("Group {} not found.", group_id.as_str()),
                Some(_) => format!("Group {} is not a classic group.", group_id.as_str()),
            };
            dead.with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text(&message)))
        });
        DescribeGroupsResponse::default().with_groups(described.collect())
    }

    pub(super) fn describe_consumer_groups(
        &self,
        request: &ConsumerGroupDescribeRequest,
    ) -> ConsumerGroupDescribeResponse {
        let groups = self.lock_groups();
        let described = request.group_ids.iter().map(|group_id| {
            let described = ConsumerDescribedGroup::default()
                .with_group_id(group_id.clone())
                .with_authorized_operations(OPERATIONS_NOT_REQUESTED);
            let coordinator = match &groups {
                Err(error) => return described.with_error_code(error.code()),
                Ok(groups) => &groups.coordinator,
            };
            let Some(group) = coordinator.group(group_id).and_then(Group::as_consumer) else {
                let message = match coordinator.group(group_id) {
                    None => format!("Group {} not found.", group_id.as_str()),
                    Some(_) => format!("Group {} is not a consumer group.", group_id.as_str()),
                };
                return described
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(text(&message)));
            };
            group.describe(
                described,
                coordinator.topics(),
                coordinator.config().consumer.assignor,
            )
        });
        ConsumerGroupDescribeResponse::default().with_groups(described.collect())
    }

    pub(super) fn describe_streams_groups(
        &self,
        request: &StreamsGroupDescribeRequest,
    ) -> StreamsGroupDescribeResponse {
        let groups = self.lock_groups();
        let described = request.group_ids.iter().map(|group_id| {
            let described = StreamsDescribedGroup {
                group_id: group_id.clone(),
                authorized_operations: OPERATIONS_NOT_REQUESTED,
                ..StreamsDescribedGroup::default()
            };
            let failed = |error: ResponseError, message: String| StreamsDescribedGroup {
                error_code: error.code(),
                error_message: Some(message),
                ..described.clone()
            };
            let group = match &groups {
                Err(error) => return failed(*error, error.to_string()),
                Ok(groups) => groups.coordinator.group(group_id),
            };
            match group.map(|group| (group, group.as_streams())) {
                None => failed(
                    ResponseError::GroupIdNotFound,
                    format!("Group {group_id} not found."),
                ),
                Some((_, None)) => failed(
                    ResponseError::GroupIdNotFound,
                    format!("Group {group_id} is not a streams group."),
                ),
                Some((_, Some(group))) => group.describe(described),
            }
        });
        StreamsGroupDescribeResponse {
            groups: described.collect(),
            ..StreamsGroupDescribeResponse::default()
        }
    }

    pub(super) fn delete_groups(
        &self,
        context: &RequestContext,
        request: DeleteGroupsRequest,
        now_ms: i64,
    ) -> DeleteGroupsResponse {
        let delete = |group_id: &GroupId| -> Result<(), ResponseError> {
            let mut groups = self.lock_groups()?;
            let token = self.next_token();
            let request = GroupRequest::Delete {
                group_id: group_id.to_string(),
            };
            let (client, version) = (context.client.clone(), context.version);
            let event = GroupEvent::Request {
                token,
                client,
                version,
                request: Box::new(request),
            };
            match self.run_group(&mut groups, event, Some(token), now_ms) {
                Some(GroupReply::Delete(result)) => result,
                _ => Err(ResponseError::CoordinatorNotAvailable),
            }
        };
        let results = request.groups_names.into_iter().map(|group_id| {
            let error_code = delete(&group_id).err().map_or(0, |error| error.code());
            DeletableGroupResult::default()
                .with_group_id(group_id)
                .with_error_code(error_code)
        });
        DeleteGroupsResponse::default().with_results(results.collect())
    }
}

fn refusal_of(request: &GroupRequest, error: ResponseError) -> Response {
    let error_code = error.code();
    match request {
        GroupRequest::Join(_) => {
            Response::JoinGroup(JoinGroupResponse::default().with_error_code(error_code))
        }
        GroupRequest::Sync(_) => {
            Response::SyncGroup(SyncGroupResponse::default().with_error_code(error_code))
        }
        GroupRequest::Heartbeat(_) => {
            Response::Heartbeat(HeartbeatResponse::default().with_error_code(error_code))
        }
        GroupRequest::ConsumerHeartbeat(_) => Response::ConsumerGroupHeartbeat(
            ConsumerGroupHeartbeatResponse::default().with_error_code(error_code),
        ),
        GroupRequest::StreamsHeartbeat(_) => Response::StreamsGroupHeartbeat(StreamsGroupHeartbeatResponse {
            error_code,
            ..StreamsGroupHeartbeatResponse::default()
        }),
        GroupRequest::DeleteOffsets(_) => {
            Response::OffsetDelete(OffsetDeleteResponse::default().with_error_code(error_code))
        }
        _ => Response::LeaveGroup(LeaveGroupResponse::default().with_error_code(error_code)),
    }
}

fn describe(described: DescribedGroup, group: &ClassicGroup) -> DescribedGroup {
    let stable = group.state() == ClassicState::Stable;
    let members = group.members().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.group_instance_id.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(if stable {
                member.metadata(group.protocol())
            } else {
                Bytes::new()
            })
            .with_member_assignment(member.assignment.clone())
    });
    described
        .with_group_state(text(group.state().name()))
        .with_protocol_type(text(group.protocol_type()))
        .with_protocol_data(text(if stable { group.protocol() } else { "" }))
        .with_members(members.collect())
}
