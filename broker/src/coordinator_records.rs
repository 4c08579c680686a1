//! What the two coordinators share about their logs: which partition an id belongs to, and the primitive fields of the
//! records in `__consumer_offsets` and `__transaction_state`.
//!
//! It is apart from the record formats themselves (`group/record.rs`, `transaction/record.rs`) because both need it, and
//! because these records come back from disk: every read is bounded by the bytes that are there and no length is
//! trusted for an allocation. The bytes are Kafka's, so that Kafka's own tools can read our internal topics.

use bytes::{BufMut, Bytes};

/// Topic that holds committed offsets and the metadata of classic groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Topic that holds the state of every transactional id.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// `offsets.topic.num.partitions` and `transaction.state.log.num.partitions` of a Kafka cluster.
pub const SERVER_COORDINATOR_PARTITIONS: i32 = 50;
/// Both counts in an embedded broker: one process has one coordinator of each kind, and fewer open files.
pub const EMBEDDED_COORDINATOR_PARTITIONS: i32 = 1;
/// Longest group, member or transactional id in bytes: what the `int16` length of the older formats can say.
pub const MAX_ID_BYTES: usize = i16::MAX as usize;

/// Whether only the broker itself may write to `topic` (`Topic.isInternal` of Kafka).
pub fn is_internal_topic(topic: &str) -> bool {
    topic == OFFSETS_TOPIC || topic == TRANSACTION_STATE_TOPIC
}

/// The partition of an internal topic that holds `id`: Kafka's `abs(id.hashCode()) % count`, over UTF-16 units, where
/// the one integer without a positive counterpart counts as zero.
///
/// ```
/// assert_eq!(broker::coordinator_records::coordinator_partition("my-group", 50), 12);
/// assert_eq!(broker::coordinator_records::coordinator_partition("", 50), 0);
/// ```
pub fn coordinator_partition(id: &str, partition_count: i32) -> i32 {
    let hash = id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0) % partition_count.max(1)
}

/// A record of an internal topic that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record ends inside a field, or a length in it is negative or larger than the record.
    #[error(
        "the field `{field}` of a {record} record does not fit into the {remaining} bytes that are left of it"
    )]
    Truncated {
        /// Kafka's name of the record's schema.
        record: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
        /// Bytes that were left.
        remaining: usize,
    },
    /// Text that is not UTF-8.
    #[error("the field `{field}` of a {record} record is not UTF-8 text")]
    NotText {
        /// Kafka's name of the record's schema.
        record: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// A version or a value that this broker does not know; newer brokers may write it.
    #[error("a {record} record has {field} {value}, which this version of the broker does not know")]
    Unknown {
        /// Kafka's name of the record's schema.
        record: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
        /// The value found.
        value: i64,
    },
}

/// Writes the fields of one record, in Kafka's encoding.
#[derive(Debug, Default)]
pub(crate) struct FieldWriter {
    buffer: Vec<u8>,
}

impl FieldWriter {
    pub(crate) fn i8(&mut self, value: i8) -> &mut Self {
        self.buffer.put_i8(value);
        self
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.buffer.put_i16(value);
        self
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.buffer.put_i32(value);
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.buffer.put_i64(value);
        self
    }

    /// `int16` length and the text. Longer text was refused at the door, see [`MAX_ID_BYTES`].
    pub(crate) fn string(&mut self, value: &str) -> &mut Self {
        let length = i16::try_from(value.len()).expect("ids and metadata are bounded when a request arrives");
        self.buffer.put_i16(length);
        self.buffer.put_slice(value.as_bytes());
        self
    }

    pub(crate) fn nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// `int32` length and the bytes.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.array_length(value.len());
        self.buffer.put_slice(value);
        self
    }

    pub(crate) fn array_length(&mut self, length: usize) -> &mut Self {
        self.i32(i32::try_from(length).expect("a record is smaller than 2 GiB"))
    }

    /// A tagged field: its length as an unsigned varint, and its bytes.
    pub(crate) fn tagged_field(&mut self, value: &[u8]) -> &mut Self {
        self.unsigned_varint(u32::try_from(value.len()).expect("a record is smaller than 4 GiB"));
        self.buffer.put_slice(value);
        self
    }

    /// Text of the flexible formats: length + 1 as an unsigned varint.
    pub(crate) fn compact_string(&mut self, value: &str) -> &mut Self {
        self.compact_array_length(Some(value.len()));
        self.buffer.put_slice(value.as_bytes());
        self
    }

    /// Length + 1 as an unsigned varint; null is 0.
    pub(crate) fn compact_array_length(&mut self, length: Option<usize>) -> &mut Self {
        let length = length.map_or(0, |length| length + 1);
        self.unsigned_varint(u32::try_from(length).expect("a record is smaller than 4 GiB"))
    }

    /// As [`compact_string`](Self::compact_string), for text that may be null.
    pub(crate) fn compact_nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.compact_string(value),
            None => self.compact_array_length(None),
        }
    }

    /// Bytes of the flexible formats: length + 1 as an unsigned varint.
    pub(crate) fn compact_bytes(&mut self, value: &[u8]) -> &mut Self {
        self.compact_array_length(Some(value.len()));
        self.buffer.put_slice(value);
        self
    }

    /// The end of a flexible struct that has no tagged fields.
    pub(crate) fn no_tags(&mut self) -> &mut Self {
        self.unsigned_varint(0)
    }

    pub(crate) fn uuid(&mut self, value: uuid::Uuid) -> &mut Self {
        self.buffer.put_slice(value.as_bytes());
        self
    }

    /// The beginning of a value of version 0.
    pub(crate) fn value() -> Self {
        let mut writer = Self::default();
        writer.i16(0);
        writer
    }

    pub(crate) fn unsigned_varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.buffer.put_u8((value as u8) | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
        self
    }

    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).into()
    }
}

