//! All nodes, one after the other: what each sends, and tables looked up as of a position.

use super::graph::{Each, Graph, Node, NodeId, RowJoin, Work};
use super::order::Step;
use super::suppress::{self, Held};
use super::{EVENTS_MAX, Event, Position, Row2, RowKey, sliding, stream_join, tables, windows};
use crate::algebra::{JoinKind, Windows};
use crate::functions::{Text, join, windowed_text, words};

pub(crate) struct Run<'a> {
    graph: &'a Graph,
    /// What each node sends, in order; of sinks: what they write.
    pub(crate) events: Vec<Vec<Event>>,
    /// What suppressions hold back, and when.
    held: Vec<Vec<Held>>,
}

impl<'a> Run<'a> {
    /// `None` if it becomes too much.
    pub(crate) fn of(graph: &'a Graph, steps: &[Step]) -> Option<Self> {
        let mut run = Self {
            graph,
            events: Vec::new(),
            held: vec![Vec::new(); graph.nodes.len()],
        };
        for id in 0..graph.nodes.len() {
            let events = run.node(id, steps);
            if events.len() > EVENTS_MAX {
                return None;
            }
            debug_assert!(events.is_sorted_by_key(|event| &event.at));
            run.events.push(events);
        }
        Some(run)
    }

    pub(crate) fn writes(&self) -> Vec<(String, Event)> {
        let nodes = self.graph.nodes.iter().zip(&self.events);
        let writes = nodes.filter_map(|(node, events)| match &node.work {
            Work::Sink { topic, .. } => Some(events.iter().map(|event| (topic.clone(), event.clone()))),
            _ => None,
        });
        writes.flatten().collect()
    }

    /// What arrives at a node: all that its parents send.
    pub(crate) fn arrivals(&self, id: NodeId) -> Vec<Event> {
        let sent = self.graph.nodes[id]
            .parents
            .iter()
            .flat_map(|parent| &self.events[*parent]);
        let mut arrivals: Vec<Event> = sent
            .map(|event| Event {
                at: event.at.then(id),
                ..event.clone()
            })
            .collect();
        arrivals.sort_by(|one, other| one.at.cmp(&other.at));
        arrivals
    }

    fn node(&mut self, id: NodeId, steps: &[Step]) -> Vec<Event> {
        let arrivals = self.arrivals(id);
        match &self.graph.nodes[id].work {
            Work::Source(topic) => source(id, topic, steps),
            Work::Each(each) => arrivals
                .iter()
                .flat_map(|event| each_sends(each, event))
                .collect(),
            Work::Sink { keeps_null_keys, .. } => {
                let passes = |event: &Event| *keeps_null_keys || event.key.key.is_some();
                arrivals.into_iter().filter(passes).collect()
            }
            Work::Table { .. } => tables::table(&arrivals),
            Work::Aggregate(how) => tables::aggregate(&arrivals, *how),
            Work::Windowed(
                Windows::Time {
                    size_ms,
                    advance_ms,
                    grace_ms,
                },
                how,
            ) => windows::time(&arrivals, (*size_ms, *advance_ms, *grace_ms), *how),
            Work::Windowed(Windows::Session { gap_ms, grace_ms }, how) => {
                windows::session(&arrivals, *gap_ms, *grace_ms, *how)
            }
            Work::Windowed(
                Windows::Sliding {
                    difference_ms,
                    grace_ms,
                },
                how,
            ) => sliding::sliding(&arrivals, *difference_ms, *grace_ms, *how),
            Work::FilterRows {
                takes,
                not,
                stored,
                gets_old,
            } => {
                let keep = |key: &RowKey, value: String| {
                    let value = Some(value);
                    (takes.holds(&key.key, &value) != *not).then_some(value).flatten()
                };
                let all = tables::map(&arrivals, keep, *stored);
                match gets_old {
                    // Who knows what the row was sends no deletion of what was not there.
                    true => all
                        .into_iter()
                        .filter(|event| event.new.is_some() || event.old.is_some())
                        .collect(),
                    false => all,
                }
            }
            Work::MapRows { value, stored } => tables::map(&arrivals, |_, row| value.of(row), *stored),
            Work::Select(by) => tables::select(&arrivals, *by),
            Work::AggregateRows(how) => tables::aggregate_rows(&arrivals, *how),
            Work::JoinTable { table, left } => {
                let joined = arrivals
                    .iter()
                    .filter_map(|event| self.join_table(event, *table, *left));
                joined.collect()
            }
            // What is kept is kept after it was sent: see `kept`.
            Work::Keep => arrivals.iter().map(pass).collect(),
            Work::JoinStream { join, is_left } => {
                let (left, right) = stream_join::both_sides(self, join, id, *is_left);
                if *is_left { left } else { right }
            }
            Work::JoinRows { join, is_left } => {
                let other = if *is_left { join.right } else { join.left };
                let sends = |event: &Event| {
                    let other = self.look_up(other, &event.key, &event.at);
                    tables::join_row(event, other, join.kind, *is_left)
                };
                arrivals.iter().filter_map(sends).collect()
            }
            Work::MergeRows { .. } => arrivals.iter().map(pass).collect(),
            Work::Suppress { until, wait_ms } => {
                let (events, held) = suppress::suppress(&arrivals, *until, *wait_ms);
                self.held[id] = held;
                events
            }
        }
    }

