//! Of a versioned store: which versions nobody can ask for any more, and dropping them.
//!
//! They are found by going through the store in rounds, a few rows with each flush: so they go whether or not their key is written
//! again, and a put has nothing to do with it. Kafka keeps versions in segments by the time up to which they held, and drops those
//! whole; there too a version lives on for a while, up to one segment.

use std::ops::Bound;

use bytes::Bytes;
use state_store::Direction;

use super::index::{RowIndex, Rows};
use crate::store::StoreResult;
use crate::store::versioned::{TIME_BYTES, is_of, row_at};

/// Rows that are looked at with each flush while a round is on, at least.
const MIN_SWEPT_ROWS: usize = 4_096;
/// Rows that are looked at for each row that is flushed. More than one, so that a round ends whatever is written meanwhile.
const SWEPT_ROWS_PER_WRITE: usize = 2;

/// How far the rounds through a store have come.
pub(super) struct Sweep {
    /// The row that the round goes on with, if one is on.
    next_row: Option<Vec<u8>>,
    /// The next round begins when versions up to this time may go: half of the history after the last one did.
    next_round_ms: i64,
    /// The first round begins anywhere, and a whole one follows: who is restarted often looks at all rows nevertheless.
    is_first: bool,
    min_rows: usize,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            next_row: None,
            next_round_ms: i64::MIN,
            is_first: true,
            min_rows: MIN_SWEPT_ROWS,
        }
    }
}

impl Sweep {
    /// Where to go on, if that is to be.
    fn next_row(&mut self, oldest_ms: i64, history_ms: i64, flushed: Option<&[u8]>) -> Option<Vec<u8>> {
        if let Some(next_row) = self.next_row.take() {
            return Some(next_row);
        }
        if oldest_ms < self.next_round_ms {
            return None;
        }
        if std::mem::take(&mut self.is_first) {
            return Some(flushed.unwrap_or_default().to_vec());
        }
        self.next_round_ms = oldest_ms.saturating_add((history_ms / 2).max(1));
        Some(Vec::new())
    }
}

impl RowIndex {
    /// The rows of versions of a key that no longer held at `oldest_ms`, and of a deletion that nothing is before. `row_key` is of
    /// any of them.
    pub(super) fn expired_versions(
        &self,
        rows: &dyn Rows,
        row_key: &[u8],
        oldest_ms: i64,
    ) -> StoreResult<Vec<Bytes>> {
        let (first, last) = (&row_key[..row_key.len() - TIME_BYTES], row_at(row_key, oldest_ms));
        let range = (Bound::Included(first), Bound::Included(&*last));
        let mut expired = Vec::new();
        let mut is_newest = true;
        self.each_version(rows, range, Direction::Backward, &mut |other, version| {
            if is_of(other, row_key) {
                // The newest of them still held, unless it says that there was nothing.
                if !is_newest || version.is_deletion {
                    expired.push(other.clone());
                }
                is_newest = false;
            }
            true
        })?;
        Ok(expired)
    }

    /// Goes on with the round, if one is on or is due: drops what is over in the rows it comes past. Only right after all rows were
    /// flushed: so many, and this one among them.
    pub(super) fn sweep(
        &mut self,
        rows: &mut dyn Rows,
        flushed: usize,
        flushed_row: Option<&[u8]>,
    ) -> StoreResult<()> {
        let (Some(history_ms), Some(oldest_ms)) = (self.history_ms, self.expire_before_ms) else {
            return Ok(());
        };
        let Some(from) = self.sweep.next_row(oldest_ms, history_ms, flushed_row) else {
            return Ok(());
        };
        let budget = flushed
            .saturating_mul(SWEPT_ROWS_PER_WRITE)
            .max(self.sweep.min_rows);
        let expired = self.expired_from(rows, from, budget, oldest_ms)?;
        if expired.is_empty() {
            return Ok(());
        }
        self.batch.clear();
        for row_key in &expired {
            self.batch.delete(row_key);
        }
        self.store.write(&self.batch)?;
        for row_key in &expired {
            self.forget(rows, row_key);
        }
        Ok(())
    }

