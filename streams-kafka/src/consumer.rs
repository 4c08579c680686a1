//! Reads assigned partitions: librdkafka delivers records one by one, the seam takes them in sets.
//!
//! Each partition has a queue of its own, so that its end is known to be its own. librdkafka does not show control records:
//! at the end of a partition the position moves to an end offset that was asked for before the end was reached, which skips
//! them and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use streams_core::error::LogError;
use streams_core::log::{
    Consumer, ConsumerConfig, Fetched, LogResult, RecordSet, RecordSpan, Span, TopicPartition,
};
use streams_core::time::{Clock, SystemClock};
use streams_core::{Header, Headers};

use crate::REQUEST_TIMEOUT;
use crate::error::log_error;

/// Longest wait between two looks at the client's own events.
const WAIT_STEP: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Quiet;

impl ClientContext for Quiet {}
impl ConsumerContext for Quiet {}

/// Set when a partition's queue gets its first record.
type Arrived = Arc<(Mutex<bool>, Condvar)>;

pub(crate) struct KafkaConsumer {
    client: Arc<BaseConsumer<Quiet>>,
    config: ConsumerConfig,
    assigned: Vec<Assigned>,
    arrived: Arrived,
    /// For time limits on waiting.
    clock: SystemClock,
}

struct Assigned {
    partition: TopicPartition,
    queue: PartitionQueue<Quiet>,
    position: i64,
    paused: bool,
    /// The partition's end, asked for before it was reached. None after the end was reached.
    end_offset: Option<i64>,
    last_end_offset: i64,
}

impl KafkaConsumer {
    pub(crate) fn new(mut client: ClientConfig, config: ConsumerConfig) -> LogResult<Self> {
        client
            // Never joined: librdkafka wants a group for any assignment.
            .set("group.id", format!("{}-unused", config.client_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.message.max.bytes", config.max_partition_bytes.to_string());
        let client: BaseConsumer<Quiet> = client
            .create_with_context(Quiet)
            .map_err(|error| log_error(format!("starting consumer {}", config.client_id), error))?;
        Ok(Self {
            client: Arc::new(client),
            config,
            assigned: Vec::new(),
            arrived: Arrived::default(),
            clock: SystemClock::default(),
        })
    }

    fn find(&mut self, partition: &TopicPartition) -> LogResult<usize> {
        let found = self
            .assigned
            .iter()
            .position(|assigned| assigned.partition == *partition);
        found.ok_or_else(|| LogError::UnknownPartition {
            partition: partition.clone(),
        })
    }

    fn fetch(&mut self) -> LogResult<Vec<Fetched>> {
        // Serves the client's own events; records come through the partitions' queues.
        if let Some(Err(error)) = self.client.poll(Duration::ZERO) {
            tracing::debug!(%error, "consumer event");
        }
        let mut bytes_left = self.config.max_poll_bytes;
        let mut all = Vec::new();
        for assigned in self.assigned.iter_mut().filter(|assigned| !assigned.paused) {
            let limit = bytes_left.min(self.config.max_partition_bytes);
            let fetched = assigned.drain(&self.client, limit)?;
            bytes_left = bytes_left.saturating_sub(fetched.records.data.len());
            if fetched.next_offset > assigned.position {
                assigned.position = fetched.next_offset;
                all.push(fetched);
            }
            if bytes_left == 0 {
                break;
            }
        }
        let served = |assigned: &Assigned| all.iter().any(|fetched| fetched.partition == assigned.partition);
        self.assigned.sort_by_key(served);
        Ok(all)
    }

    fn wait(&self, timeout: Duration) {
        let (arrived, condition) = &*self.arrived;
        let guard = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = condition.wait_timeout_while(guard, timeout, |arrived| !*arrived);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Assigned {
    fn drain(&mut self, client: &BaseConsumer<Quiet>, limit: usize) -> LogResult<Fetched> {
        if self.last_end_offset < 0 {
            self.learn_end(client)?;
        }
        let mut set = SetBuilder::default();
        let mut next_offset = self.position;
        while set.data.len() < limit {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    if message.offset() >= self.position {
                        next_offset = message.offset() + 1;
                        set.add(&message)?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => match self.end_offset.take() {
                    Some(end_offset) => next_offset = next_offset.max(end_offset),
                    // The end was reached before it was asked for: ask, and have it reached again.
                    None => {
                        self.learn_end(client)?;
                        self.refetch(client, next_offset)?;
                        break;
                    }
                },
                Some(Err(error)) => return Err(self.read_error(client, error)),
            }
        }
        if self.end_offset.is_none() && !set.spans.is_empty() {
            self.learn_end(client)?;
        }
        let end_offset = self.last_end_offset.max(next_offset);
        Ok(Fetched {
            partition: self.partition.clone(),
            records: set.finish(),
            next_offset,
            end_offset,
        })
    }

    fn learn_end(&mut self, client: &BaseConsumer<Quiet>) -> LogResult<()> {
        let end_offset = watermarks(client, &self.partition)?.1;
        (self.end_offset, self.last_end_offset) = (Some(end_offset), end_offset);
        Ok(())
    }

    /// Fetches from `offset` again, which has the partition's end announced again.
    fn refetch(&self, client: &BaseConsumer<Quiet>, offset: i64) -> LogResult<()> {
        let TopicPartition { topic, partition } = &self.partition;
        client
            .seek(topic, *partition, Offset::Offset(offset), REQUEST_TIMEOUT)
            .map_err(|error| log_error(format!("reading {} from offset {offset}", self.partition), error))
    }

    fn read_error(&self, client: &BaseConsumer<Quiet>, error: KafkaError) -> LogError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                match watermarks(client, &self.partition) {
                    Ok((log_start_offset, log_end_offset)) => LogError::OffsetOutOfRange {
                        partition: self.partition.clone(),
                        offset: self.position,
                        log_start_offset,
                        log_end_offset,
                    },
                    Err(error) => error,
                }
            }
            _ => log_error(
                format!("reading {} from offset {}", self.partition, self.position),
                error,
            ),
        }
    }
}

/// First offset, and the one after the last that this consumer may read.
fn watermarks(client: &BaseConsumer<Quiet>, partition: &TopicPartition) -> LogResult<(i64, i64)> {
    client
        .fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT)
        .map_err(|error| log_error(format!("asking for the offsets of {partition}"), error))
}

