//! The logical plan: what a program declared, as data, until [`build`](crate::StreamsBuilder::build) lowers it.
//!
//! Nodes are in the order of declaration, parents first. Each keeps how it becomes part of the topology, and is only asked
//! at the end: by then it is known which tables are looked up and need a store, and rewrites (merging repartition topics,
//! reusing source topics as changelogs) have one place to happen, between the last declaration and [`Plan::lower`].

use std::cell::RefCell;
use std::rc::Rc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::store::StoreBuilder;
use streams_core::topology::{Node, NodeId, Topology, TopologyBuilder, Wiring};

use crate::names::Names;

/// A node's place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlanId(usize);

/// The plan, shared by all handles of one builder.
pub(crate) type SharedPlan = Rc<RefCell<Plan>>;

/// See the file's top.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) names: Names,
    nodes: Vec<PlanNode>,
    stores: Vec<Box<dyn FnOnce(&mut TopologyBuilder)>>,
    copartitioned: Vec<Vec<PlanId>>,
}

struct PlanNode {
    name: String,
    parents: Vec<PlanId>,
    lower: Lower,
}

/// Adds a node to the topology, from its name and its parents there.
type Lower = Box<dyn FnOnce(&mut TopologyBuilder, &str, &[NodeId]) -> NodeId>;

impl Plan {
    /// Declares a node. Its name is generated; [`rename`](Self::rename) gives it another.
    pub(crate) fn add(
        &mut self,
        name: String,
        parents: &[PlanId],
        lower: impl FnOnce(&mut TopologyBuilder, &str, &[NodeId]) -> NodeId + 'static,
    ) -> PlanId {
        self.nodes.push(PlanNode {
            name,
            parents: parents.to_vec(),
            lower: Box::new(lower),
        });
        PlanId(self.nodes.len() - 1)
    }

    /// Declares an operator without stores that passes records on to all its children.
    pub(crate) fn add_operator<KI: 'static, VI: 'static, KO: Clone + 'static, VO: Clone + 'static>(
        &mut self,
        prefix: &str,
        parents: &[PlanId],
        build: impl Fn(&mut Wiring<'_>, Edge<KO, VO>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
    ) -> PlanId {
        let name = self.names.processor(prefix);
        self.add(name, parents, move |builder, name, parents| {
            let parents: Vec<Node<KI, VI>> = parents.iter().map(|parent| builder.node(*parent)).collect();
            builder.add_operator(name, &parents, &[], build).id()
        })
    }

    pub(crate) fn rename(&mut self, node: PlanId, name: &str) {
        name.clone_into(&mut self.nodes[node.0].name);
    }

    pub(crate) fn name(&self, node: PlanId) -> &str {
        &self.nodes[node.0].name
    }

    /// Declares a store that processors name.
    pub(crate) fn add_store(&mut self, store: impl StoreBuilder + 'static) {
        self.stores
            .push(Box::new(move |builder| builder.add_store(store)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Requires the topics of these sources to have equal partition counts.
    pub(crate) fn copartition(&mut self, sources: Vec<PlanId>) {
        self.copartitioned.push(sources);
    }

    /// Turns the plan into a topology.
    pub(crate) fn lower(self) -> Result<Topology> {
        let mut builder = TopologyBuilder::new();
        for store in self.stores {
            store(&mut builder);
        }
        let mut lowered: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        for node in self.nodes {
            let parents: Vec<NodeId> = node.parents.iter().map(|parent| lowered[parent.0]).collect();
            lowered.push((node.lower)(&mut builder, &node.name, &parents));
        }
        for sources in self.copartitioned {
            let sources: Vec<NodeId> = sources.iter().map(|source| lowered[source.0]).collect();
            builder.copartition(&sources);
        }
        builder.build()
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.nodes.iter().map(|node| &node.name))
            .finish()
    }
}
