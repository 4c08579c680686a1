//! Who runs which task: a pure function of the topology's tasks and the group's members.
//!
//! Tasks go first to the member that ran them before, as long as the load stays even; the rest go to the least loaded
//! member, in task order. Same input, same output, on every member.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::error::LogError;
use crate::log::{LogResult, TopicPartition};

/// A task: a sub-topology over one partition of its topics. Written `0_3`, as Kafka does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The sub-topology.
    pub subtopology: u32,
    /// The partition.
    pub partition: i32,
}

impl Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

impl FromStr for TaskId {
    type Err = LogError;

    fn from_str(text: &str) -> LogResult<Self> {
        let parse = || {
            let (subtopology, partition) = text.split_once('_')?;
            Some(Self {
                subtopology: subtopology.parse().ok()?,
                partition: partition.parse().ok()?,
            })
        };
        parse().ok_or_else(|| LogError::invalid(format!("`{text}` is not a task id such as 0_3")))
    }
}

/// Tasks, and the partitions each reads.
pub type Tasks = BTreeMap<TaskId, Vec<TopicPartition>>;

/// The tasks of an application and the partitions each reads.
///
/// Where topics are read by a pattern, there are more tasks as there are more topics, and members learn of them one after the
/// other: see [`growing`](Self::growing).
#[derive(Debug, Default)]
pub struct Assignor {
    tasks: RwLock<Arc<Tasks>>,
    grows: bool,
}

/// A member as the group's leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// What its [`Assignor::subscription`] wrote.
    pub subscription: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    tasks: Vec<String>,
}

const WIRE_VERSION: u32 = 1;

impl Assignor {
    /// Over these tasks.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self {
            tasks: RwLock::new(Arc::new(tasks)),
            grows: false,
        }
    }

    /// Over these tasks, of which there may be more. Those that this member does not know yet are no error.
    #[must_use]
    pub fn growing(tasks: Tasks) -> Self {
        Self {
            grows: true,
            ..Self::new(tasks)
        }
    }

    /// All tasks and what they read.
    #[must_use]
    pub fn tasks(&self) -> Arc<Tasks> {
        Arc::clone(&self.tasks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with these tasks.
    pub fn replace(&self, tasks: Tasks) {
        *self.tasks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tasks);
    }

    /// What a member says of itself when it joins: the tasks it runs or has state of.
    #[must_use]
    pub fn subscription(&self, owned: &[TaskId]) -> Vec<u8> {
        encode(owned)
    }

    /// Assigns all tasks; one answer a member, in the members' order, for [`decode`](Self::decode).
    ///
    /// # Errors
    /// If a member's subscription cannot be read.
    pub fn assign(&self, members: &[GroupMember]) -> LogResult<Vec<Vec<u8>>> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|a, b| members[*a].member_id.cmp(&members[*b].member_id));
        let mut assigned: Vec<Vec<TaskId>> = vec![Vec::new(); members.len()];
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let tasks = self.tasks();
        let quota = tasks.len().div_ceil(members.len());
        let mut open: BTreeSet<TaskId> = tasks.keys().copied().collect();
        for &member in &order {
            for task in decode(&members[member].subscription)? {
                if assigned[member].len() < quota && open.remove(&task) {
                    assigned[member].push(task);
                }
            }
        }
        for task in open {
            let least = order.iter().copied().min_by_key(|&member| assigned[member].len());
            assigned[least.expect("there is a member: checked above")].push(task);
        }
        Ok(assigned
            .iter_mut()
            .map(|tasks| {
                tasks.sort_unstable();
                encode(tasks)
            })
            .collect())
    }

    /// Reads what [`assign`](Self::assign) wrote for this member.
    ///
    /// # Errors
    /// If it cannot be read, or names a task that this topology does not have.
    pub fn decode(&self, assignment: &[u8]) -> LogResult<Vec<TaskId>> {
        let tasks = decode(assignment)?;
        if !self.grows {
            self.check_known(&tasks)?;
        }
        Ok(tasks)
    }

    /// That these are all tasks of the topology.
    ///
    /// # Errors
    /// If one is not.
    pub fn check_known(&self, tasks: &[TaskId]) -> LogResult<()> {
        let known = self.tasks();
        match tasks.iter().find(|task| !known.contains_key(task)) {
            Some(task) => Err(LogError::invalid(format!(
                "task {task} was assigned, which this topology does not have: instances of one application must run the same topology"
            ))),
            None => Ok(()),
        }
    }

    /// The tasks whose partitions are all among these: for group protocols that hand out partitions.
    ///
    /// # Errors
    /// If a task's partitions were handed to different members. Of a growing topology they may be, until all members know
    /// the same topics: the task is then left out, with a warning.
    pub fn tasks_of(&self, partitions: &[TopicPartition]) -> LogResult<Vec<TaskId>> {
        let mine: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let mut tasks = Vec::new();
        for (task, inputs) in self.tasks().iter() {
            match inputs.iter().filter(|input| mine.contains(input)).count() {
                0 => {}
                n if n == inputs.len() => tasks.push(*task),
                _ if self.grows => tracing::warn!(
                    %task,
                    "not run for now: its partitions were assigned to different members, which do not know the same topics yet"
                ),
                _ => {
                    return Err(LogError::invalid(format!(
                        "the partitions of task {task} were assigned to different members; give its topics equal partition counts"
                    )));
                }
            }
        }
        Ok(tasks)
    }
}

