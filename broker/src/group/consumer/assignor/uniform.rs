//! The uniform assignor: every member gets as many partitions as any other, give or take one where that is possible, and
//! keeps what it had unless that stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::AssignorMember;
use crate::group::consumer::member::Assignment;

/// Rounds of moving single partitions from those that have more to those that have less. Each round can only improve, so
/// the limit is a matter of time, not of correctness.
const MAX_BALANCING_ROUNDS: usize = 16;

type Partition = (Uuid, i32);

pub(super) fn assign<'a>(
    members: &[AssignorMember<'a>],
    partition_count: &dyn Fn(Uuid) -> i32,
) -> BTreeMap<&'a str, Assignment> {
    let Some(first) = members.first() else {
        return BTreeMap::new();
    };
    let assigned = if members.iter().all(|member| member.topics == first.topics) {
        assign_alike(members, &first.topics, partition_count)
    } else {
        assign_unlike(members, partition_count)
    };
    let by_member = members.iter().zip(assigned);
    by_member
        .map(|(member, partitions)| (member.member_id, by_topic(partitions)))
        .collect()
}

fn by_topic(partitions: Vec<Partition>) -> Assignment {
    let mut assignment = Assignment::new();
    for (topic, partition) in partitions {
        assignment.entry(topic).or_default().insert(partition);
    }
    assignment
}

/// What each member had and may keep, each partition once; and what nobody had.
fn keep(
    members: &[AssignorMember<'_>],
    partition_count: &dyn Fn(Uuid) -> i32,
    topics: &BTreeSet<Uuid>,
) -> (Vec<Vec<Partition>>, Vec<Partition>) {
    let mut left: BTreeSet<Partition> = topics
        .iter()
        .flat_map(|topic| (0..partition_count(*topic)).map(|partition| (*topic, partition)))
        .collect();
    let kept = members.iter().map(|member| {
        let had = member
            .previous
            .iter()
            .filter(|(topic, _)| member.topics.contains(*topic));
        had.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
            .filter(|partition| left.remove(partition))
            .collect()
    });
    let kept = kept.collect();
    (kept, left.into_iter().collect())
}

/// Everybody reads the same topics: quotas are exact.
fn assign_alike(
    members: &[AssignorMember<'_>],
    topics: &BTreeSet<Uuid>,
    partition_count: &dyn Fn(Uuid) -> i32,
) -> Vec<Vec<Partition>> {
    let (mut kept, mut left) = keep(members, partition_count, topics);
    let total: usize = kept.iter().map(Vec::len).sum::<usize>() + left.len();
    let quota = total / members.len();
    let mut extra = total % members.len();
    // Those that have most keep the one more that some must get.
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(kept[*index].len()));
    let mut room = vec![0; members.len()];
    for index in order {
        let quota = if extra > 0 {
            extra -= 1;
            quota + 1
        } else {
            quota
        };
        let has = kept[index].len().min(quota);
        left.extend(kept[index].drain(has..));
        room[index] = quota - has;
    }
    // Topic by topic, so that one member gets neighbours of few topics rather than one of each.
    let mut left = left.into_iter();
    for (partitions, room) in kept.iter_mut().zip(room) {
        partitions.extend(left.by_ref().take(room));
    }
    kept
}

/// Members read different topics: start from what they had, give the rest to who has least, then even out.
fn assign_unlike(
    members: &[AssignorMember<'_>],
    partition_count: &dyn Fn(Uuid) -> i32,
) -> Vec<Vec<Partition>> {
    let mut readers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            readers.entry(*topic).or_default().push(index);
        }
    }
    let topics: BTreeSet<Uuid> = readers.keys().copied().collect();
    let (mut held, mut left) = keep(members, partition_count, &topics);
    // What few can take is dealt first: the others can make up for it.
    left.sort_by_key(|(topic, partition)| (readers[topic].len(), *topic, *partition));
    for partition in left {
        let least = readers[&partition.0]
            .iter()
            .copied()
            .min_by_key(|index| (held[*index].len(), *index));
        held[least.expect("a topic is here because somebody reads it")].push(partition);
    }
    for _ in 0..MAX_BALANCING_ROUNDS {
        if !even_out(&mut held, &readers) {
            break;
        }
    }
    held
}

/// One round: every member hands on what another reader, who would still have no more than it, can take.
fn even_out(held: &mut [Vec<Partition>], readers: &BTreeMap<Uuid, Vec<usize>>) -> bool {
    let mut moved = false;
    for index in 0..held.len() {
        let mut position = 0;
        while position < held[index].len() {
            let partition = held[index][position];
            let least = readers[&partition.0]
                .iter()
                .copied()
                .min_by_key(|index| (held[*index].len(), *index))
                .expect("a topic is here because somebody reads it");
            if held[least].len() + 1 < held[index].len() {
                held[index].swap_remove(position);
                held[least].push(partition);
                moved = true;
            } else {
                position += 1;
            }
        }
    }
    moved
}
