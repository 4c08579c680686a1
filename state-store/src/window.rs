//! Reads of a window store: rows by key and window start.
//!
//! Over any [`KeyValueStore`] whose rows have the window layout of `key_schema.rs`, segmented or not. Reads only: writes
//! go into the task's [`WriteBatch`](crate::WriteBatch) with [`WindowKey`] as every other row.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::key_schema::{self, WindowKey};
use crate::{Direction, KeyValueIter, KeyValueStore, Result};

/// One row of a window store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRow {
    /// The serialised record key.
    pub key: Bytes,
    /// Where the window starts, inclusive, in milliseconds.
    pub start_ms: i64,
    /// Tells duplicates apart; 0 where the store keeps none.
    pub sequence: u32,
    /// The serialised value.
    pub value: Bytes,
}

/// An owned iterator over window rows, as [`KeyValueIter`].
pub type WindowIter = Box<dyn Iterator<Item = Result<WindowRow>> + Send>;

/// A view of a store whose rows are windows. Cheap to clone.
///
/// ```
/// use state_store::key_schema::WindowKey;
/// use state_store::{Direction, KeySchema, Layout, MemoryEngine, StoreEngine, StoreIdentity, StoreSpec};
/// use state_store::{WindowStore, WriteBatch};
///
/// # fn main() -> state_store::Result<()> {
/// let layout = Layout::segmented(3_600_000, KeySchema::Window);
/// let spec = StoreSpec::new(StoreIdentity::new("app", "0_0", "clicks"), layout);
/// let store = MemoryEngine.open(&spec, None)?;
/// let mut batch = WriteBatch::new();
/// for start_ms in [0, 60_000, 120_000] {
///     batch.put(&WindowKey { key: b"alice", start_ms, sequence: 0 }.encode(), b"1");
/// }
/// store.write(&batch)?;
///
/// let windows = WindowStore::new(store);
/// assert_eq!(windows.fetch_one(b"alice", 60_000)?, Some("1".into()));
/// let starts: state_store::Result<Vec<_>> =
///     windows.fetch(b"alice", 1, 120_000, Direction::Backward)?.map(|row| Ok(row?.start_ms)).collect();
/// assert_eq!(starts?, [120_000, 60_000]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WindowStore {
    store: Arc<dyn KeyValueStore>,
}

impl WindowStore {
    /// A view of this store.
    pub fn new(store: Arc<dyn KeyValueStore>) -> Self {
        Self { store }
    }

    /// The store under this view.
    pub fn store(&self) -> &Arc<dyn KeyValueStore> {
        &self.store
    }

    /// The value of a key in the window that starts at this time, in a store without duplicates.
    pub fn fetch_one(&self, key: &[u8], start_ms: i64) -> Result<Option<Bytes>> {
        self.store.get(
            &WindowKey {
                key,
                start_ms,
                sequence: 0,
            }
            .encode(),
        )
    }

    /// The windows of one key that start in `[from_ms, to_ms]`, both inclusive, by start and then sequence.
    pub fn fetch(&self, key: &[u8], from_ms: i64, to_ms: i64, direction: Direction) -> Result<WindowIter> {
        if to_ms < from_ms.max(0) {
            return Ok(Box::new(std::iter::empty()));
        }
        let (first, last) = key_schema::window_bounds(key, from_ms, to_ms);
        let rows = self.rows(&first, &last, from_ms, to_ms, direction)?;
        let key = Bytes::copy_from_slice(key);
        Ok(filtered(rows, move |row| {
            row.key == key && (from_ms..=to_ms).contains(&row.start_ms)
        }))
    }

    /// The windows of all keys in `[from_key, to_key]` that start in `[from_ms, to_ms]`, all inclusive, in the order of
    /// row keys: by key, but for keys of which one is the prefix of another.
    pub fn fetch_range(
        &self,
        from_key: &[u8],
        to_key: &[u8],
        from_ms: i64,
        to_ms: i64,
        direction: Direction,
    ) -> Result<WindowIter> {
        if to_ms < from_ms.max(0) || to_key < from_key {
            return Ok(Box::new(std::iter::empty()));
        }
        let (first, last) = key_schema::window_key_range_bounds(from_key, to_key, to_ms);
        let rows = self.rows(&first, &last, from_ms, to_ms, direction)?;
        let (from_key, to_key) = (Bytes::copy_from_slice(from_key), Bytes::copy_from_slice(to_key));
        Ok(filtered(rows, move |row| {
            from_key <= row.key && row.key <= to_key && (from_ms..=to_ms).contains(&row.start_ms)
        }))
    }

    /// The windows of all keys that start in `[from_ms, to_ms]`, both inclusive, in the order of row keys.
    ///
    /// Kafka returns these segment by segment; here they are merged over segments.
    pub fn fetch_all(&self, from_ms: i64, to_ms: i64, direction: Direction) -> Result<WindowIter> {
        if to_ms < from_ms {
            return Ok(Box::new(std::iter::empty()));
        }
        let rows = self
            .store
            .range_during(Bound::Unbounded, Bound::Unbounded, from_ms..=to_ms, direction)?;
        Ok(filtered(rows, move |row| {
            (from_ms..=to_ms).contains(&row.start_ms)
        }))
    }

    fn rows(
        &self,
        first: &[u8],
        last: &[u8],
        from_ms: i64,
        to_ms: i64,
        direction: Direction,
    ) -> Result<KeyValueIter> {
        self.store.range_during(
            Bound::Included(first),
            Bound::Included(last),
            from_ms..=to_ms,
            direction,
        )
    }
}