    /// What is over among so many rows from this one on. Remembers where it ended.
    fn expired_from(
        &mut self,
        rows: &dyn Rows,
        from: Vec<u8>,
        budget: usize,
        oldest_ms: i64,
    ) -> StoreResult<Vec<Bytes>> {
        let mut stored = self
            .store
            .range(Bound::Included(&from), Bound::Unbounded, Direction::Forward)?;
        let mut next = stored.next().transpose()?;
        let mut expired = Vec::new();
        for _ in 0..budget {
            let Some((row_key, row)) = next else { break };
            next = stored.next().transpose()?;
            let version = self.version(&row)?;
            if row_key.len() < TIME_BYTES || version.from_ms > oldest_ms {
                continue;
            }
            let following = match &next {
                Some((other, row)) if is_of(other, &row_key) => Some(self.version(row)?),
                _ => None,
            };
            if following.is_some_and(|following| following.from_ms <= oldest_ms) {
                expired.push(row_key);
            } else if version.is_deletion || is_among_others(&row_key, next.as_ref()) {
                // What is before a deletion must not come to light, and may lie further away.
                expired.extend(self.expired_versions(rows, &row_key, oldest_ms)?);
            }
        }
        self.sweep.next_row = next.map(|(row_key, _)| row_key.to_vec());
        Ok(expired)
    }
}

