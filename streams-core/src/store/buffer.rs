//! A buffer of changes, oldest first: what a suppression holds back.
//!
//! It is held in memory as bytes, so that its size is known, and written to its changelog and to the byte store like any
//! store: one record per key and commit, in Kafka Streams' format (`InMemoryTimeOrderedKeyValueChangeBuffer`, version 3).

mod format;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use state_store::{Direction, WriteBatch};

use self::format::Buffered;
pub use self::format::RecordContext;
use super::StoreResult;
use super::task::{StoreBase, TaskStore};
use crate::error::ProcessCause;
use crate::log::{Producer, RecordView};
use crate::record::{Header, Headers};
use crate::serde::Serde;

/// Bytes of the timestamp in front of a stored value.
const TIMESTAMP_BYTES: usize = 8;

/// Changes by time, one per key: a later change of a key takes the place of the earlier one.
///
/// A cheap handle: clones reach the same buffer.
pub struct TimeOrderedBuffer<K, V> {
    topic: Arc<str>,
    key_serde: Arc<dyn Serde<K>>,
    value_serde: Arc<dyn Serde<V>>,
    rows: Rc<RefCell<Rows>>,
}

/// The oldest change of a buffer.
#[derive(Clone, Debug)]
pub struct Oldest<K, V> {
    /// The key.
    pub key: K,
    /// The value from now on.
    pub new: Option<V>,
    /// The value before the last change.
    pub old: Option<V>,
    /// Where the last change came from.
    pub context: RecordContext,
}

/// The changes, whatever their types.
pub(super) struct Rows {
    store: Arc<dyn state_store::KeyValueStore>,
    is_loaded: bool,
    by_time: BTreeMap<(i64, Bytes), Buffered>,
    times: HashMap<Bytes, i64>,
    used_bytes: usize,
    /// Changed since the last commit, in that order.
    unlogged: Vec<Bytes>,
    is_unlogged: HashSet<Bytes>,
    /// Of the hash set that Kafka Streams lists changed keys in.
    java_capacity: usize,
    unflushed: HashSet<Bytes>,
    /// Time of the last change, for deletions.
    last_ms: i64,
    changelog_offset: Option<i64>,
}

impl<K, V> Clone for TimeOrderedBuffer<K, V> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            key_serde: Arc::clone(&self.key_serde),
            value_serde: Arc::clone(&self.value_serde),
            rows: Rc::clone(&self.rows),
        }
    }
}

impl<K, V> TimeOrderedBuffer<K, V> {
    pub(super) fn new(
        topic: Arc<str>,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Arc<dyn Serde<V>>,
        rows: Rc<RefCell<Rows>>,
    ) -> Self {
        Self {
            topic,
            key_serde,
            value_serde,
            rows,
        }
    }

    /// Adds a change of `key`, or replaces the one that is there, which keeps its place in time. A value that is null on the wire
    /// is none.
    ///
    /// # Errors
    /// If key or values cannot be written, or the store not be read.
    pub fn put(
        &self,
        time_ms: i64,
        key: &K,
        (new, old): (Option<&V>, Option<&V>),
        context: RecordContext,
    ) -> StoreResult<()> {
        let key = self.key(key)?;
        let (new, old) = (self.value(new)?, self.value(old)?);
        self.rows
            .borrow_mut()
            .loaded()?
            .put(time_ms, key, new, old, context);
        Ok(())
    }

