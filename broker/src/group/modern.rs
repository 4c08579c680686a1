//! What the groups have in common whose members only send heartbeats: steps that answer records and a response, and the
//! one place where records become state.
//!
//! While the records of a group are on their way to the log, further requests for that group wait here, so that every
//! step sees what the one before decided.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::classic::ClassicGroup;
use super::consumer::{ConsumerGroup, ConsumerRecord};
use super::streams::{SideEffects, StreamsGroup, StreamsRecord};
use super::{Append, Client, Group, GroupCoordinator, GroupKind, GroupReply, GroupRequest, Refusal, refuse};
use crate::transaction::Token;

/// A record that needs no more thought: key, and value or None.
pub(super) type RawRecord = (Bytes, Option<Bytes>);

/// A record of a step.
#[derive(Debug)]
pub(super) enum ModernRecord {
    /// The end of what the group was before.
    Raw(RawRecord),
    Consumer(ConsumerRecord),
    Streams(StreamsRecord),
}

impl ModernRecord {
    fn encode(&self, group_id: &str) -> RawRecord {
        match self {
            Self::Raw(record) => record.clone(),
            Self::Consumer(record) => record.encode(group_id),
            Self::Streams(record) => record.encode(group_id),
        }
    }
}

/// What a request leads to.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) records: Vec<ModernRecord>,
    pub(super) reply: Option<GroupReply>,
    /// The member that was heard of, and until when it is believed to live.
    pub(super) heard: Option<(String, i64)>,
    /// Version of the topics the group was compared with.
    pub(super) seen_topics: Option<u64>,
    /// Until when members are believed to live that came from a classic group.
    pub(super) sessions: Vec<(String, i64)>,
    /// The member that was heard of speaks the classic protocol and has joined: until when it must ask what it holds.
    pub(super) sync_deadline_ms: Option<i64>,
    /// What a consumer group becomes in which only classic members are left.
    pub(super) becomes: Option<Box<ClassicGroup>>,
    /// What a streams group keeps that is not in the log.
    pub(super) side_effects: Option<SideEffects>,
}

/// A step whose records are on their way to the log.
#[derive(Debug)]
pub(super) struct PendingStep {
    group_id: String,
    token: Option<Token>,
    step: Step,
}

/// A request that waits for the step before it.
#[derive(Debug)]
pub(super) struct Waiting {
    token: Token,
    client: Client,
    version: i16,
    request: GroupRequest,
}

/// A group that is asked for by its members.
pub(super) enum Found<'a, G> {
    There(&'a G),
    /// It is not there and may be made, after these records.
    New(Vec<RawRecord>),
}

