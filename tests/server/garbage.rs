//! Bytes that are no requests: each closes its own connection, costs next to nothing, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::behaviour::config;
use crate::pipelining;
use crate::server::Server;

use rdkafka::consumer::{BaseConsumer, Consumer};

/// A generator that needs no crate: its numbers only have to be the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A frame around a request header and `body`.
fn frame(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    pipelining::frame(api_key, version, 7, body)
}

/// Sends bytes, then waits until the broker has closed or answered.
fn send(server: &Server, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.read(&mut [0; 64]);
}

fn resident_kilobytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn whatever_is_sent_the_broker_goes_on_and_keeps_its_memory() {
    let server = Server::start_own(&[]);
    let mut numbers = Numbers(42);
    let mut inputs: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        (-5_i32).to_be_bytes().to_vec(),
        vec![0; 64],
        vec![0xff; 64],
    ];
    // Every API and version with a body of numbers that are lengths of gigabytes, or nothing.
    for api_key in 0..=92 {
        for version in 0..=18 {
            inputs.push(frame(api_key, version, &[0x7f, 0xff, 0xff, 0xff].repeat(8)));
            inputs.push(frame(api_key, version, &[0; 12]));
        }
    }
    for _ in 0..2_000 {
        let body: Vec<u8> = (0..numbers.below(200)).map(|_| numbers.next() as u8).collect();
        inputs.push(frame(numbers.below(93) as i16, numbers.below(19) as i16, &body));
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        for inputs in inputs.chunks(inputs.len() / 8 + 1) {
            let server = &server;
            scope.spawn(move || inputs.iter().for_each(|input| send(server, input)));
        }
    });
    assert!(started.elapsed() < Duration::from_secs(120));
    assert!(
        resident_kilobytes(&server) < 200_000,
        "{} kB",
        resident_kilobytes(&server)
    );
    let consumer: BaseConsumer = config(&server).create().unwrap();
    assert_eq!(
        consumer
            .fetch_metadata(None, Duration::from_secs(10))
            .unwrap()
            .brokers()
            .len(),
        1
    );
}
