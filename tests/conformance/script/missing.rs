//! What is not there.

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use super::*;

const GROUP: &str = "of-nothing";

pub(super) fn run(client: &mut Client) {
    client.ask(4, &create("present", 1, &[]));
    a_transaction_without_a_name(client);
    offsets_of_what_is_missing(client);
}

fn a_transaction_without_a_name(client: &mut Client) {
    let producer = init_patiently(client, "init a named transaction", "named");
    for version in [9, 12] {
        client.call(
            "produce without the name of the transaction",
            version,
            produce("present", Some(batch(1, stamp(&producer, 0, true)))),
        );
    }
}

fn offsets_of_what_is_missing(client: &mut Client) {
    let commit = |name: &str, index: i32| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(7)
            .with_committed_leader_epoch(-1);
        let topics = OffsetCommitRequestTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group(GROUP))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topics])
    };
    client.call("commit to a missing topic", 8, commit("absent", 0));
    client.call("commit to a missing partition", 8, commit("present", 9));
    client.call(
        "a group that committed nothing",
        5,
        DescribeGroupsRequest::default().with_groups(vec![group(GROUP)]),
    );
    let producer = init_patiently(client, "init a transaction for offsets", "offsets");
    let commit = |name: &str, index: i32| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(7);
        let topics = TxnOffsetCommitRequestTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional("offsets"))
            .with_group_id(group(GROUP))
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_generation_id(-1)
            .with_topics(vec![topics])
    };
    for version in [3, 5] {
        client.call(
            "commit to a missing topic in a transaction",
            version,
            commit("absent", 0),
        );
        client.call(
            "commit to a missing partition in a transaction",
            version,
            commit("present", 9),
        );
    }
    client.call(
        "end of a transaction without anything",
        3,
        end("offsets", &producer, true),
    );
}
