//! Compaction against a model, its rules one by one, and crashes between its steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Cleaned, CleanerConfig};
use crate::log::builder::{put, stamp_crc};
use crate::log::compression::compress;
use crate::log::{
    AppendOptions, BATCH_HEADER_BYTES, BatchBuilder, BatchHeader, BatchView, Batches, CleanupPolicy,
    Compression, Isolation, LogConfig, PartitionLog, ProducerStamp,
};

const NOW_MS: i64 = 1_700_000_000_000;
const RETENTION_MS: i64 = 1_000;

/// Offset, key, value, timestamp.
type Row = (i64, String, Option<String>, i64);

fn config() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        segment_bytes: 400,
        index_interval_bytes: 100,
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: RETENTION_MS,
        ..LogConfig::default()
    }
}

fn open(dir: &Path, clean: bool) -> PartitionLog {
    PartitionLog::open(dir, "orders", 0, config(), clean, NOW_MS)
        .unwrap()
        .0
}

fn batch(records: &[(&str, Option<&str>)], stamp: ProducerStamp, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (index, (key, value)) in records.iter().enumerate() {
        let value = value.map(str::as_bytes);
        builder
            .append(NOW_MS + index as i64, Some(key.as_bytes()), value, &[])
            .unwrap();
    }
    let plain = builder.finish(stamp).unwrap();
    if codec == Compression::None {
        return plain;
    }
    let mut packed = plain[..BATCH_HEADER_BYTES].to_vec();
    packed.extend(compress(codec, config().compression_levels, &plain[BATCH_HEADER_BYTES..]).unwrap());
    packed[22] |= codec.id() as u8;
    let length = (packed.len() - 12) as i32;
    put(&mut packed, 8, length.to_be_bytes());
    stamp_crc(&mut packed);
    packed.into()
}

fn append(log: &mut PartitionLog, records: &[(&str, Option<&str>)]) {
    let batch = batch(records, ProducerStamp::NONE, Compression::None);
    log.append(batch, AppendOptions::CLIENT, NOW_MS).unwrap();
}

fn transactional(producer_id: i64, base_sequence: i32) -> ProducerStamp {
    ProducerStamp {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        transactional: true,
    }
}

/// Seals what there is, so that it can be cleaned.
fn seal(log: &mut PartitionLog) {
    log.roll(NOW_MS).unwrap();
}

fn clean(log: &PartitionLog, memory_bytes: usize, now_ms: i64) -> Option<Cleaned> {
    let config = CleanerConfig {
        dedupe_buffer_bytes: memory_bytes,
    };
    log.plan_cleaning(now_ms)?
        .clean(&config, now_ms, &AtomicBool::new(false))
        .unwrap()
}

/// Compacts until nothing is left to do; answers the number of rounds.
fn compact(log: &mut PartitionLog, now_ms: i64) -> usize {
    let mut rounds = 0;
    while let Some(cleaned) = clean(log, 1 << 20, now_ms) {
        cleaned.swap_into(log).unwrap();
        rounds += 1;
    }
    rounds
}

fn headers(log: &PartitionLog) -> Vec<BatchHeader> {
    let mut found = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let read = log.read(offset, 1_000, Isolation::ReadUncommitted, true).unwrap();
        if read.records.is_empty() {
            break;
        }
        for batch in Batches::new(&read.records) {
            let batch: BatchView<'_> = batch.unwrap();
            batch.check_crc().unwrap();
            offset = batch.header().next_offset();
            found.push(*batch.header());
        }
    }
    found
}

/// What a read_committed consumer sees.
fn rows(log: &PartitionLog) -> Vec<Row> {
    let mut found = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let read = log.read(offset, 1_000, Isolation::ReadCommitted, true).unwrap();
        if read.records.is_empty() {
            return found;
        }
        let mut aborted = read.aborted.unwrap();
        let mut hidden = Vec::new();
        let mut scratch = Vec::new();
        for batch in Batches::new(&read.records) {
            let batch = batch.unwrap();
            let header = *batch.header();
            let from = offset;
            offset = header.next_offset();
            aborted.retain(|entry| {
                let reached = entry.first_offset <= header.last_offset();
                if reached {
                    hidden.push(entry.producer_id);
                }
                !reached
            });
            if header.is_control() {
                hidden.retain(|producer_id| *producer_id != header.producer_id);
                continue;
            }
            if header.is_transactional() && hidden.contains(&header.producer_id) {
                continue;
            }
            for record in batch.records(&mut scratch).unwrap() {
                let record = record.unwrap();
                if record.offset >= from {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    found.push((
                        record.offset,
                        text(record.key.unwrap()),
                        record.value.map(text),
                        record.timestamp,
                    ));
                }
            }
        }
    }
}

