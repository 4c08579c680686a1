//! Committed offsets: OffsetCommit, TxnOffsetCommit and the end of their transactions.
//!
//! An offset of a transaction waits beside the visible ones, under its producer id, until the marker comes.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::classic::{ClassicGroup, ClassicState};
use super::consumer::ConsumerMember;
use super::record::{GroupKey, OffsetValue};
use super::state::{CommittedOffset, Group, GroupKind, Offsets};
use super::{Append, GroupCoordinator, GroupReply, OffsetsReply};
use crate::coordinator_records::{MAX_ID_BYTES, coordinator_partition};
use crate::transaction::Token;

/// First version of OffsetCommit that knows GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;
/// Longest topic name.
const MAX_TOPIC_BYTES: usize = 249;

/// Who commits, as the request says.
struct Committer<'a> {
    member_id: &'a str,
    instance: Option<&'a str>,
    generation: i32,
    transactional: bool,
    version: i16,
}

impl GroupCoordinator {
    pub(super) fn commit_offsets(
        &mut self,
        token: Token,
        version: i16,
        request: &OffsetCommitRequest,
        now_ms: i64,
    ) {
        let committer = Committer {
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            transactional: false,
            version,
        };
        let unknown_group = if version >= GROUP_ID_NOT_FOUND_VERSION {
            ResponseError::GroupIdNotFound
        } else {
            ResponseError::IllegalGeneration
        };
        let allowed = self.check_committer(&request.group_id, &committer, unknown_group, now_ms);
        let retention_ms = Some(request.retention_time_ms).filter(|retention_ms| *retention_ms >= 0);
        let expire_ms = retention_ms.map(|retention_ms| now_ms.saturating_add(retention_ms));
        let mut offsets = Offsets::new();
        let mut response = OffsetCommitResponse::default();
        for topic in &request.topics {
            let mut answered = OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id);
            for partition in &topic.partitions {
                let value = OffsetValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition
                        .committed_metadata
                        .as_deref()
                        .unwrap_or_default()
                        .to_owned(),
                    commit_ms: now_ms,
                    expire_ms,
                };
                let index = partition.partition_index;
                let error_code = self.collect(&mut offsets, allowed, &topic.name, index, value);
                answered.partitions.push(
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(index)
                        .with_error_code(error_code),
                );
            }
            response.topics.push(answered);
        }
        self.append_offsets(
            token,
            &request.group_id,
            offsets,
            None,
            OffsetsReply::Plain(response),
        );
    }

    pub(super) fn commit_transactional_offsets(
        &mut self,
        token: Token,
        version: i16,
        request: &TxnOffsetCommitRequest,
        now_ms: i64,
    ) {
        let committer = Committer {
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            transactional: true,
            version,
        };
        let allowed = self.check_committer(
            &request.group_id,
            &committer,
            ResponseError::IllegalGeneration,
            now_ms,
        );
        let mut offsets = Offsets::new();
        let mut response = TxnOffsetCommitResponse::default();
        for topic in &request.topics {
            let mut answered = TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone());
            for partition in &topic.partitions {
                let value = OffsetValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition
                        .committed_metadata
                        .as_deref()
                        .unwrap_or_default()
                        .to_owned(),
                    commit_ms: now_ms,
                    expire_ms: None,
                };
                let index = partition.partition_index;
                let error_code = self.collect(&mut offsets, allowed, &topic.name, index, value);
                answered.partitions.push(
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(index)
                        .with_error_code(error_code),
                );
            }
            response.topics.push(answered);
        }
        let producer = (request.producer_id.0, request.producer_epoch);
        let reply = OffsetsReply::Transactional {
            producer_id: producer.0,
            response,
        };
        self.append_offsets(token, &request.group_id, offsets, Some(producer), reply);
    }

    fn check_committer(
        &mut self,
        group_id: &str,
        committer: &Committer<'_>,
        unknown_group: ResponseError,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if group_id.len() > MAX_ID_BYTES {
            return Err(ResponseError::InvalidGroupId);
        }
        let Some(group) = self.groups.get_mut(group_id) else {
            if committer.generation >= 0 {
                return Err(unknown_group);
            }
            // A consumer that assigns its own partitions: the group is only a name for its offsets.
            return self.group_or_new(group_id, now_ms).map(|_| ());
        };
        match &mut group.kind {
            GroupKind::Classic(group) => {
                group.check_committer(committer)?;
                // A commit is a sign of life as a heartbeat is.
                if let Some(member) = group.members.get_mut(committer.member_id)
                    && !committer.transactional
                {
                    member.heard(now_ms);
                }
            }
            GroupKind::Consumer(group) => {
                let epoch = group.member(committer.member_id).map(MemberEpoch::of);
                check_member_epoch(committer, group.is_empty(), epoch)?;
            }
            GroupKind::Streams(group) => {
                let epoch = group
                    .member(committer.member_id)
                    .map(|member| MemberEpoch::Modern(member.current.epoch));
                check_member_epoch(committer, group.is_empty(), epoch)?;
            }
        }
        Ok(())
    }

    /// Puts one offset of a request among those to be appended, or says why not.
    fn collect(
        &self,
        offsets: &mut Offsets<OffsetValue>,
        allowed: Result<(), ResponseError>,
        topic: &TopicName,
        partition: i32,
        value: OffsetValue,
    ) -> i16 {
        let longest = self.outbox.config.offset_metadata_max_bytes.min(MAX_ID_BYTES);
        let error = match allowed {
            Err(error) => error,
            Ok(()) if value.metadata.len() > longest => ResponseError::OffsetMetadataTooLarge,
            Ok(()) if topic.is_empty() || topic.len() > MAX_TOPIC_BYTES || partition < 0 => {
                ResponseError::UnknownTopicOrPartition
            }
            Ok(()) => {
                offsets
                    .entry(topic.to_string())
                    .or_default()
                    .insert(partition, value);
                return 0;
            }
        };
        error.code()
    }

    fn append_offsets(
        &mut self,
        token: Token,
        group_id: &str,
        offsets: Offsets<OffsetValue>,
        transaction: Option<(i64, i16)>,
        reply: OffsetsReply,
    ) {
        if offsets.is_empty() {
            self.outbox.reply(token, reply.finish(Ok(())));
            return;
        }
        let mut records = Vec::new();
        for (topic, partitions) in &offsets {
            for (partition, value) in partitions {
                let (group_id, topic) = (group_id.to_owned(), topic.clone());
                let key = GroupKey::Offset {
                    group_id,
                    topic,
                    partition: *partition,
                }
                .encode();
                records.push((key, Some(value.encode())));
            }
        }
        let purpose = Append::Offsets {
            group_id: group_id.to_owned(),
            offsets,
            token,
            reply,
        };
        self.outbox.append(group_id, records, transaction, purpose);
    }

    pub(super) fn offsets_appended(
        &mut self,
        group_id: &str,
        offsets: Offsets<OffsetValue>,
        token: Token,
        reply: OffsetsReply,
        result: Result<i64, ResponseError>,
    ) {
        if let Ok(base_offset) = result
            && let Some(group) = self.groups.get_mut(group_id)
        {
            let target = match &reply {
                OffsetsReply::Plain(_) => &mut group.offsets,
                OffsetsReply::Transactional { producer_id, .. } => {
                    self.open_transactions
                        .entry(*producer_id)
                        .or_default()
                        .insert(group_id.to_owned());
                    group.pending_offsets.entry(*producer_id).or_default()
                }
            };
            let mut log_offset = base_offset;
            for (topic, partitions) in offsets {
                let known = target.entry(topic).or_default();
                for (partition, value) in partitions {
                    known.insert(partition, CommittedOffset { value, log_offset });
                    log_offset += 1;
                }
            }
        }
        self.outbox.reply(token, reply.finish(result.map(|_| ())));
    }

    pub(super) fn end_transaction(&mut self, partition: i32, producer_id: i64, committed: bool) {
        let Some(group_ids) = self.open_transactions.get_mut(&producer_id) else {
            return;
        };
        let count = self.outbox.config.partition_count;
        // One producer may commit for several groups, whose offsets are in different partitions with a marker each.
        let (ended, open) = std::mem::take(group_ids)
            .into_iter()
            .partition(|group_id| coordinator_partition(group_id, count) == partition);
        *group_ids = open;
        if group_ids.is_empty() {
            self.open_transactions.remove(&producer_id);
        }
        for group_id in std::collections::BTreeSet::<String>::into_iter(ended) {
            if let Some(group) = self.groups.get_mut(&group_id) {
                group.end_transaction(producer_id, committed);
            }
        }
    }
}

