//! Two streams joined.

use super::graph::{NodeId, StreamJoin};
use super::run::Run;
use super::{Event, Position};
use crate::algebra::JoinKind;
use crate::functions::{Key, Text, join};

/// A record that arrives, of either side.
struct Arrival {
    event: Event,
    is_left: bool,
}

/// A record that found none: it is sent alone once its window has closed, if none has found it until then.
struct Alone {
    event: Event,
    is_left: bool,
}

/// What each side of a join sends.
///
/// Each record is joined with the earlier records of the other side whose times are near enough, by their times. Times are
/// near enough if the right one is from `before` before the left one to `after` after it, both included. What is older than
/// the window and the grace, counted from the latest of its side, is not found any more. Null keys and values are dropped.
pub(crate) fn both_sides(
    run: &Run<'_>,
    of: &StreamJoin,
    id: NodeId,
    is_left: bool,
) -> (Vec<Event>, Vec<Event>) {
    // The nodes of both sides stand side by side: what arrives at them is what the nodes before them sent.
    let (left_id, right_id) = if is_left { (id, id + 1) } else { (id - 1, id) };
    let mut arrivals: Vec<Arrival> = Vec::new();
    for (kept, id, is_left) in [(of.left, left_id, true), (of.right, right_id, false)] {
        let sent = run.events[kept].iter().map(|event| Event {
            at: event.at.then(id),
            ..event.clone()
        });
        arrivals.extend(sent.map(|event| Arrival { event, is_left }));
    }
    arrivals.sort_by(|one, other| one.event.at.cmp(&other.event.at));
    let (left_kept, right_kept) = (kept(run, of.left), kept(run, of.right));

    let mut waiting: Vec<Alone> = Vec::new();
    let mut look = Look {
        earliest_ms: i64::MAX,
    };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (index, Arrival { event, is_left }) in arrivals.iter().enumerate() {
        let sent = if *is_left { &mut left } else { &mut right };
        let has_result_alone = match of.kind {
            JoinKind::Inner => false,
            JoinKind::Left => *is_left,
            JoinKind::Outer => true,
        };
        let mut results = Vec::new();
        match (&event.key.key, &event.new) {
            (_, None) => {}
            (None, _) if has_result_alone => results.push(alone(event, *is_left)),
            (None, _) => {}
            _ => {
                let times = arrivals[..=index].iter().map(|arrival| arrival.event.time_ms);
                let stream_time_ms = times.max().unwrap_or(-1);
                if of.kind != JoinKind::Inner && event.time_ms == stream_time_ms {
                    results.extend(look.closed(&mut waiting, of, *is_left, stream_time_ms));
                }
                let others = if *is_left { &right_kept } else { &left_kept };
                let found = matches(event, *is_left, others, of);
                let (_, after_ms) = reach(of, *is_left);
                if found.is_empty() && has_result_alone {
                    if event.time_ms + after_ms < stream_time_ms {
                        results.push(alone(event, *is_left));
                    } else {
                        look.earliest_ms = look.earliest_ms.min(event.time_ms);
                        waiting.push(Alone {
                            event: event.clone(),
                            is_left: *is_left,
                        });
                    }
                }
                for other in found {
                    let same = |alone: &Alone| {
                        (&alone.event.key, alone.event.time_ms) == (&other.key, other.time_ms)
                    };
                    waiting.retain(|alone| alone.is_left == *is_left || !same(alone));
                    results.push(joined(event, *is_left, other));
                }
            }
        }
        let results = results.into_iter().enumerate();
        sent.extend(results.map(|(number, (key, value, time_ms))| {
            let key = super::RowKey { key, span: None };
            event.sends(number, key, (value, None), time_ms)
        }));
    }
    (left, right)
}

/// Key, value and time of a result.
type Result3 = (Key, Text, i64);

fn alone(event: &Event, is_left: bool) -> Result3 {
    let value = match is_left {
        true => join(event.new.as_deref(), None),
        false => join(None, event.new.as_deref()),
    };
    (event.key.key.clone(), value, event.time_ms)
}

