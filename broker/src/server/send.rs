//! Sending a response whose records are still in files: they are read into a buffer that all connections of a thread share, piece
//! by piece as the socket takes them. This takes the processor less than sendfile does, which handles each page by itself.

use std::cell::RefCell;
use std::io;

use tokio::net::TcpStream;

use crate::log::LogSlice;

/// Most bytes that are read and sent at once: others on this thread get their turn in between.
const MAX_PIECE_BYTES: usize = 1024 * 1024;
/// A socket that takes less than it was given gets at least so much the next time.
const MIN_PIECE_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sends `response` with each slice at its place.
pub(super) async fn send(
    stream: &TcpStream,
    response: &[u8],
    slices: &[(usize, &LogSlice)],
) -> io::Result<()> {
    let outgoing = Outgoing { response, slices };
    let (mut sent, end) = (0, outgoing.len());
    let mut most = MAX_PIECE_BYTES;
    while sent < end {
        stream.writable().await?;
        let piece = (end - sent).min(most);
        let taken = BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(buffer.len().max(piece), 0);
            outgoing.read_at(sent, &mut buffer[..piece])?;
            stream.try_write(&buffer[..piece])
        });
        match taken {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                sent += taken;
                // What it does not take is read again.
                most = if taken < piece { taken } else { most * 2 };
                most = most.clamp(MIN_PIECE_BYTES, MAX_PIECE_BYTES);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => most = MIN_PIECE_BYTES,
            Err(error) => return Err(error),
        }
        // A socket that takes everything never waits: let the others of this thread run too.
        tokio::task::consume_budget().await;
    }
    Ok(())
}

/// A response, and the slices that belong in front of some of its bytes.
struct Outgoing<'a> {
    response: &'a [u8],
    slices: &'a [(usize, &'a LogSlice)],
}

enum Part<'a> {
    Bytes(&'a [u8]),
    Records(&'a LogSlice),
}

impl<'a> Outgoing<'a> {
    fn len(&self) -> usize {
        self.response.len() + self.slices.iter().map(|(_, slice)| slice.len()).sum::<usize>()
    }

    fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        let starts = [0].into_iter().chain(self.slices.iter().map(|(at, _)| *at));
        let ends = self.slices.iter().map(|(at, _)| *at).chain([self.response.len()]);
        let records = self
            .slices
            .iter()
            .map(|(_, slice)| Some(Part::Records(slice)))
            .chain([None]);
        let pieces = starts
            .zip(ends)
            .map(|(start, end)| Part::Bytes(&self.response[start..end]));
        pieces
            .zip(records)
            .flat_map(|(bytes, records)| [Some(bytes), records])
            .flatten()
    }

    /// Fills `target` with the bytes from `position` on, of which there are as many.
    fn read_at(&self, mut position: usize, mut target: &mut [u8]) -> io::Result<()> {
        for part in self.parts() {
            let length = part.len();
            if position >= length {
                position -= length;
                continue;
            }
            let count = (length - position).min(target.len());
            let (now, rest) = target.split_at_mut(count);
            part.read_at(position, now)?;
            if rest.is_empty() {
                break;
            }
            (position, target) = (0, rest);
        }
        Ok(())
    }
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Records(slice) => slice.len(),
        }
    }

    fn read_at(&self, position: usize, target: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => target.copy_from_slice(&bytes[position..position + target.len()]),
            Self::Records(slice) => slice.read_at(position, target).map_err(io::Error::other)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{AppendOptions, BatchBuilder, Isolation, LogConfig, PartitionLog, ProducerStamp};

    #[test]
    fn any_piece_of_a_response_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = PartitionLog::open(dir.path(), "sent", 0, LogConfig::default(), false, 0).unwrap();
        for value in ["first", "second"] {
            let mut batch = BatchBuilder::new();
            batch.append(0, None, Some(value.as_bytes()), &[]).unwrap();
            let batch = batch.finish(ProducerStamp::NONE).unwrap();
            log.append(batch, AppendOptions::CLIENT, 0).unwrap();
        }
        let find = |offset| {
            let found = log.find(offset, 1, Isolation::ReadUncommitted, true).unwrap();
            found.records.unwrap()
        };
        let (first, second) = (find(0), find(1));
        let response = b"response";
        // Two at the same place, and one at the end.
        let slices = [(3, &second), (3, &first), (8, &second)];
        let outgoing = Outgoing {
            response,
            slices: &slices,
        };
        let [first, second] = [&first, &second].map(|slice| slice.read().unwrap());
        let whole = [b"res", &second[..], &first[..], b"ponse", &second[..]].concat();
        assert_eq!(outgoing.len(), whole.len());
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                let mut piece = vec![0; to - from];
                outgoing.read_at(from, &mut piece).unwrap();
                assert_eq!(piece, whole[from..to], "{from} to {to}");
            }
        }
    }
}
