//! Two streams joined: each side keeps its records for a while, and each record looks for those of the other side.
//!
//! A record that finds none, where that has a result of its own, is kept as unmatched until its window has closed: then it
//! is sent alone, with its own timestamp, before whatever record brought the time that far. Both sides of a join share the
//! unmatched records and the time they go by, which starts anew with its task, as in Kafka. When they are looked through is
//! decided by event time alone; Kafka also lets a second of wall-clock time pass between.
//!
//! Null keys and values are dropped; but where a record without a match has a result, a null key is such a record.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::store::{Direction, KeyValueStore, StoreResult, WindowStore};
use streams_core::{Record, TaskContext};

use super::{Tried, place};
use crate::join_serde::{Either, Side, Unmatched};
use crate::join_windows::JoinWindows;

/// Keeps one side's records for the other side to find, after they have looked for theirs.
pub(crate) struct StreamJoinWindow<K, V> {
    pub(crate) node: String,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) store: WindowStore<K, V>,
    pub(crate) next: Edge<K, V>,
}

impl<K: Clone, V: Clone> Process<K, V> for StreamJoinWindow<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        self.next.process(record.clone(), task)?;
        if self.key_serde.is_null(&record.key) {
            return Ok(());
        }
        let timestamp_ms = record.timestamp_ms;
        let value = (!self.value_serde.is_null(&record.value)).then_some(record.value);
        let put = self.store.put(&record.key, timestamp_ms, value, timestamp_ms);
        put.map(|_| ()).map_err(|cause| place(cause, &self.node, task))
    }
}

/// The time that both sides of a join go by.
pub(crate) struct JoinClock {
    /// Largest timestamp of either side; -1 before the first record.
    stream_time_ms: i64,
    /// Time of an unmatched record that was still to wait when they were last looked through, or of an earlier one since:
    /// before its window closes they are not looked through again.
    earliest_ms: i64,
    /// No unmatched record is older.
    oldest_ms: i64,
}

impl Default for JoinClock {
    fn default() -> Self {
        Self {
            stream_time_ms: -1,
            earliest_ms: i64::MAX,
            oldest_ms: 0,
        }
    }
}

/// Makes the result of a record without a match, if it has one.
pub(crate) type Alone<K, A, B, R> = Arc<dyn Fn(&K, &Either<A, B>) -> Tried<Option<R>> + Send + Sync>;

/// The unmatched records of one key, side and time.
type UnmatchedRow<K, A, B> = (Unmatched<K>, Vec<Either<A, B>>);

/// The unmatched records of a join, as one of its sides sees them: `T` is a value of this side, `A` of the left and `B` of
/// the right one.
pub(crate) struct Waiting<K, T, A, B, R> {
    pub(crate) side: Side,
    pub(crate) windows: JoinWindows,
    pub(crate) store: KeyValueStore<Unmatched<K>, Vec<Either<A, B>>>,
    pub(crate) clock: Rc<RefCell<JoinClock>>,
    pub(crate) either: fn(T) -> Either<A, B>,
    /// The result of a record without a match, or none.
    pub(crate) alone: Alone<K, A, B, R>,
}

/// Of the key and two values: the result, if there is one.
pub(crate) type Join<K, T, O, R> = Arc<dyn Fn(&K, Option<&T>, Option<&O>) -> Tried<Option<R>> + Send + Sync>;

/// One side's records, looking for the other's. `join` gets this side's value first.
pub(crate) struct StreamJoinSide<K, T, O, A, B, R> {
    pub(crate) node: String,
    pub(crate) join: Join<K, T, O, R>,
    /// How much earlier and later than its own the other's time may be.
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<T>>,
    pub(crate) other: WindowStore<K, O>,
    /// A record of this side that finds none has a result.
    pub(crate) is_outer: bool,
    /// Unless it is an inner join.
    pub(crate) waiting: Option<Waiting<K, T, A, B, R>>,
    pub(crate) next: Edge<K, R>,
}

