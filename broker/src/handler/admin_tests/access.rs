//! Rules that keep people out.

use super::*;

pub(super) const AUTHORIZED: [(&str, &str); 2] = [
    (
        "authorizer.class.name",
        "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    ),
    ("super.users", "User:admin"),
];

#[test]
fn without_an_authorizer_there_are_no_rules() {
    let fixture = Fixture::new(&[]);
    let described: DescribeAclsResponse = fixture.ask(3, DescribeAclsRequest::default());
    assert_eq!(described.error_code, 54);
    let acl = AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("t"));
    let created: CreateAclsResponse = fixture.ask(3, CreateAclsRequest::default().with_creations(vec![acl]));
    assert_eq!(created.results[0].error_code, 54);
    let deleted: DeleteAclsResponse = fixture.ask(
        3,
        DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default()]),
    );
    assert_eq!(deleted.filter_results[0].error_code, 54);
}

#[test]
fn rules_keep_people_out_and_do_not_tell_what_there_is() {
    let mut fixture = Fixture::new(&AUTHORIZED);
    assert_eq!(fixture.create(topic("orders")).topics[0].error_code, 0);
    assert_eq!(fixture.produce("orders"), 0, "who is super may");
    assert_eq!(fixture.by("bob").produce("orders"), 29);
    assert_eq!(fixture.fetch("orders"), 29);
    assert_eq!(fixture.create(topic("t")).topics[0].error_code, 29);
    assert_eq!(
        fixture.metadata(Some(&["orders", "none"])),
        [("orders".to_owned(), 29), ("none".to_owned(), 29)]
    );
    assert_eq!(fixture.metadata(None), []);
    assert_eq!(fixture.alter(BROKER, "0", "log.retention.ms", SET, Some("5")), 31);
    assert_eq!(fixture.alter(TOPIC, "orders", "retention.ms", SET, Some("5")), 29);
    let described: DescribeAclsResponse = fixture.ask(3, DescribeAclsRequest::default());
    assert_eq!(described.error_code, 31);

    fixture.by("admin").allow("User:bob", 3, TOPIC, "ord", 4);
    assert_eq!(fixture.by("bob").fetch("orders"), 0);
    assert_eq!(fixture.produce("orders"), 29);
    assert_eq!(fixture.metadata(None), [("orders".to_owned(), 0)]);
    assert_eq!(fixture.by("eve").fetch("orders"), 29);

    // Rules hold after a start, until they are taken back.
    fixture.broker.close().unwrap();
    let Fixture { data, broker, .. } = fixture;
    drop(broker);
    let mut fixture = Fixture {
        broker: open(data.path(), &AUTHORIZED),
        data,
        user: "bob",
    };
    assert_eq!(fixture.fetch("orders"), 0);
    let all = DeleteAclsFilter::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(Some(text("User:bob")))
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let deleted: DeleteAclsResponse = fixture
        .by("admin")
        .ask(3, DeleteAclsRequest::default().with_filters(vec![all]));
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 1);
    assert_eq!(fixture.by("bob").fetch("orders"), 29);
}

#[test]
fn producers_need_a_right_to_something_and_transactions_to_their_id() {
    let mut fixture = Fixture::new(&AUTHORIZED);
    fixture.create(topic("orders"));
    let init = |fixture: &Fixture, id: Option<&str>| {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(1000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let response: InitProducerIdResponse = fixture.ask(4, request);
        (response.error_code, response.producer_id)
    };
    let add = |fixture: &Fixture, producer_id: ProducerId| {
        let topics = ["orders", "other"].map(|topic| {
            AddPartitionsToTxnTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![0])
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text("p")))
            .with_v3_and_below_producer_id(producer_id)
            .with_v3_and_below_topics(topics.to_vec());
        let response: AddPartitionsToTxnResponse = fixture.ask(3, request);
        let results = response.results_by_topic_v3_and_below;
        let codes = results
            .iter()
            .map(|topic| topic.results_by_partition[0].partition_error_code);
        codes.collect::<Vec<_>>()
    };
    fixture.by("bob");
    assert_eq!((init(&fixture, None).0, init(&fixture, Some("p")).0), (31, 53));
    fixture.by("admin").allow("User:bob", 4, TOPIC, "orders", 3);
    fixture.by("bob");
    assert_eq!((init(&fixture, None).0, init(&fixture, Some("p")).0), (0, 53));
    assert_eq!(add(&fixture, ProducerId(0)), [53, 53]);
    fixture.by("admin").allow("User:bob", 4, 5, "p", 3);
    fixture.by("bob");
    let (code, producer_id) = init(&fixture, Some("p"));
    assert_eq!(code, 0);
    assert_eq!(add(&fixture, producer_id), [55, 29]);
}
