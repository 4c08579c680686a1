//! How the topics are made that an application makes for itself: changelogs and repartition topics.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::NewTopic;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Settings of an application's internal topics. They hold for those that are made; what is there stays as it is.
///
/// ```
/// use streams_core::runtime::StreamsConfig;
/// use streams_core::topology::InternalTopics;
///
/// let topics = InternalTopics::default().replication_factor(3).topic_config("min.insync.replicas", "2");
/// let config = StreamsConfig::new("word-count").internal_topics(topics);
/// # assert_eq!(config.internal_topics.replication_factor, Some(3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopics {
    /// `replication.factor`: how many brokers have a copy. A cluster that has fewer refuses the topic, and the application does not
    /// start; the embedded broker and the log in memory are one copy whatever this says. Default: as the cluster's default says.
    pub replication_factor: Option<i16>,
    /// Topic configs of all internal topics (Kafka Streams' settings with the prefix `topic.`). They come before what is the
    /// default for the kind of topic, and after what a store is told of its changelog.
    pub configs: BTreeMap<String, String>,
    /// `windowstore.changelog.additional.retention.ms`: how much longer the changelog of a windowed store keeps records than the
    /// store, for clocks that differ. Default: a day.
    pub window_additional_retention: Duration,
}

impl Default for InternalTopics {
    fn default() -> Self {
        Self {
            replication_factor: None,
            configs: BTreeMap::new(),
            window_additional_retention: DAY,
        }
    }
}

impl InternalTopics {
    /// Sets how many brokers have a copy.
    #[must_use]
    pub fn replication_factor(mut self, replicas: i16) -> Self {
        self.replication_factor = Some(replicas);
        self
    }

    /// Sets one config of all internal topics.
    #[must_use]
    pub fn topic_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }

    /// Sets how much longer changelogs of windowed stores keep records.
    #[must_use]
    pub fn window_additional_retention(mut self, additional: Duration) -> Self {
        self.window_additional_retention = additional;
        self
    }

    pub(crate) fn changelog(&self, name: String, partitions: u32, configs: &ChangelogConfigs) -> NewTopic {
        let mut all = configs.defaults.clone();
        all.extend(self.configs.clone());
        all.extend(configs.needed.clone());
        if let Some(retention_ms) = configs.retention_ms {
            let more_ms = i64::try_from(self.window_additional_retention.as_millis()).unwrap_or(i64::MAX);
            let retention_ms = retention_ms.saturating_add(more_ms);
            all.insert("retention.ms".to_owned(), retention_ms.to_string());
        }
        all.extend(configs.given.clone());
        self.topic(name, partitions, all)
    }

    pub(crate) fn repartition(&self, name: String, partitions: u32) -> NewTopic {
        let mut all = texts([
            ("cleanup.policy", "delete"),
            ("segment.bytes", "52428800"),
            ("retention.ms", "-1"),
            ("message.timestamp.type", "CreateTime"),
        ]);
        all.extend(self.configs.clone());
        self.topic(name, partitions, all)
    }

    fn topic(&self, name: String, partitions: u32, configs: BTreeMap<String, String>) -> NewTopic {
        NewTopic {
            name,
            partitions,
            replication_factor: self.replication_factor,
            configs,
        }
    }
}

/// What is known of a changelog where its store is declared.
#[derive(Clone, Debug)]
pub(crate) struct ChangelogConfigs {
    defaults: BTreeMap<String, String>,
    /// What a store of its kind cannot do without.
    needed: BTreeMap<String, String>,
    /// How long a windowed store keeps rows.
    retention_ms: Option<i64>,
    /// What the user said of this one.
    given: BTreeMap<String, String>,
}

impl ChangelogConfigs {
    pub(crate) fn new(cleanup_policy: &str) -> Self {
        Self {
            defaults: texts([
                ("cleanup.policy", cleanup_policy),
                ("message.timestamp.type", "CreateTime"),
            ]),
            needed: BTreeMap::new(),
            retention_ms: None,
            given: BTreeMap::new(),
        }
    }

    /// Of a windowed store.
    pub(crate) fn retain_ms(&mut self, retention_ms: i64) {
        self.retention_ms = Some(retention_ms);
    }

    /// Of a versioned store. Compaction keeps the last value of a key only: not before the others are history.
    pub(crate) fn keep_history_ms(&mut self, history_ms: i64) {
        let day_ms = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
        let lag_ms = history_ms.saturating_add(day_ms).to_string();
        self.needed.insert("min.compaction.lag.ms".to_owned(), lag_ms);
    }

    pub(crate) fn give(&mut self, key: String, value: String) {
        self.given.insert(key, value);
    }
}

fn texts<const N: usize>(configs: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    configs.into_iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(topics: &InternalTopics, configs: &ChangelogConfigs) -> String {
        let topic = topics.changelog("c".to_owned(), 1, configs);
        topic.configs["retention.ms"].clone()
    }

    #[test]
    fn what_is_said_of_one_topic_comes_before_what_is_said_of_all() {
        let mut windowed = ChangelogConfigs::new("compact,delete");
        windowed.retain_ms(1_000);
        let topics = InternalTopics::default()
            .replication_factor(2)
            .topic_config("cleanup.policy", "compact")
            .topic_config("retention.ms", "5");
        assert_eq!(retention(&topics, &windowed), "86401000");
        let hour = topics
            .clone()
            .window_additional_retention(Duration::from_secs(3_600));
        assert_eq!(retention(&hour, &windowed), "3601000");
        windowed.give("retention.ms".to_owned(), "7".to_owned());
        assert_eq!(retention(&topics, &windowed), "7");

        let changelog = topics.changelog("c".to_owned(), 3, &windowed);
        assert_eq!(changelog.replication_factor, Some(2));
        assert_eq!(changelog.configs["cleanup.policy"], "compact");
        assert_eq!(changelog.configs["message.timestamp.type"], "CreateTime");
        let mut versioned = ChangelogConfigs::new("compact");
        versioned.keep_history_ms(1_000);
        let lagging = topics.clone().topic_config("min.compaction.lag.ms", "0");
        let changelog = lagging.changelog("v".to_owned(), 1, &versioned);
        assert_eq!(changelog.configs["min.compaction.lag.ms"], "86401000");

        let repartition = topics.repartition("r".to_owned(), 1);
        assert_eq!(repartition.configs["retention.ms"], "5");
        assert_eq!(repartition.configs["segment.bytes"], "52428800");
    }
}
