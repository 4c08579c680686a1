//! The tasks of the test driver, and the loop that runs them until nothing is left to do.
//!
//! Without partitions one task runs all of the topology, as Kafka's driver does. With partitions there is a task for each
//! sub-topology and partition, as in a running application.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use state_store::{MemoryEngine, StoreIdentity};

use super::producer::{CapturingProducer, Patterns};
use super::{TestDriverOptions, WrittenRecord};
use crate::assignment::TaskId;
use crate::error::{Result, StreamsError};
use crate::global::{GlobalState, GlobalStores};
use crate::log::{Fetched, RecordSet, RecordSpan, Span, TopicPartition};
use crate::metrics::{RecordingLevel, TaskMetrics};
use crate::partitioner::partition_for_key;
use crate::processor::PunctuationType;
use crate::store::{GlobalStoreSpec, StoreKind, StoreSpec, open_bytes};
use crate::task::{StartPosition, StreamTask, TaskSettings};
use crate::topology::{
    ErasedHandle, InternalTopics, StorePlace, Subtopology, TopicName, Topology, open_global_stores, wire,
};

/// A task and the stores it has.
pub(super) struct DrivenTask {
    pub(super) task: StreamTask,
    pub(super) handles: BTreeMap<String, ErasedHandle>,
}

/// All that the driver runs.
pub(super) struct Driven {
    pub(super) tasks: Vec<DrivenTask>,
    pub(super) global: GlobalState,
    pub(super) global_handles: BTreeMap<String, ErasedHandle>,
    pub(super) producer: CapturingProducer,
    patterns: Patterns,
    /// Which task reads a partition.
    readers: BTreeMap<TopicPartition, usize>,
    /// Next offset of each partition that was read.
    offsets: BTreeMap<TopicPartition, i64>,
    pub(super) now_ms: i64,
}

/// A task to be: its id, what it runs, and what it reads.
type Plan = (TaskId, Subtopology, Vec<TopicPartition>);

impl Driven {
    pub(super) fn new(topology: &Topology, options: TestDriverOptions) -> Result<Self> {
        let TestDriverOptions {
            application_id,
            wall_clock_ms,
            state_dir,
            errors,
            metrics_recording_level,
            timestamp_extractor,
            max_task_idle_ms,
            partitions,
        } = options;
        let settings = TaskSettings {
            handlers: errors,
            timestamp_extractor,
            max_idle_ms: max_task_idle_ms,
        };
        let (plans, partitions) = match partitions.is_empty() {
            true => (vec![whole(topology, &application_id)], partitions),
            false => laid_out(topology, &application_id, partitions)?,
        };
        let mut home = Home {
            application_id,
            state_dir,
            settings,
            metrics_recording_level,
            globals: GlobalStores::new(),
        };
        let global = home.open_globals(topology)?;
        let patterns = Patterns {
            topology: topology.clone(),
            application_id: Arc::clone(&home.application_id),
        };
        let inputs = read_topics(topology, &plans);
        let mut driven = Self {
            tasks: Vec::new(),
            global,
            global_handles: open_global_stores(topology, &home.globals),
            producer: CapturingProducer::new(partitions, inputs, Some(patterns.clone())),
            patterns,
            readers: BTreeMap::new(),
            offsets: BTreeMap::new(),
            now_ms: wall_clock_ms,
        };
        for plan in plans {
            driven.add_task(topology, &home, plan)?;
        }
        Ok(driven)
    }

    fn add_task(&mut self, topology: &Topology, home: &Home, (id, part, inputs): Plan) -> Result<()> {
        let index = self.tasks.len();
        let readers = inputs.iter().map(|partition| (partition.clone(), index));
        self.readers.extend(readers);
        let partitions = inputs.clone();
        let (live, handles) = home.make_live(topology, id, &part, &mut self.producer)?;
        let inputs = inputs
            .into_iter()
            .map(|partition| (partition, StartPosition::at(0)));
        let mut task = StreamTask::new(
            id,
            Arc::clone(&home.application_id),
            live,
            inputs.collect(),
            home.settings.clone(),
        );
        for partition in &partitions {
            task.set_end(partition, 0);
        }
        task.set_wall_clock_ms(self.now_ms);
        task.punctuate(PunctuationType::WallClockTime, &mut self.producer)?;
        self.tasks.push(DrivenTask { task, handles });
        Ok(())
    }

    /// The partition that a record of this key belongs to.
    pub(super) fn partition_of(&self, topic: &str, key: Option<&[u8]>) -> i32 {
        key.map_or(0, |key| partition_for_key(key, self.producer.partitions(topic)))
    }

