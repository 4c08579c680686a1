//! Updates of a table held back.

use super::{Event, Position, RowKey};
use crate::algebra::Until;
use crate::functions::Text;

/// A row that was held back: what those behind know of it, from where on, and until where.
#[derive(Clone)]
pub(crate) struct Held {
    key: RowKey,
    pub(crate) prior: Text,
    from: Position,
    to: Option<Position>,
    /// What decides when it is sent.
    time_ms: i64,
    latest: Event,
}

impl Held {
    pub(crate) fn is_at(&self, key: &RowKey, at: &Position) -> bool {
        self.key == *key && self.from < *at && self.to.as_ref().is_none_or(|to| at < to)
    }
}

/// Of the updates of a row the last one is sent, once the largest timestamp so far is `wait_ms` after the first one's, or after
/// the window's end. Those that are due are sent oldest first; too many, too. What was not sent need not be deleted when a
/// window closes.
pub(crate) fn suppress(arrivals: &[Event], until: Until, wait_ms: i64) -> (Vec<Event>, Vec<Held>) {
    let mut all: Vec<Held> = Vec::new();
    let mut sent = Vec::new();
    for (index, event) in arrivals.iter().enumerate() {
        match all
            .iter_mut()
            .find(|held| held.to.is_none() && held.key == event.key)
        {
            Some(held) => held.latest = event.clone(),
            None => all.push(Held {
                key: event.key.clone(),
                prior: event.old.clone(),
                from: event.at.clone(),
                to: None,
                time_ms: match (until, event.key.span) {
                    (Until::WindowCloses, Some(span)) => span.end_ms,
                    _ => event.time_ms,
                },
                latest: event.clone(),
            }),
        }
        let stream_time_ms = arrivals[..=index]
            .iter()
            .map(|event| event.time_ms)
            .max()
            .unwrap_or(-1);
        let mut held: Vec<&mut Held> = all.iter_mut().filter(|held| held.to.is_none()).collect();
        held.sort_by_key(|held| (held.time_ms, held.key.bytes()));
        let due = held
            .iter()
            .filter(|held| held.time_ms <= stream_time_ms - wait_ms)
            .count();
        let too_many = match until {
            Until::TimeLimit {
                rows_max: Some(rows_max),
                ..
            } => held.len().saturating_sub(rows_max),
            _ => 0,
        };
        for (number, held) in held.into_iter().take(due.max(too_many)).enumerate() {
            let Event {
                key,
                new,
                old,
                time_ms,
                ..
            } = held.latest.clone();
            // It is held until all that follows from it being sent is done.
            held.to = Some(event.at.then(number + 1));
            if new.is_some() || until != Until::WindowCloses {
                sent.push(event.sends(number, key, (new, old), time_ms));
            }
        }
    }
    (sent, all)
}
