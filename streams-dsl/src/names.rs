//! Names of processors, stores and topics, numbered exactly as Kafka Streams numbers them.
//!
//! One counter for all: an operator takes a number even when it is given a name, so that naming one does not rename the
//! others.

/// Kafka's prefixes.
pub(crate) mod prefix {
    pub(crate) const STREAM_SOURCE: &str = "KSTREAM-SOURCE-";
    pub(crate) const STREAM_SINK: &str = "KSTREAM-SINK-";
    pub(crate) const STREAM_FILTER: &str = "KSTREAM-FILTER-";
    pub(crate) const STREAM_MAP: &str = "KSTREAM-MAP-";
    pub(crate) const STREAM_MAP_VALUES: &str = "KSTREAM-MAPVALUES-";
    pub(crate) const STREAM_FLAT_MAP: &str = "KSTREAM-FLATMAP-";
    pub(crate) const STREAM_FLAT_MAP_VALUES: &str = "KSTREAM-FLATMAPVALUES-";
    pub(crate) const STREAM_KEY_SELECT: &str = "KSTREAM-KEY-SELECT-";
    pub(crate) const STREAM_PEEK: &str = "KSTREAM-PEEK-";
    pub(crate) const STREAM_FOR_EACH: &str = "KSTREAM-FOREACH-";
    pub(crate) const STREAM_PROCESSOR: &str = "KSTREAM-PROCESSOR-";
    pub(crate) const STREAM_BRANCH: &str = "KSTREAM-BRANCH-";
    pub(crate) const STREAM_MERGE: &str = "KSTREAM-MERGE-";
    pub(crate) const STREAM_REPARTITION: &str = "KSTREAM-REPARTITION-";
    pub(crate) const STREAM_TO_TABLE: &str = "KSTREAM-TOTABLE-";
    pub(crate) const STREAM_AGGREGATE: &str = "KSTREAM-AGGREGATE-";
    pub(crate) const STREAM_REDUCE: &str = "KSTREAM-REDUCE-";
    pub(crate) const STREAM_JOIN: &str = "KSTREAM-JOIN-";
    pub(crate) const STREAM_LEFT_JOIN: &str = "KSTREAM-LEFTJOIN-";
    pub(crate) const TABLE_SOURCE: &str = "KTABLE-SOURCE-";
    pub(crate) const TABLE_FILTER: &str = "KTABLE-FILTER-";
    pub(crate) const TABLE_MAP_VALUES: &str = "KTABLE-MAPVALUES-";
    pub(crate) const TABLE_TO_STREAM: &str = "KTABLE-TOSTREAM-";
}

/// The counter.
#[derive(Debug, Default)]
pub(crate) struct Names {
    next: u32,
}

impl Names {
    /// A processor's name: prefix and ten digits.
    pub(crate) fn processor(&mut self, prefix: &str) -> String {
        let number = self.next;
        self.next += 1;
        format!("{prefix}{number:010}")
    }

    /// The name of a store that was given none.
    pub(crate) fn store(&mut self, prefix: &str) -> String {
        self.processor(&format!("{prefix}STATE-STORE-"))
    }

    /// Takes a number that Kafka Streams takes too, for nothing.
    pub(crate) fn burn(&mut self) {
        self.next += 1;
    }
}

/// True for names such as `KSTREAM-AGGREGATE-STATE-STORE-0000000003`, which nobody chose.
pub(crate) fn is_generated(name: &str) -> bool {
    name.starts_with("KSTREAM")
        && name
            .rsplit_once('-')
            .is_some_and(|(_, digits)| digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
