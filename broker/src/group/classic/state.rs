//! One classic group as a value: its members and its generation (`ClassicGroup` of Kafka).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::group::record::{GroupKey, GroupValue, MemberValue, subscribed_topics};
use crate::transaction::Token;

/// Where a classic group is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassicState {
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

impl ClassicState {
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
    pub(in crate::group) join: Option<Token>,
    /// Its parked SyncGroup.
    pub(in crate::group) sync: Option<Token>,
    /// Whether it has yet to send SyncGroup in this generation.
    pub(in crate::group) owes_sync: bool,
    /// It is dropped at this time unless heard of before.
    pub(in crate::group) deadline_ms: i64,
    /// It never was in a generation; its JoinGroup is parked without heartbeats.
    pub(in crate::group) is_new: bool,
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

    pub(in crate::group) fn heard(&mut self, now_ms: i64) {
        self.deadline_ms = now_ms.saturating_add(i64::from(self.session_timeout_ms));
    }
}

/// A group. See the top of this file.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(in crate::group) group_id: String,
    pub(in crate::group) state: ClassicState,
    pub(in crate::group) state_since_ms: i64,
    /// `consumer`, `connect` ...; None for a group that only commits offsets.
    pub(in crate::group) protocol_type: Option<String>,
    pub(in crate::group) protocol: Option<String>,
    pub(in crate::group) generation: i32,
    pub(in crate::group) leader: Option<String>,
    pub(in crate::group) members: BTreeMap<String, Member>,
    /// Member ids by static member id.
    pub(in crate::group) static_members: BTreeMap<String, String>,
    /// Member ids that were given out and not used yet, with the time they lapse.
    pub(in crate::group) pending_members: BTreeMap<String, i64>,
    /// While joining: when it ends at the latest.
    pub(in crate::group) join: Option<JoinDeadline>,
    /// While completing: when members that did not sync are dropped.
    pub(in crate::group) sync_deadline_ms: Option<i64>,
}

/// The end of a join phase.
#[derive(Debug, Clone, Copy)]
pub(in crate::group) struct JoinDeadline {
    pub(in crate::group) at_ms: i64,
    /// For the first generation of an empty group: it waits although all known members have joined.
    pub(in crate::group) initial: Option<InitialDelay>,
}

/// The wait for the first members, extended while new ones keep coming.
#[derive(Debug, Clone, Copy)]
pub(in crate::group) struct InitialDelay {
    pub(in crate::group) delay_ms: i64,
    pub(in crate::group) remaining_ms: i64,
    pub(in crate::group) member_added: bool,
}

impl ClassicGroup {
    pub(in crate::group) fn new(group_id: &str, now_ms: i64) -> Self {
        Self {
            group_id: group_id.to_owned(),
            state: ClassicState::Empty,
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
        }
    }

    /// The group's id.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Its state.
    pub fn state(&self) -> ClassicState {
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

    /// When it entered its state, in milliseconds since the epoch.
    pub(in crate::group) fn state_since_ms(&self) -> i64 {
        self.state_since_ms
    }

    pub(in crate::group) fn enter(&mut self, state: ClassicState, now_ms: i64) {
        self.state = state;
        self.state_since_ms = now_ms;
    }

    pub(in crate::group) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Longest time any member asked for.
    pub(in crate::group) fn rebalance_timeout_ms(&self) -> i64 {
        self.members
            .values()
            .map(|member| i64::from(member.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
    }

    /// Whether a member with these protocols can be part of the group.
    pub(in crate::group) fn supports(
        &self,
        protocol_type: &str,
        protocols: &[(String, Bytes)],
        except: Option<&str>,
    ) -> bool {
        if !self.members.is_empty() && self.protocol_type.as_deref() != Some(protocol_type) {
            return false;
        }
        let mut others = self
            .members
            .values()
            .filter(|member| Some(member.member_id.as_str()) != except)
            .peekable();
        if others.peek().is_none() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let others: Vec<&Member> = others.collect();
        protocols.iter().any(|(name, _)| {
            others
                .iter()
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        })
    }

    /// The protocol that all members know and most of them want.
    pub(in crate::group) fn select_protocol(&self) -> Option<String> {
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
    pub(in crate::group) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
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
    pub(in crate::group) fn record(&self, assignments: Option<&BTreeMap<String, Bytes>>) -> (Bytes, Bytes) {
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
    pub(in crate::group) fn restore(&mut self, value: GroupValue, now_ms: i64) {
        self.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
        self.generation = value.generation;
        self.leader = value.leader;
        self.state_since_ms = value.state_since_ms;
        self.state = if value.members.is_empty() {
            ClassicState::Empty
        } else {
            ClassicState::Stable
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
