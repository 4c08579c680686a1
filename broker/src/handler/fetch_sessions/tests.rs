//! The rules of fetch sessions one by one, and a session beside a naive model: the same records in the same order.

use std::collections::BTreeMap;

use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use proptest::prelude::*;

use super::*;
use crate::group::Client;
use crate::handler::{Broker, BrokerConfig, Outcome, RequestContext, Response, text};
use crate::ids::CountingIds;
use crate::log::{AppendOrigin, BatchBuilder, ProducerStamp};

const BY_NAME: i16 = 12;
const BY_ID: i16 = 16;

const NOT_FOUND: i16 = 70;
const WRONG_EPOCH: i16 = 71;
const TOPIC_ID_ERROR: i16 = 106;

struct Fixture {
    broker: Broker,
    now_ms: i64,
    _data: tempfile::TempDir,
}

/// A partition of a topic, and from which offset.
type Asked<'a> = (&'a str, i32, i64);

impl Fixture {
    /// A broker with topics `a` and `b` of three partitions each.
    fn new(slots: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            fetch_session_slots: slots,
            ..BrokerConfig::embedded()
        };
        let broker = Broker::open(data.path(), config, CountingIds::above(1 << 64), 0).unwrap();
        for topic in ["a", "b"] {
            broker
                .topics()
                .create_topic(topic, 3, &Default::default(), 0)
                .unwrap();
        }
        Self {
            broker,
            now_ms: 0,
            _data: data,
        }
    }

    fn append(&self, topic: &str, partition: i32, bytes: usize) {
        let mut builder = BatchBuilder::new();
        builder.append(1, None, Some(&vec![b'v'; bytes]), &[]).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        let topic = self.broker.topics().topic(topic).unwrap();
        topic
            .lock(partition)
            .unwrap()
            .append(batch, AppendOrigin::Client, 1)
            .unwrap();
    }

    fn request(&self, version: i16, session: (i32, i32), asked: &[Asked<'_>]) -> FetchRequest {
        let topic = |(name, partition, offset): &Asked<'_>| {
            let partition = FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1_000_000);
            let topic = FetchTopic::default().with_partitions(vec![partition]);
            if version >= TOPIC_ID_VERSION {
                let known = self.broker.topics().topic(name);
                topic.with_topic_id(known.map_or(Uuid::from_u128(99), |topic| topic.id()))
            } else {
                topic.with_topic(TopicName(text(name)))
            }
        };
        FetchRequest::default()
            .with_max_bytes(1_000_000)
            .with_session_id(session.0)
            .with_session_epoch(session.1)
            .with_topics(asked.iter().map(topic).collect())
    }

    fn send(&self, version: i16, request: FetchRequest) -> FetchResponse {
        let client = Client {
            id: String::new(),
            host: String::new(),
        };
        let context = RequestContext::new(version, client);
        match self.broker.handle(&context, request.into(), self.now_ms) {
            Outcome::Ready(Response::Fetch(response)) => response,
            other => panic!("got {other:?}"),
        }
    }

    fn fetch(&self, session: (i32, i32), asked: &[Asked<'_>]) -> FetchResponse {
        self.send(BY_NAME, self.request(BY_NAME, session, asked))
    }

    /// Begins a session.
    fn begin(&self, asked: &[Asked<'_>]) -> i32 {
        let response = self.fetch((0, 0), asked);
        assert_eq!(response.error_code, 0);
        assert_eq!(told(&response).len(), asked.len());
        response.session_id
    }
}

fn forgotten(name: &str, partitions: &[i32]) -> ForgottenTopic {
    ForgottenTopic::default()
        .with_topic(TopicName(text(name)))
        .with_partitions(partitions.to_vec())
}

/// What is told: topic, partition, error, number of bytes.
fn told(response: &FetchResponse) -> Vec<(String, i32, i16, usize)> {
    let of_topic = |topic: &kafka_protocol::messages::fetch_response::FetchableTopicResponse| {
        let name = topic.topic.to_string();
        let of_partition = move |data: &PartitionData| {
            let bytes = data.records.as_ref().map_or(0, bytes::Bytes::len);
            (name.clone(), data.partition_index, data.error_code, bytes)
        };
        topic.partitions.iter().map(of_partition).collect::<Vec<_>>()
    };
    response.responses.iter().flat_map(of_topic).collect()
}

fn partitions(response: &FetchResponse) -> Vec<(String, i32)> {
    let told = told(response).into_iter();
    told.map(|(topic, partition, ..)| (topic, partition)).collect()
}

#[test]
fn a_session_tells_what_is_new_and_ends_when_it_is_told_to() {
    let fixture = Fixture::new(10);
    fixture.append("a", 0, 10);
    let id = fixture.begin(&[("a", 0, 0), ("a", 1, 0), ("b", 0, 0)]);
    assert!(id > 0);
    // The position of a-0 moved; nothing else did.
    let response = fixture.fetch((id, 1), &[("a", 0, 1)]);
    assert_eq!((response.error_code, response.session_id), (0, id));
    assert_eq!(told(&response), []);
    fixture.append("b", 0, 10);
    let response = fixture.fetch((id, 2), &[]);
    assert_eq!(partitions(&response), [("b".to_owned(), 0)]);
    // It was not read further: its records are told again.
    assert_eq!(partitions(&fixture.fetch((id, 3), &[])), [("b".to_owned(), 0)]);
    // A new one is told of, whatever there is in it.
    let response = fixture.fetch((id, 4), &[("b", 0, 1), ("b", 1, 0)]);
    assert_eq!(told(&response), [("b".to_owned(), 1, 0, 0)]);
    let response = fixture.fetch((id, FINAL_EPOCH), &[]);
    assert_eq!((response.error_code, response.session_id), (0, 0));
    assert_eq!(fixture.fetch((id, 5), &[]).error_code, NOT_FOUND);
}

#[test]
fn a_request_out_of_turn_is_refused_and_changes_nothing() {
    let fixture = Fixture::new(10);
    assert_eq!(fixture.fetch((0, 5), &[("a", 0, 0)]).error_code, NOT_FOUND);
    assert_eq!(fixture.fetch((77, 1), &[("a", 0, 0)]).error_code, NOT_FOUND);
    let id = fixture.begin(&[("a", 0, 0)]);
    for epoch in [2, 7, -5] {
        let response = fixture.fetch((id, epoch), &[("a", 1, 0)]);
        assert_eq!((response.error_code, response.session_id), (WRONG_EPOCH, 0));
    }
    let request = fixture.request(BY_ID, (id, 1), &[]);
    assert_eq!(fixture.send(BY_ID, request).error_code, TOPIC_ID_ERROR);
    let response = fixture.fetch((id, 1), &[]);
    assert_eq!((response.error_code, told(&response).len()), (0, 0));
    // The same one again, as after a lost answer.
    assert_eq!(fixture.fetch((id, 1), &[]).error_code, WRONG_EPOCH);
}

#[test]
fn a_full_request_may_end_one_session_and_begin_another() {
    let fixture = Fixture::new(10);
    let first = fixture.begin(&[("a", 0, 0)]);
    let second = fixture.fetch((first, INITIAL_EPOCH), &[("b", 0, 0)]).session_id;
    assert!(second > 0 && second != first);
    assert_eq!(fixture.fetch((first, 1), &[]).error_code, NOT_FOUND);
    assert_eq!(fixture.fetch((second, 1), &[]).error_code, 0);
}

#[test]
fn a_session_that_has_nothing_left_ends() {
    let fixture = Fixture::new(10);
    let id = fixture.begin(&[("a", 0, 0), ("a", 1, 0), ("b", 2, 0)]);
    fixture.append("a", 0, 10);
    fixture.append("a", 1, 10);
    let request = fixture
        .request(BY_NAME, (id, 1), &[])
        .with_forgotten_topics_data(vec![forgotten("a", &[0, 7]), forgotten("c", &[0])]);
    let response = fixture.send(BY_NAME, request);
    assert_eq!(partitions(&response), [("a".to_owned(), 1)]);
    let request = fixture
        .request(BY_NAME, (id, 2), &[])
        .with_forgotten_topics_data(vec![forgotten("a", &[1]), forgotten("b", &[2])]);
    let response = fixture.send(BY_NAME, request);
    assert_eq!((response.error_code, response.session_id), (0, 0));
    assert_eq!(fixture.fetch((id, 3), &[]).error_code, NOT_FOUND);
}

#[test]
fn errors_are_told_as_long_as_there_are_any() {
    let fixture = Fixture::new(10);
    let id = fixture.begin(&[("nowhere", 0, 0), ("a", 0, 0), ("a", 9, 0)]);
    let expected = [("nowhere".to_owned(), 0, 3, 0), ("a".to_owned(), 9, 3, 0)];
    for epoch in 1..4 {
        assert_eq!(told(&fixture.fetch((id, epoch), &[])), expected);
    }
    fixture
        .broker
        .topics()
        .create_topic("nowhere", 1, &Default::default(), 0)
        .unwrap();
    // That the error is gone is news, and then it is none.
    let response = fixture.fetch((id, 4), &[]);
    assert_eq!(told(&response)[0], ("nowhere".to_owned(), 0, 0, 0));
    assert_eq!(told(&fixture.fetch((id, 5), &[])), expected[1..]);
    let response = fixture.fetch((id, 6), &[("a", 0, 5)]);
    assert_eq!(told(&response)[0], ("a".to_owned(), 0, 1, 0));
}

#[test]
fn a_moved_start_is_news() {
    let fixture = Fixture::new(10);
    for _ in 0..3 {
        fixture.append("a", 0, 10);
    }
    let id = fixture.begin(&[("a", 0, 3)]);
    let topic = fixture.broker.topics().topic("a").unwrap();
    topic.lock(0).unwrap().delete_records_before(2).unwrap();
    let response = fixture.fetch((id, 1), &[]);
    assert_eq!(response.responses[0].partitions[0].log_start_offset, 2);
    assert_eq!(told(&fixture.fetch((id, 2), &[])), []);
}

#[test]
fn a_topic_that_is_gone_is_told_from_one_that_never_was() {
    let fixture = Fixture::new(10);
    let request = fixture.request(BY_ID, (0, 0), &[("a", 0, 0), ("nowhere", 0, 0)]);
    let codes = |response: &FetchResponse| {
        let told = told(response).into_iter();
        told.map(|(_, _, code, _)| code).collect::<Vec<_>>()
    };
    let response = fixture.send(BY_ID, request);
    let id = response.session_id;
    assert_eq!(codes(&response), [0, 100]);
    fixture.broker.topics().delete_topic("a").unwrap();
    let next = |epoch| fixture.send(BY_ID, fixture.request(BY_ID, (id, epoch), &[]));
    assert_eq!(codes(&next(1)), [3, 100]);
    fixture
        .broker
        .topics()
        .create_topic("a", 3, &Default::default(), 0)
        .unwrap();
    assert_eq!(codes(&next(2)), [103, 100]);
}

#[test]
fn an_answer_that_was_not_waited_for_is_not_given() {
    let fixture = Fixture::new(10);
    let id = fixture.begin(&[("a", 0, 0)]);
    let sessions = &fixture.broker.fetch_sessions;
    let name_of = |_| None;
    let mut first = fixture.request(BY_NAME, (id, 1), &[]);
    let waiting = sessions.open(BY_NAME, &mut first, &name_of, 0).unwrap();
    fixture.append("a", 0, 10);
    let response = fixture.fetch((id, 2), &[("a", 1, 0)]);
    assert_eq!(told(&response).len(), 2);
    let mut answer = fixture.broker.find(BY_NAME, &first, None);
    assert!(answer.bytes() > 0);
    sessions.complete(waiting, &mut answer, 0);
    assert_eq!(
        (answer.error_code, answer.session_id, answer.topics.len()),
        (WRONG_EPOCH, id, 0)
    );
}

#[test]
fn a_busy_partition_leaves_bytes_to_the_others() {
    let fixture = Fixture::new(10);
    let all = [("a", 0, 0), ("a", 1, 0), ("b", 0, 0)];
    for (topic, partition, _) in all {
        for _ in 0..3 {
            fixture.append(topic, partition, 1000);
        }
    }
    // There is room for one batch in each answer.
    let one_batch = |request: FetchRequest| fixture.send(BY_NAME, request.with_max_bytes(1100));
    let with_records = |response: &FetchResponse| {
        let told = told(response).into_iter().filter(|(.., bytes)| *bytes > 0);
        told.map(|(topic, partition, ..)| (topic, partition))
            .collect::<Vec<_>>()
    };
    let first = one_batch(fixture.request(BY_NAME, (0, 0), &all));
    assert_eq!(with_records(&first), [("a".to_owned(), 0)]);
    let id = first.session_id;
    let mut seen = Vec::new();
    for epoch in 1..=6 {
        let response = one_batch(fixture.request(BY_NAME, (id, epoch), &[]));
        seen.extend(with_records(&response));
    }
    let turn = [("a", 0), ("a", 1), ("b", 0)].map(|(topic, partition)| (topic.to_owned(), partition));
    assert_eq!(seen, [turn.clone(), turn].concat());
}

#[test]
fn slots_go_to_who_needs_them_most() {
    let mut fixture = Fixture::new(2);
    let two = [("a", 0, 0), ("a", 1, 0)];
    let three = [("a", 0, 0), ("a", 1, 0), ("a", 2, 0)];
    let (small, large) = (fixture.begin(&two), fixture.begin(&three));
    assert!(small > 0 && large > 0);
    assert_eq!(fixture.begin(&three), 0, "both are in their time");
    fixture.now_ms = EVICTION_MS + 1;
    assert_eq!(fixture.fetch((small, 1), &[]).error_code, 0);
    assert_eq!(fixture.fetch((large, 1), &[]).error_code, 0);
    assert_eq!(fixture.begin(&two), 0, "the smaller one is not smaller than this");
    let third = fixture.begin(&three);
    assert!(third > 0);
    assert_eq!(fixture.fetch((small, 2), &[]).error_code, NOT_FOUND);
    // Who does not come back loses the place to anybody.
    fixture.now_ms *= 2;
    assert_eq!(fixture.fetch((third, 1), &[]).error_code, 0);
    fixture.now_ms += 1;
    assert!(fixture.begin(&two) > 0);
    assert_eq!(fixture.fetch((large, 2), &[]).error_code, NOT_FOUND);
    assert_eq!(fixture.fetch((third, 2), &[]).error_code, 0);
}

#[test]
fn without_slots_there_are_no_sessions() {
    let fixture = Fixture::new(0);
    assert_eq!(fixture.begin(&[("a", 0, 0)]), 0);
}

#[test]
fn epochs_begin_again_after_the_last() {
    assert_eq!(next_epoch(INITIAL_EPOCH), 1);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[derive(Debug, Clone)]
enum Step {
    /// So many bytes come into a partition.
    Append(usize, usize),
    /// The client wants a partition, from the start of what it has not read.
    Want(usize),
    Forget(usize),
    /// A fetch of at most so many bytes. What comes is read.
    Fetch(usize),
    /// As Fetch, and the answer is lost.
    Lost,
    /// The partition's oldest records are deleted.
    Trim(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..6usize;
    prop_oneof![
        4 => (partition.clone(), 1..3000usize).prop_map(|(partition, bytes)| Step::Append(partition, bytes)),
        3 => partition.clone().prop_map(Step::Want),
        1 => partition.clone().prop_map(Step::Forget),
        6 => (0..5000usize).prop_map(Step::Fetch),
        1 => Just(Step::Lost),
        1 => partition.prop_map(Step::Trim),
    ]
}

fn partition_of(number: usize) -> (&'static str, i32) {
    (["a", "b"][number / 3], (number % 3) as i32)
}

/// What a session should be, written down as simply as can be: the partitions in the order in which they are looked at, and
/// what the client was last told of each.
#[derive(Default)]
struct Model {
    session: (i32, i32),
    wanted: Vec<(usize, Option<(i64, i64)>)>,
    /// What the client has not told yet.
    changed: Vec<usize>,
    forgotten: Vec<usize>,
    positions: BTreeMap<usize, i64>,
}

impl Model {
    fn position(&self, number: usize) -> i64 {
        self.positions.get(&number).copied().unwrap_or(0)
    }

    fn asked(&self, numbers: &[usize]) -> Vec<Asked<'static>> {
        let asked = numbers.iter().map(|number| {
            let (topic, partition) = partition_of(*number);
            (topic, partition, self.position(*number))
        });
        asked.collect()
    }

    /// The same without a session, and what of it should be told.
    fn expected(
        &mut self,
        fixture: &Fixture,
        max_bytes: i32,
        tells_all: bool,
    ) -> Vec<(usize, PartitionData)> {
        let numbers: Vec<usize> = self.wanted.iter().map(|(number, _)| *number).collect();
        let request = fixture.request(BY_NAME, (0, FINAL_EPOCH), &self.asked(&numbers));
        let mut told = Vec::new();
        let mut with_records = Vec::new();
        for (number, data) in by_number(fixture.send(BY_NAME, request.with_max_bytes(max_bytes))) {
            let place = self
                .wanted
                .iter()
                .position(|(wanted, _)| *wanted == number)
                .unwrap();
            let now = (data.high_watermark, data.log_start_offset);
            let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
            let is_news = has_records || data.error_code != 0 || self.wanted[place].1 != Some(now);
            self.wanted[place].1 = Some(now);
            if has_records {
                with_records.push(number);
            }
            if is_news || tells_all {
                told.push((number, data));
            }
        }
        if !tells_all {
            for number in with_records {
                let place = self
                    .wanted
                    .iter()
                    .position(|(wanted, _)| *wanted == number)
                    .unwrap();
                let moved = self.wanted.remove(place);
                self.wanted.push(moved);
            }
        }
        told
    }

    fn fetch(&mut self, fixture: &Fixture, max_bytes: i32) -> Vec<(usize, PartitionData)> {
        let is_full = self.session.1 == INITIAL_EPOCH;
        let numbers = if is_full {
            self.changed.clear();
            self.forgotten.clear();
            self.wanted.iter().map(|(number, _)| *number).collect()
        } else {
            std::mem::take(&mut self.changed)
        };
        let gone = std::mem::take(&mut self.forgotten).into_iter().map(|number| {
            let (topic, partition) = partition_of(number);
            forgotten(topic, &[partition])
        });
        let request = fixture
            .request(BY_NAME, self.session, &self.asked(&numbers))
            .with_max_bytes(max_bytes)
            .with_forgotten_topics_data(gone.collect());
        let response = fixture.send(BY_NAME, request);
        assert_eq!(response.error_code, 0);
        self.session = (response.session_id, self.session.1 + 1);
        let expected = self.expected(fixture, max_bytes, is_full);
        let told = by_number(response);
        assert_eq!(told, expected);
        told
    }

    fn read(&mut self, fixture: &Fixture, told: Vec<(usize, PartitionData)>) {
        for (number, data) in told {
            let next = match data.error_code {
                // Out of range: begin where the log does.
                1 => {
                    let (topic, partition) = partition_of(number);
                    let topic = fixture.broker.topics().topic(topic).unwrap();
                    topic.lock(partition).unwrap().log_start_offset()
                }
                _ => {
                    let records = data.records.unwrap_or_default();
                    let count = crate::log::Batches::new(&records).flatten().count() as i64;
                    self.position(number) + count
                }
            };
            if next != self.position(number) || data.error_code != 0 {
                self.positions.insert(number, next);
                self.change(number);
            }
        }
    }

    fn change(&mut self, number: usize) {
        self.changed.retain(|changed| *changed != number);
        self.changed.push(number);
    }
}

fn by_number(response: FetchResponse) -> Vec<(usize, PartitionData)> {
    let mut all = Vec::new();
    for topic in response.responses {
        let first = if topic.topic.as_str() == "a" { 0 } else { 3 };
        for data in topic.partitions {
            all.push((first + data.partition_index as usize, data));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_session_tells_what_a_full_request_would(steps in prop::collection::vec(step(), 1..60)) {
        let fixture = Fixture::new(4);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(number, bytes) => {
                    let (topic, partition) = partition_of(number);
                    fixture.append(topic, partition, bytes);
                }
                Step::Want(number) => {
                    // What is to be forgotten first has to be.
                    let is_known = model.wanted.iter().any(|(wanted, _)| *wanted == number);
                    if !is_known && !model.forgotten.contains(&number) {
                        model.wanted.push((number, None));
                        model.change(number);
                    }
                }
                // A client that wants nothing does not fetch.
                Step::Forget(number) if model.wanted.len() > 1 => {
                    let count = model.wanted.len();
                    model.wanted.retain(|(wanted, _)| *wanted != number);
                    model.changed.retain(|changed| *changed != number);
                    if model.wanted.len() < count && !model.forgotten.contains(&number) {
                        model.forgotten.push(number);
                    }
                }
                Step::Fetch(max_bytes) if !model.wanted.is_empty() => {
                    let told = model.fetch(&fixture, max_bytes as i32);
                    model.read(&fixture, told);
                }
                Step::Lost if !model.wanted.is_empty() => {
                    model.fetch(&fixture, 1_000_000);
                    model.session.1 = INITIAL_EPOCH;
                }
                Step::Trim(number) => {
                    let (topic, partition) = partition_of(number);
                    let topic = fixture.broker.topics().topic(topic).unwrap();
                    let mut log = topic.lock(partition).unwrap();
                    let end = log.high_watermark();
                    log.delete_records_before(end).unwrap();
                }
                Step::Forget(_) | Step::Fetch(_) | Step::Lost => {}
            }
        }
    }
}
