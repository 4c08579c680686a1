//! The typed cache in front of a byte store, and its way to the changelog and to disk.
//!
//! Rows are found by the bytes of their key (as in the byte store, so that equality means the same everywhere) and hold
//! the value as it is. A row is *unlogged* until the commit that writes it to the changelog and *unflushed* until the
//! flush that writes it to the byte store. Rows that are neither can be dropped at any time.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use state_store::{Direction, WriteBatch};

use super::{StoreResult, ValueAndTimestamp, versioned};
use crate::error::ProcessCause;
use crate::log::{Producer, RecordView, TopicHandle};
use crate::record::Headers;
use crate::serde::Serde;

/// What a row costs beside its key and value: entry, table slot, allocation headers.
const ROW_OVERHEAD_BYTES: usize = 64;
/// Bytes of the timestamp in front of a stored value.
const TIMESTAMP_BYTES: usize = 8;

/// The changelog partition of a store.
#[derive(Clone, Debug)]
pub(crate) struct Changelog {
    pub(crate) topic: Arc<str>,
    pub(crate) handle: TopicHandle,
    pub(crate) partition: i32,
    /// The topic that the rows are read from: nothing is written to it.
    pub(crate) is_source: bool,
}

/// Writes the row of a changelog record, of key, value and timestamp, into two buffers. False if the row is deleted.
pub(crate) type RestoredRow = fn(&[u8], Option<&[u8]>, i64, &mut Vec<u8>, &mut Vec<u8>) -> bool;

fn plain_row(
    key: &[u8],
    value: Option<&[u8]>,
    timestamp_ms: i64,
    row_key: &mut Vec<u8>,
    row: &mut Vec<u8>,
) -> bool {
    row_key.extend_from_slice(key);
    let Some(value) = value else { return false };
    row.extend_from_slice(&timestamp_ms.to_be_bytes());
    row.extend_from_slice(value);
    true
}

fn version_row(
    key: &[u8],
    value: Option<&[u8]>,
    timestamp_ms: i64,
    row_key: &mut Vec<u8>,
    row: &mut Vec<u8>,
) -> bool {
    row_key.extend_from_slice(key);
    row_key.extend_from_slice(&timestamp_ms.max(0).to_be_bytes());
    row.extend_from_slice(&timestamp_ms.to_be_bytes());
    row.push(if value.is_some() {
        versioned::IS_THERE
    } else {
        versioned::IS_DELETED
    });
    row.extend_from_slice(value.unwrap_or_default());
    true
}

/// Up to where the task has read its partitions.
pub(crate) type Positions<'a> = &'a dyn Fn(&str, i32) -> Option<i64>;

impl Changelog {
    /// The offset that a store corresponds to after a commit, if that is known.
    pub(crate) fn committed_offset(&self, producer: &dyn Producer, positions: Positions<'_>) -> Option<i64> {
        if self.is_source {
            return positions(&self.topic, self.partition);
        }
        producer
            .last_offset(self.handle, self.partition)
            .map(|last| last + 1)
    }
}

/// What the task does with each of its stores, whatever their types.
pub(crate) trait TaskStore: Debug {
    fn name(&self) -> &str;

    /// The byte store underneath, to restore it.
    fn bytes(&self) -> &Arc<dyn state_store::KeyValueStore>;

    fn changelog(&self) -> Option<&Changelog>;

    /// The row that a record of the changelog is: its key, and its bytes; `None` if it is deleted.
    fn restored(&self) -> RestoredRow {
        plain_row
    }

    /// Sends the rows written since the last commit to the changelog. Returns how many.
    fn write_changelog(&self, producer: &mut dyn Producer) -> StoreResult<usize>;

