//! What of a topology outlives the program: its stores and internal topics, and the tasks they belong to. And what becomes of
//! them when the next version of the program takes over.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::{TopicName, Topology};
use crate::error::{Result, StreamsError};
use crate::store::StoreSpec;

/// What of a topology outlives the program. Keep it as JSON beside the program, and compare the next version with it.
///
/// ```
/// use streams_core::store::KeyValueStoreBuilder;
/// use streams_core::topology::{SourceOptions, TopicName, TopologyBuilder, TopologySummary, UpgradeFinding};
/// # use streams_core::processor::{BoxError, Processor, ProcessorContext};
/// # struct Nothing;
/// # impl Processor<String, i64, String, i64> for Nothing {
/// #     fn process(&mut self, _: streams_core::Record<String, i64>, _: &mut ProcessorContext<'_, '_, String, i64>) -> Result<(), BoxError> { Ok(()) }
/// # }
///
/// let with_store = |store: &str| {
///     let mut builder = TopologyBuilder::new();
///     let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
///     builder.add_store(KeyValueStoreBuilder::<String, i64>::new(store));
///     builder.add_processor::<_, _, String, i64, _>("count", &[input], &[store], |_| Ok(Nothing));
///     builder.build().unwrap().summary()
/// };
/// let kept = serde_json::to_string(&with_store("counts")).unwrap();
/// let before: TopologySummary = serde_json::from_str(&kept).unwrap();
/// let findings = before.upgrade_to(&with_store("totals"));
/// assert_eq!(findings[0], UpgradeFinding::StoreOrphaned { store: "counts".into(), changelog_topic: Some("counts-changelog".into()) });
/// assert_eq!(findings[1].to_string(), "store totals is new: it starts empty");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopologySummary {
    /// In the order of their numbers.
    pub subtopologies: Vec<SubtopologySummary>,
}

/// A sub-topology, as far as it outlives the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtopologySummary {
    /// Its number, which is the first part of its tasks' ids.
    pub id: u32,
    /// True if it fills a global store.
    pub is_global: bool,
    /// Topics of the user's that it reads.
    pub source_topics: Vec<String>,
    /// Internal topics that it reads, without the application's id.
    pub repartition_topics: Vec<String>,
    /// Its stores.
    pub stores: Vec<StoreSummary>,
}

/// A store, as far as it outlives the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreSummary {
    /// Its name.
    pub name: String,
    /// How its rows are arranged.
    pub layout: String,
    /// The topic it is restored from, without the application's id if it is internal. `None`: it is not.
    pub changelog_topic: Option<String>,
}

/// What becomes of state when another version of a program takes over. Its text says what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeFinding {
    /// A store that nothing uses any more.
    StoreOrphaned {
        /// The store.
        store: String,
        /// Its changelog, if that is an internal topic.
        changelog_topic: Option<String>,
    },
    /// A store that was not there.
    StoreNew {
        /// The store.
        store: String,
    },
    /// A store that other tasks use now.
    StoreMoved {
        /// The store.
        store: String,
        /// Number of the sub-topology it was in.
        from: u32,
        /// Number of the one it is in.
        to: u32,
    },
    /// A store that cannot be opened as what it was.
    StoreChanged {
        /// The store.
        store: String,
        /// What it was.
        before: String,
        /// What it is.
        after: String,
    },
    /// An internal topic between sub-topologies that nothing reads any more.
    RepartitionTopicOrphaned {
        /// The topic, without the application's id.
        topic: String,
    },
    /// An internal topic between sub-topologies that was not there.
    RepartitionTopicNew {
        /// The topic, without the application's id.
        topic: String,
    },
    /// A topic of the user's that is not read any more.
    SourceTopicGone {
        /// The topic.
        topic: String,
    },
}

impl Display for UpgradeFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreOrphaned {
                store,
                changelog_topic: None,
            } => write!(f, "store {store} is orphaned: its directory can be deleted"),
            Self::StoreOrphaned {
                store,
                changelog_topic: Some(topic),
            } => write!(
                f,
                "store {store} is orphaned: its directory and its changelog topic {topic} can be deleted"
            ),
            Self::StoreNew { store } => write!(f, "store {store} is new: it starts empty"),
            Self::StoreMoved { store, from, to } => write!(
                f,
                "store {store} moves from sub-topology {from} to {to}: it is restored from its changelog, and its old directory \
                 can be deleted"
            ),
            Self::StoreChanged { store, before, after } => write!(
                f,
                "store {store} changes from {before} to {after}: it cannot be opened; give it another name, or reset the application"
            ),
            Self::RepartitionTopicOrphaned { topic } => write!(
                f,
                "internal topic {topic} is orphaned: what is left in it is not processed; stop the application when it has read \
                 everything"
            ),
            Self::RepartitionTopicNew { topic } => write!(f, "internal topic {topic} is new"),
            Self::SourceTopicGone { topic } => write!(f, "topic {topic} is not read any more"),
        }
    }
}

