//! Commits and fetches of offsets with topics named by id, beside those by name.

use bytes::BytesMut;
use kafka_protocol::protocol::{Decodable, Encodable};
use uuid::Uuid;

use super::*;
use crate::protocol::offsets_by_id::{
    CommittedPartition, CommittedTopic, FetchedGroup, FetchedTopic, OffsetCommitByIdRequest,
    OffsetCommitByIdResponse, OffsetFetchByIdRequest, OffsetFetchByIdResponse,
};

const VERSION: i16 = 10;

fn commit(fixture: &Fixture, ids: &[Uuid], offset: i64) -> Vec<(Uuid, i16)> {
    let topic = |id: &Uuid| CommittedTopic {
        topic_id: *id,
        partitions: vec![CommittedPartition {
            committed_offset: offset,
            committed_metadata: Some("m".to_owned()),
            ..CommittedPartition::default()
        }],
    };
    let request = OffsetCommitByIdRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: ids.iter().map(topic).collect(),
        ..OffsetCommitByIdRequest::default()
    };
    let response: OffsetCommitByIdResponse = fixture.ask(VERSION, request);
    let results = response.topics.into_iter();
    results
        .map(|topic| (topic.topic_id, topic.partitions[0].error_code))
        .collect()
}

/// What the group has committed by id: of these topics, or of all.
fn fetch(fixture: &Fixture, ids: Option<&[Uuid]>) -> Vec<(Uuid, i64, i16)> {
    let topic = |id: &Uuid| FetchedTopic {
        topic_id: *id,
        partition_indexes: vec![0],
    };
    let group = FetchedGroup {
        group_id: "g".to_owned(),
        member_epoch: -1,
        topics: ids.map(|ids| ids.iter().map(topic).collect()),
        ..FetchedGroup::default()
    };
    let request = OffsetFetchByIdRequest {
        groups: vec![group],
        require_stable: true,
    };
    let mut response: OffsetFetchByIdResponse = fixture.ask(VERSION, request);
    assert_eq!((response.groups.len(), response.groups[0].error_code), (1, 0));
    let topics = response.groups.remove(0).topics.into_iter();
    let first = |topic: crate::protocol::offsets_by_id::FetchedTopicResult| {
        (
            topic.topic_id,
            topic.partitions[0].committed_offset,
            topic.partitions[0].error_code,
        )
    };
    topics.map(first).collect()
}

#[test]
fn offsets_by_id_are_those_by_name_until_the_topic_is_another() {
    let fixture = Fixture::new();
    let id = fixture.broker.topics().topic("out").unwrap().id();
    let other = Uuid::from_u128(7);
    let unknown = ResponseError::UnknownTopicId.code();

    assert_eq!(commit(&fixture, &[other, id], 5), [(id, 0), (other, unknown)]);
    assert_eq!(fixture.committed(false), (5, 0));
    assert_eq!(
        fetch(&fixture, Some(&[id, other])),
        [(id, 5, 0), (other, -1, unknown)]
    );
    assert_eq!(fetch(&fixture, None), [(id, 5, 0)]);

    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("out")]);
    let deleted: DeleteTopicsResponse = fixture.ask(5, delete);
    assert_eq!(deleted.responses[0].error_code, 0);
    assert_eq!(fetch(&fixture, None), []);
    let again = CreatableTopic::default()
        .with_name(name("out"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let _: CreateTopicsResponse = fixture.ask(7, CreateTopicsRequest::default().with_topics(vec![again]));
    let new_id = fixture.broker.topics().topic("out").unwrap().id();
    assert_ne!(new_id, id);
    assert_eq!(
        fetch(&fixture, Some(&[new_id, id])),
        [(new_id, -1, 0), (id, -1, unknown)]
    );
    assert_eq!(commit(&fixture, &[id], 9), [(id, unknown)]);
    assert_eq!(fixture.committed(false), (-1, 0));
}

/// A name of 15 bytes takes as many bytes with its length as an id: so the bytes of version 9 are bytes of version 10.
#[test]
fn messages_by_id_have_the_bytes_of_those_by_name_but_for_the_id() {
    let topic = "fifteen-letters";
    let mut id = [16; 16];
    id[1..].copy_from_slice(topic.as_bytes());

    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(3)
        .with_committed_offset(4)
        .with_committed_metadata(Some(text("m")));
    let by_name = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text("member"))
        .with_group_instance_id(Some(text("static")))
        .with_topics(vec![
            OffsetCommitRequestTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition]),
        ]);
    let mut bytes = BytesMut::new();
    by_name.encode(&mut bytes, 9).unwrap();
    let bytes = bytes.freeze();
    let by_id = OffsetCommitByIdRequest::decode(&mut bytes.clone(), VERSION).unwrap();
    assert_eq!(
        (by_id.topics[0].topic_id, by_id.member_id.as_str()),
        (Uuid::from_bytes(id), "member")
    );
    let mut again = BytesMut::new();
    by_id.encode(&mut again, VERSION).unwrap();
    assert_eq!(again, bytes);

    let asked = OffsetFetchRequestTopics::default()
        .with_name(name(topic))
        .with_partition_indexes(vec![1, 2]);
    let by_name = OffsetFetchRequest::default()
        .with_require_stable(true)
        .with_groups(vec![
            OffsetFetchRequestGroup::default()
                .with_group_id(group())
                .with_member_id(Some(text("member")))
                .with_member_epoch(6)
                .with_topics(Some(vec![asked])),
        ]);
    let mut bytes = BytesMut::new();
    by_name.encode(&mut bytes, 9).unwrap();
    let bytes = bytes.freeze();
    let by_id = OffsetFetchByIdRequest::decode(&mut bytes.clone(), VERSION).unwrap();
    assert_eq!(
        by_id.groups[0].topics.as_ref().unwrap()[0].partition_indexes,
        [1, 2]
    );
    let mut again = BytesMut::new();
    by_id.encode(&mut again, VERSION).unwrap();
    assert_eq!(again, bytes);
}
