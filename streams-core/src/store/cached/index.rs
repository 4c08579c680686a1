//! What a cache knows of its rows whatever the type of their values: where they are, and which are not logged or not flushed.
//!
//! Not generic, so that it is compiled once and not for each type of value; the values themselves are behind [`Rows`].

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use state_store::{Direction, WriteBatch};

use super::history::Sweep;
use super::range::{KeyRange, Next};
use super::{TIMESTAMP_BYTES, split_timestamp};
use crate::log::{Producer, RecordView};
use crate::record::Headers;
use crate::store::task::Changelog;
use crate::store::{StoreResult, versioned};

/// What a row costs beside its key and value: entry, table slot, allocation headers.
const ROW_OVERHEAD_BYTES: usize = 64;

const UNLOGGED: u8 = 1;
const UNFLUSHED: u8 = 2;
const TOUCHED: u8 = 4;
/// There is a row of this key in the byte store.
const STORED: u8 = 8;
/// Written since the last commit.
const CHANGED: u8 = 16;
/// Of what was written since the last commit: it had a value then.
const WAS_THERE: u8 = 32;
/// Of versions: the value says that there is none.
const DELETION: u8 = 64;

/// A row without its value.
pub(crate) struct Head {
    pub(super) key: Box<[u8]>,
    /// When it was deleted, if there is no value.
    deleted_ms: i64,
    /// As last seen by the serde; an estimate until then.
    value_bytes: u32,
    flags: u8,
}

/// The rows of a cache, by their numbers.
pub(crate) trait Rows {
    fn head(&self, slot: Slot) -> &Head;

    fn head_mut(&mut self, slot: Slot) -> &mut Head;

    /// The event time of a row's value, if it has one.
    fn timestamp_ms(&self, slot: Slot) -> Option<i64>;

    /// Appends the bytes of a row's value, if it has one.
    fn write_value(&self, slot: Slot, out: &mut Vec<u8>) -> StoreResult<()>;

    /// Takes the value of a row away.
    fn remove_value(&mut self, slot: Slot);

    fn count(&self) -> usize;

    /// Has two rows change places.
    fn swap(&mut self, one: usize, other: usize);

    /// Drops the rows from this number on.
    fn truncate(&mut self, count: usize);
}

/// The number of a row, until the next flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(super) fn new(number: usize) -> Self {
        Self(u32::try_from(number).expect("the cache's byte limit keeps rows far below 2^32"))
    }

    pub(super) fn number(self) -> usize {
        self.0 as usize
    }
}

/// What a version says, but for its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub(crate) from_ms: i64,
    /// There is no value.
    pub(crate) is_deletion: bool,
}

/// Whether the stored row of a version says that there is no value.
fn is_deletion(stored: &[u8]) -> bool {
    stored.get(TIMESTAMP_BYTES) == Some(&versioned::IS_DELETED)
}

/// What a put wrote that another one replaced before it was logged.
struct Superseded {
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
}

/// See the file's top.
pub(crate) struct RowIndex {
    pub(super) store: Arc<dyn state_store::KeyValueStore>,
    /// What a row costs without its key and the bytes of its value.
    row_bytes: usize,
    by_key: HashTable<Slot>,
    hasher: RandomState,
    unlogged: Vec<Slot>,
    pub(super) unflushed: Vec<Slot>,
    /// The unflushed rows by key, for stores that are read by ranges all the time.
    pub(super) ordered: Option<BTreeMap<Box<[u8]>, Slot>>,
    /// Of versions of keys: how old what is put may be. Their time is not part of the key that is logged, nor the byte in front of
    /// their value.
    pub(crate) history_ms: Option<i64>,
    /// Of versions: how far the store was looked through for those that may go.
    pub(super) sweep: Sweep,
    /// If every put is logged: what was replaced since the last commit, by its place in `unlogged`.
    superseded: Option<BTreeMap<usize, StoreResult<Superseded>>>,
    used_bytes: usize,
    dirty_bytes: usize,
    limit_bytes: usize,
    /// How often there is what is not committed: once more if somebody holds it too.
    pub(super) copies: usize,
    pub(crate) changelog_offset: Option<i64>,
    /// Rows that ended before this time may go.
    pub(super) expire_before_ms: Option<i64>,
    /// Values that were put although they were older than what is kept, since this was last looked at.
    pub(crate) expired: u64,
    buffer: Vec<u8>,
    pub(super) batch: WriteBatch,
}

