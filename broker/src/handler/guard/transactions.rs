//! Producer ids and transactions.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse,
    ProducerId, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::{CLUSTER_DENIED, GROUP_DENIED, TOPIC_DENIED, TRANSACTIONAL_ID_DENIED, take_denied};
use crate::acl::{Operation, ResourceType};
use crate::handler::{Broker, RequestContext, Response};

/// First version of AddPartitionsToTxn that carries several transactions.
const BATCHED_ADD_VERSION: i16 = 4;
/// Kafka's code for partitions that another one's error kept out.
const NOT_ATTEMPTED: i16 = 55;

impl Broker {
    pub(super) fn guard_init_producer_id(
        &self,
        context: &RequestContext,
        request: InitProducerIdRequest,
        now_ms: i64,
    ) -> Response {
        let denied = match &request.transactional_id {
            Some(id) if !self.may_transact(context, Operation::Write, id) => TRANSACTIONAL_ID_DENIED,
            None if !self.may_on_cluster(context, Operation::IdempotentWrite)
                && !self.may_on_any(context, Operation::Write, ResourceType::Topic) =>
            {
                CLUSTER_DENIED
            }
            _ => return Response::InitProducerId(self.answer(context, request, now_ms)),
        };
        Response::InitProducerId(
            InitProducerIdResponse::default()
                .with_error_code(denied)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1),
        )
    }

    /// Of the partitions of a transaction all are added or none.
    pub(super) fn guard_add_partitions_to_txn(
        &self,
        context: &RequestContext,
        request: AddPartitionsToTxnRequest,
        now_ms: i64,
    ) -> Response {
        if context.version < BATCHED_ADD_VERSION {
            let (id, topics) = (
                &request.v3_and_below_transactional_id,
                &request.v3_and_below_topics,
            );
            return Response::AddPartitionsToTxn(match self.denied_addition(context, id, topics) {
                None => self.answer(context, request, now_ms),
                Some(denied) => {
                    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(denied)
                }
            });
        }
        // Only brokers send these versions, and look after the rights of clients themselves.
        if !self.may_on_cluster(context, Operation::ClusterAction) {
            return Response::AddPartitionsToTxn(
                AddPartitionsToTxnResponse::default().with_error_code(CLUSTER_DENIED),
            );
        }
        Response::AddPartitionsToTxn(self.answer(context, request, now_ms))
    }

    /// What to say of partitions that may not be added to a transaction; None if they may.
    fn denied_addition(
        &self,
        context: &RequestContext,
        id: &str,
        topics: &[AddPartitionsToTxnTopic],
    ) -> Option<Vec<AddPartitionsToTxnTopicResult>> {
        let may = |name: &TopicName| self.may_topic(context, Operation::Write, name);
        if !self.may_transact(context, Operation::Write, id) {
            return Some(results(topics, |_| TRANSACTIONAL_ID_DENIED));
        }
        if topics.iter().all(|topic| may(&topic.name)) {
            return None;
        }
        Some(results(topics, |name| {
            if may(name) { NOT_ATTEMPTED } else { TOPIC_DENIED }
        }))
    }

    pub(super) fn guard_add_offsets_to_txn(
        &self,
        context: &RequestContext,
        request: AddOffsetsToTxnRequest,
        now_ms: i64,
    ) -> Response {
        let denied = self.denied_offsets(context, &request.transactional_id, &request.group_id);
        Response::AddOffsetsToTxn(match denied {
            None => self.answer(context, request, now_ms),
            Some(code) => AddOffsetsToTxnResponse::default().with_error_code(code),
        })
    }

    /// Why a group's offsets may not be part of a transaction; None if they may.
    fn denied_offsets(&self, context: &RequestContext, id: &str, group: &str) -> Option<i16> {
        if !self.may_transact(context, Operation::Write, id) {
            return Some(TRANSACTIONAL_ID_DENIED);
        }
        (!self.may_group(context, Operation::Read, group)).then_some(GROUP_DENIED)
    }

    pub(super) fn guard_txn_offset_commit(
        &self,
        context: &RequestContext,
        mut request: TxnOffsetCommitRequest,
        now_ms: i64,
    ) -> Response {
        let all = self.denied_offsets(context, &request.transactional_id, &request.group_id);
        let denied = take_denied(&mut request.topics, |topic| {
            all.is_none() && self.may_topic(context, Operation::Read, &topic.name)
        });
        let mut response = match all {
            None => self.answer(context, request, now_ms),
            Some(_) => TxnOffsetCommitResponse::default(),
        };
        response.topics.extend(denied.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(all.unwrap_or(TOPIC_DENIED))
            });
            TxnOffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        }));
        Response::TxnOffsetCommit(response)
    }

    pub(super) fn guard_end_txn(
        &self,
        context: &RequestContext,
        request: EndTxnRequest,
        now_ms: i64,
    ) -> Response {
        if self.may_transact(context, Operation::Write, &request.transactional_id) {
            return Response::EndTxn(self.answer(context, request, now_ms));
        }
        Response::EndTxn(
            EndTxnResponse::default()
                .with_error_code(TRANSACTIONAL_ID_DENIED)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1),
        )
    }

    pub(super) fn guard_describe_transactions(
        &self,
        context: &RequestContext,
        mut request: DescribeTransactionsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.transactional_ids, |id| {
            self.may_transact(context, Operation::Describe, id)
        });
        let mut response: DescribeTransactionsResponse = self.answer(context, request, now_ms);
        for state in &mut response.transaction_states {
            let may = |name: &str| self.may_topic(context, Operation::Describe, name);
            state.topics.retain(|topic| may(&topic.topic));
        }
        response.transaction_states.extend(denied.into_iter().map(|id| {
            TransactionState::default()
                .with_transactional_id(id)
                .with_error_code(TRANSACTIONAL_ID_DENIED)
        }));
        Response::DescribeTransactions(response)
    }

    pub(super) fn guard_list_transactions(
        &self,
        context: &RequestContext,
        request: ListTransactionsRequest,
        now_ms: i64,
    ) -> Response {
        let mut response: ListTransactionsResponse = self.answer(context, request, now_ms);
        let may = |id: &str| self.may_transact(context, Operation::Describe, id);
        response
            .transaction_states
            .retain(|state| may(&state.transactional_id));
        Response::ListTransactions(response)
    }
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&TopicName) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code(&topic.name))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    };
    topics.iter().map(result).collect()
}
