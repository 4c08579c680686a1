//! What goes away: old offsets, the groups that nobody uses any more, and what administrators delete.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::classic::ClassicState;
use super::modern::RawRecord;
use super::state::{Group, GroupKind};
use super::{Append, GroupCoordinator, GroupReply};
use crate::transaction::Token;

impl GroupCoordinator {
    pub(super) fn tick(&mut self, now_ms: i64) {
        for (group_id, group) in &mut self.groups {
            // One that is about to become something else keeps still.
            if let GroupKind::Classic(group) = &mut group.kind
                && !self.busy.contains_key(group_id)
            {
                group.tick(&mut self.outbox, now_ms);
            }
        }
        self.fence_overdue(now_ms);
        if now_ms >= self.next_expiry_check_ms {
            self.next_expiry_check_ms =
                now_ms.saturating_add(self.outbox.config.offsets_retention_check_interval_ms);
            self.expire_offsets(now_ms);
        }
    }

    /// Drops the members of a group whose time is over.
    pub(super) fn drop_silent(&mut self, group_id: &str, now_ms: i64) {
        match self.groups.get_mut(group_id).map(|group| &mut group.kind) {
            Some(GroupKind::Classic(group)) => group.tick(&mut self.outbox, now_ms),
            Some(_) => self.fence_overdue(now_ms),
            None => {}
        }
    }

    fn expire_offsets(&mut self, now_ms: i64) {
        let retention_ms = self.outbox.config.offsets_retention_ms;
        let mut abandoned = Vec::new();
        for (group_id, group) in &mut self.groups {
            if self.busy.contains_key(group_id) {
                continue;
            }
            let tombstones = group.expire_offsets(retention_ms, now_ms);
            if group.is_abandoned() {
                abandoned.push((group_id.clone(), tombstones));
            } else if !tombstones.is_empty() {
                self.outbox.append(group_id, tombstones, None, Append::Unwatched);
            }
        }
        for (group_id, tombstones) in abandoned {
            self.append_deletion(&group_id, tombstones, None);
        }
    }

    pub(super) fn delete(&mut self, token: Token, group_id: &str) {
        let result = match self.groups.get(group_id) {
            None => Err(ResponseError::GroupIdNotFound),
            Some(group) if group.is_empty() && group.pending_offsets.is_empty() => {
                let keys = group.offsets.iter().flat_map(|(topic, partitions)| {
                    partitions
                        .keys()
                        .map(|partition| group.offset_key(topic, *partition))
                });
                let tombstones = keys.map(|key| (key, None)).collect();
                return self.append_deletion(group_id, tombstones, Some(token));
            }
            Some(_) => Err(ResponseError::NonEmptyGroup),
        };
        self.outbox.reply(token, GroupReply::Delete(result));
    }

    fn append_deletion(&mut self, group_id: &str, mut tombstones: Vec<RawRecord>, token: Option<Token>) {
        let group = self.groups.get(group_id).expect("it was just looked up");
        tombstones.extend(group.kind_tombstones());
        let group_id = group_id.to_owned();
        self.busy
            .insert(group_id.clone(), std::collections::VecDeque::new());
        let purpose = Append::Deletion {
            group_id: group_id.clone(),
            token,
        };
        self.outbox.append(&group_id, tombstones, None, purpose);
    }

    pub(super) fn deletion_appended(
        &mut self,
        group_id: &str,
        token: Option<Token>,
        result: Result<i64, ResponseError>,
        now_ms: i64,
    ) {
        if result.is_ok() {
            self.groups.remove(group_id);
        }
        if let Some(token) = token {
            self.outbox.reply(token, GroupReply::Delete(result.map(|_| ())));
        }
        self.resume(group_id, now_ms);
    }

    /// OffsetDelete: offsets of topics that nobody in the group reads.
    pub(super) fn delete_offsets(&mut self, token: Token, request: &OffsetDeleteRequest) {
        let refuse = |error: ResponseError| OffsetDeleteResponse::default().with_error_code(error.code());
        let response = match self.groups.get_mut(request.group_id.as_str()) {
            None => refuse(ResponseError::GroupIdNotFound),
            Some(group) => match group.delete_offsets(request) {
                Err(error) => refuse(error),
                Ok((response, tombstones)) if tombstones.is_empty() => response,
                Ok((response, tombstones)) => {
                    let purpose = Append::OffsetDeletion {
                        group_id: group.group_id.clone(),
                        token,
                        response,
                    };
                    return self.outbox.append(&request.group_id, tombstones, None, purpose);
                }
            },
        };
        self.outbox.reply(token, GroupReply::DeleteOffsets(response));
    }

    pub(super) fn offset_deletion_appended(
        &mut self,
        group_id: &str,
        token: Token,
        response: OffsetDeleteResponse,
        result: Result<i64, ResponseError>,
    ) {
        let response = match result {
            Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
            Ok(_) => {
                if let Some(group) = self.groups.get_mut(group_id) {
                    group.forget_offsets(&response);
                }
                response
            }
        };
        self.outbox.reply(token, GroupReply::DeleteOffsets(response));
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        for group in self.groups.values_mut() {
            for pending in group.pending_offsets.values_mut() {
                pending.remove(topic);
            }
            let Some(partitions) = group.offsets.remove(topic) else {
                continue;
            };
            let tombstones = partitions
                .into_keys()
                .map(|partition| (group.offset_key(topic, partition), None))
                .collect();
            self.outbox
                .append(&group.group_id, tombstones, None, Append::Unwatched);
        }
    }
}

