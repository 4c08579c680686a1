//! The names of processors, stores and internal topics, numbered as Kafka Streams numbers them.
//!
//! One counter serves them all, so a number that Kafka takes and does not use must be taken here too: the names of stores
//! are the names of changelog topics, and an application that moves over finds its state by them.

use std::collections::BTreeSet;

/// Prefixes of generated names.
pub(crate) mod prefix {
    pub(crate) const SOURCE: &str = "KSTREAM-SOURCE-";
    pub(crate) const SINK: &str = "KSTREAM-SINK-";
    pub(crate) const FILTER: &str = "KSTREAM-FILTER-";
    pub(crate) const MAP: &str = "KSTREAM-MAP-";
    pub(crate) const MAP_VALUES: &str = "KSTREAM-MAPVALUES-";
    pub(crate) const FLAT_MAP: &str = "KSTREAM-FLATMAP-";
    pub(crate) const FLAT_MAP_VALUES: &str = "KSTREAM-FLATMAPVALUES-";
    pub(crate) const KEY_SELECT: &str = "KSTREAM-KEY-SELECT-";
    pub(crate) const PEEK: &str = "KSTREAM-PEEK-";
    pub(crate) const FOR_EACH: &str = "KSTREAM-FOREACH-";
    pub(crate) const PRINTER: &str = "KSTREAM-PRINTER-";
    pub(crate) const PROCESSOR: &str = "KSTREAM-PROCESSOR-";
    pub(crate) const PROCESS_VALUES: &str = "KSTREAM-PROCESSVALUES-";
    pub(crate) const BRANCH: &str = "KSTREAM-BRANCH-";
    pub(crate) const MERGE: &str = "KSTREAM-MERGE-";
    pub(crate) const WINDOWED: &str = "KSTREAM-WINDOWED-";
    pub(crate) const JOIN_THIS: &str = "KSTREAM-JOINTHIS-";
    pub(crate) const JOIN_OTHER: &str = "KSTREAM-JOINOTHER-";
    pub(crate) const OUTER_THIS: &str = "KSTREAM-OUTERTHIS-";
    pub(crate) const OUTER_OTHER: &str = "KSTREAM-OUTEROTHER-";
    pub(crate) const OUTER_SHARED: &str = "KSTREAM-OUTERSHARED-";
    pub(crate) const REPARTITION: &str = "KSTREAM-REPARTITION-";
    pub(crate) const TO_TABLE: &str = "KSTREAM-TOTABLE-";
    pub(crate) const AGGREGATE: &str = "KSTREAM-AGGREGATE-";
    pub(crate) const COGROUP_AGGREGATE: &str = "COGROUPKSTREAM-AGGREGATE-";
    pub(crate) const COGROUP_MERGE: &str = "COGROUPKSTREAM-MERGE-";
    pub(crate) const REDUCE: &str = "KSTREAM-REDUCE-";
    pub(crate) const JOIN: &str = "KSTREAM-JOIN-";
    pub(crate) const LEFT_JOIN: &str = "KSTREAM-LEFTJOIN-";
    pub(crate) const TABLE_SOURCE: &str = "KTABLE-SOURCE-";
    pub(crate) const TABLE_FILTER: &str = "KTABLE-FILTER-";
    pub(crate) const TABLE_MAP_VALUES: &str = "KTABLE-MAPVALUES-";
    pub(crate) const TABLE_TRANSFORM_VALUES: &str = "KTABLE-TRANSFORMVALUES-";
    pub(crate) const TABLE_JOIN_THIS: &str = "KTABLE-JOINTHIS-";
    pub(crate) const TABLE_JOIN_OTHER: &str = "KTABLE-JOINOTHER-";
    pub(crate) const TABLE_MERGE: &str = "KTABLE-MERGE-";
    pub(crate) const TABLE_SELECT: &str = "KTABLE-SELECT-";
    pub(crate) const TABLE_AGGREGATE: &str = "KTABLE-AGGREGATE-";
    pub(crate) const TABLE_REDUCE: &str = "KTABLE-REDUCE-";
    pub(crate) const TABLE_SINK: &str = "KTABLE-SINK-";
    pub(crate) const FK_REGISTRATION: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-";
    pub(crate) const FK_STORE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-";
    pub(crate) const FK_PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";
    pub(crate) const FK_RESPONSE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-";
    pub(crate) const FK_RESOLVER: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-";
    pub(crate) const FK_OUTPUT: &str = "KTABLE-FK-JOIN-OUTPUT-";
    pub(crate) const SUPPRESS: &str = "KTABLE-SUPPRESS-";
    pub(crate) const TO_STREAM: &str = "KTABLE-TOSTREAM-";
}

const REPARTITION_SUFFIX: &str = "-repartition";

/// The counter of one builder.
#[derive(Debug, Default)]
pub(crate) struct Names {
    next: u32,
    /// What nobody named: processors, and what is named after them.
    generated: BTreeSet<String>,
    /// Stores that nobody named.
    generated_stores: BTreeSet<String>,
}

/// The names around one repartition topic.
#[derive(Clone, Debug)]
pub(crate) struct RepartitionNames {
    /// The topic, without the application id.
    pub(crate) topic: String,
    pub(crate) filter: String,
    pub(crate) sink: String,
    pub(crate) source: String,
}

