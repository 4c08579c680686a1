//! Bringing groups back from `__consumer_offsets`.

use super::classic::ClassicGroup;
use super::consumer::ConsumerRecord;
use super::record::{GroupKey, GroupValue, OffsetValue};
use super::state::{CommittedOffset, Group, GroupKind};
use super::streams::StreamsRecord;
use super::{GroupAction, GroupCoordinator, IN_PROCESS_HOST};
use crate::coordinator_records::RecordError;

impl GroupCoordinator {
    /// Replays one record of `__consumer_offsets`, in the order of its partition. `transaction` is the producer id of its
    /// batch if that is transactional.
    ///
    /// # Errors
    /// The record cannot be read; nothing changes.
    pub fn load(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        log_offset: i64,
        transaction: Option<i64>,
        now_ms: i64,
    ) -> Result<(), RecordError> {
        match (GroupKey::decode(key)?, value) {
            (
                GroupKey::Offset {
                    group_id,
                    topic,
                    partition,
                },
                Some(value),
            ) => {
                let committed = CommittedOffset {
                    value: OffsetValue::decode(value)?,
                    log_offset,
                };
                let group = self
                    .groups
                    .entry(group_id.clone())
                    .or_insert_with(|| Group::new(&group_id, now_ms));
                let offsets = match transaction {
                    Some(producer_id) => {
                        self.open_transactions
                            .entry(producer_id)
                            .or_default()
                            .insert(group_id);
                        group.pending_offsets.entry(producer_id).or_default()
                    }
                    None => &mut group.offsets,
                };
                offsets.entry(topic).or_default().insert(partition, committed);
            }
            (
                GroupKey::Offset {
                    group_id,
                    topic,
                    partition,
                },
                None,
            ) => {
                if let Some(partitions) = self
                    .groups
                    .get_mut(&group_id)
                    .and_then(|group| group.offsets.get_mut(&topic))
                {
                    partitions.remove(&partition);
                }
            }
            (GroupKey::Group { group_id }, Some(value)) => {
                let value = GroupValue::decode(value)?;
                let group = self
                    .groups
                    .entry(group_id.clone())
                    .or_insert_with(|| Group::new(&group_id, now_ms));
                let mut classic = ClassicGroup::new(&group_id, now_ms);
                classic.restore(value, now_ms);
                group.kind = GroupKind::Classic(classic);
            }
            (GroupKey::Group { group_id }, None) => {
                // Its offsets have their own records.
                if let Some(group) = self.groups.get_mut(&group_id)
                    && group.as_classic().is_some()
                {
                    group.kind = GroupKind::Classic(ClassicGroup::new(&group_id, now_ms));
                }
            }
            (GroupKey::Other(_), _) => {
                if let Some((group_id, record)) = ConsumerRecord::decode(key, value)? {
                    self.apply_consumer(&group_id, record, now_ms);
                } else if let Some((group_id, record)) = StreamsRecord::decode(key, value)? {
                    self.apply_streams(&group_id, record, now_ms);
                }
            }
        }
        Ok(())
    }

    /// Replays a marker of `__consumer_offsets`.
    pub fn load_marker(&mut self, partition: i32, producer_id: i64, committed: bool) {
        self.end_transaction(partition, producer_id, committed);
    }

    /// Ends the replay: members that lived in the broker's process are gone with it, and groups that lost some rebalance.
    pub fn finish_loading(&mut self, now_ms: i64) -> Vec<GroupAction> {
        for group in self.groups.values_mut() {
            group.offsets.retain(|_, partitions| !partitions.is_empty());
        }
        self.groups.retain(|_, group| {
            !(group.is_simple() && group.offsets.is_empty() && group.pending_offsets.is_empty())
        });
        let group_ids: Vec<String> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            let consumer_session_ms = i64::from(self.consumer_config(&group_id).session_timeout_ms);
            let streams_session_ms = i64::from(self.streams_config(&group_id).session_timeout_ms);
            let group = self.groups.get_mut(&group_id).expect("no group is removed here");
            match &mut group.kind {
                GroupKind::Classic(group) => {
                    let gone: Vec<String> = group
                        .members()
                        .filter(|member| member.client_host == IN_PROCESS_HOST)
                        .map(|member| member.member_id.clone())
                        .collect();
                    for member_id in gone {
                        group.remove_member(&member_id, &mut self.outbox, now_ms);
                    }
                    if group.leader.is_none() && !group.members.is_empty() {
                        // It was a consumer group until just before the end.
                        group.prepare_rebalance(&mut self.outbox, now_ms);
                    }
                }
                GroupKind::Consumer(group) => {
                    group.restart_sessions(consumer_session_ms, now_ms);
                }
                GroupKind::Streams(group) => {
                    group.restart_sessions(now_ms.saturating_add(streams_session_ms));
                }
            }
        }
        std::mem::take(&mut self.outbox.actions)
    }
}
