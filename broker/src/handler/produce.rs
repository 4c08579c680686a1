//! Produce: batches go into their partitions as they came. The first batch of a transaction on a partition is checked with
//! the transaction coordinator, under its lock, so that it cannot end the transaction before the batch is in (KIP-890).

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::{Broker, Refusal, text};
use crate::coordinator_records::is_internal_topic;
use crate::log::{AppendError, AppendInfo, AppendOptions, BatchHeader, Compression};
use crate::topic::Topic;
use crate::transaction::{TopicPartitions, TransactionReply, TransactionRequest};

/// First version that adds partitions to the transaction by itself (transactions v2).
const IMPLICIT_ADD_VERSION: i16 = 12;
/// First version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 11;
/// First version that may carry zstd.
const ZSTD_VERSION: i16 = 7;
/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

/// What a batch is appended under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendContext<'a> {
    pub(crate) transactional_id: Option<&'a str>,
    pub(crate) version: i16,
}

/// Why a batch was refused, with the records to blame.
pub(crate) struct AppendRefusal {
    pub(crate) refusal: Refusal,
    pub(crate) record_errors: Vec<(i32, String)>,
}

impl AppendRefusal {
    /// Whether the batch was sound and the log did not want it.
    fn was_judged_by_the_log(&self) -> bool {
        let by_state = [
            ResponseError::OutOfOrderSequenceNumber,
            ResponseError::InvalidProducerEpoch,
            ResponseError::InvalidTimestamp,
        ];
        !self.record_errors.is_empty() || by_state.iter().any(|error| error.code() == self.refusal.code)
    }
}

impl Broker {
    pub(super) fn produce(&self, version: i16, request: ProduceRequest, now_ms: i64) -> ProduceResponse {
        let context = AppendContext {
            transactional_id: request.transactional_id.as_ref().map(|id| id.as_str()),
            version,
        };
        if lacks_transactional_id(&request) {
            return refused(&request, ResponseError::TransactionalIdAuthorizationFailed);
        }
        let valid_acks = (-1..=1).contains(&request.acks);
        let mut response = ProduceResponse::default();
        for topic_data in request.topic_data {
            let mut answered = TopicProduceResponse::default()
                .with_name(topic_data.name.clone())
                .with_topic_id(topic_data.topic_id);
            let topic = if version >= TOPIC_ID_VERSION {
                self.topics
                    .topic_by_id(topic_data.topic_id)
                    .map_err(|error| Refusal {
                        code: ResponseError::UnknownTopicId.code(),
                        message: error.to_string(),
                    })
            } else {
                self.topics.topic(&topic_data.name).map_err(Refusal::from)
            };
            for data in topic_data.partition_data {
                let appended = match &topic {
                    _ if !valid_acks => Err(Refusal::from(ResponseError::InvalidRequiredAcks).into()),
                    Err(refusal) => Err(refusal.clone().into()),
                    Ok(topic) if is_internal_topic(topic.name()) => {
                        Err(Refusal::from(ResponseError::InvalidTopicException).into())
                    }
                    Ok(topic) => match data.records {
                        None => Err(Refusal::from(ResponseError::InvalidRecord).into()),
                        Some(records) => self.append_batch(topic, data.index, records, context, now_ms),
                    },
                };
                let was_judged = matches!(&appended, Err(refused) if refused.was_judged_by_the_log());
                let mut response = partition_response(data.index, appended);
                if let (true, Ok(topic)) = (was_judged, &topic)
                    && let Ok(log) = topic.lock(data.index)
                {
                    // As in Kafka, which looked at the log by then.
                    response.log_start_offset = log.log_start_offset();
                }
                answered.partition_responses.push(response);
            }
            response.responses.push(answered);
        }
        response
    }

