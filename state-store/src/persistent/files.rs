//! What the files in a store's directory tell before anything is opened.
//!
//! RocksDB forgives more than a state store may: it starts over where its `CURRENT` file is missing, and takes a manifest
//! that was cut short for an earlier state. These checks read names and lengths only, and never write.

use std::path::Path;
use std::{fs, io};

use crate::{Error, Result, metadata};

/// What the names of the files in a directory say.
#[derive(Debug, Default)]
pub(super) struct Files {
    has_current: bool,
    pub(super) has_table: bool,
    has_log: bool,
    /// An options file, which RocksDB keeps for people to read, lists the column family of the metadata.
    pub(super) had_metadata: bool,
}

impl Files {
    pub(super) fn in_directory(path: &Path) -> Result<Self> {
        let unusable = |source| Error::Directory {
            path: path.into(),
            source,
        };
        let mut files = Self::default();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(unusable(error)),
        };
        let metadata_section = format!("[CFOptions \"{}\"]", metadata::COLUMN_FAMILY);
        for entry in entries {
            let entry = entry.map_err(unusable)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            files.has_current |= name == "CURRENT";
            files.has_table |= name.ends_with(".sst");
            files.has_log |= name.ends_with(".log");
            files.had_metadata |= name.starts_with("OPTIONS-")
                && fs::read_to_string(entry.path()).is_ok_and(|options| options.contains(&metadata_section));
        }
        Ok(files)
    }

    /// Whether there is a database. One without its `CURRENT` file but with data is damaged: RocksDB would take it for
    /// an empty directory and start over.
    pub(super) fn is_database(&self, path: &Path) -> Result<bool> {
        if !self.has_current && (self.has_table || self.has_log) {
            return Err(Error::Corrupt {
                path: path.into(),
                detail: "its file CURRENT is missing".into(),
            });
        }
        Ok(self.has_current)
    }
}

/// The number and the length of the current manifest.
pub(super) fn manifest(path: &Path) -> io::Result<(u64, u64)> {
    let current = fs::read_to_string(path.join("CURRENT"))?;
    let name = current.trim_end();
    let number = name
        .strip_prefix("MANIFEST-")
        .and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| io::Error::other("the file CURRENT names no manifest"))?;
    Ok((number, fs::metadata(path.join(name))?.len()))
}
