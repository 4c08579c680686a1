//! What time does to groups: sessions and join phases end, old offsets and empty groups go away; and what administrators
//! delete.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::record::GroupKey;
use super::state::{Group, GroupState};
use super::{Append, GroupCoordinator, GroupReply, Outbox};
use crate::transaction::Token;

impl GroupCoordinator {
    pub(super) fn tick(&mut self, now_ms: i64) {
        for group in self.groups.values_mut() {
            group.tick(&mut self.outbox, now_ms);
        }
        if now_ms >= self.next_expiry_check_ms {
            self.next_expiry_check_ms =
                now_ms.saturating_add(self.outbox.config.offsets_retention_check_interval_ms);
            for group in self.groups.values_mut() {
                group.expire_offsets(&mut self.outbox, now_ms);
            }
        }
    }

    pub(super) fn delete(&mut self, token: Token, group_id: &str, now_ms: i64) {
        let result = match self.groups.get_mut(group_id) {
            None => Err(ResponseError::GroupIdNotFound),
            Some(group) => match group.state {
                GroupState::Dead => Err(ResponseError::GroupIdNotFound),
                GroupState::Empty if group.pending_offsets.is_empty() => {
                    group.delete(Some(token), &mut self.outbox, now_ms);
                    return;
                }
                _ => Err(ResponseError::NonEmptyGroup),
            },
        };
        self.outbox.reply(token, GroupReply::Delete(result));
    }

    pub(super) fn deletion_appended(
        &mut self,
        group_id: &str,
        token: Option<Token>,
        result: Result<i64, ResponseError>,
        now_ms: i64,
    ) {
        match (self.groups.get_mut(group_id), result) {
            (Some(group), Err(_)) => group.enter(GroupState::Empty, now_ms),
            (Some(_), Ok(_)) => {
                self.groups.remove(group_id);
            }
            (None, _) => {}
        }
        if let Some(token) = token {
            self.outbox.reply(token, GroupReply::Delete(result.map(|_| ())));
        }
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        for group in self.groups.values_mut() {
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

impl Group {
    fn tick(&mut self, outbox: &mut Outbox, now_ms: i64) {
        self.pending_members.retain(|_, lapses_ms| *lapses_ms > now_ms);
        let silent: Vec<String> = self
            .members
            .values()
            // A parked request is a sign of life, but for a first JoinGroup, whose client may be gone for long.
            .filter(|member| {
                member.deadline_ms <= now_ms
                    && (member.is_new || (member.join.is_none() && member.sync.is_none()))
            })
            .map(|member| member.member_id.clone())
            .collect();
        for member_id in silent {
            tracing::info!(
                group = self.group_id,
                member_id,
                "a member was not heard of in time and is dropped"
            );
            self.remove_member(&member_id, outbox, now_ms);
        }
        if self
            .sync_deadline_ms
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            self.sync_deadline_ms = None;
            let late: Vec<String> = self
                .members
                .values()
                .filter(|member| member.owes_sync)
                .map(|member| member.member_id.clone())
                .collect();
            for member_id in late {
                self.remove_member(&member_id, outbox, now_ms);
            }
        }
        self.maybe_complete_join(outbox, now_ms);
    }

    fn expire_offsets(&mut self, outbox: &mut Outbox, now_ms: i64) {
        let retention_ms = outbox.config.offsets_retention_ms;
        let is_old = |since_ms: i64| now_ms.saturating_sub(since_ms) >= retention_ms;
        let subscribed = match self.state {
            // Offsets without members to keep them live from their commit.
            GroupState::Empty if self.protocol_type.is_none() => None,
            GroupState::Empty if is_old(self.state_since_ms) => None,
            GroupState::Stable => match self.subscribed_topics() {
                Some(topics) => Some(topics),
                None => return,
            },
            _ => return,
        };
        let mut tombstones = Vec::new();
        let (group_id, offsets) = (&self.group_id, &mut self.offsets);
        for (topic, partitions) in offsets.iter_mut() {
            if subscribed.as_ref().is_some_and(|topics| topics.contains(topic)) {
                continue;
            }
            partitions.retain(|partition, committed| {
                let keep = !is_old(committed.value.commit_ms);
                if !keep {
                    let key = GroupKey::Offset {
                        group_id: group_id.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                    };
                    tombstones.push((key.encode(), None));
                }
                keep
            });
        }
        offsets.retain(|_, partitions| !partitions.is_empty());
        if self.state == GroupState::Empty && self.offsets.is_empty() && self.pending_offsets.is_empty() {
            tombstones.push((self.group_key(), None));
            self.enter(GroupState::Dead, now_ms);
            let purpose = Append::Deletion {
                group_id: self.group_id.clone(),
                token: None,
            };
            outbox.append(&self.group_id, tombstones, None, purpose);
        } else if !tombstones.is_empty() {
            outbox.append(&self.group_id, tombstones, None, Append::Unwatched);
        }
    }

    fn delete(&mut self, token: Option<Token>, outbox: &mut Outbox, now_ms: i64) {
        let mut tombstones: Vec<(Bytes, Option<Bytes>)> = Vec::new();
        for (topic, partitions) in &self.offsets {
            tombstones.extend(
                partitions
                    .keys()
                    .map(|partition| (self.offset_key(topic, *partition), None)),
            );
        }
        tombstones.push((self.group_key(), None));
        self.enter(GroupState::Dead, now_ms);
        outbox.append(
            &self.group_id,
            tombstones,
            None,
            Append::Deletion {
                group_id: self.group_id.clone(),
                token,
            },
        );
    }

    fn group_key(&self) -> Bytes {
        GroupKey::Group {
            group_id: self.group_id.clone(),
        }
        .encode()
    }

    fn offset_key(&self, topic: &str, partition: i32) -> Bytes {
        GroupKey::Offset {
            group_id: self.group_id.clone(),
            topic: topic.to_owned(),
            partition,
        }
        .encode()
    }
}
