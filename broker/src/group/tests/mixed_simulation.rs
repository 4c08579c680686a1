//! Consumers of both protocols in one group, that join, leave, lose answers and change their protocol: no partition is ever read
//! by two of them, and when they have come to rest every partition is read by one, in a group of the right kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    SyncGroupRequest, TopicName,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::migration::{Named, assignment, read_assignment, read_subscription, subscription};
use crate::group::*;
use crate::ids::CountingIds;

const CLIENTS: usize = 4;
const TOPICS: [(&str, i32); 2] = [("0", 3), ("1", 2)];
/// So often every client is heard of until a group must be at rest, and so long it takes each time.
const ROUNDS_TO_REST: usize = 60;
const ROUND_MS: i64 = 3_000;

#[derive(Debug, Clone)]
enum Step {
    /// A client does what comes next.
    Beat(usize),
    /// As Beat, and the answer is lost.
    Lost(usize),
    /// A client of the consumer protocol reads what it was told.
    Apply(usize),
    Leave(usize),
    /// A client leaves, to come back with the other protocol.
    Switch(usize),
    /// A client reads topics by these bits, once it says so.
    Subscribe(usize, u8),
    /// The coordinator is loaded again from its log.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        12 => client.clone().prop_map(Step::Beat),
        1 => client.clone().prop_map(Step::Lost),
        4 => client.clone().prop_map(Step::Apply),
        1 => client.clone().prop_map(Step::Leave),
        2 => client.clone().prop_map(Step::Switch),
        1 => (client, 0u8..4).prop_map(|(client, topics)| Step::Subscribe(client, topics)),
        1 => Just(Step::Restart),
    ]
}

type Partitions = BTreeSet<(String, i32)>;

/// Where a classic client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    MustJoin,
    MustSync,
    Stable,
}

#[derive(Debug, Default)]
struct Client {
    is_classic: bool,
    /// It keeps what it reads while it joins.
    is_cooperative: bool,
    lives: usize,
    member_id: String,
    /// Epoch or generation.
    epoch: i32,
    phase: Phase,
    /// What it assigned, if it leads.
    assigns: Vec<(String, Named)>,
    topics: u8,
    told_topics: Option<u8>,
    given: Partitions,
    reads: Partitions,
    waits_for: Option<u64>,
}

struct Simulation {
    coordinator: GroupCoordinator,
    log: Vec<(Bytes, Option<Bytes>)>,
    clients: Vec<Client>,
    tokens: u64,
    now_ms: i64,
}

fn coordinator(start: u128) -> GroupCoordinator {
    let mut config = GroupConfig::new(1);
    config.initial_rebalance_delay_ms = 0;
    GroupCoordinator::new(config, Box::new(CountingIds::above(start)))
}

fn id_of(topic: &str) -> Uuid {
    Uuid::from_u128(topic.parse::<u128>().unwrap() + 1)
}

fn named(partitions: &Partitions) -> Named {
    let mut named = Named::new();
    for (topic, partition) in partitions {
        named.entry(topic.clone()).or_default().push(*partition);
    }
    named
}

fn flat(named: &Named) -> Partitions {
    let topics = named.iter();
    topics
        .flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |partition| (topic.clone(), *partition))
        })
        .collect()
}

impl Client {
    fn topic_names(&self) -> Vec<&'static str> {
        let wanted = TOPICS.iter().enumerate();
        let wanted = wanted.filter(|(index, _)| self.topics & (1 << index) != 0);
        wanted.map(|(_, (name, _))| *name).collect()
    }

    /// It lost its place, and reads nothing any more.
    fn start_over(&mut self) {
        self.lives += 1;
        self.member_id.clear();
        self.epoch = 0;
        self.phase = Phase::MustJoin;
        self.told_topics = None;
        self.given.clear();
        self.reads.clear();
        self.waits_for = None;
    }
}

