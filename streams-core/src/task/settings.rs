//! What the application's settings say about its tasks.

use crate::handlers::ErrorHandlers;
use crate::topology::{DefaultTimestampExtractor, SourceNode, TopicName};

/// See the file's top.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskSettings {
    pub(crate) handlers: ErrorHandlers,
    /// For sources without one of their own.
    pub(crate) timestamp_extractor: Option<DefaultTimestampExtractor>,
    /// How long a partition without records is waited for. See `idle.rs`.
    pub(crate) max_idle_ms: i64,
}

impl TaskSettings {
    /// The application's timestamp extractor, if a source of these topics has to go by it: internal topics carry event time.
    pub(crate) fn extractor_of(
        &self,
        source: &dyn SourceNode,
        topics: &[TopicName],
    ) -> Option<DefaultTimestampExtractor> {
        let is_internal = topics.iter().any(|topic| matches!(topic, TopicName::Internal(_)));
        let by_default = !source.extracts_timestamps() && !is_internal;
        self.timestamp_extractor.clone().filter(|_| by_default)
    }
}
