//! Changes on their way through the repartition topic of a grouped table, with the bytes of Kafka's `ChangedSerializer`.
//!
//! ```text
//!   old   0x00                                 only the old value
//!   new   0x01                                 only the new one
//!   varint(length of new)  new  old  0x02      both
//! ```
//! Kafka also reads 3, 4 and 5, which are 0, 1 and 2 with one byte more before the flag, and so does this.

use std::sync::Arc;

use streams_core::Headers;
use streams_core::serde::{Serde, SerdeError};

use crate::change::Change;

const OLD_ONLY: u8 = 0;
const NEW_ONLY: u8 = 1;
const BOTH: u8 = 2;
/// From here on a byte stands before the flag that says whether the new value is the latest.
const WITH_LATEST: u8 = 3;
const MAX_VARINT_BYTES: usize = 5;

/// Writes and reads a [`Change`] whose values this serde writes and reads.
pub(crate) struct ChangeSerde<V> {
    pub(crate) value: Arc<dyn Serde<V>>,
}

impl<V> std::fmt::Debug for ChangeSerde<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChangeSerde({:?})", self.value)
    }
}

impl<V> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(&self, topic: &str, change: &Change<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.serialize_with_headers(topic, &mut Headers::default(), change, out)
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Change<V>, SerdeError> {
        self.deserialize_with_headers(topic, &Headers::default(), bytes)
    }

    fn serialize_with_headers(
        &self,
        topic: &str,
        headers: &mut Headers,
        change: &Change<V>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        let mut write =
            |value, out: &mut Vec<u8>| self.value.serialize_with_headers(topic, headers, value, out);
        match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let mut bytes = Vec::new();
                write(new, &mut bytes)?;
                put_varint(bytes.len() as u32, out);
                out.extend_from_slice(&bytes);
                write(old, out)?;
                out.push(BOTH);
            }
            (Some(new), None) => {
                write(new, out)?;
                out.push(NEW_ONLY);
            }
            (None, Some(old)) => {
                write(old, out)?;
                out.push(OLD_ONLY);
            }
            (None, None) => return Err(SerdeError::new("a change has neither an old nor a new value")),
        }
        Ok(())
    }

    fn deserialize_with_headers(
        &self,
        topic: &str,
        headers: &Headers,
        bytes: &[u8],
    ) -> Result<Change<V>, SerdeError> {
        let (flag, mut bytes) = bytes
            .split_last()
            .ok_or_else(|| SerdeError::new("a change has at least one byte"))?;
        let mut flag = *flag;
        if flag >= WITH_LATEST {
            flag -= WITH_LATEST;
            bytes = bytes
                .split_last()
                .ok_or_else(|| SerdeError::new("a change ends before its flag"))?
                .1;
        }
        let read = |bytes| {
            let value = self.value.deserialize_with_headers(topic, headers, bytes);
            value.map(Some)
        };
        match flag {
            OLD_ONLY => Ok(Change {
                new: None,
                old: read(bytes)?,
                is_latest: true,
            }),
            NEW_ONLY => Ok(Change {
                new: read(bytes)?,
                old: None,
                is_latest: true,
            }),
            BOTH => {
                let (new, old) = split(bytes)?;
                Ok(Change {
                    new: read(new)?,
                    old: read(old)?,
                    is_latest: true,
                })
            }
            other => Err(SerdeError::new(format!("a change has the unknown flag {other}"))),
        }
    }
}

/// A varint as records have them: doubled, because it could be negative, then seven bits a byte, the lowest first.
fn put_varint(length: u32, out: &mut Vec<u8>) {
    let mut value = u64::from(length) << 1;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The new value's bytes, of which the length stands before them, and the old one's.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), SerdeError> {
    let mut length = 0_u64;
    for (at, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let rest = &bytes[at + 1..];
            if length & 1 == 1 {
                return Err(SerdeError::new("the length of a change's new value is negative"));
            }
            return usize::try_from(length >> 1)
                .ok()
                .and_then(|length| rest.split_at_checked(length))
                .ok_or_else(|| SerdeError::new("a change is shorter than its new value"));
        }
    }
    Err(SerdeError::new("the length of a change's new value does not end"))
}

#[cfg(test)]
mod tests {
    use streams_core::serde::DefaultSerde;

    use super::*;

    fn serde() -> ChangeSerde<String> {
        ChangeSerde {
            value: String::default_serde(),
        }
    }

    fn change(new: Option<&str>, old: Option<&str>) -> Change<String> {
        Change {
            new: new.map(str::to_owned),
            old: old.map(str::to_owned),
            is_latest: true,
        }
    }

    #[test]
    fn changes_have_kafkas_bytes_and_come_back() {
        for (change, bytes) in [
            (change(Some("n"), None), &b"n\x01"[..]),
            (change(None, Some("old")), b"old\x00"),
            (change(Some("new"), Some("o")), b"\x06newo\x02"),
            (change(Some(""), Some("")), b"\x00\x02"),
        ] {
            let mut written = Vec::new();
            serde().serialize("t", &change, &mut written).unwrap();
            assert_eq!(written, bytes);
            assert_eq!(serde().deserialize("t", bytes).unwrap(), change);
        }
        let long = change(Some(&"x".repeat(300)), Some("o"));
        let mut written = Vec::new();
        serde().serialize("t", &long, &mut written).unwrap();
        assert_eq!(serde().deserialize("t", &written).unwrap(), long);
        assert_eq!(
            serde().deserialize("t", b"n\x01\x04").unwrap(),
            change(Some("n"), None)
        );
        assert!(serde().serialize("t", &change(None, None), &mut written).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [
            &b""[..],
            b"\x03",
            b"\x09",
            b"\x02",
            b"\x80\x02",
            b"\x0aab\x02",
            b"\x01a\x02",
            b"\xff\xff\xff\xff\xff\xff\x02",
        ] {
            assert!(serde().deserialize("t", bytes).is_err(), "{bytes:?}");
        }
    }
}
