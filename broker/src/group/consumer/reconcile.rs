//! The way of one member to its target: what it keeps, what it must give up first, and what it gets.
//!
//! ```text
//!            has to give up, and has not        waits for others
//!  STABLE ----------------------> UNREVOKED ---------------------> UNRELEASED --all free--> STABLE
//!         (its epoch stays)                   (its epoch is the target's)
//! ```

use std::collections::BTreeSet;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use uuid::Uuid;

use super::member::{Assignment, ConsumerMember, CurrentAssignment, MemberState};

/// What a member is to be reconciled with.
pub(super) struct Goal<'a> {
    /// Epoch of the target.
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    /// Ids of the topics the member reads now.
    pub(super) subscribed: &'a BTreeSet<Uuid>,
    /// It changed what it reads in this very heartbeat, so it must not keep what it no longer reads.
    pub(super) subscription_changed: bool,
    /// What the member says it holds; None if it does not say.
    pub(super) owned: Option<&'a [TopicPartitions]>,
    /// Whether no member holds a partition.
    pub(super) is_free: &'a dyn Fn(Uuid, i32) -> bool,
}

/// What the member holds after this heartbeat.
pub(super) fn reconcile(member: &ConsumerMember, goal: &Goal<'_>) -> CurrentAssignment {
    let current = &member.current;
    match current.state {
        MemberState::Stable if current.epoch != goal.epoch => next(current, current.epoch, goal),
        MemberState::UnrevokedPartitions if !goal.owns_any(&current.revoking) => {
            // The target may be older than the subscription that made it revoke.
            next(current, (current.epoch + 1).min(goal.epoch), goal)
        }
        MemberState::Stable | MemberState::UnrevokedPartitions if goal.subscription_changed => {
            drop_unsubscribed(current, goal)
        }
        MemberState::Stable | MemberState::UnrevokedPartitions => current.clone(),
        MemberState::UnreleasedPartitions => next(current, current.epoch, goal),
    }
}

impl Goal<'_> {
    /// Whether the member still holds any of these, as far as it says. A member that does not say may.
    fn owns_any(&self, revoking: &Assignment) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|topic| {
            revoking
                .get(&topic.topic_id)
                .is_some_and(|revoking| topic.partitions.iter().any(|owned| revoking.contains(owned)))
        })
    }
}

/// Takes away what the member does not read any more, without looking at the target.
fn drop_unsubscribed(current: &CurrentAssignment, goal: &Goal<'_>) -> CurrentAssignment {
    let mut next = current.clone();
    for (topic, partitions) in &current.assigned {
        if !goal.subscribed.contains(topic) {
            next.assigned.remove(topic);
            next.revoking.entry(*topic).or_default().extend(partitions);
        }
    }
    if next.assigned == current.assigned {
        return next;
    }
    if goal.owns_any(&next.revoking) {
        next.state = MemberState::UnrevokedPartitions;
    } else {
        next.revoking.clone_from(&current.revoking);
    }
    next
}

fn next(current: &CurrentAssignment, epoch: i32, goal: &Goal<'_>) -> CurrentAssignment {
    let nothing = BTreeSet::new();
    let mut kept = Assignment::new();
    let mut revoking = Assignment::new();
    let mut gained = Assignment::new();
    let mut waits = false;
    let topics: BTreeSet<Uuid> = goal
        .target
        .keys()
        .chain(current.assigned.keys())
        .copied()
        .collect();
    for topic in topics {
        let target = Some(&topic)
            .filter(|topic| goal.subscribed.contains(topic))
            .and_then(|topic| goal.target.get(topic))
            .unwrap_or(&nothing);
        let assigned = current.assigned.get(&topic).unwrap_or(&nothing);
        put(&mut kept, topic, assigned.intersection(target).copied());
        put(&mut revoking, topic, assigned.difference(target).copied());
        let own = current.revoking.get(&topic).unwrap_or(&nothing);
        let (free, held): (Vec<i32>, Vec<i32>) = target
            .difference(assigned)
            .partition(|partition| own.contains(partition) || (goal.is_free)(topic, **partition));
        waits |= !held.is_empty();
        put(&mut gained, topic, free);
    }
    let mut next = current.clone();
    if !revoking.is_empty() && goal.owns_any(&revoking) {
        next.enter(MemberState::UnrevokedPartitions, epoch);
        next.assigned = kept;
        next.revoking = revoking;
        return next;
    }
    for (topic, partitions) in gained {
        kept.entry(topic).or_default().extend(partitions);
    }
    let state = if waits {
        MemberState::UnreleasedPartitions
    } else {
        MemberState::Stable
    };
    next.enter(state, goal.epoch);
    next.assigned = kept;
    next.revoking = Assignment::new();
    next
}

fn put(assignment: &mut Assignment, topic: Uuid, partitions: impl IntoIterator<Item = i32>) {
    let partitions: BTreeSet<i32> = partitions.into_iter().collect();
    if !partitions.is_empty() {
        assignment.insert(topic, partitions);
    }
}