fn latest(rows: &[Row]) -> BTreeMap<String, String> {
    let mut latest = BTreeMap::new();
    for (_, key, value, _) in rows {
        match value {
            Some(value) => latest.insert(key.clone(), value.clone()),
            None => latest.remove(key),
        };
    }
    latest
}

#[test]
fn the_latest_record_of_each_key_stays_with_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    for round in 0..50 {
        let value = format!("v{round}");
        append(&mut log, &[("a", Some(&value)), ("b", Some(&value))]);
    }
    append(&mut log, &[("c", Some("only"))]);
    seal(&mut log);
    append(&mut log, &[("a", Some("active"))]);
    let (end, before) = (log.log_end_offset(), rows(&log));
    assert_eq!(compact(&mut log, NOW_MS), 1);
    let after = rows(&log);
    assert_eq!(after, before[98..], "the last a and b, c, and the active segment");
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, end));
    drop(log);
    assert_eq!(rows(&open(dir.path(), false)), after);
}

#[test]
fn a_tombstone_stays_for_delete_retention_ms_after_it_was_first_met() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    append(&mut log, &[("a", Some("1")), ("b", Some("1"))]);
    append(&mut log, &[("a", None)]);
    seal(&mut log);
    compact(&mut log, NOW_MS);
    let with_tombstone = rows(&log);
    assert_eq!(
        with_tombstone
            .iter()
            .map(|row| (row.0, row.1.as_str()))
            .collect::<Vec<_>>(),
        [(1, "b"), (2, "a")]
    );
    assert_eq!(with_tombstone[1].3, NOW_MS, "its timestamp is what it was");
    // It takes something new to clean the log again.
    append(&mut log, &[("c", Some("1"))]);
    seal(&mut log);
    compact(&mut log, NOW_MS + RETENTION_MS - 1);
    assert_eq!(rows(&log).len(), 3);
    append(&mut log, &[("d", Some("1"))]);
    seal(&mut log);
    compact(&mut log, NOW_MS + RETENTION_MS);
    assert_eq!(
        rows(&log).iter().map(|row| row.1.as_str()).collect::<Vec<_>>(),
        ["b", "c", "d"]
    );
}

#[test]
fn what_was_aborted_goes_and_its_marker_only_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    let options = AppendOptions::CLIENT.verified();
    log.append(
        batch(&[("a", Some("old"))], ProducerStamp::NONE, Compression::None),
        options,
        NOW_MS,
    )
    .unwrap();
    log.append(
        batch(&[("a", Some("void"))], transactional(7, 0), Compression::None),
        options,
        NOW_MS,
    )
    .unwrap();
    log.append_marker(7, 0, false, 0, NOW_MS).unwrap();
    // Another transaction of the producer, so that its last batch is not the void one.
    log.append(
        batch(&[("b", Some("new"))], transactional(7, 1), Compression::None),
        options,
        NOW_MS,
    )
    .unwrap();
    log.append_marker(7, 0, true, 0, NOW_MS).unwrap();
    seal(&mut log);
    compact(&mut log, NOW_MS);
    let controls = |log: &PartitionLog| headers(log).iter().filter(|header| header.is_control()).count();
    assert_eq!(
        latest(&rows(&log)),
        BTreeMap::from([("a".into(), "old".into()), ("b".into(), "new".into())])
    );
    assert_eq!(
        headers(&log)
            .iter()
            .filter(|header| header.record_count > 0 && !header.is_control())
            .count(),
        2
    );
    assert_eq!(controls(&log), 2);
    // Second round: nothing of the aborted transaction is met, its marker gets its time. Third round: it goes.
    for (round, expected) in [(0, 2), (RETENTION_MS, 1)] {
        append(&mut log, &[("c", Some("1"))]);
        seal(&mut log);
        compact(&mut log, NOW_MS + round);
        assert_eq!(controls(&log), expected);
    }
    assert_eq!(latest(&rows(&log)).get("a"), Some(&"old".to_owned()));
}

