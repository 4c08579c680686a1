//! Scripts of requests against the group coordinator, one per rule, with every append and reply in between.
//!
//! A line is a command; appends are acknowledged at once unless `hold` or `fail` says otherwise. Members are called by the
//! name of their client; the ids they were given are replaced by it in the output.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use expect_test::{Expect, expect};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{GroupId, ProducerId, TopicName};

use super::*;
use crate::ids::CountingIds;

const GROUP: &str = "g";

struct Script {
    coordinator: GroupCoordinator,
    log: Vec<(Bytes, Option<Bytes>, Option<i64>)>,
    markers: Vec<(usize, i64, bool)>,
    now_ms: i64,
    fail: bool,
    /// Member ids by client name, and what the clients know of their generation.
    members: BTreeMap<String, String>,
    tokens: Vec<String>,
    in_process: bool,
    output: String,
}

fn coordinator(start: u128) -> GroupCoordinator {
    let mut config = GroupConfig::new(1);
    config.initial_rebalance_delay_ms = 100;
    GroupCoordinator::new(config, Box::new(CountingIds::above(start)))
}

impl Script {
    fn run(script: &str) -> String {
        let mut this = Self {
            coordinator: coordinator(0),
            log: Vec::new(),
            markers: Vec::new(),
            now_ms: 1_000,
            fail: false,
            members: BTreeMap::new(),
            tokens: Vec::new(),
            in_process: false,
            output: String::new(),
        };
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(this.output, "> {line}").unwrap();
            this.command(&line.split(' ').collect::<Vec<_>>());
        }
        this.output
    }

    /// The member id of a client, as it would send it.
    fn id(&self, name: &str) -> StrBytes {
        text(self.members.get(name).map_or(name, String::as_str))
    }

    fn command(&mut self, words: &[&str]) {
        let number = |index: usize| words.get(index).map_or(0, |word| word.parse::<i64>().unwrap());
        let (name, version, request) = match words[0] {
            // join CLIENT METADATA [v3], join with an instance id: join CLIENT METADATA v9 INSTANCE
            "join" => {
                let version = words.get(3).map_or(9, |word| word[1..].parse().unwrap());
                let instance = words.get(4).map(|instance| text(instance));
                let member_id = if instance.is_some() {
                    StrBytes::default()
                } else {
                    self.members
                        .get(words[1])
                        .map_or(StrBytes::default(), |id| text(id))
                };
                let protocols = words[2].split(',').map(|protocol| {
                    let (protocol, metadata) = protocol.split_once('=').unwrap_or(("range", protocol));
                    let metadata = Bytes::copy_from_slice(metadata.as_bytes());
                    JoinGroupRequestProtocol::default()
                        .with_name(text(protocol))
                        .with_metadata(metadata)
                });
                let request = JoinGroupRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_session_timeout_ms(10_000)
                    .with_rebalance_timeout_ms(60_000)
                    .with_member_id(member_id)
                    .with_group_instance_id(instance)
                    .with_protocol_type(text("consumer"))
                    .with_protocols(protocols.collect());
                (words[1], version, GroupRequest::Join(request))
            }
            // sync CLIENT GENERATION [CLIENT=ASSIGNMENT...]
            "sync" => {
                let assignments = words[3..].iter().map(|assignment| {
                    let (member, assignment) = assignment.split_once('=').unwrap();
                    SyncGroupRequestAssignment::default()
                        .with_member_id(self.id(member))
                        .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
                });
                let request = SyncGroupRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_generation_id(number(2) as i32)
                    .with_member_id(self.id(words[1]))
                    .with_assignments(assignments.collect());
                (words[1], 5, GroupRequest::Sync(request))
            }
            "beat" => {
                let request = HeartbeatRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_generation_id(number(2) as i32)
                    .with_member_id(self.id(words[1]));
                (words[1], 4, GroupRequest::Heartbeat(request))
            }
            "leave" => {
                let instance = words.get(2).map(|instance| text(instance));
                let member_id = if instance.is_some() {
                    StrBytes::default()
                } else {
                    self.id(words[1])
                };
                let member = MemberIdentity::default()
                    .with_member_id(member_id)
                    .with_group_instance_id(instance);
                let request = LeaveGroupRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_members(vec![member]);
                (words[1], 5, GroupRequest::Leave(request))
            }
            // commit CLIENT GENERATION OFFSET [vN]
            "commit" => {
                let partition = OffsetCommitRequestPartition::default().with_committed_offset(number(3));
                let topic = OffsetCommitRequestTopic::default()
                    .with_name(TopicName(text("t")))
                    .with_partitions(vec![partition]);
                let member_id = if words[1] == "-" {
                    StrBytes::default()
                } else {
                    self.id(words[1])
                };
                let request = OffsetCommitRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_generation_id_or_member_epoch(number(2) as i32)
                    .with_member_id(member_id)
                    .with_topics(vec![topic]);
                let version = words.get(4).map_or(8, |word| word[1..].parse().unwrap());
                (words[1], version, GroupRequest::CommitOffsets(request))
            }
            // txn-commit CLIENT GENERATION OFFSET PRODUCER
            "txn-commit" => {
                let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(number(3));
                let topic = TxnOffsetCommitRequestTopic::default()
                    .with_name(TopicName(text("t")))
                    .with_partitions(vec![partition]);
                let member_id = if words[1] == "-" {
                    StrBytes::default()
                } else {
                    self.id(words[1])
                };
                let request = TxnOffsetCommitRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_generation_id(number(2) as i32)
                    .with_member_id(member_id)
                    .with_producer_id(ProducerId(number(4)))
                    .with_topics(vec![topic]);
                (words[1], 3, GroupRequest::CommitTransactionalOffsets(request))
            }
            "delete" => (
                "admin",
                2,
                GroupRequest::Delete {
                    group_id: GROUP.to_owned(),
                },
            ),
            "marker" => {
                let (producer_id, committed) = (number(1), words[2] == "commit");
                self.markers.push((self.log.len(), producer_id, committed));
                return self.drive(GroupEvent::TransactionEnded {
                    partition: 0,
                    producer_id,
                    committed,
                });
            }
            "wait" => {
                self.now_ms += number(1);
                return self.drive(GroupEvent::Tick);
            }
            "topic-deleted" => {
                return self.drive(GroupEvent::TopicDeleted {
                    topic: words[1].to_owned(),
                });
            }
            "fail" => return self.fail = words[1] == "on",
            "in-process" => return self.in_process = true,
            "restart" => return self.restart(),
            "show" => return self.show(),
            other => panic!("no command {other}"),
        };
        let token = self.tokens.len() as Token;
        self.tokens.push(name.to_owned());
        let host = if self.in_process {
            IN_PROCESS_HOST
        } else {
            "/10.0.0.1"
        };
        let client = Client {
            id: name.to_owned(),
            host: host.to_owned(),
        };
        self.drive(GroupEvent::Request {
            token,
            client,
            version,
            request: Box::new(request),
        });
    }

    fn drive(&mut self, event: GroupEvent) {
        let actions = self.coordinator.handle(event, self.now_ms);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<GroupAction>) {
        for action in actions {
            match action {
                GroupAction::Reply { token, reply } => {
                    let name = self.tokens[token as usize].clone();
                    if let GroupReply::Join(response) = &reply
                        && !response.member_id.is_empty()
                    {
                        self.members.insert(name.clone(), response.member_id.to_string());
                    }
                    let shown = self.named(&show_reply(&reply));
                    writeln!(self.output, "  {name}: {shown}").unwrap();
                }
                GroupAction::Append {
                    append,
                    records,
                    transaction,
                    ..
                } => {
                    let shown: Vec<String> = records
                        .iter()
                        .map(|(key, value)| show_record(key, value.as_deref()))
                        .collect();
                    let outcome = if self.fail { " fails" } else { "" };
                    let shown = self.named(&shown.join("; "));
                    writeln!(self.output, "  append {shown}{outcome}").unwrap();
                    let result = if self.fail {
                        Err(ResponseError::CoordinatorNotAvailable)
                    } else {
                        let base_offset = self.log.len() as i64;
                        let transaction = transaction.map(|(producer_id, _)| producer_id);
                        self.log
                            .extend(records.into_iter().map(|(key, value)| (key, value, transaction)));
                        Ok(base_offset)
                    };
                    self.drive(GroupEvent::Appended { append, result });
                }
            }
        }
    }

    fn named(&self, text: &str) -> String {
        self.members
            .iter()
            .fold(text.to_owned(), |text, (name, id)| text.replace(id, name))
    }

    fn restart(&mut self) {
        self.coordinator = coordinator(1 << 64);
        for (offset, (key, value, transaction)) in self.log.clone().into_iter().enumerate() {
            for (_, producer_id, committed) in self.markers.iter().filter(|(at, ..)| *at == offset) {
                self.coordinator.load_marker(0, *producer_id, *committed);
            }
            self.coordinator
                .load(&key, value.as_deref(), offset as i64, transaction, self.now_ms)
                .unwrap();
        }
        for (_, producer_id, committed) in self.markers.iter().filter(|(at, ..)| *at == self.log.len()) {
            self.coordinator.load_marker(0, *producer_id, *committed);
        }
        let actions = self.coordinator.finish_loading(self.now_ms);
        self.perform(actions);
    }

    fn show(&mut self) {
        let Some(group) = self.coordinator.group(GROUP) else {
            return self.output.push_str("  no group\n");
        };
        let members: Vec<&str> = group.members().map(|member| member.member_id.as_str()).collect();
        let line = format!(
            "{} members {:?} generation {} committed {:?} unstable {}",
            group.state().name(),
            members,
            group.generation,
            group.committed("t", 0).map(|committed| committed.offset),
            group.is_unstable("t", 0),
        );
        let line = self.named(&line);
        writeln!(self.output, "  {line}").unwrap();
    }
}

