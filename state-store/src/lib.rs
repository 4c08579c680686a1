//! Ordered byte stores for stream state: in memory and RocksDB.
//!
//! Bytes in, bytes out. This crate knows no topics, serdes or topologies: typed views, caching, changelog capture and
//! restoring stand on top of it, in `streams-core`.
//!
//! ```text
//!   WindowStore              rows by key and window start         window.rs, key_schema.rs
//!       |
//!   dyn KeyValueStore        get, range, write(WriteBatch)        store.rs, batch.rs
//!       |                    one batch = rows + changelog offset, whole or not at all
//!   routing                  plain: one part;                     segments.rs
//!       |                    segmented: one part per span of time, dropped whole when its time is over
//!   engine                   ordered memory   memory.rs, ordered.rs
//!                            RocksDB          persistent/, metadata.rs (what is written about the store itself)
//! ```
//!
//! Read `store.rs` first, then `engine.rs` (how a store is opened), then one engine. `conformance.rs` says what every
//! engine must do, as tests.
//!
//! Session and versioned stores belong here too, as siblings of `window.rs`: helpers over [`KeyValueStore`] with their
//! own row keys in `key_schema.rs` (the session layout is there already, since segments need its timestamp).
//!
//! ```
//! use state_store::{KeyValueStore, Layout, MemoryEngine, StoreEngine, StoreIdentity, StoreSpec, WriteBatch};
//!
//! # fn main() -> state_store::Result<()> {
//! let identity = StoreIdentity::new("word-count", "0_3", "counts");
//! let store = MemoryEngine.open(&StoreSpec::new(identity, Layout::Plain), None)?;
//!
//! let mut batch = WriteBatch::new();
//! batch.put(b"hello", b"1");
//! batch.put(b"help", b"2");
//! batch.delete(b"hello");
//! batch.set_changelog_offset(17);
//! store.write(&batch)?;
//!
//! let rows: Vec<_> = store.prefix(b"hel")?.collect::<Result<_, _>>()?;
//! assert_eq!(rows, [("help".into(), "2".into())]);
//! assert_eq!(store.changelog_offset()?, Some(17));
//! # Ok(())
//! # }
//! ```

mod batch;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod engine;
mod error;
pub mod key_schema;
mod memory;
#[cfg(feature = "rocksdb")]
mod metadata;
mod ordered;
#[cfg(feature = "rocksdb")]
mod persistent;
mod segments;
mod store;
mod window;

pub use batch::WriteBatch;
pub use engine::{Layout, MIN_SEGMENT_INTERVAL_MS, StoreEngine, StoreIdentity, StoreSpec};
pub use error::{Error, Result};
pub use key_schema::KeySchema;
pub use memory::MemoryEngine;
#[cfg(feature = "rocksdb")]
pub use persistent::{RocksDbCompaction, RocksDbEngine, RocksDbOptions, RocksDbStoreOptions};
pub use store::{Direction, KeyValueIter, KeyValueStore};
pub use window::{WindowIter, WindowRow, WindowStore};
