//! What members and onlookers of groups may see and make.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;

use super::access::AUTHORIZED;
use super::*;
use crate::protocol::streams_describe::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse};
use crate::protocol::streams_heartbeat::{
    StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, Subtopology, TopicInfo, Topology,
};

const READ: i8 = 3;
const CREATE: i8 = 5;
const DESCRIBE: i8 = 8;
const GROUP_RESOURCE: i8 = 3;
const CLUSTER_RESOURCE: i8 = 4;
const LITERAL: i8 = 3;

/// Topics `orders` and `secret`, of which bob may see the first; bob may read from the group `g`.
fn fixture(settings: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::new(&[&AUTHORIZED, settings].concat());
    fixture.create(topic("orders"));
    fixture.create(topic("secret"));
    fixture.allow("User:bob", DESCRIBE, TOPIC, "orders", LITERAL);
    fixture.allow("User:bob", READ, GROUP_RESOURCE, "g", LITERAL);
    fixture
}

fn group() -> GroupId {
    GroupId(text("g"))
}

fn joining() -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(60_000)
        .with_topic_partitions(Some(Vec::new()))
}

/// How many topics the member of this epoch is given, and its next epoch.
fn beat(fixture: &Fixture, epoch: i32) -> (i32, usize) {
    let request = if epoch == 0 {
        joining().with_subscribed_topic_regex(Some(text(".*")))
    } else {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(-1)
            .with_member_epoch(epoch)
    };
    let response: ConsumerGroupHeartbeatResponse = fixture.ask(1, request);
    assert_eq!(response.error_code, 0);
    let given = response
        .assignment
        .map_or(0, |assigned| assigned.topic_partitions.len());
    (response.member_epoch, given)
}

#[test]
fn an_expression_matches_what_the_member_may_see() {
    let mut fixture = fixture(&[]);
    assert_eq!(beat(fixture.by("bob"), 0), (1, 1));
    fixture
        .by("admin")
        .allow("User:bob", DESCRIBE, TOPIC, "secret", LITERAL);
    assert_eq!(
        beat(fixture.by("bob"), 1),
        (2, 2),
        "a new rule is seen at the next heartbeat"
    );
}

#[test]
fn a_group_with_topics_that_one_may_not_see_is_not_described() {
    let mut fixture = fixture(&[]);
    beat(fixture.by("bob"), 0);
    fixture
        .by("admin")
        .allow("User:eve", DESCRIBE, GROUP_RESOURCE, "g", LITERAL);
    let described = |fixture: &Fixture| {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
        let response: ConsumerGroupDescribeResponse = fixture.ask(1, request);
        (response.groups[0].error_code, response.groups[0].members.len())
    };
    assert_eq!(described(fixture.by("bob")), (0, 1));
    assert_eq!(described(fixture.by("eve")), (29, 0));
}

#[test]
fn an_assignor_that_is_not_offered_is_refused() {
    let mut fixture = fixture(&[("group.consumer.assignors", "range")]);
    let code = |fixture: &Fixture, assignor: &str| {
        let request = joining()
            .with_subscribed_topic_names(Some(vec![name("orders")]))
            .with_server_assignor(Some(text(assignor)));
        let response: ConsumerGroupHeartbeatResponse = fixture.ask(1, request);
        response.error_code
    };
    fixture.by("bob");
    assert_eq!(code(&fixture, "uniform"), 112);
    assert_eq!(code(&fixture, "range"), 0);
}

fn streams_beat(source: &str) -> StreamsGroupHeartbeatRequest {
    let part = Subtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec![source.to_owned()],
        state_changelog_topics: vec![TopicInfo {
            name: "g-store-changelog".to_owned(),
            ..TopicInfo::default()
        }],
        ..Subtopology::default()
    };
    StreamsGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: "m".to_owned(),
        rebalance_timeout_ms: 60_000,
        process_id: Some("p".to_owned()),
        topology: Some(Topology {
            epoch: 0,
            subtopologies: vec![part],
        }),
        ..StreamsGroupHeartbeatRequest::default()
    }
}

