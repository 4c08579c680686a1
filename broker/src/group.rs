//! The group coordinator: members, generations and committed offsets of consumer groups (the classic protocol), as a pure
//! state machine.
//!
//! ```text
//!  Event (request, append acknowledged, marker, tick) + time --> handle --> Action (append to __consumer_offsets, reply)
//! ```
//!
//! It does no IO and knows no clock. A JoinGroup or SyncGroup that must wait for other members simply gets no reply yet: its
//! token is kept in the member and answered by a later step. What must stay true:
//!
//! - An offset or an assignment becomes visible only when its record is in the log.
//! - An offset of a transaction becomes visible only with the commit marker in the same partition, and of two commits the
//!   one later in the log wins.
//! - Every parked token is answered exactly once, also when its member is dropped or replaced.

mod expiry;
mod join;
mod member;
mod offsets;
mod record;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, SyncGroupRequest, SyncGroupResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

pub use record::{GroupKey, GroupValue, MemberValue, OffsetValue};
pub use state::{CommittedOffset, Group, GroupState, Member};

use crate::coordinator_records::{RecordError, coordinator_partition};
use crate::ids::Ids;
use crate::transaction::{AppendId, Token};
use state::Offsets;

/// Client host of members that live in the broker's own process. They die with it, so they are dropped when the log is
/// loaded, and a restart does not wait for their sessions to expire.
pub const IN_PROCESS_HOST: &str = "/in-process";

/// Settings of the group coordinator, with Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// `offsets.topic.num.partitions`. Must not change while the topic holds records.
    pub partition_count: i32,
    /// `group.min.session.timeout.ms`. 6 s.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`. 30 minutes.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first members of a group wait for more. 3 s.
    pub initial_rebalance_delay_ms: i64,
    /// `group.max.size`: most members of a group. 10,000 (Kafka sets no limit).
    pub max_size: usize,
    /// Most groups. A further one is refused with POLICY_VIOLATION. 100,000.
    pub max_groups: usize,
    /// `offset.metadata.max.bytes`. 4096.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds. 7 days.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`. 10 minutes.
    pub offsets_retention_check_interval_ms: i64,
    /// How long a member's first JoinGroup may stay parked (5 minutes in Kafka, not configurable there).
    pub new_member_join_timeout_ms: i64,
}

impl GroupConfig {
    /// Kafka's defaults, with this many partitions of `__consumer_offsets`.
    pub fn new(partition_count: i32) -> Self {
        Self {
            partition_count,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: 10_000,
            max_groups: 100_000,
            offset_metadata_max_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
            new_member_join_timeout_ms: 5 * 60 * 1000,
        }
    }
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Name the client gave itself.
    pub id: String,
    /// Where it connected from, or [`IN_PROCESS_HOST`].
    pub host: String,
}

/// What happens to the coordinator.
#[derive(Debug)]
pub enum GroupEvent {
    /// A client asks for something.
    Request {
        /// Comes back in the reply.
        token: Token,
        /// Who asks.
        client: Client,
        /// Version of the request: some rules depend on it.
        version: i16,
        /// What it asks for.
        request: Box<GroupRequest>,
    },
    /// The outcome of [`GroupAction::Append`]: the offset of the first record, or the error to answer clients with.
    Appended {
        /// The append.
        append: AppendId,
        /// Its outcome.
        result: Result<i64, ResponseError>,
    },
    /// A marker was appended to a partition of `__consumer_offsets`.
    TransactionEnded {
        /// The partition.
        partition: i32,
        /// Whose transaction.
        producer_id: i64,
        /// COMMIT, or ABORT.
        committed: bool,
    },
    /// A topic was deleted: its offsets mean nothing any more.
    TopicDeleted {
        /// The topic.
        topic: String,
    },
    /// Time passed.
    Tick,
}

/// A request about a group.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupRequest {
    /// JoinGroup.
    Join(JoinGroupRequest),
    /// SyncGroup.
    Sync(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveGroupRequest),
    /// OffsetCommit.
    CommitOffsets(OffsetCommitRequest),
    /// TxnOffsetCommit. The driver has verified that the offsets' partition is part of the transaction.
    CommitTransactionalOffsets(TxnOffsetCommitRequest),
    /// One group of DeleteGroups.
    Delete {
        /// The group.
        group_id: String,
    },
}

