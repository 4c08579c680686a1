//! What a task counts. Plain atomics, one set a task, read at any time by anyone; and the sensors of its processors.
//!
//! Names follow Kafka Streams' task metrics (`process`, `dropped-records`); a drop carries its reason.

mod sensor;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};

use sensor::Sensors;
pub use sensor::{RecordingLevel, SENSORS_MAX, Sensor, Stat};

use crate::assignment::TaskId;

/// Why a record was dropped rather than processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
#[non_exhaustive]
pub enum DropReason {
    /// The key is null where an operator needs one.
    NullKey,
    /// The value is null where an operator needs one.
    NullValue,
    /// A null on the wire where the stream's type has none.
    UnexpectedNull,
    /// Its window was closed: older than stream time minus grace.
    Late,
    /// Negative timestamp.
    InvalidTimestamp,
    /// Its bytes could not be read, and the handler said to go on.
    Deserialization,
    /// A processor returned an error, and the handler said to go on.
    Processing,
    /// A result could not be written, and the handler said to go on.
    Production,
    /// A join or an aggregation of a versioned table: there is a newer row.
    OutOfOrder,
    /// An answer of a foreign-key join whose row is another by now.
    StaleResponse,
    /// A partitioner chose no partition for it.
    NoPartition,
    /// Put into a store of windows or sessions that does not keep what is that old any more.
    Expired,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [DropReason; 12] = [
        DropReason::NullKey,
        DropReason::NullValue,
        DropReason::UnexpectedNull,
        DropReason::Late,
        DropReason::InvalidTimestamp,
        DropReason::Deserialization,
        DropReason::Processing,
        DropReason::Production,
        DropReason::OutOfOrder,
        DropReason::StaleResponse,
        DropReason::NoPartition,
        DropReason::Expired,
    ];
}

impl Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::NullKey => "null-key",
            DropReason::NullValue => "null-value",
            DropReason::UnexpectedNull => "unexpected-null",
            DropReason::Late => "late",
            DropReason::InvalidTimestamp => "invalid-timestamp",
            DropReason::Deserialization => "deserialization",
            DropReason::Processing => "processing",
            DropReason::Production => "production",
            DropReason::OutOfOrder => "out-of-order",
            DropReason::StaleResponse => "stale-response",
            DropReason::NoPartition => "no-partition",
            DropReason::Expired => "expired",
        })
    }
}

/// One thing that is known of a running application (Kafka's `Metric`, with its `MetricName`).
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// What it is, such as `process-total`.
    pub name: String,
    /// What kind of thing it is of, such as `stream-task-metrics`.
    pub group: String,
    /// Which of them it is of: for one task, `task-id` is.
    pub tags: BTreeMap<String, String>,
    /// As of now.
    pub value: f64,
}

/// Counters of one task since it was created.
#[derive(Debug, Default)]
pub struct TaskMetrics {
    processed: AtomicU64,
    sent: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    sensors: Sensors,
}

/// The group of what every task counts.
const TASK_GROUP: &str = "stream-task-metrics";

impl TaskMetrics {
    /// Nothing yet. Sensors record if their level is not finer than this one.
    pub(crate) fn new(level: RecordingLevel) -> Self {
        Self {
            sensors: Sensors::new(level),
            ..Self::default()
        }
    }

    /// All that is counted and measured, of a task of this id.
    #[expect(
        clippy::cast_precision_loss,
        reason = "metrics are floating point, as in Kafka"
    )]
    pub(crate) fn read(&self, task: TaskId, now_ms: i64) -> Vec<Metric> {
        let count = |name: &str, value: u64, tags: BTreeMap<String, String>| Metric {
            name: name.to_owned(),
            group: TASK_GROUP.to_owned(),
            tags,
            value: value as f64,
        };
        let mut metrics = vec![
            count("process-total", self.processed(), BTreeMap::new()),
            count("records-produced-total", self.sent(), BTreeMap::new()),
        ];
        for reason in DropReason::ALL {
            let tags = BTreeMap::from([("reason".to_owned(), reason.to_string())]);
            metrics.push(count("dropped-records-total", self.dropped(reason), tags));
        }
        self.sensors.read(now_ms, &mut metrics);
        for metric in &mut metrics {
            metric.tags.insert("task-id".to_owned(), task.to_string());
        }
        metrics
    }

    /// Input records processed.
    #[must_use]
    pub fn processed(&self) -> u64 {
        self.processed.load(Ordering::Relaxed)
    }

    /// Records written to output and repartition topics.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Records dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count_processed(&self, records: u64) {
        add(&self.processed, records);
    }

    pub(crate) fn count_sent(&self) {
        add(&self.sent, 1);
    }

    pub(crate) fn count_dropped(&self, reason: DropReason) {
        self.count_all_dropped(reason, 1);
    }

    pub(crate) fn count_all_dropped(&self, reason: DropReason, records: u64) {
        add(&self.dropped[reason as usize], records);
    }
}

/// Only the task's own thread writes, so that a load and a store do: no locked instruction on the processing path.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}
