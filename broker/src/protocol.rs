//! Messages of Kafka's protocol that the protocol crate does not have yet: the streams groups of KIP-1071, and the versions
//! of OffsetCommit and OffsetFetch that name topics by id.

mod codec;
pub mod offsets_by_id;
pub mod streams_describe;
pub mod streams_heartbeat;
#[cfg(test)]
mod tests;

pub(crate) use codec::Field;
