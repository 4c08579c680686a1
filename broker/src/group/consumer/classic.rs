//! Members of a consumer group that speak the classic protocol: JoinGroup is their heartbeat with something to say, SyncGroup
//! tells them what they hold, and Heartbeat whether they have to join again.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};

use super::heartbeat::{JOIN_EPOCH, Turn};
use super::member::{ClassicMember, ConsumerMember, MemberState};
use super::state::ConsumerGroup;
use crate::group::classic::refused;
use crate::group::embedded::{self, Subscription};
use crate::group::modern::Step;
use crate::group::topics::TopicImage;
use crate::group::{Client, Group, GroupCoordinator, GroupKind, GroupReply, text};
use crate::topic::encode_id;
use crate::transaction::Token;

/// First version of JoinGroup in which a new member must come back with the id it was given (KIP-394).
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;
/// First version of LeaveGroup in which several members leave with one request.
const BATCH_LEAVE_VERSION: i16 = 3;
/// Any epoch but that of who joins: the members' own epochs are looked up.
const KNOWN_EPOCH: i32 = 1;

impl GroupCoordinator {
    /// Whether there is a consumer group with members of this name.
    pub(in crate::group) fn is_live_consumer(&self, group_id: &str) -> bool {
        let group = self.groups.get(group_id).and_then(Group::as_consumer);
        group.is_some_and(|group| !group.is_empty())
    }

    /// JoinGroup. Refuses with the error and the member id of the response.
    pub(in crate::group) fn join_consumer(
        &mut self,
        token: Token,
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        now_ms: i64,
    ) -> Result<(), (ResponseError, String)> {
        let refuse = |error| (error, String::new());
        let inconsistent = || refuse(ResponseError::InconsistentGroupProtocol);
        let is_unknown = request.member_id.is_empty();
        let member_id = if is_unknown {
            encode_id(self.ids.next_id())
        } else {
            request.member_id.to_string()
        };
        let topics = Arc::clone(&self.topics);
        let config = self.consumer_config(&request.group_id);
        let group = self
            .groups
            .get(request.group_id.as_str())
            .and_then(Group::as_consumer);
        let group = group.ok_or_else(inconsistent)?;
        if group.members.len() >= config.max_size && !group.members.contains_key(&member_id) {
            return Err(refuse(ResponseError::GroupMaxSizeReached));
        }
        let classic = ClassicMember::of(request);
        if !group.supports(&request.protocol_type, &classic.protocols) {
            return Err(inconsistent());
        }
        if is_unknown && request.group_instance_id.is_none() && version >= MEMBER_ID_REQUIRED_VERSION {
            return Err((ResponseError::MemberIdRequired, member_id));
        }
        if let Some(step) = self.displacing(group, request, now_ms) {
            self.take_step(&request.group_id, Some(token), step, now_ms);
            return Ok(());
        }
        let beat = as_heartbeat(version, request, &topics).map_err(refuse)?;
        let rebalance_timeout_ms = beat.rebalance_timeout_ms;
        let turn = Turn::begin(group, &member_id, client, &beat, Some(classic), &topics, now_ms)
            .map_err(|refusal| refuse(refusal.error))?;
        let mut step = turn.run(config.assignor, config.heartbeat_interval_ms);
        let after = |timeout_ms: i32| now_ms.saturating_add(i64::from(timeout_ms));
        step.seen_topics = Some(topics.version());
        step.heard = Some((member_id, after(request.session_timeout_ms)));
        step.sync_deadline_ms = Some(after(rebalance_timeout_ms));
        self.take_step(&request.group_id, Some(token), step, now_ms);
        Ok(())
    }

    /// A static member takes the place of the last one that spoke the consumer protocol: it is told to come again, and joins
    /// what the group becomes.
    fn displacing(&self, group: &ConsumerGroup, request: &JoinGroupRequest, now_ms: i64) -> Option<Step> {
        let instance = request.group_instance_id.as_deref();
        let instance = instance.filter(|_| request.member_id.is_empty())?;
        let old = group.static_member(instance).filter(|old| !old.is_classic())?;
        let mut step = self.downgraded(&request.group_id, group, &[&old.member_id], now_ms)?;
        step.reply = Some(refused(ResponseError::RebalanceInProgress, ""));
        Some(step)
    }

