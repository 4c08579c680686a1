//! Rolling, retention, deleting, searching by time, and the limits of reads.

use proptest::prelude::*;

use super::{NOW_MS, append, batch, open, read_all, stamp};
use crate::log::{
    AppendError, AppendOptions, BatchBuilder, CleanupPolicy, Isolation, LogConfig, PartitionLog,
    ProducerStamp, TimestampType,
};

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 300,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn timed(timestamps: &[i64]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new();
    for timestamp in timestamps {
        builder.append(*timestamp, Some(b"k"), Some(b"v"), &[]).unwrap();
    }
    builder.finish(ProducerStamp::NONE).unwrap()
}

#[test]
fn reads_are_cut_to_whole_batches_and_go_over_rolls() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), small_segments(), false);
    for index in 0..40 {
        append(&mut log, batch(&format!("v{index}."), 2, stamp(1, 0, index * 2))).unwrap();
    }
    assert!(log.segments.len() > 10);
    let all = read_all(&log, 0, Isolation::ReadUncommitted);
    assert_eq!(all.len(), 80);
    assert!(all.iter().enumerate().all(|(at, (offset, value))| {
        *offset == at as i64 && *value == format!("v{}.{}", at / 2, at % 2)
    }));
    for from in 0..80 {
        assert_eq!(
            read_all(&log, from, Isolation::ReadCommitted),
            &all[from as usize..]
        );
    }
    assert!(
        log.read(5, 10, Isolation::ReadUncommitted, false)
            .unwrap()
            .records
            .is_empty()
    );
    assert!(
        log.read(80, 10, Isolation::ReadUncommitted, true)
            .unwrap()
            .records
            .is_empty()
    );
    for offset in [-1, 81] {
        assert_eq!(
            log.read(offset, 10, Isolation::ReadUncommitted, true)
                .unwrap_err()
                .error_code(),
            1
        );
    }
}

#[test]
fn deleted_records_stay_deleted_and_their_segments_go() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), small_segments(), false);
    for index in 0..20 {
        append(&mut log, batch("v", 2, stamp(1, 0, index * 2))).unwrap();
    }
    let segments = log.segments.len();
    assert_eq!(log.delete_records_before(21).unwrap(), 21);
    assert_eq!(log.delete_records_before(3).unwrap(), 21, "it never moves back");
    assert_eq!(log.delete_records_before(41).unwrap_err().error_code(), 1);
    assert_eq!(
        log.read(20, 100, Isolation::ReadUncommitted, true)
            .unwrap_err()
            .error_code(),
        1
    );
    drop(log);
    let (mut log, _) = open(dir.path(), small_segments(), false);
    assert_eq!(log.log_start_offset(), 21);
    let deleted = log.enforce_retention(NOW_MS).unwrap();
    assert!(deleted > 0 && log.segments.len() == segments - deleted);
    assert_eq!(log.log_start_offset(), 21);
    assert_eq!(read_all(&log, 21, Isolation::ReadUncommitted).len(), 19);
    assert_eq!(log.delete_records_before(-1).unwrap(), 40);
    log.enforce_retention(NOW_MS).unwrap();
    drop(log);
    let (mut log, _) = open(dir.path(), small_segments(), false);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (40, 40));
    append(&mut log, batch("v", 1, stamp(1, 0, 40))).unwrap();
}

#[test]
fn retention_by_time_and_size_deletes_the_oldest_segments() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        retention_ms: 1_000,
        ..small_segments()
    };
    let (mut log, _) = open(dir.path(), config.clone(), false);
    for index in 0..20 {
        let timestamps = [NOW_MS + index * 100, NOW_MS + index * 100 + 1];
        append(&mut log, timed(&timestamps)).unwrap();
    }
    assert_eq!(log.enforce_retention(NOW_MS + 1_000).unwrap(), 0);
    assert!(log.enforce_retention(NOW_MS + 2_000).unwrap() > 0);
    let (found, _) = log
        .offset_for_timestamp(0, Isolation::ReadUncommitted)
        .unwrap()
        .unwrap();
    assert_eq!(found, log.log_start_offset());
    assert!(log.log_start_offset() > 0 && log.log_start_offset() < 30);

    log.set_config(LogConfig {
        retention_ms: -1,
        retention_bytes: 700,
        ..config.clone()
    });
    log.enforce_retention(NOW_MS + 2_000).unwrap();
    assert!((700..1_000).contains(&log.size_bytes()), "{}", log.size_bytes());

    log.set_config(config);
    log.enforce_retention(NOW_MS + 1_000_000).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.size_bytes()),
        (40, 40, 0)
    );
    append(&mut log, timed(&[NOW_MS])).unwrap();
    drop(log);
    assert_eq!(open(dir.path(), small_segments(), false).0.log_start_offset(), 40);
}

