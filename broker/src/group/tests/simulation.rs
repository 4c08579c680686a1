//! Consumers that join, leave, are slow to revoke and lose answers, in any order: no partition is ever read by two of them,
//! and when they have come to rest every partition is read by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::group::*;
use crate::ids::CountingIds;

const CLIENTS: usize = 4;
/// Heartbeats of every client after which a group must be at rest.
const ROUNDS_TO_REST: usize = 12;

#[derive(Debug, Clone)]
enum Step {
    /// A client joins, or reports.
    Beat(usize),
    /// As Beat, and the answer is lost.
    Lost(usize),
    /// A client starts to read what it was given, and stops to read what it was not.
    Apply(usize),
    /// A client leaves.
    Leave(usize),
    /// A client reads topics by these bits, once it reports.
    Subscribe(usize, u8),
    /// A topic has so many partitions.
    Topic(usize, i32),
    /// The coordinator is loaded again from its log.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => client.clone().prop_map(Step::Beat),
        1 => client.clone().prop_map(Step::Lost),
        4 => client.clone().prop_map(Step::Apply),
        1 => client.clone().prop_map(Step::Leave),
        2 => (client, 0u8..4).prop_map(|(client, topics)| Step::Subscribe(client, topics)),
        1 => (0usize..2, 0i32..5).prop_map(|(topic, count)| Step::Topic(topic, count)),
        1 => Just(Step::Restart),
    ]
}

type Partitions = BTreeSet<(Uuid, i32)>;

/// A consumer, as far as the broker can tell.
#[derive(Debug, Default)]
struct Client {
    /// How often it joined anew: a part of its member id.
    lives: usize,
    epoch: i32,
    topics: u8,
    told_topics: Option<u8>,
    /// What it was last told to read.
    given: Partitions,
    /// What it reads.
    reads: Partitions,
}

struct Simulation {
    coordinator: GroupCoordinator,
    log: Vec<(Bytes, Option<Bytes>)>,
    clients: Vec<Client>,
    topics: BTreeMap<usize, i32>,
    version: u64,
}

fn new_coordinator() -> GroupCoordinator {
    GroupCoordinator::new(GroupConfig::new(1), Box::new(CountingIds::above(0)))
}

