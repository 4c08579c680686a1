//! Keys of typed stores as bytes, and which keys and times a store is asked for: ranges of values as ranges of bytes.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::StoreResult;
use crate::error::ProcessCause;
use crate::serde::Serde;

/// How the keys of a store are written and read. It has no type of values, so that it is compiled once for each type of key.
pub(super) struct KeyCodec<K> {
    /// The changelog topic, which serdes are told.
    pub(super) topic: Arc<str>,
    serde: Arc<dyn Serde<K>>,
}

impl<K> Clone for KeyCodec<K> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            serde: Arc::clone(&self.serde),
        }
    }
}

impl<K> KeyCodec<K> {
    pub(super) fn new(topic: Arc<str>, serde: Arc<dyn Serde<K>>) -> Self {
        Self { topic, serde }
    }

    /// Appends the bytes of a key, which must not be null.
    pub(super) fn write(&self, key: &K, out: &mut Vec<u8>) -> StoreResult<()> {
        if self.serde.is_null(key) {
            return Err(ProcessCause::NullKey {
                topic: self.topic.to_string(),
            });
        }
        match self.serde.serialize(&self.topic, key, out) {
            Ok(()) => Ok(()),
            Err(error) => Err(ProcessCause::serde("write", "key", &self.topic, error)),
        }
    }

    pub(super) fn bytes(&self, key: &K) -> StoreResult<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(key, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read(&self, bytes: &[u8]) -> StoreResult<K> {
        match self.serde.deserialize(&self.topic, bytes) {
            Ok(key) => Ok(key),
            Err(error) => Err(ProcessCause::serde("read", "key", &self.topic, error)),
        }
    }

    /// A range of keys as one of bytes.
    pub(super) fn bounds(&self, keys: &impl RangeBounds<K>) -> StoreResult<KeyBounds> {
        key_bounds(keys, &|key| self.bytes(key))
    }
}

/// A range of keys as one of bytes, which are as `bytes_of` says.
pub(super) fn key_bounds<K>(
    keys: &impl RangeBounds<K>,
    bytes_of: &dyn Fn(&K) -> StoreResult<Vec<u8>>,
) -> StoreResult<KeyBounds> {
    let bound = |bound: Bound<&K>| -> StoreResult<Bound<Vec<u8>>> {
        Ok(match bound {
            Bound::Included(key) => Bound::Included(bytes_of(key)?),
            Bound::Excluded(key) => Bound::Excluded(bytes_of(key)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    };
    Ok((bound(keys.start_bound())?, bound(keys.end_bound())?))
}

/// Between which bytes keys lie.
pub(super) type KeyBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Keys by their bytes. Rows of others lie between theirs, since keys are of any length.
pub(super) enum Keys {
    One(Vec<u8>),
    Between(KeyBounds),
}

impl Keys {
    #[inline]
    pub(super) fn contain(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Between((from, to)) => {
                RangeBounds::<[u8]>::contains::<[u8]>(&(as_slice(from), as_slice(to)), key)
            }
        }
    }

    /// The bytes to begin with, and whether there is an end and what it is.
    pub(super) fn ends(&self) -> (&[u8], Option<&[u8]>) {
        match self {
            Self::One(one) => (one, Some(one)),
            Self::Between((from, to)) => (bytes(from).unwrap_or_default(), bytes(to)),
        }
    }
}

pub(super) fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn bytes(bound: &Bound<Vec<u8>>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

/// The bytes behind all that begin with a prefix: its last byte that can be more is, and those behind it are not there.
pub(super) fn after_prefix(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut after = prefix.to_vec();
    while after.last() == Some(&u8::MAX) {
        after.pop();
    }
    match after.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(after)
        }
        None => Bound::Unbounded,
    }
}

/// The first and the last time of a range; the last is before the first if there is none.
pub(super) fn first_and_last_ms(times_ms: &impl RangeBounds<i64>) -> (i64, i64) {
    let first_ms = match times_ms.start_bound() {
        Bound::Included(first_ms) => *first_ms,
        Bound::Excluded(before_ms) => before_ms.saturating_add(1),
        Bound::Unbounded => i64::MIN,
    };
    let last_ms = match times_ms.end_bound() {
        Bound::Included(last_ms) => *last_ms,
        Bound::Excluded(after_ms) => after_ms.saturating_sub(1),
        Bound::Unbounded => i64::MAX,
    };
    (first_ms, last_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_first_and_a_last() {
        assert_eq!(first_and_last_ms(&(5..9)), (5, 8));
        assert_eq!(first_and_last_ms(&(5..=9)), (5, 9));
        assert_eq!(first_and_last_ms(&..), (i64::MIN, i64::MAX));
        assert_eq!(
            first_and_last_ms(&(Bound::Excluded(5), Bound::Unbounded)),
            (6, i64::MAX)
        );
        let (first_ms, last_ms) = first_and_last_ms(&(5..5));
        assert!(last_ms < first_ms);
    }

    #[test]
    fn keys_are_compared_by_all_of_their_bytes() {
        let one = Keys::One(b"ab".to_vec());
        assert!(one.contain(b"ab") && !one.contain(b"abc") && !one.contain(b"a"));
        let between = Keys::Between((Bound::Excluded(b"a".to_vec()), Bound::Included(b"b".to_vec())));
        assert!(between.contain(b"ab") && between.contain(b"b"));
        assert!(!between.contain(b"a") && !between.contain(b"ba"));
        assert_eq!(between.ends(), (&b"a"[..], Some(&b"b"[..])));
    }

    #[test]
    fn a_prefix_ends_before_the_next_bytes() {
        assert_eq!(after_prefix(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 0xFF]), Bound::Excluded(vec![2]));
        assert_eq!(after_prefix(&[0xFF]), Bound::Unbounded);
        assert_eq!(after_prefix(b""), Bound::Unbounded);
    }
}
