//! From the plan to a topology of `streams-core`.
//!
//! Sources of the same topics become one, repartitions before joins that take null keys are told to keep them, and then
//! every node is added, in the order of the plan. Types were known when the plan was written; here they are inside of what
//! makes each node live.

use std::collections::{BTreeMap, BTreeSet};

use streams_core::edge::Edge;
use streams_core::error::{Result, StreamsError};
use streams_core::topology::{
    AutoOffsetReset, NodeId, OperatorSupplier, SinkSupplier, TopicName, Topology, TopologyBuilder, Wiring,
};

use crate::Change;
use crate::explicit_names;
use crate::operators::update_cache::{Cache, cached};
use crate::optimize::{Optimization, optimize};
use crate::plan::{Kind, Plan, PlanId, PlanNode, TableState};

/// How a node of the plan is added to the topology.
pub(crate) enum Lower {
    /// An operator that nothing but its types need be known of.
    Operator(OperatorSupplier),
    /// An operator that depends on what the plan says of it in the end: its stores, and whether old values are wanted.
    OperatorOf(Box<dyn FnOnce(&PlanNode) -> OperatorSupplier>),
    /// A sink that writes to this topic, or to the one that is chosen for each record.
    Sink(Option<TopicName>, SinkSupplier),
    /// What is more than one node of the topology.
    Nodes(Box<dyn FnOnce(&mut Lowering<'_>) -> Lowered>),
}

/// What a node's function gets.
pub(crate) struct Lowering<'a> {
    pub(crate) builder: &'a mut TopologyBuilder,
    pub(crate) node: &'a PlanNode,
    /// For repartitions: null keys pass.
    pub(crate) keep_null_keys: bool,
    pub(crate) parents: Vec<NodeId>,
}

/// What it made: where records come in from a topic, and where they come out.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lowered {
    pub(crate) source: Option<NodeId>,
    pub(crate) output: Option<NodeId>,
}

impl Lower {
    fn add(self, lowering: &mut Lowering<'_>) -> Lowered {
        match self {
            Self::Operator(operator) => lowering.operator(operator),
            Self::OperatorOf(make) => {
                let operator = make(lowering.node);
                lowering.operator(operator)
            }
            Self::Sink(topic, sink) => {
                let Lowering {
                    builder,
                    node,
                    parents,
                    ..
                } = lowering;
                builder.add_sink_of(&node.name, topic, sink, parents);
                Lowered::default()
            }
            Self::Nodes(add) => add(lowering),
        }
    }

    /// See [`Lower::Nodes`].
    pub(crate) fn nodes(add: impl FnOnce(&mut Lowering<'_>) -> Lowered + 'static) -> Self {
        Self::Nodes(Box::new(add))
    }
}

impl Lowering<'_> {
    fn operator(&mut self, operator: OperatorSupplier) -> Lowered {
        let Self {
            builder,
            node,
            parents,
            ..
        } = self;
        Lowered {
            source: None,
            output: Some(builder.add_operator_of(&node.name, operator, parents, &node.stores())),
        }
    }
}

impl Lowered {
    pub(crate) fn source(source: NodeId, output: NodeId) -> Self {
        Self {
            source: Some(source),
            output: Some(output),
        }
    }
}

