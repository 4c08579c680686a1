//! Rules of membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{DEADLINE, Harness, offset};
use crate::assignment::{Assignor, TaskId};
use crate::log::TopicPartition;
use crate::membership::{Membership, MembershipConfig, MembershipEvent};

/// How long a member may wait in one call, and how long all of them rest between two.
const STEP: Duration = Duration::from_millis(50);
const REST: Duration = Duration::from_millis(5);

/// A member as a stream thread drives it.
struct Member {
    membership: Box<dyn Membership>,
    tasks: Vec<TaskId>,
    events: Vec<&'static str>,
}

impl Member {
    fn new(harness: &Harness, group: &str, topic: &str, partitions: i32) -> Self {
        let task = |partition| TaskId {
            subtopology: 0,
            partition,
        };
        let tasks: BTreeMap<TaskId, Vec<TopicPartition>> = (0..partitions)
            .map(|p| (task(p), vec![TopicPartition::new(topic, p)]))
            .collect();
        let config = MembershipConfig {
            group_id: group.to_owned(),
            client_id: harness.name("member"),
            topics: vec![topic.to_owned()],
            assignor: Arc::new(Assignor::new(tasks)),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            heartbeat_interval_ms: 100,
        };
        let membership = harness.log.membership(&config).unwrap();
        Self {
            membership,
            tasks: Vec::new(),
            events: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.membership.poll(&self.tasks, STEP).unwrap() {
            MembershipEvent::Unchanged => {}
            MembershipEvent::RevokeThenRejoin => self.events.push("revoke"),
            MembershipEvent::Assigned(tasks) => {
                self.events.push("assigned");
                self.tasks = tasks;
            }
            MembershipEvent::Lost => {
                self.events.push("lost");
                self.tasks.clear();
            }
        }
    }
}

/// Drives all members until they have this many tasks, together all of them.
fn drive(members: &mut [&mut Member], counts: &[usize]) {
    for _ in 0..DEADLINE.as_millis() / REST.as_millis() {
        for member in members.iter_mut() {
            member.step();
        }
        std::thread::sleep(REST);
        let mut found: Vec<usize> = members.iter().map(|member| member.tasks.len()).collect();
        found.sort_unstable();
        let mut all: Vec<TaskId> = members.iter().flat_map(|member| member.tasks.clone()).collect();
        let total = all.len();
        all.sort_unstable();
        all.dedup();
        if found == counts && all.len() == total {
            return;
        }
    }
    let found: Vec<_> = members
        .iter()
        .map(|member| (&member.tasks, &member.events))
        .collect();
    panic!("expected {counts:?} tasks, found {found:?}");
}

pub(super) fn one_member(harness: &Harness) {
    let (group, topic) = (harness.name("group"), harness.topic(3));
    let mut member = Member::new(harness, &group, &topic, 3);
    drive(&mut [&mut member], &[3]);
    assert_eq!(member.events, ["assigned"]);
    assert!(member.membership.group_metadata().generation_id >= 0);
    member.membership.commit(&[offset(&topic, 5)]).unwrap();
    assert_eq!(harness.committed(&group, &topic), Some(5));
    member.membership.leave().unwrap();
}

pub(super) fn join_and_leave(harness: &Harness) {
    let (group, topic) = (harness.name("group"), harness.topic(4));
    let mut first = Member::new(harness, &group, &topic, 4);
    drive(&mut [&mut first], &[4]);
    let mut second = Member::new(harness, &group, &topic, 4);
    drive(&mut [&mut first, &mut second], &[2, 2]);
    assert!(
        first.events.starts_with(&["assigned", "revoke", "assigned"]),
        "{:?}",
        first.events
    );
    first.membership.leave().unwrap();
    drive(&mut [&mut second], &[4]);
    second.membership.leave().unwrap();
}

pub(super) fn fenced_commit(harness: &Harness) {
    let (group, topic) = (harness.name("group"), harness.topic(1));
    let mut gone = Member::new(harness, &group, &topic, 1);
    drive(&mut [&mut gone], &[1]);
    let metadata = gone.membership.group_metadata();
    gone.membership.leave().unwrap();
    let mut heir = Member::new(harness, &group, &topic, 1);
    drive(&mut [&mut heir], &[1]);
    let mut producer = harness.transactional(&harness.name("txn"));
    producer.begin_transaction().unwrap();
    let sent = producer.send_offsets(&[offset(&topic, 9)], &metadata);
    // A queueing client may learn of it at commit.
    let outcome = sent.and_then(|()| producer.commit_transaction());
    assert!(
        outcome.is_err_and(|error| error.is_fenced()),
        "offsets of a former member must be refused"
    );
    let _ = producer.abort_transaction();
    assert_eq!(harness.committed(&group, &topic), None);
    heir.membership.leave().unwrap();
}