    /// Appends one batch of a client.
    pub(crate) fn append_batch(
        &self,
        topic: &Topic,
        partition: i32,
        records: Bytes,
        context: AppendContext<'_>,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendRefusal> {
        let header = BatchHeader::parse(&records).ok();
        if context.version < ZSTD_VERSION
            && header.is_some_and(|header| header.compression() == Compression::Zstd)
        {
            return Err(Refusal::from(ResponseError::UnsupportedCompressionType).into());
        }
        let mut options = AppendOptions::CLIENT;
        if context.version >= IMPLICIT_ADD_VERSION {
            options = options.transaction_version_2();
        }
        let rules = topic.lock(partition).map_err(Refusal::from)?.rules();
        // Without the lock: checksums and codecs take their time.
        let batch = rules
            .map_err(AppendError::from)
            .and_then(|rules| rules.prepare(records, options.origin, now_ms));
        let Some(header) = header.filter(BatchHeader::is_transactional) else {
            let batch = batch?;
            let mut log = topic.lock(partition).map_err(Refusal::from)?;
            return Ok(log.append_prepared(batch, options, now_ms)?);
        };
        {
            let mut log = topic.lock(partition).map_err(Refusal::from)?;
            if log.has_open_transaction(header.producer_id, header.producer_epoch) {
                return Ok(log.append_prepared(batch?, options, now_ms)?);
            }
        }
        let transactional_id = context
            .transactional_id
            .ok_or(Refusal::from(ResponseError::InvalidTxnState))?;
        let mut coordinator = self.lock_transactions().map_err(Refusal::from)?;
        let identity = (header.producer_id, header.producer_epoch);
        let verified = if context.version >= IMPLICIT_ADD_VERSION {
            let request = TransactionRequest::AddPartitions {
                transactional_id: transactional_id.to_owned(),
                producer_id: identity.0,
                producer_epoch: identity.1,
                partitions: TopicPartitions::from([(topic.name().to_owned(), [partition].into())]),
                client_version: 2,
            };
            self.run_transaction(&mut coordinator, request, now_ms)
                .and_then(|reply| match reply {
                    TransactionReply::AddPartitions(result) => result,
                    _ => Err(ResponseError::UnknownServerError),
                })
        } else {
            coordinator.verify_partition(transactional_id, identity.0, identity.1, topic.name(), partition)
        };
        verified.map_err(|error| Refusal::from(produce_error(error, context.version)))?;
        Ok(topic.lock(partition).map_err(Refusal::from)?.append_prepared(
            batch?,
            options.verified(),
            now_ms,
        )?)
    }
}

/// Whether there are records of a transaction, and nobody says of which.
pub(super) fn lacks_transactional_id(request: &ProduceRequest) -> bool {
    let data = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let is_transactional =
        |records: &Bytes| BatchHeader::parse(records).is_ok_and(|header| header.is_transactional());
    request.transactional_id.is_none() && data.flat_map(|data| &data.records).any(is_transactional)
}

/// The same error for every partition of a request.
fn refused(request: &ProduceRequest, error: ResponseError) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic
            .partition_data
            .iter()
            .map(|data| partition_response(data.index, Err(Refusal::from(error).into())));
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

/// The coordinator's errors as producers of this version know them on this path.
fn produce_error(error: ResponseError, version: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::ConcurrentTransactions if version < IMPLICIT_ADD_VERSION => {
            ResponseError::NotEnoughReplicas
        }
        ResponseError::CoordinatorNotAvailable | ResponseError::NotCoordinator => {
            ResponseError::NotEnoughReplicas
        }
        ResponseError::TransactionAbortable if version < ABORTABLE_VERSION => ResponseError::InvalidTxnState,
        other => other,
    }
}

fn partition_response(index: i32, appended: Result<AppendInfo, AppendRefusal>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match appended {
        Ok(info) => response
            .with_base_offset(info.base_offset)
            .with_log_append_time_ms(info.log_append_time_ms)
            .with_log_start_offset(info.log_start_offset),
        Err(AppendRefusal {
            refusal,
            record_errors,
        }) => {
            let record_errors = record_errors.into_iter().map(|(batch_index, message)| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(batch_index)
                    .with_batch_index_error_message(Some(text(&message)))
            });
            response
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message)))
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_record_errors(record_errors.collect())
        }
    }
}

impl From<Refusal> for AppendRefusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            record_errors: Vec::new(),
        }
    }
}

impl From<AppendError> for AppendRefusal {
    fn from(error: AppendError) -> Self {
        let record_errors = match &error {
            AppendError::InvalidRecord { record_errors, .. } => record_errors
                .iter()
                .map(|error| (error.batch_index, error.message.clone()))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            refusal: error.into(),
            record_errors,
        }
    }
}