    /// SyncGroup.
    pub(in crate::group) fn sync_consumer(
        &mut self,
        request: &SyncGroupRequest,
        now_ms: i64,
    ) -> Result<SyncGroupResponse, ResponseError> {
        let topics = Arc::clone(&self.topics);
        let group = self.live_consumer(&request.group_id)?;
        let instance = request.group_instance_id.as_deref();
        let (member, classic) =
            group.classic_member_of(&request.member_id, instance, request.generation_id)?;
        let protocol = classic
            .protocols
            .first()
            .ok_or(ResponseError::InconsistentGroupProtocol)?;
        let differs = |asked: Option<&str>, own: &str| asked.is_some_and(|asked| asked != own);
        if differs(request.protocol_type.as_deref(), embedded::PROTOCOL_TYPE)
            || differs(request.protocol_name.as_deref(), &protocol.0)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        // Who has joined and has to revoke is told what it keeps first.
        if group.epoch > member.current.epoch && member.current.state != MemberState::UnrevokedPartitions {
            let member_id = member.member_id.clone();
            group.must_join(&member_id, now_ms);
            return Err(ResponseError::RebalanceInProgress);
        }
        let assignment = embedded::encode_assignment(&member.current.assigned, &topics, &protocol.1)
            .map_err(|_| ResponseError::InconsistentGroupProtocol)?;
        let deadline_ms = now_ms.saturating_add(i64::from(classic.session_timeout_ms));
        let member_id = member.member_id.clone();
        group.heard(&member_id, deadline_ms);
        group.has_synced(&member_id);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(request.protocol_type.clone())
            .with_protocol_name(request.protocol_name.clone())
            .with_assignment(assignment))
    }

    /// Heartbeat.
    pub(in crate::group) fn heartbeat_consumer(
        &mut self,
        request: &HeartbeatRequest,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let group = self.live_consumer(&request.group_id)?;
        let instance = request.group_instance_id.as_deref();
        let (member, classic) =
            group.classic_member_of(&request.member_id, instance, request.generation_id)?;
        let deadline_ms = now_ms.saturating_add(i64::from(classic.session_timeout_ms));
        let must_join = member.current.epoch < group.epoch
            || match member.current.state {
                MemberState::Stable => false,
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !group.waits_for_others(member),
            };
        let member_id = member.member_id.clone();
        group.heard(&member_id, deadline_ms);
        if must_join {
            group.must_join(&member_id, now_ms);
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup, also by an administrator.
    pub(in crate::group) fn leave_consumer(
        &mut self,
        token: Token,
        version: i16,
        request: &LeaveGroupRequest,
        now_ms: i64,
    ) {
        let group = self
            .groups
            .get(request.group_id.as_str())
            .and_then(Group::as_consumer);
        let mut gone: Vec<&str> = Vec::new();
        let mut leaves = |member_id: &str, instance: Option<&str>| {
            let group = group.ok_or(ResponseError::UnknownMemberId)?;
            let member = group.leaving_member(member_id, instance)?;
            if !gone.contains(&member.member_id.as_str()) {
                gone.push(&member.member_id);
            }
            Ok::<_, ResponseError>(())
        };
        let code = |result: Result<(), ResponseError>| result.err().map_or(0, |error| error.code());
        let mut response = LeaveGroupResponse::default();
        if version < BATCH_LEAVE_VERSION {
            response.error_code = code(leaves(&request.member_id, None));
        } else {
            for member in &request.members {
                let left = leaves(&member.member_id, member.group_instance_id.as_deref());
                response.members.push(
                    MemberResponse::default()
                        .with_member_id(member.member_id.clone())
                        .with_group_instance_id(member.group_instance_id.clone())
                        .with_error_code(code(left)),
                );
            }
        }
        let mut step = self.step_without(&request.group_id, &gone, now_ms);
        step.reply = Some(GroupReply::Leave(response));
        self.take_step(&request.group_id, Some(token), step, now_ms);
    }

    fn live_consumer(&mut self, group_id: &str) -> Result<&mut ConsumerGroup, ResponseError> {
        match self.groups.get_mut(group_id).map(|group| &mut group.kind) {
            Some(GroupKind::Consumer(group)) => Ok(group),
            _ => Err(ResponseError::UnknownMemberId),
        }
    }
}

/// What a member that speaks the consumer protocol would say instead.
fn as_heartbeat(
    version: i16,
    request: &JoinGroupRequest,
    topics: &TopicImage,
) -> Result<ConsumerGroupHeartbeatRequest, ResponseError> {
    let subscription = request.protocols.first();
    let subscription = subscription.and_then(|protocol| Subscription::decode(&protocol.metadata).ok());
    let subscription = subscription.ok_or(ResponseError::InconsistentGroupProtocol)?;
    let names = subscription.topics.iter().map(|name| TopicName(text(name)));
    let is_unknown = request.member_id.is_empty();
    Ok(ConsumerGroupHeartbeatRequest::default()
        .with_group_id(request.group_id.clone())
        .with_member_epoch(if is_unknown { JOIN_EPOCH } else { KNOWN_EPOCH })
        .with_instance_id(request.group_instance_id.clone())
        .with_rack_id(subscription.rack_id.as_deref().map(text))
        .with_rebalance_timeout_ms(match version {
            // It has no rebalance timeout: the session timeout serves.
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        })
        .with_subscribed_topic_names(Some(names.collect()))
        .with_subscribed_topic_regex(Some(text("")))
        .with_topic_partitions(Some(subscription.owned(topics))))
}

impl ClassicMember {
    fn of(request: &JoinGroupRequest) -> Self {
        let protocols = request.protocols.iter();
        Self {
            session_timeout_ms: request.session_timeout_ms,
            protocols: protocols
                .map(|protocol| {
                    // A copy: it is a part of the request, which would be kept with it.
                    (
                        protocol.name.to_string(),
                        Bytes::copy_from_slice(&protocol.metadata),
                    )
                })
                .collect(),
        }
    }
}

/// The answer to a member that has joined: it leads nobody.
pub(super) fn joined(member: &ConsumerMember, classic: &ClassicMember) -> GroupReply {
    let protocol = classic.protocols.first().map(|(name, _)| text(name));
    GroupReply::Join(
        JoinGroupResponse::default()
            .with_member_id(text(&member.member_id))
            .with_generation_id(member.current.epoch)
            .with_protocol_type(Some(text(embedded::PROTOCOL_TYPE)))
            .with_protocol_name(protocol),
    )
}

impl ConsumerGroup {
    /// Whether a member with these protocols can be in the group: one of them every classic member must know.
    fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        let known = |name: &str, member: &ClassicMember| member.protocols.iter().any(|(own, _)| own == name);
        let by_all = |name: &str| {
            let mut classic = self
                .members
                .values()
                .filter_map(|member| member.metadata.classic.as_ref());
            classic.all(|member| known(name, member))
        };
        protocol_type == embedded::PROTOCOL_TYPE && protocols.iter().any(|(name, _)| by_all(name))
    }

    /// The member that joins, and the static one whose place it takes.
    pub(super) fn joining_classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        is_unknown: bool,
    ) -> Result<(ConsumerMember, Option<&ConsumerMember>), crate::group::Refusal> {
        let own = || self.members.get(member_id).cloned();
        let Some(instance_id) = instance_id else {
            return Ok((own().unwrap_or_else(|| ConsumerMember::new(member_id)), None));
        };
        if !is_unknown {
            return Ok((self.check_static(member_id, instance_id)?.clone(), None));
        }
        match self.static_member(instance_id) {
            None => Ok((own().unwrap_or_else(|| ConsumerMember::new(member_id)), None)),
            Some(old) => Ok((old.succeeded_by(member_id), Some(old))),
        }
    }

    /// A classic member that says its generation.
    fn classic_member_of(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(&ConsumerMember, &ClassicMember), ResponseError> {
        let member = match instance_id {
            None => self.member(member_id).ok_or(ResponseError::UnknownMemberId)?,
            Some(instance_id) => self
                .check_static(member_id, instance_id)
                .map_err(|refusal| refusal.error)?,
        };
        let classic = member
            .metadata
            .classic
            .as_ref()
            .ok_or(ResponseError::UnknownMemberId)?;
        if member.current.epoch != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok((member, classic))
    }

    /// A member that is to leave; an administrator may name it by its static id alone.
    fn leaving_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<&ConsumerMember, ResponseError> {
        let unknown = ResponseError::UnknownMemberId;
        match instance_id {
            None => self.member(member_id).ok_or(unknown),
            Some(instance_id) if member_id.is_empty() => self.static_member(instance_id).ok_or(unknown),
            Some(instance_id) => self
                .check_static(member_id, instance_id)
                .map_err(|refusal| refusal.error),
        }
    }

    /// Whether something that a member shall hold is still held by another.
    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        let target = self.target(&member.member_id);
        target.into_iter().flatten().any(|(topic, partitions)| {
            let own = member.current.assigned.get(topic);
            let is_own = |partition| own.is_some_and(|own| own.contains(partition));
            partitions
                .iter()
                .any(|partition| !is_own(partition) && !self.is_free(*topic, *partition))
        })
    }

    /// A member was told to join again: it has its rebalance timeout to do so.
    fn must_join(&mut self, member_id: &str, now_ms: i64) {
        let timeout_ms = self
            .member(member_id)
            .map_or(0, |member| i64::from(member.metadata.rebalance_timeout_ms));
        if let Some(timers) = self.timers.get_mut(member_id) {
            timers.join_ms.get_or_insert(now_ms.saturating_add(timeout_ms));
        }
    }

    /// A member has joined: it has until `sync_deadline_ms` to ask what it holds.
    pub(in crate::group) fn has_joined(&mut self, member_id: &str, sync_deadline_ms: i64) {
        if let Some(timers) = self.timers.get_mut(member_id) {
            timers.join_ms = None;
            timers.sync_ms = Some(sync_deadline_ms);
        }
    }

    fn has_synced(&mut self, member_id: &str) {
        if let Some(timers) = self.timers.get_mut(member_id) {
            timers.sync_ms = None;
        }
    }
}