fn error(code: i16) -> String {
    ResponseError::try_from_code(code).map_or("ok".to_owned(), |error| format!("{error:?}"))
}

fn show_reply(reply: &GroupReply) -> String {
    let bytes = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match reply {
        GroupReply::Join(response) if response.error_code != 0 => {
            format!(
                "join {} as {:?}",
                error(response.error_code),
                response.member_id.as_str()
            )
        }
        GroupReply::Join(response) => {
            let members: Vec<String> = response
                .members
                .iter()
                .map(|member| format!("{}={}", member.member_id.as_str(), bytes(&member.metadata)))
                .collect();
            let (generation, leader) = (response.generation_id, response.leader.as_str());
            let protocol = response.protocol_name.as_deref().unwrap_or_default();
            let skip = if response.skip_assignment { " skip" } else { "" };
            format!(
                "joined generation {generation} leader {leader} protocol {protocol} members {members:?}{skip}"
            )
        }
        GroupReply::Sync(response) => format!(
            "sync {} {:?}",
            error(response.error_code),
            bytes(&response.assignment)
        ),
        GroupReply::Heartbeat(response) => format!("beat {}", error(response.error_code)),
        GroupReply::Leave(response) => format!("leave {}", error(response.members[0].error_code)),
        GroupReply::CommitOffsets(response) => {
            format!("commit {}", error(response.topics[0].partitions[0].error_code))
        }
        GroupReply::CommitTransactionalOffsets(response) => {
            format!(
                "txn-commit {}",
                error(response.topics[0].partitions[0].error_code)
            )
        }
        GroupReply::Delete(result) => format!("delete {result:?}"),
    }
}

