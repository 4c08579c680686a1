//! OffsetCommit (8) and OffsetFetch (9), version 10: what earlier versions are, with topics named by their id (KIP-848).

use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use uuid::Uuid;

use super::codec::{message, structs};

structs! {
    /// A group's consumer says how far it has read.
    OffsetCommitByIdRequest {
        /// The group.
        group_id: String,
        /// Generation of a classic member, or epoch of another; -1 for whoever is no member.
        generation_id_or_member_epoch: i32,
        /// The member; empty for whoever is none.
        member_id: String,
        /// Static member id.
        group_instance_id: Option<String>,
        /// What is committed.
        topics: Vec<CommittedTopic>,
    }

    /// Offsets in one topic.
    CommittedTopic {
        /// The topic.
        topic_id: Uuid,
        /// By partition.
        partitions: Vec<CommittedPartition>,
    }

    /// An offset to commit.
    CommittedPartition {
        /// The partition.
        partition_index: i32,
        /// The next offset to read.
        committed_offset: i64,
        /// Epoch of the last record read; -1 if not known.
        committed_leader_epoch: i32,
        /// The application's own words.
        committed_metadata: Option<String>,
    }

    /// The answer to a commit.
    OffsetCommitByIdResponse {
        /// How long it was held back for quotas.
        throttle_time_ms: i32,
        /// By topic.
        topics: Vec<CommittedTopicResult>,
    }

    /// What became of one topic's offsets.
    CommittedTopicResult {
        /// The topic.
        topic_id: Uuid,
        /// By partition.
        partitions: Vec<CommittedPartitionResult>,
    }

    /// What became of an offset.
    CommittedPartitionResult {
        /// The partition.
        partition_index: i32,
        /// 0, or why it was not taken.
        error_code: i16,
    }

    /// How far have these groups read?
    OffsetFetchByIdRequest {
        /// The groups.
        groups: Vec<FetchedGroup>,
        /// Whether offsets of open transactions are an error rather than left out.
        require_stable: bool,
    }

    /// A group, and what of it is asked for.
    FetchedGroup {
        /// The group.
        group_id: String,
        /// The member that asks, if it is one.
        member_id: Option<String>,
        /// Its epoch.
        member_epoch: i32,
        /// Null for everything committed.
        topics: Option<Vec<FetchedTopic>>,
    }

    /// Partitions of one topic.
    FetchedTopic {
        /// The topic.
        topic_id: Uuid,
        /// The partitions.
        partition_indexes: Vec<i32>,
    }

    /// The answer to a fetch of offsets.
    OffsetFetchByIdResponse {
        /// How long it was held back for quotas.
        throttle_time_ms: i32,
        /// By group.
        groups: Vec<FetchedGroupResult>,
    }

    /// What a group has committed.
    FetchedGroupResult {
        /// The group.
        group_id: String,
        /// By topic.
        topics: Vec<FetchedTopicResult>,
        /// 0, or why nothing is said.
        error_code: i16,
    }

    /// What a group has committed in one topic.
    FetchedTopicResult {
        /// The topic.
        topic_id: Uuid,
        /// By partition.
        partitions: Vec<FetchedPartitionResult>,
    }

    /// What a group has committed in one partition.
    FetchedPartitionResult {
        /// The partition.
        partition_index: i32,
        /// The next offset to read; -1 if nothing is committed.
        committed_offset: i64,
        /// Epoch of the last record read; -1 if not known.
        committed_leader_epoch: i32,
        /// The application's own words.
        metadata: Option<String>,
        /// 0, or why there is no offset.
        error_code: i16,
    }
}

message!(OffsetCommitByIdRequest, version 10, header 2);
message!(OffsetCommitByIdResponse, version 10, header 1);
message!(OffsetFetchByIdRequest, version 10, header 2);
message!(OffsetFetchByIdResponse, version 10, header 1);