/// Everybody gets a share of what they read; what another still has must be given up first.
fn assign(members: &[(String, Vec<String>, Named)]) -> Vec<(String, Named)> {
    let mut shares: BTreeMap<&str, Partitions> = BTreeMap::new();
    let mut turn = 0;
    for (topic, count) in TOPICS {
        let readers: Vec<_> = members
            .iter()
            .filter(|(_, topics, _)| topics.iter().any(|read| read == topic))
            .collect();
        for partition in 0..count {
            let Some((member_id, ..)) = readers.get(turn % readers.len().max(1)) else {
                continue;
            };
            turn += 1;
            let holder = members
                .iter()
                .find(|(_, _, owned)| flat(owned).contains(&(topic.to_owned(), partition)));
            if holder.is_none_or(|(holder, ..)| holder == member_id) {
                shares
                    .entry(member_id)
                    .or_default()
                    .insert((topic.to_owned(), partition));
            }
        }
    }
    shares
        .into_iter()
        .map(|(member_id, share)| (member_id.to_owned(), named(&share)))
        .collect()
}

impl Simulation {
    fn new(kinds: &[u8]) -> Self {
        let clients = kinds.iter().map(|kind| Client {
            is_classic: kind % 2 == 0,
            is_cooperative: *kind >= 2,
            topics: 3,
            ..Client::default()
        });
        let mut simulation = Self {
            coordinator: coordinator(0),
            log: Vec::new(),
            clients: clients.collect(),
            tokens: 0,
            now_ms: 0,
        };
        simulation.tell_topics(1);
        simulation
    }

