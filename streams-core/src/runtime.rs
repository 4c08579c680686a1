//! Runs a topology: starts stream threads over a log, watches them, and closes them.
//!
//! ```text
//! Streams::start   check topics, make internal ones, lock the state directory
//!    | spawns
//! StreamThread     one OS thread, one loop: membership, restore, poll, process, punctuate, commit
//!    | owns
//! StreamTask       a sub-topology over one partition
//! ```

mod config;
mod global_thread;
mod internal_topics;
mod listeners;
mod start_positions;
mod state_directory;
mod tasks;
mod thread;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use state_store::{MemoryEngine, RocksDbEngine, StoreEngine};

pub use config::{ProcessingGuarantee, StreamsConfig};
use global_thread::GlobalThread;
pub use listeners::{RestoreListener, StateListener};
use state_directory::StateDirectory;
use thread::StreamThread;

pub use crate::task::MAX_TASK_IDLE_MS_DISABLED;

use crate::assignment::{Assignor, TaskId, Tasks};
use crate::error::{Result, StreamsError};
use crate::global::{self, GlobalState, GlobalStores};
use crate::log::{Admin, Isolation, Log, OffsetSpec, TopicPartition};
use crate::metrics::{DropReason, Metric, TaskMetrics};
use crate::topology::{Subtopology, Topology};

/// A running application (Kafka's `KafkaStreams`).
///
/// Dropping it closes it; [`close`](Self::close) also says whether all went well.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use streams_core::log::memory::MemoryLog;
/// use streams_core::log::{Log, NewTopic};
/// use streams_core::runtime::{Streams, StreamsConfig};
/// use streams_core::time::SystemClock;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
/// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
///
/// let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Arc::new(SystemClock::default())));
/// for topic in ["numbers", "copies"] {
///     log.admin()?.create_topic(&NewTopic::new(topic, 1))?;
/// }
/// let dir = tempfile::tempdir().unwrap();
/// let config = StreamsConfig::new("copy").state_dir(dir.path());
/// let streams = Streams::start(&builder.build()?, config, log)?;
/// streams.wait_until_running(Duration::from_secs(10))?;
/// streams.close()?;
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Debug)]
pub struct Streams {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    log: Arc<dyn Log>,
    /// What global stores are filled from.
    global_partitions: Vec<TopicPartition>,
}

/// Where an application stands (Kafka's `KafkaStreams.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not started yet: where a [`StateListener`] hears the application come from.
    Created,
    /// Tasks are being assigned or restored.
    Rebalancing,
    /// All threads process.
    Running,
    /// Closing: the last commit is under way.
    PendingShutdown,
    /// Closed.
    NotRunning,
    /// A thread failed; all have stopped. [`Streams::close`] says why.
    Error,
}

/// What threads and their application tell one another.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StreamsConfig,
    pub(crate) topology: Topology,
    pub(crate) assignor: Arc<Assignor>,
    /// Counts the changes of the tasks since the start.
    layout_version: AtomicU64,
    /// Held by the thread that looks for new topics.
    laying_out: Mutex<()>,
    pub(crate) directory: Arc<StateDirectory>,
    pub(crate) persistent: Box<dyn StoreEngine>,
    pub(crate) memory: MemoryEngine,
    pub(crate) globals: GlobalStores,
    closing: AtomicBool,
    status: Mutex<Status>,
    changed: Condvar,
    /// What the listener was told last.
    told: Mutex<State>,
}

#[derive(Debug)]
struct Status {
    threads: Vec<State>,
    metrics: BTreeMap<TaskId, Arc<TaskMetrics>>,
    error: Option<StreamsError>,
}

impl Streams {
    /// Starts the application on `log`, with RocksDB for persistent stores, set as [`StreamsConfig::rocksdb`] says.
    ///
    /// # Errors
    /// If a setting or a topic is not as it must be, or the state directory is in use.
    pub fn start(topology: &Topology, config: StreamsConfig, log: Arc<dyn Log>) -> Result<Self> {
        config.check()?;
        let engine = RocksDbEngine::new(config.rocksdb.clone());
        Self::start_with_engine(topology, config, log, Box::new(engine))
    }

