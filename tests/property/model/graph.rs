//! Operators as nodes: what Kafka Streams makes of each, in the order in which it makes it.
//!
//! A node's number decides its place among the children of its parents. Beside that this decides what is known before any
//! record is: where a stream is repartitioned, which repartitions let null keys through, and which filters get old values.

use std::collections::BTreeMap;

use crate::algebra::{Id, JoinKind, Op, Shape, Until, Windows, Within, shapes, stream_topic, table_topic};
use crate::functions::{How, KeyFn, Predicate, ValueFn};

pub(crate) type NodeId = usize;

pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// For each operator the node that sends what it makes; none for a `split`.
    pub(crate) outputs: Vec<Option<NodeId>>,
}

pub(crate) struct Node {
    pub(crate) parents: Vec<NodeId>,
    pub(crate) work: Work,
    /// Of streams: the key may not be what the stream is partitioned by.
    is_rekeyed: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    Source(String),
    Each(Each),
    /// Writes to a topic that the topology reads.
    Sink {
        topic: String,
        keeps_null_keys: bool,
    },
    /// A stream as a table. `is_stored`: so far in a store.
    Table {
        is_stored: bool,
    },
    Aggregate(How),
    Windowed(Windows, How),
    FilterRows {
        takes: Predicate,
        not: bool,
        stored: bool,
        gets_old: bool,
    },
    MapRows {
        value: ValueFn,
        stored: bool,
    },
    /// The rows of a table under the keys of their groups.
    Select(KeyFn),
    AggregateRows(How),
    JoinTable {
        table: NodeId,
        left: bool,
    },
    /// Keeps one side's records for the other side of a join to find.
    Keep,
    JoinStream {
        join: StreamJoin,
        is_left: bool,
    },
    JoinRows {
        join: RowJoin,
        is_left: bool,
    },
    /// Both sides of a join of tables: what is the joined table.
    MergeRows {
        join: RowJoin,
        stored: bool,
    },
    Suppress {
        until: Until,
        wait_ms: i64,
    },
}

/// What is done to each record of a stream by itself.
#[derive(Clone, Debug)]
pub(crate) enum Each {
    Pass,
    Filter(Predicate, bool),
    /// The predicates of the branches before it, and its own: the default branch has none.
    Branch(Vec<Predicate>, Option<Predicate>),
    MapValues(ValueFn),
    Map(KeyFn, ValueFn),
    SelectKey(KeyFn),
    FlatMapValues,
    FlatMap,
    /// Windowed keys as text.
    WindowedText,
}

/// The nodes that keep the records of both sides, and what is joined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamJoin {
    pub(crate) left: NodeId,
    pub(crate) right: NodeId,
    pub(crate) kind: JoinKind,
    pub(crate) within: Within,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RowJoin {
    pub(crate) left: NodeId,
    pub(crate) right: NodeId,
    pub(crate) kind: JoinKind,
}

impl Graph {
    pub(crate) fn of(ops: &[Op]) -> Self {
        let shapes = shapes(ops).expect("only topologies that can be built are run");
        let mut making = Making {
            graph: Self {
                nodes: Vec::new(),
                outputs: Vec::new(),
            },
            made: Vec::new(),
            sources: BTreeMap::new(),
            joined: BTreeMap::new(),
        };
        for (id, op) in ops.iter().enumerate() {
            let node = making.add(ops, id);
            making.made.push(node);
            let is_stream = !matches!(op, Op::Split { .. });
            debug_assert_eq!(is_stream, shapes[id] != Shape::Split);
            making.graph.outputs.push(is_stream.then_some(node));
        }
        making.graph.keep_null_keys();
        making.graph
    }

    /// A repartition drops null keys, unless a join below it takes them (KIP-962): one that sends records that found none.
    fn keep_null_keys(&mut self) {
        for id in 0..self.nodes.len() {
            if let Work::Source(source) = &self.nodes[id].work
                && self.takes_null_keys(id)
            {
                let source = source.clone();
                for node in &mut self.nodes {
                    if let Work::Sink {
                        topic,
                        keeps_null_keys,
                    } = &mut node.work
                        && *topic == source
                    {
                        *keeps_null_keys = true;
                    }
                }
            }
        }
    }

