//! What one processor hop costs: the same records through chains of different lengths. The difference between two chains,
//! divided by the difference of their lengths, is a hop.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use streams_dsl::prelude::*;

/// Records that one input record becomes, so that what happens before the chain does not matter.
const RECORDS: u64 = 100_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    hops(&mut criterion);
    criterion.final_summary();
}

fn hops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop");
    group.throughput(Throughput::Elements(RECORDS));
    for length in [1, 9] {
        let driver = TopologyTestDriver::new(&integers(length)).expect("a live topology");
        let input = driver.input::<i64, i64>("in");
        group.bench_function(BenchmarkId::new("i64", length), |bencher| {
            bencher.iter(|| input.pipe(1, 1).expect("a processed record"));
        });
        let driver = TopologyTestDriver::new(&strings(length)).expect("a live topology");
        let input = driver.input::<String, String>("in");
        let value = "v".repeat(64);
        group.bench_function(BenchmarkId::new("64-byte String", length), |bencher| {
            bencher.iter(|| {
                input
                    .pipe("key".to_owned(), value.clone())
                    .expect("a processed record");
            });
        });
    }
    group.finish();
}

fn integers(length: usize) -> Topology {
    let builder = StreamsBuilder::new();
    let mut stream = builder
        .stream::<i64, i64>("in")
        .flat_map_values(|n| (0..RECORDS as i64).map(move |i| i + n));
    for _ in 0..length {
        stream = stream.map_values(|n| black_box(n) + 1);
    }
    stream.for_each(|_, n| {
        black_box(n);
    });
    builder.build().expect("a topology")
}

fn strings(length: usize) -> Topology {
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>("in");
    let mut stream = input.flat_map_values(|text| std::iter::repeat_n(text, RECORDS as usize));
    for _ in 0..length {
        stream = stream.map_values(black_box);
    }
    stream.for_each(|_, text| {
        black_box(text);
    });
    builder.build().expect("a topology")
}
