//! Writes through librdkafka's queue: idempotent, in transactions if there is a transactional id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use streams_core::error::LogError;
use streams_core::log::{
    LogResult, OffsetAndMetadata, Producer, ProducerConfig, RecordView, TopicHandle, TopicPartition,
};
use streams_core::membership::GroupMetadata;

use crate::error::log_error;
use crate::{Members, REQUEST_TIMEOUT};

/// How long a full queue is waited for, a step at a time.
const QUEUE_FULL_STEP: Duration = Duration::from_millis(10);

/// What was acknowledged, and the first failure since it was last asked for.
#[derive(Debug, Default)]
struct Delivered {
    last_offsets: HashMap<(String, i32), i64>,
    failure: Option<KafkaError>,
}

#[derive(Clone, Debug, Default)]
struct Deliveries(Arc<Mutex<Delivered>>);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = self.lock();
        match result {
            Ok(message) => {
                let partition = (message.topic().to_owned(), message.partition());
                // Flushing serves acknowledgements too, beside the client's thread: they may come out of order.
                let last = delivered.last_offsets.entry(partition).or_insert(-1);
                *last = message.offset().max(*last);
            }
            // What an abort purges was never meant to arrive.
            Err((error, _)) if purged(error) => {}
            Err((error, _)) => {
                delivered.failure.get_or_insert(error.clone());
            }
        }
    }
}

fn purged(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
    )
}

pub(crate) struct KafkaProducer {
    /// Serves acknowledgements on a thread of its own: committing and aborting wait for them.
    client: ThreadedProducer<Deliveries>,
    config: ClientConfig,
    deliveries: Deliveries,
    topics: Vec<String>,
    members: Members,
    in_transaction: bool,
}

impl KafkaProducer {
    pub(crate) fn new(client: ClientConfig, config: &ProducerConfig, members: Members) -> LogResult<Self> {
        let mut settings = client.clone();
        settings
            .set("enable.idempotence", "true")
            // A misspelt topic is an error, not a new topic.
            .set("allow.auto.create.topics", "false")
            .set("linger.ms", "5")
            .set("batch.size", config.batch_bytes.to_string());
        if let Some(id) = &config.transactional_id {
            settings.set("transactional.id", id).set(
                "transaction.timeout.ms",
                config.transaction_timeout_ms.to_string(),
            );
        }
        let deliveries = Deliveries::default();
        let producer = settings
            .create_with_context(deliveries.clone())
            .map_err(|error| log_error(format!("starting producer {}", config.client_id), error))?;
        let (topics, in_transaction) = (Vec::new(), false);
        Ok(Self {
            client: producer,
            config: client,
            deliveries,
            topics,
            members,
            in_transaction,
        })
    }

    fn check_deliveries(&self) -> LogResult<()> {
        match self.deliveries.lock().failure.take() {
            Some(error) => Err(self.error("writing records", error)),
            None => Ok(()),
        }
    }

    /// A fatal error of the client says more than the call that met it.
    fn error(&self, context: &str, error: KafkaError) -> LogError {
        match self.client.client().fatal_error() {
            Some((code, reason)) => log_error(format!("{context}: {reason}"), KafkaError::Global(code)),
            None => log_error(context, error),
        }
    }

    fn group(&self, group: &GroupMetadata) -> LogResult<ConsumerGroupMetadata> {
        let missing = || LogError::Fenced {
            reason: format!("member {} has left its group", group.member_id),
        };
        if group.generation_id >= 0 {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            let member = members.get(&group.member_id).and_then(std::sync::Weak::upgrade);
            return member
                .and_then(|member| member.group_metadata())
                .ok_or_else(missing);
        }
        let mut config = self.config.clone();
        config.set("group.id", &group.group_id);
        let outside: BaseConsumer = config
            .create()
            .map_err(|error| log_error(format!("naming group {}", group.group_id), error))?;
        outside.group_metadata().ok_or_else(missing)
    }
}

