//! What is asked.

mod admin;
mod compaction;
mod fetch_sessions;
mod groups;
mod migration;
mod missing;
mod quotas;

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use broker::log::{BatchBuilder, ProducerStamp};

use crate::client::Client;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn transactional(name: &str) -> TransactionalId {
    TransactionalId(text(name))
}

fn batch(count: usize, stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new();
    for index in 0..count {
        let key = format!("k{index}");
        builder
            .append(1_000 + index as i64, Some(key.as_bytes()), Some(b"value"), &[])
            .unwrap();
    }
    builder.finish(stamp).unwrap()
}

fn stamp(producer: &InitProducerIdResponse, base_sequence: i32, transactional: bool) -> ProducerStamp {
    ProducerStamp {
        producer_id: producer.producer_id.0,
        producer_epoch: producer.producer_epoch,
        base_sequence,
        transactional,
    }
}

fn produce(name: &str, records: Option<Bytes>) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(records);
    let topic = TopicProduceData::default()
        .with_name(topic(name))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(5_000)
        .with_topic_data(vec![topic])
}

fn fetch(name: &str, offset: i64, isolation_level: i8) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1_000_000);
    let topic = FetchTopic::default()
        .with_topic(topic(name))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_bytes(1_000_000)
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic])
}

fn list_offsets(name: &str, timestamp: i64, isolation_level: i8) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_timestamp(timestamp)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(topic(name))
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic])
}

fn create(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    CreateTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![topic])
}

fn init(id: Option<&str>) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(id.map(transactional))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

pub(crate) fn run(client: &mut Client) {
    topics(client);
    produces(client);
    reads(client);
    idempotence(client);
    transactions(client);
    classic_group(client);
    offsets(client);
    groups::run(client);
    admin::run(client);
    compaction::run(client);
    fetch_sessions::run(client);
    quotas::run(client);
    migration::run(client);
    missing::run(client);
}

fn topics(client: &mut Client) {
    // The configs of a topic that was created are many, and not what this is about.
    for (step, request) in [
        ("create", create("plain", 1, &[])),
        (
            "create compacted",
            create("compacted", 1, &[("cleanup.policy", "compact")]),
        ),
        (
            "create stamped",
            create("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]),
        ),
        ("create again", create("plain", 1, &[])),
        ("create without partitions", create("none", 0, &[])),
        ("create with a bad name", create("a b", 1, &[])),
        (
            "create with an unknown config",
            create("odd", 1, &[("no.such.config", "1")]),
        ),
        (
            "create with a bad value",
            create("odd", 1, &[("retention.ms", "soon")]),
        ),
    ] {
        client.call(step, 4, request);
    }
}

fn produces(client: &mut Client) {
    let plain = batch(2, ProducerStamp::NONE);
    for version in 3..=12 {
        client.call("produce", version, produce("plain", Some(plain.clone())));
    }
    let mut cases = vec![
        (
            "produce to an unknown topic",
            produce("unknown", Some(plain.clone())),
        ),
        (
            "produce twice in one",
            produce("plain", Some([plain.clone(), plain.clone()].concat().into())),
        ),
        (
            "produce with strange acks",
            produce("plain", Some(plain.clone())).with_acks(2),
        ),
        ("produce what is stamped", produce("stamped", Some(plain.clone()))),
        (
            "produce keys to be compacted",
            produce("compacted", Some(plain.clone())),
        ),
    ];
    let mut wrong = plain.to_vec();
    wrong[70] ^= 1;
    cases.push((
        "produce with a wrong checksum",
        produce("plain", Some(wrong.into())),
    ));
    let mut builder = BatchBuilder::new();
    builder.append(1, Some(b"k"), Some(b"v"), &[]).unwrap();
    builder.append(1, None, Some(b"v"), &[]).unwrap();
    let without_key = builder.finish(ProducerStamp::NONE);
    cases.push((
        "produce without a key to be compacted",
        produce("compacted", without_key),
    ));
    for (step, request) in cases {
        client.call(step, 9, request);
    }
}

fn reads(client: &mut Client) {
    for version in 4..=12 {
        client.call("fetch", version, fetch("plain", 18, 0));
    }
    for (step, offset) in [
        ("fetch at the end", 20),
        ("fetch behind the end", 21),
        ("fetch before the start", -1),
    ] {
        for isolation in [0, 1] {
            client.call(step, 12, fetch("plain", offset, isolation));
        }
    }
    client.call("fetch an unknown topic", 12, fetch("unknown", 0, 0));
    for version in 1..=10 {
        client.call("list latest", version, list_offsets("plain", LATEST, 0));
        client.call("list earliest", version, list_offsets("plain", EARLIEST, 0));
        client.call("list by time", version, list_offsets("plain", 1_001, 0));
        client.call("list by a time to come", version, list_offsets("plain", 5_000, 0));
        client.call(
            "list the largest timestamp",
            version,
            list_offsets("plain", MAX_TIMESTAMP, 0),
        );
    }
    client.call("list an unknown topic", 7, list_offsets("unknown", LATEST, 0));
    for offset in [5, 3, 100, -1] {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topics = DeleteRecordsTopic::default()
            .with_name(topic("plain"))
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(vec![topics]);
        client.call("delete records", 2, request);
    }
    client.call("fetch what was deleted", 12, fetch("plain", 0, 0));
}

fn idempotence(client: &mut Client) {
    client.ask(4, &create("idempotent", 1, &[]));
    let mut producer = client.ask(4, &init(None));
    while producer.error_code != 0 {
        // The broker has no block of producer ids yet.
        std::thread::sleep(std::time::Duration::from_millis(100));
        producer = client.ask(4, &init(None));
    }
    for (step, sequence, count) in [
        ("first batch", 0, 2),
        ("second batch", 2, 2),
        ("second batch again", 2, 2),
        ("a gap", 7, 1),
        ("part of an old batch", 2, 1),
        ("third batch", 4, 1),
        ("fourth batch", 5, 1),
        ("fifth batch", 6, 1),
        ("sixth batch", 7, 1),
        ("first batch again", 0, 2),
        ("second batch still again", 2, 2),
    ] {
        let records = batch(count, stamp(&producer, sequence, false));
        client.call(step, 9, produce("idempotent", Some(records)));
    }
    let newer = producer.clone().with_producer_epoch(1);
    client.call(
        "a newer epoch out of order",
        9,
        produce("idempotent", Some(batch(1, stamp(&newer, 3, false)))),
    );
    client.call(
        "a newer epoch",
        9,
        produce("idempotent", Some(batch(1, stamp(&newer, 0, false)))),
    );
    client.call(
        "the old epoch",
        9,
        produce("idempotent", Some(batch(1, stamp(&producer, 8, false)))),
    );
    client.call(
        "init with half an identity",
        4,
        init(None).with_producer_id(ProducerId(5)),
    );
}

fn add_partitions(id: &str, producer: &InitProducerIdResponse, name: &str) -> AddPartitionsToTxnRequest {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(topic(name))
        .with_partitions(vec![0]);
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional(id))
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![topic])
}

