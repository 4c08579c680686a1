//! What goes into the transaction coordinator and what comes out of it.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::TopicPartitions;

/// Names a request whose reply is still to come. The driver chooses it.
pub type Token = u64;
/// Names an append whose outcome is still to come. The coordinator chooses it.
pub type AppendId = u64;

/// What happens to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionEvent {
    /// A client asks for something.
    Request {
        /// Comes back in the reply.
        token: Token,
        /// What it asks for.
        request: TransactionRequest,
    },
    /// The outcome of [`TransactionAction::Append`].
    Appended {
        /// The append.
        append: AppendId,
        /// Done, or the error to answer clients with.
        result: Result<(), ResponseError>,
    },
    /// The outcome of [`TransactionAction::WriteMarkers`].
    MarkersWritten {
        /// The id whose transaction is being completed.
        transactional_id: String,
        /// Partitions that could not be written now and must be tried again. Deleted topics are not among them.
        failed: TopicPartitions,
    },
    /// Time passed.
    Tick,
}

/// A request of a producer. `client_version` is the transaction protocol the client speaks (`transaction.version`, 0 to 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionRequest {
    /// InitProducerId.
    InitProducerId {
        /// None for an idempotent producer without transactions.
        transactional_id: Option<String>,
        /// How long its transactions may stay open, in milliseconds.
        timeout_ms: i32,
        /// The producer id and epoch the client has, to keep its sequence (KIP-360).
        expected: Option<(i64, i16)>,
    },
    /// AddPartitionsToTxn, and AddOffsetsToTxn as the partition of `__consumer_offsets`.
    AddPartitions {
        /// The producer's transactional id.
        transactional_id: String,
        /// Its producer id.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// What it is about to write to.
        partitions: TopicPartitions,
        /// See the enum.
        client_version: i16,
    },
    /// EndTxn.
    EndTxn {
        /// The producer's transactional id.
        transactional_id: String,
        /// Its producer id.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// Commit, or abort.
        commit: bool,
        /// See the enum.
        client_version: i16,
    },
}

/// The answer to a [`TransactionRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionReply {
    /// Producer id and epoch to use.
    InitProducerId(Result<(i64, i16), ResponseError>),
    /// The partitions are part of the transaction.
    AddPartitions(Result<(), ResponseError>),
    /// The transaction is decided; producer id and epoch for the next one.
    EndTxn(Result<(i64, i16), ResponseError>),
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionAction {
    /// Append one record to a partition of `__transaction_state` and report [`TransactionEvent::Appended`].
    Append {
        /// Comes back in the event.
        append: AppendId,
        /// Partition of `__transaction_state`.
        partition: i32,
        /// Key of the record.
        key: Bytes,
        /// Value of the record; None is a tombstone.
        value: Option<Bytes>,
    },
    /// Append an end-transaction marker to each partition and report [`TransactionEvent::MarkersWritten`].
    WriteMarkers(Markers),
    /// Answer a request.
    Reply {
        /// The request.
        token: Token,
        /// The answer.
        reply: TransactionReply,
    },
}

/// End-transaction markers to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// The id whose transaction ends.
    pub transactional_id: String,
    /// Producer id of the markers.
    pub producer_id: i64,
    /// Epoch of the markers.
    pub producer_epoch: i16,
    /// COMMIT, or ABORT.
    pub commit: bool,
    /// Epoch of the coordinator; a partition refuses markers of an older one.
    pub coordinator_epoch: i32,
    /// Where to write them.
    pub partitions: TopicPartitions,
}

impl TransactionReply {
    pub(super) fn into_error(self, error: ResponseError) -> Self {
        match self {
            Self::InitProducerId(_) => Self::InitProducerId(Err(error)),
            Self::AddPartitions(_) => Self::AddPartitions(Err(error)),
            Self::EndTxn(_) => Self::EndTxn(Err(error)),
        }
    }
}
