//! The interpreter of the scripts: commands in, appends and replies out.
//!
//! A line is a command; appends are acknowledged at once unless `fail` says otherwise. Members are called by the
//! name of their client; the ids they were given are replaced by it in the output.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use expect_test::Expect;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, ProducerId, SyncGroupRequest, TopicName,
    TxnOffsetCommitRequest,
};

use crate::group::*;
use kafka_protocol::protocol::StrBytes;

use super::migration::{Named, assignment, read_assignment, read_subscription, subscription};
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
    topics_version: u64,
    last_topics: Vec<String>,
    /// Appends that are not acknowledged yet, if they are held.
    held: Option<Vec<GroupEvent>>,
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
            topics_version: 0,
            last_topics: Vec::new(),
            held: None,
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
                    let metadata = metadata_of(metadata);
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
                    let (member, given) = assignment.split_once('=').unwrap();
                    SyncGroupRequestAssignment::default()
                        .with_member_id(self.id(member))
                        .with_assignment(assignment_of(given))
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
            // hb CLIENT EPOCH [topics=t,u] [regex=R] [owned=t:0,1;u:0] [instance=I] [assignor=A] [timeout=MS]
            "hb" => (
                words[1],
                1,
                GroupRequest::ConsumerHeartbeat(self.heartbeat(words)),
            ),
            // shb CLIENT EPOCH [topology=...] [owned=...] [process=P] [endpoint=HOST] [shutdown], see streams.rs
            "shb" => (
                words[1],
                0,
                GroupRequest::StreamsHeartbeat(super::streams::heartbeat(GROUP, words)),
            ),
            "standbys" => {
                let overrides = GroupOverrides {
                    streams_standby_replicas: Some(number(1) as i32),
                    ..GroupOverrides::default()
                };
                let group_id = GROUP.to_owned();
                return self.drive(GroupEvent::Overridden { group_id, overrides });
            }
            "policy" => {
                let policy = MigrationPolicy::of_name(words[1]).unwrap();
                return self.coordinator.outbox.config.consumer.migration = policy;
            }
            // topics t=2 u=3
            "topics" => return self.topics_are(&words[1..]),
            "delete-offsets" => {
                let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
                let topic = OffsetDeleteRequestTopic::default()
                    .with_name(TopicName(text(words[1])))
                    .with_partitions(vec![partition]);
                let request = OffsetDeleteRequest::default()
                    .with_group_id(GroupId(text(GROUP)))
                    .with_topics(vec![topic]);
                ("admin", 0, GroupRequest::DeleteOffsets(request))
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
            // Time passes, and nobody looked at the clock.
            "pass" => {
                self.now_ms += number(1);
                return;
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
            "hold" => return self.held = Some(Vec::new()),
            "release" => {
                for event in self.held.take().unwrap() {
                    self.drive(event);
                }
                return;
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

    fn heartbeat(&self, words: &[&str]) -> ConsumerGroupHeartbeatRequest {
        let epoch = words[2].parse().unwrap();
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(words[1]))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(if epoch == 0 { 60_000 } else { -1 })
            .with_topic_partitions((epoch == 0).then(Vec::new));
        for word in &words[3..] {
            let (key, value) = word.split_once('=').unwrap();
            match key {
                "topics" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    request.subscribed_topic_names = Some(names.map(|name| TopicName(text(name))).collect());
                }
                "regex" => request.subscribed_topic_regex = Some(text(value)),
                "instance" => request.instance_id = Some(text(value)),
                "assignor" => request.server_assignor = Some(text(value)),
                "timeout" => request.rebalance_timeout_ms = value.parse().unwrap(),
                "owned" => {
                    let topics = value.split(';').filter(|topic| !topic.is_empty()).map(|topic| {
                        let (name, partitions) = topic.split_once(':').unwrap();
                        TopicPartitions::default()
                            .with_topic_id(uuid::Uuid::from_u128(u128::from(name.as_bytes()[name.len() - 1])))
                            .with_partitions(
                                partitions
                                    .split(',')
                                    .map(|index| index.parse().unwrap())
                                    .collect(),
                            )
                    });
                    request.topic_partitions = Some(topics.collect());
                }
                other => panic!("no field {other}"),
            }
        }
        request
    }

    /// A topic's id is its name's last letter, in capitals if it was made anew.
    fn topics_are(&mut self, topics: &[&str]) {
        self.topics_version += 1;
        self.last_topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let topics = topics.iter().map(|topic| {
            let (name, count) = topic.split_once('=').unwrap();
            let (name, id) = match name.strip_suffix('!') {
                Some(name) => (name, name.to_uppercase()),
                None => (name, name.to_owned()),
            };
            let info = TopicInfo {
                id: uuid::Uuid::from_u128(u128::from(id.as_bytes()[id.len() - 1])),
                partition_count: count.parse().unwrap(),
            };
            (name.to_owned(), info)
        });
        let image = TopicImage::new(self.topics_version, topics);
        self.drive(GroupEvent::TopicsChanged(Arc::new(image)));
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
                GroupAction::CreateTopics(topics) => {
                    for topic in topics {
                        let InternalTopic {
                            name,
                            partition_count,
                            configs,
                        } = topic;
                        writeln!(self.output, "  create {name} with {partition_count} {configs:?}").unwrap();
                    }
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
                    let event = GroupEvent::Appended { append, result };
                    match &mut self.held {
                        Some(held) => held.push(event),
                        None => self.drive(event),
                    }
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
        let topics: Vec<String> = self.last_topics.clone();
        self.topics_are(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn show(&mut self) {
        let Some(group) = self.coordinator.group(GROUP) else {
            return self.output.push_str("  no group\n");
        };
        if let Some(consumer) = group.as_consumer() {
            return self.output.push_str(&show_consumer(consumer));
        }
        if let Some(streams) = group.as_streams() {
            return self.output.push_str(&super::streams::show(streams));
        }
        let classic = group.as_classic().unwrap();
        let members: Vec<&str> = classic
            .members()
            .map(|member| member.member_id.as_str())
            .collect();
        let line = format!(
            "{} members {:?} generation {} committed {:?} unstable {}",
            group.state_name(),
            members,
            classic.generation,
            group.committed("t", 0).map(|committed| committed.offset),
            group.is_unstable("t", 0),
        );
        let line = self.named(&line);
        writeln!(self.output, "  {line}").unwrap();
    }
}

pub(super) fn error(code: i16) -> String {
    ResponseError::try_from_code(code).map_or("ok".to_owned(), |error| format!("{error:?}"))
}

fn show_reply(reply: &GroupReply) -> String {
    let bytes = |bytes: &Bytes| match bytes.first() {
        // Of the embedded consumer protocol.
        Some(0) => format!("reads {:?}", read_subscription(bytes)),
        _ => String::from_utf8(bytes.to_vec()).unwrap(),
    };
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
            match response.assignment.first() {
                Some(0) => format!("{:?}", read_assignment(&response.assignment)),
                _ => bytes(&response.assignment),
            }
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
        GroupReply::ConsumerHeartbeat(response) if response.error_code != 0 => {
            let message = response.error_message.as_deref().unwrap_or_default();
            format!("{}: {message}", error(response.error_code))
        }
        GroupReply::ConsumerHeartbeat(response) => {
            let given = response
                .assignment
                .as_ref()
                .map_or("unchanged".to_owned(), |assignment| {
                    let topics = assignment.topic_partitions.iter();
                    show_assignment(
                        &topics
                            .map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect()))
                            .collect(),
                    )
                });
            format!("epoch {} {given}", response.member_epoch)
        }
        GroupReply::StreamsHeartbeat(response) => super::streams::show_reply(response),
        GroupReply::DeleteOffsets(response) if response.error_code != 0 => error(response.error_code),
        GroupReply::DeleteOffsets(response) => {
            format!(
                "delete-offsets {}",
                error(response.topics[0].partitions[0].error_code)
            )
        }
    }
}

