//! The latest offset of each key, in bounded memory. Keys are kept whole, not as hashes: two keys are never taken for one.

use std::collections::HashMap;

use crate::log::batch::{BatchError, BatchView};

/// What an entry takes beside the bytes of its key: the entry itself at the usual load, and the allocation of the key.
const ENTRY_BYTES: usize = 64;

/// Whether a batch found its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    /// Memory is used up: this batch, and all behind it, are for the next round.
    Full,
}

/// Key to latest offset, for the records below an end offset.
#[derive(Debug)]
pub(super) struct KeyOffsets {
    offsets: HashMap<Box<[u8]>, i64>,
    used_bytes: usize,
    memory_bytes: usize,
    first_offset: i64,
    end_offset: i64,
}

impl KeyOffsets {
    /// For records from `first_offset` on.
    pub(super) fn new(memory_bytes: usize, first_offset: i64) -> Self {
        Self {
            offsets: HashMap::new(),
            used_bytes: 0,
            memory_bytes,
            first_offset,
            end_offset: first_offset,
        }
    }

    /// Everything below was looked at.
    pub(super) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Nothing up to `end_offset` needs an entry.
    pub(super) fn reach(&mut self, end_offset: i64) {
        self.end_offset = self.end_offset.max(end_offset);
    }

    /// Notes the records of a batch, all of them or none. The first batch always finds its place, so that rounds get on.
    pub(super) fn note(&mut self, batch: &BatchView<'_>, scratch: &mut Vec<u8>) -> Result<Noted, BatchError> {
        if self.used_bytes > self.memory_bytes {
            return Ok(Noted::Full);
        }
        for record in batch.records(scratch)? {
            let record = record?;
            let Some(key) = record.key.filter(|_| record.offset >= self.first_offset) else {
                continue;
            };
            match self.offsets.get_mut(key) {
                Some(offset) => *offset = record.offset,
                None => {
                    self.used_bytes += key.len() + ENTRY_BYTES;
                    self.offsets.insert(key.into(), record.offset);
                }
            }
        }
        self.reach(batch.header().next_offset());
        Ok(Noted::Yes)
    }

    /// Whether no later record of this key is known.
    pub(super) fn is_latest(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(key).is_none_or(|latest| offset >= *latest)
    }
}
