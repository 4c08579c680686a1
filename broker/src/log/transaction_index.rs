//! The aborted transactions of a segment, which a read_committed consumer needs to skip their records:
//! Kafka's `.txnindex`. An entry is filed in the segment that holds its abort marker. Committed
//! transactions, and aborted ones without records on the partition, have none.

const ENTRY_BYTES: usize = 34;

/// A transaction whose records are void, as a fetch response names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
}

/// An entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedEntry {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// Offset of the abort marker.
    pub(crate) last_offset: i64,
    /// The last stable offset once the marker was written: entries of later transactions that
    /// began before it are in this segment or later, never earlier.
    pub(crate) last_stable_offset: i64,
}

/// The entries of one segment, by the offset of their markers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TransactionIndex {
    entries: Vec<AbortedEntry>,
}

impl TransactionIndex {
    pub(crate) fn add(&mut self, entry: AbortedEntry) {
        self.entries.push(entry);
    }

    pub(crate) fn entries(&self) -> &[AbortedEntry] {
        &self.entries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the aborted transactions that have records in `fetch_offset..upper_bound` to `found`, and
    /// answers whether no later segment can have one.
    pub(crate) fn collect(
        &self,
        fetch_offset: i64,
        upper_bound: i64,
        found: &mut Vec<AbortedTransaction>,
    ) -> bool {
        let first = self
            .entries
            .partition_point(|entry| entry.last_offset < fetch_offset);
        for entry in &self.entries[first..] {
            if entry.first_offset < upper_bound {
                found.push(AbortedTransaction {
                    producer_id: entry.producer_id,
                    first_offset: entry.first_offset,
                });
            }
            if entry.last_stable_offset >= upper_bound {
                return true;
            }
        }
        false
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            bytes.extend_from_slice(&0_i16.to_be_bytes());
            bytes.extend_from_slice(&entry.producer_id.to_be_bytes());
            bytes.extend_from_slice(&entry.first_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.last_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.last_stable_offset.to_be_bytes());
        }
        bytes
    }

    /// Decodes a file; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut index = Self::default();
        for entry in entries {
            let number = |at: usize| entry[at..at + 8].try_into().ok().map(i64::from_be_bytes);
            let entry_version = i16::from_be_bytes([entry[0], entry[1]]);
            let entry = AbortedEntry {
                producer_id: number(2)?,
                first_offset: number(10)?,
                last_offset: number(18)?,
                last_stable_offset: number(26)?,
            };
            let follows = index
                .entries
                .last()
                .is_none_or(|last| last.last_offset < entry.last_offset);
            if entry_version != 0 || !follows || entry.first_offset > entry.last_offset {
                return None;
            }
            index.entries.push(entry);
        }
        Some(index)
    }
}
