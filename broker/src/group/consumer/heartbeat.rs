//! ConsumerGroupHeartbeat: joining, staying, and being told what to read.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as GivenAssignment, TopicPartitions as Given,
};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::assignor::Assignor;
use super::classic::joined;
use super::member::{Assignment, ClassicMember, ConsumerMember};
use super::reconcile::{Goal, reconcile};
use super::record::{ConsumerRecord, GroupEpoch};
use super::state::{ConsumerGroup, LEAVE_EPOCH, LEFT_STATIC_EPOCH, member_tombstones};
use super::subscription::{topics_of, topics_of_member};
use crate::coordinator_records::MAX_ID_BYTES;
use crate::group::modern::{Found, ModernRecord, Step};
use crate::group::topics::TopicImage;
use crate::group::{Client, GroupCoordinator, GroupReply, Refusal, refuse, text};
use crate::topic::encode_id;

/// First version in which the consumer makes its own member id.
const OWN_MEMBER_ID_VERSION: i16 = 1;
/// Epoch with which a member joins.
pub(super) const JOIN_EPOCH: i32 = 0;

impl GroupCoordinator {
    pub(in crate::group) fn consumer_heartbeat(
        &mut self,
        client: &Client,
        version: i16,
        request: &ConsumerGroupHeartbeatRequest,
        now_ms: i64,
    ) -> Result<Step, Refusal> {
        check_request(version, request)?;
        if matches!(request.member_epoch, LEAVE_EPOCH | LEFT_STATIC_EPOCH) {
            return self.consumer_leave(request, now_ms);
        }
        let member_id = if request.member_id.is_empty() {
            encode_id(self.ids.next_id())
        } else {
            request.member_id.to_string()
        };
        let topics = Arc::clone(&self.topics);
        let config = self.consumer_config(&request.group_id);
        let joins = request.member_epoch == JOIN_EPOCH;
        let upgraded = match joins {
            true => self.upgraded(&request.group_id, now_ms)?,
            false => None,
        };
        let fresh = ConsumerGroup::default();
        let (group, converted) = match &upgraded {
            Some(upgraded) => (&upgraded.group, Vec::new()),
            None => match self.find_consumer(&request.group_id, joins)? {
                Found::There(group) => (group, Vec::new()),
                Found::New(converted) => (&fresh, converted),
            },
        };
        if group.members.len() >= config.max_size && !group.members.contains_key(&member_id) {
            let message = format!(
                "The group {} has {} members, the most it may have.",
                *request.group_id, config.max_size
            );
            return Err(refuse(ResponseError::GroupMaxSizeReached, message));
        }
        let mut turn = Turn::begin(group, &member_id, client, request, None, &topics, now_ms)?;
        turn.upgrades = upgraded.is_some();
        let mut step = turn.run(config.assignor, config.heartbeat_interval_ms);
        step.records
            .splice(0..0, converted.into_iter().map(ModernRecord::Raw));
        step.seen_topics = Some(topics.version());
        step.heard = Some((
            member_id,
            now_ms.saturating_add(i64::from(config.session_timeout_ms)),
        ));
        if let Some(upgraded) = upgraded {
            step.records.splice(0..0, upgraded.records);
            step.sessions = upgraded.sessions;
            self.interrupt_classic(&request.group_id, now_ms);
        }
        Ok(step)
    }
}

