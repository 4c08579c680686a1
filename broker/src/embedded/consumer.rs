//! The consumer: reads partition logs directly, under their locks, and decodes outside of them.

use std::sync::Arc;
use std::time::Duration;

use streams_core::error::LogError;
use streams_core::log::{
    Consumer, ConsumerConfig, Fetched, Isolation as SeamIsolation, LogResult, TopicPartition,
};

use super::decode::decode;
use super::{Inner, unknown_partition};
use crate::log::{Isolation, ReadError, ReadInfo};
use crate::topic::Topic;

#[derive(Debug)]
pub(super) struct EmbeddedConsumer {
    inner: Arc<Inner>,
    config: ConsumerConfig,
    isolation: Isolation,
    assigned: Vec<Assigned>,
    /// Where the next poll begins, so that one busy partition cannot starve the others.
    first: usize,
}

#[derive(Debug)]
struct Assigned {
    partition: TopicPartition,
    topic: Arc<Topic>,
    position: i64,
    paused: bool,
}

impl EmbeddedConsumer {
    pub(super) fn new(inner: Arc<Inner>, config: ConsumerConfig) -> Self {
        let isolation = match config.isolation {
            SeamIsolation::ReadUncommitted => Isolation::ReadUncommitted,
            SeamIsolation::ReadCommitted => Isolation::ReadCommitted,
        };
        Self {
            inner,
            config,
            isolation,
            assigned: Vec::new(),
            first: 0,
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

    /// What is there now, each partition in its turn.
    fn fetch(&mut self) -> LogResult<Vec<Fetched>> {
        let mut fetched = Vec::new();
        let mut remaining = self.config.max_poll_bytes;
        let count = self.assigned.len();
        for step in 0..count {
            let index = (self.first + step) % count;
            let assigned = &mut self.assigned[index];
            if assigned.paused || (remaining == 0 && !fetched.is_empty()) {
                continue;
            }
            let max_bytes = remaining.min(self.config.max_partition_bytes);
            let Some(read) = assigned.read(&self.inner, max_bytes, self.isolation, fetched.is_empty())?
            else {
                continue;
            };
            remaining = remaining.saturating_sub(read.records.len());
            let end_offset = match self.isolation {
                Isolation::ReadCommitted => read.last_stable_offset,
                Isolation::ReadUncommitted => read.high_watermark,
            };
            let decoded = decode(read.records, assigned.position, read.aborted.unwrap_or_default()).map_err(
                |error| {
                    LogError::failed(
                        format!(
                            "the log of {} is damaged at or after offset {}: restore the segments in folder {} of the data \
                             directory from a copy, or start without them",
                            assigned.partition, assigned.position, assigned.partition
                        ),
                        error,
                    )
                },
            )?;
            assigned.position = decoded.next_offset;
            fetched.push(Fetched {
                partition: assigned.partition.clone(),
                records: decoded.records,
                next_offset: decoded.next_offset,
                end_offset,
            });
        }
        if count > 0 {
            self.first = (self.first + 1) % count;
        }
        Ok(fetched)
    }
}

impl Assigned {
    /// None if there is nothing to read.
    fn read(
        &self,
        inner: &Inner,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one_batch: bool,
    ) -> LogResult<Option<ReadInfo>> {
        let context = || format!("reading {} from offset {}", self.partition, self.position);
        let log = self
            .topic
            .lock(self.partition.partition)
            .map_err(|error| LogError::failed(context(), error))?;
        let end_offset = match isolation {
            Isolation::ReadCommitted => log.last_stable_offset(),
            Isolation::ReadUncommitted => log.high_watermark(),
        };
        let in_range = (log.log_start_offset()..=log.log_end_offset()).contains(&self.position);
        if in_range && self.position >= end_offset {
            return Ok(None);
        }
        match log.read(self.position, max_bytes, isolation, at_least_one_batch) {
            Ok(read) if read.records.is_empty() => Ok(None),
            Ok(read) => Ok(Some(read)),
            Err(ReadError::OffsetOutOfRange {
                offset,
                log_start_offset,
                log_end_offset,
                ..
            }) => {
                let partition = self.partition.clone();
                Err(LogError::OffsetOutOfRange {
                    partition,
                    offset,
                    log_start_offset,
                    log_end_offset,
                })
            }
            Err(_) if inner.broker.is_closed() => Err(LogError::Closed),
            Err(error) => Err(LogError::failed(context(), error)),
        }
    }
}

impl Consumer for EmbeddedConsumer {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> LogResult<()> {
        let mut assigned = Vec::with_capacity(partitions.len());
        for (partition, position) in partitions {
            let topic = self.inner.topic(&partition.topic)?;
            topic
                .partition(partition.partition)
                .map_err(|_| unknown_partition(&partition.topic, partition.partition))?;
            let kept = self.assigned.iter().find(|kept| kept.partition == *partition);
            let Some(position) = position.or(kept.map(|kept| kept.position)) else {
                let reason = format!("{partition} is newly assigned and needs the offset to start from");
                return Err(LogError::invalid(reason));
            };
            let paused = kept.is_some_and(|kept| kept.paused);
            assigned.push(Assigned {
                partition: partition.clone(),
                topic,
                position,
                paused,
            });
        }
        self.assigned = assigned;
        self.first = 0;
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
        let started = self.inner.clock.elapsed();
        loop {
            self.inner.check_open()?;
            self.inner.tick_if_due();
            // Before looking: what is appended after this wakes us.
            let seen = self.inner.broker.progress();
            let fetched = self.fetch()?;
            let remaining = timeout.saturating_sub(self.inner.clock.elapsed().saturating_sub(started));
            if !fetched.is_empty() || remaining.is_zero() {
                return Ok(fetched);
            }
            if self.inner.broker.topics().wait_for_progress(seen, remaining) == seen {
                return Ok(fetched);
            }
        }
    }
}
