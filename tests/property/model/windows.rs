//! Aggregations by windows of the clock, and by session.

use super::tables::{add_value, initial, merged, with_keys, with_one_more};
use super::{Event, Position, RowKey, Span};
use crate::algebra::Windows;
use crate::functions::{How, Key};

/// Windows by the clock. A record counts for each window that it falls into and that has not closed: while its end is later
/// than the largest timestamp so far, less the grace. Null keys are dropped; null values count.
pub(crate) fn time(arrivals: &[Event], windows: (i64, i64, i64), how: How) -> Vec<Event> {
    let (size_ms, advance_ms, grace_ms) = windows;
    let records = with_keys(arrivals);
    let is_on_time =
        |index: usize, start_ms: i64| start_ms + size_ms > stream_time_ms(&records, index) - grace_ms;
    let is_in =
        |event: &Event, start_ms: i64| start_ms <= event.time_ms && event.time_ms < start_ms + size_ms;
    let mut sent = Vec::new();
    for (index, event) in records.iter().enumerate() {
        let starts_ms = (0..=event.time_ms).filter(|start_ms| start_ms % advance_ms == 0);
        let open = starts_ms.filter(|start_ms| is_in(event, *start_ms) && is_on_time(index, *start_ms));
        for (number, start_ms) in open.enumerate() {
            let earlier = records[..index].iter().enumerate().filter(|(earlier, other)| {
                other.key == event.key && is_in(other, start_ms) && is_on_time(*earlier, start_ms)
            });
            let earlier: Vec<&Event> = earlier.map(|(_, other)| other).collect();
            let (new, old, time_ms) = with_one_more(how, &earlier, event);
            let span = Span {
                start_ms,
                end_ms: start_ms + size_ms,
                is_session: false,
            };
            sent.push(event.sends(number, windowed(event, span), (new, old), time_ms));
        }
    }
    sent
}

struct Session {
    key: Key,
    start_ms: i64,
    end_ms: i64,
    aggregate: String,
}

/// Sessions: a record joins those of its key that are at most the gap away, and they become one. It is late if what it would
/// become a part of has closed: ended more than gap and grace before the largest timestamp so far.
pub(crate) fn session(arrivals: &[Event], gap_ms: i64, grace_ms: i64, how: How) -> Vec<Event> {
    let records = with_keys(arrivals);
    let mut sessions: Vec<Session> = Vec::new();
    // The latest end of a session so far. Those that ended gap and grace earlier are not found any more.
    let mut latest_end_ms = i64::MIN / 2;
    let mut sent = Vec::new();
    for (index, event) in records.iter().enumerate() {
        let (key, at_ms) = (&event.key.key, event.time_ms);
        let is_near =
            |session: &Session| session.end_ms >= at_ms - gap_ms && session.start_ms <= at_ms + gap_ms;
        let is_found = |session: &Session| session.end_ms > latest_end_ms - gap_ms - grace_ms;
        let (mut near, others): (Vec<_>, Vec<_>) = sessions
            .into_iter()
            .partition(|session| session.key == *key && is_near(session) && is_found(session));
        sessions = others;
        near.sort_by_key(|session| (session.end_ms, session.start_ms));
        let start_ms = near.iter().map(|session| session.start_ms).fold(at_ms, i64::min);
        let end_ms = near.iter().map(|session| session.end_ms).fold(at_ms, i64::max);
        if end_ms < stream_time_ms(&records, index) - grace_ms - gap_ms {
            sessions.extend(near);
            continue;
        }
        let span = |start_ms, end_ms| Span {
            start_ms,
            end_ms,
            is_session: true,
        };
        let mut aggregate = initial(how);
        let mut number = 0;
        for session in near {
            // A session of one moment to which another record of that moment is added is replaced, not deleted.
            if (start_ms, end_ms) != (at_ms, at_ms) {
                let key = windowed(event, span(session.start_ms, session.end_ms));
                let values = (None, Some(session.aggregate.clone()));
                sent.push(event.sends(number, key, values, session.end_ms));
                number += 1;
            }
            aggregate = merged(how, aggregate, session.aggregate);
        }
        let aggregate = add_value(how, aggregate, event.new.clone());
        sent.push(event.sends(
            number,
            windowed(event, span(start_ms, end_ms)),
            (aggregate.clone(), None),
            end_ms,
        ));
        let is_same =
            |session: &Session| (&session.key, session.start_ms, session.end_ms) == (key, start_ms, end_ms);
        sessions.retain(|session| !is_same(session));
        let key = key.clone();
        sessions.extend(aggregate.map(|aggregate| Session {
            key,
            start_ms,
            end_ms,
            aggregate,
        }));
        latest_end_ms = latest_end_ms.max(end_ms);
    }
    sent
}

/// Whether a look-up at a position still finds a window: for as long as a record may be added to it.
pub(crate) fn is_kept(sent: &[Event], windows: Windows, key: &RowKey, at: &Position) -> bool {
    let retention_ms = match windows {
        Windows::Time {
            size_ms, grace_ms, ..
        } => size_ms + grace_ms,
        Windows::Session { gap_ms, grace_ms } => gap_ms + grace_ms,
        Windows::Sliding {
            difference_ms,
            grace_ms,
        } => 2 * difference_ms + grace_ms,
    };
    let time_ms = |key: &RowKey| {
        key.span.map(|span| {
            if span.is_session {
                span.end_ms
            } else {
                span.start_ms
            }
        })
    };
    let latest_ms = sent
        .iter()
        .filter(|event| event.at < *at)
        .filter_map(|event| time_ms(&event.key))
        .max();
    time_ms(key)
        .zip(latest_ms)
        .is_some_and(|(time_ms, latest_ms)| time_ms > latest_ms - retention_ms)
}

/// The largest timestamp so far, this one included.
pub(crate) fn stream_time_ms(records: &[Event], index: usize) -> i64 {
    records[..=index]
        .iter()
        .map(|record| record.time_ms)
        .max()
        .unwrap_or(-1)
}

pub(crate) fn windowed(event: &Event, span: Span) -> RowKey {
    RowKey {
        key: event.key.key.clone(),
        span: Some(span),
    }
}