impl Producer for KafkaProducer {
    fn topic(&mut self, name: &str) -> LogResult<TopicHandle> {
        let metadata = self
            .client
            .client()
            .fetch_metadata(Some(name), REQUEST_TIMEOUT)
            .map_err(|error| log_error(format!("looking topic {name} up"), error))?;
        let count = metadata
            .topics()
            .first()
            .filter(|topic| topic.error().is_none())
            .map_or(0, |t| t.partitions().len());
        if count == 0 {
            return Err(LogError::UnknownTopic {
                topic: name.to_owned(),
            });
        }
        let index = self
            .topics
            .iter()
            .position(|topic| topic == name)
            .unwrap_or_else(|| {
                self.topics.push(name.to_owned());
                self.topics.len() - 1
            });
        let narrow =
            |n: usize| u32::try_from(n).map_err(|_| LogError::invalid("too many topics or partitions"));
        Ok(TopicHandle {
            index: narrow(index)?,
            partitions: narrow(count)?,
        })
    }

    fn send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> LogResult<()> {
        self.check_deliveries()?;
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topics[topic.index as usize])
            .partition(partition)
            .timestamp(record.timestamp_ms);
        message.key = record.key;
        message.payload = record.value;
        if !record.headers.is_empty() {
            let headers = record
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |headers, header| {
                    headers.insert(Header {
                        key: &header.key,
                        value: header.value.as_deref(),
                    })
                });
            message = message.headers(headers);
        }
        loop {
            match self.client.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    std::thread::sleep(QUEUE_FULL_STEP);
                    message = back;
                }
                Err((error, _)) => {
                    let place = format!("writing to {}-{partition}", self.topics[topic.index as usize]);
                    return Err(self.error(&place, error));
                }
            }
        }
    }

    fn flush(&mut self) -> LogResult<()> {
        self.client
            .flush(REQUEST_TIMEOUT)
            .map_err(|error| self.error("flushing", error))?;
        self.check_deliveries()
    }

    fn last_offset(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        let key = (self.topics[topic.index as usize].clone(), partition);
        self.deliveries.lock().last_offsets.get(&key).copied()
    }

    fn init_transactions(&mut self) -> LogResult<()> {
        self.client
            .init_transactions(REQUEST_TIMEOUT)
            .map_err(|error| self.error("starting transactions", error))
    }

    fn begin_transaction(&mut self) -> LogResult<()> {
        self.client
            .begin_transaction()
            .map_err(|error| self.error("beginning a transaction", error))?;
        self.in_transaction = true;
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> LogResult<()> {
        let list = offset_list(offsets)?;
        self.client
            .send_offsets_to_transaction(&list, &self.group(group)?, REQUEST_TIMEOUT)
            .map_err(|error| self.error("committing offsets in a transaction", error))
    }

    fn commit_transaction(&mut self) -> LogResult<()> {
        self.in_transaction = false;
        self.client
            .commit_transaction(REQUEST_TIMEOUT)
            .map_err(|error| self.error("committing a transaction", error))?;
        self.check_deliveries()
    }

    fn abort_transaction(&mut self) -> LogResult<()> {
        self.in_transaction = false;
        let aborted = self.client.abort_transaction(REQUEST_TIMEOUT);
        // What failed on the way belonged to this transaction.
        self.deliveries.lock().failure = None;
        aborted.map_err(|error| self.error("aborting a transaction", error))
    }
}

/// Offsets with their metadata, as librdkafka takes them.
pub(crate) fn offset_list(offsets: &[(TopicPartition, OffsetAndMetadata)]) -> LogResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        element
            .set_offset(Offset::Offset(committed.offset))
            .map_err(|error| log_error(format!("offset {} of {partition}", committed.offset), error))?;
        element.set_metadata(&committed.metadata);
    }
    Ok(list)
}

impl std::fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaProducer")
            .field("in_transaction", &self.in_transaction)
            .finish_non_exhaustive()
    }
}
