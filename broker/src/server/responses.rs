//! Responses on their way out of a connection. Those to Produce wait while further requests have arrived already: a client that
//! sends many small ones costs one system call for all of them, and is woken once.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{FetchResponse, ResponseHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::io::AsyncWriteExt;

use super::connection::{Connection, ConnectionError};
use super::frame::LENGTH_BYTES;
use super::send;
use crate::handler::{FetchAnswer, Response, ResponseEncodeError};

/// Responses of more bytes together do not wait for others.
const MAX_WAITING_BYTES: usize = 16 * 1024;
/// A buffer that grew beyond this is given back after use.
const MAX_KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// Encoded responses that were not sent yet, in order.
#[derive(Debug, Default)]
pub(super) struct Responses {
    buffer: BytesMut,
    /// Some tell of what must be on disk first.
    need_sync: bool,
}

impl Responses {
    /// Whether further responses can be waited for.
    pub(super) fn may_wait(&self) -> bool {
        self.buffer.len() <= MAX_WAITING_BYTES
    }

    /// The next response, and all before it, must not be sent before all that was appended is on disk: also what others appended
    /// and it relies on, as for a duplicate, or the end of a transaction.
    pub(super) fn need_sync(&mut self) {
        self.need_sync = true;
    }

    /// Adds a response behind the others; nothing of it if it cannot be encoded.
    pub(super) fn push(
        &mut self,
        correlation_id: i32,
        version: i16,
        response: &Response,
    ) -> Result<(), ResponseEncodeError> {
        let start = self.begin(correlation_id, response.header_version(version));
        if let Err(error) = response.encode(version, &mut self.buffer) {
            self.buffer.truncate(start);
            return Err(error);
        }
        self.end(start, 0);
        Ok(())
    }

    /// Adds bytes with their length in front of them, and no header.
    pub(super) fn push_bare(&mut self, bytes: &[u8]) {
        self.buffer.put_i32(bytes.len() as i32);
        self.buffer.put_slice(bytes);
    }

    fn begin(&mut self, correlation_id: i32, header_version: i16) -> usize {
        let start = self.buffer.len();
        self.buffer.put_i32(0);
        // Cannot fail: a number and no tagged fields.
        let header = ResponseHeader::default().with_correlation_id(correlation_id);
        let _ = header.encode(&mut self.buffer, header_version);
        start
    }

    /// Fills in the length of the response that began at `start`, of which `more_bytes` are not in the buffer.
    fn end(&mut self, start: usize, more_bytes: usize) {
        let length = (self.buffer.len() - start - LENGTH_BYTES + more_bytes) as i32;
        self.buffer[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    }

    fn clear(&mut self) {
        self.need_sync = false;
        if self.buffer.capacity() > MAX_KEPT_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        } else {
            self.buffer.clear();
        }
    }
}

impl Connection {
    /// Adds a response and sends all there are.
    pub(super) async fn respond(
        &mut self,
        correlation_id: i32,
        version: i16,
        response: &Response,
    ) -> Result<(), ConnectionError> {
        self.responses.push(correlation_id, version, response)?;
        self.send_responses().await
    }

    /// Sends what waits. If it cannot be made to survive a power cut and has to, none of it is sent.
    pub(super) async fn send_responses(&mut self) -> Result<(), ConnectionError> {
        if self.responses.buffer.is_empty() {
            return Ok(());
        }
        let mut sent = Ok(());
        if self.responses.need_sync {
            let barrier = self.shared.broker.topics().sync_queue().barrier();
            sent = barrier.await.map_err(ConnectionError::from);
        }
        if sent.is_ok() {
            let written = self.stream.write_all(&self.responses.buffer).await;
            sent = written.map_err(ConnectionError::Write);
        }
        self.responses.clear();
        sent
    }

    /// Sends the answer to a Fetch, behind which no response waits: its records go from their files to the socket without passing
    /// through here, unless they are few.
    pub(super) async fn respond_fetch(
        &mut self,
        correlation_id: i32,
        version: i16,
        answer: &FetchAnswer,
    ) -> Result<(), ConnectionError> {
        let start = self
            .responses
            .begin(correlation_id, FetchResponse::header_version(version));
        let slices = answer.encode(version, &mut self.responses.buffer);
        let record_bytes = slices.iter().map(|(_, slice)| slice.len()).sum();
        self.responses.end(start, record_bytes);
        let sent = send::send(&self.stream, &self.responses.buffer, &slices).await;
        self.responses.clear();
        sent.map_err(ConnectionError::Write)
    }
}
