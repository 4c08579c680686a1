//! SyncGroup, Heartbeat and LeaveGroup: what members do within a generation.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use super::join::sync_refused;
use super::state::{ClassicGroup, ClassicState};
use crate::group::{Append, GroupCoordinator, GroupReply, Outbox, classic_in, code, text};
use crate::transaction::Token;

/// First version in which several members leave with one request.
const BATCH_LEAVE_VERSION: i16 = 3;

impl GroupCoordinator {
    pub(in crate::group) fn sync(&mut self, token: Token, request: &SyncGroupRequest, now_ms: i64) {
        if self.is_live_consumer(&request.group_id) {
            let synced = self.sync_consumer(request, now_ms);
            let reply = synced.map_or_else(sync_refused, GroupReply::Sync);
            return self.outbox.reply(token, reply);
        }
        if let Err(error) = self.try_sync(token, request, now_ms) {
            self.outbox.reply(token, sync_refused(error));
        }
    }

    fn try_sync(
        &mut self,
        token: Token,
        request: &SyncGroupRequest,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        check_group_id(&request.group_id)?;
        let group = classic_in(&mut self.groups, &request.group_id).ok_or(ResponseError::UnknownMemberId)?;
        let member_id = request.member_id.as_str();
        group.check_generation(
            member_id,
            request.group_instance_id.as_deref(),
            request.generation_id,
        )?;
        let differs =
            |asked: &Option<_>, actual: &str| asked.as_deref().is_some_and(|asked: &str| asked != actual);
        if differs(&request.protocol_type, group.protocol_type())
            || differs(&request.protocol_name, group.protocol())
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match group.state {
            ClassicState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            ClassicState::CompletingRebalance => {
                group.park_sync(member_id, token, &mut self.outbox);
                if group.is_leader(member_id) {
                    group.append_assignment(request, &mut self.outbox);
                }
                Ok(())
            }
            ClassicState::Stable => {
                group.answer_sync(member_id, token, &mut self.outbox, now_ms);
                Ok(())
            }
            ClassicState::Empty => Err(ResponseError::UnknownMemberId),
            ClassicState::Dead => Err(ResponseError::CoordinatorNotAvailable),
        }
    }

    pub(in crate::group) fn assignment_appended(
        &mut self,
        group_id: &str,
        generation: i32,
        mut assignments: BTreeMap<String, Bytes>,
        result: Result<i64, ResponseError>,
        now_ms: i64,
    ) {
        let Some(group) = classic_in(&mut self.groups, group_id) else {
            return;
        };
        if group.state != ClassicState::CompletingRebalance || group.generation != generation {
            return;
        }
        if let Err(error) = result {
            group.refuse_syncs(error, &mut self.outbox);
            group.prepare_rebalance(&mut self.outbox, now_ms);
            return;
        }
        group.enter(ClassicState::Stable, now_ms);
        let member_ids: Vec<String> = group.members.keys().cloned().collect();
        for member_id in member_ids {
            let member = group
                .members
                .get_mut(&member_id)
                .expect("no member is removed here");
            member.assignment = assignments.remove(&member_id).unwrap_or_default();
            if let Some(token) = member.sync.take() {
                group.answer_sync(&member_id, token, &mut self.outbox, now_ms);
            }
        }
    }

    pub(in crate::group) fn heartbeat(&mut self, token: Token, request: &HeartbeatRequest, now_ms: i64) {
        let error_code = code(self.try_heartbeat(request, now_ms));
        self.outbox.reply(
            token,
            GroupReply::Heartbeat(HeartbeatResponse::default().with_error_code(error_code)),
        );
    }

