//! What stands behind the schema id: one datum, written with the own schema, read with the own or another one.
//!
//! A datum of another schema is resolved into the own one and read as if it had been written so: types meet their own schema
//! only, whoever wrote the record.

use std::io::{self, Read};
use std::sync::Arc;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Error, Schema};

use super::SerdeError;

/// What writes and reads with a schema borrows it.
struct Datums<'s> {
    writer: GenericDatumWriter<'s>,
    reader: GenericDatumReader<'s>,
}

self_cell::self_cell!(
    struct WithDatums {
        owner: Arc<Schema>,
        #[covariant]
        dependent: Datums,
    }
);

self_cell::self_cell!(
    struct WithResolver {
        // The other schema, and the own.
        owner: (Schema, Arc<Schema>),
        #[covariant]
        dependent: GenericDatumReader,
    }
);

/// The schema of a serde.
pub(super) struct OwnSchema(WithDatums);

/// A schema that records were written with, and the way from there to the own one.
pub(super) struct OtherSchema(WithResolver);

fn parse(json: &str) -> Result<Schema, SerdeError> {
    Schema::parse_str(json).map_err(|error| SerdeError::new(format!("not an Avro schema: {error}: {json}")))
}

fn in_words(error: Error) -> SerdeError {
    SerdeError::new(error.to_string())
}

fn unusable(error: Error) -> SerdeError {
    SerdeError::new(format!("an Avro schema that cannot be used: {error}"))
}

impl OwnSchema {
    pub(super) fn parse(json: &str) -> Result<Self, SerdeError> {
        let datums = WithDatums::try_new(Arc::new(parse(json)?), |schema| {
            Ok(Datums {
                writer: GenericDatumWriter::builder(schema).build()?,
                reader: GenericDatumReader::builder(schema).build()?,
            })
        });
        datums.map(Self).map_err(unusable)
    }

    /// The way from another schema to this one; `None` if what they write is the same.
    pub(super) fn other(&self, json: &str) -> Result<Option<OtherSchema>, SerdeError> {
        let (other, own) = (parse(json)?, self.0.borrow_owner());
        if other.canonical_form() == own.canonical_form() {
            return Ok(None);
        }
        let resolver = WithResolver::try_new((other, Arc::clone(own)), |(other, own)| {
            GenericDatumReader::builder(other).reader_schema(own).build()
        });
        resolver.map(OtherSchema).map(Some).map_err(unusable)
    }

    pub(super) fn write<T: Serialize>(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let written = self.0.borrow_dependent().writer.write_ser(out, value);
        written.map(drop).map_err(in_words)
    }

    pub(super) fn write_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let written = self.0.borrow_dependent().writer.write_value_ref(out, value);
        written.map(drop).map_err(in_words)
    }
}

/// One that was read but for its id.
pub(super) struct Datum<'a> {
    pub(super) id: i32,
    /// What it was written with, if not as the own schema writes.
    pub(super) other: Option<Arc<OtherSchema>>,
    pub(super) bytes: &'a [u8],
}

impl Datum<'_> {
    pub(super) fn read<T: DeserializeOwned>(&self, own: &OwnSchema) -> Result<T, SerdeError> {
        let reader = &own.0.borrow_dependent().reader;
        let Some(other) = &self.other else {
            return all(self.bytes, |rest| reader.read_deser(rest));
        };
        let mut resolved = Vec::new();
        own.write_value(&other.resolve(self.bytes)?, &mut resolved)?;
        all(&resolved, |rest| reader.read_deser(rest))
    }

    pub(super) fn read_value(&self, own: &OwnSchema) -> Result<Value, SerdeError> {
        match &self.other {
            Some(other) => other.resolve(self.bytes),
            None => all(self.bytes, |rest| {
                own.0.borrow_dependent().reader.read_value(rest)
            }),
        }
    }

    pub(super) fn error(&self, topic: &str, what: &str) -> SerdeError {
        SerdeError::new(format!(
            "a record of topic {topic}, written with schema id {}, {what}",
            self.id
        ))
    }
}

impl OtherSchema {
    fn resolve(&self, bytes: &[u8]) -> Result<Value, SerdeError> {
        all(bytes, |rest| self.0.borrow_dependent().read_value(rest))
    }
}

/// What `read` makes of all of `bytes`.
fn all<V>(bytes: &[u8], read: impl FnOnce(&mut Rest<'_>) -> Result<V, Error>) -> Result<V, SerdeError> {
    let mut rest = Rest(bytes);
    let value = read(&mut rest).map_err(in_words)?;
    match rest.0.len() {
        0 => Ok(value),
        more => Err(SerdeError::new(format!("{more} bytes are left after the datum"))),
    }
}

/// What is still to be read. Its end is an error of its own kind: the reader takes `UnexpectedEof` for a null.
struct Rest<'a>(&'a [u8]);

impl Read for Rest<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !out.is_empty() {
            let cut = "the bytes end before the datum does";
            return Err(io::Error::new(io::ErrorKind::InvalidData, cut));
        }
        self.0.read(out)
    }
}
