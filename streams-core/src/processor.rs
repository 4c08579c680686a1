//! The Processor API: what a user implements to do anything the DSL has no operator for.
//!
//! A processor that exists is initialised: it takes its stores and schedules from [`ProcessorInit`] when it is made, so
//! there is no state in which it must not be used.

mod schedule;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub use schedule::{PunctuationType, Schedule, Scheduler};

use crate::assignment::TaskId;
use crate::context::TaskContext;
use crate::edge::{Edge, Process, Shared};
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result};
use crate::handlers::Stage;
use crate::metrics::{RecordingLevel, Sensor};
use crate::record::{Headers, Record};
use crate::store::{GlobalKeyValueStore, KeyValueStore, SessionStore, VersionedKeyValueStore, WindowStore};
use crate::topology::Wiring;

/// What user code may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Processes records one at a time (Kafka's `Processor`). See [`TopologyBuilder`](crate::topology::TopologyBuilder) for an
/// example.
pub trait Processor<KI, VI, KO, VO>: 'static {
    /// Processes one record; what it [forwards](ProcessorContext::forward) is processed before that call returns.
    ///
    /// # Errors
    /// Any error stops the thread before it commits; the record is processed again after a restart.
    fn process(
        &mut self,
        record: Record<KI, VI>,
        context: &mut ProcessorContext<'_, '_, KO, VO>,
    ) -> Result<(), BoxError>;

    /// Called when a [schedule](Scheduler::schedule) is due, between records. Stream time: as of the records processed;
    /// wall-clock time: the clock's. Missed intervals are one call.
    ///
    /// # Errors
    /// As for [`process`](Self::process).
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, KO, VO>,
    ) -> Result<(), BoxError> {
        let _ = (schedule, timestamp_ms, context);
        Ok(())
    }
}

/// What a processor takes while it is made.
pub struct ProcessorInit<'a, 'w> {
    wiring: &'a mut Wiring<'w>,
    /// If it was asked for.
    scheduler: Option<Scheduler>,
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

    /// A global store. All processors may read it.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn global_store<K: 'static, V: 'static>(&self, name: &str) -> Result<GlobalKeyValueStore<K, V>> {
        self.wiring.global_store(name)
    }

    /// Has [`Processor::punctuate`] called at this interval, from the start on: see [`Scheduler::schedule`].
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

    /// The task's directory: see [`TaskContext::state_dir`].
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

/// What a processor is called, and those that come after it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// In the order they were added.
    pub(crate) children: Vec<String>,
    /// True if what comes next is a group, of one edge for each child.
    pub(crate) is_group: bool,
}

impl Place {
    #[cold]
    fn no_child(&self, child: &str) -> BoxError {
        let (name, children) = (&self.name, self.children.join(", "));
        format!("processor {name} has no child {child} to forward to, only: {children}").into()
    }
}

/// What a processor can do while it works (Kafka's `ProcessorContext`).
pub struct ProcessorContext<'a, 'b, KO, VO> {
    next: &'a mut Edge<KO, VO>,
    place: &'a Place,
    task: &'a mut TaskContext<'b>,
}

impl<'a, 'b, KO, VO> ProcessorContext<'a, 'b, KO, VO> {
    pub(crate) fn new(next: &'a mut Edge<KO, VO>, place: &'a Place, task: &'a mut TaskContext<'b>) -> Self {
        Self { next, place, task }
    }

    /// Passes a record on, and returns when all downstream work on it is done.
    ///
    /// # Errors
    /// If something downstream failed. Return it: the thread stops.
    pub fn forward(&mut self, record: Record<KO, VO>) -> Result<(), BoxError> {
        self.next
            .process(record, self.task)
            .map_err(|error| error as BoxError)
    }

    /// Passes a record on to one of the processors and sinks that come next, by its name in the topology, and returns when
    /// all downstream work on it is done. The others do not see it.
    ///
    /// ```
    /// use streams_core::Record;
    /// use streams_core::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// struct Sort;
    /// impl Processor<String, i64, String, i64> for Sort {
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         context: &mut ProcessorContext<'_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         let child = if record.value < 0 { "debts" } else { "credits" };
    ///         context.forward_to(child, record)
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    /// let sorted = builder.add_processor::<_, _, String, i64, _>("sort", &[input], &[], |_| Ok(Sort));
    /// for sink in ["credits", "debts"] {
    ///     builder.add_sink(sink, TopicName::external(sink), &[sorted], SinkOptions::default());
    /// }
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_key_values([("a".to_string(), 7_i64), ("b".to_string(), -7)])?;
    /// assert_eq!(driver.output::<String, i64>("credits").read_values(), [7]);
    /// assert_eq!(driver.output::<String, i64>("debts").read_values(), [-7]);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// If nothing of that name comes next, or something downstream failed. Return it: the thread stops.
    pub fn forward_to(&mut self, child: &str, record: Record<KO, VO>) -> Result<(), BoxError> {
        let Some(index) = self.place.children.iter().position(|name| name == child) else {
            return Err(self.place.no_child(child));
        };
        let processed = match self.place.is_group {
            false => self.next.process(record, self.task),
            true => match self.next.member(index) {
                Some(edge) => edge.process(record, self.task),
                None => return Err(self.place.no_child(child)),
            },
        };
        processed.map_err(|error| error as BoxError)
    }