fn encode(tasks: &[TaskId]) -> Vec<u8> {
    let wire = Wire {
        version: WIRE_VERSION,
        tasks: tasks.iter().map(ToString::to_string).collect(),
    };
    serde_json::to_vec(&wire).expect("a struct of numbers and text is always JSON")
}

fn decode(bytes: &[u8]) -> LogResult<Vec<TaskId>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let wire: Wire = serde_json::from_slice(bytes)
        .map_err(|error| LogError::failed("reading a task assignment of the group", error))?;
    if wire.version > WIRE_VERSION {
        return Err(LogError::invalid(format!(
            "an instance of this application speaks assignment version {}, this one {WIRE_VERSION}: upgrade this instance",
            wire.version
        )));
    }
    wire.tasks.iter().map(|task| task.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignor(tasks: u32) -> Assignor {
        let tasks = (0..tasks)
            .map(|n| {
                (
                    TaskId {
                        subtopology: 0,
                        partition: n as i32,
                    },
                    vec![TopicPartition::new("t", n as i32)],
                )
            })
            .collect();
        Assignor::new(tasks)
    }

    fn member(assignor: &Assignor, id: &str, owned: &[&str]) -> GroupMember {
        let owned: Vec<TaskId> = owned.iter().map(|task| task.parse().unwrap()).collect();
        GroupMember {
            member_id: id.to_owned(),
            subscription: assignor.subscription(&owned),
        }
    }

    fn check(tasks: u32, members: &[(&str, &[&str])], expected: &[&str]) {
        let assignor = assignor(tasks);
        let members: Vec<_> = members
            .iter()
            .map(|(id, owned)| member(&assignor, id, owned))
            .collect();
        let assigned: Vec<String> = assignor
            .assign(&members)
            .unwrap()
            .iter()
            .map(|bytes| {
                let tasks = assignor.decode(bytes).unwrap();
                tasks
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(assigned, expected);
    }

    #[test]
    fn spreads_tasks_evenly() {
        check(5, &[("b", &[]), ("a", &[])], &["0_1 0_3", "0_0 0_2 0_4"]);
    }

    #[test]
    fn keeps_tasks_where_they_were_up_to_an_even_share() {
        check(
            4,
            &[("a", &["0_0", "0_1", "0_2", "0_3"]), ("b", &[])],
            &["0_0 0_1", "0_2 0_3"],
        );
        check(3, &[("a", &["0_2"]), ("b", &["0_0"])], &["0_1 0_2", "0_0"]);
    }

    #[test]
    fn a_task_that_two_claim_goes_to_one() {
        check(
            2,
            &[("a", &["0_0", "0_1"]), ("b", &["0_0", "0_1"])],
            &["0_0", "0_1"],
        );
    }

    #[test]
    fn a_task_split_over_members_is_an_error() {
        let task = TaskId {
            subtopology: 0,
            partition: 0,
        };
        let inputs = vec![TopicPartition::new("a", 0), TopicPartition::new("b", 0)];
        let assignor = Assignor::new(BTreeMap::from([(task, inputs.clone())]));
        assert_eq!(assignor.tasks_of(&inputs).unwrap(), [task]);
        assert!(assignor.tasks_of(&inputs[..1]).is_err());
    }
}
