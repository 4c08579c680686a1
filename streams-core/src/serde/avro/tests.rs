//! Avro serdes with a registry in memory: what is on the wire, who may read what, and what people are told.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{NullableSerde, Serde};
use super::{AvroSerde, AvroValue, GenericAvroSerde, InMemorySchemaRegistry, SchemaRegistry};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: i64,
    item: String,
}

/// An [`Order`] of a later version of the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Order")]
struct NewOrder {
    item: String,
    id: i64,
    state: State,
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Closed,
}

const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "com.example", "fields": [
    {"name": "id", "type": "int"}, {"name": "item", "type": "string"}]}"#;

const NEW_ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "com.example", "fields": [
    {"name": "item", "type": "string"},
    {"name": "id", "type": "long"},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["Open", "Closed"]}, "default": "Closed"},
    {"name": "note", "type": ["null", "string"], "default": null}]}"#;

fn long_order() -> String {
    ORDER.replace("int", "long")
}

fn registry() -> Arc<InMemorySchemaRegistry> {
    Arc::new(InMemorySchemaRegistry::new())
}

fn values<T>(registry: &Arc<InMemorySchemaRegistry>, schema: &str) -> AvroSerde<T> {
    AvroSerde::for_value(registry.clone(), schema).unwrap()
}

fn bytes<T, S: Serde<T>>(serde: &S, topic: &str, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    serde.serialize(topic, value, &mut bytes).unwrap();
    bytes
}

fn error<T, S: Serde<T>>(serde: &S, bytes: &[u8]) -> String {
    serde.deserialize("orders", bytes).err().unwrap().to_string()
}

fn order() -> Order {
    Order {
        id: 3,
        item: "tea".to_owned(),
    }
}

#[test]
fn a_record_is_a_zero_the_id_and_the_datum() {
    let serde = values(&registry(), &long_order());
    let written = bytes(&serde, "orders", &order());
    assert_eq!(written, [&[0, 0, 0, 0, 1, 6, 6][..], b"tea"].concat());
    assert_eq!(serde.deserialize("orders", &written).unwrap(), order());
}

