//! What administrators do: configs that hold at once and after a start, rules that keep people out, and what tools are told.

mod access;
mod groups;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_client_quotas_request as quotas_request;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;

use super::produce::AppendContext;
use super::*;
use crate::config::Properties;
use crate::group::Client;
use crate::ids::CountingIds;
use crate::log::{BatchBuilder, ProducerStamp};

const NOW_MS: i64 = 1_000;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

struct Fixture {
    broker: Broker,
    data: tempfile::TempDir,
    user: &'static str,
}

impl Fixture {
    fn new(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self {
            broker: open(data.path(), settings),
            data,
            user: "admin",
        }
    }

    fn by(&mut self, user: &'static str) -> &Self {
        self.user = user;
        self
    }

    fn ask<R: TryFrom<Response, Error = Response>>(&self, version: i16, request: impl Into<Request>) -> R {
        let client = Client {
            id: "c".to_owned(),
            host: "/10.0.0.1".to_owned(),
        };
        let context = RequestContext {
            principal: Principal::user(self.user),
            ..RequestContext::new(version, client)
        };
        match self.broker.handle(&context, request.into(), NOW_MS) {
            Outcome::Ready(response) => R::try_from(response).unwrap_or_else(|other| panic!("got {other:?}")),
            Outcome::Parked(_) => panic!("parked"),
        }
    }

    fn create(&self, topic: CreatableTopic) -> CreateTopicsResponse {
        self.ask(7, CreateTopicsRequest::default().with_topics(vec![topic]))
    }

    fn alter(&self, kind: i8, resource: &str, config: &str, operation: i8, value: Option<&str>) -> i16 {
        let config = AlterableConfig::default()
            .with_name(text(config))
            .with_config_operation(operation)
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(resource))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response: IncrementalAlterConfigsResponse = self.ask(1, request);
        response.responses[0].error_code
    }

    fn described(&self, kind: i8, resource: &str, config: &str) -> DescribeConfigsResourceResult {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(resource))
            .with_configuration_keys(Some(vec![text(config)]));
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true);
        let mut response: DescribeConfigsResponse = self.ask(4, request);
        assert_eq!(response.results[0].error_code, 0);
        response.results[0].configs.remove(0)
    }

    /// Value and source of a config.
    fn config(&self, kind: i8, resource: &str, config: &str) -> (String, i8) {
        let described = self.described(kind, resource, config);
        (described.value.unwrap().to_string(), described.config_source)
    }

    fn produce(&self, topic: &str) -> i16 {
        let mut builder = BatchBuilder::new();
        builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
        let data =
            PartitionProduceData::default().with_records(Some(builder.finish(ProducerStamp::NONE).unwrap()));
        let topic = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_topic_data(vec![topic]);
        let response: ProduceResponse = self.ask(9, request);
        response.responses[0].partition_responses[0].error_code
    }

    fn fetch(&self, topic: &str) -> i16 {
        let partition = FetchPartition::default().with_partition_max_bytes(1000);
        let topic = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_bytes(1000)
            .with_topics(vec![topic]);
        let response: FetchResponse = self.ask(12, request);
        response.responses[0].partitions[0].error_code
    }

    fn metadata(&self, topics: Option<&[&str]>) -> Vec<(String, i16)> {
        let topic = |topic: &&str| MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(true);
        let response: MetadataResponse = self.ask(12, request);
        let topics = response.topics.iter();
        topics
            .map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.error_code))
            .collect()
    }

    fn allow(&self, principal: &str, operation: i8, kind: i8, name: &str, pattern: i8) {
        let acl = AclCreation::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_resource_pattern_type(pattern)
            .with_principal(text(principal))
            .with_host(text("*"))
            .with_operation(operation)
            .with_permission_type(3);
        let response: CreateAclsResponse =
            self.ask(3, CreateAclsRequest::default().with_creations(vec![acl]));
        assert_eq!(response.results[0].error_code, 0);
    }
}

