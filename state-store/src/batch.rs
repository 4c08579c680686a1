//! The unit of writing: rows and the changelog offset they correspond to.
//!
//! Apart from the store, because the runtime fills one of these all through a commit interval and reuses it. Keys and
//! values lie one after the other in one arena, so that a put is two copies and no allocation once the arena has grown.

/// Puts, deletes and a changelog offset that a store applies as a whole or not at all.
///
/// Operations apply in the order in which they were added: the last one on a key wins. Sorted keys are fastest.
///
/// ```
/// let mut batch = state_store::WriteBatch::new();
/// batch.put(b"k", b"v");
/// batch.delete(b"old");
/// batch.set_changelog_offset(42);
/// assert_eq!(batch.iter().collect::<Vec<_>>(), [(&b"k"[..], Some(&b"v"[..])), (b"old", None)]);
/// batch.clear();
/// assert!(batch.is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    arena: Vec<u8>,
    operations: Vec<Operation>,
    changelog_offset: Option<i64>,
}

/// Lengths only: the bytes of one operation follow those of the one before.
#[derive(Debug, Clone, Copy)]
struct Operation {
    key_length: usize,
    /// `None` deletes.
    value_length: Option<usize>,
}

impl WriteBatch {
    /// An empty batch, without any allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key. Empty keys and empty values are allowed.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.operations.push(Operation {
            key_length: key.len(),
            value_length: Some(value.len()),
        });
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, key: &[u8]) {
        self.arena.extend_from_slice(key);
        self.operations.push(Operation {
            key_length: key.len(),
            value_length: None,
        });
    }

    /// Sets the next changelog offset to be restored once this batch is written. Without it the store keeps its own.
    pub fn set_changelog_offset(&mut self, offset: i64) {
        self.changelog_offset = Some(offset);
    }

    /// The offset that was set, if any.
    pub fn changelog_offset(&self) -> Option<i64> {
        self.changelog_offset
    }

    /// The number of puts and deletes.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether writing this batch would change nothing: no put, no delete and no offset.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.changelog_offset.is_none()
    }

    /// The bytes of all keys and values.
    pub fn byte_len(&self) -> usize {
        self.arena.len()
    }

    /// Empties the batch, offset included, and keeps its memory for the next one.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.operations.clear();
        self.changelog_offset = None;
    }

    /// Keys with their value (`None` for a delete), in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = self.arena.as_slice();
        self.operations.iter().map(move |operation| {
            let (key, after_key) = rest.split_at(operation.key_length);
            let (value, after_value) = after_key.split_at(operation.value_length.unwrap_or(0));
            rest = after_value;
            (key, operation.value_length.map(|_| value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_keys_and_values_differ_from_deletes() {
        let mut batch = WriteBatch::new();
        batch.put(b"", b"");
        batch.delete(b"");
        batch.put(b"a", b"");
        let operations: Vec<_> = batch.iter().collect();
        assert_eq!(
            operations,
            [(&b""[..], Some(&b""[..])), (b"", None), (b"a", Some(b""))]
        );
        assert_eq!((batch.len(), batch.byte_len()), (3, 1));
    }

    #[test]
    fn clear_keeps_the_memory_and_forgets_the_offset() {
        let mut batch = WriteBatch::new();
        batch.put(&[1; 100], &[2; 100]);
        batch.set_changelog_offset(5);
        let capacity = batch.arena.capacity();
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.changelog_offset(), None);
        assert_eq!(batch.arena.capacity(), capacity);
    }

    #[test]
    fn an_offset_alone_is_something_to_write() {
        let mut batch = WriteBatch::new();
        batch.set_changelog_offset(0);
        assert_eq!(batch.len(), 0);
        assert!(!batch.is_empty());
    }
}
