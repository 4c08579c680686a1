//! Tests of the storage half through its public surface, and what they share: building batches, opening
//! logs in temporary folders.

mod codec;
mod crash;
mod epochs;
mod fuzz;
mod index;
mod partition;
mod prepare;
mod producers;
mod spare;
mod transactions;

use std::path::Path;

use bytes::Bytes;

use crate::log::{
    AppendError, AppendInfo, AppendOptions, BatchBuilder, Batches, Isolation, LogConfig, PartitionLog,
    ProducerStamp, RecoveryReport,
};

const NOW_MS: i64 = 1_700_000_000_000;

fn open(dir: &Path, config: LogConfig, clean: bool) -> (PartitionLog, RecoveryReport) {
    PartitionLog::open(dir, "orders", 3, config, clean, NOW_MS).unwrap()
}

/// A batch of `count` records with values `prefix0`, `prefix1` ..., a millisecond apart.
fn batch(prefix: &str, count: usize, stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new();
    for index in 0..count {
        let value = format!("{prefix}{index}");
        builder
            .append(NOW_MS + index as i64, Some(b"key"), Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.finish(stamp).unwrap()
}

fn stamp(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> ProducerStamp {
    ProducerStamp {
        producer_id,
        producer_epoch,
        base_sequence,
        transactional: false,
    }
}

fn transactional(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> ProducerStamp {
    ProducerStamp {
        transactional: true,
        ..stamp(producer_id, producer_epoch, base_sequence)
    }
}

fn append(log: &mut PartitionLog, batch: Bytes) -> Result<AppendInfo, AppendError> {
    log.append(batch, AppendOptions::CLIENT, NOW_MS)
}

/// Offset and value of every data record that a consumer sees from `offset` on, read in small steps.
fn read_all(log: &PartitionLog, mut offset: i64, isolation: Isolation) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    loop {
        let read = log.read(offset, 200, isolation, true).unwrap();
        if read.records.is_empty() {
            return found;
        }
        let mut scratch = Vec::new();
        for batch in Batches::new(&read.records) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            let from = offset;
            offset = batch.header().next_offset();
            if batch.header().is_control() {
                continue;
            }
            for record in batch.records(&mut scratch).unwrap() {
                let record = record.unwrap();
                if record.offset >= from {
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    found.push((record.offset, value));
                }
            }
        }
    }
}
