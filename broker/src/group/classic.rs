//! Groups of the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and a leader that assigns.

mod expiry;
mod join;
mod member;
mod state;

pub use state::{ClassicGroup, ClassicState, Member};

pub(super) use join::refused;
