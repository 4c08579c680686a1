//! The topology as plain data, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::offset_reset::AutoOffsetReset;
use super::pattern::TopicPattern;
use super::sink::BuildSink;
use super::source::BuildSource;
use super::wire::BuildNode;
use crate::store::{GlobalStoreSpec, StoreSpec};

/// A node's place in its topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize, pub(crate) BuilderId);

/// Tells the builders of a process apart, and with them the nodes that they give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BuilderId(u64);

impl Default for BuilderId {
    /// One that no other builder has.
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A topic that a topology reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicName {
    /// Made and named by the user.
    External(Arc<str>),
    /// Made by the application; on the log its name begins with the application id.
    Internal(Arc<str>),
    /// All of the user's that a pattern matches. For sources only.
    Pattern(TopicPattern),
}

impl TopicName {
    /// A topic of the user's.
    pub fn external(name: impl Into<Arc<str>>) -> Self {
        Self::External(name.into())
    }

    /// A topic of the application's own, such as `counts-repartition`.
    pub fn internal(name: impl Into<Arc<str>>) -> Self {
        Self::Internal(name.into())
    }

    /// The topic's name on the log; of a pattern its text.
    #[must_use]
    pub fn resolve(&self, application_id: &str) -> String {
        match self {
            Self::External(name) => name.to_string(),
            Self::Internal(name) => format!("{application_id}-{name}"),
            Self::Pattern(pattern) => pattern.to_string(),
        }
    }

    /// True if the topic of this name on the log is this one, or one of these.
    pub(crate) fn is(&self, topic: &str, application_id: &str) -> bool {
        match self {
            Self::Internal(name) => {
                let own = topic.strip_prefix(application_id);
                own.and_then(|own| own.strip_prefix('-')) == Some(&**name)
            }
            _ => self.is_users(topic),
        }
    }

    /// True if the user's topic of this name is this one, or one of these.
    pub(crate) fn is_users(&self, topic: &str) -> bool {
        match self {
            Self::External(name) => **name == *topic,
            Self::Pattern(pattern) => pattern.matches(topic),
            Self::Internal(_) => false,
        }
    }

    /// True if what is written to `sink` is read here.
    pub(crate) fn reads(&self, sink: &TopicName) -> bool {
        match sink {
            Self::External(name) => self.is_users(name),
            _ => self == sink,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::External(name) | Self::Internal(name) => name,
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

impl Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Nodes in the order they were added, stores, and internal topics.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Whose nodes they are.
    pub(crate) builder: BuilderId,
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) stores: Vec<StoreSpec>,
    pub(crate) global_stores: Vec<GlobalStoreSpec>,
    pub(crate) repartition_topics: Vec<RepartitionTopic>,
    pub(crate) copartitioned: Vec<Vec<NodeId>>,
}

#[derive(Debug)]
pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) children: Vec<NodeId>,
    pub(crate) stores: Vec<String>,
}

pub(crate) enum NodeKind {
    Source {
        topics: Vec<TopicName>,
        /// `None`: as the application does.
        reset: Option<AutoOffsetReset>,
        build: BuildSource,
    },
    Processor {
        build: BuildNode,
    },
    /// Reads the topic of a global store. No task runs it.
    GlobalSource {
        topic: TopicName,
    },
    /// Writes a global store. No task runs it.
    GlobalUpdate,
    Sink {
        /// `None`: chosen for each record.
        topic: Option<TopicName>,
        build: BuildSink,
    },
}

impl Debug for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { topics, .. } => write!(f, "Source({topics:?})"),
            Self::Processor { .. } => write!(f, "Processor"),
            Self::GlobalSource { topic } => write!(f, "GlobalSource({topic:?})"),
            Self::GlobalUpdate => write!(f, "GlobalUpdate"),
            Self::Sink { topic, .. } => write!(f, "Sink({topic:?})"),
        }
    }
}

impl NodeKind {
    /// True if records come in here.
    pub(crate) fn is_source(&self) -> bool {
        matches!(self, Self::Source { .. } | Self::GlobalSource { .. })
    }

    /// True if it belongs to a global store.
    pub(crate) fn is_global(&self) -> bool {
        matches!(self, Self::GlobalSource { .. } | Self::GlobalUpdate)
    }

    /// The topics it reads.
    pub(crate) fn topics(&self) -> &[TopicName] {
        match self {
            Self::Source { topics, .. } => topics,
            Self::GlobalSource { topic } => std::slice::from_ref(topic),
            _ => &[],
        }
    }
}

