//! The answer to a Fetch, with its records still in their files: to be read for who asks in process, or encoded around the
//! places where a socket gets them straight from the file.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchResponse, ProducerId, TopicName};
use uuid::Uuid;

use super::Refusal;
use crate::log::{self, FoundInfo, LogError, LogSlice};

/// First version with an error and a session of the whole response.
const SESSION_VERSION: i16 = 7;
/// First version with the log start offset.
const LOG_START_VERSION: i16 = 5;
/// First version with a preferred replica.
const PREFERRED_REPLICA_VERSION: i16 = 11;
/// First version with compact lengths and tagged fields.
const FLEXIBLE_VERSION: i16 = 12;
/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const TOPIC_DENIED: i16 = 29;
const UNKNOWN_TOPIC_ID: i16 = 100;
/// Kafka's code for files that cannot be read.
const STORAGE_ERROR: i16 = 56;

/// The aborted transactions beside an error: Kafka has null where a log refused, and none where there is no log.
fn aborted_beside(error_code: i16) -> Option<&'static [log::AbortedTransaction]> {
    let has_no_log = matches!(
        error_code,
        UNKNOWN_TOPIC_OR_PARTITION | TOPIC_DENIED | UNKNOWN_TOPIC_ID
    );
    has_no_log.then_some(&[])
}

/// What a Fetch found.
#[derive(Debug, Default)]
pub(crate) struct FetchAnswer {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error_code: i16,
    /// 0 if it belongs to no session.
    pub(crate) session_id: i32,
    pub(crate) topics: Vec<TopicAnswer>,
}

#[derive(Debug)]
pub(crate) struct TopicAnswer {
    pub(crate) name: TopicName,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<PartitionAnswer>,
}

#[derive(Debug)]
pub(crate) struct PartitionAnswer {
    index: i32,
    found: Result<FoundInfo, i16>,
}

impl TopicAnswer {
    pub(crate) fn new(topic: &FetchTopic, partitions: Vec<PartitionAnswer>) -> Self {
        Self {
            name: topic.topic.clone(),
            id: topic.topic_id,
            partitions,
        }
    }
}

impl PartitionAnswer {
    pub(crate) fn new(index: i32, found: Result<FoundInfo, Refusal>) -> Self {
        Self {
            index,
            found: found.map_err(|refusal| refusal.code),
        }
    }

    pub(super) fn index(&self) -> i32 {
        self.index
    }

    pub(super) fn is_error(&self) -> bool {
        self.found.is_err()
    }

    /// The high watermark and the log start offset; -1 beside an error.
    pub(super) fn watermarks(&self) -> (i64, i64) {
        let found = self.found.as_ref();
        found.map_or((-1, -1), |found| (found.high_watermark, found.log_start_offset))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slice().map_or(0, LogSlice::len)
    }

    fn slice(&self) -> Option<&LogSlice> {
        self.found.as_ref().ok()?.records.as_ref()
    }

    fn read(self) -> PartitionData {
        let storage_error = |error: LogError| {
            tracing::error!(%error, "records that were found could not be read");
            STORAGE_ERROR
        };
        let data = PartitionData::default().with_partition_index(self.index);
        match self.found.and_then(|found| found.read().map_err(storage_error)) {
            Ok(read) => {
                let entry = |entry: log::AbortedTransaction| {
                    AbortedTransaction::default()
                        .with_producer_id(ProducerId(entry.producer_id))
                        .with_first_offset(entry.first_offset)
                };
                data.with_high_watermark(read.high_watermark)
                    .with_last_stable_offset(read.last_stable_offset)
                    .with_log_start_offset(read.log_start_offset)
                    .with_aborted_transactions(read.aborted.map(|all| all.into_iter().map(entry).collect()))
                    .with_records(Some(read.records))
            }
            Err(error_code) => data
                .with_error_code(error_code)
                .with_high_watermark(-1)
                .with_last_stable_offset(-1)
                .with_log_start_offset(-1)
                .with_aborted_transactions(aborted_beside(error_code).map(|_| Vec::new()))
                .with_records(Some(Bytes::new())),
        }
    }
}

