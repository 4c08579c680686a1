//! Reads from a memory log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, Shared, State, StoredRecord};
use crate::error::LogError;
use crate::log::{Consumer, ConsumerConfig, Fetched, LogResult, RecordSet, RecordSpan, Span, TopicPartition};

#[derive(Debug)]
pub(super) struct MemoryConsumer {
    shared: Arc<Shared>,
    config: ConsumerConfig,
    assigned: Vec<Assigned>,
}

#[derive(Debug)]
struct Assigned {
    partition: TopicPartition,
    position: i64,
    paused: bool,
}

impl MemoryConsumer {
    pub(super) fn new(shared: Arc<Shared>, config: ConsumerConfig) -> Self {
        Self {
            shared,
            config,
            assigned: Vec::new(),
        }
    }

    fn find(&mut self, partition: &TopicPartition) -> LogResult<&mut Assigned> {
        let found = self
            .assigned
            .iter_mut()
            .find(|assigned| assigned.partition == *partition);
        found.ok_or_else(|| LogError::UnknownPartition {
            partition: partition.clone(),
        })
    }

    fn fetch(&mut self, state: &State) -> LogResult<Vec<Fetched>> {
        let mut bytes_left = self.config.max_poll_bytes;
        let mut all = Vec::new();
        for assigned in self.assigned.iter_mut().filter(|assigned| !assigned.paused) {
            let limit = bytes_left.min(self.config.max_partition_bytes);
            let fetched = assigned.fetch(state, &self.config, limit, all.is_empty())?;
            if fetched.next_offset > assigned.position {
                assigned.position = fetched.next_offset;
                bytes_left = bytes_left.saturating_sub(fetched.records.data.len());
                all.push(fetched);
            }
            if bytes_left == 0 {
                break;
            }
        }
        // What was served goes to the back, so that no partition starves.
        let served = |assigned: &Assigned| all.iter().any(|fetched| fetched.partition == assigned.partition);
        self.assigned.sort_by_key(served);
        Ok(all)
    }
}

impl Assigned {
    fn fetch(&self, state: &State, config: &ConsumerConfig, limit: usize, first: bool) -> LogResult<Fetched> {
        let log = state.partition(&self.partition)?;
        if self.position < log.start || self.position > log.end() {
            return Err(LogError::OffsetOutOfRange {
                partition: self.partition.clone(),
                offset: self.position,
                log_start_offset: log.start,
                log_end_offset: log.end(),
            });
        }
        let end_offset = state.end_offset(&self.partition, config.isolation)?;
        let mut set = SetBuilder::default();
        let mut next_offset = self.position;
        while next_offset < end_offset {
            let entry =
                &log.entries[usize::try_from(next_offset - log.start).expect("at or after the start")];
            let aborted = entry
                .transaction
                .is_some_and(|t| state.transactions[t].outcome == Outcome::Aborted);
            let hidden = aborted && config.isolation == crate::log::Isolation::ReadCommitted;
            if let (Some(record), false) = (&entry.record, hidden) {
                let full = set.data.len() + record.len() > limit;
                if full && !(first && set.spans.is_empty()) {
                    break;
                }
                set.add(next_offset, record);
            }
            next_offset += 1;
        }
        Ok(Fetched {
            partition: self.partition.clone(),
            records: set.finish(),
            next_offset,
            end_offset,
        })
    }
}

impl Consumer for MemoryConsumer {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> LogResult<()> {
        let state = self.shared.lock();
        let mut assigned = Vec::new();
        for (partition, position) in partitions {
            state.partition(partition)?;
            let old = self.assigned.iter().find(|old| old.partition == *partition);
            let paused = old.is_some_and(|old| old.paused);
            let Some(position) = position.or(old.map(|old| old.position)) else {
                return Err(LogError::invalid(format!(
                    "{partition} is newly assigned and needs a position"
                )));
            };
            assigned.push(Assigned {
                partition: partition.clone(),
                position,
                paused,
            });
        }
        drop(state);
        self.assigned = assigned;
        Ok(())
    }

    fn seek(&mut self, partition: &TopicPartition, offset: i64) -> LogResult<()> {
        self.find(partition)?.position = offset;
        Ok(())
    }

    fn pause(&mut self, partition: &TopicPartition) -> LogResult<()> {
        self.find(partition)?.paused = true;
        Ok(())
    }

    fn resume(&mut self, partition: &TopicPartition) -> LogResult<()> {
        self.find(partition)?.paused = false;
        Ok(())
    }

    fn poll(&mut self, timeout: Duration) -> LogResult<Vec<Fetched>> {
        let shared = Arc::clone(&self.shared);
        let deadline = shared.clock.elapsed() + timeout;
        let mut state = shared.lock();
        loop {
            let fetched = self.fetch(&state)?;
            let left = deadline.saturating_sub(shared.clock.elapsed());
            if !fetched.is_empty() || left.is_zero() {
                return Ok(fetched);
            }
            state = shared.wait(state, left);
        }
    }
}

#[derive(Default)]
struct SetBuilder {
    data: Vec<u8>,
    spans: Vec<RecordSpan>,
    headers: BTreeMap<u32, crate::record::Headers>,
}

impl SetBuilder {
    fn add(&mut self, offset: i64, record: &StoredRecord) {
        if !record.headers.is_empty() {
            let index = u32::try_from(self.spans.len()).expect("sets are bounded by bytes");
            self.headers.insert(index, record.headers.clone());
        }
        let key = self.append(record.key.as_deref());
        let value = self.append(record.value.as_deref());
        self.spans.push(RecordSpan {
            offset,
            timestamp_ms: record.timestamp_ms,
            key,
            value,
        });
    }

    fn append(&mut self, bytes: Option<&[u8]>) -> Span {
        let Some(bytes) = bytes else { return Span::NULL };
        self.data.extend_from_slice(bytes);
        Span::new(self.data.len() - bytes.len(), bytes.len())
    }

    fn finish(self) -> RecordSet {
        RecordSet {
            data: self.data.into(),
            spans: self.spans,
            headers: self.headers,
        }
    }
}

impl StoredRecord {
    fn len(&self) -> usize {
        self.key.as_ref().map_or(0, bytes::Bytes::len) + self.value.as_ref().map_or(0, bytes::Bytes::len)
    }
}
