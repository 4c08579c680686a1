//! The seam between stream state and the engines that keep it.
//!
//! Everything above is coded against [`KeyValueStore`] as a trait object; everything below implements it and passes the
//! conformance suite. What must stay true: a batch and its changelog offset are one atom, and an iterator shows the
//! store as it was when the iterator was made.

use std::fmt;
use std::ops::{Bound, RangeInclusive};

use bytes::Bytes;

use crate::{Result, WriteBatch};

/// An owned iterator over rows. It borrows nothing and sees no later write, expiry or clear.
///
/// After an error it yields nothing more. A persistent store keeps its directory locked until its iterators are gone.
pub type KeyValueIter = Box<dyn Iterator<Item = Result<(Bytes, Bytes)>> + Send>;

/// Which way a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the smallest key to the largest.
    Forward,
    /// From the largest key to the smallest.
    Backward,
}

/// An ordered map from bytes to bytes that knows the changelog offset it corresponds to.
///
/// Keys are ordered as unsigned bytes, a prefix before its extensions. All methods take `&self`: one thread writes, any
/// number may read at the same time.
pub trait KeyValueStore: Send + Sync + fmt::Debug {
    /// The name of the store in its topology.
    fn name(&self) -> &str;

    /// Whether the data outlives the process.
    fn persistent(&self) -> bool;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Applies all puts, deletes and the changelog offset of a batch, or nothing of it.
    ///
    /// Survives the end of the process when this returns, and a crash of the machine after [`flush`](Self::flush).
    /// Segmented stores silently drop rows whose segment is expired, and expire segments that the newest row of the
    /// batch puts out of retention, as Kafka's segments do. The operator has counted such records as late already.
    ///
    /// # Errors
    /// [`Error::MalformedKey`](crate::Error::MalformedKey) if a segmented store finds no timestamp in a key, and
    /// failures of the engine. Nothing is written then.
    fn write(&self, batch: &WriteBatch) -> Result<()>;

    /// The rows between two bounds, as they are now. Bounds that exclude each other give no rows.
    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, direction: Direction) -> Result<KeyValueIter>;

    /// As [`range`](Self::range), where only rows with a time in `times_ms` are of interest.
    ///
    /// A segmented store does not look into segments outside of these times; others read everything. Rows outside of
    /// the times may still be returned: the caller filters.
    fn range_during(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        times_ms: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<KeyValueIter> {
        let _ = times_ms;
        self.range(from, to, direction)
    }

    /// All rows, as they are now.
    fn all(&self, direction: Direction) -> Result<KeyValueIter> {
        self.range(Bound::Unbounded, Bound::Unbounded, direction)
    }

    /// The rows whose key starts with these bytes, in ascending order, as they are now.
    fn prefix(&self, prefix: &[u8]) -> Result<KeyValueIter> {
        let end = prefix_end(prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range(Bound::Included(prefix), to, Direction::Forward)
    }

    /// About how many rows there are. Exact in memory; RocksDB estimates.
    fn approximate_len(&self) -> Result<u64>;

    /// The changelog offset that this data corresponds to: the next one to be restored. `None`: never written.
    fn changelog_offset(&self) -> Result<Option<i64>>;

    /// Makes all writes so far durable on disk (fsync). Does nothing in memory.
    fn flush(&self) -> Result<()>;

    /// Drops everything, including the changelog offset and what was expired.
    ///
    /// For a store that turns out to be ahead of its changelog: it is as new afterwards, and restored from the start.
    fn clear(&self) -> Result<()>;

    /// Segmented stores: drops the segments that ended at or before this time, and refuses rows for them from now on.
    /// Others do nothing. Returns the number of segments dropped by this call.
    ///
    /// Kafka's rule with `time_ms` = stream time - retention: a segment goes when its number is smaller than
    /// `time_ms / segment_interval_ms`.
    fn expire_before(&self, time_ms: i64) -> Result<usize>;
}

/// The smallest key after all keys with this prefix; `None` if there is none (the prefix is empty or all 0xFF).
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A range in the one form that both engines use: lower bound included, upper bound excluded.
#[derive(Debug, Clone)]
pub(crate) struct KeyRange {
    /// Empty: from the first key.
    pub(crate) lower: Vec<u8>,
    /// `None`: to the last key.
    pub(crate) upper: Option<Vec<u8>>,
}

impl KeyRange {
    pub(crate) fn new(from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        let lower = match from {
            Bound::Included(key) => key.to_vec(),
            Bound::Excluded(key) => successor(key),
            Bound::Unbounded => Vec::new(),
        };
        let upper = match to {
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(key.to_vec()),
            Bound::Unbounded => None,
        };
        Self { lower, upper }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }
}

/// The next key in byte order.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_carries_over_0xff() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(&[1, 0xFF, 0xFF]), Some(vec![2]));
        assert_eq!(prefix_end(&[0xFF, 0xFF]), None);
        assert_eq!(prefix_end(b""), None);
    }

    #[test]
    fn ranges_are_empty_when_their_bounds_exclude_each_other() {
        let empty = |from, to| KeyRange::new(from, to).is_empty();
        assert!(empty(Bound::Included(b"b"), Bound::Included(b"a")));
        assert!(empty(Bound::Included(b"a"), Bound::Excluded(b"a")));
        assert!(empty(Bound::Excluded(b"a"), Bound::Included(b"a")));
        assert!(empty(Bound::Unbounded, Bound::Excluded(b"")));
        assert!(!empty(Bound::Included(b"a"), Bound::Included(b"a")));
        assert!(!empty(Bound::Unbounded, Bound::Included(b"")));
    }
}
