//! Members that leave, and members that are given up because they were silent or did not give tasks up in time.

use kafka_protocol::ResponseError;

use super::heartbeat::SideEffects;
use super::record::{StreamsEpoch, StreamsRecord};
use super::state::{StreamsGroup, member_tombstones};
use crate::group::modern::{Found, ModernRecord, Step};
use crate::group::{GroupCoordinator, GroupReply, Refusal, refuse};
use crate::protocol::streams_heartbeat::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

impl GroupCoordinator {
    pub(super) fn streams_leave(&self, request: &StreamsGroupHeartbeatRequest) -> Result<Step, Refusal> {
        let Found::There(group) = self.find_streams(&request.group_id, false)? else {
            unreachable!("only a member that joins makes a group");
        };
        let member_id = &request.member_id;
        if group.member(member_id).is_none() {
            let message = format!(
                "Member {member_id} is not a member of group {}.",
                request.group_id
            );
            return Err(refuse(ResponseError::UnknownMemberId, message));
        }
        let response = StreamsGroupHeartbeatResponse {
            member_id: member_id.clone(),
            member_epoch: request.member_epoch,
            ..StreamsGroupHeartbeatResponse::default()
        };
        let records = group.fence(&[member_id]).into_iter();
        Ok(Step {
            records: records.map(ModernRecord::Streams).collect(),
            reply: Some(GroupReply::StreamsHeartbeat(response)),
            side_effects: Some(SideEffects {
                shutdown_by: request.shutdown_application.then(|| member_id.clone()),
                ..SideEffects::default()
            }),
            ..Step::default()
        })
    }
}

impl StreamsGroup {
    /// The records that take members out; the rest is assigned anew with the next heartbeat.
    pub(in crate::group) fn fence(&self, gone: &[&str]) -> Vec<StreamsRecord> {
        let mut records = Vec::new();
        for member_id in gone {
            records.extend(member_tombstones(member_id));
        }
        records.push(StreamsRecord::Group(Some(StreamsEpoch {
            epoch: self.group.epoch + 1,
            ..self.group
        })));
        records
    }

    /// The members whose time is up, in the order of their ids.
    pub(in crate::group) fn overdue(&self, now_ms: i64) -> Vec<&str> {
        let due = |member_id: &&String| {
            self.timers
                .get(*member_id)
                .is_some_and(|timers| timers.are_due(now_ms))
        };
        self.members.keys().filter(due).map(String::as_str).collect()
    }

    /// A member was heard of and is so again before `deadline_ms`.
    pub(in crate::group) fn heard(&mut self, member_id: &str, deadline_ms: i64) {
        if let Some(timers) = self.timers.get_mut(member_id) {
            timers.session_ms = deadline_ms;
        }
    }

    /// Every member is given its session from now on.
    pub(in crate::group) fn restart_sessions(&mut self, deadline_ms: i64) {
        for timers in self.timers.values_mut() {
            timers.session_ms = deadline_ms;
        }
    }

    /// Takes down what a heartbeat found out beside its records.
    pub(in crate::group) fn take_down(&mut self, effects: SideEffects, seen_topics: Option<u64>) {
        if let Some(configured) = effects.configured {
            self.configured = Some(configured);
            self.seen_topics = seen_topics.unwrap_or(0);
        }
        self.endpoint_changes += i32::from(effects.endpoints_changed);
        if !self.members.is_empty() && effects.shutdown_by.is_some() {
            self.shutdown_by = effects.shutdown_by;
        }
    }
}
