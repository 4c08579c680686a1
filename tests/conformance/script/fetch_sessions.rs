//! Fetch sessions: what is told, what is left out, and who is told to begin again.

use super::*;
use kafka_protocol::messages::fetch_request::ForgottenTopic;
use uuid::Uuid;

const BY_NAME: i16 = 12;
const BY_ID: i16 = 16;

/// A partition by number, and from which offset.
type Asked = (i32, i64);

struct Topic {
    name: TopicName,
    id: Uuid,
}

impl Topic {
    fn created(client: &mut Client, name: &str) -> Self {
        let created = client.ask(7, &create(name, 3, &[]));
        Self {
            name: topic(name),
            id: created.topics[0].topic_id,
        }
    }

    fn asked(&self, version: i16, partitions: &[Asked]) -> FetchTopic {
        let partitions = partitions.iter().map(|(partition, offset)| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1_000_000)
        });
        let asked = FetchTopic::default().with_partitions(partitions.collect());
        if version >= BY_ID {
            asked.with_topic_id(self.id)
        } else {
            asked.with_topic(self.name.clone())
        }
    }

    fn forgotten(&self, partitions: &[i32]) -> ForgottenTopic {
        ForgottenTopic::default()
            .with_topic(self.name.clone())
            .with_partitions(partitions.to_vec())
    }
}

fn request(session: (i32, i32), topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_max_bytes(1_000_000)
        .with_session_id(session.0)
        .with_session_epoch(session.1)
        .with_topics(topics)
}

/// Waits until what was created or deleted is known.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}

pub(super) fn run(client: &mut Client) {
    let one = Topic::created(client, "session-one");
    let other = Topic::created(client, "session-other");
    settle();
    by_name(client, &one, &other);
    out_of_turn(client, &one);
    in_turns(client, &one, &other);
    by_id(client, &one, &other);
}

fn append(client: &mut Client, to: &Topic, partition: i32) {
    let mut request = produce(&to.name, Some(batch(2, ProducerStamp::NONE)));
    request.topic_data[0].partition_data[0].index = partition;
    let response = client.ask(9, &request);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

fn by_name(client: &mut Client, one: &Topic, other: &Topic) {
    append(client, one, 0);
    let nowhere = Topic {
        name: topic("session-nowhere"),
        id: Uuid::nil(),
    };
    let all = vec![
        nowhere.asked(BY_NAME, &[(0, 0)]),
        one.asked(BY_NAME, &[(0, 0), (1, 0), (7, 0)]),
        other.asked(BY_NAME, &[(0, 0)]),
    ];
    let begun = client.call("a session begins", BY_NAME, request((0, 0), all));
    let id = begun.session_id;
    let mut epoch = 0;
    let mut next = |client: &mut Client, step: &str, topics, forgotten| {
        epoch += 1;
        let request = request((id, epoch), topics).with_forgotten_topics_data(forgotten);
        client.call(step, BY_NAME, request);
    };
    let read = vec![one.asked(BY_NAME, &[(0, 2)])];
    next(client, "a session without news", read, vec![]);
    append(client, other, 0);
    next(client, "a session with news", vec![], vec![]);
    next(client, "a session with unread news", vec![], vec![]);
    let read = vec![other.asked(BY_NAME, &[(0, 2), (1, 0)])];
    next(client, "a session with one more", read, vec![]);
    let forgotten = vec![nowhere.forgotten(&[0]), one.forgotten(&[7])];
    next(client, "a session forgets", vec![], forgotten);
    let astray = vec![one.asked(BY_NAME, &[(1, 9)])];
    next(client, "a session goes astray", astray, vec![]);
    next(client, "a session stays astray", vec![], vec![]);
    let back = vec![one.asked(BY_NAME, &[(1, 0)])];
    next(client, "a session comes back", back, vec![]);
    next(client, "a session without news again", vec![], vec![]);
    let forgotten = vec![one.forgotten(&[0, 1]), other.forgotten(&[0, 1])];
    next(client, "a session forgets all", vec![], forgotten);
    next(client, "a session that is over", vec![], vec![]);
}

fn out_of_turn(client: &mut Client, one: &Topic) {
    let all = || vec![one.asked(BY_NAME, &[(0, 2)])];
    for (step, session) in [
        ("no session at an epoch", (0, 5)),
        ("a session that never was", (123_456_789, 1)),
        ("the end of a session that never was", (123_456_789, -1)),
    ] {
        client.call(step, BY_NAME, request(session, all()));
    }
    let id = client.ask(BY_NAME, &request((0, 0), all())).session_id;
    for (step, version, session) in [
        ("a session out of turn", BY_NAME, (id, 2)),
        ("a session at a negative epoch", BY_NAME, (id, -2)),
        ("a session by name continued by id", BY_ID, (id, 1)),
        ("a session in turn", BY_NAME, (id, 1)),
        ("a session in the same turn", BY_NAME, (id, 1)),
        ("a session that ends", BY_NAME, (id, -1)),
        ("a session that ended", BY_NAME, (id, 2)),
    ] {
        client.call(step, version, request(session, vec![]));
    }
    let id = client.ask(BY_NAME, &request((0, 0), all())).session_id;
    let begun = client.call("a session instead of another", 7, request((id, 0), all()));
    client.call("a session that was replaced", 7, request((id, 1), vec![]));
    client.call(
        "a session that replaced it",
        11,
        request((begun.session_id, 1), vec![]),
    );
}

/// One batch fits into an answer: each partition gets its turn.
fn in_turns(client: &mut Client, one: &Topic, other: &Topic) {
    append(client, one, 1);
    let all = vec![
        one.asked(BY_NAME, &[(0, 0), (1, 0)]),
        other.asked(BY_NAME, &[(0, 0)]),
    ];
    let narrow = |session, topics| request(session, topics).with_max_bytes(1);
    let begun = client.call("a narrow session begins", BY_NAME, narrow((0, 0), all));
    for epoch in 1..=5 {
        let request = narrow((begun.session_id, epoch), vec![]);
        client.call("a narrow session", BY_NAME, request);
    }
}

fn by_id(client: &mut Client, one: &Topic, other: &Topic) {
    let nowhere = Topic {
        name: topic(""),
        id: Uuid::from_u128(12_345),
    };
    let all = vec![
        nowhere.asked(BY_ID, &[(0, 0)]),
        one.asked(BY_ID, &[(2, 0)]),
        other.asked(BY_ID, &[(2, 0)]),
    ];
    let begun = client.call("a session by id", BY_ID, request((0, 0), all));
    let id = begun.session_id;
    client.call(
        "a session by id continued by name",
        BY_NAME,
        request((id, 1), vec![]),
    );
    client.call("a session by id goes on", 17, request((id, 1), vec![]));
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![one.name.clone()])
        .with_timeout_ms(5_000);
    client.ask(5, &delete);
    settle();
    client.call("a session after a topic's end", BY_ID, request((id, 2), vec![]));
    Topic::created(client, "session-one");
    settle();
    client.call(
        "a session after a topic's return",
        BY_ID,
        request((id, 3), vec![]),
    );
}