/// Reads the fields of one record and says which one it could not.
#[derive(Debug)]
pub(crate) struct FieldReader<'a> {
    record: &'static str,
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(record: &'static str, bytes: &'a [u8]) -> Self {
        Self { record, rest: bytes }
    }

    /// A reader behind the version of a value that exists in version 0 only.
    pub(crate) fn value(record: &'static str, bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Self::new(record, bytes);
        match reader.i16("version")? {
            0 => Ok(reader),
            version => Err(reader.unknown("version", version)),
        }
    }

    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], RecordError> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.truncated(field));
        };
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(field));
        };
        self.rest = rest;
        Ok(*head)
    }

    /// What is not read yet.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn truncated(&self, field: &'static str) -> RecordError {
        RecordError::Truncated {
            record: self.record,
            field,
            remaining: self.rest.len(),
        }
    }

    pub(crate) fn unknown(&self, field: &'static str, value: impl Into<i64>) -> RecordError {
        RecordError::Unknown {
            record: self.record,
            field,
            value: value.into(),
        }
    }

    pub(crate) fn i8(&mut self, field: &'static str) -> Result<i8, RecordError> {
        Ok(i8::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        Ok(i16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        Ok(i32::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Result<String, RecordError> {
        self.nullable_string(field)?.ok_or_else(|| self.truncated(field))
    }

    pub(crate) fn nullable_string(&mut self, field: &'static str) -> Result<Option<String>, RecordError> {
        let length = self.i16(field)?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| self.truncated(field))?;
        self.text(field, length).map(Some)
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<Bytes, RecordError> {
        let length = self.array_length(field)?;
        Ok(Bytes::copy_from_slice(self.take(field, length)?))
    }

    pub(crate) fn compact_bytes(&mut self, field: &'static str) -> Result<Bytes, RecordError> {
        let length = self
            .compact_array_length(field)?
            .ok_or_else(|| self.truncated(field))?;
        Ok(Bytes::copy_from_slice(self.take(field, length)?))
    }

    /// The number of elements that follow. Every element takes at least a byte, so a count above what is left is a lie.
    pub(crate) fn array_length(&mut self, field: &'static str) -> Result<usize, RecordError> {
        let length = self.i32(field)?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.rest.len())
            .ok_or_else(|| self.truncated(field))
    }

    /// As [`array_length`](Self::array_length), for an array that may be null.
    pub(crate) fn nullable_array_length(
        &mut self,
        field: &'static str,
    ) -> Result<Option<usize>, RecordError> {
        if self.rest.starts_with(&(-1i32).to_be_bytes()) {
            self.i32(field)?;
            return Ok(None);
        }
        self.array_length(field).map(Some)
    }

    pub(crate) fn compact_string(&mut self, field: &'static str) -> Result<String, RecordError> {
        let length = self
            .compact_array_length(field)?
            .ok_or_else(|| self.truncated(field))?;
        self.text(field, length)
    }

    /// As [`compact_string`](Self::compact_string), for text that may be null.
    pub(crate) fn compact_nullable_string(
        &mut self,
        field: &'static str,
    ) -> Result<Option<String>, RecordError> {
        match self.compact_array_length(field)? {
            Some(length) => self.text(field, length).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn uuid(&mut self, field: &'static str) -> Result<uuid::Uuid, RecordError> {
        Ok(uuid::Uuid::from_bytes(self.array(field)?))
    }

    pub(crate) fn compact_array_length(&mut self, field: &'static str) -> Result<Option<usize>, RecordError> {
        match self.unsigned_varint(field)? as usize {
            0 => Ok(None),
            length if length - 1 > self.rest.len() => Err(self.truncated(field)),
            length => Ok(Some(length - 1)),
        }
    }

    pub(crate) fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, RecordError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array(field)?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.truncated(field))
    }

    /// Hands each tagged field of a flexible record to `visit` as its number and a reader over its bytes.
    pub(crate) fn tagged_fields(
        &mut self,
        mut visit: impl FnMut(u32, &mut FieldReader<'a>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        for _ in 0..self.unsigned_varint("tagged fields")? {
            let tag = self.unsigned_varint("tag")?;
            let length = self.unsigned_varint("tag length")? as usize;
            let bytes = self.take("tagged field", length)?;
            visit(tag, &mut FieldReader::new(self.record, bytes))?;
        }
        Ok(())
    }

    fn text(&mut self, field: &'static str, length: usize) -> Result<String, RecordError> {
        let bytes = self.take(field, length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| RecordError::NotText {
            record: self.record,
            field,
        })?;
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hash_as_java_strings_do() {
        // As Java says; the last id is two units there, and one character here.
        for (id, hash) in [("a", 97), ("polygenelubricants", 0), ("\u{1f600}", 1_772_899)] {
            assert_eq!(coordinator_partition(id, i32::MAX), hash, "{id}");
        }
    }

    #[test]
    fn a_length_that_lies_is_an_error_and_not_an_allocation() {
        let mut reader = FieldReader::new("Test", &[0x7f, 0xff, 0xff, 0xff, 1]);
        expect_test::expect![
            "the field `members` of a Test record does not fit into the 1 bytes that are left of it"
        ]
        .assert_eq(&reader.array_length("members").unwrap_err().to_string());
    }
}
