//! Sensors: what processors of the user's count and measure, and the metrics that are made of it (Kafka's `StreamsMetrics`).
//!
//! A sensor keeps all that any of its metrics may ask for: counts and sums from the start on, and a few samples of the last time
//! for rates, averages and extremes, each of [`SAMPLE_MS`]. Old samples are dropped, so that it never grows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Metric, TaskMetrics};
use crate::error::{Result, StreamsError};

/// How much is recorded (Kafka's `Sensor.RecordingLevel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordingLevel {
    /// What one always wants to know.
    #[default]
    Info,
    /// What helps to find out why something is slow or wrong.
    Debug,
    /// What costs so much that it is recorded only on purpose.
    Trace,
}

/// How many sensors one task may have. One for each key, say, is not what they are for.
pub const SENSORS_MAX: usize = 1_000;
/// How long one sample is taken (Kafka's `metrics.sample.window.ms`).
const SAMPLE_MS: i64 = 30_000;
/// How many samples rates, averages and extremes are made of (Kafka's `metrics.num.samples`).
const SAMPLES: i64 = 2;

/// What a metric says of the values that its sensor recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stat {
    /// How many there were (Kafka's `CumulativeCount`).
    Count,
    /// Their sum (Kafka's `CumulativeSum`).
    Sum,
    /// The last one; not a number before the first (Kafka's `Value`).
    Value,
    /// How many there were in a second, over the last 30 to 60 seconds (Kafka's `Rate` of a `WindowedCount`).
    Rate,
    /// Their average over the last 30 to 60 seconds; not a number if there was none (Kafka's `Avg`).
    Avg,
    /// The largest of the last 30 to 60 seconds; not a number if there was none (Kafka's `Max`).
    Max,
    /// The smallest of the last 30 to 60 seconds; not a number if there was none (Kafka's `Min`).
    Min,
}

/// Records values of one kind in one task; its metrics say something of them. Taken from
/// [`ProcessorInit`](crate::processor::ProcessorInit::add_sensor), recorded with
/// [`TaskContext::record`](crate::TaskContext::record). A cheap handle.
#[derive(Clone, Debug)]
pub struct Sensor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    /// Nothing is recorded otherwise.
    is_enabled: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    metrics: Vec<SensorMetric>,
    count: u64,
    sum: f64,
    last: Option<f64>,
    /// The sample being taken, and the one before.
    samples: [Option<Sample>; SAMPLES as usize],
}

#[derive(Debug)]
struct SensorMetric {
    name: String,
    group: String,
    tags: BTreeMap<String, String>,
    stat: Stat,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    start_ms: i64,
    last_ms: i64,
    count: u64,
    sum: f64,
    max: f64,
    min: f64,
}

impl Sample {
    fn starting(now_ms: i64) -> Self {
        Self {
            start_ms: now_ms,
            last_ms: now_ms,
            count: 0,
            sum: 0.0,
            max: f64::NEG_INFINITY,
            min: f64::INFINITY,
        }
    }

    fn record(&mut self, value: f64, now_ms: i64) {
        self.last_ms = now_ms;
        self.count += 1;
        self.sum += value;
        self.max = self.max.max(value);
        self.min = self.min.min(value);
    }
}

