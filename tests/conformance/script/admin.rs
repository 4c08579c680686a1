//! Administration: metadata, configs, partitions, producers and transactions, quotas, credentials, reassignments.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest as DescribedTopic};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{alter_configs_request, describe_producers_request, elect_leaders_request};
use uuid::Uuid;

use super::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
/// No clause matches any number of them.
const MATCHES_ANY: i8 = 2;

pub(super) fn run(client: &mut Client) {
    client.ask(4, &create("managed", 2, &[("retention.ms", "5000")]));
    metadata(client);
    partitions(client);
    configs(client);
    epochs_and_producers(client);
    security(client);
    quotas(client);
    reassignments(client);
    deletions(client);
}

fn about(name: &str) -> MetadataRequest {
    let wanted = MetadataRequestTopic::default().with_name(Some(topic(name)));
    MetadataRequest::default().with_topics(Some(vec![wanted]))
}

fn metadata(client: &mut Client) {
    for version in 0..=12 {
        client.call("metadata", version, about("plain"));
    }
    client.call("metadata of an unknown topic", 12, about("unknown"));
    client.call("metadata of a bad name", 12, about("a b"));
    client.call(
        "metadata of no topic",
        12,
        MetadataRequest::default().with_topics(Some(vec![])),
    );
    let by_id = MetadataRequestTopic::default().with_topic_id(Uuid::from_u128(77));
    client.call(
        "metadata of an unknown id",
        12,
        MetadataRequest::default().with_topics(Some(vec![by_id])),
    );
    for version in 0..=1 {
        client.call(
            "describe the cluster",
            version,
            DescribeClusterRequest::default().with_endpoint_type(1),
        );
    }
    let described = |names: &[&str]| {
        let topics = names
            .iter()
            .map(|name| DescribedTopic::default().with_name(topic(name)));
        DescribeTopicPartitionsRequest::default()
            .with_response_partition_limit(1)
            .with_topics(topics.collect())
    };
    client.call("describe topic partitions", 0, described(&["managed", "unknown"]));
    let cursor = Cursor::default()
        .with_topic_name(topic("managed"))
        .with_partition_index(1);
    client.call(
        "describe topic partitions from a cursor",
        0,
        described(&["managed"]).with_cursor(Some(cursor)),
    );
}

fn partitions(client: &mut Client) {
    let grow = |name: &str, count: i32| {
        let grown = CreatePartitionsTopic::default()
            .with_name(topic(name))
            .with_count(count)
            .with_assignments(None);
        CreatePartitionsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(vec![grown])
    };
    client.call("no more partitions", 3, grow("managed", 2));
    client.call("fewer partitions", 3, grow("managed", 1));
    client.call("no partitions", 3, grow("managed", 0));
    client.call("partitions of an unknown topic", 3, grow("unknown", 3));
    client.call(
        "validate more partitions",
        3,
        grow("managed", 3).with_validate_only(true),
    );
    client.call("more partitions", 3, grow("managed", 3));
    let mut assigned = grow("managed", 4);
    let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(9)]);
    assigned.topics[0].assignments = Some(vec![assignment]);
    client.call("a partition on a broker that is not there", 3, assigned);
}

/// Names, values and where they come from, in the order of the names.
fn described(client: &mut Client, step: &str, kind: i8, name: &str, keys: Option<&[&str]>) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()));
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    let response: DescribeConfigsResponse = client.ask(4, &request);
    for result in response.results {
        // Share groups are not served; where the default of min.insync.replicas comes from depends on a feature of replication.
        let differs = |name: &str| name.starts_with("share.") || name == "min.insync.replicas";
        let mut lines: Vec<String> = result
            .configs
            .iter()
            .filter(|config| !differs(&config.name))
            .map(|config| {
                let synonyms: Vec<String> = config
                    .synonyms
                    .iter()
                    .map(|synonym| format!("{}={:?}@{}", &*synonym.name, synonym.value, synonym.source))
                    .collect();
                format!(
                    "{}={:?} source {} type {}{}{} {}",
                    &*config.name,
                    config.value,
                    config.config_source,
                    config.config_type,
                    if config.read_only { " read-only" } else { "" },
                    if config.is_sensitive { " sensitive" } else { "" },
                    synonyms.join(" ")
                )
            })
            .collect();
        lines.sort();
        client.note(step, &format!("error {}", result.error_code));
        for line in lines {
            client.note(step, &line);
        }
    }
}

