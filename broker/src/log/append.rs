//! Appending to a partition log: batches of clients and coordinators, transaction markers, and rolling to the next segment.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use crate::log::batch::{BatchHeader, LEADER_EPOCH_AT, NO_TIMESTAMP, OFFSET_AT};
use crate::log::builder::{ControlType, put, transaction_marker};
use crate::log::error::{AppendError, LogError};
use crate::log::files::Durability;
use crate::log::flush::SealedSegment;
use crate::log::partition::PartitionLog;
use crate::log::prepare::{BatchRules, PreparedBatch};
use crate::log::producer_state::{RememberedBatch, Verdict};
use crate::log::segment::Segment;

/// The front of a batch, with all that is stamped on it: offset, length, leader epoch.
const STAMPED_BYTES: usize = 16;

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A produce request: everything is validated, sequence numbers too.
    Client,
    /// A coordinator of this broker, writing its own records: it has no sequence numbers, may exceed
    /// `max.message.bytes`, and vouches for the transaction.
    Coordinator,
}

/// What an append needs to know beside the records. `AppendOrigin` converts into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOptions {
    /// Who appends.
    pub origin: AppendOrigin,
    /// For transactional batches: the transaction coordinator confirmed that this partition belongs to the
    /// open transaction of this producer and epoch (KIP-890). Only looked at when the log knows of no open
    /// transaction of the producer. The caller must not let the coordinator end that transaction between
    /// its confirmation and the append (hold its lock): otherwise the batch would open a transaction that
    /// nobody ends.
    pub verified: bool,
    /// The producer speaks transaction version 2: after its state was lost, it must begin with sequence 0.
    pub transaction_version_2: bool,
}

impl AppendOptions {
    /// A produce request whose transaction, if it has one, is not verified.
    pub const CLIENT: Self = Self {
        origin: AppendOrigin::Client,
        verified: false,
        transaction_version_2: false,
    };
    /// A coordinator's own records.
    pub const COORDINATOR: Self = Self {
        origin: AppendOrigin::Coordinator,
        verified: true,
        transaction_version_2: false,
    };

    /// The same, with the coordinator's confirmation. See [`AppendOptions::verified`].
    pub const fn verified(self) -> Self {
        Self {
            verified: true,
            ..self
        }
    }

    /// The same, for a producer with transaction version 2.
    pub const fn transaction_version_2(self) -> Self {
        Self {
            transaction_version_2: true,
            ..self
        }
    }
}

impl From<AppendOrigin> for AppendOptions {
    fn from(origin: AppendOrigin) -> Self {
        match origin {
            AppendOrigin::Client => Self::CLIENT,
            AppendOrigin::Coordinator => Self::COORDINATOR,
        }
    }
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The timestamp the broker gave the records with LogAppendTime, otherwise -1.
    pub log_append_time_ms: i64,
    /// First offset of the partition.
    pub log_start_offset: i64,
    /// The batch was in the log before: nothing was written, the offsets are the original ones.
    pub duplicate: bool,
}

impl PartitionLog {
    /// Appends one record batch and answers the offsets it got. It is written as it came but for the base offset and the
    /// leader epoch, which its checksum leaves out. A transactional batch that opens a transaction on this partition must be
    /// [`verified`](AppendOptions::verified).
    ///
    /// # Errors
    /// [`AppendError`], one variant for each Kafka error code. Nothing is written then.
    pub fn append(
        &mut self,
        records: Bytes,
        options: impl Into<AppendOptions>,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let options = options.into();
        let batch = self.rules()?.prepare(records, options.origin, now_ms)?;
        self.append_prepared(batch, options, now_ms)
    }

    /// What this log asks of batches, and does to them, before they are appended.
    pub(crate) fn rules(&self) -> Result<BatchRules, LogError> {
        self.check_available()?;
        Ok(BatchRules {
            partition: self.partition.clone(),
            config: self.config.clone(),
        })
    }

    /// Appends what [`BatchRules::prepare`] answered. See [`append`](Self::append).
    pub(crate) fn append_prepared(
        &mut self,
        batch: PreparedBatch,
        options: AppendOptions,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_available()?;
        let mut header = batch.header;
        header.base_offset = self.log_end_offset;
        if header.has_producer_id()
            && let Verdict::Duplicate(batch) =
                self.producers.check_batch(&self.partition, &header, options)?
        {
            return Ok(self.duplicate_info(batch));
        }
        let stable = self.last_stable_offset();
        self.write(&header, &batch.bytes, now_ms)?;
        if header.has_producer_id() {
            self.producers.apply_batch(&header, now_ms);
        }
        self.finish_append(&header, stable, batch.log_append_time_ms)
    }

