//! What happens to a batch before it is appended: it is validated, compressed again if the topic has a codec of its own, and
//! given the broker's time if the topic wants that. None of it needs the log, which is not locked meanwhile.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::log::append::AppendOrigin;
use crate::log::batch::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchError, BatchHeader, BatchView, COMPRESSION_MASK, Compression,
    LENGTH_AT, LOG_OVERHEAD_BYTES, NO_SEQUENCE, NO_TIMESTAMP,
};
use crate::log::builder::{put, stamp_append_time, stamp_crc};
use crate::log::compression::compress;
use crate::log::config::{CompressionType, LogConfig, TimestampType};
use crate::log::error::{AppendError, RecordError};
use crate::log::record::RecordView;

/// How many damaged records of a batch an error lists.
const MAX_RECORD_ERRORS: usize = 100;

/// What a log asks of batches.
#[derive(Debug, Clone)]
pub(crate) struct BatchRules {
    pub(in crate::log) partition: Arc<str>,
    pub(in crate::log) config: Arc<LogConfig>,
}

/// A batch that only lacks its offset.
#[derive(Debug)]
pub(crate) struct PreparedBatch {
    pub(in crate::log) header: BatchHeader,
    pub(in crate::log) bytes: Bytes,
    /// With LogAppendTime, otherwise -1.
    pub(in crate::log) log_append_time_ms: i64,
}

