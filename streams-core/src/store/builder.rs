//! How a store is declared: a typed builder for each kind of store.

use std::fmt::Debug;

use state_store::Layout;

use super::spec::Open;
use super::{StoreKind, StoreSpec};
use crate::topology::ChangelogConfigs;

/// Declares a store that processors of a topology share.
pub trait StoreBuilder {
    /// What processors hold of it: a cheap handle.
    type Store: Clone + 'static;

    /// What the topology keeps of it.
    #[doc(hidden)]
    fn into_spec(self) -> StoreSpec;
}

/// Settings that all kinds of stores have. Builders offer them by `common_settings`.
#[derive(Clone, Debug)]
struct Common {
    name: String,
    kind: Option<StoreKind>,
    logged: bool,
    changelog_configs: ChangelogConfigs,
}

impl Common {
    fn new(name: String, cleanup_policy: &str) -> Self {
        Self {
            name,
            kind: None,
            logged: true,
            changelog_configs: ChangelogConfigs::new(cleanup_policy),
        }
    }

    fn into_spec(self, layout: Layout, open: Open, said: String) -> StoreSpec {
        StoreSpec {
            name: self.name,
            layout,
            kind: self.kind,
            logged: self.logged,
            source_topic: None,
            changelog_configs: self.changelog_configs,
            open,
            said,
            is_shared: false,
        }
    }
}

/// All that a builder says, by its type, settings and serdes: builders that say the same declare the same store.
fn said<B>(parts: &dyn Debug) -> String {
    format!("{} {parts:?}", std::any::type_name::<B>())
}

macro_rules! common_settings {
    () => {
        /// Where rows are kept. Default: as the topology says, or on disk.
        #[must_use]
        pub fn kind(mut self, kind: StoreKind) -> Self {
            self.common.kind = Some(kind);
            self
        }

        changelog_settings!();
    };
}

macro_rules! changelog_settings {
    () => {
        /// Without a changelog: state is lost with its disk, or at every start if it is in memory, and after a crash may
        /// miss or repeat what was not committed. Default: with one.
        #[must_use]
        pub fn logging_disabled(mut self) -> Self {
            self.common.logged = false;
            self
        }

        /// Sets one config of the changelog topic, over the defaults.
        #[must_use]
        pub fn changelog_config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.common.changelog_configs.give(key.into(), value.into());
            self
        }
    };
}

mod buffer;
mod custom;
mod key_value;
mod live;
mod session;
mod versioned;
mod window;

pub use self::buffer::TimeOrderedBufferBuilder;
pub use self::custom::CustomStoreBuilder;
pub use self::key_value::KeyValueStoreBuilder;
pub use self::session::SessionStoreBuilder;
pub use self::versioned::VersionedKeyValueStoreBuilder;
pub use self::window::WindowStoreBuilder;
