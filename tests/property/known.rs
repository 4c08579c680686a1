//! What is known to be done in another way than in Kafka Streams. Topologies with it are left out, until it is mended.

use crate::algebra::{Id, JoinKind, Op};

pub(crate) fn differs(ops: &[Op], op: &Op) -> bool {
    match *op {
        Op::Merge { from, other } => is_same_stream(ops, from, other),
        Op::JoinTable { from, table, left } => {
            looks_up_otherwise(ops, from, table) || (left && is_repartitioned(ops, table))
        }
        Op::FilterRows { from, .. } | Op::GroupRows { from, .. } | Op::Suppress { from, .. } => {
            asks_stored_join(ops, from)
        }
        Op::JoinRows {
            from, other, kind, ..
        } => {
            looks_up_otherwise(ops, from, other)
                || looks_up_otherwise(ops, other, from)
                || (kind != JoinKind::Inner && asks_stored_join(ops, from))
                || (kind == JoinKind::Outer && asks_stored_join(ops, other))
        }
        _ => false,
    }
}

/// A stream merged with itself: its records are sent once in Kafka Streams, twice here.
fn is_same_stream(ops: &[Op], one: Id, other: Id) -> bool {
    match (ops[one], ops[other]) {
        (Op::Stream { topic }, Op::Stream { topic: other }) => topic == other,
        _ => one == other,
    }
}

fn looks_up_otherwise(ops: &[Op], from: Id, table: Id) -> bool {
    // A look-up that needs the same store twice at once panics here: of two tables joined that have a store in common.
    let panics = stores(ops, table).is_none();
    // A row that is held back no longer: who looks it up on account of that sees the old one in Kafka Streams, the new one here.
    let mut suppressions = suppressions(ops, table).into_iter();
    panics || suppressions.any(|suppression| is_below(ops, from, suppression))
}

/// The stores in which a table is looked up; `None` if some are needed twice at once.
fn stores(ops: &[Op], table: Id) -> Option<Vec<Id>> {
    match ops[table] {
        Op::FilterRows {
            from, stored: false, ..
        }
        | Op::MapRows {
            from, stored: false, ..
        }
        | Op::Suppress { from, .. } => stores(ops, from),
        Op::JoinRows {
            from,
            other,
            stored: false,
            ..
        } => {
            let (mut left, right) = (stores(ops, from)?, stores(ops, other)?);
            let is_apart = right.iter().all(|store| !left.contains(store));
            left.extend(right);
            is_apart.then_some(left)
        }
        _ => Some(vec![table]),
    }
}

/// The suppressions through which a table is looked up.
fn suppressions(ops: &[Op], table: Id) -> Vec<Id> {
    match ops[table] {
        Op::FilterRows {
            from, stored: false, ..
        }
        | Op::MapRows {
            from, stored: false, ..
        } => suppressions(ops, from),
        Op::JoinRows {
            from,
            other,
            stored: false,
            ..
        } => {
            let (left, right) = (suppressions(ops, from), suppressions(ops, other));
            left.into_iter().chain(right).collect()
        }
        Op::Suppress { from, .. } => suppressions(ops, from).into_iter().chain([table]).collect(),
        _ => Vec::new(),
    }
}

fn is_below(ops: &[Op], id: Id, above: Id) -> bool {
    let mut op = ops[id];
    id == above
        || op
            .parents()
            .into_iter()
            .any(|parent| is_below(ops, *parent, above))
}

/// Repartitions above the table of a left join with a stream: they drop null keys in Kafka Streams, and keep them here.
fn is_repartitioned(ops: &[Op], id: Id) -> bool {
    let mut op = ops[id];
    let repartitions = matches!(
        op,
        Op::Repartition { .. }
            | Op::Map { .. }
            | Op::SelectKey { .. }
            | Op::FlatMap { .. }
            | Op::ToStream { .. }
            | Op::Aggregate { by: Some(_), .. }
    );
    repartitions
        || op
            .parents()
            .into_iter()
            .any(|parent| is_repartitioned(ops, *parent))
}

/// Old values of a join with a store: Kafka Streams asks the joined tables for theirs and joins those, so that a filter among
/// them sends fewer deletions; here they are what is in the store.
fn asks_stored_join(ops: &[Op], table: Id) -> bool {
    match ops[table] {
        Op::FilterRows {
            from, stored: false, ..
        }
        | Op::MapRows {
            from, stored: false, ..
        }
        | Op::Suppress { from, .. } => asks_stored_join(ops, from),
        Op::JoinRows {
            from, other, stored, ..
        } => stored || asks_stored_join(ops, from) || asks_stored_join(ops, other),
        _ => false,
    }
}
