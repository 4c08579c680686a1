//! The membership seam: how one stream thread learns which tasks it runs, and commits as a member of its group.
//!
//! Apart from the consumer because protocols differ (embedded group coordinator, Kafka's group protocols) and tests script
//! it. The thread asks in its loop; nothing calls back.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::assignment::{Assignor, TaskId};
use crate::log::{LogResult, OffsetAndMetadata, TopicPartition};

/// One thread's membership in the group of its application.
///
/// The order of events is `Assigned (RevokeThenRejoin Assigned | Lost Assigned)*`. After `RevokeThenRejoin` the member
/// still holds its tasks and may commit them; with the next call of [`poll`](Self::poll) it gives them up and joins again.
pub trait Membership: Send + Debug {
    /// Joins when needed, keeps the session alive, and reports what changed. Waits no longer than `timeout` while joining
    /// and not at all otherwise.
    ///
    /// # Errors
    /// If the log failed in a way that trying again does not mend.
    fn poll(&mut self, owned: &[TaskId], timeout: Duration) -> LogResult<MembershipEvent>;

    /// What fences this member's transactions (KIP-447).
    fn group_metadata(&self) -> GroupMetadata;

    /// Commits offsets as a member, outside of transactions.
    ///
    /// # Errors
    /// [`LogError::Fenced`](crate::error::LogError::Fenced) if the member is no longer part of the group's generation.
    fn commit(&mut self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> LogResult<()>;

    /// Leaves the group at once, so that others take over without waiting for the session to expire.
    ///
    /// # Errors
    /// If the log cannot be reached; the session then expires by itself.
    fn leave(&mut self) -> LogResult<()>;
}

/// What [`Membership::poll`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipEvent {
    /// Nothing changed; while joining, nothing is assigned yet.
    Unchanged,
    /// The group rebalances: commit, then poll again to rejoin.
    RevokeThenRejoin,
    /// These tasks are now this thread's, and no others.
    Assigned(Vec<TaskId>),
    /// The member was thrown out: its tasks are no longer its own and must be closed without commit.
    Lost,
}

/// Identity of a member in one generation of its group (Kafka's `ConsumerGroupMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group: the application id.
    pub group_id: String,
    /// Generation or member epoch; -1 outside of a group.
    pub generation_id: i32,
    /// Member id; empty outside of a group.
    pub member_id: String,
    /// Static member id, if there is one.
    pub group_instance_id: Option<String>,
}

/// How a thread takes part in its group.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// The group: the application id.
    pub group_id: String,
    /// Name of the thread in logs.
    pub client_id: String,
    /// All topics the application reads, repartition topics included.
    pub topics: Vec<String>,
    /// Computes who runs which task, and reads the result.
    pub assignor: Arc<Assignor>,
    /// A member not heard of for this long is thrown out (`session.timeout.ms`). Default of the runtime: 10 s.
    pub session_timeout_ms: i32,
    /// How long members have to come back when the group rebalances (`max.poll.interval.ms`). Default of the runtime: 60 s.
    pub rebalance_timeout_ms: i32,
    /// How often the member reports (`heartbeat.interval.ms`). Default of the runtime: 1 s.
    pub heartbeat_interval_ms: i32,
}