impl FetchAnswer {
    /// Nothing but an error.
    pub(crate) fn refused(error: ResponseError) -> Self {
        Self {
            error_code: error.code(),
            ..Self::default()
        }
    }

    /// Puts what is said of a topic behind what is said of others.
    pub(crate) fn push(&mut self, topic: TopicAnswer) {
        if topic.partitions.is_empty() {
            return;
        }
        match self.topics.last_mut() {
            Some(last) if last.name == topic.name && last.id == topic.id => {
                last.partitions.extend(topic.partitions);
            }
            _ => self.topics.push(topic),
        }
    }

    /// Bytes of all records.
    pub(crate) fn bytes(&self) -> usize {
        self.partitions().map(PartitionAnswer::bytes).sum()
    }

    /// Whether there is an error to tell.
    pub(crate) fn has_error(&self) -> bool {
        self.error_code != 0 || self.partitions().any(PartitionAnswer::is_error)
    }

    fn partitions(&self) -> impl Iterator<Item = &PartitionAnswer> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    /// The response, with all records read.
    pub(crate) fn read(self) -> FetchResponse {
        let topic = |topic: TopicAnswer| {
            FetchableTopicResponse::default()
                .with_topic(topic.name)
                .with_topic_id(topic.id)
                .with_partitions(topic.partitions.into_iter().map(PartitionAnswer::read).collect())
        };
        FetchResponse::default()
            .with_throttle_time_ms(self.throttle_time_ms)
            .with_error_code(self.error_code)
            .with_session_id(self.session_id)
            .with_responses(self.topics.into_iter().map(topic).collect())
    }

    /// Encodes the response without its records. Answers where in `output` they belong, in order.
    pub(crate) fn encode(&self, version: i16, output: &mut BytesMut) -> Vec<(usize, &LogSlice)> {
        let mut encoder = Encoder {
            version,
            output,
            slices: Vec::new(),
        };
        encoder.answer(self);
        encoder.slices
    }
}

struct Encoder<'a, 'b> {
    version: i16,
    output: &'b mut BytesMut,
    slices: Vec<(usize, &'a LogSlice)>,
}

impl<'a> Encoder<'a, '_> {
    fn answer(&mut self, answer: &'a FetchAnswer) {
        self.output.put_i32(answer.throttle_time_ms);
        if self.version >= SESSION_VERSION {
            self.output.put_i16(answer.error_code);
            self.output.put_i32(answer.session_id);
        }
        self.length(Some(answer.topics.len()));
        for topic in &answer.topics {
            if self.version >= TOPIC_ID_VERSION {
                self.output.put_slice(topic.id.as_bytes());
            } else {
                self.text(&topic.name);
            }
            self.length(Some(topic.partitions.len()));
            for partition in &topic.partitions {
                self.partition(partition);
            }
            self.no_tags();
        }
        self.no_tags();
    }