#[test]
fn undecided_records_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    let options = AppendOptions::CLIENT.verified();
    log.append(
        batch(&[("a", Some("open"))], transactional(7, 0), Compression::None),
        options,
        NOW_MS,
    )
    .unwrap();
    append(&mut log, &[("a", Some("1"))]);
    seal(&mut log);
    assert_eq!(compact(&mut log, NOW_MS), 0);
    log.append_marker(7, 0, true, 0, NOW_MS).unwrap();
    assert_eq!(compact(&mut log, NOW_MS), 1);
    assert_eq!(rows(&log).len(), 1);
}

#[test]
fn a_retry_is_recognised_after_its_records_were_compacted_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    let stamp = ProducerStamp {
        transactional: false,
        ..transactional(5, 0)
    };
    let sent = batch(&[("a", Some("1")), ("a", Some("2"))], stamp, Compression::None);
    let first = log.append(sent.clone(), AppendOptions::CLIENT, NOW_MS).unwrap();
    append(&mut log, &[("a", Some("3"))]);
    seal(&mut log);
    compact(&mut log, NOW_MS);
    assert_eq!(rows(&log).len(), 1);
    drop(log);
    // Without the snapshot only the header that was left tells.
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "snapshot") {
            fs::remove_file(path).unwrap();
        }
    }
    let again = open(dir.path(), false)
        .append(sent, AppendOptions::CLIENT, NOW_MS)
        .unwrap();
    assert!(again.duplicate);
    assert_eq!(
        (again.base_offset, again.last_offset),
        (first.base_offset, first.last_offset)
    );
}

#[test]
fn too_many_keys_for_the_memory_are_cleaned_in_several_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    for round in 0..3 {
        for key in 0..40 {
            append(&mut log, &[(&format!("key{key}"), Some(&round.to_string()))]);
        }
    }
    seal(&mut log);
    let mut rounds = 0;
    while let Some(cleaned) = clean(&log, 1_000, NOW_MS) {
        cleaned.swap_into(&mut log).unwrap();
        rounds += 1;
        assert!(rounds < 100, "rounds get on");
    }
    assert!(rounds > 3);
    let left = rows(&log);
    assert_eq!(left.len(), 40);
    assert!(left.iter().all(|row| row.2.as_deref() == Some("2")));
}

#[test]
fn lags_and_the_dirty_ratio_decide_when() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    append(&mut log, &[("a", Some("1"))]);
    append(&mut log, &[("a", Some("2"))]);
    seal(&mut log);
    log.set_config(LogConfig {
        min_compaction_lag_ms: 100,
        ..config()
    });
    assert!(log.plan_cleaning(NOW_MS + 99).is_none());
    assert!(log.plan_cleaning(NOW_MS + 101).is_some());
    log.set_config(LogConfig {
        min_cleanable_dirty_ratio: 1.0,
        max_compaction_lag_ms: 100,
        ..config()
    });
    assert!(log.plan_cleaning(NOW_MS + 99).is_none());
    assert!(log.plan_cleaning(NOW_MS + 101).is_some());
    log.set_config(LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: true,
            compact: false,
        },
        ..config()
    });
    assert!(log.plan_cleaning(NOW_MS).is_none());
}