/// Which offsets of a group may expire.
enum Expiry {
    /// None.
    Never,
    /// Those that were committed so long ago, but of these topics.
    ByCommit(BTreeSet<String>),
}

impl Group {
    fn expiry(&self) -> Expiry {
        let GroupKind::Classic(group) = &self.kind else {
            return Expiry::ByCommit(self.subscribed_topics().unwrap_or_default());
        };
        match group.state() {
            ClassicState::Empty => Expiry::ByCommit(BTreeSet::new()),
            ClassicState::Stable => self.subscribed_topics().map_or(Expiry::Never, Expiry::ByCommit),
            _ => Expiry::Never,
        }
    }

    /// Topics that the members read; None if that cannot be known.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        match &self.kind {
            GroupKind::Classic(group) => group.subscribed_topics(),
            GroupKind::Streams(group) if group.is_empty() => Some(BTreeSet::new()),
            GroupKind::Streams(group) => Some(group.subscribed_topics().map(str::to_owned).collect()),
            GroupKind::Consumer(group) => {
                Some(group.subscribed_topics().into_iter().map(str::to_owned).collect())
            }
        }
    }

    /// Whether a classic group had members until not long ago. Offsets without members to keep them live from their commit.
    fn was_left_lately(&self, retention_ms: i64, now_ms: i64) -> bool {
        self.as_classic().is_some_and(|group| {
            let has_had_members = group.state() == ClassicState::Empty && !group.protocol_type().is_empty();
            has_had_members && self.left_since(now_ms) < retention_ms
        })
    }

    /// How long ago a classic group was left, in milliseconds; others do not write that down.
    fn left_since(&self, now_ms: i64) -> i64 {
        match &self.kind {
            GroupKind::Classic(group) => now_ms.saturating_sub(group.state_since_ms()),
            GroupKind::Consumer(_) | GroupKind::Streams(_) => i64::MAX,
        }
    }

    /// Whether it has neither members nor offsets.
    fn is_abandoned(&self) -> bool {
        let awaited = self
            .as_classic()
            .is_some_and(|group| !group.pending_members.is_empty());
        self.is_empty() && !awaited && self.offsets.is_empty() && self.pending_offsets.is_empty()
    }

    fn expire_offsets(&mut self, retention_ms: i64, now_ms: i64) -> Vec<RawRecord> {
        let Expiry::ByCommit(subscribed) = self.expiry() else {
            return Vec::new();
        };
        let was_left_lately = self.was_left_lately(retention_ms, now_ms);
        let mut offsets = std::mem::take(&mut self.offsets);
        let mut tombstones = Vec::new();
        for (topic, partitions) in &mut offsets {
            if subscribed.contains(topic) {
                continue;
            }
            partitions.retain(|partition, committed| {
                let value = &committed.value;
                let is_old = match value.expire_ms {
                    Some(expire_ms) => now_ms >= expire_ms,
                    None => !was_left_lately && now_ms.saturating_sub(value.commit_ms) >= retention_ms,
                };
                let keep = !is_old || self.is_unstable(topic, *partition);
                if !keep {
                    tombstones.push((self.offset_key(topic, *partition), None));
                }
                keep
            });
        }
        offsets.retain(|_, partitions| !partitions.is_empty());
        self.offsets = offsets;
        tombstones
    }

    fn delete_offsets(
        &self,
        request: &OffsetDeleteRequest,
    ) -> Result<(OffsetDeleteResponse, Vec<RawRecord>), ResponseError> {
        if let GroupKind::Classic(group) = &self.kind {
            match group.state() {
                ClassicState::Dead => return Err(ResponseError::GroupIdNotFound),
                ClassicState::Empty => {}
                _ if group.protocol_type() != "consumer" => return Err(ResponseError::NonEmptyGroup),
                _ => {}
            }
        }
        let subscribed = if self.is_empty() {
            None
        } else {
            self.subscribed_topics()
        };
        let mut tombstones = Vec::new();
        let topics = request.topics.iter().map(|topic| {
            // Of members whose subscriptions cannot be read any topic may be meant.
            let is_read = !self.is_empty()
                && subscribed
                    .as_ref()
                    .is_none_or(|subscribed| subscribed.contains(topic.name.as_str()));
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let answered = OffsetDeleteResponsePartition::default().with_partition_index(index);
                if is_read {
                    return answered.with_error_code(ResponseError::GroupSubscribedToTopic.code());
                }
                if self.committed(&topic.name, index).is_some() || self.is_unstable(&topic.name, index) {
                    tombstones.push((self.offset_key(&topic.name, index), None));
                }
                answered
            });
            let partitions = partitions.collect();
            OffsetDeleteResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Ok((OffsetDeleteResponse::default().with_topics(topics), tombstones))
    }

    /// Forgets the offsets that this response says were deleted, those of open transactions too.
    fn forget_offsets(&mut self, response: &OffsetDeleteResponse) {
        for topic in &response.topics {
            for partition in topic
                .partitions
                .iter()
                .filter(|partition| partition.error_code == 0)
            {
                for offsets in self.pending_offsets.values_mut().chain([&mut self.offsets]) {
                    if let Some(partitions) = offsets.get_mut(topic.name.as_str()) {
                        partitions.remove(&partition.partition_index);
                        if partitions.is_empty() {
                            offsets.remove(topic.name.as_str());
                        }
                    }
                }
            }
        }
    }
}