impl RowIndex {
    /// Of a cache whose rows take `row_bytes` in memory.
    pub(crate) fn new(
        store: Arc<dyn state_store::KeyValueStore>,
        row_bytes: usize,
        limit_bytes: usize,
    ) -> Self {
        Self {
            store,
            row_bytes: ROW_OVERHEAD_BYTES + row_bytes,
            by_key: HashTable::new(),
            hasher: RandomState::default(),
            unlogged: Vec::new(),
            unflushed: Vec::new(),
            ordered: None,
            history_ms: None,
            sweep: Sweep::default(),
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
    pub(crate) fn keep_order(&mut self) {
        self.ordered = Some(BTreeMap::new());
    }

    /// Logs every put, and not only the last one of a key before a commit.
    pub(crate) fn log_every_put(&mut self) {
        self.superseded = Some(BTreeMap::new());
    }

    pub(crate) fn is_versioned(&self) -> bool {
        self.history_ms.is_some()
    }

    pub(super) fn logs_every_put(&self) -> bool {
        self.superseded.is_some()
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The row of a key, if it is here.
    pub(super) fn find(&self, rows: &dyn Rows, hash: u64, key: &[u8]) -> Option<Slot> {
        self.by_key
            .find(hash, |&slot| &*rows.head(slot).key == key)
            .copied()
    }

    /// The head of a row that is to be put at the end, of a key that is not here. If the byte store has none of it,
    /// `value_bytes` is a guess of what it will take.
    pub(super) fn head(&mut self, key: &[u8], stored: Option<&Bytes>, value_bytes: usize) -> Head {
        let value_bytes = stored.map_or(value_bytes, Bytes::len);
        let head = Head {
            key: Box::from(key),
            deleted_ms: 0,
            value_bytes: u32::try_from(value_bytes).unwrap_or(u32::MAX),
            flags: TOUCHED | stored.map_or(0, |_| STORED) | self.deletion(stored),
        };
        self.used_bytes += self.cost(&head);
        head
    }

    /// Makes the last row, which was just put there, known by its key.
    pub(super) fn insert(&mut self, rows: &dyn Rows, hash: u64) -> Slot {
        let slot = Slot::new(rows.count() - 1);
        let hasher = &self.hasher;
        self.by_key
            .insert_unique(hash, slot, |&slot| hasher.hash_one(&*rows.head(slot).key));
        slot
    }

    fn deletion(&self, stored: Option<&Bytes>) -> u8 {
        match stored {
            Some(stored) if self.is_versioned() && is_deletion(stored) => DELETION,
            _ => 0,
        }
    }

    /// Of versions: whether the value that was put says that there is none.
    pub(super) fn mark_deletion(&self, rows: &mut dyn Rows, slot: Slot, is_deletion: bool) {
        let head = rows.head_mut(slot);
        head.flags &= !DELETION;
        head.flags |= if is_deletion { DELETION } else { 0 };
    }

    fn cost(&self, head: &Head) -> usize {
        self.row_bytes + head.key.len() + head.value_bytes as usize
    }

    /// Whether there was a row at the last commit.
    pub(super) fn was_committed(&self, rows: &dyn Rows, slot: Slot) -> bool {
        let flags = rows.head(slot).flags;
        if flags & CHANGED == 0 {
            rows.timestamp_ms(slot).is_some()
        } else {
            flags & WAS_THERE != 0
        }
    }

    /// Before a row's value is taken out or replaced: keeps what is still to be known and to be logged of it.
    pub(super) fn supersede(&mut self, rows: &mut dyn Rows, slot: Slot) {
        let flags = rows.head(slot).flags;
        if flags & CHANGED == 0 {
            let was_there = rows.timestamp_ms(slot).map_or(0, |_| WAS_THERE);
            rows.head_mut(slot).flags |= CHANGED | was_there;
        }
        self.supersede_unlogged(rows, slot);
    }

    fn supersede_unlogged(&mut self, rows: &mut dyn Rows, slot: Slot) {
        let head = rows.head(slot);
        let Some(superseded) = self.superseded.as_mut().filter(|_| head.flags & UNLOGGED != 0) else {
            return;
        };
        let kept = match rows.timestamp_ms(slot) {
            None => Ok(Superseded {
                value: None,
                timestamp_ms: head.deleted_ms,
            }),
            Some(timestamp_ms) => {
                let mut bytes = Vec::new();
                rows.write_value(slot, &mut bytes).map(|()| Superseded {
                    value: Some(bytes),
                    timestamp_ms,
                })
            }
        };
        if let Some(at) = self.unlogged.iter().rposition(|&unlogged| unlogged == slot) {
            superseded.insert(at, kept);
        }
        rows.head_mut(slot).flags &= !UNLOGGED;
    }

    /// A row's value is replaced: it is to be logged, and to be flushed. If it is deleted, that was at `deleted_ms`.
    pub(super) fn change(&mut self, rows: &mut dyn Rows, slot: Slot, deleted_ms: i64) {
        self.supersede(rows, slot);
        let head = rows.head_mut(slot);
        head.deleted_ms = deleted_ms;
        if head.flags & UNLOGGED == 0 {
            self.unlogged.push(slot);
            head.flags |= UNLOGGED;
        }
        self.dirty(head, slot);
    }

    /// A row goes without a word in the changelog: what was put is still logged. For stores that log every put.
    pub(super) fn discard(&mut self, rows: &mut dyn Rows, slot: Slot) {
        self.supersede_unlogged(rows, slot);
        self.dirty(rows.head_mut(slot), slot);
    }

    fn dirty(&mut self, head: &mut Head, slot: Slot) {
        if head.flags & UNFLUSHED == 0 {
            self.unflushed.push(slot);
            self.dirty_bytes += self.cost(head);
            if let Some(ordered) = &mut self.ordered {
                ordered.insert(head.key.clone(), slot);
            }
        }
        head.flags |= UNFLUSHED | TOUCHED;
    }

    /// Shows the versions of a range of keys to `each`, with the key of their row, until it answers false.
    pub(super) fn each_version(
        &self,
        rows: &dyn Rows,
        keys: KeyRange<'_>,
        direction: Direction,
        each: &mut dyn FnMut(&Bytes, Version) -> bool,
    ) -> StoreResult<()> {
        let (mut merged, slots) = self.range(rows, keys, i64::MIN..=i64::MAX, direction)?;
        while let Some(next) = merged.next_row()? {
            let (key, version) = match next {
                Next::Here(key, place) => {
                    let Some(from_ms) = rows.timestamp_ms(slots[place]) else {
                        continue;
                    };
                    let is_deletion = rows.head(slots[place]).flags & DELETION != 0;
                    (key, Version { from_ms, is_deletion })
                }
                Next::Stored(key, value) => (key, self.version(&value)?),
            };
            if !each(&key, version) {
                break;
            }
        }
        Ok(())
    }

    /// What a stored row says, of versions.
    pub(super) fn version(&self, stored: &[u8]) -> StoreResult<Version> {
        let (from_ms, _) = split_timestamp(self.store.name(), stored)?;
        let is_deletion = is_deletion(stored);
        Ok(Version { from_ms, is_deletion })
    }

    /// A row that is clean here was deleted in the byte store.
    pub(super) fn forget(&self, rows: &mut dyn Rows, key: &[u8]) {
        if let Some(slot) = self.find(rows, self.hash(key), key) {
            rows.remove_value(slot);
            rows.head_mut(slot).flags &= !(STORED | DELETION);
        }
    }

    /// Whether there is no row at all, here or in the byte store.
    pub(super) fn is_empty(&self, rows: &dyn Rows) -> StoreResult<bool> {
        let first = self
            .store
            .range(Bound::Unbounded, Bound::Unbounded, Direction::Forward)?
            .next();
        Ok(rows.count() == 0 && first.transpose()?.is_none())
    }

    /// About how many rows there are: the byte store's guess, and exactly what is not flushed yet.
    pub(super) fn approximate_len(&self, rows: &dyn Rows) -> StoreResult<u64> {
        let (mut new, mut deleted) = (0, 0);
        for &slot in &self.unflushed {
            let is_stored = rows.head(slot).flags & STORED != 0;
            match (rows.timestamp_ms(slot).is_some(), is_stored) {
                (true, false) => new += 1,
                (false, true) => deleted += 1,
                _ => {}
            }
        }
        let stored: u64 = self.store.approximate_len()?;
        Ok((stored + new).saturating_sub(deleted))
    }

    /// Sends what was written since the last commit to the changelog. Returns how many records.
    pub(crate) fn write_changelog(
        &mut self,
        rows: &mut dyn Rows,
        changelog: &Changelog,
        producer: &mut dyn Producer,
    ) -> StoreResult<usize> {
        let mut written = 0;
        let headers = Headers::default();
        let logs_every_put = self.logs_every_put();
        let mut superseded = self.superseded.as_mut().map(std::mem::take).unwrap_or_default();
        let unlogged = std::mem::take(&mut self.unlogged);
        for (at, &slot) in unlogged.iter().enumerate() {
            let head = rows.head_mut(slot);
            let was_there = head.flags & WAS_THERE != 0;
            head.flags &= !(CHANGED | WAS_THERE);
            self.buffer.clear();
            let (value, timestamp_ms) = if let Some(kept) = superseded.remove(&at) {
                let Superseded { value, timestamp_ms } = kept?;
                self.buffer
                    .extend_from_slice(value.as_deref().unwrap_or_default());
                (value.is_some(), timestamp_ms)
            } else {
                head.flags &= !UNLOGGED;
                let timestamp_ms = rows.timestamp_ms(slot);
                if timestamp_ms.is_none() && !was_there && !logs_every_put {
                    // It came and went: the changelog never had it.
                    continue;
                }
                rows.write_value(slot, &mut self.buffer)?;
                self.resize(rows.head_mut(slot));
                (
                    timestamp_ms.is_some(),
                    timestamp_ms.unwrap_or_else(|| rows.head(slot).deleted_ms),
                )
            };
            let record = RecordView {
                key: Some(self.logged_key(rows.head(slot))),
                value: value
                    .then_some(&*self.buffer)
                    .and_then(|value| self.logged_value(value)),
                timestamp_ms,
                headers: &headers,
            };
            producer.send(changelog.handle, changelog.partition, record)?;
            written += 1;
        }
        self.unlogged = unlogged;
        self.unlogged.clear();
        Ok(written)
    }

    /// The bytes of a row's value are in the buffer: what it costs is known now.
    fn resize(&mut self, head: &mut Head) {
        let value_bytes = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        let grown = value_bytes.saturating_sub(head.value_bytes) as usize;
        head.value_bytes = head.value_bytes.max(value_bytes);
        self.used_bytes += grown;
        self.dirty_bytes += grown;
    }

    /// The time of a version is not part of the key that is logged.
    fn logged_key<'a>(&self, head: &'a Head) -> &'a [u8] {
        if self.is_versioned() {
            &head.key[..head.key.len() - versioned::TIME_BYTES]
        } else {
            &head.key
        }
    }

    /// Nor is the byte in front of its value.
    fn logged_value<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        if self.is_versioned() {
            value.strip_prefix(&[versioned::IS_THERE])
        } else {
            Some(value)
        }
    }

