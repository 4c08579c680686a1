//! What a partition knows about its producers: the last batches of each idempotent producer, so that a
//! retry is recognised and a gap refused, and the open transactions, which hold the last stable offset
//! back. Follows Kafka's `ProducerStateManager`. Derived from the log alone: replaying its batches gives
//! the same state, whether or not the process ever crashed.
//!
//! Checking and changing are apart. `check_*` decides without touching anything, the log is written, and
//! only then does `apply_*` change the state; a failed write leaves no trace.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::log::append::{AppendOptions, AppendOrigin};
use crate::log::batch::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE};
use crate::log::builder::ControlType;
use crate::log::cleaner::LastOfProducer;
use crate::log::error::AppendError;
use crate::log::transaction_index::AbortedEntry;

/// How many batches of a producer are remembered to recognise a retry: Kafka's limit of requests in
/// flight for idempotent producers.
const REMEMBERED_BATCHES: usize = 5;

/// A batch as remembered for duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RememberedBatch {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: i64,
}

impl RememberedBatch {
    fn first_sequence(&self) -> i32 {
        if self.last_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        // Sequences wrap within a batch: count back modulo 2^31.
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        (first & i64::from(i32::MAX)) as i32
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// What is known about one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) producer_epoch: i16,
    pub(crate) coordinator_epoch: i32,
    /// Broker time of the last append in milliseconds, for expiry. Kafka takes the records' timestamps,
    /// which expires a producer that writes historic events while it is at work.
    pub(crate) last_timestamp: i64,
    pub(crate) transaction_first_offset: Option<i64>,
    batches: [Option<RememberedBatch>; REMEMBERED_BATCHES],
}

/// Coordinator epoch of a producer that never saw a marker.
const NO_COORDINATOR_EPOCH: i32 = -1;

impl ProducerEntry {
    fn new(producer_epoch: i16) -> Self {
        Self {
            producer_epoch,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: i64::MIN,
            transaction_first_offset: None,
            batches: [None; REMEMBERED_BATCHES],
        }
    }

    /// The entry as a snapshot keeps it: with the last batch only.
    pub(crate) fn restored(
        producer_epoch: i16,
        coordinator_epoch: i32,
        last_timestamp: i64,
        transaction_first_offset: Option<i64>,
        last_batch: Option<RememberedBatch>,
    ) -> Self {
        let mut entry = Self::new(producer_epoch);
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp = last_timestamp;
        entry.transaction_first_offset = transaction_first_offset;
        entry.batches[0] = last_batch;
        entry
    }

    /// The latest batch comes first.
    pub(crate) fn last_batch(&self) -> Option<RememberedBatch> {
        self.batches[0]
    }

    fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn remember(&mut self, batch: RememberedBatch) {
        self.batches.rotate_right(1);
        self.batches[0] = Some(batch);
    }

    /// Sequences belong to an epoch: a new one forgets the batches of the old.
    fn set_epoch(&mut self, producer_epoch: i16) {
        if self.producer_epoch != producer_epoch {
            self.producer_epoch = producer_epoch;
            self.batches = [None; REMEMBERED_BATCHES];
        }
    }

    fn find(&self, header: &BatchHeader) -> Option<RememberedBatch> {
        if self.producer_epoch != header.producer_epoch {
            return None;
        }
        let range = (header.base_sequence, header.last_sequence());
        self.batches
            .iter()
            .flatten()
            .find(|batch| (batch.first_sequence(), batch.last_sequence) == range)
            .copied()
    }
}

/// What to do with a batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already, as this batch.
    Duplicate(RememberedBatch),
}

/// A transaction that a marker ended, if it had records on the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndedTransaction {
    pub(crate) first_offset: i64,
}

/// The producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    producers: HashMap<i64, ProducerEntry>,
    /// First offset of each open transaction, and whose it is.
    open: BTreeMap<i64, i64>,
}

impl ProducerState {
    /// Decides about a data batch of an idempotent producer.
    pub(crate) fn check_batch(
        &self,
        partition: &Arc<str>,
        header: &BatchHeader,
        options: AppendOptions,
    ) -> Result<Verdict, AppendError> {
        let entry = self.producers.get(&header.producer_id);
        let from_client = options.origin == AppendOrigin::Client;
        if from_client && let Some(batch) = entry.and_then(|entry| entry.find(header)) {
            return Ok(Verdict::Duplicate(batch));
        }
        let epoch = header.producer_epoch;
        let current = entry.map_or(NO_PRODUCER_EPOCH, |entry| entry.producer_epoch);
        if epoch < current {
            return Err(AppendError::InvalidProducerEpoch {
                partition: partition.clone(),
                producer_id: header.producer_id,
                got: epoch,
                current,
            });
        }
        let open = entry.and_then(|entry| entry.transaction_first_offset).is_some();
        let invalid = |reason| AppendError::InvalidTxnState {
            partition: partition.clone(),
            producer_id: header.producer_id,
            producer_epoch: epoch,
            reason,
        };
        if header.is_transactional() && !(open && epoch == current) && !options.verified {
            return Err(invalid(
                "the partition was not added to the producer's transaction",
            ));
        }
        if from_client {
            check_sequence(partition, header, entry, options.transaction_version_2)?;
        }
        if open && !header.is_transactional() {
            return Err(invalid(
                "a batch outside of the transaction while the transaction is open",
            ));
        }
        Ok(Verdict::Append)
    }

