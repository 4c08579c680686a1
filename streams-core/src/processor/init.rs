//! `ProcessorInit`: what a processor takes while it is made: stores, schedules, sensors.

use std::path::Path;
use std::time::Duration;

use super::{PunctuationType, Schedule, Scheduler};
use crate::assignment::TaskId;
use crate::error::Result;
use crate::metrics::{RecordingLevel, Sensor};
use crate::store::{
    Custom, CustomStore, GlobalKeyValueStore, KeyValueStore, SessionStore, VersionedKeyValueStore,
    WindowStore,
};
use crate::topology::Wiring;

/// What a processor takes while it is made.
pub struct ProcessorInit<'a, 'w> {
    wiring: &'a mut Wiring<'w>,
    /// If it was asked for.
    pub(super) scheduler: Option<Scheduler>,
}

impl<'a, 'w> ProcessorInit<'a, 'w> {
    pub(crate) fn new(wiring: &'a mut Wiring<'w>, scheduler: Option<Scheduler>) -> Self {
        Self { wiring, scheduler }
    }

    /// A key-value store connected to this processor.
    ///
    /// # Errors
    /// If it is not connected, or of another type.
    pub fn key_value_store<K: 'static, V: 'static>(&self, name: &str) -> Result<KeyValueStore<K, V>> {
        self.wiring.key_value_store(name)
    }

    /// A window store connected to this processor.
    ///
    /// # Errors
    /// If it is not connected, or of another type.
    pub fn window_store<K: 'static, V: 'static>(&self, name: &str) -> Result<WindowStore<K, V>> {
        self.wiring.window_store(name)
    }

    /// A session store connected to this processor.
    ///
    /// # Errors
    /// If it is not connected, or of another type.
    pub fn session_store<K: 'static, V: 'static>(&self, name: &str) -> Result<SessionStore<K, V>> {
        self.wiring.session_store(name)
    }

    /// A versioned store connected to this processor.
    ///
    /// # Errors
    /// If it is not connected, or of another type.
    pub fn versioned_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<K, V>> {
        self.wiring.versioned_store(name)
    }

    /// A store of [one's own](CustomStore) connected to this processor.
    ///
    /// # Errors
    /// If it is not connected, or of another type.
    pub fn custom_store<S: CustomStore>(&self, name: &str) -> Result<Custom<S>> {
        self.wiring.custom_store(name)
    }