fn show_record(key: &[u8], value: Option<&[u8]>) -> String {
    match (GroupKey::decode(key).unwrap(), value) {
        (GroupKey::Offset { topic, partition, .. }, Some(value)) => {
            format!(
                "{topic}-{partition} at {}",
                OffsetValue::decode(value).unwrap().offset
            )
        }
        (GroupKey::Offset { topic, partition, .. }, None) => format!("{topic}-{partition} gone"),
        (GroupKey::Group { .. }, Some(value)) => {
            let value = GroupValue::decode(value).unwrap();
            let members: Vec<&str> = value
                .members
                .iter()
                .map(|member| member.member_id.as_str())
                .collect();
            format!("group generation {} members {members:?}", value.generation)
        }
        (GroupKey::Group { .. }, None) => "group gone".to_owned(),
        (other, _) => format!("{other:?}"),
    }
}

fn check(script: &str, expected: &Expect) {
    expected.assert_eq(&Script::run(script));
}

#[test]
fn a_first_member_is_given_an_id_waits_for_others_and_leads() {
    check(
        "join a x
         join a x
         wait 99
         wait 1
         beat a 1
         sync a 1 a=all
         beat a 1
         beat a 2
         show",
        &expect![[r#"
            > join a x
              a: join MemberIdRequired as "a"
            > join a x
            > wait 99
            > wait 1
              a: joined generation 1 leader a protocol range members ["a=x"]
            > beat a 1
              a: beat ok
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > beat a 1
              a: beat ok
            > beat a 2
              a: beat IllegalGeneration
            > show
              Stable members ["a"] generation 1 committed None unstable false
        "#]],
    );
}

#[test]
fn the_first_delay_is_extended_while_members_come() {
    check(
        "join a x v3
         wait 50
         join b y v3
         wait 50
         wait 99
         wait 1",
        &expect![[r#"
            > join a x v3
            > wait 50
            > join b y v3
            > wait 50
            > wait 99
            > wait 1
              a: joined generation 1 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 1 leader a protocol range members []
        "#]],
    );
}

#[test]
fn a_second_member_makes_the_first_rejoin_and_both_wait_for_the_leader() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y v3
         beat a 1
         commit a 1 5
         join a x
         commit a 2 6
         sync b 2
         sync a 2 a=half b=other
         commit a 2 7
         commit a 1 8
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y v3
            > beat a 1
              a: beat RebalanceInProgress
            > commit a 1 5
              append t-0 at 5
              a: commit ok
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 2 leader a protocol range members []
            > commit a 2 6
              a: commit RebalanceInProgress
            > sync b 2
            > sync a 2 a=half b=other
              append group generation 2 members ["a", "b"]
              a: sync ok "half"
              b: sync ok "other"
            > commit a 2 7
              append t-0 at 7
              a: commit ok
            > commit a 1 8
              a: commit IllegalGeneration
            > show
              Stable members ["a", "b"] generation 2 committed Some(7) unstable false
        "#]],
    );
}

#[test]
fn a_follower_that_joins_again_unchanged_does_not_disturb_and_a_leader_does() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y v3
         join a x
         sync a 2 a=1 b=2
         sync b 2
         join b y
         join b z
         join a x
         sync b 3
         sync a 3 a=1
         join a x",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y v3
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 2 leader a protocol range members []
            > sync a 2 a=1 b=2
              append group generation 2 members ["a", "b"]
              a: sync ok "1"
            > sync b 2
              b: sync ok "2"
            > join b y
              b: joined generation 2 leader a protocol range members []
            > join b z
            > join a x
              a: joined generation 3 leader a protocol range members ["a=x", "b=z"]
              b: joined generation 3 leader a protocol range members []
            > sync b 3
            > sync a 3 a=1
              append group generation 3 members ["a", "b"]
              a: sync ok "1"
              b: sync ok ""
            > join a x
        "#]],
    );
}