impl Sensor {
    /// Adds a metric: what `stat` says of the recorded values, under this name. Does nothing if the sensor has it already.
    ///
    /// `group` and `tags` tell it from others of the same name; the task is one of the tags when it is read.
    #[must_use]
    pub fn metric(self, name: &str, group: &str, tags: &[(&str, &str)], stat: Stat) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metric = SensorMetric {
            name: name.to_owned(),
            group: group.to_owned(),
            tags: tags.iter().map(owned).collect(),
            stat,
        };
        self.state().add(metric);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// True if it records: its level is not finer than the [application's](crate::runtime::StreamsConfig::metrics_recording_level).
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.is_enabled
    }

    pub(crate) fn record(&self, value: f64, now_ms: i64) {
        if self.0.is_enabled {
            self.state().record(value, now_ms);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its metrics say now.
    fn read(&self, now_ms: i64, metrics: &mut Vec<Metric>) {
        let state = self.state();
        metrics.extend(state.metrics.iter().map(|metric| Metric {
            name: metric.name.clone(),
            group: metric.group.clone(),
            tags: metric.tags.clone(),
            value: state.value(metric.stat, now_ms),
        }));
    }
}

impl State {
    fn add(&mut self, metric: SensorMetric) {
        let same = |other: &SensorMetric| {
            (&other.name, &other.group, &other.tags) == (&metric.name, &metric.group, &metric.tags)
        };
        if !self.metrics.iter().any(same) {
            self.metrics.push(metric);
        }
    }

    fn record(&mut self, value: f64, now_ms: i64) {
        self.count += 1;
        self.sum += value;
        self.last = Some(value);
        let is_over = |sample: &Sample| now_ms.saturating_sub(sample.start_ms) >= SAMPLE_MS;
        if self.samples[0].as_ref().is_none_or(is_over) {
            self.samples.rotate_right(1);
            self.samples[0] = Some(Sample::starting(now_ms));
        }
        if let Some(sample) = &mut self.samples[0] {
            sample.record(value, now_ms);
        }
    }

    /// Samples that are not too old.
    fn recent(&self, now_ms: i64) -> impl Iterator<Item = &Sample> {
        let is_recent = move |sample: &&Sample| now_ms.saturating_sub(sample.last_ms) < SAMPLES * SAMPLE_MS;
        self.samples.iter().flatten().filter(is_recent)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "metrics are floating point, as in Kafka"
    )]
    fn value(&self, stat: Stat, now_ms: i64) -> f64 {
        let count: u64 = self.recent(now_ms).map(|sample| sample.count).sum();
        let or_nan = |value: f64| if count == 0 { f64::NAN } else { value };
        match stat {
            Stat::Count => self.count as f64,
            Stat::Sum => self.sum,
            Stat::Value => self.last.unwrap_or(f64::NAN),
            Stat::Rate => count as f64 / self.window_s(now_ms),
            Stat::Avg => {
                let sum: f64 = self.recent(now_ms).map(|sample| sample.sum).sum();
                or_nan(sum / count as f64)
            }
            Stat::Max => {
                let largest = self.recent(now_ms).map(|sample| sample.max);
                or_nan(largest.fold(f64::NEG_INFINITY, f64::max))
            }
            Stat::Min => {
                let smallest = self.recent(now_ms).map(|sample| sample.min);
                or_nan(smallest.fold(f64::INFINITY, f64::min))
            }
        }
    }

    /// What a rate is divided by, as in Kafka: the time since the oldest sample began, and at first as if all samples but the one
    /// being taken were full.
    #[expect(
        clippy::cast_precision_loss,
        reason = "metrics are floating point, as in Kafka"
    )]
    fn window_s(&self, now_ms: i64) -> f64 {
        let oldest_ms = self.recent(now_ms).map(|sample| sample.start_ms).min();
        let elapsed_ms = now_ms.saturating_sub(oldest_ms.unwrap_or(now_ms)).max(0);
        let missing = (SAMPLES - 1 - elapsed_ms / SAMPLE_MS).max(0);
        let window_ms = elapsed_ms.saturating_add(missing * SAMPLE_MS).max(SAMPLE_MS);
        window_ms as f64 / 1_000.0
    }
}

/// The sensors of one task.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    level: RecordingLevel,
    all: Mutex<Vec<Sensor>>,
}

impl Sensors {
    pub(super) fn new(level: RecordingLevel) -> Self {
        Self {
            level,
            all: Mutex::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Sensor>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, now_ms: i64, metrics: &mut Vec<Metric>) {
        for sensor in &*self.all() {
            sensor.read(now_ms, metrics);
        }
    }
}

impl TaskMetrics {
    /// The sensor of this name, which is made if there is none.
    pub(crate) fn add_sensor(&self, name: &str, level: RecordingLevel) -> Result<Sensor> {
        let mut all = self.sensors.all();
        if let Some(sensor) = all.iter().find(|sensor| sensor.name() == name) {
            return Ok(sensor.clone());
        }
        if all.len() >= SENSORS_MAX {
            return Err(StreamsError::Topology(format!(
                "sensor {name} is one too many: a task has at most {SENSORS_MAX}; record different things with few sensors"
            )));
        }
        let sensor = Sensor(Arc::new(Inner {
            name: name.to_owned(),
            is_enabled: level <= self.sensors.level,
            state: Mutex::default(),
        }));
        all.push(sensor.clone());
        Ok(sensor)
    }

    pub(crate) fn add_rate_total_sensor(
        &self,
        (scope, entity): (&str, &str),
        operation: &str,
        level: RecordingLevel,
    ) -> Result<Sensor> {
        let (group, id) = (format!("stream-{scope}-metrics"), format!("{scope}-id"));
        let tags = [(id.as_str(), entity)];
        let sensor = self.add_sensor(&format!("{scope}.{entity}.{operation}"), level)?;
        Ok(sensor
            .metric(&format!("{operation}-rate"), &group, &tags, Stat::Rate)
            .metric(&format!("{operation}-total"), &group, &tags, Stat::Count))
    }

    pub(crate) fn add_latency_rate_total_sensor(
        &self,
        (scope, entity): (&str, &str),
        operation: &str,
        level: RecordingLevel,
    ) -> Result<Sensor> {
        let sensor = self.add_rate_total_sensor((scope, entity), operation, level)?;
        let (group, id) = (format!("stream-{scope}-metrics"), format!("{scope}-id"));
        let tags = [(id.as_str(), entity)];
        Ok(sensor
            .metric(&format!("{operation}-latency-avg"), &group, &tags, Stat::Avg)
            .metric(&format!("{operation}-latency-max"), &group, &tags, Stat::Max))
    }