    fn try_heartbeat(&mut self, request: &HeartbeatRequest, now_ms: i64) -> Result<(), ResponseError> {
        check_group_id(&request.group_id)?;
        if self.is_live_consumer(&request.group_id) {
            return self.heartbeat_consumer(request, now_ms);
        }
        let group = classic_in(&mut self.groups, &request.group_id).ok_or(ResponseError::UnknownMemberId)?;
        let member_id = request.member_id.as_str();
        group.check_generation(
            member_id,
            request.group_instance_id.as_deref(),
            request.generation_id,
        )?;
        match group.state {
            ClassicState::Empty => return Err(ResponseError::UnknownMemberId),
            ClassicState::Dead => return Err(ResponseError::CoordinatorNotAvailable),
            _ => {}
        }
        let member = group.members.get_mut(member_id).expect("it was just checked");
        member.heard(now_ms);
        // The session is renewed even so: the member lives, it has only to join again.
        if group.state == ClassicState::PreparingRebalance {
            Err(ResponseError::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    pub(in crate::group) fn leave(
        &mut self,
        token: Token,
        version: i16,
        request: &LeaveGroupRequest,
        now_ms: i64,
    ) {
        if self.is_live_consumer(&request.group_id) {
            return self.leave_consumer(token, version, request, now_ms);
        }
        let mut response = LeaveGroupResponse::default();
        if let Err(error) = check_group_id(&request.group_id) {
            response.error_code = error.code();
        } else if version < BATCH_LEAVE_VERSION {
            let left = self.remove(&request.group_id, &request.member_id, None, now_ms);
            response.error_code = code(left);
        } else {
            for member in &request.members {
                let instance = member.group_instance_id.as_deref();
                let left = self.remove(&request.group_id, &member.member_id, instance, now_ms);
                response.members.push(
                    MemberResponse::default()
                        .with_member_id(member.member_id.clone())
                        .with_group_instance_id(member.group_instance_id.clone())
                        .with_error_code(code(left)),
                );
            }
        }
        self.outbox.reply(token, GroupReply::Leave(response));
    }

    fn remove(
        &mut self,
        group_id: &str,
        member_id: &str,
        instance: Option<&str>,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let group = classic_in(&mut self.groups, group_id).ok_or(ResponseError::UnknownMemberId)?;
        if group.pending_members.remove(member_id).is_some() {
            group.maybe_complete_join(&mut self.outbox, now_ms);
            return Ok(());
        }
        let member_id = match instance {
            // Removal by an administrator, who knows only the static id.
            Some(instance) if member_id.is_empty() => group
                .static_members
                .get(instance)
                .cloned()
                .ok_or(ResponseError::UnknownMemberId)?,
            _ => member_id.to_owned(),
        };
        group.check_member(&member_id, instance)?;
        group.remove_member(&member_id, &mut self.outbox, now_ms);
        Ok(())
    }
}

impl ClassicGroup {
    /// That a request comes from a member of the current generation.
    pub(in crate::group) fn check_generation(
        &self,
        member_id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.check_member(member_id, instance)?;
        if generation == self.generation {
            Ok(())
        } else {
            Err(ResponseError::IllegalGeneration)
        }
    }

    fn park_sync(&mut self, member_id: &str, token: Token, outbox: &mut Outbox) {
        let member = self.members.get_mut(member_id).expect("it was just checked");
        member.owes_sync = false;
        if let Some(replaced) = member.sync.replace(token) {
            outbox.reply(replaced, sync_refused(ResponseError::RebalanceInProgress));
        }
    }

    /// The leader's assignment goes to the log before anybody learns of it.
    fn append_assignment(&mut self, request: &SyncGroupRequest, outbox: &mut Outbox) {
        let assignments: BTreeMap<String, Bytes> = request
            .assignments
            .iter()
            .filter(|assignment| self.members.contains_key(assignment.member_id.as_str()))
            .map(|assignment| (assignment.member_id.to_string(), assignment.assignment.clone()))
            .collect();
        let (key, value) = self.record(Some(&assignments));
        let purpose = Append::Assignment {
            group_id: self.group_id.clone(),
            generation: self.generation,
            assignments,
        };
        outbox.append(&self.group_id, vec![(key, Some(value))], None, purpose);
    }

    fn answer_sync(&mut self, member_id: &str, token: Token, outbox: &mut Outbox, now_ms: i64) {
        let member = self
            .members
            .get_mut(member_id)
            .expect("only members are answered");
        member.owes_sync = false;
        member.heard(now_ms);
        let response = SyncGroupResponse::default()
            .with_assignment(member.assignment.clone())
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text));
        outbox.reply(token, GroupReply::Sync(response));
    }
}

fn check_group_id(group_id: &str) -> Result<(), ResponseError> {
    if group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        Ok(())
    }
}
