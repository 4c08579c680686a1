//! What every engine must do, as a suite to run against it.
//!
//! With feature `conformance`, for engines outside of this crate; those inside run it in their tests. One call checks
//! both layouts. Checks compare with a `BTreeMap` wherever they can, since that is all that a store is. They panic at the
//! first difference, as tests do.
//!
//! ```
//! # #[cfg(feature = "conformance")]
//! state_store::conformance::check_engine(&state_store::MemoryEngine, None);
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::key_schema::WindowKey;
use crate::{
    Direction, Error, KeySchema, KeyValueIter, KeyValueStore, Layout, StoreEngine, StoreIdentity, StoreSpec,
    WriteBatch,
};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

const SEGMENT_INTERVAL_MS: i64 = 1_000;
/// The segments that keys of the suite are spread over.
const SEGMENTS: i64 = 5;
/// Long enough that nothing expires unless a check wants it.
const RETAINED_SEGMENTS: i64 = 10;
/// Operation sequences that are compared with the model, per layout.
const MODEL_CASES: u32 = 48;
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];
/// Empty, prefixes of one another, zero bytes, and nothing but 0xFF.
const KEYS: [&[u8]; 9] = [
    b"",
    b"\0",
    b"a",
    b"a\0",
    b"ab",
    b"b",
    b"\xFE\xFF",
    b"\xFF",
    b"\xFF\xFF",
];

/// Runs the whole suite over both layouts. A persistent engine needs an empty directory.
///
/// # Panics
/// If the engine does not conform, with what it did instead.
pub fn check_engine(engine: &dyn StoreEngine, directory: Option<&Path>) {
    let segmented = Layout::Segmented {
        retention_ms: RETAINED_SEGMENTS * SEGMENT_INTERVAL_MS,
        segment_interval_ms: SEGMENT_INTERVAL_MS,
        schema: KeySchema::Window,
    };
    for (layout, folder) in [(Layout::Plain, "plain"), (segmented, "segmented")] {
        let subject = Subject {
            engine,
            layout,
            directory: directory.map(|path| path.join(folder)),
        };
        subject.a_new_store_is_empty();
        subject.rows_are_put_overwritten_and_deleted();
        subject.the_last_operation_on_a_key_wins();
        subject.ranges_honour_every_kind_of_bound();
        subject.prefixes_end_where_they_should();
        subject.iterators_are_snapshots();
        subject.the_offset_belongs_to_its_batch();
        subject.batches_are_seen_whole();
        subject.clear_leaves_a_new_store();
        subject.a_persistent_store_keeps_everything();
        subject.any_operations_give_the_same_as_a_map();
        match layout {
            Layout::Plain => subject.a_plain_store_never_expires(),
            Layout::Segmented { .. } => {
                subject.a_malformed_key_refuses_the_whole_batch();
                subject.expired_segments_are_gone_and_stay_gone();
                subject.newer_rows_expire_older_segments();
                subject.reads_of_a_time_skip_other_segments();
            }
        }
    }
}

struct Subject<'a> {
    engine: &'a dyn StoreEngine,
    layout: Layout,
    directory: Option<PathBuf>,
}

