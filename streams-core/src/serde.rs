//! Bytes to values and back: the seam between what is typed and what is stored.
//!
//! A [`Serde`] writes into a buffer that the caller reuses and reads from a slice that the caller owns, so the processing
//! path allocates only what the value itself needs. It also says whether a value is null on the wire: that is the one
//! place where null keys and tombstones are decided. [`DefaultSerde`] picks the serde of a type at compile time.

#[cfg(feature = "avro")]
mod avro;
mod json;
mod list;
mod primitive;

use std::fmt::Debug;
use std::sync::Arc;

#[cfg(feature = "avro")]
pub use avro::{
    AvroSerde, AvroValue, Generic, GenericAvroSerde, HttpSchemaRegistry, InMemorySchemaRegistry,
    REGISTRY_RESPONSE_BYTES_MAX, REGISTRY_TIMEOUT, SCHEMAS_MAX, SchemaRegistry,
};
pub use json::{Json, JsonSerde};
pub use list::ListSerde;
pub use primitive::{NullableSerde, PrimitiveSerde};

use crate::record::Headers;

/// Turns `T` into bytes and bytes into `T` (Kafka's `Serde<T>`, `Serializer<T>` and `Deserializer<T>` in one).
///
/// Both directions get the topic, as Kafka's do: for stores it is the changelog topic. Sources and sinks give a record's headers
/// too, to [`serialize_with_headers`](Self::serialize_with_headers) and its like; a serde that does without implements the plain ones.
/// Implementations must be deterministic: the bytes of a key decide its partition and its row.
pub trait Serde<T>: Send + Sync + Debug {
    /// Appends the bytes of `value` to `out`. Not called for values for which [`is_null`](Self::is_null) holds.
    ///
    /// # Errors
    /// If the value has no representation.
    fn serialize(&self, topic: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Reads one value from all of `bytes`.
    ///
    /// # Errors
    /// If `bytes` are not what [`serialize`](Self::serialize) writes. Never panics.
    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<T, SerdeError>;

    /// As [`serialize`](Self::serialize), for a record with these headers (Kafka's `serialize(topic, headers, data)`): sinks call
    /// this, for the key and then for the value. What it adds or takes away is so in the record that is written, and in no other
    /// that comes of the same input. Default: `serialize`.
    ///
    /// Stores call `serialize`: their rows have no headers, as in Kafka Streams. Of the serdes around others,
    /// [`NullableSerde`] and that of grouped tables pass headers on; those of lists, of windowed keys and of joins by a foreign key do
    /// not, as Kafka's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_core::Headers;
    /// use streams_core::serde::{DefaultSerde, Serde, SerdeError};
    /// use streams_core::testing::{TopologyTestDriver, WrittenRecord};
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// /// Text, in an encoding that a header names.
    /// #[derive(Debug)]
    /// struct Encoded;
    ///
    /// impl Serde<String> for Encoded {
    ///     fn serialize(&self, _: &str, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    ///         out.extend_from_slice(value.as_bytes());
    ///         Ok(())
    ///     }
    ///
    ///     fn deserialize(&self, _: &str, bytes: &[u8]) -> Result<String, SerdeError> {
    ///         String::from_utf8(bytes.to_vec()).map_err(|error| SerdeError::new(error.to_string()))
    ///     }
    ///
    ///     fn serialize_with_headers(
    ///         &self,
    ///         topic: &str,
    ///         headers: &mut Headers,
    ///         value: &String,
    ///         out: &mut Vec<u8>,
    ///     ) -> Result<(), SerdeError> {
    ///         headers.remove("encoding");
    ///         headers.add("encoding", Some(b"utf-8"));
    ///         self.serialize(topic, value, out)
    ///     }
    ///
    ///     fn deserialize_with_headers(&self, topic: &str, headers: &Headers, bytes: &[u8]) -> Result<String, SerdeError> {
    ///         let encoding = headers.last("encoding").and_then(|header| header.value.as_deref());
    ///         match encoding {
    ///             Some(b"latin-1") => Ok(bytes.iter().map(|&byte| char::from(byte)).collect()),
    ///             _ => self.deserialize(topic, bytes),
    ///         }
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let read = SourceOptions::new(<Option<String>>::default_serde(), Arc::new(Encoded));
    /// let names = builder.add_source("in", [TopicName::external("names")], read);
    /// let written = SinkOptions::new(<Option<String>>::default_serde(), Arc::new(Encoded));
    /// builder.add_sink("out", TopicName::external("copies"), &[names], written);
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let old = Headers::default().with("encoding", Some(b"latin-1"));
    /// let value = Some(b"Zo\xeb".to_vec().into());
    /// driver.pipe_raw("names", &WrittenRecord { key: None, value, timestamp_ms: 0, headers: old })?;
    /// let copy = &driver.written("copies")[0];
    /// assert_eq!(copy.value.as_deref(), Some("Zoë".as_bytes()));
    /// assert_eq!(copy.headers.last("encoding").unwrap().value.as_deref(), Some(&b"utf-8"[..]));
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// As `serialize`.
    #[inline]
    fn serialize_with_headers(
        &self,
        topic: &str,
        headers: &mut Headers,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        let _ = headers;
        self.serialize(topic, value, out)
    }

    /// As [`deserialize`](Self::deserialize), of a record with these headers (Kafka's `deserialize(topic, headers, data)`): sources
    /// call this, stores the other. Default: `deserialize`.
    ///
    /// # Errors
    /// As `deserialize`. Never panics.
    #[inline]
    fn deserialize_with_headers(
        &self,
        topic: &str,
        headers: &Headers,
        bytes: &[u8],
    ) -> Result<T, SerdeError> {
        let _ = headers;
        self.deserialize(topic, bytes)
    }

    /// True if this value is null on the wire: a null key, or a tombstone. Only types that can be null say so.
    fn is_null(&self, value: &T) -> bool {
        let _ = value;
        false
    }

    /// The part of a key's bytes that decides its partition. All of them, but for windowed keys: windows of one key stay
    /// together.
    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
    }

