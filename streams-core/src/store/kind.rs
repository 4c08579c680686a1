//! Where stores keep their rows: on disk, in memory, or in an engine of the user's.

use std::path::Path;
use std::sync::Arc;

use state_store::{MemoryEngine, StoreEngine};

/// Where a store keeps its rows.
#[derive(Clone, Debug, Default)]
pub enum StoreKind {
    /// On disk, through the application's persistent engine (RocksDB).
    #[default]
    Persistent,
    /// In memory; restored from its changelog at every start.
    InMemory,
    /// In a store of one's own (what a store supplier is in Kafka): any [`StoreEngine`] that passes the suite
    /// `state_store::conformance` (with the feature of that name) is as good as the two above. It gets a directory of its own for
    /// each store, in the test driver only if [that has one](crate::testing::TestDriverOptions::state_dir).
    ///
    /// ```
    /// use std::path::Path;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use streams_core::store::engine::{self, MemoryEngine, StoreEngine};
    /// use streams_core::store::{KeyValueStoreBuilder, StoreKind};
    /// use streams_core::testing::MockProcessorContext;
    ///
    /// /// Counts how many stores it has opened.
    /// #[derive(Debug, Default)]
    /// struct Counting(AtomicUsize);
    ///
    /// impl StoreEngine for Counting {
    ///     fn open(&self, spec: &engine::StoreSpec, directory: Option<&Path>) -> engine::Result<Arc<dyn engine::KeyValueStore>> {
    ///         self.0.fetch_add(1, Ordering::Relaxed);
    ///         MemoryEngine.open(spec, directory)
    ///     }
    /// }
    ///
    /// let counting = Arc::new(Counting::default());
    /// let store = KeyValueStoreBuilder::<String, i64>::new("counts").kind(StoreKind::Custom(counting.clone()));
    /// let counts = MockProcessorContext::<(), ()>::new().add_store(store)?;
    /// counts.put(&"a".to_string(), Some(1), 0)?;
    /// assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    Custom(Arc<dyn StoreEngine>),
}

/// Opens a byte store with the engine that its kind asks for. `directory` is for this store alone.
pub(crate) fn open_bytes(
    kind: Option<&StoreKind>,
    persistent: &dyn StoreEngine,
    memory: &MemoryEngine,
    spec: &state_store::StoreSpec,
    directory: Option<&Path>,
) -> state_store::Result<Arc<dyn state_store::KeyValueStore>> {
    match kind {
        None | Some(StoreKind::Persistent) => persistent.open(spec, directory),
        Some(StoreKind::InMemory) => memory.open(spec, None),
        Some(StoreKind::Custom(engine)) => engine.open(spec, directory),
    }
}
