//! A consumer group as a value (`ConsumerGroup` of Kafka), and how records change it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::member::{Assignment, ConsumerMember, CurrentAssignment, MemberState};
use super::record::ConsumerRecord;
use super::regex::ResolvedRegex;

/// Epoch of a static member that has left and may come back.
pub(super) const LEFT_STATIC_EPOCH: i32 = -2;
/// Epoch with which a member leaves.
pub(super) const LEAVE_EPOCH: i32 = -1;

/// Where a consumer group is (`ConsumerGroupState` of Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerState {
    /// No members.
    Empty,
    /// The target is older than the group.
    Assigning,
    /// Some member is not at its target yet.
    Reconciling,
    /// Every member holds its target.
    Stable,
}

impl ConsumerState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// When a member is given up.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::group) struct Timers {
    /// Unless it is heard of before.
    pub(in crate::group) session_ms: i64,
    /// Unless it has revoked what it must before.
    pub(in crate::group) rebalance_ms: Option<i64>,
    /// Unless it joins again before, if it speaks the classic protocol and was told to.
    pub(in crate::group) join_ms: Option<i64>,
    /// Unless it asks before what it holds, if it speaks the classic protocol and has joined.
    pub(in crate::group) sync_ms: Option<i64>,
}

impl Timers {
    /// Whether one of them has run out.
    pub(in crate::group) fn are_due(&self, now_ms: i64) -> bool {
        let others = [self.rebalance_ms, self.join_ms, self.sync_ms];
        self.session_ms <= now_ms || others.into_iter().flatten().any(|at_ms| at_ms <= now_ms)
    }
}

/// A consumer group. All but the timers is in the log.
#[derive(Debug, Default)]
pub struct ConsumerGroup {
    pub(super) epoch: i32,
    /// Of the topics that are subscribed to, see [`TopicImage::metadata_hash`](crate::group::TopicImage).
    pub(super) metadata_hash: i64,
    /// The version of the topics the hash was last compared with.
    pub(super) seen_topics: u64,
    /// Epoch of the target.
    pub(super) assignment_epoch: i32,
    pub(super) members: BTreeMap<String, ConsumerMember>,
    /// Member ids by static member id.
    pub(super) static_members: BTreeMap<String, String>,
    pub(super) target: BTreeMap<String, Assignment>,
    pub(super) regexes: BTreeMap<String, ResolvedRegex>,
    /// Who holds a partition, as its own or to be revoked.
    holders: HashMap<(Uuid, i32), String>,
    pub(super) timers: BTreeMap<String, Timers>,
    /// A record of an older Kafka that is to be removed.
    pub(super) has_partition_metadata: bool,
}

impl ConsumerGroup {
    /// Its epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch of its target assignment.
    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// Its members, by member id.
    pub fn members(&self) -> impl Iterator<Item = &ConsumerMember> {
        self.members.values()
    }

    /// A member.
    pub fn member(&self, member_id: &str) -> Option<&ConsumerMember> {
        self.members.get(member_id)
    }

    /// What a member shall hold.
    pub fn target(&self, member_id: &str) -> Option<&Assignment> {
        self.target.get(member_id)
    }

    /// Whether nobody is a member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where it is.
    pub fn state(&self) -> ConsumerState {
        if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.epoch > self.assignment_epoch {
            ConsumerState::Assigning
        } else if self
            .members
            .values()
            .all(|member| member.is_reconciled_to(self.assignment_epoch))
        {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        }
    }

