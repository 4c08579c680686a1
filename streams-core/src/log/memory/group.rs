//! Groups of a memory log: members join, the group waits for all, tasks are assigned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Shared, State};
use crate::assignment::{GroupMember, TaskId};
use crate::error::LogError;
use crate::log::{LogResult, OffsetAndMetadata, TopicPartition};
use crate::membership::{GroupMetadata, Membership, MembershipConfig, MembershipEvent};

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) committed: BTreeMap<TopicPartition, OffsetAndMetadata>,
    members: BTreeMap<String, Member>,
    generation: i32,
    /// Members ever seen; names the next one.
    joined: u64,
    rebalancing: bool,
}

#[derive(Debug)]
struct Member {
    subscription: Vec<u8>,
    rejoined: bool,
    last_seen: Duration,
    session_timeout: Duration,
    assignment: Vec<u8>,
}

impl Group {
    /// Checks that a commit comes from a member of this generation, if the group has members.
    pub(super) fn check(&self, group: &GroupMetadata) -> LogResult<()> {
        let outside = group.generation_id < 0 && self.members.is_empty();
        let member = group.generation_id == self.generation && self.members.contains_key(&group.member_id);
        if outside || member {
            return Ok(());
        }
        Err(LogError::Fenced {
            reason: format!(
                "member `{}` of generation {} is not part of generation {} of group {}",
                group.member_id, group.generation_id, self.generation, group.group_id
            ),
        })
    }

    fn start_rebalance(&mut self) {
        self.rebalancing = true;
        for member in self.members.values_mut() {
            member.rejoined = false;
        }
    }

    fn drop_expired(&mut self, now: Duration) {
        let before = self.members.len();
        self.members
            .retain(|_, member| now.saturating_sub(member.last_seen) <= member.session_timeout);
        if self.members.len() != before {
            self.start_rebalance();
        }
    }
}

#[derive(Debug)]
pub(super) struct MemoryMembership {
    shared: Arc<Shared>,
    config: MembershipConfig,
    member_id: Option<String>,
    /// The generation whose assignment was reported; it is also the one that commits are made in.
    generation: i32,
    /// Told to give its tasks up, so that the next poll rejoins.
    revoked: bool,
}

impl MemoryMembership {
    pub(super) fn new(shared: Arc<Shared>, config: MembershipConfig) -> Self {
        Self {
            shared,
            config,
            member_id: None,
            generation: -1,
            revoked: true,
        }
    }

    fn step(&mut self, owned: &[TaskId], state: &mut State) -> LogResult<MembershipEvent> {
        let now = self.shared.clock.elapsed();
        let group = state.groups.entry(self.config.group_id.clone()).or_default();
        group.drop_expired(now);
        let id = match &self.member_id {
            Some(id) if !group.members.contains_key(id) => {
                self.member_id = None;
                self.revoked = true;
                return Ok(MembershipEvent::Lost);
            }
            Some(id) => id.clone(),
            None => self.join(group, now),
        };
        if let Some(member) = group.members.get_mut(&id) {
            member.last_seen = now;
            if group.rebalancing && !member.rejoined {
                if !self.revoked {
                    self.revoked = true;
                    return Ok(MembershipEvent::RevokeThenRejoin);
                }
                member.rejoined = true;
                member.subscription = self.config.assignor.subscription(owned);
            }
        }
        if group.rebalancing && group.members.values().all(|member| member.rejoined) {
            self.assign(group)?;
            self.shared.changed.notify_all();
        }
        if !group.rebalancing && self.generation != group.generation {
            self.generation = group.generation;
            self.revoked = false;
            let tasks = self.config.assignor.decode(&group.members[&id].assignment)?;
            return Ok(MembershipEvent::Assigned(tasks));
        }
        Ok(MembershipEvent::Unchanged)
    }

    fn join(&mut self, group: &mut Group, now: Duration) -> String {
        group.joined += 1;
        let id = format!("{}-{}", self.config.client_id, group.joined);
        let timeout_ms = u64::try_from(self.config.session_timeout_ms).unwrap_or(0);
        let member = Member {
            subscription: Vec::new(),
            rejoined: false,
            last_seen: now,
            session_timeout: Duration::from_millis(timeout_ms),
            assignment: Vec::new(),
        };
        group.members.insert(id.clone(), member);
        group.start_rebalance();
        self.member_id = Some(id.clone());
        id
    }

    fn assign(&self, group: &mut Group) -> LogResult<()> {
        let members: Vec<GroupMember> = group
            .members
            .iter()
            .map(|(id, member)| GroupMember {
                member_id: id.clone(),
                subscription: member.subscription.clone(),
            })
            .collect();
        let assignments = self.config.assignor.assign(&members)?;
        for (member, assignment) in group.members.values_mut().zip(assignments) {
            member.assignment = assignment;
        }
        group.generation += 1;
        group.rebalancing = false;
        Ok(())
    }
}

impl Membership for MemoryMembership {
    fn poll(&mut self, owned: &[TaskId], timeout: Duration) -> LogResult<MembershipEvent> {
        let shared = Arc::clone(&self.shared);
        let deadline = shared.clock.elapsed() + timeout;
        let mut state = shared.lock();
        loop {
            let event = self.step(owned, &mut state)?;
            let left = deadline.saturating_sub(shared.clock.elapsed());
            // Only a member without tasks waits: it is joining.
            if event != MembershipEvent::Unchanged || !self.revoked || left.is_zero() {
                return Ok(event);
            }
            state = shared.wait(state, left);
        }
    }

    fn group_metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone().unwrap_or_default(),
            group_instance_id: None,
        }
    }

    fn commit(&mut self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> LogResult<()> {
        let mut state = self.shared.lock();
        let group = state.groups.entry(self.config.group_id.clone()).or_default();
        group.check(&self.group_metadata())?;
        group.committed.extend(offsets.iter().cloned());
        Ok(())
    }

    fn leave(&mut self) -> LogResult<()> {
        let mut state = self.shared.lock();
        let group = state.groups.entry(self.config.group_id.clone()).or_default();
        if let Some(id) = self.member_id.take()
            && group.members.remove(&id).is_some()
        {
            group.start_rebalance();
            self.shared.changed.notify_all();
        }
        (self.generation, self.revoked) = (-1, true);
        Ok(())
    }
}
