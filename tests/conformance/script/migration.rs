//! A live group that moves from the classic to the consumer protocol and back, with members of both in between.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as Assigned,
};
use kafka_protocol::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as Owned,
};
use kafka_protocol::protocol::Encodable;
use uuid::Uuid;

use super::*;

const TOPIC: &str = "migrating";
/// Of the embedded protocol.
const VERSION: i16 = 1;

pub(super) fn run(client: &mut Client) {
    client.ask(4, &create(TOPIC, 2, &[]));
    upgrade(client);
    third_member(client);
    downgrade(client);
    upgrade_while_an_assignment_is_awaited(client);
    refusals(client);
}

/// One group, as its members speak to it.
#[derive(Clone, Copy)]
struct Members(&'static str);

const LIVE: Members = Members("migrating");
const WAITING: Members = Members("migrating-later");

fn id(number: u128) -> String {
    Uuid::from_u128(0xabcd_5678_9abc_4def_8000_0000_0000_0000 + number).to_string()
}

fn versioned(message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    message.encode(&mut bytes, VERSION).unwrap();
    bytes.freeze()
}

/// What a member says that reads the topic and holds these partitions.
fn owning(partitions: &[i32]) -> Bytes {
    let owned = Owned::default()
        .with_topic(topic(TOPIC))
        .with_partitions(partitions.to_vec());
    let owned = if partitions.is_empty() {
        vec![]
    } else {
        vec![owned]
    };
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text(TOPIC)]);
    versioned(&subscription.with_owned_partitions(owned))
}

impl Members {
    fn join(self, member: &str, metadata: Bytes) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("cooperative-sticky"))
            .with_metadata(metadata);
        JoinGroupRequest::default()
            .with_group_id(group(self.0))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(member))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    /// Of a member that leads, or does not.
    fn sync(self, member: &str, generation: i32, partitions: Option<&[i32]>) -> SyncGroupRequest {
        let assignments = partitions.map(|partitions| {
            let assigned = Assigned::default()
                .with_topic(topic(TOPIC))
                .with_partitions(partitions.to_vec());
            let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![assigned]);
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(versioned(&assignment))
        });
        SyncGroupRequest::default()
            .with_group_id(group(self.0))
            .with_generation_id(generation)
            .with_member_id(text(member))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("cooperative-sticky")))
            .with_assignments(assignments.into_iter().collect())
    }

    fn alive(self, member: &str, generation: i32) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(group(self.0))
            .with_generation_id(generation)
            .with_member_id(text(member))
    }

    fn leave(self, member: &str) -> LeaveGroupRequest {
        let identity = MemberIdentity::default().with_member_id(text(member));
        LeaveGroupRequest::default()
            .with_group_id(group(self.0))
            .with_members(vec![identity])
    }

    /// ConsumerGroupHeartbeat.
    fn beat(self, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(self.0))
            .with_member_id(text(member))
            .with_member_epoch(epoch)
    }

    fn joining(self, member: &str) -> ConsumerGroupHeartbeatRequest {
        self.beat(member, 0)
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(vec![topic(TOPIC)]))
            .with_topic_partitions(Some(vec![]))
    }

    fn commit(self, member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_leader_epoch(-1);
        let topics = OffsetCommitRequestTopic::default()
            .with_name(topic(TOPIC))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group(self.0))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member))
            .with_topics(vec![topics])
    }

    fn committed(self, member: Option<&str>, generation: i32) -> OffsetFetchRequest {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(topic(TOPIC))
            .with_partition_indexes(vec![0, 1]);
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(group(self.0))
            .with_member_id(member.map(text))
            .with_member_epoch(generation)
            .with_topics(Some(vec![topics]));
        OffsetFetchRequest::default().with_groups(vec![wanted])
    }

    /// A classic group of one, that has its assignment. Answers the member's id.
    fn found(self, client: &mut Client) -> String {
        let told = client.ask(5, &self.join("", owning(&[])));
        let member = told.member_id.to_string();
        client.call("a classic group", 7, self.join(&member, owning(&[])));
        client.call("its assignment", 5, self.sync(&member, 1, Some(&[0, 1])));
        member
    }

    fn describe(self, client: &mut Client, step: &str) {
        let older = DescribeGroupsRequest::default().with_groups(vec![group(self.0)]);
        client.call(step, 6, older);
        let newer = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(self.0)]);
        let mut described = client.ask(1, &newer);
        let described = described.groups.remove(0);
        let mut members = described.members.clone();
        members.sort_by(|one, other| {
            one.member_epoch
                .cmp(&other.member_epoch)
                .then(one.member_type.cmp(&other.member_type))
        });
        let what = (
            described.error_code,
            &described.group_state,
            described.group_epoch,
            described.assignment_epoch,
        );
        client.note(step, &format!("{what:?} {members:?}"));
    }
}

