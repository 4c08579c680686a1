//! One processor alone, in the hands of a test: no topology, no task, nothing that happens by itself.
//!
//! What the processor gets is what a task gives it, the very types: only that what it forwards ends in a list, and that the
//! test says what time it is, where records come from and when schedules are due.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use state_store::{MemoryEngine, StoreEngine, StoreIdentity};

use super::APPLICATION_ID;
use super::producer::CapturingProducer;
use crate::assignment::TaskId;
use crate::context::{TaskContext, TaskState};
use crate::edge::{Edge, Process};
use crate::error::{ProcessResult, Result, StreamsError};
use crate::log::TopicPartition;
use crate::metrics::{Metric, TaskMetrics};
use crate::processor::{
    BoxError, FixedKeyProcessor, Place, Processor, ProcessorContext, ProcessorInit, Schedule, Scheduler,
    process_fixed_key,
};
use crate::record::Record;
use crate::store::{GlobalKeyValueStore, GlobalStoreBuilder, OpenStore, StoreBuilder, StoreSpec, open_bytes};
use crate::topology::{ErasedHandle, Wiring};

/// Tests one [`Processor`] or [`FixedKeyProcessor`] that gives out keys of `K` and values of `V` (Kafka's
/// `MockProcessorContext`).
///
/// ```
/// use std::time::Duration;
/// use streams_core::Record;
/// use streams_core::processor::{BoxError, Processor, ProcessorContext, ProcessorInit, PunctuationType, Schedule};
/// use streams_core::store::{KeyValueStore, KeyValueStoreBuilder};
/// use streams_core::testing::{CapturedForward, MockProcessorContext};
///
/// /// Counts keys, and passes all counts on every minute.
/// struct Count(KeyValueStore<String, i64>);
///
/// impl Count {
///     fn new(init: &mut ProcessorInit<'_, '_>) -> streams_core::error::Result<Self> {
///         init.schedule(Duration::from_secs(60), PunctuationType::StreamTime);
///         Ok(Self(init.key_value_store("counts")?))
///     }
/// }
///
/// impl Processor<String, String, String, i64> for Count {
///     fn process(
///         &mut self,
///         record: Record<String, String>,
///         context: &mut ProcessorContext<'_, '_, String, i64>,
///     ) -> Result<(), BoxError> {
///         let count = self.0.get(&record.key)?.map_or(0, |row| row.value) + 1;
///         self.0.put(&record.key, Some(count), record.timestamp_ms)?;
///         Ok(context.task().request_commit())
///     }
///
///     fn punctuate(
///         &mut self,
///         _: Schedule,
///         timestamp_ms: i64,
///         context: &mut ProcessorContext<'_, '_, String, i64>,
///     ) -> Result<(), BoxError> {
///         for row in self.0.all()? {
///             let (key, count) = row?;
///             context.forward(Record::new(key, count.value, timestamp_ms))?;
///         }
///         Ok(())
///     }
/// }
///
/// let mut context = MockProcessorContext::new();
/// let counts = context.add_store(KeyValueStoreBuilder::<String, i64>::new("counts"))?;
/// counts.put(&"a".into(), Some(2), 0).unwrap();
/// let mut processor = context.make(Count::new)?;
///
/// context.process(&mut processor, Record::new("a".into(), "tea".into(), 5)).unwrap();
/// assert_eq!(counts.get(&"a".into()).unwrap().unwrap().value, 3);
/// assert!(context.take_commit_requested());
///
/// let every_minute = context.schedules().remove(0);
/// assert_eq!(every_minute.every(), Duration::from_secs(60));
/// context.punctuate(&mut processor, &every_minute, 60_000).unwrap();
/// let all = context.take_forwarded();
/// assert_eq!(all, [CapturedForward { child: None, record: Record::new("a".into(), 3, 60_000) }]);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
pub struct MockProcessorContext<K, V> {
    state: TaskState,
    producer: CapturingProducer,
    place: Place,
    next: Edge<K, V>,
    forwarded: Forwarded<K, V>,
    scheduler: Scheduler,
    stores: BTreeMap<String, ErasedHandle>,
    globals: BTreeMap<String, ErasedHandle>,
}

