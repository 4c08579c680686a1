//! Producer ids: numbers that are never given out twice, not even across crashes.
//!
//! Ids are taken from blocks (`AllocateProducerIds` of Kafka: 1000 at a time). A block is reserved on disk before its first
//! id is given out, so a crash loses at most the rest of a block and never repeats an id. Where blocks are kept is behind
//! a small seam, because the coordinator does no IO of its own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use kafka_protocol::ResponseError;

/// Ids in one block.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

const FILE_NAME: &str = "producer-id-block";
const FILE_VERSION: &str = "0";

/// Reserves blocks of producer ids, durably.
pub trait ProducerIdBlocks: Send {
    /// The next block. Once returned, no later call and no later process may return an id of it again.
    ///
    /// # Errors
    /// The reservation could not be made durable; nothing is reserved.
    fn next_block(&mut self) -> io::Result<Range<i64>>;
}

/// Blocks reserved in a small file of the data directory, replaced atomically.
#[derive(Debug)]
pub struct FileProducerIdBlocks {
    path: PathBuf,
    next: i64,
}

impl FileProducerIdBlocks {
    /// Opens the reservation file in `data_dir`; a directory without one starts at producer id 0.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold what this broker wrote.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE_NAME);
        let next = match fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "{} should hold `{FILE_VERSION} <next producer id>` but holds {text:?}; restore it from a backup, or write a \
                         number there that is above every producer id ever used",
                        path.display()
                    ),
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path, next })
    }
}

fn parse(text: &str) -> Option<i64> {
    let (version, next) = text.trim_end().split_once(' ')?;
    (version == FILE_VERSION)
        .then(|| next.parse().ok())
        .flatten()
        .filter(|next| *next >= 0)
}

impl ProducerIdBlocks for FileProducerIdBlocks {
    fn next_block(&mut self) -> io::Result<Range<i64>> {
        let end = self
            .next
            .checked_add(PRODUCER_ID_BLOCK)
            .ok_or_else(|| io::Error::other("producer ids are used up"))?;
        let temporary = self.path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{FILE_VERSION} {end}")?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        let block = self.next..end;
        self.next = end;
        Ok(block)
    }
}

/// Gives out one id after the other and asks for a block when it runs out.
pub(crate) struct ProducerIds {
    blocks: Box<dyn ProducerIdBlocks>,
    block: Range<i64>,
}

impl std::fmt::Debug for ProducerIds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ProducerIds")
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

impl ProducerIds {
    pub(crate) fn new(blocks: Box<dyn ProducerIdBlocks>) -> Self {
        Self { blocks, block: 0..0 }
    }

    /// An id that nobody had before. Fails as Kafka does while its controller cannot be reached: clients try again.
    pub(crate) fn next(&mut self) -> Result<i64, ResponseError> {
        if self.block.is_empty() {
            self.block = self.blocks.next_block().map_err(|error| {
                tracing::error!(%error, "a block of producer ids could not be reserved; check the data directory");
                ResponseError::CoordinatorNotAvailable
            })?;
        }
        self.block.next().ok_or(ResponseError::CoordinatorNotAvailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_given_out_again_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let blocks = FileProducerIdBlocks::open(directory.path()).unwrap();
            let mut ids = ProducerIds::new(Box::new(blocks));
            seen.extend((0..PRODUCER_ID_BLOCK + 1).map(|_| ids.next().unwrap()));
        }
        let given = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), given);
    }

    #[test]
    fn a_damaged_reservation_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "0 12x").unwrap();
        let error = FileProducerIdBlocks::open(directory.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("holds \"0 12x\""), "{error}");
    }
}
