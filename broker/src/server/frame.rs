//! Frames: a length of 4 bytes and a request behind it, cut from what a socket delivers without copying.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of the length before a request or response.
pub(super) const LENGTH_BYTES: usize = 4;
/// Room for reading when nothing is known of what comes.
const READ_BYTES: usize = 16 * 1024;
/// The same when the last read filled its room: more waits to be read.
const READ_MORE_BYTES: usize = 64 * 1024;
/// The first so many bytes of a request get room at once; more only as they really come.
const FIRST_ROOM_BYTES: usize = 2 * 1024 * 1024;

/// No further frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("reading from the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the connection ended in the middle of a request")]
    Truncated,
    #[error(
        "a request of {size} bytes is not possible: 1 to {max_bytes} are (socket.request.max.bytes). Is it a Kafka client \
         without TLS that connects?"
    )]
    Size { size: i32, max_bytes: usize },
}

/// Reads frames from one connection.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    buffer: BytesMut,
    /// The last read filled its room.
    was_full: bool,
}

impl FrameReader {
    /// Whether the next frame has arrived as a whole.
    pub(super) fn holds_frame(&self) -> bool {
        self.frame_bytes(usize::MAX)
            .is_ok_and(|frame| frame.is_some_and(|bytes| self.buffer.len() >= bytes))
    }

    /// Gives the memory for large frames back, while there is none.
    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next frame without its length; `None` if the connection ended between two.
    pub(super) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        max_bytes: usize,
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            let missing = match self.frame_bytes(max_bytes)? {
                Some(size) if self.buffer.len() >= size => {
                    let mut frame = self.buffer.split_to(size);
                    frame.advance(LENGTH_BYTES);
                    return Ok(Some(frame.freeze()));
                }
                Some(size) => (size - self.buffer.len()).min(FIRST_ROOM_BYTES.max(self.buffer.len())),
                None => 0,
            };
            let at_least = if self.was_full {
                READ_MORE_BYTES
            } else {
                READ_BYTES
            };
            self.buffer.reserve(missing.max(at_least));
            let room = self.buffer.capacity() - self.buffer.len();
            let read = stream.read_buf(&mut self.buffer).await?;
            self.was_full = read == room;
            if read == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        }
    }

    /// Bytes of the frame that begins the buffer, its length included, as soon as that is known.
    fn frame_bytes(&self, max_bytes: usize) -> Result<Option<usize>, FrameError> {
        let Some(length) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let size = i32::from_be_bytes(*length);
        match usize::try_from(size) {
            Ok(bytes) if (1..=max_bytes).contains(&bytes) => Ok(Some(LENGTH_BYTES + bytes)),
            _ => Err(FrameError::Size { size, max_bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(mut input: &[u8], max_bytes: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        while let Some(frame) = reader.next(&mut input, max_bytes).await? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[tokio::test]
    async fn frames_are_cut_wherever_the_bytes_were() {
        let input = [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9];
        assert_eq!(frames(&input, 10).await.unwrap(), [&[7, 8][..], &[9]]);
        assert!(matches!(
            frames(&input[..9], 10).await,
            Err(FrameError::Truncated)
        ));
    }

    #[tokio::test]
    async fn sizes_out_of_bounds_are_refused_before_they_are_read() {
        for size in [0, -1, 11, i32::MAX] {
            let input = size.to_be_bytes();
            assert!(
                matches!(frames(&input, 10).await, Err(FrameError::Size { .. })),
                "{size}"
            );
        }
    }
}
