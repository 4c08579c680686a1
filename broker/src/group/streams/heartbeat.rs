//! StreamsGroupHeartbeat: joining with a topology, staying, and being told which tasks to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::assignor::{self, AssignorMember};
use super::configured::{Configured, InternalTopic, configure, required_topics, sources};
use super::member::{StreamsMember, TaskMap, Tasks, task_ids, task_map};
use super::reconcile::{Goal, Holders, reconcile};
use super::record::{StreamsEpoch, StreamsRecord};
use super::state::StreamsGroup;
use crate::coordinator_records::MAX_ID_BYTES;
use crate::group::config::StreamsGroupConfig;
use crate::group::modern::{Found, ModernRecord, Step};
use crate::group::topics::TopicImage;
use crate::group::{Client, GroupCoordinator, GroupReply, Refusal, refuse};
use crate::protocol::streams_heartbeat::{
    EndpointToPartitions, Status, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, TaskIds,
    TopicPartition, Topology,
};

const JOIN_EPOCH: i32 = 0;
pub(super) const LEAVE_EPOCH: i32 = -1;
const LEFT_STATIC_EPOCH: i32 = -2;
/// `status_code`: the member has an older topology than the group.
const STALE_TOPOLOGY: i8 = 0;
/// `status_code`: somebody asked for the whole application to stop.
const SHUTDOWN_APPLICATION: i8 = 4;

/// What a heartbeat changes of a group beside its records; it is lost with a restart.
#[derive(Debug, Default)]
pub(in crate::group) struct SideEffects {
    pub(in crate::group) configured: Option<Arc<Configured>>,
    pub(in crate::group) endpoints_changed: bool,
    pub(in crate::group) shutdown_by: Option<String>,
}

impl GroupCoordinator {
    pub(in crate::group) fn streams_heartbeat(
        &mut self,
        client: &Client,
        request: &StreamsGroupHeartbeatRequest,
        now_ms: i64,
    ) -> Result<(Step, Vec<InternalTopic>), Refusal> {
        check_request(request)?;
        if request.member_epoch == LEAVE_EPOCH {
            return Ok((self.streams_leave(request)?, Vec::new()));
        }
        let topics = Arc::clone(&self.topics);
        let config = self.streams_config(&request.group_id);
        let fresh = StreamsGroup::default();
        let (group, converted) =
            match self.find_streams(&request.group_id, request.member_epoch == JOIN_EPOCH)? {
                Found::There(group) => (group, Vec::new()),
                Found::New(converted) => (&fresh, converted),
            };
        let is_new = !group.members.contains_key(&request.member_id);
        if is_new && group.members.len() >= config.max_size {
            let (group_id, size) = (&request.group_id, config.max_size);
            let message = format!("The streams group {group_id} has {size} members, the most it may have.");
            return Err(refuse(ResponseError::GroupMaxSizeReached, message));
        }
        let turn = Turn::begin(group, client, request, &topics)?;
        let (mut step, missing) = turn.run(&config)?;
        step.records
            .splice(0..0, converted.into_iter().map(ModernRecord::Raw));
        step.seen_topics = Some(topics.version());
        let deadline_ms = now_ms.saturating_add(i64::from(config.session_timeout_ms));
        step.heard = Some((request.member_id.clone(), deadline_ms));
        Ok((step, missing))
    }
}

