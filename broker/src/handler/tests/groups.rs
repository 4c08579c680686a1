//! Groups whose members send heartbeats, where the coordinator meets topics and the log.

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, CreatePartitionsRequest, CreatePartitionsResponse, OffsetDeleteRequest,
    OffsetDeleteResponse,
};

use super::*;
use crate::protocol::streams_describe::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse};
use crate::protocol::streams_heartbeat::{
    StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, Subtopology, TopicInfo, Topology,
};

fn heartbeat(epoch: i32) -> ConsumerGroupHeartbeatRequest {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("m"))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1);
    if epoch > 0 {
        return request;
    }
    request
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![name("out")]))
        .with_topic_partitions(Some(Vec::new()))
}

fn given(response: &ConsumerGroupHeartbeatResponse) -> Vec<i32> {
    let topics = response
        .assignment
        .iter()
        .flat_map(|assignment| &assignment.topic_partitions);
    topics.flat_map(|topic| topic.partitions.clone()).collect()
}

fn described(fixture: &Fixture) -> (String, i32, usize) {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let response: ConsumerGroupDescribeResponse = fixture.ask(1, request);
    let group = &response.groups[0];
    (
        group.group_state.to_string(),
        group.group_epoch,
        group.members.len(),
    )
}

#[test]
fn a_consumer_group_follows_its_topics_and_survives_a_restart() {
    let fixture = Fixture::new();
    let joined: ConsumerGroupHeartbeatResponse = fixture.ask(1, heartbeat(0));
    assert_eq!((joined.member_epoch, given(&joined)), (1, vec![0, 1]));

    let more = CreatePartitionsTopic::default()
        .with_name(name("out"))
        .with_count(3)
        .with_assignments(None);
    let created: CreatePartitionsResponse =
        fixture.ask(3, CreatePartitionsRequest::default().with_topics(vec![more]));
    assert_eq!(created.results[0].error_code, 0);
    let grown: ConsumerGroupHeartbeatResponse = fixture.ask(1, heartbeat(1));
    assert_eq!((grown.member_epoch, given(&grown)), (2, vec![0, 1, 2]));

    fixture.broker.close().unwrap();
    let fixture = fixture.restarted();
    assert_eq!(described(&fixture), ("Stable".to_owned(), 2, 1));
    let owned = TopicPartitions::default()
        .with_topic_id(fixture.broker.topics().topic("out").unwrap().id())
        .with_partitions(vec![0, 1, 2]);
    let beat: ConsumerGroupHeartbeatResponse =
        fixture.ask(1, heartbeat(2).with_topic_partitions(Some(vec![owned])));
    assert_eq!(
        (beat.error_code, beat.member_epoch, beat.assignment),
        (0, 2, None)
    );
    fixture.broker.tick(NOW_MS + 45_000);
    assert_eq!(described(&fixture), ("Empty".to_owned(), 3, 0));
}

#[test]
fn offsets_of_topics_that_are_not_there_cannot_be_deleted() {
    let fixture = Fixture::new();
    let topic = |topic: &str| {
        OffsetDeleteRequestTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![OffsetDeleteRequestPartition::default()])
    };
    let request = |topics| {
        OffsetDeleteRequest::default()
            .with_group_id(group())
            .with_topics(topics)
    };
    let response: OffsetDeleteResponse = fixture.ask(0, request(vec![topic("nope")]));
    assert_eq!(response.topics[0].partitions[0].error_code, 3);
    let response: OffsetDeleteResponse = fixture.ask(0, request(vec![topic("nope"), topic("out")]));
    assert_eq!(response.error_code, ResponseError::GroupIdNotFound.code());
}

#[test]
fn the_internal_topics_of_a_streams_group_are_made_and_then_its_tasks_given() {
    let fixture = Fixture::new();
    let changelog = TopicInfo {
        name: "app-store-changelog".to_owned(),
        topic_configs: vec![crate::protocol::streams_heartbeat::KeyValue {
            key: "cleanup.policy".to_owned(),
            value: "compact".to_owned(),
        }],
        ..TopicInfo::default()
    };
    let part = Subtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec!["out".to_owned()],
        state_changelog_topics: vec![changelog],
        ..Subtopology::default()
    };
    let beat = |epoch: i32| StreamsGroupHeartbeatRequest {
        group_id: "app".to_owned(),
        member_id: "m".to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: if epoch == 0 { 60_000 } else { -1 },
        process_id: Some("p".to_owned()),
        topology: (epoch == 0).then(|| Topology {
            epoch: 0,
            subtopologies: vec![part.clone()],
        }),
        ..StreamsGroupHeartbeatRequest::default()
    };
    let joined: StreamsGroupHeartbeatResponse = fixture.ask(0, beat(0));
    assert_eq!(joined.status.unwrap()[0].status_code, 3);
    let made = fixture.broker.topics().topic("app-store-changelog").unwrap();
    assert_eq!(made.partitions().len(), 2);
    assert_eq!(made.configs()["cleanup.policy"], "compact");

    let ready: StreamsGroupHeartbeatResponse = fixture.ask(0, beat(1));
    assert_eq!((ready.status, ready.member_epoch), (None, 2));
    assert_eq!(ready.active_tasks.unwrap()[0].partitions, [0, 1]);
    let request = StreamsGroupDescribeRequest {
        group_ids: vec!["app".to_owned(), "g".to_owned()],
        ..StreamsGroupDescribeRequest::default()
    };
    let response: StreamsGroupDescribeResponse = fixture.ask(0, request);
    assert_eq!(response.groups[0].group_state, "Stable");
    assert_eq!(
        response.groups[1].error_code,
        ResponseError::GroupIdNotFound.code()
    );
}
