//! Many requests sent at once: each gets its response, in order, also when the last of them closes the connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use broker::log::{BatchBuilder, ProducerStamp};

use crate::behaviour::create;
use crate::server::Server;

const PRODUCE: i16 = 0;
const API_VERSIONS: i16 = 18;
/// Nobody serves this API.
const NO_API: i16 = 9_999;

/// A frame around a request header and `body`.
pub(crate) fn frame(api_key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(api_key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(correlation_id.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    let mut frame = (request.len() as i32).to_be_bytes().to_vec();
    frame.extend(request);
    frame
}

/// A Produce of one record to `pipelined-0`.
fn produce(correlation_id: i32, acks: i16) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder
        .append(1_700_000_000_000, None, Some(b"value"), &[])
        .unwrap();
    let records = builder.finish(ProducerStamp::NONE).unwrap();
    let mut body = (-1_i16).to_be_bytes().to_vec();
    body.extend(acks.to_be_bytes());
    body.extend(1_000_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(9_i16.to_be_bytes());
    body.extend(b"pipelined");
    body.extend(1_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend((records.len() as i32).to_be_bytes());
    body.extend(&records[..]);
    frame(PRODUCE, 3, correlation_id, &body)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().unwrap()
}

/// The responses until the broker closes the connection.
fn responses(mut stream: TcpStream) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let mut responses = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (response, behind) = rest[4..].split_at(i32::from_be_bytes(number(rest, 0)) as usize);
        responses.push(response.to_vec());
        rest = behind;
    }
    responses
}

/// Correlation id and, of a Produce, the error code and base offset it was answered with.
fn answered(response: &[u8]) -> (i32, Option<(i16, i64)>) {
    let correlation_id = i32::from_be_bytes(number(response, 0));
    let is_produce = response.len() > 15 && &response[10..19] == b"pipelined";
    let appended = is_produce.then(|| {
        (
            i16::from_be_bytes(number(response, 27)),
            i64::from_be_bytes(number(response, 29)),
        )
    });
    (correlation_id, appended)
}

fn pipelined(settings: &[&str]) {
    let server = Server::start_own(settings);
    create(&server, "pipelined", 1, &[]);
    let mut requests = Vec::new();
    for id in 0..200 {
        match id {
            // No response, but a record.
            20 => requests.extend(produce(id, 0)),
            50 | 51 | 120 => requests.extend(frame(API_VERSIONS, 0, id, &[])),
            _ => requests.extend(produce(id, -1)),
        }
    }
    requests.extend(frame(NO_API, 0, 200, &[]));
    requests.extend(produce(201, 1));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&requests).unwrap();

    let mut offset = 0;
    let mut expected = Vec::new();
    for id in 0..200 {
        match id {
            20 => offset += 1,
            50 | 51 | 120 => expected.push((id, None)),
            _ => {
                expected.push((id, Some((0, offset))));
                offset += 1;
            }
        }
    }
    let answers: Vec<_> = responses(stream).iter().map(|bytes| answered(bytes)).collect();
    assert_eq!(answers, expected);
}

#[test]
fn requests_sent_at_once_are_all_answered_in_order_before_the_connection_is_closed() {
    pipelined(&[]);
}

#[test]
fn with_group_commit_too() {
    pipelined(&["headwater.group.commit.enable=true"]);
}
