//! A client that sends what it is told, and writes down what comes back, without what may differ.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use regex::Regex;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Client {
    address: String,
    stream: TcpStream,
    transcript: String,
    names: HashMap<String, String>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: connected(address),
            transcript: String::new(),
            names: HashMap::new(),
        }
    }

    /// Goes on with another connection.
    pub(crate) fn reconnect(&mut self) {
        self.stream = connected(&self.address);
    }

    /// Sends a request; writes down the answer under `step`, and hands it out.
    pub(crate) fn call<R>(&mut self, step: &str, version: i16, request: R) -> R::Response
    where
        R: Request,
        R::Response: std::fmt::Debug,
    {
        let asked = std::panic::AssertUnwindSafe(|| self.ask::<R>(version, &request));
        let response = std::panic::catch_unwind(asked)
            .unwrap_or_else(|_| panic!("no answer to {step}, version {version}"));
        let text = format!("{response:?}");
        let line = self.without_what_may_differ(&text);
        writeln!(self.transcript, "{step} v{version}: {line}").unwrap();
        response
    }

    /// Writes something down that was found out under `step`.
    pub(crate) fn note(&mut self, step: &str, found: &str) {
        let line = self.without_what_may_differ(found);
        writeln!(self.transcript, "{step}: {line}").unwrap();
    }

    /// Sends a request without writing anything down.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let mut body = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(1)
            .with_client_id(Some(StrBytes::from_static_str("conformance")));
        header.encode(&mut body, R::header_version(version)).unwrap();
        request.encode(&mut body, version).unwrap();
        self.stream.write_all(&(body.len() as i32).to_be_bytes()).unwrap();
        self.stream.write_all(&body).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).unwrap();
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        R::Response::decode(&mut answer, version).unwrap()
    }

    pub(crate) fn transcript(self) -> String {
        self.transcript
    }

    fn without_what_may_differ(&mut self, text: &str) -> String {
        let text = masked(text);
        // Identifiers get names in the order in which they are met.
        let ids = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        let names = &mut self.names;
        let named = Regex::new(ids)
            .unwrap()
            .replace_all(&text, |found: &regex::Captures<'_>| {
                let next = format!("#{}", names.len());
                names.entry(found[0].to_owned()).or_insert(next).clone()
            });
        named.into_owned()
    }
}

fn connected(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The text with what may differ replaced, but for identifiers.
fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, replacement) in [
        (r"throttle_time_ms: \d+", "throttle_time_ms: _"),
        (
            r#"(error_message|batch_index_error_message): (None|Some\("(\\.|[^"\\])*"\))"#,
            "$1: _",
        ),
        (r"\b1[6-9]\d{11}\b", "TIME"),
        (r"\bproducer_id: \d+", "producer_id: _"),
        // The checksum, and the producer in a batch.
        (r#"records: Some\(b"(\\.|[^"\\])+"\)"#, "records: some"),
        (r"port: \d+", "port: _"),
        (r"\bsession_id: [1-9]\d*", "session_id: some"),
        (r#"host: "[^"]*""#, "host: _"),
        (r#"cluster_id: (Some\("[^"]*"\)|"[^"]*")"#, "cluster_id: _"),
        (r", unknown_tagged_fields: \{\}", ""),
    ] {
        text = Regex::new(pattern)
            .unwrap()
            .replace_all(&text, replacement)
            .into_owned();
    }
    text
}

#[test]
fn records_are_masked_whatever_bytes_are_in_them() {
    let records = Some(Bytes::from_static(b"a checksum with \" and \\\" in it"));
    let masked = masked(&format!("records: {records:?} }}"));
    assert_eq!(masked, "records: some }");
}