    /// After the commit: remembers up to where the changelog holds this store.
    fn committed(&self, producer: &dyn Producer, positions: Positions<'_>);

    /// Writes all committed rows to the byte store, with the changelog offset. Only between a commit and the next write.
    fn flush(&self) -> StoreResult<()>;

    /// True if rows that cannot be dropped yet fill the cache: commit and flush now.
    fn over_limit(&self) -> bool;

    /// How many values were put since the last call that were too old to be found again.
    fn take_expired(&self) -> u64 {
        0
    }
}

const UNLOGGED: u8 = 1;
const UNFLUSHED: u8 = 2;
const TOUCHED: u8 = 4;
/// There is a row of this key in the byte store.
const STORED: u8 = 8;
/// Written since the last commit.
const CHANGED: u8 = 16;
/// Of what was written since the last commit: it had a value then.
const WAS_THERE: u8 = 32;

struct Row<V> {
    key: Box<[u8]>,
    value: Option<ValueAndTimestamp<V>>,
    /// When it was deleted, if there is no value.
    deleted_ms: i64,
    /// As last seen by the serde; an estimate until then.
    value_bytes: u32,
    flags: u8,
}

impl<V> Row<V> {
    fn cost(&self) -> usize {
        ROW_OVERHEAD_BYTES + size_of::<Self>() + self.key.len() + self.value_bytes as usize
    }
}

/// What a put wrote that another one replaced before it was logged.
struct Superseded {
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
}

/// Where a row is, until the next flush.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(u32);

/// See the file's top.
pub(crate) struct Cached<V> {
    store: Arc<dyn state_store::KeyValueStore>,
    topic: Arc<str>,
    value_serde: Arc<dyn Serde<V>>,
    rows: Vec<Row<V>>,
    by_key: HashTable<u32>,
    hasher: RandomState,
    unlogged: Vec<u32>,
    unflushed: Vec<u32>,
    /// The unflushed rows by key, for stores that are read by ranges all the time.
    ordered: Option<BTreeMap<Box<[u8]>, u32>>,
    /// Rows are versions of a key: see `versioned.rs`.
    is_versioned: bool,
    /// If every put is logged: what was replaced since the last commit, by its place in `unlogged`.
    superseded: Option<BTreeMap<usize, StoreResult<Superseded>>>,
    used_bytes: usize,
    dirty_bytes: usize,
    limit_bytes: usize,
    /// How often there is what is not committed: once more if somebody holds it too.
    copies: usize,
    changelog_offset: Option<i64>,
    /// Rows that ended before this time may go.
    pub(crate) expire_before_ms: Option<i64>,
    /// Values that were put although they were older than what is kept, since this was last looked at.
    pub(crate) expired: u64,
    buffer: Vec<u8>,
    batch: WriteBatch,
}

impl<V> Cached<V> {
    pub(crate) fn new(
        store: Arc<dyn state_store::KeyValueStore>,
        topic: Arc<str>,
        value_serde: Arc<dyn Serde<V>>,
        limit_bytes: usize,
    ) -> Self {
        Self {
            store,
            topic,
            value_serde,
            rows: Vec::new(),
            by_key: HashTable::new(),
            hasher: RandomState::default(),
            unlogged: Vec::new(),
            unflushed: Vec::new(),
            ordered: None,
            is_versioned: false,
            superseded: None,
            used_bytes: 0,
            dirty_bytes: 0,
            limit_bytes,
            copies: 1,
            changelog_offset: None,
            expire_before_ms: None,
            expired: 0,
            buffer: Vec::new(),
            batch: WriteBatch::default(),
        }
    }

    /// Keeps unflushed rows in order, so that ranges need not look at all of them.
    pub(crate) fn ordered(mut self) -> Self {
        self.ordered = Some(BTreeMap::new());
        self
    }

    /// Rows are versions: their time is not part of the key that is logged, nor the byte in front of their value.
    pub(crate) fn versioned(mut self) -> Self {
        self.is_versioned = true;
        self.logging_every_put()
    }

    /// Logs every put, and not only the last one of a key before a commit.
    pub(crate) fn logging_every_put(mut self) -> Self {
        self.superseded = Some(BTreeMap::new());
        self
    }

    /// Before the first change of a row after a commit: remembers whether it was there.
    fn remember(&mut self, slot: Slot) {
        let row = &mut self.rows[slot.0 as usize];
        if row.flags & CHANGED == 0 {
            row.flags |= CHANGED | if row.value.is_some() { WAS_THERE } else { 0 };
        }
    }

