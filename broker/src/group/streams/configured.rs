//! A topology over the topics that there are: how many tasks it has, which internal topics are missing, and what does not fit
//! (`InternalTopicManager` of Kafka). A pure function of topology and topics.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use crate::group::topics::TopicImage;
use crate::group::{Refusal, refuse};
use crate::protocol::streams_heartbeat::{Subtopology, Topology};
use crate::topic::MAX_PARTITIONS;

/// `status_code`: source topics are not there.
const MISSING_SOURCE_TOPICS: i8 = 1;
/// `status_code`: numbers of partitions do not fit.
const INCORRECTLY_PARTITIONED_TOPICS: i8 = 2;
/// `status_code`: internal topics are not there yet.
const MISSING_INTERNAL_TOPICS: i8 = 3;

/// A topic that the broker makes for a streams group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partition_count: i32,
    /// Its configs.
    pub configs: BTreeMap<String, String>,
}

/// A part of a topology with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfiguredSubtopology {
    /// One task for each partition of its widest source.
    pub(super) task_count: i32,
    /// Whether it has stores with changelogs.
    pub(super) stateful: bool,
}

/// What stands in the application's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: i8,
    pub(super) detail: String,
}

/// A topology over the topics that there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::group) struct Configured {
    /// By id; None while something does not fit.
    pub(super) subtopologies: Option<BTreeMap<String, ConfiguredSubtopology>>,
    /// Partitions of internal topics, by name.
    pub(super) partition_counts: BTreeMap<String, i32>,
    /// Internal topics that are to be made.
    pub(super) missing: Vec<InternalTopic>,
    pub(super) problem: Option<Problem>,
}

impl Configured {
    /// Whether tasks can be dealt out.
    pub(super) fn is_ready(&self) -> bool {
        self.subtopologies.is_some() && self.problem.is_none()
    }
}

/// Why a topology cannot be configured: it can never, or not with the topics that there are.
enum Unfit {
    Never(Refusal),
    Now(Problem),
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Never(refusal)
    }
}

fn unfit(code: i8, detail: String) -> Unfit {
    Unfit::Now(Problem { code, detail })
}

fn never(message: impl Into<String>) -> Refusal {
    refuse(ResponseError::StreamsInvalidTopology, message)
}

/// Names of all topics that a topology needs.
pub(super) fn required_topics(topology: &Topology) -> BTreeSet<&str> {
    let parts = topology.subtopologies.iter();
    parts
        .flat_map(|part| {
            let internal = part
                .repartition_source_topics
                .iter()
                .chain(&part.state_changelog_topics);
            part.source_topics.iter().chain(internal.map(|topic| &topic.name))
        })
        .map(String::as_str)
        .collect()
}

/// Resolves a topology.
///
/// # Errors
/// It makes no sense, whatever topics there are.
pub(super) fn configure(topology: &Topology, topics: &TopicImage) -> Result<Configured, Refusal> {
    match try_configure(topology, topics) {
        Ok(configured) => Ok(configured),
        Err(Unfit::Never(refusal)) => Err(refusal),
        Err(Unfit::Now(problem)) => Ok(Configured {
            problem: Some(problem),
            ..Configured::default()
        }),
    }
}

fn try_configure(topology: &Topology, topics: &TopicImage) -> Result<Configured, Unfit> {
    check_source_topics(topology, topics)?;
    let mut counts = Counts {
        topics,
        decided: repartition_counts(topology, topics)?,
    };
    for part in &topology.subtopologies {
        for group in copartition_groups(part)? {
            counts.enforce_copartitioning(&group, topology)?;
        }
    }
    let mut subtopologies = BTreeMap::new();
    for part in &topology.subtopologies {
        let task_count = sources(part).filter_map(|source| counts.of(source)).max();
        let id = &part.subtopology_id;
        let task_count =
            task_count.ok_or_else(|| never(format!("No source topics found for subtopology {id}")))?;
        for changelog in &part.state_changelog_topics {
            counts.decided.insert(changelog.name.clone(), task_count);
        }
        let stateful = !part.state_changelog_topics.is_empty();
        subtopologies.insert(id.clone(), ConfiguredSubtopology { task_count, stateful });
    }
    let missing = missing_internal_topics(topology, &counts)?;
    let problem = (!missing.is_empty()).then(|| {
        let names: Vec<&str> = missing.iter().map(|topic| topic.name.as_str()).collect();
        Problem {
            code: MISSING_INTERNAL_TOPICS,
            detail: format!("Internal topics are missing: [{}]", names.join(", ")),
        }
    });
    Ok(Configured {
        subtopologies: Some(subtopologies),
        partition_counts: counts.decided,
        missing,
        problem,
    })
}

