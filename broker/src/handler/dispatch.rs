//! Which API is served by what.

use super::{Broker, Outcome, Request, RequestContext, Response, sasl};

impl Broker {
    /// Serves a request whose sender may do all that it asks for.
    pub(super) fn serve(&self, context: &RequestContext, request: Request, now_ms: i64) -> Outcome {
        let version = context.version;
        Outcome::Ready(match request {
            Request::ApiVersions(request) => Response::ApiVersions(self.api_versions(version, &request)),
            Request::Produce(request) => Response::Produce(self.produce(version, request, now_ms)),
            Request::Fetch(request) => Response::Fetch(self.fetch(context, request, now_ms).read()),
            Request::ListOffsets(request) => Response::ListOffsets(self.list_offsets(version, &request)),
            Request::Metadata(request) => Response::Metadata(self.metadata(context, &request, now_ms)),
            Request::CreateTopics(request) => {
                Response::CreateTopics(self.create_topics(context, &request, now_ms))
            }
            Request::DeleteTopics(request) => {
                Response::DeleteTopics(self.delete_topics(context, &request, now_ms))
            }
            Request::CreatePartitions(request) => {
                Response::CreatePartitions(self.create_partitions(context, &request, now_ms))
            }
            Request::DescribeConfigs(request) => Response::DescribeConfigs(self.describe_configs(&request)),
            Request::AlterConfigs(request) => Response::AlterConfigs(self.alter_configs(&request, now_ms)),
            Request::IncrementalAlterConfigs(request) => {
                Response::IncrementalAlterConfigs(self.incremental_alter_configs(&request, now_ms))
            }
            Request::ListConfigResources(request) => {
                Response::ListConfigResources(self.list_config_resources(version, &request))
            }
            Request::DeleteRecords(request) => Response::DeleteRecords(self.delete_records(&request)),
            Request::InitProducerId(request) => {
                Response::InitProducerId(self.init_producer_id(version, &request, now_ms))
            }
            Request::AddPartitionsToTxn(request) => {
                Response::AddPartitionsToTxn(self.add_partitions_to_txn(version, &request, now_ms))
            }
            Request::AddOffsetsToTxn(request) => {
                Response::AddOffsetsToTxn(self.add_offsets_to_txn(version, &request, now_ms))
            }
            Request::TxnOffsetCommit(request) => {
                Response::TxnOffsetCommit(self.txn_offset_commit(context, request, now_ms))
            }
            Request::EndTxn(request) => Response::EndTxn(self.end_txn(version, &request, now_ms)),
            Request::FindCoordinator(request) => {
                Response::FindCoordinator(self.find_coordinator(context, &request))
            }
            Request::OffsetCommit(request) => {
                Response::OffsetCommit(self.offset_commit(context, request, now_ms))
            }
            Request::OffsetCommitById(request) => {
                Response::OffsetCommitById(self.offset_commit_by_id(context, request, now_ms))
            }
            Request::OffsetFetchById(request) => {
                Response::OffsetFetchById(self.offset_fetch_by_id(context, request, now_ms))
            }
            Request::OffsetFetch(request) => Response::OffsetFetch(self.offset_fetch(version, &request)),
            Request::ListGroups(request) => Response::ListGroups(self.list_groups(&request)),
            Request::DescribeGroups(request) => {
                let mut response = self.describe_groups(version, &request);
                if request.include_authorized_operations {
                    for group in &mut response.groups {
                        group.authorized_operations = self.group_operations(context, &group.group_id);
                    }
                }
                Response::DescribeGroups(response)
            }
            Request::DeleteGroups(request) => {
                Response::DeleteGroups(self.delete_groups(context, request, now_ms))
            }
            Request::OffsetDelete(request) => {
                Response::OffsetDelete(self.offset_delete(context, request, now_ms))
            }
            Request::StreamsGroupDescribe(request) => {
                let mut response = self.describe_streams_groups(&request);
                if request.include_authorized_operations {
                    for group in &mut response.groups {
                        group.authorized_operations = self.group_operations(context, &group.group_id);
                    }
                }
                Response::StreamsGroupDescribe(response)
            }
            Request::ConsumerGroupDescribe(request) => {
                let mut response = self.describe_consumer_groups(&request);
                if request.include_authorized_operations {
                    for group in &mut response.groups {
                        group.authorized_operations = self.group_operations(context, &group.group_id);
                    }
                }
                Response::ConsumerGroupDescribe(response)
            }
            Request::ListTransactions(request) => {
                Response::ListTransactions(self.list_transactions(&request, now_ms))
            }
            Request::DescribeTransactions(request) => {
                Response::DescribeTransactions(self.describe_transactions(&request))
            }
            Request::OffsetForLeaderEpoch(request) => {
                Response::OffsetForLeaderEpoch(self.offset_for_leader_epoch(context, &request))
            }
            Request::DescribeProducers(request) => {
                Response::DescribeProducers(self.describe_producers(context, &request))
            }
            Request::WriteTxnMarkers(request) => {
                Response::WriteTxnMarkers(self.write_txn_markers(context, &request, now_ms))
            }
            Request::DescribeCluster(request) => {
                Response::DescribeCluster(self.describe_cluster(context, &request))
            }
            Request::DescribeQuorum(request) => {
                Response::DescribeQuorum(self.describe_quorum(context, &request, now_ms))
            }
            Request::UpdateFeatures(request) => {
                Response::UpdateFeatures(self.update_features(context, &request))
            }
            Request::DescribeTopicPartitions(request) => {
                Response::DescribeTopicPartitions(self.describe_topic_partitions(context, &request))
            }
            Request::DescribeLogDirs(request) => {
                Response::DescribeLogDirs(self.describe_log_dirs(context, &request))
            }
            Request::AlterReplicaLogDirs(request) => {
                Response::AlterReplicaLogDirs(self.alter_replica_log_dirs(context, &request))
            }
            Request::ElectLeaders(request) => Response::ElectLeaders(self.elect_leaders(context, &request)),
            Request::AlterPartitionReassignments(request) => {
                Response::AlterPartitionReassignments(self.alter_partition_reassignments(context, &request))
            }
            Request::ListPartitionReassignments(_) => {
                Response::ListPartitionReassignments(self.list_partition_reassignments(context))
            }
            Request::DescribeAcls(request) => Response::DescribeAcls(self.describe_acls(context, &request)),
            Request::CreateAcls(request) => Response::CreateAcls(self.create_acls(context, &request)),
            Request::DeleteAcls(request) => Response::DeleteAcls(self.delete_acls(context, &request)),
            Request::DescribeClientQuotas(request) => {
                Response::DescribeClientQuotas(self.describe_client_quotas(context, &request))
            }
            Request::AlterClientQuotas(request) => {
                Response::AlterClientQuotas(self.alter_client_quotas(context, &request))
            }
            Request::DescribeUserScramCredentials(request) => {
                Response::DescribeUserScramCredentials(self.describe_scram_users(context, &request))
            }
            Request::AlterUserScramCredentials(request) => {
                Response::AlterUserScramCredentials(self.alter_scram_users(context, &request))
            }
            Request::SaslHandshake(_) => Response::SaslHandshake(sasl::handshake_out_of_place()),
            Request::SaslAuthenticate(_) => Response::SaslAuthenticate(sasl::authenticate_out_of_place()),
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::ConsumerGroupHeartbeat(_)
            | Request::StreamsGroupHeartbeat(_) => {
                return self.group_membership(context, request, now_ms);
            }
        })
    }
}