#[test]
fn compacted_topics_need_keys_and_cannot_delete_by_offset() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    };
    let (mut log, _) = open(dir.path(), config, false);
    let mut builder = BatchBuilder::new();
    builder.append(NOW_MS, Some(b"k"), None, &[]).unwrap();
    builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    let error = append(&mut log, builder.finish(ProducerStamp::NONE).unwrap()).unwrap_err();
    let AppendError::InvalidRecord { record_errors, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        record_errors
            .iter()
            .map(|error| error.batch_index)
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(log.delete_records_before(0).unwrap_err().error_code(), 44);
}

#[test]
fn batches_over_the_limits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(
        dir.path(),
        LogConfig {
            max_message_bytes: 250,
            ..small_segments()
        },
        false,
    );
    assert_eq!(
        append(&mut log, batch("v", 20, ProducerStamp::NONE))
            .unwrap_err()
            .error_code(),
        10
    );
    let coordinator = log.append(
        batch("v", 20, ProducerStamp::NONE),
        AppendOptions::COORDINATOR,
        NOW_MS,
    );
    assert_eq!(coordinator.unwrap_err().error_code(), 18);
    let shared = batch("v", 2, ProducerStamp::NONE);
    append(&mut log, shared.clone()).unwrap();
    append(&mut log, shared.clone()).unwrap();
    assert_eq!(
        shared[..8],
        [0; 8],
        "a batch that somebody else holds is not changed"
    );
    assert_eq!(read_all(&log, 0, Isolation::ReadUncommitted).len(), 4);
}

#[test]
fn with_log_append_time_records_have_the_brokers_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let (mut log, _) = open(dir.path(), config, false);
    log.append(batch("v", 2, ProducerStamp::NONE), AppendOptions::CLIENT, 700)
        .unwrap();
    log.append(batch("v", 2, ProducerStamp::NONE), AppendOptions::CLIENT, 900)
        .unwrap();
    assert_eq!(
        log.offset_for_timestamp(701, Isolation::ReadCommitted).unwrap(),
        Some((2, 900))
    );
    assert_eq!(
        read_all(&log, 0, Isolation::ReadUncommitted).len(),
        4,
        "with right checksums"
    );
}

#[test]
fn flush_messages_moves_the_recovery_point() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(
        dir.path(),
        LogConfig {
            flush_messages: 3,
            ..small_segments()
        },
        false,
    );
    append(&mut log, batch("v", 2, ProducerStamp::NONE)).unwrap();
    assert_eq!(log.recovery_point, 0);
    append(&mut log, batch("v", 2, ProducerStamp::NONE)).unwrap();
    assert_eq!(log.recovery_point, 4);
}

fn check_search(log: &PartitionLog, timestamps: &[i64], start: i64) {
    let live = || timestamps.iter().copied().enumerate().skip(start as usize);
    for target in -2..42 {
        let naive = live()
            .find(|(_, at)| *at >= target)
            .map(|(offset, at)| (offset as i64, at));
        assert_eq!(
            log.offset_for_timestamp(target, Isolation::ReadUncommitted)
                .unwrap(),
            naive,
            "{target}"
        );
    }
    let newest = live().map(|(_, at)| at).max();
    let naive = live()
        .find(|(_, at)| Some(*at) == newest)
        .map(|(offset, at)| (offset as i64, at));
    assert_eq!(log.max_timestamp_offset().unwrap(), naive);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn searching_by_time_finds_the_first_record(
        batches in proptest::collection::vec(proptest::collection::vec(0_i64..40, 1..5), 1..30),
        clean in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), small_segments(), false);
        for timestamps in &batches {
            append(&mut log, timed(timestamps)).unwrap();
        }
        let flat: Vec<i64> = batches.into_iter().flatten().collect();
        check_search(&log, &flat, 0);
        if clean {
            log.close().unwrap();
        }
        drop(log);
        let (mut log, _) = open(dir.path(), small_segments(), clean);
        check_search(&log, &flat, 0);
        let start = flat.len() as i64 / 2;
        log.delete_records_before(start).unwrap();
        check_search(&log, &flat, start);
    }
}
