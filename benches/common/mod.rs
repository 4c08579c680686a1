//! What the benches share: CPU time as the measure, criterion over it, and whether this is a full run.
//!
//! CPU time of the whole process (broker, application, RocksDB's threads) is what is compared: machines are shared, and wall
//! time measures the neighbours.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};

/// True if this is a benchmark run; else the bench is a test and its input small.
pub(crate) fn full_size() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Criterion over CPU time; few samples, since each is a whole run.
pub(crate) fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .configure_from_args()
}

/// CPU time of this process, all threads, and of those it started and that ended; user and system.
pub(crate) struct CpuTime;

/// Clock ticks a second, which Linux fixes for `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

impl CpuTime {
    fn seconds() -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it, those of
        // processes that ended the next two.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12) + ticks(13) + ticks(14)) / TICKS_PER_SECOND
    }
}

impl Measurement for CpuTime {
    type Intermediate = f64;
    type Value = f64;

    fn start(&self) -> f64 {
        Self::seconds()
    }

    fn end(&self, start: f64) -> f64 {
        Self::seconds() - start
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &CpuSeconds
    }
}

struct CpuSeconds;

impl ValueFormatter for CpuSeconds {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "CPU-s"
    }

    fn scale_throughputs(&self, _typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (Throughput::Elements(count) | Throughput::Bytes(count)) = throughput else {
            return "runs/CPU-s";
        };
        for value in values {
            *value = *count as f64 / 1e6 / *value;
        }
        "M records/CPU-s"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "CPU-s"
    }
}