impl Subject<'_> {
    /// Opens the store of a check; again, if the check has closed it.
    fn open(&self, check: &str) -> Arc<dyn KeyValueStore> {
        let spec = StoreSpec::new(StoreIdentity::new("conformance", "0_0", check), self.layout);
        let directory = self.directory.as_ref().map(|path| path.join(check));
        self.engine
            .open(&spec, directory.as_deref())
            .expect("a store opens")
    }

    /// The row key for a key: in the segmented layout it gets a time, and so a segment, of its own.
    fn row_key(&self, key: &[u8]) -> Vec<u8> {
        let sum: i64 = key.iter().map(|&byte| i64::from(byte)).sum();
        self.row_key_at(key, sum % SEGMENTS * SEGMENT_INTERVAL_MS)
    }

    fn row_key_at(&self, key: &[u8], start_ms: i64) -> Vec<u8> {
        match self.layout {
            Layout::Plain => key.to_vec(),
            Layout::Segmented { .. } => WindowKey {
                key,
                start_ms,
                sequence: 0,
            }
            .encode(),
        }
    }

    /// All keys of the suite in a store, and the same in a map.
    fn filled(&self, check: &str) -> (Arc<dyn KeyValueStore>, Model) {
        let store = self.open(check);
        let model: Model = KEYS.iter().map(|key| (self.row_key(key), key.to_vec())).collect();
        let mut batch = WriteBatch::new();
        for (key, value) in &model {
            batch.put(key, value);
        }
        store.write(&batch).expect("a batch is written");
        (store, model)
    }

    fn a_new_store_is_empty(&self) {
        let store = self.open("new");
        assert_eq!(store.name(), "new");
        assert_eq!(store.get(&self.row_key(b"a")).expect("get"), None);
        assert_eq!(all(&*store), Rows::new());
        assert_eq!(store.changelog_offset().expect("offset"), None);
        assert_eq!(store.approximate_len().expect("length"), 0);
        store
            .write(&WriteBatch::new())
            .expect("an empty batch is written");
        assert_eq!(all(&*store), Rows::new());
    }

    fn rows_are_put_overwritten_and_deleted(&self) {
        let (store, model) = self.filled("rows");
        assert_same(&*store, &model);
        assert!(store.approximate_len().expect("length") > 0);

        for key in KEYS {
            let key = self.row_key(key);
            for value in [&b"other"[..], b"", &[0xFF; 3]] {
                write(&*store, |batch| batch.put(&key, value));
                assert_eq!(store.get(&key).expect("get").as_deref(), Some(value));
            }
            write(&*store, |batch| batch.delete(&key));
            assert_eq!(store.get(&key).expect("get"), None);
            write(&*store, |batch| batch.delete(&key));
        }
        assert_eq!(all(&*store), Rows::new());
    }

    fn the_last_operation_on_a_key_wins(&self) {
        let store = self.open("last-wins");
        let [put_put, put_delete, delete_put] = [b"a", b"b", b"c"].map(|key| self.row_key(key));
        write(&*store, |batch| batch.put(&delete_put, b"0"));
        write(&*store, |batch| {
            batch.put(&put_put, b"1");
            batch.put(&put_delete, b"1");
            batch.delete(&delete_put);
            batch.put(&delete_put, b"2");
            batch.delete(&put_delete);
            batch.put(&put_put, b"2");
        });
        let expected = Model::from([(put_put, b"2".to_vec()), (delete_put, b"2".to_vec())]);
        assert_same(&*store, &expected);
    }

    fn ranges_honour_every_kind_of_bound(&self) {
        let (store, model) = self.filled("ranges");
        let mut bounds = vec![Bound::Unbounded];
        // Keys that are there, keys that are not, and for segmented rows also keys that could not be.
        for key in KEYS.iter().chain(&[&b"aa"[..], b"z", b"\xFF\0"]) {
            for key in [self.row_key(key), key.to_vec()] {
                bounds.extend([Bound::Included(key.clone()), Bound::Excluded(key)]);
            }
        }
        for from in &bounds {
            for to in &bounds {
                let (from, to) = (as_slice(from), as_slice(to));
                let mut expected = between(&model, from, to);
                for direction in DIRECTIONS {
                    let found = collect(store.range(from, to, direction).expect("range"));
                    assert_eq!(found, expected, "{from:?} to {to:?} {direction:?}");
                    expected.reverse();
                }
            }
        }
    }

    fn prefixes_end_where_they_should(&self) {
        let (store, model) = self.filled("prefixes");
        for prefix in KEYS.iter().chain(&[&b"c"[..], b"\xFF\xFF\xFF"]) {
            let expected: Rows = rows_of(&model)
                .into_iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .collect();
            assert_eq!(
                collect(store.prefix(prefix).expect("prefix")),
                expected,
                "prefix {prefix:?}"
            );
        }
    }

    fn iterators_are_snapshots(&self) {
        for direction in DIRECTIONS {
            let (store, model) = self.filled(&format!("snapshots-{direction:?}"));
            let mut expected = rows_of(&model);
            if direction == Direction::Backward {
                expected.reverse();
            }
            let unread = store.all(direction).expect("all");
            let mut half_read = store.all(direction).expect("all");
            let mut rows: Rows = half_read.by_ref().take(4).map(owned).collect();

            write(&*store, |batch| {
                for key in KEYS {
                    batch.put(&self.row_key(key), b"later");
                }
                batch.put(&self.row_key(b"later"), b"later");
                batch.delete(&self.row_key(b"ab"));
            });
            store.clear().expect("clear");
            drop(store);

            rows.extend(half_read.map(owned));
            assert_eq!(rows, expected, "half read, {direction:?}");
            assert_eq!(collect(unread), expected, "unread, {direction:?}");
        }
    }

    fn the_offset_belongs_to_its_batch(&self) {
        let store = self.open("offset");
        let offset = || store.changelog_offset().expect("offset");
        write(&*store, |batch| batch.put(&self.row_key(b"a"), b"1"));
        assert_eq!(offset(), None, "a batch without an offset sets none");
        for expected in [0, 7, i64::MAX, 3] {
            write(&*store, |batch| batch.set_changelog_offset(expected));
            assert_eq!(offset(), Some(expected));
        }
        write(&*store, |batch| batch.put(&self.row_key(b"a"), b"2"));
        assert_eq!(offset(), Some(3), "a batch without an offset keeps it");
        store.flush().expect("flush");
        assert_eq!(offset(), Some(3));
    }

    /// One thread writes the same value to all keys, in all segments; nobody ever sees two values.
    fn batches_are_seen_whole(&self) {
        let store = self.open("whole");
        let keys = KEYS.map(|key| self.row_key(key));
        let done = AtomicBool::new(false);
        let read_until_done = || {
            while !done.load(Ordering::Relaxed) {
                for direction in DIRECTIONS {
                    let rows = collect(store.all(direction).expect("all"));
                    assert!(rows.is_empty() || rows.len() == keys.len(), "{} rows", rows.len());
                    assert!(
                        rows.iter().all(|(_, value)| *value == rows[0].1),
                        "several batches: {rows:?}"
                    );
                }
            }
        };
        std::thread::scope(|scope| {
            let reader = scope.spawn(read_until_done);
            for round in 0..300u32 {
                write(&*store, |batch| {
                    keys.iter().for_each(|key| batch.put(key, &round.to_be_bytes()));
                });
            }
            done.store(true, Ordering::Relaxed);
            reader.join().expect("the reader saw whole batches only");
        });
    }

    fn clear_leaves_a_new_store(&self) {
        let (store, model) = self.filled("clear");
        write(&*store, |batch| batch.set_changelog_offset(9));
        store.clear().expect("clear");
        assert_eq!(all(&*store), Rows::new());
        assert_eq!(store.changelog_offset().expect("offset"), None);
        for key in model.keys() {
            assert_eq!(store.get(key).expect("get"), None);
        }
        store.clear().expect("an empty store is cleared");

        write(&*store, |batch| {
            batch.put(&self.row_key(b"ab"), b"again");
            batch.set_changelog_offset(1);
        });
        let expected = Model::from([(self.row_key(b"ab"), b"again".to_vec())]);
        assert_same(&*store, &expected);
        if store.persistent() {
            drop(store);
            let store = self.open("clear");
            assert_same(&*store, &expected);
            assert_eq!(store.changelog_offset().expect("offset"), Some(1));
        }
    }

    fn a_persistent_store_keeps_everything(&self) {
        let (store, model) = self.filled("reopen");
        if !store.persistent() {
            return;
        }
        write(&*store, |batch| batch.set_changelog_offset(12));
        store.flush().expect("flush");
        drop(store);
        for _ in 0..2 {
            let store = self.open("reopen");
            assert_same(&*store, &model);
            assert_eq!(store.changelog_offset().expect("offset"), Some(12));
        }
    }

    fn any_operations_give_the_same_as_a_map(&self) {
        let store = self.open("model");
        let key = prop_oneof![
            prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7F, 0xFF]), 0..4),
            (0u16..300).prop_map(|number| number.to_be_bytes().to_vec()),
        ];
        let operation = (
            key.clone(),
            prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..3)),
        );
        let batches = prop::collection::vec(prop::collection::vec(operation, 0..200), 1..6);
        let cases = (batches, prop::collection::vec((key.clone(), key), 1..6));
        let config = Config {
            cases: MODEL_CASES,
            failure_persistence: None,
            ..Config::default()
        };
        let result = TestRunner::new(config).run(&cases, |(batches, ranges)| {
            store.clear().expect("clear");
            let mut model = Model::new();
            for (offset, operations) in (0..).zip(&batches) {
                write(&*store, |batch| {
                    for (key, value) in operations {
                        let key = self.row_key(key);
                        match value {
                            Some(value) => {
                                batch.put(&key, value);
                                model.insert(key, value.clone());
                            }
                            None => {
                                batch.delete(&key);
                                model.remove(&key);
                            }
                        }
                    }
                    batch.set_changelog_offset(offset);
                });
                assert_same(&*store, &model);
                assert_eq!(store.changelog_offset().expect("offset"), Some(offset));
            }
            for (from, to) in &ranges {
                let (from, to) = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
                let mut expected = between(&model, from, to);
                for direction in DIRECTIONS {
                    let found = collect(store.range(from, to, direction).expect("range"));
                    prop_assert_eq!(&found, &expected);
                    expected.reverse();
                }
            }
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{:?} store differs from a map: {failure}", self.layout);
        }
    }

    fn a_plain_store_never_expires(&self) {
        let (store, model) = self.filled("no-expiry");
        assert_eq!(store.expire_before(i64::MAX).expect("expire"), 0);
        assert_same(&*store, &model);
    }

    fn a_malformed_key_refuses_the_whole_batch(&self) {
        let (store, mut model) = self.filled("malformed");
        let mut batch = WriteBatch::new();
        batch.put(&self.row_key(b"good"), b"1");
        batch.put(b"too short", b"1");
        batch.set_changelog_offset(5);
        let error = store.write(&batch).expect_err("a key without a time is refused");
        assert!(
            matches!(error, Error::MalformedKey { key_length: 9, .. }),
            "{error}"
        );
        assert_same(&*store, &model);
        assert_eq!(store.changelog_offset().expect("offset"), None);

        assert_eq!(store.get(b"too short").expect("get"), None);
        write(&*store, |batch| batch.put(&self.row_key(b"good"), b"1"));
        model.insert(self.row_key(b"good"), b"1".to_vec());
        assert_same(&*store, &model);
    }

    fn expired_segments_are_gone_and_stay_gone(&self) {
        let mut store = self.open("expiry");
        let key = |segment: i64| self.row_key_at(b"k", segment * SEGMENT_INTERVAL_MS + 1);
        let mut model: Model = (0..4).map(|segment| (key(segment), vec![])).collect();
        write(&*store, |batch| model.keys().for_each(|key| batch.put(key, b"")));

        let expire = |store: &dyn KeyValueStore, time_ms| store.expire_before(time_ms).expect("expire");
        assert_eq!(
            expire(&*store, SEGMENT_INTERVAL_MS - 1),
            0,
            "the first segment has not ended"
        );
        assert_same(&*store, &model);
        let before = store.all(Direction::Forward).expect("all");
        assert_eq!(expire(&*store, 2 * SEGMENT_INTERVAL_MS), 2);
        assert_eq!(
            collect(before),
            rows_of(&model),
            "an older iterator still sees expired rows"
        );
        model.retain(|row, _| *row >= key(2));
        assert_same(&*store, &model);
        assert_eq!(expire(&*store, 0), 0, "time does not go backwards");

        for reopen in [false, true] {
            if reopen && store.persistent() {
                drop(store);
                store = self.open("expiry");
            }
            write(&*store, |batch| {
                batch.put(&key(1), b"late");
                batch.delete(&key(0));
                batch.put(&key(2), b"in time");
                batch.set_changelog_offset(3);
            });
            model.insert(key(2), b"in time".to_vec());
            assert_same(&*store, &model);
            assert_eq!(store.changelog_offset().expect("offset"), Some(3));
        }
        store.clear().expect("clear");
        write(&*store, |batch| batch.put(&key(1), b"restored"));
        assert_same(&*store, &Model::from([(key(1), b"restored".to_vec())]));
    }

    fn newer_rows_expire_older_segments(&self) {
        let store = self.open("retention");
        let key = |segment: i64| self.row_key_at(b"k", segment * SEGMENT_INTERVAL_MS);
        write(&*store, |batch| {
            (0..=RETAINED_SEGMENTS).for_each(|segment| batch.put(&key(segment), b""));
        });
        assert_eq!(
            all(&*store).len() as i64,
            RETAINED_SEGMENTS + 1,
            "all of these are within retention"
        );
        // A timestamp far ahead, as a broken clock gives: the segments between do not come into being.
        let newest = 1_000_000_000;
        write(&*store, |batch| {
            batch.put(&key(newest), b"");
            batch.put(&key(newest - RETAINED_SEGMENTS), b"");
            batch.put(&key(newest - RETAINED_SEGMENTS - 1), b"");
        });
        let expected = [key(newest - RETAINED_SEGMENTS), key(newest)].map(|key| (key, vec![]));
        assert_eq!(all(&*store), expected);
    }

    fn reads_of_a_time_skip_other_segments(&self) {
        let store = self.open("times");
        let key = |segment: i64| self.row_key_at(b"k", segment * SEGMENT_INTERVAL_MS);
        write(&*store, |batch| {
            (0..5).for_each(|segment| batch.put(&key(segment), b""));
        });
        for (from, to, expected) in [(1, 3, 1..4), (0, 0, 0..1), (4, 9, 4..5), (3, 1, 0..0)] {
            let times_ms = from * SEGMENT_INTERVAL_MS..=to * SEGMENT_INTERVAL_MS;
            let rows = store.range_during(Bound::Unbounded, Bound::Unbounded, times_ms, Direction::Forward);
            let keys: Vec<_> = collect(rows.expect("range"))
                .into_iter()
                .map(|(key, _)| key)
                .collect();
            assert_eq!(keys, expected.map(key).collect::<Vec<_>>());
        }
    }
}

