//! Topologies and inputs as plain data, and how they are printed.
//!
//! A topology is a list of operators in the order in which they are declared. Each is called by its place in the list, and
//! names those that it works on, which come before it.

use std::fmt;

use crate::functions::{How, Key, KeyFn, Predicate, Text, ValueFn};

/// An operator's place in its topology.
pub(crate) type Id = usize;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) ops: Vec<Op>,
    pub(crate) input: Vec<Input>,
}

/// A record that is piped in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) topic: String,
    pub(crate) key: Key,
    pub(crate) value: Text,
    pub(crate) at_ms: i64,
}

/// `stored`: with a store of its own, of a name that the user gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Stream {
        topic: usize,
    },
    Table {
        topic: usize,
        stored: bool,
    },
    Filter {
        from: Id,
        takes: Predicate,
        not: bool,
    },
    MapValues {
        from: Id,
        value: ValueFn,
    },
    Map {
        from: Id,
        key: KeyFn,
        value: ValueFn,
    },
    SelectKey {
        from: Id,
        key: KeyFn,
    },
    FlatMapValues {
        from: Id,
    },
    FlatMap {
        from: Id,
    },
    Merge {
        from: Id,
        other: Id,
    },
    Split {
        from: Id,
    },
    /// `None`: the default branch.
    Branch {
        split: Id,
        takes: Option<Predicate>,
    },
    Repartition {
        from: Id,
    },
    ToTable {
        from: Id,
        stored: bool,
    },
    ToStream {
        from: Id,
    },
    /// `by`: of `group_by`, else it is `group_by_key`.
    Aggregate {
        from: Id,
        by: Option<KeyFn>,
        how: How,
        windows: Option<Windows>,
    },
    JoinTable {
        from: Id,
        table: Id,
        left: bool,
    },
    JoinStream {
        from: Id,
        other: Id,
        kind: JoinKind,
        within: Within,
    },
    FilterRows {
        from: Id,
        takes: Predicate,
        not: bool,
        stored: bool,
    },
    MapRows {
        from: Id,
        value: ValueFn,
        stored: bool,
    },
    GroupRows {
        from: Id,
        by: KeyFn,
        how: How,
    },
    JoinRows {
        from: Id,
        other: Id,
        kind: JoinKind,
        stored: bool,
    },
    Suppress {
        from: Id,
        until: Until,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Windows {
    Time {
        size_ms: i64,
        advance_ms: i64,
        grace_ms: i64,
    },
    Session {
        gap_ms: i64,
        grace_ms: i64,
    },
    Sliding {
        difference_ms: i64,
        grace_ms: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Outer,
}

/// How far the times of joined records may be apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Within {
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) grace_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Until {
    WindowCloses,
    /// At most so many rows are held back, if that is limited.
    TimeLimit {
        wait_ms: i64,
        rows_max: Option<usize>,
    },
}

/// What an operator makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Stream,
    Split,
    Table,
    /// A table of windowed keys.
    Windowed(Windows),
}

pub(crate) fn stream_topic(topic: usize) -> String {
    format!("stream-{topic}")
}

pub(crate) fn table_topic(topic: usize) -> String {
    format!("table-{topic}")
}

impl Op {
    /// The operators that this one works on.
    pub(crate) fn parents(&mut self) -> Vec<&mut Id> {
        match self {
            Self::Stream { .. } | Self::Table { .. } => vec![],
            Self::Filter { from, .. }
            | Self::MapValues { from, .. }
            | Self::Map { from, .. }
            | Self::SelectKey { from, .. }
            | Self::FlatMapValues { from }
            | Self::FlatMap { from }
            | Self::Split { from }
            | Self::Branch { split: from, .. }
            | Self::Repartition { from }
            | Self::ToTable { from, .. }
            | Self::ToStream { from }
            | Self::Aggregate { from, .. }
            | Self::FilterRows { from, .. }
            | Self::MapRows { from, .. }
            | Self::GroupRows { from, .. }
            | Self::Suppress { from, .. } => vec![from],
            Self::Merge { from, other }
            | Self::JoinTable {
                from, table: other, ..
            }
            | Self::JoinStream { from, other, .. }
            | Self::JoinRows { from, other, .. } => vec![from, other],
        }
    }
}

