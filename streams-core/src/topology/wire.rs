//! From data to life: builds one task's chain of processors from the sinks upward.
//!
//! The only file with `dyn Any`. Types were erased so that the topology can be plain data; they come back here, once,
//! while a task is being built. The handles of the builders guarantee that they match, so a mismatch is a bug of ours and
//! reported as one.

use std::any::{Any, type_name};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::{NodeId, NodeKind, SourceNode, Subtopology, TopicName, Topology};
use crate::assignment::TaskId;
use crate::context::made_state_dir;
use crate::edge::{AtCommit, Edge, Process, Shared, fan_out};
use crate::error::{Result, StreamsError};
use crate::global::GlobalStores;
use crate::log::{Producer, TopicHandle};
use crate::metrics::TaskMetrics;
use crate::processor::{
    FixedKey, FixedKeyProcessor, Processor, ProcessorInit, Punctuate, Scheduler, live_processor,
};
use crate::store::{
    Changelog, Custom, CustomStore, GlobalKeyValueStore, KeyValueStore, OpenStore, OpenedStore, SessionStore,
    StoreSpec, TaskStore, TimeOrderedBuffer, VersionedKeyValueStore, WindowStore,
};

/// Makes a live processor from the edges to its children.
pub(crate) type BuildNode = Box<dyn Fn(&mut Wiring<'_>, Vec<ErasedEdge>) -> Result<ErasedEdge> + Send + Sync>;

/// Makes the live node of an operator for each task. What types it takes and gives is known inside only, so that whoever adds
/// it to a topology is the same code for all types.
pub struct OperatorSupplier(pub(crate) BuildNode);

impl OperatorSupplier {
    /// Of an operator that `build` makes live from what comes after it.
    pub fn new<KI: 'static, VI: 'static, KO: Clone + 'static, VO: Clone + 'static>(
        build: impl Fn(&mut Wiring<'_>, Edge<KO, VO>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |wiring, children| {
            let next = next_of(children, wiring.node)?;
            build(wiring, next).map(ErasedEdge::new)
        }))
    }

    /// Of a processor of the user's: `supplier` makes one for each task.
    pub fn processor<KI, VI, KO, VO, P>(
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> Self
    where
        KI: 'static,
        VI: 'static,
        KO: Clone + 'static,
        VO: Clone + 'static,
        P: Processor<KI, VI, KO, VO>,
    {
        Self::new(move |wiring, next| live_processor::<KI, VI, KO, VO, P>(wiring, &supplier, next))
    }

    /// Of a processor of the user's that leaves keys as they are.
    pub fn fixed_key_processor<K, VI, VO, P>(
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> Self
    where
        K: Clone + 'static,
        VI: 'static,
        VO: Clone + 'static,
        P: FixedKeyProcessor<K, VI, VO>,
    {
        Self::processor::<K, VI, K, VO, _>(move |init| supplier(init).map(FixedKey))
    }

    /// Of an operator that chooses among what comes after it: `build` gets one edge a child, in the order the children are added.
    pub fn router<KI: 'static, VI: 'static, KO: 'static, VO: 'static>(
        build: impl Fn(&mut Wiring<'_>, Vec<Edge<KO, VO>>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |wiring, children| {
            let children = typed_children(children, wiring.node)?;
            build(wiring, children).map(ErasedEdge::new)
        }))
    }
}

impl std::fmt::Debug for OperatorSupplier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorSupplier")
    }
}

/// An edge whose types are known to those who use it only.
pub(crate) struct ErasedEdge {
    edge: Box<dyn Any>,
    share: Share,
}

/// Turns one edge into several to the same node.
type Share = fn(Box<dyn Any>, usize) -> Vec<Box<dyn Any>>;

impl ErasedEdge {
    pub(crate) fn new<K: 'static, V: 'static>(edge: Edge<K, V>) -> Self {
        Self {
            edge: Box::new(edge),
            share: |edge, count| {
                let edge = edge
                    .downcast::<Edge<K, V>>()
                    .expect("made from this type four lines above");
                let node = Rc::new(RefCell::new(*edge));
                let mut edges: Vec<Box<dyn Any>> = Vec::with_capacity(count);
                for _ in 0..count {
                    let edge: Edge<K, V> = Box::new(Shared(Rc::clone(&node)));
                    edges.push(Box::new(edge));
                }
                edges
            },
        }
    }

    pub(crate) fn typed<K: 'static, V: 'static>(self, node: &str) -> Result<Edge<K, V>> {
        match self.edge.downcast::<Edge<K, V>>() {
            Ok(edge) => Ok(*edge),
            Err(_) => Err(other_types(node, type_name::<(K, V)>())),
        }
    }

