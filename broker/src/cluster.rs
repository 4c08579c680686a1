//! What administrators decided that is no topic: configs of the broker and of groups, client quotas, users, ACLs. One small
//! file, `cluster.json` in the data directory, replaced as a whole and synced with each change.
//!
//! Readers take the current [`ClusterState`] and keep it: a change makes a new one.

mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use state::{ClientQuota, ClusterState, Configs, MAX_ENTRIES, QuotaEntity};

use crate::log::files::{self, Durability};
use crate::topic::TopicError;

const CLUSTER_FILE: &str = "cluster.json";

/// The decisions in force, and where they are kept.
#[derive(Debug)]
pub struct Cluster {
    path: PathBuf,
    current: RwLock<Arc<ClusterState>>,
    /// Held by who makes a change, over reading, writing and replacing.
    change: Mutex<()>,
}

impl Cluster {
    /// Reads the file of a data directory; none is a cluster nobody has administered.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn open(dir: &Path) -> Result<Self, TopicError> {
        let path = dir.join(CLUSTER_FILE);
        let state = match files::read_if_present(&path)? {
            Some(content) => ClusterState::decode(&content).map_err(|reason| TopicError::Damaged {
                path: path.clone(),
                reason,
            })?,
            None => ClusterState::default(),
        };
        Ok(Self {
            path,
            current: RwLock::new(Arc::new(state)),
            change: Mutex::new(()),
        })
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<ClusterState> {
        // What the lock guards is replaced in one step: a panic elsewhere leaves nothing half done.
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes one change: `change` works on a copy, which is in force once it is on disk. With an error, or
    /// [`Change::Discard`], nothing changes.
    ///
    /// # Errors
    /// That of `change`, or of writing the file.
    pub fn update<T, E: From<TopicError>>(
        &self,
        change: impl FnOnce(&mut ClusterState) -> Result<(T, Change), E>,
    ) -> Result<T, E> {
        let _guard = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = ClusterState::clone(&self.current());
        let (answer, kept) = change(&mut state)?;
        if kept == Change::Keep {
            let content = state.encode();
            files::replace(&self.path, &content, Durability::Disk).map_err(TopicError::from)?;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.indexed());
        }
        Ok(answer)
    }
}

/// Whether a change is meant, or was only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is to be in force.
    Keep,
    /// Somebody only wanted to know whether it could be.
    Discard,
}
