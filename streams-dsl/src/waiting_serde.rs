//! Records that wait to be joined with a versioned table, and their bytes: those of Kafka Streams' `RocksDBTimeOrderedKeyValueBuffer`.

use std::fmt::{self, Debug};
use std::sync::Arc;

use streams_core::serde::{Serde, SerdeError};
use streams_core::store::RecordContext;

/// Where a record waits: by time first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingKey<K> {
    pub(crate) timestamp_ms: i64,
    pub(crate) key: K,
    /// Tells records of the same time and key apart.
    pub(crate) number: u32,
}

/// A record's value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingValue<V> {
    pub(crate) context: RecordContext,
    pub(crate) value: V,
}

pub(crate) struct WaitingKeySerde<K>(pub(crate) Arc<dyn Serde<K>>);
pub(crate) struct WaitingValueSerde<V>(pub(crate) Arc<dyn Serde<V>>);

/// In front of every key.
pub(crate) const TIME_FIRST: u8 = 0;
/// There are no prior and old values.
const NO_VALUES: [u8; 8] = [0xff; 8];
/// A time that is not used.
const NO_TIME: [u8; 8] = [0; 8];

impl<K> Serde<WaitingKey<K>> for WaitingKeySerde<K> {
    fn serialize(&self, topic: &str, value: &WaitingKey<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(TIME_FIRST);
        out.extend_from_slice(&value.timestamp_ms.to_be_bytes());
        self.0.serialize(topic, &value.key, out)?;
        out.extend_from_slice(&value.number.to_be_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<WaitingKey<K>, SerdeError> {
        let parts = bytes.strip_prefix(&[TIME_FIRST]).and_then(|rest| {
            let (timestamp, rest) = rest.split_first_chunk::<8>()?;
            let (key, number) = rest.split_last_chunk::<4>()?;
            Some((i64::from_be_bytes(*timestamp), key, u32::from_be_bytes(*number)))
        });
        let (timestamp_ms, key, number) = parts.ok_or_else(not_one)?;
        Ok(WaitingKey {
            timestamp_ms,
            key: self.0.deserialize(topic, key)?,
            number,
        })
    }
}

impl<V> Serde<WaitingValue<V>> for WaitingValueSerde<V> {
    fn serialize(&self, topic: &str, value: &WaitingValue<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.context.write(out);
        out.extend_from_slice(&NO_VALUES);
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.0.serialize(topic, &value.value, out)?;
        let length = i32::try_from(out.len() - length_at - 4)
            .map_err(|_| SerdeError::new("a value of more than 2 GiB"))?;
        out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&NO_TIME);
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<WaitingValue<V>, SerdeError> {
        let mut rest = bytes;
        let context = RecordContext::read(&mut rest).ok_or_else(not_one)?;
        let value = rest.strip_prefix(&NO_VALUES).and_then(|rest| {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            rest.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)
        });
        let value = self.0.deserialize(topic, value.ok_or_else(not_one)?)?;
        Ok(WaitingValue { context, value })
    }
}

fn not_one() -> SerdeError {
    SerdeError::new("this is no record that waits to be joined")
}

impl<K> Debug for WaitingKeySerde<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitingKeySerde").field(&self.0).finish()
    }
}

impl<V> Debug for WaitingValueSerde<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitingValueSerde").field(&self.0).finish()
    }
}