/// What is wrong with a request by itself.
fn check_request(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(refuse(ResponseError::InvalidRequest, message));
    let empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let some = |tasks: &Option<Vec<TaskIds>>| tasks.as_ref().is_some_and(|tasks| !tasks.is_empty());
    if request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    if request.group_id.len() > MAX_ID_BYTES || request.member_id.len() > MAX_ID_BYTES {
        return invalid("GroupId and MemberId can't be longer than 32767 bytes.");
    }
    if request.instance_id.is_some() {
        return invalid("Static membership is not yet supported.");
    }
    if request.task_offsets.is_some() || request.task_end_offsets.is_some() {
        return invalid("TaskOffsets and TaskEndOffsets are not supported yet.");
    }
    let owned = [
        &request.active_tasks,
        &request.standby_tasks,
        &request.warmup_tasks,
    ];
    if request.member_epoch == JOIN_EPOCH {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        let names = ["ActiveTasks", "StandbyTasks", "WarmupTasks"];
        if let Some((_, name)) = owned.into_iter().zip(names).find(|(tasks, _)| some(tasks)) {
            return invalid(&format!("{name} must be empty when (re-)joining."));
        }
        let Some(topology) = &request.topology else {
            return invalid("Topology must be non-null when (re-)joining.");
        };
        return check_topology(topology);
    }
    if request.member_epoch == LEFT_STATIC_EPOCH {
        return invalid("InstanceId can't be null.");
    }
    if request.member_epoch < LEFT_STATIC_EPOCH {
        let epoch = request.member_epoch;
        return invalid(&format!(
            "MemberEpoch is {epoch}, but must be greater than or equal to -2."
        ));
    }
    if request.topology.is_some() {
        return invalid("Topology can only be provided when (re-)joining.");
    }
    if owned.into_iter().any(Option::is_some) && !owned.into_iter().all(Option::is_some) {
        return invalid("If one task-type is non-null, all must be non-null.");
    }
    if some(&request.warmup_tasks) {
        return invalid("WarmupTasks are not supported yet.");
    }
    Ok(())
}

fn check_topology(topology: &Topology) -> Result<(), Refusal> {
    for part in &topology.subtopologies {
        if !part.source_topic_regex.is_empty() {
            let message = "Regular expressions for source topics are not supported yet.";
            return Err(refuse(ResponseError::InvalidRequest, message));
        }
        if let Some(topic) = part
            .state_changelog_topics
            .iter()
            .find(|topic| topic.partitions != 0)
        {
            let message = format!(
                "Changelog topic {} must have an undefined partition count, but it is set to {}.",
                topic.name, topic.partitions
            );
            return Err(refuse(ResponseError::StreamsInvalidTopology, message));
        }
    }
    Ok(())
}

/// One heartbeat: the member as it was and as it says it is, beside the group as it is.
struct Turn<'a> {
    group: &'a StreamsGroup,
    topics: &'a TopicImage,
    request: &'a StreamsGroupHeartbeatRequest,
    owned: Option<Tasks>,
    before: StreamsMember,
    after: StreamsMember,
    topology: Arc<Topology>,
    records: Vec<StreamsRecord>,
}

impl<'a> Turn<'a> {
    /// Finds or makes the member and takes in what it says.
    fn begin(
        group: &'a StreamsGroup,
        client: &Client,
        request: &'a StreamsGroupHeartbeatRequest,
        topics: &'a TopicImage,
    ) -> Result<Self, Refusal> {
        let member_id = &request.member_id;
        let tasks = |listed: &Option<Vec<TaskIds>>| listed.as_deref().map(task_map).unwrap_or_default();
        let owned = request.active_tasks.is_some().then(|| Tasks {
            active: tasks(&request.active_tasks),
            standby: tasks(&request.standby_tasks),
            warmup: tasks(&request.warmup_tasks),
        });
        let before = match group.members.get(member_id) {
            Some(member) => {
                check_epoch(member, request.member_epoch, owned.as_ref())?;
                member.clone()
            }
            None if request.member_epoch == JOIN_EPOCH => StreamsMember::new(member_id),
            None => {
                let message = format!(
                    "Member {member_id} is not a member of group {}.",
                    request.group_id
                );
                return Err(refuse(ResponseError::UnknownMemberId, message));
            }
        };
        let mut after = before.clone();
        take_in(&mut after, client, request);
        let mut records = Vec::new();
        if !group.members.contains_key(member_id) || after.metadata != before.metadata {
            records.push(StreamsRecord::Member(
                member_id.clone(),
                Some(after.metadata.clone()),
            ));
        }
        let topology = group.topology_after(request, &mut records)?;
        Ok(Self {
            group,
            topics,
            request,
            owned,
            before,
            after,
            topology,
            records,
        })
    }

