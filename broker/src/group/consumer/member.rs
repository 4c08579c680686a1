//! A member of a consumer group, and what it holds.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

/// Partitions by topic id. No topic is listed without a partition.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// Where a member is on its way to its target (`MemberState` of Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It holds what the target gives it, as far as that was computed when it was reconciled.
    #[default]
    Stable,
    /// It was told to give up partitions and has not said that it did.
    UnrevokedPartitions,
    /// It waits for partitions that others still hold.
    UnreleasedPartitions,
}

impl MemberState {
    pub(in crate::group) fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
        }
    }

    pub(in crate::group) fn of_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Stable),
            1 => Some(Self::UnrevokedPartitions),
            2 => Some(Self::UnreleasedPartitions),
            _ => None,
        }
    }
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberMetadata {
    /// Static member id, if it has one.
    pub instance_id: Option<String>,
    /// Where it runs.
    pub rack_id: Option<String>,
    /// Name the client gave itself.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// Topics it reads.
    pub topic_names: BTreeSet<String>,
    /// Topics it reads, as a regular expression; an empty one is none.
    pub topic_regex: Option<String>,
    /// How long it may take to give up partitions.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// What it says beside that if it speaks the classic protocol.
    pub classic: Option<ClassicMember>,
}

/// What a member says that speaks the classic protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicMember {
    /// It is given up when not heard of for this long.
    pub session_timeout_ms: i32,
    /// Protocols it can use and its metadata for each, most wanted first.
    pub protocols: Vec<(String, Bytes)>,
}

impl MemberMetadata {
    /// The regular expression, if there is one.
    pub fn regex(&self) -> Option<&str> {
        self.topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentAssignment {
    /// The epoch that it must send.
    pub epoch: i32,
    /// The one before, if the answer with the new one was lost.
    pub previous_epoch: i32,
    /// Where it is on its way.
    pub state: MemberState,
    /// What it may read.
    pub assigned: Assignment,
    /// What it has yet to give up.
    pub revoking: Assignment,
}

impl CurrentAssignment {
    /// All that the member may be reading.
    pub(in crate::group) fn held(&self) -> Assignment {
        let mut held = self.assigned.clone();
        for (topic, partitions) in &self.revoking {
            held.entry(*topic).or_default().extend(partitions);
        }
        held
    }

    /// Moves to an epoch, remembering the one it had.
    pub(super) fn enter(&mut self, state: MemberState, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
        self.state = state;
    }
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Member id.
    pub member_id: String,
    /// What it says of itself.
    pub metadata: MemberMetadata,
    /// What it holds.
    pub current: CurrentAssignment,
}

impl ConsumerMember {
    pub(in crate::group) fn new(member_id: &str) -> Self {
        Self {
            member_id: member_id.to_owned(),
            metadata: MemberMetadata {
                rebalance_timeout_ms: -1,
                ..MemberMetadata::default()
            },
            current: CurrentAssignment::default(),
        }
    }

    /// Whether it speaks the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    /// The same under another member id, as it joins again.
    pub(super) fn succeeded_by(&self, member_id: &str) -> Self {
        let mut member = self.clone();
        member.member_id = member_id.to_owned();
        member.current.epoch = 0;
        member.current.previous_epoch = 0;
        member
    }

    /// Whether it holds what the target of this epoch gives it.
    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == epoch
    }
}
