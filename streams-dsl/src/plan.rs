//! The logical plan: what the handles record, as data.
//!
//! Names, kinds, parents, stores and what an operator does to the key can be read and rewritten by code that knows no
//! types; each node also keeps a function that adds it to the topology once all is decided ([`lower`](crate::lower)).
//! Nodes are in the order of their making, so parents come before children.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::rc::Rc;

use streams_core::store::{ConnectedStores, StoreConnections, StoreKind};
use streams_core::topology::{AutoOffsetReset, LateChanges, TopicName, TopologyBuilder};

use crate::lower::Lower;
use crate::names::{Names, RepartitionNames};

/// A node's place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PlanId(pub(crate) usize);

/// The plan that all handles of one builder write to.
pub(crate) type SharedPlan = Rc<RefCell<Plan>>;

/// Nodes, stores and what must hold between them.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) names: Names,
    pub(crate) nodes: Vec<PlanNode>,
    pub(crate) stores: Vec<PlanStore>,
    /// Groups of sources whose topics must have equal partition counts.
    pub(crate) copartitioned: Vec<Vec<PlanId>>,
    /// For stores that do not say.
    pub(crate) default_store_kind: Option<StoreKind>,
    /// Whether what is kept must have names of the user's.
    pub(crate) requires_names: bool,
    /// Whether updates of tables that do not say so themselves are held until a commit.
    pub(crate) default_caching: bool,
    /// What is wrong, to be reported by `build`.
    pub(crate) problems: Vec<String>,
    /// Once the topology is built: where it is said that something came too late for it.
    pub(crate) late_changes: Option<LateChanges>,
}

pub(crate) struct PlanNode {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) parents: Vec<PlanId>,
    /// The table it looks up, which is not a parent: it sends nothing.
    pub(crate) joined: Option<PlanId>,
    /// Stores it uses, its own and others'.
    pub(crate) stores: Vec<String>,
    pub(crate) key: KeyEffect,
    /// The values after it are others.
    pub(crate) changes_values: bool,
    /// If it is known: whether rows it sends are of a versioned table. Else it is as its parents.
    pub(crate) is_versioned: Option<bool>,
    /// Set before it is lowered: its parent's rows are of a versioned table.
    pub(crate) uses_versions: bool,
    /// An optimization did away with it.
    pub(crate) is_removed: bool,
    pub(crate) table: TableState,
    /// For tables: downstream needs old values.
    pub(crate) send_old_values: bool,
    /// A join that takes null keys, which therefore must survive the repartition before it (KIP-962).
    pub(crate) takes_null_keys: bool,
    /// For windowed aggregations: how long windows stay open after their end.
    pub(crate) window_grace_ms: Option<i64>,
    /// For tables: updates are held until a commit, unless something else is said of the table.
    pub(crate) default_caching: bool,
    pub(crate) lower: Option<Lower>,
}

/// What kind of node, as far as anybody but the node itself needs to know.
pub(crate) enum Kind {
    /// Reads topics. Sources of the same topics become one, so their types must agree.
    Source {
        topics: Vec<TopicName>,
        reset: Option<AutoOffsetReset>,
        types: (TypeId, &'static str),
    },
    /// Reads a topic as a table: two processors.
    TableSource {
        source_name: String,
        topic: String,
        store: String,
    },
    /// Fills a global store from a topic: two processors.
    GlobalSource { source_name: String },
    /// Writes to an internal topic and reads it again: three processors.
    Repartition {
        names: RepartitionNames,
        /// Nobody asked for it by itself, so that it may be merged with others.
        is_optimizable: bool,
    },
    /// Writes to an internal topic and reads it again, for a join by a foreign key.
    Exchange,
    /// One of the streams that its parent splits into: its name begins with its parent's.
    Branch,
    /// Two streams as one.
    Merge,
    /// Brings the two sides of a join of streams together: they are its parents. Keeps how to join a stream with itself.
    StreamJoin { self_join: Option<Lower> },
    /// Brings the two sides of a join of tables together: they are its parents.
    TableMerge,
    /// Brings the aggregations of several streams together: they are its parents.
    CogroupMerge,
    /// Everything else.
    Operator,
}

/// What a node does to the partitioning of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyEffect {
    /// Leaves the key as it is.
    Keeps,
    /// May change the key: who needs equal keys together must repartition.
    Changes,
    /// May change the key too, but nothing is moved up to it: a processor, see ADR 0009.
    MayChange,
    /// Equal keys are together after it.
    Settles,
}

