//! Records, serdes, topologies, tasks and the runtime of Headwater.
pub mod assignment;
mod context;
pub mod edge;
pub mod error;
mod global;
pub mod handlers;
pub mod log;
pub mod membership;
pub mod metrics;
pub mod partitioner;
pub mod processor;
mod record;
mod restore;
pub mod runtime;
pub mod serde;
pub mod store;
mod task;
pub mod testing;
pub mod time;
pub mod topology;

pub use context::TaskContext;
pub use record::{Header, Headers, Record, RecordMetadata};
