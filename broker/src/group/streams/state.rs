//! A streams group as a value (`StreamsGroup` of Kafka), and how records change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::configured::Configured;
use super::member::{CurrentTasks, StreamsMember, Tasks};
use super::record::{StreamsEpoch, StreamsRecord};
use crate::group::consumer::{MemberState, Timers};
use crate::protocol::streams_heartbeat::Topology;

/// Where a streams group is (`StreamsGroupState` of Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamsState {
    /// No members.
    Empty,
    /// Topics are missing or do not fit.
    NotReady,
    /// The target is older than the group.
    Assigning,
    /// Some member is not at its target yet.
    Reconciling,
    /// Every member holds its target.
    Stable,
}

impl StreamsState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::NotReady => "NotReady",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A streams group.
#[derive(Debug, Default)]
pub struct StreamsGroup {
    pub(super) group: StreamsEpoch,
    /// Epoch of the target.
    pub(super) assignment_epoch: i32,
    pub(super) topology: Option<Arc<Topology>>,
    pub(super) members: BTreeMap<String, StreamsMember>,
    pub(super) target: BTreeMap<String, Tasks>,
    // What follows is not in the log.
    /// The topology over the topics that there are.
    pub(super) configured: Option<Arc<Configured>>,
    /// The version of the topics that was made of.
    pub(super) seen_topics: u64,
    /// Counts changes of who serves what, see [`Self::endpoint_epoch`].
    pub(super) endpoint_changes: i32,
    /// The member that asked for the whole application to stop.
    pub(super) shutdown_by: Option<String>,
    pub(super) timers: BTreeMap<String, Timers>,
}

impl StreamsGroup {
    /// The epoch of who serves what: -1 while nobody serves anything.
    pub(super) fn endpoint_epoch(&self) -> i32 {
        self.endpoint_changes - 1
    }

    /// Its epoch.
    pub fn epoch(&self) -> i32 {
        self.group.epoch
    }

    /// The epoch of its target assignment.
    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// Its members, by member id.
    pub fn members(&self) -> impl Iterator<Item = &StreamsMember> {
        self.members.values()
    }

    /// A member.
    pub fn member(&self, member_id: &str) -> Option<&StreamsMember> {
        self.members.get(member_id)
    }

    /// What a member shall hold.
    pub fn target(&self, member_id: &str) -> Option<&Tasks> {
        self.target.get(member_id)
    }

    /// Whether nobody is a member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where it is.
    pub fn state(&self) -> StreamsState {
        let validated = |topology: &Arc<Topology>| topology.epoch == self.group.validated_topology_epoch;
        if self.members.is_empty() {
            StreamsState::Empty
        } else if !self.topology.as_ref().is_some_and(validated) {
            StreamsState::NotReady
        } else if self.group.epoch > self.assignment_epoch {
            StreamsState::Assigning
        } else if self
            .members
            .values()
            .all(|member| member.is_reconciled_to(self.assignment_epoch))
        {
            StreamsState::Stable
        } else {
            StreamsState::Reconciling
        }
    }

    /// Every topic that the application reads, by name.
    pub fn subscribed_topics(&self) -> impl Iterator<Item = &str> {
        let subtopologies = self.topology.iter().flat_map(|topology| &topology.subtopologies);
        subtopologies.flat_map(|subtopology| {
            let repartition = subtopology
                .repartition_source_topics
                .iter()
                .map(|topic| &topic.name);
            subtopology
                .source_topics
                .iter()
                .chain(repartition)
                .map(String::as_str)
        })
    }

    /// Takes over what a record says, after it was written or when it is loaded.
    pub(in crate::group) fn apply(&mut self, record: StreamsRecord, now_ms: i64) {
        match record {
            StreamsRecord::Group(Some(group)) => self.group = group,
            // The group itself is removed by whoever holds it.
            StreamsRecord::Group(None) => self.group = StreamsEpoch::default(),
            StreamsRecord::Topology(topology) => {
                self.topology = topology.map(Arc::new);
                self.configured = None;
            }
            StreamsRecord::Member(member_id, Some(metadata)) => {
                self.member_or_new(member_id).metadata = metadata;
            }
            StreamsRecord::Member(member_id, None) => {
                self.members.remove(&member_id);
                self.timers.remove(&member_id);
                if self.members.is_empty() {
                    self.shutdown_by = None;
                }
            }
            StreamsRecord::TargetEpoch(epoch) => self.assignment_epoch = epoch.unwrap_or(0),
            StreamsRecord::Target(member_id, Some(target)) => {
                self.target.insert(member_id, target);
            }
            StreamsRecord::Target(member_id, None) => {
                self.target.remove(&member_id);
            }
            StreamsRecord::Current(member_id, current) => self.hold(member_id, current, now_ms),
        }
    }

    fn member_or_new(&mut self, member_id: String) -> &mut StreamsMember {
        self.timers.entry(member_id.clone()).or_default();
        let new = || StreamsMember::new(&member_id);
        self.members.entry(member_id.clone()).or_insert_with(new)
    }

    fn hold(&mut self, member_id: String, current: Option<CurrentTasks>, now_ms: i64) {
        if current.is_none() && !self.members.contains_key(&member_id) {
            return;
        }
        let member = self.member_or_new(member_id.clone());
        member.current = current.unwrap_or_default();
        let unrevoked = member.current.state == MemberState::UnrevokedPartitions;
        let timeout_ms = i64::from(member.metadata.rebalance_timeout_ms.max(0));
        let timers = self.timers.entry(member_id).or_default();
        timers.rebalance_ms = unrevoked.then(|| now_ms.saturating_add(timeout_ms));
    }

    /// The records that remove the group.
    pub(in crate::group) fn tombstones(&self) -> Vec<StreamsRecord> {
        let mut records = Vec::new();
        for member_id in self.members.keys() {
            records.extend(member_tombstones(member_id));
        }
        records.push(StreamsRecord::TargetEpoch(None));
        records.push(StreamsRecord::Topology(None));
        records.push(StreamsRecord::Group(None));
        records
    }
}

/// The records that remove a member.
pub(super) fn member_tombstones(member_id: &str) -> [StreamsRecord; 3] {
    [
        StreamsRecord::Current(member_id.to_owned(), None),
        StreamsRecord::Target(member_id.to_owned(), None),
        StreamsRecord::Member(member_id.to_owned(), None),
    ]
}
