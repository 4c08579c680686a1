//! The whole broker under requests that nobody would send: well-formed by their shape, random in every field, and some
//! damaged on top. Nothing may panic, every answer must have an encoding, and what is left on disk must open again.
//!
//! The seeds are fixed. `FUZZ_SEEDS=10000` runs more of them.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{Field, Kind, Shape, TABLE, check};
use crate::group::Client;
use crate::handler::{Broker, BrokerConfig, Outcome, Parked, Request, RequestContext, Response, served_api};
use crate::ids::CountingIds;
use crate::log::{BatchBuilder, ProducerStamp};

const SEEDS: u64 = 3;
const REQUESTS_PER_SEED: usize = 40_000;
const REQUESTS_PER_LIFE: usize = 8_000;
const MAX_PARKED: usize = 32;

/// Texts that mean something somewhere, so that requests get further than the first check.
const TEXTS: &[&str] = &[
    "",
    "t",
    "t",
    "t",
    "t",
    "t",
    "t",
    "g",
    "g",
    "g",
    "g",
    "x",
    "x",
    "u",
    "new",
    "__consumer_offsets",
    "__transaction_state",
    "g",
    "g",
    "h",
    "s",
    "x",
    "x",
    "m-1",
    "m-2",
    "consumer",
    "range",
    "uniform",
    "classic",
    "streams",
    "cleanup.policy",
    "compact",
    "delete",
    "retention.ms",
    "segment.bytes",
    "100",
    "-1",
    "0",
    "compression.type",
    "zstd",
    "User:a",
    "User:*",
    "*",
    "127.0.0.1",
    "user",
    "client-id",
    "a",
    "producer_byte_rate",
    "consumer.session.timeout.ms",
    "min.insync.replicas",
    "^t.*",
    "[",
    "Stable",
    "Empty",
    "Ongoing",
    "\u{e9}\u{1f980}",
    "/",
    "..",
];

/// Numbers at the edges of what fields mean.
const NUMBERS: &[i64] = &[
    0,
    0,
    0,
    1,
    1,
    1,
    2,
    3,
    4,
    5,
    10,
    100,
    1_000,
    30_000,
    1_000_000,
    -1,
    -1,
    -2,
    -3,
    -4,
    -5,
    i8::MAX as i64,
    i16::MAX as i64,
    i32::MAX as i64,
    i64::MAX,
    i8::MIN as i64,
    i16::MIN as i64,
    i32::MIN as i64,
    i64::MIN,
];