    /// Time, task, position of the record, and requests to the task.
    pub fn task(&mut self) -> &mut TaskContext<'b> {
        self.task
    }
}

impl<KO, VO> std::fmt::Debug for ProcessorContext<'_, '_, KO, VO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorContext")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

/// Processes records one at a time and leaves their keys as they are (Kafka's `FixedKeyProcessor`): nothing behind it needs
/// another partitioning.
///
/// ```
/// use streams_core::processor::{BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};
///
/// /// Passes on how many characters a text has.
/// struct Measure;
///
/// impl<K: Clone + 'static> FixedKeyProcessor<K, String, usize> for Measure {
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<K, String>,
///         context: &mut FixedKeyProcessorContext<'_, '_, '_, K, usize>,
///     ) -> Result<(), BoxError> {
///         let length = record.value().chars().count();
///         context.forward(record.with_value(length))
///     }
/// }
/// ```
pub trait FixedKeyProcessor<K, VI, VO>: 'static {
    /// Processes one record; what it [forwards](FixedKeyProcessorContext::forward) is processed before that call returns.
    ///
    /// # Errors
    /// As for [`Processor::process`].
    fn process(
        &mut self,
        record: FixedKeyRecord<K, VI>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, K, VO>,
    ) -> Result<(), BoxError>;

    /// Called when a schedule is due, as [`Processor::punctuate`]. There is no record here, so nothing can be forwarded.
    ///
    /// # Errors
    /// As for [`Processor::process`].
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> Result<(), BoxError> {
        let _ = (schedule, timestamp_ms, task);
        Ok(())
    }
}

/// A record whose key stays (Kafka's `FixedKeyRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedKeyRecord<K, V>(Record<K, V>);

impl<K, V> FixedKeyRecord<K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.0.key
    }

    /// The value.
    pub fn value(&self) -> &V {
        &self.0.value
    }

    /// Event time, milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.0.timestamp_ms
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    /// The same record with another value.
    pub fn with_value<W>(self, value: W) -> FixedKeyRecord<K, W> {
        FixedKeyRecord(self.0.with_value(value))
    }

    /// The same record with its value mapped by `f`, unless that fails.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn try_map_value<W, E>(self, f: impl FnOnce(V) -> Result<W, E>) -> Result<FixedKeyRecord<K, W>, E> {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = self.0;
        Ok(FixedKeyRecord(Record {
            key,
            value: f(value)?,
            timestamp_ms,
            headers,
        }))
    }

    /// The same record with another event time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.0.timestamp_ms = timestamp_ms;
        self
    }

    /// The same record with other headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.0.headers = headers;
        self
    }
}

/// What a [`FixedKeyProcessor`] can do while it works (Kafka's `FixedKeyProcessorContext`).
#[derive(Debug)]
pub struct FixedKeyProcessorContext<'a, 'b, 'c, K, VO>(&'a mut ProcessorContext<'b, 'c, K, VO>);

impl<'c, K, VO> FixedKeyProcessorContext<'_, '_, 'c, K, VO> {
    /// Passes a record on, and returns when all downstream work on it is done.
    ///
    /// # Errors
    /// If something downstream failed. Return it: the thread stops.
    pub fn forward(&mut self, record: FixedKeyRecord<K, VO>) -> Result<(), BoxError> {
        self.0.forward(record.0)
    }

    /// Passes a record on to one of the processors and sinks that come next, by its name: see
    /// [`ProcessorContext::forward_to`].
    ///
    /// # Errors
    /// If nothing of that name comes next, or something downstream failed. Return it: the thread stops.
    pub fn forward_to(&mut self, child: &str, record: FixedKeyRecord<K, VO>) -> Result<(), BoxError> {
        self.0.forward_to(child, record.0)
    }

    /// Time, task, position of the record, and requests to the task.
    pub fn task(&mut self) -> &mut TaskContext<'c> {
        self.0.task()
    }
}

