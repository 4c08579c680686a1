//! What the two sides of a foreign-key join send each other, and its bytes: those of Kafka Streams, whose topics and stores can be
//! taken over.

use std::fmt::{self, Debug};
use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use streams_core::serde::{Serde, SerdeError};

/// Of a value's bytes. Tells whether an answer is about the value that is there now.
pub(crate) type ValueHash = [u8; 16];

/// Seed of Kafka's `Murmur3`.
const SEED: u32 = 104_729;
const VERSION: u8 = 1;
/// Of subscriptions without a partition.
const VERSION_WITHOUT_PARTITION: u8 = 0;
const RESPONSE_VERSION: u8 = 0;
const HASH_IS_NULL: u8 = 0x80;

/// The hash of a value's bytes, as Kafka Streams takes it.
pub(crate) fn hash(bytes: &[u8]) -> ValueHash {
    let hash = murmur3::murmur3_x64_128(&mut Cursor::new(bytes), SEED).unwrap_or_default();
    // The lower half comes first.
    hash.rotate_left(64).to_be_bytes()
}

/// What the right side is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    DeleteKeyNoPropagate = 0,
    DeleteKeyAndPropagate = 1,
    PropagateNullIfNoFkValAvailable = 2,
    PropagateOnlyIfFkValAvailable = 3,
}

/// A row of the left table that wants the row of its foreign key (`SubscriptionWrapper`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subscription<K> {
    /// Of its value; `None` if it was deleted.
    pub(crate) hash: Option<ValueHash>,
    pub(crate) instruction: Instruction,
    pub(crate) primary_key: K,
    /// Where the answer must go. `None`: instances before Kafka Streams 3.4, and those that are upgraded from them, write none;
    /// the answer goes by the key then.
    pub(crate) primary_partition: Option<i32>,
}

/// The row of a foreign key, for a row of the left table (`SubscriptionResponseWrapper`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response<V> {
    pub(crate) hash: Option<ValueHash>,
    pub(crate) value: Option<V>,
    /// Not written: where it goes, if not by its key.
    pub(crate) primary_partition: Option<i32>,
}

/// Key of a subscription in its store: all of a foreign key are together (`CombinedKey`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CombinedKey<F, K> {
    pub(crate) foreign_key: F,
    pub(crate) primary_key: K,
}

/// The topics that the serdes of a join's keys are told of, wherever the keys are really written: the same for the topic of
/// subscriptions and for their store, so that the bytes are the same. There are no topics of these names.
pub(crate) struct KeyTopics {
    registration: String,
    store: String,
    /// Of the topic that was asked about first. There is only one in an application.
    known: OnceLock<Known>,
}

struct Known {
    of: String,
    foreign_key: String,
    primary_key: String,
}

impl KeyTopics {
    /// Of the join with this topic for subscriptions and this store, both without the application's id.
    pub(crate) fn new(registration: &str, store: &str) -> Self {
        Self {
            registration: registration.to_owned(),
            store: store.to_owned(),
            known: OnceLock::new(),
        }
    }

    fn look<R>(&self, topic: &str, look: impl FnOnce(&Known) -> R) -> R {
        let known = self.known.get_or_init(|| self.of(topic));
        if known.of == topic {
            look(known)
        } else {
            look(&self.of(topic))
        }
    }

    fn of(&self, topic: &str) -> Known {
        let application = topic.strip_suffix(&format!("-{}-changelog", self.store));
        let registration = match application {
            Some(application) => &format!("{application}-{}", self.registration),
            None => topic,
        };
        Known {
            of: topic.to_owned(),
            foreign_key: format!("{registration}-fk"),
            primary_key: format!("{registration}-pk"),
        }
    }
}

pub(crate) struct SubscriptionSerde<K> {
    pub(crate) primary_key: Arc<dyn Serde<K>>,
    pub(crate) topics: KeyTopics,
}
pub(crate) struct ResponseSerde<V>(pub(crate) Arc<dyn Serde<V>>);
pub(crate) struct CombinedKeySerde<F, K> {
    pub(crate) foreign_key: Arc<dyn Serde<F>>,
    pub(crate) primary_key: Arc<dyn Serde<K>>,
    pub(crate) topics: KeyTopics,
}

