//! A topology as programs look at it, node by node, and the text that is made of it: that of Kafka's `TopologyDescription`, to
//! the byte, so that topologies can be compared with Kafka's and with their own past.

use std::fmt::{self, Display};

use super::TopicName;

/// What a topology consists of (Kafka's `TopologyDescription`). Made by [`Topology::description`](super::Topology::description);
/// its text is that of [`Topology::describe`](super::Topology::describe).
///
/// ```
/// use streams_core::topology::{DescribedKind, SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// let mut builder = TopologyBuilder::new();
/// let numbers = builder.add_source::<String, i64>("in", [TopicName::external("numbers")], SourceOptions::default());
/// builder.add_sink("out", TopicName::external("copies"), &[numbers], SinkOptions::default());
/// let topology = builder.build()?;
///
/// let description = topology.description();
/// let nodes = &description.subtopologies[0].nodes;
/// assert_eq!((nodes[0].name.as_str(), &nodes[0].successors[..]), ("in", &["out".to_string()][..]));
/// assert_eq!(nodes[1].kind, DescribedKind::Sink { topic: Some(TopicName::external("copies")) });
/// assert_eq!(description.to_string(), topology.describe());
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopologyDescription {
    /// In the order of their numbers, those that fill global stores included.
    pub subtopologies: Vec<SubtopologyDescription>,
}

/// A sub-topology: nodes that pass records to one another, or share a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubtopologyDescription {
    /// Its number, which is the first part of its tasks' ids.
    pub id: u32,
    /// True if it fills a global store: it has no tasks.
    pub is_global: bool,
    /// In Kafka's order: those from which most paths lead on first, then by name.
    pub nodes: Vec<NodeDescription>,
}

/// A source, a processor or a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeDescription {
    /// Its name.
    pub name: String,
    /// Which of the three it is.
    pub kind: DescribedKind,
    /// Names of those it gets records from, in Kafka's order.
    pub predecessors: Vec<String>,
    /// Names of those it passes records to, in Kafka's order.
    pub successors: Vec<String>,
}

/// What a node is, and what it is connected to beside other nodes. Internal topics are without the application's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescribedKind {
    /// Reads topics.
    Source {
        /// Which ones.
        topics: Vec<TopicName>,
    },
    /// Processes records.
    Processor {
        /// Names of its stores, in Kafka's order.
        stores: Vec<String>,
    },
    /// Writes a topic.
    Sink {
        /// Which one; `None` if it is chosen for each record.
        topic: Option<TopicName>,
    },
}

impl Display for TopologyDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topologies:\n ")?;
        self.subtopologies.iter().try_for_each(|part| write!(f, "{part}"))
    }
}

impl Display for SubtopologyDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (note, end) = match self.is_global {
            true => (" for global store (will not generate tasks)", ""),
            false => ("", "\n"),
        };
        writeln!(f, "  Sub-topology: {}{note}", self.id)?;
        self.nodes.iter().try_for_each(|node| write!(f, "{node}"))?;
        f.write_str(end)
    }
}

impl Display for NodeDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.kind {
            DescribedKind::Source { topics } => {
                let names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
                match &topics[..] {
                    [TopicName::Pattern(pattern)] => writeln!(f, "    Source: {name} (topics: {pattern})")?,
                    _ => writeln!(f, "    Source: {name} (topics: [{}])", names.join(", "))?,
                }
            }
            DescribedKind::Processor { stores } => {
                writeln!(f, "    Processor: {name} (stores: [{}])", stores.join(", "))?;
            }
            DescribedKind::Sink { topic: Some(topic) } => writeln!(f, "    Sink: {name} (topic: {topic})")?,
            DescribedKind::Sink { topic: None } => writeln!(f, "    Sink: {name} (extractor class: fn)")?,
        }
        if !matches!(self.kind, DescribedKind::Sink { .. }) {
            writeln!(f, "      --> {}", names(&self.successors))?;
        }
        if !matches!(self.kind, DescribedKind::Source { .. }) {
            writeln!(f, "      <-- {}", names(&self.predecessors))?;
        }
        Ok(())
    }
}

fn names(nodes: &[String]) -> String {
    match nodes.is_empty() {
        true => "none".to_owned(),
        false => nodes.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::Record;
    use crate::store::{GlobalStoreBuilder, KeyValueStoreBuilder};
    use crate::topology::{SinkOptions, SourceOptions, TopologyBuilder};

    const TEXT: &str = "Topologies:
   Sub-topology: 0
    Source: in (topics: [b, a])
      --> choose, sum
    Processor: sum (stores: [sums])
      --> out
      <-- in
    Sink: choose (extractor class: fn)
      <-- in
    Sink: out (topic: sums-repartition)
      <-- sum

  Sub-topology: 1 for global store (will not generate tasks)
    Source: prices-source (topics: [prices])
      --> prices-update
    Processor: prices-update (stores: [prices])
      --> none
      <-- prices-source
  Sub-topology: 2
    Source: sums (topics: [sums-repartition])
      --> none

";

    #[test]
    fn all_that_a_topology_has_is_described() {
        let mut builder = TopologyBuilder::new();
        let topics = ["b", "a"].map(TopicName::external);
        let input = builder.add_source::<String, i64>("in", topics, SourceOptions::default());
        builder.add_store(KeyValueStoreBuilder::<String, i64>::new("sums"));
        let sums = builder.add_operator::<_, _, String, i64>("sum", &[input], &["sums"], |_, next| Ok(next));
        let between = TopicName::internal("sums-repartition");
        builder.add_sink("out", between.clone(), &[sums], SinkOptions::default());
        builder.add_dynamic_sink(
            "choose",
            Arc::new(|record: &Record<String, i64>, _| record.key.clone()),
            &[input],
            SinkOptions::default(),
        );
        builder.add_global_store(
            GlobalStoreBuilder::<String, i64>::new("prices"),
            ("prices-source", "prices"),
            "prices-update",
            SourceOptions::<String, i64>::default(),
            |record, store| Ok(store.put(&record.key, Some(&record.value), record.timestamp_ms)?),
        );
        builder.add_source::<String, i64>("sums", [between.clone()], SourceOptions::default());
        let description = builder.build().unwrap().description();
        assert_eq!(description.to_string(), TEXT);

        let [tasks, global, last] = &description.subtopologies[..] else {
            panic!("there are three parts");
        };
        assert_eq!((tasks.id, tasks.is_global, global.is_global), (0, false, true));
        let out = NodeDescription {
            name: "out".to_owned(),
            kind: DescribedKind::Sink {
                topic: Some(between.clone()),
            },
            predecessors: vec!["sum".to_owned()],
            successors: Vec::new(),
        };
        assert_eq!(tasks.nodes[3], out);
        let stores = vec!["prices".to_owned()];
        assert_eq!(global.nodes[1].kind, DescribedKind::Processor { stores });
        let topics = vec![between];
        assert_eq!(last.nodes[0].kind, DescribedKind::Source { topics });
    }
}
