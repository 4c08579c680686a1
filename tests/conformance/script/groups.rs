//! The consumer protocol of KIP-848, and what is told of groups of both protocols.

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use uuid::Uuid;

use super::*;

const NAME: &str = "modern";

fn id(number: u128) -> String {
    Uuid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0000 + number).to_string()
}

fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(NAME))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
}

fn joining(member: &str) -> ConsumerGroupHeartbeatRequest {
    beat(member, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![topic("shared")]))
        .with_topic_partitions(Some(vec![]))
}

fn owning(id: Uuid, partitions: &[i32]) -> Option<Vec<TopicPartitions>> {
    let owned = TopicPartitions::default()
        .with_topic_id(id)
        .with_partitions(partitions.to_vec());
    Some(vec![owned])
}

pub(super) fn run(client: &mut Client) {
    client.ask(4, &create("shared", 2, &[]));
    one_member(client);
    two_members(client);
    static_members(client);
    offsets_of_members(client);
    descriptions(client);
    endings(client);
}

fn one_member(client: &mut Client) {
    let (first, stranger) = (id(1), id(9));
    client.call(
        "heartbeat without a group",
        1,
        joining(&first).with_group_id(group("")),
    );
    client.call("join without a member id", 1, joining(""));
    client.call(
        "join without a rebalance timeout",
        1,
        joining(&first).with_rebalance_timeout_ms(-1),
    );
    client.call(
        "join without topics",
        1,
        joining(&first).with_subscribed_topic_names(None),
    );
    client.call(
        "join with partitions",
        1,
        joining(&first).with_topic_partitions(owning(Uuid::from_u128(5), &[0])),
    );
    client.call(
        "join with an unknown assignor",
        1,
        joining(&first).with_server_assignor(Some(text("nope"))),
    );
    client.call(
        "join with a broken expression",
        1,
        joining(&first).with_subscribed_topic_regex(Some(text("["))),
    );
    client.call("heartbeat of a stranger", 1, beat(&stranger, 3));
    client.call("leave of a stranger", 1, beat(&stranger, -1));
    client.call("an epoch that is none", 1, beat(&first, -7));
    let joined = client.call("join a modern group", 1, joining(&first));
    let topic_id = joined.assignment.unwrap().topic_partitions[0].topic_id;
    client.call("heartbeat of a member", 1, beat(&first, 1));
    client.call(
        "a member takes its partitions",
        1,
        beat(&first, 1).with_topic_partitions(owning(topic_id, &[0, 1])),
    );
    client.call("a later epoch than there is", 1, beat(&first, 5));
    client.call("a member that asks for all again", 1, joining(&first));
}

fn two_members(client: &mut Client) {
    let (first, second) = (id(1), id(2));
    client.call("a second member", 1, joining(&second));
    let told = client.call("the first hears of it", 1, beat(&first, 1));
    let topic_id = told
        .assignment
        .map_or(Uuid::nil(), |assigned| assigned.topic_partitions[0].topic_id);
    client.call("the second waits", 1, beat(&second, 2));
    client.call(
        "the first gives one up",
        1,
        beat(&first, 1).with_topic_partitions(owning(topic_id, &[0])),
    );
    client.call("the second gets it", 1, beat(&second, 2));
    client.call(
        "the second owns it",
        1,
        beat(&second, 2).with_topic_partitions(owning(topic_id, &[1])),
    );
    client.call("an older epoch", 1, beat(&second, 1));
    client.call("the second leaves", 1, beat(&second, -1));
    client.call("a heartbeat after leaving", 1, beat(&second, 2));
    client.call("the first gets all", 1, beat(&first, 2));
}

fn static_members(client: &mut Client) {
    let (one, other) = (id(3), id(4));
    let fixed = |member: &str| joining(member).with_instance_id(Some(text("fixed")));
    client.call("a static member", 1, fixed(&one));
    client.call("another under its name", 1, fixed(&other));
    client.call(
        "the static member pauses",
        1,
        beat(&one, -2).with_instance_id(Some(text("fixed"))),
    );
    client.call("another takes over", 1, fixed(&other));
    client.call(
        "the former comes back",
        1,
        beat(&one, 3).with_instance_id(Some(text("fixed"))),
    );
    client.call(
        "the static member leaves",
        1,
        beat(&other, -1).with_instance_id(Some(text("fixed"))),
    );
}

