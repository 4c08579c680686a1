//! An ordered map of bytes whose range reads are snapshots.
//!
//! Entries live in leaves of up to [`LEAF_ENTRIES`], each behind an `Arc`. A snapshot takes the `Arc`s of the leaves in
//! its range, so it copies no entry; a later write copies the one leaf it touches, and only while a snapshot holds it.
//! Keys lie beside their first bytes ([`Key`]), which decide most comparisons without a look elsewhere in memory.
//! Invariant: the leaf filed under `k` holds the keys from `k` up to the next leaf's, and the first leaf is filed under
//! the empty key.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::vec;

use bytes::Bytes;

use crate::store::KeyRange;
use crate::{Direction, Result};

/// The most entries in a leaf: what a write may have to copy, and what a snapshot shares at once.
const LEAF_ENTRIES: usize = 128;
/// A leaf smaller than this after a removal is joined to the one before it if both fit into three quarters of a leaf.
const SMALL_LEAF_ENTRIES: usize = LEAF_ENTRIES / 4;

type Leaf = Vec<(Key, Bytes)>;

/// A key and its first 16 bytes, filled up with zeros: in the order of those, and then of all bytes, which is the order of all
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    first: u128,
    bytes: Bytes,
}

impl Key {
    fn new(bytes: &[u8]) -> Self {
        let mut first = [0; size_of::<u128>()];
        let length = bytes.len().min(first.len());
        first[..length].copy_from_slice(&bytes[..length]);
        Self {
            first: u128::from_be_bytes(first),
            bytes: Bytes::copy_from_slice(bytes),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct OrderedMap {
    leaves: BTreeMap<Key, Arc<Leaf>>,
    len: usize,
}

impl OrderedMap {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let key = Key::new(key);
        let (_, leaf) = self.leaves.range(..=&key).next_back()?;
        let index = search(leaf, &key).ok()?;
        Some(&leaf[index].1)
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) {
        let (key, value) = (Key::new(key), Bytes::copy_from_slice(value));
        let Some((_, leaf)) = self.leaves.range_mut(..=&key).next_back() else {
            self.leaves.insert(Key::new(b""), Arc::new(vec![(key, value)]));
            self.len += 1;
            return;
        };
        let found = search(leaf, &key);
        let leaf = Arc::make_mut(leaf);
        match found {
            Ok(index) => leaf[index].1 = value,
            Err(index) => {
                leaf.insert(index, (key, value));
                self.len += 1;
                if leaf.len() > LEAF_ENTRIES {
                    // Ascending keys leave full leaves behind; all others split in the middle.
                    let at = if index == LEAF_ENTRIES {
                        index
                    } else {
                        LEAF_ENTRIES / 2
                    };
                    let upper = leaf.split_off(at);
                    self.leaves.insert(upper[0].0.clone(), Arc::new(upper));
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        let key = Key::new(key);
        let Some((filed_under, leaf)) = self.leaves.range_mut(..=&key).next_back() else {
            return;
        };
        let Ok(index) = search(leaf, &key) else { return };
        let leaf = Arc::make_mut(leaf);
        leaf.remove(index);
        self.len -= 1;
        if leaf.len() < SMALL_LEAF_ENTRIES && !filed_under.bytes.is_empty() {
            let filed_under = filed_under.clone();
            self.join_with_previous(filed_under);
        }
    }

    fn join_with_previous(&mut self, filed_under: Key) {
        let Some(small) = self.leaves.remove(&filed_under) else {
            return;
        };
        if let Some((_, previous)) = self.leaves.range_mut(..=&filed_under).next_back()
            && previous.len() + small.len() <= LEAF_ENTRIES / 4 * 3
        {
            Arc::make_mut(previous).extend_from_slice(&small);
            return;
        }
        self.leaves.insert(filed_under, small);
    }

    /// The entries in a range as they are now. The range must not be empty.
    pub(crate) fn snapshot(&self, range: KeyRange, direction: Direction) -> Snapshot {
        let (lower, upper) = (Key::new(&range.lower), range.upper.as_deref().map(Key::new));
        // The leaf that the lower bound falls into may be filed under a smaller key.
        let before = self.leaves.range(..=&lower).next_back();
        let after = match &upper {
            Some(upper) => (Bound::Excluded(&lower), Bound::Excluded(upper)),
            None => (Bound::Excluded(&lower), Bound::Unbounded),
        };
        let after = self.leaves.range(after);
        let leaves = before.into_iter().chain(after).map(|(_, leaf)| Arc::clone(leaf));
        let mut leaves: Vec<_> = leaves.collect();
        if direction == Direction::Backward {
            leaves.reverse();
        }
        Snapshot {
            leaves: leaves.into_iter(),
            current: None,
            lower,
            upper,
            direction,
        }
    }
}

/// Entries of a range, from leaves that nobody changes any more.
#[derive(Debug)]
pub(crate) struct Snapshot {
    leaves: vec::IntoIter<Arc<Leaf>>,
    current: Option<(Arc<Leaf>, Range<usize>)>,
    lower: Key,
    upper: Option<Key>,
    direction: Direction,
}

impl Iterator for Snapshot {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((leaf, indexes)) = &mut self.current {
                let index = match self.direction {
                    Direction::Forward => indexes.next(),
                    Direction::Backward => indexes.next_back(),
                };
                if let Some(index) = index {
                    let (key, value) = &leaf[index];
                    return Some(Ok((key.bytes.clone(), value.clone())));
                }
            }
            let leaf = self.leaves.next()?;
            let start = leaf.partition_point(|(key, _)| *key < self.lower);
            let end = match &self.upper {
                Some(upper) => leaf.partition_point(|(key, _)| key < upper),
                None => leaf.len(),
            };
            self.current = Some((leaf, start..end));
        }
    }
}

fn search(leaf: &Leaf, key: &Key) -> Result<usize, usize> {
    leaf.binary_search_by(|(other, _)| other.cmp(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(map: &OrderedMap) -> Vec<u32> {
        let range = KeyRange::new(Bound::Unbounded, Bound::Unbounded);
        map.snapshot(range, Direction::Forward)
            .map(|row| u32::from_be_bytes(row.unwrap().0.as_ref().try_into().unwrap()))
            .collect()
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let sixteen = [7; 16];
        let keys = [
            &b""[..],
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"a\0b",
            b"ab",
            &[[7; 16].as_slice(), &[0]].concat(),
            &sixteen,
            &[[7; 16].as_slice(), &[255]].concat(),
        ];
        for one in keys {
            for other in keys {
                assert_eq!(
                    Key::new(one).cmp(&Key::new(other)),
                    one.cmp(other),
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn ascending_keys_fill_their_leaves() {
        let mut map = OrderedMap::default();
        for key in 0..10 * LEAF_ENTRIES as u32 {
            map.insert(&key.to_be_bytes(), b"");
        }
        assert_eq!(map.leaves.len(), 10);
        assert_eq!(keys(&map), (0..1280).collect::<Vec<_>>());
    }

    #[test]
    fn leaves_that_shrink_are_joined() {
        let mut map = OrderedMap::default();
        for key in (0..10_000u32).rev() {
            map.insert(&key.to_be_bytes(), b"");
        }
        for key in (0..10_000u32).filter(|key| key % 100 != 0) {
            map.remove(&key.to_be_bytes());
        }
        assert_eq!(keys(&map), (0..100).map(|key| key * 100).collect::<Vec<_>>());
        assert_eq!(map.len(), 100);
        assert!(
            map.leaves.len() <= 100 / SMALL_LEAF_ENTRIES + 1,
            "{} leaves",
            map.leaves.len()
        );
    }

    #[test]
    fn writes_copy_a_leaf_only_while_a_snapshot_holds_it() {
        let mut map = OrderedMap::default();
        map.insert(b"a", b"1");
        let leaf_address = |map: &OrderedMap| Arc::as_ptr(&map.leaves[&Key::new(b"")]);
        let before = leaf_address(&map);
        map.insert(b"b", b"1");
        assert_eq!(leaf_address(&map), before);
        let range = KeyRange::new(Bound::Unbounded, Bound::Unbounded);
        let snapshot = map.snapshot(range, Direction::Forward);
        map.insert(b"c", b"1");
        assert_ne!(leaf_address(&map), before);
        assert_eq!(snapshot.count(), 2);
    }
}
