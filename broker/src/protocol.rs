//! Messages of Kafka's protocol that the protocol crate does not have yet: the streams groups of KIP-1071.

mod codec;
pub mod streams_describe;
pub mod streams_heartbeat;
#[cfg(test)]
mod tests;

pub(crate) use codec::Field;
