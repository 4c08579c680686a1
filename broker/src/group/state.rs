//! One group as a value: its members, of whichever protocol, and its committed offsets.
//!
//! Offsets belong to the group id and outlive its kind: an empty classic group that becomes a consumer group keeps them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::classic::{ClassicGroup, ClassicState};
use super::consumer::ConsumerGroup;
use super::record::{GroupKey, OffsetValue};
use super::streams::StreamsGroup;

/// An offset, and where in `__consumer_offsets` it was written: a later record wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset and what came with it.
    pub value: OffsetValue,
    /// Offset of its record in the log.
    pub log_offset: i64,
}

/// Offsets by topic and partition.
pub(super) type Offsets<T> = BTreeMap<String, BTreeMap<i32, T>>;

/// The members of a group, by the protocol they speak.
#[derive(Debug)]
pub enum GroupKind {
    /// JoinGroup and SyncGroup; also a group that only holds offsets.
    Classic(ClassicGroup),
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer(ConsumerGroup),
    /// StreamsGroupHeartbeat (KIP-1071).
    Streams(StreamsGroup),
}

/// A group. See the top of this file.
#[derive(Debug)]
pub struct Group {
    pub(super) group_id: String,
    pub(super) kind: GroupKind,
    pub(super) offsets: Offsets<CommittedOffset>,
    /// Offsets of open transactions, by producer id.
    pub(super) pending_offsets: BTreeMap<i64, Offsets<CommittedOffset>>,
}

impl Group {
    /// A group without members.
    pub(super) fn new(group_id: &str, now_ms: i64) -> Self {
        Self {
            group_id: group_id.to_owned(),
            kind: GroupKind::Classic(ClassicGroup::new(group_id, now_ms)),
            offsets: Offsets::new(),
            pending_offsets: BTreeMap::new(),
        }
    }

    /// The group's id.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// `classic`, `consumer` ..., as ListGroups shows it.
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            GroupKind::Classic(_) => "classic",
            GroupKind::Consumer(_) => "consumer",
            GroupKind::Streams(_) => "streams",
        }
    }

    /// `Stable`, `Empty` ..., as ListGroups shows it.
    pub fn state_name(&self) -> &'static str {
        match &self.kind {
            GroupKind::Classic(group) => group.state().name(),
            GroupKind::Consumer(group) => group.state().name(),
            GroupKind::Streams(group) => group.state().name(),
        }
    }

    /// `consumer`, `connect` ...; empty for a group that only commits offsets.
    pub fn protocol_type(&self) -> &str {
        match &self.kind {
            GroupKind::Classic(group) => group.protocol_type(),
            GroupKind::Consumer(_) => "consumer",
            GroupKind::Streams(_) => "streams",
        }
    }

    /// Its members, if they speak the classic protocol.
    pub fn as_classic(&self) -> Option<&ClassicGroup> {
        match &self.kind {
            GroupKind::Classic(group) => Some(group),
            _ => None,
        }
    }

    /// Its members, if they speak the consumer protocol.
    pub fn as_consumer(&self) -> Option<&ConsumerGroup> {
        match &self.kind {
            GroupKind::Consumer(group) => Some(group),
            _ => None,
        }
    }

    /// Its members, if they speak the streams protocol.
    pub fn as_streams(&self) -> Option<&StreamsGroup> {
        match &self.kind {
            GroupKind::Streams(group) => Some(group),
            _ => None,
        }
    }

    /// Whether nobody is a member.
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            GroupKind::Classic(group) => group.state() == ClassicState::Empty,
            GroupKind::Consumer(group) => group.is_empty(),
            GroupKind::Streams(group) => group.is_empty(),
        }
    }

    /// Whether it is but a name for offsets, without a record of its own.
    pub(super) fn is_simple(&self) -> bool {
        self.as_classic()
            .is_some_and(|group| group.state() == ClassicState::Empty && group.protocol_type().is_empty())
    }

    /// What was committed for a partition.
    pub fn committed(&self, topic: &str, partition: i32) -> Option<&OffsetValue> {
        Some(&self.offsets.get(topic)?.get(&partition)?.value)
    }

    /// Every committed offset, by topic and partition.
    pub fn all_committed(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (i32, &OffsetValue)>)> {
        self.offsets.iter().map(|(topic, partitions)| {
            (
                topic.as_str(),
                partitions
                    .iter()
                    .map(|(partition, committed)| (*partition, &committed.value)),
            )
        })
    }

    /// Whether an open transaction holds an offset for the partition.
    pub fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        self.pending_offsets.values().any(|offsets| {
            offsets
                .get(topic)
                .is_some_and(|topic| topic.contains_key(&partition))
        })
    }

    /// The records that remove the group's members and epochs, not its offsets.
    pub(super) fn kind_tombstones(&self) -> Vec<(Bytes, Option<Bytes>)> {
        match &self.kind {
            GroupKind::Classic(_) => {
                let group_id = self.group_id.clone();
                vec![(GroupKey::Group { group_id }.encode(), None)]
            }
            GroupKind::Consumer(group) => {
                let records = group.tombstones().into_iter();
                records.map(|record| record.encode(&self.group_id)).collect()
            }
            GroupKind::Streams(group) => {
                let records = group.tombstones().into_iter();
                records.map(|record| record.encode(&self.group_id)).collect()
            }
        }
    }

    pub(super) fn offset_key(&self, topic: &str, partition: i32) -> Bytes {
        GroupKey::Offset {
            group_id: self.group_id.clone(),
            topic: topic.to_owned(),
            partition,
        }
        .encode()
    }
}
