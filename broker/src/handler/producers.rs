//! What a transaction that hangs can be found and ended with: DescribeProducers, WriteTxnMarkers. And OffsetForLeaderEpoch,
//! which like them looks at single logs.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use super::fetch::check_epoch;
use super::{Broker, Refusal, RequestContext, text};
use crate::acl::{Operation, ResourceType};
use crate::transaction::{Markers, TopicPartitions};

impl Broker {
    pub(super) fn describe_producers(
        &self,
        context: &RequestContext,
        request: &DescribeProducersRequest,
    ) -> DescribeProducersResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                let response = PartitionResponse::default().with_partition_index(*index);
                match self.producers_of(context, &topic.name, *index) {
                    Ok(producers) => response.with_active_producers(producers),
                    Err(refusal) => response
                        .with_error_code(refusal.code)
                        .with_error_message(Some(text(&refusal.message))),
                }
            });
            TopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    }

    fn producers_of(
        &self,
        context: &RequestContext,
        topic: &str,
        partition: i32,
    ) -> Result<Vec<ProducerState>, Refusal> {
        if !self.may(context, Operation::Read, ResourceType::Topic, topic) {
            return Err(ResourceType::Topic.refusal().into());
        }
        let topic = self.topics.topic(topic)?;
        let producers = topic.lock(partition)?.active_producers();
        let state = producers.into_iter().map(|producer| {
            ProducerState::default()
                .with_producer_id(ProducerId(producer.producer_id))
                .with_producer_epoch(i32::from(producer.producer_epoch))
                .with_last_sequence(producer.last_sequence)
                .with_last_timestamp(producer.last_timestamp_ms)
                .with_coordinator_epoch(producer.coordinator_epoch)
                .with_current_txn_start_offset(producer.transaction_first_offset.unwrap_or(-1))
        });
        Ok(state.collect())
    }

    /// Ends transactions on single partitions, past their coordinator: how an administrator aborts one that hangs.
    pub(super) fn write_txn_markers(
        &self,
        context: &RequestContext,
        request: &WriteTxnMarkersRequest,
        now_ms: i64,
    ) -> WriteTxnMarkersResponse {
        let allowed = self
            .check_on_cluster(context, Operation::Alter)
            .or_else(|_| self.check_on_cluster(context, Operation::ClusterAction));
        let markers = request.markers.iter().map(|marker| {
            let topics = marker.topics.iter().map(|topic| {
                let partitions = topic.partition_indexes.iter().map(|index| {
                    let written = allowed
                        .clone()
                        .and_then(|()| self.end_transaction_on(marker, &topic.name, *index, now_ms));
                    WritableTxnMarkerPartitionResult::default()
                        .with_partition_index(*index)
                        .with_error_code(written.err().map_or(0, |refusal| refusal.code))
                });
                WritableTxnMarkerTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_partitions(partitions.collect())
            });
            WritableTxnMarkerResult::default()
                .with_producer_id(marker.producer_id)
                .with_topics(topics.collect())
        });
        WriteTxnMarkersResponse::default().with_markers(markers.collect())
    }

    fn end_transaction_on(
        &self,
        marker: &WritableTxnMarker,
        topic: &str,
        partition: i32,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let topic = self.topics.topic(topic)?;
        let markers = Markers {
            transactional_id: String::new(),
            producer_id: marker.producer_id.0,
            producer_epoch: marker.producer_epoch,
            commit: marker.transaction_result,
            coordinator_epoch: marker.coordinator_epoch,
            partitions: TopicPartitions::from([(topic.name().to_owned(), BTreeSet::from([partition]))]),
        };
        self.write_marker(&topic, partition, &markers, now_ms)
    }

    pub(super) fn offset_for_leader_epoch(
        &self,
        context: &RequestContext,
        request: &OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let result = EpochEndOffset::default().with_partition(asked.partition);
                match self.end_of_epoch(context, &topic.topic, asked) {
                    Ok((epoch, offset)) => result.with_leader_epoch(epoch).with_end_offset(offset),
                    Err(refusal) => result.with_error_code(refusal.code),
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    /// The largest epoch up to the one asked for, and where it ended; -1 and -1 for an epoch that has not been.
    fn end_of_epoch(
        &self,
        context: &RequestContext,
        topic: &str,
        asked: &OffsetForLeaderPartition,
    ) -> Result<(i32, i64), Refusal> {
        if !self.may(context, Operation::Describe, ResourceType::Topic, topic) {
            return Err(ResourceType::Topic.refusal().into());
        }
        let topic = self.topics.topic(topic)?;
        let log = topic.lock(asked.partition)?;
        check_epoch(&topic, asked.current_leader_epoch)?;
        Ok(log.end_of_leader_epoch(asked.leader_epoch)?.unwrap_or((-1, -1)))
    }
}
