//! Tables: from streams, of other tables, aggregated and joined.

use super::{Event, Row2, RowKey};
use crate::algebra::JoinKind;
use crate::functions::{How, KeyFn, Text, join};

/// A stream as a table: the last record of a key, in the order of the records, whatever their times. Null keys are dropped.
pub(crate) fn table(arrivals: &[Event]) -> Vec<Event> {
    let rows: Vec<Event> = with_keys(arrivals);
    let row = |(index, event): (usize, &Event)| {
        let old = before(&rows, index).and_then(|row| row.new.clone());
        event.sends(0, event.key.clone(), (event.new.clone(), old), event.time_ms)
    };
    rows.iter().enumerate().map(row).collect()
}

/// Each row by itself; `None` deletes it. A table with a store of its own knows its old values from there.
pub(crate) fn map(arrivals: &[Event], map: impl Fn(&RowKey, String) -> Text, stored: bool) -> Vec<Event> {
    let row = |(index, event): (usize, &Event)| {
        let mapped = |value: &Text| map(&event.key, value.clone()?);
        let old = match stored {
            true => before(arrivals, index).and_then(|row| mapped(&row.new)),
            false => mapped(&event.old),
        };
        event.sends(0, event.key.clone(), (mapped(&event.new), old), event.time_ms)
    };
    arrivals.iter().enumerate().map(row).collect()
}

/// All records of a key so far, put together. Null keys and values are dropped. After a null result it begins anew.
///
/// The old value of the first result is the initial value, not null, as in Kafka Streams without a cache.
pub(crate) fn aggregate(arrivals: &[Event], how: How) -> Vec<Event> {
    let records: Vec<Event> = with_keys(arrivals)
        .into_iter()
        .filter(|event| event.new.is_some())
        .collect();
    let result = |(index, event): (usize, &Event)| {
        let earlier: Vec<&Event> = records[..index]
            .iter()
            .filter(|other| other.key == event.key)
            .collect();
        let (new, old, time_ms) = with_one_more(how, &earlier, event);
        event.sends(0, event.key.clone(), (new, old), time_ms)
    };
    records.iter().enumerate().map(result).collect()
}

/// What some records aggregate to together with one more: that, what it was before, and its time.
pub(crate) fn with_one_more(how: How, earlier: &[&Event], event: &Event) -> (Text, Text, i64) {
    let none: (Text, i64) = (None, -1);
    let before = earlier.iter().fold(none, |so_far, event| add(how, so_far, event));
    let (new, time_ms) = add(how, before.clone(), event);
    (new, before.0.or_else(|| initial(how)), time_ms)
}

fn add(how: How, (aggregate, time_ms): (Text, i64), event: &Event) -> (Text, i64) {
    let time_ms = match aggregate {
        Some(_) => time_ms.max(event.time_ms),
        None => event.time_ms,
    };
    (add_value(how, aggregate, event.new.clone()), time_ms)
}

pub(crate) fn initial(how: How) -> Text {
    match how {
        How::Count => Some("0".to_owned()),
        How::Reduce => None,
        How::Aggregate | How::Delete => Some(String::new()),
    }
}

/// An aggregate with one more value; null if there is none yet.
pub(crate) fn add_value(how: How, aggregate: Text, value: Text) -> Text {
    let aggregate = aggregate.or_else(|| initial(how));
    match (how, aggregate) {
        (How::Count, aggregate) => plus(aggregate, 1),
        (How::Reduce, None) => value,
        (_, aggregate) => how.add(aggregate, value),
    }
}

/// The aggregate of two sessions that come together.
pub(crate) fn merged(how: How, aggregate: Text, session: String) -> Text {
    match (how, aggregate) {
        (How::Count, aggregate) => plus(aggregate, session.parse().expect("counts are numbers")),
        (How::Reduce, None) => Some(session),
        // A reducer is what it is merged by.
        (How::Reduce, aggregate) => how.add(aggregate, Some(session)),
        (_, aggregate) => how.merge(aggregate, Some(session)),
    }
}

fn plus(number: Text, more: i64) -> Text {
    let number: i64 = number?.parse().expect("counts are numbers");
    Some((number + more).to_string())
}