/// How the contents of a table can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TableState {
    /// Not a table.
    None,
    /// In a store of this name.
    Stored(String),
    /// In a store of this name, which is made once somebody needs it.
    OnDemand(String),
    /// From its parent, computed at each look-up.
    Computed,
    /// From its parent, computed at each look-up by a function that may use the node's stores.
    Transformed,
    /// In a store of this name, which its parents write.
    Merged(String),
    /// From its parent, but for what a buffer of this name holds back.
    Buffered(String),
}

/// A store: its name, and how to add it once a node is connected to it.
pub(crate) struct PlanStore {
    pub(crate) name: String,
    /// The topic it is restored from, instead of a changelog.
    pub(crate) source_topic: Option<String>,
    pub(crate) add: Box<dyn FnOnce(&mut TopologyBuilder)>,
}

impl PlanNode {
    pub(crate) fn new(name: String, parents: Vec<PlanId>, lower: Lower) -> Self {
        Self {
            name,
            kind: Kind::Operator,
            parents,
            joined: None,
            stores: Vec::new(),
            key: KeyEffect::Keeps,
            changes_values: false,
            is_versioned: None,
            uses_versions: false,
            default_caching: false,
            is_removed: false,
            table: TableState::None,
            send_old_values: false,
            takes_null_keys: false,
            window_grace_ms: None,
            lower: Some(lower),
        }
    }

    /// It makes a table that is kept in this store: always if the user named it, otherwise once somebody needs it.
    pub(crate) fn keeps_table(&mut self, store: &str, is_named: bool, is_versioned: bool) {
        self.is_versioned = Some(is_versioned);
        self.table = if is_named {
            self.stores.push(store.to_owned());
            TableState::Stored(store.to_owned())
        } else {
            TableState::OnDemand(store.to_owned())
        };
    }

    pub(crate) fn stores(&self) -> Vec<&str> {
        self.stores.iter().map(String::as_str).collect()
    }

    fn connect(&mut self, store: &str) {
        if !self.stores.iter().any(|name| name == store) {
            self.stores.push(store.to_owned());
        }
    }
}

impl Plan {
    pub(crate) fn add(&mut self, node: PlanNode) -> PlanId {
        self.check_time(&node.name);
        self.nodes.push(node);
        PlanId(self.nodes.len() - 1)
    }

    /// Nothing changes a topology that is built.
    fn check_time(&self, declared: &str) {
        if let Some(late_changes) = &self.late_changes {
            late_changes.report(declared);
        }
    }

    pub(crate) fn node(&self, id: PlanId) -> &PlanNode {
        &self.nodes[id.0]
    }

    pub(crate) fn node_mut(&mut self, id: PlanId) -> &mut PlanNode {
        &mut self.nodes[id.0]
    }

    /// True if equal keys may be on different partitions after this node.
    pub(crate) fn repartition_required(&self, id: PlanId) -> bool {
        let node = self.node(id);
        match node.key {
            KeyEffect::Changes | KeyEffect::MayChange => true,
            KeyEffect::Settles => false,
            KeyEffect::Keeps => node
                .parents
                .iter()
                .any(|&parent| self.repartition_required(parent)),
        }
    }

