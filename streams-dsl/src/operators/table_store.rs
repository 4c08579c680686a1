//! Where an operator keeps the table it makes: the rows of now, or also those that were.

use streams_core::error::Result;
use streams_core::store::{KeyValueStore, StoreResult, Validity, ValueAndTimestamp, VersionedKeyValueStore};
use streams_core::topology::Wiring;

use crate::change::Change;

/// Either kind of store of a table (Kafka's `KeyValueStoreWrapper`).
pub(crate) enum TableStore<K, V> {
    Plain(KeyValueStore<K, V>),
    Versioned(VersionedKeyValueStore<K, V>),
}

/// What a put did.
pub(crate) struct Put<V> {
    /// The latest row until then.
    pub(crate) before: Option<ValueAndTimestamp<V>>,
    /// What was put is the latest row now.
    pub(crate) is_latest: bool,
}

impl<K: 'static, V: Clone + 'static> TableStore<K, V> {
    /// The store of this name, as it was added.
    pub(crate) fn open(wiring: &Wiring<'_>, name: &str) -> Result<Self> {
        match wiring.versioned_store(name) {
            Ok(store) => Ok(Self::Versioned(store)),
            Err(_) => wiring.key_value_store(name).map(Self::Plain),
        }
    }
}

impl<K, V: Clone> TableStore<K, V> {
    /// The latest row.
    pub(crate) fn get(&self, key: &K) -> StoreResult<Option<ValueAndTimestamp<V>>> {
        match self {
            Self::Plain(store) => store.get(key),
            Self::Versioned(store) => store.get(key),
        }
    }

    /// Sets the row of a key from a time on. `None` if that is too long ago for the store: nobody is told of it then.
    pub(crate) fn put(&self, key: &K, value: Option<V>, timestamp_ms: i64) -> StoreResult<Option<Put<V>>> {
        let put = match self {
            Self::Plain(store) => Put {
                before: store.put(key, value, timestamp_ms)?,
                is_latest: true,
            },
            Self::Versioned(store) => {
                let before = store.get(key)?;
                match store.put(key, value, timestamp_ms)? {
                    Validity::NotPut => return Ok(None),
                    validity => Put {
                        before,
                        is_latest: validity == Validity::Latest,
                    },
                }
            }
        };
        Ok(Some(put))
    }

    /// Replaces the row of a key by what `change` makes of it, which also says what to send, and with which time. `None` if that
    /// is too long ago for the store. `timestamp_ms` is the record's.
    pub(crate) fn update(
        &self,
        key: &K,
        timestamp_ms: i64,
        change: impl FnOnce(Option<ValueAndTimestamp<V>>) -> (Option<ValueAndTimestamp<V>>, (Change<V>, i64)),
    ) -> StoreResult<Option<(Change<V>, i64)>> {
        match self {
            Self::Plain(store) => store.update(key, timestamp_ms, change).map(Some),
            Self::Versioned(store) => {
                let (row, (mut change, time_ms)) = change(store.get(key)?);
                let put = store.put(key, row.map(|row| row.value), time_ms)?;
                change.is_latest = put == Validity::Latest;
                Ok((put != Validity::NotPut).then_some((change, time_ms)))
            }
        }
    }
}