    /// Starts the application with another engine for persistent stores.
    ///
    /// # Errors
    /// If a setting or a topic is not as it must be, or the state directory is in use.
    pub fn start_with_engine(
        topology: &Topology,
        config: StreamsConfig,
        log: Arc<dyn Log>,
        persistent: Box<dyn StoreEngine>,
    ) -> Result<Self> {
        config.check()?;
        topology.late_changes().check()?;
        let mut admin = log.admin()?;
        let layout = internal_topics::lay_out(topology, &config, &mut *admin)?;
        internal_topics::make_all(&layout, &mut *admin)?;
        let assignor = Arc::new(match topology.has_patterns() {
            true => Assignor::growing(layout.tasks),
            false => Assignor::new(layout.tasks),
        });
        let directory = Arc::new(StateDirectory::open(&config.state_dir, &config.application_id)?);
        let (global_state, globals) = global_thread::open(topology, &config, &directory, &*persistent)?;
        // Without tasks there is nothing to do for stream threads, and without global stores for the global one.
        let stream_threads = match assignor.tasks().is_empty() && !topology.has_patterns() {
            true => 0,
            false => config.num_stream_threads,
        };
        let threads = stream_threads + usize::from(!globals.is_empty());
        let shared = Arc::new(Shared {
            topology: topology.clone(),
            assignor,
            layout_version: AtomicU64::new(0),
            laying_out: Mutex::default(),
            directory,
            persistent,
            memory: MemoryEngine,
            globals,
            closing: AtomicBool::new(false),
            status: Mutex::new(Status {
                threads: vec![State::Rebalancing; threads],
                metrics: BTreeMap::new(),
                error: None,
            }),
            changed: Condvar::new(),
            told: Mutex::new(State::Created),
            config,
        });
        let mut streams = Self {
            shared,
            threads: Vec::new(),
            log,
            global_partitions: layout.global_partitions,
        };
        streams.shared.tell_state();
        if !streams.shared.globals.is_empty() {
            streams.start_global_thread(stream_threads, global_state)?;
        }
        for index in 0..stream_threads {
            streams.start_stream_thread(index)?;
        }
        Ok(streams)
    }

    /// What this instance's threads and clients are named after: the setting `client_id`, or the application's id and that of the process.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use streams_core::log::memory::MemoryLog;
    /// # use streams_core::log::{Log, NewTopic};
    /// # use streams_core::runtime::{Streams, StreamsConfig};
    /// # use streams_core::time::SystemClock;
    /// # use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    /// # let mut builder = TopologyBuilder::new();
    /// # let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
    /// # let topology = builder.build()?;
    /// # let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Arc::new(SystemClock::default())));
    /// # log.admin()?.create_topic(&NewTopic::new("numbers", 1))?;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let config = StreamsConfig::new("copy").state_dir(dir.path());
    /// let streams = Streams::start(&topology, config, log)?;
    /// assert!(streams.client_id().starts_with("copy-"));
    /// # streams.close()?;
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn client_id(&self) -> String {
        self.shared.client_id()
    }

    /// Where the application stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Waits until all threads process.
    ///
    /// # Errors
    /// If a thread failed, or that did not happen in time.
    pub fn wait_until_running(&self, timeout: Duration) -> Result<()> {
        let status = self.shared.status();
        let rebalancing = |status: &mut Status| state_of(status, false) == State::Rebalancing;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(status, timeout, rebalancing);
        let (mut status, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = status.error.take() {
            return Err(error);
        }
        if result.timed_out() {
            let what = format!("application {} to run", self.shared.config.application_id);
            return Err(crate::error::LogError::TimedOut { what }.into());
        }
        Ok(())
    }

    /// True if all tasks run, and everything that is on the application's input topics now is processed and committed,
    /// through all repartition topics. What is in transactions that are not decided yet counts as not processed. For programs
    /// whose input ends.
    ///
    /// # Errors
    /// If the log cannot be asked, or a thread has failed.
    pub fn caught_up(&self) -> Result<bool> {
        if let Some(error) = self.shared.status().error.take() {
            return Err(error);
        }
        if self.state() != State::Running {
            return Ok(false);
        }
        let mut admin = self.log.admin()?;
        // Upstream first: what is committed there has written all it will write to what comes next.
        for partitions in in_flow_order(&self.shared.topology, &self.shared.assignor.tasks()) {
            if !self.committed_to_end(&partitions, &mut *admin)? {
                return Ok(false);
            }
        }
        self.global_stores_at_end(&mut *admin)
    }

    /// Input records processed since the start, by all tasks this instance ran.
    #[must_use]
    pub fn processed(&self) -> u64 {
        self.shared
            .status()
            .metrics
            .values()
            .map(|metrics| metrics.processed())
            .sum()
    }

    /// Input records processed since the start by the tasks of one sub-topology.
    #[must_use]
    pub fn processed_by(&self, subtopology: u32) -> u64 {
        let status = self.shared.status();
        status
            .metrics
            .iter()
            .filter(|(task, _)| task.subtopology == subtopology)
            .map(|(_, m)| m.processed())
            .sum()
    }

    /// Records dropped for this reason since the start.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.shared
            .status()
            .metrics
            .values()
            .map(|metrics| metrics.dropped(reason))
            .sum()
    }

