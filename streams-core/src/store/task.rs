//! A store as its task sees it, whatever its types: restored, logged at commits, flushed.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use super::cached::UntypedCached;
use super::{StoreResult, versioned};
use crate::log::{Producer, TopicHandle};

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

/// What each store of a task has.
pub(crate) struct StoreBase {
    pub(crate) name: String,
    /// The byte store underneath.
    pub(crate) bytes: Arc<dyn state_store::KeyValueStore>,
    pub(crate) changelog: Option<Changelog>,
}

/// What the task does with each of its stores, whatever their types.
pub(crate) trait TaskStore: Debug {
    fn base(&self) -> &StoreBase;

    fn name(&self) -> &str {
        &self.base().name
    }

    /// The byte store underneath, to restore it.
    fn bytes(&self) -> &Arc<dyn state_store::KeyValueStore> {
        &self.base().bytes
    }

    fn changelog(&self) -> Option<&Changelog> {
        self.base().changelog.as_ref()
    }

    /// How old a record of the changelog may be, in milliseconds before the latest one, to be a row at all; `None` if that is no
    /// question.
    fn history_ms(&self) -> Option<i64> {
        None
    }

    /// The row that a record of the changelog is: its key, and its bytes; `None` if it is deleted.
    fn restored(&self) -> RestoredRow {
        plain_row
    }

    /// Sends the rows written since the last commit to the changelog. Returns how many.
    fn write_changelog(&self, producer: &mut dyn Producer) -> StoreResult<usize>;

    /// After the commit: remembers up to where the changelog holds this store.
    fn committed(&self, producer: &dyn Producer, positions: Positions<'_>) {
        let changelog = self.changelog();
        if let Some(offset) = changelog.and_then(|changelog| changelog.committed_offset(producer, positions))
        {
            self.set_changelog_offset(offset);
        }
    }

    /// The offset that goes with what is flushed from now on.
    fn set_changelog_offset(&self, offset: i64);

    /// Writes all committed rows to the byte store, with the changelog offset. Only between a commit and the next write.
    fn flush(&self) -> StoreResult<()>;

    /// True if rows that cannot be dropped yet fill the cache: commit and flush now.
    fn over_limit(&self) -> bool;

    /// How many values were put since the last call that were too old to be found again.
    fn take_expired(&self) -> u64 {
        0
    }
}

/// A store with a typed cache in front.
pub(crate) struct LiveStore {
    pub(crate) base: StoreBase,
    pub(crate) cached: Rc<RefCell<dyn UntypedCached>>,
}

impl Debug for LiveStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveStore")
            .field("name", &self.base.name)
            .finish_non_exhaustive()
    }
}

impl TaskStore for LiveStore {
    fn base(&self) -> &StoreBase {
        &self.base
    }

    fn history_ms(&self) -> Option<i64> {
        self.cached.borrow().index().history_ms
    }

    fn restored(&self) -> RestoredRow {
        if self.history_ms().is_some() {
            version_row
        } else {
            plain_row
        }
    }

    fn write_changelog(&self, producer: &mut dyn Producer) -> StoreResult<usize> {
        let mut cached = self.cached.borrow_mut();
        let (index, rows) = cached.parts();
        match self.changelog() {
            Some(changelog) if !changelog.is_source => index.write_changelog(rows, changelog, producer),
            _ => Ok(index.forget_unlogged(rows)),
        }
    }

    fn set_changelog_offset(&self, offset: i64) {
        self.cached.borrow_mut().parts().0.changelog_offset = Some(offset);
    }

    fn flush(&self) -> StoreResult<()> {
        let mut cached = self.cached.borrow_mut();
        let (index, rows) = cached.parts();
        index.flush(rows)
    }

    fn over_limit(&self) -> bool {
        self.cached.borrow().index().over_limit()
    }

    fn take_expired(&self) -> u64 {
        std::mem::take(&mut self.cached.borrow_mut().parts().0.expired)
    }
}
