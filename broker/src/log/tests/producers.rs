//! The rules of idempotent producers, one test each.

use super::{NOW_MS, append, batch, open, stamp, transactional};
use crate::log::{AppendError, AppendOptions, LogConfig, PartitionLog, TimestampType};

fn log() -> (tempfile::TempDir, PartitionLog) {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), LogConfig::default(), false);
    (dir, log)
}

#[test]
fn a_retry_of_the_last_five_batches_answers_the_original_offset() {
    let (_dir, mut log) = log();
    for index in 0..6 {
        append(&mut log, batch("a", 2, stamp(1, 0, index * 2))).unwrap();
    }
    for index in 1..6 {
        let info = append(&mut log, batch("a", 2, stamp(1, 0, index * 2))).unwrap();
        assert!(info.duplicate);
        assert_eq!(
            (info.base_offset, info.last_offset),
            (i64::from(index) * 2, i64::from(index) * 2 + 1)
        );
    }
    assert_eq!(log.log_end_offset(), 12);
    let error = append(&mut log, batch("a", 2, stamp(1, 0, 0))).unwrap_err();
    assert_eq!(error.error_code(), 45, "the sixth last is forgotten");
}

#[test]
fn a_retry_with_another_range_is_out_of_order() {
    let (_dir, mut log) = log();
    append(&mut log, batch("a", 3, stamp(1, 0, 0))).unwrap();
    let error = append(&mut log, batch("a", 2, stamp(1, 0, 0))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "out of order sequence for orders-3: producer 1 epoch 0 sent sequence 0, expected 3"
    );
}

