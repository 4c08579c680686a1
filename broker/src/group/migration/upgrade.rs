//! From the classic to the consumer protocol.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::group::classic::{ClassicGroup, ClassicState, Member};
use crate::group::consumer::{Assignment, ClassicMember, ConsumerGroup, ConsumerMember, ConsumerRecord};
use crate::group::embedded::{self, EmbeddedAssignment, Subscription};
use crate::group::modern::ModernRecord;
use crate::group::state::GroupKind;
use crate::group::topics::TopicImage;
use crate::group::{GroupCoordinator, Outbox, Refusal, refuse};

/// A classic group as the consumer group that it becomes.
pub(in crate::group) struct Upgraded {
    pub(in crate::group) group: ConsumerGroup,
    pub(in crate::group) records: Vec<ModernRecord>,
    /// Until when its members are believed to live.
    pub(in crate::group) sessions: Vec<(String, i64)>,
}

impl GroupCoordinator {
    /// What a classic group becomes because somebody joins it with the consumer protocol; None if there is no classic group
    /// with members.
    pub(in crate::group) fn upgraded(
        &self,
        group_id: &str,
        now_ms: i64,
    ) -> Result<Option<Upgraded>, Refusal> {
        let group = self.groups.get(group_id).filter(|group| !group.is_empty());
        let Some((group, classic)) = group.and_then(|group| Some((group, group.as_classic()?))) else {
            return Ok(None);
        };
        let config = &self.outbox.config.consumer;
        let refused = |why: &str| {
            let message = format!("Cannot upgrade classic group {group_id} to consumer group because {why}.");
            refuse(ResponseError::GroupIdNotFound, message)
        };
        if !config.migration.may_upgrade() {
            return Err(refused("online upgrade is disabled"));
        }
        if classic.protocol_type() != embedded::PROTOCOL_TYPE {
            return Err(refused("the group does not use the consumer embedded protocol"));
        }
        if classic.members.len() > config.max_size {
            return Err(refused("the group size exceeds the consumer group maximum size"));
        }
        let members = classic.to_consumers(&self.topics).map_err(refused)?;
        let records = ConsumerGroup::records_of(classic.generation, &members, &self.topics);
        let mut upgraded = ConsumerGroup::default();
        for record in &records {
            upgraded.apply(record.clone(), now_ms);
        }
        let sessions = classic.members().map(|member| {
            let session_ms = i64::from(member.session_timeout_ms);
            (member.member_id.clone(), now_ms.saturating_add(session_ms))
        });
        let tombstones = group.kind_tombstones().into_iter().map(ModernRecord::Raw);
        Ok(Some(Upgraded {
            sessions: sessions.collect(),
            records: tombstones
                .chain(records.into_iter().map(ModernRecord::Consumer))
                .collect(),
            group: upgraded,
        }))
    }

    /// The classic group is about to become something else: who waits in it is told to come again.
    pub(in crate::group) fn interrupt_classic(&mut self, group_id: &str, now_ms: i64) {
        if let Some(GroupKind::Classic(group)) = self.groups.get_mut(group_id).map(|group| &mut group.kind) {
            group.interrupt(&mut self.outbox, now_ms);
        }
    }
}

/// Partitions that a member may be reading.
struct Claim {
    /// Place of the member.
    member: usize,
    /// It has moved on since, and need not hold them any more.
    is_doubtful: bool,
    /// Generation in which it was given them, as far as it says.
    generation: i32,
    partitions: Assignment,
}