/// The rows of a table under the keys of their groups: old and new value in one if the key stays the same, else the old one
/// first. What has no group is left out.
pub(crate) fn select(arrivals: &[Event], by: KeyFn) -> Vec<Event> {
    let halves = |event: &Event| {
        let group = |value: &Text| by.of(&event.key.key, &Some(value.clone()?));
        let (old, new) = (group(&event.old), group(&event.new));
        let sends = |number, group: Option<String>, values| {
            let key = RowKey {
                key: group,
                span: None,
            };
            event.sends(number, key, values, event.time_ms)
        };
        match (old, new) {
            (None, None) => vec![],
            (Some(old), Some(new)) if old == new => {
                vec![sends(0, Some(new), (event.new.clone(), event.old.clone()))]
            }
            (Some(old), None) => vec![sends(0, Some(old), (None, event.old.clone()))],
            (None, Some(new)) => vec![sends(0, Some(new), (event.new.clone(), None))],
            (Some(old), Some(new)) => vec![
                sends(0, Some(old), (None, event.old.clone())),
                sends(1, Some(new), (event.new.clone(), None)),
            ],
        }
    };
    arrivals.iter().flat_map(halves).collect()
}

/// The rows of a group put together: first without the old one, if there is anything yet, then with the new one.
pub(crate) fn aggregate_rows(arrivals: &[Event], how: How) -> Vec<Event> {
    let result = |(index, event): (usize, &Event)| {
        let earlier = arrivals[..index].iter().filter(|other| other.key == event.key);
        let before = earlier.fold((None, -1), |so_far, event| add_change(how, so_far, event));
        let (new, time_ms) = add_change(how, before.clone(), event);
        event.sends(0, event.key.clone(), (new, before.0), time_ms)
    };
    arrivals.iter().enumerate().map(result).collect()
}

fn add_change(how: How, (aggregate, time_ms): (Text, i64), event: &Event) -> (Text, i64) {
    let time_ms = match aggregate {
        Some(_) => time_ms.max(event.time_ms),
        None => event.time_ms,
    };
    let without = match (&event.old, aggregate) {
        (Some(_), Some(aggregate)) if how == How::Count => plus(Some(aggregate), -1),
        (Some(old), Some(aggregate)) => how.leave(Some(aggregate), Some(old.clone())),
        (_, aggregate) => aggregate,
    };
    let with = match (&event.new, without) {
        (None, without) => without,
        (Some(new), without) => match (how, without.or_else(|| initial(how))) {
            (How::Count, aggregate) => plus(aggregate, 1),
            (_, None) => Some(new.clone()),
            (_, aggregate) => how.enter(aggregate, Some(new.clone())),
        },
    };
    (with, time_ms)
}

/// An update of one of two joined tables, with the row of the other one. `None`: nothing is sent.
pub(crate) fn join_row(event: &Event, other: Option<Row2>, kind: JoinKind, is_left: bool) -> Option<Event> {
    // A row has a result: with the other, and without.
    let (with_other, alone) = match (kind, is_left) {
        (JoinKind::Inner, _) => (true, false),
        (JoinKind::Left, true) | (JoinKind::Outer, _) => (true, true),
        (JoinKind::Left, false) => (true, false),
    };
    // The other has a result without this row.
    let other_alone = kind == JoinKind::Outer || (kind == JoinKind::Left && !is_left);
    let nothing_before_and_after = event.new.is_none() && event.old.is_none();
    if other.is_none() && (!alone || nothing_before_and_after) {
        return None;
    }
    let result = |this: &Text| {
        let exists = match (this.is_some(), other.is_some()) {
            (true, true) => with_other,
            (true, false) => alone,
            (false, true) => other_alone,
            (false, false) => false,
        };
        let other = other.as_ref().map(|(value, _)| value.as_str());
        let (left, right) = if is_left {
            (this.as_deref(), other)
        } else {
            (other, this.as_deref())
        };
        if exists { join(left, right) } else { None }
    };
    let time_ms = other
        .as_ref()
        .map_or(event.time_ms, |(_, time_ms)| event.time_ms.max(*time_ms));
    Some(event.sends(
        0,
        event.key.clone(),
        (result(&event.new), result(&event.old)),
        time_ms,
    ))
}

/// The last one of the same key before it.
fn before(events: &[Event], index: usize) -> Option<&Event> {
    events[..index]
        .iter()
        .rfind(|other| other.key == events[index].key)
}

pub(crate) fn with_keys(arrivals: &[Event]) -> Vec<Event> {
    arrivals
        .iter()
        .filter(|event| event.key.key.is_some())
        .cloned()
        .collect()
}
