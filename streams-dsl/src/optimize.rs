//! Rewrites of the plan that save topics and stores (Kafka's `topology.optimization`).
//!
//! What an optimized application is called by differs from the same one not optimized: its internal topics are others, so that
//! it cannot be switched over without starting anew. The rewrites follow Kafka Streams' step by step, down to the numbers
//! they take, so that names agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{KeyEffect, Kind, Plan, PlanId, TableState};

/// Which rewrites [`StreamsBuilder::build_with`](crate::StreamsBuilder::build_with) does.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.table::<String, i64>("clicks", Materialized::named("clicks"));
/// let reuse = Optimization { reuse_ktable_source_topics: true, ..Optimization::NONE };
/// let driver = TopologyTestDriver::new(&builder.build_with(reuse)?)?;
/// driver.input("clicks").pipe("ada".to_string(), 7_i64)?;
/// // The topic can be read again: there is no changelog.
/// assert!(driver.written("app-clicks-changelog").is_empty());
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optimization {
    /// Streams that are repartitioned several times after their key changed are once, right after it
    /// (`merge.repartition.topics`). As by Kafka's default, [`process`](crate::KStream::process) is not such a change; and nothing is
    /// moved above it, nor above what changes the values' type.
    pub merge_repartition_topics: bool,
    /// The store of a table that is read from a topic is restored from that topic, and has no changelog
    /// (`reuse.ktable.source.topics`). Where its serdes do not write what they read, a restored row differs.
    pub reuse_ktable_source_topics: bool,
    /// A stream that is joined with itself is kept once (`single.store.self.join`).
    pub single_store_self_join: bool,
}

impl Optimization {
    /// All of them (`topology.optimization=all`).
    pub const ALL: Self = Self {
        merge_repartition_topics: true,
        reuse_ktable_source_topics: true,
        single_store_self_join: true,
    };
    /// None (`topology.optimization=none`). The default.
    pub const NONE: Self = Self {
        merge_repartition_topics: false,
        reuse_ktable_source_topics: false,
        single_store_self_join: false,
    };
}

/// Rewrites the plan. Answers the order in which its nodes are to be added.
pub(crate) fn optimize(plan: &mut Plan, what: Optimization) -> Vec<PlanId> {
    let mut order: Vec<PlanId> = (0..plan.nodes.len()).map(PlanId).collect();
    if what.reuse_ktable_source_topics {
        reuse_source_topics(plan);
    }
    if what.merge_repartition_topics {
        merge_repartitions(plan, &mut order);
    }
    if what.single_store_self_join {
        join_with_themselves(plan);
    }
    order.retain(|&id| !plan.node(id).is_removed);
    order
}

fn reuse_source_topics(plan: &mut Plan) {
    let tables = plan.nodes.iter().filter_map(|node| match &node.kind {
        Kind::TableSource { topic, store, .. } => Some((store.clone(), topic.clone())),
        _ => None,
    });
    let tables: BTreeMap<String, String> = tables.collect();
    for store in &mut plan.stores {
        store.source_topic = tables.get(&store.name).cloned();
    }
}

/// A node that changes keys, and the repartitions below it that can be one.
type Below = Vec<(PlanId, Vec<PlanId>)>;

fn merge_repartitions(plan: &mut Plan, order: &mut Vec<PlanId>) {
    for (changer, repartitions) in below_key_changes(plan) {
        let Some(&first) = repartitions.first() else {
            continue;
        };
        let Kind::Repartition { names, .. } = &plan.node(first).kind else {
            continue;
        };
        let topic = names.topic.clone();
        let names = plan.names.repartition(&topic);
        for &repartition in &repartitions {
            let is_later = repartition != first;
            // What is between may hang on the first one already, with all that is below.
            let child = nearest(plan, repartition, &|plan, id| {
                let parents = &plan.node(id).parents;
                match is_later {
                    true => id != first && (parents.contains(&changer) || parents.contains(&first)),
                    false => parents.contains(&changer),
                }
            });
            let Some(child) = child else { continue };
            // What hung on the repartition hangs on what was before it; and all of it comes after the one that is made.
            if child != repartition {
                replace(&mut plan.node_mut(child).parents, changer, &[first]);
                let parents = plan.node(repartition).parents.clone();
                rehang(plan, repartition, &parents);
            } else {
                rehang(plan, repartition, &[first]);
            }
            plan.node_mut(repartition).is_removed = repartition != first;
            for group in &mut plan.copartitioned {
                replace(group, repartition, &[first]);
            }
            plan.node_mut(first).parents = vec![changer];
        }
        let node = plan.node_mut(first);
        node.name.clone_from(&names.source);
        node.kind = Kind::Repartition {
            names,
            is_optimizable: true,
        };
        order.retain(|&id| id != first);
        let after = order
            .iter()
            .position(|&id| id == changer)
            .map_or(order.len(), |at| at + 1);
        order.insert(after, first);
    }
}