/// `t:0,1` by the letters of the topics' ids.
fn show_assignment(assignment: &Assignment) -> String {
    let topics = assignment.iter().map(|(topic, partitions)| {
        let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
        format!("{}:{}", char::from(topic.as_u128() as u8), partitions.join(","))
    });
    format!("[{}]", topics.collect::<Vec<_>>().join(" "))
}

fn show_consumer(group: &ConsumerGroup) -> String {
    let mut shown = format!(
        "  {} epoch {} target {}\n",
        group.state().name(),
        group.epoch(),
        group.assignment_epoch()
    );
    for member in group.members() {
        let current = &member.current;
        let target = group
            .target(&member.member_id)
            .map_or_else(String::new, show_assignment);
        writeln!(
            shown,
            "    {} epoch {} {:?} has {} revokes {} of {target}",
            member.member_id,
            current.epoch,
            current.state,
            show_assignment(&current.assigned),
            show_assignment(&current.revoking),
        )
        .unwrap();
    }
    shown
}

fn show_consumer_record(record: ConsumerRecord) -> String {
    match record {
        ConsumerRecord::Group(Some(group)) => format!("epoch {}", group.epoch),
        ConsumerRecord::Member(id, Some(_)) => format!("member {id}"),
        ConsumerRecord::TargetEpoch(Some(epoch)) => format!("target {epoch}"),
        ConsumerRecord::Target(id, Some(target)) => format!("target {id} {}", show_assignment(&target)),
        ConsumerRecord::Current(id, Some(current)) => {
            format!("current {id} {:?} {}", current.state, current.epoch)
        }
        ConsumerRecord::Regex(regex, Some(resolved)) => format!("regex {regex} {:?}", resolved.topics),
        ConsumerRecord::Group(None) => "epoch gone".to_owned(),
        ConsumerRecord::TargetEpoch(None) => "target gone".to_owned(),
        ConsumerRecord::Member(id, None) => format!("member {id} gone"),
        ConsumerRecord::Target(id, None) => format!("target {id} gone"),
        ConsumerRecord::Current(id, None) => format!("current {id} gone"),
        ConsumerRecord::Regex(regex, None) => format!("regex {regex} gone"),
        ConsumerRecord::PartitionMetadata(there) => format!("partition metadata {there}"),
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
        (GroupKey::Other(_), value) => {
            // What is shown came through the bytes.
            match ConsumerRecord::decode(key, value).unwrap() {
                Some((_, record)) => show_consumer_record(record),
                None => {
                    let (_, record) = StreamsRecord::decode(key, value).unwrap().unwrap();
                    super::streams::show_record(record)
                }
            }
        }
    }
}

pub(super) fn check(script: &str, expected: &Expect) {
    expected.assert_eq(&Script::run(script));
}

/// `reads:t/u+t:0/1`: topics that are read, and partitions that are held. Anything else is itself.
fn metadata_of(text: &str) -> Bytes {
    let Some(reads) = text.strip_prefix("reads:") else {
        return Bytes::copy_from_slice(text.as_bytes());
    };
    let (topics, owned) = reads.split_once('+').unwrap_or((reads, ""));
    subscription(&topics.split('/').collect::<Vec<_>>(), &named(owned))
}

/// `gives:t:0/1`. Anything else is itself.
fn assignment_of(text: &str) -> Bytes {
    match text.strip_prefix("gives:") {
        Some(given) => assignment(&named(given)),
        None => Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn named(text: &str) -> Named {
    let topic = text.split_once(':').into_iter();
    topic
        .map(|(topic, partitions)| {
            let partitions = partitions.split('/').map(|partition| partition.parse().unwrap());
            (topic.to_owned(), partitions.collect())
        })
        .collect()
}