    fn run(mut self, config: &StreamsGroupConfig) -> Result<(Step, Vec<InternalTopic>), Refusal> {
        let group = self.group;
        let mut bump = !self.records.is_empty();
        let current = group
            .configured
            .as_ref()
            .filter(|_| group.seen_topics == self.topics.version());
        let (configured, metadata_hash) = match current {
            Some(configured) => (Arc::clone(configured), group.group.metadata_hash),
            None => {
                let configured = Arc::new(configure(&self.topology, self.topics)?);
                (
                    configured,
                    self.topics.metadata_hash(required_topics(&self.topology)),
                )
            }
        };
        self.check_owned(&configured)?;
        let validated_topology_epoch = if configured.is_ready() {
            self.topology.epoch
        } else {
            -1
        };
        let standby_replicas = Some(config.standby_replicas);
        bump |= metadata_hash != group.group.metadata_hash
            || validated_topology_epoch != group.group.validated_topology_epoch
            || standby_replicas != group.group.standby_replicas;
        let mut epoch = group.group.epoch;
        if bump {
            epoch += 1;
            self.records.push(StreamsRecord::Group(Some(StreamsEpoch {
                epoch,
                metadata_hash,
                validated_topology_epoch,
                standby_replicas,
            })));
        }
        let at_rest = epoch == group.assignment_epoch && self.before.is_reconciled_to(epoch);
        if at_rest {
            // Most heartbeats are only signs of life: they must not cost more in a larger group.
            let missing = configured.missing.clone();
            return Ok((self.finish(&configured, config), missing));
        }
        let target = if epoch > group.assignment_epoch {
            self.compute_target(epoch, &configured, config.standby_replicas)
        } else {
            group.target(&self.after.member_id).cloned().unwrap_or_default()
        };
        let holders = Holders::of(group.members.values());
        let goal = Goal {
            epoch: epoch.max(group.assignment_epoch),
            target: &target,
            owned: self.owned.as_ref(),
            holders: &holders,
        };
        self.after.current = reconcile(&self.after, &goal);
        if self.after.current != self.before.current {
            let current = self.after.current.clone();
            self.records.push(StreamsRecord::Current(
                self.after.member_id.clone(),
                Some(current),
            ));
        }
        let missing = configured.missing.clone();
        Ok((self.finish(&configured, config), missing))
    }

    /// That the member holds only tasks that exist.
    fn check_owned(&self, configured: &Configured) -> Result<(), Refusal> {
        let (Some(parts), Some(owned)) = (&configured.subtopologies, &self.owned) else {
            return Ok(());
        };
        let invalid = |message: String| Err(refuse(ResponseError::InvalidRequest, message));
        for (of, partitions) in owned.kinds().into_iter().flatten() {
            let Some(part) = parts.get(of) else {
                return invalid(format!("Subtopology {of} does not exist in the topology."));
            };
            if let Some(task) = partitions
                .iter()
                .find(|task| !(0..part.task_count).contains(*task))
            {
                let count = part.task_count;
                return invalid(format!(
                    "Task {task} for subtopology {of} is invalid. Number of tasks for this subtopology: {count}"
                ));
            }
        }
        Ok(())
    }

    fn members(&self) -> impl Iterator<Item = &StreamsMember> {
        let others = self
            .group
            .members
            .values()
            .filter(|member| member.member_id != self.after.member_id);
        others.chain([&self.after])
    }

