//! The way of one member to its target. A task is owned by a process, not by a thread: a process has one copy of a task's
//! stores, so that a task moves within it only when the thread that had it has let go.

use std::collections::{BTreeMap, BTreeSet};

use super::member::{CurrentTasks, StreamsMember, TaskMap, Tasks};
use crate::group::consumer::MemberState;

type Task<'a> = (&'a str, i32);

/// Which processes hold which tasks, as their own or to be given up.
#[derive(Debug, Default)]
pub(super) struct Holders<'a> {
    active: BTreeMap<Task<'a>, &'a str>,
    /// Standby and warm-up copies.
    copies: BTreeSet<(Task<'a>, &'a str)>,
}

impl<'a> Holders<'a> {
    pub(super) fn of(members: impl Iterator<Item = &'a StreamsMember>) -> Self {
        let mut holders = Self::default();
        for member in members {
            let process = member.metadata.process_id.as_str();
            for held in [&member.current.assigned, &member.current.revoking] {
                let [active, standby, warmup] = held.kinds();
                holders.active.extend(tasks(active).map(|task| (task, process)));
                let copies = tasks(standby).chain(tasks(warmup));
                holders.copies.extend(copies.map(|task| (task, process)));
            }
        }
        holders
    }

    fn has_copy(&self, task: Task<'_>, process: &str) -> bool {
        self.copies.contains(&(task, process))
    }
}

fn tasks(map: &TaskMap) -> impl Iterator<Item = Task<'_>> {
    map.iter()
        .flat_map(|(of, partitions)| partitions.iter().map(|partition| (of.as_str(), *partition)))
}

/// What a member is to be reconciled with.
pub(super) struct Goal<'a> {
    /// Epoch of the target.
    pub(super) epoch: i32,
    pub(super) target: &'a Tasks,
    /// What the member says it holds; None if it does not say.
    pub(super) owned: Option<&'a Tasks>,
    pub(super) holders: &'a Holders<'a>,
}

impl Goal<'_> {
    /// Whether the member may still hold any of these. One that does not say may.
    fn owns_any(&self, revoking: &Tasks) -> bool {
        !revoking.is_empty() && self.owned.is_none_or(|owned| owned.overlaps(revoking))
    }
}

/// What the member holds after this heartbeat.
pub(super) fn reconcile(member: &StreamsMember, goal: &Goal<'_>) -> CurrentTasks {
    let current = &member.current;
    match current.state {
        MemberState::Stable if current.epoch == goal.epoch => current.clone(),
        MemberState::UnrevokedPartitions if goal.owns_any(&current.revoking) => current.clone(),
        MemberState::UnrevokedPartitions => next(member, (current.epoch + 1).min(goal.epoch), goal),
        MemberState::Stable | MemberState::UnreleasedPartitions => next(member, current.epoch, goal),
    }
}

/// What is kept, given up, gained and waited for, of one kind of task.
struct Difference {
    kept: TaskMap,
    revoking: TaskMap,
    gained: TaskMap,
    waits: bool,
}

fn difference(current: &TaskMap, target: &TaskMap, is_held: impl Fn(Task<'_>) -> bool) -> Difference {
    let nothing = BTreeSet::new();
    let mut difference = Difference {
        kept: TaskMap::new(),
        revoking: TaskMap::new(),
        gained: TaskMap::new(),
        waits: false,
    };
    let all: BTreeSet<&String> = target.keys().chain(current.keys()).collect();
    for of in all {
        let target = target.get(of).unwrap_or(&nothing);
        let current = current.get(of).unwrap_or(&nothing);
        put(&mut difference.kept, of, current.intersection(target).copied());
        put(&mut difference.revoking, of, current.difference(target).copied());
        let (held, free): (Vec<i32>, Vec<i32>) = target
            .difference(current)
            .partition(|partition| is_held((of, **partition)));
        difference.waits |= !held.is_empty();
        put(&mut difference.gained, of, free);
    }
    difference
}

fn put(map: &mut TaskMap, of: &str, partitions: impl IntoIterator<Item = i32>) {
    let partitions: BTreeSet<i32> = partitions.into_iter().collect();
    if !partitions.is_empty() {
        map.insert(of.to_owned(), partitions);
    }
}

fn next(member: &StreamsMember, epoch: i32, goal: &Goal<'_>) -> CurrentTasks {
    let process = member.metadata.process_id.as_str();
    let (held, holders) = (&member.current.assigned, goal.holders);
    let active = difference(&held.active, &goal.target.active, |task| {
        holders.active.contains_key(&task) || holders.has_copy(task, process)
    });
    let has_any =
        |task: Task<'_>| holders.active.get(&task) == Some(&process) || holders.has_copy(task, process);
    let standby = difference(&held.standby, &goal.target.standby, has_any);
    let warmup = difference(&held.warmup, &goal.target.warmup, has_any);
    let waits = active.waits || standby.waits || warmup.waits;
    let tasks = |active, standby, warmup| Tasks {
        active,
        standby,
        warmup,
    };
    let revoking = tasks(active.revoking, standby.revoking, warmup.revoking);
    let mut next = CurrentTasks {
        epoch,
        previous_epoch: member.current.epoch,
        state: MemberState::UnrevokedPartitions,
        assigned: tasks(active.kept, standby.kept, warmup.kept),
        revoking,
    };
    if goal.owns_any(&next.revoking) {
        return next;
    }
    next.epoch = goal.epoch;
    next.state = if waits {
        MemberState::UnreleasedPartitions
    } else {
        MemberState::Stable
    };
    next.assigned
        .merge(tasks(active.gained, standby.gained, warmup.gained));
    next.revoking = Tasks::default();
    next
}
