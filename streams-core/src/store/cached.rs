//! The typed cache in front of a byte store.
//!
//! Rows are found by the bytes of their key (as in the byte store, so that equality means the same everywhere) and hold
//! the value as it is. A row is *unlogged* until the commit that writes it to the changelog and *unflushed* until the
//! flush that writes it to the byte store. Rows that are neither can be dropped at any time. All of that is the same for
//! every type of value, and in `cached/index.rs`.

mod history;
mod index;
mod range;

use std::fmt::Debug;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use state_store::Direction;

use index::{Head, Rows, Version};
pub(crate) use index::{RowIndex, Slot};
use range::{KeyRange, Merged, Next};

use super::{StoreResult, ValueAndTimestamp};
use crate::error::ProcessCause;
use crate::serde::Serde;

/// Bytes of the timestamp in front of a stored value.
const TIMESTAMP_BYTES: usize = 8;

struct Row<V> {
    head: Head,
    value: Option<ValueAndTimestamp<V>>,
}

/// The rows of a cache, and how their values are written.
struct TypedRows<V> {
    rows: Vec<Row<V>>,
    topic: Arc<str>,
    serde: Arc<dyn Serde<V>>,
}

impl<V> Rows for TypedRows<V> {
    fn head(&self, slot: Slot) -> &Head {
        &self.rows[slot.number()].head
    }

    fn head_mut(&mut self, slot: Slot) -> &mut Head {
        &mut self.rows[slot.number()].head
    }

    fn timestamp_ms(&self, slot: Slot) -> Option<i64> {
        let value = &self.rows[slot.number()].value;
        value.as_ref().map(|value| value.timestamp_ms)
    }

    fn write_value(&self, slot: Slot, out: &mut Vec<u8>) -> StoreResult<()> {
        let Some(row) = &self.rows[slot.number()].value else {
            return Ok(());
        };
        match self.serde.serialize(&self.topic, &row.value, out) {
            Ok(()) => Ok(()),
            Err(error) => Err(ProcessCause::serde("write", "value", &self.topic, error)),
        }
    }

    fn remove_value(&mut self, slot: Slot) {
        self.rows[slot.number()].value = None;
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.rows.swap(one, other);
    }

    fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
        self.rows.shrink_to(count * 2);
    }

    fn count(&self) -> usize {
        self.rows.len()
    }
}

/// A cache as its task sees it.
pub(crate) trait UntypedCached {
    fn index(&self) -> &RowIndex;

    fn parts(&mut self) -> (&mut RowIndex, &mut dyn Rows);

    /// Shows the versions of a range of keys to `each`, with the key of their row, until it answers false.
    fn each_version(
        &self,
        keys: KeyRange<'_>,
        direction: Direction,
        each: &mut dyn FnMut(&Bytes, Version) -> bool,
    ) -> StoreResult<()>;
}

/// See the file's top.
pub(crate) struct Cached<V> {
    index: RowIndex,
    rows: TypedRows<V>,
}

impl<V> UntypedCached for Cached<V> {
    fn index(&self) -> &RowIndex {
        &self.index
    }

    fn parts(&mut self) -> (&mut RowIndex, &mut dyn Rows) {
        (&mut self.index, &mut self.rows)
    }

    fn each_version(
        &self,
        keys: KeyRange<'_>,
        direction: Direction,
        each: &mut dyn FnMut(&Bytes, Version) -> bool,
    ) -> StoreResult<()> {
        self.index.each_version(&self.rows, keys, direction, each)
    }
}

impl<V> Cached<V> {
    /// What a row takes in memory without what its key and its value hold elsewhere.
    pub(crate) const ROW_BYTES: usize = size_of::<Row<V>>();

