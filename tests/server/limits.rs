//! Limits on connections and on the time that requests take, as clients meet them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, ApiVersionsRequest, MetadataRequest, ProduceRequest, RequestHeader,
    ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);
/// As long as nothing is expected to come.
const A_WHILE: Duration = Duration::from_millis(300);

struct Client(TcpStream);

impl Client {
    fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address()).unwrap())
    }

    fn send<R: Request>(&mut self, version: i16, request: &R) {
        let mut body = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_client_id(Some(StrBytes::from_static_str("busy")));
        header.encode(&mut body, R::header_version(version)).unwrap();
        request.encode(&mut body, version).unwrap();
        self.0.write_all(&(body.len() as i32).to_be_bytes()).unwrap();
        self.0.write_all(&body).unwrap();
    }

    /// None if the connection is closed, or nothing comes within `patience`.
    fn receive<R: Request>(&mut self, version: i16, patience: Duration) -> Option<R::Response> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).ok()?;
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        Some(R::Response::decode(&mut answer, version).unwrap())
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        self.send(version, request);
        self.receive::<R>(version, PATIENCE)
    }

    fn is_served(&mut self) -> bool {
        self.ask(0, &ApiVersionsRequest::default()).is_some()
    }
}

#[test]
fn who_finds_no_place_waits_for_one() {
    let server = Server::start_own(&["max.connections=2"]);
    let (mut first, mut second) = (Client::connect(&server), Client::connect(&server));
    assert!(first.is_served() && second.is_served());
    let mut third = Client::connect(&server);
    third.send(0, &ApiVersionsRequest::default());
    assert!(third.receive::<ApiVersionsRequest>(0, A_WHILE).is_none());
    drop(first);
    assert!(third.receive::<ApiVersionsRequest>(0, PATIENCE).is_some());
}

#[test]
fn an_address_with_too_many_connections_is_sent_away() {
    let server = Server::start_own(&["max.connections.per.ip.overrides=127.0.0.1:1,10.0.0.1:9"]);
    let mut first = Client::connect(&server);
    assert!(first.is_served());
    let mut second = Client::connect(&server);
    assert_eq!(second.0.read(&mut [0]).unwrap_or(0), 0);
    assert!(first.is_served());
}

#[test]
fn new_connections_come_at_the_rate_that_is_set() {
    let server = Server::start_own(&["max.connection.creation.rate=1"]);
    let begun = Instant::now();
    let mut clients: Vec<_> = (0..13).map(|_| Client::connect(&server)).collect();
    assert!(clients[0].is_served());
    // Ten seconds' worth at once; then they wait.
    assert!(clients[12].is_served());
    assert!(
        begun.elapsed() > Duration::from_millis(1_500),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn time_that_requests_take_is_limited() {
    let server = Server::start_own(&[]);
    let mut client = Client::connect(&server);
    let entity = EntityData::default()
        .with_entity_type(StrBytes::from_static_str("client-id"))
        .with_entity_name(Some(StrBytes::from_static_str("busy")));
    let limit = OpData::default()
        .with_key(StrBytes::from_static_str("request_percentage"))
        .with_value(0.001);
    let entry = EntryData::default()
        .with_entity(vec![entity])
        .with_ops(vec![limit]);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    assert_eq!(client.ask(1, &request).unwrap().entries[0].error_code, 0);

    let mut metadata = || {
        client
            .ask(9, &MetadataRequest::default())
            .unwrap()
            .throttle_time_ms
    };
    let throttled = (0..100_000)
        .map(|_| metadata())
        .find(|throttle_ms| *throttle_ms > 0);
    let throttle_ms = throttled.expect("requests take some time");
    assert!(throttle_ms <= 1_000, "never longer than a sample: {throttle_ms}");
    let begun = Instant::now();
    metadata();
    let waited_ms = begun.elapsed().as_millis() as i32;
    assert!(waited_ms + 5 >= throttle_ms, "{waited_ms} of {throttle_ms} ms");
}

#[test]
fn connections_give_memory_back_when_they_are_quiet() {
    const CONNECTIONS: usize = 100;
    const REQUEST_BYTES: usize = 1_000_000;
    let server = Server::start_own(&[]);
    let before = server.resident_bytes();
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(&server)).collect();
    // It names no topic that there is: an error, and nothing is kept.
    let partition = PartitionProduceData::default().with_records(Some(vec![0; REQUEST_BYTES].into()));
    let topic = TopicProduceData::default().with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(1)
        .with_topic_data(vec![topic]);
    for client in &mut clients {
        assert!(client.ask(9, &request).is_some());
    }
    let deadline = Instant::now() + PATIENCE;
    while server.resident_bytes() > before + CONNECTIONS * REQUEST_BYTES / 4 {
        assert!(
            Instant::now() < deadline,
            "{} bytes, {before} before",
            server.resident_bytes()
        );
        std::thread::sleep(A_WHILE);
    }
    assert!(clients.iter_mut().all(Client::is_served));
}
