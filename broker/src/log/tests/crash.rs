//! Crashes at every byte, damage in the middle, and files that somebody deleted: what was appended
//! completely is there, indexes and producers are those of a log that never crashed, and damage to stored
//! records is an error that changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{NOW_MS, append, batch, open, read_all, stamp, transactional};
use crate::log::{AppendOptions, Isolation, LogConfig, LogError, PartitionLog};

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 400,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn one_segment() -> LogConfig {
    LogConfig {
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

/// Step `step` of a script that has idempotent, transactional, committed and aborted records.
fn step(log: &mut PartitionLog, step: i32) {
    let verified = AppendOptions::CLIENT.verified();
    match step % 5 {
        0 => append(log, batch("i", 2, stamp(1, 0, step / 5 * 2))),
        1 => log.append(batch("t", 1, transactional(2, 0, step / 5)), verified, NOW_MS),
        2 => log.append(batch("u", 3, transactional(3, 0, step / 5 * 3)), verified, NOW_MS),
        3 => log.append_marker(2, 0, false, 0, NOW_MS),
        _ => log.append_marker(3, 0, true, 0, NOW_MS),
    }
    .unwrap();
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}

fn last_segment(dir: &Path) -> std::path::PathBuf {
    let mut logs: Vec<_> = content(dir)
        .into_keys()
        .filter(|name| name.ends_with(".log"))
        .collect();
    logs.sort();
    dir.join(logs.pop().unwrap())
}

fn assert_same(log: &PartitionLog, model: &PartitionLog, context: &str) {
    assert_eq!(log.log_end_offset, model.log_end_offset, "{context}");
    assert_eq!(log.last_stable_offset(), model.last_stable_offset(), "{context}");
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        assert_eq!(
            read_all(log, 0, isolation),
            read_all(model, 0, isolation),
            "{context}"
        );
    }
    assert_eq!(log.segments.len(), model.segments.len(), "{context}");
    for (one, other) in log.segments.iter().zip(&model.segments) {
        assert_eq!(one.size(), other.size(), "{context}");
        assert_eq!(one.aborted, other.aborted, "{context}");
        assert_eq!(
            one.index.encode_offsets(),
            other.index.encode_offsets(),
            "{context}"
        );
        assert_eq!(
            one.index.max_timestamp(),
            other.index.max_timestamp(),
            "{context}"
        );
    }
}

#[test]
fn a_log_cut_at_any_byte_is_the_log_of_the_whole_appends() {
    for config in [one_segment(), small_segments()] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), config.clone(), false);
        for index in 0..12 {
            step(&mut log, index);
        }
        let path = last_segment(dir.path());
        let whole_file = fs::read(&path).unwrap();
        let length = whole_file.len() as u64;
        for cut in 0..=length {
            let crashed = tempfile::tempdir().unwrap();
            copy(dir.path(), crashed.path());
            let file = fs::OpenOptions::new()
                .write(true)
                .open(crashed.path().join(path.file_name().unwrap()));
            file.unwrap().set_len(cut).unwrap();
            let (log, report) = open(crashed.path(), config.clone(), false);

            let never_crashed = tempfile::tempdir().unwrap();
            let (mut model, _) = open(never_crashed.path(), config.clone(), false);
            for index in 0..12 {
                if model.log_end_offset() == log.log_end_offset() {
                    break;
                }
                step(&mut model, index);
            }
            let context = format!("cut at {cut} of {length}, {report:?}");
            if log.segments.last().unwrap().size() == 0 && log.segments.len() > 1 {
                // The model begins the last segment with its first record.
                assert_eq!(log.log_end_offset(), model.log_end_offset(), "{context}");
                continue;
            }
            assert_same(&log, &model, &context);
            let whole = log.segments.last().unwrap().size();
            // Zeros at the end may have been written ahead.
            let is_torn = whole_file[whole as usize..cut as usize]
                .iter()
                .any(|byte| *byte != 0);
            assert_eq!(
                report.truncated.as_ref().map_or(0, |cut| cut.bytes),
                if is_torn { cut - whole } else { 0 },
                "{context}"
            );
            if config.segment_bytes != 400 {
                assert_eq!(log.producers, model.producers, "{context}");
            }
            assert_eq!(
                fs::metadata(log.segments.last().unwrap().path().as_path())
                    .unwrap()
                    .len(),
                whole
            );
        }
    }
}

#[test]
fn appending_goes_on_after_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), one_segment(), false);
    append(&mut log, batch("a", 2, stamp(1, 0, 0))).unwrap();
    append(&mut log, batch("b", 2, stamp(1, 0, 2))).unwrap();
    let path = last_segment(dir.path());
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 1)
        .unwrap();
    let (mut log, report) = open(dir.path(), one_segment(), false);
    assert!(report.truncated.is_some());
    assert!(append(&mut log, batch("a", 2, stamp(1, 0, 0))).unwrap().duplicate);
    assert_eq!(
        append(&mut log, batch("b", 2, stamp(1, 0, 2)))
            .unwrap()
            .base_offset,
        2
    );
    assert_eq!(read_all(&log, 0, Isolation::ReadUncommitted).len(), 4);
}