    /// Gives a record to whoever reads its partition.
    pub(super) fn enqueue(&mut self, partition: TopicPartition, record: &WrittenRecord) -> Result<()> {
        let is_global = self.global.reads(&partition.topic);
        let reader = self.readers.get(&partition).copied();
        let reader = reader.or_else(|| self.adopt(&partition));
        if !is_global && reader.is_none() {
            return Err(self.not_read(&partition));
        }
        let next = self.offsets.entry(partition.clone()).or_default();
        let offset = *next;
        *next += 1;
        let fetched = Fetched {
            partition,
            records: record.to_set(offset),
            next_offset: offset + 1,
            end_offset: offset + 1,
        };
        if let Some(reader) = reader {
            self.tasks[reader].task.add(fetched);
            return Ok(());
        }
        self.global.apply(&fetched, self.now_ms)
    }

    /// The reader of a topic that is new and matches a pattern.
    fn adopt(&mut self, partition: &TopicPartition) -> Option<usize> {
        if !self.patterns.match_topic(&partition.topic) {
            return None;
        }
        let mut tasks = self.tasks.iter_mut();
        let reader = tasks.position(|driven| {
            driven.task.id().partition == partition.partition && driven.task.add_input(partition)
        })?;
        self.readers.insert(partition.clone(), reader);
        self.tasks[reader].task.set_end(partition, 0);
        Some(reader)
    }

    fn not_read(&self, partition: &TopicPartition) -> StreamsError {
        let mut topics: Vec<&str> = self.readers.keys().map(|partition| &*partition.topic).collect();
        topics.dedup();
        let what = match topics.contains(&&*partition.topic) {
            true => format!(
                "topic {} has no partition {}",
                partition.topic, partition.partition
            ),
            false => format!(
                "the topology does not read topic {}, only: {}",
                partition.topic,
                topics.join(", ")
            ),
        };
        StreamsError::Topology(what)
    }