struct Generator {
    random: TestRng,
    topic_ids: Vec<[u8; 16]>,
    blobs: Vec<Bytes>,
}

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.random.next_u32() as usize % bound
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// The body of a request, and sometimes not quite.
    fn body(&mut self, shape: &Shape, version: i16) -> Vec<u8> {
        let flexible = version >= shape.flexible;
        let mut writer = Writer {
            version,
            flexible,
            body: Vec::new(),
        };
        self.fields(&mut writer, &shape.fields, 0);
        let mut body = writer.body;
        if !body.is_empty() && self.one_in(8) {
            let at = self.below(body.len());
            body[at] = self.random.next_u32() as u8;
        }
        if self.one_in(16) {
            body.truncate(self.below(body.len() + 1));
        }
        body
    }

    fn fields(&mut self, writer: &mut Writer, fields: &[Field], depth: usize) {
        let version = writer.version;
        let there = |field: &&Field| (field.first_version..=field.last_version).contains(&version);
        let (tagged, plain): (Vec<&Field>, Vec<&Field>) =
            fields.iter().filter(there).partition(|field| field.tag.is_some());
        for field in plain {
            self.value(writer, &field.kind, depth);
        }
        if !writer.flexible {
            return;
        }
        let mut tagged: Vec<&Field> = tagged.into_iter().filter(|_| self.one_in(2)).collect();
        tagged.sort_by_key(|field| field.tag);
        writer.varint(tagged.len());
        for field in tagged {
            let mut inner = Writer {
                version,
                flexible: true,
                body: Vec::new(),
            };
            self.value(&mut inner, &field.kind, depth);
            writer.varint(field.tag.unwrap_or_default() as usize);
            writer.varint(inner.body.len());
            writer.body.extend(inner.body);
        }
    }

    fn value(&mut self, writer: &mut Writer, kind: &Kind, depth: usize) {
        match kind {
            Kind::Fixed(16) => {
                let id = if self.one_in(4) {
                    [0; 16]
                } else {
                    self.topic_ids[self.random.next_u32() as usize % self.topic_ids.len()]
                };
                writer.body.extend(id);
            }
            Kind::Fixed(size) => {
                let number = if self.one_in(4) {
                    self.pick(NUMBERS)
                } else {
                    self.pick(&[0, 0, 0, 1, 1, -1, 10_000])
                };
                writer.body.extend(&number.to_be_bytes()[8 - size..]);
            }
            Kind::Text => {
                let text = self.pick(TEXTS).as_bytes();
                let is_null = self.one_in(60);
                writer.text((!is_null).then_some(text));
            }
            Kind::Blob => {
                let blob = self.blob();
                writer.count(blob.as_ref().map(Vec::len));
                writer.body.extend(blob.unwrap_or_default());
            }
            Kind::Array(element) => self.array(writer, element, depth),
            Kind::Struct { nullable, fields } => {
                let is_null = *nullable && self.one_in(3);
                if *nullable {
                    writer.body.push(if is_null { 0xff } else { 1 });
                }
                if !is_null {
                    self.fields(writer, fields, depth);
                }
            }
        }
    }

    fn array(&mut self, writer: &mut Writer, element: &Kind, depth: usize) {
        if self.one_in(80) {
            return writer.count(None);
        }
        let count = if depth > 2 {
            1
        } else {
            self.pick(&[0, 1, 1, 1, 1, 2, 3])
        };
        writer.count(Some(count));
        for _ in 0..count {
            self.value(writer, element, depth + 1);
        }
    }

    /// A batch or what members tell each other, damaged at times; or null.
    fn blob(&mut self) -> Option<Vec<u8>> {
        let at = self.below(self.blobs.len() + 1);
        let mut blob = self.blobs.get(at)?.to_vec();
        if !blob.is_empty() && self.one_in(6) {
            let at = self.below(blob.len());
            blob[at] ^= 1 << self.below(8);
        }
        Some(blob)
    }
}

struct Writer {
    version: i16,
    flexible: bool,
    body: Vec<u8>,
}

impl Writer {
    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.body.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.body.push(value as u8);
    }

    fn count(&mut self, count: Option<usize>) {
        if self.flexible {
            self.varint(count.map_or(0, |count| count + 1));
        } else {
            let count = count.map_or(-1, |count| count as i32);
            self.body.extend(count.to_be_bytes());
        }
    }

    fn text(&mut self, text: Option<&[u8]>) {
        if self.flexible {
            self.varint(text.map_or(0, |text| text.len() + 1));
        } else {
            self.body
                .extend(text.map_or(-1, |text| text.len() as i16).to_be_bytes());
        }
        self.body.extend(text.unwrap_or_default());
    }
}

/// Batches of all kinds of producers, and some that are none.
fn blobs() -> Vec<Bytes> {
    let stamp = |producer_id, base_sequence, transactional| ProducerStamp {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        transactional,
    };
    let stamps = [
        ProducerStamp::NONE,
        ProducerStamp::NONE,
        stamp(0, 0, false),
        stamp(0, 2, false),
        stamp(1, 0, true),
        stamp(2, 0, true),
        stamp(0, i32::MAX, true),
    ];
    let mut blobs: Vec<Bytes> = stamps
        .into_iter()
        .filter_map(|stamp| {
            let mut builder = BatchBuilder::new();
            builder
                .append(1_000, Some(b"k"), Some(b"v"), &[("h", None)])
                .expect("is small");
            builder.append(-1, Some(b""), None, &[]).expect("is small");
            builder.finish(stamp)
        })
        .collect();
    let two = [blobs[0].as_ref(), blobs[1].as_ref()].concat();
    blobs.push(two.into());
    blobs.push(Bytes::new());
    // What a consumer subscribes to: one topic, no user data.
    blobs.push(Bytes::from_static(
        b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff",
    ));
    blobs.push(Bytes::from_static(b"\x00\x00\x7f\xff\xff\xff"));
    blobs
}

/// A broker's life between two restarts.
struct Life {
    broker: Broker,
    parked: VecDeque<(i16, Pin<Box<Parked>>)>,
    now_ms: i64,
    answers: usize,
}