#[test]
fn damage_with_records_behind_it_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), small_segments(), false);
    for index in 0..12 {
        step(&mut log, index);
    }
    assert!(log.segments.len() > 2);
    drop(log);
    let original = content(dir.path());
    let logs: Vec<_> = original
        .keys()
        .filter(|name| name.ends_with(".log"))
        .cloned()
        .collect();
    for name in &logs {
        let bytes = &original[name];
        let last_batch = *batch_starts(bytes).last().unwrap();
        for at in 0..bytes.len() {
            // Damage to the last batch of all is what a torn write looks like.
            if Some(name) == logs.last() && at >= last_batch {
                continue;
            }
            // Leader epoch, and the base offset and base timestamp bytes that keep their order, are not checked.
            let within = at
                - batch_starts(bytes)
                    .into_iter()
                    .rfind(|start| *start <= at)
                    .unwrap();
            if within < 8 || (12..16).contains(&within) {
                continue;
            }
            // A length beyond the end of the file is what a power cut leaves of records that were never synced.
            if at >= last_batch && (8..12).contains(&within) {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            fs::write(dir.path().join(name), &damaged).unwrap();
            let before = content(dir.path());
            let error =
                PartitionLog::open(dir.path(), "orders", 3, small_segments(), false, NOW_MS).unwrap_err();
            let LogError::Corrupt { path, .. } = &error else {
                panic!("{name} at {at}: {error}")
            };
            assert_eq!(path, &dir.path().join(name));
            assert!(error.to_string().contains("truncate -s"), "{error}");
            assert_eq!(content(dir.path()), before, "{name} at {at}");
        }
        fs::write(dir.path().join(name), bytes).unwrap();
    }
}

fn batch_starts(bytes: &[u8]) -> Vec<usize> {
    crate::log::Batches::new(bytes)
        .scan(0, |next, batch| {
            let start = *next;
            *next += batch.unwrap().bytes().len();
            Some(start)
        })
        .collect()
}

#[test]
fn records_that_were_synced_cannot_disappear_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), one_segment(), false);
    append(&mut log, batch("a", 2, stamp(1, 0, 0))).unwrap();
    append(&mut log, batch("b", 2, stamp(1, 0, 2))).unwrap();
    log.flush().unwrap();
    let path = last_segment(dir.path());
    let bytes = fs::read(&path).unwrap();
    for length in [bytes.len() - 1, bytes.len() / 2] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = PartitionLog::open(dir.path(), "orders", 3, one_segment(), false, NOW_MS).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    }
    // What the error advises works.
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_file(dir.path().join("log-checkpoint")).unwrap();
    assert_eq!(open(dir.path(), one_segment(), false).0.log_end_offset(), 2);
}

#[test]
fn a_clean_start_reads_no_records_and_knows_everything() {
    for config in [one_segment(), small_segments()] {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut log, _) = open(dir.path(), config.clone(), false);
        let (mut model, _) = open(other.path(), config.clone(), false);
        for index in 0..14 {
            step(&mut log, index);
            step(&mut model, index);
        }
        log.close().unwrap();
        assert_eq!(
            append(&mut log, batch("x", 1, stamp(9, 0, 0)))
                .unwrap_err()
                .error_code(),
            56
        );
        drop(log);
        let (mut log, report) = open(dir.path(), config, true);
        assert_eq!((report.checked_segments, report.replayed_batches), (0, 0));
        assert_same(&log, &model, "after a clean start");
        for index in 14..20 {
            step(&mut log, index);
            step(&mut model, index);
        }
        assert_same(&log, &model, "and after going on");
    }
}

#[test]
fn missing_or_damaged_side_files_are_rebuilt_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), small_segments(), false);
    for index in 0..24 {
        step(&mut log, index);
    }
    log.close().unwrap();
    let original = content(dir.path());
    let reference = tempfile::tempdir().unwrap();
    copy(dir.path(), reference.path());
    let (model, _) = open(reference.path(), small_segments(), true);
    for name in original
        .keys()
        .filter(|name| !name.ends_with(".log") && *name != "log-checkpoint")
    {
        for damage in [None, Some(b"nonsense".to_vec()), Some(original[name].repeat(2))] {
            if name.ends_with(".txnindex") && damage.is_none() {
                continue; // Kafka has no file where there is no aborted transaction: its absence says nothing.
            }
            let copied = tempfile::tempdir().unwrap();
            copy(dir.path(), copied.path());
            match damage {
                None => fs::remove_file(copied.path().join(name)).unwrap(),
                Some(bytes) => fs::write(copied.path().join(name), bytes).unwrap(),
            }
            let (log, _) = open(copied.path(), small_segments(), true);
            assert_same(&log, &model, name);
            assert_eq!(
                crate::log::producer_snapshot::encode(&log.producers),
                crate::log::producer_snapshot::encode(&model.producers),
                "{name}"
            );
        }
    }
}
