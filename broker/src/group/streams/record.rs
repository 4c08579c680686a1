//! The records of `__consumer_offsets` that streams groups write, byte for byte as Kafka writes them (`StreamsGroup*Key` and
//! `StreamsGroup*Value`). A value is its version, 0, and the fields in the flexible encoding.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};

use super::member::{CurrentTasks, MemberMetadata, TaskMap, Tasks};
use crate::coordinator_records::{FieldReader, FieldWriter, RecordError};
use crate::group::consumer::MemberState;
use crate::protocol::Field;
use crate::protocol::streams_heartbeat::{Endpoint, Topology};

const GROUP_KEY: i16 = 17;
const MEMBER_KEY: i16 = 19;
const TARGET_EPOCH_KEY: i16 = 20;
const TARGET_KEY: i16 = 21;
const CURRENT_KEY: i16 = 22;
const TOPOLOGY_KEY: i16 = 23;
const VALIDATED_TOPOLOGY_TAG: u32 = 0;
const ASSIGNMENT_CONFIGS_TAG: u32 = 1;
/// Kafka counts the states of these members from 1, those of consumers from 0.
const STATE_CODE_OFFSET: i8 = 1;
const STANDBY_REPLICAS: &str = "num.standby.replicas";

/// The group itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamsEpoch {
    /// Its epoch.
    pub epoch: i32,
    /// Of the topics it needs.
    pub metadata_hash: i64,
    /// Epoch of the topology whose topics were found to be all there; -1 if there is none.
    pub validated_topology_epoch: i32,
    /// How many standby replicas the target was computed for; None before any was.
    pub standby_replicas: Option<i32>,
}

impl Default for StreamsEpoch {
    fn default() -> Self {
        Self {
            epoch: 0,
            metadata_hash: 0,
            validated_topology_epoch: -1,
            standby_replicas: None,
        }
    }
}

/// A change of a streams group; None removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamsRecord {
    /// The group's epoch, or the end of the group.
    Group(Option<StreamsEpoch>),
    /// What the application consists of.
    Topology(Option<Topology>),
    /// What a member said of itself.
    Member(String, Option<MemberMetadata>),
    /// The epoch of the target.
    TargetEpoch(Option<i32>),
    /// What a member shall hold.
    Target(String, Option<Tasks>),
    /// What a member holds.
    Current(String, Option<CurrentTasks>),
}

impl StreamsRecord {
    /// Whether it only removes.
    pub fn is_tombstone(&self) -> bool {
        matches!(
            self,
            Self::Group(None)
                | Self::Topology(None)
                | Self::Member(_, None)
                | Self::TargetEpoch(None)
                | Self::Target(_, None)
                | Self::Current(_, None)
        )
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
            Self::Topology(value) => (key(TOPOLOGY_KEY).finish(), value.as_ref().map(encode_topology)),
            Self::Member(id, value) => (with(MEMBER_KEY, id), value.as_ref().map(encode_member)),
            Self::TargetEpoch(value) => {
                let value = value.map(|epoch| FieldWriter::value().i32(epoch).no_tags().finish());
                (key(TARGET_EPOCH_KEY).finish(), value)
            }
            Self::Target(id, value) => {
                let encode = |tasks| FieldWriter::value().tasks(tasks).no_tags().finish();
                (with(TARGET_KEY, id), value.as_ref().map(encode))
            }
            Self::Current(id, value) => (with(CURRENT_KEY, id), value.as_ref().map(encode_current)),
        }
    }

    /// Reads a record: the group's id and the change. None if the key is not of a streams group.
    ///
    /// # Errors
    /// It is not whole, or of a version that is not known.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<(String, Self)>, RecordError> {
        let mut key = FieldReader::new("StreamsGroupKey", key);
        let kind = key.i16("version")?;
        if !matches!(kind, GROUP_KEY | MEMBER_KEY..=TOPOLOGY_KEY) {
            return Ok(None);
        }
        let group_id = key.string("groupId")?;
        let record = match kind {
            GROUP_KEY => Self::Group(value.map(decode_group).transpose()?),
            TOPOLOGY_KEY => Self::Topology(value.map(decode_topology).transpose()?),
            MEMBER_KEY => Self::Member(key.string("memberId")?, value.map(decode_member).transpose()?),
            TARGET_EPOCH_KEY => Self::TargetEpoch(value.map(decode_target_epoch).transpose()?),
            TARGET_KEY => Self::Target(key.string("memberId")?, value.map(decode_target).transpose()?),
            _ => Self::Current(key.string("memberId")?, value.map(decode_current).transpose()?),
        };
        Ok(Some((group_id, record)))
    }
}

