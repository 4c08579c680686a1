//! Count by key: 8-byte keys, 100-byte values, 100,000 keys; state in RocksDB with its changelog, every update to a topic;
//! exactly-once on the embedded broker. The measure is input records per CPU-second, of everything but loading the input.

mod common;
#[path = "common/embedded.rs"]
mod embedded;
#[path = "common/keys.rs"]
mod keys;

use std::sync::atomic::{AtomicU32, Ordering};

use common::{CpuTime, criterion, full_size};
use criterion::{Criterion, SamplingMode, Throughput};
use embedded::Bench;
use keys::key;
use streams_dsl::prelude::*;

const RECORDS: u64 = 10_000_000;
const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 100;

fn main() {
    let mut criterion = criterion();
    count_by_key(&mut criterion);
    criterion.final_summary();
}

fn count_by_key(criterion: &mut Criterion<CpuTime>) {
    let records = if full_size() { RECORDS } else { 50_000 };
    let bench = Bench::new(&["events", "counts"]);
    bench.load("events", |send| {
        let value = [b'x'; VALUE_BYTES];
        for n in 0..records {
            send(Some(&key(n, KEYS).to_be_bytes()), &value);
        }
    });
    let topology = topology();
    let runs = AtomicU32::new(0);
    let mut group = criterion.benchmark_group("count_by_key");
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(records));
    group.bench_function("embedded, exactly-once, RocksDB", |bencher| {
        bencher.iter(|| {
            let processed = bench.run(
                &topology,
                &format!("count-by-key-{}", runs.fetch_add(1, Ordering::Relaxed)),
            );
            assert_eq!(processed, records);
        });
    });
    group.finish();
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let events = builder.stream::<i64, Vec<u8>>("events");
    events
        .group_by_key()
        .count(Materialized::named("counts"))
        .to_stream()
        .to("counts");
    builder.build().expect("a topology")
}
