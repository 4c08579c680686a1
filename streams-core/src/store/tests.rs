//! Reads of typed stores against plain lists of what was put: with rows in the byte store, rows in front of it, and rows that
//! are there twice or deleted in front.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use state_store::key_schema::{SessionKey, WindowKey};
use state_store::{KeySchema, Layout, MemoryEngine, StoreEngine, StoreIdentity, WriteBatch};

use super::task::TaskStore;
use super::{
    Direction, KeyValueStoreBuilder, OpenStore, OpenedStore, SessionStoreBuilder, StoreBuilder, Validity,
    VersionedKeyValueStoreBuilder, WindowStore, WindowStoreBuilder,
};
use crate::processor::{BoxError, Processor, ProcessorContext};
use crate::record::Record;
use crate::testing::{MockProcessorContext, TopologyTestDriver};
use crate::topology::{SourceOptions, TopicName, TopologyBuilder};

struct Nothing;

impl Processor<String, i64, String, i64> for Nothing {
    fn process(
        &mut self,
        _: Record<String, i64>,
        _: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

const RETENTION_MS: i64 = 300_000;

/// A driver with one store of each kind, named after it.
fn driver() -> TopologyTestDriver {
    let mut builder = TopologyBuilder::new();
    let input = builder.add_source("in", [TopicName::external("in")], SourceOptions::default());
    builder.add_store(KeyValueStoreBuilder::<String, i64>::new("rows"));
    builder.add_store(WindowStoreBuilder::<String, i64>::new("windows", RETENTION_MS));
    builder.add_store(SessionStoreBuilder::<String, i64>::new("sessions", RETENTION_MS));
    let stores = ["rows", "windows", "sessions"];
    builder.add_processor::<_, _, String, i64, _>("nothing", &[input], &stores, |_| Ok(Nothing));
    TopologyTestDriver::new(&builder.build().unwrap()).unwrap()
}

/// Writes what was put to the byte stores.
fn commit(driver: &TopologyTestDriver) {
    driver.advance_wall_clock(Duration::ZERO).unwrap();
}

const KEYS: [&str; 6] = ["", "a", "a\0\0\0\0\0\0\0\u{5}", "ab", "b", "é"];

/// All ranges between two of these.
fn ranges<T: Clone>(of: &[T]) -> Vec<(Bound<T>, Bound<T>)> {
    let of = of.iter().cloned();
    let bounds: Vec<Bound<T>> = of
        .flat_map(|at| [Bound::Included(at.clone()), Bound::Excluded(at)])
        .chain([Bound::Unbounded])
        .collect();
    let pairs = bounds
        .iter()
        .flat_map(|from| bounds.iter().map(move |to| (from.clone(), to.clone())));
    pairs.collect()
}

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

fn in_direction<T>(mut rows: Vec<T>, direction: Direction) -> Vec<T> {
    if direction == Direction::Backward {
        rows.reverse();
    }
    rows
}

#[test]
fn ranges_of_keys_are_those_of_their_bytes() {
    let driver = driver();
    let store = driver.key_value_store::<String, i64>("rows").unwrap();
    let mut expected = BTreeMap::new();
    let mut put = |key: &str, value: Option<i64>| {
        store.put(&key.to_owned(), value, 0).unwrap();
        match value {
            Some(value) => expected.insert(key.to_owned(), value),
            None => expected.remove(key),
        };
        assert_eq!(store.approximate_num_entries().unwrap(), expected.len() as u64);
    };
    for (key, value) in KEYS.iter().zip(0..) {
        put(key, Some(value));
    }
    commit(&driver);
    for (key, value) in [
        ("ab", None),
        ("b", Some(70)),
        ("c", Some(80)),
        ("d", Some(90)),
        ("d", None),
    ] {
        put(key, value);
    }
    let keys = KEYS.map(str::to_owned);
    for direction in DIRECTIONS {
        for range in ranges(&keys) {
            let rows = expected.iter().filter(|(key, _)| range.contains(*key));
            let rows = rows.map(|(key, value)| (key.clone(), *value)).collect();
            let found = store.range(range.clone(), direction).unwrap();
            let found: Vec<_> = found
                .map(|row| row.map(|(key, row)| (key, row.value)).unwrap())
                .collect();
            assert_eq!(found, in_direction(rows, direction), "{range:?} {direction:?}");
        }
        for prefix in ["", "a", "ab", "x"] {
            let rows = expected.keys().filter(|key| key.starts_with(prefix)).cloned();
            let found = store.prefix_scan(prefix.as_bytes(), direction).unwrap();
            let found: Vec<_> = found.map(|row| row.unwrap().0).collect();
            assert_eq!(found, in_direction(rows.collect(), direction), "{prefix}");
        }
    }
    commit(&driver);
    assert_eq!(store.approximate_num_entries().unwrap(), expected.len() as u64);
}

const STARTS_MS: [i64; 4] = [0, 5, 60_000, 250_000];

#[test]
fn windows_are_found_by_keys_and_times() {
    let driver = driver();
    let store = driver.window_store::<String, i64>("windows").unwrap();
    let mut expected = BTreeMap::new();
    for (number, (key, start_ms)) in KEYS
        .iter()
        .flat_map(|key| STARTS_MS.map(|start_ms| (key, start_ms)))
        .enumerate()
    {
        let row_key = WindowKey {
            key: key.as_bytes(),
            start_ms,
            sequence: 0,
        };
        // One of three is deleted again.
        for value in [Some(7), None, Some(8)].into_iter().skip(number % 2) {
            store.put(&(*key).to_owned(), start_ms, value, start_ms).unwrap();
        }
        if number % 3 == 0 {
            commit(&driver);
            store.put(&(*key).to_owned(), start_ms, None, start_ms).unwrap();
        } else {
            expected.insert(row_key.encode(), ((*key).to_owned(), start_ms, 8));
        }
    }
    let keys = ranges(&KEYS.map(str::to_owned));
    let times = ranges(&STARTS_MS[1..3]);
    for direction in DIRECTIONS {
        for times_ms in &times {
            let found = |rows: super::WindowIter<String, i64>| -> Vec<_> {
                let rows = rows.map(Result::unwrap);
                rows.map(|(key, start_ms, row)| (key, start_ms, row.value))
                    .collect()
            };
            for range in &keys {
                let rows = expected
                    .values()
                    .filter(|(key, start_ms, _)| range.contains(key) && times_ms.contains(start_ms));
                let rows = in_direction(rows.cloned().collect(), direction);
                let all = store.fetch_all(range.clone(), *times_ms, direction).unwrap();
                assert_eq!(found(all), rows, "{range:?} {times_ms:?} {direction:?}");
            }
            for key in KEYS {
                let of_key = |row: &&(String, i64, i64)| row.0 == key && times_ms.contains(&row.1);
                let rows = in_direction(expected.values().filter(of_key).cloned().collect(), direction);
                let of_key = store.fetch_range(&key.to_owned(), *times_ms, direction).unwrap();
                assert_eq!(found(of_key), rows, "{key} {times_ms:?} {direction:?}");
            }
        }
    }
    // What is older than the retention is gone from all of these.
    store.put(&"z".to_owned(), RETENTION_MS + 5, Some(1), 0).unwrap();
    let oldest_ms = store.all().unwrap().map(|row| row.unwrap().1).min();
    assert_eq!(oldest_ms, Some(60_000));
}

#[test]
fn sessions_are_found_by_keys_ends_and_starts() {
    let driver = driver();
    let store = driver.session_store::<String, i64>("sessions").unwrap();
    let sessions = [(0, 0), (2, 5), (4, 60_000), (59_000, 60_000), (70_000, 250_000)];
    let mut expected = BTreeMap::new();
    for (number, (key, (start_ms, end_ms))) in KEYS
        .iter()
        .flat_map(|key| sessions.map(|times| (key, times)))
        .enumerate()
    {
        let row_key = SessionKey {
            key: key.as_bytes(),
            start_ms,
            end_ms,
        };
        let value = i64::try_from(number).unwrap();
        let owned = (*key).to_owned();
        store
            .put(&owned, (start_ms, end_ms), Some(value), end_ms)
            .unwrap();
        if number % 3 == 0 {
            commit(&driver);
            let removed = store.remove(&owned, (start_ms, end_ms), end_ms).unwrap();
            assert_eq!(removed.unwrap().value, value);
        } else {
            expected.insert(row_key.encode(), (owned, start_ms, end_ms, value));
        }
    }
    let found = |rows: super::SessionIter<String, i64>| -> Vec<_> {
        let rows = rows.map(Result::unwrap);
        rows.map(|row| (row.key, row.start_ms, row.end_ms, row.value))
            .collect()
    };
    let keys = ranges(&KEYS.map(str::to_owned));
    let times = ranges(&[4, 60_000]);
    for direction in DIRECTIONS {
        for (ends_ms, starts_ms) in times.iter().flat_map(|a| times.iter().map(move |b| (a, b))) {
            let at_times =
                |row: &&(String, i64, i64, i64)| starts_ms.contains(&row.1) && ends_ms.contains(&row.2);
            let rows: Vec<_> = expected.values().filter(at_times).cloned().collect();
            for range in keys.iter().step_by(7) {
                let rows = rows.iter().filter(|row| range.contains(&row.0)).cloned();
                let all = store.find_all_sessions(range.clone(), *ends_ms, *starts_ms, direction);
                let rows = in_direction(rows.collect(), direction);
                assert_eq!(found(all.unwrap()), rows, "{range:?} {ends_ms:?} {starts_ms:?}");
            }
            for key in KEYS {
                let rows = rows.iter().filter(|row| row.0 == key).cloned();
                let of_key = store.find_sessions(&key.to_owned(), *ends_ms, *starts_ms, direction);
                let rows = in_direction(rows.collect(), direction);
                assert_eq!(found(of_key.unwrap()), rows, "{key} {ends_ms:?} {starts_ms:?}");
            }
        }
        let of_ab = store.fetch(&"ab".to_owned(), direction).unwrap();
        let rows = expected.values().filter(|row| row.0 == "ab").cloned();
        assert_eq!(found(of_ab), in_direction(rows.collect(), direction));
    }
    assert_eq!(
        found(store.all().unwrap()),
        expected.into_values().collect::<Vec<_>>()
    );
}

#[test]
fn a_version_that_is_too_old_is_not_deleted() {
    let mut context = MockProcessorContext::<(), ()>::new();
    let builder = VersionedKeyValueStoreBuilder::<String, i64>::new("prices", 100);
    let store = context.add_store(builder).unwrap();
    let (tea, milk) = ("tea".to_owned(), "milk".to_owned());
    assert_eq!(store.delete(&tea, 10).unwrap(), None);
    store.put(&tea, Some(1), 20).unwrap();
    store.put(&milk, Some(2), 500).unwrap();
    assert_eq!(store.delete(&tea, 30).unwrap(), None);
    assert_eq!(store.get(&tea).unwrap().unwrap().value, 1);
    assert_eq!(store.delete(&tea, 450).unwrap().unwrap().timestamp_ms, 20);
    assert_eq!(store.get(&tea).unwrap(), None);
    assert_eq!(store.put(&tea, Some(3), 420).unwrap(), Validity::Until(450));
}

/// A store that retains duplicates, as a task has it that finds these rows.
fn life(bytes: &Arc<dyn state_store::KeyValueStore>) -> (Box<dyn TaskStore>, WindowStore<String, i64>) {
    let store = WindowStoreBuilder::<String, i64>::new("records", RETENTION_MS).retain_duplicates();
    let spec = store.into_spec();
    let open = OpenStore {
        bytes: Arc::clone(bytes),
        topic: Arc::from("records-changelog"),
        changelog: None,
        cache_bytes: 1 << 20,
        logs_every_put: false,
    };
    let OpenedStore { store, handle } = (spec.open)(&spec.name, open);
    (store, handle.typed().unwrap())
}

#[test]
fn duplicates_of_an_earlier_life_are_kept() {
    for has_changelog in [false, true] {
        let identity = StoreIdentity::new("app", "0_0", "records");
        let spec = state_store::StoreSpec::new(identity, Layout::segmented(RETENTION_MS, KeySchema::Window));
        let bytes = MemoryEngine.open(&spec, None).unwrap();
        let key = "a".to_owned();
        for lived in 0..3 {
            let (store, records) = life(&bytes);
            for value in [0, 1] {
                records.put(&key, 5, None, 5).unwrap();
                records.put(&key, 5, Some(2 * lived + value), 5).unwrap();
            }
            store.flush().unwrap();
            if has_changelog {
                let mut restored = WriteBatch::new();
                restored.set_changelog_offset(2 * lived + 2);
                bytes.write(&restored).unwrap();
            }
            let rows = records.fetch_range(&key, .., Direction::Forward).unwrap();
            let values: Vec<i64> = rows.map(|row| row.unwrap().2.value).collect();
            assert_eq!(values, (0..2 * lived + 2).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_null_key_has_no_row() {
    let mut context = MockProcessorContext::<(), ()>::new();
    let builder = KeyValueStoreBuilder::<Option<String>, i64>::new("rows");
    let store = context.add_store(builder).unwrap();
    store.put(&Some(String::new()), Some(1), 0).unwrap();
    let error = store.put(&None, Some(2), 0).unwrap_err().to_string();
    assert!(error.contains("no row for a null key"), "{error}");
    assert!(store.get(&None).is_err());
    assert_eq!(store.get(&Some(String::new())).unwrap().unwrap().value, 1);
}