impl ClassicGroup {
    fn check_committer(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        if self.state == ClassicState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if committer.generation < 0 && self.state == ClassicState::Empty {
            return Ok(());
        }
        if committer.generation >= 0 || !committer.member_id.is_empty() || committer.instance.is_some() {
            self.check_generation(committer.member_id, committer.instance, committer.generation)?;
        } else if !committer.transactional {
            return Err(ResponseError::UnknownMemberId);
        }
        if !committer.transactional && self.state == ClassicState::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }
}

/// What a member of a group whose members have epochs must say.
enum MemberEpoch {
    /// As its generation.
    Classic(i32),
    /// As its epoch.
    Modern(i32),
}

impl MemberEpoch {
    fn of(member: &ConsumerMember) -> Self {
        if member.is_classic() {
            Self::Classic(member.current.epoch)
        } else {
            Self::Modern(member.current.epoch)
        }
    }
}

/// First version of OffsetCommit that says a member epoch.
const MEMBER_EPOCH_VERSION: i16 = 9;

/// Whether a member of a group whose members have epochs may commit. `epoch` is the member's, if it is one.
fn check_member_epoch(
    committer: &Committer<'_>,
    group_is_empty: bool,
    epoch: Option<MemberEpoch>,
) -> Result<(), ResponseError> {
    if committer.generation < 0 && group_is_empty {
        return Ok(());
    }
    let says_nothing =
        committer.generation < 0 && committer.member_id.is_empty() && committer.instance.is_none();
    if committer.transactional && says_nothing {
        return Ok(());
    }
    let epoch = match epoch.ok_or(ResponseError::UnknownMemberId)? {
        MemberEpoch::Classic(generation) if generation == committer.generation => return Ok(()),
        MemberEpoch::Classic(_) => return Err(ResponseError::IllegalGeneration),
        MemberEpoch::Modern(epoch) => epoch,
    };
    if !committer.transactional && committer.version < MEMBER_EPOCH_VERSION {
        return Err(ResponseError::UnsupportedVersion);
    }
    if committer.generation == epoch {
        Ok(())
    } else if committer.transactional {
        // TxnOffsetCommit knows no member epochs, only generations.
        Err(ResponseError::IllegalGeneration)
    } else {
        Err(ResponseError::StaleMemberEpoch)
    }
}