/// A record that a processor passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedForward<K, V> {
    /// To whom, if it was to [one](ProcessorContext::forward_to); else to all that come next.
    pub child: Option<String>,
    /// The record.
    pub record: Record<K, V>,
}

type Forwarded<K, V> = Rc<RefCell<Vec<CapturedForward<K, V>>>>;

impl<K: 'static, V: 'static> Default for MockProcessorContext<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: 'static, V: 'static> MockProcessorContext<K, V> {
    /// A context of application [`APPLICATION_ID`] and task `0_0`, without stores, children and record metadata. The wall clock
    /// stands at 0, stream time at -1, which is before the first record.
    #[must_use]
    pub fn new() -> Self {
        let task_id = TaskId {
            subtopology: 0,
            partition: 0,
        };
        let forwarded = Forwarded::default();
        let scheduler = Scheduler::default();
        scheduler.set_wall_clock_ms(0);
        Self {
            state: TaskState::new(task_id, Arc::from(APPLICATION_ID), Vec::new()),
            producer: CapturingProducer::new(BTreeMap::new(), Vec::new(), None),
            place: Place {
                name: "processor".to_owned(),
                children: Vec::new(),
                is_group: true,
            },
            next: Capture::edge(None, &forwarded, &[]),
            forwarded,
            scheduler,
            stores: BTreeMap::new(),
            globals: BTreeMap::new(),
        }
    }

    /// The application's id. Call it before stores are added.
    #[must_use]
    pub fn application_id(mut self, id: &str) -> Self {
        self.state.application_id = Arc::from(id);
        self
    }

    /// The task.
    #[must_use]
    pub fn task_id(mut self, id: TaskId) -> Self {
        self.state.task_id = id;
        self
    }

