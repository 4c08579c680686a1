//! Producer state as a file, in Kafka's format: version, CRC-32C, count, entries. A snapshot named after
//! an offset holds the state before that offset, so that opening a log replays only what follows. Of each
//! producer only the last batch survives. A damaged snapshot is ignored: the log can replace it.

use crate::log::batch::{NO_SEQUENCE, crc32c};
use crate::log::producer_state::{ProducerEntry, ProducerState, RememberedBatch};

const VERSION: i16 = 1;
const ENTRIES_AT: usize = 10;
const CRC_FROM: usize = 6;
const ENTRY_BYTES: usize = 46;
/// Stands for "no transaction open".
const NO_OFFSET: i64 = -1;

/// Encodes the whole state. Entries are in order of producer ids, so that equal states are equal files.
pub(crate) fn encode(state: &ProducerState) -> Vec<u8> {
    let mut entries: Vec<_> = state.entries().collect();
    entries.sort_unstable_by_key(|(producer_id, _)| *producer_id);
    let mut bytes = Vec::with_capacity(ENTRIES_AT + entries.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(entries.len() as i32).to_be_bytes());
    for (producer_id, entry) in entries {
        let last = entry.last_batch().unwrap_or(RememberedBatch {
            last_sequence: NO_SEQUENCE,
            last_offset: NO_OFFSET,
            offset_delta: 0,
            timestamp: entry.last_timestamp,
        });
        bytes.extend_from_slice(&producer_id.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        bytes.extend_from_slice(&last.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&last.last_offset.to_be_bytes());
        bytes.extend_from_slice(&last.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.transaction_first_offset.unwrap_or(NO_OFFSET).to_be_bytes());
    }
    let crc = crc32c(&bytes[CRC_FROM..]);
    bytes[2..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Decodes a snapshot; `None` if it is damaged or of another version.
pub(crate) fn decode(bytes: &[u8]) -> Option<ProducerState> {
    let header = bytes.first_chunk::<ENTRIES_AT>()?;
    let version = i16::from_be_bytes([header[0], header[1]]);
    let crc = u32::from_be_bytes(header[2..6].try_into().ok()?);
    let count = i32::from_be_bytes(header[6..10].try_into().ok()?);
    let (entries, rest) = bytes[ENTRIES_AT..].as_chunks::<ENTRY_BYTES>();
    if version != VERSION
        || crc32c(&bytes[CRC_FROM..]) != crc
        || !rest.is_empty()
        || usize::try_from(count).ok() != Some(entries.len())
    {
        return None;
    }
    let mut state = ProducerState::default();
    for entry in entries {
        let long = |at: usize| entry[at..at + 8].try_into().ok().map(i64::from_be_bytes);
        let int = |at: usize| entry[at..at + 4].try_into().ok().map(i32::from_be_bytes);
        let last_timestamp = long(26)?;
        let last_offset = long(14)?;
        let last_batch = (last_offset != NO_OFFSET).then_some(RememberedBatch {
            last_sequence: int(10)?,
            last_offset,
            offset_delta: int(22)?,
            timestamp: last_timestamp,
        });
        state.restore(
            long(0)?,
            ProducerEntry::restored(
                i16::from_be_bytes([entry[8], entry[9]]),
                int(34)?,
                last_timestamp,
                Some(long(38)?).filter(|offset| *offset != NO_OFFSET),
                last_batch,
            ),
        );
    }
    Some(state)
}
