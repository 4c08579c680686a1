//! What a partition log remembers beside its segments: the first offset that may be read (it moves when
//! records are deleted), the offset up to which everything is known to be synced, and the one up to which it was compacted.
//! Kafka keeps one file per data directory for each; here each partition has its own small file, so that a partition needs
//! nobody else to persist it. The last line proves the file whole; a torn one counts as missing, which
//! costs a longer recovery and nothing else.

use std::path::{Path, PathBuf};

use crate::log::error::LogError;
use crate::log::files::{self, Durability};

const FILE_NAME: &str = "log-checkpoint";

/// The three offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_start_offset: i64,
    pub(crate) recovery_point: i64,
    /// Files of version 0 do not have it: compaction then starts over, which changes nothing but the work.
    pub(crate) cleaned_to: i64,
}

impl Checkpoint {
    /// Reads the file of a partition; zeros if there is none, or a torn one.
    pub(crate) fn read(dir: &Path) -> Result<Self, LogError> {
        let content = files::read_if_present(&path(dir))?.unwrap_or_default();
        Ok(std::str::from_utf8(&content)
            .ok()
            .and_then(Self::parse)
            .unwrap_or_default())
    }

    /// Replaces the file. Deleted records stay deleted, also after a power cut: it is on disk when this returns.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), LogError> {
        files::replace(&path(dir), self.text().as_bytes(), Durability::Disk)
    }

    fn text(&self) -> String {
        format!(
            "1\n{}\n{}\n{}\nend\n",
            self.log_start_offset, self.recovery_point, self.cleaned_to
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let version = lines.next()?;
        let mut offset = || lines.next()?.parse().ok();
        let checkpoint = Self {
            log_start_offset: offset()?,
            recovery_point: offset()?,
            cleaned_to: if version == "0" { 0 } else { offset()? },
        };
        let whole = matches!(version, "0" | "1") && lines.next() == Some("end") && text.ends_with('\n');
        (checkpoint.log_start_offset >= 0 && whole).then_some(checkpoint)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}
