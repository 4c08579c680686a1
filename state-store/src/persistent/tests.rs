//! What only a persistent store can do wrong: opening what it must not, and dying in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::store::RocksDbStore;
use super::{Database, RocksDbEngine, RocksDbOptions};
use crate::key_schema::WindowKey;
use crate::segments::PartId;
use crate::{
    Direction, Error, KeySchema, KeyValueStore, Layout, Result, StoreEngine, StoreIdentity, StoreSpec,
    WriteBatch, metadata,
};

/// Set in a child process: where it writes until it dies.
const CHILD_DIRECTORY: &str = "STATE_STORE_TEST_CHILD_DIRECTORY";
/// A child is killed long before it has written as many; a bound in case its parent dies first.
const MAX_CHILD_BATCHES: i64 = 50_000;
const ROWS_PER_BATCH: i64 = 50;

#[test]
fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    crate::conformance::check_engine(&RocksDbEngine::default(), Some(directory.path()));
}

#[test]
fn conforms_when_every_few_rows_go_to_a_file() {
    let options = RocksDbOptions {
        write_buffer_bytes: 1,
        max_open_files: 16,
        ..RocksDbOptions::default()
    };
    let directory = tempfile::tempdir().unwrap();
    crate::conformance::check_engine(&RocksDbEngine::new(options), Some(directory.path()));
}

fn plain() -> StoreSpec {
    StoreSpec::new(StoreIdentity::new("app", "0_1", "counts"), Layout::Plain)
}

fn segmented() -> StoreSpec {
    StoreSpec {
        layout: Layout::segmented(600_000, KeySchema::Window),
        ..plain()
    }
}

fn open(spec: &StoreSpec, path: &Path) -> Result<RocksDbStore> {
    RocksDbEngine::default().open_as(spec, path, metadata::FORMAT_VERSION)
}

/// The batch that takes the changelog from `offset` to `offset + 1`: new rows over several segments, and one counter.
fn batch(offset: i64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for row in 0..ROWS_PER_BATCH {
        let key = (offset * ROWS_PER_BATCH + row).to_be_bytes();
        batch.put(
            &WindowKey {
                key: &key,
                start_ms: row * 10_000,
                sequence: 0,
            }
            .encode(),
            &offset.to_be_bytes(),
        );
    }
    batch.put(
        &WindowKey {
            key: b"counter",
            start_ms: 0,
            sequence: 0,
        }
        .encode(),
        &offset.to_be_bytes(),
    );
    batch.set_changelog_offset(offset + 1);
    batch
}

/// Exactly the batches before the offset are in the store, and all of them.
fn assert_whole_batches(store: &RocksDbStore, at_least: i64) -> i64 {
    let offset = store.changelog_offset().unwrap().unwrap_or(0);
    assert!(offset >= at_least, "{offset} of {at_least} batches");
    let mut expected = BTreeMap::new();
    for offset in 0..offset {
        for (key, value) in batch(offset).iter() {
            expected.insert(key.to_vec(), value.unwrap().to_vec());
        }
    }
    let found: BTreeMap<Vec<u8>, Vec<u8>> = store
        .all(Direction::Forward)
        .unwrap()
        .map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap())
        .collect();
    assert!(
        found == expected,
        "{} rows, expected {}",
        found.len(),
        expected.len()
    );
    offset
}

/// A closed store with rows in a file and rows in the log.
fn filled(spec: &StoreSpec, path: &Path) {
    let store = open(spec, path).unwrap();
    store.write(&batch(0)).unwrap();
    write_to_files(&store);
    store.write(&batch(1)).unwrap();
    store.flush().unwrap();
}

/// Moves all rows from memory to files, as RocksDB does by itself when there are enough of them.
fn write_to_files(store: &RocksDbStore) {
    let parts: Vec<PartId> = store.parts().names.keys().copied().collect();
    let mut families: Vec<_> = parts
        .into_iter()
        .filter_map(|part| store.family_of(part))
        .collect();
    families.push(store.metadata_family().unwrap());
    let families: Vec<_> = families.iter().collect();
    store
        .database
        .flush_cfs_opt(&families, &rocksdb::FlushOptions::default())
        .unwrap();
}

/// Every file with its bytes, but for RocksDB's own log and its empty lock file.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let named = |entry: fs::DirEntry| {
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    };
    let entries = fs::read_dir(path).unwrap().map(|entry| named(entry.unwrap()));
    entries
        .filter(|(name, _)| !name.starts_with("LOG") && name != "LOCK")
        .collect()
}

fn file_named(path: &Path, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let name = files(path)
        .into_keys()
        .rfind(|name| wanted(name))
        .expect("there is such a file");
    path.join(name)
}

/// Opening fails, says where and what to do, and leaves every file as it was.
fn refused(spec: &StoreSpec, path: &Path, what_to_do: &str) -> Error {
    let before = files(path);
    let error = open(spec, path).expect_err("the store must not open");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "no path: {text}");
    assert!(text.contains(what_to_do), "no advice: {text}");
    assert!(files(path) == before, "files were changed");
    error
}