    pub(crate) fn new(index: RowIndex, topic: Arc<str>, serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            index,
            rows: TypedRows {
                rows: Vec::new(),
                topic,
                serde,
            },
        }
    }

    /// What is not committed is held by somebody else too: it counts twice.
    pub(crate) fn count_twice(&mut self) {
        self.index.copies = 2;
    }

    /// Rows that ended before this time may go.
    pub(crate) fn expire_before(&mut self, time_ms: i64) {
        self.index.expire_before_ms = Some(time_ms);
    }

    /// Counts a value that was put although it was older than what is kept.
    pub(crate) fn count_expired(&mut self, is_expired: bool) {
        self.index.expired += u64::from(is_expired);
    }

    /// The row of `key`, read from the byte store if it is not here.
    pub(crate) fn find(&mut self, key: &[u8]) -> StoreResult<Slot> {
        let hash = self.index.hash(key);
        match self.index.find(&self.rows, hash, key) {
            Some(slot) => Ok(slot),
            None => self.load(hash, key),
        }
    }

    fn load(&mut self, hash: u64, key: &[u8]) -> StoreResult<Slot> {
        let stored = self.index.store.get(key)?;
        let value = match &stored {
            Some(bytes) => Some(self.decode(bytes)?),
            None => None,
        };
        let head = self.index.head(key, stored.as_ref(), size_of::<V>());
        self.rows.rows.push(Row { head, value });
        Ok(self.index.insert(&self.rows, hash))
    }

    /// A row without a value, of a key that is neither here nor in the byte store.
    pub(crate) fn add(&mut self, key: &[u8]) -> Slot {
        let head = self.index.head(key, None, size_of::<V>());
        self.rows.rows.push(Row { head, value: None });
        let hash = self.index.hash(key);
        self.index.insert(&self.rows, hash)
    }

    /// Up to which offset of the changelog the byte store has its records, if it has any.
    pub(crate) fn changelog_offset(&self) -> StoreResult<Option<i64>> {
        Ok(self.index.store.changelog_offset()?)
    }

    /// Whether each put is a record in the changelog, and not only the last one of a key before a commit.
    pub(crate) fn logs_every_put(&self) -> bool {
        self.index.logs_every_put()
    }

    /// Whether there is no row at all, here or in the byte store.
    pub(crate) fn is_empty(&self) -> StoreResult<bool> {
        self.index.is_empty(&self.rows)
    }

    /// Whether there was a row of `key` at the last commit.
    pub(crate) fn was_committed(&mut self, key: &[u8]) -> StoreResult<bool> {
        let slot = self.find(key)?;
        Ok(self.index.was_committed(&self.rows, slot))
    }

    pub(crate) fn value(&self, slot: Slot) -> Option<&ValueAndTimestamp<V>> {
        self.rows.rows[slot.number()].value.as_ref()
    }

    /// Whether a value is null on the wire: as a row it is none.
    pub(crate) fn is_null(&self, value: &V) -> bool {
        self.rows.serde.is_null(value)
    }

    /// Writes a row; `None`, and a value that is null on the wire, delete it, at `deleted_ms`. Returns what was there.
    pub(crate) fn set(
        &mut self,
        slot: Slot,
        value: Option<ValueAndTimestamp<V>>,
        deleted_ms: i64,
    ) -> Option<ValueAndTimestamp<V>> {
        self.index.change(&mut self.rows, slot, deleted_ms);
        let value = value.filter(|row| !self.is_null(&row.value));
        std::mem::replace(&mut self.rows.rows[slot.number()].value, value)
    }

    /// Drops a row, without a word in the changelog: what was put is still logged. For stores that log every put.
    pub(crate) fn discard(&mut self, slot: Slot) {
        self.index.discard(&mut self.rows, slot);
        self.rows.remove_value(slot);
    }

    /// Of versions: whether the value that was put says that there is none.
    pub(crate) fn mark_deletion(&mut self, slot: Slot, is_deletion: bool) {
        self.index.mark_deletion(&mut self.rows, slot, is_deletion);
    }

    /// Takes the value out, to be put back changed with [`set`](Self::set).
    pub(crate) fn take(&mut self, slot: Slot) -> Option<ValueAndTimestamp<V>> {
        self.index.supersede(&mut self.rows, slot);
        self.rows.rows[slot.number()].value.take()
    }

    /// Rows of a range of keys in byte order: the byte store's, overlaid with what is not flushed yet.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
    ) -> StoreResult<CachedIter<V>>
    where
        V: Clone,
    {
        self.range_during(from, to, i64::MIN..=i64::MAX, direction)
    }

    /// As [`range`](Self::range), where only rows with a time in `times_ms` are of interest: others may come too.
    pub(crate) fn range_during(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        times_ms: RangeInclusive<i64>,
        direction: Direction,
    ) -> StoreResult<CachedIter<V>>
    where
        V: Clone,
    {
        let (merged, slots) = self.index.range(&self.rows, (from, to), times_ms, direction)?;
        let mut overlay = Vec::with_capacity(slots.len());
        for slot in slots {
            overlay.push(self.value(slot).cloned());
        }
        Ok(CachedIter {
            overlay,
            merged,
            topic: Arc::clone(&self.rows.topic),
            serde: Arc::clone(&self.rows.serde),
        })
    }

    /// About how many rows there are: the byte store's guess, and exactly what is not flushed yet.
    pub(crate) fn approximate_len(&self) -> StoreResult<u64> {
        self.index.approximate_len(&self.rows)
    }

    /// The first row whose key is `from` or comes after it: for stores that are read from one end, step by step.
    pub(crate) fn first_from(&self, from: &[u8]) -> StoreResult<Option<(Bytes, ValueAndTimestamp<V>)>>
    where
        V: Clone,
    {
        Ok(match self.index.first_from(&self.rows, from)? {
            None => None,
            Some(Next::Here(key, slot)) => self.value(slot).map(|value| (key, value.clone())),
            Some(Next::Stored(key, bytes)) => Some((key, self.decode(&bytes)?)),
        })
    }

    fn decode(&self, bytes: &[u8]) -> StoreResult<ValueAndTimestamp<V>> {
        decode(
            &self.rows.topic,
            &*self.rows.serde,
            self.index.store.name(),
            bytes,
        )
    }
}