/// An operator that nothing but its types need be known of.
pub(crate) fn operator<KI, VI, KO, VO>(
    build: impl Fn(&mut Wiring<'_>, Edge<KO, VO>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
) -> Lower
where
    KI: 'static,
    VI: 'static,
    KO: Clone + 'static,
    VO: Clone + 'static,
{
    Lower::Operator(OperatorSupplier::new(build))
}

/// An operator that depends on what the plan says of it in the end: its stores, and whether old values are wanted.
pub(crate) fn operator_of<KI, VI, KO, VO, B>(make: impl FnOnce(&PlanNode) -> B + 'static) -> Lower
where
    KI: 'static,
    VI: 'static,
    KO: Clone + 'static,
    VO: Clone + 'static,
    B: Fn(&mut Wiring<'_>, Edge<KO, VO>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
{
    Lower::OperatorOf(Box::new(move |node| OperatorSupplier::new(make(node))))
}

/// The cache behind a node that makes a table, if the updates of that are held.
pub(crate) fn cache_behind<K>(node: &PlanNode, cache: Option<Cache<K>>) -> Option<Cache<K>> {
    let is_stored = match &node.table {
        TableState::OnDemand(store) => node.stores.contains(store),
        _ => true,
    };
    cache.filter(|cache| is_stored && cache.is_wanted.unwrap_or(node.default_caching))
}

/// An operator that makes a table: what comes after it is behind a cache, if there is one and it is wanted.
pub(crate) fn table_operator_of<KI, VI, K, V, B>(
    cache: Option<Cache<K>>,
    make: impl FnOnce(&PlanNode) -> B + 'static,
) -> Lower
where
    KI: 'static,
    VI: 'static,
    K: Clone + 'static,
    V: Clone + 'static,
    B: Fn(&mut Wiring<'_>, Edge<K, Change<V>>) -> Result<Edge<KI, VI>> + Send + Sync + 'static,
{
    operator_of(move |node| {
        let (build, cache) = (make(node), cache_behind(node, cache));
        move |wiring: &mut Wiring<'_>, next: Edge<K, Change<V>>| {
            let next = cached(cache.as_ref(), wiring, next)?;
            build(wiring, next)
        }
    })
}

/// Turns the plan into a checked topology. What is left of the plan is for handles that are still there.
pub(crate) fn lower(plan: &mut Plan, optimization: Optimization) -> Result<Topology> {
    merge_sources(plan);
    let order = optimize(plan, optimization);
    plan.spread_versions();
    plan.spread_caching();
    let keep_null_keys = repartitions_that_keep_null_keys(plan);
    if !plan.problems.is_empty() {
        return Err(StreamsError::Topology(plan.problems.join("; ")));
    }
    let mut builder = TopologyBuilder::new();
    add_stores(plan, &mut builder);
    let mut lowered = vec![Lowered::default(); plan.nodes.len()];
    for id in order {
        let index = id.0;
        let lower = plan.nodes[index].lower.take().expect("a plan is lowered once");
        let node = &plan.nodes[index];
        let parents = node
            .parents
            .iter()
            .map(|parent| {
                lowered[parent.0]
                    .output
                    .expect("handles to sinks cannot be built on")
            })
            .collect();
        lowered[index] = lower.add(&mut Lowering {
            builder: &mut builder,
            node,
            keep_null_keys: keep_null_keys.contains(&id),
            parents,
        });
    }
    for group in &plan.copartitioned {
        let sources: BTreeSet<NodeId> = group.iter().filter_map(|id| lowered[id.0].source).collect();
        builder.copartition(&sources.into_iter().collect::<Vec<_>>());
    }
    if let Some(kind) = plan.default_store_kind.clone() {
        builder.default_store_kind(kind);
    }
    let topology = builder.build()?;
    if plan.requires_names {
        explicit_names::check(plan, &topology)?;
    }
    Ok(topology)
}

/// Makes one of sources that read the same topics.
fn merge_sources(plan: &mut Plan) {
    let mut first: BTreeMap<BTreeSet<&TopicName>, PlanId> = BTreeMap::new();
    let mut merged = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let Kind::Source { topics, types, reset } = &node.kind else {
            continue;
        };
        let topics: BTreeSet<&TopicName> = topics.iter().collect();
        let names = topics
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let earlier = *first.entry(topics).or_insert(PlanId(index));
        if earlier == PlanId(index) {
            continue;
        }
        merged.insert(PlanId(index), earlier);
        let Kind::Source {
            types: others,
            reset: other_reset,
            ..
        } = &plan.node(earlier).kind
        else {
            continue;
        };
        if others.0 != types.0 {
            problems.push(format!(
                "{names} is read as {} and as {}: read it once, and map what it gives",
                others.1, types.1
            ));
        }
        if other_reset != reset {
            let [a, b] = [other_reset, reset].map(policy_name);
            problems.push(format!(
                "{names} is read with the offset reset policies {a} and {b}: one topic has one, since its source is shared"
            ));
        }
    }
    plan.problems.append(&mut problems);
    for id in merged.keys() {
        plan.node_mut(*id).is_removed = true;
    }
    let earlier = |id: &mut PlanId| *id = merged.get(id).copied().unwrap_or(*id);
    for node in &mut plan.nodes {
        node.parents.iter_mut().for_each(earlier);
        // A stream merged with itself is sent once.
        if let Kind::Merge = node.kind {
            node.parents.dedup();
        }
    }
    plan.copartitioned.iter_mut().flatten().for_each(earlier);
}

fn policy_name(reset: &Option<AutoOffsetReset>) -> String {
    reset.map_or_else(|| "the application's".to_owned(), |reset| reset.to_string())
}

/// Repartitions with a join below that takes null keys, wherever below it is. What is above the table of a join with a stream
/// is not above the join.
fn repartitions_that_keep_null_keys(plan: &Plan) -> BTreeSet<PlanId> {
    let joins = plan.nodes.iter().filter(|node| node.takes_null_keys);
    let mut open: Vec<PlanId> = joins.flat_map(|join| join.parents.clone()).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(&plan.node(id).parents);
        }
    }
    seen.retain(|&id| matches!(plan.node(id).kind, Kind::Repartition { .. }));
    seen
}

/// Adds the stores that a node is connected to.
fn add_stores(plan: &mut Plan, builder: &mut TopologyBuilder) {
    let kept = plan.nodes.iter().filter(|node| !node.is_removed);
    let used: BTreeSet<&String> = kept.flat_map(|node| &node.stores).collect();
    for store in std::mem::take(&mut plan.stores) {
        if used.contains(&store.name) {
            (store.add)(builder);
            if let Some(topic) = store.source_topic {
                builder.restore_from(&store.name, TopicName::external(topic));
            }
        }
    }
}