/// Everything that hung on `from` hangs on `to` instead, except the repartition that takes its place.
fn rehang(plan: &mut Plan, from: PlanId, to: &[PlanId]) {
    for index in 0..plan.nodes.len() {
        if !to.contains(&PlanId(index)) {
            replace(&mut plan.nodes[index].parents, from, to);
        }
    }
}

fn replace(list: &mut Vec<PlanId>, from: PlanId, to: &[PlanId]) {
    if let Some(at) = list.iter().position(|&id| id == from) {
        let to: Vec<PlanId> = to
            .iter()
            .copied()
            .filter(|id| *id == from || !list.contains(id))
            .collect();
        list.splice(at..=at, to);
    }
}

/// For each node that changes keys, in order, the repartitions that are needed because of it and nothing else.
fn below_key_changes(plan: &Plan) -> Below {
    let mut below: Below = Vec::new();
    let mut merges = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let id = PlanId(index);
        match &node.kind {
            _ if node.key == KeyEffect::Changes => below.push((id, Vec::new())),
            Kind::Repartition {
                is_optimizable: true, ..
            } => {
                let changer = nearest(plan, id, &|plan, id| plan.node(id).key == KeyEffect::Changes);
                let either = nearest(plan, id, &|plan, id| {
                    let node = plan.node(id);
                    node.key == KeyEffect::Changes || node.changes_values
                });
                if let Some(changer) = changer.filter(|_| changer == either)
                    && let Some((_, repartitions)) = below.iter_mut().find(|(id, _)| *id == changer)
                {
                    repartitions.push(id);
                }
            }
            Kind::Merge => merges.push(id),
            _ => {}
        }
    }
    below_merges(plan, below, &merges)
}

/// Repartitions below a merge of streams whose keys changed are needed because of the merge.
fn below_merges(plan: &Plan, mut below: Below, merges: &[PlanId]) -> Below {
    let mut moved: BTreeSet<PlanId> = BTreeSet::new();
    let mut of_merges: Below = Vec::new();
    for &merge in merges {
        let is_above = |repartition: &PlanId| {
            nearest(plan, *repartition, &|plan, id| {
                plan.node(id).parents.contains(&merge)
            })
            .is_some()
        };
        let mut all = Vec::new();
        for (changer, repartitions) in &below {
            let is_below =
                nearest(plan, merge, &|plan, id| plan.node(id).parents.contains(changer)).is_some();
            if is_below && repartitions.iter().all(is_above) {
                moved.insert(*changer);
                all.extend(
                    repartitions
                        .iter()
                        .copied()
                        .filter(|repartition| !all.contains(repartition))
                        .collect::<Vec<_>>(),
                );
            }
        }
        of_merges.push((merge, all));
    }
    below.retain(|(changer, _)| !moved.contains(changer));
    below.extend(of_merges);
    below
}

/// The nearest node for which `is_it` holds, from a node upward, itself first. With several parents, as Kafka Streams looks: a
/// parent for which it holds, else what is found above the last one.
fn nearest(plan: &Plan, from: PlanId, is_it: &dyn Fn(&Plan, PlanId) -> bool) -> Option<PlanId> {
    if is_it(plan, from) {
        return Some(from);
    }
    let mut found = None;
    let node = plan.node(from);
    // A stream joined with a table is not below the table; tables that are joined are both above the result.
    let joined = node.joined.filter(|_| node.table != TableState::None);
    for &parent in node.parents.iter().chain(&joined) {
        if is_it(plan, parent) {
            return Some(parent);
        }
        found = nearest(plan, parent, is_it);
    }
    found
}

/// Joins of a stream with itself: one side keeps the records, and the join looks for both.
fn join_with_themselves(plan: &mut Plan) {
    for index in 0..plan.nodes.len() {
        let Kind::StreamJoin { self_join } = &mut plan.nodes[index].kind else {
            continue;
        };
        let Some(lower) = self_join.take() else { continue };
        let sides = plan.nodes[index].parents.clone();
        let [this, other] = sides[..] else { continue };
        let (this_windowed, other_windowed) = (plan.node(this).parents[0], plan.node(other).parents[0]);
        if plan.node(this_windowed).parents != plan.node(other_windowed).parents {
            continue;
        }
        for removed in [this, other, other_windowed] {
            plan.node_mut(removed).is_removed = true;
        }
        let stores = plan.node(this_windowed).stores.clone();
        let node = &mut plan.nodes[index];
        node.parents = vec![this_windowed];
        node.stores = stores;
        node.lower = Some(lower);
    }
}