/// What is wrong with a request by itself.
fn check_request(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(refuse(ResponseError::InvalidRequest, message));
    let empty = |text: Option<&str>| text.is_some_and(|text| text.trim().is_empty());
    let needs_id =
        version >= OWN_MEMBER_ID_VERSION || request.member_epoch > 0 || request.member_epoch == LEAVE_EPOCH;
    if needs_id && empty(Some(&request.member_id)) {
        return invalid("MemberId can't be empty.");
    }
    if empty(Some(&request.group_id)) {
        return invalid("GroupId can't be empty.");
    }
    if empty(request.instance_id.as_deref()) {
        return invalid("InstanceId can't be empty.");
    }
    if empty(request.rack_id.as_deref()) {
        return invalid("RackId can't be empty.");
    }
    let ids = [
        Some(&*request.group_id.0),
        Some(&*request.member_id),
        request.subscribed_topic_regex.as_deref(),
    ];
    if ids.into_iter().flatten().any(|id| id.len() > MAX_ID_BYTES) {
        return invalid("GroupId, MemberId and SubscribedTopicRegex can't be longer than 32767 bytes.");
    }
    match request.member_epoch {
        JOIN_EPOCH if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        JOIN_EPOCH
            if request
                .topic_partitions
                .as_ref()
                .is_none_or(|owned| !owned.is_empty()) =>
        {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        JOIN_EPOCH
            if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() =>
        {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
        LEFT_STATIC_EPOCH if request.instance_id.is_none() => {
            return invalid("InstanceId can't be null.");
        }
        epoch if epoch < LEFT_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    let unknown = request
        .server_assignor
        .as_deref()
        .filter(|name| Assignor::of_name(name).is_none());
    match unknown {
        None => Ok(()),
        Some(name) => {
            let known = Assignor::ALL.map(Assignor::name).join(", ");
            let message = format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
            Err(refuse(ResponseError::UnsupportedAssignor, message))
        }
    }
}

/// One heartbeat, or what a classic member sends instead: the member as it was and as it says it is, beside the group as it is.
pub(super) struct Turn<'a> {
    group: &'a ConsumerGroup,
    topics: &'a TopicImage,
    request: &'a ConsumerGroupHeartbeatRequest,
    now_ms: i64,
    before: ConsumerMember,
    after: ConsumerMember,
    /// The static member that this one takes the place of.
    replaced: Option<&'a ConsumerMember>,
    /// The group was a classic one until now: what it was assigned is agreed upon anew, even if the member reads nothing.
    upgrades: bool,
    records: Vec<ConsumerRecord>,
}

impl<'a> Turn<'a> {
    /// Finds or makes the member and takes in what it says; `classic` if it speaks the classic protocol.
    pub(super) fn begin(
        group: &'a ConsumerGroup,
        member_id: &str,
        client: &Client,
        request: &'a ConsumerGroupHeartbeatRequest,
        classic: Option<ClassicMember>,
        topics: &'a TopicImage,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        let mut records = Vec::new();
        let (before, replaced) = match request.instance_id.as_deref() {
            instance_id if classic.is_some() => {
                let is_unknown = request.member_epoch == JOIN_EPOCH;
                group.joining_classic_member(member_id, instance_id, is_unknown)?
            }
            None => (group.dynamic_member(member_id, request)?, None),
            Some(instance_id) => group.static_member_of(member_id, instance_id, request)?,
        };
        if let Some(old) = replaced {
            records.extend(member_tombstones(&old.member_id));
            let id = || before.member_id.clone();
            records.push(ConsumerRecord::Member(id(), Some(before.metadata.clone())));
            let target = group.target(&old.member_id).cloned().unwrap_or_default();
            records.push(ConsumerRecord::Target(id(), Some(target)));
            records.push(ConsumerRecord::Current(id(), Some(before.current.clone())));
        }
        let mut after = before.clone();
        take_in(&mut after, client, request);
        after.metadata.classic = classic;
        if let Some(regex) = after.metadata.regex()
            && before.metadata.regex() != Some(regex)
        {
            super::regex::compile(regex)?;
        }
        let is_new = !group.members.contains_key(member_id) && replaced.is_none();
        if is_new || after.metadata != before.metadata {
            records.push(ConsumerRecord::Member(
                member_id.to_owned(),
                Some(after.metadata.clone()),
            ));
        }
        Ok(Self {
            group,
            topics,
            request,
            now_ms,
            before,
            after,
            replaced,
            upgrades: false,
            records,
        })
    }

    pub(super) fn run(mut self, default_assignor: Assignor, heartbeat_interval_ms: i32) -> Step {
        let group = self.group;
        let names_changed = self.before.metadata.topic_names != self.after.metadata.topic_names;
        let regex_changed = self.before.metadata.regex() != self.after.metadata.regex();
        let subscription_changed = names_changed || regex_changed;
        let must_assign = group.epoch == 0 || subscription_changed || self.upgrades;
        let refresh = must_assign || group.seen_topics != self.topics.version();
        let at_rest =
            group.epoch == group.assignment_epoch && self.before.is_reconciled_to(group.assignment_epoch);
        if at_rest && !refresh {
            // Most heartbeats are only signs of life: they must not cost more in a larger group.
            return self.finish(heartbeat_interval_ms);
        }
        let after = self.after.clone();
        let replaced_id = self.replaced.map(|old| old.member_id.as_str());
        let others = group.members.values().filter(|member| {
            member.member_id != after.member_id && Some(member.member_id.as_str()) != replaced_id
        });
        let members: Vec<&ConsumerMember> = others.chain([&after]).collect();

        let mut epoch = group.epoch;
        let mut resolved = None;
        if refresh {
            let (regexes, records) = group.resolve_regexes(members.iter().copied(), self.topics, self.now_ms);
            self.records.extend(records);
            let names = topics_of(members.iter().copied(), &regexes);
            let metadata_hash = self.topics.metadata_hash(names);
            if must_assign || metadata_hash != group.metadata_hash {
                epoch += 1;
                self.records
                    .push(ConsumerRecord::Group(Some(GroupEpoch { epoch, metadata_hash })));
            }
            if group.has_partition_metadata {
                self.records.push(ConsumerRecord::PartitionMetadata(false));
            }
            resolved = Some(regexes);
        }
        let regexes = resolved.as_ref().unwrap_or(&group.regexes);

        let target = if epoch > group.assignment_epoch {
            let (mut target, records) = group.compute_target(
                epoch,
                &members,
                self.replaced,
                regexes,
                self.topics,
                default_assignor,
            );
            self.records.extend(records);
            target.remove(&after.member_id)
        } else {
            let known_as = replaced_id.unwrap_or(&after.member_id);
            group.target(known_as).cloned()
        };
        let goal = Goal {
            epoch: epoch.max(group.assignment_epoch),
            target: &target.unwrap_or_default(),
            subscribed: &self.topics.ids(topics_of_member(&after, regexes)),
            subscription_changed,
            owned: self.request.topic_partitions.as_deref(),
            is_free: &|topic, partition| group.is_free(topic, partition),
        };
        self.after.current = reconcile(&after, &goal);
        if self.after.current != after.current {
            let current = self.after.current.clone();
            self.records
                .push(ConsumerRecord::Current(after.member_id, Some(current)));
        }
        self.finish(heartbeat_interval_ms)
    }

    fn finish(self, heartbeat_interval_ms: i32) -> Step {
        let request = self.request;
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let current = &self.after.current;
        let mut response = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(&self.after.member_id)))
            .with_member_epoch(current.epoch)
            .with_heartbeat_interval_ms(heartbeat_interval_ms);
        if request.member_epoch == JOIN_EPOCH || is_full || current.assigned != self.before.current.assigned {
            response.assignment = Some(given(&current.assigned));
        }
        let reply = match &self.after.metadata.classic {
            Some(classic) => joined(&self.after, classic),
            None => GroupReply::ConsumerHeartbeat(response),
        };
        Step {
            records: self.records.into_iter().map(ModernRecord::Consumer).collect(),
            reply: Some(reply),
            ..Step::default()
        }
    }
}