fn end(id: &str, producer: &InitProducerIdResponse, committed: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(transactional(id))
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_committed(committed)
}

fn in_transaction(id: &str, producer: &InitProducerIdResponse, sequence: i32) -> ProduceRequest {
    produce("transactional", Some(batch(1, stamp(producer, sequence, true))))
        .with_transactional_id(Some(transactional(id)))
}

/// Asks again while the coordinator is finding itself or finishing what it was told before.
fn init_patiently(client: &mut Client, step: &str, id: &str) -> InitProducerIdResponse {
    for _ in 0..100 {
        let key = FindCoordinatorRequest::default()
            .with_key_type(1)
            .with_coordinator_keys(vec![text(id)]);
        client.ask(4, &key);
        let response = client.ask(4, &init(Some(id)));
        if ![14, 15, 16, 51].contains(&response.error_code) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    client.call(step, 4, init(Some(id)))
}

/// The end of a transaction is answered before its markers are written.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}

fn transactions(client: &mut Client) {
    client.ask(4, &create("transactional", 1, &[]));
    let id = "one";
    let producer = init_patiently(client, "init transactions", id);
    client.call(
        "produce before the partition is added",
        9,
        in_transaction(id, &producer, 0),
    );
    client.call(
        "add partitions",
        0,
        add_partitions(id, &producer, "transactional"),
    );
    client.call(
        "add partitions again",
        3,
        add_partitions(id, &producer, "transactional"),
    );
    client.call(
        "add an unknown topic",
        3,
        add_partitions(id, &producer, "unknown"),
    );
    client.call("produce in a transaction", 9, in_transaction(id, &producer, 0));
    client.call("fetch uncommitted", 12, fetch("transactional", 0, 0));
    client.call("fetch committed", 12, fetch("transactional", 0, 1));
    client.call("list committed", 7, list_offsets("transactional", LATEST, 1));
    client.call("commit", 1, end(id, &producer, true));
    settle();
    client.call("commit again", 1, end(id, &producer, true));
    client.call("abort what was committed", 1, end(id, &producer, false));
    client.call("fetch what was committed", 12, fetch("transactional", 0, 1));
    client.call(
        "add for an abort",
        3,
        add_partitions(id, &producer, "transactional"),
    );
    client.call("produce for an abort", 9, in_transaction(id, &producer, 1));
    client.call("abort", 3, end(id, &producer, false));
    settle();
    client.call("fetch with what was aborted", 12, fetch("transactional", 0, 1));
    client.call("fetch without isolation", 12, fetch("transactional", 0, 0));
    let newer = client.call("init again", 4, init(Some(id)));
    client.call(
        "add by the fenced",
        3,
        add_partitions(id, &producer, "transactional"),
    );
    client.call(
        "add by the fenced, old version",
        1,
        add_partitions(id, &producer, "transactional"),
    );
    client.call("end by the fenced", 3, end(id, &producer, true));
    client.call("end by the fenced, old version", 1, end(id, &producer, true));
    client.call("end what never began", 3, end(id, &newer, true));
    client.call(
        "init with an endless timeout",
        4,
        init(Some("two")).with_transaction_timeout_ms(i32::MAX),
    );
    client.call("init without a name", 4, init(Some("")));
    client.call("end of an unknown transaction", 3, end("never", &newer, true));
    let mut second = newer;
    client.call("version 2: produce adds", 12, in_transaction(id, &second, 0));
    let ended = client.call("version 2: commit", 5, end(id, &second, true));
    settle();
    client.call("version 2: commit again", 5, end(id, &second, true));
    second.producer_id = ended.producer_id;
    second.producer_epoch = ended.producer_epoch;
    client.call("version 2: next", 12, in_transaction(id, &second, 0));
    client.call("version 2: abort", 5, end(id, &second, false));
    settle();
    client.call("version 2: fetch", 12, fetch("transactional", 0, 1));
}

fn join(member: &str, instance: Option<&str>, metadata: &'static [u8]) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(metadata));
    JoinGroupRequest::default()
        .with_group_id(group("classic"))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn sync(member: &StrBytes, generation: i32) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(member.clone())
        .with_assignment(Bytes::from_static(b"yours"));
    SyncGroupRequest::default()
        .with_group_id(group("classic"))
        .with_generation_id(generation)
        .with_member_id(member.clone())
        .with_assignments(vec![assignment])
}

fn heartbeat(member: &StrBytes, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group("classic"))
        .with_generation_id(generation)
        .with_member_id(member.clone())
}