    /// Whether there was a row of `key` at the last commit.
    pub(crate) fn was_committed(&mut self, key: &[u8]) -> StoreResult<bool> {
        let slot = self.find(key)?;
        let row = &self.rows[slot.0 as usize];
        Ok(if row.flags & CHANGED == 0 {
            row.value.is_some()
        } else {
            row.flags & WAS_THERE != 0
        })
    }

    /// Counts what is not committed twice: somebody holds it too.
    pub(crate) fn count_twice(&mut self) {
        self.copies = 2;
    }

    /// Before the value of a row is replaced: keeps what is still to be logged.
    fn supersede(&mut self, slot: Slot) {
        let row = &mut self.rows[slot.0 as usize];
        let Some(superseded) = self.superseded.as_mut().filter(|_| row.flags & UNLOGGED != 0) else {
            return;
        };
        let kept = match &row.value {
            None => Ok(Superseded {
                value: None,
                timestamp_ms: row.deleted_ms,
            }),
            Some(ValueAndTimestamp { value, timestamp_ms }) => {
                let mut bytes = Vec::new();
                let written = self.value_serde.serialize(&self.topic, value, &mut bytes);
                written
                    .map(|()| Superseded {
                        value: Some(bytes),
                        timestamp_ms: *timestamp_ms,
                    })
                    .map_err(|error| write_error(&self.topic, error))
            }
        };
        if let Some(at) = self.unlogged.iter().rposition(|&index| index == slot.0) {
            superseded.insert(at, kept);
        }
        row.flags &= !UNLOGGED;
    }

    /// The row of `key`, read from the byte store if it is not here.
    pub(crate) fn find(&mut self, key: &[u8]) -> StoreResult<Slot> {
        let hash = self.hasher.hash_one(key);
        if let Some(&index) = self
            .by_key
            .find(hash, |&index| &*self.rows[index as usize].key == key)
        {
            return Ok(Slot(index));
        }
        let stored = self.store.get(key)?;
        let value = match &stored {
            Some(bytes) => Some(self.decode(bytes)?),
            None => None,
        };
        let is_stored = stored.is_some();
        let value_bytes = stored.map_or(size_of::<V>(), |bytes| bytes.len());
        let row = Row {
            key: Box::from(key),
            value,
            deleted_ms: 0,
            value_bytes: u32::try_from(value_bytes).unwrap_or(u32::MAX),
            flags: TOUCHED | if is_stored { STORED } else { 0 },
        };
        self.used_bytes += row.cost();
        let index = u32::try_from(self.rows.len()).expect("the cache's byte limit keeps rows far below 2^32");
        self.rows.push(row);
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.by_key
            .insert_unique(hash, index, |&index| hasher.hash_one(&*rows[index as usize].key));
        Ok(Slot(index))
    }

    pub(crate) fn value(&self, slot: Slot) -> Option<&ValueAndTimestamp<V>> {
        self.rows[slot.0 as usize].value.as_ref()
    }

    /// Whether a value is null on the wire: as a row it is none.
    pub(crate) fn is_null(&self, value: &V) -> bool {
        self.value_serde.is_null(value)
    }

    /// Writes a row; `None`, and a value that is null on the wire, delete it, at `deleted_ms`. Returns what was there.
    pub(crate) fn set(
        &mut self,
        slot: Slot,
        value: Option<ValueAndTimestamp<V>>,
        deleted_ms: i64,
    ) -> Option<ValueAndTimestamp<V>> {
        self.remember(slot);
        self.supersede(slot);
        let value = value.filter(|row| !self.value_serde.is_null(&row.value));
        let row = &mut self.rows[slot.0 as usize];
        if row.flags & UNLOGGED == 0 {
            self.unlogged.push(slot.0);
            if row.flags & UNFLUSHED == 0 {
                self.unflushed.push(slot.0);
                self.dirty_bytes += row.cost();
                if let Some(ordered) = &mut self.ordered {
                    ordered.insert(row.key.clone(), slot.0);
                }
            }
        }
        row.flags |= UNLOGGED | UNFLUSHED | TOUCHED;
        row.deleted_ms = deleted_ms;
        std::mem::replace(&mut row.value, value)
    }

