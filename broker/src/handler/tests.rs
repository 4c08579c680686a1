//! The rules that only hold where coordinators and logs meet: verification, visibility of offsets, parked requests, and what
//! clients are told.

mod epochs;
mod groups;
mod offsets_by_id;

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, EndTxnRequest, EndTxnResponse, GroupId, InitProducerIdRequest,
    InitProducerIdResponse, JoinGroupRequest, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest,
    ListOffsetsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    ProduceRequest, ProduceResponse, ProducerId, TopicName, TransactionalId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::*;
use crate::group::Client;
use crate::ids::CountingIds;
use crate::log::{BatchBuilder, ProducerStamp};

const NOW_MS: i64 = 1_000;

struct Fixture {
    broker: Broker,
    data: tempfile::TempDir,
}

impl Fixture {
    /// A broker with the topic `out` and a transactional producer 0/0 under the id `p`.
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::embedded();
        config.group.initial_rebalance_delay_ms = 100;
        let broker = Broker::open(data.path(), config, CountingIds::above(1 << 64), NOW_MS).unwrap();
        let fixture = Self { broker, data };
        let topic = CreatableTopic::default()
            .with_name(name("out"))
            .with_num_partitions(2)
            .with_replication_factor(-1);
        let created: CreateTopicsResponse =
            fixture.ask(7, CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(created.topics[0].error_code, 0);
        let configs = created.topics[0].configs.as_ref().unwrap();
        assert!(
            configs
                .iter()
                .all(|config| matches!(config.config_source, 1 | 4 | 5))
        );
        assert_eq!(fixture.init(), (0, 0));
        fixture
    }

    /// The broker's next life.
    fn restarted(self) -> Self {
        let Self { broker, data } = self;
        drop(broker);
        let config = BrokerConfig::embedded();
        let broker = Broker::open(data.path(), config, CountingIds::above(1 << 65), NOW_MS).unwrap();
        Self { broker, data }
    }

    fn ask<R: TryFrom<Response, Error = Response>>(&self, version: i16, request: impl Into<Request>) -> R {
        match self.outcome(version, request) {
            Outcome::Ready(response) => R::try_from(response).unwrap_or_else(|other| panic!("got {other:?}")),
            Outcome::Parked(_) => panic!("parked"),
        }
    }

    fn outcome(&self, version: i16, request: impl Into<Request>) -> Outcome {
        let client = Client {
            id: "c".to_owned(),
            host: "/h".to_owned(),
        };
        self.broker
            .handle(&RequestContext::new(version, client), request.into(), NOW_MS)
    }

    fn init(&self) -> (i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let response: InitProducerIdResponse = self.ask(4, request);
        if response.error_code == ResponseError::ConcurrentTransactions.code() {
            return self.init();
        }
        assert_eq!(response.error_code, 0);
        (response.producer_id.0, response.producer_epoch)
    }

    fn produce(&self, version: i16, partition: i32, epoch: i16, sequence: i32) -> i16 {
        let mut builder = BatchBuilder::new();
        builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
        let stamp = ProducerStamp {
            producer_id: 0,
            producer_epoch: epoch,
            base_sequence: sequence,
            transactional: true,
        };
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(builder.finish(stamp));
        self.produce_data(version, "out", data)
    }

