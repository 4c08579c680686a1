//! The sticky task assignor (`StickyTaskAssignor` of Kafka): active tasks stay with the member that had them, or go to one
//! that had a standby of them, as long as that member has no more than its share; the rest, and standbys, go where the load
//! is least. A pure function.

use std::collections::{BTreeMap, BTreeSet};

use super::configured::ConfiguredSubtopology;
use super::member::{TaskMap, Tasks};

/// A member as the assignor sees it.
#[derive(Debug)]
pub(super) struct AssignorMember<'a> {
    pub(super) member_id: &'a str,
    pub(super) process_id: &'a str,
    /// Its target until now.
    pub(super) previous: &'a Tasks,
}

/// A task: its sub-topology and partition.
type Task<'a> = (&'a str, i32);

/// Deals all tasks out. Answers every member.
pub(super) fn assign<'a>(
    members: &[AssignorMember<'a>],
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    standby_replicas: usize,
) -> BTreeMap<&'a str, Tasks> {
    if members.is_empty() {
        return BTreeMap::new();
    }
    let tasks = |stateful_only: bool| -> Vec<Task<'_>> {
        let wanted = subtopologies
            .iter()
            .filter(|(_, part)| part.stateful || !stateful_only);
        wanted
            .flat_map(|(id, part)| (0..part.task_count).map(|partition| (id.as_str(), partition)))
            .collect()
    };
    let (active, stateful) = (tasks(false), tasks(true));
    let mut deal = Deal::new(
        members,
        active.len(),
        active.len() + stateful.len() * standby_replicas,
    );
    deal.deal_active(active);
    if standby_replicas > 0 {
        deal.deal_standby(stateful, standby_replicas);
    }
    let held = deal.held.into_iter().map(|held| Tasks {
        active: task_map(&held.active),
        standby: task_map(&held.standby),
        warmup: TaskMap::new(),
    });
    members.iter().map(|member| member.member_id).zip(held).collect()
}

fn task_map(tasks: &BTreeSet<Task<'_>>) -> TaskMap {
    let mut map = TaskMap::new();
    for (of, partition) in tasks {
        map.entry((*of).to_owned()).or_default().insert(*partition);
    }
    map
}

/// What a member was dealt.
#[derive(Debug, Default, Clone)]
struct Held<'a> {
    active: BTreeSet<Task<'a>>,
    standby: BTreeSet<Task<'a>>,
}

impl Held<'_> {
    fn count(&self) -> usize {
        self.active.len() + self.standby.len()
    }
}

/// How many tasks a member may have before it has its share: what is left over those who have not theirs yet.
#[derive(Debug)]
struct Share {
    tasks: usize,
    members: usize,
    share: usize,
}

impl Share {
    fn new(tasks: usize, members: usize) -> Self {
        let share = if members == 0 { 0 } else { tasks.div_ceil(members) };
        Self {
            tasks,
            members,
            share,
        }
    }

    /// A member has this many now.
    fn reached(&mut self, count: usize) {
        if count == self.share && self.members > 0 {
            *self = Self::new(self.tasks.saturating_sub(count), self.members - 1);
        }
    }
}

/// Members are known by their place in the list, processes by their id.
struct Deal<'a, 'm> {
    members: &'m [AssignorMember<'a>],
    held: Vec<Held<'m>>,
    processes: BTreeMap<&'a str, Vec<usize>>,
    previous_active: BTreeMap<Task<'m>, usize>,
    previous_standby: BTreeMap<Task<'m>, Vec<usize>>,
    active_share: Share,
    share: Share,
}

