//! The records of `__consumer_offsets` that consumer groups write, byte for byte as Kafka writes them (`ConsumerGroup*Key`
//! and `ConsumerGroup*Value`). A value is its version, 0, and the fields in the flexible encoding.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::member::{Assignment, ClassicMember, CurrentAssignment, MemberMetadata, MemberState};
use super::regex::ResolvedRegex;
use crate::coordinator_records::{FieldReader, FieldWriter, RecordError};

const GROUP_KEY: i16 = 3;
const PARTITION_METADATA_KEY: i16 = 4;
const MEMBER_KEY: i16 = 5;
const TARGET_EPOCH_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
const REGEX_KEY: i16 = 16;
const METADATA_HASH_TAG: u32 = 0;
const CLASSIC_MEMBER_TAG: u32 = 0;

/// The group itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEpoch {
    /// Its epoch.
    pub epoch: i32,
    /// Of the topics it reads.
    pub metadata_hash: i64,
}

/// A change of a consumer group; None removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group's epoch, or the end of the group.
    Group(Option<GroupEpoch>),
    /// Written by Kafka before 4.1; only whether it is there matters.
    PartitionMetadata(bool),
    /// What a member said of itself.
    Member(String, Option<MemberMetadata>),
    /// The epoch of the target.
    TargetEpoch(Option<i32>),
    /// What a member shall hold.
    Target(String, Option<Assignment>),
    /// What a member holds.
    Current(String, Option<CurrentAssignment>),
    /// What a regular expression matches.
    Regex(String, Option<ResolvedRegex>),
}

impl ConsumerRecord {
    /// The group itself, with its epoch and the hash of the topics it reads.
    pub(in crate::group) fn group(epoch: i32, metadata_hash: i64) -> Self {
        Self::Group(Some(GroupEpoch { epoch, metadata_hash }))
    }

    /// Key and value, None for a tombstone.
    pub fn encode(&self, group_id: &str) -> (Bytes, Option<Bytes>) {
        let key = |kind: i16| {
            let mut writer = FieldWriter::default();
            writer.i16(kind).string(group_id);
            writer
        };
        let with = |kind: i16, name: &str| key(kind).string(name).finish();
        match self {
            Self::Group(value) => (key(GROUP_KEY).finish(), value.as_ref().map(encode_group)),
            Self::PartitionMetadata(_) => (key(PARTITION_METADATA_KEY).finish(), None),
            Self::Member(id, value) => (with(MEMBER_KEY, id), value.as_ref().map(encode_member)),
            Self::TargetEpoch(value) => {
                let value = value.map(|epoch| FieldWriter::value().i32(epoch).no_tags().finish());
                (key(TARGET_EPOCH_KEY).finish(), value)
            }
            Self::Target(id, value) => {
                let encode = |target| FieldWriter::value().assignment(target).no_tags().finish();
                (with(TARGET_KEY, id), value.as_ref().map(encode))
            }
            Self::Current(id, value) => (with(CURRENT_KEY, id), value.as_ref().map(encode_current)),
            Self::Regex(regex, value) => (with(REGEX_KEY, regex), value.as_ref().map(encode_regex)),
        }
    }

    /// Whether it only removes.
    pub fn is_tombstone(&self) -> bool {
        matches!(
            self,
            Self::Group(None)
                | Self::PartitionMetadata(false)
                | Self::Member(_, None)
                | Self::TargetEpoch(None)
                | Self::Target(_, None)
                | Self::Current(_, None)
                | Self::Regex(_, None)
        )
    }

    /// Reads a record: the group's id and the change. None if the key is not of a consumer group.
    ///
    /// # Errors
    /// It is not whole, or of a version that is not known.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<(String, Self)>, RecordError> {
        let mut key = FieldReader::new("ConsumerGroupKey", key);
        let kind = key.i16("version")?;
        if !matches!(kind, GROUP_KEY..=CURRENT_KEY | REGEX_KEY) {
            return Ok(None);
        }
        let group_id = key.string("groupId")?;
        let record = match kind {
            GROUP_KEY => Self::Group(value.map(decode_group).transpose()?),
            PARTITION_METADATA_KEY => Self::PartitionMetadata(value.is_some()),
            MEMBER_KEY => Self::Member(key.string("memberId")?, value.map(decode_member).transpose()?),
            TARGET_EPOCH_KEY => Self::TargetEpoch(value.map(decode_target_epoch).transpose()?),
            TARGET_KEY => Self::Target(key.string("memberId")?, value.map(decode_target).transpose()?),
            CURRENT_KEY => Self::Current(key.string("memberId")?, value.map(decode_current).transpose()?),
            _ => Self::Regex(
                key.string("regularExpression")?,
                value.map(decode_regex).transpose()?,
            ),
        };
        Ok(Some((group_id, record)))
    }
}

