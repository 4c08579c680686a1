//! A Kafka-compatible broker as a function of requests, state and time.
//!
//! ```text
//!   embedded (streams-core's seams, no sockets)      TCP clients (frames to requests)
//!                        \                             /
//!                         handler: Request, time --> Response            (and Parked, for who must wait for others)
//!                        /            |             \
//!   transaction: who may commit   group: who reads   topic: which logs there are
//!                        \            |             /
//!                         log: record batches, offsets, segments
//! ```
//!
//! Reading order: [`log`], what is stored; [`topic`], the data directory; [`transaction`] and [`group`], the coordinators as
//! pure state machines (event and time in, actions out); [`handler`], which performs their actions on the logs and serves
//! requests; [`embedded`], the broker inside of an application, which is also how to start one in a test:
//!
//! ```
//! use std::sync::Arc;
//! use broker::{BrokerConfig, EmbeddedBroker};
//! use streams_core::log::{Log, NewTopic};
//! use streams_core::time::ManualClock;
//!
//! let data = tempfile::tempdir().unwrap();
//! let broker = EmbeddedBroker::open(data.path(), BrokerConfig::embedded(), Arc::new(ManualClock::new(0))).unwrap();
//! broker.admin().unwrap().create_topic(&NewTopic::new("words", 3)).unwrap();
//! ```
//!
//! What it is: Kafka's protocol as one node of Apache Kafka 4.1 speaks it, in process or as a server: [`server`], around the
//! same handler. What it is not yet: replicated.

pub mod acl;
pub mod cluster;
pub mod config;
pub mod coordinator_records;
pub mod embedded;
pub mod group;
pub mod handler;
pub mod ids;
pub mod log;
pub mod producer_ids;
pub mod protocol;
pub mod quota;
pub mod sasl;
pub mod server;
pub mod topic;
pub mod transaction;

pub use embedded::EmbeddedBroker;
pub use handler::{Broker, BrokerConfig, BrokerError};