    /// The value that a null on the wire becomes, or `None` if the type has no null. A null where the type has none is
    /// dropped and counted by whoever reads it.
    fn null(&self) -> Option<T> {
        None
    }

    /// How many bytes every value has that is not null, or `None` if they differ. [`ListSerde`] does not write the size of such
    /// entries.
    fn size_bytes(&self) -> Option<usize> {
        None
    }
}

/// The serde of a type when the program names none.
///
/// Implemented for the primitives, `String`, byte strings, UUIDs, `()`, `Option` of them, and [`Json`]. For a type of your own
/// that serde knows, [`json_serde!`](crate::json_serde) implements it in one line.
///
/// ```
/// use streams_core::serde::DefaultSerde;
///
/// let serde = i64::default_serde();
/// let mut bytes = Vec::new();
/// serde.serialize("topic", &258, &mut bytes).unwrap();
/// assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default serde",
    note = "give one to the operator (`Consumed`, `Produced`, `Grouped`, `Materialized`), wrap the type in `Json<..>`, or write `json_serde!({Self});`"
)]
pub trait DefaultSerde: Sized + 'static {
    /// The serde.
    fn default_serde() -> Arc<dyn Serde<Self>>;
}

/// Why bytes and a value do not match. Says what was expected; the caller adds topic, partition and offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SerdeError {
    message: String,
}

impl SerdeError {
    /// An error with a sentence for a person.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    pub(crate) fn wrong_length(type_name: &str, expected: usize, found: usize) -> Self {
        Self::new(format!(
            "{type_name} is {expected} bytes long, but {found} were found"
        ))
    }
}

/// Implements [`DefaultSerde`] as JSON for types that implement `serde::Serialize` and `serde::Deserialize`.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order { item: String, amount: u32 }
/// streams_core::json_serde!(Order);
///
/// use streams_core::serde::DefaultSerde;
/// let order = Order::default_serde().deserialize("orders", br#"{"item":"tea","amount":2}"#).unwrap();
/// assert_eq!(order.amount, 2);
/// ```
#[macro_export]
macro_rules! json_serde {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::serde::DefaultSerde for $type {
            fn default_serde() -> ::std::sync::Arc<dyn $crate::serde::Serde<Self>> {
                ::std::sync::Arc::new($crate::serde::JsonSerde)
            }
        }
    )+};
}
