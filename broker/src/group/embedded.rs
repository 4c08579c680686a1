//! What the members of a classic group say through their leader, and what consumer groups understand of it: subscriptions and
//! assignments of the embedded consumer protocol (`ConsumerProtocol` of Kafka).

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;

use super::consumer::Assignment;
use super::topics::TopicImage;
use crate::coordinator_records::{FieldReader, FieldWriter, RecordError};

/// Protocol type of consumers.
pub(super) const PROTOCOL_TYPE: &str = "consumer";
/// First version in which a member says what it holds.
const OWNED_VERSION: i16 = 1;
/// First version in which it says in which generation it was given that.
const GENERATION_VERSION: i16 = 2;
/// First version in which it says where it runs.
const RACK_VERSION: i16 = 3;

/// What a member reads and holds.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) topics: BTreeSet<String>,
    owned: Vec<(String, Vec<i32>)>,
    /// Generation in which it was given what it holds; -1 if it does not say.
    pub(super) generation: i32,
    pub(super) rack_id: Option<String>,
}

impl Subscription {
    /// # Errors
    /// It is not whole, or not of this protocol.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = FieldReader::new("ConsumerProtocolSubscription", bytes);
        let version = decode_version(&mut reader)?;
        let mut topics = BTreeSet::new();
        for _ in 0..reader.array_length("topics")? {
            topics.insert(reader.string("topics")?);
        }
        skip_user_data(&mut reader)?;
        let owned = if version >= OWNED_VERSION {
            decode_partitions(&mut reader, "ownedPartitions")?
        } else {
            Vec::new()
        };
        let generation = if version >= GENERATION_VERSION {
            reader.i32("generationId")?
        } else {
            -1
        };
        let rack_id = if version >= RACK_VERSION {
            reader.nullable_string("rackId")?
        } else {
            None
        };
        Ok(Self {
            topics,
            owned,
            generation,
            rack_id,
        })
    }

    /// What the member holds, as members of consumer groups say it.
    pub(super) fn owned(&self, topics: &TopicImage) -> Vec<TopicPartitions> {
        let known = self.owned.iter().filter_map(|(name, partitions)| {
            let topic = topics.topic(name)?;
            let owned = TopicPartitions::default().with_topic_id(topic.id);
            Some(owned.with_partitions(partitions.clone()))
        });
        known.collect()
    }

    /// As [`owned`](Self::owned), by topic id.
    pub(super) fn owned_by_id(&self, topics: &TopicImage) -> Assignment {
        by_id(&self.owned, topics)
    }
}

/// What a leader assigned to a member.
#[derive(Debug)]
pub(super) struct EmbeddedAssignment {
    partitions: Vec<(String, Vec<i32>)>,
    /// There is something in it that only its assignor understands.
    pub(super) has_user_data: bool,
}

impl EmbeddedAssignment {
    /// No bytes are no partitions.
    ///
    /// # Errors
    /// It is not whole, or not of this protocol.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut decoded = Self {
            partitions: Vec::new(),
            has_user_data: false,
        };
        if bytes.is_empty() {
            return Ok(decoded);
        }
        let mut reader = FieldReader::new("ConsumerProtocolAssignment", bytes);
        decode_version(&mut reader)?;
        decoded.partitions = decode_partitions(&mut reader, "assignedPartitions")?;
        decoded.has_user_data = skip_user_data(&mut reader)? > 0;
        Ok(decoded)
    }

    /// By topic id. Topics that are gone are left out.
    pub(super) fn by_id(&self, topics: &TopicImage) -> Assignment {
        by_id(&self.partitions, topics)
    }
}

fn by_id(named: &[(String, Vec<i32>)], topics: &TopicImage) -> Assignment {
    let mut assignment = Assignment::new();
    for (name, partitions) in named {
        if let Some(topic) = topics.topic(name)
            && !partitions.is_empty()
        {
            assignment.entry(topic.id).or_default().extend(partitions);
        }
    }
    assignment
}