#[test]
fn schemas_have_one_id_and_subjects_by_topic() {
    let registry = registry();
    let keys = AvroSerde::<String>::for_key(registry.clone(), r#""string""#).unwrap();
    let orders = values(&registry, &long_order());
    for (topic, id) in [("orders", 2), ("app-store-changelog", 2)] {
        assert_eq!(bytes(&keys, topic, &"k".to_owned())[..5], [0, 0, 0, 0, 1]);
        assert_eq!(bytes(&orders, topic, &order())[..5], [0, 0, 0, 0, id]);
        assert_eq!(registry.id_of(&format!("{topic}-key"), r#""string""#).unwrap(), 1);
        assert_eq!(
            registry.id_of(&format!("{topic}-value"), &long_order()).unwrap(),
            2
        );
        assert!(registry.id_of(&format!("{topic}-key"), &long_order()).is_err());
    }
}

#[test]
fn what_was_written_before_is_read_with_defaults() {
    let registry = registry();
    let old = values::<Order>(&registry, &long_order());
    let new = values::<NewOrder>(&registry, NEW_ORDER);
    let read = new
        .deserialize("orders", &bytes(&old, "orders", &order()))
        .unwrap();
    let expected = NewOrder {
        item: "tea".to_owned(),
        id: 3,
        state: State::Closed,
        note: None,
    };
    assert_eq!(read, expected);

    // What is newer is left out, and an int of then is the long of now.
    let newer = bytes(
        &new,
        "orders",
        &NewOrder {
            note: Some("x".to_owned()),
            state: State::Open,
            ..expected.clone()
        },
    );
    assert_eq!(old.deserialize("orders", &newer).unwrap(), order());
    let generic = GenericAvroSerde::for_value(registry.clone(), ORDER).unwrap();
    let fields = [
        ("id", AvroValue::Int(3)),
        ("item", AvroValue::String("tea".to_owned())),
    ];
    let value = AvroValue::Record(fields.map(|(name, value)| (name.to_owned(), value)).to_vec());
    let oldest = bytes(&generic, "orders", &value);
    assert_eq!(generic.deserialize("orders", &oldest).unwrap(), value);
    assert_eq!(new.deserialize("orders", &oldest).unwrap(), expected);

    // A program that only reads, as the next start of this one does, asks the registry.
    let restarted = values::<NewOrder>(&registry, NEW_ORDER);
    for written in [
        oldest,
        bytes(&old, "orders", &order()),
        bytes(&new, "orders", &expected),
    ] {
        assert_eq!(restarted.deserialize("orders", &written).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let registry = registry();
    let serde = values::<Order>(&registry, &long_order());
    let written = bytes(&serde, "orders", &order());
    let ours =
        "Avro of a schema registry begins with the byte 0 and a schema id of 4 bytes, but in topic orders";
    assert_eq!(
        error(&serde, b"{\"id\":3}"),
        format!("{ours} the first byte is 123")
    );
    assert_eq!(error(&serde, b""), format!("{ours} there are no bytes"));
    assert_eq!(
        error(&serde, &[0, 0, 0, 1]),
        format!("{ours} there are only 4 bytes")
    );
    assert_eq!(
        error(&serde, &[0, 0, 0, 0, 9, 6]),
        "a record of topic orders was written with schema id 9: no schema with the id 9 is registered"
    );
    let of = "a record of topic orders, written with schema id";
    assert_eq!(
        error(&serde, &[&written[..], b"xy"].concat()),
        format!(
            "{of} 1, cannot be read as {}: 2 bytes are left after the datum",
            std::any::type_name::<Order>()
        )
    );
    let texts = values::<String>(&registry, r#""string""#);
    let text = bytes(&texts, "orders", &"a".to_owned());
    assert!(error(&serde, &text).starts_with(&format!("{of} 2, cannot be read as ")));
}

#[test]
fn what_is_cut_is_not_null() {
    let registry = registry();
    let new = values::<NewOrder>(&registry, NEW_ORDER);
    let generic = GenericAvroSerde::for_value(registry.clone(), NEW_ORDER).unwrap();
    let old = values::<Order>(&registry, &long_order());
    let value = NewOrder {
        item: "tea".to_owned(),
        id: 3,
        state: State::Open,
        note: None,
    };
    let written = bytes(&new, "orders", &value);
    for end in 0..written.len() {
        let cut = &written[..end];
        error(&new, cut);
        error(&generic, cut);
        error(&old, cut);
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let registry = registry();
    let serde = values::<Order>(&registry, ORDER);
    let wrong = serde.serialize("orders", &order(), &mut Vec::new());
    let wrong = wrong.unwrap_err().to_string();
    assert!(
        wrong.starts_with("cannot write ") && wrong.contains(" as Avro to topic orders: "),
        "{wrong}"
    );
    let generic = GenericAvroSerde::for_value(registry.clone(), ORDER).unwrap();
    assert!(
        generic
            .serialize("orders", &AvroValue::Int(1), &mut Vec::new())
            .is_err()
    );
    let no_schema = AvroSerde::<Order>::for_value(registry, r#"{"type": "recrod"}"#);
    assert!(
        no_schema
            .unwrap_err()
            .to_string()
            .starts_with("not an Avro schema: ")
    );
}

#[test]
fn tombstones_are_those_of_nullable_values() {
    let serde = NullableSerde::new(Arc::new(values::<Order>(&registry(), &long_order())));
    assert!(serde.is_null(&None) && serde.null() == Some(None));
    let written = bytes(&serde, "orders", &Some(order()));
    assert_eq!(serde.deserialize("orders", &written).unwrap(), Some(order()));
}

#[test]
fn without_registering_the_schema_must_be_there() {
    let registry = registry();
    let serde = values::<Order>(&registry, &long_order()).auto_register_schemas(false);
    assert!(serde.serialize("orders", &order(), &mut Vec::new()).is_err());
    assert!(registry.schema(1).is_err(), "it was registered");
    registry.register("orders-value", &long_order()).unwrap();
    assert_eq!(bytes(&serde, "orders", &order())[..5], [0, 0, 0, 0, 1]);
}