fn open(dir: &Path, settings: &[(&str, &str)]) -> Broker {
    let mut properties = Properties::default();
    for (key, value) in settings {
        properties.set(key, value).unwrap();
    }
    let config = BrokerConfig::from_properties(properties).unwrap();
    Broker::open(dir, config, CountingIds::above(1 << 64), NOW_MS).unwrap()
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn topic(topic: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(3)
        .with_replication_factor(-1)
}

fn with_config(topic: CreatableTopic, name: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig::default()
        .with_name(text(name))
        .with_value(Some(text(value)));
    topic.with_configs(vec![config])
}

#[test]
fn topics_are_refused_with_kafkas_errors() {
    let fixture = Fixture::new(&[]);
    let assigned = |partition: i32, broker: i32| {
        let assignment = CreatableReplicaAssignment::default()
            .with_partition_index(partition)
            .with_broker_ids(vec![BrokerId(broker)]);
        topic("t")
            .with_num_partitions(-1)
            .with_assignments(vec![assignment])
    };
    let cases = [
        (topic("t").with_replication_factor(2), 38),
        (topic("t").with_num_partitions(0), 37),
        (topic("t t"), 17),
        (topic("__consumer_offsets"), 17),
        (with_config(topic("t"), "retention", "1"), 40),
        (with_config(topic("t"), "retention.ms", "x"), 40),
        (assigned(0, 0).with_num_partitions(1), 42),
        (assigned(0, 7), 39),
        (assigned(1, 0), 39),
        (assigned(0, 0), 0),
        (topic("t"), 36),
        (topic("a.b"), 0),
        (topic("a_b"), 17),
    ];
    for (topic, expected) in cases {
        let created = fixture.create(topic.clone());
        assert_eq!(created.topics[0].error_code, expected, "{topic:?}");
    }
    let twice = CreateTopicsRequest::default().with_topics(vec![topic("u"), topic("u")]);
    let created: CreateTopicsResponse = fixture.ask(7, twice);
    assert!(created.topics.iter().all(|topic| topic.error_code == 42));
}

#[test]
fn a_created_topic_is_described_with_all_of_its_configs() {
    let fixture = Fixture::new(&[("num.partitions", "4"), ("log.retention.hours", "2")]);
    let created =
        fixture.create(with_config(topic("t"), "cleanup.policy", "compact").with_num_partitions(-1));
    let created = &created.topics[0];
    assert_eq!((created.num_partitions, created.replication_factor), (4, 1));
    let config = |name: &str| {
        let configs = created.configs.as_ref().unwrap();
        let config = configs
            .iter()
            .find(|config| config.name.as_str() == name)
            .unwrap();
        (config.value.as_ref().unwrap().to_string(), config.config_source)
    };
    assert_eq!(config("cleanup.policy"), ("compact".to_owned(), 1));
    // From hours, of which Kafka says that it is a default.
    assert_eq!(config("retention.ms"), ("7200000".to_owned(), 5));
    assert_eq!(config("segment.bytes"), ("1073741824".to_owned(), 5));
}

#[test]
fn configs_of_topics_are_altered_step_by_step() {
    let fixture = Fixture::new(&[]);
    fixture.create(topic("t"));
    assert_eq!(fixture.alter(TOPIC, "t", "retention.ms", SET, Some("5")), 0);
    assert_eq!(fixture.config(TOPIC, "t", "retention.ms"), ("5".to_owned(), 1));
    assert_eq!(
        fixture
            .broker
            .topics
            .topic("t")
            .unwrap()
            .lock(2)
            .unwrap()
            .config()
            .retention_ms,
        5
    );
    assert_eq!(
        fixture.alter(TOPIC, "t", "cleanup.policy", APPEND, Some("compact")),
        0
    );
    assert_eq!(fixture.config(TOPIC, "t", "cleanup.policy").0, "delete,compact");
    assert_eq!(
        fixture.alter(TOPIC, "t", "cleanup.policy", SUBTRACT, Some("delete")),
        0
    );
    assert_eq!(fixture.config(TOPIC, "t", "cleanup.policy").0, "compact");
    assert_eq!(fixture.alter(TOPIC, "t", "retention.ms", DELETE, None), 0);
    assert_eq!(
        fixture.config(TOPIC, "t", "retention.ms"),
        ("604800000".to_owned(), 5)
    );
    let refused = [
        ("t", "retention", SET, Some("1"), 40),
        ("t", "retention.ms", SET, Some("x"), 40),
        ("t", "retention.ms", SET, None, 42),
        ("t", "retention.ms", APPEND, Some("1"), 40),
        ("t", "retention.ms", 9, Some("1"), 42),
        ("unknown", "retention.ms", SET, Some("1"), 3),
        ("t", "max.compaction.lag.ms", SET, Some("5"), 0),
        ("t", "min.compaction.lag.ms", SET, Some("6"), 40),
    ];
    for (topic, config, operation, value, expected) in refused {
        assert_eq!(
            fixture.alter(TOPIC, topic, config, operation, value),
            expected,
            "{config} {value:?}"
        );
    }
}

#[test]
fn configs_of_the_broker_hold_at_once_for_the_topics_there_are_and_after_a_start() {
    let settings = [("node.id", "1"), ("log.retention.ms", "100")];
    let fixture = Fixture::new(&settings);
    fixture.create(topic("t"));
    let retention_ms = |broker: &Broker| {
        broker
            .topics
            .topic("t")
            .unwrap()
            .lock(0)
            .unwrap()
            .config()
            .retention_ms
    };
    assert_eq!(retention_ms(&fixture.broker), 100);
    assert_eq!(fixture.alter(BROKER, "", "log.retention.ms", SET, Some("200")), 0);
    assert_eq!(retention_ms(&fixture.broker), 200);
    assert_eq!(
        fixture.alter(BROKER, "1", "log.retention.ms", SET, Some("300")),
        0
    );
    assert_eq!(retention_ms(&fixture.broker), 300);
    let described = fixture.described(BROKER, "1", "log.retention.ms");
    let said: Vec<_> = described
        .synonyms
        .iter()
        .map(|said| (said.name.as_str(), said.value.as_deref().unwrap(), said.source))
        .collect();
    let name = "log.retention.ms";
    assert_eq!(
        said,
        [
            (name, "300", 2),
            (name, "200", 3),
            (name, "100", 4),
            ("log.retention.hours", "168", 5)
        ]
    );
    assert_eq!(fixture.config(TOPIC, "t", "retention.ms"), ("300".to_owned(), 2));
    for (name, config, value, expected) in [
        ("1", "num.partitions", "3", 42),
        ("1", "log.retention.ms", "x", 42),
        ("2", "log.retention.ms", "1", 42),
        ("1", "log.retention.millis", "1", 40),
    ] {
        assert_eq!(
            fixture.alter(BROKER, name, config, SET, Some(value)),
            expected,
            "{config}"
        );
    }
    fixture.broker.close().unwrap();
    let Fixture { data, broker, user } = fixture;
    drop(broker);
    let broker = open(data.path(), &settings);
    assert_eq!(retention_ms(&broker), 300);
    let fixture = Fixture { broker, data, user };
    assert_eq!(fixture.alter(BROKER, "1", "log.retention.ms", DELETE, None), 0);
    assert_eq!(fixture.alter(BROKER, "", "log.retention.ms", DELETE, None), 0);
    assert_eq!(retention_ms(&fixture.broker), 100);
}

#[test]
fn groups_have_configs_within_the_brokers_limits() {
    let fixture = Fixture::new(&[]);
    let name = "consumer.session.timeout.ms";
    assert_eq!(fixture.config(GROUP, "g", name), ("45000".to_owned(), 5));
    assert_eq!(fixture.alter(GROUP, "g", name, SET, Some("50000")), 0);
    assert_eq!(fixture.config(GROUP, "g", name), ("50000".to_owned(), 8));
    assert_eq!(fixture.alter(GROUP, "g", name, SET, Some("5")), 40);
    assert_eq!(fixture.alter(GROUP, "", name, SET, Some("50000")), 42);
    let listed: ListConfigResourcesResponse = fixture.ask(
        1,
        ListConfigResourcesRequest::default().with_resource_types(vec![GROUP]),
    );
    assert_eq!(listed.config_resources[0].resource_name.as_str(), "g");
}

#[test]
fn a_groups_own_configs_hold_for_its_members_also_after_a_start() {
    let fixture = Fixture::new(&[]);
    let heartbeat_interval_ms = |fixture: &Fixture| {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![name("t")]))
            .with_topic_partitions(Some(Vec::new()));
        let response: ConsumerGroupHeartbeatResponse = fixture.ask(1, request);
        assert_eq!(response.error_code, 0);
        response.heartbeat_interval_ms
    };
    let key = "consumer.heartbeat.interval.ms";
    assert_eq!(fixture.alter(GROUP, "g", key, SET, Some("7000")), 0);
    assert_eq!(heartbeat_interval_ms(&fixture), 7000);
    fixture.broker.close().unwrap();
    let Fixture { data, broker, user } = fixture;
    drop(broker);
    let broker = open(data.path(), &[]);
    let fixture = Fixture { broker, data, user };
    assert_eq!(heartbeat_interval_ms(&fixture), 7000);
    assert_eq!(fixture.alter(GROUP, "g", key, DELETE, None), 0);
    assert_eq!(heartbeat_interval_ms(&fixture), 5000);
}

