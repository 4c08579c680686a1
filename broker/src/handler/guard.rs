//! Access rules around the handler: of each request only what its sender may do is served, and the rest of the answer says so.
//! Only with an authorizer. Requests about brokers and the cluster look after themselves, since they are all or nothing;
//! what is here are those that name topics, groups and transactional ids.
//!
//! What must stay true: every API is named in [`Broker::handle_guarded`], so that none can be added without deciding what it
//! needs; and who may not see a topic does not learn whether it exists.

mod configs;
mod groups;
mod records;
mod topics;
mod transactions;

use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::{Broker, Outcome, Request, RequestContext, Response};
use crate::acl::{Operation, ResourceType};

impl Broker {
    /// Serves what the sender of a request may do.
    pub(super) fn handle_guarded(&self, context: &RequestContext, request: Request, now_ms: i64) -> Outcome {
        Outcome::Ready(match request {
            Request::Produce(request) => self.guard_produce(context, request, now_ms),
            Request::ListOffsets(request) => self.guard_list_offsets(context, request, now_ms),
            Request::DeleteRecords(request) => self.guard_delete_records(context, request, now_ms),
            Request::CreateTopics(request) => self.guard_create_topics(context, request, now_ms),
            Request::DeleteTopics(request) => self.guard_delete_topics(context, request, now_ms),
            Request::CreatePartitions(request) => self.guard_create_partitions(context, request, now_ms),
            Request::DescribeConfigs(request) => self.guard_describe_configs(context, request, now_ms),
            Request::AlterConfigs(request) => self.guard_alter_configs(context, request, now_ms),
            Request::IncrementalAlterConfigs(request) => {
                self.guard_incremental_alter_configs(context, request, now_ms)
            }
            Request::ListConfigResources(request) => {
                self.guard_list_config_resources(context, request, now_ms)
            }
            Request::InitProducerId(request) => self.guard_init_producer_id(context, request, now_ms),
            Request::AddPartitionsToTxn(request) => {
                self.guard_add_partitions_to_txn(context, request, now_ms)
            }
            Request::AddOffsetsToTxn(request) => self.guard_add_offsets_to_txn(context, request, now_ms),
            Request::EndTxn(request) => self.guard_end_txn(context, request, now_ms),
            Request::TxnOffsetCommit(request) => self.guard_txn_offset_commit(context, request, now_ms),
            Request::DescribeTransactions(request) => {
                self.guard_describe_transactions(context, request, now_ms)
            }
            Request::ListTransactions(request) => self.guard_list_transactions(context, request, now_ms),
            Request::FindCoordinator(request) => self.guard_find_coordinator(context, request, now_ms),
            Request::OffsetCommit(request) => self.guard_offset_commit(context, request, now_ms),
            Request::OffsetFetch(request) => self.guard_offset_fetch(context, request, now_ms),
            Request::OffsetDelete(request) => self.guard_offset_delete(context, request, now_ms),
            Request::ListGroups(request) => self.guard_list_groups(context, request, now_ms),
            Request::DescribeGroups(request) => self.guard_describe_groups(context, request, now_ms),
            Request::ConsumerGroupDescribe(request) => {
                self.guard_consumer_group_describe(context, request, now_ms)
            }
            Request::StreamsGroupDescribe(request) => {
                self.guard_streams_group_describe(context, request, now_ms)
            }
            Request::DeleteGroups(request) => self.guard_delete_groups(context, request, now_ms),
            request @ (Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::ConsumerGroupHeartbeat(_)
            | Request::StreamsGroupHeartbeat(_)) => {
                return self.guard_membership(context, request, now_ms);
            }
            // These look after themselves, or are for everybody.
            request @ (Request::ApiVersions(_)
            | Request::Fetch(_)
            | Request::SaslHandshake(_)
            | Request::SaslAuthenticate(_)
            | Request::Metadata(_)
            | Request::DescribeTopicPartitions(_)
            | Request::DescribeCluster(_)
            | Request::DescribeQuorum(_)
            | Request::UpdateFeatures(_)
            | Request::DescribeLogDirs(_)
            | Request::AlterReplicaLogDirs(_)
            | Request::ElectLeaders(_)
            | Request::AlterPartitionReassignments(_)
            | Request::ListPartitionReassignments(_)
            | Request::DescribeAcls(_)
            | Request::CreateAcls(_)
            | Request::DeleteAcls(_)
            | Request::DescribeClientQuotas(_)
            | Request::AlterClientQuotas(_)
            | Request::DescribeUserScramCredentials(_)
            | Request::AlterUserScramCredentials(_)
            | Request::OffsetCommitById(_)
            | Request::OffsetFetchById(_)
            | Request::OffsetForLeaderEpoch(_)
            | Request::DescribeProducers(_)
            | Request::WriteTxnMarkers(_)) => return self.serve(context, request, now_ms),
        })
    }

    /// Serves a request that is answered at once.
    fn answer<R: TryFrom<Response>>(
        &self,
        context: &RequestContext,
        request: impl Into<Request>,
        now_ms: i64,
    ) -> R {
        match self.serve(context, request.into(), now_ms) {
            Outcome::Ready(response) => {
                let fits = R::try_from(response).ok();
                fits.expect("a request is answered by the response of its API")
            }
            Outcome::Parked(_) => {
                unreachable!("only JoinGroup and SyncGroup are parked, and those are not asked here")
            }
        }
    }

    fn may_topic(&self, context: &RequestContext, operation: Operation, name: &str) -> bool {
        self.may(context, operation, ResourceType::Topic, name)
    }

    fn may_group(&self, context: &RequestContext, operation: Operation, name: &str) -> bool {
        self.may(context, operation, ResourceType::Group, name)
    }

    fn may_transact(&self, context: &RequestContext, operation: Operation, name: &str) -> bool {
        self.may(context, operation, ResourceType::TransactionalId, name)
    }

    /// The name of a topic that is named by name or by id. One that is not there has none, and nothing to hide.
    fn name_of(&self, name: &TopicName, id: Uuid) -> Option<TopicName> {
        if id.is_nil() {
            return Some(name.clone());
        }
        let topic = self.topics.topic_by_id(id).ok()?;
        Some(TopicName(super::text(topic.name())))
    }
}

/// Takes out what `is_allowed` is not true of, and answers it.
fn take_denied<T>(all: &mut Vec<T>, mut is_allowed: impl FnMut(&T) -> bool) -> Vec<T> {
    let (allowed, denied) = std::mem::take(all).into_iter().partition(|one| is_allowed(one));
    *all = allowed;
    denied
}

/// Codes of what who asks may not do.
const TOPIC_DENIED: i16 = 29;
const GROUP_DENIED: i16 = 30;
const CLUSTER_DENIED: i16 = 31;
const TRANSACTIONAL_ID_DENIED: i16 = 53;