    /// The node or one below it takes null keys. What is below a topic that is read again is below what writes to it.
    fn takes_null_keys(&self, id: NodeId) -> bool {
        let takes = match &self.nodes[id].work {
            Work::JoinTable { left, .. } => *left,
            Work::JoinStream { join, .. } => join.kind != JoinKind::Inner,
            _ => false,
        };
        let children = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, child)| match &self.nodes[id].work {
                Work::Sink { topic, .. } => matches!(&child.work, Work::Source(source) if source == topic),
                _ => child.parents.contains(&id),
            });
        takes
            || children
                .map(|(child, _)| child)
                .any(|child| self.takes_null_keys(child))
    }

    /// How long the windows of a table stay open after their end.
    fn grace_ms(&self, table: NodeId) -> Option<i64> {
        match self.nodes[table].work {
            Work::Windowed(Windows::Time { grace_ms, .. } | Windows::Sliding { grace_ms, .. }, _) => {
                Some(grace_ms)
            }
            Work::Windowed(Windows::Session { gap_ms, grace_ms }, _) => Some(gap_ms + grace_ms),
            _ => self.nodes[table]
                .parents
                .iter()
                .filter_map(|parent| self.grace_ms(*parent))
                .max(),
        }
    }

    /// Asks a table for old values; tells if it sends them. Without `force`, only a table that is in a store anyway does.
    fn ask_old_values(&mut self, table: NodeId, force: bool) -> bool {
        let parent = self.nodes[table].parents.first().copied();
        match &mut self.nodes[table].work {
            Work::Table { is_stored } => {
                *is_stored |= force;
                *is_stored
            }
            Work::FilterRows {
                stored: true,
                gets_old,
                ..
            } => {
                *gets_old = true;
                true
            }
            Work::FilterRows { .. } => {
                let sends = parent.is_some_and(|parent| self.ask_old_values(parent, force));
                if let Work::FilterRows { gets_old, .. } = &mut self.nodes[table].work {
                    *gets_old |= sends;
                }
                sends
            }
            Work::MapRows { stored: false, .. } | Work::Suppress { .. } => {
                parent.is_some_and(|parent| self.ask_old_values(parent, force))
            }
            Work::MergeRows { join, .. } => {
                let (left, right) = (join.left, join.right);
                self.ask_old_values(left, true);
                self.ask_old_values(right, true)
            }
            _ => true,
        }
    }

    /// A table that is looked up is in a store, or what it is made of is.
    fn store(&mut self, table: NodeId) {
        let parent = self.nodes[table].parents.first().copied();
        match &mut self.nodes[table].work {
            Work::Table { is_stored } => *is_stored = true,
            Work::FilterRows { stored: false, .. }
            | Work::MapRows { stored: false, .. }
            | Work::Suppress { .. } => {
                if let Some(parent) = parent {
                    self.store(parent);
                }
            }
            _ => {}
        }
    }
}

struct Making {
    graph: Graph,
    /// The node of each operator.
    made: Vec<NodeId>,
    sources: BTreeMap<String, NodeId>,
    /// Streams that were repartitioned for a join: the next join uses the same topic.
    joined: BTreeMap<Id, NodeId>,
}

impl Making {
    fn node(&mut self, parents: &[NodeId], work: Work) -> NodeId {
        let is_rekeyed = match &work {
            Work::Source(_) => false,
            Work::Each(Each::Map(..) | Each::SelectKey(_) | Each::FlatMap | Each::WindowedText) => true,
            Work::Each(_) => parents.iter().any(|parent| self.graph.nodes[*parent].is_rekeyed),
            _ => false,
        };
        let mut parents = parents.to_vec();
        parents.dedup();
        self.graph.nodes.push(Node {
            parents,
            work,
            is_rekeyed,
        });
        self.graph.nodes.len() - 1
    }

    fn source(&mut self, topic: String) -> NodeId {
        match self.sources.get(&topic) {
            Some(source) => *source,
            None => {
                let source = self.node(&[], Work::Source(topic.clone()));
                self.sources.insert(topic, source);
                source
            }
        }
    }

    /// Through a topic, and read again.
    fn repartitioned(&mut self, from: NodeId) -> NodeId {
        let topic = format!("repartition-{}", self.graph.nodes.len());
        self.node(
            &[from],
            Work::Sink {
                topic: topic.clone(),
                keeps_null_keys: false,
            },
        );
        self.source(topic)
    }

    fn partitioned(&mut self, from: NodeId) -> NodeId {
        match self.graph.nodes[from].is_rekeyed {
            true => self.repartitioned(from),
            false => from,
        }
    }

    fn partitioned_for_join(&mut self, from: Id) -> NodeId {
        if let Some(source) = self.joined.get(&from) {
            return *source;
        }
        let source = self.partitioned(self.made[from]);
        self.joined.insert(from, source);
        source
    }

