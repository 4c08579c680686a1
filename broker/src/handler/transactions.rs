//! The APIs of the transaction coordinator, with Kafka's translations for older clients.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_transactions_response::{self, TopicData};
use kafka_protocol::messages::list_transactions_response;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse,
    ProducerId, TopicName, TransactionalId,
};

use kafka_protocol::protocol::StrBytes;
use regex::Regex;

use super::{Broker, text};
use crate::coordinator_records::{OFFSETS_TOPIC, coordinator_partition};
use crate::transaction::{
    TopicPartitions, TransactionMetadata, TransactionReply, TransactionRequest, TransactionState,
};

/// First version of AddPartitionsToTxn that carries several transactions.
const BATCHED_ADD_VERSION: i16 = 4;
/// First version of EndTxn that speaks transactions v2.
const END_V2_VERSION: i16 = 5;

impl Broker {
    pub(super) fn init_producer_id(
        &self,
        version: i16,
        request: &InitProducerIdRequest,
        now_ms: i64,
    ) -> InitProducerIdResponse {
        let refused = |error: ResponseError| {
            let error = if version < 4 {
                epoch_error_of_old(error)
            } else {
                error
            };
            let none = InitProducerIdResponse::default()
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
            none.with_error_code(error.code())
        };
        let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
        let expected = match (producer_id, producer_epoch) {
            (-1, -1) => None,
            (-1, _) | (_, -1) => return refused(ResponseError::InvalidRequest),
            given => Some(given),
        };
        let request = TransactionRequest::InitProducerId {
            transactional_id: request.transactional_id.as_ref().map(|id| id.to_string()),
            timeout_ms: request.transaction_timeout_ms,
            expected,
        };
        match self.transaction(request, now_ms) {
            Ok(TransactionReply::InitProducerId(Ok((producer_id, epoch)))) => {
                InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(producer_id))
                    .with_producer_epoch(epoch)
            }
            Ok(TransactionReply::InitProducerId(Err(error))) | Err(error) => refused(error),
            Ok(_) => refused(ResponseError::UnknownServerError),
        }
    }

    pub(super) fn add_partitions_to_txn(
        &self,
        version: i16,
        request: &AddPartitionsToTxnRequest,
        now_ms: i64,
    ) -> AddPartitionsToTxnResponse {
        let mut response = AddPartitionsToTxnResponse::default();
        if version < BATCHED_ADD_VERSION {
            let topics = &request.v3_and_below_topics;
            let id = &request.v3_and_below_transactional_id;
            let identity = (
                request.v3_and_below_producer_id.0,
                request.v3_and_below_producer_epoch,
            );
            response.results_by_topic_v3_and_below = self.add_topics(version, id, identity, topics, now_ms);
            return response;
        }
        for transaction in &request.transactions {
            let identity = (transaction.producer_id.0, transaction.producer_epoch);
            let topic_results = if transaction.verify_only {
                self.verify_topics(&transaction.transactional_id, identity, &transaction.topics)
            } else {
                self.add_topics(
                    version,
                    &transaction.transactional_id,
                    identity,
                    &transaction.topics,
                    now_ms,
                )
            };
            response.results_by_transaction.push(
                AddPartitionsToTxnResult::default()
                    .with_transactional_id(transaction.transactional_id.clone())
                    .with_topic_results(topic_results),
            );
        }
        response
    }

    /// All partitions are added or none: one that does not exist fails the others with OPERATION_NOT_ATTEMPTED.
    fn add_topics(
        &self,
        version: i16,
        transactional_id: &TransactionalId,
        (producer_id, producer_epoch): (i64, i16),
        topics: &[AddPartitionsToTxnTopic],
        now_ms: i64,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let exists = |topic: &TopicName, partition: i32| {
            self.topics
                .topic(topic)
                .is_ok_and(|topic| topic.partition(partition).is_ok())
        };
        let all_exist = topics
            .iter()
            .all(|topic| topic.partitions.iter().all(|index| exists(&topic.name, *index)));
        if !all_exist {
            return results(topics, |topic, partition| {
                let missing = ResponseError::UnknownTopicOrPartition.code();
                if exists(topic, partition) {
                    ResponseError::OperationNotAttempted.code()
                } else {
                    missing
                }
            });
        }
        let mut partitions = TopicPartitions::new();
        for topic in topics {
            let numbers: &mut BTreeSet<i32> = partitions.entry(topic.name.to_string()).or_default();
            numbers.extend(&topic.partitions);
        }
        let request = TransactionRequest::AddPartitions {
            transactional_id: transactional_id.to_string(),
            producer_id,
            producer_epoch,
            partitions,
            client_version: if version >= BATCHED_ADD_VERSION { 2 } else { 1 },
        };
        let added = self.add(request, now_ms);
        let error = added.err().map(|error| {
            if version < 2 {
                epoch_error_of_old(error)
            } else {
                error
            }
        });
        results(topics, |_, _| error.map_or(0, |error| error.code()))
    }

    fn verify_topics(
        &self,
        transactional_id: &TransactionalId,
        (producer_id, producer_epoch): (i64, i16),
        topics: &[AddPartitionsToTxnTopic],
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let coordinator = self.lock_transactions();
        results(topics, |topic, partition| {
            let verified = coordinator
                .as_ref()
                .map_err(|error| *error)
                .and_then(|coordinator| {
                    coordinator.verify_partition(
                        transactional_id,
                        producer_id,
                        producer_epoch,
                        topic,
                        partition,
                    )
                });
            verified.err().map_or(0, |error| error.code())
        })
    }

    pub(super) fn add_offsets_to_txn(
        &self,
        version: i16,
        request: &AddOffsetsToTxnRequest,
        now_ms: i64,
    ) -> AddOffsetsToTxnResponse {
        let added = if request.group_id.is_empty() {
            Err(ResponseError::InvalidGroupId)
        } else {
            self.add(
                TransactionRequest::AddPartitions {
                    transactional_id: request.transactional_id.to_string(),
                    producer_id: request.producer_id.0,
                    producer_epoch: request.producer_epoch,
                    partitions: self.offsets_partition(&request.group_id),
                    client_version: 1,
                },
                now_ms,
            )
        };
        let error = added.err().map(|error| {
            if version < 2 {
                epoch_error_of_old(error)
            } else {
                error
            }
        });
        AddOffsetsToTxnResponse::default().with_error_code(error.map_or(0, |error| error.code()))
    }

    pub(super) fn end_txn(&self, version: i16, request: &EndTxnRequest, now_ms: i64) -> EndTxnResponse {
        let request = TransactionRequest::EndTxn {
            transactional_id: request.transactional_id.to_string(),
            producer_id: request.producer_id.0,
            producer_epoch: request.producer_epoch,
            commit: request.committed,
            client_version: if version >= END_V2_VERSION { 2 } else { 1 },
        };
        let response = EndTxnResponse::default()
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let error = match self.transaction(request, now_ms) {
            Ok(TransactionReply::EndTxn(Ok((producer_id, epoch)))) => {
                return response
                    .with_producer_id(ProducerId(producer_id))
                    .with_producer_epoch(epoch);
            }
            Ok(TransactionReply::EndTxn(Err(error))) | Err(error) => error,
            Ok(_) => ResponseError::UnknownServerError,
        };
        let error = if version < 2 {
            epoch_error_of_old(error)
        } else {
            error
        };
        response.with_error_code(error.code())
    }

    pub(super) fn list_transactions(
        &self,
        request: &ListTransactionsRequest,
        now_ms: i64,
    ) -> ListTransactionsResponse {
        let mut response = ListTransactionsResponse::default();
        let pattern = match request
            .transactional_id_pattern
            .as_deref()
            .filter(|text| !text.is_empty())
        {
            None => None,
            // The pattern is about the whole id.
            Some(pattern) => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(pattern) => Some(pattern),
                Err(_) => return response.with_error_code(ResponseError::InvalidRegularExpression.code()),
            },
        };
        let (states, ids) = (&request.state_filters, &request.producer_id_filters);
        let is_state = |name: &&StrBytes| {
            TransactionState::ALL
                .iter()
                .any(|state| state.name() == name.as_str())
        };
        response.unknown_state_filters = states.iter().filter(|name| !is_state(name)).cloned().collect();
        let is_wanted = |id: &str, metadata: &TransactionMetadata| {
            let name = metadata.state.name();
            let is_long = request.duration_filter < 0
                || now_ms.saturating_sub(metadata.start_ms) > request.duration_filter;
            (states.is_empty() || states.iter().any(|state| state.as_str() == name))
                && (ids.is_empty() || ids.iter().any(|id| id.0 == metadata.producer_id))
                && is_long
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
        };
        match self.lock_transactions() {
            Err(error) => response.error_code = error.code(),
            Ok(coordinator) => {
                let wanted = coordinator
                    .list()
                    .into_iter()
                    .filter(|(id, metadata)| is_wanted(id, metadata));
                response.transaction_states = wanted
                    .map(|(id, metadata)| {
                        list_transactions_response::TransactionState::default()
                            .with_transactional_id(TransactionalId(text(id)))
                            .with_producer_id(ProducerId(metadata.producer_id))
                            .with_transaction_state(text(metadata.state.name()))
                    })
                    .collect();
            }
        }
        response
    }

    pub(super) fn describe_transactions(
        &self,
        request: &DescribeTransactionsRequest,
    ) -> DescribeTransactionsResponse {
        let mut response = DescribeTransactionsResponse::default();
        let coordinator = self.lock_transactions();
        for id in &request.transactional_ids {
            let state =
                describe_transactions_response::TransactionState::default().with_transactional_id(id.clone());
            let found = match &coordinator {
                Err(error) => Err(*error),
                Ok(coordinator) => coordinator
                    .describe(id)
                    .ok_or(ResponseError::TransactionalIdNotFound),
            };
            response.transaction_states.push(match found {
                Err(error) => state.with_error_code(error.code()),
                Ok(metadata) => state
                    .with_transaction_state(text(metadata.state.name()))
                    .with_transaction_timeout_ms(metadata.timeout_ms)
                    .with_transaction_start_time_ms(metadata.start_ms)
                    .with_producer_id(ProducerId(metadata.producer_id))
                    .with_producer_epoch(metadata.producer_epoch)
                    .with_topics(
                        metadata
                            .partitions
                            .iter()
                            .map(|(topic, numbers)| {
                                TopicData::default()
                                    .with_topic(TopicName(text(topic)))
                                    .with_partitions(numbers.iter().copied().collect())
                            })
                            .collect(),
                    ),
            });
        }
        response
    }

    /// Whether nobody took over the transactional id from the producer with this producer id and epoch.
    pub(crate) fn is_current_producer(&self, transactional_id: &str, identity: (i64, i16)) -> bool {
        let Ok(coordinator) = self.lock_transactions() else {
            return false;
        };
        coordinator
            .describe(transactional_id)
            .is_some_and(|metadata| (metadata.producer_id, metadata.producer_epoch) == identity)
    }

    /// The partition of `__consumer_offsets` that holds a group, as part of a transaction.
    pub(super) fn offsets_partition(&self, group_id: &str) -> TopicPartitions {
        let partition = coordinator_partition(group_id, self.config.group.partition_count);
        TopicPartitions::from([(OFFSETS_TOPIC.to_owned(), BTreeSet::from([partition]))])
    }

    fn add(&self, request: TransactionRequest, now_ms: i64) -> Result<(), ResponseError> {
        match self.transaction(request, now_ms)? {
            TransactionReply::AddPartitions(result) => result,
            _ => Err(ResponseError::UnknownServerError),
        }
    }

    fn transaction(
        &self,
        request: TransactionRequest,
        now_ms: i64,
    ) -> Result<TransactionReply, ResponseError> {
        let mut coordinator = self.lock_transactions()?;
        self.run_transaction(&mut coordinator, request, now_ms)
    }
}

/// Clients that do not know PRODUCER_FENCED are told INVALID_PRODUCER_EPOCH.
fn epoch_error_of_old(error: ResponseError) -> ResponseError {
    if error == ResponseError::ProducerFenced {
        ResponseError::InvalidProducerEpoch
    } else {
        error
    }
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    mut error_code: impl FnMut(&TopicName, i32) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topic_result = |topic: &AddPartitionsToTxnTopic| {
        let partition_result = |index: &i32| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(error_code(&topic.name, *index))
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition_result).collect())
    };
    topics.iter().map(topic_result).collect()
}