    /// One edge for each of several parents.
    fn shared(self, count: usize) -> Vec<ErasedEdge> {
        if count == 1 {
            return vec![self];
        }
        let share = self.share;
        share(self.edge, count)
            .into_iter()
            .map(|edge| ErasedEdge { edge, share })
            .collect()
    }
}

fn other_types(node: &str, types: &str) -> StreamsError {
    StreamsError::Topology(format!(
        "a child of {node} does not take records of {types}; this is a bug"
    ))
}

/// A value as another type, if that is the same one.
pub fn same<A: 'static, B: 'static>(value: &A) -> Option<&B> {
    let value: &dyn Any = value;
    value.downcast_ref::<B>()
}

/// A typed store handle whose types are known to those who use it only.
pub(crate) struct ErasedHandle(Box<dyn Any>);

impl ErasedHandle {
    pub(crate) fn new<T: 'static>(handle: T) -> Self {
        Self(Box::new(handle))
    }

    pub(crate) fn typed<T: Clone + 'static>(&self) -> Option<T> {
        self.0.downcast_ref::<T>().cloned()
    }
}

// These two are compiled once for the types of a node's output, and not for each node.

/// One edge to all of a node's children.
pub(super) fn next_of<K: Clone + 'static, V: Clone + 'static>(
    children: Vec<ErasedEdge>,
    node: &str,
) -> Result<Edge<K, V>> {
    Ok(fan_out(typed_children(children, node)?))
}

fn typed_children<K: 'static, V: 'static>(children: Vec<ErasedEdge>, node: &str) -> Result<Vec<Edge<K, V>>> {
    let mut typed = Vec::with_capacity(children.len());
    for child in children {
        typed.push(child.typed(node)?);
    }
    Ok(typed)
}

/// What a node can take while it is made live: stores, topics, schedules.
pub struct Wiring<'a> {
    pub(crate) node: &'a str,
    /// Names of what comes after it, in the order it was added.
    pub(crate) children: &'a [String],
    pub(crate) application_id: &'a str,
    pub(crate) task_id: TaskId,
    pub(crate) state_dir: Option<&'a Path>,
    pub(crate) stores: &'a BTreeMap<String, ErasedHandle>,
    pub(crate) allowed: &'a [String],
    pub(crate) globals: &'a BTreeMap<String, ErasedHandle>,
    pub(crate) metrics: &'a TaskMetrics,
    pub(crate) shared: &'a mut BTreeMap<String, ErasedHandle>,
    pub(crate) producer: &'a mut dyn Producer,
    pub(crate) punctuations: &'a mut Vec<LivePunctuation>,
    pub(crate) at_commit: &'a mut Vec<Rc<RefCell<dyn AtCommit>>>,
}