impl<F, K> CombinedKeySerde<F, K> {
    /// What the keys of all subscriptions to a foreign key begin with, in the store with this changelog.
    pub(crate) fn prefix(&self, changelog: &str, foreign_key: &F) -> Result<Vec<u8>, SerdeError> {
        let mut out = vec![0; 4];
        self.topics.look(changelog, |topics| {
            self.foreign_key
                .serialize(&topics.foreign_key, foreign_key, &mut out)
        })?;
        let length =
            i32::try_from(out.len() - 4).map_err(|_| SerdeError::new("a foreign key of more than 2 GiB"))?;
        out[..4].copy_from_slice(&length.to_be_bytes());
        Ok(out)
    }
}

fn write_head(version: u8, instruction: Option<Instruction>, hash: Option<&ValueHash>, out: &mut Vec<u8>) {
    out.push(if hash.is_none() {
        version | HASH_IS_NULL
    } else {
        version
    });
    out.extend(instruction.map(|instruction| instruction as u8));
    out.extend_from_slice(hash.map_or(&[][..], |hash| hash));
}

/// The hash, and what follows it, of bytes whose first says whether there is one.
fn read_hash(first: u8, rest: &[u8]) -> Result<(Option<ValueHash>, &[u8]), SerdeError> {
    if first & HASH_IS_NULL != 0 {
        return Ok((None, rest));
    }
    let (hash, rest) = rest
        .split_first_chunk::<16>()
        .ok_or_else(|| SerdeError::new("a message of a foreign-key join ends within its 16 bytes of hash"))?;
    Ok((Some(*hash), rest))
}

fn cut_short() -> SerdeError {
    SerdeError::new("a message of a foreign-key join is cut short")
}

impl<K> Serde<Subscription<K>> for SubscriptionSerde<K> {
    fn serialize(&self, topic: &str, value: &Subscription<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let version = match value.primary_partition {
            Some(_) => VERSION,
            None => VERSION_WITHOUT_PARTITION,
        };
        write_head(version, Some(value.instruction), value.hash.as_ref(), out);
        self.topics.look(topic, |topics| {
            self.primary_key
                .serialize(&topics.primary_key, &value.primary_key, out)
        })?;
        if let Some(partition) = value.primary_partition {
            out.extend_from_slice(&partition.to_be_bytes());
        }
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Subscription<K>, SerdeError> {
        let [first, instruction, rest @ ..] = bytes else {
            return Err(cut_short());
        };
        let version = first & !HASH_IS_NULL;
        if version > VERSION {
            return Err(SerdeError::new(format!(
                "a subscription of version {version}, where {VERSION} is the last one known: it was written by an application of another version"
            )));
        }
        let instruction = match instruction {
            0 => Instruction::DeleteKeyNoPropagate,
            1 => Instruction::DeleteKeyAndPropagate,
            2 => Instruction::PropagateNullIfNoFkValAvailable,
            3 => Instruction::PropagateOnlyIfFkValAvailable,
            other => return Err(SerdeError::new(format!("there is no instruction {other}"))),
        };
        let (hash, rest) = read_hash(*first, rest)?;
        let (primary_key, primary_partition) = match version {
            VERSION_WITHOUT_PARTITION => (rest, None),
            _ => {
                let (primary_key, partition) = rest.split_last_chunk::<4>().ok_or_else(cut_short)?;
                (primary_key, Some(i32::from_be_bytes(*partition)))
            }
        };
        let primary_key = self.topics.look(topic, |topics| {
            self.primary_key.deserialize(&topics.primary_key, primary_key)
        })?;
        Ok(Subscription {
            hash,
            instruction,
            primary_key,
            primary_partition,
        })
    }
}

impl<V> Serde<Response<V>> for ResponseSerde<V> {
    fn serialize(&self, topic: &str, value: &Response<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write_head(RESPONSE_VERSION, None, value.hash.as_ref(), out);
        match &value.value {
            Some(value) => self.0.serialize(topic, value, out),
            None => Ok(()),
        }
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Response<V>, SerdeError> {
        let (first, rest) = bytes.split_first().ok_or_else(cut_short)?;
        let version = first & !HASH_IS_NULL;
        if version != RESPONSE_VERSION {
            return Err(SerdeError::new(format!(
                "a response of version {version}, where {RESPONSE_VERSION} is known"
            )));
        }
        let (hash, rest) = read_hash(*first, rest)?;
        let value = if rest.is_empty() {
            None
        } else {
            Some(self.0.deserialize(topic, rest)?)
        };
        Ok(Response {
            hash,
            value,
            primary_partition: None,
        })
    }
}

impl<F, K> Serde<CombinedKey<F, K>> for CombinedKeySerde<F, K> {
    fn serialize(&self, topic: &str, value: &CombinedKey<F, K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&self.prefix(topic, &value.foreign_key)?);
        self.topics.look(topic, |topics| {
            self.primary_key
                .serialize(&topics.primary_key, &value.primary_key, out)
        })
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<CombinedKey<F, K>, SerdeError> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut_short)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut_short())?;
        let (foreign_key, primary_key) = rest.split_at_checked(length).ok_or_else(cut_short)?;
        self.topics.look(topic, |topics| {
            Ok(CombinedKey {
                foreign_key: self.foreign_key.deserialize(&topics.foreign_key, foreign_key)?,
                primary_key: self.primary_key.deserialize(&topics.primary_key, primary_key)?,
            })
        })
    }
}

