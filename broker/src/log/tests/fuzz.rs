//! Batches that nobody would send, through all that the broker does with them: checked, stored, read back, compacted, and
//! recovered. Nothing may panic, and what was taken must be served as it came.
//!
//! The seeds are fixed. `FUZZ_SEEDS=10000` runs more of them.

use std::sync::atomic::AtomicBool;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::prepare::{CODECS, packed};
use super::*;
use crate::log::batch::BATCH_HEADER_BYTES;
use crate::log::builder::stamp_crc;
use crate::log::{CleanerConfig, CleanupPolicy, Compression, CompressionType, TimestampType};

const SEEDS: u64 = 4;
const BATCHES_PER_SEED: usize = 3_000;
/// Fields of a batch header, by where they begin.
const FIELDS: [usize; 13] = [0, 8, 12, 16, 17, 21, 23, 27, 35, 43, 51, 53, 57];

struct Generator {
    random: TestRng,
    originals: Vec<Bytes>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut bytes = [9; 16];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let stamps = [
            ProducerStamp::NONE,
            stamp(1, 0, 0),
            stamp(1, 0, 3),
            transactional(2, 1, 0),
        ];
        let originals = stamps.into_iter().flat_map(|stamp| {
            let plain = batch("a value of some length, ", 3, stamp);
            CODECS.map(|codec| packed(&plain, codec))
        });
        Self {
            random: TestRng::from_seed(RngAlgorithm::XorShift, &bytes),
            originals: originals.collect(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.next_u32() as usize % bound
    }

    /// A batch with up to three things wrong, most with a checksum that says it is right.
    fn batch(&mut self) -> Bytes {
        let at = self.below(self.originals.len());
        let mut batch = self.originals[at].to_vec();
        for _ in 0..self.below(4) {
            match self.below(6) {
                0 => batch.truncate(self.below(batch.len() + 1)),
                1 => {
                    for _ in 0..self.below(40) {
                        batch.push(self.random.next_u32() as u8);
                    }
                }
                2 | 3 if batch.len() > BATCH_HEADER_BYTES => {
                    let at = FIELDS[self.below(FIELDS.len())];
                    let byte = [0, 1, 0x7f, 0x80, 0xff][self.below(5)];
                    batch[at + self.below(2)] = byte;
                }
                _ if batch.is_empty() => {}
                _ => {
                    let at = self.below(batch.len());
                    batch[at] ^= 1 << self.below(8);
                }
            }
        }
        let fits = batch.len() >= BATCH_HEADER_BYTES;
        if fits && self.below(8) > 0 {
            let length = (batch.len() - 12) as i32;
            if self.below(8) > 0 {
                batch[8..12].copy_from_slice(&length.to_be_bytes());
            }
            stamp_crc(&mut batch);
        }
        batch.into()
    }
}

fn config(kind: u64) -> LogConfig {
    let mut config = LogConfig {
        segment_bytes: 20_000,
        index_interval_bytes: 500,
        min_cleanable_dirty_ratio: 0.0,
        ..LogConfig::default()
    };
    match kind % 4 {
        0 => {}
        1 => {
            config.cleanup_policy = CleanupPolicy {
                delete: true,
                compact: true,
            };
        }
        2 => config.compression_type = CompressionType::Codec(Compression::Lz4),
        _ => config.message_timestamp_type = TimestampType::LogAppendTime,
    }
    config
}

/// Answers how many batches were taken.
fn run(seed: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let keeps_bytes = seed % 4 < 2;
    let mut generator = Generator::new(seed);
    let mut log = open(dir.path(), config(seed), false).0;
    let mut taken = Vec::new();
    for _ in 0..BATCHES_PER_SEED {
        let batch = generator.batch();
        let Ok(info) = log.append(batch.clone(), AppendOptions::CLIENT.verified(), NOW_MS) else {
            continue;
        };
        if !info.duplicate {
            taken.push((info.base_offset, batch));
        }
    }
    // In the middle of whatever was open.
    let end_offset = log.log_end_offset();
    drop(log);
    let mut log = open(dir.path(), config(seed), false).0;
    assert_eq!(log.log_end_offset(), end_offset);
    let mut scratch = Vec::new();
    for (offset, batch) in &taken {
        let read = log.read(*offset, 1, Isolation::ReadUncommitted, true).unwrap();
        if keeps_bytes {
            assert_eq!(read.records[16..], batch[16..], "at offset {offset}");
        }
        for batch in Batches::new(&read.records) {
            if let Ok(records) = batch.unwrap().records(&mut scratch) {
                records.for_each(drop);
            }
        }
        let _ = log.read(*offset, 1_000, Isolation::ReadCommitted, true);
        let _ = log.offset_for_timestamp(NOW_MS + 1, Isolation::ReadUncommitted);
    }
    log.roll(NOW_MS).unwrap();
    if let Some(plan) = log.plan_cleaning(NOW_MS) {
        match plan.clean(&CleanerConfig::default(), NOW_MS, &AtomicBool::new(false)) {
            Ok(Some(cleaned)) => cleaned.swap_into(&mut log).unwrap(),
            // Records that cannot be read are not compacted, and not lost.
            Ok(None) | Err(_) => log.mark_uncleanable(),
        }
    }
    log.close().unwrap();
    assert_eq!(
        open(dir.path(), config(seed), true).0.log_end_offset(),
        end_offset
    );
    taken.len()
}

#[test]
fn no_batch_brings_the_log_down() {
    let seeds =
        std::env::var("FUZZ_SEEDS").map_or(SEEDS, |text| text.parse().expect("FUZZ_SEEDS is a number"));
    for seed in 0..seeds {
        let taken = run(seed);
        assert!(taken > BATCHES_PER_SEED / 10, "only {taken} batches were taken");
    }
}