impl TopologySummary {
    /// What becomes of this topology's state when `next` takes over: what is orphaned or changed first, then what is new.
    /// Nothing: the state of one fits the other.
    #[must_use]
    pub fn upgrade_to(&self, next: &TopologySummary) -> Vec<UpgradeFinding> {
        let mut findings = self.store_findings(next);
        let topics = |summary: &TopologySummary,
                      of: fn(&SubtopologySummary) -> &Vec<String>|
         -> Vec<String> { summary.subtopologies.iter().flat_map(of).cloned().collect() };
        let (before, after) = (
            topics(self, |p| &p.repartition_topics),
            topics(next, |p| &p.repartition_topics),
        );
        let gone = before.iter().filter(|topic| !after.contains(topic)).cloned();
        findings.extend(gone.map(|topic| UpgradeFinding::RepartitionTopicOrphaned { topic }));
        let sources = topics(next, |p| &p.source_topics);
        let gone = topics(self, |p| &p.source_topics).into_iter();
        let gone = gone.filter(|topic| !sources.contains(topic));
        findings.extend(gone.map(|topic| UpgradeFinding::SourceTopicGone { topic }));
        let known = self.stores();
        let new = next
            .stores()
            .into_keys()
            .filter(|store| !known.contains_key(store));
        findings.extend(new.map(|store| UpgradeFinding::StoreNew {
            store: store.to_owned(),
        }));
        let new = after.into_iter().filter(|topic| !before.contains(topic));
        findings.extend(new.map(|topic| UpgradeFinding::RepartitionTopicNew { topic }));
        findings
    }

    fn store_findings(&self, next: &TopologySummary) -> Vec<UpgradeFinding> {
        let after = next.stores();
        let mut findings = Vec::new();
        for (name, (part, store)) in self.stores() {
            let name = name.to_owned();
            match after.get(name.as_str()) {
                None => findings.push(UpgradeFinding::StoreOrphaned {
                    store: name,
                    changelog_topic: store.changelog_topic.clone(),
                }),
                Some((_, other)) if other.layout != store.layout => {
                    findings.push(UpgradeFinding::StoreChanged {
                        store: name,
                        before: store.layout.clone(),
                        after: other.layout.clone(),
                    });
                }
                Some((other, _)) if other.id != part.id && !part.is_global => {
                    findings.push(UpgradeFinding::StoreMoved {
                        store: name,
                        from: part.id,
                        to: other.id,
                    });
                }
                Some(_) => {}
            }
        }
        findings
    }

    fn stores(&self) -> BTreeMap<&str, (&SubtopologySummary, &StoreSummary)> {
        let parts = self.subtopologies.iter();
        parts
            .flat_map(|part| {
                part.stores
                    .iter()
                    .map(move |store| (store.name.as_str(), (part, store)))
            })
            .collect()
    }
}

impl Topology {
    /// What of this topology outlives the program: see [`TopologySummary`].
    #[must_use]
    pub fn summary(&self) -> TopologySummary {
        let specs = self.stores();
        let graph = self.graph();
        let parts = self.subtopologies().iter().map(|part| {
            let names = |wanted: bool| {
                let topics = part.sources.iter();
                topics
                    .filter(move |topic| matches!(topic, TopicName::Internal(_)) == wanted)
                    .map(|topic| topic.as_str().to_owned())
                    .collect()
            };
            let mut stores: Vec<StoreSummary> = part
                .stores
                .iter()
                .map(|name| summarize(specs[name.as_str()]))
                .collect();
            let of_part = |name: &String| {
                part.nodes
                    .iter()
                    .any(|node| graph.nodes[node.0].stores.contains(name))
            };
            let globals = graph.global_stores.iter().filter(|spec| of_part(&spec.name));
            stores.extend(globals.map(|spec| StoreSummary {
                name: spec.name.clone(),
                layout: "global".to_owned(),
                changelog_topic: None,
            }));
            SubtopologySummary {
                id: part.id,
                is_global: part.is_global,
                source_topics: names(false),
                repartition_topics: names(true),
                stores,
            }
        });
        TopologySummary {
            subtopologies: parts.collect(),
        }
    }

    /// Sees that everything which outlives the program was given a name: stores, their changelog topics, and repartition topics
    /// (KIP-1111). Generated names are numbered, and the numbers shift when an operator is added before them.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] with all that have generated names.
    pub fn check_names(&self) -> Result<()> {
        let mut unnamed = Vec::new();
        for part in &self.summary().subtopologies {
            for store in part.stores.iter().filter(|store| is_generated(&store.name)) {
                unnamed.push(match &store.changelog_topic {
                    Some(topic) => format!("store {} with changelog topic {topic}", store.name),
                    None => format!("store {}", store.name),
                });
            }
            let topics = part.repartition_topics.iter().filter(|topic| is_generated(topic));
            unnamed.extend(topics.map(|topic| format!("repartition topic {topic}")));
        }
        if unnamed.is_empty() {
            return Ok(());
        }
        Err(StreamsError::Topology(format!(
            "these have generated names, which shift when the topology changes: {}; name them with Materialized, Grouped, Joined, \
             StreamJoined, TableJoined or Repartitioned",
            unnamed.join(", ")
        )))
    }
}

fn summarize(spec: &StoreSpec) -> StoreSummary {
    let changelog = match &spec.source_topic {
        Some(topic) => topic.as_str().to_owned(),
        None => format!("{}-changelog", spec.name),
    };
    StoreSummary {
        name: spec.name.clone(),
        layout: match spec.layout {
            state_store::Layout::Plain => "plain".to_owned(),
            layout @ state_store::Layout::Segmented { .. } => format!("{layout:?}"),
        },
        changelog_topic: spec.logged.then_some(changelog),
    }
}

/// True if a part of the name is a number as generated names have it: ten digits behind a hyphen.
fn is_generated(name: &str) -> bool {
    let is_number = |part: &str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split('-').skip(1).any(is_number)
}
