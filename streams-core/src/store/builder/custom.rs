//! `CustomStoreBuilder`: stores of the user's own making.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use state_store::{Layout, StoreEngine};

use super::{Common, StoreBuilder, said};
use crate::processor::BoxError;
use crate::store::custom::{CustomBytes, LiveCustom, failed_to_open};
use crate::store::{Custom, CustomStore, OpenStore, OpenedStore, StoreKind, StoreSpec};
use crate::topology::ErasedHandle;

/// Declares a [`CustomStore`]; see there for an example.
pub struct CustomStoreBuilder<S> {
    common: Common,
    open: Arc<OpenCustom<S>>,
}

/// Opens a store for one task. The directory is for this store alone, and need not exist yet.
type OpenCustom<S> = dyn Fn(Option<&Path>) -> Result<S, BoxError> + Send + Sync;

impl<S> Clone for CustomStoreBuilder<S> {
    fn clone(&self) -> Self {
        Self {
            common: self.common.clone(),
            open: Arc::clone(&self.open),
        }
    }
}

impl<S> Debug for CustomStoreBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomStoreBuilder")
            .field("common", &self.common)
            .finish_non_exhaustive()
    }
}

impl<S: CustomStore> CustomStoreBuilder<S> {
    /// A store of this name that `open` opens or makes, anew for each task and each time that starts. `open` gets the directory
    /// for what the store keeps on disk: its own, in the task's; it need not exist yet. There is none in the test driver, unless
    /// [it has one](crate::testing::TestDriverOptions::state_dir).
    pub fn new(
        name: impl Into<String>,
        open: impl Fn(Option<&Path>) -> Result<S, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            common: Common::new(name.into(), "compact"),
            open: Arc::new(open),
        }
    }

    changelog_settings!();
}

impl<S: CustomStore> StoreBuilder for CustomStoreBuilder<S> {
    type Store = Custom<S>;

    fn into_spec(self) -> StoreSpec {
        let Self { mut common, open } = self;
        // Functions have no other identity.
        let said = said::<Self>(&(&common, Arc::as_ptr(&open)));
        let engine = Arc::new(CustomEngine {
            open,
            opened: Mutex::default(),
        });
        common.kind = Some(StoreKind::Custom(Arc::clone(&engine) as Arc<dyn StoreEngine>));
        let open = move |name: &str, open: OpenStore| {
            let custom = engine.take(&open.bytes).handle();
            let limit_bytes = open.cache_bytes;
            let base = open.base(name);
            OpenedStore {
                handle: ErasedHandle::new(custom.clone()),
                store: Box::new(LiveCustom {
                    base,
                    custom,
                    limit_bytes,
                }),
            }
        };
        common.into_spec(Layout::Plain, Arc::new(open), said)
    }
}

/// Opens stores as what is restored, and has them with their types until their task takes them.
struct CustomEngine<S> {
    open: Arc<OpenCustom<S>>,
    opened: Mutex<Vec<Arc<CustomBytes<S>>>>,
}

impl<S> CustomEngine<S> {
    /// The store that was opened as these bytes.
    fn take(&self, bytes: &Arc<dyn state_store::KeyValueStore>) -> Arc<CustomBytes<S>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let at = opened
            .iter()
            .position(|store| std::ptr::addr_eq(Arc::as_ptr(store), Arc::as_ptr(bytes)));
        opened.swap_remove(at.expect("a task opens the bytes of a store with its engine, just before"))
    }
}

impl<S> Debug for CustomEngine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomEngine").finish_non_exhaustive()
    }
}

impl<S: CustomStore> StoreEngine for CustomEngine<S> {
    fn open(
        &self,
        spec: &state_store::StoreSpec,
        directory: Option<&Path>,
    ) -> state_store::Result<Arc<dyn state_store::KeyValueStore>> {
        let name = &spec.identity.store_name;
        let store = (self.open)(directory).map_err(|error| failed_to_open(name, "open", error))?;
        let bytes = Arc::new(CustomBytes::new(name, store));
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push(Arc::clone(&bytes));
        Ok(bytes)
    }
}
