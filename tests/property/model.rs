//! What a topology does to its input, from the definitions: a naive interpreter over whole lists.
//!
//! It keeps no stores and processes nothing record by record: each operator is a function from all that reaches it to all
//! that it sends, and looks things up by searching those lists. Slow, and as plain as can be.
//!
//! What makes that possible are positions. Kafka Streams processes a record to its end, depth-first, before it takes the
//! next one, so that everything that happens has a place in one total order: the number of the record that was taken, then
//! the path from there, by turns a node and how many it had sent before. Positions are compared from the left, what comes
//! before its own consequences; a table as of a position is what was sent at smaller ones.
//!
//! `graph` turns operators into nodes, `order` finds in which order records are taken where a topology writes to topics that
//! it reads itself, and `run` does the nodes one after the other.

mod graph;
mod order;
mod run;
mod sliding;
mod stream_join;
mod suppress;
mod tables;
mod windows;

use crate::algebra::Case;
use crate::build::Row;
use crate::functions::{Key, Text, windowed_text};

/// A place in the order of all that happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(Vec<usize>);

/// Something that is sent, or that arrives. Of a stream: key and value; of a table: key, new and old value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    at: Position,
    key: RowKey,
    new: Text,
    old: Text,
    time_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowKey {
    key: Key,
    span: Option<Span>,
}

/// The window of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start_ms: i64,
    end_ms: i64,
    is_session: bool,
}

/// A value and its time.
type Row2 = (String, i64);

/// The model's work grows with the square of this and more.
const EVENTS_MAX: usize = 400;

/// What comes out of each operator, in order. `None`: too much, of joins of joins, or the like.
pub(crate) fn expected(case: &Case) -> Option<Vec<Vec<Row>>> {
    let graph = graph::Graph::of(&case.ops);
    let (steps, run) = order::all_steps(&graph, &case.input)?;
    let row = |event: &Event| {
        let key = match event.key.span {
            Some(span) => windowed_text(&event.key.key, span.start_ms, span.end_ms),
            None => event.key.key.clone(),
        };
        (steps[event.at.0[0]].input, key, event.new.clone(), event.time_ms)
    };
    let outputs = graph.outputs.iter().map(|output| match output {
        Some(node) => run.events[*node].iter().map(row).collect(),
        None => Vec::new(),
    });
    Some(outputs.collect())
}

impl Position {
    fn then(&self, next: usize) -> Self {
        let mut path = self.0.clone();
        path.push(next);
        Self(path)
    }
}

impl Event {
    /// What a node sends at this event: the how manieth, key, new and old value, time.
    fn sends(&self, number: usize, key: RowKey, (new, old): (Text, Text), time_ms: i64) -> Self {
        let at = self.at.then(number);
        Self {
            at,
            key,
            new,
            old,
            time_ms,
        }
    }

    /// As [`sends`](Self::sends), of a stream.
    fn sends_value(&self, number: usize, key: Key, value: Text) -> Self {
        self.sends(number, RowKey { key, span: None }, (value, None), self.time_ms)
    }
}

impl RowKey {
    /// As it is written: this decides the order of keys.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.key.clone().unwrap_or_default().into_bytes();
        if let Some(span) = self.span {
            if span.is_session {
                bytes.extend(span.end_ms.to_be_bytes());
            }
            bytes.extend(span.start_ms.to_be_bytes());
        }
        bytes
    }
}
