//! What the operator benches share: topologies on the test driver, fed one record at a time.
//!
//! Record `n` has the time `n` milliseconds, a key that is uniform over [`KEYS`], and as value 20 digits that are another such
//! key, so that a value can be a foreign key. The clock runs while records are piped in: serialised, processed, committed and
//! captured, as a test does it. Making the driver, filling tables and dropping what was captured are not measured.

#[path = "keys.rs"]
mod keys;

use criterion::{BatchSize, SamplingMode, Throughput};
use keys::key;
use streams_core::testing::TestInputTopic;
use streams_dsl::prelude::*;

use crate::common::{criterion, full_size};

/// Records of a full run, and of a test.
const RECORDS: (u64, u64) = (200_000, 2_000);
const KEYS: u64 = 10_000;
/// The topic that every topology writes.
pub(crate) const OUTPUT: &str = "out";

/// One topology of keys that are `i64` and values that are `String`, and what is fed to it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Declares it, to write to [`OUTPUT`].
    pub(crate) declare: fn(&StreamsBuilder),
    /// Topics with a row for each key before the clock starts.
    pub(crate) filled: &'static [&'static str],
    /// Topics that take the records in turns.
    pub(crate) inputs: &'static [&'static str],
}

/// Measures all cases.
pub(crate) fn run(name: &str, cases: &[Case]) {
    let records = if full_size() { RECORDS.0 } else { RECORDS.1 };
    let input = Input::new(records);
    let mut criterion = criterion();
    let mut group = criterion.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(records));
    for case in cases {
        let builder = StreamsBuilder::new();
        (case.declare)(&builder);
        let topology = builder.build().expect("a topology");
        let filled = || {
            let driver = TopologyTestDriver::new(&topology).expect("a live topology");
            input.fill(&driver, case.filled);
            driver
        };
        group.bench_function(case.name, |bencher| {
            bencher.iter_batched_ref(
                filled,
                |driver| input.feed(driver, case.inputs),
                BatchSize::PerIteration,
            );
        });
        let driver = filled();
        input.feed(&driver, case.inputs);
        let output = driver.output::<Vec<u8>, Option<Vec<u8>>>(OUTPUT);
        assert!(!output.is_empty(), "{}: nothing was written", case.name);
    }
    group.finish();
    criterion.final_summary();
}

struct Input {
    records: u64,
    /// All values there are.
    values: Vec<String>,
}

impl Input {
    fn new(records: u64) -> Self {
        let values = (0..KEYS).map(|key| format!("{key:020}")).collect();
        Self { records, values }
    }

    fn fill(&self, driver: &TopologyTestDriver, topics: &[&str]) {
        for topic in topics {
            let input = driver.input::<i64, String>(topic);
            for n in 0..KEYS {
                let value = self.value(n).clone();
                input
                    .pipe_at(n.cast_signed(), value, 0)
                    .expect("a processed record");
            }
        }
    }

    fn feed(&self, driver: &TopologyTestDriver, topics: &[&str]) {
        let inputs: Vec<TestInputTopic<i64, String>> =
            topics.iter().map(|topic| driver.input(topic)).collect();
        let mut record = Record::new(0, String::new(), 0);
        for (n, input) in (0..self.records).zip(inputs.iter().cycle()) {
            record.key = key(n, KEYS).cast_signed();
            record.value.clone_from(self.value(n));
            record.timestamp_ms = n.cast_signed();
            input.pipe_record(&record).expect("a processed record");
        }
    }

    /// The value of record `n`: independent of its key.
    fn value(&self, n: u64) -> &String {
        &self.values[key(n + self.records, KEYS) as usize]
    }
}