#[test]
fn a_gap_is_out_of_order_and_writes_nothing() {
    let (_dir, mut log) = log();
    append(&mut log, batch("a", 3, stamp(1, 0, 0))).unwrap();
    assert_eq!(
        append(&mut log, batch("a", 1, stamp(1, 0, 4)))
            .unwrap_err()
            .error_code(),
        45
    );
    assert_eq!(log.log_end_offset(), 3);
    append(&mut log, batch("a", 1, stamp(1, 0, 3))).unwrap();
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero() {
    let (_dir, mut log) = log();
    append(&mut log, batch("a", 3, stamp(1, 5, 0))).unwrap();
    assert_eq!(
        append(&mut log, batch("a", 1, stamp(1, 4, 3)))
            .unwrap_err()
            .error_code(),
        47
    );
    assert_eq!(
        append(&mut log, batch("a", 1, stamp(1, 6, 3)))
            .unwrap_err()
            .error_code(),
        45
    );
    append(&mut log, batch("a", 1, stamp(1, 6, 0))).unwrap();
    assert_eq!(
        append(&mut log, batch("a", 3, stamp(1, 5, 0)))
            .unwrap_err()
            .error_code(),
        47
    );
}

#[test]
fn an_unknown_producer_goes_on_where_it_was_unless_it_speaks_transaction_version_2() {
    let (_dir, mut log) = log();
    append(&mut log, batch("a", 1, stamp(1, 0, 77))).unwrap();
    let version_2 = AppendOptions::CLIENT.transaction_version_2();
    let error = log
        .append(batch("a", 1, stamp(2, 0, 77)), version_2, NOW_MS)
        .unwrap_err();
    assert_eq!(error.error_code(), 45);
    log.append(batch("a", 1, stamp(2, 0, 0)), version_2, NOW_MS)
        .unwrap();
}

#[test]
fn sequences_wrap_to_zero() {
    let (_dir, mut log) = log();
    append(&mut log, batch("a", 2, stamp(1, 0, i32::MAX - 1))).unwrap();
    append(&mut log, batch("a", 1, stamp(1, 0, 0))).unwrap();
    append(&mut log, batch("b", 4, stamp(2, 0, i32::MAX - 1))).unwrap();
    append(&mut log, batch("b", 1, stamp(2, 0, 2))).unwrap();
    assert!(
        append(&mut log, batch("b", 4, stamp(2, 0, i32::MAX - 1)))
            .unwrap()
            .duplicate
    );
}

#[test]
fn a_transactional_batch_needs_an_open_or_verified_transaction() {
    let (_dir, mut log) = log();
    assert_eq!(
        append(&mut log, batch("a", 1, transactional(1, 0, 0)))
            .unwrap_err()
            .error_code(),
        48
    );
    assert!(!log.has_open_transaction(1, 0));
    let verified = AppendOptions::CLIENT.verified();
    log.append(batch("a", 1, transactional(1, 0, 0)), verified, NOW_MS)
        .unwrap();
    assert!(log.has_open_transaction(1, 0) && !log.has_open_transaction(1, 1));
    append(&mut log, batch("a", 1, transactional(1, 0, 1))).unwrap();
    let error = append(&mut log, batch("a", 1, stamp(1, 0, 2))).unwrap_err();
    assert_eq!(error.error_code(), 48, "{error}");
    log.append_marker(1, 0, true, 0, NOW_MS).unwrap();
    assert_eq!(
        append(&mut log, batch("a", 1, transactional(1, 0, 2)))
            .unwrap_err()
            .error_code(),
        48
    );
    log.append(batch("a", 1, transactional(1, 0, 2)), verified, NOW_MS)
        .unwrap();
}

#[test]
fn a_marker_fences_older_epochs_and_older_coordinators() {
    let (_dir, mut log) = log();
    let verified = AppendOptions::CLIENT.verified();
    log.append(batch("a", 1, transactional(1, 0, 0)), verified, NOW_MS)
        .unwrap();
    log.append_marker(1, 1, false, 4, NOW_MS).unwrap();
    let error = log
        .append(batch("a", 1, transactional(1, 0, 1)), verified, NOW_MS)
        .unwrap_err();
    assert_eq!(error.error_code(), 47);
    assert_eq!(
        log.append_marker(1, 0, true, 4, NOW_MS).unwrap_err().error_code(),
        47
    );
    assert_eq!(
        log.append_marker(1, 1, true, 3, NOW_MS).unwrap_err().error_code(),
        52
    );
    log.append(batch("a", 1, transactional(1, 1, 0)), verified, NOW_MS)
        .unwrap();
}

#[test]
fn idle_producers_are_forgotten_but_not_those_with_an_open_transaction() {
    let (_dir, mut log) = log();
    append(&mut log, batch("a", 1, stamp(1, 0, 0))).unwrap();
    log.append(
        batch("a", 1, transactional(2, 0, 0)),
        AppendOptions::CLIENT.verified(),
        NOW_MS,
    )
    .unwrap();
    let day_ms = 86_400_000;
    log.expire_producers(NOW_MS + day_ms - 1);
    assert_eq!(
        append(&mut log, batch("a", 1, stamp(1, 0, 9)))
            .unwrap_err()
            .error_code(),
        45
    );
    log.expire_producers(NOW_MS + day_ms);
    append(&mut log, batch("a", 1, stamp(1, 0, 9))).unwrap();
    assert!(log.has_open_transaction(2, 0));
}

#[test]
fn coordinators_need_no_sequence_numbers() {
    let (_dir, mut log) = log();
    for _ in 0..3 {
        log.append(
            batch("o", 1, transactional(1, 0, -1)),
            AppendOptions::COORDINATOR,
            NOW_MS,
        )
        .unwrap();
    }
    assert_eq!(log.last_stable_offset(), 0);
}

#[test]
fn a_duplicate_keeps_its_append_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let (mut log, _) = open(dir.path(), config, false);
    let first = log
        .append(batch("a", 1, stamp(1, 0, 0)), AppendOptions::CLIENT, 500)
        .unwrap();
    let again = log
        .append(batch("a", 1, stamp(1, 0, 0)), AppendOptions::CLIENT, 900)
        .unwrap();
    assert_eq!((first.log_append_time_ms, again.log_append_time_ms), (500, 500));
}

#[test]
fn invalid_batches_are_refused_with_their_code() {
    let (_dir, mut log) = log();
    let mut damaged = batch("a", 1, stamp(1, 0, 0)).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(append(&mut log, damaged.into()).unwrap_err().error_code(), 2);
    assert_eq!(
        append(&mut log, batch("a", 1, stamp(1, 0, -1)))
            .unwrap_err()
            .error_code(),
        87
    );
    let mut two = batch("a", 1, stamp(1, 0, 0)).to_vec();
    two.extend_from_slice(&batch("a", 1, stamp(1, 0, 1)));
    assert_eq!(append(&mut log, two.into()).unwrap_err().error_code(), 87);
    let marker = crate::log::transaction_marker(1, 0, crate::log::ControlType::Commit, 0, NOW_MS);
    assert_eq!(append(&mut log, marker).unwrap_err().error_code(), 87);
    assert_eq!(
        append(&mut log, batch("a", 9, stamp(1, 0, 0)).slice(..70))
            .unwrap_err()
            .error_code(),
        2
    );
    let late = log.append(
        batch("a", 1, stamp(1, 0, 0)),
        AppendOptions::CLIENT,
        NOW_MS - 3_600_001,
    );
    assert!(
        matches!(late, Err(AppendError::InvalidTimestamp { .. })),
        "{late:?}"
    );
    assert_eq!(log.log_end_offset(), 0);
}