    /// The smallest time in the buffer, in milliseconds.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn first_time_ms(&self) -> StoreResult<Option<i64>> {
        let mut rows = self.rows.borrow_mut();
        let first = rows.loaded()?.by_time.first_key_value();
        Ok(first.map(|((time_ms, _), _)| *time_ms))
    }

    /// How many keys are in the buffer.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn len(&self) -> StoreResult<usize> {
        Ok(self.rows.borrow_mut().loaded()?.times.len())
    }

    /// True if nothing is in the buffer.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn is_empty(&self) -> StoreResult<bool> {
        Ok(self.len()? == 0)
    }

    /// What it takes, as Kafka Streams estimates it, in bytes.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn used_bytes(&self) -> StoreResult<usize> {
        Ok(self.rows.borrow_mut().loaded()?.used_bytes)
    }

    /// The oldest change, which stays in the buffer.
    ///
    /// # Errors
    /// If the store cannot be read, or its bytes are not a key and values.
    pub fn first(&self) -> StoreResult<Option<Oldest<K, V>>> {
        let first = {
            let mut rows = self.rows.borrow_mut();
            let first = rows.loaded()?.by_time.first_key_value();
            first.map(|((_, key), change)| (key.clone(), change.clone()))
        };
        let Some((key, change)) = first else {
            return Ok(None);
        };
        Ok(Some(Oldest {
            key: self
                .key_serde
                .deserialize(&self.topic, &key)
                .map_err(|error| self.failed("read", "key", error))?,
            new: self.read_value(change.new)?,
            old: self.read_value(change.old)?,
            context: change.context,
        }))
    }

    /// Takes the oldest change out.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn remove_first(&self) -> StoreResult<()> {
        self.rows.borrow_mut().loaded()?.remove_first();
        Ok(())
    }

    /// The value that those behind the buffer know of a key that is in it: `None` if it is not, `Some(None)` if they know none.
    ///
    /// # Errors
    /// If the key cannot be written, or the store not be read.
    pub fn prior_value(&self, key: &K) -> StoreResult<Option<Option<V>>> {
        let key = self.key(key)?;
        let mut rows = self.rows.borrow_mut();
        let rows = rows.loaded()?;
        let Some(time_ms) = rows.times.get(&key) else {
            return Ok(None);
        };
        let prior = rows
            .by_time
            .get(&(*time_ms, key))
            .and_then(|change| change.prior.clone());
        self.read_value(prior).map(Some)
    }

    fn key(&self, key: &K) -> StoreResult<Bytes> {
        let mut bytes = Vec::new();
        let written = self.key_serde.serialize(&self.topic, key, &mut bytes);
        written.map_err(|error| self.failed("write", "key", error))?;
        Ok(bytes.into())
    }

    fn value(&self, value: Option<&V>) -> StoreResult<Option<Bytes>> {
        let Some(value) = value.filter(|value| !self.value_serde.is_null(value)) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let written = self.value_serde.serialize(&self.topic, value, &mut bytes);
        written.map_err(|error| self.failed("write", "value", error))?;
        Ok(Some(bytes.into()))
    }

    fn read_value(&self, bytes: Option<Bytes>) -> StoreResult<Option<V>> {
        let value = bytes.map(|bytes| self.value_serde.deserialize(&self.topic, &bytes));
        value
            .transpose()
            .map_err(|error| self.failed("read", "value", error))
    }

    fn failed(
        &self,
        action: &'static str,
        part: &'static str,
        error: crate::serde::SerdeError,
    ) -> ProcessCause {
        ProcessCause::serde(action, part, &self.topic, error)
    }
}

impl Rows {
    pub(super) fn new(store: Arc<dyn state_store::KeyValueStore>) -> Self {
        Self {
            store,
            is_loaded: false,
            by_time: BTreeMap::new(),
            times: HashMap::new(),
            used_bytes: 0,
            unlogged: Vec::new(),
            is_unlogged: HashSet::new(),
            java_capacity: format::JAVA_CAPACITY_MIN,
            unflushed: HashSet::new(),
            last_ms: 0,
            changelog_offset: None,
        }
    }

