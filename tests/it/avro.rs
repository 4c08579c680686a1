//! Avro with a schema registry under the DSL: topics, repartition topics, stores and their changelogs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;
use streams_dsl::serde::{
    AvroSerde, AvroValue, GenericAvroSerde, InMemorySchemaRegistry, NullableSerde, SchemaRegistry,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    cents: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Total {
    orders: i32,
    cents: i64,
}

const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "customer", "type": "string"}, {"name": "cents", "type": "long"}]}"#;

const TOTAL: &str = r#"{"type": "record", "name": "Total", "namespace": "shop", "fields": [
    {"name": "orders", "type": "int"}, {"name": "cents", "type": "long"}]}"#;

const TEXT: &str = r#""string""#;

fn order(customer: &str, cents: i64) -> Order {
    Order {
        customer: customer.to_owned(),
        cents,
    }
}

#[test]
fn every_topic_has_its_subject() {
    let registry = Arc::new(InMemorySchemaRegistry::new());
    let text = Arc::new(AvroSerde::<String>::for_key(registry.clone(), TEXT).unwrap());
    let orders = Arc::new(AvroSerde::<Order>::for_value(registry.clone(), ORDER).unwrap());
    let totals = Arc::new(AvroSerde::<Total>::for_value(registry.clone(), TOTAL).unwrap());

    let builder = StreamsBuilder::new();
    builder
        .stream_with("orders", Consumed::with(text.clone(), orders.clone()))
        .group_by_with(
            |_, order| order.customer.clone(),
            Grouped::with(text.clone(), orders.clone()).with_name("by-customer"),
        )
        .aggregate(
            Total::default,
            |_, order, total| Total {
                orders: total.orders + 1,
                cents: total.cents + order.cents,
            },
            Materialized::with(totals.clone()).with_name("totals"),
        )
        .to_stream()
        .to_with(
            "totals",
            Produced::with(text.clone(), Arc::new(NullableSerde::new(totals))),
        );
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    let input = driver.input_with("orders", text.clone(), orders);
    for (id, order) in [
        ("1", order("ann", 250)),
        ("2", order("bob", 99)),
        ("3", order("ann", 50)),
    ] {
        input.pipe(id.to_owned(), order).unwrap();
    }

    let generic = Arc::new(GenericAvroSerde::for_value(registry.clone(), TOTAL).unwrap());
    let seen = driver.output_with("totals", text, generic).read_key_values();
    let total = |customer: &str, orders, cents| {
        let orders = ("orders".to_owned(), AvroValue::Int(orders));
        let cents = ("cents".to_owned(), AvroValue::Long(cents));
        (customer.to_owned(), AvroValue::Record(vec![orders, cents]))
    };
    assert_eq!(
        seen,
        [total("ann", 1, 250), total("bob", 1, 99), total("ann", 2, 300)]
    );

    for (subject, schema) in [
        ("orders-key", TEXT),
        ("orders-value", ORDER),
        ("app-by-customer-repartition-key", TEXT),
        ("app-by-customer-repartition-value", ORDER),
        ("app-totals-changelog-key", TEXT),
        ("app-totals-changelog-value", TOTAL),
        ("totals-key", TEXT),
        ("totals-value", TOTAL),
    ] {
        assert!(registry.id_of(subject, schema).is_ok(), "{subject}");
    }
}
