//! Messages against bytes that another implementation made from Kafka's own message definitions.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::streams_describe::*;
use super::streams_heartbeat::*;

fn bytes(hex: &str) -> Bytes {
    let digit = |index: usize| u8::from_str_radix(&hex[index..index + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn check<T: Decodable + Encodable + PartialEq + std::fmt::Debug>(message: &T, hex: &str) {
    let mut encoded = BytesMut::new();
    message.encode(&mut encoded, 0).unwrap();
    assert_eq!(encoded.freeze(), bytes(hex));
    assert_eq!(message.compute_size(0).unwrap(), hex.len() / 2);
    let mut whole = bytes(hex);
    assert_eq!(&T::decode(&mut whole, 0).unwrap(), message);
    assert!(whole.is_empty());
    for length in 0..hex.len() / 2 {
        assert!(
            T::decode(&mut bytes(hex).slice(..length), 0).is_err(),
            "{length} bytes"
        );
    }
    assert!(T::decode(&mut bytes(hex), 1).is_err());
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_heartbeat_has_kafkas_bytes() {
    let topic = TopicInfo {
        name: text("c"),
        partitions: 0,
        replication_factor: 1,
        topic_configs: vec![KeyValue {
            key: text("k"),
            value: text("v"),
        }],
    };
    let part = Subtopology {
        subtopology_id: text("0"),
        source_topics: vec![text("t")],
        state_changelog_topics: vec![topic],
        repartition_sink_topics: vec![text("q")],
        copartition_groups: vec![CopartitionGroup {
            source_topics: vec![0],
            ..CopartitionGroup::default()
        }],
        ..Subtopology::default()
    };
    let request = StreamsGroupHeartbeatRequest {
        group_id: text("g"),
        member_id: text("m"),
        endpoint_information_epoch: -1,
        rack_id: Some(text("r")),
        rebalance_timeout_ms: 300,
        topology: Some(Topology {
            epoch: 1,
            subtopologies: vec![part],
        }),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some(text("p")),
        user_endpoint: Some(Endpoint {
            host: text("h"),
            port: u16::MAX,
        }),
        client_tags: Some(vec![KeyValue {
            key: text("a"),
            value: text("b"),
        }]),
        shutdown_application: true,
        ..StreamsGroupHeartbeatRequest::default()
    };
    check(
        &request,
        "0267026d00000000ffffffff0002720000012c01000000010202300202740102026300000000000102026b02760000020271010202000001010000000101010270010268ffff0002026102620000000100",
    );
}

#[test]
fn the_answer_to_a_heartbeat_has_kafkas_bytes() {
    let response = StreamsGroupHeartbeatResponse {
        member_id: text("m"),
        member_epoch: 2,
        heartbeat_interval_ms: 5000,
        status: Some(vec![Status {
            status_code: 3,
            status_detail: text("d"),
        }]),
        active_tasks: Some(vec![TaskIds {
            subtopology_id: text("0"),
            partitions: vec![1],
        }]),
        standby_tasks: Some(Vec::new()),
        endpoint_information_epoch: 4,
        partitions_by_user_endpoint: Some(vec![EndpointToPartitions {
            user_endpoint: Endpoint {
                host: text("h"),
                port: 1,
            },
            active_partitions: vec![TopicPartition {
                topic: text("t"),
                partitions: vec![1],
            }],
            ..EndpointToPartitions::default()
        }]),
        ..StreamsGroupHeartbeatResponse::default()
    };
    check(
        &response,
        "00000000000000026d000000020000138800000000000000000203026400020230020000000100010000000004020268000100020274020000000100010000",
    );
}

#[test]
fn a_description_has_kafkas_bytes() {
    let member = Member {
        member_id: text("m"),
        member_epoch: 2,
        client_id: text("c"),
        client_host: text("/h"),
        topology_epoch: 1,
        process_id: text("p"),
        assignment: DescribedAssignment {
            active_tasks: vec![TaskIds {
                subtopology_id: text("0"),
                partitions: vec![0],
            }],
            ..DescribedAssignment::default()
        },
        ..Member::default()
    };
    let group = DescribedGroup {
        group_id: text("g"),
        group_state: text("Stable"),
        group_epoch: 2,
        assignment_epoch: 2,
        topology: Some(DescribedTopology {
            epoch: 1,
            subtopologies: Some(vec![DescribedSubtopology {
                subtopology_id: text("0"),
                source_topics: vec![text("t")],
                ..DescribedSubtopology::default()
            }]),
        }),
        members: vec![member],
        authorized_operations: i32::MIN,
        ..DescribedGroup::default()
    };
    let response = StreamsGroupDescribeResponse {
        groups: vec![group],
        ..StreamsGroupDescribeResponse::default()
    };
    check(
        &response,
        "0000000002000000026707537461626c6500000002000000020100000001020230020274010101000002026d0000000200000263032f68000000010270ff010101020230020000000000010100010101000000800000000000",
    );
}