/// What each operator makes; `None` if the topology is not one that can be built.
pub(crate) fn shapes(ops: &[Op]) -> Option<Vec<Shape>> {
    let mut shapes: Vec<Shape> = Vec::new();
    for (id, op) in ops.iter().enumerate() {
        let mut with_parents = *op;
        let parents = with_parents.parents();
        let parents = parents.iter().map(|parent| shapes.get(**parent).copied());
        let parents: Vec<Shape> = parents.collect::<Option<_>>()?;
        shapes.push(shape(op, &parents)?);
        let again = ops[..id].iter().any(|earlier| match (op, earlier) {
            (Op::Table { topic, .. }, Op::Table { topic: other, .. }) => topic == other,
            // Nothing comes after the default branch.
            (Op::Branch { split, .. }, Op::Branch { split: other, takes }) => {
                split == other && takes.is_none()
            }
            _ => false,
        });
        if again {
            return None;
        }
    }
    Some(shapes)
}

fn shape(op: &Op, parents: &[Shape]) -> Option<Shape> {
    use Shape::{Split, Stream, Table, Windowed};
    Some(match (op, parents) {
        (Op::Stream { .. }, []) | (Op::Branch { .. }, [Split]) => Stream,
        (Op::Table { .. }, []) => Table,
        (Op::Split { .. }, [Stream]) => Split,
        (Op::ToStream { .. }, [Table | Windowed(_)]) => Stream,
        (Op::Merge { .. } | Op::JoinStream { .. }, [Stream, Stream]) => Stream,
        (Op::JoinTable { .. }, [Stream, Table]) => Stream,
        (Op::ToTable { .. }, [Stream]) => Table,
        (Op::Aggregate { windows, .. }, [Stream]) => windows.map_or(Table, Windowed),
        (Op::GroupRows { .. }, [Table | Windowed(_)]) => Table,
        (Op::JoinRows { .. }, [one, other]) if one == other && matches!(one, Table | Windowed(_)) => *one,
        (
            Op::Suppress {
                until: Until::WindowCloses,
                ..
            },
            [Windowed(windows)],
        ) => Windowed(*windows),
        (
            Op::Suppress {
                until: Until::TimeLimit { .. },
                ..
            },
            [table @ (Table | Windowed(_))],
        ) => *table,
        (Op::FilterRows { .. } | Op::MapRows { .. }, [table @ (Table | Windowed(_))]) => *table,
        (
            Op::Filter { .. }
            | Op::MapValues { .. }
            | Op::Map { .. }
            | Op::SelectKey { .. }
            | Op::FlatMapValues { .. }
            | Op::FlatMap { .. }
            | Op::Repartition { .. },
            [Stream],
        ) => Stream,
        _ => return None,
    })
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "topology:")?;
        for (id, op) in self.ops.iter().enumerate() {
            writeln!(f, "  {id}: {op:?}")?;
        }
        writeln!(f, "input:")?;
        for (number, record) in self.input.iter().enumerate() {
            let Input {
                topic,
                key,
                value,
                at_ms,
            } = record;
            writeln!(f, "  {number}: {topic} {key:?} {value:?} at {at_ms}")?;
        }
        Ok(())
    }
}

impl Case {
    /// The topics that it reads; one that several operators read, that often.
    pub(crate) fn topics(&self) -> Vec<String> {
        let topics = self.ops.iter().filter_map(|op| match op {
            Op::Stream { topic } => Some(stream_topic(*topic)),
            Op::Table { topic, .. } => Some(table_topic(*topic)),
            _ => None,
        });
        topics.collect()
    }
}
