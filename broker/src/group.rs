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

mod classic;
mod config;
mod consumer;
mod embedded;
mod event;
mod expiry;
mod load;
mod migration;
mod modern;
mod offsets;
mod record;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    JoinGroupResponse, OffsetCommitResponse, OffsetDeleteResponse, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

pub use classic::{ClassicGroup, ClassicState, Member};
pub use config::{ConsumerGroupConfig, GroupConfig, GroupOverrides, StreamsGroupConfig};
pub use consumer::{
    Assignment, Assignor, ClassicMember, ConsumerGroup, ConsumerMember, ConsumerRecord, ConsumerState,
    MemberState,
};
pub use event::{Client, GroupAction, GroupEvent, GroupReply, GroupRequest};
pub use migration::MigrationPolicy;
pub use record::{GroupKey, GroupValue, MemberValue, OffsetValue};
pub use state::{CommittedOffset, Group, GroupKind};
pub use streams::{InternalTopic, StreamsGroup, StreamsMember, StreamsRecord, StreamsState, TaskMap, Tasks};
pub use topics::{TopicImage, TopicInfo, Viewer};

use crate::coordinator_records::coordinator_partition;
use crate::ids::Ids;
use crate::transaction::{AppendId, Token};
use modern::{PendingStep, Waiting};
use state::Offsets;

/// Client host of members that live in the broker's own process. They die with it, so they are dropped when the log is
/// loaded, and a restart does not wait for their sessions to expire.
pub const IN_PROCESS_HOST: &str = "/in-process";

/// A request that is refused: Kafka's error, and why.
#[derive(Debug)]
struct Refusal {
    error: ResponseError,
    message: String,
}