fn joined(event: &Event, is_left: bool, other: &Event) -> Result3 {
    let (left, right) = if is_left { (event, other) } else { (other, event) };
    let value = join(left.new.as_deref(), right.new.as_deref());
    (event.key.key.clone(), value, event.time_ms.max(other.time_ms))
}

/// How much earlier, and later, the other's time may be.
fn reach(of: &StreamJoin, is_left: bool) -> (i64, i64) {
    match is_left {
        true => (of.within.before_ms, of.within.after_ms),
        false => (of.within.after_ms, of.within.before_ms),
    }
}

/// The records that a side keeps, each from where it is kept: after all that follows from it is done, so that a record does
/// not find itself.
fn kept(run: &Run<'_>, side: NodeId) -> Vec<Event> {
    let records = run.arrivals(side).into_iter();
    let records = records.filter(|event| event.key.key.is_some() && event.new.is_some());
    records
        .map(|event| Event {
            at: event.at.then(1),
            ..event
        })
        .collect()
}

fn matches<'a>(event: &Event, is_left: bool, others: &'a [Event], of: &StreamJoin) -> Vec<&'a Event> {
    let (before_ms, after_ms) = reach(of, is_left);
    let within = &of.within;
    let kept_ms = within.before_ms + within.after_ms + within.grace_ms;
    let earlier: Vec<&Event> = others.iter().filter(|other| other.at < event.at).collect();
    let latest_ms = earlier.iter().map(|other| other.time_ms).max().unwrap_or(0);
    let near = event.time_ms - before_ms..=event.time_ms + after_ms;
    let mut found: Vec<&Event> = earlier
        .into_iter()
        .filter(|other| other.key == event.key && near.contains(&other.time_ms))
        .filter(|other| other.time_ms > latest_ms - kept_ms)
        .collect();
    found.sort_by_key(|other| other.time_ms);
    found
}

/// When Kafka Streams looks through the records that wait. It remembers the time of a record that waits, and looks again only
/// once the window of that has closed. After a look that is the last record looked at, which may be later than the earliest
/// that waits; before the first look, and after one at nothing, it is the largest number, and the sum below wraps around.
struct Look {
    earliest_ms: i64,
}

impl Look {
    /// The results of the records whose windows have closed, by time, the right side first, by key. They wait no longer.
    fn closed(
        &mut self,
        waiting: &mut Vec<Alone>,
        of: &StreamJoin,
        is_left: bool,
        stream_time_ms: i64,
    ) -> Vec<Result3> {
        let grace_ms = of.within.grace_ms;
        let (_, after_ms) = reach(of, is_left);
        if self.earliest_ms.wrapping_add(after_ms).wrapping_add(grace_ms) >= stream_time_ms {
            return Vec::new();
        }
        waiting.sort_by(|one, other| order(one).cmp(&order(other)));
        let is_open = |alone: &Alone| {
            let (_, after_ms) = reach(of, alone.is_left);
            alone.event.time_ms + after_ms + grace_ms >= stream_time_ms
        };
        // The last one looked at is the one after an open one of each side, or the very last one.
        let first_open = |is_left| {
            waiting
                .iter()
                .position(|alone| alone.is_left == is_left && is_open(alone))
        };
        let enough = first_open(true)
            .zip(first_open(false))
            .map(|(left, right)| left.max(right) + 1);
        let last = enough.and_then(|enough| waiting.get(enough)).or(waiting.last());
        self.earliest_ms = last.map_or(i64::MAX, |last| last.event.time_ms);

        let (open, closed): (Vec<Alone>, Vec<Alone>) = waiting.drain(..).partition(is_open);
        *waiting = open;
        closed
            .iter()
            .map(|closed| alone(&closed.event, closed.is_left))
            .collect()
    }
}

fn order(alone: &Alone) -> (i64, bool, Vec<u8>, &Position) {
    (
        alone.event.time_ms,
        alone.is_left,
        alone.event.key.bytes(),
        &alone.event.at,
    )
}
