//! The Processor API: what a user implements to do anything the DSL has no operator for.
//!
//! A processor that exists is initialised: it takes its stores and schedules from [`ProcessorInit`] when it is made, so
//! there is no state in which it must not be used.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::context::TaskContext;
use crate::edge::{Edge, Process, Shared};
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result};
use crate::record::Record;
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

    /// Called when a schedule is due. Stream time: as of the records processed; wall-clock time: the clock's. Missed
    /// intervals are one call.
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

/// Which time a schedule follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationType {
    /// Event time: due by records that are processed, first at once. Stands still without input.
    StreamTime,
    /// The clock: due by itself, first after one interval.
    WallClockTime,
}

/// One schedule of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule(usize);

/// What a processor takes while it is made.
pub struct ProcessorInit<'a, 'w> {
    wiring: &'a mut Wiring<'w>,
    schedules: Vec<(Duration, PunctuationType)>,
}

impl ProcessorInit<'_, '_> {
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

    /// Has [`Processor::punctuate`] called at this interval; at least a millisecond.
    pub fn schedule(&mut self, every: Duration, kind: PunctuationType) -> Schedule {
        self.schedules.push((every.max(Duration::from_millis(1)), kind));
        Schedule(self.schedules.len() - 1)
    }

    /// Name of the processor in its topology.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.wiring.node_name()
    }
}

impl std::fmt::Debug for ProcessorInit<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorInit")
            .field("wiring", &self.wiring)
            .finish_non_exhaustive()
    }
}

/// What a processor can do while it works (Kafka's `ProcessorContext`).
pub struct ProcessorContext<'a, 'b, KO, VO> {
    next: &'a mut Edge<KO, VO>,
    task: &'a mut TaskContext<'b>,
}

impl<'b, KO, VO> ProcessorContext<'_, 'b, KO, VO> {
    /// Passes a record on, and returns when all downstream work on it is done.
    ///
    /// # Errors
    /// If something downstream failed. Return it: the thread stops.
    pub fn forward(&mut self, record: Record<KO, VO>) -> Result<(), BoxError> {
        self.next
            .process(record, self.task)
            .map_err(|error| error as BoxError)
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

/// A node that its task enters from outside, when a schedule is due.
pub(crate) trait Punctuate {
    fn punctuate(&mut self, index: usize, timestamp_ms: i64, task: &mut TaskContext<'_>) -> ProcessResult;
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
    let name = wiring.node_name().to_owned();
    let mut init = ProcessorInit {
        wiring,
        schedules: Vec::new(),
    };
    let processor = supplier(&mut init)?;
    let schedules = init.schedules;
    let node = ProcessorNode {
        name,
        processor,
        next,
        types: std::marker::PhantomData,
    };
    if schedules.is_empty() {
        return Ok(Box::new(node));
    }
    let node = Rc::new(RefCell::new(node));
    for (index, (every, kind)) in schedules.into_iter().enumerate() {
        wiring.schedule(every, kind, index, Rc::clone(&node) as Rc<RefCell<dyn Punctuate>>);
    }
    Ok(Box::new(Shared(node)))
}

struct ProcessorNode<P, KI, VI, KO, VO> {
    name: String,
    processor: P,
    next: Edge<KO, VO>,
    types: std::marker::PhantomData<fn(KI, VI)>,
}

impl<KI, VI, KO, VO, P: Processor<KI, VI, KO, VO>> Process<KI, VI> for ProcessorNode<P, KI, VI, KO, VO> {
    fn process(&mut self, record: Record<KI, VI>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut context = ProcessorContext {
            next: &mut self.next,
            task,
        };
        match self.processor.process(record, &mut context) {
            Ok(()) => Ok(()),
            Err(error) => Err(place(error, &self.name, task)),
        }
    }
}

impl<KI, VI, KO, VO, P: Processor<KI, VI, KO, VO>> Punctuate for ProcessorNode<P, KI, VI, KO, VO> {
    fn punctuate(&mut self, index: usize, timestamp_ms: i64, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut context = ProcessorContext {
            next: &mut self.next,
            task,
        };
        match self
            .processor
            .punctuate(Schedule(index), timestamp_ms, &mut context)
        {
            Ok(()) => Ok(()),
            Err(error) => Err(place(error, &self.name, task)),
        }
    }
}

/// An error that came from downstream has its place already; others happened here.
#[cold]
fn place(error: BoxError, processor: &str, task: &TaskContext<'_>) -> Box<ProcessError> {
    let cause = match error.downcast::<ProcessError>() {
        Ok(placed) => return placed,
        Err(error) => match error.downcast::<ProcessCause>() {
            Ok(cause) => *cause,
            Err(error) => ProcessCause::User(error),
        },
    };
    Box::new(ProcessError {
        cause,
        processor: Some(processor.to_owned()),
        task: Some(task.task_id().to_string()),
        input: task.state.input_position(),
    })
}