    /// The target of all members; records the differences, answers this member's.
    fn compute_target(&mut self, epoch: i32, configured: &Configured, standby_replicas: i32) -> Tasks {
        let nothing = Tasks::default();
        let specs: Vec<AssignorMember<'_>> = self
            .members()
            .map(|member| AssignorMember {
                member_id: &member.member_id,
                process_id: &member.metadata.process_id,
                previous: self.group.target(&member.member_id).unwrap_or(&nothing),
            })
            .collect();
        let assigned: BTreeMap<&str, Tasks> = match &configured.subtopologies {
            Some(parts) if configured.is_ready() => {
                assignor::assign(&specs, parts, usize::try_from(standby_replicas).unwrap_or(0))
            }
            _ => specs
                .iter()
                .map(|spec| (spec.member_id, Tasks::default()))
                .collect(),
        };
        let mut own = Tasks::default();
        let mut records = Vec::new();
        for (member_id, tasks) in assigned {
            if member_id == self.after.member_id {
                own.clone_from(&tasks);
            }
            if self.group.target(member_id) != Some(&tasks) {
                records.push(StreamsRecord::Target(member_id.to_owned(), Some(tasks)));
            }
        }
        self.records.extend(records);
        self.records.push(StreamsRecord::TargetEpoch(Some(epoch)));
        own
    }

    fn finish(self, configured: &Arc<Configured>, config: &StreamsGroupConfig) -> Step {
        let (group, current) = (self.group, &self.after.current);
        let mut response = StreamsGroupHeartbeatResponse {
            member_id: self.after.member_id.clone(),
            member_epoch: current.epoch,
            heartbeat_interval_ms: config.heartbeat_interval_ms,
            ..StreamsGroupHeartbeatResponse::default()
        };
        let tell =
            self.request.member_epoch == JOIN_EPOCH || current.assigned != self.before.current.assigned;
        if tell {
            response.active_tasks = Some(task_ids(&current.assigned.active));
            response.standby_tasks = Some(task_ids(&current.assigned.standby));
            response.warmup_tasks = Some(task_ids(&current.assigned.warmup));
        }
        // A member that joins without tasks changes nothing for those who look for partitions.
        let joins = self.request.member_epoch == JOIN_EPOCH;
        let endpoints_changed = tell && !(joins && current.assigned.is_empty());
        response.endpoint_information_epoch = group.endpoint_epoch() + i32::from(endpoints_changed);
        if response.endpoint_information_epoch != self.request.endpoint_information_epoch {
            let endpoints = self.endpoints(configured);
            response.partitions_by_user_endpoint = (!endpoints.is_empty()).then_some(endpoints);
        }
        let shutdown_by = self
            .request
            .shutdown_application
            .then(|| self.after.member_id.clone());
        let status = self.status(configured, shutdown_by.as_ref().or(group.shutdown_by.as_ref()));
        response.status = (!status.is_empty()).then_some(status);
        Step {
            records: self.records.into_iter().map(ModernRecord::Streams).collect(),
            reply: Some(GroupReply::StreamsHeartbeat(response)),
            side_effects: Some(SideEffects {
                configured: Some(Arc::clone(configured)),
                endpoints_changed,
                shutdown_by,
            }),
            ..Step::default()
        }
    }

    fn status(&self, configured: &Configured, shutdown_by: Option<&String>) -> Vec<Status> {
        let mut status = Vec::new();
        let (own, groups) = (self.after.metadata.topology_epoch, self.topology.epoch);
        if own < groups {
            status.push(Status {
                status_code: STALE_TOPOLOGY,
                status_detail: format!(
                    "The member's topology epoch {own} is behind the group's topology epoch {groups}."
                ),
            });
        }
        if let Some(problem) = &configured.problem {
            status.push(Status {
                status_code: problem.code,
                status_detail: problem.detail.clone(),
            });
        }
        if let Some(member_id) = shutdown_by {
            status.push(Status {
                status_code: SHUTDOWN_APPLICATION,
                status_detail: format!(
                    "Streams group member {member_id} encountered a fatal error and requested a shutdown for the entire \
                     application."
                ),
            });
        }
        status
    }

    /// Who serves which partitions, for interactive queries.
    fn endpoints(&self, configured: &Configured) -> Vec<EndpointToPartitions> {
        if configured.subtopologies.is_none() {
            return Vec::new();
        }
        let with_endpoint = self.members().filter_map(|member| {
            let user_endpoint = member.metadata.user_endpoint.clone()?;
            Some(EndpointToPartitions {
                user_endpoint,
                active_partitions: self.partitions(&member.current.assigned.active),
                standby_partitions: self.partitions(&member.current.assigned.standby),
            })
        });
        with_endpoint.collect()
    }

