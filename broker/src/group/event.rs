//! What happens to the coordinator, and what it asks for: requests and replies, appends, topics to be made.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::config::GroupOverrides;
use super::streams::InternalTopic;
use super::topics::TopicImage;
use super::{classic, consumer, refuse, streams};
use crate::protocol::streams_heartbeat::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};
use crate::transaction::{AppendId, Token};

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Name the client gave itself.
    pub id: String,
    /// Where it connected from, or [`IN_PROCESS_HOST`](super::IN_PROCESS_HOST).
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
    /// Topics came, went or grew.
    TopicsChanged(Arc<TopicImage>),
    /// A group's own configs were set; they replace all it had.
    Overridden {
        /// The group.
        group_id: String,
        /// Its configs.
        overrides: GroupOverrides,
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
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    /// StreamsGroupHeartbeat.
    StreamsHeartbeat(StreamsGroupHeartbeatRequest),
    /// OffsetDelete.
    DeleteOffsets(OffsetDeleteRequest),
    /// One group of DeleteGroups.
    Delete {
        /// The group.
        group_id: String,
    },
}

impl GroupRequest {
    pub(super) fn group_id(&self) -> &str {
        match self {
            Self::Join(request) => &request.group_id,
            Self::Sync(request) => &request.group_id,
            Self::Heartbeat(request) => &request.group_id,
            Self::Leave(request) => &request.group_id,
            Self::CommitOffsets(request) => &request.group_id,
            Self::CommitTransactionalOffsets(request) => &request.group_id,
            Self::ConsumerHeartbeat(request) => &request.group_id,
            Self::StreamsHeartbeat(request) => &request.group_id,
            Self::DeleteOffsets(request) => &request.group_id,
            Self::Delete { group_id } => group_id,
        }
    }
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
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To StreamsGroupHeartbeat.
    StreamsHeartbeat(StreamsGroupHeartbeatResponse),
    /// To OffsetDelete.
    DeleteOffsets(OffsetDeleteResponse),
    /// To DeleteGroups.
    Delete(Result<(), ResponseError>),
}

impl GroupReply {
    /// What is answered instead if the log could not be written.
    pub(super) fn refused(self, error: ResponseError) -> Self {
        match self {
            Self::ConsumerHeartbeat(_) => consumer::refused(&refuse(error, error.to_string())),
            Self::StreamsHeartbeat(_) => streams::refused(&refuse(error, error.to_string())),
            Self::Join(_) => classic::refused(error, ""),
            Self::Leave(response) => Self::Leave(response.with_error_code(error.code())),
            other => other,
        }
    }
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
    /// Make topics that a streams group needs. What cannot be made is asked for again with a later heartbeat.
    CreateTopics(Vec<InternalTopic>),
    /// Answer a request.
    Reply {
        /// The request.
        token: Token,
        /// The answer.
        reply: GroupReply,
    },
}