#[test]
fn passwords_are_not_told() {
    let fixture = Fixture::new(&[("sasl.jaas.config", "x required user_a=\"secret\";")]);
    let described = fixture.described(BROKER, "0", "sasl.jaas.config");
    assert!(described.is_sensitive && described.value.is_none());
    assert!(described.synonyms.iter().all(|said| said.value.is_none()));
}

#[test]
fn a_topic_made_by_asking_for_it_is_there_the_next_time() {
    let fixture = Fixture::new(&[]);
    assert_eq!(fixture.metadata(Some(&["t"])), [("t".to_owned(), 3)]);
    assert_eq!(fixture.metadata(Some(&["t"])), [("t".to_owned(), 0)]);
    assert_eq!(fixture.metadata(Some(&["t t"])), [("t t".to_owned(), 17)]);
    let fixture = Fixture::new(&[("auto.create.topics.enable", "false")]);
    for _ in 0..2 {
        assert_eq!(fixture.metadata(Some(&["t"])), [("t".to_owned(), 3)]);
    }
}

#[test]
fn topics_are_found_by_id_whatever_name_is_beside_it() {
    let fixture = Fixture::new(&[]);
    fixture.create(topic("t"));
    let id = fixture.broker.topics.topic("t").unwrap().id();
    let described = |name: Option<TopicName>, id: uuid::Uuid| {
        let topic = MetadataRequestTopic::default().with_name(name).with_topic_id(id);
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let response: MetadataResponse = fixture.ask(13, request);
        let topic = &response.topics[0];
        let name = topic.name.as_ref().map(|name| name.to_string());
        (name, topic.topic_id, topic.error_code)
    };
    for name in [None, Some(TopicName::default())] {
        assert_eq!(described(name.clone(), id), (Some("t".to_owned()), id, 0));
        let unknown = uuid::Uuid::from_u128(7);
        assert_eq!(described(name, unknown), (None, unknown, 100));
    }
}