    /// Drops a row, without a word in the changelog: what was put is still logged. For stores that log every put.
    pub(crate) fn discard(&mut self, slot: Slot) {
        self.supersede(slot);
        let row = &mut self.rows[slot.0 as usize];
        if row.flags & UNFLUSHED == 0 {
            self.unflushed.push(slot.0);
            self.dirty_bytes += row.cost();
            if let Some(ordered) = &mut self.ordered {
                ordered.insert(row.key.clone(), slot.0);
            }
        }
        row.flags |= UNFLUSHED | TOUCHED;
        row.value = None;
    }

    /// Takes the value out, to be put back changed with [`set`](Self::set).
    pub(crate) fn take(&mut self, slot: Slot) -> Option<ValueAndTimestamp<V>> {
        self.remember(slot);
        self.supersede(slot);
        self.rows[slot.0 as usize].value.take()
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
        if times_ms.is_empty() || is_inverted(from, to) {
            return Ok(CachedIter {
                stored: Box::new(std::iter::empty()),
                next_stored: None,
                overlay: VecDeque::new(),
                direction,
                decoder: self.decoder(),
            });
        }
        let mut unflushed = Vec::new();
        match &self.ordered {
            Some(ordered) => in_range(ordered, (from, to), &mut unflushed),
            None => {
                for &index in &self.unflushed {
                    put_if_within(&self.rows[index as usize].key, index, (from, to), &mut unflushed);
                }
                sort(&mut unflushed);
            }
        }
        let mut overlay = VecDeque::with_capacity(unflushed.len());
        for (key, index) in unflushed {
            overlay.push_back((key, self.rows[index as usize].value.clone()));
        }
        Ok(CachedIter {
            stored: self.store.range_during(from, to, times_ms, direction)?,
            next_stored: None,
            overlay,
            direction,
            decoder: self.decoder(),
        })
    }

    /// About how many rows there are: the byte store's guess, and exactly what is not flushed yet.
    pub(crate) fn approximate_len(&self) -> StoreResult<u64> {
        let unflushed = self.unflushed.iter().map(|&index| &self.rows[index as usize]);
        let (mut new, mut deleted) = (0, 0);
        for row in unflushed {
            match (row.value.is_some(), row.flags & STORED != 0) {
                (true, false) => new += 1,
                (false, true) => deleted += 1,
                _ => {}
            }
        }
        let stored: u64 = self.store.approximate_len()?;
        Ok((stored + new).saturating_sub(deleted))
    }

    /// The first row whose key is `from` or comes after it: for stores that are read from one end, step by step.
    pub(crate) fn first_from(&self, from: &[u8]) -> StoreResult<Option<(Bytes, ValueAndTimestamp<V>)>>
    where
        V: Clone,
    {
        let mut unflushed = self.ordered.iter().flat_map(|ordered| {
            let rows = ordered.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
            rows.map(|(key, &index)| (key, &self.rows[index as usize].value))
        });
        let mut stored = self
            .store
            .range(Bound::Included(from), Bound::Unbounded, Direction::Forward)?;
        let (mut newer, mut older) = (unflushed.next(), stored.next().transpose()?);
        loop {
            let newer_first = match (&newer, &older) {
                (Some((newer, _)), Some((older, _))) => ***newer <= **older,
                (newer, _) => newer.is_some(),
            };
            match (newer_first, newer) {
                (true, Some((key, value))) => {
                    if let Some(value) = value {
                        return Ok(Some((Bytes::copy_from_slice(key), value.clone())));
                    }
                    if older.as_ref().is_some_and(|(older, _)| **older == **key) {
                        older = stored.next().transpose()?;
                    }
                    newer = unflushed.next();
                }
                (_, unread) => {
                    let Some((key, bytes)) = older else {
                        return Ok(None);
                    };
                    let _ = unread;
                    return Ok(Some((key, self.decode(&bytes)?)));
                }
            }
        }
    }

