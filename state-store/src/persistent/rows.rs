//! Iterators over the rows of a column family.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DBRawIteratorWithThreadMode, ReadOptions};

use super::Database;
use super::errors::read_error;
use super::store::RocksDbStore;
use crate::store::KeyRange;
use crate::{Direction, Result};

type RawIterator<'a> = DBRawIteratorWithThreadMode<'a, Database>;

self_cell::self_cell!(
    /// A RocksDB iterator borrows its database; together they can be handed out.
    struct OwnedIterator {
        owner: Arc<Database>,
        #[not_covariant]
        dependent: RawIterator,
    }
);

/// The rows of one column family within a range, as of the moment when this was made.
pub(super) struct Rows {
    iterator: OwnedIterator,
    direction: Direction,
    done: bool,
    name: String,
    path: PathBuf,
}

impl Rows {
    /// `None` if the column family is gone.
    pub(super) fn new(
        store: &RocksDbStore,
        family: &str,
        range: &KeyRange,
        direction: Direction,
    ) -> Option<Self> {
        store.database.cf_handle(family)?;
        let mut options = ReadOptions::default();
        if !range.lower.is_empty() {
            options.set_iterate_lower_bound(range.lower.clone());
        }
        if let Some(upper) = &range.upper {
            options.set_iterate_upper_bound(upper.clone());
        }
        let iterator = OwnedIterator::try_new(Arc::clone(&store.database), |database| {
            let family = database.cf_handle(family).ok_or(())?;
            let mut iterator = database.raw_iterator_cf_opt(&family, options);
            match direction {
                Direction::Forward => iterator.seek_to_first(),
                Direction::Backward => iterator.seek_to_last(),
            }
            Ok::<_, ()>(iterator)
        });
        let (name, path) = (store.name.clone(), store.path.clone());
        Some(Self {
            iterator: iterator.ok()?,
            direction,
            done: false,
            name,
            path,
        })
    }
}

impl Iterator for Rows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let direction = self.direction;
        let row = self.iterator.with_dependent_mut(|_, iterator| {
            let Some((key, value)) = iterator.item() else {
                return iterator.status().err().map(Err);
            };
            let row = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            match direction {
                Direction::Forward => iterator.next(),
                Direction::Backward => iterator.prev(),
            }
            Some(Ok(row))
        });
        self.done = !matches!(row, Some(Ok(_)));
        row.map(|row| row.map_err(|error| read_error(&self.name, &self.path, "iterate", error)))
    }
}