fn alter(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> IncrementalAlterConfigsRequest {
    let configs = changes.iter().map(|(key, operation, value)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

fn configs(client: &mut Client) {
    described(client, "configs of a topic", TOPIC, "managed", None);
    described(client, "configs of an unknown topic", TOPIC, "unknown", None);
    for (step, changes) in [
        (
            "set configs",
            &[
                ("segment.bytes", SET, Some("2000000")),
                ("retention.ms", SET, Some("9000")),
            ][..],
        ),
        ("set an unknown config", &[("no.such", SET, Some("1"))]),
        ("set a bad value", &[("retention.ms", SET, Some("soon"))]),
        ("set without a value", &[("retention.ms", SET, None)]),
        ("append to a list", &[("cleanup.policy", APPEND, Some("compact"))]),
        ("append to a number", &[("retention.ms", APPEND, Some("1"))]),
        (
            "subtract from a list",
            &[("cleanup.policy", SUBTRACT, Some("delete"))],
        ),
        ("delete a config", &[("retention.ms", DELETE, None)]),
        ("delete what is not set", &[("flush.ms", DELETE, None)]),
        (
            "one config twice",
            &[("flush.ms", SET, Some("1")), ("flush.ms", SET, Some("2"))],
        ),
    ] {
        client.call(step, 1, alter(TOPIC, "managed", changes));
    }
    client.call(
        "alter an unknown topic",
        1,
        alter(TOPIC, "unknown", &[("flush.ms", SET, Some("1"))]),
    );
    client.call(
        "validate a change",
        1,
        alter(TOPIC, "managed", &[("flush.ms", SET, Some("7"))]).with_validate_only(true),
    );
    let keys = [
        "segment.bytes",
        "retention.ms",
        "cleanup.policy",
        "flush.ms",
        "no.such",
    ];
    described(client, "configs after changes", TOPIC, "managed", Some(&keys));
    let whole = alter_configs_request::AlterableConfig::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("50000")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("managed"))
        .with_configs(vec![whole]);
    client.call(
        "replace all configs",
        2,
        AlterConfigsRequest::default().with_resources(vec![resource]),
    );
    let keys = ["segment.bytes", "max.message.bytes", "cleanup.policy"];
    described(
        client,
        "configs after a replacement",
        TOPIC,
        "managed",
        Some(&keys),
    );
    client.call(
        "set a broker config",
        1,
        alter(BROKER, "", &[("log.retention.ms", SET, Some("777000"))]),
    );
    settle();
    let keys = ["retention.ms"];
    described(
        client,
        "a topic follows its broker",
        TOPIC,
        "managed",
        Some(&keys),
    );
    client.call(
        "unset a broker config",
        1,
        alter(BROKER, "", &[("log.retention.ms", DELETE, None)]),
    );
    client.call(
        "set what is read at the start",
        1,
        alter(BROKER, "1", &[("log.dirs", SET, Some("/x"))]),
    );
    client.call(
        "configs of another broker",
        1,
        alter(BROKER, "12", &[("log.retention.ms", SET, Some("1"))]),
    );
    let keys = [
        "log.retention.ms",
        "log.retention.hours",
        "message.max.bytes",
        "log.segment.bytes",
        "log.cleaner.min.cleanable.ratio",
        "compression.type",
        "group.max.session.timeout.ms",
        "transaction.max.timeout.ms",
        "offsets.retention.minutes",
        "num.partitions",
        "background.threads",
        "auto.create.topics.enable",
        "max.connections.per.ip",
        "no.such",
    ];
    described(client, "configs of a broker", BROKER, "1", Some(&keys));
    client.call(
        "set a group config",
        1,
        alter(GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]),
    );
    client.call(
        "set a group config out of range",
        1,
        alter(GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("1"))]),
    );
    described(client, "configs of a group", GROUP, "g", None);
}

fn epochs_and_producers(client: &mut Client) {
    let epoch = |name: &str, current: i32, wanted: i32| {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(current)
            .with_leader_epoch(wanted);
        let asked = OffsetForLeaderTopic::default()
            .with_topic(topic(name))
            .with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![asked])
    };
    for version in 2..=4 {
        client.call("offset of an epoch", version, epoch("plain", -1, 0));
    }
    client.call("offset of a later epoch", 4, epoch("plain", -1, 5));
    client.call("offset asked with a later epoch", 4, epoch("plain", 5, 0));
    client.call("offset of an unknown topic", 4, epoch("unknown", -1, 0));
    let producers = |name: &str, partition: i32| {
        let asked = describe_producers_request::TopicRequest::default()
            .with_name(topic(name))
            .with_partition_indexes(vec![partition]);
        DescribeProducersRequest::default().with_topics(vec![asked])
    };
    client.call("producers", 0, producers("idempotent", 0));
    client.call("producers of an unknown partition", 0, producers("idempotent", 5));
    client.call("producers of an unknown topic", 0, producers("unknown", 0));
    let listed = ListTransactionsRequest::default().with_duration_filter(-1);
    client.call("transactions", 1, listed.clone());
    client.call(
        "transactions of a state",
        1,
        listed.clone().with_state_filters(vec![text("Ongoing")]),
    );
    client.call(
        "transactions of a state that is none",
        1,
        listed.with_state_filters(vec![text("Odd")]),
    );
    let described =
        |name: &str| DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional(name)]);
    client.call("describe an unknown transaction", 0, described("never"));
    client.call("describe a transaction", 0, described("one"));
}