/// Decodes rows and keeps the wanted ones. Rows that are no windows (only a store without segments takes them) are none.
fn filtered(rows: KeyValueIter, wanted: impl Fn(&WindowRow) -> bool + Send + 'static) -> WindowIter {
    Box::new(rows.filter_map(move |row| match row {
        Ok((row_key, value)) => {
            let WindowKey {
                key,
                start_ms,
                sequence,
            } = WindowKey::decode(&row_key)?;
            let key = row_key.slice(..key.len());
            let row = WindowRow {
                key,
                start_ms,
                sequence,
                value,
            };
            wanted(&row).then_some(Ok(row))
        }
        Err(error) => Some(Err(error)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeySchema, Layout, MemoryEngine, StoreEngine, StoreIdentity, StoreSpec, WriteBatch};

    const KEYS: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0\0\0\0\0\0\0\x05", b"ab", b"\xFF\xFF"];
    const STARTS_MS: [i64; 4] = [0, 5, 60_000, 130_000];

    fn store(layout: Layout) -> WindowStore {
        let spec = StoreSpec::new(StoreIdentity::new("app", "0_0", "windows"), layout);
        let store = MemoryEngine.open(&spec, None).unwrap();
        let mut batch = WriteBatch::new();
        for key in KEYS {
            for start_ms in STARTS_MS {
                for sequence in [0, 1] {
                    let value = format!("{start_ms}/{sequence}");
                    batch.put(
                        &WindowKey {
                            key,
                            start_ms,
                            sequence,
                        }
                        .encode(),
                        value.as_bytes(),
                    );
                }
            }
        }
        store.write(&batch).unwrap();
        WindowStore::new(store)
    }

    fn stores() -> [WindowStore; 2] {
        [
            store(Layout::Plain),
            store(Layout::segmented(180_000, KeySchema::Window)),
        ]
    }

    fn found(rows: WindowIter) -> Vec<(Vec<u8>, i64, u32)> {
        rows.map(|row| row.unwrap())
            .map(|row| (row.key.to_vec(), row.start_ms, row.sequence))
            .collect()
    }

    /// All rows that a condition holds for, sorted by row key.
    fn expected(wanted: impl Fn(&[u8], i64) -> bool) -> Vec<(Vec<u8>, i64, u32)> {
        let mut rows: Vec<_> = KEYS
            .iter()
            .flat_map(|&key| {
                STARTS_MS
                    .iter()
                    .flat_map(move |&start| [(key, start, 0), (key, start, 1)])
            })
            .filter(|&(key, start_ms, _)| wanted(key, start_ms))
            .map(|(key, start_ms, sequence)| (key.to_vec(), start_ms, sequence))
            .collect();
        rows.sort_by_key(|(key, start_ms, sequence)| {
            WindowKey {
                key,
                start_ms: *start_ms,
                sequence: *sequence,
            }
            .encode()
        });
        rows
    }

    fn reversed<T>(mut rows: Vec<T>) -> Vec<T> {
        rows.reverse();
        rows
    }

    #[test]
    fn fetch_returns_one_key_only_even_among_its_extensions() {
        for windows in stores() {
            for key in KEYS {
                for (from, to) in [(0, 5), (1, 130_000), (-7, 0), (60_000, 60_000), (0, i64::MAX)] {
                    let rows = expected(|k, start| k == key && (from..=to).contains(&start));
                    assert_eq!(
                        found(windows.fetch(key, from, to, Direction::Forward).unwrap()),
                        rows
                    );
                    let backward = found(windows.fetch(key, from, to, Direction::Backward).unwrap());
                    assert_eq!(backward, reversed(rows));
                }
            }
        }
    }

    #[test]
    fn times_that_exclude_each_other_give_nothing() {
        for windows in stores() {
            assert!(found(windows.fetch(b"a", 5, 4, Direction::Forward).unwrap()).is_empty());
            assert!(found(windows.fetch(b"a", -9, -1, Direction::Forward).unwrap()).is_empty());
            assert!(found(windows.fetch_all(5, 4, Direction::Forward).unwrap()).is_empty());
            assert!(found(windows.fetch_range(b"b", b"a", 0, 9, Direction::Forward).unwrap()).is_empty());
        }
    }

    #[test]
    fn fetch_range_and_fetch_all_filter_by_key_and_time() {
        for windows in stores() {
            for (from, to) in [(0, 5), (5, 60_000), (0, i64::MAX)] {
                let rows = expected(|_, start| (from..=to).contains(&start));
                assert_eq!(
                    found(windows.fetch_all(from, to, Direction::Forward).unwrap()),
                    rows
                );
                assert_eq!(
                    found(windows.fetch_all(from, to, Direction::Backward).unwrap()),
                    reversed(rows)
                );
                for (first, last) in [(&b""[..], &b"ab"[..]), (b"a", b"a"), (b"\0", b"\xFF\xFF")] {
                    let rows =
                        expected(|k, start| (first..=last).contains(&k) && (from..=to).contains(&start));
                    let range = windows
                        .fetch_range(first, last, from, to, Direction::Forward)
                        .unwrap();
                    assert_eq!(found(range), rows);
                }
            }
        }
    }

    #[test]
    fn fetch_one_finds_the_row_without_duplicates() {
        for windows in stores() {
            assert_eq!(windows.fetch_one(b"a", 5).unwrap(), Some("5/0".into()));
            assert_eq!(windows.fetch_one(b"a", 6).unwrap(), None);
        }
    }
}