fn take_in(member: &mut ConsumerMember, client: &Client, request: &ConsumerGroupHeartbeatRequest) {
    let metadata = &mut member.metadata;
    let update = |field: &mut Option<String>, value: Option<&str>| {
        if let Some(value) = value {
            *field = Some(value.to_owned());
        }
    };
    update(&mut metadata.instance_id, request.instance_id.as_deref());
    update(&mut metadata.rack_id, request.rack_id.as_deref());
    update(&mut metadata.server_assignor, request.server_assignor.as_deref());
    update(
        &mut metadata.topic_regex,
        request.subscribed_topic_regex.as_deref(),
    );
    if request.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        metadata.topic_names = names.iter().map(|name| name.to_string()).collect();
    }
    metadata.client_id.clone_from(&client.id);
    metadata.client_host.clone_from(&client.host);
}

impl ConsumerGroup {
    fn dynamic_member(
        &self,
        member_id: &str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerMember, Refusal> {
        match self.members.get(member_id) {
            Some(member) => {
                check_epoch(member, request)?;
                Ok(member.clone())
            }
            None if request.member_epoch == JOIN_EPOCH => Ok(ConsumerMember::new(member_id)),
            None => {
                let message = format!(
                    "Member {member_id} is not a member of group {}.",
                    *request.group_id
                );
                Err(refuse(ResponseError::UnknownMemberId, message))
            }
        }
    }

    /// The member, and the one it replaces.
    fn static_member_of(
        &self,
        member_id: &str,
        instance_id: &str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerMember, Option<&ConsumerMember>), Refusal> {
        if request.member_epoch != JOIN_EPOCH {
            let member = self.check_static(member_id, instance_id)?;
            check_epoch(member, request)?;
            return Ok((member.clone(), None));
        }
        let Some(old) = self.static_member(instance_id) else {
            let new = || ConsumerMember::new(member_id);
            return Ok((self.members.get(member_id).cloned().unwrap_or_else(new), None));
        };
        if old.current.epoch != LEFT_STATIC_EPOCH && !old.is_classic() {
            let message = format!(
                "Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is \
                 owned by {} member.",
                old.member_id
            );
            return Err(refuse(ResponseError::UnreleasedInstanceId, message));
        }
        Ok((old.succeeded_by(member_id), Some(old)))
    }

    /// The member that holds a static id, which must be this one.
    pub(super) fn check_static(
        &self,
        member_id: &str,
        instance_id: &str,
    ) -> Result<&ConsumerMember, Refusal> {
        let Some(member) = self.static_member(instance_id) else {
            let message = format!("Instance id {instance_id} is unknown.");
            return Err(refuse(ResponseError::UnknownMemberId, message));
        };
        if member.member_id == member_id {
            return Ok(member);
        }
        let message = format!(
            "Static member {member_id} with instance id {instance_id} was fenced by member {}.",
            member.member_id
        );
        Err(refuse(ResponseError::FencedInstanceId, message))
    }
}

/// The member must send its epoch; the one before is taken too if the answer with the new one may have been lost.
fn check_epoch(member: &ConsumerMember, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let (received, current) = (request.member_epoch, &member.current);
    let fenced = |size: &str| {
        let message = format!(
            "The consumer group member has a {size} member epoch ({received}) than the one known by the group coordinator \
             ({}). The member must abandon all its partitions and rejoin.",
            current.epoch
        );
        Err(refuse(ResponseError::FencedMemberEpoch, message))
    };
    if received > current.epoch {
        return fenced("greater");
    }
    let answer_was_lost = || {
        received == current.previous_epoch
            && owns_only(request.topic_partitions.as_deref(), &current.assigned)
    };
    if received < current.epoch && !answer_was_lost() {
        return fenced("smaller");
    }
    Ok(())
}

fn owns_only(owned: Option<&[Owned]>, assigned: &Assignment) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|topic| {
            let assigned = assigned.get(&topic.topic_id);
            let is_assigned = |partition| assigned.is_some_and(|assigned| assigned.contains(partition));
            topic.partitions.iter().all(is_assigned)
        })
    })
}

fn given(assigned: &Assignment) -> GivenAssignment {
    let topics = assigned.iter().map(|(topic, partitions)| {
        Given::default()
            .with_topic_id(*topic)
            .with_partitions(partitions.iter().copied().collect())
    });
    GivenAssignment::default().with_topic_partitions(topics.collect())
}

/// A heartbeat that is refused, as it is answered.
pub(in crate::group) fn refused(refusal: &Refusal) -> GroupReply {
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_error_code(refusal.error.code())
        .with_error_message(Some(text(&refusal.message)));
    GroupReply::ConsumerHeartbeat(response)
}