    /// Accounts for a data batch that is in the log.
    pub(crate) fn apply_batch(&mut self, header: &BatchHeader, now_ms: i64) {
        let entry = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        entry.set_epoch(header.producer_epoch);
        entry.last_timestamp = entry.last_timestamp.max(now_ms);
        entry.remember(RememberedBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        if header.is_transactional() && entry.transaction_first_offset.is_none() {
            entry.transaction_first_offset = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// Decides about a marker.
    pub(crate) fn check_marker(
        &self,
        partition: &Arc<str>,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), AppendError> {
        let Some(entry) = self.producers.get(&producer_id) else {
            return Ok(());
        };
        if producer_epoch < entry.producer_epoch {
            return Err(AppendError::InvalidProducerEpoch {
                partition: partition.clone(),
                producer_id,
                got: producer_epoch,
                current: entry.producer_epoch,
            });
        }
        if coordinator_epoch < entry.coordinator_epoch {
            return Err(AppendError::TransactionCoordinatorFenced {
                partition: partition.clone(),
                producer_id,
                got: coordinator_epoch,
                current: entry.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// What compaction must not forget of each producer.
    pub(crate) fn last_of_each(&self) -> HashMap<i64, LastOfProducer> {
        let last = |entry: &ProducerEntry| LastOfProducer {
            last_offset: entry.last_batch().map(|batch| batch.last_offset),
            producer_epoch: entry.producer_epoch,
        };
        let each = self.producers.iter();
        each.map(|(producer_id, entry)| (*producer_id, last(entry)))
            .collect()
    }

    /// Accounts for a marker that is in the log. Answers the transaction it ended, if that had records here.
    pub(crate) fn apply_marker(
        &mut self,
        header: &BatchHeader,
        coordinator_epoch: i32,
        now_ms: i64,
    ) -> Option<EndedTransaction> {
        let entry = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        entry.set_epoch(header.producer_epoch);
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp = entry.last_timestamp.max(now_ms);
        let first_offset = entry.transaction_first_offset.take()?;
        self.open.remove(&first_offset);
        Some(EndedTransaction { first_offset })
    }

    /// Accounts for a batch that the log holds, of whatever kind: recovery. Answers what belongs into the
    /// transaction index.
    pub(crate) fn replay(
        &mut self,
        header: &BatchHeader,
        marker: Option<(ControlType, i32)>,
        now_ms: i64,
    ) -> Option<AbortedEntry> {
        if !header.has_producer_id() {
            return None;
        }
        if !header.is_control() {
            self.apply_batch(header, now_ms);
            return None;
        }
        let (control_type, coordinator_epoch) = marker?;
        let ended = self.apply_marker(header, coordinator_epoch, now_ms)?;
        self.aborted_entry(header, control_type, ended)
    }

    /// The transaction index entry for a marker just applied: aborts only.
    pub(crate) fn aborted_entry(
        &self,
        header: &BatchHeader,
        control_type: ControlType,
        ended: EndedTransaction,
    ) -> Option<AbortedEntry> {
        (control_type == ControlType::Abort).then(|| AbortedEntry {
            producer_id: header.producer_id,
            first_offset: ended.first_offset,
            last_offset: header.last_offset(),
            last_stable_offset: self.first_open_offset().unwrap_or(header.next_offset()),
        })
    }

    /// First offset of the earliest open transaction.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.open.first_key_value().map(|(first_offset, _)| *first_offset)
    }

    pub(crate) fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producers.get(&producer_id).is_some_and(|entry| {
            entry.producer_epoch == producer_epoch && entry.transaction_first_offset.is_some()
        })
    }

    /// Forgets producers that were idle for `expiration_ms`, never one with an open transaction.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, entry| {
            entry.transaction_first_offset.is_some()
                || now_ms.saturating_sub(entry.last_timestamp) < expiration_ms
        });
    }

    /// All producers, by id: for snapshots and for describing them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.producers
            .iter()
            .map(|(producer_id, entry)| (*producer_id, entry))
    }

    /// Adds a producer from a snapshot.
    pub(crate) fn restore(&mut self, producer_id: i64, entry: ProducerEntry) {
        if let Some(first_offset) = entry.transaction_first_offset {
            self.open.insert(first_offset, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }
}

fn check_sequence(
    partition: &Arc<str>,
    header: &BatchHeader,
    entry: Option<&ProducerEntry>,
    transaction_version_2: bool,
) -> Result<(), AppendError> {
    let got = header.base_sequence;
    let out_of_order = |expected| AppendError::OutOfOrderSequence {
        partition: partition.clone(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        expected,
        got,
    };
    match entry {
        // Nothing is known (expired, or deleted with its records): a long-idle producer goes on where it was.
        None if !transaction_version_2 || got == 0 => Ok(()),
        None => Err(out_of_order(0)),
        Some(entry) if entry.producer_epoch != header.producer_epoch => {
            if got == 0 {
                Ok(())
            } else {
                Err(out_of_order(0))
            }
        }
        Some(entry) => {
            let last = entry.last_sequence();
            let expected = if last == i32::MAX { 0 } else { last + 1 };
            if got == expected {
                Ok(())
            } else {
                Err(out_of_order(expected))
            }
        }
    }
}
