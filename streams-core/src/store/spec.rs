//! What the topology keeps of a store, whatever its types, and what comes out of it in each task.

use std::sync::Arc;

use state_store::Layout;

use super::StoreKind;
use super::task::{Changelog, StoreBase, TaskStore};
use crate::topology::{ChangelogConfigs, ErasedHandle, TopicName};

/// A store as data. Made by builders; opaque outside of this crate.
#[derive(Clone)]
pub struct StoreSpec {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    /// `None` until the topology is built: as it says.
    pub(crate) kind: Option<StoreKind>,
    pub(crate) logged: bool,
    /// The topic its rows are read from, which is its changelog.
    pub(crate) source_topic: Option<TopicName>,
    /// Configs of the changelog topic.
    pub(crate) changelog_configs: ChangelogConfigs,
    /// Opens it under its name.
    pub(crate) open: Open,
    /// All that its builder says.
    pub(crate) said: String,
    /// Whoever says the same of this name means this store.
    pub(crate) is_shared: bool,
}

impl StoreSpec {
    /// The store's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSpec")
            .field("name", &self.name)
            .field("layout", &self.layout)
            .field("kind", &self.kind)
            .field("logged", &self.logged)
            .finish_non_exhaustive()
    }
}

/// What a store is opened with in one task.
pub(crate) struct OpenStore {
    pub(crate) bytes: Arc<dyn state_store::KeyValueStore>,
    /// Name of the changelog topic, given to serdes even if nothing is logged.
    pub(crate) topic: Arc<str>,
    pub(crate) changelog: Option<Changelog>,
    pub(crate) cache_bytes: usize,
    pub(crate) logs_every_put: bool,
}

impl OpenStore {
    pub(super) fn base(self, name: &str) -> StoreBase {
        StoreBase {
            name: name.to_owned(),
            bytes: self.bytes,
            changelog: self.changelog,
        }
    }
}

/// Opens a store of this name.
pub(crate) type Open = Arc<dyn Fn(&str, OpenStore) -> OpenedStore + Send + Sync>;

/// A store in one task: for the task, and for its processors.
pub(crate) struct OpenedStore {
    pub(crate) store: Box<dyn TaskStore>,
    pub(crate) handle: ErasedHandle,
}
