//! Consumer groups of KIP-848: one heartbeat that carries subscriptions up and assignments down, and assignment by the
//! broker.
//!
//! ```text
//!  heartbeat --> member changed? --> group epoch + 1 --> target assignment --> reconcile this member --> records, reply
//! ```
//!
//! A step reads the group, and answers records and a response; it changes nothing. The records are applied when they are in
//! the log, by the same function that applies them when the log is loaded. What must stay true:
//!
//! - A partition is given to a member only when no member holds it, neither as its own nor as one it has yet to revoke.
//! - A member's epoch moves to the group's only when it holds nothing that the target takes from it.

mod assignor;
mod classic;
mod describe;
mod fence;
mod heartbeat;
mod member;
mod reconcile;
mod record;
mod regex;
mod state;
mod subscription;
mod target;

pub use assignor::Assignor;
pub use member::{Assignment, ClassicMember, ConsumerMember, MemberState};
pub use record::ConsumerRecord;
pub use state::{ConsumerGroup, ConsumerState};

pub(super) use heartbeat::refused;
pub(super) use state::Timers;
