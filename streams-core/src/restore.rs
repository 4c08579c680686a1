//! Restoring: brings byte stores up to the end of their changelogs before their task runs.
//!
//! Only the missing tail is read: a store knows the changelog offset it corresponds to. Changelog records become store
//! rows as they are, by the byte, in batches that carry the new offset. The end is the high watermark, open transactions
//! included, and what is read is committed: so a store is complete only when earlier transactions have ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use state_store::{KeyValueStore, WriteBatch};

use crate::error::{LogError, Result};
use crate::log::{Admin, Consumer, Fetched, Isolation, OffsetSpec, TopicPartition};
use crate::runtime::RestoreListener;
use crate::store::{RestoredRow, TaskStore};
use crate::task::StartPosition;

/// Restores the stores of one thread's tasks.
pub(crate) struct Restorer {
    consumer: Box<dyn Consumer>,
    restoring: BTreeMap<TopicPartition, Restoring>,
    batch: WriteBatch,
    listener: Arc<dyn RestoreListener>,
}

impl std::fmt::Debug for Restorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restorer")
            .field("restoring", &self.restoring)
            .finish_non_exhaustive()
    }
}

struct Restoring {
    store: Arc<dyn KeyValueStore>,
    row: RestoredRow,
    /// Records that are older than the latest one by more were never put, only logged.
    history_ms: Option<i64>,
    latest_ms: i64,
    position: i64,
    end_offset: i64,
    /// Records so far.
    restored: u64,
}

impl Restoring {
    /// Whether a record was too old already when it was put.
    fn is_history(&mut self, timestamp_ms: i64) -> bool {
        self.latest_ms = self.latest_ms.max(timestamp_ms);
        self.history_ms
            .is_some_and(|history_ms| timestamp_ms < self.latest_ms.saturating_sub(history_ms))
    }
}

impl std::fmt::Debug for Restoring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restoring")
            .field("store", &self.store)
            .field("position", &self.position)
            .field("end_offset", &self.end_offset)
            .finish_non_exhaustive()
    }
}

impl Restorer {
    pub(crate) fn new(consumer: Box<dyn Consumer>, listener: Arc<dyn RestoreListener>) -> Self {
        Self {
            consumer,
            restoring: BTreeMap::new(),
            batch: WriteBatch::new(),
            listener,
        }
    }

    /// Starts to restore these stores, where they are behind. One whose changelog is what its task reads is restored up to where
    /// the task goes on.
    pub(crate) fn add(
        &mut self,
        stores: &[Box<dyn TaskStore>],
        inputs: &[(TopicPartition, StartPosition)],
        admin: &mut dyn Admin,
    ) -> Result<()> {
        for store in stores {
            let Some(changelog) = store.changelog() else {
                continue;
            };
            let partition = TopicPartition::new(Arc::clone(&changelog.topic), changelog.partition);
            let of = std::slice::from_ref(&partition);
            let input = inputs
                .iter()
                .find(|(input, _)| changelog.is_source && *input == partition);
            let end_offset = match input {
                Some((_, start)) => start.offset,
                None => admin.offsets(of, OffsetSpec::Latest, Isolation::ReadUncommitted)?[0],
            };
            let log_start = admin.offsets(of, OffsetSpec::Earliest, Isolation::ReadUncommitted)?[0];
            let position = start_position(store.bytes(), &partition, log_start, end_offset)?;
            self.listener
                .on_restore_start(&partition, store.name(), position, end_offset);
            if position >= end_offset {
                self.listener.on_restore_end(&partition, store.name(), 0);
            } else {
                tracing::info!(store = store.name(), %partition, position, end_offset, "restoring");
                let (row, history_ms) = (store.restored(), store.history_ms());
                let store = Arc::clone(store.bytes());
                self.restoring.insert(
                    partition,
                    Restoring {
                        store,
                        row,
                        history_ms,
                        latest_ms: i64::MIN,
                        position,
                        end_offset,
                        restored: 0,
                    },
                );
            }
        }
        self.assign()
    }

