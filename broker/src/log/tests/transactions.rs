//! The last stable offset and the aborted transactions of a read, against a model that knows everything.

use proptest::prelude::*;

use super::{NOW_MS, batch, open, transactional};
use crate::log::{AppendOptions, Batches, ControlType, Isolation, LogConfig, PartitionLog};

#[derive(Debug, Clone)]
enum Action {
    Append(i64, usize),
    Plain,
    End(i64, bool),
    Reopen(bool),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0_i64..4, 1_usize..4).prop_map(|(producer, count)| Action::Append(producer, count)),
        2 => Just(Action::Plain),
        4 => (0_i64..4, any::<bool>()).prop_map(|(producer, commit)| Action::End(producer, commit)),
        1 => any::<bool>().prop_map(Action::Reopen),
    ]
}

/// What became of each record: its producer's transaction is open, committed or aborted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Plain,
    Open(i64),
    Committed,
    Aborted,
    Marker,
}

/// What a read_committed consumer delivers: it skips the records of aborted transactions, as told by the
/// response, until the abort marker of their producer.
fn consume(log: &PartitionLog, mut offset: i64, max_bytes: usize) -> Vec<i64> {
    let mut delivered = Vec::new();
    loop {
        let read = log
            .read(offset, max_bytes, Isolation::ReadCommitted, true)
            .unwrap();
        if read.records.is_empty() {
            return delivered;
        }
        let mut aborted = read.aborted.unwrap();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let mut pending = aborted.into_iter().peekable();
        let mut skipping = Vec::new();
        let mut scratch = Vec::new();
        for batch in Batches::new(&read.records) {
            let batch = batch.unwrap();
            let header = *batch.header();
            while let Some(transaction) = pending.next_if(|next| next.first_offset <= header.last_offset()) {
                skipping.push(transaction.producer_id);
            }
            let mut records = batch.records(&mut scratch).unwrap();
            if header.is_control() {
                let key = records.next().unwrap().unwrap().key.unwrap();
                if ControlType::from_key(key) == Some(ControlType::Abort) {
                    skipping.retain(|producer| *producer != header.producer_id);
                }
            } else if !header.is_transactional() || !skipping.contains(&header.producer_id) {
                let from = offset;
                delivered.extend(
                    records
                        .map(|record| record.unwrap().offset)
                        .filter(|at| *at >= from),
                );
            }
            offset = offset.max(header.next_offset());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn read_committed_delivers_what_the_model_says(
        actions in proptest::collection::vec(action(), 1..60),
        max_bytes in 1_usize..600,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..LogConfig::default() };
        let (mut log, _) = open(dir.path(), config.clone(), false);
        let mut fates: Vec<Fate> = Vec::new();
        let mut sequences = [0; 4];
        for action in actions {
            match action {
                Action::Append(producer, count) => {
                    let sequence = &mut sequences[producer as usize];
                    let records = batch("r", count, transactional(producer, 0, *sequence));
                    *sequence += count as i32;
                    log.append(records, AppendOptions::CLIENT.verified(), NOW_MS).unwrap();
                    fates.extend(std::iter::repeat_n(Fate::Open(producer), count));
                }
                Action::Plain => {
                    log.append(batch("p", 1, super::ProducerStamp::NONE), AppendOptions::CLIENT, NOW_MS).unwrap();
                    fates.push(Fate::Plain);
                }
                Action::End(producer, commit) => {
                    log.append_marker(producer, 0, commit, 0, NOW_MS).unwrap();
                    let decided = if commit { Fate::Committed } else { Fate::Aborted };
                    for fate in fates.iter_mut().filter(|fate| **fate == Fate::Open(producer)) {
                        *fate = decided;
                    }
                    fates.push(Fate::Marker);
                }
                Action::Reopen(clean) => {
                    if clean {
                        log.close().unwrap();
                    }
                    drop(log);
                    log = open(dir.path(), config.clone(), clean).0;
                }
            }
            let stable = fates.iter().position(|fate| matches!(fate, Fate::Open(_))).unwrap_or(fates.len());
            prop_assert_eq!(log.last_stable_offset(), stable as i64);
            prop_assert_eq!(log.high_watermark(), fates.len() as i64);
            for from in 0..=fates.len() {
                let expected: Vec<i64> = (from..stable.max(from))
                    .filter(|at| matches!(fates[*at], Fate::Plain | Fate::Committed))
                    .map(|at| at as i64)
                    .collect();
                if from % 7 == 0 {
                    prop_assert_eq!(consume(&log, from as i64, max_bytes), expected);
                }
            }
        }
    }
}
