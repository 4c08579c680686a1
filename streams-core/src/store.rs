//! Typed views of byte stores: what processors hold.
//!
//! ```text
//!   processor -> KeyValueStore, WindowStore, SessionStore ...  typed handles: key serde, key layout
//!                        |
//!                     Cached<V>                               values as they are, by key bytes; knows what is dirty
//!                 commit |   \ flush
//!          changelog topic    byte store (RocksDB or memory)  one sorted batch with the changelog offset in it
//! ```
//!
//! Values are serialised at commit (one changelog record per key and commit), at flush, and never on access. The changelog
//! is the byte store's write-ahead log: a flush writes only what is committed, so that a store is never ahead of its
//! changelog (ADR 0002). A handle belongs to one task's thread.
//!
//! Rows come in the order of their keys' bytes, as in Kafka, which need not be the order of the keys: text sorts by its UTF-8
//! bytes, integers that are not negative by their value, negative ones behind them.

mod buffer;
mod builder;
mod cached;
mod connected;
mod custom;
mod global;
mod global_processor;
mod global_times;
mod key_value;
mod keys;
mod kind;
mod lru;
mod session;
mod spec;
mod task;
#[cfg(test)]
mod tests;
pub(crate) mod versioned;
mod window;

pub use buffer::{Oldest, RecordContext, TimeOrderedBuffer};
pub use builder::{
    CustomStoreBuilder, KeyValueStoreBuilder, SessionStoreBuilder, StoreBuilder, TimeOrderedBufferBuilder,
    VersionedKeyValueStoreBuilder, WindowStoreBuilder,
};
pub use connected::{ConnectedStores, StoreConnections};
pub use custom::{ChangelogRecord, Changes, Custom, CustomStore};
pub use global::{GlobalIter, GlobalKeyValueStore, GlobalStoreBuilder};
pub(crate) use global::{GlobalRows, GlobalStoreSpec, PendingRows, position as global_position};
pub(crate) use global_processor::{GlobalProblem, GlobalUpdate, UpdateFunction};
pub use global_processor::{GlobalProcessor, GlobalStoreWriter};
pub use global_times::{SessionSpan, WindowStart};
pub use key_value::{KeyValueIter, KeyValueStore};
pub use kind::StoreKind;
pub(crate) use kind::open_bytes;
pub use session::{Session, SessionIter, SessionStore};
pub(crate) use spec::{OpenStore, OpenedStore, StoreSpec};
/// Byte stores, and the engines that open them: what typed stores are built on.
pub use state_store as engine;
pub use state_store::{Direction, RocksDbCompaction, RocksDbOptions, RocksDbStoreOptions};
pub(crate) use task::{Changelog, RestoredRow, TaskStore};
pub use versioned::{Validity, VersionedKeyValueStore};
pub use window::{WindowIter, WindowStore};

use crate::error::ProcessCause;

/// A value and the event time it is valid from (Kafka's `ValueAndTimestamp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueAndTimestamp<V> {
    /// The value.
    pub value: V,
    /// Event time, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Result of a typed store operation.
pub type StoreResult<T> = Result<T, ProcessCause>;