fn security(client: &mut Client) {
    let any = DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1);
    client.call("acls without an authorizer", 3, any);
    let acl = AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("plain"))
        .with_resource_pattern_type(3)
        .with_principal(text("User:a"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    client.call(
        "create an acl",
        3,
        CreateAclsRequest::default().with_creations(vec![acl]),
    );
    let credential = |name: &str, mechanism: i8, iterations: i32| {
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(text(name))
            .with_mechanism(mechanism)
            .with_iterations(iterations)
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(b"0123456789abcdef0123456789abcdef"));
        AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion])
    };
    client.call("a credential", 0, credential("alice", 1, 4096));
    client.call("a credential of few iterations", 0, credential("bob", 1, 10));
    client.call("a credential of too many", 0, credential("bob", 1, 1_000_000));
    client.call(
        "a credential of a mechanism that is none",
        0,
        credential("bob", 7, 4096),
    );
    client.call("a credential without a name", 0, credential("", 1, 4096));
    let of = |names: Option<&[&str]>| {
        let users = names.map(|names| {
            names
                .iter()
                .map(|name| UserName::default().with_name(text(name)))
                .collect()
        });
        DescribeUserScramCredentialsRequest::default().with_users(users)
    };
    settle();
    client.call("credentials", 0, of(None));
    client.call("credentials of somebody unknown", 0, of(Some(&["carol"])));
    client.call("credentials of one twice", 0, of(Some(&["alice", "alice"])));
    let remove = |name: &str| {
        let deletion = ScramCredentialDeletion::default()
            .with_name(text(name))
            .with_mechanism(1);
        AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion])
    };
    client.call("remove a credential", 0, remove("alice"));
    client.call("remove it again", 0, remove("alice"));
}

fn quotas(client: &mut Client) {
    let quota = |kind: &str, name: Option<&str>, key: &str, value: f64| {
        let entity = EntityData::default()
            .with_entity_type(text(kind))
            .with_entity_name(name.map(text));
        let op = OpData::default().with_key(text(key)).with_value(value);
        let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
        AlterClientQuotasRequest::default().with_entries(vec![entry])
    };
    client.call(
        "a quota",
        1,
        quota("user", Some("alice"), "producer_byte_rate", 1_000_000.0),
    );
    client.call(
        "a quota of all clients",
        1,
        quota("client-id", None, "consumer_byte_rate", 2_000_000.0),
    );
    client.call(
        "a quota of an unknown kind",
        1,
        quota("team", Some("a"), "producer_byte_rate", 1.0),
    );
    client.call("an unknown quota", 1, quota("user", Some("alice"), "speed", 1.0));
    client.call(
        "a quota of nothing",
        1,
        quota("user", Some("alice"), "producer_byte_rate", -1.0),
    );
    settle();
    let component = ComponentData::default()
        .with_entity_type(text("user"))
        .with_match_type(MATCHES_ANY)
        .with_match(None);
    let described = DescribeClientQuotasRequest::default().with_components(vec![component]);
    client.call("quotas of users", 1, described);
    let mut removed = quota("user", Some("alice"), "producer_byte_rate", 0.0);
    removed.entries[0].ops[0].remove = true;
    client.call("remove a quota", 1, removed);
    settle();
    client.call("all quotas", 1, DescribeClientQuotasRequest::default());
}

fn reassignments(client: &mut Client) {
    let to = |name: &str, replicas: Option<Vec<BrokerId>>| {
        let partition = ReassignablePartition::default().with_replicas(replicas);
        let reassigned = ReassignableTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]);
        AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(vec![reassigned])
    };
    client.call("reassign to where it is", 0, to("plain", Some(vec![BrokerId(1)])));
    client.call("reassign to nowhere", 0, to("plain", Some(vec![])));
    client.call(
        "reassign to an unknown broker",
        0,
        to("plain", Some(vec![BrokerId(9)])),
    );
    client.call("cancel what does not run", 0, to("plain", None));
    client.call(
        "reassign an unknown topic",
        0,
        to("unknown", Some(vec![BrokerId(1)])),
    );
    client.call(
        "list reassignments",
        0,
        ListPartitionReassignmentsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(None),
    );
    for (step, name, kind) in [
        ("elect", "plain", 0),
        ("elect unclean", "plain", 1),
        ("elect for an unknown topic", "unknown", 0),
    ] {
        let partitions = elect_leaders_request::TopicPartitions::default()
            .with_topic(topic(name))
            .with_partitions(vec![0]);
        let request = ElectLeadersRequest::default()
            .with_election_type(kind)
            .with_timeout_ms(5_000)
            .with_topic_partitions(Some(vec![partitions]));
        client.call(step, 2, request);
    }
}

fn deletions(client: &mut Client) {
    let delete = |name: &str| {
        let state = DeleteTopicState::default().with_name(Some(topic(name)));
        DeleteTopicsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(vec![state])
    };
    client.call("delete a topic", 6, delete("managed"));
    settle();
    client.call("delete it again", 6, delete("managed"));
    client.call("metadata of what was deleted", 12, about("managed"));
    let by_id = DeleteTopicState::default().with_topic_id(Uuid::from_u128(77));
    client.call(
        "delete an unknown id",
        6,
        DeleteTopicsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(vec![by_id]),
    );
}