impl GroupCoordinator {
    /// The consumer group, or that it may be made because somebody joins.
    pub(super) fn find_consumer(
        &self,
        group_id: &str,
        joins: bool,
    ) -> Result<Found<'_, ConsumerGroup>, Refusal> {
        if let Some(group) = self.groups.get(group_id).and_then(Group::as_consumer) {
            return Ok(Found::There(group));
        }
        self.make_room(group_id, joins, "Consumer").map(Found::New)
    }

    /// The streams group, or that it may be made because somebody joins.
    pub(super) fn find_streams(
        &self,
        group_id: &str,
        joins: bool,
    ) -> Result<Found<'_, StreamsGroup>, Refusal> {
        if let Some(group) = self.groups.get(group_id).and_then(Group::as_streams) {
            return Ok(Found::There(group));
        }
        self.make_room(group_id, joins, "Streams").map(Found::New)
    }

    /// That there is a group to leave; who stays is told in other words.
    pub(super) fn check_there(&self, group_id: &str) -> Result<(), Refusal> {
        if self.groups.contains_key(group_id) {
            return Ok(());
        }
        let message = format!("Group {group_id} not found.");
        Err(refuse(ResponseError::GroupIdNotFound, message))
    }

    /// What must be written before a group of another kind can take this id.
    fn make_room(&self, group_id: &str, joins: bool, kind: &str) -> Result<Vec<RawRecord>, Refusal> {
        let not_found = |message: String| Err(refuse(ResponseError::GroupIdNotFound, message));
        match self.groups.get(group_id) {
            None if !joins => not_found(format!("{kind} group {group_id} not found.")),
            None if self.groups.len() >= self.outbox.config.max_groups => {
                let message = format!("There are {} groups, the most there may be.", self.groups.len());
                Err(refuse(ResponseError::PolicyViolation, message))
            }
            None => Ok(Vec::new()),
            Some(group) if joins && group.is_simple() => Ok(Vec::new()),
            // Only the classic kind gives way: another may be waited for by members that are away for a moment.
            Some(group) if joins && group.as_classic().is_some() && group.is_empty() => {
                Ok(group.kind_tombstones())
            }
            Some(_) => {
                let kind = kind.to_lowercase();
                not_found(format!("Group {group_id} is not a {kind} group."))
            }
        }
    }

    /// Keeps a request back if the group's last step is not in the log yet.
    pub(super) fn wait_if_busy(
        &mut self,
        token: Token,
        client: &Client,
        version: i16,
        request: GroupRequest,
    ) -> Option<GroupRequest> {
        let Some(queue) = self.busy.get_mut(request.group_id()) else {
            return Some(request);
        };
        let client = client.clone();
        queue.push_back(Waiting {
            token,
            client,
            version,
            request,
        });
        None
    }

    /// Sends a step on its way: to the log, and then to whoever asked.
    pub(super) fn take_step(&mut self, group_id: &str, token: Option<Token>, step: Step, now_ms: i64) {
        let pending = PendingStep {
            group_id: group_id.to_owned(),
            token,
            step,
        };
        if pending.step.records.is_empty() {
            return self.finish_step(pending, now_ms);
        }
        let records = pending
            .step
            .records
            .iter()
            .map(|record| record.encode(group_id))
            .collect();
        self.busy.insert(group_id.to_owned(), VecDeque::new());
        self.outbox
            .append(group_id, records, None, Append::Step(Box::new(pending)));
    }

    pub(super) fn step_appended(
        &mut self,
        mut pending: PendingStep,
        result: Result<i64, ResponseError>,
        now_ms: i64,
    ) {
        let group_id = pending.group_id.clone();
        if let Err(error) = result {
            pending.step.reply = pending.step.reply.map(|reply| reply.refused(error));
            pending.step.records.clear();
            pending.step.heard = None;
            pending.step.seen_topics = None;
            pending.step.side_effects = None;
            pending.step.sessions.clear();
            pending.step.becomes = None;
        }
        self.finish_step(pending, now_ms);
        self.resume(&group_id, now_ms);
    }

    /// The group's last step is over: those that waited for it go on, in order.
    pub(super) fn resume(&mut self, group_id: &str, now_ms: i64) {
        let waiting = self.busy.remove(group_id);
        self.maybe_downgrade(group_id, now_ms);
        for waiting in waiting.into_iter().flatten() {
            self.request(
                waiting.token,
                &waiting.client,
                waiting.version,
                waiting.request,
                now_ms,
            );
        }
    }

    fn finish_step(&mut self, pending: PendingStep, now_ms: i64) {
        let PendingStep {
            group_id,
            token,
            step,
        } = pending;
        for record in step.records {
            match record {
                ModernRecord::Raw(_) => {}
                ModernRecord::Consumer(record) => self.apply_consumer(&group_id, record, now_ms),
                ModernRecord::Streams(record) => self.apply_streams(&group_id, record, now_ms),
            }
        }
        if let Some(classic) = step.becomes {
            self.become_classic(&group_id, *classic, now_ms);
        }
        if let Some(group) = self.groups.get_mut(&group_id) {
            match &mut group.kind {
                GroupKind::Consumer(group) => {
                    for (member_id, deadline_ms) in &step.sessions {
                        group.heard(member_id, *deadline_ms);
                    }
                    if let Some((member_id, deadline_ms)) = &step.heard {
                        group.heard(member_id, *deadline_ms);
                        group.see_topics(step.seen_topics);
                    }
                    if let (Some((member_id, _)), Some(deadline_ms)) = (&step.heard, step.sync_deadline_ms) {
                        group.has_joined(member_id, deadline_ms);
                    }
                }
                GroupKind::Streams(group) => {
                    if let Some((member_id, deadline_ms)) = &step.heard {
                        group.heard(member_id, *deadline_ms);
                    }
                    if let Some(effects) = step.side_effects {
                        group.take_down(effects, step.seen_topics);
                    }
                }
                GroupKind::Classic(_) => {}
            }
        }
        if let (Some(token), Some(reply)) = (token, step.reply) {
            self.outbox.reply(token, reply);
        }
    }

    /// Applies a record that is in the log, new or old.
    pub(super) fn apply_consumer(&mut self, group_id: &str, record: ConsumerRecord, now_ms: i64) {
        let there = self.groups.get(group_id).and_then(Group::as_consumer).is_some();
        if record.is_tombstone() && !there {
            return;
        }
        let group = self
            .groups
            .entry(group_id.to_owned())
            .or_insert_with(|| Group::new(group_id, now_ms));
        if matches!(record, ConsumerRecord::Group(None)) {
            group.kind = Group::new(group_id, now_ms).kind;
            return;
        }
        if !there {
            group.kind = GroupKind::Consumer(ConsumerGroup::default());
        }
        if let GroupKind::Consumer(group) = &mut group.kind {
            group.apply(record, now_ms);
        }
    }

    /// As [`apply_consumer`](Self::apply_consumer), of a streams group.
    pub(super) fn apply_streams(&mut self, group_id: &str, record: StreamsRecord, now_ms: i64) {
        let there = self.groups.get(group_id).and_then(Group::as_streams).is_some();
        if record.is_tombstone() && !there {
            return;
        }
        let group = self
            .groups
            .entry(group_id.to_owned())
            .or_insert_with(|| Group::new(group_id, now_ms));
        if matches!(record, StreamsRecord::Group(None)) {
            group.kind = Group::new(group_id, now_ms).kind;
            return;
        }
        if !there {
            group.kind = GroupKind::Streams(StreamsGroup::default());
        }
        if let GroupKind::Streams(group) = &mut group.kind {
            group.apply(record, now_ms);
        }
    }

    /// Gives up the members whose time is up.
    pub(super) fn fence_overdue(&mut self, now_ms: i64) {
        let mut steps = Vec::new();
        for (group_id, group) in &self.groups {
            if self.busy.contains_key(group_id) {
                continue;
            }
            let overdue = match &group.kind {
                GroupKind::Classic(_) => continue,
                GroupKind::Consumer(group) => group.overdue(now_ms),
                GroupKind::Streams(group) => group.overdue(now_ms),
            };
            if overdue.is_empty() {
                continue;
            }
            tracing::info!(group = group_id, members = ?overdue, "members were not heard of, or did not revoke, in time");
            let step = match &group.kind {
                GroupKind::Streams(group) => {
                    let records = group.fence(&overdue).into_iter();
                    Step {
                        records: records.map(ModernRecord::Streams).collect(),
                        ..Step::default()
                    }
                }
                _ => self.step_without(group_id, &overdue, now_ms),
            };
            steps.push((group_id.clone(), step));
        }
        for (group_id, step) in steps {
            self.take_step(&group_id, None, step, now_ms);
        }
        self.downgrade_due(now_ms);
    }
}