    /// Counts what was written since the last commit as logged.
    pub(crate) fn forget_unlogged(&mut self, rows: &mut dyn Rows) -> usize {
        let written = self.unlogged.len();
        for slot in self.unlogged.drain(..) {
            rows.head_mut(slot).flags &= !(UNLOGGED | CHANGED | WAS_THERE);
        }
        if let Some(superseded) = &mut self.superseded {
            superseded.clear();
        }
        written
    }

    /// Writes all rows that are not flushed to the byte store, and drops there what is over.
    pub(crate) fn flush(&mut self, rows: &mut dyn Rows) -> StoreResult<()> {
        if let Some(time_ms) = self.expire_before_ms {
            self.store.expire_before(time_ms)?;
        }
        let flushed = self.unflushed.len();
        let is_versioned = self.is_versioned();
        let first = self.unflushed.first().filter(|_| is_versioned);
        let first = first.map(|&slot| rows.head(slot).key.clone());
        if flushed > 0 {
            self.write_unflushed(rows)?;
        }
        self.sweep(rows, flushed, first.as_deref())
    }

    /// One batch, in the order of keys.
    fn write_unflushed(&mut self, rows: &mut dyn Rows) -> StoreResult<()> {
        self.unflushed
            .sort_unstable_by(|a, b| rows.head(*a).key.cmp(&rows.head(*b).key));
        self.batch.clear();
        for &slot in &self.unflushed {
            match rows.timestamp_ms(slot) {
                Some(timestamp_ms) => {
                    self.buffer.clear();
                    self.buffer.extend_from_slice(&timestamp_ms.to_be_bytes());
                    rows.write_value(slot, &mut self.buffer)?;
                    self.batch.put(&rows.head(slot).key, &self.buffer);
                }
                None => self.batch.delete(&rows.head(slot).key),
            }
        }
        if let Some(offset) = self.changelog_offset {
            self.batch.set_changelog_offset(offset);
        }
        self.store.write(&self.batch)?;
        for slot in self.unflushed.drain(..) {
            let stored = rows.timestamp_ms(slot).map_or(0, |_| STORED);
            let head = rows.head_mut(slot);
            head.flags &= !(UNLOGGED | UNFLUSHED | STORED | CHANGED | WAS_THERE);
            head.flags |= stored;
        }
        self.unlogged.clear();
        if let Some(ordered) = &mut self.ordered {
            ordered.clear();
        }
        self.dirty_bytes = 0;
        if self.used_bytes > self.limit_bytes {
            self.evict(rows);
        }
        Ok(())
    }

    /// Keeps rows touched since the last eviction, up to half of the limit. All rows are clean here.
    fn evict(&mut self, rows: &mut dyn Rows) {
        let keep_bytes = self.limit_bytes / 2;
        let mut used_bytes = 0;
        let mut kept = 0;
        for number in 0..rows.count() {
            let head = rows.head_mut(Slot::new(number));
            let cost = self.cost(head);
            if head.flags & TOUCHED != 0 && used_bytes + cost <= keep_bytes {
                head.flags &= !TOUCHED;
                used_bytes += cost;
                rows.swap(kept, number);
                kept += 1;
            }
        }
        rows.truncate(kept);
        self.used_bytes = used_bytes;
        let (rows, hasher) = (&*rows, &self.hasher);
        self.by_key = HashTable::with_capacity(rows.count());
        let hash = |slot: &Slot| hasher.hash_one(&*rows.head(*slot).key);
        for slot in (0..rows.count()).map(Slot::new) {
            self.by_key.insert_unique(hash(&slot), slot, hash);
        }
    }

    pub(crate) fn over_limit(&self) -> bool {
        self.dirty_bytes.saturating_mul(self.copies) > self.limit_bytes / 2
            || self.used_bytes > self.limit_bytes
    }
}
