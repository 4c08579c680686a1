//! From the consumer to the classic protocol.

use crate::group::GroupCoordinator;
use crate::group::classic::{ClassicGroup, ClassicState, Member};
use crate::group::consumer::{ConsumerGroup, ConsumerMember};
use crate::group::embedded;
use crate::group::modern::{ModernRecord, Step};
use crate::group::state::{Group, GroupKind};
use crate::group::topics::TopicImage;

impl GroupCoordinator {
    /// The step that takes members out of a consumer group, which makes it classic if all who stay speak the classic protocol.
    pub(in crate::group) fn step_without(&self, group_id: &str, gone: &[&str], now_ms: i64) -> Step {
        let Some(group) = self.groups.get(group_id).and_then(Group::as_consumer) else {
            return Step::default();
        };
        if gone.is_empty() {
            return Step::default();
        }
        self.downgraded(group_id, group, gone, now_ms).unwrap_or_else(|| {
            let records = group.fence(gone, &self.topics).into_iter();
            Step {
                records: records.map(ModernRecord::Consumer).collect(),
                ..Step::default()
            }
        })
    }

    /// The step that makes a consumer group classic, without some of its members; None if it has to stay what it is.
    ///
    /// The generation is the epoch as it was when they were there, so that members that had caught up with it are asked to join
    /// again, and not told that they are out.
    pub(in crate::group) fn downgraded(
        &self,
        group_id: &str,
        group: &ConsumerGroup,
        gone: &[&str],
        now_ms: i64,
    ) -> Option<Step> {
        let config = &self.outbox.config;
        let is_due = config.consumer.migration.may_downgrade()
            && group.is_classic_without(gone)
            && group.members().count() - gone.len() <= config.max_size;
        if !is_due {
            return None;
        }
        let classic = ClassicGroup::of_consumer(group_id, group, gone, &self.topics, now_ms);
        let Some(mut classic) = classic else {
            tracing::debug!(
                group = group_id,
                "a consumer group cannot become classic: a subscription is malformed"
            );
            return None;
        };
        tracing::info!(
            group = group_id,
            "nobody speaks the consumer protocol any more: the group becomes classic"
        );
        let tombstones = group.tombstones().into_iter().map(ModernRecord::Consumer);
        // Without a leader: whoever reads that knows that the members have yet to agree on their assignment.
        let (key, value) = classic.record(None);
        classic.leader = classic.members.keys().next().cloned();
        Some(Step {
            records: tombstones
                .chain([ModernRecord::Raw((key, Some(value)))])
                .collect(),
            becomes: Some(Box::new(classic)),
            ..Step::default()
        })
    }

    /// Makes a consumer group classic in which nobody is left who speaks the consumer protocol.
    pub(in crate::group) fn maybe_downgrade(&mut self, group_id: &str, now_ms: i64) {
        if self.busy.contains_key(group_id) {
            return;
        }
        let group = self.groups.get(group_id).and_then(Group::as_consumer);
        if let Some(step) = group.and_then(|group| self.downgraded(group_id, group, &[], now_ms)) {
            self.take_step(group_id, None, step, now_ms);
        }
    }

    /// As [`maybe_downgrade`](Self::maybe_downgrade), for every group: what is allowed may have changed.
    pub(in crate::group) fn downgrade_due(&mut self, now_ms: i64) {
        if !self.outbox.config.consumer.migration.may_downgrade() {
            return;
        }
        let is_due = |group: &Group| {
            group
                .as_consumer()
                .is_some_and(|group| group.is_classic_without(&[]))
        };
        let due = self.groups.iter().filter(|(_, group)| is_due(group));
        let due: Vec<String> = due.map(|(group_id, _)| group_id.clone()).collect();
        for group_id in due {
            self.maybe_downgrade(&group_id, now_ms);
        }
    }

    /// The step that made a group classic is in the log.
    pub(in crate::group) fn become_classic(
        &mut self,
        group_id: &str,
        mut classic: ClassicGroup,
        now_ms: i64,
    ) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        // What its members were given before must be agreed upon anew.
        classic.prepare_rebalance(&mut self.outbox, now_ms);
        group.kind = GroupKind::Classic(classic);
    }
}

impl ConsumerGroup {
    /// Whether there are members beside these, and all of them speak the classic protocol.
    fn is_classic_without(&self, gone: &[&str]) -> bool {
        let is_gone = |member: &ConsumerMember| gone.contains(&member.member_id.as_str());
        let mut others = self.members().filter(|member| !is_gone(member)).peekable();
        others.peek().is_some() && others.all(ConsumerMember::is_classic)
    }
}

impl ClassicGroup {
    /// The classic group of a consumer group's members but some, all of whom are classic. None if they cannot be understood.
    ///
    /// Each is written down with what it may still hold, where Kafka has the target: the group rebalances anyway, but if it is
    /// upgraded again before that, nobody may be given what another has not given up.
    fn of_consumer(
        group_id: &str,
        group: &ConsumerGroup,
        gone: &[&str],
        topics: &TopicImage,
        now_ms: i64,
    ) -> Option<Self> {
        let mut classic = Self::new(group_id, now_ms);
        for member in group.members() {
            if gone.contains(&member.member_id.as_str()) {
                continue;
            }
            let own = member.metadata.classic.as_ref()?;
            let (_, subscription) = own.protocols.first()?;
            let mut converted = Member {
                member_id: member.member_id.clone(),
                group_instance_id: member.metadata.instance_id.clone(),
                client_id: member.metadata.client_id.clone(),
                client_host: member.metadata.client_host.clone(),
                rebalance_timeout_ms: member.metadata.rebalance_timeout_ms,
                session_timeout_ms: own.session_timeout_ms,
                protocols: own.protocols.clone(),
                assignment: embedded::encode_assignment(&member.current.held(), topics, subscription).ok()?,
                join: None,
                sync: None,
                owes_sync: false,
                deadline_ms: 0,
                is_new: false,
            };
            converted.heard(now_ms);
            if let Some(instance_id) = &converted.group_instance_id {
                let holder = converted.member_id.clone();
                classic.static_members.insert(instance_id.clone(), holder);
            }
            classic.members.insert(converted.member_id.clone(), converted);
        }
        classic.protocol_type = Some(embedded::PROTOCOL_TYPE.to_owned());
        classic.protocol = classic.select_protocol();
        classic.generation = group.epoch();
        classic.enter(ClassicState::Stable, now_ms);
        Some(classic)
    }
}
