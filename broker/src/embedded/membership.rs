//! Membership of a stream thread in its group, over the classic protocol of the group coordinator: the leader computes who
//! runs which task with the function it was handed.
//!
//! In process a heartbeat is a function call. It is made with every poll, so that a rebalance is noticed at once, and
//! `heartbeat_interval_ms` is not needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, SyncGroupRequest, SyncGroupResponse,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use streams_core::assignment::{GroupMember, TaskId};
use streams_core::error::LogError;
use streams_core::log::{LogResult, OffsetAndMetadata, TopicPartition};
use streams_core::membership::{GroupMetadata, Membership, MembershipConfig, MembershipEvent};

use super::{Inner, WAIT_SLICE};
use crate::handler::{Outcome, Parked, Response};

/// Protocol type of the group. Not `consumer`: the subscription is not in that protocol's format.
const PROTOCOL_TYPE: &str = "streams";
/// Name of the one protocol within it.
const PROTOCOL: &str = "tasks";
const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const LEAVE_VERSION: i16 = 5;
const OFFSET_COMMIT_VERSION: i16 = 8;
const NO_GENERATION: i32 = -1;

#[derive(Debug)]
pub(super) struct EmbeddedMembership {
    inner: Arc<Inner>,
    config: MembershipConfig,
    member_id: String,
    generation: i32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not part of a generation; join with the next poll.
    Out,
    Joining(Parked),
    Syncing(Parked),
    Stable,
}

impl EmbeddedMembership {
    pub(super) fn new(inner: Arc<Inner>, config: MembershipConfig) -> Self {
        Self {
            inner,
            config,
            member_id: String::new(),
            generation: NO_GENERATION,
            state: State::Out,
        }
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(&self.config.group_id))
    }

    fn context(&self, what: &str) -> String {
        format!(
            "{what} group {} as {}",
            self.config.group_id, self.config.client_id
        )
    }

    /// Sends JoinGroup; a new member is first given an id and must ask again with it.
    fn join(&mut self, owned: &[TaskId]) -> LogResult<Step> {
        let subscription = Bytes::from(self.config.assignor.subscription(owned));
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text(PROTOCOL))
            .with_metadata(subscription);
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(self.config.session_timeout_ms)
            .with_rebalance_timeout_ms(self.config.rebalance_timeout_ms)
            .with_member_id(text(&self.member_id))
            .with_protocol_type(text(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        match self
            .inner
            .outcome(&self.config.client_id, JOIN_VERSION, request)?
        {
            Outcome::Parked(parked) => {
                self.state = State::Joining(parked);
                Ok(Step::Wait)
            }
            Outcome::Ready(Response::JoinGroup(response)) => self.joined(&response),
            Outcome::Ready(other) => Err(LogError::failed(
                self.context("joining"),
                format!("answered with {other:?}"),
            )),
        }
    }

    fn joined(&mut self, response: &JoinGroupResponse) -> LogResult<Step> {
        match ResponseError::try_from_code(response.error_code) {
            None => {}
            Some(ResponseError::MemberIdRequired) => {
                self.member_id = response.member_id.to_string();
                self.state = State::Out;
                return Ok(Step::Again);
            }
            Some(ResponseError::UnknownMemberId | ResponseError::FencedInstanceId) => {
                self.reset();
                return Ok(Step::Again);
            }
            Some(ResponseError::RebalanceInProgress) => {
                self.state = State::Out;
                return Ok(Step::Again);
            }
            Some(_) => {
                return Err(self.inner.error(
                    response.error_code,
                    &self.context("joining"),
                    "refused by the broker",
                ));
            }
        }
        self.member_id = response.member_id.to_string();
        self.generation = response.generation_id;
        let assignments = if response.leader == response.member_id {
            self.assign(response)?
        } else {
            Vec::new()
        };
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(Some(text(PROTOCOL)))
            .with_assignments(assignments);
        match self
            .inner
            .outcome(&self.config.client_id, SYNC_VERSION, request)?
        {
            Outcome::Parked(parked) => {
                self.state = State::Syncing(parked);
                Ok(Step::Wait)
            }
            Outcome::Ready(Response::SyncGroup(response)) => self.synced(&response),
            Outcome::Ready(other) => Err(LogError::failed(
                self.context("syncing with"),
                format!("answered with {other:?}"),
            )),
        }
    }

    fn assign(&self, response: &JoinGroupResponse) -> LogResult<Vec<SyncGroupRequestAssignment>> {
        let member =
            |member: &kafka_protocol::messages::join_group_response::JoinGroupResponseMember| GroupMember {
                member_id: member.member_id.to_string(),
                subscription: member.metadata.to_vec(),
            };
        let members: Vec<GroupMember> = response.members.iter().map(member).collect();
        let assigned = self.config.assignor.assign(&members)?;
        let assignment = |(member, assignment): (GroupMember, Vec<u8>)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(StrBytes::from_string(member.member_id))
                .with_assignment(assignment.into())
        };
        Ok(members.into_iter().zip(assigned).map(assignment).collect())
    }

    fn synced(&mut self, response: &SyncGroupResponse) -> LogResult<Step> {
        match ResponseError::try_from_code(response.error_code) {
            None => {
                let tasks = self.config.assignor.decode(&response.assignment)?;
                self.state = State::Stable;
                Ok(Step::Done(MembershipEvent::Assigned(tasks)))
            }
            Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => {
                self.state = State::Out;
                Ok(Step::Again)
            }
            Some(ResponseError::UnknownMemberId | ResponseError::FencedInstanceId) => {
                self.reset();
                Ok(Step::Again)
            }
            Some(_) => Err(self.inner.error(
                response.error_code,
                &self.context("syncing with"),
                "refused by the broker",
            )),
        }
    }

    fn heartbeat(&mut self) -> LogResult<MembershipEvent> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id));
        let response: HeartbeatResponse =
            self.inner
                .request(&self.config.client_id, HEARTBEAT_VERSION, request)?;
        match ResponseError::try_from_code(response.error_code) {
            None => Ok(MembershipEvent::Unchanged),
            Some(ResponseError::RebalanceInProgress) => {
                self.state = State::Out;
                Ok(MembershipEvent::RevokeThenRejoin)
            }
            Some(
                ResponseError::UnknownMemberId
                | ResponseError::IllegalGeneration
                | ResponseError::FencedInstanceId,
            ) => {
                self.reset();
                Ok(MembershipEvent::Lost)
            }
            Some(_) => Err(self.inner.error(
                response.error_code,
                &self.context("heartbeat to"),
                "refused by the broker",
            )),
        }
    }

    fn reset(&mut self) {
        self.member_id.clear();
        self.generation = NO_GENERATION;
        self.state = State::Out;
    }
}