    /// Whether no member holds a partition.
    pub(super) fn is_free(&self, topic: Uuid, partition: i32) -> bool {
        !self.holders.contains_key(&(topic, partition))
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// Takes over what a record says, after it was written or when it is loaded.
    pub(in crate::group) fn apply(&mut self, record: ConsumerRecord, now_ms: i64) {
        match record {
            ConsumerRecord::Group(Some(value)) => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            // The group itself is removed by whoever holds it.
            ConsumerRecord::Group(None) => self.epoch = 0,
            ConsumerRecord::PartitionMetadata(present) => self.has_partition_metadata = present,
            ConsumerRecord::Member(member_id, Some(metadata)) => {
                if let Some(instance_id) = &metadata.instance_id {
                    self.static_members.insert(instance_id.clone(), member_id.clone());
                }
                self.member_or_new(member_id).metadata = metadata;
            }
            ConsumerRecord::Member(member_id, None) => self.remove(&member_id),
            ConsumerRecord::TargetEpoch(epoch) => self.assignment_epoch = epoch.unwrap_or(0),
            ConsumerRecord::Target(member_id, Some(target)) => {
                self.target.insert(member_id, target);
            }
            ConsumerRecord::Target(member_id, None) => {
                self.target.remove(&member_id);
            }
            ConsumerRecord::Current(member_id, current) => self.hold(member_id, current, now_ms),
            ConsumerRecord::Regex(regex, Some(resolved)) => {
                self.regexes.insert(regex, resolved);
            }
            ConsumerRecord::Regex(regex, None) => {
                self.regexes.remove(&regex);
            }
        }
    }

    fn member_or_new(&mut self, member_id: String) -> &mut ConsumerMember {
        self.timers.entry(member_id.clone()).or_default();
        let new = || ConsumerMember::new(&member_id);
        self.members.entry(member_id.clone()).or_insert_with(new)
    }

    fn remove(&mut self, member_id: &str) {
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        self.release(member_id, &member.current);
        self.timers.remove(member_id);
        if let Some(instance_id) = &member.metadata.instance_id
            && self
                .static_members
                .get(instance_id)
                .is_some_and(|holder| holder == member_id)
        {
            self.static_members.remove(instance_id);
        }
    }

    fn hold(&mut self, member_id: String, current: Option<CurrentAssignment>, now_ms: i64) {
        if current.is_none() && !self.members.contains_key(&member_id) {
            return;
        }
        let current = current.unwrap_or_default();
        let member = self.member_or_new(member_id.clone());
        let before = std::mem::replace(&mut member.current, current.clone());
        let timeout_ms = i64::from(member.metadata.rebalance_timeout_ms.max(0));
        // Classic members are given that time to join and to sync.
        let is_timed = current.state == MemberState::UnrevokedPartitions && !member.is_classic();
        self.release(&member_id, &before);
        for held in [&current.assigned, &current.revoking] {
            for (topic, partition) in partitions(held) {
                self.holders.insert((topic, partition), member_id.clone());
            }
        }
        let timers = self.timers.entry(member_id).or_default();
        timers.rebalance_ms = is_timed.then(|| now_ms.saturating_add(timeout_ms));
    }

    /// Frees what a member held, unless another has taken its place already.
    fn release(&mut self, member_id: &str, held: &CurrentAssignment) {
        for partition in partitions(&held.assigned).chain(partitions(&held.revoking)) {
            if self
                .holders
                .get(&partition)
                .is_some_and(|holder| holder == member_id)
            {
                self.holders.remove(&partition);
            }
        }
    }

    /// The records that remove the group.
    pub(in crate::group) fn tombstones(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        for member_id in self.members.keys() {
            records.extend(member_tombstones(member_id));
        }
        records.push(ConsumerRecord::TargetEpoch(None));
        let regexes = self.regexes.keys().cloned();
        records.extend(regexes.map(|regex| ConsumerRecord::Regex(regex, None)));
        if self.has_partition_metadata {
            records.push(ConsumerRecord::PartitionMetadata(false));
        }
        records.push(ConsumerRecord::Group(None));
        records
    }

    /// Every topic that a member reads, by name.
    pub fn subscribed_topics(&self) -> BTreeSet<&str> {
        super::subscription::topics_of(self.members.values(), &self.regexes)
    }
}

/// The records that remove a member.
pub(super) fn member_tombstones(member_id: &str) -> [ConsumerRecord; 3] {
    [
        ConsumerRecord::Current(member_id.to_owned(), None),
        ConsumerRecord::Target(member_id.to_owned(), None),
        ConsumerRecord::Member(member_id.to_owned(), None),
    ]
}

fn partitions(assignment: &Assignment) -> impl Iterator<Item = (Uuid, i32)> {
    assignment
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
}
