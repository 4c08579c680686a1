//! The part of an Avro serde that knows no types: the id before each datum, and which schemas and subjects are known.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use super::datum::{Datum, OtherSchema, OwnSchema};
use super::registry::SchemaRegistry;
use super::{SCHEMAS_MAX, SerdeError};

/// What a record in Confluent's wire format begins with.
const MAGIC_BYTE: u8 = 0;

/// The own schema, its ids, and the schemas of those who write the records that are read.
pub(super) struct Schemas {
    registry: Arc<dyn SchemaRegistry>,
    /// What a subject's name says after the topic's.
    of: &'static str,
    json: String,
    own: OwnSchema,
    /// Whether the own schema is registered where the registry does not have it.
    pub(super) registers: bool,
    /// The own schema's, by topic.
    ids: Remembered<String, i32>,
    /// By id. `None` is encoded as the own schema is.
    others: Remembered<i32, Option<Arc<OtherSchema>>>,
}

impl Schemas {
    pub(super) fn new(
        registry: Arc<dyn SchemaRegistry>,
        json: &str,
        of: &'static str,
    ) -> Result<Self, SerdeError> {
        Ok(Self {
            registry,
            of,
            json: json.to_owned(),
            own: OwnSchema::parse(json)?,
            registers: true,
            ids: Remembered::default(),
            others: Remembered::default(),
        })
    }

    pub(super) fn own(&self) -> &OwnSchema {
        &self.own
    }

    /// Writes what comes before a datum, and says what the datum is written with.
    pub(super) fn begin(&self, topic: &str, out: &mut Vec<u8>) -> Result<&OwnSchema, SerdeError> {
        let id = match self.ids.get(topic) {
            Some(id) => id,
            None => self.ask_for_id(topic)?,
        };
        out.push(MAGIC_BYTE);
        out.extend_from_slice(&id.to_be_bytes());
        Ok(&self.own)
    }

    #[cold]
    fn ask_for_id(&self, topic: &str) -> Result<i32, SerdeError> {
        let subject = format!("{topic}-{}", self.of);
        let id = if self.registers {
            self.registry.register(&subject, &self.json)?
        } else {
            self.registry.id_of(&subject, &self.json)?
        };
        self.ids.insert(topic.to_owned(), id);
        self.others.insert(id, None);
        Ok(id)
    }

    /// Takes apart what was read.
    pub(super) fn record<'a>(&self, topic: &str, bytes: &'a [u8]) -> Result<Datum<'a>, SerdeError> {
        let not_ours = |found: String| {
            SerdeError::new(format!(
                "Avro of a schema registry begins with the byte {MAGIC_BYTE} and a schema id of 4 bytes, but in topic {topic} {found}"
            ))
        };
        match bytes.first() {
            None => return Err(not_ours("there are no bytes".to_owned())),
            Some(&MAGIC_BYTE) => {}
            Some(other) => return Err(not_ours(format!("the first byte is {other}"))),
        }
        let Some((id, bytes)) = bytes[1..].split_first_chunk() else {
            return Err(not_ours(format!("there are only {} bytes", bytes.len())));
        };
        let id = i32::from_be_bytes(*id);
        let other = match self.others.get(&id) {
            Some(other) => other,
            None => self.ask_for_schema(topic, id)?,
        };
        Ok(Datum { id, other, bytes })
    }

    #[cold]
    fn ask_for_schema(&self, topic: &str, id: i32) -> Result<Option<Arc<OtherSchema>>, SerdeError> {
        let json = self.registry.schema(id);
        let other = json.and_then(|json| self.own.other(&json));
        let other = other.map_err(|error| {
            SerdeError::new(format!(
                "a record of topic {topic} was written with schema id {id}: {error}"
            ))
        })?;
        let other = other.map(Arc::new);
        self.others.insert(id, other.clone());
        Ok(other)
    }
}

impl Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas")
            .field("of", &self.of)
            .field("schema", &self.json)
            .field("registers", &self.registers)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// At most [`SCHEMAS_MAX`] answers of the registry; before there is one more, all are forgotten.
struct Remembered<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let answers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).cloned()
    }

    fn insert(&self, key: K, value: V) {
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= SCHEMAS_MAX && !answers.contains_key(&key) {
            answers.clear();
        }
        answers.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Remembered, SCHEMAS_MAX};

    #[test]
    fn what_is_remembered_is_bounded() {
        let remembered = Remembered::default();
        for id in 0..SCHEMAS_MAX {
            remembered.insert(id, id);
        }
        remembered.insert(0, 7);
        assert_eq!((remembered.get(&0), remembered.get(&999)), (Some(7), Some(999)));
        remembered.insert(SCHEMAS_MAX, 8);
        assert_eq!(
            (remembered.get(&0), remembered.get(&SCHEMAS_MAX)),
            (None, Some(8))
        );
    }
}