fn encode_group(group: &StreamsEpoch) -> Bytes {
    let mut writer = FieldWriter::value();
    writer.i32(group.epoch).i64(group.metadata_hash);
    let validated = group.validated_topology_epoch != -1;
    writer.unsigned_varint(u32::from(validated) + u32::from(group.standby_replicas.is_some()));
    if validated {
        writer.unsigned_varint(VALIDATED_TOPOLOGY_TAG);
        writer.tagged_field(&group.validated_topology_epoch.to_be_bytes());
    }
    if let Some(replicas) = group.standby_replicas {
        let mut configs = FieldWriter::default();
        configs
            .compact_array_length(Some(1))
            .compact_string(STANDBY_REPLICAS);
        configs.compact_string(&replicas.to_string()).no_tags();
        writer
            .unsigned_varint(ASSIGNMENT_CONFIGS_TAG)
            .tagged_field(&configs.finish());
    }
    writer.finish()
}

fn decode_group(value: &[u8]) -> Result<StreamsEpoch, RecordError> {
    let mut reader = FieldReader::value("StreamsGroupMetadataValue", value)?;
    let mut group = StreamsEpoch {
        epoch: reader.i32("epoch")?,
        metadata_hash: reader.i64("metadataHash")?,
        ..StreamsEpoch::default()
    };
    reader.tagged_fields(|tag, field| {
        match tag {
            VALIDATED_TOPOLOGY_TAG => group.validated_topology_epoch = field.i32("validatedTopologyEpoch")?,
            ASSIGNMENT_CONFIGS_TAG => {
                for _ in 0..field.compact_array_length("lastAssignmentConfigs")?.unwrap_or(0) {
                    let key = field.compact_string("key")?;
                    let value = field.compact_string("value")?;
                    field.tagged_fields(|_, _| Ok(()))?;
                    if key == STANDBY_REPLICAS {
                        group.standby_replicas = value.parse().ok();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(group)
}

fn encode_topology(topology: &Topology) -> Bytes {
    let mut buffer = BytesMut::new();
    0i16.write(&mut buffer);
    topology.write(&mut buffer);
    buffer.freeze()
}

fn decode_topology(value: &[u8]) -> Result<Topology, RecordError> {
    const RECORD: &str = "StreamsGroupTopologyValue";
    let mut reader = FieldReader::value(RECORD, value)?;
    let mut fields = Bytes::copy_from_slice(reader.rest());
    Topology::read(&mut fields).map_err(|_| reader.truncated("subtopologies"))
}

fn encode_member(member: &MemberMetadata) -> Bytes {
    let mut writer = FieldWriter::value();
    writer
        .compact_nullable_string(None)
        .compact_nullable_string(member.rack_id.as_deref())
        .compact_string(&member.client_id)
        .compact_string(&member.client_host)
        .i32(member.rebalance_timeout_ms)
        .i32(member.topology_epoch)
        .compact_string(&member.process_id);
    match &member.user_endpoint {
        None => writer.i8(-1),
        Some(endpoint) => writer
            .i8(1)
            .compact_string(&endpoint.host)
            .i16(endpoint.port.cast_signed())
            .no_tags(),
    };
    writer.compact_array_length(Some(member.client_tags.len()));
    for (key, value) in &member.client_tags {
        writer.compact_string(key).compact_string(value).no_tags();
    }
    writer.no_tags().finish()
}

fn decode_member(value: &[u8]) -> Result<MemberMetadata, RecordError> {
    let mut reader = FieldReader::value("StreamsGroupMemberMetadataValue", value)?;
    reader.compact_nullable_string("instanceId")?;
    let mut member = MemberMetadata {
        rack_id: reader.compact_nullable_string("rackId")?,
        client_id: reader.compact_string("clientId")?,
        client_host: reader.compact_string("clientHost")?,
        rebalance_timeout_ms: reader.i32("rebalanceTimeoutMs")?,
        topology_epoch: reader.i32("topologyEpoch")?,
        process_id: reader.compact_string("processId")?,
        user_endpoint: None,
        client_tags: BTreeMap::new(),
    };
    if reader.i8("userEndpoint")? >= 0 {
        let host = reader.compact_string("host")?;
        let port = reader.i16("port")?.cast_unsigned();
        reader.tagged_fields(|_, _| Ok(()))?;
        member.user_endpoint = Some(Endpoint { host, port });
    }
    for _ in 0..reader.compact_array_length("clientTags")?.unwrap_or(0) {
        let key = reader.compact_string("key")?;
        member.client_tags.insert(key, reader.compact_string("value")?);
        reader.tagged_fields(|_, _| Ok(()))?;
    }
    Ok(member)
}

fn decode_target_epoch(value: &[u8]) -> Result<i32, RecordError> {
    FieldReader::value("StreamsGroupTargetAssignmentMetadataValue", value)?.i32("assignmentEpoch")
}

fn decode_target(value: &[u8]) -> Result<Tasks, RecordError> {
    FieldReader::value("StreamsGroupTargetAssignmentMemberValue", value)?.tasks()
}

fn encode_current(current: &CurrentTasks) -> Bytes {
    FieldWriter::value()
        .i32(current.epoch)
        .i32(current.previous_epoch)
        .i8(current.state.code() + STATE_CODE_OFFSET)
        .tasks(&current.assigned)
        .tasks(&current.revoking)
        .no_tags()
        .finish()
}

fn decode_current(value: &[u8]) -> Result<CurrentTasks, RecordError> {
    let mut reader = FieldReader::value("StreamsGroupCurrentMemberAssignmentValue", value)?;
    let epoch = reader.i32("memberEpoch")?;
    let previous_epoch = reader.i32("previousMemberEpoch")?;
    let state = reader.i8("state")?;
    let known = state
        .checked_sub(STATE_CODE_OFFSET)
        .and_then(MemberState::of_code);
    Ok(CurrentTasks {
        epoch,
        previous_epoch,
        state: known.ok_or_else(|| reader.unknown("state", state))?,
        assigned: reader.tasks()?,
        revoking: reader.tasks()?,
    })
}

impl FieldWriter {
    /// Active, standby and warm-up tasks, each as an array of `{subtopologyId, partitions}`.
    fn tasks(&mut self, tasks: &Tasks) -> &mut Self {
        for kind in tasks.kinds() {
            self.compact_array_length(Some(kind.len()));
            for (of, partitions) in kind {
                self.compact_string(of)
                    .compact_array_length(Some(partitions.len()));
                for partition in partitions {
                    self.i32(*partition);
                }
                self.no_tags();
            }
        }
        self
    }
}

impl FieldReader<'_> {
    fn tasks(&mut self) -> Result<Tasks, RecordError> {
        Ok(Tasks {
            active: self.task_map("activeTasks")?,
            standby: self.task_map("standbyTasks")?,
            warmup: self.task_map("warmupTasks")?,
        })
    }

    fn task_map(&mut self, field: &'static str) -> Result<TaskMap, RecordError> {
        let mut tasks = TaskMap::new();
        for _ in 0..self.compact_array_length(field)?.unwrap_or(0) {
            let of = self.compact_string(field)?;
            let count = self.compact_array_length(field)?.unwrap_or(0);
            let partitions: Result<BTreeSet<i32>, _> = (0..count).map(|_| self.i32(field)).collect();
            self.tagged_fields(|_, _| Ok(()))?;
            tasks.insert(of, partitions?);
        }
        Ok(tasks)
    }
}
