//! Topics by a pattern of their names.

use std::cmp::Ordering;
use std::fmt::{self, Debug, Display};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::Regex;

use crate::error::{Result, StreamsError};

/// All topics of the user's whose names a regular expression matches, from end to end (the `Pattern` of Kafka Streams'
/// `stream` and `addSource`).
///
/// A stream by a pattern is one stream of all of them, and its tasks are as many as the widest has partitions. The running application looks for new topics every
/// [`metadata_max_age_ms`](crate::runtime::StreamsConfig::metadata_max_age_ms) and shares them out with a rebalance. Its own internal
/// topics and those of the log's coordinators are never matched.
///
/// ```
/// use streams_core::topology::TopicPattern;
///
/// let orders = TopicPattern::new("orders-(eu|us)")?;
/// assert!(orders.matches("orders-eu") && !orders.matches("old-orders-eu") && !orders.matches("orders-euro"));
/// assert!(TopicPattern::new("orders-(").is_err());
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct TopicPattern {
    text: Arc<str>,
    /// Of the text, from end to end.
    whole: Regex,
}

impl TopicPattern {
    /// From the text of a regular expression, in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] if it is none.
    pub fn new(text: &str) -> Result<Self> {
        let whole = Regex::new(&format!("^(?:{text})$"));
        let whole = whole.map_err(|error| {
            StreamsError::Topology(format!("`{text}` is not a pattern of topic names: {error}"))
        })?;
        Ok(Self {
            text: Arc::from(text),
            whole,
        })
    }

    /// True if a topic of this name is one of them.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }

    /// The text it was made from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicPattern {}

impl PartialOrd for TopicPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for TopicPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({})", self.text)
    }
}

impl Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