/// Whether a row of another key follows that may have further rows of this key behind it: one that begins as this key does.
fn is_among_others(row_key: &[u8], next: Option<&(Bytes, Bytes)>) -> bool {
    let key = &row_key[..row_key.len() - TIME_BYTES];
    next.is_some_and(|(other, _)| other.starts_with(key) && !is_of(other, row_key))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::sync::Arc;

    use proptest::prelude::*;
    use state_store::{Layout, MemoryEngine, StoreEngine, StoreIdentity, StoreSpec};

    use super::*;
    use crate::serde::DefaultSerde;
    use crate::store::cached::{Cached, UntypedCached};
    use crate::store::versioned::VersionSerde;
    use crate::store::{Validity, VersionedKeyValueStore};

    const HISTORY_MS: i64 = 20;
    /// Their rows lie between one another.
    const KEYS: [&str; 5] = ["", "a", "a\0\0\0", "a\0\0\0\0\0\0\0\u{7}", "b"];

    struct Subject {
        bytes: Arc<dyn state_store::KeyValueStore>,
        cached: Rc<RefCell<Cached<Option<i64>>>>,
        store: VersionedKeyValueStore<String, i64>,
    }

    /// A store that looks at this many rows with each flush.
    fn subject(min_rows: usize) -> Subject {
        let identity = StoreIdentity::new("app", "0_0", "prices");
        let bytes = MemoryEngine.open(&StoreSpec::new(identity, Layout::Plain), None);
        let bytes = bytes.unwrap();
        let mut index = RowIndex::new(Arc::clone(&bytes), 1, 1 << 20);
        index.log_every_put();
        index.keep_order();
        index.history_ms = Some(HISTORY_MS);
        index.sweep.min_rows = min_rows;
        let topic: Arc<str> = Arc::from("prices-changelog");
        let version_serde = Arc::new(VersionSerde(i64::default_serde()));
        let cached = Rc::new(RefCell::new(Cached::new(
            index,
            Arc::clone(&topic),
            version_serde,
        )));
        let serdes = (String::default_serde(), i64::default_serde());
        let store = VersionedKeyValueStore::new(topic, serdes, HISTORY_MS, Rc::clone(&cached));
        Subject { bytes, cached, store }
    }

    impl Subject {
        fn flush(&self) {
            let mut cached = self.cached.borrow_mut();
            let (index, rows) = cached.parts();
            index.flush(rows).unwrap();
        }

        fn value_at(&self, key: &str, at_ms: i64) -> Option<i64> {
            let version = self.store.get_as_of(&key.to_owned(), at_ms).unwrap();
            version.map(|version| version.value)
        }

        fn row_count(&self) -> usize {
            self.bytes.all(Direction::Forward).unwrap().count()
        }
    }

    /// All that was put, for ever.
    #[derive(Default)]
    struct Model {
        versions: BTreeMap<&'static str, BTreeMap<i64, Option<i64>>>,
        observed_ms: i64,
    }

    impl Model {
        fn value_at(&self, key: &str, at_ms: i64) -> Option<i64> {
            let versions = self.versions.get(key)?;
            if at_ms < self.observed_ms - HISTORY_MS {
                let (from_ms, value) = versions.last_key_value()?;
                return value.filter(|_| *from_ms <= at_ms);
            }
            *versions.range(..=at_ms).next_back()?.1
        }

        fn live_keys(&self) -> usize {
            let latest = self.versions.values().filter_map(BTreeMap::last_key_value);
            latest.filter(|(_, value)| value.is_some()).count()
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Put(&'static str, i64, Option<i64>),
        Flush,
    }

    fn step() -> impl Strategy<Value = Step> {
        let put = (
            prop::sample::select(&KEYS[..]),
            -15i64..10,
            prop::option::of(0i64..100),
        );
        prop_oneof![
            4 => put.prop_map(|(key, later_ms, value)| Step::Put(key, later_ms, value)),
            1 => Just(Step::Flush),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_may_be_asked_for_stays_and_nothing_else(
            min_rows in 1usize..6, steps in prop::collection::vec(step(), 1..80),
        ) {
            let subject = subject(min_rows);
            let mut model = Model::default();
            for step in steps {
                let Step::Put(key, later_ms, value) = step else {
                    subject.flush();
                    continue;
                };
                let from_ms = (model.observed_ms + later_ms).max(0);
                let validity = subject.store.put(&key.to_owned(), value, from_ms).unwrap();
                prop_assert_eq!(validity == Validity::NotPut, from_ms < model.observed_ms - HISTORY_MS);
                if validity != Validity::NotPut {
                    model.observed_ms = model.observed_ms.max(from_ms);
                    model.versions.entry(key).or_default().insert(from_ms, value);
                }
                for key in KEYS {
                    for at_ms in (model.observed_ms - 2 * HISTORY_MS).max(0)..=model.observed_ms + 1 {
                        prop_assert_eq!(subject.value_at(key, at_ms), model.value_at(key, at_ms));
                    }
                }
            }
            let live_keys = model.live_keys();
            let mut now_ms = model.observed_ms;
            for _ in 0..3 {
                now_ms += HISTORY_MS;
                for value in 0..60 {
                    subject.store.put(&"now".to_owned(), Some(value), now_ms).unwrap();
                    subject.flush();
                }
            }
            for key in KEYS {
                let latest = subject.store.get(&key.to_owned()).unwrap().map(|version| version.value);
                prop_assert_eq!(latest, model.value_at(key, i64::MAX));
            }
            // The last two of the key that goes on being written: the one before held up to the time that is just known.
            prop_assert_eq!(subject.row_count(), live_keys + 2);
        }
    }

    #[test]
    fn a_round_begins_when_half_of_the_history_has_gone_by() {
        let mut sweep = Sweep::default();
        let mut next_row = |oldest_ms| sweep.next_row(oldest_ms, HISTORY_MS, Some(b"k"));
        assert_eq!(next_row(0).unwrap(), b"k", "anywhere");
        assert_eq!(next_row(1).unwrap(), b"");
        assert_eq!(next_row(10), None);
        assert_eq!(next_row(11).unwrap(), b"");
        assert_eq!(next_row(12), None);
    }
}
