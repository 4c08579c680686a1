//! A Kafka-compatible broker as a function of requests, state and time.

pub mod log;
pub mod topic;
