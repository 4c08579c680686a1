//! The records of `__consumer_offsets` that classic groups write, byte for byte as Kafka writes them (`OffsetCommitKey`,
//! `OffsetCommitValue`, `GroupMetadataKey`, `GroupMetadataValue`).
//!
//! Written by hand because the protocol crate has no schema for them. We write version 3 of both values, as Kafka does, and
//! read 0 to 4. Keys of other group types are recognised and skipped.

use bytes::Bytes;

use crate::coordinator_records::{FieldReader, FieldWriter, RecordError};

const OFFSET_COMMIT_KEY: i16 = 1;
const GROUP_METADATA_KEY: i16 = 2;
const OFFSET_COMMIT_VERSION: i16 = 3;
/// Version of the value of an offset that says when it expires.
const EXPIRING_OFFSET_VERSION: i16 = 1;
const GROUP_METADATA_VERSION: i16 = 3;
const NEWEST_VERSION: i16 = 4;
/// First version of a group's value in the flexible encoding.
const FLEXIBLE_VERSION: i16 = 4;

/// A key of `__consumer_offsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKey {
    /// The committed offset of a partition.
    Offset {
        /// The group.
        group_id: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The members and the generation of a group.
    Group {
        /// The group.
        group_id: String,
    },
    /// A record of a group type that this broker does not have.
    Other(i16),
}

impl GroupKey {
    /// The bytes of the key; those of [`GroupKey::Other`] are not kept and it encodes as its type alone.
    pub fn encode(&self) -> Bytes {
        let mut writer = FieldWriter::default();
        match self {
            Self::Offset {
                group_id,
                topic,
                partition,
            } => {
                writer
                    .i16(OFFSET_COMMIT_KEY)
                    .string(group_id)
                    .string(topic)
                    .i32(*partition);
            }
            Self::Group { group_id } => {
                writer.i16(GROUP_METADATA_KEY).string(group_id);
            }
            Self::Other(kind) => {
                writer.i16(*kind);
            }
        }
        writer.finish()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// The key is not whole.
    pub fn decode(key: &[u8]) -> Result<Self, RecordError> {
        let mut reader = FieldReader::new("OffsetCommitKey", key);
        Ok(match reader.i16("version")? {
            0 | OFFSET_COMMIT_KEY => Self::Offset {
                group_id: reader.string("group")?,
                topic: reader.string("topic")?,
                partition: reader.i32("partition")?,
            },
            GROUP_METADATA_KEY => Self::Group {
                group_id: reader.string("group")?,
            },
            other => Self::Other(other),
        })
    }
}

/// Value of a committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetValue {
    /// Next offset to be read.
    pub offset: i64,
    /// Leader epoch of the record before it, or -1.
    pub leader_epoch: i32,
    /// What the application stored with it.
    pub metadata: String,
    /// When it was committed, in milliseconds since the epoch.
    pub commit_ms: i64,
    /// When it expires, if whoever committed it said so, as old clients can; else `offsets.retention.minutes` say.
    pub expire_ms: Option<i64>,
}

impl OffsetValue {
    /// The bytes of the value: of the one version that has a time to expire, if there is one.
    pub fn encode(&self) -> Bytes {
        if let Some(expire_ms) = self.expire_ms {
            return FieldWriter::default()
                .i16(EXPIRING_OFFSET_VERSION)
                .i64(self.offset)
                .string(&self.metadata)
                .i64(self.commit_ms)
                .i64(expire_ms)
                .finish();
        }
        FieldWriter::default()
            .i16(OFFSET_COMMIT_VERSION)
            .i64(self.offset)
            .i32(self.leader_epoch)
            .string(&self.metadata)
            .i64(self.commit_ms)
            .finish()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// The value is of another version, or is not whole.
    pub fn decode(value: &[u8]) -> Result<Self, RecordError> {
        let mut reader = FieldReader::new("OffsetCommitValue", value);
        let version = reader.i16("version")?;
        if !(0..=NEWEST_VERSION).contains(&version) {
            return Err(reader.unknown("version", version));
        }
        let offset = reader.i64("offset")?;
        let leader_epoch = if version >= 3 {
            reader.i32("leaderEpoch")?
        } else {
            -1
        };
        let metadata = if version >= 4 {
            reader.compact_string("metadata")?
        } else {
            reader.string("metadata")?
        };
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_ms: reader.i64("commitTimestamp")?,
            expire_ms: if version == EXPIRING_OFFSET_VERSION {
                Some(reader.i64("expireTimestamp")?).filter(|expire_ms| *expire_ms >= 0)
            } else {
                None
            },
        })
    }
}