#[test]
fn members_that_do_not_come_back_or_do_not_sync_are_dropped() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y v3
         wait 9000
         beat a 1
         wait 9000
         beat a 1
         wait 42000
         show
         join c z v3
         join b y
         sync c 3
         wait 60000
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y v3
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 42000
              b: joined generation 2 leader b protocol range members ["b=y"]
            > show
              CompletingRebalance members ["b"] generation 2 committed None unstable false
            > join c z v3
            > join b y
              b: joined generation 3 leader b protocol range members ["b=y", "c-00000000-0000-0000-0000-000000000003=z"]
              c: joined generation 3 leader b protocol range members []
            > sync c 3
            > wait 60000
              c: sync RebalanceInProgress ""
            > show
              PreparingRebalance members ["c"] generation 3 committed None unstable false
        "#]],
    );
}

#[test]
fn a_silent_member_expires_and_the_last_one_leaves_an_empty_generation() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         wait 9999
         show
         wait 1
         show
         beat a 1
         join a x",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > wait 9999
            > show
              Stable members ["a"] generation 1 committed None unstable false
            > wait 1
              append group generation 2 members []
            > show
              Empty members [] generation 2 committed None unstable false
            > beat a 1
              a: beat UnknownMemberId
            > join a x
              a: join UnknownMemberId as "a"
        "#]],
    );
}

#[test]
fn an_id_that_was_given_out_is_waited_for_until_it_lapses() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y
         join c z v3
         join a x
         wait 10000
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y
              b: join MemberIdRequired as "b"
            > join c z v3
            > join a x
            > wait 10000
              a: joined generation 2 leader a protocol range members ["a=x", "c-00000000-0000-0000-0000-000000000003=z"]
              c: joined generation 2 leader a protocol range members []
            > show
              CompletingRebalance members ["a", "c"] generation 2 committed None unstable false
        "#]],
    );
}

