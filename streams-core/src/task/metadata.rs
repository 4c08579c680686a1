//! What is committed beside an offset: the partition's time and the processors' own times, in Kafka Streams' bytes.
//!
//! base64 of: magic 2 ‖ 8-byte partition time ‖ 4-byte count of entries ‖ entries, each 4-byte length ‖ name ‖ 8-byte time.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const MAGIC: u8 = 2;
/// Older than the entries; Kafka Streams still reads it, so do we.
const MAGIC_TIME_ONLY: u8 = 1;

/// What was committed beside an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedTimes {
    /// Largest timestamp of the partition; -1 if none.
    pub(crate) partition_ms: i64,
    /// Of each processor that keeps one, by its store.
    pub(crate) processors_ms: BTreeMap<String, i64>,
}

impl CommittedTimes {
    pub(super) fn none() -> Self {
        Self {
            partition_ms: -1,
            processors_ms: BTreeMap::new(),
        }
    }

    /// From the text; nothing if it is not ours.
    pub(super) fn decode(metadata: &str) -> Self {
        let times = BASE64_STANDARD.decode(metadata).ok();
        times
            .and_then(|bytes| Self::read(&bytes))
            .unwrap_or_else(Self::none)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first()?;
        let (partition, rest) = rest.split_first_chunk::<8>()?;
        let processors_ms = match *magic {
            MAGIC => read_entries(rest).unwrap_or_default(),
            MAGIC_TIME_ONLY => BTreeMap::new(),
            _ => return None,
        };
        Some(Self {
            partition_ms: i64::from_be_bytes(*partition),
            processors_ms,
        })
    }
}

fn read_entries(bytes: &[u8]) -> Option<BTreeMap<String, i64>> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut entries = BTreeMap::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, following) = rest.split_first_chunk::<4>()?;
        let (name, following) = following.split_at_checked(i32::from_be_bytes(*length).try_into().ok()?)?;
        let (time, following) = following.split_first_chunk::<8>()?;
        entries.insert(
            std::str::from_utf8(name).ok()?.to_owned(),
            i64::from_be_bytes(*time),
        );
        rest = following;
    }
    Some(entries)
}

pub(super) fn encode(partition_time_ms: i64, processors_ms: &BTreeMap<String, i64>) -> String {
    let mut bytes = vec![MAGIC];
    bytes.extend_from_slice(&partition_time_ms.to_be_bytes());
    let length = |length: usize| i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes();
    bytes.extend_from_slice(&length(processors_ms.len()));
    for (name, time_ms) in processors_ms {
        bytes.extend_from_slice(&length(name.len()));
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&time_ms.to_be_bytes());
    }
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CommittedTimes, encode};

    #[test]
    fn keeps_the_times_and_survives_text_of_others() {
        let none = BTreeMap::new();
        assert_eq!(encode(1, &none), "AgAAAAAAAAABAAAAAA==");
        assert_eq!(CommittedTimes::decode(&encode(1_234, &none)).partition_ms, 1_234);
        assert_eq!(CommittedTimes::decode("AQAAAAAAAAAH").partition_ms, 7);
        let processors_ms = BTreeMap::from([("counts".to_owned(), 5), ("sums".to_owned(), 6)]);
        let both = CommittedTimes {
            partition_ms: 9,
            processors_ms,
        };
        assert_eq!(CommittedTimes::decode(&encode(9, &both.processors_ms)), both);
        for other in ["", "not base64!", "Ag==", "CQAAAAAAAAAH"] {
            assert_eq!(CommittedTimes::decode(other), CommittedTimes::none(), "{other}");
        }
    }
}
