//! What is left of one batch.

use crate::log::batch::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, BatchError, BatchHeader, BatchView,
    COMPRESSION_MASK, DELETE_HORIZON_FLAG, LENGTH_AT, LOG_OVERHEAD_BYTES, MAX_TIMESTAMP_AT, NO_TIMESTAMP,
    RECORD_COUNT_AT,
};
use crate::log::builder::{put, stamp_crc};
use crate::log::compression::compress;
use crate::log::config::CompressionLevels;
use crate::log::transaction_index::AbortedEntry;
use crate::log::varint::{
    MAX_VARINT_BYTES, MAX_VARLONG_BYTES, read_varint, read_varlong, write_varint, write_varlong,
};

use super::CleaningPlan;
use super::keys::KeyOffsets;
use super::transactions::{CleanedTransactions, Marker};

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It stays as it is.
    Whole,
    /// These bytes stay of it.
    Part(Vec<u8>),
    /// It goes.
    Nothing,
}

/// Decides batch by batch, in the order of their offsets.
#[derive(Debug)]
pub(super) struct Rewriter<'a> {
    plan: &'a CleaningPlan,
    keys: &'a KeyOffsets,
    transactions: &'a mut CleanedTransactions,
    now_ms: i64,
    scratch: Vec<u8>,
}

/// The records of a batch that stay.
#[derive(Debug, Default)]
struct Kept {
    records: Vec<u8>,
    count: i32,
    max_timestamp: i64,
    has_tombstone: bool,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        plan: &'a CleaningPlan,
        keys: &'a KeyOffsets,
        transactions: &'a mut CleanedTransactions,
        now_ms: i64,
    ) -> Self {
        Self {
            plan,
            keys,
            transactions,
            now_ms,
            scratch: Vec::new(),
        }
    }

    pub(super) fn index_interval_bytes(&self) -> u32 {
        self.plan.config.index_interval_bytes
    }

    /// What is left of a batch, and the entry that its marker needs among the aborted transactions.
    pub(super) fn rewrite(
        &mut self,
        batch: &BatchView<'_>,
    ) -> Result<(Rest, Option<AbortedEntry>), BatchError> {
        let header = *batch.header();
        if header.is_control() {
            let marker = self.transactions.control(batch);
            let entry = match marker {
                Marker::NeededWithEntry(entry) => Some(entry),
                Marker::Needed | Marker::Empty => None,
            };
            return Ok((self.rewrite_marker(batch, marker == Marker::Empty)?, entry));
        }
        let is_void = self.transactions.data(&header);
        if is_void {
            return Ok((self.without_records(batch), None));
        }
        let kept = self.keep(batch, &header)?;
        let horizon_ms = self.horizon(&header, kept.has_tombstone);
        if kept.count == header.record_count && horizon_ms == header.delete_horizon_ms() && kept.count > 0 {
            return Ok((Rest::Whole, None));
        }
        if kept.count == 0 {
            return Ok((self.without_records(batch), None));
        }
        Ok((
            Rest::Part(rebuild(
                batch,
                &kept,
                horizon_ms,
                self.plan.config.compression_levels,
            )?),
            None,
        ))
    }

    /// A marker of a transaction without records first gets its time, and goes when that has come.
    fn rewrite_marker(&mut self, batch: &BatchView<'_>, is_empty: bool) -> Result<Rest, BatchError> {
        let header = batch.header();
        let is_due = header
            .delete_horizon_ms()
            .is_some_and(|horizon| horizon <= self.now_ms);
        if is_empty && is_due || header.record_count == 0 {
            return Ok(self.without_records(batch));
        }
        let horizon_ms = self.horizon(header, is_empty);
        if horizon_ms == header.delete_horizon_ms() {
            return Ok(Rest::Whole);
        }
        let iterator = batch.records(&mut self.scratch)?;
        let kept = Kept {
            records: iterator.buffer()[iterator.position()..].to_vec(),
            count: header.record_count,
            max_timestamp: header.max_timestamp,
            has_tombstone: false,
        };
        Ok(Rest::Part(rebuild(
            batch,
            &kept,
            horizon_ms,
            self.plan.config.compression_levels,
        )?))
    }

    fn horizon(&self, header: &BatchHeader, needed: bool) -> Option<i64> {
        let set = header.delete_horizon_ms();
        set.or(needed.then(|| self.now_ms.saturating_add(self.plan.config.delete_retention_ms)))
    }

    fn keep(&mut self, batch: &BatchView<'_>, header: &BatchHeader) -> Result<Kept, BatchError> {
        let end_offset = self.keys.end_offset();
        let horizon_ms = header.delete_horizon_ms();
        let tombstones_stay = horizon_ms.is_none_or(|horizon| self.now_ms < horizon);
        let mut kept = Kept {
            max_timestamp: NO_TIMESTAMP,
            ..Kept::default()
        };
        let mut records = batch.records(&mut self.scratch)?;
        let buffer = records.buffer();
        let mut start = records.position();
        while let Some(record) = records.next() {
            let record = record?;
            let end = records.position();
            let stays = record.offset >= end_offset
                || record.key.is_some_and(|key| {
                    self.keys.is_latest(key, record.offset) && (record.value.is_some() || tombstones_stay)
                });
            if stays {
                kept.records.extend_from_slice(&buffer[start..end]);
                kept.count += 1;
                kept.max_timestamp = kept.max_timestamp.max(record.timestamp);
                kept.has_tombstone |= record.value.is_none();
            }
            start = end;
        }
        Ok(kept)
    }

    /// A batch whose records all go. Its header stays if a producer's last sequence number, or the end of what was cleaned,
    /// is not told anywhere else.
    fn without_records(&self, batch: &BatchView<'_>) -> Rest {
        let header = batch.header();
        if !self.is_last_of_producer(header) && header.next_offset() != self.keys.end_offset() {
            return Rest::Nothing;
        }
        if header.record_count == 0 {
            return Rest::Whole;
        }
        let mut bytes = batch.bytes()[..BATCH_HEADER_BYTES].to_vec();
        let attributes = header.attributes & !(COMPRESSION_MASK | DELETE_HORIZON_FLAG);
        put(&mut bytes, ATTRIBUTES_AT, attributes.to_be_bytes());
        put(&mut bytes, BASE_TIMESTAMP_AT, NO_TIMESTAMP.to_be_bytes());
        finish(&mut bytes, 0);
        Rest::Part(bytes)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        if !header.has_producer_id() {
            return false;
        }
        let known = self.plan.producers.get(&header.producer_id);
        known.is_some_and(|known| match known.last_offset {
            Some(last_offset) => header.last_offset() == last_offset,
            // Only markers are left of it: they tell the epoch.
            None => header.is_control() && header.producer_epoch == known.producer_epoch,
        })
    }
}

