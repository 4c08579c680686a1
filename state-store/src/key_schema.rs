//! The bytes of row keys that carry a timestamp, as Kafka Streams lays them out.
//!
//! ```text
//!   window row    key || window start, 8 bytes big-endian || sequence number, 4 bytes big-endian
//!   session row   key || session end, 8 bytes big-endian  || session start, 8 bytes big-endian
//! ```
//!
//! Apart from the stores, because segments, window reads and changelogs must agree on it to the byte. Timestamps are not
//! negative, so their big-endian bytes sort by time. Keys vary in length and one may be the prefix of another, so the
//! rows of two keys can interleave: the bounds below are as tight as bytes allow, and the reader still compares keys.

/// The bytes after the key in a window row.
pub const WINDOW_SUFFIX_BYTES: usize = TIMESTAMP_BYTES + SEQUENCE_BYTES;
/// The bytes after the key in a session row.
pub const SESSION_SUFFIX_BYTES: usize = 2 * TIMESTAMP_BYTES;

const TIMESTAMP_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 4;

/// Where the timestamp is in a row key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeySchema {
    /// Rows of a window store, filed under the window's start.
    Window,
    /// Rows of a session store, filed under the session's end.
    Session,
}

impl KeySchema {
    /// The timestamp by which a row is filed, in milliseconds; `None` if the key is too short to be such a row.
    ///
    /// ```
    /// use state_store::{KeySchema, key_schema::SessionKey};
    /// let row = SessionKey { key: b"alice", start_ms: 10, end_ms: 25 }.encode();
    /// assert_eq!(KeySchema::Session.timestamp_ms(&row), Some(25));
    /// assert_eq!(KeySchema::Session.timestamp_ms(b"alice"), None);
    /// ```
    pub fn timestamp_ms(self, row_key: &[u8]) -> Option<i64> {
        match self {
            Self::Window => Some(WindowKey::decode(row_key)?.start_ms),
            Self::Session => Some(SessionKey::decode(row_key)?.end_ms),
        }
    }

    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Session => "session",
        }
    }
}

/// A window row's key, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowKey<'a> {
    /// The serialised record key.
    pub key: &'a [u8],
    /// Where the window starts, inclusive, in milliseconds.
    pub start_ms: i64,
    /// Tells rows with the same key and start apart in stores that keep duplicates; else 0.
    pub sequence: u32,
}

impl<'a> WindowKey<'a> {
    /// Splits a row key; `None` if it is too short.
    pub fn decode(row_key: &'a [u8]) -> Option<Self> {
        let (rest, sequence) = row_key.split_last_chunk::<SEQUENCE_BYTES>()?;
        let (key, start) = rest.split_last_chunk::<TIMESTAMP_BYTES>()?;
        Some(Self {
            key,
            start_ms: i64::from_be_bytes(*start),
            sequence: u32::from_be_bytes(*sequence),
        })
    }

    /// Appends the row key to a buffer.
    pub fn encode_into(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(self.key.len() + WINDOW_SUFFIX_BYTES);
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(&self.start_ms.to_be_bytes());
        buffer.extend_from_slice(&self.sequence.to_be_bytes());
    }

    /// The row key in a new buffer.
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        self.encode_into(&mut buffer);
        buffer
    }
}

/// A session row's key, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey<'a> {
    /// The serialised record key.
    pub key: &'a [u8],
    /// The time of the first record in the session, in milliseconds.
    pub start_ms: i64,
    /// The time of the last record in the session, in milliseconds.
    pub end_ms: i64,
}

impl<'a> SessionKey<'a> {
    /// Splits a row key; `None` if it is too short.
    pub fn decode(row_key: &'a [u8]) -> Option<Self> {
        let (rest, start) = row_key.split_last_chunk::<TIMESTAMP_BYTES>()?;
        let (key, end) = rest.split_last_chunk::<TIMESTAMP_BYTES>()?;
        Some(Self {
            key,
            start_ms: i64::from_be_bytes(*start),
            end_ms: i64::from_be_bytes(*end),
        })
    }

    /// Appends the row key to a buffer. The end comes first, so that sessions sort by it.
    pub fn encode_into(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(self.key.len() + SESSION_SUFFIX_BYTES);
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(&self.end_ms.to_be_bytes());
        buffer.extend_from_slice(&self.start_ms.to_be_bytes());
    }

    /// The row key in a new buffer.
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        self.encode_into(&mut buffer);
        buffer
    }
}

/// The first and the last possible row key, both inclusive, for the windows of one key that start in `[from_ms, to_ms]`.
///
/// Rows of longer keys may lie between them; compare [`WindowKey::key`]. A negative `from_ms` counts as 0.
pub fn window_bounds(key: &[u8], from_ms: i64, to_ms: i64) -> (Vec<u8>, Vec<u8>) {
    let first = WindowKey {
        key,
        start_ms: from_ms.max(0),
        sequence: 0,
    };
    let last = WindowKey {
        key,
        start_ms: to_ms,
        sequence: u32::MAX,
    };
    (first.encode(), last.encode())
}