    /// Processes, punctuates and commits record by record until nothing is left.
    pub(super) fn run(&mut self) -> Result<()> {
        loop {
            self.requeue()?;
            let mut processed = 0;
            for DrivenTask { task, .. } in &mut self.tasks {
                if !task.has_buffered() {
                    continue;
                }
                task.note_idle();
                if !task.ready() {
                    tracing::info!(task = %task.id(), "records wait for an input without any, as max.task.idle.ms says");
                    continue;
                }
                processed = task.process(1, &mut self.producer)?;
                if processed > 0 {
                    task.punctuate(PunctuationType::StreamTime, &mut self.producer)?;
                    commit(task, &mut self.producer)?;
                    break;
                }
            }
            if processed == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn advance_wall_clock(&mut self, by_ms: i64) -> Result<()> {
        self.now_ms = self.now_ms.saturating_add(by_ms);
        for DrivenTask { task, .. } in &mut self.tasks {
            task.set_wall_clock_ms(self.now_ms);
            task.punctuate(PunctuationType::WallClockTime, &mut self.producer)?;
            commit(task, &mut self.producer)?;
        }
        self.run()
    }

    /// What was written to topics that the topology reads comes back as input.
    fn requeue(&mut self) -> Result<()> {
        while let Some((partition, record)) = self.producer.pop_fresh() {
            self.enqueue(partition, &record)?;
        }
        Ok(())
    }
}

fn commit(task: &mut StreamTask, producer: &mut CapturingProducer) -> Result<()> {
    task.prepare_commit(producer)?;
    task.committed(&*producer);
    task.flush()?;
    Ok(())
}

/// One task for all of the topology.
fn whole(topology: &Topology, application_id: &str) -> Plan {
    let id = TaskId {
        subtopology: 0,
        partition: 0,
    };
    let part = Subtopology::whole(topology);
    // Topics that match patterns are taken in as they come.
    let named = part
        .sources
        .iter()
        .filter(|topic| !matches!(topic, TopicName::Pattern(_)));
    let topics = named.map(|topic| topic.resolve(application_id));
    let inputs = topics.map(|topic| TopicPartition::new(topic, 0)).collect();
    (id, part, inputs)
}

/// The tasks of a running application, and the partition counts of all of its topics.
fn laid_out(
    topology: &Topology,
    application_id: &str,
    mut partitions: BTreeMap<String, u32>,
) -> Result<(Vec<Plan>, BTreeMap<String, u32>)> {
    for topic in topology.source_topics() {
        partitions.entry(topic).or_insert(1);
    }
    let mut read = partitions.clone();
    let named = topology.source_topics();
    read.retain(|topic, _| named.contains(topic) || topology.is_matched(topic, application_id));
    let layout = topology.layout(application_id, &InternalTopics::default(), &read)?;
    let internal = layout.internal_topics.into_iter();
    partitions.extend(internal.map(|topic| (topic.name, topic.partitions)));
    let plan = |(id, inputs): (&TaskId, &Vec<TopicPartition>)| {
        let part = topology.subtopologies()[id.subtopology as usize].clone();
        (*id, part, inputs.clone())
    };
    Ok((layout.tasks.iter().map(plan).collect(), partitions))
}

/// Names of all topics that are read by their names.
fn read_topics(topology: &Topology, plans: &[Plan]) -> Vec<String> {
    let by_tasks = plans.iter().flat_map(|(_, _, inputs)| inputs);
    let by_globals = topology.graph().global_stores.iter();
    by_tasks
        .map(|partition| partition.topic.to_string())
        .chain(by_globals.map(|spec| spec.topic.to_string()))
        .collect()
}

/// What all tasks of a driver have in common.
struct Home {
    application_id: Arc<str>,
    state_dir: Option<PathBuf>,
    settings: TaskSettings,
    metrics_recording_level: RecordingLevel,
    globals: GlobalStores,
}

type Live = (crate::topology::LiveTopology, BTreeMap<String, ErasedHandle>);

impl Home {
    /// Of a task, or of the global stores.
    fn directory(&self, owner: &str) -> Option<PathBuf> {
        let state_dir = self.state_dir.as_ref();
        state_dir.map(|path| path.join(&*self.application_id).join(owner))
    }

    /// A byte store in memory, unless its kind is one of the user's own.
    fn open_bytes(
        &self,
        owner: &str,
        name: &str,
        layout: state_store::Layout,
        kind: Option<&StoreKind>,
    ) -> Result<Arc<dyn state_store::KeyValueStore>> {
        let identity = StoreIdentity::new(&*self.application_id, owner, name);
        let spec = state_store::StoreSpec::new(identity, layout);
        let path = self.directory(owner).map(|path| path.join(name));
        Ok(open_bytes(
            kind,
            &MemoryEngine,
            &MemoryEngine,
            &spec,
            path.as_deref(),
        )?)
    }

    /// Opens the global stores, and makes what fills them.
    fn open_globals(&mut self, topology: &Topology) -> Result<GlobalState> {
        let mut open = |spec: &GlobalStoreSpec| {
            self.open_bytes(
                "global",
                &spec.name,
                state_store::Layout::Plain,
                spec.kind.as_ref(),
            )
        };
        let (state, stores) = GlobalState::open(topology, self.settings.handlers.clone(), &mut open)?;
        self.globals = stores;
        Ok(state)
    }

    fn make_live(
        &self,
        topology: &Topology,
        id: TaskId,
        part: &Subtopology,
        producer: &mut CapturingProducer,
    ) -> Result<Live> {
        let task = id.to_string();
        let mut open = |spec: &StoreSpec| self.open_bytes(&task, &spec.name, spec.layout, spec.kind.as_ref());
        let mut place = StorePlace {
            application_id: &self.application_id,
            task_id: id,
            state_dir: self.directory(&task),
            cache_bytes: usize::MAX,
            logs_every_put: true,
            globals: &self.globals,
            metrics: Arc::new(TaskMetrics::new(self.metrics_recording_level)),
            open: &mut open,
        };
        let mut live = wire(topology, part, &mut place, producer)?;
        let handles = std::mem::take(&mut live.handles);
        Ok((live, handles))
    }
}

impl WrittenRecord {
    fn to_set(&self, offset: i64) -> RecordSet {
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        let data = [key.unwrap_or_default(), value.unwrap_or_default()].concat();
        let key_span = key.map_or(Span::NULL, |key| Span::new(0, key.len()));
        let value_span = value.map_or(Span::NULL, |value| {
            Span::new(data.len() - value.len(), value.len())
        });
        let span = RecordSpan {
            offset,
            timestamp_ms: self.timestamp_ms,
            key: key_span,
            value: value_span,
        };
        let headers = match self.headers.is_empty() {
            true => BTreeMap::new(),
            false => BTreeMap::from([(0, self.headers.clone())]),
        };
        RecordSet {
            data: Bytes::from(data),
            spans: vec![span],
            headers,
        }
    }
}