fn write(store: &dyn KeyValueStore, fill: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    store.write(&batch).expect("a batch is written");
}

/// Compares all rows, both ways, and each row by its key.
fn assert_same(store: &dyn KeyValueStore, model: &Model) {
    let mut expected = rows_of(model);
    for direction in DIRECTIONS {
        assert_eq!(
            collect(store.all(direction).expect("all")),
            expected,
            "{direction:?}"
        );
        expected.reverse();
    }
    for (key, value) in model {
        assert_eq!(
            store.get(key).expect("get").as_deref(),
            Some(value.as_slice()),
            "get {key:?}"
        );
    }
}

fn all(store: &dyn KeyValueStore) -> Rows {
    collect(store.all(Direction::Forward).expect("all"))
}

fn collect(rows: KeyValueIter) -> Rows {
    rows.map(owned).collect()
}

fn owned(row: crate::Result<(Bytes, Bytes)>) -> (Vec<u8>, Vec<u8>) {
    let (key, value) = row.expect("a row is read");
    (key.to_vec(), value.to_vec())
}

fn rows_of(model: &Model) -> Rows {
    model
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// `BTreeMap::range` panics where a store returns nothing, so this filters.
fn between(model: &Model, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Rows {
    let after = |key: &[u8]| match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    let before = |key: &[u8]| match to {
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
        Bound::Unbounded => true,
    };
    rows_of(model)
        .into_iter()
        .filter(|(key, _)| after(key) && before(key))
        .collect()
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
