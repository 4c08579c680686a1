//! The producers a partition remembers, as tools are told of them.

use crate::log::PartitionLog;
use crate::log::batch::NO_SEQUENCE;

/// A producer that a partition remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Sequence of its last record, or -1.
    pub last_sequence: i32,
    /// The timestamp of what it wrote last, or -1.
    pub last_timestamp_ms: i64,
    /// Epoch of the coordinator that last ended a transaction of it, or -1.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub transaction_first_offset: Option<i64>,
}

impl PartitionLog {
    /// The producers this partition remembers, by id.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        let entries = self.producers.entries();
        let mut producers: Vec<_> = entries
            .map(|(producer_id, entry)| ActiveProducer {
                producer_id,
                producer_epoch: entry.producer_epoch,
                last_sequence: entry
                    .last_batch()
                    .map_or(NO_SEQUENCE, |batch| batch.last_sequence),
                last_timestamp_ms: entry
                    .last_batch()
                    .map_or(entry.last_timestamp, |batch| batch.timestamp)
                    .max(-1),
                coordinator_epoch: entry.coordinator_epoch,
                transaction_first_offset: entry.transaction_first_offset,
            })
            .collect();
        producers.sort_unstable_by_key(|producer| producer.producer_id);
        producers
    }
}