    /// All that is counted and measured of the tasks that this instance ran, by sensors of processors too (Kafka's
    /// `KafkaStreams.metrics`). Each has the tag `task-id`.
    #[must_use]
    pub fn read_metrics(&self) -> Vec<Metric> {
        let now_ms = self.shared.config.clock.now_ms();
        let status = self.shared.status();
        let tasks = status.metrics.iter();
        tasks
            .flat_map(|(task, metrics)| metrics.read(*task, now_ms))
            .collect()
    }

    /// Commits, closes all tasks and stores, leaves the group, and waits for that.
    ///
    /// # Errors
    /// If a thread had failed before, or fails while closing.
    pub fn close(mut self) -> Result<()> {
        self.stop();
        match self.shared.status().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn stop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.tell_state();
        for thread in self.threads.drain(..) {
            // A panic was caught and reported within the thread.
            let _ = thread.join();
        }
    }

    fn committed_to_end(&self, partitions: &[TopicPartition], admin: &mut dyn Admin) -> Result<bool> {
        // Of a transaction, offsets may be seen before records: those that are not decided yet are still to come.
        let isolation = Isolation::ReadUncommitted;
        let ends = admin.offsets(partitions, OffsetSpec::Latest, isolation)?;
        let starts = admin.offsets(partitions, OffsetSpec::Earliest, isolation)?;
        let committed = admin.committed_offsets(&self.shared.config.application_id, partitions)?;
        Ok(committed
            .iter()
            .zip(starts.iter().zip(&ends))
            .all(|(committed, (start, end))| {
                committed
                    .as_ref()
                    .map_or(start >= end, |committed| committed.offset >= *end)
            }))
    }

