//! Leader epochs: what a client is told whose metadata is of an earlier start of the broker.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::*;

const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 75;

impl Fixture {
    fn leader_epoch(&self) -> i32 {
        let topic = MetadataRequestTopic::default().with_name(Some(name("out")));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let response: MetadataResponse = self.ask(12, request);
        response.topics[0].partitions[0].leader_epoch
    }

    fn fetch_error(&self, current_leader_epoch: i32) -> i16 {
        let partition = FetchPartition::default()
            .with_current_leader_epoch(current_leader_epoch)
            .with_partition_max_bytes(1_000);
        let topic = FetchTopic::default()
            .with_topic(name("out"))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_topics(vec![topic])
            .with_max_bytes(1_000);
        let response: FetchResponse = self.ask(12, request);
        response.responses[0].partitions[0].error_code
    }

    fn end_of(&self, leader_epoch: i32, current_leader_epoch: i32) -> (i16, i32, i64) {
        let partition = OffsetForLeaderPartition::default()
            .with_leader_epoch(leader_epoch)
            .with_current_leader_epoch(current_leader_epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name("out"))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let response: OffsetForLeaderEpochResponse = self.ask(4, request);
        let partition = &response.topics[0].partitions[0];
        (partition.error_code, partition.leader_epoch, partition.end_offset)
    }

    fn earliest_and_latest_epoch(&self) -> [i32; 2] {
        [-2, -1].map(|timestamp| {
            let partition = ListOffsetsPartition::default()
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default()
                .with_name(name("out"))
                .with_partitions(vec![partition]);
            let response: ListOffsetsResponse =
                self.ask(7, ListOffsetsRequest::default().with_topics(vec![topic]));
            response.topics[0].partitions[0].leader_epoch
        })
    }
}

#[test]
fn a_client_that_knows_an_earlier_start_learns_of_the_new_one() {
    let fixture = Fixture::new();
    assert_eq!(fixture.add(vec![0], 0), [0]);
    assert_eq!(fixture.produce(11, 0, 0, 0), 0);
    assert_eq!(fixture.leader_epoch(), 0);
    assert_eq!(
        [fixture.fetch_error(0), fixture.fetch_error(1)],
        [0, UNKNOWN_LEADER_EPOCH]
    );

    let fixture = fixture.restarted();
    assert_eq!(fixture.leader_epoch(), 1);
    assert_eq!(fixture.fetch_error(0), FENCED_LEADER_EPOCH);
    assert_eq!([fixture.fetch_error(1), fixture.fetch_error(-1)], [0, 0]);
    let (_, end) = fixture.stable_and_end(0);
    assert_eq!(fixture.earliest_and_latest_epoch(), [0, 1]);
    assert_eq!(fixture.end_of(0, 0).0, FENCED_LEADER_EPOCH);
    assert_eq!(fixture.end_of(0, 1), (0, 0, end));
    assert_eq!(fixture.end_of(2, 1), (0, -1, -1));
}