    fn produce_data(&self, version: i16, topic: &str, data: PartitionProduceData) -> i16 {
        let topic = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(id()))
            .with_acks(-1)
            .with_topic_data(vec![topic]);
        let response: ProduceResponse = self.ask(version, request);
        response.responses[0].partition_responses[0].error_code
    }

    fn add(&self, partitions: Vec<i32>, epoch: i16) -> Vec<i16> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name("out"))
            .with_partitions(partitions);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id())
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response: AddPartitionsToTxnResponse = self.ask(3, request);
        let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
        results.iter().map(|result| result.partition_error_code).collect()
    }

    fn end(&self, version: i16, epoch: i16, commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(id())
            .with_producer_epoch(epoch)
            .with_committed(commit);
        let response: EndTxnResponse = self.ask(version, request);
        response.error_code
    }

    fn txn_commit(&self, version: i16, offset: i64) -> i16 {
        self.txn_commit_to(version, 0, offset)
    }

    fn txn_commit_to(&self, version: i16, partition: i32, offset: i64) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(name("out"))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id())
            .with_group_id(group())
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let response: TxnOffsetCommitResponse = self.ask(version, request);
        response.topics[0].partitions[0].error_code
    }

    /// Committed offset of `out-0`, and the error.
    fn committed(&self, require_stable: bool) -> (i64, i16) {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(name("out"))
            .with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group())
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(require_stable);
        let response: OffsetFetchResponse = self.ask(8, request);
        let partition = &response.groups[0].topics[0].partitions[0];
        (partition.committed_offset, partition.error_code)
    }

    fn stable_and_end(&self, partition: i32) -> (i64, i64) {
        let topic = self.broker.topics().topic("out").unwrap();
        let log = topic.lock(partition).unwrap();
        (log.last_stable_offset(), log.high_watermark())
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn id() -> TransactionalId {
    TransactionalId(text("p"))
}

fn group() -> GroupId {
    GroupId(text("g"))
}

#[test]
fn a_batch_outside_of_its_producers_transaction_is_refused_as_each_version_knows() {
    let fixture = Fixture::new();
    assert_eq!(fixture.produce(9, 0, 0, 0), ResponseError::InvalidTxnState.code());
    assert_eq!(
        fixture.produce(11, 0, 0, 0),
        ResponseError::TransactionAbortable.code()
    );
    assert_eq!(fixture.add(vec![0], 0), [0]);
    assert_eq!(fixture.produce(9, 0, 0, 0), 0);
    assert_eq!(fixture.produce(9, 1, 0, 0), ResponseError::InvalidTxnState.code());
    assert_eq!(fixture.stable_and_end(0), (0, 1));
    assert_eq!(fixture.end(3, 0, true), 0);
    // The record and its marker.
    assert_eq!(fixture.stable_and_end(0), (2, 2));
    assert_eq!(fixture.produce(9, 0, 0, 1), ResponseError::InvalidTxnState.code());
}

#[test]
fn produce_of_version_twelve_adds_the_partition_by_itself() {
    let fixture = Fixture::new();
    assert_eq!(fixture.produce(12, 0, 0, 0), 0);
    assert_eq!(fixture.produce(12, 1, 0, 0), 0);
    assert_eq!(fixture.end(5, 0, true), 0);
    assert_eq!(
        fixture.end(5, 0, true),
        0,
        "a repeated EndTxn gets the same answer"
    );
    assert_eq!(
        (fixture.stable_and_end(0), fixture.stable_and_end(1)),
        ((2, 2), (2, 2))
    );
    assert_eq!(
        fixture.produce(12, 0, 0, 1),
        ResponseError::InvalidProducerEpoch.code()
    );
    assert_eq!(
        fixture.produce(12, 0, 1, 0),
        0,
        "the next transaction has the next epoch and new sequences"
    );
}

#[test]
fn a_late_batch_of_a_fenced_producer_leaves_nothing_hanging() {
    let fixture = Fixture::new();
    assert_eq!(fixture.add(vec![0, 1], 0), [0, 0]);
    assert_eq!(fixture.produce(9, 0, 0, 0), 0);
    assert_eq!(fixture.init(), (0, 2));
    for partition in 0..2 {
        assert_eq!(
            fixture.produce(9, partition, 0, 1),
            ResponseError::InvalidProducerEpoch.code()
        );
    }
    assert_eq!(
        (fixture.stable_and_end(0), fixture.stable_and_end(1)),
        ((2, 2), (1, 1))
    );
}

#[test]
fn one_partition_that_is_not_there_keeps_the_others_out() {
    let fixture = Fixture::new();
    let (skipped, missing) = (
        ResponseError::OperationNotAttempted.code(),
        ResponseError::UnknownTopicOrPartition.code(),
    );
    assert_eq!(fixture.add(vec![0, 9], 0), [skipped, missing]);
    assert_eq!(fixture.end(3, 0, true), ResponseError::InvalidTxnState.code());
}

#[test]
fn offsets_of_a_transaction_are_verified_and_unstable_until_it_ends() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.committed(true),
        (-1, 0),
        "a group that is not there is no error"
    );
    assert_eq!(fixture.txn_commit(3, 5), ResponseError::InvalidTxnState.code());
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(id())
        .with_group_id(group());
    let added: AddOffsetsToTxnResponse = fixture.ask(3, request);
    assert_eq!(added.error_code, 0);
    assert_eq!(fixture.txn_commit(3, 5), 0);
    assert_eq!(
        fixture.committed(true),
        (-1, ResponseError::UnstableOffsetCommit.code())
    );
    assert_eq!(fixture.committed(false), (-1, 0));
    assert_eq!(fixture.end(3, 0, true), 0);
    assert_eq!(fixture.committed(true), (5, 0));
    assert_eq!(
        fixture.txn_commit(5, 6),
        0,
        "version 5 adds the offsets by itself"
    );
    assert_eq!(
        fixture.txn_commit_to(5, 9, 6),
        ResponseError::UnknownTopicOrPartition.code()
    );
    assert_eq!(fixture.end(3, 0, false), 0);
    assert_eq!(fixture.committed(true), (5, 0));
    // Nothing to commit does not even take part in a transaction.
    assert_eq!(
        fixture.txn_commit_to(5, 9, 6),
        ResponseError::UnknownTopicOrPartition.code()
    );
    assert_eq!(fixture.end(3, 0, true), ResponseError::InvalidTxnState.code());
}

