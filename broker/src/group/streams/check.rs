//! What is wrong with a StreamsGroupHeartbeat before it is looked at with the group's eyes, and with a member's epoch.

use kafka_protocol::ResponseError;

use super::member::{StreamsMember, Tasks};
use crate::coordinator_records::MAX_ID_BYTES;
use crate::group::{Refusal, refuse};
use crate::protocol::streams_heartbeat::{StreamsGroupHeartbeatRequest, TaskIds, Topology};

/// Epoch with which a member joins.
pub(super) const JOIN_EPOCH: i32 = 0;
/// Epoch with which a member leaves.
pub(super) const LEAVE_EPOCH: i32 = -1;
const LEFT_STATIC_EPOCH: i32 = -2;

/// What is wrong with a request by itself.
pub(super) fn check_request(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
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

/// The member must send its epoch; the one before is taken too if the answer with the new one may have been lost.
pub(super) fn check_epoch(
    member: &StreamsMember,
    received: i32,
    owned: Option<&Tasks>,
) -> Result<(), Refusal> {
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
