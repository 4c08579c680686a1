//! Which batches belong to aborted transactions, and which markers have nothing left to say, while segments are walked from
//! the first on. Follows Kafka's `CleanedTransactionMetadata`.

use std::collections::{HashMap, HashSet};

use crate::log::batch::{BatchHeader, BatchView};
use crate::log::builder::ControlType;
use crate::log::transaction_index::AbortedEntry;

/// What a marker means for cleaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// Records of its transaction are still in the log, or it is no transaction marker.
    Needed,
    /// The same, for an aborted transaction: readers need its entry.
    NeededWithEntry(AbortedEntry),
    /// No record of its transaction was met: it can go when its time has come.
    Empty,
}

#[derive(Debug)]
pub(super) struct CleanedTransactions {
    /// By first offset, those not reached yet last.
    aborted: Vec<AbortedEntry>,
    reached: usize,
    ongoing_aborted: HashMap<i64, Aborted>,
    ongoing_committed: HashSet<i64>,
}

#[derive(Debug)]
struct Aborted {
    entry: AbortedEntry,
    has_records: bool,
}

impl CleanedTransactions {
    /// For a walk from the offset `start` on.
    pub(super) fn new(aborted: &[AbortedEntry], start: i64) -> Self {
        let ends_behind = |entry: &&AbortedEntry| entry.last_offset >= start;
        let mut aborted: Vec<_> = aborted.iter().filter(ends_behind).copied().collect();
        aborted.sort_unstable_by_key(|entry| entry.first_offset);
        Self {
            aborted,
            reached: 0,
            ongoing_aborted: HashMap::new(),
            ongoing_committed: HashSet::new(),
        }
    }

    /// A data batch: answers whether its transaction was aborted.
    pub(super) fn data(&mut self, header: &BatchHeader) -> bool {
        self.reach(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.ongoing_aborted.get_mut(&header.producer_id) {
            Some(aborted) => {
                aborted.has_records = true;
                true
            }
            None => {
                self.ongoing_committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A control batch.
    pub(super) fn control(&mut self, batch: &BatchView<'_>) -> Marker {
        let header = batch.header();
        self.reach(header.last_offset());
        match control_type(batch) {
            Some(ControlType::Abort) => match self.ongoing_aborted.remove(&header.producer_id) {
                Some(aborted) if aborted.has_records => Marker::NeededWithEntry(aborted.entry),
                _ => Marker::Empty,
            },
            Some(ControlType::Commit) => {
                if self.ongoing_committed.remove(&header.producer_id) {
                    Marker::Needed
                } else {
                    Marker::Empty
                }
            }
            None => Marker::Needed,
        }
    }

    fn reach(&mut self, offset: i64) {
        while let Some(entry) = self
            .aborted
            .get(self.reached)
            .filter(|entry| entry.first_offset <= offset)
        {
            let aborted = Aborted {
                entry: *entry,
                has_records: false,
            };
            self.ongoing_aborted.insert(entry.producer_id, aborted);
            self.reached += 1;
        }
    }
}

fn control_type(batch: &BatchView<'_>) -> Option<ControlType> {
    let mut scratch = Vec::new();
    let record = batch.records(&mut scratch).ok()?.next()?.ok()?;
    ControlType::from_key(record.key?)
}
