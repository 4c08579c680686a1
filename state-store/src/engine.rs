//! How a store is opened: what it is (spec), and with what (engine).
//!
//! Apart from the engines, so that the runtime can be handed "memory" or "rocksdb" as a value. The identity is plain
//! strings: whose store this is, is the runtime's business; that it is not somebody else's, is checked here.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, KeySchema, KeyValueStore, Result};

/// The shortest default segment interval, in milliseconds, as in Kafka's window stores.
pub const MIN_SEGMENT_INTERVAL_MS: i64 = 60_000;

/// Opens stores of one kind. One engine serves all stores of a process, which then share its memory budget.
pub trait StoreEngine: Send + Sync + fmt::Debug {
    /// Opens the store, or creates it if it is not there.
    ///
    /// `directory` is for this store alone; persistent engines need it, others ignore it.
    ///
    /// # Errors
    /// Each reason has its own [`Error`] variant, and nothing is deleted or changed then: in use elsewhere, another
    /// identity, newer format, other layout, damaged or missing files, a spec that makes no sense.
    fn open(&self, spec: &StoreSpec, directory: Option<&Path>) -> Result<Arc<dyn KeyValueStore>>;
}

/// Whose store it is. A persistent store remembers this and opens for no one else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreIdentity {
    /// The `application.id`.
    pub application_id: String,
    /// The task, such as `0_3`.
    pub task_id: String,
    /// The name of the store in the topology.
    pub store_name: String,
}

impl StoreIdentity {
    /// An identity from its three parts.
    pub fn new(
        application_id: impl Into<String>,
        task_id: impl Into<String>,
        store_name: impl Into<String>,
    ) -> Self {
        Self {
            application_id: application_id.into(),
            task_id: task_id.into(),
            store_name: store_name.into(),
        }
    }
}

impl fmt::Display for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            application_id,
            task_id,
            store_name,
        } = self;
        write!(
            f,
            "store {store_name:?} of task {task_id:?} of application {application_id:?}"
        )
    }
}

/// How the rows of a store are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One ordered map.
    Plain,
    /// Rows grouped by a timestamp in their key, so that retention drops whole groups.
    Segmented {
        /// How long rows are kept, in milliseconds of their own time. At least 1.
        retention_ms: i64,
        /// The time that one segment spans, in milliseconds. At least 1.
        segment_interval_ms: i64,
        /// Where the timestamp is in a row key.
        schema: KeySchema,
    },
}

impl Layout {
    /// The segmented layout with Kafka's interval: half the retention, and at least [`MIN_SEGMENT_INTERVAL_MS`].
    ///
    /// ```
    /// use state_store::{KeySchema, Layout};
    /// let day = Layout::segmented(86_400_000, KeySchema::Window);
    /// assert!(matches!(day, Layout::Segmented { segment_interval_ms: 43_200_000, .. }));
    /// ```
    pub fn segmented(retention_ms: i64, schema: KeySchema) -> Self {
        let segment_interval_ms = (retention_ms / 2).max(MIN_SEGMENT_INTERVAL_MS);
        Self::Segmented {
            retention_ms,
            segment_interval_ms,
            schema,
        }
    }
}

/// What is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSpec {
    /// Whose store.
    pub identity: StoreIdentity,
    /// How its rows are arranged.
    pub layout: Layout,
}

impl StoreSpec {
    /// A spec from its parts.
    pub fn new(identity: StoreIdentity, layout: Layout) -> Self {
        Self { identity, layout }
    }

    /// For engines: refuses a spec that makes no sense.
    ///
    /// # Errors
    /// [`Error::InvalidSpec`] if a retention is negative, or a segment interval is below one millisecond.
    pub fn validate(&self) -> Result<()> {
        let reason = match self.layout {
            Layout::Segmented { retention_ms, .. } if retention_ms < 0 => {
                format!("its retention is {retention_ms} ms and must not be negative")
            }
            Layout::Segmented {
                segment_interval_ms, ..
            } if segment_interval_ms < 1 => {
                format!("its segment interval is {segment_interval_ms} ms and must be at least 1 ms")
            }
            _ => return Ok(()),
        };
        Err(Error::InvalidSpec {
            store: self.identity.store_name.clone(),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_span_half_the_retention_and_at_least_a_minute() {
        let interval = |retention_ms| match Layout::segmented(retention_ms, KeySchema::Session) {
            Layout::Segmented {
                segment_interval_ms, ..
            } => segment_interval_ms,
            Layout::Plain => unreachable!("segmented() makes segmented layouts"),
        };
        assert_eq!(interval(1_000), 60_000);
        assert_eq!(interval(120_001), 60_000);
        assert_eq!(interval(86_400_000), 43_200_000);
    }
}
