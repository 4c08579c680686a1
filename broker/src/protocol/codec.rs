//! The flexible encoding of Kafka's messages: a struct is its fields in order and then its tagged fields, of which these
//! messages have none and skip any.
//!
//! Counts come from outside: none is trusted for an allocation before as many bytes are there.

use anyhow::{Context, Result, bail, ensure};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use uuid::Uuid;

/// A value that can be part of a message.
pub(crate) trait Field: Sized {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self>;
    fn write<B: ByteBufMut>(&self, buffer: &mut B);
}

macro_rules! number {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
                let bytes = buffer.try_get_bytes(size_of::<$type>())?;
                Ok(Self::from_be_bytes(bytes.as_ref().try_into().context("a number is cut short")?))
            }

            fn write<B: ByteBufMut>(&self, buffer: &mut B) {
                buffer.put_slice(&self.to_be_bytes());
            }
        }
    )*};
}

number!(u8, i8, i16, u16, i32, i64);

impl Field for Uuid {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
        Ok(Self::from_bytes(
            buffer
                .try_get_bytes(16)?
                .as_ref()
                .try_into()
                .context("an id is cut short")?,
        ))
    }

    fn write<B: ByteBufMut>(&self, buffer: &mut B) {
        buffer.put_slice(self.as_bytes());
    }
}

impl Field for bool {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
        Ok(u8::read(buffer)? != 0)
    }

    fn write<B: ByteBufMut>(&self, buffer: &mut B) {
        u8::from(*self).write(buffer);
    }
}

fn read_varint<B: ByteBuf>(buffer: &mut B) -> Result<u32> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = u8::read(buffer)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a variable-length number has more than five bytes")
}

fn write_varint<B: ByteBufMut>(mut value: u32, buffer: &mut B) {
    while value >= 0x80 {
        buffer.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// A length, None for null. Every element takes at least a byte.
fn read_length<B: ByteBuf>(buffer: &mut B) -> Result<Option<usize>> {
    let Some(length) = read_varint(buffer)?.checked_sub(1) else {
        return Ok(None);
    };
    let (length, remaining) = (length as usize, buffer.remaining());
    ensure!(
        length <= remaining,
        "a length of {length} does not fit into the {remaining} bytes that are left"
    );
    Ok(Some(length))
}

fn write_length<B: ByteBufMut>(length: Option<usize>, buffer: &mut B) {
    let length = length.map_or(0, |length| {
        u32::try_from(length + 1).expect("a message is smaller than 4 GiB")
    });
    write_varint(length, buffer);
}

impl Field for Option<String> {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
        let Some(length) = read_length(buffer)? else {
            return Ok(None);
        };
        let bytes = buffer.try_get_bytes(length)?;
        Ok(Some(
            std::str::from_utf8(&bytes)
                .context("a text is not UTF-8")?
                .to_owned(),
        ))
    }

    fn write<B: ByteBufMut>(&self, buffer: &mut B) {
        write_length(self.as_ref().map(String::len), buffer);
        if let Some(text) = self {
            buffer.put_slice(text.as_bytes());
        }
    }
}

impl Field for String {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
        Option::<Self>::read(buffer)?.context("a text that must be there is null")
    }

    fn write<B: ByteBufMut>(&self, buffer: &mut B) {
        write_length(Some(self.len()), buffer);
        buffer.put_slice(self.as_bytes());
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
        match read_length(buffer)? {
            None => Ok(None),
            Some(count) => (0..count)
                .map(|_| T::read(buffer))
                .collect::<Result<Vec<T>>>()
                .map(Some),
        }
    }

    fn write<B: ByteBufMut>(&self, buffer: &mut B) {
        match self {
            None => write_length(None, buffer),
            Some(elements) => elements.write(buffer),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<B: ByteBuf>(buffer: &mut B) -> Result<Self> {
        Option::<Self>::read(buffer)?.context("an array that must be there is null")
    }

    fn write<B: ByteBufMut>(&self, buffer: &mut B) {
        write_length(Some(self.len()), buffer);
        for element in self {
            element.write(buffer);
        }
    }
}

/// Reads over the tagged fields at the end of a struct.
pub(super) fn skip_tags<B: ByteBuf>(buffer: &mut B) -> Result<()> {
    for _ in 0..read_varint(buffer)? {
        read_varint(buffer)?;
        let size = read_varint(buffer)?;
        buffer.try_get_bytes(size as usize)?;
    }
    Ok(())
}

/// Says that a struct ends without tagged fields.
pub(super) fn no_tags<B: ByteBufMut>(buffer: &mut B) {
    write_varint(0, buffer);
}

/// Declares structs whose fields are written in their order.
macro_rules! structs {
    ($($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl $crate::protocol::Field for $name {
            fn read<B: ByteBuf>(buffer: &mut B) -> anyhow::Result<Self> {
                let value = Self { $($field: <$type>::read(buffer)?,)* };
                $crate::protocol::codec::skip_tags(buffer)?;
                Ok(value)
            }

            fn write<B: ByteBufMut>(&self, buffer: &mut B) {
                $(self.$field.write(buffer);)*
                $crate::protocol::codec::no_tags(buffer);
            }
        }

        // A struct that may be null says first whether it is there.
        impl $crate::protocol::Field for Option<$name> {
            fn read<B: ByteBuf>(buffer: &mut B) -> anyhow::Result<Self> {
                Ok(match i8::read(buffer)? {
                    -1 => None,
                    _ => Some($name::read(buffer)?),
                })
            }

            fn write<B: ByteBufMut>(&self, buffer: &mut B) {
                match self {
                    None => (-1i8).write(buffer),
                    Some(value) => {
                        1i8.write(buffer);
                        value.write(buffer);
                    }
                }
            }
        }
    )*};
}

/// Makes a struct a message of one version, with this version of header.
macro_rules! message {
    ($name:ident, version $version:literal, header $header:literal) => {
        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: ByteBuf>(buffer: &mut B, version: i16) -> anyhow::Result<Self> {
                anyhow::ensure!(version == $version, "version {version} is not known");
                $crate::protocol::Field::read(buffer)
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: ByteBufMut>(&self, buffer: &mut B, version: i16) -> anyhow::Result<()> {
                anyhow::ensure!(version == $version, "version {version} is not known");
                $crate::protocol::Field::write(self, buffer);
                Ok(())
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                let mut scratch = bytes::BytesMut::new();
                self.encode(&mut scratch, version)?;
                Ok(scratch.len())
            }
        }

        impl kafka_protocol::protocol::HeaderVersion for $name {
            fn header_version(_: i16) -> i16 {
                $header
            }
        }
    };
}

pub(super) use {message, structs};

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;

    #[test]
    fn a_length_that_lies_is_an_error_and_not_an_allocation() {
        let mut lying = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
        assert!(
            Vec::<i64>::read(&mut lying)
                .unwrap_err()
                .to_string()
                .contains("does not fit")
        );
        assert!(Vec::<i64>::read(&mut Bytes::from_static(&[2, 0])).is_err());
        assert!(String::read(&mut Bytes::from_static(&[0])).is_err());
        assert!(String::read(&mut Bytes::from_static(&[2, 0xff])).is_err());
    }

    #[test]
    fn null_and_empty_are_not_the_same() {
        for value in [None, Some(vec![]), Some(vec![1i32, -1])] {
            let mut buffer = BytesMut::new();
            value.write(&mut buffer);
            assert_eq!(Option::<Vec<i32>>::read(&mut buffer.freeze()).unwrap(), value);
        }
    }
}
