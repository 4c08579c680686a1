//! The few things the log does with files beyond reading and writing at a position, in one place: names,
//! atomic replacement, syncing a folder. A simulated disk would come in here and in `segment.rs`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::log::error::LogError;

/// The file of a segment or snapshot: its base offset in 20 digits, then the kind.
pub(crate) fn offset_file(dir: &Path, offset: i64, extension: &str) -> PathBuf {
    dir.join(format!("{offset:020}.{extension}"))
}

/// The offset that names a file of this kind; `None` for any other file.
pub(crate) fn file_offset(path: &Path, extension: &str) -> Option<i64> {
    if path.extension()?.to_str()? != extension {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    (stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit())).then(|| stem.parse().ok())?
}

/// The offsets of all files of this kind in a folder, ascending.
pub(crate) fn list_offsets(dir: &Path, extension: &str) -> Result<Vec<i64>, LogError> {
    let mut offsets = Vec::new();
    for entry in fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let path = entry.map_err(LogError::io("list", dir))?.path();
        offsets.extend(file_offset(&path, extension));
    }
    offsets.sort_unstable();
    Ok(offsets)
}

/// Whether what is replaced must survive a power cut at once, or only the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Synced before and after the rename.
    Disk,
    /// Left to the page cache; a reader must recognise a torn file.
    Process,
}

/// Replaces a file as a whole: a reader sees the old content or the new, never a mixture.
pub(crate) fn replace(path: &Path, content: &[u8], durability: Durability) -> Result<(), LogError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(LogError::io("create", &temporary))?;
    file.write_all(content)
        .map_err(LogError::io("write", &temporary))?;
    if durability == Durability::Disk {
        sync_data(&file).map_err(LogError::io("sync", &temporary))?;
    }
    fs::rename(&temporary, path).map_err(LogError::io("rename to", path))?;
    match path.parent() {
        Some(dir) if durability == Durability::Disk => sync_dir(dir),
        _ => Ok(()),
    }
}

/// Makes what is in a file survive a power cut.
pub(crate) fn sync_data(file: &File) -> std::io::Result<()> {
    #[cfg(test)]
    let length = file.metadata()?.len();
    file.sync_data()?;
    #[cfg(test)]
    synced::note(file, length)?;
    Ok(())
}

/// Makes what is in the file of this name survive a power cut; none being there is fine.
pub(crate) fn sync_if_present(path: &Path) -> Result<(), LogError> {
    match File::open(path).and_then(|file| sync_data(&file)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogError::io("sync", path)(error)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(LogError::io("sync", dir))
}

/// Reads a file; `None` if there is none.
pub(crate) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("read", path)(error)),
    }
}

/// Deletes a file; none being there is fine.
pub(crate) fn remove_if_present(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

/// What tests know of syncs: how much of each file is certain to be on disk.
#[cfg(test)]
pub(crate) mod synced {
    use std::collections::HashMap;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::sync::{LazyLock, Mutex};

    static LENGTHS: LazyLock<Mutex<HashMap<u64, u64>>> = LazyLock::new(Mutex::default);

    pub(super) fn note(file: &File, length: u64) -> std::io::Result<()> {
        let inode = file.metadata()?.ino();
        LENGTHS.lock().unwrap().insert(inode, length);
        Ok(())
    }

    /// Synced length of each file, by inode.
    pub(crate) fn lengths() -> HashMap<u64, u64> {
        LENGTHS.lock().unwrap().clone()
    }
}
