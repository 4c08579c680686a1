//! Word count end to end: lines, words, repartition topic, count in RocksDB, every update to a topic; exactly-once on the
//! embedded broker. The measure is words per CPU-second, of everything.

mod common;
#[path = "common/embedded.rs"]
mod embedded;

use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{CpuTime, criterion, full_size};
use criterion::{Criterion, SamplingMode, Throughput};
use embedded::Bench;
use streams_dsl::prelude::*;

/// How often the book is read in a full run.
const TIMES: usize = 8;
/// Words in the book.
const WORDS: u64 = 791_450;

fn main() {
    let mut criterion = criterion();
    word_count(&mut criterion);
    criterion.final_summary();
}

fn word_count(criterion: &mut Criterion<CpuTime>) {
    let text = book();
    let times = if full_size() { TIMES } else { 1 };
    let bench = Bench::new(&["lines", "word-counts"]);
    bench.load("lines", |send| {
        for line in std::iter::repeat_n(text.lines(), times).flatten() {
            let (_, verse) = line.split_once('\t').unwrap_or_default();
            send(None, verse.as_bytes());
        }
    });
    let topology = topology();
    // Each run is a new application, so that it counts everything again.
    let runs = AtomicU32::new(0);
    let mut group = criterion.benchmark_group("word_count");
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(WORDS * times as u64));
    group.bench_function("embedded, exactly-once, RocksDB", |bencher| {
        bencher.iter(|| {
            let processed = bench.run(
                &topology,
                &format!("word-count-{}", runs.fetch_add(1, Ordering::Relaxed)),
            );
            assert_eq!(
                processed,
                text.lines().count() as u64 * times as u64 + WORDS * times as u64
            );
        });
    });
    group.finish();
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("lines")
        .flat_map_values(words)
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to("word-counts");
    builder.build().expect("a topology")
}

fn words(line: String) -> Vec<String> {
    let runs = line.split(|letter: char| !letter.is_ascii_alphabetic());
    runs.filter(|run| !run.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

fn book() -> String {
    let packed: &[u8] = include_bytes!("../examples/data/kjv.tsv.gz");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("the bundled book");
    text
}
