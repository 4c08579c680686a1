//! Aggregations by sliding windows.
//!
//! A window goes from its start for the time difference, both ends included. A record is added to those that it falls into,
//! and may make others: its left window, which ends with it; its right window, which begins just after it, if that holds
//! any; and the right window of the record before it. A window that is made begins with the records of a neighbour, which
//! are the same: but if records were late, the neighbour may lack some, and then so does the window. That is as in Kafka
//! Streams.

use super::tables::{add_value, with_keys, with_one_more};
use super::windows::{stream_time_ms, windowed};
use super::{Event, Span};
use crate::functions::{How, Text};

#[derive(Clone)]
struct Window<'a> {
    start_ms: i64,
    records: Vec<&'a Event>,
}

/// A window that a record changes or makes: what it was, or begins with; and whether the record is added to it.
type Changed<'a> = (Window<'a>, bool);

/// A record is late if even its right window has closed: ended before the largest timestamp so far, less the grace. If only
/// some have, it is kept out of those. Null keys and values are dropped.
pub(crate) fn sliding(arrivals: &[Event], difference_ms: i64, grace_ms: i64, how: How) -> Vec<Event> {
    let records = with_keys(arrivals)
        .into_iter()
        .filter(|event| event.new.is_some());
    let records: Vec<Event> = records.collect();
    let mut windows: Vec<Window<'_>> = Vec::new();
    let mut sent = Vec::new();
    for (index, event) in records.iter().enumerate() {
        let close_ms = stream_time_ms(&records, index) - grace_ms;
        if event.time_ms + difference_ms < close_ms {
            continue;
        }
        // What is older is not found: by time, and by how far back is looked.
        let latest_start_ms = windows.iter().map(|window| window.start_ms).max().unwrap_or(0);
        let from_ms =
            (event.time_ms - 2 * difference_ms).max(latest_start_ms - 2 * difference_ms - grace_ms + 1);
        let is_found = |window: &&Window<'_>| window.is_of(event) && window.start_ms >= from_ms;
        let mut found: Vec<Window<'_>> = windows.iter().filter(is_found).cloned().collect();
        found.sort_by_key(|window| window.start_ms);
        let changes = match event.time_ms < difference_ms {
            true => early(&found, event, difference_ms),
            false => changes(&found, event, difference_ms),
        };
        let open = changes
            .into_iter()
            .filter(|(window, _)| window.start_ms + difference_ms >= close_ms);
        for (number, (mut window, is_added)) in open.enumerate() {
            let (start_ms, end_ms) = (window.start_ms, window.start_ms + difference_ms);
            let (values, time_ms) = match is_added {
                true => {
                    let (new, old, time_ms) = with_one_more(how, &window.records, event);
                    ((new, old), time_ms)
                }
                false => (aggregate(how, &window.records), window.latest_ms()),
            };
            let key = windowed(
                event,
                Span {
                    start_ms,
                    end_ms,
                    is_session: false,
                },
            );
            sent.push(event.sends(number, key, values, time_ms));
            if is_added {
                window.records.push(event);
            }
            windows.retain(|other| other.start_ms != start_ms || !other.is_of(event));
            windows.push(window);
        }
    }
    sent
}

/// The windows that a record changes: those it falls into, the latest first, and then those that it makes.
fn changes<'a>(found: &[Window<'a>], event: &Event, difference_ms: i64) -> Vec<Changed<'a>> {
    let at_ms = event.time_ms;
    let ends_before = |window: &&Window<'_>| window.start_ms + difference_ms < at_ms;
    let holds = |window: &&Window<'_>| window.start_ms <= at_ms && !ends_before(window);
    let there = found.iter().rev().filter(holds);
    let mut changes: Vec<Changed<'a>> = there.clone().map(|window| (window.clone(), true)).collect();
    let left = found
        .iter()
        .find(|window| window.start_ms + difference_ms == at_ms);
    if left.is_some_and(|left| left.latest_ms() == at_ms) {
        // There was a record at this time already, and made them.
        return changes;
    }
    let before = found.iter().rev().find(ends_before);
    let before_ms = before.or(left).map(Window::latest_ms);
    let behind = before_ms.and_then(|before_ms| behind(found, before_ms));
    changes.extend(behind.filter(|(window, _)| !ends_before(&window)));
    if left.is_none() {
        // If it is also the one behind the record before, it is made twice.
        let start_ms = at_ms - difference_ms;
        let records = match before {
            Some(before) if before.latest_ms() >= start_ms => before.records.clone(),
            _ => Vec::new(),
        };
        changes.push((Window { start_ms, records }, true));
    }
    let neighbour = there
        .into_iter()
        .find(|window| window.start_ms + difference_ms > at_ms);
    changes.extend(neighbour.and_then(|neighbour| right(found, neighbour, event)));
    changes
}

/// The same of a record so early that its left window would begin before 0. Such records share the window from 0 on, which
/// is changed last; the others earliest first.
fn early<'a>(found: &[Window<'a>], event: &Event, difference_ms: i64) -> Vec<Changed<'a>> {
    let at_ms = event.time_ms;
    let first = found.iter().find(|window| window.start_ms == 0);
    let there = found
        .iter()
        .filter(|window| 0 < window.start_ms && window.start_ms <= at_ms);
    let mut changes: Vec<Changed<'a>> = there.clone().map(|window| (window.clone(), true)).collect();
    debug_assert!(
        there
            .clone()
            .all(|window| window.start_ms + difference_ms >= at_ms)
    );
    let neighbour = there.clone().next_back().or(first);
    changes.extend(neighbour.and_then(|neighbour| right(found, neighbour, event)));
    let before_ms = first
        .map(Window::latest_ms)
        .filter(|before_ms| *before_ms < at_ms);
    changes.extend(before_ms.and_then(|before_ms| behind(found, before_ms)));
    let first = first.cloned().unwrap_or(Window {
        start_ms: 0,
        records: Vec::new(),
    });
    changes.push((first, true));
    changes
}

/// The right window of the record before, if it is not there yet: then it holds no other.
fn behind<'a>(found: &[Window<'a>], before_ms: i64) -> Option<Changed<'a>> {
    let start_ms = before_ms + 1;
    let exists = found.iter().any(|window| window.start_ms == start_ms);
    (!exists).then_some((
        Window {
            start_ms,
            records: Vec::new(),
        },
        true,
    ))
}

/// The right window of a record, if it is not there yet and the neighbour holds later ones.
fn right<'a>(found: &[Window<'a>], neighbour: &Window<'a>, event: &Event) -> Option<Changed<'a>> {
    let start_ms = event.time_ms + 1;
    let exists = found.iter().any(|window| window.start_ms == start_ms);
    let is_made = !exists && neighbour.latest_ms() > event.time_ms;
    is_made.then(|| {
        (
            Window {
                start_ms,
                records: neighbour.records.clone(),
            },
            false,
        )
    })
}

impl Window<'_> {
    fn is_of(&self, event: &Event) -> bool {
        self.records.iter().all(|record| record.key == event.key)
    }

    fn latest_ms(&self) -> i64 {
        self.records
            .iter()
            .map(|record| record.time_ms)
            .max()
            .unwrap_or(-1)
    }
}

/// What records aggregate to, as a new row: without an old value.
fn aggregate(how: How, records: &[&Event]) -> (Text, Text) {
    let all = records
        .iter()
        .fold(None, |so_far, record| add_value(how, so_far, record.new.clone()));
    (all, None)
}