fn refuse(error: ResponseError, message: impl Into<String>) -> Refusal {
    Refusal {
        error,
        message: message.into(),
    }
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
    /// The new id of a static member, and the answer that tells it.
    StaticMember {
        token: Token,
        response: JoinGroupResponse,
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
    /// Tombstones of single offsets that somebody asked for.
    OffsetDeletion {
        group_id: String,
        token: Token,
        response: OffsetDeleteResponse,
    },
    /// The records of a group whose members send heartbeats only.
    Step(Box<PendingStep>),
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
    topics: Arc<TopicImage>,
    overrides: BTreeMap<String, GroupOverrides>,
    /// Groups with records on their way to the log that all else must wait for, and what waits. A client has one request
    /// under way on a connection, which bounds it.
    busy: BTreeMap<String, VecDeque<Waiting>>,
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
            topics: Arc::default(),
            overrides: BTreeMap::new(),
            busy: BTreeMap::new(),
            open_transactions: BTreeMap::new(),
            outbox,
            ids,
            next_expiry_check_ms: 0,
        }
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
            GroupEvent::TopicsChanged(topics) => {
                self.topics = Arc::new(topics.seen_by(self.topics.viewer().cloned()));
            }
            GroupEvent::Overridden { group_id, overrides } => {
                if overrides == GroupOverrides::default() {
                    self.overrides.remove(&group_id);
                } else {
                    self.overrides.insert(group_id, overrides);
                }
            }
            GroupEvent::Tick => self.tick(now_ms),
        }
        std::mem::take(&mut self.outbox.actions)
    }

    /// The topics as they were last told.
    pub fn topics(&self) -> &TopicImage {
        &self.topics
    }

    /// The settings.
    pub fn config(&self) -> &GroupConfig {
        &self.outbox.config
    }

    /// A group; None if nobody ever joined it or committed to it.
    pub fn group(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    /// Every group, sorted by id.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Says who is shown the topics from here on; None sees all.
    pub fn look_as(&mut self, viewer: Option<Arc<dyn Viewer>>) {
        if viewer.is_some() || self.topics.viewer().is_some() {
            self.topics = Arc::new(self.topics.seen_by(viewer));
        }
    }

    fn request(&mut self, token: Token, client: &Client, version: i16, request: GroupRequest, now_ms: i64) {
        let Some(request) = self.wait_if_busy(token, client, version, request) else {
            return;
        };
        if matches!(
            request,
            GroupRequest::DeleteOffsets(_) | GroupRequest::Delete { .. }
        ) {
            // Whether somebody is still there is decided as of now, and not as of the last tick.
            self.drop_silent(request.group_id(), now_ms);
        }
        match request {
            GroupRequest::Join(request) => self.join(token, client, version, &request, now_ms),
            GroupRequest::Sync(request) => self.sync(token, &request, now_ms),
            GroupRequest::Heartbeat(request) => self.heartbeat(token, &request, now_ms),
            GroupRequest::Leave(request) => self.leave(token, version, &request, now_ms),
            GroupRequest::CommitOffsets(request) => self.commit_offsets(token, version, &request, now_ms),
            GroupRequest::CommitTransactionalOffsets(request) => {
                self.commit_transactional_offsets(token, version, &request, now_ms);
            }
            GroupRequest::ConsumerHeartbeat(request) => {
                match self.consumer_heartbeat(client, version, &request, now_ms) {
                    Ok(step) => self.take_step(&request.group_id, Some(token), step, now_ms),
                    Err(refusal) => self.outbox.reply(token, consumer::refused(&refusal)),
                }
            }
            GroupRequest::StreamsHeartbeat(request) => {
                match self.streams_heartbeat(client, &request, now_ms) {
                    Ok((step, missing)) => {
                        self.take_step(&request.group_id, Some(token), step, now_ms);
                        if !missing.is_empty() {
                            self.outbox.actions.push(GroupAction::CreateTopics(missing));
                        }
                    }
                    Err(refusal) => self.outbox.reply(token, streams::refused(&refusal)),
                }
            }
            GroupRequest::DeleteOffsets(request) => self.delete_offsets(token, &request),
            GroupRequest::Delete { group_id } => self.delete(token, &group_id),
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
            Some(Append::StaticMember { token, response }) => {
                let reply = match result {
                    Ok(_) => GroupReply::Join(response),
                    Err(error) => classic::refused(error, ""),
                };
                self.outbox.reply(token, reply);
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
            Some(Append::OffsetDeletion {
                group_id,
                token,
                response,
            }) => {
                self.offset_deletion_appended(&group_id, token, response, result);
            }
            Some(Append::Step(pending)) => self.step_appended(*pending, result, now_ms),
            Some(Append::Unwatched) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "a record of an empty group or an expired offset could not be appended");
                }
            }
            None => {}
        }
    }

    /// The settings of a consumer group, its own before the broker's.
    fn consumer_config(&self, group_id: &str) -> ConsumerGroupConfig {
        let mut config = self.outbox.config.consumer.clone();
        if let Some(overrides) = self.overrides.get(group_id) {
            let own = |value: Option<i32>, default: i32| value.unwrap_or(default);
            config.session_timeout_ms = own(overrides.consumer_session_timeout_ms, config.session_timeout_ms);
            config.heartbeat_interval_ms = own(
                overrides.consumer_heartbeat_interval_ms,
                config.heartbeat_interval_ms,
            );
        }
        config
    }

    /// The settings of a streams group, its own before the broker's.
    fn streams_config(&self, group_id: &str) -> StreamsGroupConfig {
        let mut config = self.outbox.config.streams.clone();
        if let Some(overrides) = self.overrides.get(group_id) {
            let own = |value: Option<i32>, default: i32| value.unwrap_or(default);
            config.session_timeout_ms = own(overrides.streams_session_timeout_ms, config.session_timeout_ms);
            config.heartbeat_interval_ms = own(
                overrides.streams_heartbeat_interval_ms,
                config.heartbeat_interval_ms,
            );
            config.standby_replicas = own(overrides.streams_standby_replicas, config.standby_replicas);
        }
        config
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

/// The classic group, if it is there and of that kind.
fn classic_in<'a>(groups: &'a mut BTreeMap<String, Group>, group_id: &str) -> Option<&'a mut ClassicGroup> {
    match &mut groups.get_mut(group_id)?.kind {
        GroupKind::Classic(group) => Some(group),
        _ => None,
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}
