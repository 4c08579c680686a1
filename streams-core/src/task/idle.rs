//! How a task waits for its inputs (KIP-695): a partition without buffered records may still bring one that is older than those of the
//! others.
//!
//! A partition that has more on the log is waited for, unless a task is told never to. One that has not is waited for as long as
//! `max.task.idle.ms` says, from when the task first saw it so; then the others go on without it, until it has records again.

use super::{PartitionQueue, StreamTask};
use crate::log::TopicPartition;

/// `max.task.idle.ms` of a task that waits for no partition.
pub const MAX_TASK_IDLE_MS_DISABLED: i64 = -1;

impl StreamTask {
    /// True if no partition is waited for.
    pub(crate) fn ready(&self) -> bool {
        !self.may_wait() || self.queues.iter().all(|queue| !self.waits_for(queue))
    }

    /// True if a record can be processed now.
    pub(crate) fn has_work(&self) -> bool {
        self.has_buffered() && self.ready()
    }

    /// True if records wait to be processed.
    pub(crate) fn has_buffered(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    /// Looks which partitions have no more records, and begins to count for those that it sees so for the first time.
    pub(crate) fn note_idle(&mut self) {
        for queue in &mut self.queues {
            queue.note_idle(self.state.wall_clock_ms);
        }
    }

    /// True if it is this partition that the others must not overtake.
    pub(super) fn waits_for(&self, queue: &PartitionQueue) -> bool {
        if !self.may_wait() || !queue.is_empty() {
            return false;
        }
        let now_ms = self.state.wall_clock_ms;
        let waited = |since_ms: i64| now_ms.saturating_sub(since_ms) >= self.settings.max_idle_ms;
        let is_given_up = self.settings.max_idle_ms == 0 || queue.idle_since_ms().is_some_and(waited);
        !(queue.caught_up() && is_given_up)
    }

    fn may_wait(&self) -> bool {
        self.queues.len() > 1 && self.settings.max_idle_ms != MAX_TASK_IDLE_MS_DISABLED
    }

    /// Partitions whose end the task does not know, and needs to.
    pub(crate) fn unknown_ends(&self) -> impl Iterator<Item = &TopicPartition> {
        let may_wait = self.may_wait();
        self.queues
            .iter()
            .filter(move |queue| may_wait && queue.is_empty() && !queue.caught_up())
            .map(|queue| &queue.partition)
    }

    /// When the last partition is given up that has no more records, if some of others wait for that.
    pub(crate) fn idle_until_ms(&self) -> Option<i64> {
        if !self.may_wait() || !self.has_buffered() {
            return None;
        }
        let until = |queue: &PartitionQueue| {
            let since_ms = queue.idle_since_ms()?;
            Some(since_ms.saturating_add(self.settings.max_idle_ms))
        };
        let last = self.queues.iter().filter_map(until).max();
        last.filter(|until_ms| *until_ms > self.state.wall_clock_ms)
    }
}