fn check_source_topics(topology: &Topology, topics: &TopicImage) -> Result<(), Unfit> {
    let sources = topology.subtopologies.iter().flat_map(|part| &part.source_topics);
    let missing: BTreeSet<&str> = sources
        .map(String::as_str)
        .filter(|source| topics.topic(source).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.into_iter().collect::<Vec<_>>().join(", ");
    Err(unfit(
        MISSING_SOURCE_TOPICS,
        format!("Source topics {names} are missing."),
    ))
}

/// What a part reads, by name.
pub(super) fn sources(part: &Subtopology) -> impl Iterator<Item = &str> {
    let repartition = part.repartition_source_topics.iter().map(|topic| &topic.name);
    part.source_topics.iter().chain(repartition).map(String::as_str)
}

/// Partitions of repartition topics: as the application says, or else as many as the widest source of who writes them.
fn repartition_counts(topology: &Topology, topics: &TopicImage) -> Result<BTreeMap<String, i32>, Refusal> {
    let mut decided = BTreeMap::new();
    for topic in topology
        .subtopologies
        .iter()
        .flat_map(|part| &part.repartition_source_topics)
    {
        if !(0..=MAX_PARTITIONS).contains(&topic.partitions) {
            let message = format!(
                "Repartition topic {} cannot have {} partitions.",
                topic.name, topic.partitions
            );
            return Err(never(message));
        }
        if topic.partitions != 0 {
            decided.insert(topic.name.clone(), topic.partitions);
        }
    }
    loop {
        let mut open = false;
        let mut progress = false;
        for part in &topology.subtopologies {
            let own = part
                .repartition_source_topics
                .iter()
                .filter_map(|topic| decided.get(&topic.name).copied());
            let external = part.source_topics.iter().filter_map(|name| topics.topic(name));
            let widest = own.chain(external.map(|topic| topic.partition_count)).max();
            for sink in &part.repartition_sink_topics {
                if decided.contains_key(sink) {
                    continue;
                }
                match widest {
                    Some(count) => {
                        decided.insert(sink.clone(), count);
                        progress = true;
                    }
                    None => open = true,
                }
            }
        }
        if !open {
            break;
        }
        if !progress {
            return Err(never(
                "Failed to compute number of partitions for all repartition topics. There may be loops in the topology \
                 that cannot be resolved.",
            ));
        }
    }
    let mut read = topology
        .subtopologies
        .iter()
        .flat_map(|part| &part.repartition_source_topics);
    if read.any(|topic| !decided.contains_key(&topic.name)) {
        return Err(never(
            "Failed to compute number of partitions for all repartition topics, because a repartition source topic is never \
             used as a sink topic.",
        ));
    }
    Ok(decided)
}

/// The names behind the indexes of a part's copartition groups.
fn copartition_groups(part: &Subtopology) -> Result<Vec<BTreeSet<&str>>, Refusal> {
    let wrong = || {
        never(format!(
            "A copartition group of subtopology {} has a wrong index.",
            part.subtopology_id
        ))
    };
    let index = |index: &i16| usize::try_from(*index).map_err(|_| wrong());
    let groups = part.copartition_groups.iter().map(|group| {
        let mut names = BTreeSet::new();
        for source in &group.source_topics {
            names.insert(part.source_topics.get(index(source)?).ok_or_else(wrong)?.as_str());
        }
        for source in &group.repartition_source_topics {
            let topic = part
                .repartition_source_topics
                .get(index(source)?)
                .ok_or_else(wrong)?;
            names.insert(topic.name.as_str());
        }
        Ok(names)
    });
    groups.collect()
}

/// Numbers of partitions: of topics that are there, and as decided for those that are not.
struct Counts<'a> {
    topics: &'a TopicImage,
    decided: BTreeMap<String, i32>,
}