/// The answer to a [`GroupRequest`].
#[derive(Debug, Clone, PartialEq)]
pub enum GroupReply {
    /// To JoinGroup.
    Join(JoinGroupResponse),
    /// To SyncGroup.
    Sync(SyncGroupResponse),
    /// To Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// To LeaveGroup.
    Leave(LeaveGroupResponse),
    /// To OffsetCommit.
    CommitOffsets(OffsetCommitResponse),
    /// To TxnOffsetCommit.
    CommitTransactionalOffsets(TxnOffsetCommitResponse),
    /// To DeleteGroups.
    Delete(Result<(), ResponseError>),
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupAction {
    /// Append records as one batch to a partition of `__consumer_offsets` and report [`GroupEvent::Appended`].
    Append {
        /// Comes back in the event.
        append: AppendId,
        /// Partition of `__consumer_offsets`.
        partition: i32,
        /// Keys and values; a value of None is a tombstone.
        records: Vec<(Bytes, Option<Bytes>)>,
        /// Producer id and epoch if the batch is part of a transaction.
        transaction: Option<(i64, i16)>,
    },
    /// Answer a request.
    Reply {
        /// The request.
        token: Token,
        /// The answer.
        reply: GroupReply,
    },
}

/// What an append was for.
#[derive(Debug)]
enum Append {
    /// A generation's assignment by member.
    Assignment {
        group_id: String,
        generation: i32,
        assignments: BTreeMap<String, Bytes>,
    },
    /// Offsets, and the reply with the errors of those that were refused before.
    Offsets {
        group_id: String,
        offsets: Offsets<OffsetValue>,
        token: Token,
        reply: OffsetsReply,
    },
    /// Tombstones of a group that is going away.
    Deletion { group_id: String, token: Option<Token> },
    /// An empty generation or tombstones of single offsets: nobody waits.
    Unwatched,
}

/// Which of the two offset commits is to be answered.
#[derive(Debug)]
enum OffsetsReply {
    Plain(OffsetCommitResponse),
    Transactional {
        producer_id: i64,
        response: TxnOffsetCommitResponse,
    },
}

/// What a step on one group may use besides that group.
#[derive(Debug)]
struct Outbox {
    config: GroupConfig,
    actions: Vec<GroupAction>,
    appends: HashMap<AppendId, Append>,
    next_append: AppendId,
}

impl Outbox {
    fn reply(&mut self, token: Token, reply: GroupReply) {
        self.actions.push(GroupAction::Reply { token, reply });
    }

    fn append(
        &mut self,
        group_id: &str,
        records: Vec<(Bytes, Option<Bytes>)>,
        transaction: Option<(i64, i16)>,
        purpose: Append,
    ) {
        let append = self.next_append;
        self.next_append += 1;
        self.appends.insert(append, purpose);
        let partition = coordinator_partition(group_id, self.config.partition_count);
        self.actions.push(GroupAction::Append {
            append,
            partition,
            records,
            transaction,
        });
    }
}

/// The state machine. See the top of this file.
#[derive(Debug)]
pub struct GroupCoordinator {
    groups: BTreeMap<String, Group>,
    /// Groups with offsets in an open transaction, by producer id.
    open_transactions: BTreeMap<i64, BTreeSet<String>>,
    outbox: Outbox,
    ids: Box<dyn Ids>,
    next_expiry_check_ms: i64,
}

impl GroupCoordinator {
    /// A coordinator that knows no groups yet. Call [`load`](Self::load) and [`load_marker`](Self::load_marker) for the log,
    /// then [`finish_loading`](Self::finish_loading), before the first event.
    pub fn new(config: GroupConfig, ids: Box<dyn Ids>) -> Self {
        let outbox = Outbox {
            config,
            actions: Vec::new(),
            appends: HashMap::new(),
            next_append: 0,
        };
        Self {
            groups: BTreeMap::new(),
            open_transactions: BTreeMap::new(),
            outbox,
            ids,
            next_expiry_check_ms: 0,
        }
    }

    /// Replays one record of `__consumer_offsets`, in the order of its partition. `transaction` is the producer id of its
    /// batch if that is transactional.
    ///
    /// # Errors
    /// The record cannot be read; nothing changes.
    pub fn load(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        log_offset: i64,
        transaction: Option<i64>,
        now_ms: i64,
    ) -> Result<(), RecordError> {
        match (GroupKey::decode(key)?, value) {
            (
                GroupKey::Offset {
                    group_id,
                    topic,
                    partition,
                },
                Some(value),
            ) => {
                let committed = CommittedOffset {
                    value: OffsetValue::decode(value)?,
                    log_offset,
                };
                let group = self
                    .groups
                    .entry(group_id.clone())
                    .or_insert_with(|| Group::new(&group_id, now_ms));
                let offsets = match transaction {
                    Some(producer_id) => {
                        self.open_transactions
                            .entry(producer_id)
                            .or_default()
                            .insert(group_id);
                        group.pending_offsets.entry(producer_id).or_default()
                    }
                    None => &mut group.offsets,
                };
                offsets.entry(topic).or_default().insert(partition, committed);
            }
            (
                GroupKey::Offset {
                    group_id,
                    topic,
                    partition,
                },
                None,
            ) => {
                if let Some(partitions) = self
                    .groups
                    .get_mut(&group_id)
                    .and_then(|group| group.offsets.get_mut(&topic))
                {
                    partitions.remove(&partition);
                }
            }
            (GroupKey::Group { group_id }, Some(value)) => {
                let value = GroupValue::decode(value)?;
                let group = self
                    .groups
                    .entry(group_id.clone())
                    .or_insert_with(|| Group::new(&group_id, now_ms));
                group.restore(value, now_ms);
            }
            (GroupKey::Group { group_id }, None) => {
                self.groups.remove(&group_id);
            }
            (GroupKey::Other(_), _) => {}
        }
        Ok(())
    }