    fn decoder(&self) -> Decoder<V> {
        Decoder {
            topic: Arc::clone(&self.topic),
            serde: Arc::clone(&self.value_serde),
        }
    }

    fn decode(&self, bytes: &[u8]) -> StoreResult<ValueAndTimestamp<V>> {
        decode(&self.topic, &*self.value_serde, self.store.name(), bytes)
    }

    fn write_changelog(&mut self, changelog: &Changelog, producer: &mut dyn Producer) -> StoreResult<usize> {
        let mut written = 0;
        let headers = Headers::default();
        let logs_every_put = self.superseded.is_some();
        let mut superseded = self.superseded.as_mut().map(std::mem::take).unwrap_or_default();
        for (at, index) in self.unlogged.drain(..).enumerate() {
            let row = &mut self.rows[index as usize];
            let was_there = row.flags & WAS_THERE != 0;
            row.flags &= !(CHANGED | WAS_THERE);
            written += 1;
            let key = if self.is_versioned {
                &row.key[..row.key.len() - versioned::TIME_BYTES]
            } else {
                &row.key
            };
            if let Some(kept) = superseded.remove(&at) {
                let Superseded { value, timestamp_ms } = kept?;
                let record = RecordView {
                    key: Some(key),
                    value: logged(self.is_versioned, value.as_deref()),
                    timestamp_ms,
                    headers: &headers,
                };
                producer.send(changelog.handle, changelog.partition, record)?;
                continue;
            }
            row.flags &= !UNLOGGED;
            if row.value.is_none() && !was_there && !logs_every_put {
                // It came and went: the changelog never had it.
                written -= 1;
                continue;
            }
            self.buffer.clear();
            let (value, timestamp_ms) = match &row.value {
                Some(ValueAndTimestamp { value, timestamp_ms }) => {
                    self.value_serde
                        .serialize(&self.topic, value, &mut self.buffer)
                        .map_err(|error| write_error(&self.topic, error))?;
                    (Some(self.buffer.as_slice()), *timestamp_ms)
                }
                None => (None, row.deleted_ms),
            };
            let value_bytes = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
            let grown = value_bytes.saturating_sub(row.value_bytes) as usize;
            row.value_bytes = row.value_bytes.max(value_bytes);
            self.used_bytes += grown;
            self.dirty_bytes += grown;
            let key = if self.is_versioned {
                &row.key[..row.key.len() - versioned::TIME_BYTES]
            } else {
                &row.key
            };
            let record = RecordView {
                key: Some(key),
                value: logged(self.is_versioned, value),
                timestamp_ms,
                headers: &headers,
            };
            producer.send(changelog.handle, changelog.partition, record)?;
        }
        Ok(written)
    }

    /// Counts what was written since the last commit as logged.
    fn forget_unlogged(&mut self) -> usize {
        let written = self.unlogged.len();
        for index in self.unlogged.drain(..) {
            self.rows[index as usize].flags &= !(UNLOGGED | CHANGED | WAS_THERE);
        }
        if let Some(superseded) = &mut self.superseded {
            superseded.clear();
        }
        written
    }

    fn flush(&mut self) -> StoreResult<()> {
        if let Some(time_ms) = self.expire_before_ms {
            self.store.expire_before(time_ms)?;
        }
        if self.unflushed.is_empty() {
            return Ok(());
        }
        let rows = &self.rows;
        sort_by_key(&mut self.unflushed, &|index| &rows[index as usize].key);
        self.batch.clear();
        for &index in &self.unflushed {
            let row = &self.rows[index as usize];
            match &row.value {
                Some(ValueAndTimestamp { value, timestamp_ms }) => {
                    self.buffer.clear();
                    self.buffer.extend_from_slice(&timestamp_ms.to_be_bytes());
                    self.value_serde
                        .serialize(&self.topic, value, &mut self.buffer)
                        .map_err(|error| write_error(&self.topic, error))?;
                    self.batch.put(&row.key, &self.buffer);
                }
                None => self.batch.delete(&row.key),
            }
        }
        if let Some(offset) = self.changelog_offset {
            self.batch.set_changelog_offset(offset);
        }
        self.store.write(&self.batch)?;
        for index in self.unflushed.drain(..) {
            let row = &mut self.rows[index as usize];
            row.flags &= !(UNLOGGED | UNFLUSHED | STORED | CHANGED | WAS_THERE);
            if row.value.is_some() {
                row.flags |= STORED;
            }
        }
        self.unlogged.clear();
        if let Some(ordered) = &mut self.ordered {
            ordered.clear();
        }
        self.dirty_bytes = 0;
        if self.used_bytes > self.limit_bytes {
            self.evict();
        }
        Ok(())
    }