    /// Appends the marker that ends a transaction of this producer here. It is written even if the
    /// transaction has no records on this partition. A higher epoch than the log has seen fences the older.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`] for a stale producer epoch,
    /// [`AppendError::TransactionCoordinatorFenced`] for a stale coordinator, [`AppendError::Storage`].
    pub fn append_marker(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_available()?;
        self.producers
            .check_marker(&self.partition, producer_id, producer_epoch, coordinator_epoch)?;
        let control_type = if commit {
            ControlType::Commit
        } else {
            ControlType::Abort
        };
        let marker = transaction_marker(
            producer_id,
            producer_epoch,
            control_type,
            coordinator_epoch,
            now_ms,
        );
        let stable = self.last_stable_offset();
        let mut header = BatchHeader::parse(&marker).expect("a marker just built has a header");
        header.base_offset = self.log_end_offset;
        self.write(&header, &marker, now_ms)?;
        let ended = self.producers.apply_marker(&header, coordinator_epoch, now_ms);
        let aborted = ended.and_then(|ended| self.producers.aborted_entry(&header, control_type, ended));
        if let Some(entry) = aborted {
            self.active().aborted.add(entry);
        }
        self.finish_append(&header, stable, NO_TIMESTAMP)
    }

    fn duplicate_info(&self, batch: RememberedBatch) -> AppendInfo {
        AppendInfo {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset,
            // Whoever set it: Kafka tells it here in either case.
            log_append_time_ms: batch.timestamp,
            log_start_offset: self.log_start_offset,
            duplicate: true,
        }
    }

    /// Writes a batch under the base offset of `header`, and this log's leader epoch.
    fn write(&mut self, header: &BatchHeader, batch: &[u8], now_ms: i64) -> Result<(), AppendError> {
        if self.must_roll(header, batch.len(), now_ms) {
            self.roll(now_ms)?;
        }
        let (front, rest) = batch.split_at(STAMPED_BYTES);
        let mut stamped = [0; STAMPED_BYTES];
        stamped.copy_from_slice(front);
        put(&mut stamped, OFFSET_AT, header.base_offset.to_be_bytes());
        put(&mut stamped, LEADER_EPOCH_AT, self.leader_epoch.to_be_bytes());
        let parts = [&stamped[..], rest];
        let active = self.segments.last_mut().expect("a log has a segment");
        if let Err((error, taken_back)) = active.append(header, parts, &self.config, now_ms) {
            if !taken_back {
                self.unavailable =
                    Some("a failed write could not be taken back; restart the broker to recover it");
            }
            return Err(error.into());
        }
        self.log_end_offset = header.next_offset();
        self.unflushed_since_ms.get_or_insert(now_ms);
        Ok(())
    }

    /// `stable_before` is where the last stable offset was.
    fn finish_append(
        &mut self,
        header: &BatchHeader,
        stable_before: i64,
        log_append_time_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        if self.config.group_commit {
            self.queue_for_sync();
        } else {
            let decided = self.last_stable_offset() > stable_before;
            self.waiters.arrived(header.size_bytes() as u64, decided);
            self.notify();
        }
        if self.log_end_offset - self.recovery_point >= self.config.flush_messages {
            self.flush()?;
        }
        Ok(AppendInfo {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            log_append_time_ms,
            log_start_offset: self.log_start_offset,
            duplicate: false,
        })
    }

    fn must_roll(&self, header: &BatchHeader, size: usize, now_ms: i64) -> bool {
        let active = self.segments.last().expect("a log has a segment");
        if active.size() == 0 {
            return false;
        }
        let age_ms = match active.first_timestamp() {
            Some(first) if first >= 0 && header.max_timestamp >= 0 => {
                header.max_timestamp.saturating_sub(first)
            }
            _ => now_ms.saturating_sub(active.last_append_ms),
        };
        active.size() + size as u64 > self.config.segment_bytes
            || age_ms > self.config.max_segment_ms() - self.roll_jitter_ms(active)
            || active.index.file_bytes() >= self.config.segment_index_bytes
            || header.last_offset() - active.base_offset > i64::from(i32::MAX)
    }

    /// By how much this segment is sealed earlier than others, so that not all logs roll at once (`segment.jitter.ms`).
    fn roll_jitter_ms(&self, active: &Segment) -> i64 {
        let most_ms = self.config.segment_jitter_ms.min(self.config.max_segment_ms());
        if most_ms <= 0 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        (&self.partition, active.base_offset).hash(&mut hasher);
        (hasher.finish() % most_ms as u64) as i64
    }

    /// Seals the active segment and starts the next. The sealed one is synced at the next flush: doing so
    /// here would hold up producers for as long as the disk takes for a whole segment.
    pub(in crate::log) fn roll(&mut self, now_ms: i64) -> Result<(), LogError> {
        let next = Segment::create(&self.dir, self.log_end_offset, now_ms)?;
        let sealed = self.active();
        sealed.cut_spare()?;
        sealed.write_indexes(Durability::Process)?;
        sealed.index.thin();
        let sealed = SealedSegment::of(sealed);
        self.unsynced.push(sealed);
        self.names_synced = false;
        self.write_snapshot(self.log_end_offset)?;
        self.segments.push(next);
        Ok(())
    }
}
