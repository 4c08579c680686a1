//! A streams group as StreamsGroupDescribe shows it.

use super::member::{StreamsMember, Tasks, task_ids};
use super::state::StreamsGroup;
use crate::protocol::streams_describe::{
    DescribedAssignment, DescribedGroup, DescribedSubtopology, DescribedTopology, Member,
};
use crate::protocol::streams_heartbeat::{KeyValue, TopicInfo};

impl StreamsGroup {
    /// Fills in all but the group's id.
    pub fn describe(&self, described: DescribedGroup) -> DescribedGroup {
        DescribedGroup {
            group_state: self.state().name().to_owned(),
            group_epoch: self.group.epoch,
            assignment_epoch: self.assignment_epoch,
            topology: self.describe_topology(),
            members: self
                .members
                .values()
                .map(|member| self.describe_member(member))
                .collect(),
            ..described
        }
    }

    /// None, as in Kafka, while source topics are missing or do not fit.
    fn describe_topology(&self) -> Option<DescribedTopology> {
        let topology = self.topology.as_ref()?;
        let configured = self
            .configured
            .as_ref()
            .filter(|configured| configured.subtopologies.is_some())?;
        let resolved = |topics: &[TopicInfo]| {
            let resolved = topics.iter().map(|topic| TopicInfo {
                partitions: configured.partition_counts.get(&topic.name).copied().unwrap_or(0),
                ..topic.clone()
            });
            resolved.collect()
        };
        let parts = topology.subtopologies.iter().map(|part| DescribedSubtopology {
            subtopology_id: part.subtopology_id.clone(),
            source_topics: part.source_topics.clone(),
            repartition_sink_topics: part.repartition_sink_topics.clone(),
            state_changelog_topics: resolved(&part.state_changelog_topics),
            repartition_source_topics: resolved(&part.repartition_source_topics),
        });
        Some(DescribedTopology {
            epoch: topology.epoch,
            subtopologies: Some(parts.collect()),
        })
    }

    fn describe_member(&self, member: &StreamsMember) -> Member {
        let metadata = &member.metadata;
        let tags = metadata.client_tags.iter().map(|(key, value)| KeyValue {
            key: key.clone(),
            value: value.clone(),
        });
        Member {
            member_id: member.member_id.clone(),
            member_epoch: member.current.epoch,
            rack_id: metadata.rack_id.clone(),
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            topology_epoch: metadata.topology_epoch,
            process_id: metadata.process_id.clone(),
            user_endpoint: metadata.user_endpoint.clone(),
            client_tags: tags.collect(),
            assignment: describe_tasks(&member.current.assigned),
            target_assignment: self
                .target(&member.member_id)
                .map(describe_tasks)
                .unwrap_or_default(),
            ..Member::default()
        }
    }
}

fn describe_tasks(tasks: &Tasks) -> DescribedAssignment {
    DescribedAssignment {
        active_tasks: task_ids(&tasks.active),
        standby_tasks: task_ids(&tasks.standby),
        warmup_tasks: task_ids(&tasks.warmup),
    }
}
