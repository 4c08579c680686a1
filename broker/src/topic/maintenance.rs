//! The part of [`Topics`] that is due from time to time: retention, syncing, compaction.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::sync::SyncQueue;
use super::{Topic, TopicError, Topics};
use crate::log::{CleanerConfig, LogError};

impl Topics {
    /// What is due: retention, idle producers, syncing. To be called every few seconds or minutes; it
    /// goes through all partitions whatever fails, and answers the failures.
    pub fn maintain(&self, now_ms: i64, enforce_retention: bool) -> Vec<TopicError> {
        let topics = match self.list() {
            Ok(topics) => topics,
            Err(error) => return vec![error],
        };
        let mut errors = Vec::new();
        for topic in topics {
            for partition in 0..topic.metadata.partition_count {
                errors.extend(maintain_partition(&topic, partition, now_ms, enforce_retention).err());
            }
        }
        errors
    }

    /// With group commit: who waits for what was appended.
    pub fn sync_queue(&self) -> &Arc<SyncQueue> {
        &self.sync_queue
    }

    /// One round of group commit: waits until something was appended, at most `timeout`, and syncs it. Answers the failures;
    /// the logs concerned take no more requests.
    pub fn sync_round(&self, timeout: Duration) -> Vec<TopicError> {
        let Some(round) = self.sync_queue.begin_round(timeout) else {
            return Vec::new();
        };
        let mut errors = Vec::new();
        for partition in round.partitions.iter().filter_map(Weak::upgrade) {
            let Ok(mut log) = partition.lock() else { continue };
            if log.has_failed_to_sync() {
                errors.extend(log.check_available().err().map(TopicError::from));
                continue;
            }
            let Some(flush) = log.begin_group_commit() else {
                continue;
            };
            drop(log);
            let synced = flush.sync();
            let Ok(mut log) = partition.lock() else { continue };
            errors.extend(log.finish_flush(&flush, synced).err().map(TopicError::from));
        }
        if errors.is_empty() {
            round.succeed();
        }
        errors
    }

    /// Compacts the logs that are due, the dirtiest first, and answers the failures. It may take long and holds no lock while
    /// it does; `cancelled` ends it early, with nothing changed in the log it was at.
    pub fn compact(&self, config: &CleanerConfig, now_ms: i64, cancelled: &AtomicBool) -> Vec<TopicError> {
        let topics = match self.list() {
            Ok(topics) => topics,
            Err(error) => return vec![error],
        };
        let mut plans = Vec::new();
        for topic in &topics {
            for partition in &topic.partitions {
                let Ok(log) = partition.lock() else { continue };
                if let Some(plan) = log.plan_cleaning(now_ms) {
                    plans.push((partition.clone(), plan));
                }
            }
        }
        plans.sort_by(|(_, one), (_, other)| other.dirty_ratio.total_cmp(&one.dirty_ratio));
        let mut errors = Vec::new();
        for (partition, plan) in plans {
            let cleaned = plan.clean(config, now_ms, cancelled);
            // A poisoned log is not touched any more, and says so to who asks.
            let Ok(mut log) = partition.lock() else { continue };
            let swapped = match cleaned {
                Ok(Some(cleaned)) => cleaned.swap_into(&mut log),
                Ok(None) => return errors,
                Err(error) => {
                    log.mark_uncleanable();
                    Err(error)
                }
            };
            match swapped {
                Ok(()) | Err(LogError::Unavailable { .. }) => {}
                Err(error) => errors.push(error.into()),
            }
        }
        errors
    }
}

fn maintain_partition(
    topic: &Topic,
    partition: i32,
    now_ms: i64,
    enforce_retention: bool,
) -> Result<(), TopicError> {
    let due = {
        let mut log = topic.lock(partition)?;
        if enforce_retention {
            log.enforce_retention(now_ms)?;
        }
        log.expire_producers(now_ms);
        log.begin_flush_if_due(now_ms)
    };
    if let Some(due) = due {
        // The disk may take its time: nobody waits for the lock meanwhile.
        let synced = due.sync();
        topic.lock(partition)?.finish_flush(&due, synced)?;
    }
    Ok(())
}
