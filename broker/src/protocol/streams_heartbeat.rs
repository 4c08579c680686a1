//! StreamsGroupHeartbeat (88), version 0.

use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};

use super::codec::{message, structs};

structs! {
    /// A member of a streams group reports.
    StreamsGroupHeartbeatRequest {
        /// The group.
        group_id: String,
        /// Its id, which it made itself.
        member_id: String,
        /// Its epoch; 0 to join, -1 to leave.
        member_epoch: i32,
        /// Of the endpoint information it has.
        endpoint_information_epoch: i32,
        /// Static member id, which is not supported.
        instance_id: Option<String>,
        /// Where it runs.
        rack_id: Option<String>,
        /// How long it may take to give up tasks; -1 if that did not change.
        rebalance_timeout_ms: i32,
        /// What the application consists of; with the first heartbeat only.
        topology: Option<Topology>,
        /// Active tasks it holds; null if that did not change.
        active_tasks: Option<Vec<TaskIds>>,
        /// Standby tasks it holds.
        standby_tasks: Option<Vec<TaskIds>>,
        /// Warm-up tasks it holds, which are not supported.
        warmup_tasks: Option<Vec<TaskIds>>,
        /// The process it is a thread of.
        process_id: Option<String>,
        /// Where interactive queries reach it.
        user_endpoint: Option<Endpoint>,
        /// Tags for rack-aware assignment.
        client_tags: Option<Vec<KeyValue>>,
        /// How far its tasks are, which is not supported.
        task_offsets: Option<Vec<TaskOffset>>,
        /// How far they could be.
        task_end_offsets: Option<Vec<TaskOffset>>,
        /// The whole application shall stop.
        shutdown_application: bool,
    }

    /// Sub-topologies and the topics that connect them. Also the value of the group's topology record.
    Topology {
        /// Its version.
        epoch: i32,
        /// Its parts.
        subtopologies: Vec<Subtopology>,
    }

    /// A part of a topology that runs as tasks of its own.
    Subtopology {
        /// Its id.
        subtopology_id: String,
        /// Topics it reads.
        source_topics: Vec<String>,
        /// Topics it reads by pattern, which is not supported.
        source_topic_regex: Vec<String>,
        /// Changelogs of its stores.
        state_changelog_topics: Vec<TopicInfo>,
        /// Repartition topics it writes.
        repartition_sink_topics: Vec<String>,
        /// Repartition topics it reads.
        repartition_source_topics: Vec<TopicInfo>,
        /// Which of its sources must have the same number of partitions.
        copartition_groups: Vec<CopartitionGroup>,
    }

    /// Indexes into the sources of a sub-topology.
    CopartitionGroup {
        /// Of source topics.
        source_topics: Vec<i16>,
        /// Of patterns.
        source_topic_regex: Vec<i16>,
        /// Of repartition topics.
        repartition_source_topics: Vec<i16>,
    }

    /// An internal topic.
    TopicInfo {
        /// Its name.
        name: String,
        /// How many partitions; 0 if that is the broker's to find out.
        partitions: i32,
        /// Replicas; 0 for the default.
        replication_factor: i16,
        /// Its configs.
        topic_configs: Vec<KeyValue>,
    }

    /// A setting.
    KeyValue {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    }

    /// Where a process is reached.
    Endpoint {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
    }

    /// How far a task is.
    TaskOffset {
        /// Its sub-topology.
        subtopology_id: String,
        /// Its partition.
        partition: i32,
        /// The sum of its changelogs' offsets.
        offset: i64,
    }

    /// Tasks of a sub-topology.
    TaskIds {
        /// The sub-topology.
        subtopology_id: String,
        /// The partitions.
        partitions: Vec<i32>,
    }

    /// The answer.
    StreamsGroupHeartbeatResponse {
        /// How long it was held back for quotas.
        throttle_time_ms: i32,
        /// What went wrong.
        error_code: i16,
        /// In words.
        error_message: Option<String>,
        /// The member.
        member_id: String,
        /// Its epoch from now on.
        member_epoch: i32,
        /// When it reports again.
        heartbeat_interval_ms: i32,
        /// For warm-up tasks.
        acceptable_recovery_lag: i32,
        /// For warm-up tasks.
        task_offset_interval_ms: i32,
        /// What stands in the application's way.
        status: Option<Vec<Status>>,
        /// Active tasks it shall run; null if that did not change.
        active_tasks: Option<Vec<TaskIds>>,
        /// Standby tasks it shall run.
        standby_tasks: Option<Vec<TaskIds>>,
        /// Warm-up tasks it shall run.
        warmup_tasks: Option<Vec<TaskIds>>,
        /// Of the endpoint information.
        endpoint_information_epoch: i32,
        /// Who serves which partitions; null if that did not change.
        partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
    }

    /// Something that stands in the application's way.
    Status {
        /// Its number.
        status_code: i8,
        /// In words.
        status_detail: String,
    }

    /// What a process serves.
    EndpointToPartitions {
        /// The process.
        user_endpoint: Endpoint,
        /// Partitions of its active tasks.
        active_partitions: Vec<TopicPartition>,
        /// Partitions of its standby tasks.
        standby_partitions: Vec<TopicPartition>,
    }

    /// Partitions of a topic.
    TopicPartition {
        /// The topic.
        topic: String,
        /// The partitions.
        partitions: Vec<i32>,
    }
}

message!(StreamsGroupHeartbeatRequest, version 0, header 2);
message!(StreamsGroupHeartbeatResponse, version 0, header 1);
