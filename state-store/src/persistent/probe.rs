//! What a directory is looked at for before it is opened for writing: whether there is a store, and whether it is the one that
//! is wanted.

use std::path::Path;

use super::errors::open_error;
use super::files::{Files, manifest};
use super::{Database, RocksDbEngine};
use crate::{Error, Result, StoreSpec, metadata};

/// How often a probe is tried: the files of a store that is open elsewhere can change under it.
const PROBE_ATTEMPTS: u32 = 3;

/// What a probe saw.
pub(super) struct Found {
    /// The column families that must be opened; none if there is no database.
    pub(super) families: Vec<String>,
    /// Whether the database says what it is.
    pub(super) signed: bool,
}

impl RocksDbEngine {
    /// Looks at a directory without writing to it, and checks that the store there is the one that is wanted.
    pub(super) fn probe(&self, spec: &StoreSpec, path: &Path) -> Result<Found> {
        if !Files::in_directory(path)?.is_database(path)? {
            return Ok(Found {
                families: Vec::new(),
                signed: false,
            });
        }
        let mut attempt = 1;
        loop {
            match self.probe_once(spec, path) {
                Err(Error::Corrupt { .. }) if attempt < PROBE_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn probe_once(&self, spec: &StoreSpec, path: &Path) -> Result<Found> {
        let options = self.database_options(&self.options_of_all());
        let failed = |error| open_error(path, error);
        let families = Database::list_cf(&options, path).map_err(failed)?;
        let has_metadata = families.iter().any(|name| name == metadata::COLUMN_FAMILY);
        let wanted = [rocksdb::DEFAULT_COLUMN_FAMILY_NAME, metadata::COLUMN_FAMILY];
        let wanted = &wanted[..if has_metadata { 2 } else { 1 }];
        let database = Database::open_cf_for_read_only(&options, path, wanted, false).map_err(failed)?;
        let read = |row: &'static [u8]| match database.cf_handle(metadata::COLUMN_FAMILY) {
            Some(family) => database.get_cf(&family, row).map_err(failed),
            None => Ok(None),
        };
        let files = Files::in_directory(path)?;
        if !has_metadata && files.had_metadata {
            let detail = "its MANIFEST file has forgotten the metadata".into();
            return Err(Error::Corrupt {
                path: path.into(),
                detail,
            });
        }
        if read(metadata::FORMAT)?.is_none() && database.latest_sequence_number() == 0 && !files.has_table {
            // Made, but its maker ended before it could sign: nobody has written to it.
            return Ok(Found {
                families,
                signed: false,
            });
        }
        if !has_metadata {
            return Err(Error::NotAStore { path: path.into() });
        }
        metadata::check(path, spec, read)?;
        if let Some(row) = read(metadata::MANIFEST)? {
            let manifest = manifest(path).map_err(|source| Error::Directory {
                path: path.into(),
                source,
            })?;
            metadata::check_manifest(path, &row, manifest)?;
        }
        Ok(Found {
            families,
            signed: true,
        })
    }
}