    /// Adds the stores that a processor brings. Returns the names of all that it is connected to.
    pub(crate) fn connected(&mut self, stores: impl ConnectedStores) -> Vec<String> {
        let StoreConnections { names, brought } = StoreConnections::of(stores);
        self.stores.extend(brought.into_iter().map(|spec| PlanStore {
            name: spec.name().to_owned(),
            source_topic: None,
            add: Box::new(move |builder| builder.share_store_spec(spec)),
        }));
        names
    }

    /// The repartition of this topic that hangs on a node already, to be shared.
    pub(crate) fn repartition_below(&self, parent: PlanId, topic: &str) -> Option<PlanId> {
        let found = self.nodes.iter().position(|node| {
            matches!(&node.kind, Kind::Repartition { names, .. } if names.topic == topic)
                && node.parents == [parent]
        });
        found.map(PlanId)
    }

    /// Gives a node the user's name. Its number is taken already, as in Kafka.
    pub(crate) fn rename(&mut self, id: PlanId, name: &str) {
        self.check_time(name);
        let node = self.node_mut(id);
        let before = std::mem::replace(&mut node.name, name.to_owned());
        match &mut node.kind {
            Kind::TableSource { source_name, .. } | Kind::GlobalSource { source_name } => {
                *source_name = format!("{name}-source");
            }
            Kind::Branch => {
                let splitter = node.parents[0];
                let name = format!("{}{name}", self.node(splitter).name);
                self.node_mut(id).name = name;
            }
            Kind::TableMerge => {
                let sides = node.parents.clone();
                for (side, suffix) in sides.into_iter().zip(["-join-this", "-join-other"]) {
                    self.node_mut(side).name = format!("{name}{suffix}");
                }
            }
            Kind::CogroupMerge => {
                node.name = format!("{name}-cogroup-merge");
                for (index, member) in node.parents.clone().into_iter().enumerate() {
                    self.node_mut(member).name = format!("{name}-cogroup-agg-{index}");
                }
            }
            _ => self.rename_repartition(id, &before, name),
        }
    }

    /// The topic that brought equal keys together for a node, and is named after it, is renamed with it.
    fn rename_repartition(&mut self, id: PlanId, before: &str, name: &str) {
        for parent in self.node(id).parents.clone() {
            let parent = self.node_mut(parent);
            if let Kind::Repartition { names, .. } = &mut parent.kind
                && let Some(renamed) = names.renamed(before, name)
            {
                parent.name.clone_from(&renamed.source);
                *names = renamed;
            }
        }
    }