    /// Gives up on these stores.
    pub(crate) fn remove(&mut self, stores: &[Box<dyn TaskStore>]) -> Result<()> {
        for changelog in stores.iter().filter_map(|store| store.changelog()) {
            let partition = TopicPartition::new(Arc::clone(&changelog.topic), changelog.partition);
            if let Some(restoring) = self.restoring.remove(&partition) {
                let store = restoring.store.name();
                self.listener
                    .on_restore_suspended(&partition, store, restoring.restored);
            }
        }
        self.assign()
    }

    /// True if nothing is left to restore of these stores.
    pub(crate) fn done(&self, stores: &[Box<dyn TaskStore>]) -> bool {
        stores
            .iter()
            .filter_map(|store| store.changelog())
            .all(|changelog| {
                !self.restoring.contains_key(&TopicPartition::new(
                    Arc::clone(&changelog.topic),
                    changelog.partition,
                ))
            })
    }

    /// Reads and applies what one poll gives.
    pub(crate) fn step(&mut self, timeout: Duration) -> Result<()> {
        if self.restoring.is_empty() {
            return Ok(());
        }
        let mut finished = false;
        for fetched in self.consumer.poll(timeout)? {
            finished |= self.apply(&fetched)?;
        }
        if finished {
            self.assign()?;
        }
        Ok(())
    }

    /// True if this store is complete now.
    fn apply(&mut self, fetched: &Fetched) -> Result<bool> {
        let Some(restoring) = self.restoring.get_mut(&fetched.partition) else {
            return Ok(false);
        };
        self.batch.clear();
        let (mut row_key, mut row) = (Vec::new(), Vec::new());
        let (mut restored, mut last_offset) = (0, restoring.position);
        for (index, span) in fetched.records.spans.iter().enumerate() {
            // What a task reads from a topic is not in the stores that are restored from it.
            if span.offset >= restoring.end_offset {
                break;
            }
            (restored, last_offset) = (restored + 1, span.offset);
            let Some(key) = fetched.records.key(index) else {
                continue;
            };
            if restoring.is_history(span.timestamp_ms) {
                continue;
            }
            row_key.clear();
            row.clear();
            let value = fetched.records.value(index);
            if (restoring.row)(key, value, span.timestamp_ms, &mut row_key, &mut row) {
                self.batch.put(&row_key, &row);
            } else {
                self.batch.delete(&row_key);
            }
        }
        restoring.position = fetched.next_offset.min(restoring.end_offset);
        self.batch.set_changelog_offset(restoring.position);
        restoring.store.write(&self.batch)?;
        restoring.restored += restored;
        let store = Arc::clone(&restoring.store);
        if restored > 0 {
            self.listener
                .on_batch_restored(&fetched.partition, store.name(), last_offset, restored);
        }
        let complete = restoring.position >= restoring.end_offset;
        if complete {
            tracing::info!(partition = %fetched.partition, position = restoring.position, "restored");
            self.listener
                .on_restore_end(&fetched.partition, store.name(), restoring.restored);
            self.restoring.remove(&fetched.partition);
        }
        Ok(complete)
    }

    fn assign(&mut self) -> Result<()> {
        let partitions: Vec<_> = self
            .restoring
            .iter()
            .map(|(partition, restoring)| (partition.clone(), Some(restoring.position)))
            .collect();
        Ok(self.consumer.assign(&partitions)?)
    }
}

/// Where to begin. A store that does not fit its changelog is emptied and restored whole.
fn start_position(
    store: &Arc<dyn KeyValueStore>,
    partition: &TopicPartition,
    log_start: i64,
    end_offset: i64,
) -> Result<i64> {
    match store.changelog_offset()? {
        Some(offset) if (log_start..=end_offset).contains(&offset) => Ok(offset),
        Some(offset) => {
            let error = LogError::OffsetOutOfRange {
                partition: partition.clone(),
                offset,
                log_start_offset: log_start,
                log_end_offset: end_offset,
            };
            tracing::warn!(store = store.name(), %error, "the store does not fit its changelog; restoring all of it");
            store.clear()?;
            Ok(log_start)
        }
        None => Ok(log_start),
    }
}