impl Wiring<'_> {
    /// Name of the node being made.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.node
    }

    /// The application's id.
    #[must_use]
    pub fn application_id(&self) -> &str {
        self.application_id
    }

    pub(crate) fn task_id(&self) -> TaskId {
        self.task_id
    }

    pub(crate) fn state_dir(&self) -> Result<&Path> {
        made_state_dir(self.state_dir)
    }

    pub(crate) fn child_names(&self) -> &[String] {
        self.children
    }

    /// A key-value store that is connected to this node.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is not connected, or of another type.
    pub fn key_value_store<K: 'static, V: 'static>(&self, name: &str) -> Result<KeyValueStore<K, V>> {
        self.store(name)
    }

    /// A window store that is connected to this node.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is not connected, or of another type.
    pub fn window_store<K: 'static, V: 'static>(&self, name: &str) -> Result<WindowStore<K, V>> {
        self.store(name)
    }

    /// A session store that is connected to this node.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is not connected, or of another type.
    pub fn session_store<K: 'static, V: 'static>(&self, name: &str) -> Result<SessionStore<K, V>> {
        self.store(name)
    }

    /// A versioned store that is connected to this node.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is not connected, or of another type.
    pub fn versioned_store<K: 'static, V: 'static>(
        &self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<K, V>> {
        self.store(name)
    }

    /// A store of the user's own that is connected to this node.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is not connected, or of another type.
    pub fn custom_store<S: CustomStore>(&self, name: &str) -> Result<Custom<S>> {
        self.store(name)
    }

    /// A global store. All nodes may read it.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if there is none of that name and type.
    pub fn global_store<K: 'static, V: 'static>(&self, name: &str) -> Result<GlobalKeyValueStore<K, V>> {
        let handle = self.globals.get(name).and_then(ErasedHandle::typed);
        handle.ok_or_else(|| {
            let (node, types) = (self.node, type_name::<(K, V)>());
            StreamsError::Topology(format!(
                "processor {node}: there is no global store {name} of {types}"
            ))
        })
    }

    /// A buffer that is connected to this node.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is not connected, or of another type.
    pub fn time_ordered_buffer<K: 'static, V: 'static>(&self, name: &str) -> Result<TimeOrderedBuffer<K, V>> {
        self.store(name)
    }

    /// What the nodes of a task that ask for it under this name have in common, beside stores: made for the first of them,
    /// and gone with the task.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it was made as another type.
    pub fn shared<T: Default + 'static>(&mut self, name: &str) -> Result<Rc<RefCell<T>>> {
        let made = || ErasedHandle::new(Rc::new(RefCell::new(T::default())));
        let handle = self.shared.entry(name.to_owned()).or_insert_with(made);
        handle.typed().ok_or_else(|| {
            let (node, types) = (self.node, type_name::<T>());
            StreamsError::Topology(format!("processor {node}: {name} is not shared as a {types}"))
        })
    }

    /// A topic to write to.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn topic(&mut self, topic: &TopicName) -> Result<(Arc<str>, TopicHandle)> {
        let name = topic.resolve(self.application_id);
        let handle = self.producer.topic(&name)?;
        Ok((Arc::from(name), handle))
    }

    /// Makes an edge of a node that the task enters before each commit too: those upstream first.
    pub fn at_commit<K: 'static, V: 'static>(
        &mut self,
        node: impl Process<K, V> + AtCommit + 'static,
    ) -> Edge<K, V> {
        let node = Rc::new(RefCell::new(node));
        self.at_commit.push(Rc::clone(&node) as Rc<RefCell<dyn AtCommit>>);
        Box::new(Shared(node))
    }

    /// Has the task enter a node when one of these schedules is due.
    pub(crate) fn punctuated(&mut self, scheduler: Scheduler, node: Rc<RefCell<dyn Punctuate>>) {
        self.punctuations.push(LivePunctuation { scheduler, node });
    }

    /// A store of the same task, whether or not it is connected to this node: for what stands behind the nodes that write it.
    #[doc(hidden)]
    pub fn store_behind<T: Clone + 'static>(&self, name: &str) -> Result<T> {
        let handle = self.stores.get(name);
        let handle = handle.ok_or_else(|| self.store_problem(name, "is of another task"))?;
        self.typed(name, handle)
    }

    fn store<T: Clone + 'static>(&self, name: &str) -> Result<T> {
        self.typed(name, self.connected(name)?)
    }

    fn typed<T: Clone + 'static>(&self, name: &str, handle: &ErasedHandle) -> Result<T> {
        match handle.0.downcast_ref::<T>() {
            Some(store) => Ok(store.clone()),
            None => Err(self.other_types(name, type_name::<T>())),
        }
    }

    fn connected(&self, name: &str) -> Result<&ErasedHandle> {
        let is_connected = self.allowed.iter().any(|allowed| allowed == name);
        let handle = self.stores.get(name).filter(|_| is_connected);
        handle.ok_or_else(|| {
            self.store_problem(
                name,
                "is not connected to it: name it where the processor is added",
            )
        })
    }

    fn other_types(&self, name: &str, types: &str) -> StreamsError {
        let what = format!("is not a {types}: take it with the types it was added with");
        self.store_problem(name, &what)
    }

    fn store_problem(&self, name: &str, what: &str) -> StreamsError {
        StreamsError::Topology(format!("processor {}: store {name} {what}", self.node))
    }
}

impl std::fmt::Debug for Wiring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A live node that has schedules.
pub(crate) struct LivePunctuation {
    pub(crate) scheduler: Scheduler,
    pub(crate) node: Rc<RefCell<dyn Punctuate>>,
}

/// One task's part of the topology, alive.
pub(crate) struct LiveTopology {
    /// Sources by topic name on the log.
    pub(crate) sources: Vec<(Vec<TopicName>, Box<dyn SourceNode>)>,
    pub(crate) stores: Vec<Box<dyn TaskStore>>,
    pub(crate) punctuations: Vec<LivePunctuation>,
    /// Nodes that are entered before a commit, upstream first.
    pub(crate) at_commit: Vec<Rc<RefCell<dyn AtCommit>>>,
    /// The task's directory, which need not be there.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) metrics: Arc<TaskMetrics>,
    /// Typed handles by store name, for whoever looks in from outside.
    pub(crate) handles: BTreeMap<String, ErasedHandle>,
}

/// Where a task's stores live and what they may use.
pub(crate) struct StorePlace<'a> {
    pub(crate) application_id: &'a str,
    pub(crate) task_id: TaskId,
    /// The task's directory, if there may be one.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) cache_bytes: usize,
    /// Each put is a changelog record, as in Kafka Streams without caching; otherwise the last one of a key and commit is.
    pub(crate) logs_every_put: bool,
    pub(crate) globals: &'a GlobalStores,
    /// What the task counts.
    pub(crate) metrics: Arc<TaskMetrics>,
    /// Opens the byte store.
    pub(crate) open: &'a mut dyn FnMut(&StoreSpec) -> Result<Arc<dyn state_store::KeyValueStore>>,
}