impl<'a: 'm, 'm> Deal<'a, 'm> {
    fn new(members: &'m [AssignorMember<'a>], active_count: usize, count: usize) -> Self {
        let mut processes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut previous_active = BTreeMap::new();
        let mut previous_standby: BTreeMap<Task<'m>, Vec<usize>> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            processes.entry(member.process_id).or_default().push(index);
            for task in tasks_of(&member.previous.active) {
                previous_active.insert(task, index);
            }
            for task in tasks_of(&member.previous.standby) {
                previous_standby.entry(task).or_default().push(index);
            }
        }
        Self {
            members,
            held: vec![Held::default(); members.len()],
            processes,
            previous_active,
            previous_standby,
            active_share: Share::new(active_count, members.len()),
            share: Share::new(count, members.len()),
        }
    }

    fn deal_active(&mut self, mut tasks: Vec<Task<'m>>) {
        tasks.sort_unstable_by_key(|(of, partition)| (*partition, *of));
        tasks.retain(|task| match self.previous_active.get(task).copied() {
            Some(index) if self.held[index].count() < self.active_share.share => {
                self.give_active(index, *task);
                false
            }
            _ => true,
        });
        tasks.retain(|task| match self.least_loaded_standby(task, false) {
            Some(index) if self.held[index].count() < self.active_share.share => {
                self.give_active(index, *task);
                false
            }
            _ => true,
        });
        // By sub-topology, so that a first assignment gives each member neighbours.
        tasks.sort_unstable();
        for task in tasks {
            if let Some(index) = self.least_loaded(None) {
                self.give_active(index, task);
            }
        }
    }

    fn deal_standby(&mut self, mut tasks: Vec<Task<'m>>, replicas: usize) {
        tasks.sort_unstable_by_key(|(of, partition)| std::cmp::Reverse((*partition, *of)));
        let mut rest = Vec::new();
        for task in tasks {
            for replica in 0..replicas {
                let previous = [
                    self.previous_active
                        .get(&task)
                        .copied()
                        .filter(|index| !self.process_has(*index, &task)),
                    self.least_loaded_standby(&task, true),
                ];
                let room = |index: &usize| self.held[*index].count() < self.share.share;
                match previous.into_iter().flatten().find(room) {
                    Some(index) => self.give_standby(index, task),
                    None => {
                        rest.push((task, replicas - replica));
                        break;
                    }
                }
            }
        }
        rest.sort_unstable_by_key(|(task, _)| std::cmp::Reverse(*task));
        for (task, replicas) in rest {
            for _ in 0..replicas {
                match self.least_loaded(Some(&task)) {
                    Some(index) => self.give_standby(index, task),
                    None => {
                        tracing::debug!(?task, "there are too few processes for all standby replicas");
                        break;
                    }
                }
            }
        }
    }

    fn give_active(&mut self, index: usize, task: Task<'m>) {
        self.held[index].active.insert(task);
        let count = self.held[index].count();
        self.active_share.reached(count);
        self.share.reached(count);
    }

    fn give_standby(&mut self, index: usize, task: Task<'m>) {
        self.held[index].standby.insert(task);
        self.share.reached(self.held[index].count());
    }

    fn process_has(&self, index: usize, task: &Task<'m>) -> bool {
        let members = &self.processes[self.members[index].process_id];
        members.iter().any(|index| {
            let held = &self.held[*index];
            held.active.contains(task) || held.standby.contains(task)
        })
    }

    /// Tasks and members of the process that a member is part of: the load is their ratio.
    fn process_load(&self, members: &[usize]) -> (usize, usize) {
        (
            members.iter().map(|index| self.held[*index].count()).sum(),
            members.len(),
        )
    }

    /// Of those that had a standby of the task, the one with the least to do.
    fn least_loaded_standby(&self, task: &Task<'m>, as_standby: bool) -> Option<usize> {
        let previous = self.previous_standby.get(task)?.iter().copied();
        let free = previous.filter(|index| !as_standby || !self.process_has(*index, task));
        free.min_by(|one, other| {
            let load = |index: usize| self.process_load(&self.processes[self.members[index].process_id]);
            let member = |index: usize| self.held[index].count();
            by_ratio(load(*one), load(*other)).then_with(|| member(*one).cmp(&member(*other)))
        })
    }

    /// The member with the least to do of the process with the least to do, that has no copy of this task.
    fn least_loaded(&self, without: Option<&Task<'m>>) -> Option<usize> {
        let free = self
            .processes
            .values()
            .filter(|members| without.is_none_or(|task| !self.process_has(members[0], task)));
        let process = free.min_by(|one, other| by_ratio(self.process_load(one), self.process_load(other)))?;
        process
            .iter()
            .copied()
            .min_by_key(|index| self.held[*index].count())
    }
}

fn tasks_of(map: &TaskMap) -> impl Iterator<Item = Task<'_>> {
    map.iter()
        .flat_map(|(of, partitions)| partitions.iter().map(|partition| (of.as_str(), *partition)))
}

/// Compares two fractions without dividing.
fn by_ratio(one: (usize, usize), other: (usize, usize)) -> std::cmp::Ordering {
    (one.0 * other.1).cmp(&(other.0 * one.1))
}

#[cfg(test)]
mod tests;
