//! A look at a request before it is decoded: do its arrays fit into its bytes? The decoder allocates for as many elements as
//! a count claims, so that a frame of 30 bytes could ask for gigabytes; here every count is checked against what is there.
//!
//! `request_shapes.txt` has one line for each API: key, name, first flexible version (or `never`), fields. A field is
//! `i1 i2 i4 i8 i16` (so many bytes), `str`, `bytes`, `[ element ]`, `{ struct }` or `?{ nullable struct }`, then the versions
//! that have it (`@3+`, `@0-12`; all if it says nothing), then `#n` if it is tagged field n.

use std::sync::LazyLock;

/// Most elements that all arrays of one request may have together. Decoded elements are larger than their bytes: this bounds
/// what one request can take in memory.
pub const MAX_REQUEST_ELEMENTS: usize = 1_000_000;

const SHAPES: &str = include_str!("request_shapes.txt");

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Fewer bytes than its fields need.
    #[error("it ends in the middle of a field")]
    Short,
    /// An array or text claims more than there is.
    #[error("a length of {claimed} is more than the {available} bytes that are left")]
    Length {
        /// What it says.
        claimed: u64,
        /// What there is.
        available: usize,
    },
    /// More elements than [`MAX_REQUEST_ELEMENTS`].
    #[error("its arrays have more than {MAX_REQUEST_ELEMENTS} elements")]
    Elements,
    /// A number of variable length that does not end.
    #[error("a variable-length number has more than 5 bytes")]
    Varint,
}

#[derive(Debug)]
enum Kind {
    Fixed(usize),
    Text,
    Blob,
    Array(Box<Kind>),
    Struct { nullable: bool, fields: Vec<Field> },
}

#[derive(Debug)]
struct Field {
    kind: Kind,
    first_version: i16,
    last_version: i16,
    tag: Option<u32>,
}

#[derive(Debug)]
struct Shape {
    key: i16,
    /// First version with compact lengths and tagged fields.
    flexible: i16,
    fields: Vec<Field>,
}

static TABLE: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    SHAPES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| parse_shape(line).expect("the table of request shapes is well-formed"))
        .collect()
});

/// Checks the body of a request against the shape of its API. An API without a shape passes: nothing will decode it.
///
/// # Errors
/// [`ShapeError`]: decoding it would fail, or take more memory than the request is worth.
pub fn check(key: i16, version: i16, body: &[u8]) -> Result<(), ShapeError> {
    let Some(shape) = TABLE.iter().find(|shape| shape.key == key) else {
        return Ok(());
    };
    let mut walk = Walk {
        rest: body,
        version,
        flexible: version >= shape.flexible,
        elements: 0,
    };
    // Bytes behind the last field are left alone, as in Kafka: librdkafka's Metadata has some.
    walk.fields(&shape.fields)
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        for field in fields {
            if field.tag.is_none() && self.has(field) {
                self.value(&field.kind)?;
            }
        }
        if self.flexible {
            self.tagged(fields)
        } else {
            Ok(())
        }
    }

    fn has(&self, field: &Field) -> bool {
        (field.first_version..=field.last_version).contains(&self.version)
    }

    /// Tagged fields: those that are known are looked into, the others skipped.
    fn tagged(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()?;
            match fields
                .iter()
                .find(|field| field.tag == Some(tag) && self.has(field))
            {
                Some(field) => self.value(&field.kind)?,
                None => self.skip(u64::from(size))?,
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(size) => self.skip(*size as u64),
            Kind::Text => {
                let length = if self.flexible {
                    self.compact_length()?
                } else {
                    i64::from(i16::from_be_bytes(self.take()?))
                };
                self.skip(length.max(0) as u64)
            }
            Kind::Blob => {
                let length = self.length()?;
                self.skip(length.max(0) as u64)
            }
            Kind::Array(element) => self.array(element),
            Kind::Struct { nullable, fields } => {
                if *nullable && i8::from_be_bytes(self.take()?) < 0 {
                    return Ok(());
                }
                self.fields(fields)
            }
        }
    }

    fn array(&mut self, element: &Kind) -> Result<(), ShapeError> {
        let count = self.length()?.max(0) as u64;
        // Every element has at least one byte.
        if count > self.rest.len() as u64 {
            return Err(self.too_long(count));
        }
        self.elements += count as usize;
        if self.elements > MAX_REQUEST_ELEMENTS {
            return Err(ShapeError::Elements);
        }
        for _ in 0..count {
            self.value(element)?;
        }
        Ok(())
    }

    fn length(&mut self) -> Result<i64, ShapeError> {
        if self.flexible {
            self.compact_length()
        } else {
            Ok(i64::from(i32::from_be_bytes(self.take()?)))
        }
    }

    fn compact_length(&mut self) -> Result<i64, ShapeError> {
        Ok(i64::from(self.varint()?) - 1)
    }

    fn varint(&mut self) -> Result<u32, ShapeError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| ShapeError::Varint);
            }
        }
        Err(ShapeError::Varint)
    }

    fn skip(&mut self, count: u64) -> Result<(), ShapeError> {
        match usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.get(count..))
        {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.too_long(count)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(ShapeError::Short)?;
        self.rest = rest;
        Ok(*value)
    }

    fn too_long(&self, claimed: u64) -> ShapeError {
        ShapeError::Length {
            claimed,
            available: self.rest.len(),
        }
    }
}

