//! What a persistent store writes about itself: format, identity, layout, changelog offset, what is expired.
//!
//! Only bytes and their meaning; reading and writing them is the engine's. They live in a column family of their own
//! ([`COLUMN_FAMILY`]), as Kafka Streams keeps its offsets, so that they go into the same batch as the data. A later
//! version may add rows without a new format; it takes a new format when an old version must not touch the data.

use std::path::Path;

use crate::{Error, KeySchema, Layout, Result, StoreIdentity, StoreSpec};

/// The format that this version writes, and the newest that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Where the rows are.
pub(crate) const COLUMN_FAMILY: &str = "offsets";

/// 4 bytes: the format version.
pub(crate) const FORMAT: &[u8] = b"format";
/// Application id, task id and store name, each as 4 bytes length and UTF-8.
pub(crate) const IDENTITY: &[u8] = b"identity";
/// One tag byte; segmented: then 8 bytes interval and one byte key schema.
pub(crate) const LAYOUT: &[u8] = b"layout";
/// 8 bytes: the next changelog offset to be restored. Absent until one is written.
pub(crate) const CHANGELOG_OFFSET: &[u8] = b"changelog.offset";
/// 8 bytes: the first segment that is not expired. Absent until something was expired by request.
pub(crate) const FIRST_SEGMENT: &[u8] = b"first.segment";

/// 8 bytes number and 8 bytes length: how far RocksDB's manifest had come when the batch with this row was written.
///
/// A manifest that lost its end opens without complaint, as the store of an earlier day with the log of today. With this
/// row, and with all column families written to files together, it is noticed: unless it ends between the parts of what an open
/// recovered, and all that was written since is in files, this row among it.
pub(crate) const MANIFEST: &[u8] = b"manifest";

const PLAIN: u8 = 0;
const SEGMENTED: u8 = 1;
const WINDOW: u8 = 0;
const SESSION: u8 = 1;

/// The rows of a new store.
pub(crate) fn rows(spec: &StoreSpec, format: u32) -> [(&'static [u8], Vec<u8>); 3] {
    [
        (FORMAT, format.to_be_bytes().to_vec()),
        (IDENTITY, encode_identity(&spec.identity)),
        (LAYOUT, encode_layout(spec.layout)),
    ]
}

/// Compares what a directory says about itself with what was to be opened. Format first: the rest depends on it.
pub(crate) fn check(
    path: &Path,
    spec: &StoreSpec,
    read: impl Fn(&'static [u8]) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    let row = |name: &'static [u8]| read(name)?.ok_or_else(|| damaged(path, name, "is missing"));
    let format = row(FORMAT)?;
    let Ok(format) = format.as_slice().try_into().map(u32::from_be_bytes) else {
        return Err(damaged(path, FORMAT, "is not 4 bytes"));
    };
    if format > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            path: path.into(),
            found: format,
            supported: FORMAT_VERSION,
        });
    }
    let found = decode_identity(&row(IDENTITY)?).ok_or_else(|| damaged(path, IDENTITY, "is unreadable"))?;
    if found != spec.identity {
        return Err(Error::IdentityMismatch {
            path: path.into(),
            expected: spec.identity.to_string(),
            found: found.to_string(),
        });
    }
    let layout = row(LAYOUT)?;
    if layout != encode_layout(spec.layout) {
        let found = describe_layout(&layout).ok_or_else(|| damaged(path, LAYOUT, "is unreadable"))?;
        let expected = describe_layout(&encode_layout(spec.layout)).expect("an encoded layout decodes");
        return Err(Error::LayoutMismatch {
            path: path.into(),
            expected,
            found,
        });
    }
    Ok(())
}

/// The row for a manifest of this number and length.
pub(crate) fn encode_manifest((number, length): (u64, u64)) -> [u8; 16] {
    (u128::from(number) << 64 | u128::from(length)).to_be_bytes()
}

/// Checks that the manifest in the directory has come as far as the store says.
pub(crate) fn check_manifest(path: &Path, row: &[u8], found: (u64, u64)) -> Result<()> {
    let row = row
        .try_into()
        .map_err(|_| damaged(path, MANIFEST, "is not 16 bytes"))?;
    if encode_manifest(found) < row {
        return Err(Error::Corrupt {
            path: path.into(),
            detail: "its MANIFEST file is cut short".into(),
        });
    }
    Ok(())
}

/// Reads an 8-byte row.
pub(crate) fn decode_i64(path: &Path, name: &'static [u8], row: &[u8]) -> Result<i64> {
    row.try_into()
        .map(i64::from_be_bytes)
        .map_err(|_| damaged(path, name, "is not 8 bytes"))
}

fn damaged(path: &Path, row: &[u8], what: &str) -> Error {
    Error::Corrupt {
        path: path.into(),
        detail: format!("its {} row {what}", String::from_utf8_lossy(row)),
    }
}

fn encode_identity(identity: &StoreIdentity) -> Vec<u8> {
    let mut row = Vec::new();
    for part in [&identity.application_id, &identity.task_id, &identity.store_name] {
        let length = u32::try_from(part.len()).expect("names are shorter than 4 GiB");
        row.extend_from_slice(&length.to_be_bytes());
        row.extend_from_slice(part.as_bytes());
    }
    row
}

fn decode_identity(mut row: &[u8]) -> Option<StoreIdentity> {
    let mut next = || {
        let (length, rest) = row.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        row = rest;
        String::from_utf8(part.to_vec()).ok()
    };
    Some(StoreIdentity {
        application_id: next()?,
        task_id: next()?,
        store_name: next()?,
    })
}

/// The retention is left out: it may change as long as the interval stays.
fn encode_layout(layout: Layout) -> Vec<u8> {
    match layout {
        Layout::Plain => vec![PLAIN],
        Layout::Segmented {
            segment_interval_ms,
            schema,
            ..
        } => {
            let mut row = vec![SEGMENTED];
            row.extend_from_slice(&segment_interval_ms.to_be_bytes());
            row.push(match schema {
                KeySchema::Window => WINDOW,
                KeySchema::Session => SESSION,
            });
            row
        }
    }
}

fn describe_layout(row: &[u8]) -> Option<String> {
    match row {
        [PLAIN] => Some("plain".into()),
        [SEGMENTED, interval @ .., schema] => {
            let interval_ms = i64::from_be_bytes(interval.try_into().ok()?);
            let rows = match *schema {
                WINDOW => "window",
                SESSION => "session",
                _ => return None,
            };
            Some(format!("{rows} rows in segments of {interval_ms} ms"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_rows_are_errors_that_name_the_row() {
        let spec = StoreSpec::new(StoreIdentity::new("app", "0_0", "counts"), Layout::Plain);
        for (name, _) in rows(&spec, FORMAT_VERSION) {
            for damage in [None, Some(vec![9; 3])] {
                let error = check(Path::new("/state/counts"), &spec, |row| {
                    let row_of = |(key, value)| (key == row).then_some(value);
                    let intact = rows(&spec, FORMAT_VERSION).into_iter().find_map(row_of);
                    Ok(if row == name { damage.clone() } else { intact })
                });
                let text = error.expect_err("the row is damaged").to_string();
                assert!(text.contains("/state/counts"), "{text}");
                assert!(text.contains(std::str::from_utf8(name).unwrap()), "{text}");
            }
        }
    }
}
