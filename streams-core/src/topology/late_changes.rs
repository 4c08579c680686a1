//! What was declared too late to be in a topology.
//!
//! Handles of a builder can outlive it, and what is done with them returns no error. So the topology keeps it, and refuses to
//! be run.

use std::sync::{Arc, OnceLock};

use crate::error::{Result, StreamsError};

/// The first thing that was declared after the topology was built, if any was.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct LateChanges(Arc<OnceLock<String>>);

impl LateChanges {
    /// Says that this was declared. A topology that runs already goes on without it.
    pub fn report(&self, what: &str) {
        tracing::error!(what, "declared after the topology was built, and not part of it");
        self.0.get_or_init(|| what.to_owned());
    }

    /// # Errors
    /// If something was.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(what) => Err(StreamsError::Topology(format!(
                "{what} was declared after `build`, and is not part of the topology: declare everything before"
            ))),
        }
    }
}