impl<K> Debug for SubscriptionSerde<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubscriptionSerde")
            .field(&self.primary_key)
            .finish()
    }
}

impl<V> Debug for ResponseSerde<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseSerde").field(&self.0).finish()
    }
}

impl<F, K> Debug for CombinedKeySerde<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CombinedKeySerde")
            .field("foreign_key", &self.foreign_key)
            .field("primary_key", &self.primary_key)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use streams_core::serde::DefaultSerde;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn serdes_of_keys_are_told_of_the_same_topics_everywhere() {
        for topic in ["app-registration", "app-store-changelog"] {
            let topics = KeyTopics::new("registration", "store");
            let told = |known: &Known| (known.foreign_key.clone(), known.primary_key.clone());
            let (foreign_key, primary_key) = topics.look(topic, told);
            assert_eq!(foreign_key, "app-registration-fk", "{topic}");
            assert_eq!(primary_key, "app-registration-pk", "{topic}");
            assert_eq!(
                topics.look("other-store-changelog", told).0,
                "other-registration-fk"
            );
        }
    }

    /// Bytes that Kafka Streams wrote.
    #[test]
    fn bytes_are_kafkas() {
        let topics = || KeyTopics::new("registration", "store");
        let serde = SubscriptionSerde {
            primary_key: String::default_serde(),
            topics: topics(),
        };
        let subscription = Subscription {
            hash: Some(hash(b"b")),
            instruction: Instruction::PropagateNullIfNoFkValAvailable,
            primary_key: "k1".to_owned(),
            primary_partition: Some(0),
        };
        let mut bytes = Vec::new();
        serde.serialize("t", &subscription, &mut bytes).unwrap();
        assert_eq!(hex(&bytes), "01028fcddcf69451e798b08f9eddfc30e0056b3100000000");
        assert_eq!(serde.deserialize("t", &bytes).unwrap(), subscription);
        for cut in 0..6 {
            assert!(serde.deserialize("t", &bytes[..cut]).is_err(), "{cut}");
        }
        // What comes from before Kafka Streams 3.4 stays as it is.
        let subscription = Subscription {
            primary_partition: None,
            ..subscription
        };
        let mut old = Vec::new();
        serde.serialize("t", &subscription, &mut old).unwrap();
        assert_eq!(hex(&old), "00028fcddcf69451e798b08f9eddfc30e0056b31");
        assert_eq!(serde.deserialize("t", &old).unwrap(), subscription);
        let without_hash = [HASH_IS_NULL, 1, b'k', b'1'];
        let subscription = serde.deserialize("t", &without_hash).unwrap();
        assert_eq!((subscription.hash, subscription.primary_partition), (None, None));
        bytes[0] = 2;
        let error = serde.deserialize("t", &bytes).unwrap_err().to_string();
        assert!(
            error.contains("version 2, where 1 is the last one known"),
            "{error}"
        );

        let serde = ResponseSerde(String::default_serde());
        let response = Response {
            hash: Some(hash(b"b")),
            value: None::<String>,
            primary_partition: None,
        };
        let mut bytes = Vec::new();
        serde.serialize("t", &response, &mut bytes).unwrap();
        assert_eq!(hex(&bytes), "008fcddcf69451e798b08f9eddfc30e005");
        assert_eq!(serde.deserialize("t", &bytes).unwrap(), response);

        let serde = CombinedKeySerde {
            foreign_key: String::default_serde(),
            primary_key: String::default_serde(),
            topics: topics(),
        };
        let key = CombinedKey {
            foreign_key: "f1".to_owned(),
            primary_key: "f2".to_owned(),
        };
        let mut bytes = Vec::new();
        serde.serialize("t", &key, &mut bytes).unwrap();
        assert_eq!(hex(&bytes), "0000000266316632");
        assert_eq!(serde.deserialize("t", &bytes).unwrap(), key);
    }
}
