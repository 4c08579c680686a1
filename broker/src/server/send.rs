//! Sending a response whose records are still in files: small ones are read into the response, large ones go from the page
//! cache to the socket (sendfile), without a copy in this process.

use std::io;

use bytes::{BufMut, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::log::LogSlice;

/// Up to here one more copy costs less than one more system call.
const COPY_BYTES: usize = 32 * 1024;
/// Most bytes of one sendfile: others on this thread get their turn in between.
const SENDFILE_BYTES: usize = 1024 * 1024;

/// Sends `response` with each slice at its place.
pub(super) async fn send(
    stream: &TcpStream,
    response: &[u8],
    slices: &[(usize, &LogSlice)],
) -> io::Result<()> {
    let mut stream_writer = StreamWriter { stream };
    let mut pending = BytesMut::new();
    let mut done = 0;
    for (at, slice) in slices {
        pending.put_slice(&response[done..*at]);
        done = *at;
        if slice.len() <= COPY_BYTES {
            let start = pending.len();
            pending.resize(start + slice.len(), 0);
            slice.read_into(&mut pending[start..]).map_err(io::Error::other)?;
            continue;
        }
        stream_writer.write_all(&pending).await?;
        pending.clear();
        stream_writer.send_file(slice).await?;
    }
    if pending.is_empty() {
        stream_writer.write_all(&response[done..]).await
    } else {
        pending.put_slice(&response[done..]);
        stream_writer.write_all(&pending).await
    }
}

struct StreamWriter<'a> {
    stream: &'a TcpStream,
}

impl StreamWriter<'_> {
    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn send_file(&mut self, slice: &LogSlice) -> io::Result<()> {
        let mut position = slice.position();
        let end = position + slice.len() as u64;
        while position < end {
            let count = ((end - position) as usize).min(SENDFILE_BYTES);
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    Ok(rustix::fs::sendfile(
                        self.stream,
                        slice.file(),
                        Some(&mut position),
                        count,
                    )?)
                })
                .await?;
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // A socket that takes everything never waits: let the others of this thread run too.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }
}