impl Consumer for KafkaConsumer {
    fn assign(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> LogResult<()> {
        let mut list = TopicPartitionList::new();
        let mut next = Vec::new();
        for (partition, position) in partitions {
            let old = self.assigned.iter().find(|old| old.partition == *partition);
            let paused = old.is_some_and(|old| old.paused);
            let Some(position) = position.or(old.map(|old| old.position)) else {
                return Err(LogError::invalid(format!(
                    "{partition} is newly assigned and needs a position"
                )));
            };
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(position))
                .map_err(|error| log_error(format!("assigning {partition} at offset {position}"), error))?;
            next.push((partition.clone(), position, paused));
        }
        self.assigned.clear();
        self.client
            .assign(&list)
            .map_err(|error| log_error("assigning partitions", error))?;
        for (partition, position, paused) in next {
            let queue = self
                .client
                .split_partition_queue(&partition.topic, partition.partition);
            let mut queue = queue.ok_or_else(|| LogError::UnknownPartition {
                partition: partition.clone(),
            })?;
            let arrived = Arc::clone(&self.arrived);
            queue.set_nonempty_callback(move || {
                *arrived.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                arrived.1.notify_all();
            });
            let one = single(&partition);
            if paused {
                self.client
                    .pause(&one)
                    .map_err(|error| log_error(format!("pausing {partition}"), error))?;
            }
            let (end_offset, last_end_offset) = (None, -1);
            self.assigned.push(Assigned {
                partition,
                queue,
                position,
                paused,
                end_offset,
                last_end_offset,
            });
        }
        Ok(())
    }

    fn seek(&mut self, partition: &TopicPartition, offset: i64) -> LogResult<()> {
        let index = self.find(partition)?;
        self.assigned[index].position = offset;
        // A seek leaves what is queued already; a new assignment does not.
        let all: Vec<_> = self
            .assigned
            .iter()
            .map(|a| (a.partition.clone(), Some(a.position)))
            .collect();
        self.assign(&all)
    }

    fn pause(&mut self, partition: &TopicPartition) -> LogResult<()> {
        let index = self.find(partition)?;
        self.assigned[index].paused = true;
        self.client
            .pause(&single(partition))
            .map_err(|error| log_error(format!("pausing {partition}"), error))
    }

    fn resume(&mut self, partition: &TopicPartition) -> LogResult<()> {
        let index = self.find(partition)?;
        self.assigned[index].paused = false;
        self.client
            .resume(&single(partition))
            .map_err(|error| log_error(format!("resuming {partition}"), error))
    }

    fn poll(&mut self, timeout: Duration) -> LogResult<Vec<Fetched>> {
        let deadline = self.clock.elapsed() + timeout;
        loop {
            let fetched = self.fetch()?;
            let left = deadline.saturating_sub(self.clock.elapsed());
            if !fetched.is_empty() || left.is_zero() {
                return Ok(fetched);
            }
            self.wait(left.min(WAIT_STEP));
        }
    }
}

impl std::fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConsumer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn single(partition: &TopicPartition) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.topic, partition.partition);
    list
}

#[derive(Default)]
struct SetBuilder {
    data: Vec<u8>,
    spans: Vec<RecordSpan>,
    headers: BTreeMap<u32, Headers>,
}

impl SetBuilder {
    fn add(&mut self, message: &BorrowedMessage<'_>) -> LogResult<()> {
        if let Some(headers) = message.headers() {
            let headers = headers.iter().map(|header| Header {
                key: Arc::from(header.key),
                value: header.value.map(bytes::Bytes::copy_from_slice),
            });
            let index = u32::try_from(self.spans.len())
                .map_err(|_| LogError::invalid("too many records in one poll"))?;
            self.headers.insert(index, Headers::new(headers.collect()));
        }
        let key = self.append(message.key());
        let value = self.append(message.payload());
        let timestamp_ms = message.timestamp().to_millis().unwrap_or(-1);
        self.spans.push(RecordSpan {
            offset: message.offset(),
            timestamp_ms,
            key,
            value,
        });
        Ok(())
    }

    fn append(&mut self, bytes: Option<&[u8]>) -> Span {
        let Some(bytes) = bytes else { return Span::NULL };
        self.data.extend_from_slice(bytes);
        Span::new(self.data.len() - bytes.len(), bytes.len())
    }

    fn finish(self) -> RecordSet {
        RecordSet {
            data: self.data.into(),
            spans: self.spans,
            headers: self.headers,
        }
    }
}