impl Life {
    fn begin(data: &Path, now_ms: i64) -> Self {
        let config = BrokerConfig::embedded();
        let broker = Broker::open(data, config, CountingIds::above(now_ms as u128), now_ms)
            .expect("what was left opens again");
        Self {
            broker,
            parked: VecDeque::new(),
            now_ms,
            answers: 0,
        }
    }

    /// The topics that most requests are about.
    fn create_topics(&mut self) {
        let topic = |name: &'static str| {
            let name = StrBytes::from_static_str(name).into();
            CreatableTopic::default()
                .with_name(name)
                .with_num_partitions(2)
                .with_replication_factor(1)
        };
        let request = CreateTopicsRequest::default().with_topics(vec![topic("t"), topic("u")]);
        self.handle(7, request.into());
    }

    fn ask(&mut self, key: i16, version: i16, body: Vec<u8>) {
        if check(key, version, &body).is_err() {
            return;
        }
        if let Ok(request) = Request::decode(key, version, body.into()) {
            self.handle(version, request);
        }
    }

    fn handle(&mut self, version: i16, request: Request) {
        let client = Client {
            id: "fuzz".to_owned(),
            host: "/127.0.0.1".to_owned(),
        };
        let context = RequestContext::new(version, client);
        if let Request::Fetch(fetch) = &request {
            let answer = self.broker.find(version, fetch, None);
            answer.encode(version, &mut BytesMut::new());
        }
        match self.broker.handle(&context, request, self.now_ms) {
            Outcome::Ready(response) => self.encode(version, &response),
            Outcome::Parked(parked) => self.parked.push_back((version, Box::pin(parked))),
        }
        if self.parked.len() > MAX_PARKED {
            self.parked.pop_front();
        }
    }

    fn encode(&mut self, version: i16, response: &Response) {
        let encoded = response.encode(version, &mut BytesMut::new());
        encoded.expect("every answer has an encoding");
        self.answers += 1;
    }

    fn pass_time(&mut self, step_ms: i64) {
        self.now_ms += step_ms;
        self.broker.tick(self.now_ms);
        self.broker.compact(self.now_ms, &AtomicBool::new(false));
        for (version, mut parked) in std::mem::take(&mut self.parked) {
            match parked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(response) => self.encode(version, &response),
                Poll::Pending => self.parked.push_back((version, parked)),
            }
        }
    }
}

/// Runs one seed and answers how many requests were answered.
fn run(seed: u64) -> usize {
    let data = tempfile::tempdir().expect("a directory");
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut generator = Generator {
        random: TestRng::from_seed(RngAlgorithm::XorShift, &bytes),
        topic_ids: vec![[1; 16]],
        blobs: blobs(),
    };
    let (mut now_ms, mut answers) = (1_000_000, 0);
    for _ in 0..REQUESTS_PER_SEED / REQUESTS_PER_LIFE {
        let mut life = Life::begin(data.path(), now_ms);
        for number in 0..REQUESTS_PER_LIFE {
            let shape = &TABLE[generator.below(TABLE.len())];
            let Some(api) = served_api(shape.key) else {
                continue;
            };
            let version =
                api.min_version + generator.below((api.max_version - api.min_version) as usize + 1) as i16;
            let body = generator.body(shape, version);
            life.ask(shape.key, version, body);
            if number % 20 == 0 {
                let step_ms = generator.pick(&[1, 100, 100, 3_000, 60_000]);
                life.pass_time(step_ms);
                life.create_topics();
                let topics = life.broker.topics().list().expect("the lock is not poisoned");
                generator.topic_ids = topics.iter().map(|topic| *topic.id().as_bytes()).collect();
                generator.topic_ids.push([1; 16]);
            }
        }
        now_ms = life.now_ms + 1_000;
        answers += life.answers;
        // Every other time as after a crash.
        if generator.one_in(2) {
            life.broker.close().expect("closes");
        }
    }
    answers
}

#[test]
fn no_request_brings_the_broker_down() {
    let seeds =
        std::env::var("FUZZ_SEEDS").map_or(SEEDS, |text| text.parse().expect("FUZZ_SEEDS is a number"));
    for seed in 0..seeds {
        let answers = run(seed);
        assert!(
            answers > REQUESTS_PER_SEED / 4,
            "only {answers} requests got as far as an answer"
        );
    }
}