#[test]
fn records_of_a_transaction_need_its_name() {
    let fixture = Fixture::new();
    let mut builder = BatchBuilder::new();
    builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    let stamp = ProducerStamp {
        producer_id: 0,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
    };
    let data = [(0, builder.finish(stamp)), (1, None)].map(|(index, records)| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(records)
    });
    let topic = TopicProduceData::default()
        .with_name(name("out"))
        .with_partition_data(data.into());
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_topic_data(vec![topic]);
    let response: ProduceResponse = fixture.ask(9, request);
    let partitions = response.responses[0].partition_responses.iter();
    let codes: Vec<_> = partitions.map(|partition| partition.error_code).collect();
    assert_eq!(codes, [53, 53]);
}

#[test]
fn the_offsets_of_a_partition_that_is_named_twice_are_not_told() {
    let fixture = Fixture::new();
    let partition = |index: i32| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_timestamp(-1)
    };
    let topic = ListOffsetsTopic::default()
        .with_name(name("out"))
        .with_partitions(vec![partition(0), partition(1), partition(0)]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let response: ListOffsetsResponse = fixture.ask(5, request);
    let told = response.topics[0].partitions.iter();
    let told: Vec<_> = told
        .map(|partition| (partition.error_code, partition.offset))
        .collect();
    assert_eq!(told, [(42, -1), (0, 0)]);
}

#[test]
fn offsets_go_with_their_topic_and_are_refused_without_it() {
    let fixture = Fixture::new();
    let commit = || {
        let partitions =
            [0, 9].map(|index| OffsetCommitRequestPartition::default().with_partition_index(index));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name("out"))
            .with_partitions(partitions.into());
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let response: OffsetCommitResponse = fixture.ask(8, request);
        let mut codes: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, partition.error_code))
            .collect();
        codes.sort_unstable();
        codes
    };
    let missing = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(commit(), [(0, 0), (9, missing)]);
    assert_eq!(fixture.committed(false), (0, 0));
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("out")]);
    let deleted: DeleteTopicsResponse = fixture.ask(5, request);
    assert_eq!(deleted.responses[0].error_code, 0);
    assert_eq!(fixture.committed(false), (-1, 0));
    let deleted: DeleteGroupsResponse =
        fixture.ask(2, DeleteGroupsRequest::default().with_groups_names(vec![group()]));
    assert_eq!(deleted.results[0].error_code, 0);
    assert_eq!(commit(), [(0, missing), (9, missing)]);
    let listed: ListGroupsResponse = fixture.ask(4, ListGroupsRequest::default());
    assert_eq!(listed.groups, [], "nothing to commit makes no group");
}

#[test]
fn an_old_client_says_how_long_its_offsets_are_kept() {
    let fixture = Fixture::new();
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("out"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(1_000_000)
        .with_topics(vec![topic]);
    let response: OffsetCommitResponse = fixture.ask(2, request);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
    // It is written down.
    fixture.broker.close().unwrap();
    let fixture = fixture.restarted();
    fixture.broker.tick(NOW_MS + 700_000);
    assert_eq!(fixture.committed(false), (5, 0));
    fixture.broker.tick(NOW_MS + 1_400_000);
    assert_eq!(fixture.committed(false), (-1, 0));
}

#[test]
fn nobody_else_writes_to_the_brokers_own_topics() {
    let fixture = Fixture::new();
    let code = fixture.produce_data(9, TRANSACTION_STATE_TOPIC, PartitionProduceData::default());
    assert_eq!(code, ResponseError::InvalidTopicException.code());
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name(TRANSACTION_STATE_TOPIC)]);
    let deleted: DeleteTopicsResponse = fixture.ask(5, request);
    assert_eq!(
        deleted.responses[0].error_code,
        ResponseError::InvalidRequest.code()
    );
}

#[test]
fn a_parked_join_is_answered_by_the_tick_that_completes_it_or_when_the_broker_closes() {
    let fixture = Fixture::new();
    let join = || {
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![JoinGroupRequestProtocol::default().with_name(text("range"))]);
        match fixture.outcome(3, request) {
            Outcome::Parked(parked) => parked,
            Outcome::Ready(response) => panic!("got {response:?}"),
        }
    };
    let code = |parked: &Parked| match parked.wait(Duration::ZERO) {
        Some(Response::JoinGroup(response)) => Some((response.error_code, response.generation_id)),
        _ => None,
    };
    let first = join();
    assert_eq!(code(&first), None);
    assert!(fixture.broker.tick(NOW_MS + 100).is_empty());
    assert_eq!(code(&first), Some((0, 1)));
    let second = join();
    fixture.broker.close().unwrap();
    assert_eq!(
        code(&second),
        Some((ResponseError::CoordinatorNotAvailable.code(), -1))
    );
    assert_eq!(fixture.add(vec![0], 0), [ResponseError::NotCoordinator.code()]);
}
