//! Leader epochs of a log: where each ended, against a list of what was appended.

use super::*;
use crate::log::ProducerStamp;

const SEGMENT_BYTES: u64 = 1_000;

/// The leader epoch of each batch, and its base offset.
type Written = Vec<(i32, i64)>;

/// Batches under the epochs 0, 2, 3, 7 and 9, in many segments with an index entry for each batch.
fn log_of_several_lives(dir: &Path) -> (PartitionLog, Written) {
    let mut written = Vec::new();
    for (life, (epoch, batches)) in [(0, 3), (2, 40), (3, 1), (7, 25), (9, 2)].into_iter().enumerate() {
        let (mut log, _) = open(dir, config(), life % 2 == 0);
        log.set_leader_epoch(epoch);
        for _ in 0..batches {
            let info = append(&mut log, batch("v", 3, ProducerStamp::NONE)).unwrap();
            written.push((epoch, info.base_offset));
        }
        log.close().unwrap();
    }
    let (mut log, _) = open(dir, config(), true);
    log.set_leader_epoch(11);
    (log, written)
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

/// What Kafka's cache of epochs and their first offsets says.
fn expected(log: &PartitionLog, written: &Written, asked: i32) -> Option<(i32, i64)> {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    if !(0..=log.leader_epoch()).contains(&asked) {
        return None;
    }
    let above = written.iter().find(|(epoch, _)| *epoch > asked);
    let ends_at = above.map_or(end, |(_, offset)| *offset).max(start);
    let epochs = written.iter().map(|(epoch, _)| *epoch);
    let floor = epochs.filter(|epoch| *epoch <= asked).max();
    let floor = floor.filter(|_| ends_at > start && asked < log.leader_epoch());
    Some((floor.unwrap_or(asked), ends_at))
}

#[test]
fn each_epoch_ends_where_a_later_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, written) = log_of_several_lives(dir.path());
    let boundary = written.iter().find(|(epoch, _)| *epoch == 3).unwrap().1;
    // Nothing deleted; within the first epoch; at the end of one; all but the last batch; everything.
    for start in [0, 2, boundary, log.log_end_offset() - 1, log.log_end_offset()] {
        log.delete_records_before(start).unwrap();
        for asked in -2..=13 {
            let found = log.end_of_leader_epoch(asked).unwrap();
            assert_eq!(found, expected(&log, &written, asked), "{asked} from {start}");
        }
    }
    append(&mut log, batch("v", 1, ProducerStamp::NONE)).unwrap();
    assert_eq!(
        log.end_of_leader_epoch(11).unwrap(),
        Some((11, log.log_end_offset()))
    );
}

#[test]
fn each_offset_is_of_the_epoch_it_was_written_under() {
    let dir = tempfile::tempdir().unwrap();
    let (log, written) = log_of_several_lives(dir.path());
    for (epoch, base_offset) in written {
        for offset in base_offset..base_offset + 3 {
            assert_eq!(log.leader_epoch_at(offset).unwrap(), epoch, "{offset}");
        }
    }
    assert_eq!(log.leader_epoch_at(log.log_end_offset()).unwrap(), 11);
}

#[test]
fn a_log_without_records_ends_every_epoch_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), config(), true);
    log.set_leader_epoch(2);
    let ends: Vec<_> = (-1..=3)
        .map(|asked| log.end_of_leader_epoch(asked).unwrap())
        .collect();
    assert_eq!(ends, [None, Some((0, 0)), Some((1, 0)), Some((2, 0)), None]);
}
