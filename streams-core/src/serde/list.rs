//! Lists, in the format of Kafka's `ListSerde`.
//!
//! ```text
//!   0 | nulls: i32 | index of each null: i32 .. | entries: i32 | each that is not null ..     all of one size
//!   1 | entries: i32 | (size: i32, -1 is null | bytes) ..                                     each of its own size
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Serde, SerdeError};

const OF_ONE_SIZE: u8 = 0;
const OF_ANY_SIZE: u8 = 1;
const NULL_SIZE: i32 = -1;

/// The serde of lists whose entries another serde reads and writes (Kafka's `Serdes.ListSerde`). Entries may be null, if their
/// type is an `Option`; for a list that may be null itself, put it into a [`NullableSerde`](super::NullableSerde).
///
/// ```
/// use streams_core::serde::{DefaultSerde, ListSerde, Serde};
///
/// let serde = ListSerde::new(<Option<String>>::default_serde());
/// let mut bytes = Vec::new();
/// serde.serialize("t", &vec![Some("a".to_string()), None], &mut bytes).unwrap();
/// assert_eq!(bytes, [1, 0, 0, 0, 2, 0, 0, 0, 1, b'a', 255, 255, 255, 255]);
/// assert_eq!(serde.deserialize("t", &bytes).unwrap(), [Some("a".to_string()), None]);
/// ```
pub struct ListSerde<T> {
    entry: Arc<dyn Serde<T>>,
}

impl<T> ListSerde<T> {
    /// Lists of what `entry` reads and writes.
    ///
    /// ```
    /// use streams_core::serde::{DefaultSerde, ListSerde, Serde};
    ///
    /// // Numbers have one size, which is not written.
    /// let serde = ListSerde::new(i16::default_serde());
    /// let mut bytes = Vec::new();
    /// serde.serialize("t", &vec![7, 8], &mut bytes).unwrap();
    /// assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 7, 0, 8]);
    /// ```
    pub fn new(entry: Arc<dyn Serde<T>>) -> Self {
        Self { entry }
    }

    fn write_entries(
        &self,
        topic: &str,
        list: &[T],
        is_of_one_size: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        write_count(list.len(), out)?;
        for value in list {
            let is_null = self.entry.is_null(value);
            if is_of_one_size {
                if !is_null {
                    self.entry.serialize(topic, value, out)?;
                }
                continue;
            }
            let at = out.len();
            out.extend_from_slice(&NULL_SIZE.to_be_bytes());
            if !is_null {
                self.entry.serialize(topic, value, out)?;
                let size = count(out.len() - at - size_of::<i32>())?;
                out[at..at + size_of::<i32>()].copy_from_slice(&size.to_be_bytes());
            }
        }
        Ok(())
    }

    fn null_entry(&self) -> Result<T, SerdeError> {
        let null = self.entry.null();
        null.ok_or_else(|| SerdeError::new("the list has a null, and its entries cannot be null"))
    }
}

impl<T> Serde<Vec<T>> for ListSerde<T> {
    fn serialize(&self, topic: &str, value: &Vec<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let is_of_one_size = self.entry.size_bytes().is_some();
        if !is_of_one_size {
            out.push(OF_ANY_SIZE);
            return self.write_entries(topic, value, false, out);
        }
        out.push(OF_ONE_SIZE);
        let nulls = value
            .iter()
            .enumerate()
            .filter(|(_, entry)| self.entry.is_null(entry));
        let nulls: Vec<usize> = nulls.map(|(index, _)| index).collect();
        write_count(nulls.len(), out)?;
        for index in nulls {
            write_count(index, out)?;
        }
        self.write_entries(topic, value, true, out)
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Vec<T>, SerdeError> {
        let mut bytes = Bytes(bytes);
        let [strategy] = bytes.take::<1>()?;
        let (nulls, size) = match (strategy, self.entry.size_bytes()) {
            (OF_ANY_SIZE, _) => (BTreeSet::new(), None),
            (OF_ONE_SIZE, Some(size)) => (bytes.indexes()?, Some(size)),
            (OF_ONE_SIZE, None) => {
                return Err(SerdeError::new(
                    "a list of entries of one size, but the size of its entries is not known",
                ));
            }
            (other, _) => {
                return Err(SerdeError::new(format!(
                    "a list begins with the byte 0 or 1, but {other} was found"
                )));
            }
        };
        let entries = bytes.count()?;
        let mut list = Vec::new();
        for index in 0..entries {
            let size = match size {
                Some(size) => (!nulls.contains(&index)).then_some(size),
                None => bytes.entry_size()?,
            };
            list.push(match size {
                Some(size) => self.entry.deserialize(topic, bytes.slice(size)?)?,
                None => self.null_entry()?,
            });
        }
        match bytes.0.len() {
            0 => Ok(list),
            more => Err(SerdeError::new(format!("{more} bytes are left after a list"))),
        }
    }
}

impl<T> std::fmt::Debug for ListSerde<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListSerde").field("entry", &self.entry).finish()
    }
}

