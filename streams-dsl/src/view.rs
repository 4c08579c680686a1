//! Looking a table up (Kafka's value getters): from its store, or computed from the table it was derived from.

use std::sync::Arc;

use streams_core::error::Result;
use streams_core::store::{KeyValueStore, StoreResult, ValueAndTimestamp, WindowStore};
use streams_core::topology::Wiring;

use crate::windows::Windowed;

/// The rows of a table, as one task sees them.
pub(crate) trait TableView<K, V> {
    /// Shows the value of `key` to `look`, once. `look` must not look this table up again.
    fn read(&self, key: &K, look: &mut dyn FnMut(Option<&V>)) -> StoreResult<()>;
}

/// Opens the view of a table for an operator that is connected to the stores it needs.
pub(crate) type OpenView<K, V> = Arc<dyn Fn(&Wiring<'_>) -> Result<Box<dyn TableView<K, V>>> + Send + Sync>;

/// The view of a table in a key-value store.
pub(crate) fn key_value<K: 'static, V: 'static>(store: &str) -> OpenView<K, V> {
    let store = store.to_owned();
    Arc::new(move |wiring| Ok(Box::new(wiring.key_value_store::<K, V>(&store)?)))
}

/// The view of a table in a window store.
pub(crate) fn windowed<K: 'static, V: Clone + 'static>(store: &str) -> OpenView<Windowed<K>, V> {
    let store = store.to_owned();
    Arc::new(move |wiring| Ok(Box::new(wiring.window_store::<K, V>(&store)?)))
}

/// The view of a table whose rows are made of another's: `derive` gets key and value.
pub(crate) fn derived<K, V, W>(
    parent: OpenView<K, V>,
    derive: impl Fn(&K, &V) -> Option<W> + Send + Sync + Clone + 'static,
) -> OpenView<K, W>
where
    K: 'static,
    V: 'static,
    W: 'static,
{
    Arc::new(move |wiring| {
        let parent = parent(wiring)?;
        let derive = derive.clone();
        Ok(Box::new(Derived { parent, derive }))
    })
}

struct Derived<K, V, D> {
    parent: Box<dyn TableView<K, V>>,
    derive: D,
}

impl<K, V, W, D: Fn(&K, &V) -> Option<W>> TableView<K, W> for Derived<K, V, D> {
    fn read(&self, key: &K, look: &mut dyn FnMut(Option<&W>)) -> StoreResult<()> {
        self.parent.read(key, &mut |value| {
            let value = value.and_then(|value| (self.derive)(key, value));
            look(value.as_ref());
        })
    }
}

impl<K, V> TableView<K, V> for KeyValueStore<K, V> {
    fn read(&self, key: &K, look: &mut dyn FnMut(Option<&V>)) -> StoreResult<()> {
        KeyValueStore::read(self, key, |row| look(row.map(|row| &row.value)))
    }
}

impl<K, V: Clone> TableView<Windowed<K>, V> for WindowStore<K, V> {
    fn read(&self, key: &Windowed<K>, look: &mut dyn FnMut(Option<&V>)) -> StoreResult<()> {
        let row: Option<ValueAndTimestamp<V>> = self.fetch(&key.key, key.window.start_ms)?;
        look(row.as_ref().map(|row| &row.value));
        Ok(())
    }
}
