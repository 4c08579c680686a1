//! StreamsGroupDescribe (89), version 0.

use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};

use super::codec::{message, structs};
use super::streams_heartbeat::{Endpoint, KeyValue, TaskIds, TaskOffset, TopicInfo};

structs! {
    /// Asks for streams groups.
    StreamsGroupDescribeRequest {
        /// The groups.
        group_ids: Vec<String>,
        /// Whether to say what the client may do with them.
        include_authorized_operations: bool,
    }

    /// The groups.
    StreamsGroupDescribeResponse {
        /// How long it was held back for quotas.
        throttle_time_ms: i32,
        /// One for each that was asked for.
        groups: Vec<DescribedGroup>,
    }

    /// A streams group.
    DescribedGroup {
        /// What went wrong.
        error_code: i16,
        /// In words.
        error_message: Option<String>,
        /// The group.
        group_id: String,
        /// Where it is.
        group_state: String,
        /// Its epoch.
        group_epoch: i32,
        /// The epoch of its target assignment.
        assignment_epoch: i32,
        /// What the application consists of.
        topology: Option<DescribedTopology>,
        /// Its members.
        members: Vec<Member>,
        /// What the client may do with it.
        authorized_operations: i32,
    }

    /// A topology with the numbers of partitions that were found.
    DescribedTopology {
        /// Its version.
        epoch: i32,
        /// Its parts; null while topics are missing or do not fit.
        subtopologies: Option<Vec<DescribedSubtopology>>,
    }

    /// A part of a topology.
    DescribedSubtopology {
        /// Its id.
        subtopology_id: String,
        /// Topics it reads.
        source_topics: Vec<String>,
        /// Repartition topics it writes.
        repartition_sink_topics: Vec<String>,
        /// Changelogs of its stores.
        state_changelog_topics: Vec<TopicInfo>,
        /// Repartition topics it reads.
        repartition_source_topics: Vec<TopicInfo>,
    }

    /// A member.
    Member {
        /// Its id.
        member_id: String,
        /// Its epoch.
        member_epoch: i32,
        /// Static member id.
        instance_id: Option<String>,
        /// Where it runs.
        rack_id: Option<String>,
        /// Name the client gave itself.
        client_id: String,
        /// Where it connected from.
        client_host: String,
        /// Of the topology it has.
        topology_epoch: i32,
        /// The process it is a thread of.
        process_id: String,
        /// Where interactive queries reach it.
        user_endpoint: Option<Endpoint>,
        /// Its tags.
        client_tags: Vec<KeyValue>,
        /// How far its tasks are.
        task_offsets: Vec<TaskOffset>,
        /// How far they could be.
        task_end_offsets: Vec<TaskOffset>,
        /// What it holds.
        assignment: DescribedAssignment,
        /// What it shall hold.
        target_assignment: DescribedAssignment,
        /// Whether it speaks the classic protocol.
        is_classic: bool,
    }

    /// Tasks of a member.
    DescribedAssignment {
        /// Active ones.
        active_tasks: Vec<TaskIds>,
        /// Standby ones.
        standby_tasks: Vec<TaskIds>,
        /// Warm-up ones.
        warmup_tasks: Vec<TaskIds>,
    }
}

message!(StreamsGroupDescribeRequest, version 0, header 2);
message!(StreamsGroupDescribeResponse, version 0, header 1);
