//! Looking a table up (Kafka's value getters): from its store, or computed from the table it was derived from.

use std::sync::Arc;

use crate::operators::Tried;
use crate::operators::table_join::Join;

use streams_core::error::{ProcessCause, Result};
use streams_core::store::{
    KeyValueStore, SessionStore, StoreResult, TimeOrderedBuffer, ValueAndTimestamp, VersionedKeyValueStore,
    WindowStore,
};
use streams_core::topology::Wiring;

use crate::windows::Windowed;

/// Is shown a row: its value and its timestamp.
type Look<'a, V> = dyn FnMut(Option<(&V, i64)>) + 'a;

/// The rows of a table, as one task sees them.
pub(crate) trait TableView<K, V> {
    /// Shows the row of `key` to `look`, once. `look` must not look this table up again.
    fn read(&self, key: &K, look: &mut Look<'_, V>) -> StoreResult<()>;

    /// Shows the row that `key` had at a time, if the table knows of times; else the row of now.
    fn read_as_of(&self, key: &K, at_ms: i64, look: &mut Look<'_, V>) -> StoreResult<()> {
        let _ = at_ms;
        self.read(key, look)
    }

    /// The stores that cannot be looked up while a row is shown: it is not a copy.
    fn held_stores(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Opens the view of a table for an operator that is connected to the stores it needs.
pub(crate) type OpenView<K, V> = Arc<dyn Fn(&Wiring<'_>) -> Result<Box<dyn TableView<K, V>>> + Send + Sync>;

/// The view of a table in a key-value store.
pub(crate) fn key_value<K: 'static, V: 'static>(store: &str) -> OpenView<K, V> {
    let name = store.to_owned();
    Arc::new(move |wiring| {
        let (name, rows) = (name.clone(), wiring.key_value_store(&name)?);
        Ok(Box::new(KeyValueView { name, rows }))
    })
}

/// The view of a table in either of these.
pub(crate) fn of_table<K: 'static, V: Clone + 'static>(store: &str, is_versioned: bool) -> OpenView<K, V> {
    if is_versioned {
        versioned(store)
    } else {
        key_value(store)
    }
}

/// The view of a table in a versioned store.
pub(crate) fn versioned<K: 'static, V: Clone + 'static>(store: &str) -> OpenView<K, V> {
    let store = store.to_owned();
    Arc::new(move |wiring| Ok(Box::new(wiring.versioned_store::<K, V>(&store)?)))
}

/// The view of a table in a window store.
pub(crate) fn windowed<K: 'static, V: Clone + 'static>(store: &str) -> OpenView<Windowed<K>, V> {
    let store = store.to_owned();
    Arc::new(move |wiring| Ok(Box::new(wiring.window_store::<K, V>(&store)?)))
}

/// The view of a table in a session store.
pub(crate) fn sessions<K: 'static, V: Clone + 'static>(store: &str) -> OpenView<Windowed<K>, V> {
    let store = store.to_owned();
    Arc::new(move |wiring| Ok(Box::new(wiring.session_store::<K, V>(&store)?)))
}

/// The view of a table whose rows are made of another's: `derive` gets key and value.
pub(crate) fn derived<K, V, W>(
    parent: OpenView<K, V>,
    derive: impl Fn(&K, &V) -> Tried<Option<W>> + Send + Sync + Clone + 'static,
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

/// The view of two tables joined: `join` gets what each has for the key. The later of their timestamps counts.
pub(crate) fn joined<K, A, B, R>(
    left: OpenView<K, A>,
    right: OpenView<K, B>,
    join: Join<A, B, R>,
) -> OpenView<K, R>
where
    K: 'static,
    A: Clone + 'static,
    B: 'static,
    R: 'static,
{
    Arc::new(move |wiring| {
        let (left, right) = (left(wiring)?, right(wiring)?);
        let (held, needed) = (left.held_stores(), right.held_stores());
        let copies_left = held.iter().any(|store| needed.contains(store));
        let join = Arc::clone(&join);
        Ok(Box::new(JoinedView {
            left,
            right,
            copies_left,
            join,
        }))
    })
}

/// The view of a table whose updates are held back: what those behind it know.
pub(crate) fn suppressed<K: 'static, V: 'static>(store: &str, parent: OpenView<K, V>) -> OpenView<K, V> {
    let store = store.to_owned();
    Arc::new(move |wiring| {
        let buffer = wiring.time_ordered_buffer::<K, V>(&store)?;
        let parent = parent(wiring)?;
        Ok(Box::new(SuppressedView { buffer, parent }))
    })
}

struct SuppressedView<K, V> {
    buffer: TimeOrderedBuffer<K, V>,
    parent: Box<dyn TableView<K, V>>,
}

impl<K, V> TableView<K, V> for SuppressedView<K, V> {
    fn read(&self, key: &K, look: &mut Look<'_, V>) -> StoreResult<()> {
        match self.buffer.prior_value(key)? {
            // The time of what was sent is not known.
            Some(prior) => {
                look(prior.as_ref().map(|value| (value, -1)));
                Ok(())
            }
            None => self.parent.read(key, look),
        }
    }

    fn held_stores(&self) -> Vec<&str> {
        self.parent.held_stores()
    }
}

struct JoinedView<K, A, B, R> {
    left: Box<dyn TableView<K, A>>,
    right: Box<dyn TableView<K, B>>,
    /// Both tables need the same store, so that the left row must not be held while the right one is looked up.
    copies_left: bool,
    join: Join<A, B, R>,
}

impl<K, A: Clone, B, R> TableView<K, R> for JoinedView<K, A, B, R> {
    fn read(&self, key: &K, look: &mut Look<'_, R>) -> StoreResult<()> {
        let mut join = |left: Option<(&A, i64)>| {
            let mut failed = None;
            self.right.read(key, &mut |right| {
                let time_ms = left
                    .map_or(i64::MIN, |(_, at)| at)
                    .max(right.map_or(i64::MIN, |(_, at)| at));
                match (self.join)(left.map(|(value, _)| value), right.map(|(value, _)| value)) {
                    Ok(joined) => look(joined.as_ref().map(|value| (value, time_ms))),
                    Err(error) => failed = Some(error),
                }
            })?;
            failed.map_or(Ok(()), |error| Err(ProcessCause::User(error)))
        };
        if self.copies_left {
            let mut copy = None;
            self.left.read(key, &mut |left| {
                copy = left.map(|(value, time_ms)| (value.clone(), time_ms));
            })?;
            return join(copy.as_ref().map(|(value, time_ms)| (value, *time_ms)));
        }
        let mut result = Ok(());
        self.left.read(key, &mut |left| result = join(left))?;
        result
    }

    fn held_stores(&self) -> Vec<&str> {
        let mut stores = self.left.held_stores();
        stores.extend(self.right.held_stores());
        stores
    }
}

struct Derived<K, V, D> {
    parent: Box<dyn TableView<K, V>>,
    derive: D,
}

impl<K, V, W, D: Fn(&K, &V) -> Tried<Option<W>>> Derived<K, V, D> {
    /// Shows the row that is made of a row of the parent.
    fn show(&self, key: &K, row: Option<(&V, i64)>, look: &mut Look<'_, W>) -> StoreResult<()> {
        let Some((value, time_ms)) = row else {
            look(None);
            return Ok(());
        };
        let derived = (self.derive)(key, value).map_err(ProcessCause::User)?;
        look(derived.as_ref().map(|value| (value, time_ms)));
        Ok(())
    }
}

impl<K, V, W, D: Fn(&K, &V) -> Tried<Option<W>>> TableView<K, W> for Derived<K, V, D> {
    fn read(&self, key: &K, look: &mut Look<'_, W>) -> StoreResult<()> {
        let mut shown = Ok(());
        self.parent
            .read(key, &mut |row| shown = self.show(key, row, look))?;
        shown
    }

    fn read_as_of(&self, key: &K, at_ms: i64, look: &mut Look<'_, W>) -> StoreResult<()> {
        let mut shown = Ok(());
        self.parent
            .read_as_of(key, at_ms, &mut |row| shown = self.show(key, row, look))?;
        shown
    }

    fn held_stores(&self) -> Vec<&str> {
        self.parent.held_stores()
    }
}

impl<K, V: Clone> TableView<K, V> for VersionedKeyValueStore<K, V> {
    fn read(&self, key: &K, look: &mut Look<'_, V>) -> StoreResult<()> {
        let row = self.get(key)?;
        look(row.as_ref().map(|row| (&row.value, row.timestamp_ms)));
        Ok(())
    }

    fn read_as_of(&self, key: &K, at_ms: i64, look: &mut Look<'_, V>) -> StoreResult<()> {
        let row = self.get_as_of(key, at_ms)?;
        look(row.as_ref().map(|row| (&row.value, row.timestamp_ms)));
        Ok(())
    }
}

struct KeyValueView<K, V> {
    name: String,
    rows: KeyValueStore<K, V>,
}

impl<K, V> TableView<K, V> for KeyValueView<K, V> {
    fn read(&self, key: &K, look: &mut Look<'_, V>) -> StoreResult<()> {
        self.rows.read(key, |row| {
            look(row.map(|row| (&row.value, row.timestamp_ms)));
        })
    }

    fn held_stores(&self) -> Vec<&str> {
        vec![&self.name]
    }
}

impl<K, V: Clone> TableView<Windowed<K>, V> for WindowStore<K, V> {
    fn read(&self, key: &Windowed<K>, look: &mut Look<'_, V>) -> StoreResult<()> {
        let row: Option<ValueAndTimestamp<V>> = self.fetch(&key.key, key.window.start_ms)?;
        look(row.as_ref().map(|row| (&row.value, row.timestamp_ms)));
        Ok(())
    }
}

impl<K, V: Clone> TableView<Windowed<K>, V> for SessionStore<K, V> {
    fn read(&self, key: &Windowed<K>, look: &mut Look<'_, V>) -> StoreResult<()> {
        let row = self.fetch_session(&key.key, key.window.start_ms, key.window.end_ms)?;
        look(row.as_ref().map(|row| (&row.value, row.timestamp_ms)));
        Ok(())
    }
}