fn classic_group(client: &mut Client) {
    for _ in 0..100 {
        let key = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("classic")]);
        let found = client.ask(4, &key);
        let probe = client.ask(4, &heartbeat(&text("nobody"), 1));
        if found.coordinators[0].error_code == 0 && ![14, 15, 16].contains(&probe.error_code) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    client.call("heartbeat of nobody", 4, heartbeat(&text("nobody"), 1));
    let told = client.call("join without an id", 5, join("", None, b"m"));
    client.call("join of a stranger", 5, join("stranger", None, b"m"));
    client.call(
        "join with a short session",
        5,
        join("", None, b"m").with_session_timeout_ms(1),
    );
    client.call(
        "join without a group",
        5,
        join("", None, b"m").with_group_id(group("")),
    );
    let member = told.member_id.clone();
    client.call("join", 7, join(&member, None, b"m"));
    client.call(
        "heartbeat while assignments are awaited",
        4,
        heartbeat(&member, 1),
    );
    client.call("sync of another generation", 5, sync(&member, 5));
    client.call("sync", 3, sync(&member, 1));
    client.call("sync again", 3, sync(&member, 1));
    client.call("heartbeat", 4, heartbeat(&member, 1));
    client.call("heartbeat of another generation", 4, heartbeat(&member, 2));
    client.call("join again", 7, join(&member, None, b"m"));
    client.call(
        "join with another protocol type",
        7,
        join(&member, None, b"m").with_protocol_type(text("connect")),
    );
    let leave = |member: &StrBytes| {
        let identity = MemberIdentity::default().with_member_id(member.clone());
        LeaveGroupRequest::default()
            .with_group_id(group("classic"))
            .with_members(vec![identity])
    };
    client.call("leave", 4, leave(&member));
    client.call("leave again", 4, leave(&member));
}

fn offsets(client: &mut Client) {
    let commit = |generation: i32, member: &str, metadata: &str| {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(7)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text(metadata)));
        let topics = OffsetCommitRequestTopic::default()
            .with_name(topic("plain"))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group("simple"))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member))
            .with_topics(vec![topics])
    };
    let fetch = |name: &str| {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(topic("plain"))
            .with_partition_indexes(vec![0, 1]);
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(group(name))
            .with_topics(Some(vec![topics]));
        OffsetFetchRequest::default().with_groups(vec![wanted])
    };
    for version in 8..=9 {
        client.call("fetch offsets of an unknown group", version, fetch("never"));
    }
    for version in 2..=9 {
        client.call(
            "commit of a member that is none",
            version,
            commit(3, "member", ""),
        );
    }
    client.call("commit without a member", 8, commit(-1, "", "note"));
    client.call(
        "commit with too long a note",
        8,
        commit(-1, "", &"x".repeat(5_000)),
    );
    client.call("fetch offsets", 8, fetch("simple"));
    let delete = |name: &str| DeleteGroupsRequest::default().with_groups_names(vec![group(name)]);
    client.call("delete a group", 2, delete("simple"));
    client.call("delete it again", 2, delete("simple"));
}
