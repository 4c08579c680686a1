//! The records of one partition that a task has not processed yet, and its position.

use std::collections::{BTreeMap, VecDeque};

use super::metadata::{self, CommittedTimes};
use crate::log::{Fetched, OffsetAndMetadata, TopicPartition};
use crate::processor::BoxError;
use crate::topology::{DefaultTimestampExtractor, ExtractedTimestamp, RawInput, SourceNode, Times};

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
    /// Takes event times, if the source does not.
    default_extractor: Option<DefaultTimestampExtractor>,
    sets: VecDeque<Fetched>,
    /// Next record within the first set.
    cursor: usize,
    /// Records not yet processed.
    pub(crate) buffered: usize,
    /// Timestamp of the first record, if there is one; negative if it has none.
    pub(crate) head_ms: i64,
    /// Why the first record has no timestamp.
    head_failure: Option<BoxError>,
    /// Largest timestamp processed; -1 before the first.
    pub(crate) partition_time_ms: i64,
    /// Offset after all that was fetched.
    next_offset: i64,
    /// What was committed, or would be taken again; `None` if the position is to be committed whatever it is.
    committed_offset: Option<i64>,
    end_offset: Option<i64>,
    /// Since when nothing is buffered or known to be on the log; `None` if that is not so, or was not looked at yet.
    idle_since_ms: Option<i64>,
}

impl PartitionQueue {
    pub(crate) fn new(
        partition: TopicPartition,
        source: usize,
        default_extractor: Option<DefaultTimestampExtractor>,
        start: StartPosition,
    ) -> Self {
        Self {
            partition,
            source,
            default_extractor,
            sets: VecDeque::new(),
            cursor: 0,
            buffered: 0,
            head_ms: -1,
            head_failure: None,
            partition_time_ms: start.times.partition_ms,
            next_offset: start.offset,
            committed_offset: (!start.is_new).then_some(start.offset),
            end_offset: None,
            idle_since_ms: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffered == 0
    }

    /// True if nothing beyond what was fetched is known to be on the log.
    pub(crate) fn caught_up(&self) -> bool {
        self.end_offset.is_some_and(|end| self.next_offset >= end)
    }

    pub(crate) fn idle_since_ms(&self) -> Option<i64> {
        self.idle_since_ms
    }

    pub(crate) fn note_idle(&mut self, now_ms: i64) {
        match self.is_empty() && self.caught_up() {
            true => _ = self.idle_since_ms.get_or_insert(now_ms),
            false => self.idle_since_ms = None,
        }
    }

    pub(crate) fn set_end(&mut self, end_offset: i64) {
        self.end_offset = Some(end_offset);
    }

    pub(crate) fn add(&mut self, fetched: Fetched, source: &dyn SourceNode, wall_clock_ms: i64) {
        self.next_offset = fetched.next_offset;
        self.end_offset = Some(fetched.end_offset);
        if fetched.records.is_empty() {
            return;
        }
        self.idle_since_ms = None;
        let was_empty = self.is_empty();
        self.buffered += fetched.records.len();
        self.sets.push_back(fetched);
        if was_empty {
            self.time_head(source, wall_clock_ms);
        }
    }

    pub(crate) fn head(&self) -> Option<RawInput<'_>> {
        let set = self.sets.front()?;
        let span = set.records.spans.get(self.cursor)?;
        Some(RawInput {
            topic: &set.partition.topic,
            partition: set.partition.partition,
            offset: span.offset,
            key: span.key.of(&set.records.data),
            value: span.value.of(&set.records.data),
            timestamp_ms: self.head_ms,
            headers: set.records.headers(self.cursor),
        })
    }

    /// The first record counts for the time of the partition.
    pub(crate) fn observe_head(&mut self) {
        self.partition_time_ms = self.partition_time_ms.max(self.head_ms);
    }

    /// Goes on to the next record.
    pub(crate) fn advance(&mut self, source: &dyn SourceNode, wall_clock_ms: i64) {
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
        self.time_head(source, wall_clock_ms);
    }

    /// True if event times are not simply the records' own timestamps: then those without are dropped, and no error.
    pub(crate) fn extracts_timestamps(&self, source: &dyn SourceNode) -> bool {
        source.extracts_timestamps() || self.default_extractor.is_some()
    }

    /// Why the first record has no timestamp, if its extractor failed.
    pub(crate) fn take_head_failure(&mut self) -> Option<BoxError> {
        self.head_failure.take()
    }

    fn time_head(&mut self, source: &dyn SourceNode, wall_clock_ms: i64) {
        let Some(set) = self.sets.front() else { return };
        let timestamp_ms = set.records.spans[self.cursor].timestamp_ms;
        self.head_ms = timestamp_ms;
        if self.extracts_timestamps(source) {
            self.extract_head_time(source, wall_clock_ms);
        }
    }

    fn extract_head_time(&mut self, source: &dyn SourceNode, wall_clock_ms: i64) {
        let Some(head) = self.head() else { return };
        let times = Times {
            partition_ms: self.partition_time_ms,
            wall_clock_ms,
        };
        let extracted = match &self.default_extractor {
            Some(extractor) => extractor.extract(&head, times),
            None => source.extract(&head, times),
        };
        match extracted {
            ExtractedTimestamp::Own => {}
            ExtractedTimestamp::At(timestamp_ms) => self.head_ms = timestamp_ms,
            // It is next, as all that have no time.
            ExtractedTimestamp::Failed(error) => {
                self.head_ms = -1;
                self.head_failure = Some(error);
            }
        }
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
