//! One connection: requests in, responses out ([`super::responses`]), in the same order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, ProduceResponse, RequestHeader};
use kafka_protocol::protocol::{Decodable, HeaderVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{FrameError, FrameReader};
use super::responses::Responses;
use super::shape::{self, ShapeError};
use super::{Shared, busy, fetch};
use crate::config::{Listener, SecurityProtocol};
use crate::group::Client;
use crate::handler::{
    Outcome, Principal, Request, RequestContext, RequestError, Response, ResponseEncodeError,
    unsupported_api_versions,
};
use crate::quota::Rate;
use crate::sasl::SaslSession;
use crate::topic::sync::SyncFailed;

/// The key of ApiVersions, the one API that is answered in versions that are not served.
const API_VERSIONS_KEY: i16 = 18;

/// A connection without requests keeps its buffer for so long.
const KEEP_BUFFER: Duration = Duration::from_secs(1);

/// Why a connection ends, but for the client closing it between two requests.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("writing a response failed: {0}")]
    Write(io::Error),
    #[error("the client closed the connection while it waited for a response")]
    Gone,
    #[error("a request has no readable header: {0}")]
    Header(String),
    #[error("{api} request of version {version} from client {client_id:?}: {source}")]
    Shape {
        api: i16,
        version: i16,
        client_id: String,
        source: ShapeError,
    },
    #[error("client {client_id:?}: {source}")]
    Request { client_id: String, source: RequestError },
    #[error(transparent)]
    Encode(#[from] ResponseEncodeError),
    #[error("no request for {0} ms (connections.max.idle.ms)")]
    Idle(u64),
    #[error("API {0} was asked for before the client authenticated, or after its time was up")]
    NotAuthenticated(i16),
    #[error("a client failed to authenticate: {0}")]
    Authentication(String),
    #[error(transparent)]
    Sync(#[from] SyncFailed),
    #[error("a Produce with acks=0 failed, which can only be told by closing the connection: error code {0}")]
    UnacknowledgedProduce(i16),
}

impl ConnectionError {
    /// Whether only the client went away: nothing to warn of.
    pub(super) fn is_disconnect(&self) -> bool {
        matches!(
            self,
            Self::Gone
                | Self::Idle(_)
                | Self::Write(_)
                | Self::Frame(FrameError::Io(_) | FrameError::Truncated)
        )
    }
}

/// A client's connection.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) listener_name: Arc<str>,
    host: String,
    pub(super) shared: Arc<Shared>,
    frames: FrameReader,
    pub(super) responses: Responses,
    /// On a listener with SASL.
    pub(super) sasl: Option<SaslSession>,
    pub(super) principal: Principal,
}

/// A request with what its header says.
struct Incoming {
    correlation_id: i32,
    version: i16,
    /// No response is expected.
    silent: bool,
    /// Length of the request.
    bytes: usize,
    context: RequestContext,
    request: Request,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        listener: Arc<Listener>,
        shared: Arc<Shared>,
    ) -> Self {
        let sasl = match listener.protocol {
            SecurityProtocol::Plaintext => None,
            SecurityProtocol::SaslPlaintext => Some(shared.broker.sasl_session(&listener.name)),
        };
        Self {
            stream,
            listener_name: listener.name.as_str().into(),
            host: format!("/{}", peer.ip()),
            shared,
            frames: FrameReader::default(),
            responses: Responses::default(),
            sasl,
            principal: Principal::anonymous(),
        }
    }

    /// Serves requests until the client goes away or does something wrong.
    pub(super) async fn run(mut self) -> Result<(), ConnectionError> {
        // Responses are whole when they are written: waiting for more would only delay them.
        self.stream.set_nodelay(true).map_err(ConnectionError::Write)?;
        let served = self.serve_all().await;
        // Who sent something wrong is told of what came before it.
        served.and(self.send_responses().await)
    }

    async fn serve_all(&mut self) -> Result<(), ConnectionError> {
        while let Some(frame) = self.next_frame().await? {
            if self.sasl.as_ref().is_some_and(SaslSession::expects_bare_token) {
                self.take_bare_token(&frame).await?;
                continue;
            }
            match self.decode(frame)? {
                Decoded::Request(incoming) => self.serve(*incoming).await?,
                Decoded::UnsupportedApiVersions(correlation_id) => {
                    let response = Response::ApiVersions(unsupported_api_versions());
                    self.respond(correlation_id, 0, &response).await?;
                }
            }
        }
        Ok(())
    }

    async fn next_frame(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        if !self.responses.may_wait() || !self.frames.holds_frame() {
            self.send_responses().await?;
        }
        let network = self.shared.network();
        let max_bytes = match &self.sasl {
            // Who is not known yet gets less room.
            Some(sasl) if sasl.principal().is_none() => network.sasl_max_receive_bytes,
            _ => network.request_max_bytes,
        };
        let max_idle_ms = u64::try_from(network.connections_max_idle_ms).ok();
        let max_idle = max_idle_ms.map_or(Duration::MAX, Duration::from_millis);
        let busy = max_idle.min(KEEP_BUFFER);
        if let Ok(frame) = timeout(busy, self.frames.next(&mut self.stream, max_bytes)).await {
            return Ok(frame?);
        }
        self.frames.release();
        let frame = self.frames.next(&mut self.stream, max_bytes);
        match timeout(max_idle - busy, frame).await {
            Ok(frame) => Ok(frame?),
            Err(_) => Err(ConnectionError::Idle(max_idle_ms.unwrap_or(u64::MAX))),
        }
    }

    fn decode(&self, mut frame: Bytes) -> Result<Decoded, ConnectionError> {
        let unreadable = |reason: &str| ConnectionError::Header(reason.to_owned());
        let Some(&[key_high, key_low, version_high, version_low]) = frame.first_chunk() else {
            return Err(unreadable("it is too short"));
        };
        let key = i16::from_be_bytes([key_high, key_low]);
        let version = i16::from_be_bytes([version_high, version_low]);
        let bytes = frame.len();
        let now_ms = self.shared.clock.now_ms();
        if self.sasl.as_ref().is_some_and(|sasl| !sasl.allows(key, now_ms)) {
            return Err(ConnectionError::NotAuthenticated(key));
        }
        let served = Request::header_version(key, version);
        let header_version = match served {
            Some(header_version) => header_version,
            // The header of every version of ApiVersions is understood, to say which are served.
            None if key == API_VERSIONS_KEY => ApiVersionsRequest::header_version(0),
            None => {
                return Err(ConnectionError::Request {
                    client_id: String::new(),
                    source: RequestError::Unsupported { key, version },
                });
            }
        };
        let header = RequestHeader::decode(&mut frame, header_version)
            .map_err(|error| unreadable(&error.to_string()))?;
        if served.is_none() {
            return Ok(Decoded::UnsupportedApiVersions(header.correlation_id));
        }
        let client_id = header.client_id.map(|id| id.to_string()).unwrap_or_default();
        if let Err(source) = shape::check(key, version, &frame) {
            return Err(ConnectionError::Shape {
                api: key,
                version,
                client_id,
                source,
            });
        }
        let request = match Request::decode(key, version, frame) {
            Ok(request) => request,
            Err(source) => return Err(ConnectionError::Request { client_id, source }),
        };
        Ok(Decoded::Request(Box::new(Incoming {
            correlation_id: header.correlation_id,
            version,
            bytes,
            silent: matches!(&request, Request::Produce(produce) if produce.acks == 0),
            context: RequestContext {
                version,
                client: Client {
                    id: client_id,
                    host: self.host.clone(),
                },
                principal: self.principal.clone(),
                listener: Some(self.listener_name.clone()),
            },
            request,
        })))
    }

    async fn serve(&mut self, incoming: Incoming) -> Result<(), ConnectionError> {
        let Incoming {
            correlation_id,
            version,
            silent,
            bytes,
            context,
            request,
        } = incoming;
        if !matches!(request, Request::Produce(_)) {
            // It may take its time.
            self.send_responses().await?;
        }
        let response = match request {
            Request::SaslHandshake(request) if self.sasl.is_some() => {
                return self.shake_hands(correlation_id, version, &request).await;
            }
            Request::SaslAuthenticate(request) if self.sasl.is_some() => {
                return self.authenticate(correlation_id, version, &request).await;
            }
            Request::Fetch(request) => return self.serve_fetch(correlation_id, &context, request).await,
            request => self.measured(&context, self.handle(&context, request)).await,
        };
        let (mut response, mut throttle_ms) = (response.0?, response.1);
        if self.shared.broker.config().log.group_commit && !response.tells_only() {
            self.responses.need_sync();
        }
        if matches!(response, Response::Produce(_)) {
            throttle_ms = throttle_ms.max(self.throttle_ms(&context, Rate::Produce, bytes as f64));
        }
        if let Some(told_ms) = response.throttle_ms_mut() {
            *told_ms = throttle_ms.max(*told_ms);
            throttle_ms = *told_ms;
        }
        match &response {
            Response::Produce(produced) if silent => {
                if let Some(code) = first_error(produced) {
                    return Err(ConnectionError::UnacknowledgedProduce(code));
                }
            }
            Response::Produce(_) => self.responses.push(correlation_id, version, &response)?,
            response => self.respond(correlation_id, version, response).await?,
        }
        self.mute(throttle_ms).await
    }

    async fn handle(&self, context: &RequestContext, request: Request) -> Result<Response, ConnectionError> {
        let now_ms = self.shared.clock.now_ms();
        match self.shared.broker.handle(context, request, now_ms) {
            Outcome::Ready(response) => Ok(response),
            Outcome::Parked(parked) => unless_gone(&self.stream, parked).await,
        }
    }

    async fn serve_fetch(
        &mut self,
        correlation_id: i32,
        context: &RequestContext,
        mut request: FetchRequest,
    ) -> Result<(), ConnectionError> {
        if let Some(most) = self.shared.broker.most_fetch_bytes(context) {
            request.max_bytes = request.max_bytes.min(most);
        }
        let served = fetch::serve(&self.shared, context, request);
        let served = unless_gone(&self.stream, served);
        let (answer, throttle_ms) = self.measured(context, served).await;
        let mut answer = answer?;
        answer.throttle_time_ms =
            throttle_ms.max(self.throttle_ms(context, Rate::Fetch, answer.bytes() as f64));
        self.respond_fetch(correlation_id, context.version, &answer)
            .await?;
        self.mute(answer.throttle_time_ms).await
    }

    /// A client over its quota has its response, and is not listened to for a while.
    async fn mute(&mut self, throttle_ms: i32) -> Result<(), ConnectionError> {
        if let Ok(throttle_ms @ 1..) = u64::try_from(throttle_ms) {
            self.send_responses().await?;
            tokio::time::sleep(Duration::from_millis(throttle_ms)).await;
        }
        Ok(())
    }

    /// Serves a request; answers also for how long its client must be quiet for the time that this took.
    async fn measured<T>(&self, context: &RequestContext, served: impl Future<Output = T>) -> (T, i32) {
        if !self.shared.broker.limits_requests() {
            return (served.await, 0);
        }
        let (response, spent) = busy::timed(&*self.shared.clock, served).await;
        let throttle_ms = self.throttle_ms(context, Rate::Request, busy::percent(spent));
        (response, throttle_ms)
    }

    fn throttle_ms(&self, context: &RequestContext, rate: Rate, amount: f64) -> i32 {
        let now_ms = self.shared.clock.now_ms();
        self.shared.broker.throttle_ms(context, rate, amount, now_ms)
    }
}

enum Decoded {
    Request(Box<Incoming>),
    UnsupportedApiVersions(i32),
}

/// Waits for a response, but not longer than the client does.
async fn unless_gone<T>(stream: &TcpStream, response: impl Future<Output = T>) -> Result<T, ConnectionError> {
    tokio::pin!(response);
    let mut byte = [0];
    tokio::select! {
        biased;
        response = &mut response => return Ok(response),
        peeked = stream.peek(&mut byte) => match peeked {
            Ok(0) | Err(_) => return Err(ConnectionError::Gone),
            // The next request is there already: it will be read when this one is answered.
            Ok(_) => {}
        },
    }
    Ok(response.await)
}

fn first_error(response: &ProduceResponse) -> Option<i16> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    partitions
        .map(|partition| partition.error_code)
        .find(|code| *code != 0)
}