fn upgrade(client: &mut Client) {
    let classic = LIVE.found(client);
    let modern = id(1);
    client.call("commit before the upgrade", 8, LIVE.commit(&classic, 1, 3));
    client.call("the upgrade", 1, LIVE.joining(&modern));
    client.call("the classic member hears of it", 4, LIVE.alive(&classic, 1));
    client.call("it asks for its assignment", 5, LIVE.sync(&classic, 1, None));
    client.call("of another generation", 5, LIVE.sync(&classic, 9, None));
    client.call("it commits", 8, LIVE.commit(&classic, 1, 4));
    client.call("it commits in the newer words", 9, LIVE.commit(&classic, 1, 5));
    client.call(
        "it commits for another generation",
        8,
        LIVE.commit(&classic, 2, 6),
    );
    client.call(
        "it joins with what it holds",
        7,
        LIVE.join(&classic, owning(&[0, 1])),
    );
    client.call("it is told what it keeps", 5, LIVE.sync(&classic, 1, None));
    client.call("it has yet to give up the rest", 4, LIVE.alive(&classic, 1));
    client.call("the new member waits", 1, LIVE.beat(&modern, 2));
    client.call("it joins with what it kept", 7, LIVE.join(&classic, owning(&[0])));
    client.call("it keeps that", 5, LIVE.sync(&classic, 2, None));
    client.call("it is at rest", 4, LIVE.alive(&classic, 2));
    let told = client.call("the new member gets the rest", 1, LIVE.beat(&modern, 2));
    let topic_id = told
        .assignment
        .map_or(Uuid::nil(), |assigned| assigned.topic_partitions[0].topic_id);
    let owned = TopicPartitions::default()
        .with_topic_id(topic_id)
        .with_partitions(vec![1]);
    client.call(
        "the new member owns it",
        1,
        LIVE.beat(&modern, 2).with_topic_partitions(Some(vec![owned])),
    );
    LIVE.describe(client, "describe a group of both");
    client.call(
        "offsets of the classic member",
        9,
        LIVE.committed(Some(&classic), 2),
    );
    client.call(
        "offsets for an older generation",
        9,
        LIVE.committed(Some(&classic), 1),
    );
    client.call("the new member in classic words", 4, LIVE.alive(&modern, 2));
    client.call(
        "the new member asks in classic words",
        5,
        LIVE.sync(&modern, 2, None),
    );
}

fn third_member(client: &mut Client) {
    let (modern, third) = (id(1), id(3));
    let told = client.ask(5, &LIVE.join("", owning(&[])));
    client.note("a stranger is given an id", &told.error_code.to_string());
    let odd = LIVE.join(&third, owning(&[])).with_protocol_type(text("connect"));
    client.call("a member of another protocol type", 7, odd);
    let mut odd = LIVE.join(&third, owning(&[]));
    odd.protocols[0].name = text("range");
    client.call("a member of another assignor", 7, odd);
    client.call("a third member", 7, LIVE.join(&third, owning(&[])));
    client.call("it asks for its assignment", 5, LIVE.sync(&third, 3, None));
    client.call("it waits", 4, LIVE.alive(&third, 3));
    client.call("the new member hears of it", 1, LIVE.beat(&modern, 2));
    client.call("it leaves", 4, LIVE.leave(&third));
    client.call("it leaves again", 4, LIVE.leave(&third));
    client.call("the new member has what it had", 1, LIVE.beat(&modern, 3));
}

fn downgrade(client: &mut Client) {
    let modern = id(1);
    let described = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(LIVE.0)]);
    let members = client.ask(1, &described).groups.remove(0).members;
    let classic = members.iter().find(|member| member.member_type == 0).unwrap();
    let classic = classic.member_id.to_string();
    client.call("the classic member is behind", 4, LIVE.alive(&classic, 2));
    client.call("it joins again", 7, LIVE.join(&classic, owning(&[0])));
    client.call("it is told what it has", 5, LIVE.sync(&classic, 4, None));
    client.call("it is at rest again", 4, LIVE.alive(&classic, 4));
    client.call("the downgrade", 1, LIVE.beat(&modern, -1));
    LIVE.describe(client, "describe a group that was made classic");
    client.call("the classic member is told", 4, LIVE.alive(&classic, 4));
    client.call("it commits before it joins", 8, LIVE.commit(&classic, 4, 7));
    client.call("it joins as the leader", 7, LIVE.join(&classic, owning(&[0])));
    client.call("it assigns", 5, LIVE.sync(&classic, 5, Some(&[0, 1])));
    client.call("it leads a classic group", 4, LIVE.alive(&classic, 5));
    client.call("offsets after all that", 9, LIVE.committed(None, -1));
    client.call("the former member", 1, LIVE.beat(&modern, 4));
    LIVE.describe(client, "describe a classic group again");
    client.call("the last one leaves", 4, LIVE.leave(&classic));
}

fn upgrade_while_an_assignment_is_awaited(client: &mut Client) {
    let classic = WAITING.found(client);
    let modern = id(2);
    client.call("the leader joins again", 7, WAITING.join(&classic, owning(&[])));
    client.call("the upgrade meanwhile", 1, WAITING.joining(&modern));
    client.call(
        "the leader assigns in vain",
        5,
        WAITING.sync(&classic, 2, Some(&[0, 1])),
    );
    client.call(
        "the leader joins once more",
        7,
        WAITING.join(&classic, owning(&[])),
    );
    client.call("the leader is a member", 5, WAITING.sync(&classic, 3, None));
    client.call("what it was given is free", 1, WAITING.beat(&modern, 3));
    client.call("the new member leaves", 1, WAITING.beat(&modern, -1));
    client.call("the leader leaves", 4, WAITING.leave(&classic));
}

fn refusals(client: &mut Client) {
    let opaque = Members("opaque");
    let told = client.ask(5, &opaque.join("", Bytes::from_static(b"m")));
    let member = told.member_id.to_string();
    client.ask(7, &opaque.join(&member, Bytes::from_static(b"m")));
    client.call("a group of strange metadata", 1, opaque.joining(&id(4)));
    client.call("it stays what it is", 4, opaque.alive(&member, 1));
    client.call("its member leaves", 4, opaque.leave(&member));
    let connect = Members("connectors");
    let join = |member: &str| {
        connect
            .join(member, owning(&[]))
            .with_protocol_type(text("connect"))
    };
    let told = client.ask(5, &join(""));
    client.ask(7, &join(&told.member_id));
    client.call("a group of no consumers", 1, connect.joining(&id(5)));
    client.call("its member leaves", 4, connect.leave(&told.member_id));
}