    /// The task's [directory](TaskContext::state_dir). Default: there is none.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state.state_dir = Some(path.into());
        self
    }

    /// Names of what comes after the processor, to which it may [forward](ProcessorContext::forward_to) by name. Default: none.
    ///
    /// ```
    /// use streams_core::Record;
    /// use streams_core::processor::{BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};
    /// use streams_core::testing::MockProcessorContext;
    ///
    /// struct Sort;
    /// impl FixedKeyProcessor<String, i64, i64> for Sort {
    ///     fn process(
    ///         &mut self,
    ///         record: FixedKeyRecord<String, i64>,
    ///         context: &mut FixedKeyProcessorContext<'_, '_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         let child = if *record.value() < 0 { "debts" } else { "credits" };
    ///         context.forward_to(child, record)
    ///     }
    /// }
    ///
    /// let mut context = MockProcessorContext::new().children(&["credits", "debts"]);
    /// context.process_fixed_key(&mut Sort, Record::new("a".into(), -7, 0)).unwrap();
    /// assert_eq!(context.take_forwarded()[0].child.as_deref(), Some("debts"));
    /// ```
    #[must_use]
    pub fn children(mut self, names: &[&str]) -> Self {
        self.place.children = names.iter().map(|&name| name.to_owned()).collect();
        self.next = Capture::edge(None, &self.forwarded, names);
        self
    }

    /// Adds a store, in memory and without a changelog whatever its builder says, and connects it to the processor. Returns it
    /// too: what one handle writes, the other sees.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn add_store<S: StoreBuilder>(&mut self, store: S) -> Result<S::Store> {
        let spec: StoreSpec = store.into_spec();
        self.check_is_new(&spec.name)?;
        let (application_id, task_id) = (&self.state.application_id, self.state.task_id.to_string());
        let identity = StoreIdentity::new(&**application_id, task_id, &spec.name);
        let (kind, bytes) = (
            spec.kind.as_ref(),
            state_store::StoreSpec::new(identity, spec.layout),
        );
        let bytes = open_bytes(kind, &MemoryEngine, &MemoryEngine, &bytes, None)?;
        let opened = (spec.open)(
            &spec.name,
            OpenStore {
                bytes,
                topic: Arc::from(spec.changelog_topic(application_id)),
                changelog: None,
                cache_bytes: usize::MAX,
                logs_every_put: false,
            },
        );
        let store = typed(&opened.handle, &spec.name)?;
        self.stores.insert(spec.name, opened.handle);
        Ok(store)
    }

    /// Adds a global store with these rows: key, value, event time in milliseconds.
    ///
    /// # Errors
    /// If there is one of that name, or a row cannot be written.
    pub fn add_global_store<SK: 'static, SV: 'static>(
        &mut self,
        store: GlobalStoreBuilder<SK, SV>,
        rows: impl IntoIterator<Item = (SK, SV, i64)>,
    ) -> Result<GlobalKeyValueStore<SK, SV>> {
        let name = store.name().to_owned();
        self.check_is_new(&name)?;
        let identity = StoreIdentity::new(&*self.state.application_id, "global", &name);
        let spec = state_store::StoreSpec::new(identity, state_store::Layout::Plain);
        let opened = store.filled(MemoryEngine.open(&spec, None)?, rows);
        let opened = opened.map_err(Box::<crate::error::ProcessError>::from)?;
        self.globals.insert(name, ErasedHandle::new(opened.clone()));
        Ok(opened)
    }

    fn check_is_new(&self, store: &str) -> Result<()> {
        match self.stores.contains_key(store) || self.globals.contains_key(store) {
            true => Err(StreamsError::Topology(format!("store {store} is added twice"))),
            false => Ok(()),
        }
    }

    /// Makes the processor, by what the topology would make it with.
    ///
    /// # Errors
    /// What `supplier` returns: a store that was not added, say.
    pub fn make<P>(&mut self, supplier: impl FnOnce(&mut ProcessorInit<'_, '_>) -> Result<P>) -> Result<P> {
        let allowed: Vec<String> = self.stores.keys().cloned().collect();
        let mut wiring = Wiring {
            node: &self.place.name,
            children: &self.place.children,
            application_id: &self.state.application_id,
            task_id: self.state.task_id,
            state_dir: self.state.state_dir.as_deref(),
            stores: &self.stores,
            allowed: &allowed,
            globals: &self.globals,
            metrics: &self.state.metrics,
            shared: &mut BTreeMap::new(),
            producer: &mut self.producer,
            punctuations: &mut Vec::new(),
            at_commit: &mut Vec::new(),
        };
        supplier(&mut ProcessorInit::new(&mut wiring, Some(self.scheduler.clone())))
    }

    /// Has it process a record.
    ///
    /// # Errors
    /// What the processor returns.
    pub fn process<KI, VI, P: Processor<KI, VI, K, V>>(
        &mut self,
        processor: &mut P,
        record: Record<KI, VI>,
    ) -> Result<(), BoxError> {
        self.with(|context| processor.process(record, context))
    }

    /// Has it process a record, whose key stays.
    ///
    /// # Errors
    /// What the processor returns.
    pub fn process_fixed_key<VI, P: FixedKeyProcessor<K, VI, V>>(
        &mut self,
        processor: &mut P,
        record: Record<K, VI>,
    ) -> Result<(), BoxError> {
        self.with(|context| process_fixed_key(processor, record, context))
    }

    /// Calls it as if a schedule were due. There is no record then, and no [metadata](Self::set_record_metadata).
    ///
    /// # Errors
    /// What the processor returns.
    pub fn punctuate<KI, VI, P: Processor<KI, VI, K, V>>(
        &mut self,
        processor: &mut P,
        schedule: &Schedule,
        timestamp_ms: i64,
    ) -> Result<(), BoxError> {
        let input = self.state.input.take();
        let called = self.with(|context| processor.punctuate(schedule.clone(), timestamp_ms, context));
        self.state.input = input;
        called
    }

    /// As [`punctuate`](Self::punctuate), of a processor that leaves keys as they are.
    ///
    /// # Errors
    /// What the processor returns.
    pub fn punctuate_fixed_key<VI, P: FixedKeyProcessor<K, VI, V>>(
        &mut self,
        processor: &mut P,
        schedule: &Schedule,
        timestamp_ms: i64,
    ) -> Result<(), BoxError> {
        let input = self.state.input.take();
        let called = self.with(|context| processor.punctuate(schedule.clone(), timestamp_ms, context.task()));
        self.state.input = input;
        called
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut ProcessorContext<'_, '_, K, V>) -> R) -> R {
        let mut task = TaskContext {
            state: &mut self.state,
            producer: &mut self.producer,
        };
        call(&mut ProcessorContext::new(&mut self.next, &self.place, &mut task))
    }

    /// What was passed on since this was last called, in order.
    pub fn take_forwarded(&mut self) -> Vec<CapturedForward<K, V>> {
        std::mem::take(&mut *self.forwarded.borrow_mut())
    }

    /// The schedules that are not cancelled, in the order they were made. None is ever due by itself: see
    /// [`punctuate`](Self::punctuate).
    #[must_use]
    pub fn schedules(&self) -> Vec<Schedule> {
        self.scheduler.active()
    }

    /// True if a commit was [asked for](TaskContext::request_commit) since this was last called.
    pub fn take_commit_requested(&mut self) -> bool {
        std::mem::take(&mut self.state.commit_requested)
    }

    /// What was counted: records that the processor dropped, say.
    #[must_use]
    pub fn metrics(&self) -> &TaskMetrics {
        &self.state.metrics
    }

    /// All that was counted and measured, by sensors of the processor too.
    #[must_use]
    pub fn read_metrics(&self) -> Vec<Metric> {
        let state = &self.state;
        state.metrics.read(state.task_id, state.wall_clock_ms)
    }

    /// The task, for what a processor does with it beside forwarding.
    pub fn task(&mut self) -> TaskContext<'_> {
        TaskContext {
            state: &mut self.state,
            producer: &mut self.producer,
        }
    }

    /// Where the records that are processed from now on come from. Default: nowhere.
    pub fn set_record_metadata(&mut self, topic: &str, partition: i32, offset: i64) {
        self.state.partitions = vec![TopicPartition::new(topic, partition)];
        self.state.input = Some((0, offset));
    }

    /// Sets the task's stream time, in milliseconds since the Unix epoch. Records do not move it.
    pub fn set_stream_time_ms(&mut self, now_ms: i64) {
        self.state.stream_time_ms = now_ms;
    }

    /// Sets the wall clock, in milliseconds since the Unix epoch.
    pub fn set_wall_clock_ms(&mut self, now_ms: i64) {
        self.state.wall_clock_ms = now_ms;
        self.scheduler.set_wall_clock_ms(now_ms);
    }
}