#[test]
fn a_crash_between_any_two_steps_loses_and_resurrects_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), false);
    for round in 0..12 {
        append(
            &mut log,
            &[
                ("a", Some(&round.to_string())),
                ("b", (round % 5 > 0).then_some("x")),
            ],
        );
    }
    seal(&mut log);
    append(&mut log, &[("c", Some("active"))]);
    let before = latest(&rows(&log));
    let cleaned = clean(&log, 1 << 20, NOW_MS).unwrap();
    drop(log);
    let check = |crashed: &Path| {
        let log = open(crashed, false);
        assert_eq!(latest(&rows(&log)), before);
        assert_eq!(log.log_end_offset(), 25);
        let leftovers = fs::read_dir(crashed).unwrap().filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension()
                .is_some_and(|extension| extension == "swap" || extension == "cleaned")
        });
        assert_eq!(leftovers.count(), 0);
    };
    let copy = |edit: &dyn Fn(&Path)| {
        let crashed = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, crashed.path().join(path.file_name().unwrap())).unwrap();
        }
        edit(crashed.path());
        check(crashed.path());
    };
    copy(&|_| ());
    // In the middle of writing the first new file.
    copy(&|crashed| {
        for (index, group) in cleaned.groups.iter().enumerate() {
            let path = crashed.join(group.path.file_name().unwrap());
            let half = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            if index == 0 {
                fs::write(&path, &half[..half.len() / 2]).unwrap();
            }
        }
    });
    // Between two groups, and behind the last one before anything is noted of it.
    assert!(cleaned.groups.len() > 1);
    for done in 1..=cleaned.groups.len() {
        copy(&|crashed| {
            for group in &cleaned.groups[..done] {
                for (base, _) in &group.replaces {
                    for kind in ["txnindex", "timeindex", "index", "log"] {
                        let _ = fs::remove_file(crashed.join(format!("{base:020}.{kind}")));
                    }
                }
                let segment = format!("{:020}.log", group.replaces[0].0);
                fs::rename(
                    crashed.join(group.path.file_name().unwrap()),
                    crashed.join(segment),
                )
                .unwrap();
            }
        });
    }
    for group in &cleaned.groups {
        let name = group.path.file_name().unwrap();
        let old: Vec<String> = group
            .replaces
            .iter()
            .flat_map(|(base, _)| {
                ["txnindex", "timeindex", "index", "log"].map(|kind| format!("{base:020}.{kind}"))
            })
            .collect();
        for removed in 0..=old.len() {
            copy(&|crashed| {
                let path = crashed.join(name);
                fs::rename(&path, path.with_extension("swap")).unwrap();
                for file in &old[..removed] {
                    let _ = fs::remove_file(crashed.join(file));
                }
            });
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Plain(u8, Option<u8>),
    Transaction(u8, Vec<(u8, Option<u8>)>, bool),
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let record = || (0..6_u8, proptest::option::weighted(0.8, 0..100_u8));
    prop_oneof![
        8 => record().prop_map(|(key, value)| Step::Plain(key, value)),
        4 => (0..3_u8, proptest::collection::vec(record(), 1..4), any::<bool>())
            .prop_map(|(producer, records, commit)| Step::Transaction(producer, records, commit)),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_happens_the_latest_values_stay(steps in proptest::collection::vec(step(), 1..60)) {
        let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), false);
        let mut model = BTreeMap::new();
        let mut sequences = [0_i32; 3];
        let mut now_ms = NOW_MS;
        for (at, step) in steps.into_iter().enumerate() {
            let codec = codecs[at % codecs.len()];
            let mut write = |records: &[(u8, Option<u8>)], stamp: ProducerStamp| {
                let text: Vec<_> = records
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.map(|value| value.to_string())))
                    .collect();
                let borrowed: Vec<_> = text.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
                let options = AppendOptions::CLIENT.verified();
                log.append(batch(&borrowed, stamp, codec), options, now_ms).unwrap();
                text
            };
            let committed = match step {
                Step::Plain(key, value) => write(&[(key, value)], ProducerStamp::NONE),
                Step::Transaction(producer, records, commit) => {
                    let sequence = &mut sequences[usize::from(producer)];
                    let stamp = transactional(i64::from(producer), *sequence);
                    *sequence += records.len() as i32;
                    let written = write(&records, stamp);
                    log.append_marker(i64::from(producer), 0, commit, 0, now_ms).unwrap();
                    if commit { written } else { Vec::new() }
                }
                Step::Compact => {
                    now_ms += RETENTION_MS / 2;
                    seal(&mut log);
                    compact(&mut log, now_ms);
                    Vec::new()
                }
                Step::Reopen => {
                    let end = log.log_end_offset();
                    drop(log);
                    log = open(dir.path(), false);
                    prop_assert_eq!(log.log_end_offset(), end);
                    Vec::new()
                }
            };
            for (key, value) in committed {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            let seen = rows(&log);
            prop_assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert_eq!(latest(&seen), model.clone());
        }
    }
}
