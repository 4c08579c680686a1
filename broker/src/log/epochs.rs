//! Leader epochs of a partition log: under which one records were written, and where each ended. A leader's epoch goes up whenever
//! the broker starts, so epochs never go down along the log, and the headers of batches say all: nothing else is kept.

use crate::log::batch::BatchHeader;
use crate::log::error::ReadError;
use crate::log::partition::PartitionLog;
use crate::log::segment::Segment;

impl PartitionLog {
    /// The leader epoch that batches are stamped with from now on.
    pub(crate) fn set_leader_epoch(&mut self, leader_epoch: i32) {
        self.leader_epoch = leader_epoch;
    }

    /// The leader epoch that batches are stamped with.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The leader epoch of the batch that holds this offset, or of the first one behind it; the current one at the end of the log.
    ///
    /// # Errors
    /// [`ReadError`] if the files cannot be read.
    pub fn leader_epoch_at(&self, offset: i64) -> Result<i32, ReadError> {
        self.check_available()?;
        for segment in &self.segments[self.segment_with(offset)..] {
            let found = segment
                .locate(offset)
                .map_err(|error| self.unreadable(offset, error))?;
            if let Some((_, header)) = found {
                return Ok(header.partition_leader_epoch);
            }
        }
        Ok(self.leader_epoch)
    }

    /// The largest leader epoch up to `asked` that records were written under, and the offset behind the last of them, as Kafka's
    /// OffsetForLeaderEpoch answers. `None` for an epoch that has not been.
    ///
    /// # Errors
    /// [`ReadError`] if the files cannot be read.
    pub fn end_of_leader_epoch(&self, asked: i32) -> Result<Option<(i32, i64)>, ReadError> {
        self.check_available()?;
        if asked < 0 || asked > self.leader_epoch {
            return Ok(None);
        }
        if asked == self.leader_epoch {
            return Ok(Some((asked, self.log_end_offset)));
        }
        // A segment without batches says nothing; its neighbours do.
        let filled: Vec<&Segment> = self.segments.iter().filter(|one| one.size() > 0).collect();
        let begins_up_to = |segment: &&Segment| {
            let first = segment.first_header();
            first.map(|header| header.partition_leader_epoch <= asked)
        };
        let above = partition_point(&filled, begins_up_to)
            .map_err(|error| self.unreadable(self.log_start_offset, error))?;
        let first_above = match filled.get(above) {
            None => self.log_end_offset,
            Some(segment) => self.first_of(segment)?.base_offset,
        };
        let Some(last) = above.checked_sub(1).map(|index| filled[index]) else {
            return Ok(Some((asked, first_above.max(self.log_start_offset))));
        };
        let (epoch, end) = last
            .end_of_leader_epoch(asked)
            .map_err(|error| self.unreadable(last.base_offset, error))?;
        let end = end.unwrap_or(first_above);
        // What was deleted was under no epoch, as far as anyone can tell.
        Ok(Some(if end <= self.log_start_offset {
            (asked, self.log_start_offset)
        } else {
            (epoch, end)
        }))
    }

    fn first_of(&self, segment: &Segment) -> Result<BatchHeader, ReadError> {
        segment
            .first_header()
            .map_err(|error| self.unreadable(segment.base_offset, error))
    }
}

/// How many items are in front, for which `is_in_front` holds: it holds for none behind one for which it does not.
pub(in crate::log) fn partition_point<T, E>(
    items: &[T],
    is_in_front: impl Fn(&T) -> Result<bool, E>,
) -> Result<usize, E> {
    let (mut low, mut high) = (0, items.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_in_front(&items[middle])? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
