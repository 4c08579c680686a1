//! The limit on changes of topics: old versions are held back after them, new ones are refused them.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;

use super::*;

pub(super) fn run(client: &mut Client) {
    for name in ["limited-one", "limited-two", "limited-three"] {
        client.ask(4, &create(name, 1, &[]));
    }
    let limit = OpData::default()
        .with_key(text("controller_mutation_rate"))
        .with_value(1.0);
    alter(client, limit.clone());
    // More than may be saved up: what comes next is above the limit for 29 seconds.
    apart(
        client,
        "changes within the limit",
        4,
        create("limited-many", 40, &[]),
    );
    for version in [4, 6, 7] {
        let request = create(&format!("limited-{version}"), 1, &[]);
        apart(client, "create above the limit", version, request);
    }
    let checked = create("limited-checked", 1, &[]).with_validate_only(true);
    apart(client, "check a topic above the limit", 7, checked);
    let invalid = create("limited-many", 1, &[]);
    apart(client, "create what is there above the limit", 7, invalid);
    for version in [2, 3] {
        let added = CreatePartitionsTopic::default()
            .with_name(topic("limited-three"))
            .with_count(version.into())
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![added])
            .with_timeout_ms(5_000);
        apart(client, "add partitions above the limit", version, request);
    }
    for (version, name) in [(4, "limited-one"), (5, "limited-two"), (6, "limited-two")] {
        let by_state = DeleteTopicState::default().with_name(Some(topic(name)));
        let request = DeleteTopicsRequest::default().with_timeout_ms(5_000);
        let request = match version {
            6 => request.with_topics(vec![by_state]),
            _ => request.with_topic_names(vec![topic(name)]),
        };
        apart(client, "delete above the limit", version, request);
    }
    alter(client, limit.with_remove(true));
    client.reconnect();
    client.call("create without a limit", 4, create("limited-two-more", 2, &[]));
}

/// On a connection of its own: the one before may be held back.
fn apart<R>(client: &mut Client, step: &str, version: i16, request: R)
where
    R: kafka_protocol::protocol::Request,
    R::Response: std::fmt::Debug,
{
    client.reconnect();
    client.call(step, version, request);
}

fn alter(client: &mut Client, operation: OpData) {
    client.reconnect();
    let entity = EntityData::default()
        .with_entity_type(text("client-id"))
        .with_entity_name(Some(text("conformance")));
    let entry = EntryData::default()
        .with_entity(vec![entity])
        .with_ops(vec![operation]);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    assert_eq!(client.ask(1, &request).entries[0].error_code, 0);
    // Until it is known.
    std::thread::sleep(std::time::Duration::from_millis(500));
}