fn offsets_of_members(client: &mut Client) {
    let first = id(1);
    let told = client.call("the epoch by now", 1, joining(&first));
    let commit = |member: &str, epoch: i32| {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(4)
            .with_committed_leader_epoch(-1);
        let topics = OffsetCommitRequestTopic::default()
            .with_name(topic("shared"))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group(NAME))
            .with_generation_id_or_member_epoch(epoch)
            .with_member_id(text(member))
            .with_topics(vec![topics])
    };
    client.call("commit of a member", 9, commit(&first, told.member_epoch));
    client.call(
        "commit of an older epoch",
        9,
        commit(&first, told.member_epoch - 1),
    );
    client.call(
        "commit of a later epoch",
        9,
        commit(&first, told.member_epoch + 1),
    );
    client.call("commit of a stranger", 9, commit(&id(9), told.member_epoch));
    client.call("commit of nobody", 9, commit("", -1));
    client.call(
        "commit in the older words",
        8,
        commit(&first, told.member_epoch + 1),
    );
    let fetch = |member: &str, epoch: i32| {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(topic("shared"))
            .with_partition_indexes(vec![0, 1]);
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(group(NAME))
            .with_member_id(Some(text(member)))
            .with_member_epoch(epoch)
            .with_topics(Some(vec![topics]));
        OffsetFetchRequest::default().with_groups(vec![wanted])
    };
    client.call("offsets of a member", 9, fetch(&first, told.member_epoch));
    client.call(
        "offsets for an older epoch",
        9,
        fetch(&first, told.member_epoch - 1),
    );
    client.call("offsets for a stranger", 9, fetch(&id(9), told.member_epoch));
    let delete = |name: &str| {
        let partition = OffsetDeleteRequestPartition::default();
        let deleted = OffsetDeleteRequestTopic::default()
            .with_name(topic("shared"))
            .with_partitions(vec![partition]);
        OffsetDeleteRequest::default()
            .with_group_id(group(name))
            .with_topics(vec![deleted])
    };
    client.call("delete offsets that are in use", 0, delete(NAME));
    client.call("delete offsets of an unknown group", 0, delete("never"));
}

fn descriptions(client: &mut Client) {
    let described = |name: &str| ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(name)]);
    for version in 0..=1 {
        client.call("describe a modern group", version, described(NAME));
    }
    client.call(
        "describe a classic group as a modern one",
        1,
        described("classic"),
    );
    client.call("describe an unknown group", 1, described("never"));
    let older = |name: &str| DescribeGroupsRequest::default().with_groups(vec![group(name)]);
    for version in 5..=6 {
        client.call("describe a modern group in the older words", version, older(NAME));
        client.call("describe a classic group", version, older("classic"));
        client.call(
            "describe an unknown group in the older words",
            version,
            older("never"),
        );
    }
    let listed = |states: &[&str], types: &[&str]| {
        let texts = |of: &[&str]| of.iter().map(|name| text(name)).collect();
        ListGroupsRequest::default()
            .with_states_filter(texts(states))
            .with_types_filter(texts(types))
    };
    client.call("list stable groups", 5, listed(&["Stable"], &[]));
    client.call("list groups of a type", 5, listed(&[], &["Consumer"]));
    client.call(
        "list empty groups of the other type",
        5,
        listed(&["Empty"], &["classic"]),
    );
    client.call("list groups of a type that is none", 5, listed(&[], &["odd"]));
}

fn endings(client: &mut Client) {
    let delete = || DeleteGroupsRequest::default().with_groups_names(vec![group(NAME)]);
    client.call("delete a group with members", 2, delete());
    client.call("the last member leaves", 1, beat(&id(1), -1));
    client.call(
        "describe an empty group",
        1,
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(NAME)]),
    );
    client.call("delete an empty group", 2, delete());
}
