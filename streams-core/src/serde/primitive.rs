//! The serdes of Kafka's `Serdes` class: integers and floats big-endian, text as UTF-8, UUIDs as their text, byte strings
//! as they are; `()`, which is the wire's null, and `Option`, whose `None` is.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{DefaultSerde, Serde, SerdeError};
use crate::record::Headers;

/// Kafka's representation of a primitive type. One serde for all of them: the type says the rest.
///
/// ```
/// use streams_core::serde::{PrimitiveSerde, Serde};
///
/// let text: String = PrimitiveSerde.deserialize("t", "né".as_bytes()).unwrap();
/// assert_eq!(text, "né");
/// let wrong: Result<i32, _> = PrimitiveSerde.deserialize("t", b"abc");
/// assert_eq!(wrong.unwrap_err().to_string(), "i32 is 4 bytes long, but 3 were found");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PrimitiveSerde;

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Serde<$type> for PrimitiveSerde {
            #[inline]
            fn serialize(&self, _topic: &str, value: &$type, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<$type, SerdeError> {
                bytes
                    .try_into()
                    .map(<$type>::from_be_bytes)
                    .map_err(|_| SerdeError::wrong_length(stringify!($type), size_of::<$type>(), bytes.len()))
            }

            fn size_bytes(&self) -> Option<usize> {
                Some(size_of::<$type>())
            }
        }
    )+};
}

numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

impl Serde<bool> for PrimitiveSerde {
    fn serialize(&self, _topic: &str, value: &bool, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*value));
        Ok(())
    }

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<bool, SerdeError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(SerdeError::new(format!(
                "a bool is the byte 0 or 1, but {other} was found"
            ))),
            _ => Err(SerdeError::wrong_length("bool", 1, bytes.len())),
        }
    }
}

impl Serde<String> for PrimitiveSerde {
    #[inline]
    fn serialize(&self, _topic: &str, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    #[inline]
    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<String, SerdeError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(SerdeError::new(format!("not UTF-8 text: {error}"))),
        }
    }
}

impl Serde<Vec<u8>> for PrimitiveSerde {
    fn serialize(&self, _topic: &str, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<Vec<u8>, SerdeError> {
        Ok(bytes.to_vec())
    }
}

impl Serde<Bytes> for PrimitiveSerde {
    fn serialize(&self, _topic: &str, value: &Bytes, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<Bytes, SerdeError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl Serde<Uuid> for PrimitiveSerde {
    fn serialize(&self, _topic: &str, value: &Uuid, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let mut text = Uuid::encode_buffer();
        out.extend_from_slice(value.hyphenated().encode_lower(&mut text).as_bytes());
        Ok(())
    }

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<Uuid, SerdeError> {
        Uuid::try_parse_ascii(bytes)
            .map_err(|error| SerdeError::new(format!("not the text of a UUID: {error}")))
    }

    fn size_bytes(&self) -> Option<usize> {
        Some(uuid::fmt::Hyphenated::LENGTH)
    }
}

/// Always null (Kafka's `Serdes.Void`).
impl Serde<()> for PrimitiveSerde {
    fn serialize(&self, _topic: &str, _value: &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<(), SerdeError> {
        Err(SerdeError::new(format!(
            "what has the type () is null, but {} bytes were found",
            bytes.len()
        )))
    }

    fn is_null(&self, _value: &()) -> bool {
        true
    }

    fn null(&self) -> Option<()> {
        Some(())
    }
}

macro_rules! default_serdes {
    ($($type:ty),+) => {$(
        impl DefaultSerde for $type {
            fn default_serde() -> Arc<dyn Serde<Self>> {
                Arc::new(PrimitiveSerde)
            }
        }
    )+};
}

default_serdes!(
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
    f32,
    f64,
    bool,
    String,
    Vec<u8>,
    Bytes,
    Uuid,
    ()
);

/// The serde of `Option<T>`: `None` is null on the wire, `Some` is what the inner serde writes.
///
/// ```
/// use streams_core::serde::DefaultSerde;
///
/// let serde = <Option<String>>::default_serde();
/// assert!(serde.is_null(&None));
/// assert_eq!(serde.null(), Some(None));
/// assert_eq!(serde.deserialize("t", b"a").unwrap().as_deref(), Some("a"));
/// ```
pub struct NullableSerde<T> {
    inner: Arc<dyn Serde<T>>,
}

impl<T> std::fmt::Debug for NullableSerde<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NullableSerde")
            .field("inner", &self.inner)
            .finish()
    }
}

impl<T> NullableSerde<T> {
    /// `Option` around what `inner` reads and writes.
    pub fn new(inner: Arc<dyn Serde<T>>) -> Self {
        Self { inner }
    }
}

impl<T: 'static> Serde<Option<T>> for NullableSerde<T> {
    #[inline]
    fn serialize(&self, topic: &str, value: &Option<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match value {
            Some(value) => self.inner.serialize(topic, value, out),
            None => Ok(()),
        }
    }

    #[inline]
    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Option<T>, SerdeError> {
        self.inner.deserialize(topic, bytes).map(Some)
    }

    #[inline]
    fn serialize_with_headers(
        &self,
        topic: &str,
        headers: &mut Headers,
        value: &Option<T>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        match value {
            Some(value) => self.inner.serialize_with_headers(topic, headers, value, out),
            None => Ok(()),
        }
    }

    #[inline]
    fn deserialize_with_headers(
        &self,
        topic: &str,
        headers: &Headers,
        bytes: &[u8],
    ) -> Result<Option<T>, SerdeError> {
        self.inner
            .deserialize_with_headers(topic, headers, bytes)
            .map(Some)
    }

    #[inline]
    fn is_null(&self, value: &Option<T>) -> bool {
        value.as_ref().is_none_or(|value| self.inner.is_null(value))
    }

    fn null(&self) -> Option<Option<T>> {
        Some(None)
    }

    fn partition_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.inner.partition_bytes(bytes)
    }

    fn size_bytes(&self) -> Option<usize> {
        self.inner.size_bytes()
    }
}

impl<T: DefaultSerde> DefaultSerde for Option<T> {
    fn default_serde() -> Arc<dyn Serde<Self>> {
        Arc::new(NullableSerde::new(T::default_serde()))
    }
}