fn typed<T: Clone + 'static>(handle: &ErasedHandle, store: &str) -> Result<T> {
    let wrong = || {
        StreamsError::Topology(format!(
            "store {store} is not what its builder says; this is a bug"
        ))
    };
    handle.typed().ok_or_else(wrong)
}

impl<K, V> std::fmt::Debug for MockProcessorContext<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockProcessorContext")
            .field("task_id", &self.state.task_id)
            .field("stores", &self.stores.keys())
            .finish_non_exhaustive()
    }
}

/// Takes what a processor forwards.
struct Capture<K, V> {
    child: Option<String>,
    children: Vec<Edge<K, V>>,
    forwarded: Forwarded<K, V>,
}

impl<K: 'static, V: 'static> Capture<K, V> {
    fn edge(child: Option<&str>, forwarded: &Forwarded<K, V>, children: &[&str]) -> Edge<K, V> {
        let children = children.iter();
        Box::new(Self {
            child: child.map(str::to_owned),
            children: children
                .map(|&name| Self::edge(Some(name), forwarded, &[]))
                .collect(),
            forwarded: Rc::clone(forwarded),
        })
    }
}

impl<K, V> Process<K, V> for Capture<K, V> {
    fn process(&mut self, record: Record<K, V>, _: &mut TaskContext<'_>) -> ProcessResult {
        let child = self.child.clone();
        self.forwarded
            .borrow_mut()
            .push(CapturedForward { child, record });
        Ok(())
    }

    fn member(&mut self, index: usize) -> Option<&mut dyn Process<K, V>> {
        let edge = self.children.get_mut(index)?;
        Some(&mut **edge)
    }
}