/// Value of a group: one generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupValue {
    /// `consumer`, `connect` ...; empty for a group that only commits offsets.
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The protocol (assignor) all members use, if there are members.
    pub protocol: Option<String>,
    /// Member that computed the assignment.
    pub leader: Option<String>,
    /// When the group entered its state, in milliseconds since the epoch, or -1.
    pub state_since_ms: i64,
    /// Its members.
    pub members: Vec<MemberValue>,
}

/// One member of a [`GroupValue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberValue {
    /// Member id.
    pub member_id: String,
    /// Static member id, if it has one.
    pub group_instance_id: Option<String>,
    /// Name the client gave itself.
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// It is dropped when not heard of for this long.
    pub session_timeout_ms: i32,
    /// What it subscribed to, as the protocol says.
    pub subscription: Bytes,
    /// What it was assigned, as the protocol says.
    pub assignment: Bytes,
}

impl GroupValue {
    /// The bytes of the value.
    pub fn encode(&self) -> Bytes {
        let mut writer = FieldWriter::default();
        writer
            .i16(GROUP_METADATA_VERSION)
            .string(&self.protocol_type)
            .i32(self.generation)
            .nullable_string(self.protocol.as_deref())
            .nullable_string(self.leader.as_deref())
            .i64(self.state_since_ms)
            .array_length(self.members.len());
        for member in &self.members {
            writer
                .string(&member.member_id)
                .nullable_string(member.group_instance_id.as_deref())
                .string(&member.client_id)
                .string(&member.client_host)
                .i32(member.rebalance_timeout_ms)
                .i32(member.session_timeout_ms)
                .bytes(&member.subscription)
                .bytes(&member.assignment);
        }
        writer.finish()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// The value is of another version, or is not whole.
    pub fn decode(value: &[u8]) -> Result<Self, RecordError> {
        let mut reader = FieldReader::new("GroupMetadataValue", value);
        let version = reader.i16("version")?;
        if !(0..=NEWEST_VERSION).contains(&version) {
            return Err(reader.unknown("version", version));
        }
        let flexible = version >= FLEXIBLE_VERSION;
        let mut group = Self {
            protocol_type: reader.text_of(flexible, "protocolType")?,
            generation: reader.i32("generation")?,
            protocol: reader.nullable_text_of(flexible, "protocol")?,
            leader: reader.nullable_text_of(flexible, "leader")?,
            state_since_ms: if version >= 2 {
                reader.i64("currentStateTimestamp")?
            } else {
                -1
            },
            members: Vec::new(),
        };
        let count = if flexible {
            reader.compact_array_length("members")?.unwrap_or(0)
        } else {
            reader.array_length("members")?
        };
        for _ in 0..count {
            group.members.push(MemberValue::decode(&mut reader, version)?);
        }
        Ok(group)
    }
}

impl MemberValue {
    fn decode(reader: &mut FieldReader<'_>, version: i16) -> Result<Self, RecordError> {
        let flexible = version >= FLEXIBLE_VERSION;
        let member_id = reader.text_of(flexible, "memberId")?;
        let group_instance_id = if version >= 3 {
            reader.nullable_text_of(flexible, "groupInstanceId")?
        } else {
            None
        };
        let client_id = reader.text_of(flexible, "clientId")?;
        let client_host = reader.text_of(flexible, "clientHost")?;
        let rebalance_timeout_ms = if version >= 1 {
            Some(reader.i32("rebalanceTimeout")?)
        } else {
            None
        };
        let session_timeout_ms = reader.i32("sessionTimeout")?;
        let bytes = if flexible {
            FieldReader::compact_bytes
        } else {
            FieldReader::bytes
        };
        let member = Self {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: bytes(reader, "subscription")?,
            assignment: bytes(reader, "assignment")?,
        };
        if flexible {
            reader.tagged_fields(|_, _| Ok(()))?;
        }
        Ok(member)
    }
}

impl FieldReader<'_> {
    fn text_of(&mut self, flexible: bool, field: &'static str) -> Result<String, RecordError> {
        if flexible {
            self.compact_string(field)
        } else {
            self.string(field)
        }
    }

