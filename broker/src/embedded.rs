//! The broker inside of an application: the seams of `streams-core` served in process, without sockets or frames.
//!
//! These files are the only ones that know `streams-core`. Requests that are rare go through [`Broker::handle`] as those of
//! TCP clients do; batches go through the same functions that the handler uses, without a message around them. Whoever
//! polls also drives what is due ([`Broker::tick`]); only compaction has a thread of its own.

mod admin;
mod cleaner;
mod consumer;
mod decode;
mod membership;
mod producer;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kafka_protocol::ResponseError;
use streams_core::error::LogError;
use streams_core::log::{
    Admin, Consumer, ConsumerConfig, Log, LogResult, Producer, ProducerConfig, TopicPartition,
};
use streams_core::membership::{Membership, MembershipConfig};
use streams_core::time::Clock;

use crate::group::{Client, IN_PROCESS_HOST};
use crate::handler::{Broker, BrokerConfig, BrokerError, Outcome, Request, RequestContext, Response};
use crate::ids::{Ids, RandomIds};
use crate::topic::{Topic, TopicError};
use cleaner::BackgroundCleaner;

/// How often what is due is looked after, in milliseconds.
const TICK_INTERVAL_MS: i64 = 100;
/// Longest sleep while waiting for other members or transactions, so that timeouts are driven meanwhile.
const WAIT_SLICE: Duration = Duration::from_millis(20);

/// A broker in the process of its only clients.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use broker::embedded::EmbeddedBroker;
/// use broker::handler::BrokerConfig;
/// use streams_core::Headers;
/// use streams_core::log::{ConsumerConfig, Log, NewTopic, ProducerConfig, RecordView, TopicPartition};
/// use streams_core::time::SystemClock;
///
/// let data = tempfile::tempdir().unwrap();
/// let broker = EmbeddedBroker::open(data.path(), BrokerConfig::embedded(), Arc::new(SystemClock::default())).unwrap();
/// broker.admin().unwrap().create_topic(&NewTopic::new("orders", 1)).unwrap();
///
/// let mut producer = broker.producer(&ProducerConfig::new("shop")).unwrap();
/// let orders = producer.topic("orders").unwrap();
/// let headers = Headers::default();
/// let record = RecordView { key: None, value: Some(b"an apple"), timestamp_ms: 5, headers: &headers };
/// producer.send(orders, 0, record).unwrap();
/// producer.flush().unwrap();
///
/// let mut consumer = broker.consumer(&ConsumerConfig::new("kitchen")).unwrap();
/// consumer.assign(&[(TopicPartition::new("orders", 0), Some(0))]).unwrap();
/// let fetched = consumer.poll(Duration::ZERO).unwrap();
/// assert_eq!(fetched[0].records.value(0), Some(&b"an apple"[..]));
/// ```
#[derive(Debug)]
pub struct EmbeddedBroker {
    inner: Arc<Inner>,
    cleaner: BackgroundCleaner,
}

/// What clients share with their broker. They may outlive it and then get [`LogError::Closed`].
#[derive(Debug)]
struct Inner {
    broker: Broker,
    clock: Arc<dyn Clock>,
    next_tick_ms: AtomicI64,
}

impl EmbeddedBroker {
    /// Opens a data directory, or makes one, with random identifiers.
    ///
    /// # Errors
    /// The directory is in use by another process, damaged, or cannot be read.
    pub fn open(
        data_dir: &Path,
        config: BrokerConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, BrokerError> {
        Self::open_with_ids(data_dir, config, clock, RandomIds)
    }

    /// As [`open`](Self::open), with identifiers from elsewhere: a simulation needs to repeat them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_ids(
        data_dir: &Path,
        config: BrokerConfig,
        clock: Arc<dyn Clock>,
        ids: impl Ids + 'static,
    ) -> Result<Arc<Self>, BrokerError> {
        let mut config = config;
        if config.log.group_commit {
            // Nobody is there to wait for others: each append is synced by who makes it.
            config.log.group_commit = false;
            config.log.flush_messages = 1;
        }
        let broker = Broker::open(data_dir, config, ids, clock.now_ms())?;
        let inner = Arc::new(Inner {
            broker,
            clock,
            next_tick_ms: AtomicI64::new(0),
        });
        let cleaner = BackgroundCleaner::start(&inner).map_err(BrokerError::Thread)?;
        Ok(Arc::new(Self { inner, cleaner }))
    }

    /// The broker itself, for a server beside the application and for tools.
    pub fn broker(&self) -> &Broker {
        &self.inner.broker
    }

    /// Drives what is due now. Polling does that by itself; an application that does not poll for long may call it.
    pub fn tick(&self) {
        self.inner.tick();
    }

    /// Flushes and closes all logs. Clients get [`LogError::Closed`] from then on. Dropping the broker does the same, but
    /// cannot report an error.
    ///
    /// # Errors
    /// A log that could not be closed; the next start then recovers as after a crash.
    pub fn close(&self) -> Result<(), BrokerError> {
        self.cleaner.stop();
        self.inner.broker.close()
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the embedded broker could not be closed; its next start recovers");
        }
    }
}

