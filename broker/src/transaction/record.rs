//! The records of `__transaction_state`, byte for byte as Kafka writes them (`TransactionLogKey`, `TransactionLogValue`).
//!
//! Written by hand because the protocol crate has no schema for them. We write version 1, the flexible one that Kafka uses
//! since transactions v1, and read both.

use bytes::Bytes;

use super::state::{
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TopicPartitions, TransactionMetadata, TransactionState,
};
use crate::coordinator_records::{FieldReader, FieldWriter, RecordError};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;
const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_TRANSACTION_VERSION: u32 = 2;

/// Key of the record of `transactional_id`.
pub fn encode_key(transactional_id: &str) -> Bytes {
    FieldWriter::default()
        .i16(KEY_VERSION)
        .string(transactional_id)
        .finish()
}

/// The transactional id of a key.
///
/// # Errors
/// The key is of another version, or is not whole.
pub fn decode_key(key: &[u8]) -> Result<String, RecordError> {
    let mut reader = FieldReader::new("TransactionLogKey", key);
    match reader.i16("version")? {
        KEY_VERSION => reader.string("TransactionalId"),
        other => Err(reader.unknown("version", other)),
    }
}

/// Value of the record for `metadata`.
pub fn encode_value(metadata: &TransactionMetadata) -> Bytes {
    let mut writer = FieldWriter::default();
    writer
        .i16(VALUE_VERSION)
        .i64(metadata.producer_id)
        .i16(metadata.producer_epoch)
        .i32(metadata.timeout_ms)
        .i8(metadata.state.id());
    if metadata.state == TransactionState::Empty {
        writer.compact_array_length(None);
    } else {
        writer.compact_array_length(Some(metadata.partitions.len()));
        for (topic, numbers) in &metadata.partitions {
            writer
                .compact_string(topic)
                .compact_array_length(Some(numbers.len()));
            for number in numbers {
                writer.i32(*number);
            }
            writer.unsigned_varint(0);
        }
    }
    writer.i64(metadata.last_update_ms).i64(metadata.start_ms);
    let mut tags = Vec::with_capacity(3);
    for (tag, producer_id) in [
        (TAG_PREVIOUS_PRODUCER_ID, metadata.previous_producer_id),
        (TAG_NEXT_PRODUCER_ID, metadata.next_producer_id),
    ] {
        if producer_id != NO_PRODUCER_ID {
            tags.push((tag, FieldWriter::default().i64(producer_id).finish()));
        }
    }
    if metadata.client_version != 0 {
        tags.push((
            TAG_CLIENT_TRANSACTION_VERSION,
            FieldWriter::default().i16(metadata.client_version).finish(),
        ));
    }
    writer.unsigned_varint(tags.len() as u32);
    for (tag, bytes) in tags {
        writer.unsigned_varint(tag).tagged_field(&bytes);
    }
    writer.finish()
}