#[test]
fn partitions_are_described_a_page_at_a_time() {
    let fixture = Fixture::new(&[]);
    fixture.create(topic("a"));
    fixture.create(topic("b"));
    let page = |cursor: Option<(&str, i32)>, limit: i32| {
        let cursor = cursor.map(|(topic, partition)| {
            Cursor::default()
                .with_topic_name(name(topic))
                .with_partition_index(partition)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let response: DescribeTopicPartitionsResponse = fixture.ask(0, request);
        let topics = response.topics.iter();
        let counts: Vec<_> = topics
            .map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.partitions.len()))
            .collect();
        let next = response.next_cursor;
        (
            counts,
            next.map(|next| (next.topic_name.to_string(), next.partition_index)),
        )
    };
    let count = |topic: &str, partitions: usize| (topic.to_owned(), partitions);
    assert_eq!(page(None, 100), (vec![count("a", 3), count("b", 3)], None));
    assert_eq!(page(None, 2), (vec![count("a", 2)], Some(("a".to_owned(), 2))));
    assert_eq!(page(None, 3), (vec![count("a", 3)], Some(("b".to_owned(), 0))));
    assert_eq!(
        page(Some(("a", 2)), 2),
        (vec![count("a", 1), count("b", 1)], Some(("b".to_owned(), 1)))
    );
    assert_eq!(page(Some(("b", 1)), 100), (vec![count("b", 2)], None));
    let named = DescribeTopicPartitionsRequest::default()
        .with_response_partition_limit(10)
        .with_topics(vec![TopicRequest::default().with_name(name("none"))]);
    let response: DescribeTopicPartitionsResponse = fixture.ask(0, named);
    assert_eq!(response.topics[0].error_code, 3);
}

