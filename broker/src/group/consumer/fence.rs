//! Members that leave, and members that are given up because they were silent or did not revoke in time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::member::{Assignment, ConsumerMember};
use super::record::{ConsumerRecord, GroupEpoch};
use super::state::{ConsumerGroup, LEFT_STATIC_EPOCH, member_tombstones};
use super::subscription::topics_of;
use crate::group::modern::{Found, ModernRecord, Step};
use crate::group::topics::TopicImage;
use crate::group::{GroupCoordinator, GroupReply, Refusal, refuse, text};

impl GroupCoordinator {
    pub(super) fn consumer_leave(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        now_ms: i64,
    ) -> Result<Step, Refusal> {
        self.check_there(&request.group_id)?;
        let Found::There(group) = self.find_consumer(&request.group_id, false)? else {
            unreachable!("only a member that joins makes a group");
        };
        let member_id = request.member_id.as_str();
        let member = match request.instance_id.as_deref() {
            Some(instance_id) => group.check_static(member_id, instance_id)?,
            None => group.member(member_id).ok_or_else(|| {
                let message = format!(
                    "Member {member_id} is not a member of group {}.",
                    *request.group_id
                );
                refuse(ResponseError::UnknownMemberId, message)
            })?,
        };
        let mut step = if request.member_epoch == LEFT_STATIC_EPOCH {
            // It keeps its partitions for its session, in case it comes back.
            let mut current = member.current.clone();
            current.epoch = LEFT_STATIC_EPOCH;
            current.revoking = Assignment::new();
            let paused = ConsumerRecord::Current(member.member_id.clone(), Some(current));
            Step {
                records: vec![ModernRecord::Consumer(paused)],
                ..Step::default()
            }
        } else {
            self.step_without(&request.group_id, &[member_id], now_ms)
        };
        let response = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(member_id)))
            .with_member_epoch(request.member_epoch);
        step.reply = Some(GroupReply::ConsumerHeartbeat(response));
        Ok(step)
    }
}

impl ConsumerGroup {
    /// The records that take members out; the rest is assigned anew with the next heartbeat.
    pub(in crate::group) fn fence(&self, gone: &[&str], topics: &TopicImage) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        for member_id in gone {
            records.extend(member_tombstones(member_id));
        }
        let stay: Vec<&ConsumerMember> = self
            .members
            .values()
            .filter(|member| !gone.contains(&member.member_id.as_str()))
            .collect();
        let unwanted = self.regexes.keys().filter(|regex| {
            !stay
                .iter()
                .any(|member| member.metadata.regex() == Some(regex.as_str()))
        });
        records.extend(unwanted.map(|regex| ConsumerRecord::Regex(regex.clone(), None)));
        let names = topics_of(stay.iter().copied(), &self.regexes);
        records.push(ConsumerRecord::Group(Some(GroupEpoch {
            epoch: self.epoch + 1,
            metadata_hash: topics.metadata_hash(names),
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

    /// Every member is given its session from now on; `session_ms` if it does not say one itself.
    pub(in crate::group) fn restart_sessions(&mut self, session_ms: i64, now_ms: i64) {
        for (member_id, timers) in &mut self.timers {
            let classic = self
                .members
                .get(member_id)
                .and_then(|member| member.metadata.classic.as_ref());
            let session_ms = classic.map_or(session_ms, |classic| i64::from(classic.session_timeout_ms));
            timers.session_ms = now_ms.saturating_add(session_ms);
        }
    }

    /// Takes down which picture of the topics the group has looked at; None if it must look again.
    pub(in crate::group) fn see_topics(&mut self, version: Option<u64>) {
        self.seen_topics = version.unwrap_or(0);
    }
}
