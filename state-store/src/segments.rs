//! Which part of a store a row lives in, and reading several parts as one.
//!
//! Both engines keep a store as numbered parts: one for a plain store, one per segment otherwise. The arithmetic of
//! segments is here and nowhere else. A row key carries its own timestamp, so a key is in one part only and merging
//! never meets the same key twice.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::{Direction, Error, KeyValueIter, Layout, Result, StoreSpec, WriteBatch};

/// The number of a part: 0 in a plain store, else `timestamp / segment_interval_ms`.
pub(crate) type PartId = i64;

/// The one part of a plain store.
pub(crate) const PLAIN_PART: PartId = 0;

/// Finds the part for a row.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    store: String,
    layout: Layout,
}

impl Router {
    pub(crate) fn new(spec: &StoreSpec) -> Self {
        Self {
            store: spec.identity.store_name.clone(),
            layout: spec.layout,
        }
    }

    /// `None` if the key is too short to hold a timestamp: no such row can exist.
    pub(crate) fn part_of(&self, key: &[u8]) -> Option<PartId> {
        match self.layout {
            Layout::Plain => Some(PLAIN_PART),
            Layout::Segmented {
                segment_interval_ms,
                schema,
                ..
            } => Some(schema.timestamp_ms(key)?.div_euclid(segment_interval_ms)),
        }
    }

    /// The part of a row that is about to be written.
    pub(crate) fn route(&self, key: &[u8]) -> Result<PartId> {
        self.part_of(key).ok_or_else(|| Error::MalformedKey {
            store: self.store.clone(),
            schema: match self.layout {
                Layout::Plain => "plain",
                Layout::Segmented { schema, .. } => schema.name(),
            },
            key_length: key.len(),
        })
    }

    /// The parts in which rows of these times live.
    pub(crate) fn parts_during(&self, times_ms: &RangeInclusive<i64>) -> RangeInclusive<PartId> {
        match self.layout {
            Layout::Plain => PLAIN_PART..=PLAIN_PART,
            Layout::Segmented {
                segment_interval_ms, ..
            } => {
                times_ms.start().div_euclid(segment_interval_ms)
                    ..=times_ms.end().div_euclid(segment_interval_ms)
            }
        }
    }

    /// The first part that has not ended at this time. `None` if parts never end.
    pub(crate) fn first_part_alive_at(&self, time_ms: i64) -> Option<PartId> {
        match self.layout {
            Layout::Plain => None,
            Layout::Segmented {
                segment_interval_ms, ..
            } => Some(time_ms.div_euclid(segment_interval_ms)),
        }
    }

    /// The first part that is still alive once a batch is written, from the store's newest part and its first one alive.
    ///
    /// Checks every key, so that applying the batch afterwards cannot fail half way.
    pub(crate) fn plan(
        &self,
        batch: &WriteBatch,
        newest: Option<PartId>,
        first_alive: PartId,
    ) -> Result<PartId> {
        let Layout::Segmented {
            retention_ms,
            segment_interval_ms,
            ..
        } = self.layout
        else {
            return Ok(first_alive);
        };
        let mut newest = newest;
        for (key, value) in batch.iter() {
            let part = self.route(key)?;
            if value.is_some() {
                newest = newest.max(Some(part));
            }
        }
        // Stream time is at least the start of the newest segment; what ended before it minus the retention is over.
        let kept = retention_ms.div_euclid(segment_interval_ms)
            + i64::from(retention_ms.rem_euclid(segment_interval_ms) != 0);
        Ok(newest.map_or(first_alive, |newest| first_alive.max(newest.saturating_sub(kept))))
    }
}

/// Reads ordered iterators over distinct keys as one ordered iterator.
///
/// The smallest head is found by looking at all of them: there are about retention / segment interval, usually three.
pub(crate) fn merge(mut parts: Vec<KeyValueIter>, direction: Direction) -> KeyValueIter {
    match parts.len() {
        0 => Box::new(std::iter::empty()),
        1 => parts.remove(0),
        _ => Box::new(Merge {
            waiting: parts,
            heads: Vec::new(),
            direction,
        }),
    }
}

struct Merge {
    /// Iterators whose next row is not known yet.
    waiting: Vec<KeyValueIter>,
    heads: Vec<((Bytes, Bytes), KeyValueIter)>,
    direction: Direction,
}

impl Merge {
    /// Makes the next row of every waiting iterator a head; drops the exhausted ones.
    fn fill(&mut self) -> Result<()> {
        while let Some(mut part) = self.waiting.pop() {
            if let Some(row) = part.next() {
                self.heads.push((row?, part));
            }
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            self.waiting.clear();
            self.heads.clear();
            return Some(Err(error));
        }
        let wanted = match self.direction {
            Direction::Forward => Ordering::Less,
            Direction::Backward => Ordering::Greater,
        };
        let mut first = 0;
        for index in 1..self.heads.len() {
            if self.heads[index].0.0.cmp(&self.heads[first].0.0) == wanted {
                first = index;
            }
        }
        if self.heads.is_empty() {
            return None;
        }
        let (row, part) = self.heads.swap_remove(first);
        self.waiting.push(part);
        Some(Ok(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_schema::{SessionKey, WindowKey};
    use crate::{KeySchema, StoreIdentity};

    fn part(keys: &[&'static str]) -> KeyValueIter {
        let rows: Vec<Result<(Bytes, Bytes)>> =
            keys.iter().map(|&key| Ok((key.into(), Bytes::new()))).collect();
        Box::new(rows.into_iter())
    }

    fn failing() -> KeyValueIter {
        let error = Error::DirectoryRequired { store: "s".into() };
        Box::new(std::iter::once(Err(error)))
    }

    #[test]
    fn rows_are_filed_under_window_start_and_session_end() {
        let part_of = |schema, key: &[u8]| {
            let layout = Layout::Segmented {
                retention_ms: 100,
                segment_interval_ms: 10,
                schema,
            };
            Router::new(&StoreSpec::new(StoreIdentity::new("app", "0_0", "s"), layout)).part_of(key)
        };
        let window = WindowKey {
            key: b"k",
            start_ms: 39,
            sequence: 7,
        }
        .encode();
        assert_eq!(part_of(KeySchema::Window, &window), Some(3));
        let session = SessionKey {
            key: b"k",
            start_ms: 39,
            end_ms: 70,
        }
        .encode();
        assert_eq!(part_of(KeySchema::Session, &session), Some(7));
        assert_eq!(part_of(KeySchema::Session, &window), None);
    }

    #[test]
    fn parts_are_merged_in_either_direction() {
        let keys =
            |parts, direction| -> Vec<Bytes> { merge(parts, direction).map(|row| row.unwrap().0).collect() };
        let forward = keys(
            vec![part(&["a", "d"]), part(&[]), part(&["b", "c", "e"])],
            Direction::Forward,
        );
        assert_eq!(forward, ["a", "b", "c", "d", "e"]);
        let backward = keys(
            vec![part(&["d", "a"]), part(&["e", "c", "b"])],
            Direction::Backward,
        );
        assert_eq!(backward, ["e", "d", "c", "b", "a"]);
    }

    #[test]
    fn an_error_in_a_part_ends_the_iteration() {
        let mut rows = merge(vec![part(&["a"]), failing()], Direction::Forward);
        assert!(rows.next().is_some_and(|row| row.is_err()));
        assert!(rows.next().is_none());
    }
}