    fn partition(&mut self, partition: &'a PartitionAnswer) {
        let (error_code, offsets, aborted) = match &partition.found {
            Ok(found) => (
                0,
                [
                    found.high_watermark,
                    found.last_stable_offset,
                    found.log_start_offset,
                ],
                found.aborted.as_deref(),
            ),
            Err(error_code) => (*error_code, [-1; 3], aborted_beside(*error_code)),
        };
        self.output.put_i32(partition.index);
        self.output.put_i16(error_code);
        self.output.put_i64(offsets[0]);
        self.output.put_i64(offsets[1]);
        if self.version >= LOG_START_VERSION {
            self.output.put_i64(offsets[2]);
        }
        self.length(aborted.map(<[_]>::len));
        for entry in aborted.unwrap_or_default() {
            self.output.put_i64(entry.producer_id);
            self.output.put_i64(entry.first_offset);
            self.no_tags();
        }
        if self.version >= PREFERRED_REPLICA_VERSION {
            // None.
            self.output.put_i32(-1);
        }
        self.length(Some(partition.bytes()));
        if let Some(slice) = partition.slice() {
            self.slices.push((self.output.len(), slice));
        }
        self.no_tags();
    }

    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE_VERSION
    }

    /// Of an array or of bytes; None is null.
    fn length(&mut self, length: Option<usize>) {
        if self.is_flexible() {
            self.varint(length.map_or(0, |length| length as u32 + 1));
        } else {
            self.output.put_i32(length.map_or(-1, |length| length as i32));
        }
    }

    fn text(&mut self, text: &str) {
        if self.is_flexible() {
            self.varint(text.len() as u32 + 1);
        } else {
            self.output.put_i16(text.len() as i16);
        }
        self.output.put_slice(text.as_bytes());
    }

    fn no_tags(&mut self) {
        if self.is_flexible() {
            self.output.put_u8(0);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.output.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.output.put_u8(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_request::FetchPartition;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{FetchRequest, ProduceRequest};
    use kafka_protocol::protocol::Encodable;

    use super::*;
    use crate::handler::{Broker, BrokerConfig, RequestContext};
    use crate::ids::CountingIds;
    use crate::log::{BatchBuilder, ProducerStamp};

    /// A broker with records in one of two partitions.
    fn broker(dir: &std::path::Path) -> Broker {
        let broker = Broker::open(dir, BrokerConfig::embedded(), CountingIds::above(1), 0).unwrap();
        broker
            .topics()
            .create_topic("t", 2, &Default::default(), 0)
            .unwrap();
        for value in ["one", "two"] {
            let mut builder = BatchBuilder::new();
            builder.append(5, None, Some(value.as_bytes()), &[]).unwrap();
            let data = PartitionProduceData::default()
                .with_index(1)
                .with_records(Some(builder.finish(ProducerStamp::NONE).unwrap()));
            let topic = TopicProduceData::default()
                .with_name(TopicName(super::super::text("t")))
                .with_partition_data(vec![data]);
            let request = ProduceRequest::default()
                .with_acks(-1)
                .with_topic_data(vec![topic]);
            let client = crate::group::Client {
                id: String::new(),
                host: String::new(),
            };
            broker.handle(&RequestContext::new(9, client), request.into(), 10);
        }
        broker
    }

    #[test]
    fn what_is_encoded_is_what_the_message_would_be() {
        let dir = tempfile::tempdir().unwrap();
        let broker = broker(dir.path());
        let id = broker.topics().topic("t").unwrap().id();
        for version in 4..=18 {
            for isolation_level in [0, 1] {
                // Empty, with records, and one that does not exist.
                let partitions = [0, 1, 7].map(|index| {
                    FetchPartition::default()
                        .with_partition(index)
                        .with_partition_max_bytes(1_000_000)
                });
                let topic = FetchTopic::default()
                    .with_topic(TopicName(super::super::text("t")))
                    .with_topic_id(id)
                    .with_partitions(partitions.to_vec());
                let request = FetchRequest::default()
                    .with_max_bytes(1_000_000)
                    .with_isolation_level(isolation_level)
                    .with_topics(vec![topic]);
                let answer = broker.find(version, &request, None);
                assert!(answer.bytes() > 100 && answer.has_error());

                let mut output = BytesMut::new();
                let slices = answer.encode(version, &mut output);
                let mut whole = Vec::new();
                let mut done = 0;
                for (at, slice) in slices {
                    whole.extend_from_slice(&output[done..at]);
                    whole.extend_from_slice(&slice.read().unwrap());
                    done = at;
                }
                whole.extend_from_slice(&output[done..]);

                let mut expected = BytesMut::new();
                let mut response = answer.read();
                if version >= TOPIC_ID_VERSION {
                    response.responses[0].topic = TopicName::default();
                } else {
                    response.responses[0].topic_id = Uuid::nil();
                }
                response.encode(&mut expected, version).unwrap();
                assert_eq!(whole, expected, "version {version}");
            }
        }
    }
}