/// What a step towards an assignment leads to.
enum Step {
    Done(MembershipEvent),
    /// Take the next step at once.
    Again,
    /// Other members are waited for.
    Wait,
}

impl Membership for EmbeddedMembership {
    fn poll(&mut self, owned: &[TaskId], timeout: Duration) -> LogResult<MembershipEvent> {
        self.inner.check_open()?;
        self.inner.tick_if_due();
        let started = self.inner.clock.elapsed();
        let mut waited = Duration::ZERO;
        loop {
            let slice = WAIT_SLICE.min(timeout.saturating_sub(waited));
            let step = match &self.state {
                State::Stable => return self.heartbeat(),
                State::Out => self.join(owned)?,
                State::Joining(parked) | State::Syncing(parked) => match parked.wait(slice) {
                    Some(Response::JoinGroup(response)) => self.joined(&response)?,
                    Some(Response::SyncGroup(response)) => self.synced(&response)?,
                    Some(other) => {
                        let answer = format!("answered with {other:?}");
                        return Err(LogError::failed(self.context("joining"), answer));
                    }
                    None => {
                        // The machine's time may stand still in tests; what was slept counts in any case.
                        waited = (waited + slice).max(self.inner.clock.elapsed().saturating_sub(started));
                        self.inner.tick_if_due();
                        Step::Wait
                    }
                },
            };
            match step {
                Step::Done(event) => return Ok(event),
                Step::Again => {}
                Step::Wait if waited >= timeout => return Ok(MembershipEvent::Unchanged),
                Step::Wait => {}
            }
        }
    }

    fn group_metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: None,
        }
    }

    fn commit(&mut self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> LogResult<()> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            topics.entry(&partition.topic).or_default().push(
                OffsetCommitRequestPartition::default()
                    .with_partition_index(partition.partition)
                    .with_committed_offset(offset.offset)
                    .with_committed_leader_epoch(-1)
                    .with_committed_metadata(Some(text(&offset.metadata))),
            );
        }
        let topic = |(name, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions)
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.member_id))
            .with_topics(topics.into_iter().map(topic).collect());
        let response: OffsetCommitResponse =
            self.inner
                .request(&self.config.client_id, OFFSET_COMMIT_VERSION, request)?;
        let codes = response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code);
        codes
            .into_iter()
            .try_for_each(|code| self.inner.check(code, || self.context("committing offsets to")))
    }

    fn leave(&mut self) -> LogResult<()> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        let member = MemberIdentity::default().with_member_id(text(&self.member_id));
        let request = LeaveGroupRequest::default()
            .with_group_id(self.group_id())
            .with_members(vec![member]);
        let _: LeaveGroupResponse = self
            .inner
            .request(&self.config.client_id, LEAVE_VERSION, request)?;
        self.reset();
        Ok(())
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