    /// Replays a marker of `__consumer_offsets`.
    pub fn load_marker(&mut self, partition: i32, producer_id: i64, committed: bool) {
        self.end_transaction(partition, producer_id, committed);
    }

    /// Ends the replay: members that lived in the broker's process are gone with it, and groups that lost some rebalance.
    pub fn finish_loading(&mut self, now_ms: i64) -> Vec<GroupAction> {
        for group in self.groups.values_mut() {
            group.offsets.retain(|_, partitions| !partitions.is_empty());
            let gone: Vec<String> = group
                .members
                .values()
                .filter(|member| member.client_host == IN_PROCESS_HOST)
                .map(|member| member.member_id.clone())
                .collect();
            for member_id in gone {
                group.remove_member(&member_id, &mut self.outbox, now_ms);
            }
        }
        std::mem::take(&mut self.outbox.actions)
    }

    /// Takes one step.
    pub fn handle(&mut self, event: GroupEvent, now_ms: i64) -> Vec<GroupAction> {
        match event {
            GroupEvent::Request {
                token,
                client,
                version,
                request,
            } => {
                self.request(token, &client, version, *request, now_ms);
            }
            GroupEvent::Appended { append, result } => self.appended(append, result, now_ms),
            GroupEvent::TransactionEnded {
                partition,
                producer_id,
                committed,
            } => {
                self.end_transaction(partition, producer_id, committed);
            }
            GroupEvent::TopicDeleted { topic } => self.forget_topic(&topic),
            GroupEvent::Tick => self.tick(now_ms),
        }
        std::mem::take(&mut self.outbox.actions)
    }

    /// A group; None if nobody ever joined it or committed to it.
    pub fn group(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    /// Every group, sorted by id.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    fn request(&mut self, token: Token, client: &Client, version: i16, request: GroupRequest, now_ms: i64) {
        match request {
            GroupRequest::Join(request) => self.join(token, client, version, &request, now_ms),
            GroupRequest::Sync(request) => self.sync(token, &request, now_ms),
            GroupRequest::Heartbeat(request) => self.heartbeat(token, &request, now_ms),
            GroupRequest::Leave(request) => self.leave(token, version, &request, now_ms),
            GroupRequest::CommitOffsets(request) => self.commit_offsets(token, version, &request, now_ms),
            GroupRequest::CommitTransactionalOffsets(request) => {
                self.commit_transactional_offsets(token, &request, now_ms);
            }
            GroupRequest::Delete { group_id } => self.delete(token, &group_id, now_ms),
        }
    }

    fn appended(&mut self, append: AppendId, result: Result<i64, ResponseError>, now_ms: i64) {
        match self.outbox.appends.remove(&append) {
            Some(Append::Assignment {
                group_id,
                generation,
                assignments,
            }) => {
                self.assignment_appended(&group_id, generation, assignments, result, now_ms);
            }
            Some(Append::Offsets {
                group_id,
                offsets,
                token,
                reply,
            }) => {
                self.offsets_appended(&group_id, offsets, token, reply, result);
            }
            Some(Append::Deletion { group_id, token }) => {
                self.deletion_appended(&group_id, token, result, now_ms);
            }
            Some(Append::Unwatched) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "a record of an empty group or an expired offset could not be appended");
                }
            }
            None => {}
        }
    }

    /// The group, made if need be.
    fn group_or_new(&mut self, group_id: &str, now_ms: i64) -> Result<&mut Group, ResponseError> {
        if !self.groups.contains_key(group_id) && self.groups.len() >= self.outbox.config.max_groups {
            return Err(ResponseError::PolicyViolation);
        }
        Ok(self
            .groups
            .entry(group_id.to_owned())
            .or_insert_with(|| Group::new(group_id, now_ms)))
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}