impl RepartitionNames {
    /// Nodes that go by the name of their topic.
    fn of(topic: String) -> Self {
        Self {
            filter: format!("{topic}-filter"),
            sink: format!("{topic}-sink"),
            source: format!("{topic}-source"),
            topic,
        }
    }

    /// The names if a node that the topic goes by is renamed; `None` if the topic goes by something else.
    pub(crate) fn renamed(&self, node: &str, name: &str) -> Option<Self> {
        let is_by_node = self.topic.strip_suffix(REPARTITION_SUFFIX) == Some(node);
        is_by_node.then(|| Self::of(format!("{name}{REPARTITION_SUFFIX}")))
    }
}

impl Names {
    pub(crate) fn processor(&mut self, prefix: &str) -> String {
        let name = format!("{prefix}{:010}", self.take());
        self.generated.insert(name.clone());
        name
    }

    /// Remembers a name that was made of the number of another.
    pub(crate) fn made(&mut self, name: &str) {
        self.generated.insert(name.to_owned());
    }

    /// Whether nobody gave a name to what is called so, or to what it is called after.
    pub(crate) fn is_unnamed(&self, name: &str) -> bool {
        let mut made = self.generated.iter().chain(&self.generated_stores);
        made.any(|made| {
            let rest = name.strip_prefix(made.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }

    /// Takes a number whether or not the user gave a name, as Kafka does.
    pub(crate) fn processor_or(&mut self, given: Option<&str>, prefix: &str) -> String {
        let generated = self.processor(prefix);
        given.map_or(generated, str::to_owned)
    }

    pub(crate) fn store(&mut self, prefix: &str) -> String {
        let name = format!("{prefix}STATE-STORE-{:010}", self.take());
        self.generated_stores.insert(name.clone());
        name
    }

    /// Whether nobody named this store.
    pub(crate) fn is_generated_store(&self, name: &str) -> bool {
        self.generated_stores.contains(name)
    }

    /// Takes a number only if the user gave no name.
    pub(crate) fn store_or(&mut self, given: Option<&str>, prefix: &str) -> String {
        match given {
            Some(name) => name.to_owned(),
            None => self.store(prefix),
        }
    }

    /// Takes three numbers in any case. The nodes are named after the topic, unless its own name is generated.
    pub(crate) fn repartition(&mut self, prefix: &str) -> RepartitionNames {
        let sink = self.processor(prefix::SINK);
        let filter = self.processor(prefix::FILTER);
        let source = self.processor(prefix::SOURCE);
        let topic = if prefix.ends_with(REPARTITION_SUFFIX) {
            prefix.to_owned()
        } else {
            format!("{prefix}{REPARTITION_SUFFIX}")
        };
        if is_generated(prefix) {
            return RepartitionNames {
                topic,
                filter,
                sink,
                source,
            };
        }
        RepartitionNames::of(topic)
    }

    /// The names around the repartition topic of a grouped table, which has no filter. Takes two numbers.
    pub(crate) fn table_repartition(&mut self, prefix: &str) -> RepartitionNames {
        RepartitionNames {
            sink: self.processor(prefix::SINK),
            source: self.processor(prefix::SOURCE),
            filter: String::new(),
            topic: format!("{prefix}{REPARTITION_SUFFIX}"),
        }
    }

    /// Takes a number that nothing is named by.
    pub(crate) fn burn(&mut self) {
        self.take();
    }

    fn take(&mut self) -> u32 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// `KSTREAM...-0123456789`
fn is_generated(prefix: &str) -> bool {
    let Some((head, digits)) = prefix.rsplit_once('-') else {
        return false;
    };
    head.starts_with("KSTREAM") && digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Names, prefix};

    #[test]
    fn one_counter_for_all() {
        let mut names = Names::default();
        assert_eq!(names.processor(prefix::SOURCE), "KSTREAM-SOURCE-0000000000");
        assert_eq!(
            names.store(prefix::AGGREGATE),
            "KSTREAM-AGGREGATE-STATE-STORE-0000000001"
        );
        assert_eq!(names.processor_or(Some("mine"), prefix::MAP), "mine");
        assert_eq!(names.store_or(Some("counts"), prefix::AGGREGATE), "counts");
        assert_eq!(names.processor(prefix::MAP), "KSTREAM-MAP-0000000003");
    }

    #[test]
    fn repartition_nodes_are_named_after_a_named_topic_only() {
        let mut names = Names::default();
        let generated = names.repartition("KSTREAM-KEY-SELECT-0000000007");
        assert_eq!(generated.topic, "KSTREAM-KEY-SELECT-0000000007-repartition");
        assert_eq!(generated.sink, "KSTREAM-SINK-0000000000");
        assert_eq!(generated.filter, "KSTREAM-FILTER-0000000001");
        assert_eq!(generated.source, "KSTREAM-SOURCE-0000000002");
        let named = names.repartition("by-word");
        assert_eq!(named.source, "by-word-repartition-source");
        assert_eq!(names.processor(prefix::SINK), "KSTREAM-SINK-0000000006");
    }
}