/// Reads a value.
///
/// # Errors
/// The value is of another version, or is not whole.
pub fn decode_value(value: &[u8]) -> Result<TransactionMetadata, RecordError> {
    let mut reader = FieldReader::new("TransactionLogValue", value);
    let flexible = match reader.i16("version")? {
        0 => false,
        1 => true,
        other => return Err(reader.unknown("version", other)),
    };
    let producer_id = reader.i64("ProducerId")?;
    let producer_epoch = reader.i16("ProducerEpoch")?;
    let timeout_ms = reader.i32("TransactionTimeoutMs")?;
    let status = reader.i8("TransactionStatus")?;
    let state =
        TransactionState::from_id(status).ok_or_else(|| reader.unknown("TransactionStatus", status))?;
    let partitions = if flexible {
        compact_partitions(&mut reader)?
    } else {
        partitions(&mut reader)?
    };
    let mut metadata = TransactionMetadata {
        producer_id,
        previous_producer_id: NO_PRODUCER_ID,
        next_producer_id: NO_PRODUCER_ID,
        producer_epoch,
        last_producer_epoch: NO_PRODUCER_EPOCH,
        timeout_ms,
        state,
        partitions,
        last_update_ms: reader.i64("TransactionLastUpdateTimestampMs")?,
        start_ms: reader.i64("TransactionStartTimestampMs")?,
        client_version: 0,
    };
    if flexible {
        reader.tagged_fields(|tag, field| {
            match tag {
                TAG_PREVIOUS_PRODUCER_ID => {
                    metadata.previous_producer_id = field.i64("PreviousProducerId")?;
                }
                TAG_NEXT_PRODUCER_ID => metadata.next_producer_id = field.i64("NextProducerId")?,
                TAG_CLIENT_TRANSACTION_VERSION => {
                    metadata.client_version = field.i16("ClientTransactionVersion")?;
                }
                // Fields of newer brokers say nothing that this one acts on.
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(metadata)
}

fn compact_partitions(reader: &mut FieldReader<'_>) -> Result<TopicPartitions, RecordError> {
    let mut partitions = TopicPartitions::new();
    for _ in 0..reader.compact_array_length("TransactionPartitions")?.unwrap_or(0) {
        let topic = reader.compact_string("Topic")?;
        let numbers = partitions.entry(topic).or_default();
        for _ in 0..reader.compact_array_length("PartitionIds")?.unwrap_or(0) {
            numbers.insert(reader.i32("PartitionIds")?);
        }
        reader.tagged_fields(|_, _| Ok(()))?;
    }
    Ok(partitions)
}

fn partitions(reader: &mut FieldReader<'_>) -> Result<TopicPartitions, RecordError> {
    let mut partitions = TopicPartitions::new();
    let Some(topic_count) = reader.nullable_array_length("TransactionPartitions")? else {
        return Ok(partitions);
    };
    for _ in 0..topic_count {
        let topic = reader.string("Topic")?;
        let numbers = partitions.entry(topic).or_default();
        for _ in 0..reader.array_length("PartitionIds")? {
            numbers.insert(reader.i32("PartitionIds")?);
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect;

    use super::*;

    fn ongoing() -> TransactionMetadata {
        let partitions = TopicPartitions::from([("out".to_owned(), BTreeSet::from([0, 3]))]);
        TransactionMetadata::new(7, 60_000, 1_000)
            .initialized(2, 1, 60_000, 1_500)
            .with_partitions(partitions, 2, 2_000)
    }

    #[test]
    fn a_value_has_the_bytes_that_kafka_writes() {
        expect!["0001 0000000000000007 0002 0000ea60 01 02 04 6f7574 03 00000000 00000003 00 00000000000007d0 00000000000007d0 01 02 02 0002"]
            .assert_eq(&grouped(&encode_value(&ongoing()), &[2, 8, 2, 4, 1, 1, 1, 3, 1, 4, 4, 1, 8, 8, 1, 1, 1, 2]));
        expect!["0000 0002 6964"].assert_eq(&grouped(&encode_key("id"), &[2, 2, 2]));
    }

    #[test]
    fn what_was_written_is_read_back_except_the_last_epoch() {
        let mut all = ongoing();
        all.previous_producer_id = 5;
        all.next_producer_id = 6;
        let empty = TransactionMetadata::new(9, 1, 2).initialized(0, NO_PRODUCER_EPOCH, 1, 3);
        for metadata in [all, empty] {
            let read = decode_value(&encode_value(&metadata)).unwrap();
            assert_eq!(
                read,
                TransactionMetadata {
                    last_producer_epoch: NO_PRODUCER_EPOCH,
                    ..metadata
                }
            );
        }
    }

    #[test]
    fn the_older_version_is_read_too() {
        let value = FieldWriter::default()
            .i16(0)
            .i64(7)
            .i16(2)
            .i32(60_000)
            .i8(1)
            .array_length(1)
            .string("out")
            .array_length(1)
            .i32(3)
            .i64(20)
            .i64(10)
            .finish();
        let read = decode_value(&value).unwrap();
        assert_eq!(
            (read.producer_id, read.start_ms, read.last_update_ms),
            (7, 10, 20)
        );
        assert_eq!(
            read.partitions,
            TopicPartitions::from([("out".to_owned(), BTreeSet::from([3]))])
        );
    }

    #[test]
    fn any_prefix_of_a_record_is_an_error_and_never_a_panic() {
        let value = encode_value(&ongoing());
        for length in 0..value.len() {
            assert!(decode_value(&value[..length]).is_err(), "{length} bytes");
        }
    }

    fn grouped(bytes: &[u8], lengths: &[usize]) -> String {
        let mut rest = bytes;
        let mut groups = Vec::new();
        for length in lengths {
            let (head, tail) = rest.split_at(*length);
            groups.push(head.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            rest = tail;
        }
        assert!(rest.is_empty(), "{} bytes more", rest.len());
        groups.join(" ")
    }
}
