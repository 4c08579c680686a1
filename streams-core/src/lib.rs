//! Records, serdes, topologies, tasks and the runtime of Headwater.
pub mod assignment;
pub mod error;
pub mod log;
pub mod membership;
mod record;
pub mod serde;
pub mod time;

pub use record::{Header, Headers, Record, RecordMetadata};