    /// With what the byte store has, which is complete once the task runs.
    fn loaded(&mut self) -> StoreResult<&mut Self> {
        if !self.is_loaded {
            self.is_loaded = true;
            let rows = self
                .store
                .range(Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
            for row in rows {
                let (key, value) = row?;
                let decoded = value.get(TIMESTAMP_BYTES..).and_then(Buffered::read);
                let Some((time_ms, change)) = decoded else {
                    return Err(ProcessCause::CorruptRow {
                        store: self.store.name().to_owned(),
                        length: value.len(),
                    });
                };
                self.used_bytes += change.size(&key);
                self.times.insert(key.clone(), time_ms);
                self.by_time.insert((time_ms, key), change);
            }
        }
        Ok(self)
    }

    fn put(
        &mut self,
        time_ms: i64,
        key: Bytes,
        new: Option<Bytes>,
        old: Option<Bytes>,
        context: RecordContext,
    ) {
        self.last_ms = self.last_ms.max(context.timestamp_ms);
        let time_ms = *self.times.entry(key.clone()).or_insert(time_ms);
        let place = (time_ms, key.clone());
        let replaced = self.by_time.remove(&place);
        let prior = match &replaced {
            Some(earlier) => {
                self.used_bytes -= earlier.size(&key);
                earlier.prior.clone()
            }
            None => old.clone(),
        };
        let change = Buffered {
            context,
            prior,
            old,
            new,
        };
        self.used_bytes += change.size(&key);
        self.by_time.insert(place, change);
        self.changed(&key);
    }

    fn changed(&mut self, key: &Bytes) {
        if self.is_unlogged.insert(key.clone()) {
            self.unlogged.push(key.clone());
        }
    }

    fn remove_first(&mut self) {
        if let Some(((_, key), change)) = self.by_time.pop_first() {
            self.times.remove(&key);
            self.used_bytes -= change.size(&key);
            self.changed(&key);
        }
    }

    fn get(&self, key: &Bytes) -> Option<(i64, &Buffered)> {
        let time_ms = *self.times.get(key)?;
        Some((time_ms, self.by_time.get(&(time_ms, key.clone()))?))
    }
}

/// A buffer as its task sees it.
pub(super) struct LiveBuffer {
    pub(super) base: StoreBase,
    pub(super) rows: Rc<RefCell<Rows>>,
}

impl std::fmt::Debug for LiveBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveBuffer")
            .field("name", &self.base.name)
            .finish_non_exhaustive()
    }
}

impl TaskStore for LiveBuffer {
    fn base(&self) -> &StoreBase {
        &self.base
    }

    fn write_changelog(&self, producer: &mut dyn Producer) -> StoreResult<usize> {
        let mut rows = self.rows.borrow_mut();
        let rows = &mut *rows;
        let mut keys = std::mem::take(&mut rows.unlogged);
        rows.is_unlogged.clear();
        format::in_javas_order(&mut keys, &mut rows.java_capacity);
        let version = Header {
            key: Arc::from("v"),
            value: Some(Bytes::from_static(&[format::VERSION])),
        };
        let (versioned, none) = (Headers::new(vec![version]), Headers::default());
        for key in &keys {
            let Some(changelog) = self.changelog() else { break };
            let change = rows.get(key);
            let value = change.map(|(time_ms, change)| change.write(time_ms));
            let record = RecordView {
                key: Some(key),
                value: value.as_deref(),
                timestamp_ms: change.map_or(rows.last_ms, |(_, change)| change.context.timestamp_ms),
                headers: if value.is_some() { &versioned } else { &none },
            };
            producer.send(changelog.handle, changelog.partition, record)?;
        }
        let written = keys.len();
        rows.unflushed.extend(keys);
        Ok(written)
    }

    fn set_changelog_offset(&self, offset: i64) {
        self.rows.borrow_mut().changelog_offset = Some(offset);
    }

    fn flush(&self) -> StoreResult<()> {
        let mut rows = self.rows.borrow_mut();
        let rows = &mut *rows;
        if rows.unflushed.is_empty() {
            return Ok(());
        }
        let mut keys: Vec<Bytes> = rows.unflushed.drain().collect();
        keys.sort_unstable();
        let mut batch = WriteBatch::default();
        for key in &keys {
            match rows.get(key) {
                Some((time_ms, change)) => {
                    let mut row = change.context.timestamp_ms.to_be_bytes().to_vec();
                    row.extend_from_slice(&change.write(time_ms));
                    batch.put(key, &row);
                }
                None => batch.delete(key),
            }
        }
        if let Some(offset) = rows.changelog_offset {
            batch.set_changelog_offset(offset);
        }
        self.bytes().write(&batch)?;
        Ok(())
    }

    fn over_limit(&self) -> bool {
        false
    }
}

impl<K, V> std::fmt::Debug for TimeOrderedBuffer<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeOrderedBuffer")
            .field("changelog", &self.topic)
            .finish_non_exhaustive()
    }
}
