//! Topics and offsets of a cluster.

use std::collections::BTreeMap;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as KafkaTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use streams_core::error::LogError;
use streams_core::log::{
    Admin, Isolation, LogResult, NewTopic, OffsetAndMetadata, OffsetSpec, TopicPartition,
};

use crate::error::log_error;
use crate::{REQUEST_TIMEOUT, isolation_level};

/// As many replicas as the cluster's default says.
const DEFAULT_REPLICATION: i32 = -1;

pub(crate) struct KafkaAdmin {
    client: AdminClient<DefaultClientContext>,
    config: ClientConfig,
    /// One for each isolation, made when first needed: the isolation decides what the latest offset is.
    consumers: [Option<BaseConsumer>; 2],
}

impl KafkaAdmin {
    pub(crate) fn new(config: ClientConfig) -> LogResult<Self> {
        let client = config
            .create()
            .map_err(|error| log_error("starting the admin client", error))?;
        Ok(Self {
            client,
            config,
            consumers: [None, None],
        })
    }

    fn consumer(&mut self, isolation: Isolation) -> LogResult<&BaseConsumer> {
        let slot = &mut self.consumers[usize::from(isolation == Isolation::ReadCommitted)];
        if slot.is_none() {
            let mut config = self.config.clone();
            config
                .set("group.id", "admin-unused")
                .set("isolation.level", isolation_level(isolation));
            let consumer = config
                .create()
                .map_err(|error| log_error("starting the admin client's consumer", error))?;
            *slot = Some(consumer);
        }
        slot.as_ref().ok_or(LogError::Closed)
    }

    fn options() -> AdminOptions {
        AdminOptions::new()
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .request_timeout(Some(REQUEST_TIMEOUT))
    }
}

impl Admin for KafkaAdmin {
    fn partition_counts(&mut self, topics: &[&str]) -> LogResult<Vec<Option<u32>>> {
        let consumer = self.consumer(Isolation::ReadUncommitted)?;
        let metadata = consumer
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| log_error("listing topics", error))?;
        let count = |name: &&str| {
            let found = metadata
                .topics()
                .iter()
                .find(|topic| topic.name() == *name && topic.error().is_none());
            found.and_then(|topic| u32::try_from(topic.partitions().len()).ok())
        };
        Ok(topics.iter().map(count).collect())
    }

    fn topics(&mut self) -> LogResult<BTreeMap<String, u32>> {
        let consumer = self.consumer(Isolation::ReadUncommitted)?;
        let metadata = consumer
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| log_error("listing topics", error))?;
        let there = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let count = |topic: &MetadataTopic| {
            let count = u32::try_from(topic.partitions().len()).ok()?;
            Some((topic.name().to_owned(), count))
        };
        Ok(there.filter_map(count).collect())
    }

    fn create_topic(&mut self, topic: &NewTopic) -> LogResult<()> {
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let mut request = KafkaTopic::new(
            &topic.name,
            partitions,
            TopicReplication::Fixed(topic.replication_factor.map_or(DEFAULT_REPLICATION, i32::from)),
        );
        for (key, value) in &topic.configs {
            request = request.set(key, value);
        }
        let context = || format!("creating topic {}", topic.name);
        let results = block_on(self.client.create_topics([&request], &Self::options()))
            .map_err(|error| log_error(context(), error))?;
        match results.into_iter().next() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err((name, RDKafkaErrorCode::TopicAlreadyExists))) => {
                Err(LogError::TopicExists { topic: name })
            }
            Some(Err((_, code))) => Err(log_error(context(), KafkaError::AdminOp(code))),
        }
    }

    fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        which: OffsetSpec,
        isolation: Isolation,
    ) -> LogResult<Vec<i64>> {
        let consumer = self.consumer(isolation)?;
        let offset = |partition: &TopicPartition| {
            let (earliest, latest) = consumer
                .fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT)
                .map_err(|error| log_error(format!("asking for the offsets of {partition}"), error))?;
            match which {
                OffsetSpec::Earliest => Ok(earliest),
                OffsetSpec::Latest => Ok(latest),
                OffsetSpec::AtTimestamp(timestamp_ms) => {
                    Ok(offset_at(consumer, partition, timestamp_ms)?.unwrap_or(latest))
                }
            }
        };
        partitions.iter().map(offset).collect()
    }

    fn committed_offsets(
        &mut self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> LogResult<Vec<Option<OffsetAndMetadata>>> {
        let context = || format!("asking for the committed offsets of group {group_id}");
        let mut config = self.config.clone();
        // Read-committed: waits for open transactions that hold offsets.
        config
            .set("group.id", group_id)
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().map_err(|error| log_error(context(), error))?;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let found = consumer
            .committed_offsets(list, REQUEST_TIMEOUT)
            .map_err(|error| log_error(context(), error))?;
        let committed = |partition: &TopicPartition| {
            let element = found.find_partition(&partition.topic, partition.partition)?;
            match element.offset() {
                Offset::Offset(offset) => Some(OffsetAndMetadata {
                    offset,
                    metadata: element.metadata().to_owned(),
                }),
                _ => None,
            }
        };
        Ok(partitions.iter().map(committed).collect())
    }

    fn delete_records(&mut self, before: &[(TopicPartition, i64)]) -> LogResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in before {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
                .map_err(|error| log_error(format!("deleting records of {partition}"), error))?;
        }
        let deleted = block_on(self.client.delete_records(&list, &Self::options()))
            .map_err(|error| log_error("deleting records", error))?;
        for element in deleted.elements() {
            let place = format!("deleting records of {}-{}", element.topic(), element.partition());
            element.error().map_err(|error| log_error(place, error))?;
        }
        Ok(())
    }
}

/// Offset of the first record from a time on, if there is one.
fn offset_at(
    consumer: &BaseConsumer,
    partition: &TopicPartition,
    timestamp_ms: i64,
) -> LogResult<Option<i64>> {
    let TopicPartition {
        topic,
        partition: number,
    } = partition;
    let context = || format!("asking for the offset of {partition} at time {timestamp_ms}");
    let mut list = TopicPartitionList::new();
    // A time is asked for in the place of an offset.
    list.add_partition_offset(topic, *number, Offset::Offset(timestamp_ms))
        .map_err(|error| log_error(context(), error))?;
    let found = consumer
        .offsets_for_times(list, REQUEST_TIMEOUT)
        .map_err(|error| log_error(context(), error))?;
    let Some(element) = found.find_partition(topic, *number) else {
        return Ok(None);
    };
    element.error().map_err(|error| log_error(context(), error))?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

impl std::fmt::Debug for KafkaAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaAdmin").finish_non_exhaustive()
    }
}