    fn add(&mut self, ops: &[Op], id: Id) -> NodeId {
        let each = |making: &mut Self, from: Id, each| making.node(&[making.made[from]], Work::Each(each));
        match ops[id] {
            Op::Stream { topic } => self.source(stream_topic(topic)),
            Op::Table { topic, stored } => {
                let source = self.source(table_topic(topic));
                self.node(&[source], Work::Table { is_stored: stored })
            }
            Op::Filter { from, takes, not } => each(self, from, Each::Filter(takes, not)),
            Op::MapValues { from, value } => each(self, from, Each::MapValues(value)),
            Op::Map { from, key, value } => each(self, from, Each::Map(key, value)),
            Op::SelectKey { from, key } => each(self, from, Each::SelectKey(key)),
            Op::FlatMapValues { from } => each(self, from, Each::FlatMapValues),
            Op::FlatMap { from } => each(self, from, Each::FlatMap),
            Op::Split { from } => each(self, from, Each::Pass),
            Op::Branch { split, takes } => {
                let earlier = ops[..id].iter().filter_map(|op| match op {
                    Op::Branch { split: of, takes } if *of == split => *takes,
                    _ => None,
                });
                each(self, split, Each::Branch(earlier.collect(), takes))
            }
            Op::Merge { from, other } => {
                self.node(&[self.made[from], self.made[other]], Work::Each(Each::Pass))
            }
            Op::Repartition { from } => self.repartitioned(self.made[from]),
            Op::ToTable { from, stored } => {
                let from = self.partitioned(self.made[from]);
                self.node(&[from], Work::Table { is_stored: stored })
            }
            Op::ToStream { from } => {
                let is_windowed = self.graph.grace_ms(self.made[from]).is_some()
                    && matches!(shapes(ops).expect("checked")[from], Shape::Windowed(_));
                let stream = each(self, from, Each::Pass);
                match is_windowed {
                    true => self.node(&[stream], Work::Each(Each::WindowedText)),
                    false => stream,
                }
            }
            Op::Aggregate {
                from,
                by,
                how,
                windows,
            } => {
                let from = match by {
                    Some(by) => each(self, from, Each::SelectKey(by)),
                    None => self.made[from],
                };
                let from = self.partitioned(from);
                let work = windows.map_or(Work::Aggregate(how), |windows| Work::Windowed(windows, how));
                self.node(&[from], work)
            }
            Op::JoinTable { from, table, left } => {
                let (from, table) = (self.partitioned_for_join(from), self.made[table]);
                self.graph.store(table);
                self.node(&[from], Work::JoinTable { table, left })
            }
            Op::JoinStream {
                from,
                other,
                kind,
                within,
            } => self.join_streams(from, other, kind, within),
            Op::FilterRows {
                from,
                takes,
                not,
                stored,
            } => {
                let from = self.made[from];
                let gets_old = self.graph.ask_old_values(from, false);
                self.node(
                    &[from],
                    Work::FilterRows {
                        takes,
                        not,
                        stored,
                        gets_old,
                    },
                )
            }
            Op::MapRows { from, value, stored } => {
                self.node(&[self.made[from]], Work::MapRows { value, stored })
            }
            Op::GroupRows { from, by, how } => {
                let from = self.made[from];
                self.graph.ask_old_values(from, true);
                let select = self.node(&[from], Work::Select(by));
                let grouped = self.repartitioned(select);
                self.node(&[grouped], Work::AggregateRows(how))
            }
            Op::JoinRows {
                from,
                other,
                kind,
                stored,
            } => self.join_rows(self.made[from], self.made[other], kind, stored),
            Op::Suppress { from, until } => {
                let from = self.made[from];
                self.graph.ask_old_values(from, true);
                let wait_ms = match until {
                    Until::WindowCloses => self.graph.grace_ms(from).expect("only of windowed tables"),
                    Until::TimeLimit { wait_ms, .. } => wait_ms,
                };
                self.node(&[from], Work::Suppress { until, wait_ms })
            }
        }
    }

    fn join_streams(&mut self, from: Id, other: Id, kind: JoinKind, within: Within) -> NodeId {
        let (left, right) = (self.partitioned_for_join(from), self.partitioned_for_join(other));
        let (left, right) = (self.node(&[left], Work::Keep), self.node(&[right], Work::Keep));
        let join = StreamJoin {
            left,
            right,
            kind,
            within,
        };
        let this = self.node(&[left], Work::JoinStream { join, is_left: true });
        let that = self.node(&[right], Work::JoinStream { join, is_left: false });
        self.node(&[this, that], Work::Each(Each::Pass))
    }

    fn join_rows(&mut self, left: NodeId, right: NodeId, kind: JoinKind, stored: bool) -> NodeId {
        if kind != JoinKind::Inner {
            self.graph.ask_old_values(left, true);
        }
        if kind == JoinKind::Outer {
            self.graph.ask_old_values(right, true);
        }
        self.graph.store(left);
        self.graph.store(right);
        let join = RowJoin { left, right, kind };
        let this = self.node(&[left], Work::JoinRows { join, is_left: true });
        let that = self.node(&[right], Work::JoinRows { join, is_left: false });
        self.node(&[this, that], Work::MergeRows { join, stored })
    }
}