    fn global_stores_at_end(&self, admin: &mut dyn Admin) -> Result<bool> {
        let (shared, partitions) = (&self.shared, &self.global_partitions);
        let isolation = shared.config.isolation();
        let ends = admin.offsets(partitions, OffsetSpec::Latest, isolation)?;
        let starts = admin.offsets(partitions, OffsetSpec::Earliest, isolation)?;
        for (partition, (start, end)) in partitions.iter().zip(starts.into_iter().zip(ends)) {
            let position = global::position(&shared.topology, &shared.globals, partition)?;
            if position.unwrap_or(start) < end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start_stream_thread(&mut self, index: usize) -> Result<()> {
        let name = format!("{}-StreamThread-{}", self.shared.client_id(), index + 1);
        let (shared, log, thread_name) = (Arc::clone(&self.shared), Arc::clone(&self.log), name.clone());
        self.spawn(index, name, move || {
            StreamThread::new(index, thread_name, shared, &*log)?.run()
        })
    }

    /// Reads global stores to the end of their topics first.
    fn start_global_thread(&mut self, index: usize, state: GlobalState) -> Result<()> {
        let metrics_of = TaskId {
            subtopology: global_subtopology(&self.shared.topology),
            partition: 0,
        };
        self.shared.register(metrics_of, state.metrics());
        let name = format!("{}-GlobalStreamThread", self.shared.client_id());
        let shared = Arc::clone(&self.shared);
        let thread = GlobalThread::start(index, shared, state, &self.global_partitions, &*self.log)?;
        self.spawn(index, name, move || thread.run())
    }

    fn spawn(
        &mut self,
        index: usize,
        name: String,
        run: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (shared, thread_name) = (Arc::clone(&self.shared), name.clone());
        let run = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let result = result.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                let message = text.unwrap_or_else(|| "no message".to_owned());
                Err(StreamsError::Panicked {
                    thread: thread_name,
                    message,
                })
            });
            shared.thread_ended(index, result);
        };
        let thread = std::thread::Builder::new().name(name).spawn(run);
        let thread =
            thread.map_err(|error| StreamsError::Config(format!("cannot start a stream thread: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// What threads and clients are named after.
    pub(crate) fn client_id(&self) -> String {
        let config = &self.config;
        let default = || format!("{}-{}", config.application_id, self.directory.process_id());
        config.client_id.clone().unwrap_or_else(default)
    }

    pub(crate) fn layout_version(&self) -> u64 {
        self.layout_version.load(Ordering::SeqCst)
    }

    /// Looks for topics that patterns match now and did not before, and the reverse; lays the tasks out anew if there are some.
    pub(crate) fn follow_topics(&self, admin: &mut dyn Admin) -> Result<()> {
        let _one = self.laying_out.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = internal_topics::lay_out(&self.topology, &self.config, admin)?;
        if *self.assignor.tasks() == layout.tasks {
            return Ok(());
        }
        internal_topics::make_all(&layout, admin)?;
        tracing::info!(
            tasks = layout.tasks.len(),
            "the topics that patterns match have changed"
        );
        self.assignor.replace(layout.tasks);
        self.layout_version.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn set_thread_state(&self, index: usize, state: State) {
        let mut status = self.status();
        if status.threads[index] == state {
            return;
        }
        status.threads[index] = state;
        self.changed.notify_all();
        drop(status);
        self.tell_state();
    }

    /// Tells the listener of the state, if it is another than it was told last.
    fn tell_state(&self) {
        // Held during the call, so that changes are told in their order.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, old) = (self.state(), *told);
        if new != old {
            *told = new;
            self.config.listeners.state.on_change(new, old);
        }
    }

    pub(crate) fn register(&self, task: TaskId, metrics: &Arc<TaskMetrics>) {
        self.status().metrics.insert(task, Arc::clone(metrics));
    }

    fn thread_ended(&self, index: usize, result: Result<()>) {
        let mut status = self.status();
        status.threads[index] = State::NotRunning;
        if let Err(error) = result {
            tracing::error!(%error, "stream thread failed; the application stops");
            status.threads[index] = State::Error;
            status.error.get_or_insert(error);
            // As Kafka's default handler: one thread's failure closes the client.
            self.closing.store(true, Ordering::SeqCst);
        }
        self.changed.notify_all();
        drop(status);
        self.tell_state();
    }

    fn state(&self) -> State {
        state_of(&self.status(), self.closing())
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state_of(status: &Status, closing: bool) -> State {
    let all = |state| status.threads.iter().all(|thread| *thread == state);
    let any = |state| status.threads.contains(&state);
    match () {
        () if any(State::Error) => State::Error,
        () if all(State::NotRunning) => State::NotRunning,
        () if closing => State::PendingShutdown,
        () if any(State::Rebalancing) => State::Rebalancing,
        () => State::Running,
    }
}

/// The first sub-topology of a global store.
fn global_subtopology(topology: &Topology) -> u32 {
    let mut parts = topology.subtopologies().iter();
    parts.find(|part| part.is_global).map_or(0, |part| part.id)
}

/// Inputs by sub-topology, those that write first: a sub-topology comes after all that write what it reads.
fn in_flow_order(topology: &Topology, tasks: &Tasks) -> Vec<Vec<TopicPartition>> {
    let mut left: Vec<&Subtopology> = topology.subtopologies().iter().collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |part: &Subtopology| {
            left.iter().any(|other| {
                other.id != part.id
                    && other
                        .sinks
                        .iter()
                        .any(|sink| part.sources.iter().any(|source| source.reads(sink)))
            })
        };
        // In a cycle of topics nobody is first: take any.
        let next = left.iter().position(|part| !waits(part)).unwrap_or(0);
        ordered.push(left.remove(next).id);
    }
    let inputs = |id: u32| {
        let tasks = tasks.iter().filter(move |(task, _)| task.subtopology == id);
        tasks
            .flat_map(|(_, partitions)| partitions.iter().cloned())
            .collect()
    };
    ordered.into_iter().map(inputs).collect()
}
