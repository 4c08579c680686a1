//! Old records leave: by age, by size, and because somebody asked. Only whole sealed segments are deleted,
//! the oldest first, so that what remains is always an unbroken run of offsets.

use crate::log::error::{LogError, ReadError};
use crate::log::files::{self, list_offsets, offset_file};
use crate::log::partition::PartitionLog;

impl PartitionLog {
    /// Moves the log start offset up to `offset` (-1: the high watermark) and answers it. The records
    /// before it can no longer be read, also after a restart; their segments go with the next retention.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] beyond the high watermark, [`ReadError::PolicyViolation`] if the
    /// `cleanup.policy` has no delete, [`ReadError::Storage`].
    pub fn delete_records_before(&mut self, offset: i64) -> Result<i64, ReadError> {
        self.check_available()?;
        if !self.config.cleanup_policy.delete {
            return Err(ReadError::PolicyViolation {
                partition: self.partition.clone(),
            });
        }
        let offset = if offset == -1 {
            self.high_watermark()
        } else {
            offset
        };
        if offset < 0 || offset > self.high_watermark() {
            return Err(self.out_of_range(offset));
        }
        if offset > self.log_start_offset {
            let before = std::mem::replace(&mut self.log_start_offset, offset);
            if let Err(error) = self.write_checkpoint() {
                self.log_start_offset = before;
                return Err(error.into());
            }
        }
        Ok(self.log_start_offset)
    }

    /// Deletes the segments that `retention.ms`, `retention.bytes` or deleted records leave nobody a use
    /// for, and answers how many. With `cleanup.policy` compact alone only deleted records count.
    ///
    /// # Errors
    /// [`LogError::Io`]; the segments before the one that could not be deleted are gone.
    pub fn enforce_retention(&mut self, now_ms: i64) -> Result<usize, LogError> {
        self.check_available()?;
        let expired = self.expired_segments(now_ms);
        if expired == 0 {
            return Ok(0);
        }
        if expired == self.segments.len() {
            self.roll(now_ms)?;
        }
        for _ in 0..expired {
            self.segments[0].remove()?;
            self.segments.remove(0);
            self.log_start_offset = self.log_start_offset.max(self.segments[0].base_offset);
        }
        self.remove_snapshots_before(self.segments[0].base_offset)?;
        Ok(expired)
    }

    /// How many segments, from the oldest on, have expired.
    fn expired_segments(&self, now_ms: i64) -> usize {
        let (retention_ms, retention_bytes) = if self.config.cleanup_policy.delete {
            (self.config.retention_ms, self.config.retention_bytes)
        } else {
            (-1, -1)
        };
        let mut excess = match u64::try_from(retention_bytes) {
            Ok(limit) => self.size_bytes().saturating_sub(limit),
            Err(_) => 0,
        };
        let mut expired = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(index + 1);
            let end_offset = next.map_or(self.log_end_offset, |next| next.base_offset);
            let too_old =
                retention_ms >= 0 && now_ms.saturating_sub(segment.newest_timestamp()) > retention_ms;
            let too_much = retention_bytes >= 0 && excess >= segment.size();
            let deleted = next.is_some() && end_offset <= self.log_start_offset;
            if segment.size() == 0 || !(too_old || too_much || deleted) {
                break;
            }
            // What an open transaction wrote stays until it is decided.
            if end_offset > self.last_stable_offset() {
                break;
            }
            excess = excess.saturating_sub(segment.size());
            expired += 1;
        }
        expired
    }

    fn remove_snapshots_before(&self, offset: i64) -> Result<(), LogError> {
        for snapshot in list_offsets(&self.dir, "snapshot")? {
            if snapshot < offset {
                files::remove_if_present(&offset_file(&self.dir, snapshot, "snapshot"))?;
            }
        }
        Ok(())
    }
}