#[test]
fn leaving_rebalances_and_an_unknown_member_is_told() {
    check(
        "join a x v3
         join b y v3
         wait 100
         wait 100
         sync a 1 a=1 b=2
         sync b 1
         leave b
         beat a 1
         join a x
         leave nobody
         sync b 2",
        &expect![[r#"
            > join a x v3
            > join b y v3
            > wait 100
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 1 leader a protocol range members []
            > sync a 1 a=1 b=2
              append group generation 1 members ["a", "b"]
              a: sync ok "1"
            > sync b 1
              b: sync ok "2"
            > leave b
              b: leave ok
            > beat a 1
              a: beat RebalanceInProgress
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x"]
            > leave nobody
              nobody: leave UnknownMemberId
            > sync b 2
              b: sync UnknownMemberId ""
        "#]],
    );
}

#[test]
fn members_agree_on_a_protocol_or_are_refused() {
    check(
        "join a range=1,sticky=2 v3
         join b sticky=3,range=4 v3
         join c other=5 v3
         join d sticky=6 v3
         wait 100
         wait 100",
        &expect![[r#"
            > join a range=1,sticky=2 v3
            > join b sticky=3,range=4 v3
            > join c other=5 v3
              c: join InconsistentGroupProtocol as ""
            > join d sticky=6 v3
            > wait 100
            > wait 100
              a: joined generation 1 leader a protocol sticky members ["a=2", "b-00000000-0000-0000-0000-000000000002=3", "d-00000000-0000-0000-0000-000000000004=6"]
              b: joined generation 1 leader a protocol sticky members []
              d: joined generation 1 leader a protocol sticky members []
        "#]],
    );
}

#[test]
fn an_assignment_that_could_not_be_logged_is_not_given_out() {
    check(
        "join a x v3
         wait 100
         fail on
         sync a 1 a=all
         fail off
         show
         join a x
         sync a 2 a=all
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > fail on
            > sync a 1 a=all
              append group generation 1 members ["a"] fails
              a: sync CoordinatorNotAvailable ""
            > fail off
            > show
              PreparingRebalance members ["a"] generation 1 committed None unstable false
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x"]
            > sync a 2 a=all
              append group generation 2 members ["a"]
              a: sync ok "all"
            > show
              Stable members ["a"] generation 2 committed None unstable false
        "#]],
    );
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_its_old_self_is_fenced() {
    check(
        "join a x v9 one
         wait 100
         sync a 1 a=all
         join again x v9 one
         sync a 1
         beat again 1
         join again x v8 one
         leave admin one
         show",
        &expect![[r#"
            > join a x v9 one
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join again x v9 one
              append group generation 1 members ["one-00000000-0000-0000-0000-000000000002"]
              again: joined generation 1 leader again protocol range members ["again=x"] skip
            > sync a 1
              a: sync UnknownMemberId ""
            > beat again 1
              again: beat ok
            > join again x v8 one
              append group generation 1 members ["one-00000000-0000-0000-0000-000000000003"]
              again: joined generation 1 leader one-00000000-0000-0000-0000-000000000002 protocol range members []
            > leave admin one
              append group generation 2 members []
              admin: leave ok
            > show
              Empty members [] generation 2 committed None unstable false
        "#]],
    );
}

#[test]
fn a_group_without_members_only_holds_offsets() {
    check(
        "commit - -1 5
         show
         commit - 3 6
         join a x v3
         commit - -1 7
         commit a -1 8
         delete
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > show
              Empty members [] generation 0 committed Some(5) unstable false
            > commit - 3 6
              -: commit UnknownMemberId
            > join a x v3
            > commit - -1 7
              -: commit UnknownMemberId
            > commit a -1 8
              a: commit UnknownMemberId
            > delete
              admin: delete Err(NonEmptyGroup)
            > show
              PreparingRebalance members ["a-00000000-0000-0000-0000-000000000001"] generation 0 committed Some(5) unstable false
        "#]],
    );
}

#[test]
fn a_commit_with_a_generation_to_a_group_that_is_not_there_is_refused() {
    check(
        "commit - 3 6
         commit - 3 6 v9
         txn-commit - 3 6 1
         show
         delete",
        &expect![[r#"
            > commit - 3 6
              -: commit IllegalGeneration
            > commit - 3 6 v9
              -: commit GroupIdNotFound
            > txn-commit - 3 6 1
              -: txn-commit IllegalGeneration
            > show
              no group
            > delete
              admin: delete Err(GroupIdNotFound)
        "#]],
    );
}

#[test]
fn offsets_of_a_transaction_wait_for_its_marker() {
    check(
        "txn-commit - -1 5 1
         show
         marker 1 commit
         show
         txn-commit - -1 6 1
         marker 1 abort
         show
         txn-commit - -1 7 1
         delete
         commit - -1 8
         marker 1 commit
         show",
        &expect![[r#"
            > txn-commit - -1 5 1
              append t-0 at 5
              -: txn-commit ok
            > show
              Empty members [] generation 0 committed None unstable true
            > marker 1 commit
            > show
              Empty members [] generation 0 committed Some(5) unstable false
            > txn-commit - -1 6 1
              append t-0 at 6
              -: txn-commit ok
            > marker 1 abort
            > show
              Empty members [] generation 0 committed Some(5) unstable false
            > txn-commit - -1 7 1
              append t-0 at 7
              -: txn-commit ok
            > delete
              admin: delete Err(NonEmptyGroup)
            > commit - -1 8
              append t-0 at 8
              -: commit ok
            > marker 1 commit
            > show
              Empty members [] generation 0 committed Some(8) unstable false
        "#]],
    );
}

#[test]
fn transactional_offsets_are_fenced_by_the_generation_but_not_by_a_rebalance() {
    check(
        "join a x v3
         wait 100
         txn-commit a 1 5 1
         txn-commit a 0 5 1
         txn-commit nobody 1 5 1
         txn-commit - -1 5 1
         marker 1 commit
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > txn-commit a 1 5 1
              append t-0 at 5
              a: txn-commit ok
            > txn-commit a 0 5 1
              a: txn-commit IllegalGeneration
            > txn-commit nobody 1 5 1
              nobody: txn-commit UnknownMemberId
            > txn-commit - -1 5 1
              append t-0 at 5
              -: txn-commit ok
            > marker 1 commit
            > show
              CompletingRebalance members ["a"] generation 1 committed Some(5) unstable false
        "#]],
    );
}

#[test]
fn an_offset_that_is_not_in_the_log_was_not_committed() {
    check(
        "commit - -1 5
         fail on
         commit - -1 6
         txn-commit - -1 7 1
         fail off
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > fail on
            > commit - -1 6
              append t-0 at 6 fails
              -: commit CoordinatorNotAvailable
            > txn-commit - -1 7 1
              append t-0 at 7 fails
              -: txn-commit CoordinatorNotAvailable
            > fail off
            > show
              Empty members [] generation 0 committed Some(5) unstable false
        "#]],
    );
}

#[test]
fn a_restart_brings_back_members_offsets_and_open_transactions() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         commit a 1 5
         txn-commit a 1 6 1
         restart
         show
         beat a 1
         sync a 1
         marker 1 commit
         restart
         show
         wait 10000
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > commit a 1 5
              append t-0 at 5
              a: commit ok
            > txn-commit a 1 6 1
              append t-0 at 6
              a: txn-commit ok
            > restart
            > show
              Stable members ["a"] generation 1 committed Some(5) unstable true
            > beat a 1
              a: beat ok
            > sync a 1
              a: sync ok "all"
            > marker 1 commit
            > restart
            > show
              Stable members ["a"] generation 1 committed Some(6) unstable false
            > wait 10000
              append group generation 2 members []
            > show
              Empty members [] generation 2 committed Some(6) unstable false
        "#]],
    );
}

#[test]
fn members_of_the_process_that_died_are_gone_after_a_restart() {
    check(
        "in-process
         join a x v3
         wait 100
         sync a 1 a=all
         restart
         show
         join b y v3
         wait 100",
        &expect![[r#"
            > in-process
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > restart
              append group generation 2 members []
            > show
              Empty members [] generation 2 committed None unstable false
            > join b y v3
            > wait 100
              b: joined generation 3 leader b protocol range members ["b=y"]
        "#]],
    );
}

#[test]
fn offsets_expire_a_week_after_their_group_was_left_and_the_group_with_them() {
    check(
        "commit - -1 5
         wait 604799999
         wait 600001
         show
         restart
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > wait 604799999
            > wait 600001
              append t-0 gone; group gone
            > show
              no group
            > restart
            > show
              no group
        "#]],
    );
}

#[test]
fn deleting_a_group_or_a_topic_is_logged() {
    check(
        "commit - -1 5
         topic-deleted t
         show
         commit - -1 6
         delete
         show
         delete
         restart
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > topic-deleted t
              append t-0 gone
            > show
              Empty members [] generation 0 committed None unstable false
            > commit - -1 6
              append t-0 at 6
              -: commit ok
            > delete
              append t-0 gone; group gone
              admin: delete Ok(())
            > show
              no group
            > delete
              admin: delete Err(GroupIdNotFound)
            > restart
            > show
              no group
        "#]],
    );
}
