//! The data directory of a broker: topics, their partitions, their configuration.

pub mod progress;
