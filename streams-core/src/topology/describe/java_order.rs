//! The orders of Java's hash map and sorted set, as far as Kafka's text shows them.
//!
//! Kafka keeps the neighbours of a node in sets that are sorted by size, while the sizes still grow. Where a neighbour ends
//! up then depends on when it came and on how the tree was balanced at that moment, so both are done here as Java does them.

use std::cmp::Ordering;

/// The order in which Java's `HashMap` gives keys back that were put in this order.
pub(super) fn hash_map_order(names: &[&str]) -> Vec<usize> {
    const CAPACITY_MIN: usize = 16;
    let mut capacity = CAPACITY_MIN;
    while names.len() > capacity / 4 * 3 {
        capacity *= 2;
    }
    let mask = u32::try_from(capacity - 1).unwrap_or(u32::MAX);
    let bucket = |name: &str| {
        let hash = hash_code(name);
        (hash ^ (hash >> 16)) & mask
    };
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&index| bucket(names[index]));
    order
}

/// Java's `String.hashCode`.
fn hash_code(text: &str) -> u32 {
    text.encode_utf16().fold(0_u32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// Java's `TreeSet`, to be filled and read: a red-black tree.
#[derive(Debug, Default)]
pub(super) struct TreeSet {
    entries: Vec<Entry>,
    root: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    item: usize,
    red: bool,
    parent: Option<usize>,
    /// Left and right.
    children: [Option<usize>; 2],
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

impl TreeSet {
    /// Adds an item; `compare` says how it stands to one that is there, now.
    pub(super) fn insert(&mut self, item: usize, compare: impl Fn(usize) -> Ordering) {
        let mut parent = None;
        let mut side = LEFT;
        let mut at = self.root;
        while let Some(index) = at {
            side = match compare(self.entries[index].item) {
                Ordering::Less => LEFT,
                Ordering::Greater => RIGHT,
                Ordering::Equal => return,
            };
            parent = at;
            at = self.entries[index].children[side];
        }
        let added = self.entries.len();
        self.entries.push(Entry {
            item,
            red: true,
            parent,
            children: [None; 2],
        });
        match parent {
            Some(parent) => self.entries[parent].children[side] = Some(added),
            None => self.root = Some(added),
        }
        self.balance(added);
    }

    /// The items in order.
    pub(super) fn items(&self) -> Vec<usize> {
        let mut items = Vec::with_capacity(self.entries.len());
        let (mut open, mut at) = (Vec::new(), self.root);
        loop {
            while let Some(index) = at {
                open.push(index);
                at = self.entries[index].children[LEFT];
            }
            let Some(index) = open.pop() else {
                return items;
            };
            items.push(self.entries[index].item);
            at = self.entries[index].children[RIGHT];
        }
    }

    fn balance(&mut self, mut at: usize) {
        while let Some(parent) = self.entries[at].parent.filter(|&parent| self.entries[parent].red) {
            let grandparent = self.entries[parent]
                .parent
                .expect("the root is black, so a red node has a parent");
            let side = self.side_of(parent, grandparent);
            let uncle = self.entries[grandparent].children[1 - side];
            if let Some(uncle) = uncle.filter(|&uncle| self.entries[uncle].red) {
                self.entries[parent].red = false;
                self.entries[uncle].red = false;
                self.entries[grandparent].red = true;
                at = grandparent;
                continue;
            }
            let mut parent = parent;
            if self.side_of(at, parent) != side {
                at = parent;
                self.rotate(at, side);
                parent = self.entries[at].parent.expect("it was rotated below its child");
            }
            self.entries[parent].red = false;
            self.entries[grandparent].red = true;
            self.rotate(grandparent, 1 - side);
        }
        if let Some(root) = self.root {
            self.entries[root].red = false;
        }
    }

    fn side_of(&self, child: usize, parent: usize) -> usize {
        if self.entries[parent].children[LEFT] == Some(child) {
            LEFT
        } else {
            RIGHT
        }
    }

    /// Moves a node down to `side`; its child on the other side takes its place.
    fn rotate(&mut self, at: usize, side: usize) {
        let Some(up) = self.entries[at].children[1 - side] else {
            return;
        };
        let moved = self.entries[up].children[side];
        self.entries[at].children[1 - side] = moved;
        if let Some(moved) = moved {
            self.entries[moved].parent = Some(at);
        }
        let parent = self.entries[at].parent;
        self.entries[up].parent = parent;
        match parent {
            Some(parent) => {
                let below = self.side_of(at, parent);
                self.entries[parent].children[below] = Some(up);
            }
            None => self.root = Some(up),
        }
        self.entries[up].children[side] = Some(at);
        self.entries[at].parent = Some(up);
    }
}

#[cfg(test)]
mod tests {
    use super::{TreeSet, hash_code, hash_map_order};

    #[test]
    fn hashes_as_java_does() {
        assert_eq!(hash_code("hello"), 99_162_322);
        // `a`, `b` and `q` are 97, 98 and 113: buckets 1, 2 and 1 of 16.
        assert_eq!(hash_map_order(&["q", "b", "a"]), [0, 2, 1]);
    }

    #[test]
    fn is_sorted_if_the_order_stands_still() {
        let mut set = TreeSet::default();
        for item in [5, 3, 9, 1, 4, 8, 2, 7, 6, 0, 5] {
            set.insert(item, |other| item.cmp(&other));
        }
        assert_eq!(set.items(), (0..10).collect::<Vec<_>>());
    }
}
