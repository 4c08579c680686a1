//! The topics of an application: the user's must exist, its own are made.

use std::collections::BTreeMap;

use super::StreamsConfig;
use crate::error::{LogError, Result, StreamsError};
use crate::log::{Admin, NewTopic};
use crate::topology::{Layout, Topology};

/// Checks the user's topics, and lays out the tasks.
pub(crate) fn lay_out(topology: &Topology, config: &StreamsConfig, admin: &mut dyn Admin) -> Result<Layout> {
    let dead_letters = config.errors.dead_letters().map(ToString::to_string);
    partition_counts(dead_letters.as_slice(), admin)?;
    let sources = topology.source_topics();
    let mut counts = partition_counts(&sources, admin)?;
    if topology.has_patterns() {
        let matched = |topic: &String| topology.is_matched(topic, &config.application_id);
        counts.extend(admin.topics()?.into_iter().filter(|(topic, _)| matched(topic)));
    }
    partition_counts(&topology.sink_topics(), admin)?;
    topology.layout(&config.application_id, &config.internal_topics, &counts)
}

/// Makes those internal topics that are missing.
pub(crate) fn make_all(layout: &Layout, admin: &mut dyn Admin) -> Result<()> {
    layout
        .internal_topics
        .iter()
        .try_for_each(|topic| make(topic, admin))
}

fn partition_counts(topics: &[String], admin: &mut dyn Admin) -> Result<BTreeMap<String, u32>> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let counts = admin.partition_counts(&names)?;
    let known = topics.iter().zip(counts).map(|(topic, count)| match count {
        Some(count) => Ok((topic.clone(), count)),
        None => Err(LogError::UnknownTopic { topic: topic.clone() }.into()),
    });
    known.collect()
}

/// Another instance may be making it too.
fn make(topic: &NewTopic, admin: &mut dyn Admin) -> Result<()> {
    match admin.create_topic(topic) {
        Ok(()) => return Ok(()),
        Err(LogError::TopicExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match admin.partition_counts(&[&topic.name])?.first().copied().flatten() {
        Some(count) if count == topic.partitions => Ok(()),
        found => Err(StreamsError::Topology(format!(
            "internal topic {} has {} partitions but the topology needs {}: the input's partition count has changed; reset the \
             application or restore the old count",
            topic.name,
            found.unwrap_or(0),
            topic.partitions
        ))),
    }
}
