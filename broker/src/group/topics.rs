//! What the coordinator knows of topics: a picture handed in whenever they change, so that a step needs no lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hasher;
use std::sync::Arc;

use uuid::Uuid;

/// A topic as groups see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has.
    pub partition_count: i32,
}

/// Which topics somebody may know of.
pub trait Viewer: Debug + Send + Sync {
    /// Whether this one.
    fn may_see(&self, topic: &str) -> bool;
}

/// All topics at one moment. Copies share them.
#[derive(Debug, Clone, Default)]
pub struct TopicImage {
    version: u64,
    topics: Arc<Topics>,
    viewer: Option<Arc<dyn Viewer>>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<String, TopicInfo>,
    names: HashMap<Uuid, String>,
}

impl TopicImage {
    /// A picture of `topics`. A later one has a higher `version`; 0 is that of no topics at all.
    pub fn new(version: u64, topics: impl IntoIterator<Item = (String, TopicInfo)>) -> Self {
        let by_name: BTreeMap<String, TopicInfo> = topics.into_iter().collect();
        let names = by_name
            .iter()
            .map(|(name, topic)| (topic.id, name.clone()))
            .collect();
        Self {
            version,
            topics: Arc::new(Topics { by_name, names }),
            viewer: None,
        }
    }

    /// The same picture, of which somebody is shown only what it may see; None shows everything.
    pub fn seen_by(&self, viewer: Option<Arc<dyn Viewer>>) -> Self {
        Self {
            viewer,
            ..self.clone()
        }
    }

    /// Who looks at it.
    pub(super) fn viewer(&self) -> Option<&Arc<dyn Viewer>> {
        self.viewer.as_ref()
    }

    /// Which picture this is.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.topics.by_name.get(name).copied()
    }

    /// The name of a topic.
    pub fn name(&self, id: Uuid) -> Option<&str> {
        self.topics.names.get(&id).map(String::as_str)
    }

    /// How many partitions a topic has; 0 if there is none with that id.
    pub fn partition_count(&self, id: Uuid) -> i32 {
        self.name(id)
            .and_then(|name| self.topic(name))
            .map_or(0, |topic| topic.partition_count)
    }

    /// The names of all topics that who looks may see, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let may_see = |name: &&str| self.viewer.as_ref().is_none_or(|viewer| viewer.may_see(name));
        self.topics.by_name.keys().map(String::as_str).filter(may_see)
    }

    /// The ids of those topics that exist.
    pub(super) fn ids<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Uuid> {
        names
            .into_iter()
            .filter_map(|name| self.topic(name))
            .map(|topic| topic.id)
            .collect()
    }

    /// A number that changes when any of these topics comes, goes, is replaced or grows. It is stored with the group, so it
    /// must be the same in every build.
    pub(super) fn metadata_hash<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> i64 {
        let mut hasher = Fnv(FNV_OFFSET);
        for name in names {
            if let Some(topic) = self.topic(name) {
                hasher.write(name.as_bytes());
                hasher.write(topic.id.as_bytes());
                hasher.write(&topic.partition_count.to_be_bytes());
            }
        }
        match hasher.finish() {
            FNV_OFFSET => 0,
            hash => hash.cast_signed(),
        }
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
}
