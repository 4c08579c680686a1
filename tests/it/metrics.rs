//! What is read of a running application: what it counts itself, and what its processors' sensors say.

use std::sync::Arc;
use std::time::Duration;

use streams_dsl::metrics::{Metric, RecordingLevel, Sensor, Stat};
use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext};

use crate::support::{create_topics, embedded, send, wait};

/// Passes on what it measures.
struct Measured {
    lengths: Sensor,
    calls: Sensor,
    details: Sensor,
}

impl Processor<String, String, String, i64> for Measured {
    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        let length = record.value.len();
        let task = context.task();
        task.record(&self.lengths, length as f64);
        task.record(&self.calls, 2.5);
        task.record(&self.details, 1.0);
        context.forward(record.with_value(length as i64))
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let texts = builder.stream::<String, String>("in");
    let measured = texts.process(&[], |init| {
        let lengths = init.add_sensor("lengths", RecordingLevel::Info)?;
        Ok(Measured {
            lengths: lengths
                .metric("length-total", "texts", &[("of", "values")], Stat::Sum)
                .metric("length-last", "texts", &[("of", "values")], Stat::Value),
            calls: init.add_latency_rate_total_sensor("texts", "all", "measure", RecordingLevel::Info)?,
            details: init.add_rate_total_sensor("texts", "all", "detail", RecordingLevel::Debug)?,
        })
    });
    measured.to("out");
    builder.build().unwrap()
}

/// The values of all metrics that have this name and these tags, by task.
fn values(metrics: &[Metric], name: &str, tags: &[(&str, &str)]) -> Vec<(String, f64)> {
    let is_of = |metric: &&Metric| {
        let has = |(key, value): &(&str, &str)| metric.tags.get(*key).is_some_and(|of| of == value);
        metric.name == name && tags.iter().all(has)
    };
    let found = metrics.iter().filter(is_of);
    found
        .map(|metric| (metric.tags["task-id"].clone(), metric.value))
        .collect()
}

fn by_task(values: [f64; 2]) -> Vec<(String, f64)> {
    let tasks = ["0_0", "0_1"].map(ToOwned::to_owned);
    tasks.into_iter().zip(values).collect()
}

#[test]
fn sensors_of_each_task_are_read_with_what_the_task_counts() {
    for (level, details) in [
        (RecordingLevel::Info, [0.0, 0.0]),
        (RecordingLevel::Debug, [2.0, 1.0]),
    ] {
        let (log, dir) = embedded();
        create_topics(&*log, &[("in", 2), ("out", 2)]);
        let config = StreamsConfig::new("app")
            .state_dir(dir.path().join("state"))
            .metrics_recording_level(level)
            .num_stream_threads(2);
        let streams = Streams::start(&topology(), config, Arc::clone(&log)).unwrap();
        streams.wait_until_running(Duration::from_secs(10)).unwrap();
        for (partition, text) in [(0, "tea"), (0, "milk"), (1, "coffee")] {
            send(
                &*log,
                [("in", partition, b"k".as_slice(), Some(text.as_bytes()), 1)],
            );
        }
        wait(&[&streams]);
        let metrics = streams.read_metrics();
        let texts = [("of", "values")];
        assert_eq!(values(&metrics, "length-total", &texts), by_task([7.0, 6.0]));
        assert_eq!(values(&metrics, "length-last", &texts), by_task([4.0, 6.0]));
        let all = [("texts-id", "all")];
        assert_eq!(values(&metrics, "measure-total", &all), by_task([2.0, 1.0]));
        assert_eq!(values(&metrics, "measure-latency-max", &all), by_task([2.5, 2.5]));
        let rates = values(&metrics, "measure-rate", &all).into_iter();
        assert!(rates.clone().count() == 2 && rates.map(|(_, rate)| rate).all(|rate| rate > 0.0));
        assert_eq!(values(&metrics, "detail-total", &all), by_task(details));
        assert_eq!(values(&metrics, "process-total", &[]), by_task([2.0, 1.0]));
        assert_eq!(
            values(&metrics, "records-produced-total", &[]),
            by_task([2.0, 1.0])
        );
        let late = [("reason", "late")];
        assert_eq!(
            values(&metrics, "dropped-records-total", &late),
            by_task([0.0, 0.0])
        );
        streams.close().unwrap();
    }
}

#[test]
fn the_driver_reads_them_too_and_moves_their_clock() {
    let options = TestDriverOptions::default().metrics_recording_level(RecordingLevel::Trace);
    let driver = TopologyTestDriver::with_options(&topology(), options).unwrap();
    driver.input("in").pipe("k".to_owned(), "tea".to_owned()).unwrap();
    let value = |name: &str| values(&driver.read_metrics(), name, &[])[0].1;
    assert_eq!((value("detail-total"), value("measure-rate")), (1.0, 1.0 / 30.0));
    driver.advance_wall_clock(Duration::from_secs(45)).unwrap();
    assert_eq!(value("measure-rate"), 1.0 / 45.0);
    driver.advance_wall_clock(Duration::from_secs(45)).unwrap();
    assert_eq!((value("detail-total"), value("measure-rate")), (1.0, 0.0));
}
