//! The records of one partition that a task has not processed yet, and its position.

use std::collections::{BTreeMap, VecDeque};

use super::metadata::{self, CommittedTimes};
use crate::log::{Fetched, OffsetAndMetadata, TopicPartition};
use crate::topology::{RawInput, SourceNode};

/// Where a task begins to read a partition.
#[derive(Clone, Debug)]
pub(crate) struct StartPosition {
    pub(crate) offset: i64,
    pub(crate) times: CommittedTimes,
    /// The place is to be committed though nothing is processed: where a restart would begin changes with time.
    pub(crate) is_new: bool,
}

impl StartPosition {
    /// From what was committed.
    pub(crate) fn committed(committed: &OffsetAndMetadata) -> Self {
        Self {
            offset: committed.offset,
            times: CommittedTimes::decode(&committed.metadata),
            is_new: false,
        }
    }

    pub(crate) fn at(offset: i64) -> Self {
        Self {
            offset,
            times: CommittedTimes::none(),
            is_new: false,
        }
    }

    /// A place to be committed.
    pub(crate) fn new_at(offset: i64) -> Self {
        Self {
            is_new: true,
            ..Self::at(offset)
        }
    }
}

/// See the file's top.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    pub(crate) partition: TopicPartition,
    /// Which of the task's sources reads it.
    pub(crate) source: usize,
    sets: VecDeque<Fetched>,
    /// Next record within the first set.
    cursor: usize,
    /// Records not yet processed.
    pub(crate) buffered: usize,
    /// Timestamp of the first record, if there is one.
    pub(crate) head_ms: i64,
    /// Largest timestamp seen; -1 before the first.
    pub(crate) partition_time_ms: i64,
    /// Offset after all that was fetched.
    next_offset: i64,
    /// What was committed, or would be taken again; `None` if the position is to be committed whatever it is.
    committed_offset: Option<i64>,
    end_offset: Option<i64>,
}

/// The first record of a queue.
pub(crate) struct Head<'a> {
    pub(crate) offset: i64,
    pub(crate) input: RawInput<'a>,
}

impl PartitionQueue {
    pub(crate) fn new(partition: TopicPartition, source: usize, start: StartPosition) -> Self {
        Self {
            partition,
            source,
            sets: VecDeque::new(),
            cursor: 0,
            buffered: 0,
            head_ms: -1,
            partition_time_ms: start.times.partition_ms,
            next_offset: start.offset,
            committed_offset: (!start.is_new).then_some(start.offset),
            end_offset: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffered == 0
    }

    /// True if nothing beyond what was fetched is known to be on the log.
    pub(crate) fn caught_up(&self) -> bool {
        self.end_offset.is_some_and(|end| self.next_offset >= end)
    }

    pub(crate) fn set_end(&mut self, end_offset: i64) {
        self.end_offset = Some(end_offset);
    }

    pub(crate) fn add(&mut self, fetched: Fetched, source: &dyn SourceNode) {
        self.next_offset = fetched.next_offset;
        self.end_offset = Some(fetched.end_offset);
        if fetched.records.is_empty() {
            return;
        }
        let was_empty = self.is_empty();
        self.buffered += fetched.records.len();
        self.sets.push_back(fetched);
        if was_empty {
            self.time_head(source);
        }
    }

    pub(crate) fn head(&self) -> Option<Head<'_>> {
        let set = self.sets.front()?;
        let span = set.records.spans.get(self.cursor)?;
        let input = RawInput {
            topic: &set.partition.topic,
            key: span.key.of(&set.records.data),
            value: span.value.of(&set.records.data),
            timestamp_ms: self.head_ms,
            headers: set.records.headers(self.cursor),
        };
        Some(Head {
            offset: span.offset,
            input,
        })
    }

    /// Goes on to the next record.
    pub(crate) fn advance(&mut self, source: &dyn SourceNode) {
        self.buffered -= 1;
        self.cursor += 1;
        if self
            .sets
            .front()
            .is_some_and(|set| self.cursor >= set.records.len())
        {
            self.sets.pop_front();
            self.cursor = 0;
        }
        self.time_head(source);
    }

    fn time_head(&mut self, source: &dyn SourceNode) {
        let Some(set) = self.sets.front() else { return };
        let timestamp_ms = set.records.spans[self.cursor].timestamp_ms;
        self.head_ms = timestamp_ms;
        if source.extracts_timestamps()
            && let Some(head) = self.head()
        {
            self.head_ms = source.timestamp_ms(&head.input, self.partition_time_ms);
        }
        self.partition_time_ms = self.partition_time_ms.max(self.head_ms);
    }

    /// Next offset to be processed: the first buffered record's, else the one after all that was fetched.
    pub(crate) fn position(&self) -> i64 {
        self.sets
            .front()
            .map_or(self.next_offset, |set| set.records.spans[self.cursor].offset)
    }

    /// Offset to fetch from.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    pub(crate) fn committed_offset(&self) -> Option<i64> {
        self.committed_offset
    }

    /// Goes on elsewhere, since the records at the position are gone. What is buffered is still processed.
    pub(crate) fn reset_to(&mut self, offset: i64) {
        self.next_offset = offset;
    }

    /// True if the position is beyond what was committed.
    pub(crate) fn moved(&self) -> bool {
        Some(self.position()) != self.committed_offset
    }

    /// What is to be committed, if the position moved, with the times that processors keep.
    pub(crate) fn commit_position(
        &self,
        processors_ms: &BTreeMap<String, i64>,
    ) -> Option<(TopicPartition, OffsetAndMetadata)> {
        self.moved().then(|| {
            let metadata = metadata::encode(self.partition_time_ms, processors_ms);
            (
                self.partition.clone(),
                OffsetAndMetadata {
                    offset: self.position(),
                    metadata,
                },
            )
        })
    }

    pub(crate) fn committed(&mut self) {
        self.committed_offset = Some(self.position());
    }
}
