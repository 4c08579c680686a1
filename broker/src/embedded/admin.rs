//! Topics, offsets and deletion for an application in the same process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use streams_core::error::LogError;
use streams_core::log::{
    Admin, Isolation, LogResult, NewTopic, OffsetAndMetadata, OffsetSpec, TopicPartition,
};

use super::{Inner, WAIT_SLICE, unknown_partition};
use crate::log::{Isolation as LogIsolation, PartitionLog, ReadError};

const CLIENT_ID: &str = "admin";
const CREATE_TOPICS_VERSION: i16 = 7;
const OFFSET_FETCH_VERSION: i16 = 8;
/// How long an open transaction may hold up committed offsets (`default.api.timeout.ms`).
const STABLE_OFFSETS_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct EmbeddedAdmin {
    inner: Arc<Inner>,
}

impl EmbeddedAdmin {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    fn with_log<T>(
        &self,
        partition: &TopicPartition,
        action: &str,
        use_log: impl FnOnce(&mut PartitionLog) -> Result<T, ReadError>,
    ) -> LogResult<T> {
        let topic = self.inner.topic(&partition.topic)?;
        topic
            .partition(partition.partition)
            .map_err(|_| unknown_partition(&partition.topic, partition.partition))?;
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            LogError::failed(format!("{action} of {partition}"), error)
        };
        let mut log = topic
            .lock(partition.partition)
            .map_err(|error| failed(error.into()))?;
        use_log(&mut log).map_err(|error| match error {
            ReadError::OffsetOutOfRange {
                offset,
                log_start_offset,
                log_end_offset,
                ..
            } => LogError::OffsetOutOfRange {
                partition: partition.clone(),
                offset,
                log_start_offset,
                log_end_offset,
            },
            error @ ReadError::PolicyViolation { .. } => LogError::invalid(error.to_string()),
            other => failed(other.into()),
        })
    }

    /// None while an open transaction holds one of the offsets.
    fn stable_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> LogResult<Option<Vec<Option<OffsetAndMetadata>>>> {
        let topics = partitions.iter().map(|partition| {
            OffsetFetchRequestTopics::default()
                .with_name(TopicName(text(&partition.topic)))
                .with_partition_indexes(vec![partition.partition])
        });
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group_id)))
            .with_topics(Some(topics.collect()));
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(true);
        let response: OffsetFetchResponse = self.inner.request(CLIENT_ID, OFFSET_FETCH_VERSION, request)?;
        let mut offsets = Vec::with_capacity(partitions.len());
        for group in &response.groups {
            self.inner.check(group.error_code, || {
                format!("reading the offsets of group {group_id}")
            })?;
            for partition in group.topics.iter().flat_map(|topic| &topic.partitions) {
                if partition.error_code == ResponseError::UnstableOffsetCommit.code() {
                    return Ok(None);
                }
                self.inner.check(partition.error_code, || {
                    format!("reading the offsets of group {group_id}")
                })?;
                offsets.push((partition.committed_offset >= 0).then(|| OffsetAndMetadata {
                    offset: partition.committed_offset,
                    metadata: partition.metadata.as_deref().unwrap_or_default().to_owned(),
                }));
            }
        }
        Ok(Some(offsets))
    }
}

impl Admin for EmbeddedAdmin {
    fn partition_counts(&mut self, topics: &[&str]) -> LogResult<Vec<Option<u32>>> {
        let count = |name: &&str| match self.inner.topic(name) {
            Ok(topic) => Ok(Some(topic.partitions().len() as u32)),
            Err(LogError::UnknownTopic { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        topics.iter().map(count).collect()
    }

    fn topics(&mut self) -> LogResult<BTreeMap<String, u32>> {
        let topics = self.inner.broker.topics().list();
        let topics = topics.map_err(|error| LogError::failed("listing topics", error))?;
        let count =
            |topic: &Arc<crate::topic::Topic>| (topic.name().to_owned(), topic.partitions().len() as u32);
        Ok(topics.iter().map(count).collect())
    }

    fn create_topic(&mut self, topic: &NewTopic) -> LogResult<()> {
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let configs = topic.configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let creatable = CreatableTopic::default()
            .with_name(TopicName(text(&topic.name)))
            .with_num_partitions(partitions)
            // One process is one copy, whatever more was asked for with a cluster in mind.
            .with_replication_factor(-1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]);
        let response: CreateTopicsResponse = self.inner.request(CLIENT_ID, CREATE_TOPICS_VERSION, request)?;
        for result in response.topics {
            if result.error_code == ResponseError::TopicAlreadyExists.code() {
                return Err(LogError::TopicExists {
                    topic: topic.name.clone(),
                });
            }
            if result.error_code != 0 {
                let context = format!("creating topic {}", topic.name);
                let message = result.error_message.as_deref().unwrap_or_default();
                return Err(self.inner.error(result.error_code, &context, message));
            }
        }
        Ok(())
    }

    fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        which: OffsetSpec,
        isolation: Isolation,
    ) -> LogResult<Vec<i64>> {
        let offset = |partition: &TopicPartition| {
            self.with_log(partition, "looking up offsets", |log| {
                let (end_offset, seen) = match isolation {
                    Isolation::ReadCommitted => (log.last_stable_offset(), LogIsolation::ReadCommitted),
                    Isolation::ReadUncommitted => (log.high_watermark(), LogIsolation::ReadUncommitted),
                };
                Ok(match which {
                    OffsetSpec::Earliest => log.log_start_offset(),
                    OffsetSpec::Latest => end_offset,
                    OffsetSpec::AtTimestamp(timestamp_ms) => log
                        .offset_for_timestamp(timestamp_ms, seen)?
                        .map_or(end_offset, |(offset, _)| offset),
                })
            })
        };
        partitions.iter().map(offset).collect()
    }

    fn committed_offsets(
        &mut self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> LogResult<Vec<Option<OffsetAndMetadata>>> {
        let started = self.inner.clock.elapsed();
        loop {
            let seen = self.inner.broker.progress();
            if let Some(offsets) = self.stable_offsets(group_id, partitions)? {
                return Ok(offsets);
            }
            if self.inner.clock.elapsed().saturating_sub(started) >= STABLE_OFFSETS_TIMEOUT {
                let what = format!("a transaction that holds offsets of group {group_id} to end");
                return Err(LogError::TimedOut { what });
            }
            // Its marker is an append like any other. A producer that died is timed out by the tick.
            self.inner.broker.topics().wait_for_progress(seen, WAIT_SLICE);
            self.inner.tick_if_due();
        }
    }

    fn delete_records(&mut self, before: &[(TopicPartition, i64)]) -> LogResult<()> {
        for (partition, offset) in before {
            self.with_log(partition, "deleting records", |log| {
                log.delete_records_before(*offset)
            })?;
        }
        Ok(())
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