#[test]
fn a_hanging_transaction_is_found_and_ended() {
    let fixture = Fixture::new(&[]);
    fixture.create(topic("t"));
    let stamp = ProducerStamp {
        producer_id: 77,
        producer_epoch: 2,
        base_sequence: 0,
        transactional: true,
    };
    let mut builder = BatchBuilder::new();
    builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    let log = fixture.broker.topics.topic("t").unwrap();
    let batch = builder.finish(stamp).unwrap();
    log.lock(0)
        .unwrap()
        .append(batch, crate::log::AppendOptions::COORDINATOR, NOW_MS)
        .unwrap();
    let producers = || {
        let topic = describe_producers_request::TopicRequest::default()
            .with_name(name("t"))
            .with_partition_indexes(vec![0, 9]);
        let response: DescribeProducersResponse =
            fixture.ask(0, DescribeProducersRequest::default().with_topics(vec![topic]));
        assert_eq!(response.topics[0].partitions[1].error_code, 3);
        response.topics[0].partitions[0].active_producers[0].clone()
    };
    let found = producers();
    assert_eq!(
        (
            found.producer_id.0,
            found.producer_epoch,
            found.current_txn_start_offset
        ),
        (77, 2, 0)
    );
    assert_eq!(log.lock(0).unwrap().last_stable_offset(), 0);
    let topic = WritableTxnMarkerTopic::default()
        .with_name(name("t"))
        .with_partition_indexes(vec![0]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(77))
        .with_producer_epoch(2)
        .with_topics(vec![topic]);
    let response: WriteTxnMarkersResponse =
        fixture.ask(1, WriteTxnMarkersRequest::default().with_markers(vec![marker]));
    assert_eq!(response.markers[0].topics[0].partitions[0].error_code, 0);
    assert_eq!(producers().current_txn_start_offset, -1);
    assert_eq!(log.lock(0).unwrap().last_stable_offset(), 2);
}

#[test]
fn quotas_are_kept_by_entity() {
    let fixture = Fixture::new(&[]);
    let alter = |entity: &[(&str, Option<&str>)], key: &str, value: f64, remove: bool| {
        let entity = entity.iter().map(|(kind, name)| {
            quotas_request::EntityData::default()
                .with_entity_type(text(kind))
                .with_entity_name(name.map(text))
        });
        let operation = quotas_request::OpData::default()
            .with_key(text(key))
            .with_value(value)
            .with_remove(remove);
        let entry = quotas_request::EntryData::default()
            .with_entity(entity.collect())
            .with_ops(vec![operation]);
        let response: AlterClientQuotasResponse =
            fixture.ask(1, AlterClientQuotasRequest::default().with_entries(vec![entry]));
        response.entries[0].error_code
    };
    let count = || {
        let response: DescribeClientQuotasResponse = fixture.ask(1, DescribeClientQuotasRequest::default());
        response.entries.unwrap().len()
    };
    let (alice, everybody) = ([("user", Some("alice"))], [("user", None)]);
    assert_eq!(alter(&alice, "producer_byte_rate", 5.0, false), 0);
    assert_eq!(alter(&everybody, "consumer_byte_rate", 6.0, false), 0);
    assert_eq!(count(), 2);
    for (entity, key) in [
        (&[("user", Some("alice"))][..], "unknown"),
        (&[("galaxy", None)], "producer_byte_rate"),
        (&[], "producer_byte_rate"),
        (&[("ip", None), ("user", None)], "connection_creation_rate"),
        (&[("ip", Some("here"))], "connection_creation_rate"),
        (&[("user", Some(""))], "producer_byte_rate"),
    ] {
        assert_eq!(alter(entity, key, 5.0, false), 42, "{entity:?} {key}");
    }
    assert_eq!(alter(&alice, "producer_byte_rate", 0.0, true), 0);
    assert_eq!(count(), 1);
}