fn count(count: usize) -> Result<i32, SerdeError> {
    i32::try_from(count).map_err(|_| SerdeError::new("a list is larger than its format allows, 2 GiB"))
}

fn write_count(n: usize, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    out.extend_from_slice(&count(n)?.to_be_bytes());
    Ok(())
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SerdeError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn slice(&mut self, size: usize) -> Result<&'a [u8], SerdeError> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Result<usize, SerdeError> {
        let count = i32::from_be_bytes(self.take()?);
        usize::try_from(count).map_err(|_| SerdeError::new(format!("a list cannot have {count} entries")))
    }

    /// `None`: the entry is null.
    fn entry_size(&mut self) -> Result<Option<usize>, SerdeError> {
        let size = i32::from_be_bytes(self.take()?);
        if size == NULL_SIZE {
            return Ok(None);
        }
        let size = usize::try_from(size);
        size.map(Some)
            .map_err(|_| SerdeError::new("an entry of a list cannot have less than no bytes"))
    }

    fn indexes(&mut self) -> Result<BTreeSet<usize>, SerdeError> {
        (0..self.count()?).map(|_| self.count()).collect()
    }
}

#[cold]
fn cut() -> SerdeError {
    SerdeError::new("the bytes of a list end before the list does")
}

#[cfg(test)]
mod tests {
    use super::super::{DefaultSerde, JsonSerde, Serde};
    use super::{Arc, ListSerde};

    fn bytes<T>(serde: &ListSerde<T>, list: &Vec<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        serde.serialize("t", list, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn numbers_have_one_size_and_nulls_an_index() {
        let serde = ListSerde::new(<Option<i32>>::default_serde());
        let list = vec![Some(1), None, Some(-1)];
        let written = bytes(&serde, &list);
        let nulls = [0, 0, 0, 1, 0, 0, 0, 1];
        let entries = [0, 0, 0, 3, 0, 0, 0, 1, 255, 255, 255, 255];
        assert_eq!(written, [&[0][..], &nulls, &entries].concat());
        assert_eq!(serde.deserialize("t", &written).unwrap(), list);
    }

    #[test]
    fn only_what_knows_its_size_is_written_without_it() {
        let json = ListSerde::<i32>::new(Arc::new(JsonSerde));
        assert_eq!(bytes(&json, &vec![7]), [1, 0, 0, 0, 1, 0, 0, 0, 1, b'7']);
        let uuids = ListSerde::new(uuid::Uuid::default_serde());
        assert_eq!(bytes(&uuids, &vec![uuid::Uuid::nil()]).len(), 1 + 4 + 4 + 36);
        let empty = ListSerde::new(String::default_serde());
        assert_eq!(bytes(&empty, &Vec::new()), [1, 0, 0, 0, 0]);
    }

    #[test]
    fn wrong_bytes_are_errors() {
        let numbers = ListSerde::new(i16::default_serde());
        let texts = ListSerde::new(String::default_serde());
        let written = bytes(&texts, &vec!["abc".to_owned(), "d".to_owned()]);
        for end in 0..written.len() {
            assert!(texts.deserialize("t", &written[..end]).is_err(), "{end}");
        }
        assert!(texts.deserialize("t", &[&written[..], b"x"].concat()).is_err());
        for wrong in [
            &[0, 0, 0, 0, 0, 127, 255, 255, 255][..],
            &[0, 255, 255, 255, 255, 0, 0, 0, 0],
            &[1, 127, 255, 255, 255],
            &[1, 0, 0, 0, 1, 255, 255, 255, 254],
            &[1, 0, 0, 0, 1, 255, 255, 255, 255],
            &[2, 0, 0, 0, 0],
        ] {
            assert!(numbers.deserialize("t", wrong).is_err(), "{wrong:?}");
        }
        assert!(texts.deserialize("t", &[0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