/// An assignment as a member understands it that has this subscription.
pub(super) fn encode_assignment(
    assignment: &Assignment,
    topics: &TopicImage,
    subscription: &[u8],
) -> Result<Bytes, RecordError> {
    let version = decode_version(&mut FieldReader::new(
        "ConsumerProtocolSubscription",
        subscription,
    ))?;
    let named: Vec<_> = assignment
        .iter()
        .filter_map(|(id, partitions)| Some((topics.name(*id)?, partitions)))
        .collect();
    let mut writer = FieldWriter::default();
    writer.i16(version).array_length(named.len());
    for (name, partitions) in named {
        writer.string(name).array_length(partitions.len());
        for partition in partitions {
            writer.i32(*partition);
        }
    }
    // No user data.
    Ok(writer.i32(-1).finish())
}

/// Newer versions begin as the newest one that is known.
fn decode_version(reader: &mut FieldReader<'_>) -> Result<i16, RecordError> {
    match reader.i16("version")? {
        version @ 0.. => Ok(version.min(RACK_VERSION)),
        version => Err(reader.unknown("version", version)),
    }
}

fn decode_partitions(
    reader: &mut FieldReader<'_>,
    field: &'static str,
) -> Result<Vec<(String, Vec<i32>)>, RecordError> {
    let mut topics = Vec::new();
    for _ in 0..reader.array_length(field)? {
        let name = reader.string(field)?;
        let count = reader.array_length(field)?;
        let partitions: Result<Vec<i32>, _> = (0..count).map(|_| reader.i32(field)).collect();
        topics.push((name, partitions?));
    }
    Ok(topics)
}

/// Answers how long it is.
fn skip_user_data(reader: &mut FieldReader<'_>) -> Result<usize, RecordError> {
    let length = reader.nullable_array_length("userData")?.unwrap_or(0);
    for _ in 0..length {
        reader.i8("userData")?;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::TopicInfo;

    fn topics() -> TopicImage {
        let info = TopicInfo {
            id: uuid::Uuid::from_u128(7),
            partition_count: 4,
        };
        TopicImage::new(1, [("t".to_owned(), info)])
    }

    #[test]
    fn subscriptions_of_every_version_are_understood() {
        let of_version = |version: i16| {
            let mut writer = FieldWriter::default();
            writer.i16(version).array_length(1).string("t").bytes(b"user");
            if version >= 1 {
                writer.array_length(2).string("t").array_length(1).i32(3);
                writer.string("gone").array_length(1).i32(0);
            }
            if version >= 2 {
                writer.i32(5);
            }
            if version >= 3 {
                writer.nullable_string(Some("rack"));
            }
            writer.finish()
        };
        for version in 0..5 {
            let bytes = of_version(version);
            let subscription = Subscription::decode(&bytes).unwrap();
            assert!(subscription.topics.iter().eq(["t"]));
            let owned = subscription.owned(&topics());
            assert_eq!(owned.len(), usize::from(version > 0), "{version}");
            assert_eq!(subscription.rack_id.is_some(), version >= 3);
            for length in 0..bytes.len() {
                assert!(Subscription::decode(&bytes[..length]).is_err());
            }
        }
        assert!(Subscription::decode(&of_version(-1)).is_err());
    }

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let assignment = Assignment::from([(uuid::Uuid::from_u128(7), BTreeSet::from([1, 3]))]);
        let bytes = encode_assignment(&assignment, &topics(), &[0, 1]).unwrap();
        assert_eq!(bytes[..2], [0, 1]);
        let read = EmbeddedAssignment::decode(&bytes).unwrap();
        assert_eq!(read.by_id(&topics()), assignment);
        assert!(!read.has_user_data);
        assert!(
            EmbeddedAssignment::decode(&[])
                .unwrap()
                .by_id(&topics())
                .is_empty()
        );
    }
}