/// Makes a sub-topology live. Stores are opened, not restored.
pub(crate) fn wire(
    topology: &Topology,
    subtopology: &Subtopology,
    place: &mut StorePlace<'_>,
    producer: &mut dyn Producer,
) -> Result<LiveTopology> {
    let (stores, handles) = open_stores(topology, subtopology, place, producer)?;
    let globals = open_global_stores(topology, place.globals);
    let graph = topology.graph();
    let mut punctuations = Vec::new();
    let mut at_commit = Vec::new();
    let mut shared = BTreeMap::new();
    let mut sources = Vec::new();
    // For each node, one edge for every parent that has not taken it yet.
    let mut edges: BTreeMap<usize, Vec<ErasedEdge>> = BTreeMap::new();
    // Children are always added after their parents, so the reverse order meets children first.
    for id in subtopology.nodes.iter().rev() {
        let node = &graph.nodes[id.0];
        let children = take_edges(&mut edges, &node.children);
        let name_of = |child: &NodeId| graph.nodes[child.0].name.clone();
        let names: Vec<String> = node.children.iter().map(name_of).collect();
        let mut wiring = Wiring {
            node: &node.name,
            children: &names,
            application_id: place.application_id,
            task_id: place.task_id,
            state_dir: place.state_dir.as_deref(),
            stores: &handles,
            allowed: &node.stores,
            globals: &globals,
            metrics: &place.metrics,
            shared: &mut shared,
            producer: &mut *producer,
            punctuations: &mut punctuations,
            at_commit: &mut at_commit,
        };
        let edge = match &node.kind {
            NodeKind::Source { topics, build, .. } => {
                sources.push((topics.clone(), build(&mut wiring, children)?));
                continue;
            }
            NodeKind::Processor { build } => build(&mut wiring, children)?,
            NodeKind::Sink { topic, build } => build(&mut wiring, topic.as_ref())?,
            // Of global stores, which no task runs.
            NodeKind::GlobalSource { .. } | NodeKind::GlobalUpdate => continue,
        };
        edges.insert(id.0, edge.shared(node.parents.len()));
    }
    Ok(LiveTopology {
        sources,
        stores,
        punctuations,
        // Nodes were made from the sinks upward.
        at_commit: at_commit.into_iter().rev().collect(),
        state_dir: place.state_dir.clone(),
        metrics: Arc::clone(&place.metrics),
        handles,
    })
}

fn take_edges(edges: &mut BTreeMap<usize, Vec<ErasedEdge>>, children: &[NodeId]) -> Vec<ErasedEdge> {
    let take = |child: &NodeId| {
        let left = edges.get_mut(&child.0).and_then(Vec::pop);
        left.expect("one edge was made for every parent")
    };
    children.iter().map(take).collect()
}

/// Readers of all global stores.
pub(crate) fn open_global_stores(
    topology: &Topology,
    stores: &GlobalStores,
) -> BTreeMap<String, ErasedHandle> {
    let specs = topology.graph().global_stores.iter();
    specs
        .filter_map(|spec| {
            let rows = Arc::clone(stores.get(&spec.name)?);
            Some((spec.name.clone(), (spec.open)(rows)))
        })
        .collect()
}

type OpenedStores = (Vec<Box<dyn TaskStore>>, BTreeMap<String, ErasedHandle>);

fn open_stores(
    topology: &Topology,
    subtopology: &Subtopology,
    place: &mut StorePlace<'_>,
    producer: &mut dyn Producer,
) -> Result<OpenedStores> {
    let specs = topology.stores();
    let mut stores = Vec::new();
    let mut handles = BTreeMap::new();
    for name in &subtopology.stores {
        let spec = specs[name.as_str()];
        let topic: Arc<str> = Arc::from(spec.changelog_topic(place.application_id));
        let changelog = if spec.logged {
            let handle = producer.topic(&topic)?;
            Some(Changelog {
                topic: Arc::clone(&topic),
                handle,
                partition: place.task_id.partition,
                is_source: spec.source_topic.is_some(),
            })
        } else {
            None
        };
        let bytes = (place.open)(spec)?;
        let open = OpenStore {
            bytes,
            topic,
            changelog,
            cache_bytes: place.cache_bytes,
            logs_every_put: place.logs_every_put,
        };
        let OpenedStore { store, handle } = (spec.open)(&spec.name, open);
        stores.push(store);
        handles.insert(name.clone(), handle);
    }
    Ok((stores, handles))
}
