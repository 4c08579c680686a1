//! The broker as a server, through librdkafka: the seams of the runtime over TCP, what young brokers get wrong, `kill -9`,
//! bytes that are no requests, and many requests at once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "a real broker runs in real time")]

#[path = "../common/server.rs"]
mod server;

mod behaviour;
mod garbage;
mod kill;
mod limits;
mod pipelining;
mod seams;
