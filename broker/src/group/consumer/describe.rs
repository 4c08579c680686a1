//! A consumer group as ConsumerGroupDescribe shows it.

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member, TopicPartitions,
};

use super::assignor::Assignor;
use super::member::{Assignment, ConsumerMember};
use super::state::ConsumerGroup;
use crate::group::text;
use crate::group::topics::TopicImage;

/// `memberType` of a member that speaks the classic protocol, and of one that speaks the consumer protocol.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

impl ConsumerGroup {
    /// Fills in all but the group's id.
    pub fn describe(
        &self,
        described: DescribedGroup,
        topics: &TopicImage,
        default: Assignor,
    ) -> DescribedGroup {
        let assignor = Self::preferred_assignor(self.members.values(), default);
        described
            .with_group_state(text(self.state().name()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.assignment_epoch)
            .with_assignor_name(text(assignor.name()))
            .with_members(
                self.members
                    .values()
                    .map(|member| self.describe_member(member, topics))
                    .collect(),
            )
    }

    fn describe_member(&self, member: &ConsumerMember, topics: &TopicImage) -> Member {
        let metadata = &member.metadata;
        let target = self
            .target
            .get(&member.member_id)
            .map(|target| describe_assignment(target, topics));
        Member::default()
            .with_member_id(text(&member.member_id))
            .with_instance_id(metadata.instance_id.as_deref().map(text))
            .with_rack_id(metadata.rack_id.as_deref().map(text))
            .with_member_epoch(member.current.epoch)
            .with_client_id(text(&metadata.client_id))
            .with_client_host(text(&metadata.client_host))
            .with_subscribed_topic_names(
                metadata
                    .topic_names
                    .iter()
                    .map(|name| TopicName(text(name)))
                    .collect(),
            )
            .with_subscribed_topic_regex(Some(text(metadata.regex().unwrap_or_default())))
            .with_assignment(describe_assignment(&member.current.assigned, topics))
            .with_target_assignment(target.unwrap_or_default())
            .with_member_type(if member.is_classic() {
                CLASSIC_MEMBER
            } else {
                CONSUMER_MEMBER
            })
    }
}

/// Topics that are gone have no name, and are left out.
fn describe_assignment(assignment: &Assignment, topics: &TopicImage) -> DescribedAssignment {
    let named = assignment.iter().filter_map(|(topic, partitions)| {
        let name = topics.name(*topic)?;
        let described = TopicPartitions::default()
            .with_topic_id(*topic)
            .with_topic_name(TopicName(text(name)))
            .with_partitions(partitions.iter().copied().collect());
        Some(described)
    });
    DescribedAssignment::default().with_topic_partitions(named.collect())
}