    fn join_table(&self, event: &Event, table: NodeId, left: bool) -> Option<Event> {
        event.new.as_ref()?;
        let row = match event.key.key {
            Some(_) => self.look_up(table, &event.key, &event.at),
            None => None,
        };
        if row.is_none() && !left {
            return None;
        }
        let value = join(event.new.as_deref(), row.as_ref().map(|(row, _)| row.as_str()));
        Some(event.sends_value(0, event.key.key.clone(), value))
    }

    /// The row of a key as of a position. A table without a store is computed from what it is made of.
    pub(crate) fn look_up(&self, table: NodeId, key: &RowKey, at: &Position) -> Option<Row2> {
        let Node { parents, work, .. } = &self.graph.nodes[table];
        match work {
            Work::FilterRows {
                takes,
                not,
                stored: false,
                ..
            } => {
                let (value, time_ms) = self.look_up(parents[0], key, at)?;
                let passes = takes.holds(&key.key, &Some(value.clone())) != *not;
                passes.then_some((value, time_ms))
            }
            Work::MapRows { value, stored: false } => {
                let (row, time_ms) = self.look_up(parents[0], key, at)?;
                Some((value.of(row)?, time_ms))
            }
            Work::MergeRows { join, stored: false } => self.look_up_joined(join, key, at),
            // Whoever looks a suppressed table up sees what was sent.
            Work::Suppress { .. } => match self.held[table].iter().find(|held| held.is_at(key, at)) {
                Some(held) => held.prior.clone().map(|prior| (prior, -1)),
                None => self.look_up(parents[0], key, at),
            },
            Work::Windowed(windows, _) => {
                let row = latest(&self.events[table], key, at);
                row.filter(|_| windows::is_kept(&self.events[table], *windows, key, at))
            }
            _ => latest(&self.events[table], key, at),
        }
    }

    fn look_up_joined(&self, joined: &RowJoin, key: &RowKey, at: &Position) -> Option<Row2> {
        let left = self.look_up(joined.left, key, at);
        let right = self.look_up(joined.right, key, at);
        let exists = match joined.kind {
            JoinKind::Inner => left.is_some() && right.is_some(),
            JoinKind::Left => left.is_some(),
            JoinKind::Outer => left.is_some() || right.is_some(),
        };
        let time_ms = left.iter().chain(&right).map(|(_, time_ms)| *time_ms).max();
        let value = |row: &Option<Row2>| row.as_ref().map(|(value, _)| value.clone());
        let value = join(value(&left).as_deref(), value(&right).as_deref());
        value.zip(time_ms).filter(|_| exists)
    }
}

/// The last row of a key before a position.
fn latest(events: &[Event], key: &RowKey, at: &Position) -> Option<Row2> {
    let last = events.iter().rfind(|event| event.key == *key && event.at < *at)?;
    Some((last.new.clone()?, last.time_ms))
}

fn source(id: NodeId, topic: &str, steps: &[Step]) -> Vec<Event> {
    let taken = steps.iter().enumerate().filter(|(_, step)| step.topic == topic);
    let event = |(number, step): (usize, &Step)| Event {
        at: Position(vec![number, id]),
        key: step.key.clone(),
        new: step.new.clone(),
        old: step.old.clone(),
        time_ms: step.time_ms,
    };
    taken.map(event).collect()
}

fn pass(event: &Event) -> Event {
    event.sends(
        0,
        event.key.clone(),
        (event.new.clone(), event.old.clone()),
        event.time_ms,
    )
}

fn each_sends(each: &Each, event: &Event) -> Vec<Event> {
    let (key, value) = (event.key.key.clone(), event.new.clone());
    let when = |passes: bool| if passes { vec![pass(event)] } else { vec![] };
    let one = |key, value| vec![event.sends_value(0, key, value)];
    let many = |all: Vec<(Option<String>, Text)>| {
        let all = all.into_iter().enumerate();
        all.map(|(number, (key, value))| event.sends_value(number, key, value))
            .collect()
    };
    match each {
        Each::Pass => when(true),
        Each::Filter(takes, not) => when(takes.holds(&key, &value) != *not),
        Each::Branch(earlier, takes) => {
            let taken = earlier.iter().any(|takes| takes.holds(&key, &value));
            when(!taken && takes.is_none_or(|takes| takes.holds(&key, &value)))
        }
        Each::MapValues(map) => one(key, value.and_then(|value| map.of(value))),
        Each::Map(new_key, map) => one(new_key.of(&key, &value), value.and_then(|value| map.of(value))),
        Each::SelectKey(new_key) => one(new_key.of(&key, &value), value),
        Each::FlatMapValues => many(
            words(value)
                .into_iter()
                .map(|word| (key.clone(), Some(word)))
                .collect(),
        ),
        Each::FlatMap => many(
            words(value)
                .into_iter()
                .map(|word| (Some(word), key.clone()))
                .collect(),
        ),
        Each::WindowedText => {
            let span = event.key.span.expect("only of windowed keys");
            one(windowed_text(&key, span.start_ms, span.end_ms), value)
        }
    }
}