/// An internal topic between two sub-topologies.
#[derive(Debug)]
pub(crate) struct RepartitionTopic {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: Option<u32>,
}

const NAME_LENGTH_MAX: usize = 249;

impl Graph {
    /// The node at a place.
    pub(crate) fn id(&self, index: usize) -> NodeId {
        NodeId(index, self.builder)
    }

    /// All that is wrong, each a sentence that names the node.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.nodes.iter().any(|node| node.kind.is_source()) {
            problems.push("there is no source: nothing would ever be processed".to_owned());
        }
        self.check_names(&mut problems);
        self.check_topics(&mut problems);
        self.check_stores(&mut problems);
        problems
    }

    fn check_names(&self, problems: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            if !seen.insert(&node.name) {
                problems.push(format!("the name {} is used for two processors", node.name));
            }
            if !valid_name(&node.name) {
                problems.push(format!(
                    "`{}` is not a valid name: use 1 to {NAME_LENGTH_MAX} ASCII letters, digits, `.`, `_` and `-`",
                    node.name
                ));
            }
            if node.parents.is_empty() && !node.kind.is_source() {
                problems.push(format!("processor {} has no parent", node.name));
            }
        }
    }

    fn check_topics(&self, problems: &mut Vec<String>) {
        let mut sources: BTreeMap<&TopicName, &str> = BTreeMap::new();
        let mut sinks: BTreeSet<&TopicName> = BTreeSet::new();
        for node in &self.nodes {
            if let NodeKind::Sink {
                topic: Some(topic), ..
            } = &node.kind
            {
                sinks.insert(topic);
            }
            let topics = node.kind.topics();
            if topics.is_empty() && node.kind.is_source() {
                problems.push(format!("source {} reads no topic", node.name));
            }
            if topics.len() > 1 && topics.iter().any(|topic| matches!(topic, TopicName::Pattern(_))) {
                problems.push(format!(
                    "source {} reads a pattern and other topics: a pattern needs a source of its own",
                    node.name
                ));
            }
            for topic in topics {
                if let Some(other) = sources.insert(topic, &node.name) {
                    problems.push(format!(
                        "topic {topic} is read by two sources, {other} and {}",
                        node.name
                    ));
                }
            }
        }
        self.check_patterns(&sources, &sinks, problems);
        for topic in &self.repartition_topics {
            let name = TopicName::Internal(Arc::clone(&topic.name));
            if !sources.contains_key(&name) || !sinks.contains(&name) {
                problems.push(format!("internal topic {name} needs both a sink and a source"));
            }
        }
    }

    /// A topic has one reader: none that is named may be matched. Two patterns that match one topic are found when there is one.
    fn check_patterns(
        &self,
        sources: &BTreeMap<&TopicName, &str>,
        sinks: &BTreeSet<&TopicName>,
        problems: &mut Vec<String>,
    ) {
        for (topic, node) in sources {
            let TopicName::Pattern(pattern) = topic else {
                continue;
            };
            for (named, other) in sources {
                if matches!(named, TopicName::External(_)) && topic.reads(named) {
                    problems.push(format!(
                        "pattern {pattern} of source {node} matches topic {named}, which source {other} reads"
                    ));
                }
            }
        }
        for sink in sinks {
            if let TopicName::Pattern(pattern) = sink {
                problems.push(format!("a sink cannot write to a pattern, which {pattern} is"));
            }
        }
    }

    fn check_stores(&self, problems: &mut Vec<String>) {
        let globals = self.global_stores.iter().map(|store| &store.name);
        for name in self.stores.iter().map(|store| &store.name).chain(globals) {
            if !valid_name(name) {
                problems.push(format!("`{name}` is not a valid store name"));
            }
        }
        let is_global = |store: &str| self.global_stores.iter().any(|spec| spec.name == store);
        for node in &self.nodes {
            for store in &node.stores {
                if is_global(store) {
                    if !matches!(node.kind, NodeKind::GlobalUpdate) {
                        problems.push(format!(
                            "processor {} names store {store}, which is global: all may read it, none is connected to it",
                            node.name
                        ));
                    }
                } else if !self.stores.iter().any(|spec| spec.name == *store) {
                    problems.push(format!(
                        "processor {} names store {store}, which does not exist",
                        node.name
                    ));
                }
            }
        }
    }
}

fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
