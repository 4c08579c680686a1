//! Who shall read what: the assignors of the broker, pure functions of members and topics.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::member::Assignment;

/// A member as an assignor sees it.
#[derive(Debug)]
pub(super) struct AssignorMember<'a> {
    pub(super) member_id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    /// Ids of the topics it reads, all of which exist.
    pub(super) topics: BTreeSet<Uuid>,
    /// Its target until now.
    pub(super) previous: &'a Assignment,
}

/// How partitions are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// As even as possible, and as little changed as possible.
    Uniform,
    /// Of every topic neighbouring partitions, so that topics of one size are assigned alike.
    Range,
}

impl Assignor {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Assigns every partition of every topic that anybody reads to one member that reads it. Answers every member.
    pub(super) fn assign<'a>(
        self,
        members: &[AssignorMember<'a>],
        partition_count: &dyn Fn(Uuid) -> i32,
    ) -> BTreeMap<&'a str, Assignment> {
        match self {
            Self::Uniform => uniform::assign(members, partition_count),
            Self::Range => range::assign(members, partition_count),
        }
    }
}

#[cfg(test)]
mod tests;
