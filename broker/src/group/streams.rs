//! Streams groups of KIP-1071: the broker knows the topology of the application, makes its internal topics and deals its
//! tasks out.
//!
//! ```text
//!  heartbeat --> topology + topics = tasks --> target assignment --> reconcile this member --> records, reply, new topics
//! ```
//!
//! As with consumer groups a step changes nothing: it answers records, which are applied when they are in the log. What must
//! stay true:
//!
//! - An active task is given to a member only when no process holds it; a standby only where the process has no copy.
//! - Nobody is assigned anything before every topic is there and has the partitions it must have.

mod assignor;
mod check;
mod configured;
mod describe;
mod fence;
mod heartbeat;
mod member;
mod reconcile;
mod record;
mod state;

pub use configured::InternalTopic;
pub use member::{StreamsMember, TaskMap, Tasks};
pub use record::StreamsRecord;
pub use state::{StreamsGroup, StreamsState};

pub(super) use heartbeat::{SideEffects, refused};