impl<V> Debug for Cached<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached")
            .field("store", &self.index.store)
            .field("rows", &self.rows.rows.len())
            .field("unflushed", &self.index.unflushed.len())
            .finish_non_exhaustive()
    }
}

fn decode<V>(
    topic: &str,
    serde: &dyn Serde<V>,
    store: &str,
    bytes: &[u8],
) -> StoreResult<ValueAndTimestamp<V>> {
    let (timestamp_ms, value) = split_timestamp(store, bytes)?;
    match serde.deserialize(topic, value) {
        Ok(value) => Ok(ValueAndTimestamp { value, timestamp_ms }),
        Err(error) => Err(ProcessCause::serde("read", "value", topic, error)),
    }
}

fn split_timestamp<'a>(store: &str, bytes: &'a [u8]) -> StoreResult<(i64, &'a [u8])> {
    match bytes.split_first_chunk::<TIMESTAMP_BYTES>() {
        Some((timestamp, value)) => Ok((i64::from_be_bytes(*timestamp), value)),
        None => Err(ProcessCause::CorruptRow {
            store: store.to_owned(),
            length: bytes.len(),
        }),
    }
}

/// Rows of a range: key bytes, value, timestamp.
pub(crate) struct CachedIter<V> {
    merged: Merged,
    /// The values of what is overlaid, as they were when the range was read.
    overlay: Vec<Option<ValueAndTimestamp<V>>>,
    topic: Arc<str>,
    serde: Arc<dyn Serde<V>>,
}

impl<V> CachedIter<V> {
    fn next_row(&mut self) -> StoreResult<Option<(Bytes, ValueAndTimestamp<V>)>> {
        loop {
            return Ok(match self.merged.next_row()? {
                None => None,
                Some(Next::Stored(key, bytes)) => {
                    Some((key, decode(&self.topic, &*self.serde, &self.topic, &bytes)?))
                }
                Some(Next::Here(key, place)) => match self.overlay[place].take() {
                    Some(value) => Some((key, value)),
                    None => continue,
                },
            });
        }
    }
}

impl<V> Iterator for CachedIter<V> {
    type Item = StoreResult<(Bytes, ValueAndTimestamp<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}