impl Log for EmbeddedBroker {
    fn consumer(&self, config: &ConsumerConfig) -> LogResult<Box<dyn Consumer>> {
        self.inner.check_open()?;
        Ok(Box::new(consumer::EmbeddedConsumer::new(
            self.inner.clone(),
            config.clone(),
        )))
    }

    fn producer(&self, config: &ProducerConfig) -> LogResult<Box<dyn Producer>> {
        self.inner.check_open()?;
        Ok(Box::new(producer::EmbeddedProducer::new(
            self.inner.clone(),
            config.clone(),
        )))
    }

    fn admin(&self) -> LogResult<Box<dyn Admin>> {
        self.inner.check_open()?;
        Ok(Box::new(admin::EmbeddedAdmin::new(self.inner.clone())))
    }

    fn membership(&self, config: &MembershipConfig) -> LogResult<Box<dyn Membership>> {
        self.inner.check_open()?;
        Ok(Box::new(membership::EmbeddedMembership::new(
            self.inner.clone(),
            config.clone(),
        )))
    }
}

impl Inner {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn check_open(&self) -> LogResult<()> {
        if self.broker.is_closed() {
            Err(LogError::Closed)
        } else {
            Ok(())
        }
    }

    /// Drives the broker if that is due; one atomic read if not.
    fn tick_if_due(&self) {
        let now_ms = self.now_ms();
        let due_ms = self.next_tick_ms.load(Ordering::Relaxed);
        let next_ms = now_ms.saturating_add(TICK_INTERVAL_MS);
        if now_ms >= due_ms
            && self
                .next_tick_ms
                .compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.tick();
        }
    }

    fn tick(&self) {
        for error in self.broker.tick(self.now_ms()) {
            tracing::error!(%error, "maintenance of the embedded broker failed");
        }
    }

    fn outcome(&self, client_id: &str, version: i16, request: impl Into<Request>) -> LogResult<Outcome> {
        self.check_open()?;
        let client = Client {
            id: client_id.to_owned(),
            host: IN_PROCESS_HOST.to_owned(),
        };
        Ok(self.broker.handle(
            &RequestContext::new(version, client),
            request.into(),
            self.now_ms(),
        ))
    }

    /// A request that is answered at once.
    fn request<R: TryFrom<Response, Error = Response>>(
        &self,
        client_id: &str,
        version: i16,
        request: impl Into<Request>,
    ) -> LogResult<R> {
        match self.outcome(client_id, version, request)? {
            Outcome::Ready(response) => R::try_from(response).map_err(|other| {
                LogError::failed(
                    "a request to the embedded broker",
                    format!("it answered with {other:?}"),
                )
            }),
            Outcome::Parked(_) => Err(LogError::failed(
                "a request to the embedded broker",
                "it was parked, which only joining may be",
            )),
        }
    }

    fn topic(&self, name: &str) -> LogResult<Arc<Topic>> {
        self.check_open()?;
        self.broker.topics().topic(name).map_err(|error| match error {
            TopicError::UnknownTopic { name } => LogError::UnknownTopic { topic: name },
            other => LogError::failed(format!("looking up topic {name}"), other),
        })
    }

    /// A Kafka error code as the seam says it. `context` is what was done, and where.
    fn error(&self, code: i16, context: &str, message: &str) -> LogError {
        if self.broker.is_closed() {
            return LogError::Closed;
        }
        let Some(error) = ResponseError::try_from_code(code) else {
            return LogError::failed(context, message);
        };
        match error {
            ResponseError::ProducerFenced
            | ResponseError::InvalidProducerEpoch
            | ResponseError::InvalidProducerIdMapping
            | ResponseError::IllegalGeneration
            | ResponseError::UnknownMemberId
            | ResponseError::FencedInstanceId
            | ResponseError::RebalanceInProgress => LogError::Fenced {
                reason: format!("{context}: {message} ({error})"),
            },
            ResponseError::MessageTooLarge
            | ResponseError::RecordListTooLarge
            | ResponseError::InvalidRecord
            | ResponseError::InvalidTimestamp
            | ResponseError::InvalidTopicException
            | ResponseError::InvalidPartitions
            | ResponseError::InvalidConfig
            | ResponseError::PolicyViolation
            | ResponseError::InvalidTxnState
            | ResponseError::InvalidTransactionTimeout
            | ResponseError::InvalidSessionTimeout
            | ResponseError::InvalidGroupId
            | ResponseError::InvalidRequest
            | ResponseError::OffsetMetadataTooLarge => {
                LogError::invalid(format!("{context}: {message} ({error})"))
            }
            other => LogError::failed(format!("{context}: {message}"), other),
        }
    }

    /// As [`error`](Self::error) for a response that has only a code; Ok if it is 0.
    fn check(&self, code: i16, context: impl FnOnce() -> String) -> LogResult<()> {
        if code == 0 {
            Ok(())
        } else {
            Err(self.error(code, &context(), "refused by the broker"))
        }
    }
}

fn unknown_partition(topic: &str, partition: i32) -> LogError {
    LogError::UnknownPartition {
        partition: TopicPartition::new(topic, partition),
    }
}
