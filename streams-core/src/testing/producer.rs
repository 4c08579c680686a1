//! The log of the test driver: keeps what is written, by topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::WrittenRecord;
use crate::error::LogError;
use crate::log::{LogResult, OffsetAndMetadata, Producer, RecordView, TopicHandle, TopicPartition};
use crate::membership::GroupMetadata;
use crate::topology::Topology;

/// What was written to one topic.
#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) name: Arc<str>,
    /// In the order of writing, each with its partition.
    pub(super) records: Vec<(i32, WrittenRecord)>,
    /// How many records each partition has.
    counts: Vec<i64>,
    /// True if the topology reads it, so that what is written comes back as input.
    is_input: bool,
}

/// See the file's top.
#[derive(Debug)]
pub(super) struct CapturingProducer {
    pub(super) topics: Vec<TopicLog>,
    /// Partition counts of topics that have more than one.
    partitions: BTreeMap<String, u32>,
    inputs: Vec<String>,
    /// More of them; none of a processor by itself.
    patterns: Option<Patterns>,
    /// What was written to input topics and not yet looked at by the driver: topic and record.
    fresh: VecDeque<(usize, usize)>,
}

/// The patterns by which an application reads topics.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    pub(super) topology: Topology,
    pub(super) application_id: Arc<str>,
}

impl Patterns {
    pub(super) fn match_topic(&self, topic: &str) -> bool {
        self.topology.is_matched(topic, &self.application_id)
    }
}

impl CapturingProducer {
    pub(super) fn new(
        partitions: BTreeMap<String, u32>,
        inputs: Vec<String>,
        patterns: Option<Patterns>,
    ) -> Self {
        Self {
            topics: Vec::new(),
            partitions,
            inputs,
            patterns,
            fresh: VecDeque::new(),
        }
    }

    pub(super) fn find(&self, topic: &str) -> Option<&TopicLog> {
        self.topics.iter().find(|log| *log.name == *topic)
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str) -> u32 {
        self.partitions.get(topic).copied().unwrap_or(1)
    }

    /// The next record that comes back as input.
    pub(super) fn pop_fresh(&mut self) -> Option<(TopicPartition, WrittenRecord)> {
        let (topic, record) = self.fresh.pop_front()?;
        let log = &self.topics[topic];
        let (partition, record) = &log.records[record];
        let partition = TopicPartition::new(Arc::clone(&log.name), *partition);
        Some((partition, record.clone()))
    }
}

impl Producer for CapturingProducer {
    fn topic(&mut self, name: &str) -> LogResult<TopicHandle> {
        let partitions = self.partitions(name);
        let index = match self.topics.iter().position(|log| *log.name == *name) {
            Some(index) => index,
            None => {
                self.topics.push(TopicLog {
                    name: Arc::from(name),
                    records: Vec::new(),
                    counts: vec![0; partitions as usize],
                    is_input: self.inputs.iter().any(|input| input == name)
                        || self
                            .patterns
                            .as_ref()
                            .is_some_and(|patterns| patterns.match_topic(name)),
                });
                self.topics.len() - 1
            }
        };
        let index = u32::try_from(index).map_err(|_| LogError::invalid("too many topics"))?;
        Ok(TopicHandle { index, partitions })
    }

    fn send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> LogResult<()> {
        let index = topic.index as usize;
        let log = &mut self.topics[index];
        let count = usize::try_from(partition)
            .ok()
            .and_then(|partition| log.counts.get_mut(partition));
        let Some(count) = count else {
            let (name, partitions) = (&log.name, topic.partitions);
            let reason =
                format!("topic {name} has {partitions} partitions, there is no partition {partition}");
            return Err(LogError::invalid(reason));
        };
        *count += 1;
        let written = WrittenRecord {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.clone(),
        };
        log.records.push((partition, written));
        if log.is_input {
            self.fresh.push_back((index, log.records.len() - 1));
        }
        Ok(())
    }

    fn flush(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn last_offset(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        let counts = &self.topics[topic.index as usize].counts;
        let count = counts.get(usize::try_from(partition).ok()?)?;
        Some(count - 1).filter(|last| *last >= 0)
    }

    fn init_transactions(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn begin_transaction(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn send_offsets(
        &mut self,
        _: &[(TopicPartition, OffsetAndMetadata)],
        _: &GroupMetadata,
    ) -> LogResult<()> {
        Ok(())
    }

    fn commit_transaction(&mut self) -> LogResult<()> {
        Ok(())
    }

    fn abort_transaction(&mut self) -> LogResult<()> {
        Ok(())
    }
}
