//! One group as a value: its members, its generation and its committed offsets (`ClassicGroup` of Kafka).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::record::{GroupKey, GroupValue, MemberValue, OffsetValue, subscribed_topics};
use crate::transaction::Token;

/// Where a classic group is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members. It may hold offsets.
    Empty,
    /// Members are asked to join again; JoinGroup is parked.
    PreparingRebalance,
    /// All have joined; the leader computes the assignment; SyncGroup is parked.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Being removed: its tombstones are on their way to the log.
    Dead,
}

impl GroupState {
    /// Kafka's name of the state, as ListGroups and DescribeGroups show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

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

/// A member of a group.
#[derive(Debug)]
pub struct Member {
    /// Member id.
    pub member_id: String,
    /// Static member id, if it has one.
    pub group_instance_id: Option<String>,
    /// Name the client gave itself.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// It is dropped when not heard of for this long.
    pub session_timeout_ms: i32,
    /// Protocols it can use and its metadata for each, most wanted first.
    pub protocols: Vec<(String, Bytes)>,
    /// What it was assigned in the current generation.
    pub assignment: Bytes,
    /// Its parked JoinGroup.
    pub(super) join: Option<Token>,
    /// Its parked SyncGroup.
    pub(super) sync: Option<Token>,
    /// Whether it has yet to send SyncGroup in this generation.
    pub(super) owes_sync: bool,
    /// It is dropped at this time unless heard of before.
    pub(super) deadline_ms: i64,
    /// It never was in a generation; its JoinGroup is parked without heartbeats.
    pub(super) is_new: bool,
}

impl Member {
    /// Its metadata for a protocol.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn heard(&mut self, now_ms: i64) {
        self.deadline_ms = now_ms.saturating_add(i64::from(self.session_timeout_ms));
    }
}

/// A group. See the top of this file.
#[derive(Debug)]
pub struct Group {
    pub(super) group_id: String,
    pub(super) state: GroupState,
    pub(super) state_since_ms: i64,
    /// `consumer`, `connect` ...; None for a group that only commits offsets.
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) generation: i32,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Member ids by static member id.
    pub(super) static_members: BTreeMap<String, String>,
    /// Member ids that were given out and not used yet, with the time they lapse.
    pub(super) pending_members: BTreeMap<String, i64>,
    /// While joining: when it ends at the latest.
    pub(super) join: Option<JoinDeadline>,
    /// While completing: when members that did not sync are dropped.
    pub(super) sync_deadline_ms: Option<i64>,
    pub(super) offsets: Offsets<CommittedOffset>,
    /// Offsets of open transactions, by producer id.
    pub(super) pending_offsets: BTreeMap<i64, Offsets<CommittedOffset>>,
}

/// The end of a join phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinDeadline {
    pub(super) at_ms: i64,
    /// For the first generation of an empty group: it waits although all known members have joined.
    pub(super) initial: Option<InitialDelay>,
}

/// The wait for the first members, extended while new ones keep coming.
#[derive(Debug, Clone, Copy)]
pub(super) struct InitialDelay {
    pub(super) delay_ms: i64,
    pub(super) remaining_ms: i64,
    pub(super) member_added: bool,
}

impl Group {
    pub(super) fn new(group_id: &str, now_ms: i64) -> Self {
        Self {
            group_id: group_id.to_owned(),
            state: GroupState::Empty,
            state_since_ms: now_ms,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            join: None,
            sync_deadline_ms: None,
            offsets: Offsets::new(),
            pending_offsets: BTreeMap::new(),
        }
    }

    /// The group's id.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Its state.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// `consumer`, `connect` ...; empty for a group that only commits offsets.
    pub fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// The protocol of the current generation, or empty.
    pub fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or_default()
    }

    /// Its members, by member id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
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

    pub(super) fn enter(&mut self, state: GroupState, now_ms: i64) {
        self.state = state;
        self.state_since_ms = now_ms;
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Longest time any member asked for.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members
            .values()
            .map(|member| i64::from(member.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
    }

    /// Whether a member with these protocols can be part of the group.
    pub(super) fn supports(
        &self,
        protocol_type: &str,
        protocols: &[(String, Bytes)],
        except: Option<&str>,
    ) -> bool {
        let mut others = self
            .members
            .values()
            .filter(|member| Some(member.member_id.as_str()) != except)
            .peekable();
        if others.peek().is_none() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let others: Vec<&Member> = others.collect();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| {
                others
                    .iter()
                    .all(|member| member.protocols.iter().any(|(other, _)| other == name))
            })
    }

    /// The protocol that all members know and most of them want.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let known_by_all = |name: &str| {
            self.members
                .values()
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        };
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .map(|(name, _)| name.as_str())
                .find(|name| known_by_all(name));
            *votes.entry(vote?).or_default() += 1;
        }
        // Of equally wanted ones the first by name, so that every run chooses the same.
        let most = votes.values().copied().max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name.to_owned())
    }

    /// Topics that the members read; None if that cannot be known.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type() != "consumer" {
            return None;
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// The record of the group with these assignments instead of the members' own.
    pub(super) fn record(&self, assignments: Option<&BTreeMap<String, Bytes>>) -> (Bytes, Bytes) {
        let protocol = self.protocol();
        let members = self.members.values().map(|member| MemberValue {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: assignments.map_or_else(
                || member.assignment.clone(),
                |assignments| assignments.get(&member.member_id).cloned().unwrap_or_default(),
            ),
        });
        let value = GroupValue {
            protocol_type: self.protocol_type().to_owned(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since_ms: self.state_since_ms,
            members: members.collect(),
        };
        (
            GroupKey::Group {
                group_id: self.group_id.clone(),
            }
            .encode(),
            value.encode(),
        )
    }

    /// Takes over what a record says. Offsets stay.
    pub(super) fn restore(&mut self, value: GroupValue, now_ms: i64) {
        self.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
        self.generation = value.generation;
        self.leader = value.leader;
        self.state_since_ms = value.state_since_ms;
        self.state = if value.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::Stable
        };
        self.members.clear();
        self.static_members.clear();
        let protocol = value.protocol.clone().unwrap_or_default();
        self.protocol = value.protocol;
        for member in value.members {
            if let Some(instance) = &member.group_instance_id {
                self.static_members
                    .insert(instance.clone(), member.member_id.clone());
            }
            let mut restored = Member {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols: vec![(protocol.clone(), member.subscription)],
                assignment: member.assignment,
                join: None,
                sync: None,
                owes_sync: false,
                deadline_ms: 0,
                is_new: false,
            };
            restored.heard(now_ms);
            self.members.insert(restored.member_id.clone(), restored);
        }
    }
}
