//! What a join of streams keeps of records that found no match, and its bytes: those of Kafka Streams, whose changelogs can be
//! taken over.

use std::fmt::{self, Debug};
use std::sync::Arc;

use streams_core::serde::{Serde, SerdeError};

/// Which of two streams a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The stream that `join` was called on.
    Left,
    /// The stream it was joined with.
    Right,
}

/// A record that found no match, by time first, so that those to be given up are in front (`TimestampedKeyAndJoinSide`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unmatched<K> {
    pub(crate) timestamp_ms: i64,
    pub(crate) side: Side,
    pub(crate) key: K,
}

/// A value of either stream (`LeftOrRightValue`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Either<A, B> {
    Left(A),
    Right(B),
}

pub(crate) struct UnmatchedSerde<K>(pub(crate) Arc<dyn Serde<K>>);

/// All values with the same time, side and key, in the order they came.
pub(crate) struct EithersSerde<A, B> {
    pub(crate) left: Arc<dyn Serde<A>>,
    pub(crate) right: Arc<dyn Serde<B>>,
}

impl<K> Debug for UnmatchedSerde<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnmatchedSerde").field(&self.0).finish()
    }
}

impl<A, B> Debug for EithersSerde<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EithersSerde")
            .field("left", &self.left)
            .field("right", &self.right)
            .finish()
    }
}

const LEFT: u8 = 1;
const RIGHT: u8 = 0;
/// How Kafka marks a list whose elements have their length in front.
const VARIABLE_SIZE: u8 = 1;

impl<K> Serde<Unmatched<K>> for UnmatchedSerde<K> {
    fn serialize(&self, topic: &str, value: &Unmatched<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.timestamp_ms.to_be_bytes());
        out.push(match value.side {
            Side::Left => LEFT,
            Side::Right => RIGHT,
        });
        self.0.serialize(topic, &value.key, out)
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Unmatched<K>, SerdeError> {
        let parts = bytes.split_first_chunk::<8>();
        let Some((timestamp, [side @ (LEFT | RIGHT), key @ ..])) = parts else {
            return Err(SerdeError::new(
                "a record that waits for its match begins with 8 bytes of time and a side, 0 or 1",
            ));
        };
        Ok(Unmatched {
            timestamp_ms: i64::from_be_bytes(*timestamp),
            side: if *side == LEFT { Side::Left } else { Side::Right },
            key: self.0.deserialize(topic, key)?,
        })
    }
}

impl<A, B> Serde<Vec<Either<A, B>>> for EithersSerde<A, B> {
    fn serialize(&self, topic: &str, value: &Vec<Either<A, B>>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(VARIABLE_SIZE);
        out.extend_from_slice(&length(value.len())?.to_be_bytes());
        for either in value {
            let length_at = out.len();
            out.extend_from_slice(&[0; 4]);
            match either {
                Either::Left(left) => {
                    out.push(LEFT);
                    self.left.serialize(topic, left, out)?;
                }
                Either::Right(right) => {
                    out.push(RIGHT);
                    self.right.serialize(topic, right, out)?;
                }
            }
            let written = length(out.len() - length_at - 4)?;
            out[length_at..length_at + 4].copy_from_slice(&written.to_be_bytes());
        }
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Vec<Either<A, B>>, SerdeError> {
        let Some((VARIABLE_SIZE, rest)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(SerdeError::new("a list of values begins with a byte of 1"));
        };
        let (count, mut rest) = read_length(rest)?;
        let mut values = Vec::new();
        for _ in 0..count {
            let (length, following) = read_length(rest)?;
            let Some((value, following)) = following.split_at_checked(length) else {
                return Err(SerdeError::new(format!(
                    "a value of {length} bytes has only {} bytes left",
                    following.len()
                )));
            };
            values.push(match value.split_first() {
                Some((&LEFT, value)) => Either::Left(self.left.deserialize(topic, value)?),
                Some((&RIGHT, value)) => Either::Right(self.right.deserialize(topic, value)?),
                _ => return Err(SerdeError::new("a value of a join begins with its side, 0 or 1")),
            });
            rest = following;
        }
        Ok(values)
    }
}

fn length(length: usize) -> Result<i32, SerdeError> {
    i32::try_from(length).map_err(|_| SerdeError::new("more than 2 GiB at one time and key"))
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), SerdeError> {
    let parts = bytes.split_first_chunk::<4>();
    let parts =
        parts.and_then(|(length, rest)| Some((usize::try_from(i32::from_be_bytes(*length)).ok()?, rest)));
    parts.ok_or_else(|| SerdeError::new("a length in a list of values is cut short, or negative"))
}

#[cfg(test)]
mod tests {
    use streams_core::serde::DefaultSerde;

    use super::*;

    #[test]
    fn bytes_are_kafkas() {
        let keys = UnmatchedSerde(String::default_serde());
        let key = Unmatched {
            timestamp_ms: 1_000,
            side: Side::Left,
            key: "k1".to_owned(),
        };
        let mut bytes = Vec::new();
        keys.serialize("t", &key, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 3, 0xe8, 1, b'k', b'1']);
        assert_eq!(keys.deserialize("t", &bytes).unwrap(), key);

        let values = EithersSerde {
            left: String::default_serde(),
            right: i64::default_serde(),
        };
        let both = vec![Either::Left("b".to_owned()), Either::Right(7)];
        let mut bytes = Vec::new();
        values.serialize("t", &both, &mut bytes).unwrap();
        assert_eq!(bytes[..12], [1, 0, 0, 0, 2, 0, 0, 0, 2, 1, b'b', 0]);
        assert_eq!(values.deserialize("t", &bytes).unwrap(), both);
        for cut in 0..bytes.len() {
            assert!(values.deserialize("t", &bytes[..cut]).is_err(), "{cut}");
        }
        assert!(keys.deserialize("t", &[0, 0, 0, 0, 0, 0, 3, 0xe8, 2]).is_err());
    }
}