    /// The source partitions of tasks.
    fn partitions(&self, tasks: &TaskMap) -> Vec<TopicPartition> {
        let parts = self.topology.subtopologies.iter().filter_map(|part| {
            let tasks = tasks.get(&part.subtopology_id)?;
            Some(sources(part).filter_map(|source| {
                let count = self.topics.topic(source)?.partition_count;
                Some(TopicPartition {
                    topic: source.to_owned(),
                    partitions: tasks.range(..count).copied().collect(),
                })
            }))
        });
        parts.flatten().collect()
    }
}

impl StreamsGroup {
    /// The topology that the group has after this request.
    fn topology_after(
        &self,
        request: &StreamsGroupHeartbeatRequest,
        records: &mut Vec<StreamsRecord>,
    ) -> Result<Arc<Topology>, Refusal> {
        match (&request.topology, &self.topology) {
            (None, Some(known)) => Ok(Arc::clone(known)),
            (None, None) => {
                let message = "The group has no topology: its members must join again.";
                Err(refuse(ResponseError::UnknownMemberId, message))
            }
            (Some(sent), known) => {
                let mut sent = sent.clone();
                sent.subtopologies
                    .sort_by(|one, other| one.subtopology_id.cmp(&other.subtopology_id));
                match known {
                    None => {
                        records.push(StreamsRecord::Topology(Some(sent.clone())));
                        Ok(Arc::new(sent))
                    }
                    Some(known) if known.epoch > sent.epoch || **known == sent => Ok(Arc::clone(known)),
                    Some(_) => Err(refuse(
                        ResponseError::InvalidRequest,
                        "Topology updates are not supported yet.",
                    )),
                }
            }
        }
    }
}

fn take_in(member: &mut StreamsMember, client: &Client, request: &StreamsGroupHeartbeatRequest) {
    let metadata = &mut member.metadata;
    if request.rack_id.is_some() {
        metadata.rack_id.clone_from(&request.rack_id);
    }
    if request.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(topology) = &request.topology {
        metadata.topology_epoch = topology.epoch;
    }
    if let Some(process_id) = &request.process_id {
        metadata.process_id.clone_from(process_id);
    }
    if request.user_endpoint.is_some() {
        metadata.user_endpoint.clone_from(&request.user_endpoint);
    }
    if let Some(tags) = &request.client_tags {
        metadata.client_tags = tags
            .iter()
            .map(|tag| (tag.key.clone(), tag.value.clone()))
            .collect();
    }
    metadata.client_id.clone_from(&client.id);
    metadata.client_host.clone_from(&client.host);
}

/// The member must send its epoch; the one before is taken too if the answer with the new one may have been lost.
fn check_epoch(member: &StreamsMember, received: i32, owned: Option<&Tasks>) -> Result<(), Refusal> {
    let current = &member.current;
    let fenced = |size: &str| {
        let message = format!(
            "The streams group member has a {size} member epoch ({received}) than the one known by the group coordinator \
             ({}). The member must abandon all its partitions and rejoin.",
            current.epoch
        );
        Err(refuse(ResponseError::FencedMemberEpoch, message))
    };
    let answer_was_lost = || {
        let owns_only = owned.is_some_and(|owned| owned.is_within(&current.assigned));
        received == current.previous_epoch && (owns_only || received == JOIN_EPOCH)
    };
    if received > current.epoch {
        return fenced("greater");
    }
    if received < current.epoch && !answer_was_lost() {
        return fenced("smaller");
    }
    Ok(())
}

/// A heartbeat that is refused, as it is answered.
pub(in crate::group) fn refused(refusal: &Refusal) -> GroupReply {
    GroupReply::StreamsHeartbeat(StreamsGroupHeartbeatResponse {
        error_code: refusal.error.code(),
        error_message: Some(refusal.message.clone()),
        ..StreamsGroupHeartbeatResponse::default()
    })
}