impl Simulation {
    fn new() -> Self {
        let clients = (0..CLIENTS).map(|_| Client {
            topics: 3,
            ..Client::default()
        });
        let mut simulation = Self {
            coordinator: new_coordinator(),
            log: Vec::new(),
            clients: clients.collect(),
            topics: BTreeMap::from([(0, 3), (1, 2)]),
            version: 0,
        };
        simulation.tell_topics();
        simulation
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Beat(client) => self.beat(*client, false),
            Step::Lost(client) => self.beat(*client, true),
            Step::Apply(client) => self.apply(*client),
            Step::Leave(client) => self.leave(*client),
            Step::Subscribe(client, topics) => self.clients[*client].topics = *topics,
            Step::Topic(topic, count) => {
                // Topics grow; to have less they are deleted first.
                let count = match self.topics.get(topic) {
                    Some(now) if count < now => 0,
                    _ => *count,
                };
                self.topics.insert(*topic, count);
                self.tell_topics();
            }
            Step::Restart => self.restart(),
        }
        self.check_safe();
    }

    fn tell_topics(&mut self) {
        self.version += 1;
        let there = self.topics.iter().filter(|(_, count)| **count > 0);
        let described = there.map(|(topic, count)| {
            let id = Uuid::from_u128(*topic as u128 + 1);
            let partition_count = *count;
            (topic.to_string(), TopicInfo { id, partition_count })
        });
        let image = TopicImage::new(self.version, described);
        self.drive(GroupEvent::TopicsChanged(Arc::new(image)));
    }

    fn request(&mut self, index: usize) -> ConsumerGroupHeartbeatRequest {
        let client = &mut self.clients[index];
        let says_all = client.told_topics != Some(client.topics) || client.epoch == 0;
        if says_all {
            // Whoever says what it reads must not act on what it was told before any more.
            client.given.clone_from(&client.reads);
        }
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text(&format!("{index}-{}", client.lives)))
            .with_member_epoch(client.epoch)
            .with_rebalance_timeout_ms(60_000);
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &client.reads {
            owned.entry(*topic).or_default().push(*partition);
        }
        let owned = owned.into_iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(topic)
                .with_partitions(partitions)
        });
        // Between being told and acting on it a consumer says nothing of what it reads.
        let acted = client.given == client.reads;
        request.topic_partitions = acted.then(|| owned.collect());
        if says_all {
            let names = (0..2).filter(|topic| client.topics & (1 << topic) != 0);
            let names = names.map(|topic: u8| TopicName(text(&topic.to_string())));
            request.subscribed_topic_names = Some(names.collect());
        }
        request
    }

    fn beat(&mut self, index: usize, lost: bool) {
        let request = self.request(index);
        let response = self.heartbeat(request);
        let client = &mut self.clients[index];
        match ResponseError::try_from_code(response.error_code) {
            // It does not know what became of its heartbeat: the next one says all.
            _ if lost => client.told_topics = None,
            None => {
                client.epoch = response.member_epoch;
                client.told_topics = Some(client.topics);
                if let Some(assignment) = response.assignment {
                    let topics = assignment.topic_partitions.into_iter();
                    client.given = topics
                        .flat_map(|topic| {
                            topic
                                .partitions
                                .into_iter()
                                .map(move |partition| (topic.topic_id, partition))
                        })
                        .collect();
                }
            }
            Some(ResponseError::FencedMemberEpoch | ResponseError::UnknownMemberId) => {
                // It stops reading before it joins again, under a new id; the old one is taken out as its session would.
                self.leave(index);
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.reads.clone_from(&client.given);
    }

    fn leave(&mut self, index: usize) {
        let request = self.request(index).with_member_epoch(-1);
        self.heartbeat(request);
        let client = &mut self.clients[index];
        *client = Client {
            lives: client.lives + 1,
            topics: client.topics,
            ..Client::default()
        };
    }

    fn heartbeat(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let event = GroupEvent::Request {
            token: 0,
            client: crate::group::Client {
                id: "c".to_owned(),
                host: "/h".to_owned(),
            },
            version: 1,
            request: Box::new(GroupRequest::ConsumerHeartbeat(request)),
        };
        match self.drive(event) {
            Some(GroupReply::ConsumerHeartbeat(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    fn drive(&mut self, event: GroupEvent) -> Option<GroupReply> {
        let mut reply = None;
        for action in self.coordinator.handle(event, 0) {
            match action {
                GroupAction::Append { append, records, .. } => {
                    self.log.extend(records);
                    let event = GroupEvent::Appended {
                        append,
                        result: Ok(0),
                    };
                    reply = self.drive(event).or(reply);
                }
                GroupAction::Reply { reply: given, .. } => reply = Some(given),
                GroupAction::CreateTopics(_) => {}
            }
        }
        reply
    }

    fn restart(&mut self) {
        self.coordinator = new_coordinator();
        for (key, value) in &self.log {
            self.coordinator.load(key, value.as_deref(), 0, None, 0).unwrap();
        }
        assert!(self.coordinator.finish_loading(0).is_empty());
        self.tell_topics();
    }

    /// Nobody reads what another reads.
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

    /// Left alone, every partition of every topic that is read comes to one reader, and the group is stable.
    fn check_rest(&mut self) {
        for _ in 0..ROUNDS_TO_REST {
            for index in 0..CLIENTS {
                self.beat(index, false);
                self.check_safe();
                self.apply(index);
                self.check_safe();
            }
        }
        let group = self.coordinator.group("g").unwrap();
        assert_eq!(group.state_name(), "Stable");
        let read: BTreeSet<_> = self
            .clients
            .iter()
            .flat_map(|client| client.reads.clone())
            .collect();
        let wanted = self.topics.iter().filter(|(topic, _)| {
            self.clients
                .iter()
                .any(|client| client.topics & (1 << **topic) != 0)
        });
        let all = wanted.flat_map(|(topic, count)| {
            let id = Uuid::from_u128(*topic as u128 + 1);
            (0..*count).map(move |partition| (id, partition))
        });
        assert_eq!(read, all.collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_partition_has_two_readers_and_all_have_one_in_the_end(steps in prop::collection::vec(step(), 0..80)) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.step(step);
        }
        simulation.check_rest();
    }
}