impl Counts<'_> {
    fn of(&self, topic: &str) -> Option<i32> {
        let there = self.topics.topic(topic).map(|topic| topic.partition_count);
        there.or_else(|| self.decided.get(topic).copied())
    }

    /// Gives the repartition topics of a group the partitions that the group must have.
    fn enforce_copartitioning<'g>(
        &mut self,
        group: &BTreeSet<&'g str>,
        topology: &Topology,
    ) -> Result<(), Unfit> {
        let all_repartition = || {
            topology
                .subtopologies
                .iter()
                .flat_map(|part| &part.repartition_source_topics)
        };
        let is_fixed =
            |name: &str| all_repartition().any(|topic| topic.name == name && topic.partitions != 0);
        let (repartition, external): (Vec<&'g str>, Vec<&'g str>) = group
            .iter()
            .partition(|name| all_repartition().any(|topic| topic.name == **name));
        let counted_of = |names: &[&'g str]| -> BTreeMap<&'g str, i32> {
            names
                .iter()
                .map(|name| (*name, self.of(name).unwrap_or(0)))
                .collect()
        };
        let counted = counted_of(&repartition);
        let deciding: BTreeMap<&str, i32> = if external.is_empty() {
            let fixed: BTreeMap<&str, i32> = counted
                .iter()
                .filter(|(name, _)| is_fixed(name))
                .map(|(name, count)| (*name, *count))
                .collect();
            fixed
        } else {
            counted_of(&external)
        };
        let count = match deciding.values().next() {
            // Nobody says: the widest decides.
            None => counted.values().copied().max(),
            Some(first) if deciding.values().all(|count| count == first) => Some(*first),
            Some(_) => {
                let named: Vec<String> = deciding
                    .iter()
                    .map(|(name, count)| format!("{name}={count}"))
                    .collect();
                let named = named.join(", ");
                let detail =
                    format!("Following topics do not have the same number of partitions: [{{{named}}}]");
                return Err(unfit(INCORRECTLY_PARTITIONED_TOPICS, detail));
            }
        };
        let Some(count) = count else { return Ok(()) };
        for (name, own) in counted {
            if is_fixed(name) && own != count {
                let detail = format!(
                    "Number of partitions [{own}] of repartition topic [{name}] doesn't match number of partitions [{count}] \
                     of the source topic."
                );
                return Err(unfit(INCORRECTLY_PARTITIONED_TOPICS, detail));
            }
            self.decided.insert(name.to_owned(), count);
        }
        Ok(())
    }
}

fn missing_internal_topics(topology: &Topology, counts: &Counts<'_>) -> Result<Vec<InternalTopic>, Unfit> {
    let mut missing = BTreeMap::new();
    for part in &topology.subtopologies {
        for topic in part
            .repartition_source_topics
            .iter()
            .chain(&part.state_changelog_topics)
        {
            let name = &topic.name;
            let expected = counts.decided.get(name).copied().unwrap_or(topic.partitions);
            match counts.topics.topic(name) {
                Some(there) if there.partition_count != expected => {
                    let detail = format!(
                        "Existing topic {name} has different number of partitions: expected {expected}, found {}",
                        there.partition_count
                    );
                    return Err(unfit(INCORRECTLY_PARTITIONED_TOPICS, detail));
                }
                Some(_) => {}
                None => {
                    let configs = topic.topic_configs.iter();
                    let configs = configs
                        .map(|config| (config.key.clone(), config.value.clone()))
                        .collect();
                    let topic = InternalTopic {
                        name: name.clone(),
                        partition_count: expected,
                        configs,
                    };
                    missing.insert(name.clone(), topic);
                }
            }
        }
    }
    Ok(missing.into_values().collect())
}