    pub(crate) fn remove_sensor(&self, sensor: &Sensor) {
        self.sensors
            .all()
            .retain(|other| !Arc::ptr_eq(&other.0, &sensor.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &TaskMetrics, name: &str, now_ms: i64) -> f64 {
        let mut read = Vec::new();
        metrics.sensors.read(now_ms, &mut read);
        read.into_iter().find(|metric| metric.name == name).unwrap().value
    }

    #[test]
    fn rates_averages_and_extremes_are_of_the_last_minute() {
        let metrics = TaskMetrics::new(RecordingLevel::Info);
        let sensor = metrics
            .add_latency_rate_total_sensor(("cache", "local"), "look-up", RecordingLevel::Info)
            .unwrap()
            .metric("look-up-latency-min", "stream-cache-metrics", &[], Stat::Min);
        assert!(value(&metrics, "look-up-latency-avg", 0).is_nan());
        assert!(value(&metrics, "look-up-latency-max", 0).is_nan());
        assert_eq!(value(&metrics, "look-up-rate", 0), 0.0);
        // Two samples: 3 in the first, 6 in the second.
        for (n, second) in [(3, 0), (6, 35)] {
            for n in 0..n {
                sensor.record(f64::from(n), second * 1_000);
            }
        }
        // As if the sample before had been full.
        assert_eq!(value(&metrics, "look-up-rate", 35_000), 9.0 / 35.0);
        assert_eq!(value(&metrics, "look-up-rate", 50_000), 9.0 / 50.0);
        assert_eq!(value(&metrics, "look-up-latency-avg", 50_000), 2.0);
        assert_eq!(value(&metrics, "look-up-latency-max", 50_000), 5.0);
        assert_eq!(value(&metrics, "look-up-latency-min", 50_000), 0.0);
        // The first is too old.
        assert_eq!(value(&metrics, "look-up-rate", 60_000), 6.0 / 55.0);
        assert_eq!(value(&metrics, "look-up-latency-avg", 60_000), 2.5);
        // A third takes its place; the second is still there.
        sensor.record(70.0, 70_000);
        assert_eq!(value(&metrics, "look-up-latency-max", 70_000), 70.0);
        assert_eq!(value(&metrics, "look-up-rate", 70_000), 7.0 / 35.0);
        assert_eq!(value(&metrics, "look-up-total", 70_000), 10.0);
        assert!(value(&metrics, "look-up-latency-avg", 200_000).is_nan());
        assert_eq!(value(&metrics, "look-up-total", 200_000), 10.0);
    }

    #[test]
    fn a_clock_that_goes_backward_does_no_harm() {
        let metrics = TaskMetrics::new(RecordingLevel::Info);
        let sensor = metrics.add_sensor("s", RecordingLevel::Info).unwrap();
        let sensor = sensor
            .metric("rate", "g", &[], Stat::Rate)
            .metric("sum", "g", &[], Stat::Sum);
        for now_ms in [i64::MAX, 0, i64::MIN, 1_000] {
            sensor.record(1.5, now_ms);
            assert!(value(&metrics, "rate", now_ms).is_finite());
            assert!(value(&metrics, "rate", 0).is_finite());
        }
        assert_eq!(value(&metrics, "sum", 0), 6.0);
    }

    #[test]
    fn what_is_finer_than_the_level_is_not_recorded() {
        use RecordingLevel::{Debug, Info, Trace};
        for (level, expected) in [
            (Info, [1.0, 0.0, 0.0]),
            (Debug, [1.0, 1.0, 0.0]),
            (Trace, [1.0; 3]),
        ] {
            let metrics = TaskMetrics::new(level);
            for (name, of, expected) in [
                ("i", Info, expected[0]),
                ("d", Debug, expected[1]),
                ("t", Trace, expected[2]),
            ] {
                let sensor = metrics
                    .add_sensor(name, of)
                    .unwrap()
                    .metric(name, "g", &[], Stat::Count);
                sensor.record(9.0, 0);
                assert_eq!(sensor.is_enabled(), expected > 0.0);
                assert_eq!(value(&metrics, name, 0), expected, "{name} at {level:?}");
            }
        }
    }

    #[test]
    fn a_name_is_one_sensor_and_there_are_not_too_many() {
        let metrics = TaskMetrics::new(RecordingLevel::Info);
        let added = |name: &str| metrics.add_sensor(name, RecordingLevel::Info);
        for _ in 0..2 {
            let sensor = added("one").unwrap().metric("n", "g", &[], Stat::Count);
            sensor.record(1.0, 0);
        }
        assert_eq!(value(&metrics, "n", 0), 2.0);
        for n in 1..SENSORS_MAX {
            added(&n.to_string()).unwrap();
        }
        let error = added("more").unwrap_err().to_string();
        assert!(error.contains("at most 1000"), "{error}");
        metrics.remove_sensor(&added("one").unwrap());
        assert!(added("more").is_ok());
    }
}
