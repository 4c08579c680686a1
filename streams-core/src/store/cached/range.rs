//! Ranges of a cache: the byte store's rows, overlaid with those that are not flushed yet. Not generic, as `index.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, RangeBounds, RangeInclusive};

use bytes::Bytes;
use state_store::Direction;

use super::index::{RowIndex, Rows, Slot};
use crate::store::StoreResult;

/// A range of keys.
pub(crate) type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The next row of a range.
pub(super) enum Next<Place> {
    /// A row of the cache, and where it is.
    Here(Bytes, Place),
    /// Key and value as the byte store has them.
    Stored(Bytes, Bytes),
}

/// See the file's top.
pub(super) struct Merged {
    stored: state_store::KeyValueIter,
    next_stored: Option<(Bytes, Bytes)>,
    /// What is not flushed, by key; the second is its place in this order.
    overlay: VecDeque<(Bytes, usize)>,
    direction: Direction,
}

impl RowIndex {
    /// The rows of a range, where only those with a time in `times_ms` are of interest: others may come too. Beside them those
    /// that are overlaid, in the order of their places.
    pub(super) fn range(
        &self,
        rows: &dyn Rows,
        keys: KeyRange<'_>,
        times_ms: RangeInclusive<i64>,
        direction: Direction,
    ) -> StoreResult<(Merged, Vec<Slot>)> {
        let mut merged = Merged {
            stored: Box::new(std::iter::empty()),
            next_stored: None,
            overlay: VecDeque::new(),
            direction,
        };
        if times_ms.is_empty() || is_inverted(keys) {
            return Ok((merged, Vec::new()));
        }
        merged.stored = self.store.range_during(keys.0, keys.1, times_ms, direction)?;
        let mut slots = Vec::new();
        for (place, (key, slot)) in self.unflushed_within(rows, keys).into_iter().enumerate() {
            merged.overlay.push_back((key, place));
            slots.push(slot);
        }
        Ok((merged, slots))
    }

    fn unflushed_within(&self, rows: &dyn Rows, keys: KeyRange<'_>) -> Vec<(Bytes, Slot)> {
        if let Some(ordered) = &self.ordered {
            return within(ordered, keys)
                .map(|(key, slot)| (Bytes::copy_from_slice(key), slot))
                .collect();
        }
        let mut found = Vec::new();
        for &slot in &self.unflushed {
            let key = &*rows.head(slot).key;
            if RangeBounds::<[u8]>::contains::<[u8]>(&keys, key) {
                found.push((Bytes::copy_from_slice(key), slot));
            }
        }
        found.sort_unstable();
        found
    }

    /// The first row whose key is `from` or comes after it: for stores that are read from one end, step by step.
    pub(super) fn first_from(&self, rows: &dyn Rows, from: &[u8]) -> StoreResult<Option<Next<Slot>>> {
        let keys = (Bound::Included(from), Bound::Unbounded);
        let mut unflushed = self.ordered.iter().flat_map(|ordered| within(ordered, keys));
        let mut stored = self.store.range(keys.0, keys.1, Direction::Forward)?;
        let (mut newer, mut older) = (unflushed.next(), stored.next().transpose()?);
        loop {
            let newer_first = match (&newer, &older) {
                (Some((newer, _)), Some((older, _))) => **newer <= **older,
                (newer, _) => newer.is_some(),
            };
            let Some((key, slot)) = newer.filter(|_| newer_first) else {
                return Ok(older.map(|(key, value)| Next::Stored(key, value)));
            };
            if rows.timestamp_ms(slot).is_some() {
                return Ok(Some(Next::Here(Bytes::copy_from_slice(key), slot)));
            }
            if older.as_ref().is_some_and(|(older, _)| **older == *key) {
                older = stored.next().transpose()?;
            }
            newer = unflushed.next();
        }
    }
}

impl Merged {
    /// The next row, of the cache by its place among those that are overlaid; there it may be deleted.
    pub(super) fn next_row(&mut self) -> StoreResult<Option<Next<usize>>> {
        if self.next_stored.is_none() {
            self.next_stored = self.stored.next().transpose()?;
        }
        let newest = match self.direction {
            Direction::Forward => self.overlay.front(),
            Direction::Backward => self.overlay.back(),
        };
        let overlay_first = match (newest, &self.next_stored) {
            (Some((newest, _)), Some((stored, _))) => match self.direction {
                Direction::Forward => newest <= stored,
                Direction::Backward => newest >= stored,
            },
            (newest, _) => newest.is_some(),
        };
        let newest = match (overlay_first, self.direction) {
            (false, _) => None,
            (true, Direction::Forward) => self.overlay.pop_front(),
            (true, Direction::Backward) => self.overlay.pop_back(),
        };
        let Some((key, place)) = newest else {
            return Ok(self
                .next_stored
                .take()
                .map(|(key, value)| Next::Stored(key, value)));
        };
        if self
            .next_stored
            .as_ref()
            .is_some_and(|(stored, _)| *stored == key)
        {
            self.next_stored = None;
        }
        Ok(Some(Next::Here(key, place)))
    }
}

fn within<'a>(
    ordered: &'a BTreeMap<Box<[u8]>, Slot>,
    keys: KeyRange<'_>,
) -> impl Iterator<Item = (&'a [u8], Slot)> {
    ordered.range::<[u8], _>(keys).map(|(key, &slot)| (&**key, slot))
}

/// True if a range ends before it begins: there is nothing in it.
fn is_inverted(keys: KeyRange<'_>) -> bool {
    match keys {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