    /// A global store. All processors may read it.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn global_store<K: 'static, V: 'static>(&self, name: &str) -> Result<GlobalKeyValueStore<K, V>> {
        self.wiring.global_store(name)
    }

    /// Has [`Processor::punctuate`](super::Processor::punctuate) called at this interval, from the start on: see [`Scheduler::schedule`].
    pub fn schedule(&mut self, every: Duration, kind: PunctuationType) -> Schedule {
        self.scheduler().schedule(every, kind)
    }

    /// For a processor that makes schedules later, or such as [begin at a certain time](Scheduler::schedule_at).
    pub fn scheduler(&mut self) -> Scheduler {
        self.scheduler.get_or_insert_default().clone()
    }

    /// A sensor of the task, for [metrics](Sensor::metric) of one's own (Kafka's `StreamsMetrics.addSensor`); the one there is, if
    /// the task has one of this name. It records if the application's
    /// [level](crate::runtime::StreamsConfig::metrics_recording_level) is `level` or finer.
    ///
    /// ```
    /// use streams_core::Record;
    /// use streams_core::metrics::{RecordingLevel, Sensor, Stat};
    /// use streams_core::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// /// Passes texts on, and knows how long they are.
    /// struct Measure(Sensor);
    ///
    /// impl Processor<String, String, String, String> for Measure {
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, String>,
    ///         context: &mut ProcessorContext<'_, '_, String, String>,
    ///     ) -> Result<(), BoxError> {
    ///         context.task().record(&self.0, record.value.len() as f64);
    ///         context.forward(record)
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let texts = builder.add_source::<String, String>("in", [TopicName::external("in")], SourceOptions::default());
    /// let measured = builder.add_processor("measure", &[texts], &[], |init| {
    ///     let lengths = init.add_sensor("lengths", RecordingLevel::Info)?;
    ///     let lengths = lengths.metric("length-max", "texts", &[], Stat::Max);
    ///     Ok(Measure(lengths.metric("length-total", "texts", &[], Stat::Sum)))
    /// });
    /// builder.add_sink("out", TopicName::external("out"), &[measured], SinkOptions::default());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_key_values(["tea", "coffee"].map(|text| ("a".to_string(), text.to_string())))?;
    /// let metrics = driver.read_metrics();
    /// let value = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().value;
    /// assert_eq!((value("length-max"), value("length-total")), (6.0, 9.0));
    /// assert_eq!(value("process-total"), 2.0);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// If the task has [too many](crate::metrics::SENSORS_MAX).
    pub fn add_sensor(&self, name: &str, level: RecordingLevel) -> Result<Sensor> {
        self.wiring.metrics.add_sensor(name, level)
    }

    /// A sensor with Kafka's metrics of an operation: `<operation>-rate` and `<operation>-total`, in group `stream-<scope>-metrics`,
    /// with the tag `<scope>-id`, which is the entity. They count how often something is recorded, whatever the value is.
    ///
    /// ```
    /// use streams_core::metrics::RecordingLevel;
    /// use streams_core::testing::MockProcessorContext;
    ///
    /// let mut context = MockProcessorContext::<String, i64>::new();
    /// let look_ups = context.make(|init| init.add_rate_total_sensor("cache", "prices", "look-up", RecordingLevel::Info))?;
    /// context.task().record(&look_ups, 1.0);
    /// let metrics = context.read_metrics();
    /// let total = metrics.iter().find(|metric| metric.name == "look-up-total").unwrap();
    /// assert_eq!((total.group.as_str(), total.value), ("stream-cache-metrics", 1.0));
    /// assert_eq!((total.tags["cache-id"].as_str(), total.tags["task-id"].as_str()), ("prices", "0_0"));
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`add_sensor`](Self::add_sensor).
    pub fn add_rate_total_sensor(
        &self,
        scope: &str,
        entity: &str,
        operation: &str,
        level: RecordingLevel,
    ) -> Result<Sensor> {
        let metrics = self.wiring.metrics;
        metrics.add_rate_total_sensor((scope, entity), operation, level)
    }

    /// As [`add_rate_total_sensor`](Self::add_rate_total_sensor), with `<operation>-latency-avg` and `<operation>-latency-max` of
    /// what is recorded: how long each operation took, in a unit of one's own.
    ///
    /// ```
    /// use streams_core::metrics::RecordingLevel;
    /// use streams_core::testing::MockProcessorContext;
    ///
    /// let mut context = MockProcessorContext::<String, i64>::new();
    /// let calls = context.make(|init| init.add_latency_rate_total_sensor("http", "rates", "call", RecordingLevel::Info))?;
    /// for took_ms in [7.0, 9.0] {
    ///     context.task().record(&calls, took_ms);
    /// }
    /// let metrics = context.read_metrics();
    /// let value = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().value;
    /// assert_eq!((value("call-latency-avg"), value("call-latency-max"), value("call-total")), (8.0, 9.0, 2.0));
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`add_sensor`](Self::add_sensor).
    pub fn add_latency_rate_total_sensor(
        &self,
        scope: &str,
        entity: &str,
        operation: &str,
        level: RecordingLevel,
    ) -> Result<Sensor> {
        let metrics = self.wiring.metrics;
        metrics.add_latency_rate_total_sensor((scope, entity), operation, level)
    }

    /// Does away with a sensor and its metrics. Its handles record nothing that anyone sees.
    pub fn remove_sensor(&self, sensor: &Sensor) {
        self.wiring.metrics.remove_sensor(sensor);
    }

    /// Name of the processor in its topology.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.wiring.node_name()
    }

    /// The application's id.
    #[must_use]
    pub fn application_id(&self) -> &str {
        self.wiring.application_id()
    }

    /// The task that the processor is made for.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.wiring.task_id()
    }

    /// The task's directory: see [`TaskContext::state_dir`](crate::TaskContext::state_dir).
    ///
    /// # Errors
    /// If it cannot be made, or a test did not say where.
    pub fn state_dir(&self) -> Result<&Path> {
        self.wiring.state_dir()
    }
}

impl std::fmt::Debug for ProcessorInit<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorInit")
            .field("wiring", &self.wiring)
            .finish_non_exhaustive()
    }
}
