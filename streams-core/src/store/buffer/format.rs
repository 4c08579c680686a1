//! The bytes of a buffered change, and the order in which Kafka Streams logs changed keys.
//!
//! A value is the record's context ‖ prior value ‖ old value ‖ new value ‖ buffer time. A context is timestamp ‖ offset ‖
//! topic ‖ partition ‖ headers. Texts and values have 4 bytes of length in front: -1 is null, -2 the same as the prior value.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::{Header, Headers};

/// What the header `v` of changelog records says.
pub(super) const VERSION: u8 = 3;
const NULL: i32 = -1;
const SAME_AS_PRIOR: i32 = -2;

/// Where a change came from (Kafka's `ProcessorRecordContext`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordContext {
    /// Event time of the change, in milliseconds.
    pub timestamp_ms: i64,
    /// Topic of the input record; empty if there was none.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Headers of the change.
    pub headers: Headers,
}

/// A change as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buffered {
    pub(super) context: RecordContext,
    /// The value that those behind the buffer know.
    pub(super) prior: Option<Bytes>,
    pub(super) old: Option<Bytes>,
    pub(super) new: Option<Bytes>,
}

impl Buffered {
    /// What it takes with its key, as Kafka Streams estimates it.
    pub(super) fn size(&self, key: &[u8]) -> usize {
        let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let old = if self.old == self.prior {
            0
        } else {
            length(&self.old)
        };
        let headers = self.context.headers.iter();
        let headers: usize = headers
            .map(|header| header.key.len() + length(&header.value))
            .sum();
        let context = 8 + 8 + self.context.topic.len() + 4 + headers;
        8 + key.len() + length(&self.prior) + old + length(&self.new) + context
    }

    pub(super) fn write(&self, time_ms: i64) -> Vec<u8> {
        let mut out = Vec::new();
        self.context.write(&mut out);
        write_bytes(self.prior.as_deref(), &mut out);
        match &self.old {
            Some(old) if Some(old) == self.prior.as_ref() => {
                out.extend_from_slice(&SAME_AS_PRIOR.to_be_bytes());
            }
            old => write_bytes(old.as_deref(), &mut out),
        }
        write_bytes(self.new.as_deref(), &mut out);
        out.extend_from_slice(&time_ms.to_be_bytes());
        out
    }

    /// The buffer time and the change; `None` if these are not its bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<(i64, Self)> {
        let mut rest = bytes;
        let context = RecordContext::read(&mut rest)?;
        let prior = read_bytes(&mut rest)?;
        let old = match rest.split_first_chunk::<4>()? {
            (length, following) if i32::from_be_bytes(*length) == SAME_AS_PRIOR => {
                rest = following;
                prior.clone()
            }
            _ => read_bytes(&mut rest)?,
        };
        let new = read_bytes(&mut rest)?;
        let time_ms = i64::from_be_bytes(rest.try_into().ok()?);
        Some((
            time_ms,
            Self {
                context,
                prior,
                old,
                new,
            },
        ))
    }
}

impl RecordContext {
    /// Appends its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        write_bytes(Some(self.topic.as_bytes()), out);
        out.extend_from_slice(&self.partition.to_be_bytes());
        out.extend_from_slice(&length(self.headers.len()).to_be_bytes());
        for header in &self.headers {
            write_bytes(Some(header.key.as_bytes()), out);
            write_bytes(header.value.as_deref(), out);
        }
    }

    /// Reads one, and moves `rest` behind it; `None` if these are not its bytes.
    pub fn read(rest: &mut &[u8]) -> Option<Self> {
        let timestamp_ms = i64::from_be_bytes(take(rest)?);
        let offset = i64::from_be_bytes(take(rest)?);
        let topic = read_bytes(rest)?.unwrap_or_default();
        let partition = i32::from_be_bytes(take(rest)?);
        let count = i32::from_be_bytes(take(rest)?);
        let mut headers = Vec::new();
        for _ in 0..count {
            let key = read_bytes(rest)??;
            headers.push(Header {
                key: Arc::from(std::str::from_utf8(&key).ok()?),
                value: read_bytes(rest)?,
            });
        }
        Some(Self {
            timestamp_ms,
            topic: Arc::from(std::str::from_utf8(&topic).ok()?),
            partition,
            offset,
            headers: Headers::new(headers),
        })
    }
}

fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => out.extend_from_slice(&NULL.to_be_bytes()),
        Some(bytes) => {
            out.extend_from_slice(&length(bytes.len()).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, following) = rest.split_first_chunk::<N>()?;
    *rest = following;
    Some(*taken)
}

fn read_bytes(rest: &mut &[u8]) -> Option<Option<Bytes>> {
    let length = i32::from_be_bytes(take(rest)?);
    if length == NULL {
        return Some(None);
    }
    let (value, following) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = following;
    Some(Some(Bytes::copy_from_slice(value)))
}

/// Buckets of a new Java hash set.
pub(super) const JAVA_CAPACITY_MIN: usize = 16;

/// Brings keys, which are in the order they were added, into that of a Java hash set, which grows at three quarters and never
/// shrinks: the order in which Kafka Streams logs what changed since the last commit.
pub(super) fn in_javas_order(keys: &mut [Bytes], capacity: &mut usize) {
    while keys.len() > *capacity / 4 * 3 {
        *capacity *= 2;
    }
    let mask = u32::try_from(*capacity - 1).unwrap_or(u32::MAX);
    let bucket = |key: &Bytes| {
        let hash = key.iter().fold(1_u32, |hash, byte| {
            let signed = i32::from(i8::from_be_bytes([*byte]));
            hash.wrapping_mul(31).wrapping_add_signed(signed)
        });
        (hash ^ (hash >> 16)) & mask
    };
    keys.sort_by_cached_key(bucket);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_was_written() {
        let context = RecordContext {
            timestamp_ms: 1,
            topic: Arc::from("in"),
            partition: 2,
            offset: 3,
            headers: Headers::default().with("h", Some(b"x")).with("n", None),
        };
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        for (prior, old, new) in [
            (None, None, value("new")),
            (value("a"), value("a"), value("b")),
            (value("a"), value("b"), None),
        ] {
            let change = Buffered {
                context: context.clone(),
                prior,
                old,
                new,
            };
            let bytes = change.write(9);
            assert_eq!(Buffered::read(&bytes), Some((9, change)));
            for cut in 0..bytes.len() {
                assert_eq!(Buffered::read(&bytes[..cut]), None, "{cut}");
            }
        }
    }

    #[test]
    fn keys_are_in_the_order_of_a_java_hash_set() {
        let mut keys: Vec<Bytes> = ["f2", "k2", "f1", "k1"]
            .map(|key| Bytes::from_static(key.as_bytes()))
            .to_vec();
        let mut capacity = JAVA_CAPACITY_MIN;
        in_javas_order(&mut keys, &mut capacity);
        assert_eq!(keys, ["k1", "k2", "f1", "f2"]);
        assert_eq!(capacity, JAVA_CAPACITY_MIN);
    }
}