/// The batch with these records: their offsets and sequence numbers stay what they were.
fn rebuild(
    batch: &BatchView<'_>,
    kept: &Kept,
    horizon_ms: Option<i64>,
    levels: CompressionLevels,
) -> Result<Vec<u8>, BatchError> {
    let header = batch.header();
    let base_timestamp = horizon_ms.unwrap_or(header.base_timestamp);
    let moved;
    let records = if base_timestamp == header.base_timestamp {
        &kept.records
    } else {
        moved = move_timestamps(&kept.records, header.base_timestamp.wrapping_sub(base_timestamp))?;
        &moved
    };
    let mut bytes = batch.bytes()[..BATCH_HEADER_BYTES].to_vec();
    bytes.extend(compress(header.compression(), levels, records)?);
    let flag = if horizon_ms.is_some() {
        DELETE_HORIZON_FLAG
    } else {
        0
    };
    put(
        &mut bytes,
        ATTRIBUTES_AT,
        (header.attributes | flag).to_be_bytes(),
    );
    put(&mut bytes, BASE_TIMESTAMP_AT, base_timestamp.to_be_bytes());
    if !header.is_log_append_time() {
        put(&mut bytes, MAX_TIMESTAMP_AT, kept.max_timestamp.to_be_bytes());
    }
    finish(&mut bytes, kept.count);
    Ok(bytes)
}

fn finish(bytes: &mut [u8], record_count: i32) {
    let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
    put(bytes, LENGTH_AT, length.to_be_bytes());
    put(bytes, RECORD_COUNT_AT, record_count.to_be_bytes());
    stamp_crc(bytes);
}

/// The same records, counting from a base timestamp that is `shift` earlier.
fn move_timestamps(records: &[u8], shift: i64) -> Result<Vec<u8>, BatchError> {
    let malformed = |position| BatchError::Malformed {
        what: "a record that was read before",
        position,
    };
    let mut moved = Vec::with_capacity(records.len() + 16);
    let mut position = 0;
    while position < records.len() {
        let start = position;
        let length = read_varint(records, &mut position).ok_or(malformed(start))?;
        let end = position + usize::try_from(length).map_err(|_| malformed(start))?;
        let record = records.get(..end).ok_or(malformed(start))?;
        let attributes = *record.get(position).ok_or(malformed(position))?;
        position += 1;
        let delta = read_varlong(record, &mut position).ok_or(malformed(position))?;
        let mut delta_bytes = [0; MAX_VARLONG_BYTES];
        let delta_end = write_varlong(&mut delta_bytes, 0, delta.wrapping_add(shift));
        let mut length_bytes = [0; MAX_VARINT_BYTES];
        let length = 1 + delta_end + (end - position);
        let length_end = write_varint(&mut length_bytes, 0, length as i32);
        moved.extend_from_slice(&length_bytes[..length_end]);
        moved.push(attributes);
        moved.extend_from_slice(&delta_bytes[..delta_end]);
        moved.extend_from_slice(&record[position..end]);
        position = end;
    }
    Ok(moved)
}