    fn nullable_text_of(
        &mut self,
        flexible: bool,
        field: &'static str,
    ) -> Result<Option<String>, RecordError> {
        if flexible {
            self.compact_nullable_string(field)
        } else {
            self.nullable_string(field)
        }
    }
}

/// The topics of a consumer's subscription (`ConsumerProtocolSubscription`); None if the bytes are something else.
pub(super) fn subscribed_topics(subscription: &[u8]) -> Option<Vec<String>> {
    let mut reader = FieldReader::new("ConsumerProtocolSubscription", subscription);
    reader.i16("version").ok()?;
    let count = reader.array_length("topics").ok()?;
    (0..count).map(|_| reader.string("topics").ok()).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn group() -> GroupValue {
        GroupValue {
            protocol_type: "consumer".to_owned(),
            generation: 3,
            protocol: Some("range".to_owned()),
            leader: Some("m".to_owned()),
            state_since_ms: 5,
            members: vec![MemberValue {
                member_id: "m".to_owned(),
                group_instance_id: None,
                client_id: "c".to_owned(),
                client_host: "/h".to_owned(),
                rebalance_timeout_ms: 300,
                session_timeout_ms: 100,
                subscription: Bytes::from_static(&[1, 2]),
                assignment: Bytes::from_static(&[3]),
            }],
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn keys_and_values_have_the_bytes_that_kafka_writes() {
        let key = GroupKey::Offset {
            group_id: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 7,
        };
        expect!["0001 0001g 0001t 00000007"].assert_eq(&hex(&key.encode()).replacen(
            "0001000167000174",
            "0001 0001g 0001t ",
            1,
        ));
        let value = OffsetValue {
            offset: 9,
            leader_epoch: -1,
            metadata: "x".to_owned(),
            commit_ms: 1,
            expire_ms: None,
        };
        expect!["00030000000000000009ffffffff0001780000000000000001"].assert_eq(&hex(&value.encode()));
        expect!["00030008636f6e73756d657200000003000572616e676500016d00000000000000050000000100016dffff00016300022f680000012c000000640000000201020000000103"].assert_eq(&hex(&group().encode()));
    }

    #[test]
    fn what_was_written_is_read_back_and_a_part_of_it_is_an_error() {
        let bytes = group().encode();
        assert_eq!(GroupValue::decode(&bytes).unwrap(), group());
        for length in 0..bytes.len() {
            assert!(GroupValue::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        let value = OffsetValue {
            offset: 9,
            leader_epoch: 2,
            metadata: "x".to_owned(),
            commit_ms: 1,
            expire_ms: None,
        };
        let expiring = OffsetValue {
            leader_epoch: -1,
            expire_ms: Some(5),
            ..value.clone()
        };
        for value in [value, expiring] {
            assert_eq!(OffsetValue::decode(&value.encode()).unwrap(), value);
            for length in 0..value.encode().len() {
                assert!(
                    OffsetValue::decode(&value.encode()[..length]).is_err(),
                    "{length} bytes"
                );
            }
        }
    }

    #[test]
    fn the_flexible_version_of_a_group_is_read_too() {
        let mut writer = FieldWriter::default();
        writer
            .i16(4)
            .compact_string("consumer")
            .i32(3)
            .compact_nullable_string(Some("range"));
        writer
            .compact_nullable_string(Some("m"))
            .i64(5)
            .compact_array_length(Some(1));
        writer
            .compact_string("m")
            .compact_nullable_string(None)
            .compact_string("c")
            .compact_string("/h");
        writer
            .i32(300)
            .i32(100)
            .compact_string("\u{1}\u{2}")
            .compact_string("\u{3}")
            .no_tags()
            .no_tags();
        let bytes = writer.finish();
        assert_eq!(GroupValue::decode(&bytes).unwrap(), group());
        // The last byte says that there are no tagged fields, which nobody asks for.
        for length in 0..bytes.len() - 1 {
            assert!(GroupValue::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn records_of_other_group_types_are_recognised() {
        assert_eq!(
            GroupKey::decode(&[0, 17, 0, 1, b'g']).unwrap(),
            GroupKey::Other(17)
        );
        assert!(GroupKey::decode(&[0]).is_err());
    }
}