#[test]
fn users_are_kept_without_their_passwords() {
    let fixture = Fixture::new(&[]);
    let upsert = |user: &str, iterations: i32| {
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(1)
            .with_iterations(iterations)
            .with_salt(bytes::Bytes::from_static(b"salt"))
            .with_salted_password(bytes::Bytes::from_static(b"salted password"));
        let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]);
        let response: AlterUserScramCredentialsResponse = fixture.ask(0, request);
        response.results[0].error_code
    };
    let delete = |user: &str, mechanism: i8| {
        let deletion = ScramCredentialDeletion::default()
            .with_name(text(user))
            .with_mechanism(mechanism);
        let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]);
        let response: AlterUserScramCredentialsResponse = fixture.ask(0, request);
        response.results[0].error_code
    };
    assert_eq!(
        (upsert("alice", 4096), upsert("alice", 4095), upsert("", 4096)),
        (0, 93, 93)
    );
    let described: DescribeUserScramCredentialsResponse =
        fixture.ask(0, DescribeUserScramCredentialsRequest::default().with_users(None));
    assert_eq!(described.results[0].credential_infos[0].iterations, 4096);
    let file = std::fs::read_to_string(fixture.data.path().join("cluster.json")).unwrap();
    assert!(file.contains("alice") && !file.contains("password"));
    assert_eq!(
        (
            delete("alice", 2),
            delete("alice", 9),
            delete("alice", 1),
            delete("alice", 1)
        ),
        (91, 33, 0, 91)
    );
}

#[test]
fn the_cleaner_works_with_the_memory_it_was_last_given() {
    let fixture = Fixture::new(&[]);
    fixture.create(with_config(topic("c"), "cleanup.policy", "compact"));
    for (key, value) in [("min.cleanable.dirty.ratio", "0"), ("segment.bytes", "100")] {
        assert_eq!(fixture.alter(TOPIC, "c", key, SET, Some(value)), 0);
    }
    let topic = fixture.broker.topics().topic("c").unwrap();
    for _ in 0..4 {
        let mut builder = BatchBuilder::new();
        builder.append(NOW_MS, Some(b"k"), Some(b"v"), &[]).unwrap();
        let records = builder.finish(ProducerStamp::NONE).unwrap();
        let context = AppendContext {
            transactional_id: None,
            version: 9,
        };
        let appended = fixture.broker.append_batch(&topic, 0, records, context, NOW_MS);
        assert!(appended.is_ok());
    }
    let compact = |memory: &str| {
        let key = "log.cleaner.dedupe.buffer.size";
        assert_eq!(fixture.alter(BROKER, "0", key, SET, Some(memory)), 0);
        let errors = fixture.broker.compact(NOW_MS, &AtomicBool::new(false));
        assert!(errors.is_empty(), "{errors:?}");
        topic.lock(0).unwrap().size_bytes()
    };
    // Memory for one batch: no later record of its key is known then.
    let before = topic.lock(0).unwrap().size_bytes();
    assert_eq!(compact("1"), before);
    assert!(compact("1000000") < before);
}

#[test]
fn the_brokers_own_topics_have_segments_of_the_size_that_is_asked_for() {
    let fixture = Fixture::new(&[
        ("offsets.topic.segment.bytes", "2000"),
        ("transaction.state.log.segment.bytes", "3"),
    ]);
    let segment_bytes = |name: &'static str| {
        let topic = fixture.broker.internal_topic(name, NOW_MS).unwrap();
        topic.configs()["segment.bytes"].clone()
    };
    assert_eq!(segment_bytes(OFFSETS_TOPIC), "2000");
    assert_eq!(segment_bytes(TRANSACTION_STATE_TOPIC), "14");
}
