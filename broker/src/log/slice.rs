//! A piece of a segment file: what a read found, before anybody has read it. Whoever holds one needs no lock: the bytes it
//! stands for never change, and the file stays open even if the segment is deleted or compacted meanwhile.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::error::LogError;

/// Whole record batches, one behind the other, in a file.
#[derive(Debug, Clone)]
pub struct LogSlice {
    pub(in crate::log) file: Arc<File>,
    pub(in crate::log) path: Arc<PathBuf>,
    pub(in crate::log) position: u64,
    pub(in crate::log) length: usize,
}

impl LogSlice {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none; never so for a slice that a read returned.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn read(&self) -> Result<Bytes, LogError> {
        let mut bytes = vec![0; self.length];
        self.read_at(0, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Fills `target` with those from `start` on, of which there must be as many.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn read_at(&self, start: usize, target: &mut [u8]) -> Result<(), LogError> {
        self.file
            .read_exact_at(target, self.position + start as u64)
            .map_err(LogError::io("read", &self.path))
    }
}