    fn tell_topics(&mut self, version: u64) {
        let described = TOPICS.map(|(name, partition_count)| {
            let id = id_of(name);
            (name.to_owned(), TopicInfo { id, partition_count })
        });
        self.drive(GroupEvent::TopicsChanged(Arc::new(TopicImage::new(
            version, described,
        ))));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Beat(client) => self.beat(*client),
            Step::Lost(client) => {
                self.beat_in_vain(*client);
            }
            Step::Apply(client) => self.apply(*client),
            Step::Leave(client) => self.leave(*client),
            Step::Switch(client) => {
                self.leave(*client);
                let client = &mut self.clients[*client];
                client.is_classic = !client.is_classic;
            }
            Step::Subscribe(client, topics) => self.clients[*client].topics = *topics,
            Step::Restart => self.restart(),
        }
        self.check_safe();
    }

    fn beat(&mut self, index: usize) {
        if self.clients[index].waits_for.is_none() {
            let request = self.next_request(index);
            self.send(Some(index), request);
        }
    }

    fn beat_in_vain(&mut self, index: usize) {
        if self.clients[index].waits_for.is_none() {
            let request = self.next_request(index);
            self.send(None, request);
            let client = &mut self.clients[index];
            client.told_topics = None;
            client.phase = Phase::MustJoin;
        }
    }

    fn next_request(&mut self, index: usize) -> GroupRequest {
        let client = &mut self.clients[index];
        let group_id = GroupId(text("g"));
        if !client.is_classic {
            return GroupRequest::ConsumerHeartbeat(client.heartbeat(index));
        }
        if client.told_topics != Some(client.topics) {
            client.phase = Phase::MustJoin;
        }
        match client.phase {
            Phase::MustJoin => {
                if !client.is_cooperative {
                    client.reads.clear();
                }
                client.told_topics = Some(client.topics);
                let metadata = subscription(&client.topic_names(), &named(&client.reads));
                let protocol = JoinGroupRequestProtocol::default()
                    .with_name(text("any"))
                    .with_metadata(metadata);
                let request = JoinGroupRequest::default()
                    .with_group_id(group_id)
                    .with_session_timeout_ms(10_000)
                    .with_rebalance_timeout_ms(20_000)
                    .with_member_id(text(&client.member_id))
                    .with_protocol_type(text("consumer"))
                    .with_protocols(vec![protocol]);
                GroupRequest::Join(request)
            }
            Phase::MustSync => {
                let assigns = client.assigns.drain(..).map(|(member_id, share)| {
                    SyncGroupRequestAssignment::default()
                        .with_member_id(text(&member_id))
                        .with_assignment(assignment(&share))
                });
                let request = SyncGroupRequest::default()
                    .with_group_id(group_id)
                    .with_generation_id(client.epoch)
                    .with_assignments(assigns.collect())
                    .with_member_id(text(&client.member_id));
                GroupRequest::Sync(request)
            }
            Phase::Stable => {
                let request = HeartbeatRequest::default()
                    .with_group_id(group_id)
                    .with_generation_id(client.epoch)
                    .with_member_id(text(&client.member_id));
                GroupRequest::Heartbeat(request)
            }
        }
    }

    fn apply(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.is_classic {
            client.reads.clone_from(&client.given);
        }
    }

    fn leave(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let group_id = GroupId(text("g"));
        let request = if client.is_classic {
            let member = MemberIdentity::default().with_member_id(text(&client.member_id));
            let request = LeaveGroupRequest::default().with_group_id(group_id);
            GroupRequest::Leave(request.with_members(vec![member]))
        } else {
            let request = client.heartbeat(index).with_member_epoch(-1);
            GroupRequest::ConsumerHeartbeat(request)
        };
        client.start_over();
        self.send(None, request);
    }

    /// Sends a request whose answer nobody waits for, or this client.
    fn send(&mut self, index: Option<usize>, request: GroupRequest) {
        self.tokens += 1;
        let token = self.tokens;
        if let Some(index) = index {
            self.clients[index].waits_for = Some(token);
        }
        let version = match request {
            GroupRequest::Join(_) => 3,
            GroupRequest::ConsumerHeartbeat(_) => 1,
            _ => 4,
        };
        self.drive(GroupEvent::Request {
            token,
            client: crate::group::Client {
                id: "c".to_owned(),
                host: "/h".to_owned(),
            },
            version,
            request: Box::new(request),
        });
    }

    fn drive(&mut self, event: GroupEvent) {
        for action in self.coordinator.handle(event, self.now_ms) {
            match action {
                GroupAction::Append { append, records, .. } => {
                    self.log.extend(records);
                    self.drive(GroupEvent::Appended {
                        append,
                        result: Ok(0),
                    });
                }
                GroupAction::Reply { token, reply } => {
                    let waits = |client: &Client| client.waits_for == Some(token);
                    if let Some(client) = self.clients.iter_mut().find(|client| waits(client)) {
                        client.waits_for = None;
                        client.hear(reply);
                    }
                }
                GroupAction::CreateTopics(_) => {}
            }
        }
    }

    fn restart(&mut self) {
        self.coordinator = coordinator(u128::from(self.tokens) << 64);
        for (key, value) in &self.log {
            self.coordinator
                .load(key, value.as_deref(), 0, None, self.now_ms)
                .unwrap();
        }
        let actions = self.coordinator.finish_loading(self.now_ms);
        assert!(actions.is_empty());
        for client in &mut self.clients {
            if client.waits_for.take().is_some() {
                client.told_topics = None;
                client.phase = Phase::MustJoin;
            }
        }
        self.tell_topics(self.tokens + 2);
    }

    fn check_safe(&self) {
        let mut readers = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            for partition in &client.reads {
                if let Some(other) = readers.insert(partition, index) {
                    panic!("{partition:?} is read by {other} and {index}");
                }
            }
        }
    }

    fn check_rest(&mut self) {
        for _ in 0..ROUNDS_TO_REST {
            self.now_ms += ROUND_MS;
            self.drive(GroupEvent::Tick);
            for index in 0..CLIENTS {
                for _ in 0..3 {
                    self.beat(index);
                    self.check_safe();
                    self.apply(index);
                    self.check_safe();
                }
            }
        }
        let group = self.coordinator.group("g").unwrap();
        let all_classic = self.clients.iter().all(|client| client.is_classic);
        let kind = if all_classic { "classic" } else { "consumer" };
        assert_eq!((group.type_name(), group.state_name()), (kind, "Stable"));
        let mut read = Partitions::new();
        for client in &self.clients {
            let names = client.topic_names();
            assert!(
                client
                    .reads
                    .iter()
                    .all(|(topic, _)| names.contains(&topic.as_str()))
            );
            read.extend(client.reads.clone());
        }
        let wanted = TOPICS.iter().enumerate().filter(|(index, _)| {
            self.clients
                .iter()
                .any(|client| client.topics & (1 << index) != 0)
        });
        let wanted = wanted
            .flat_map(|(_, (name, count))| (0..*count).map(|partition| ((*name).to_owned(), partition)));
        assert_eq!(read, wanted.collect());
    }
}

