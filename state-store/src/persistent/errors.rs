//! What RocksDB says went wrong, in this crate's errors.

use std::io;
use std::path::Path;

use rocksdb::ErrorKind;

use crate::Error;

pub(super) fn open_error(path: &Path, error: rocksdb::Error) -> Error {
    let text: &str = error.as_ref();
    // RocksDB has no code for these; another process and this one are told in different words.
    if text.contains("While lock file") || text.contains("lock hold by current process") {
        return Error::Locked {
            path: path.into(),
            source: error.into(),
        };
    }
    let missing_file = text.contains("No such file or directory");
    match error.kind() {
        ErrorKind::IOError if !missing_file => Error::Directory {
            path: path.into(),
            source: io::Error::other(error),
        },
        ErrorKind::NotSupported => Error::engine(path.display(), "open", error),
        _ => Error::Corrupt {
            path: path.into(),
            detail: error.into_string(),
        },
    }
}

pub(super) fn read_error(name: &str, path: &Path, operation: &'static str, error: rocksdb::Error) -> Error {
    match error.kind() {
        ErrorKind::Corruption => Error::Corrupt {
            path: path.into(),
            detail: error.into_string(),
        },
        _ => Error::engine(format_args!("{name} in {}", path.display()), operation, error),
    }
}