    /// The sources that a node's records come from, joined tables included.
    pub(crate) fn sources(&self, id: PlanId) -> BTreeSet<PlanId> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let node = self.node(id);
            match node.kind {
                Kind::Operator
                | Kind::Branch
                | Kind::Merge
                | Kind::StreamJoin { .. }
                | Kind::TableMerge
                | Kind::CogroupMerge => open.extend(node.parents.iter().chain(&node.joined)),
                _ => {
                    found.insert(id);
                }
            }
        }
        found
    }

    /// Requires that what these two nodes read is partitioned alike.
    pub(crate) fn copartition(&mut self, a: PlanId, b: PlanId) {
        self.copartition_all(&[a, b]);
    }

    /// Requires that what all of these nodes read is partitioned alike.
    pub(crate) fn copartition_all(&mut self, nodes: &[PlanId]) {
        let sources: BTreeSet<PlanId> = nodes.iter().flat_map(|&node| self.sources(node)).collect();
        if sources.len() > 1 {
            self.copartitioned.push(sources.into_iter().collect());
        }
    }

    /// Makes a table one that can be looked up. Returns the stores that a look-up uses.
    pub(crate) fn look_up(&mut self, table: PlanId) -> Vec<String> {
        let node = self.node_mut(table);
        match node.table.clone() {
            TableState::Stored(store) | TableState::Merged(store) => vec![store],
            TableState::OnDemand(store) => {
                node.connect(&store);
                vec![store]
            }
            TableState::Computed => {
                let parents = node.parents.clone();
                parents
                    .into_iter()
                    .flat_map(|parent| self.look_up(parent))
                    .collect()
            }
            TableState::Transformed => {
                let (parents, mut stores) = (node.parents.clone(), node.stores.clone());
                stores.extend(parents.into_iter().flat_map(|parent| self.look_up(parent)));
                stores
            }
            TableState::Buffered(store) => {
                let parents = node.parents.clone();
                let mut stores = vec![store];
                stores.extend(parents.into_iter().flat_map(|parent| self.look_up(parent)));
                stores
            }
            TableState::None => Vec::new(),
        }
    }

    /// Whether a table is versioned: it or all that it is made of is kept in versioned stores.
    pub(crate) fn is_versioned(&self, table: PlanId) -> bool {
        let node = self.node(table);
        let parents = &node.parents;
        node.is_versioned
            .unwrap_or_else(|| !parents.is_empty() && parents.iter().all(|&parent| self.is_versioned(parent)))
    }

    /// Tells each node whether its parent's rows are of a versioned table, and finds those that cannot be.
    pub(crate) fn spread_versions(&mut self) {
        for index in 0..self.nodes.len() {
            let parent = self.nodes[index].parents.first().copied();
            let uses_versions = parent.is_some_and(|parent| self.is_versioned(parent));
            let node = &mut self.nodes[index];
            node.uses_versions = uses_versions;
            if uses_versions && matches!(node.table, TableState::Buffered(_)) {
                let problem = format!(
                    "{} holds back updates of a versioned table, which cannot be",
                    node.name
                );
                self.problems.push(problem);
            }
        }
    }

    /// Tells each node what the topology says of caching.
    pub(crate) fn spread_caching(&mut self) {
        for node in &mut self.nodes {
            node.default_caching = self.default_caching;
        }
    }

    /// How long the windows of a windowed table stay open after their end, or its parents'; `None` if it has none.
    pub(crate) fn window_grace_ms(&self, table: PlanId) -> Option<i64> {
        let node = self.node(table);
        let parents = node.parents.iter();
        node.window_grace_ms
            .or_else(|| parents.filter_map(|&parent| self.window_grace_ms(parent)).max())
    }

    /// Asks a table to send old values beside new ones; tells if it will. It cannot without a store somewhere: with
    /// `force`, one is made.
    pub(crate) fn enable_old_values(&mut self, table: PlanId, force: bool) -> bool {
        let node = self.node_mut(table);
        let is_join = matches!(node.kind, Kind::TableMerge);
        let enabled = node.send_old_values
            || match node.table.clone() {
                // The old values of a join are joined from those of its tables, even if it is in a store.
                _ if is_join => {
                    for side in node.parents.clone() {
                        self.enable_old_values_of_side(side);
                    }
                    true
                }
                TableState::Stored(_) => true,
                TableState::OnDemand(store) => {
                    if force {
                        node.connect(&store);
                    }
                    node.stores.contains(&store)
                }
                TableState::Computed
                | TableState::Transformed
                | TableState::Merged(_)
                | TableState::Buffered(_) => {
                    let parents = node.parents.clone();
                    let mut enabled = true;
                    for parent in parents {
                        enabled &= self.enable_old_values(parent, force);
                    }
                    enabled
                }
                TableState::None => false,
            };
        self.node_mut(table).send_old_values = enabled;
        enabled
    }

    /// One side of a join of tables. Its table is in a store anyway.
    fn enable_old_values_of_side(&mut self, side: PlanId) {
        let node = self.node_mut(side);
        node.send_old_values = true;
        for table in node.parents.clone() {
            self.enable_old_values(table, true);
        }
    }
}

impl Debug for PlanNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanNode")
            .field("name", &self.name)
            .field("parents", &self.parents)
            .field("stores", &self.stores)
            .field("key", &self.key)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl Debug for PlanStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanStore({})", self.name)
    }
}
