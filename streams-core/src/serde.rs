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

/// Turns `T` into bytes and bytes into `T` (Kafka's `Serde<T>`, `Serializer<T>` and `Deserializer<T>` in one).
///
/// Both directions get the topic, as Kafka's do: for stores it is the changelog topic. Implementations must be
/// deterministic: the bytes of a key decide its partition and its row.
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
