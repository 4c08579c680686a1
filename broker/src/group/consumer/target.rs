//! The target assignment: computed by an assignor for all members at once when the group's epoch has moved on.

use std::collections::BTreeMap;

use super::assignor::{Assignor, AssignorMember};
use super::member::{Assignment, ConsumerMember};
use super::record::ConsumerRecord;
use super::regex::ResolvedRegex;
use super::state::ConsumerGroup;
use super::subscription::topics_of_member;
use crate::group::topics::TopicImage;

impl ConsumerGroup {
    /// The assignor that most members ask for; the default if nobody asks.
    pub(super) fn preferred_assignor<'a>(
        members: impl Iterator<Item = &'a ConsumerMember>,
        default: Assignor,
    ) -> Assignor {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in members.filter_map(|member| member.metadata.server_assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        votes
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .and_then(|(name, _)| Assignor::of_name(name))
            .unwrap_or(default)
    }

    /// The target of these members for `epoch`, and the records that turn the one there is into it. `replaced` is a static
    /// member whose target goes to the member that took its place.
    pub(super) fn compute_target(
        &self,
        epoch: i32,
        members: &[&ConsumerMember],
        replaced: Option<&ConsumerMember>,
        regexes: &BTreeMap<String, ResolvedRegex>,
        topics: &TopicImage,
        default: Assignor,
    ) -> (BTreeMap<String, Assignment>, Vec<ConsumerRecord>) {
        let nothing = Assignment::new();
        let heir = |member: &ConsumerMember| {
            replaced.filter(|old| {
                old.metadata.instance_id.is_some() && old.metadata.instance_id == member.metadata.instance_id
            })
        };
        let specs: Vec<AssignorMember<'_>> = members
            .iter()
            .map(|member| {
                let previous_id = heir(member).map_or(&member.member_id, |old| &old.member_id);
                AssignorMember {
                    member_id: &member.member_id,
                    instance_id: member.metadata.instance_id.as_deref(),
                    topics: topics.ids(topics_of_member(member, regexes)),
                    previous: self.target.get(previous_id).unwrap_or(&nothing),
                }
            })
            .collect();
        let assignor = Self::preferred_assignor(members.iter().copied(), default);
        let assigned = assignor.assign(&specs, &|topic| topics.partition_count(topic));
        let mut records = Vec::new();
        let mut target = BTreeMap::new();
        for (member_id, assignment) in assigned {
            if self.target.get(member_id) != Some(&assignment) {
                let record = ConsumerRecord::Target(member_id.to_owned(), Some(assignment.clone()));
                records.push(record);
            }
            target.insert(member_id.to_owned(), assignment);
        }
        records.push(ConsumerRecord::TargetEpoch(Some(epoch)));
        (target, records)
    }
}