#[test]
fn a_store_that_is_open_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&plain(), directory.path()).unwrap();
    let error = refused(&plain(), directory.path(), "state directory");
    assert!(matches!(error, Error::Locked { .. }), "{error}");

    let rows = store.all(Direction::Forward).unwrap();
    drop(store);
    drop(rows);
    open(&plain(), directory.path()).unwrap();
}

#[test]
fn the_store_of_somebody_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(&plain(), directory.path());
    for identity in [
        ("other", "0_1", "counts"),
        ("app", "0_2", "counts"),
        ("app", "0_1", "other"),
    ] {
        let (application, task, store) = identity;
        let spec = StoreSpec::new(StoreIdentity::new(application, task, store), Layout::Plain);
        let error = refused(&spec, directory.path(), "delete this directory");
        assert!(matches!(error, Error::IdentityMismatch { .. }), "{error}");
        assert!(error.to_string().contains(&spec.identity.to_string()), "{error}");
        assert!(
            error.to_string().contains(&plain().identity.to_string()),
            "{error}"
        );
    }
    assert_whole_batches(&open(&plain(), directory.path()).unwrap(), 2);
}

#[test]
fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(
        RocksDbEngine::default()
            .open_as(&plain(), directory.path(), metadata::FORMAT_VERSION + 1)
            .unwrap(),
    );
    let error = refused(&plain(), directory.path(), "upgrade the application");
    assert!(
        matches!(
            error,
            Error::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn another_layout_is_refused_and_another_retention_is_not() {
    let layouts = [
        Layout::Plain,
        Layout::segmented(600_000, KeySchema::Window),
        Layout::segmented(600_000, KeySchema::Session),
        Layout::segmented(700_000, KeySchema::Window),
    ];
    for (made, asked) in layouts
        .iter()
        .flat_map(|made| layouts.iter().map(move |asked| (*made, *asked)))
    {
        if made == asked {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        drop(
            open(
                &StoreSpec {
                    layout: made,
                    ..plain()
                },
                directory.path(),
            )
            .unwrap(),
        );
        let error = refused(
            &StoreSpec {
                layout: asked,
                ..plain()
            },
            directory.path(),
            "undo the change",
        );
        assert!(matches!(error, Error::LayoutMismatch { .. }), "{error}");
    }

    let directory = tempfile::tempdir().unwrap();
    drop(
        open(
            &StoreSpec {
                layout: Layout::segmented(1_000, KeySchema::Window),
                ..plain()
            },
            directory.path(),
        )
        .unwrap(),
    );
    open(
        &StoreSpec {
            layout: Layout::segmented(2_000, KeySchema::Window),
            ..plain()
        },
        directory.path(),
    )
    .unwrap();
}

#[test]
fn damaged_and_missing_files_are_refused() {
    let current = |name: &str| name == "CURRENT";
    let manifest = |name: &str| name.starts_with("MANIFEST");
    let table = |name: &str| name.ends_with(".sst");
    let cut = |path: &Path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    let overwrite = |path: &Path| fs::write(path, [0xA5; 400]).unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();

    type Wanted<'a> = &'a dyn Fn(&str) -> bool;
    type Damage<'a> = &'a dyn Fn(&Path);
    let files: [Wanted<'_>; 3] = [&current, &manifest, &table];
    let damages: [Damage<'_>; 3] = [&cut, &overwrite, &remove];
    for spec in [plain(), segmented()] {
        for (file, wanted) in files.into_iter().enumerate() {
            for (kind, damage) in damages.into_iter().enumerate() {
                let directory = tempfile::tempdir().unwrap();
                filled(&spec, directory.path());
                damage(&file_named(directory.path(), wanted));
                let error = refused(&spec, directory.path(), "delete the directory");
                assert!(
                    matches!(error, Error::Corrupt { .. }),
                    "file {file}, damage {kind}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_a_row_is_an_error_and_not_a_wrong_value() {
    let directory = tempfile::tempdir().unwrap();
    filled(&plain(), directory.path());
    let table = file_named(directory.path(), |name| name.ends_with(".sst"));
    let mut bytes = fs::read(&table).unwrap();
    bytes[100] ^= 1;
    fs::write(&table, bytes).unwrap();

    let store = open(&plain(), directory.path()).unwrap();
    let rows: Result<Vec<_>> = store.all(Direction::Forward).unwrap().collect();
    assert!(matches!(rows, Err(Error::Corrupt { .. })), "{rows:?}");
    let (key, _) = batch(0)
        .iter()
        .next()
        .map(|(key, value)| (key.to_vec(), value.is_some()))
        .unwrap();
    let row = store.get(&key);
    assert!(matches!(row, Err(Error::Corrupt { .. })), "{row:?}");
}

#[test]
fn a_torn_log_leaves_whole_batches() {
    for cut_bytes in [1, 100, 3_000] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&segmented(), directory.path()).unwrap();
        (0..10).for_each(|offset| store.write(&batch(offset)).unwrap());
        drop(store);

        let log = file_named(directory.path(), |name| name.ends_with(".log"));
        let file = fs::OpenOptions::new().write(true).open(log).unwrap();
        file.set_len(file.metadata().unwrap().len() - cut_bytes).unwrap();
        let store = open(&segmented(), directory.path()).unwrap();
        let offset = assert_whole_batches(&store, 1);
        assert!(offset < 10, "nothing was cut off");
    }
}

#[test]
fn what_is_not_a_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = Database::open_default(directory.path()).unwrap();
    foreign.put(b"theirs", b"1").unwrap();
    drop(foreign);
    let error = refused(&plain(), directory.path(), "choose another state directory");
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");

    let file = directory.path().join("CURRENT");
    let error = open(&plain(), &file).expect_err("a file is no directory");
    assert!(matches!(error, Error::Directory { .. }), "{error}");
    let error = RocksDbEngine::default()
        .open(&plain(), None)
        .expect_err("a directory is needed");
    assert!(matches!(error, Error::DirectoryRequired { .. }), "{error}");
}

#[test]
fn an_interrupted_creation_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("LOCK"), b"").unwrap();
    fs::write(directory.path().join("IDENTITY"), b"0").unwrap();
    filled(&plain(), directory.path());

    for spec in [plain(), segmented()] {
        let directory = tempfile::tempdir().unwrap();
        drop(Database::open_default(directory.path()).unwrap());
        filled(&spec, directory.path());
        assert_whole_batches(&open(&spec, directory.path()).unwrap(), 2);
    }
}

/// A test that fails leaves no process behind.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the parent: starts this very test in a process of its own. In the child: writes until it ends.
fn child(test: &str, write: impl FnOnce(RocksDbStore)) -> Option<(tempfile::TempDir, KilledOnDrop)> {
    if let Some(path) = std::env::var_os(CHILD_DIRECTORY) {
        write(open(&segmented(), Path::new(&path)).unwrap());
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("persistent::tests::{test}")])
        .env(CHILD_DIRECTORY, directory.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    Some((directory, KilledOnDrop(child)))
}

#[test]
fn a_process_that_aborts_loses_nothing() {
    let child = child("a_process_that_aborts_loses_nothing", |store| {
        (0..20).for_each(|offset| store.write(&batch(offset)).unwrap());
        std::process::abort();
    });
    let Some((directory, mut child)) = child else {
        return;
    };
    assert!(!child.0.wait().unwrap().success());
    assert_whole_batches(&open(&segmented(), directory.path()).unwrap(), 20);
}

#[test]
fn a_process_that_is_killed_while_writing_leaves_whole_batches() {
    let child = child(
        "a_process_that_is_killed_while_writing_leaves_whole_batches",
        |store| {
            for offset in 0..MAX_CHILD_BATCHES {
                store.write(&batch(offset)).unwrap();
            }
        },
    );
    let Some((directory, mut child)) = child else {
        return;
    };
    let written = || {
        fs::read_dir(directory.path()).unwrap().any(|entry| {
            let entry = entry.unwrap();
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "log")
                && entry.metadata().is_ok_and(|file| file.len() > 100_000)
        })
    };
    while !written() {
        assert!(child.0.try_wait().unwrap().is_none(), "the child ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = open(&segmented(), directory.path()).expect_err("the child has the store open");
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_whole_batches(&open(&segmented(), directory.path()).unwrap(), 1);
}

/// A manifest that lost its end is an earlier state of the store, to which a later log does not belong.
#[test]
fn a_cut_manifest_is_refused_or_leaves_whole_batches() {
    const BETWEEN_CUTS_BYTES: usize = 23;
    for later_batches in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        filled(&segmented(), directory.path());
        let store = open(&segmented(), directory.path()).unwrap();
        for offset in 2..2 + later_batches {
            write_to_files(&store);
            store.write(&batch(offset)).unwrap();
        }
        if later_batches == 2 {
            write_to_files(&store);
            // RocksDB deletes its log at some time after all of it is in files: with it goes the note on the manifest, without
            // which a cut between the parts of a recovery is not noticed. Any write notes it again.
            store.write(&WriteBatch::new()).unwrap();
        }
        store.flush().unwrap();
        drop(store);

        let manifest = file_named(directory.path(), |name| name.starts_with("MANIFEST"));
        let length = fs::read(&manifest).unwrap().len();
        let (mut refused, mut opened) = (0, 0);
        for cut in (0..length).step_by(BETWEEN_CUTS_BYTES) {
            let copy = tempfile::tempdir().unwrap();
            for (name, bytes) in files(directory.path()) {
                let cut = if manifest.ends_with(&name) {
                    cut
                } else {
                    bytes.len()
                };
                fs::write(copy.path().join(name), &bytes[..cut]).unwrap();
            }
            match open(&segmented(), copy.path()) {
                Ok(store) => {
                    opened += 1;
                    assert_whole_batches(&store, 1);
                }
                Err(error) => {
                    refused += 1;
                    assert!(
                        matches!(error, Error::Corrupt { .. }),
                        "cut to {cut} of {length}: {error}"
                    );
                }
            }
        }
        assert!(refused > 20, "{refused} refused, {opened} opened");
    }
}