#[test]
fn a_streams_group_is_told_what_it_may_not_make_and_others_do_not_see_it() {
    let mut fixture = fixture(&[]);
    fixture.allow("User:bob", DESCRIBE, TOPIC, "g-store-changelog", LITERAL);
    fixture.allow("User:eve", DESCRIBE, GROUP_RESOURCE, "g", LITERAL);
    let code = |fixture: &Fixture, source: &str| {
        let response: StreamsGroupHeartbeatResponse = fixture.ask(0, streams_beat(source));
        response.error_code
    };
    fixture.by("bob");
    assert_eq!(code(&fixture, "secret"), 29);
    assert_eq!(code(&fixture, "__consumer_offsets"), 130);
    assert_eq!(code(&fixture, "a b"), 130);

    let joined: StreamsGroupHeartbeatResponse = fixture.ask(0, streams_beat("orders"));
    assert_eq!(joined.error_code, 0);
    let status = &joined.status.unwrap()[0];
    assert_eq!(status.status_code, 3);
    let told = "; Unauthorized to CREATE on topics g-store-changelog.";
    assert!(status.status_detail.ends_with(told), "{}", status.status_detail);
    let made = |fixture: &Fixture| fixture.broker.topics().topic("g-store-changelog").is_ok();
    assert!(!made(&fixture));

    fixture
        .by("admin")
        .allow("User:bob", CREATE, CLUSTER_RESOURCE, "kafka-cluster", LITERAL);
    let again: StreamsGroupHeartbeatResponse = fixture.by("bob").ask(
        0,
        StreamsGroupHeartbeatRequest {
            member_epoch: joined.member_epoch,
            rebalance_timeout_ms: -1,
            topology: None,
            ..streams_beat("orders")
        },
    );
    assert_eq!(again.error_code, 0);
    assert!(made(&fixture));

    let request = || StreamsGroupDescribeRequest {
        group_ids: vec!["g".to_owned()],
        ..StreamsGroupDescribeRequest::default()
    };
    // The parts of a topology are only told once its topics are there.
    let ready: StreamsGroupHeartbeatResponse = fixture.ask(
        0,
        StreamsGroupHeartbeatRequest {
            member_epoch: again.member_epoch,
            rebalance_timeout_ms: -1,
            topology: None,
            ..streams_beat("orders")
        },
    );
    assert_eq!((ready.error_code, ready.status), (0, None));
    let seen: StreamsGroupDescribeResponse = fixture.ask(0, request());
    assert_eq!((seen.groups[0].error_code, seen.groups[0].members.len()), (0, 1));
    let hidden: StreamsGroupDescribeResponse = fixture.by("eve").ask(0, request());
    let group = &hidden.groups[0];
    assert_eq!((group.error_code, group.members.len()), (29, 0));
    assert_eq!(group.topology, None);
}

#[test]
fn an_error_of_the_oldest_offset_fetch_is_told_of_each_partition() {
    let mut fixture = fixture(&[]);
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name("orders"))
        .with_partition_indexes(vec![0, 2]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group())
        .with_topics(Some(vec![topic]));
    let response: OffsetFetchResponse = fixture.by("eve").ask(1, request.clone());
    let codes: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|one| one.error_code)
        .collect();
    assert_eq!(codes, [30, 30]);
    let response: OffsetFetchResponse = fixture.ask(2, request);
    assert_eq!((response.error_code, response.topics.len()), (30, 0));
}

#[test]
fn only_brokers_add_partitions_to_several_transactions() {
    let mut fixture = fixture(&[]);
    let request = || {
        let transaction =
            AddPartitionsToTxnTransaction::default().with_transactional_id(TransactionalId(text("p")));
        AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
    };
    let refused: AddPartitionsToTxnResponse = fixture.by("bob").ask(4, request());
    assert_eq!(
        (refused.error_code, refused.results_by_transaction.len()),
        (31, 0)
    );
    let served: AddPartitionsToTxnResponse = fixture.by("admin").ask(4, request());
    assert_eq!((served.error_code, served.results_by_transaction.len()), (0, 1));
}
