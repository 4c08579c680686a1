//! A member of a streams group, and the tasks it holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::consumer::MemberState;
use crate::protocol::streams_heartbeat::{Endpoint, TaskIds};

/// Tasks by sub-topology. No sub-topology is listed without a task.
pub type TaskMap = BTreeMap<String, BTreeSet<i32>>;

/// Tasks of a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tasks {
    /// Those it runs.
    pub active: TaskMap,
    /// Those whose stores it keeps up to date.
    pub standby: TaskMap,
    /// Those it prepares to take over. No assignor of ours gives any.
    pub warmup: TaskMap,
}

impl Tasks {
    /// The three kinds.
    pub(super) fn kinds(&self) -> [&TaskMap; 3] {
        [&self.active, &self.standby, &self.warmup]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds().into_iter().all(BTreeMap::is_empty)
    }

    /// Whether a task is in both, as the same kind.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.kinds().into_iter().zip(other.kinds()).any(|(own, other)| {
            own.iter()
                .any(|(of, tasks)| other.get(of).is_some_and(|others| !tasks.is_disjoint(others)))
        })
    }

    /// Whether every task is in the other, as the same kind.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.kinds().into_iter().zip(other.kinds()).all(|(own, other)| {
            own.iter()
                .all(|(of, tasks)| other.get(of).is_some_and(|others| tasks.is_subset(others)))
        })
    }

    pub(super) fn merge(&mut self, other: Self) {
        let kinds = [
            (&mut self.active, other.active),
            (&mut self.standby, other.standby),
            (&mut self.warmup, other.warmup),
        ];
        for (own, other) in kinds {
            for (of, tasks) in other {
                own.entry(of).or_default().extend(tasks);
            }
        }
    }
}

/// Tasks as a message lists them.
pub(super) fn task_ids(tasks: &TaskMap) -> Vec<TaskIds> {
    let listed = tasks.iter().map(|(of, partitions)| TaskIds {
        subtopology_id: of.clone(),
        partitions: partitions.iter().copied().collect(),
    });
    listed.collect()
}

/// Tasks that a message lists.
pub(super) fn task_map(listed: &[TaskIds]) -> TaskMap {
    let mut tasks = TaskMap::new();
    for ids in listed.iter().filter(|ids| !ids.partitions.is_empty()) {
        let of = tasks.entry(ids.subtopology_id.clone()).or_default();
        of.extend(ids.partitions.iter().copied());
    }
    tasks
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberMetadata {
    /// Where it runs.
    pub rack_id: Option<String>,
    /// Name the client gave itself.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to give up tasks.
    pub rebalance_timeout_ms: i32,
    /// Of the topology it has.
    pub topology_epoch: i32,
    /// The process it is a thread of.
    pub process_id: String,
    /// Where interactive queries reach it.
    pub user_endpoint: Option<Endpoint>,
    /// Its tags.
    pub client_tags: BTreeMap<String, String>,
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentTasks {
    /// The epoch that it must send.
    pub epoch: i32,
    /// The one before, if the answer with the new one was lost.
    pub previous_epoch: i32,
    /// Where it is on its way.
    pub state: MemberState,
    /// What it shall run.
    pub assigned: Tasks,
    /// What it has yet to give up.
    pub revoking: Tasks,
}

/// A member of a streams group: usually one stream thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsMember {
    /// Member id.
    pub member_id: String,
    /// What it says of itself.
    pub metadata: MemberMetadata,
    /// What it holds.
    pub current: CurrentTasks,
}

impl StreamsMember {
    pub(super) fn new(member_id: &str) -> Self {
        Self {
            member_id: member_id.to_owned(),
            metadata: MemberMetadata {
                rebalance_timeout_ms: -1,
                ..MemberMetadata::default()
            },
            current: CurrentTasks::default(),
        }
    }

    /// Whether it holds what the target of this epoch gives it.
    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == epoch
    }
}
