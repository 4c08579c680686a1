//! Two tables joined: each side's updates look the other side up, and a third operator brings the results together.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::{Record, TaskContext};

use super::table_store::TableStore;
use super::{Tried, failed, place};
use crate::change::Change;
use crate::view::TableView;

/// Of two values: the row, if there is one.
pub(crate) type Join<A, B, R> = Arc<dyn Fn(Option<&A>, Option<&B>) -> Tried<Option<R>> + Send + Sync>;

/// The updates of one side. `join` gets this side's value first.
pub(crate) struct TableJoinSide<K, A, B, R> {
    pub(crate) node: String,
    pub(crate) join: Join<A, B, R>,
    /// Without a row on the other side nothing can come of an update.
    pub(crate) needs_other: bool,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) other: Box<dyn TableView<K, B>>,
    pub(crate) send_old: bool,
    /// Rows of a versioned table that are not the latest are not joined.
    pub(crate) uses_versions: bool,
    pub(crate) next: Edge<K, Change<R>>,
}

impl<K, A, B, R> Process<K, Change<A>> for TableJoinSide<K, A, B, R> {
    fn process(&mut self, record: Record<K, Change<A>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        let change = &record.value;
        if self.uses_versions && !change.is_latest {
            task.count_dropped(DropReason::OutOfOrder);
            return Ok(());
        }
        let mut result = Ok(None);
        let looked_up = self.other.read(&record.key, &mut |other| {
            let nothing = change.new.is_none() && change.old.is_none();
            if other.is_none() && (self.needs_other || nothing) {
                return;
            }
            let timestamp_ms = other.map_or(record.timestamp_ms, |(_, at)| at.max(record.timestamp_ms));
            let joined = self.joined(change, other.map(|(value, _)| value));
            result = joined.map(|joined| Some((joined, timestamp_ms)));
        });
        let (value, timestamp_ms) = match looked_up.and(result.map_err(ProcessCause::User)) {
            Ok(Some(joined)) => joined,
            Ok(None) => return Ok(()),
            Err(cause) => return failed(cause, &self.node, task),
        };
        let joined = Record {
            key: record.key,
            value,
            timestamp_ms,
            headers: record.headers,
        };
        self.next.process(joined, task)
    }
}

impl<K, A, B, R> TableJoinSide<K, A, B, R> {
    /// What a change of this table is to the table of both.
    fn joined(&self, change: &Change<A>, other: Option<&B>) -> Tried<Change<R>> {
        Ok(Change {
            new: (self.join)(change.new.as_ref(), other)?,
            old: match self.send_old {
                true => (self.join)(change.old.as_ref(), other)?,
                false => None,
            },
            is_latest: change.is_latest,
        })
    }
}

/// Where both sides come together: the result is stored if it has a store.
pub(crate) struct TableMerge<K, R> {
    pub(crate) node: String,
    pub(crate) store: Option<TableStore<K, R>>,
    pub(crate) send_old: bool,
    /// Its updates wait for a commit. Then the old value is the row that was there, else it is joined from the old rows.
    pub(crate) is_cached: bool,
    pub(crate) next: Edge<K, Change<R>>,
}

impl<K, R: Clone> Process<K, Change<R>> for TableMerge<K, R> {
    fn process(&mut self, mut record: Record<K, Change<R>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if let Some(store) = &self.store {
            let put = store.put(&record.key, record.value.new.clone(), record.timestamp_ms);
            let Some(put) = put.map_err(|cause| place(cause, &self.node, task))? else {
                task.count_dropped(DropReason::Late);
                return Ok(());
            };
            if self.is_cached {
                record.value.old = put.before.map(|row| row.value);
            }
            record.value.is_latest = put.is_latest;
        }
        if !self.send_old {
            record.value.old = None;
        }
        self.next.process(record, task)
    }
}