    /// Keeps rows touched since the last eviction, up to half of the limit. All rows are clean here.
    fn evict(&mut self) {
        let keep_bytes = self.limit_bytes / 2;
        let mut used_bytes = 0;
        self.rows.retain_mut(|row| {
            let keep = row.flags & TOUCHED != 0 && used_bytes + row.cost() <= keep_bytes;
            row.flags &= !TOUCHED;
            if keep {
                used_bytes += row.cost();
            }
            keep
        });
        self.rows.shrink_to(self.rows.len() * 2);
        self.used_bytes = used_bytes;
        self.by_key = HashTable::with_capacity(self.rows.len());
        let (rows, hasher) = (&self.rows, &self.hasher);
        let hash = |index: &u32| hasher.hash_one(&*rows[*index as usize].key);
        for index in 0..u32::try_from(rows.len()).expect("there were less than 2^32 before") {
            self.by_key.insert_unique(hash(&index), index, hash);
        }
    }

    fn over_limit(&self) -> bool {
        self.dirty_bytes.saturating_mul(self.copies) > self.limit_bytes / 2
            || self.used_bytes > self.limit_bytes
    }
}

impl<V> Debug for Cached<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached")
            .field("store", &self.store)
            .field("rows", &self.rows.len())
            .field("unflushed", &self.unflushed.len())
            .finish_non_exhaustive()
    }
}

/// True if a range ends before it begins: there is nothing in it.
fn is_inverted(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

/// What is logged of a value's bytes.
fn logged(is_versioned: bool, value: Option<&[u8]>) -> Option<&[u8]> {
    match value {
        Some(value) if is_versioned => value.strip_prefix(&[versioned::IS_THERE]),
        value => value,
    }
}

fn decode<V>(
    topic: &str,
    serde: &dyn Serde<V>,
    store: &str,
    bytes: &[u8],
) -> StoreResult<ValueAndTimestamp<V>> {
    let Some((timestamp, value)) = bytes.split_first_chunk::<TIMESTAMP_BYTES>() else {
        return Err(ProcessCause::CorruptRow {
            store: store.to_owned(),
            length: bytes.len(),
        });
    };
    let value = serde
        .deserialize(topic, value)
        .map_err(|error| ProcessCause::Serde {
            action: "read",
            part: "value",
            topic: topic.to_owned(),
            error,
        })?;
    Ok(ValueAndTimestamp {
        value,
        timestamp_ms: i64::from_be_bytes(*timestamp),
    })
}

fn write_error(topic: &str, error: crate::serde::SerdeError) -> ProcessCause {
    ProcessCause::Serde {
        action: "write",
        part: "value",
        topic: topic.to_owned(),
        error,
    }
}

// Not generic, so that they are compiled once and not for each type of value.

type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn in_range(ordered: &BTreeMap<Box<[u8]>, u32>, range: KeyRange<'_>, found: &mut Vec<(Bytes, u32)>) {
    let rows = ordered.range::<[u8], _>(range);
    found.extend(rows.map(|(key, &index)| (Bytes::copy_from_slice(key), index)));
}

fn put_if_within(key: &[u8], index: u32, range: KeyRange<'_>, found: &mut Vec<(Bytes, u32)>) {
    if std::ops::RangeBounds::<[u8]>::contains::<[u8]>(&range, key) {
        found.push((Bytes::copy_from_slice(key), index));
    }
}

fn sort_by_key<'a>(rows: &mut [u32], key: &dyn Fn(u32) -> &'a [u8]) {
    rows.sort_unstable_by(|a, b| key(*a).cmp(key(*b)));
}