/// Hands a record to a processor that leaves its key as it is.
pub(crate) fn process_fixed_key<K, VI, VO>(
    processor: &mut impl FixedKeyProcessor<K, VI, VO>,
    record: Record<K, VI>,
    context: &mut ProcessorContext<'_, '_, K, VO>,
) -> Result<(), BoxError> {
    processor.process(FixedKeyRecord(record), &mut FixedKeyProcessorContext(context))
}

/// A fixed-key processor as one of any key.
pub(crate) struct FixedKey<P>(pub(crate) P);

impl<K: 'static, VI: 'static, VO: 'static, P: FixedKeyProcessor<K, VI, VO>> Processor<K, VI, K, VO>
    for FixedKey<P>
{
    fn process(
        &mut self,
        record: Record<K, VI>,
        context: &mut ProcessorContext<'_, '_, K, VO>,
    ) -> Result<(), BoxError> {
        process_fixed_key(&mut self.0, record, context)
    }

    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, K, VO>,
    ) -> Result<(), BoxError> {
        self.0.punctuate(schedule, timestamp_ms, context.task())
    }
}

/// A node that its task enters from outside, when a schedule is due.
pub(crate) trait Punctuate {
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult;
}

/// Makes a user's processor live.
pub(crate) fn live_processor<KI, VI, KO, VO, P>(
    wiring: &mut Wiring<'_>,
    supplier: &dyn Fn(&mut ProcessorInit<'_, '_>) -> Result<P>,
    next: Edge<KO, VO>,
) -> Result<Edge<KI, VI>>
where
    KI: 'static,
    VI: 'static,
    KO: 'static,
    VO: 'static,
    P: Processor<KI, VI, KO, VO>,
{
    let children = wiring.child_names().to_vec();
    let place = Place {
        name: wiring.node_name().to_owned(),
        is_group: children.len() > 1,
        children,
    };
    let mut init = ProcessorInit::new(wiring, None);
    let processor = supplier(&mut init)?;
    let scheduler = init.scheduler;
    let node = ProcessorNode {
        place,
        processor,
        next,
        types: std::marker::PhantomData,
    };
    let Some(scheduler) = scheduler else {
        return Ok(Box::new(node));
    };
    let node = Rc::new(RefCell::new(node));
    wiring.punctuated(scheduler, Rc::clone(&node) as Rc<RefCell<dyn Punctuate>>);
    Ok(Box::new(Shared(node)))
}

struct ProcessorNode<P, KI, VI, KO, VO> {
    place: Place,
    processor: P,
    next: Edge<KO, VO>,
    types: std::marker::PhantomData<fn(KI, VI)>,
}

impl<KI, VI, KO, VO, P: Processor<KI, VI, KO, VO>> Process<KI, VI> for ProcessorNode<P, KI, VI, KO, VO> {
    fn process(&mut self, record: Record<KI, VI>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut context = ProcessorContext::new(&mut self.next, &self.place, task);
        match self.processor.process(record, &mut context) {
            Ok(()) => Ok(()),
            Err(error) => task.processing_failed(error, &self.place.name),
        }
    }
}

impl<KI, VI, KO, VO, P: Processor<KI, VI, KO, VO>> Punctuate for ProcessorNode<P, KI, VI, KO, VO> {
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let mut context = ProcessorContext::new(&mut self.next, &self.place, task);
        match self.processor.punctuate(schedule, timestamp_ms, &mut context) {
            Ok(()) => Ok(()),
            Err(error) => task.processing_failed(error, &self.place.name),
        }
    }
}

impl TaskContext<'_> {
    /// Decides about an error that user code returned in a processor, by the application's processing handler: an error again,
    /// to be returned at once, or nothing if the record is dropped.
    ///
    /// # Errors
    /// If the handler says so, or the error is not about the record: it came from downstream, where it was decided about
    /// already, or from a store or the log.
    #[cold]
    pub fn processing_failed(&mut self, error: BoxError, processor: &str) -> ProcessResult {
        let cause = match error.downcast::<ProcessError>() {
            Ok(placed) => return Err(placed),
            Err(error) => match error.downcast::<ProcessCause>() {
                Ok(cause) => *cause,
                Err(error) => ProcessCause::User(error),
            },
        };
        let error = Box::new(ProcessError {
            cause,
            processor: Some(processor.to_owned()),
            task: Some(self.task_id().to_string()),
            input: self.state.input_position(),
        });
        match &error.cause {
            ProcessCause::Store(_) | ProcessCause::CorruptRow { .. } | ProcessCause::Log(_) => Err(error),
            _ => self.failed(Stage::Processing, error),
        }
    }
}