impl Group {
    /// Whether who fetches offsets may; who does not say a member may always.
    pub fn check_fetcher(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), ResponseError> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let member_id = member_id.unwrap_or_default();
        let epoch = match &self.kind {
            GroupKind::Classic(_) => return Ok(()),
            GroupKind::Consumer(group) => match group.member(member_id).map(MemberEpoch::of) {
                Some(MemberEpoch::Classic(generation)) if generation != member_epoch => {
                    return Err(ResponseError::IllegalGeneration);
                }
                Some(MemberEpoch::Classic(epoch) | MemberEpoch::Modern(epoch)) => Some(epoch),
                None => None,
            },
            GroupKind::Streams(group) => group.member(member_id).map(|member| member.current.epoch),
        };
        match epoch {
            None => Err(ResponseError::UnknownMemberId),
            Some(epoch) if epoch != member_epoch => Err(ResponseError::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }

    fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let Some(pending) = self.pending_offsets.remove(&producer_id) else {
            return;
        };
        if !committed {
            return;
        }
        for (topic, partitions) in pending {
            let known = self.offsets.entry(topic).or_default();
            for (partition, offset) in partitions {
                // A later commit outside of the transaction is later in the log, and wins.
                if known
                    .get(&partition)
                    .is_none_or(|visible| visible.log_offset < offset.log_offset)
                {
                    known.insert(partition, offset);
                }
            }
        }
    }
}

impl OffsetsReply {
    /// The response; if the append failed, with its error for every partition that had none.
    fn finish(self, result: Result<(), ResponseError>) -> GroupReply {
        let failure = super::code(result);
        match self {
            Self::Plain(mut response) => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    if partition.error_code == 0 {
                        partition.error_code = failure;
                    }
                }
                GroupReply::CommitOffsets(response)
            }
            Self::Transactional { mut response, .. } => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    if partition.error_code == 0 {
                        partition.error_code = failure;
                    }
                }
                GroupReply::CommitTransactionalOffsets(response)
            }
        }
    }
}