fn parse_shape(line: &str) -> Option<Shape> {
    let mut words = line.split_whitespace();
    let key = words.next()?.parse().ok()?;
    let _name = words.next()?;
    let flexible = match words.next()? {
        "never" => i16::MAX,
        version => version.parse().ok()?,
    };
    (words.next()? == ":").then_some(())?;
    let (fields, end) = parse_fields(&mut words)?;
    end.is_none().then_some(Shape {
        key,
        flexible,
        fields,
    })
}

/// Fields up to a closing bracket, and that bracket with what is attached to it.
fn parse_fields<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<(Vec<Field>, Option<&'a str>)> {
    let mut fields = Vec::new();
    while let Some(word) = words.next() {
        if word.starts_with([']', '}']) {
            return Some((fields, Some(&word[1..])));
        }
        let (kind, attached) = match word {
            "[" => {
                let (mut element, attached) = parse_fields(words)?;
                (Kind::Array(Box::new(element.pop()?.kind)), attached?)
            }
            "{" | "?{" => {
                let (fields, attached) = parse_fields(words)?;
                let nullable = word.starts_with('?');
                (Kind::Struct { nullable, fields }, attached?)
            }
            _ => {
                let end = word.find(['@', '#']).unwrap_or(word.len());
                let kind = match &word[..end] {
                    "str" => Kind::Text,
                    "bytes" => Kind::Blob,
                    number => Kind::Fixed(number.strip_prefix('i')?.parse().ok()?),
                };
                (kind, &word[end..])
            }
        };
        fields.push(parse_attached(kind, attached)?);
    }
    Some((fields, None))
}

/// `@3+`, `@0-12`, `@15+#1`, or nothing.
fn parse_attached(kind: Kind, attached: &str) -> Option<Field> {
    let (versions, tag) = match attached.split_once('#') {
        Some((versions, tag)) => (versions, Some(tag.parse().ok()?)),
        None => (attached, None),
    };
    let (first_version, last_version) = match versions.strip_prefix('@') {
        None => (0, i16::MAX),
        Some(range) => match range.split_once('-') {
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => (range.strip_suffix('+')?.parse().ok()?, i16::MAX),
        },
    };
    Some(Field {
        kind,
        first_version,
        last_version,
        tag,
    })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::{ApiKey, FetchRequest};
    use kafka_protocol::protocol::Encodable;

    use super::*;
    use crate::handler::{APIS, Request};

    #[test]
    fn every_api_served_has_a_shape() {
        for api in APIS.iter() {
            assert!(TABLE.iter().any(|shape| shape.key == api.key), "{}", api.name);
        }
    }

    #[test]
    fn shapes_agree_with_the_decoder_on_where_versions_become_flexible() {
        for shape in TABLE.iter() {
            let Ok(key) = ApiKey::try_from(shape.key) else {
                continue;
            };
            let versions = key.valid_versions();
            for version in versions.min..=versions.max {
                let flexible = version >= shape.flexible;
                assert_eq!(
                    key.request_header_version(version) >= 2,
                    flexible,
                    "{key:?} {version}"
                );
            }
        }
    }

    #[test]
    fn an_encoded_request_passes_in_every_version() {
        use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
        for version in 4..=18 {
            let topic = FetchTopic::default().with_partitions(vec![FetchPartition::default(); 3]);
            let request = FetchRequest::default().with_topics(vec![topic; 2]);
            let mut body = BytesMut::new();
            request.encode(&mut body, version).unwrap();
            assert_eq!(check(1, version, &body), Ok(()), "version {version}");
            // The last byte is needed.
            assert!(check(1, version, &body[..body.len() - 1]).is_err());
            assert!(Request::decode(1, version, body.freeze()).is_ok());
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_before_anything_is_allocated() {
        let mut body = 2_000_000_000_i32.to_be_bytes().to_vec();
        body.extend([0; 20]);
        assert!(matches!(
            check(3, 1, &body),
            Err(ShapeError::Length {
                claimed: 2_000_000_000,
                ..
            })
        ));
        // Version 9 is flexible: the count is a varint.
        let body = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert!(matches!(check(3, 9, &body), Err(ShapeError::Length { .. })));
    }
}