/// The first and the last possible row key, both inclusive, for windows of all keys in `[from_key, to_key]` that start
/// at or before `to_ms`.
///
/// Rows of other keys and other times may lie between them; compare both.
pub fn window_key_range_bounds(from_key: &[u8], to_key: &[u8], to_ms: i64) -> (Vec<u8>, Vec<u8>) {
    (
        from_key.to_vec(),
        last_of_keys_up_to(to_key, |key| window_bounds(key, 0, to_ms).1),
    )
}

/// The first and the last possible row key, both inclusive, for the sessions of one key that end at or after
/// `earliest_end_ms`, to the end of time.
///
/// Rows of longer keys may lie between them; compare [`SessionKey::key`]. A negative time counts as 0.
pub fn session_bounds(key: &[u8], earliest_end_ms: i64) -> (Vec<u8>, Vec<u8>) {
    let first = SessionKey {
        key,
        start_ms: 0,
        end_ms: earliest_end_ms.max(0),
    };
    let last = SessionKey {
        key,
        start_ms: i64::MAX,
        end_ms: i64::MAX,
    };
    (first.encode(), last.encode())
}

/// The first and the last possible row key, both inclusive, for sessions of all keys in `[from_key, to_key]` that end at
/// or before `latest_end_ms`.
///
/// Rows of other keys and other times may lie between them; compare both.
pub fn session_key_range_bounds(from_key: &[u8], to_key: &[u8], latest_end_ms: i64) -> (Vec<u8>, Vec<u8>) {
    let last_of = |key: &[u8]| {
        let last = SessionKey {
            key,
            start_ms: i64::MAX,
            end_ms: latest_end_ms,
        };
        last.encode()
    };
    (from_key.to_vec(), last_of_keys_up_to(to_key, last_of))
}

/// The largest row key of any key up to `to_key`, where `last_of` gives the largest row key of one key.
///
/// A key below `to_key` either differs from it at some byte, and so do its rows, or is a prefix of it, and then its
/// suffix may well be the larger. So the largest row belongs to `to_key` or to one of its prefixes.
fn last_of_keys_up_to(to_key: &[u8], last_of: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut last = last_of(to_key);
    for length in 0..to_key.len() {
        let candidate = last_of(&to_key[..length]);
        if candidate > last {
            last = candidate;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_those_of_kafka() {
        let window = WindowKey {
            key: b"k",
            start_ms: 0x0102,
            sequence: 3,
        }
        .encode();
        assert_eq!(window, [b'k', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3]);
        let session = SessionKey {
            key: b"k",
            start_ms: 1,
            end_ms: 2,
        }
        .encode();
        assert_eq!(session, [b'k', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn short_keys_are_refused_and_empty_keys_are_not() {
        assert_eq!(WindowKey::decode(&[0; 11]), None);
        assert_eq!(SessionKey::decode(&[0; 15]), None);
        assert_eq!(KeySchema::Window.timestamp_ms(b""), None);
        assert_eq!(
            WindowKey::decode(&[0; 12]),
            Some(WindowKey {
                key: b"",
                start_ms: 0,
                sequence: 0
            })
        );
    }

    /// Few byte values and small times, so that prefixes and equal rows happen.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7F, 0xFF]), 0..4)
    }

    fn time_ms() -> impl Strategy<Value = i64> {
        prop_oneof![0i64..4, Just(i64::MAX), (0i64..4).prop_map(|high| high << 56)]
    }

    proptest! {
        #[test]
        fn rows_survive_the_round_trip(key in key(), start_ms in time_ms(), end_ms in time_ms(), sequence: u32) {
            let window = WindowKey { key: &key, start_ms, sequence };
            let row = window.encode();
            prop_assert_eq!(WindowKey::decode(&row), Some(window));
            let session = SessionKey { key: &key, start_ms, end_ms };
            let row = session.encode();
            prop_assert_eq!(SessionKey::decode(&row), Some(session));
        }

        #[test]
        fn bounds_hold_exactly_the_rows_of_a_key(
            key in key(), start_ms in time_ms(), sequence: u32, from_ms in time_ms(), to_ms in time_ms(),
        ) {
            let row = WindowKey { key: &key, start_ms, sequence }.encode();
            let (first, last) = window_bounds(&key, from_ms, to_ms);
            let inside = first <= row && row <= last;
            prop_assert_eq!(inside, (from_ms..=to_ms).contains(&start_ms));

            let row = SessionKey { key: &key, start_ms: from_ms, end_ms: start_ms }.encode();
            let (first, last) = session_bounds(&key, to_ms);
            prop_assert_eq!(first <= row && row <= last, start_ms >= to_ms);
        }

        #[test]
        fn key_range_bounds_miss_no_row(
            key in key(), start_ms in time_ms(), sequence: u32, from in key(), to in key(), to_ms in time_ms(),
        ) {
            let row = WindowKey { key: &key, start_ms, sequence }.encode();
            let (first, last) = window_key_range_bounds(&from, &to, to_ms);
            if from <= key && key <= to && start_ms <= to_ms {
                prop_assert!(first <= row && row <= last);
            }
            let row = SessionKey { key: &key, start_ms: 0, end_ms: start_ms }.encode();
            let (first, last) = session_key_range_bounds(&from, &to, to_ms);
            if from <= key && key <= to && start_ms <= to_ms {
                prop_assert!(first <= row && row <= last);
            }
        }
    }
}
