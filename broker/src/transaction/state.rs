//! The state of one transactional id as a value, and the steps it may take.
//!
//! A step computes the next value and changes nothing; the coordinator appends that value to the log and only then makes
//! it the current one. So a crash between two steps finds either the value before or the value after, never a mixture.

use std::collections::{BTreeMap, BTreeSet};

/// Partition numbers by topic.
pub type TopicPartitions = BTreeMap<String, BTreeSet<i32>>;

/// "No producer id" in Kafka's messages and records.
pub const NO_PRODUCER_ID: i64 = -1;
/// "No producer epoch" in Kafka's messages and records.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// "No timestamp" in Kafka's messages and records.
pub(super) const NO_TIMESTAMP: i64 = -1;
/// The last epoch a producer is ever given. The one above is kept back, so that even this one can be fenced.
pub const LAST_PRODUCER_EPOCH: i16 = i16::MAX - 1;

/// Where a transactional id is in its life (`TransactionState` of Kafka, with the numbers of its records).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// No transaction since the producer initialised.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// The transaction is decided: it commits, and its markers are being written.
    PrepareCommit,
    /// The transaction is decided: it aborts, and its markers are being written.
    PrepareAbort,
    /// The last transaction was committed and every marker is written.
    CompleteCommit,
    /// The last transaction was aborted and every marker is written.
    CompleteAbort,
}

impl TransactionState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The number in the record.
    pub fn id(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    /// The state with that number. `Dead` (6) and `PrepareEpochFence` (7) are never written to the log, by Kafka or here.
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// Kafka's name of the state, as ListTransactions and DescribeTransactions show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether the outcome is decided and markers are still to be written.
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether no transaction is open or being completed.
    pub fn is_idle(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }
}

/// Everything the coordinator keeps about one transactional id, and the value of its record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMetadata {
    /// Producer id now in use.
    pub producer_id: i64,
    /// Producer id before the last rotation, or -1: lets a retry that crossed the rotation be recognised.
    pub previous_producer_id: i64,
    /// Producer id to use once the transaction being completed is complete, or -1 (transactions v2, epochs exhausted).
    pub next_producer_id: i64,
    /// Epoch now in use, or -1 for an id that was never initialised.
    pub producer_epoch: i16,
    /// Epoch before the last bump, or -1. Not in the log: a retry across a restart is answered as fenced, as in Kafka.
    pub last_producer_epoch: i16,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// The state.
    pub state: TransactionState,
    /// Partitions written to in the open transaction.
    pub partitions: TopicPartitions,
    /// When the open transaction began, in milliseconds since the epoch, or -1.
    pub start_ms: i64,
    /// When this value was made, in milliseconds since the epoch.
    pub last_update_ms: i64,
    /// The transaction protocol (`transaction.version`) of the client that caused this value: 0 to 2.
    pub client_version: i16,
}

impl TransactionMetadata {
    /// An id that was just seen for the first time and has no epoch yet.
    pub(super) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: TopicPartitions::new(),
            start_ms: NO_TIMESTAMP,
            last_update_ms: now_ms,
            client_version: 0,
        }
    }

    /// Whether the next bump would need the epoch that is kept back.
    pub(super) fn is_epoch_exhausted(&self) -> bool {
        self.producer_epoch >= LAST_PRODUCER_EPOCH
    }

    /// Whether the transaction has been open longer than its producer allowed.
    pub(super) fn is_timed_out(&self, now_ms: i64) -> bool {
        self.state == TransactionState::Ongoing
            && now_ms.saturating_sub(self.start_ms) > i64::from(self.timeout_ms)
    }

    /// Whether all of `partitions` are part of the transaction.
    pub(super) fn contains(&self, partitions: &TopicPartitions) -> bool {
        partitions.iter().all(|(topic, numbers)| {
            self.partitions
                .get(topic)
                .is_some_and(|known| known.is_superset(numbers))
        })
    }

    /// A producer starts, or starts over: the same producer id with `epoch`.
    pub(super) fn initialized(&self, epoch: i16, last_epoch: i16, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_epoch: epoch,
            last_producer_epoch: last_epoch,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: TopicPartitions::new(),
            start_ms: NO_TIMESTAMP,
            last_update_ms: now_ms,
            next_producer_id: NO_PRODUCER_ID,
            ..self.clone()
        }
    }

    /// A producer starts and the epochs of its producer id are used up: `producer_id` from epoch 0.
    pub(super) fn rotated(
        &self,
        producer_id: i64,
        keep_last_epoch: bool,
        timeout_ms: i32,
        now_ms: i64,
    ) -> Self {
        let last_epoch = if keep_last_epoch {
            self.producer_epoch
        } else {
            NO_PRODUCER_EPOCH
        };
        Self {
            producer_id,
            previous_producer_id: self.producer_id,
            ..self.initialized(0, last_epoch, timeout_ms, now_ms)
        }
    }

    /// `partitions` join the transaction, which opens if none is.
    pub(super) fn with_partitions(
        &self,
        partitions: TopicPartitions,
        client_version: i16,
        now_ms: i64,
    ) -> Self {
        let mut next = self.clone();
        if next.state != TransactionState::Ongoing {
            next.start_ms = now_ms;
            next.partitions.clear();
        }
        for (topic, numbers) in partitions {
            next.partitions.entry(topic).or_default().extend(numbers);
        }
        next.state = TransactionState::Ongoing;
        next.client_version = client_version;
        next.last_update_ms = now_ms;
        next
    }

    /// The outcome is decided. With transactions v2 the epoch moves on here, so that the markers already fence a late
    /// record of this transaction; `next_producer_id` is -1 unless the epochs are used up.
    pub(super) fn prepared(
        &self,
        commit: bool,
        client_version: i16,
        next_producer_id: i64,
        now_ms: i64,
    ) -> Self {
        let mut next = self.clone();
        if client_version >= 2 {
            next.last_producer_epoch = self.producer_epoch;
            next.producer_epoch = self
                .producer_epoch
                .checked_add(1)
                .expect("the last epoch is never handed out");
        }
        if next.start_ms == NO_TIMESTAMP || self.state != TransactionState::Ongoing {
            // Transactions v2 may abort without having added a partition; the record still needs a start.
            next.start_ms = now_ms;
        }
        next.next_producer_id = next_producer_id;
        next.state = if commit {
            TransactionState::PrepareCommit
        } else {
            TransactionState::PrepareAbort
        };
        next.client_version = client_version;
        next.last_update_ms = now_ms;
        next
    }

    /// Fences the producer: same producer id, an epoch that was never handed out.
    pub(super) fn fenced(&self) -> Self {
        Self {
            producer_epoch: self
                .producer_epoch
                .checked_add(1)
                .expect("the last epoch is never handed out"),
            last_producer_epoch: NO_PRODUCER_EPOCH,
            ..self.clone()
        }
    }

    /// Every marker is written.
    pub(super) fn completed(&self, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        if self.next_producer_id != NO_PRODUCER_ID {
            next.previous_producer_id = self.producer_id;
            next.producer_id = self.next_producer_id;
            next.producer_epoch = 0;
            next.next_producer_id = NO_PRODUCER_ID;
        }
        next.partitions.clear();
        next.start_ms = self.start_ms;
        next.last_update_ms = now_ms;
        next
    }

    /// Producer id and epoch that the client uses for its next transaction.
    pub(super) fn next_identity(&self) -> (i64, i16) {
        match self.next_producer_id {
            NO_PRODUCER_ID => (self.producer_id, self.producer_epoch),
            next_producer_id => (next_producer_id, 0),
        }
    }
}
