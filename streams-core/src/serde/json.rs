//! JSON through serde: for values that people read, and types that have no serde of their own.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DefaultSerde, Serde, SerdeError};

/// Compact JSON, for any type that `serde` can write and read.
///
/// ```
/// use streams_core::serde::{JsonSerde, Serde};
///
/// let mut bytes = Vec::new();
/// JsonSerde.serialize("t", &vec![1, 2], &mut bytes).unwrap();
/// assert_eq!(bytes, b"[1,2]");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonSerde;

impl<T: Serialize + DeserializeOwned> Serde<T> for JsonSerde {
    fn serialize(&self, _topic: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value)
            .map_err(|error| SerdeError::new(format!("cannot write {} as JSON: {error}", type_name::<T>())))
    }

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<T, SerdeError> {
        serde_json::from_slice(bytes)
            .map_err(|error| SerdeError::new(format!("not the JSON of {}: {error}", type_name::<T>())))
    }
}

/// A value whose default serde is JSON.
///
/// ```
/// use streams_core::serde::{DefaultSerde, Json};
///
/// let serde = <Json<Vec<u8>>>::default_serde();
/// assert_eq!(serde.deserialize("t", b"[7]").unwrap().0, [7]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(
    /// The value.
    pub T,
);

#[derive(Debug)]
struct WrappedJson;

impl<T: Serialize + DeserializeOwned> Serde<Json<T>> for WrappedJson {
    fn serialize(&self, topic: &str, value: &Json<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        JsonSerde.serialize(topic, &value.0, out)
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Json<T>, SerdeError> {
        JsonSerde.deserialize(topic, bytes).map(Json)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> DefaultSerde for Json<T> {
    fn default_serde() -> Arc<dyn Serde<Self>> {
        Arc::new(WrappedJson)
    }
}

fn type_name<T>() -> &'static str {
    std::any::type_name::<T>()
}