fn sort(rows: &mut [(Bytes, u32)]) {
    rows.sort_unstable();
}

struct Decoder<V> {
    topic: Arc<str>,
    serde: Arc<dyn Serde<V>>,
}

/// Rows of a range: key bytes, value, timestamp.
pub(crate) struct CachedIter<V> {
    stored: state_store::KeyValueIter,
    next_stored: Option<(Bytes, Bytes)>,
    /// What is not flushed, by key.
    overlay: VecDeque<(Bytes, Option<ValueAndTimestamp<V>>)>,
    direction: Direction,
    decoder: Decoder<V>,
}

impl<V> CachedIter<V> {
    fn next_row(&mut self) -> StoreResult<Option<(Bytes, ValueAndTimestamp<V>)>> {
        loop {
            if self.next_stored.is_none() {
                self.next_stored = self.stored.next().transpose()?;
            }
            let newest = match self.direction {
                Direction::Forward => self.overlay.front(),
                Direction::Backward => self.overlay.back(),
            };
            let overlay_first = match (&newest, &self.next_stored) {
                (Some(newest), Some((stored, _))) => match self.direction {
                    Direction::Forward => newest.0 <= *stored,
                    Direction::Backward => newest.0 >= *stored,
                },
                (Some(_), None) => true,
                (None, _) => false,
            };
            let newest = match (overlay_first, self.direction) {
                (false, _) => None,
                (true, Direction::Forward) => self.overlay.pop_front(),
                (true, Direction::Backward) => self.overlay.pop_back(),
            };
            if let Some((key, value)) = newest {
                if self
                    .next_stored
                    .as_ref()
                    .is_some_and(|(stored, _)| *stored == key)
                {
                    self.next_stored = None;
                }
                match value {
                    Some(value) => return Ok(Some((key, value))),
                    None => continue,
                }
            }
            return match self.next_stored.take() {
                Some((key, bytes)) => {
                    let value = decode(
                        &self.decoder.topic,
                        &*self.decoder.serde,
                        &self.decoder.topic,
                        &bytes,
                    )?;
                    Ok(Some((key, value)))
                }
                None => Ok(None),
            };
        }
    }
}

impl<V> Iterator for CachedIter<V> {
    type Item = StoreResult<(Bytes, ValueAndTimestamp<V>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

/// A store as its task sees it.
pub(crate) struct LiveStore<V> {
    pub(crate) name: String,
    pub(crate) bytes: Arc<dyn state_store::KeyValueStore>,
    pub(crate) changelog: Option<Changelog>,
    pub(crate) cached: std::rc::Rc<RefCell<Cached<V>>>,
}

impl<V> Debug for LiveStore<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveStore")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<V> TaskStore for LiveStore<V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> &Arc<dyn state_store::KeyValueStore> {
        &self.bytes
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.changelog.as_ref()
    }

    fn restored(&self) -> RestoredRow {
        if self.cached.borrow().is_versioned {
            version_row
        } else {
            plain_row
        }
    }

    fn write_changelog(&self, producer: &mut dyn Producer) -> StoreResult<usize> {
        match &self.changelog {
            Some(changelog) if changelog.is_source => Ok(self.cached.borrow_mut().forget_unlogged()),
            Some(changelog) => self.cached.borrow_mut().write_changelog(changelog, producer),
            None => Ok(self.cached.borrow_mut().forget_unlogged()),
        }
    }

    fn committed(&self, producer: &dyn Producer, positions: Positions<'_>) {
        let changelog = self.changelog.as_ref();
        let offset = changelog.and_then(|changelog| changelog.committed_offset(producer, positions));
        if offset.is_some() {
            self.cached.borrow_mut().changelog_offset = offset;
        }
    }

    fn flush(&self) -> StoreResult<()> {
        self.cached.borrow_mut().flush()
    }

    fn over_limit(&self) -> bool {
        self.cached.borrow().over_limit()
    }

    fn take_expired(&self) -> u64 {
        std::mem::take(&mut self.cached.borrow_mut().expired)
    }
}