impl ClassicGroup {
    /// Its members as members of a consumer group, each with what it may be reading; or why that cannot be.
    fn to_consumers(&self, topics: &TopicImage) -> Result<Vec<ConsumerMember>, &'static str> {
        const MALFORMED: &str = "the embedded consumer protocol is malformed";
        const CUSTOM: &str = "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                              default assignor before re-attempting the upgrade";
        let mut claims = Vec::new();
        let mut members = Vec::new();
        for member in self.members() {
            let metadata = match self.protocol() {
                "" => member.protocols.first().map(|(_, metadata)| metadata.clone()),
                protocol => Some(member.metadata(protocol)),
            };
            let subscription = Subscription::decode(&metadata.unwrap_or_default()).map_err(|_| MALFORMED)?;
            let assignment = EmbeddedAssignment::decode(&member.assignment).map_err(|_| MALFORMED)?;
            if assignment.has_user_data {
                return Err(CUSTOM);
            }
            let has_joined = self.has_joined(member);
            claims.push(Claim {
                member: members.len(),
                is_doubtful: !has_joined,
                generation: subscription.generation,
                partitions: subscription.owned_by_id(topics),
            });
            claims.push(Claim {
                member: members.len(),
                is_doubtful: has_joined,
                generation: self.generation,
                partitions: assignment.by_id(topics),
            });
            members.push(member.to_consumer(self.generation, subscription));
        }
        hold(&mut members, claims);
        Ok(members)
    }

    /// Whether a member has joined for a generation whose assignment it has not got: it holds what it said as it joined, at most.
    fn has_joined(&self, member: &Member) -> bool {
        match self.state() {
            ClassicState::PreparingRebalance => member.join.is_some(),
            // But for static members that are away.
            ClassicState::CompletingRebalance => member.owes_sync || member.sync.is_some(),
            ClassicState::Stable | ClassicState::Empty | ClassicState::Dead => false,
        }
    }

    /// Ends all waiting: members keep their membership, and have to join again.
    fn interrupt(&mut self, outbox: &mut Outbox, now_ms: i64) {
        if self.state() == ClassicState::CompletingRebalance {
            self.prepare_rebalance(outbox, now_ms);
        }
        for member in self.members.values_mut() {
            if let Some(token) = member.join.take() {
                let error = ResponseError::RebalanceInProgress;
                outbox.reply(token, crate::group::classic::refused(error, &member.member_id));
            }
        }
    }
}

/// Gives members what they claim, every partition to one: to whose claim is the surest.
///
/// Kafka looks at the last assignment alone. But a member that keeps its partitions while it joins still reads what it held as it
/// joined, until it has asked for its next assignment and has acted on that: it must be waited for like any other.
fn hold(members: &mut [ConsumerMember], mut claims: Vec<Claim>) {
    claims.sort_by_key(|claim| (claim.is_doubtful, Reverse(claim.generation)));
    let mut held: BTreeSet<(Uuid, i32)> = BTreeSet::new();
    for claim in claims {
        let assigned = &mut members[claim.member].current.assigned;
        for (topic, partitions) in claim.partitions {
            for partition in partitions {
                if held.insert((topic, partition)) {
                    assigned.entry(topic).or_default().insert(partition);
                }
            }
        }
    }
}

impl Member {
    fn to_consumer(&self, generation: i32, subscription: Subscription) -> ConsumerMember {
        let mut member = ConsumerMember::new(&self.member_id);
        let metadata = &mut member.metadata;
        metadata.instance_id.clone_from(&self.group_instance_id);
        metadata.rack_id = subscription.rack_id;
        metadata.client_id.clone_from(&self.client_id);
        metadata.client_host.clone_from(&self.client_host);
        metadata.topic_names = subscription.topics;
        metadata.rebalance_timeout_ms = self.rebalance_timeout_ms;
        metadata.classic = Some(ClassicMember {
            session_timeout_ms: self.session_timeout_ms,
            protocols: self.protocols.clone(),
        });
        member.current.epoch = generation;
        member.current.previous_epoch = generation;
        member
    }
}

impl ConsumerGroup {
    /// The records of a group with these members, each of which holds its target.
    fn records_of(epoch: i32, members: &[ConsumerMember], topics: &TopicImage) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        for member in members {
            let metadata = member.metadata.clone();
            records.push(ConsumerRecord::Member(member.member_id.clone(), Some(metadata)));
        }
        let names: BTreeSet<&str> = members
            .iter()
            .flat_map(|member| member.metadata.topic_names.iter().map(String::as_str))
            .collect();
        records.push(ConsumerRecord::group(epoch, topics.metadata_hash(names)));
        for member in members {
            let target = member.current.assigned.clone();
            records.push(ConsumerRecord::Target(member.member_id.clone(), Some(target)));
        }
        records.push(ConsumerRecord::TargetEpoch(Some(epoch)));
        for member in members {
            let current = member.current.clone();
            records.push(ConsumerRecord::Current(member.member_id.clone(), Some(current)));
        }
        records
    }
}