impl Client {
    fn heartbeat(&mut self, index: usize) -> ConsumerGroupHeartbeatRequest {
        let says_all = self.told_topics != Some(self.topics) || self.epoch == 0;
        if says_all {
            // Whoever says what it reads must not act on what it was told before any more.
            self.given.clone_from(&self.reads);
        }
        self.member_id = format!("{index}-{}", self.lives);
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text(&self.member_id))
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(60_000);
        let owned = named(&self.reads).into_iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(id_of(&topic))
                .with_partitions(partitions)
        });
        // Between being told and acting on it a consumer says nothing of what it reads.
        request.topic_partitions = (self.given == self.reads).then(|| owned.collect());
        if says_all {
            let names = self.topic_names().into_iter();
            request.subscribed_topic_names = Some(names.map(|name| TopicName(text(name))).collect());
        }
        request
    }

    fn hear(&mut self, reply: GroupReply) {
        match reply {
            GroupReply::ConsumerHeartbeat(response) => match response.error_code {
                0 => {
                    self.epoch = response.member_epoch;
                    self.told_topics = Some(self.topics);
                    if let Some(assignment) = response.assignment {
                        let topics = assignment.topic_partitions.into_iter();
                        self.given = topics
                            .flat_map(|topic| {
                                let name = (topic.topic_id.as_u128() - 1).to_string();
                                let partitions = topic.partitions.into_iter();
                                partitions.map(move |partition| (name.clone(), partition))
                            })
                            .collect();
                    }
                }
                _ => self.start_over(),
            },
            GroupReply::Join(response) => self.hear_join(&response),
            GroupReply::Sync(response) => self.hear_error(response.error_code, |client| {
                let assigned = flat(&read_assignment(&response.assignment));
                // What was kept while joining and is not assigned any more is given up, which is told by joining again.
                let gives_up = client.reads.difference(&assigned).next().is_some();
                client.reads = assigned;
                client.phase = if gives_up { Phase::MustJoin } else { Phase::Stable };
            }),
            GroupReply::Heartbeat(response) => self.hear_error(response.error_code, |_| {}),
            other => panic!("{other:?}"),
        }
    }

    fn hear_join(&mut self, response: &JoinGroupResponse) {
        self.hear_error(response.error_code, |client| {
            client.member_id = response.member_id.to_string();
            client.epoch = response.generation_id;
            client.phase = Phase::MustSync;
            let members = response.members.iter().map(|member| {
                let (topics, owned) = read_subscription(&member.metadata);
                (member.member_id.to_string(), topics, owned)
            });
            client.assigns = assign(&members.collect::<Vec<_>>());
        });
    }

    fn hear_error(&mut self, code: i16, or_else: impl FnOnce(&mut Self)) {
        match ResponseError::try_from_code(code) {
            None => or_else(self),
            Some(ResponseError::RebalanceInProgress) => self.phase = Phase::MustJoin,
            Some(ResponseError::IllegalGeneration) => {
                self.reads.clear();
                self.phase = Phase::MustJoin;
            }
            Some(ResponseError::UnknownMemberId) => self.start_over(),
            Some(other) => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_partition_has_two_readers_whatever_protocol_they_speak(
        kinds in prop::collection::vec(0u8..4, CLIENTS),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut simulation = Simulation::new(&kinds);
        for step in &steps {
            simulation.step(step);
        }
        simulation.check_rest();
    }
}