fn encode_group(value: &GroupEpoch) -> Bytes {
    let mut writer = FieldWriter::value();
    writer.i32(value.epoch);
    if value.metadata_hash == 0 {
        writer.no_tags();
    } else {
        writer.unsigned_varint(1).unsigned_varint(METADATA_HASH_TAG);
        writer.tagged_field(&value.metadata_hash.to_be_bytes());
    }
    writer.finish()
}

fn decode_group(value: &[u8]) -> Result<GroupEpoch, RecordError> {
    let mut reader = FieldReader::value("ConsumerGroupMetadataValue", value)?;
    let mut group = GroupEpoch {
        epoch: reader.i32("epoch")?,
        metadata_hash: 0,
    };
    reader.tagged_fields(|tag, field| {
        if tag == METADATA_HASH_TAG {
            group.metadata_hash = field.i64("metadataHash")?;
        }
        Ok(())
    })?;
    Ok(group)
}

fn encode_member(member: &MemberMetadata) -> Bytes {
    let mut writer = FieldWriter::value();
    writer
        .compact_nullable_string(member.instance_id.as_deref())
        .compact_nullable_string(member.rack_id.as_deref())
        .compact_string(&member.client_id)
        .compact_string(&member.client_host)
        .compact_array_length(Some(member.topic_names.len()));
    for name in &member.topic_names {
        writer.compact_string(name);
    }
    writer
        .compact_nullable_string(member.topic_regex.as_deref())
        .i32(member.rebalance_timeout_ms)
        .compact_nullable_string(member.server_assignor.as_deref());
    match &member.classic {
        None => writer.no_tags(),
        Some(classic) => {
            writer.unsigned_varint(1).unsigned_varint(CLASSIC_MEMBER_TAG);
            writer.tagged_field(&encode_classic(classic))
        }
    };
    writer.finish()
}

fn encode_classic(classic: &ClassicMember) -> Bytes {
    let mut writer = FieldWriter::default();
    // It is not null.
    writer.i8(1).i32(classic.session_timeout_ms);
    writer.compact_array_length(Some(classic.protocols.len()));
    for (name, metadata) in &classic.protocols {
        writer.compact_string(name).compact_bytes(metadata).no_tags();
    }
    writer.no_tags().finish()
}

fn decode_classic(reader: &mut FieldReader<'_>) -> Result<Option<ClassicMember>, RecordError> {
    if reader.i8("classicMemberMetadata")? < 0 {
        return Ok(None);
    }
    let session_timeout_ms = reader.i32("sessionTimeoutMs")?;
    let mut protocols = Vec::new();
    for _ in 0..reader.compact_array_length("supportedProtocols")?.unwrap_or(0) {
        let name = reader.compact_string("name")?;
        protocols.push((name, reader.compact_bytes("metadata")?));
        reader.tagged_fields(|_, _| Ok(()))?;
    }
    reader.tagged_fields(|_, _| Ok(()))?;
    Ok(Some(ClassicMember {
        session_timeout_ms,
        protocols,
    }))
}

