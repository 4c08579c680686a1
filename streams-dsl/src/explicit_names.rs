//! Whether all that outlives the application has a name of the user's (KIP-1111): stores with their changelogs, and repartition
//! topics. Generated names shift when an operator is added, and what is kept under them is lost.

use streams_core::error::{Result, StreamsError};
use streams_core::topology::Topology;

use crate::plan::{Kind, Plan};

/// Refuses a topology that keeps anything under a generated name.
pub(crate) fn check(plan: &Plan, topology: &Topology) -> Result<()> {
    let parts = topology.subtopologies().iter().filter(|part| !part.is_global);
    let stores = parts.flat_map(|part| part.stores.iter().map(String::as_str));
    let kept = plan.nodes.iter().filter(|node| !node.is_removed);
    let topics = kept.filter_map(|node| match &node.kind {
        Kind::Repartition { names, .. } => Some(names.topic.as_str()),
        _ => None,
    });
    let unnamed = [
        ("stores", list(plan, stores)),
        ("repartition topics", list(plan, topics)),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what} {names}"))
    .collect::<Vec<_>>();
    if unnamed.is_empty() {
        return Ok(());
    }
    Err(StreamsError::Topology(format!(
        "nobody named the {}: name stores by Materialized, StreamJoined, TableJoined or Suppressed, and topics by Grouped, Joined, \
         StreamJoined or Repartitioned, or do not ask for it by require_explicit_names",
        unnamed.join(", and the ")
    )))
}

fn list<'a>(plan: &Plan, names: impl Iterator<Item = &'a str>) -> String {
    let unnamed: Vec<&str> = names.filter(|name| plan.names.is_unnamed(name)).collect();
    unnamed.join(", ")
}
