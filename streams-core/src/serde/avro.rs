//! Avro with the schemas in a registry: Confluent's wire format, as its `SpecificAvroSerde` and `GenericAvroSerde` write it.
//!
//! ```text
//!   0: u8 | id of the schema: i32, big-endian | one datum in Avro's binary encoding
//! ```
//!
//! A record is written with the serde's own schema and read with the one that it was written with, which its id says; what was
//! read is then resolved into the own schema, so that fields that are new have their defaults. `registry.rs` is the seam
//! to the registry, `http.rs` the registry that speaks Confluent's protocol, `datum.rs` what reads and writes behind the id.

mod datum;
mod http;
mod registry;
mod schemas;

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::Arc;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use apache_avro::types::Value;

pub use self::http::{HttpSchemaRegistry, REGISTRY_RESPONSE_BYTES_MAX, REGISTRY_TIMEOUT};
pub use self::registry::{InMemorySchemaRegistry, SchemaRegistry};
use self::schemas::Schemas;
use super::{Serde, SerdeError};

/// Schemas, and subjects, that a serde and an [`InMemorySchemaRegistry`] remember (Confluent's `max.schemas.per.subject`).
pub const SCHEMAS_MAX: usize = 1_000;

/// Reads and writes `T` as Avro in Confluent's wire format (Confluent's `SpecificAvroSerde`).
///
/// `T` is any type that `serde` can write and read and that [fits the schema][fits]. For one, a struct goes by the name of its
/// record: say `#[serde(rename = "..")]` where they differ. An `int` is an `i32`, a `long` an `i64`, a union with `null`
/// an `Option`. Fields are found by their names; the `aliases` of a schema are not used.
///
/// **Subjects.** Schemas are those of the subject `<topic>-key` or `<topic>-value` (Confluent's `TopicNameStrategy`). For a state
/// store the topic is its changelog's.
///
/// **The network.** A schema is asked for when it is first needed, on the stream thread, which waits for the answer; after
/// that it is remembered, up to [`SCHEMAS_MAX`] subjects and as many ids (then all are forgotten and asked for again). A registry that
/// does not answer, or refuses, is an error like any other of a serde: nothing is tried again.
///
/// **Keys.** The id is part of a key's bytes, and so decides its partition and its row: a key whose schema changes is another
/// key, as in Kafka Streams.
///
/// **Nulls.** A tombstone is an `Option` in a [`NullableSerde`](super::NullableSerde) around this serde; a `null` of the
/// schema's own is not null on the wire.
///
/// ```
/// use std::sync::Arc;
/// use streams_core::serde::{AvroSerde, DefaultSerde, InMemorySchemaRegistry, SchemaRegistry};
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Order {
///     item: String,
///     note: Option<String>,
/// }
///
/// let schema = r#"{"type": "record", "name": "Order", "namespace": "com.example", "fields": [
///     {"name": "item", "type": "string"},
///     {"name": "note", "type": ["null", "string"], "default": null}]}"#;
/// let registry = Arc::new(InMemorySchemaRegistry::new());
/// let orders = Arc::new(AvroSerde::<Order>::for_value(registry.clone(), schema)?);
///
/// let mut builder = TopologyBuilder::new();
/// let options = SourceOptions::new(String::default_serde(), orders.clone());
/// let source = builder.add_source("in", [TopicName::external("orders")], options);
/// let options = SinkOptions::new(String::default_serde(), orders.clone());
/// builder.add_sink("out", TopicName::external("copies"), &[source], options);
///
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let tea = Order { item: "tea".to_string(), note: None };
/// driver.input_with("orders", String::default_serde(), orders.clone()).pipe("a".to_string(), tea.clone())?;
/// let copies = driver.output_with("copies", String::default_serde(), orders);
/// assert_eq!(copies.read_key_values(), [("a".to_string(), tea)]);
/// assert_eq!(registry.id_of("copies-value", schema)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [fits]: https://docs.rs/apache-avro/latest/apache_avro/documentation/avro_data_model_to_serde/
pub struct AvroSerde<T> {
    schemas: Schemas,
    of: PhantomData<fn() -> T>,
}

/// The type in an [`AvroSerde`] whose values are [`AvroValue`]s: that of a [`GenericAvroSerde`].
#[derive(Clone, Copy, Debug)]
pub struct Generic;

/// What a [`GenericAvroSerde`] reads and writes: Avro's data model.
pub type AvroValue = Value;

/// Reads and writes [`AvroValue`]s as Avro in Confluent's wire format, for programs that have no type of their own for a schema
/// (Confluent's `GenericAvroSerde`). A value does not know its schema: it is written with the serde's own, and resolved
/// into it when it is read. All else is as for [`AvroSerde`].
///
/// ```
/// use std::sync::Arc;
/// use streams_core::serde::{AvroValue, GenericAvroSerde, InMemorySchemaRegistry, Serde};
///
/// let schema = r#"{"type": "record", "name": "Point", "fields": [{"name": "x", "type": "long"}]}"#;
/// let serde = GenericAvroSerde::for_value(Arc::new(InMemorySchemaRegistry::new()), schema)?;
/// let point = AvroValue::Record(vec![("x".to_string(), AvroValue::Long(3))]);
/// let mut bytes = Vec::new();
/// serde.serialize("points", &point, &mut bytes)?;
/// assert_eq!(bytes, [0, 0, 0, 0, 1, 6]);
/// assert_eq!(serde.deserialize("points", &bytes)?, point);
/// # Ok::<(), streams_core::serde::SerdeError>(())
/// ```
pub type GenericAvroSerde = AvroSerde<Generic>;

impl<T> AvroSerde<T> {
    /// A serde of keys: its schemas are those of the subject `<topic>-key`.
    ///
    /// # Errors
    /// If `schema` is not an Avro schema in JSON.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_core::serde::{AvroSerde, InMemorySchemaRegistry, SchemaRegistry, Serde};
    ///
    /// let registry = Arc::new(InMemorySchemaRegistry::new());
    /// let keys = AvroSerde::for_key(registry.clone(), r#""string""#)?;
    /// let mut bytes = Vec::new();
    /// keys.serialize("orders", &"a".to_string(), &mut bytes)?;
    /// assert_eq!(bytes, [0, 0, 0, 0, 1, 2, b'a']);
    /// assert_eq!(registry.id_of("orders-key", r#""string""#)?, 1);
    /// # Ok::<(), streams_core::serde::SerdeError>(())
    /// ```
    pub fn for_key(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, SerdeError> {
        Schemas::new(registry, schema, "key").map(Self::of)
    }

    /// A serde of values: its schemas are those of the subject `<topic>-value`. See [`AvroSerde`] for an example.
    ///
    /// # Errors
    /// If `schema` is not an Avro schema in JSON.
    pub fn for_value(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, SerdeError> {
        Schemas::new(registry, schema, "value").map(Self::of)
    }

    fn of(schemas: Schemas) -> Self {
        Self {
            schemas,
            of: PhantomData,
        }
    }

    /// Whether the first record of a topic registers the schema, if the registry does not have it (`auto.register.schemas`;
    /// default true). If not, such a record is an error.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_core::serde::{AvroSerde, InMemorySchemaRegistry, Serde};
    ///
    /// let registry = Arc::new(InMemorySchemaRegistry::new());
    /// let serde = AvroSerde::for_value(registry, r#""long""#)?.auto_register_schemas(false);
    /// let error = serde.serialize("orders", &7_i64, &mut Vec::new()).unwrap_err();
    /// assert_eq!(error.to_string(), "the schema is not registered for the subject orders-value");
    /// # Ok::<(), streams_core::serde::SerdeError>(())
    /// ```
    #[must_use]
    pub fn auto_register_schemas(mut self, registers: bool) -> Self {
        self.schemas.registers = registers;
        self
    }
}

impl<T: Serialize + DeserializeOwned> Serde<T> for AvroSerde<T> {
    fn serialize(&self, topic: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let own = self.schemas.begin(topic, out)?;
        let written = own.write(value, out);
        written.map_err(|error| {
            let of = std::any::type_name::<T>();
            SerdeError::new(format!("cannot write {of} as Avro to topic {topic}: {error}"))
        })
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<T, SerdeError> {
        let record = self.schemas.record(topic, bytes)?;
        record.read(self.schemas.own()).map_err(|error| {
            let of = std::any::type_name::<T>();
            record.error(topic, &format!("cannot be read as {of}: {error}"))
        })
    }
}

impl Serde<AvroValue> for GenericAvroSerde {
    fn serialize(&self, topic: &str, value: &AvroValue, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let own = self.schemas.begin(topic, out)?;
        let written = own.write_value(value, out);
        written.map_err(|error| SerdeError::new(format!("cannot write Avro to topic {topic}: {error}")))
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<AvroValue, SerdeError> {
        let record = self.schemas.record(topic, bytes)?;
        let read = record.read_value(self.schemas.own());
        read.map_err(|error| record.error(topic, &format!("cannot be read: {error}")))
    }
}

impl<T> Debug for AvroSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AvroSerde").field(&self.schemas).finish()
    }
}

#[cfg(test)]
mod tests;
