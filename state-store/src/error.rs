//! The one error type of this crate.
//!
//! Apart, because its text is what an operator reads at night: every variant about a directory names the path and says
//! what to do. Whoever meets one of these has changed and deleted nothing.

use std::fmt;
use std::path::PathBuf;

/// The result of every operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or another store of this process, has the directory open.
    #[error(
        "the store directory {} is in use by another process or another open store: stop that one first, or give this \
         application its own state directory",
        path.display()
    )]
    Locked {
        /// The directory of the store.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The directory holds the store of another application, task or name.
    #[error(
        "the store directory {} belongs to {found}, but {expected} was to be opened: correct the application id or the \
         state directory, or delete this directory if its owner is gone",
        path.display()
    )]
    IdentityMismatch {
        /// The directory of the store.
        path: PathBuf,
        /// The store that was to be opened.
        expected: String,
        /// The store that is in the directory.
        found: String,
    },

    /// The directory was written by a later version of this crate.
    #[error(
        "the store directory {} has format {found} and this version reads up to {supported}: upgrade the application, or \
         delete the directory to have the store restored from its changelog",
        path.display()
    )]
    NewerFormat {
        /// The directory of the store.
        path: PathBuf,
        /// The format in the directory.
        found: u32,
        /// The newest format that this version knows.
        supported: u32,
    },

    /// The rows in the directory are laid out in another way (plain or segmented, segment interval, key schema).
    #[error(
        "the store directory {} is laid out as {found}, but {expected} was asked for: undo the change of store type, \
         retention or segment interval, or delete the directory to have the store restored from its changelog",
        path.display()
    )]
    LayoutMismatch {
        /// The directory of the store.
        path: PathBuf,
        /// The layout that was asked for.
        expected: String,
        /// The layout in the directory.
        found: String,
    },

    /// A file of the store is missing, cut short or damaged.
    #[error(
        "the store directory {} is damaged ({detail}): check the disk, then delete the directory to have the store \
         restored from its changelog",
        path.display()
    )]
    Corrupt {
        /// The directory of the store.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },

    /// The directory holds a database that is not a state store.
    #[error(
        "the directory {} holds a database that is not a state store: choose another state directory",
        path.display()
    )]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },

    /// The directory could not be read or created.
    #[error("the store directory {} cannot be used: check that it exists, its permissions and its disk", path.display())]
    Directory {
        /// The directory of the store.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },

    /// A persistent engine was given no directory.
    #[error("store {store} is persistent and was given no directory: pass one, or use the memory engine")]
    DirectoryRequired {
        /// The name of the store.
        store: String,
    },

    /// A [`StoreSpec`](crate::StoreSpec) that makes no sense.
    #[error("store {store} cannot be opened: {reason}")]
    InvalidSpec {
        /// The name of the store.
        store: String,
        /// What is wrong and what would be right.
        reason: String,
    },

    /// A row key from which a segmented store can take no timestamp. Nothing of the batch was written.
    #[error(
        "a key of {key_length} bytes is too short for the {schema} rows of segmented store {store}: build its keys with \
         state_store::key_schema"
    )]
    MalformedKey {
        /// The name of the store.
        store: String,
        /// Which kind of key it should have been.
        schema: &'static str,
        /// The length of the key.
        key_length: usize,
    },

    /// The engine failed while reading or writing: mostly the disk is full or failing.
    #[error("store {store} failed to {operation}: check the space and health of its disk")]
    Engine {
        /// The name of the store, and its directory.
        store: String,
        /// What was being done.
        operation: &'static str,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// For engines: wraps the error of the storage library.
    pub fn engine(
        store: impl fmt::Display,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Engine {
            store: store.to_string(),
            operation,
            source: source.into(),
        }
    }
}
