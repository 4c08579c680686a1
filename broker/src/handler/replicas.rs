//! What tools ask about replicas, elections and disks. There is one replica of each partition, on one disk: what changes
//! nothing succeeds, everything else says why it cannot.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, ElectLeadersRequest,
    ElectLeadersResponse, ListPartitionReassignmentsResponse, TopicName,
};

use super::{Broker, Refusal, RequestContext, text};
use crate::acl::Operation;
use crate::topic::TopicError;

/// First version of DescribeLogDirs with an error for all.
const LOG_DIRS_ERROR_VERSION: i16 = 3;

impl Broker {
    /// The one replica of each partition leads already.
    pub(super) fn elect_leaders(
        &self,
        context: &RequestContext,
        request: &ElectLeadersRequest,
    ) -> ElectLeadersResponse {
        let mut response = ElectLeadersResponse::default();
        if let Err(refusal) = self.check_on_cluster(context, Operation::Alter) {
            return response.with_error_code(refusal.code);
        }
        // Of all partitions, Kafka tells those of which the leader changed.
        for topic in request.topic_partitions.iter().flatten() {
            let partitions = topic.partitions.iter().map(|partition| {
                let refusal = match self.check_partition(&topic.topic, *partition) {
                    Ok(()) => ResponseError::ElectionNotNeeded.into(),
                    Err(refusal) => refusal,
                };
                PartitionResult::default()
                    .with_partition_id(*partition)
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message)))
            });
            response.replica_election_results.push(
                ReplicaElectionResult::default()
                    .with_topic(topic.topic.clone())
                    .with_partition_result(partitions.collect()),
            );
        }
        response
    }

    pub(super) fn alter_partition_reassignments(
        &self,
        context: &RequestContext,
        request: &AlterPartitionReassignmentsRequest,
    ) -> AlterPartitionReassignmentsResponse {
        let mut response = AlterPartitionReassignmentsResponse::default()
            .with_allow_replication_factor_change(request.allow_replication_factor_change);
        if let Err(refusal) = self.check_on_cluster(context, Operation::Alter) {
            return response
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message)));
        }
        for topic in &request.topics {
            let partitions = topic.partitions.iter().map(|partition| {
                let result =
                    ReassignablePartitionResponse::default().with_partition_index(partition.partition_index);
                match self.reassign(&topic.name, partition) {
                    Ok(()) => result,
                    Err(refusal) => result
                        .with_error_code(refusal.code)
                        .with_error_message(Some(text(&refusal.message))),
                }
            });
            response.responses.push(
                ReassignableTopicResponse::default()
                    .with_name(topic.name.clone())
                    .with_partitions(partitions.collect()),
            );
        }
        response
    }

    fn reassign(&self, topic: &TopicName, asked: &ReassignablePartition) -> Result<(), Refusal> {
        self.check_partition(topic, asked.partition_index)?;
        match &asked.replicas {
            None => Err(ResponseError::NoReassignmentInProgress.into()),
            Some(replicas) if self.is_own_replica(replicas) => Ok(()),
            Some(_) => Err(self.foreign_replicas()),
        }
    }

    /// A reassignment is done as soon as it is asked for: none is under way.
    pub(super) fn list_partition_reassignments(
        &self,
        context: &RequestContext,
    ) -> ListPartitionReassignmentsResponse {
        match self.check_on_cluster(context, Operation::Describe) {
            Ok(()) => ListPartitionReassignmentsResponse::default(),
            Err(refusal) => ListPartitionReassignmentsResponse::default()
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message))),
        }
    }

    pub(super) fn alter_replica_log_dirs(
        &self,
        context: &RequestContext,
        request: &AlterReplicaLogDirsRequest,
    ) -> AlterReplicaLogDirsResponse {
        let allowed = self.check_on_cluster(context, Operation::Alter);
        let mut response = AlterReplicaLogDirsResponse::default();
        for dir in &request.dirs {
            let is_own = std::path::Path::new(dir.path.as_str()) == self.topics.dir();
            for topic in &dir.topics {
                let partitions = topic.partitions.iter().map(|partition| {
                    let moved = allowed.clone().and_then(|()| {
                        if is_own {
                            self.check_partition(&topic.name, *partition)
                        } else {
                            Err(ResponseError::LogDirNotFound.into())
                        }
                    });
                    AlterReplicaLogDirPartitionResult::default()
                        .with_partition_index(*partition)
                        .with_error_code(moved.err().map_or(0, |refusal| refusal.code))
                });
                response.results.push(
                    AlterReplicaLogDirTopicResult::default()
                        .with_topic_name(topic.name.clone())
                        .with_partitions(partitions.collect()),
                );
            }
        }
        response
    }

    pub(super) fn describe_log_dirs(
        &self,
        context: &RequestContext,
        request: &DescribeLogDirsRequest,
    ) -> DescribeLogDirsResponse {
        let response = DescribeLogDirsResponse::default();
        if let Err(refusal) = self.check_on_cluster(context, Operation::Describe) {
            let has_error = context.version >= LOG_DIRS_ERROR_VERSION;
            return response.with_error_code(if has_error { refusal.code } else { 0 });
        }
        let asked: Vec<(String, Option<&[i32]>)> = match &request.topics {
            Some(topics) => {
                let asked = topics.iter();
                asked
                    .map(|topic| (topic.topic.to_string(), Some(topic.partitions.as_slice())))
                    .collect()
            }
            None => {
                let topics = self.topics.list().unwrap_or_default();
                topics
                    .iter()
                    .map(|topic| (topic.name().to_owned(), None))
                    .collect()
            }
        };
        let topics = asked
            .iter()
            .filter_map(|(name, partitions)| self.sizes(name, *partitions));
        // Of a disk that does not tell, nothing is known: -1.
        let (total_bytes, usable_bytes) = match rustix::fs::statvfs(self.topics.dir()) {
            Ok(disk) => (
                disk.f_blocks.saturating_mul(disk.f_frsize) as i64,
                disk.f_bavail.saturating_mul(disk.f_frsize) as i64,
            ),
            Err(_) => (-1, -1),
        };
        let dir = DescribeLogDirsResult::default()
            .with_log_dir(text(&self.topics.dir().to_string_lossy()))
            .with_topics(topics.collect())
            .with_total_bytes(total_bytes)
            .with_usable_bytes(usable_bytes);
        response.with_results(vec![dir])
    }

    /// How large partitions are; all of them if none are named. What does not exist is left out, as by Kafka.
    fn sizes(&self, name: &str, partitions: Option<&[i32]>) -> Option<DescribeLogDirsTopic> {
        let topic = self.topics.topic(name).ok()?;
        let all: Vec<i32>;
        let partitions = match partitions {
            Some(partitions) => partitions,
            None => {
                all = (0..topic.partitions().len() as i32).collect();
                &all
            }
        };
        let sizes = partitions.iter().filter_map(|index| {
            let size = topic.lock(*index).ok()?.size_bytes();
            Some(
                DescribeLogDirsPartition::default()
                    .with_partition_index(*index)
                    .with_partition_size(size as i64),
            )
        });
        Some(
            DescribeLogDirsTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(sizes.collect()),
        )
    }

    /// Whether there is such a partition.
    pub(super) fn check_partition(&self, topic: &str, partition: i32) -> Result<(), Refusal> {
        self.topics
            .topic(topic)
            .and_then(|topic| topic.partition(partition).map(|_| ()))
            .map_err(|error: TopicError| error.into())
    }
}
