//! Zeros written ahead of small appends: they are there, nobody sees them, and a crash in the middle of them loses nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use super::{NOW_MS, append, batch, open, read_all, stamp};
use crate::log::{CleanupPolicy, Isolation, LogConfig, LogError, PartitionLog};

const APPENDS: i32 = 22;

fn config() -> LogConfig {
    LogConfig {
        spare_bytes: 512,
        ..LogConfig::default()
    }
}

fn append_some(log: &mut PartitionLog, count: i32) {
    let appended = log.log_end_offset() as i32;
    for sequence in appended..appended + count {
        append(log, batch("spare", 1, stamp(1, 0, sequence))).unwrap();
    }
}

fn segment_file(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn small_appends_go_into_zeros_which_are_cut_off_when_the_segment_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), config(), false);
    let first = segment_file(dir.path(), 0);
    let mut has_spare = 0;
    for _ in 0..APPENDS {
        append_some(&mut log, 1);
        let spare = length(&first) - log.size_bytes();
        assert!(spare <= 512);
        assert!(log.size_bytes() > 512 || spare == 0, "a new segment gets none");
        has_spare += i32::from(spare > 0);
    }
    assert!(has_spare > APPENDS / 3);
    let sealed_bytes = log.size_bytes();
    log.roll(NOW_MS).unwrap();
    assert_eq!(length(&first), sealed_bytes);

    append_some(&mut log, APPENDS);
    let second = segment_file(dir.path(), i64::from(APPENDS));
    let active_bytes = log.size_bytes() - sealed_bytes;
    assert!(length(&second) > active_bytes);
    log.close().unwrap();
    assert_eq!(length(&second), active_bytes);
    assert_eq!(open(dir.path(), config(), true).1.truncated, None);
}

#[test]
fn large_appends_and_group_commit_write_nothing_ahead() {
    let group_commit = LogConfig {
        group_commit: true,
        ..config()
    };
    for (config, records) in [(config(), 60), (group_commit, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), config, false);
        for index in 0..APPENDS {
            append(
                &mut log,
                batch("large", records, stamp(1, 0, index * records as i32)),
            )
            .unwrap();
            assert_eq!(length(&segment_file(dir.path(), 0)), log.size_bytes());
        }
        assert!(log.size_bytes() > 1024);
    }
}

/// A log that was killed, with zeros from byte `end` of its file on.
fn killed(whole: &[u8], end: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = whole.to_vec();
    bytes[end..].fill(0);
    fs::write(segment_file(dir.path(), 0), bytes).unwrap();
    dir
}

#[test]
fn a_log_killed_at_any_byte_of_the_zeros_is_the_log_of_the_whole_appends() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), config(), false);
    append_some(&mut log, APPENDS);
    let size = log.size_bytes() as usize;
    let whole = fs::read(segment_file(dir.path(), 0)).unwrap();
    assert!(whole.len() > size);
    let each = size / APPENDS as usize;
    assert_eq!(each * APPENDS as usize, size, "all batches are of one size");
    for end in 1024..=size {
        let dir = killed(&whole, end);
        let (mut log, report) = open(dir.path(), config(), false);
        // The last byte of a record says that it has no headers: a zero.
        let appends = (end + 1) / each;
        assert_eq!(log.log_end_offset(), appends as i64, "at {end}: {report:?}");
        assert_eq!(log.size_bytes(), (appends * each) as u64);
        assert_eq!(length(&segment_file(dir.path(), 0)), log.size_bytes());
        // A batch begins with its offset, 8 bytes of which all but the last are zeros here.
        let is_torn = end > appends * each + 7;
        assert_eq!(report.truncated.is_some(), is_torn, "at {end}: {report:?}");
        append_some(&mut log, 3);
        assert_eq!(read_all(&log, 0, Isolation::ReadUncommitted).len(), appends + 3);
    }
}

#[test]
fn zeros_before_the_end_are_a_lost_write_and_with_group_commit_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), config(), false);
    append_some(&mut log, APPENDS);
    let each = log.size_bytes() as usize / APPENDS as usize;
    let mut bytes = fs::read(segment_file(dir.path(), 0)).unwrap();
    bytes[20 * each..21 * each].fill(0);
    fs::write(segment_file(dir.path(), 0), &bytes).unwrap();

    let group_commit = LogConfig {
        group_commit: true,
        ..config()
    };
    let error = PartitionLog::open(dir.path(), "orders", 3, group_commit, false, NOW_MS).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read(segment_file(dir.path(), 0)).unwrap(), bytes);

    let (log, report) = open(dir.path(), config(), false);
    assert_eq!(log.log_end_offset(), 20);
    assert_eq!(report.truncated.unwrap().bytes as usize, bytes.len() - 20 * each);
}

#[test]
fn more_zeros_than_are_written_ahead_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), config(), false);
    append_some(&mut log, 2);
    let size = log.size_bytes();
    drop(log);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(segment_file(dir.path(), 0))
        .unwrap();
    file.set_len(size + 300 * 1024).unwrap();
    let (log, report) = open(dir.path(), config(), false);
    assert_eq!((log.log_end_offset(), log.size_bytes()), (2, size));
    assert_eq!(report.truncated.unwrap().bytes, 300 * 1024);
}

#[test]
fn zeros_where_synced_records_were_are_damage_also_where_compaction_leaves_gaps() {
    let compacted = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..config()
    };
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), compacted.clone(), false);
    append_some(&mut log, APPENDS);
    let each = log.size_bytes() as usize / APPENDS as usize;
    log.roll(NOW_MS).unwrap();
    append_some(&mut log, 1);
    log.flush().unwrap();
    drop(log);
    let sealed = segment_file(dir.path(), 0);
    let mut bytes = fs::read(&sealed).unwrap();
    let last = bytes.len() - each;
    bytes[last..].fill(0);
    fs::write(&sealed, &bytes).unwrap();
    fs::remove_file(sealed.with_extension("index")).unwrap();
    let error = PartitionLog::open(dir.path(), "orders", 3, compacted, false, NOW_MS).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read(&sealed).unwrap(), bytes);
}