impl<K, T, O, A, B, R> Process<K, T> for StreamJoinSide<K, T, O, A, B, R>
where
    K: Clone,
    T: Clone,
    O: Clone,
    A: Clone,
    B: Clone,
{
    fn process(&mut self, record: Record<K, T>, task: &mut TaskContext<'_>) -> ProcessResult {
        let at_ms = record.timestamp_ms;
        let stream_time_ms = self
            .waiting
            .as_ref()
            .map_or(at_ms, |waiting| waiting.advance(at_ms));
        if self.value_serde.is_null(&record.value) {
            task.count_dropped(DropReason::NullValue);
            return Ok(());
        }
        if self.key_serde.is_null(&record.key) {
            if self.is_outer {
                return self.send_alone(record, task);
            }
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if at_ms == stream_time_ms {
            self.give_up(&record, task)?;
        }
        let from_ms = at_ms.saturating_sub(self.before_ms).max(0);
        let to_ms = at_ms.saturating_add(self.after_ms).max(0);
        if self.join_matches(&record, from_ms, to_ms, task)? || !self.is_outer {
            return Ok(());
        }
        match &self.waiting {
            Some(waiting) if to_ms >= stream_time_ms => {
                let kept = waiting.keep(record);
                kept.map_err(|cause| place(cause, &self.node, task))
            }
            _ => self.send_alone(record, task),
        }
    }
}

impl<K, T, O, A, B, R> StreamJoinSide<K, T, O, A, B, R>
where
    K: Clone,
    T: Clone,
    O: Clone,
    A: Clone,
    B: Clone,
{
    fn send_alone(&mut self, record: Record<K, T>, task: &mut TaskContext<'_>) -> ProcessResult {
        match (self.join)(&record.key, Some(&record.value), None) {
            Ok(Some(result)) => self.next.process(record.with_value(result), task),
            Ok(None) => Ok(()),
            Err(error) => task.processing_failed(error, &self.node),
        }
    }

    /// Joins a record with all of the other side from one time to another. True if there were any.
    fn join_matches(
        &mut self,
        record: &Record<K, T>,
        from_ms: i64,
        to_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> Result<bool, Box<streams_core::error::ProcessError>> {
        let matches = self
            .other
            .fetch_range(&record.key, from_ms..=to_ms, Direction::Forward);
        let mut found = false;
        for row in matches.map_err(|cause| place(cause, &self.node, task))? {
            let (_, other_ms, other) = row.map_err(|cause| place(cause, &self.node, task))?;
            found = true;
            if let Some(waiting) = &self.waiting {
                let forgotten = waiting.forget(&record.key, other_ms, record.timestamp_ms);
                forgotten.map_err(|cause| place(cause, &self.node, task))?;
            }
            let value = match (self.join)(&record.key, Some(&record.value), Some(&other.value)) {
                Ok(Some(value)) => value,
                Ok(None) => continue,
                // The record is dropped: it is not joined with the matches that are left.
                Err(error) => return task.processing_failed(error, &self.node).map(|()| true),
            };
            let result = Record {
                key: record.key.clone(),
                value,
                timestamp_ms: record.timestamp_ms.max(other_ms),
                headers: record.headers.clone(),
            };
            self.next.process(result, task)?;
        }
        Ok(found)
    }

    /// Sends the unmatched records of either side whose window has closed.
    fn give_up(&mut self, record: &Record<K, T>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Some(waiting) = &self.waiting else {
            return Ok(());
        };
        let Some((now_ms, mut from)) = waiting.begin(self.after_ms) else {
            return Ok(());
        };
        // Of the left and of the right side there is one whose window has not closed: so have none of those behind it.
        let mut open = [false; 2];
        loop {
            let next = waiting.next(&mut from);
            let next = next.map_err(|cause| place(cause, &self.node, task))?;
            let Some((unmatched, values)) = next else { break };
            waiting.clock.borrow_mut().earliest_ms = unmatched.timestamp_ms;
            if open == [true; 2] {
                break;
            }
            if waiting.is_open(&unmatched, now_ms) {
                if open == [false; 2] {
                    waiting.clock.borrow_mut().oldest_ms = unmatched.timestamp_ms;
                }
                open[usize::from(unmatched.side == Side::Right)] = true;
                // Kafka looks at each record of a row, and so stops at the second one.
                if open == [true; 2] && values.len() > 1 {
                    break;
                }
                continue;
            }
            for value in &values {
                let value = match (waiting.alone)(&unmatched.key, value) {
                    Ok(Some(value)) => value,
                    Ok(None) => continue,
                    // What waited is dropped, and not the record that is processed. Kafka keeps it, and fails on it again and again.
                    Err(error) => {
                        task.processing_failed(error, &self.node)?;
                        continue;
                    }
                };
                let result = Record {
                    key: unmatched.key.clone(),
                    value,
                    timestamp_ms: unmatched.timestamp_ms,
                    headers: record.headers.clone(),
                };
                self.next.process(result, task)?;
            }
            let gone = waiting.store.put(&unmatched, None, record.timestamp_ms);
            gone.map_err(|cause| place(cause, &self.node, task))?;
        }
        Ok(())
    }
}

impl<K: Clone, T, A: Clone, B: Clone, R> Waiting<K, T, A, B, R> {
    /// The stream time with this timestamp.
    fn advance(&self, timestamp_ms: i64) -> i64 {
        let mut clock = self.clock.borrow_mut();
        clock.stream_time_ms = clock.stream_time_ms.max(timestamp_ms);
        clock.stream_time_ms
    }

    /// The stream time, and where to begin, if it is worth to look through the unmatched records now. As in Kafka, where the
    /// sum wraps around: they are looked through if it is not known what is there.
    fn begin(&self, after_ms: i64) -> Option<(i64, Vec<u8>)> {
        let mut clock = self.clock.borrow_mut();
        let closes_ms = clock
            .earliest_ms
            .wrapping_add(after_ms)
            .wrapping_add(self.windows.grace_ms());
        if closes_ms >= clock.stream_time_ms {
            return None;
        }
        clock.earliest_ms = i64::MAX;
        let from = clock.oldest_ms.to_be_bytes().to_vec();
        clock.oldest_ms = clock.stream_time_ms;
        Some((clock.stream_time_ms, from))
    }

    /// The next unmatched record; `from` moves behind it.
    fn next(&self, from: &mut Vec<u8>) -> StoreResult<Option<UnmatchedRow<K, A, B>>> {
        let Some((unmatched, row)) = self.store.first_from(from)? else {
            return Ok(None);
        };
        *from = self.store.key_bytes(&unmatched)?;
        from.push(0);
        Ok(Some((unmatched, row.value)))
    }

    fn is_open(&self, unmatched: &Unmatched<K>, stream_time_ms: i64) -> bool {
        let ahead_ms = match unmatched.side {
            Side::Left => self.windows.after_ms(),
            Side::Right => self.windows.before_ms(),
        };
        let closes_ms = unmatched
            .timestamp_ms
            .saturating_add(ahead_ms)
            .saturating_add(self.windows.grace_ms());
        closes_ms >= stream_time_ms
    }

    fn keep(&self, record: Record<K, T>) -> StoreResult<()> {
        let timestamp_ms = record.timestamp_ms;
        {
            let mut clock = self.clock.borrow_mut();
            clock.earliest_ms = clock.earliest_ms.min(timestamp_ms);
            clock.oldest_ms = clock.oldest_ms.min(timestamp_ms);
        }
        let unmatched = Unmatched {
            timestamp_ms,
            side: self.side,
            key: record.key,
        };
        let value = (self.either)(record.value);
        self.store.update(&unmatched, timestamp_ms, |row| {
            let mut values = row.map_or_else(Vec::new, |row| row.value);
            values.push(value);
            let row = streams_core::store::ValueAndTimestamp {
                value: values,
                timestamp_ms,
            };
            (Some(row), ())
        })
    }

    /// The other side's records at this time have found a match.
    fn forget(&self, key: &K, other_ms: i64, timestamp_ms: i64) -> StoreResult<()> {
        let unmatched = Unmatched {
            timestamp_ms: other_ms,
            side: match self.side {
                Side::Left => Side::Right,
                Side::Right => Side::Left,
            },
            key: key.clone(),
        };
        if self.store.read(&unmatched, |row| row.is_some())? {
            self.store.put(&unmatched, None, timestamp_ms)?;
        }
        Ok(())
    }
}