impl BatchRules {
    /// Validates a batch and makes of it what is to be stored.
    ///
    /// # Errors
    /// [`AppendError`], one variant for each Kafka error code.
    pub(crate) fn prepare(
        &self,
        records: Bytes,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<PreparedBatch, AppendError> {
        let header = self.validate(&records, origin, now_ms)?;
        let mut prepared = PreparedBatch {
            header,
            bytes: records,
            log_append_time_ms: NO_TIMESTAMP,
        };
        if let CompressionType::Codec(codec) = self.config.compression_type
            && codec != header.compression()
        {
            prepared.bytes = self.compress_again(&prepared.bytes, codec)?;
            self.check_size(prepared.bytes.len(), origin)?;
            prepared.header = BatchHeader::parse(&prepared.bytes).expect("a batch just written has a header");
        }
        if self.config.message_timestamp_type == TimestampType::LogAppendTime {
            let mut batch = BytesMut::from(&prepared.bytes[..]);
            stamp_append_time(&mut batch, now_ms);
            prepared.bytes = batch.freeze();
            prepared.header.max_timestamp = now_ms;
            prepared.log_append_time_ms = now_ms;
        }
        Ok(prepared)
    }

    /// The same records under another codec. Offsets, times, sequence numbers and the rest of the header stay.
    fn compress_again(&self, batch: &[u8], codec: Compression) -> Result<Bytes, AppendError> {
        let corrupt = |reason| self.corrupt(reason);
        let batch = BatchView::parse(batch).map_err(corrupt)?;
        let mut scratch = Vec::new();
        let records = batch.records(&mut scratch).map_err(corrupt)?;
        let plain = &records.buffer()[records.position()..];
        // What cannot be read must not be stored under a codec that its producer never saw.
        if let Some(error) = records.clone().find_map(Result::err) {
            return Err(corrupt(error));
        }
        let mut bytes = batch.bytes()[..BATCH_HEADER_BYTES].to_vec();
        bytes.extend(compress(codec, self.config.compression_levels, plain).map_err(corrupt)?);
        let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
        put(&mut bytes, LENGTH_AT, length.to_be_bytes());
        let attributes = batch.header().attributes & !COMPRESSION_MASK | codec.id();
        put(&mut bytes, ATTRIBUTES_AT, attributes.to_be_bytes());
        stamp_crc(&mut bytes);
        Ok(bytes.into())
    }

    /// What holds for a batch before its producer is looked at.
    fn validate(
        &self,
        records: &[u8],
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<BatchHeader, AppendError> {
        let corrupt = |reason| self.corrupt(reason);
        let batch = BatchView::parse(records).map_err(|error| match error {
            BatchError::UnsupportedMagic(_) => self.invalid(&error.to_string()),
            error => corrupt(error),
        })?;
        let header = *batch.header();
        let size = header.size_bytes();
        if size != records.len() {
            return Err(self.invalid("a request holds exactly one batch for each partition"));
        }
        self.check_size(size, origin)?;
        batch.check_crc().map_err(corrupt)?;
        if header.record_count <= 0 || header.last_offset_delta != header.record_count - 1 {
            return Err(self.invalid("record count and last offset delta do not agree"));
        }
        if header.is_control() {
            return Err(self.invalid("a client cannot write control records"));
        }
        if header.is_transactional() && !header.has_producer_id() {
            return Err(self.invalid("a transactional batch needs a producer id"));
        }
        if header.has_producer_id() && header.producer_epoch < 0 {
            return Err(self.invalid("a producer id needs a producer epoch"));
        }
        if origin == AppendOrigin::Client {
            if header.base_offset != 0 {
                return Err(self.invalid("the base offset of a produced batch is 0"));
            }
            if header.has_producer_id() && header.base_sequence < 0 {
                return Err(self.invalid("an idempotent producer needs sequence numbers"));
            }
            self.validate_timestamp(header.max_timestamp, now_ms)?;
            self.validate_timestamp(header.base_timestamp.min(header.max_timestamp), now_ms)?;
        }
        if header.base_sequence < NO_SEQUENCE {
            return Err(self.invalid("a sequence number is not negative"));
        }
        let is_strict = self.config.strict_validation && origin == AppendOrigin::Client;
        if is_strict || self.config.cleanup_policy.compact {
            self.validate_records(&batch, is_strict, now_ms)?;
        }
        Ok(header)
    }

    fn check_size(&self, size: usize, origin: AppendOrigin) -> Result<(), AppendError> {
        if origin == AppendOrigin::Client && size > self.config.max_message_bytes {
            let limit = self.config.max_message_bytes;
            return Err(AppendError::MessageTooLarge {
                partition: self.partition.clone(),
                size,
                limit,
            });
        }
        if size as u64 > self.config.segment_bytes {
            let limit = self.config.segment_bytes;
            return Err(AppendError::RecordListTooLarge {
                partition: self.partition.clone(),
                size,
                limit,
            });
        }
        Ok(())
    }

    /// A timestamp that is given to the records of the batch, unless the broker gives its own.
    fn validate_timestamp(&self, timestamp: i64, now_ms: i64) -> Result<(), AppendError> {
        if self.config.message_timestamp_type == TimestampType::LogAppendTime || timestamp == NO_TIMESTAMP {
            return Ok(());
        }
        let invalid = |limit| {
            Err(AppendError::InvalidTimestamp {
                partition: self.partition.clone(),
                timestamp,
                limit,
                now_ms,
            })
        };
        let after_ms = self.config.message_timestamp_after_max_ms;
        if timestamp.saturating_sub(now_ms) > after_ms {
            return invalid(format!("message.timestamp.after.max.ms={after_ms}"));
        }
        let before_ms = self.config.message_timestamp_before_max_ms;
        if now_ms.saturating_sub(timestamp) > before_ms {
            return invalid(format!("message.timestamp.before.max.ms={before_ms}"));
        }
        Ok(())
    }

    /// Looks at every record: with strict validation at all of it, in a compacted topic at its key at least.
    fn validate_records(
        &self,
        batch: &BatchView<'_>,
        is_strict: bool,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        let corrupt = |reason| self.corrupt(reason);
        let mut scratch = Vec::new();
        let mut record_errors = Vec::new();
        let mut records = batch.records(&mut scratch).map_err(corrupt)?;
        for (batch_index, record) in (0..).zip(records.by_ref()) {
            let record = record.map_err(corrupt)?;
            let checked = self.validate_key(&record);
            let checked = checked.and_then(|()| match is_strict {
                true => self.validate_record(batch.header(), batch_index, &record),
                false => Ok(()),
            });
            if is_strict {
                self.validate_timestamp(record.timestamp, now_ms)?;
            }
            if let Err(message) = checked
                && record_errors.len() < MAX_RECORD_ERRORS
            {
                record_errors.push(RecordError { batch_index, message });
            }
        }
        if is_strict && records.position() != records.buffer().len() {
            return Err(self.invalid("there are bytes behind the last record"));
        }
        if record_errors.is_empty() {
            return Ok(());
        }
        Err(AppendError::InvalidRecord {
            partition: self.partition.clone(),
            reason: "one or more records have been rejected".to_owned(),
            record_errors,
        })
    }

    /// Compaction finds records by key: without one they could never be removed.
    fn validate_key(&self, record: &RecordView<'_>) -> Result<(), String> {
        if self.config.cleanup_policy.compact && record.key.is_none() {
            let topic = &self.partition;
            return Err(format!(
                "compacted topic {topic} needs keys, this record has none"
            ));
        }
        Ok(())
    }

    /// What the header of a batch says of a record is so.
    fn validate_record(
        &self,
        header: &BatchHeader,
        batch_index: i32,
        record: &RecordView<'_>,
    ) -> Result<(), String> {
        let offset = header.base_offset + i64::from(batch_index);
        if record.offset != offset {
            return Err(format!("the record's offset is {}, not {offset}", record.offset));
        }
        let newest = header.max_timestamp;
        if record.timestamp > newest {
            let timestamp = record.timestamp;
            return Err(format!(
                "the record's timestamp {timestamp} is above {newest}, the largest of its batch"
            ));
        }
        match record.headers().find_map(Result::err) {
            Some(error) => Err(format!("the record's headers are damaged: {error}")),
            None => Ok(()),
        }
    }

    fn corrupt(&self, reason: BatchError) -> AppendError {
        AppendError::CorruptMessage {
            partition: self.partition.clone(),
            reason,
        }
    }

    fn invalid(&self, reason: &str) -> AppendError {
        AppendError::InvalidRecord {
            partition: self.partition.clone(),
            reason: reason.to_owned(),
            record_errors: Vec::new(),
        }
    }
}