fn decode_member(value: &[u8]) -> Result<MemberMetadata, RecordError> {
    let mut reader = FieldReader::value("ConsumerGroupMemberMetadataValue", value)?;
    let instance_id = reader.compact_nullable_string("instanceId")?;
    let rack_id = reader.compact_nullable_string("rackId")?;
    let client_id = reader.compact_string("clientId")?;
    let client_host = reader.compact_string("clientHost")?;
    let count = reader.compact_array_length("subscribedTopicNames")?.unwrap_or(0);
    let topic_names: Result<BTreeSet<String>, _> = (0..count)
        .map(|_| reader.compact_string("subscribedTopicNames"))
        .collect();
    let mut member = MemberMetadata {
        instance_id,
        rack_id,
        client_id,
        client_host,
        topic_names: topic_names?,
        topic_regex: reader.compact_nullable_string("subscribedTopicRegex")?,
        rebalance_timeout_ms: reader.i32("rebalanceTimeoutMs")?,
        server_assignor: reader.compact_nullable_string("serverAssignor")?,
        classic: None,
    };
    reader.tagged_fields(|tag, field| {
        if tag == CLASSIC_MEMBER_TAG {
            member.classic = decode_classic(field)?;
        }
        Ok(())
    })?;
    Ok(member)
}

fn decode_target_epoch(value: &[u8]) -> Result<i32, RecordError> {
    FieldReader::value("ConsumerGroupTargetAssignmentMetadataValue", value)?.i32("assignmentEpoch")
}

fn decode_target(value: &[u8]) -> Result<Assignment, RecordError> {
    FieldReader::value("ConsumerGroupTargetAssignmentMemberValue", value)?.assignment("topicPartitions")
}

fn encode_current(current: &CurrentAssignment) -> Bytes {
    FieldWriter::value()
        .i32(current.epoch)
        .i32(current.previous_epoch)
        .i8(current.state.code())
        .assignment(&current.assigned)
        .assignment(&current.revoking)
        .no_tags()
        .finish()
}

fn decode_current(value: &[u8]) -> Result<CurrentAssignment, RecordError> {
    let mut reader = FieldReader::value("ConsumerGroupCurrentMemberAssignmentValue", value)?;
    let epoch = reader.i32("memberEpoch")?;
    let previous_epoch = reader.i32("previousMemberEpoch")?;
    let state = reader.i8("state")?;
    Ok(CurrentAssignment {
        epoch,
        previous_epoch,
        state: MemberState::of_code(state).ok_or_else(|| reader.unknown("state", state))?,
        assigned: reader.assignment("assignedPartitions")?,
        revoking: reader.assignment("partitionsPendingRevocation")?,
    })
}

fn encode_regex(regex: &ResolvedRegex) -> Bytes {
    let mut writer = FieldWriter::value();
    writer.compact_array_length(Some(regex.topics.len()));
    for topic in &regex.topics {
        writer.compact_string(topic);
    }
    writer
        .i64(regex.version)
        .i64(regex.resolved_ms)
        .no_tags()
        .finish()
}

fn decode_regex(value: &[u8]) -> Result<ResolvedRegex, RecordError> {
    let mut reader = FieldReader::value("ConsumerGroupRegularExpressionValue", value)?;
    let count = reader.compact_array_length("topics")?.unwrap_or(0);
    let topics: Result<BTreeSet<String>, _> = (0..count).map(|_| reader.compact_string("topics")).collect();
    Ok(ResolvedRegex {
        topics: topics?,
        version: reader.i64("version")?,
        resolved_ms: reader.i64("timestamp")?,
    })
}

impl FieldWriter {
    /// Partitions by topic id, as an array of `{topicId, partitions}`.
    pub(in crate::group) fn assignment(&mut self, assignment: &Assignment) -> &mut Self {
        self.compact_array_length(Some(assignment.len()));
        for (topic, partitions) in assignment {
            self.uuid(*topic).compact_array_length(Some(partitions.len()));
            for partition in partitions {
                self.i32(*partition);
            }
            self.no_tags();
        }
        self
    }
}

impl FieldReader<'_> {
    pub(in crate::group) fn assignment(&mut self, field: &'static str) -> Result<Assignment, RecordError> {
        let mut assignment = Assignment::new();
        for _ in 0..self.compact_array_length(field)?.unwrap_or(0) {
            let topic = self.uuid(field)?;
            let count = self.compact_array_length(field)?.unwrap_or(0);
            let partitions: Result<BTreeSet<i32>, _> = (0..count).map(|_| self.i32(field)).collect();
            self.tagged_fields(|_, _| Ok(()))?;
            assignment.insert(topic, partitions?);
        }
        Ok(assignment)
    }
}
