//! The small text files of a data directory: what it is (`meta.properties`), which topics there are
//! (`topics/NAME.properties`), and whose a partition folder is (`partition.metadata`). All are replaced as
//! a whole and synced: they are the only thing that no log can restore.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::log::LogError;
use crate::log::files::{self, Durability};
use crate::topic::error::TopicError;

/// The format of the data directory that this program writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

const META_FILE: &str = "meta.properties";
const TOPICS_DIR: &str = "topics";
const PARTITION_FILE: &str = "partition.metadata";
/// The kind of a topic's file while the topic exists, and while its folders are being deleted.
const LIVE: &str = "properties";
const DELETED: &str = "deleted";
const CONFIG_PREFIX: &str = "config.";
/// How many times a broker has opened the directory again, and how many times it had when a topic was created. Directories of earlier
/// versions do not say: none.
const STARTS: &str = "starts";
const CREATED_AFTER_STARTS: &str = "created.after.starts";

/// What is stored about a topic beside its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicMetadata {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) partition_count: i32,
    pub(crate) configs: BTreeMap<String, String>,
    /// How many times the broker had started before the topic was created.
    pub(crate) created_after_starts: i32,
}

/// What a data directory says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterMetadata {
    pub(crate) cluster_id: String,
    /// How many times the directory was opened again. Counted on disk before anything else happens, so that no number comes twice.
    pub(crate) starts: i32,
}

impl ClusterMetadata {
    fn write(&self, path: &Path) -> Result<(), LogError> {
        let Self { cluster_id, starts } = self;
        let content = format!("version={FORMAT_VERSION}\ncluster.id={cluster_id}\n{STARTS}={starts}\n");
        files::replace(path, content.as_bytes(), Durability::Disk)
    }
}

/// Opens a data directory: counts the start, or gives a new directory the cluster id of `new_id`.
pub(crate) fn open_cluster(dir: &Path, new_id: impl FnOnce() -> Uuid) -> Result<ClusterMetadata, TopicError> {
    let path = dir.join(META_FILE);
    let cluster = match files::read_if_present(&path)? {
        Some(content) => read_cluster(dir, &path, &content)?,
        None => ClusterMetadata {
            cluster_id: encode_id(new_id()),
            starts: 0,
        },
    };
    cluster.write(&path)?;
    Ok(cluster)
}

fn read_cluster(dir: &Path, path: &Path, content: &[u8]) -> Result<ClusterMetadata, TopicError> {
    let properties = parse_properties(path, content)?;
    let version: u32 = number(path, &properties, "version")?;
    if version > FORMAT_VERSION {
        return Err(TopicError::NewerFormat {
            dir: dir.to_owned(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    Ok(ClusterMetadata {
        cluster_id: property(path, &properties, "cluster.id")?.to_owned(),
        starts: number_or_zero(path, &properties, STARTS)?.saturating_add(1),
    })
}

impl TopicMetadata {
    /// Stores the topic: from here on it exists, whatever happens.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), LogError> {
        let mut content = format!(
            "version={FORMAT_VERSION}\ntopic.id={}\npartitions={}\n{CREATED_AFTER_STARTS}={}\n",
            encode_id(self.id),
            self.partition_count,
            self.created_after_starts
        );
        for (name, value) in &self.configs {
            content.push_str(&format!("{CONFIG_PREFIX}{name}={}\n", escape(value)));
        }
        files::replace(
            &topic_file(dir, &self.name, LIVE),
            content.as_bytes(),
            Durability::Disk,
        )
    }

    /// All topics of a data directory, and the topics whose deletion was not finished.
    pub(crate) fn read_all(dir: &Path) -> Result<(Vec<Self>, Vec<Self>), TopicError> {
        let topics_dir = dir.join(TOPICS_DIR);
        fs::create_dir_all(&topics_dir).map_err(LogError::io("create", &topics_dir))?;
        let (mut live, mut deleted) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&topics_dir).map_err(LogError::io("list", &topics_dir))? {
            let path = entry.map_err(LogError::io("list", &topics_dir))?.path();
            match path.extension().and_then(|kind| kind.to_str()) {
                Some(LIVE) => live.push(Self::read(&path)?),
                Some(DELETED) => deleted.push(Self::read(&path)?),
                // A replacement that was interrupted before it counted.
                Some("tmp") => files::remove_if_present(&path)?,
                _ => {
                    let reason = "it is no topic".to_owned();
                    return Err(TopicError::Damaged { path, reason });
                }
            }
        }
        live.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok((live, deleted))
    }

    fn read(path: &Path) -> Result<Self, TopicError> {
        let content = files::read_if_present(path)?.unwrap_or_default();
        let properties = parse_properties(path, &content)?;
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        crate::topic::name::validate(&name)?;
        let id = property(path, &properties, "topic.id")?;
        let id = decode_id(id).ok_or_else(|| TopicError::Damaged {
            path: path.to_owned(),
            reason: format!("{id:?} is no topic id"),
        })?;
        let partition_count = number(path, &properties, "partitions")?;
        let created_after_starts = number_or_zero(path, &properties, CREATED_AFTER_STARTS)?;
        let configs = properties
            .iter()
            .filter_map(|(key, value)| {
                let name = key.strip_prefix(CONFIG_PREFIX)?;
                Some((name.to_owned(), value.clone()))
            })
            .collect();
        Ok(Self {
            name,
            id,
            partition_count,
            configs,
            created_after_starts,
        })
    }

    /// Marks the topic as deleted: from here on it does not exist, and a start deletes its folders.
    pub(crate) fn mark_deleted(&self, dir: &Path) -> Result<(), LogError> {
        let (live, deleted) = (
            topic_file(dir, &self.name, LIVE),
            topic_file(dir, &self.name, DELETED),
        );
        fs::rename(&live, &deleted).map_err(LogError::io("rename", &live))?;
        files::sync_dir(&dir.join(TOPICS_DIR))
    }

    /// Deletes the folders of a topic marked as deleted, then the mark.
    pub(crate) fn finish_deletion(&self, dir: &Path) -> Result<(), TopicError> {
        for partition in 0..self.partition_count {
            let folder = partition_dir(dir, &self.name, partition);
            if read_partition_id(&folder)?.is_some_and(|id| id == encode_id(self.id)) {
                fs::remove_dir_all(&folder).map_err(LogError::io("delete", &folder))?;
            }
        }
        Ok(files::remove_if_present(&topic_file(dir, &self.name, DELETED))?)
    }

    /// Makes sure that the folder of a partition exists and is this topic's.
    pub(crate) fn claim_partition(&self, dir: &Path, partition: i32) -> Result<PathBuf, TopicError> {
        let folder = partition_dir(dir, &self.name, partition);
        let id = encode_id(self.id);
        match read_partition_id(&folder)? {
            Some(found) if found == id => {}
            Some(found) => return Err(TopicError::ForeignFolder { path: folder, found }),
            None => {
                fs::create_dir_all(&folder).map_err(LogError::io("create", &folder))?;
                let content = format!("version: 0\ntopic_id: {id}\n");
                files::replace(&folder.join(PARTITION_FILE), content.as_bytes(), Durability::Disk)?;
                files::sync_dir(dir)?;
            }
        }
        Ok(folder)
    }
}

/// The folder of a partition.
fn partition_dir(dir: &Path, topic: &str, partition: i32) -> PathBuf {
    dir.join(format!("{topic}-{partition}"))
}

fn topic_file(dir: &Path, topic: &str, kind: &str) -> PathBuf {
    dir.join(TOPICS_DIR).join(format!("{topic}.{kind}"))
}

/// The topic id in a partition folder; `None` if there is no such folder or nothing claimed it yet.
fn read_partition_id(folder: &Path) -> Result<Option<String>, TopicError> {
    let path = folder.join(PARTITION_FILE);
    let Some(content) = files::read_if_present(&path)? else {
        return Ok(None);
    };
    let id = std::str::from_utf8(&content)
        .ok()
        .and_then(|content| content.lines().find_map(|line| line.strip_prefix("topic_id: ")));
    match id {
        Some(id) => Ok(Some(id.to_owned())),
        None => Err(TopicError::Damaged {
            path,
            reason: "it has no topic_id".to_owned(),
        }),
    }
}

fn parse_properties(path: &Path, content: &[u8]) -> Result<BTreeMap<String, String>, TopicError> {
    let damaged = |reason: &str| TopicError::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let content = std::str::from_utf8(content).map_err(|_| damaged("it is not UTF-8"))?;
    let mut properties = BTreeMap::new();
    for line in content
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (key, value) = line.split_once('=').ok_or_else(|| damaged("a line has no ="))?;
        properties.insert(key.to_owned(), unescape(value));
    }
    Ok(properties)
}

fn property<'a>(
    path: &Path,
    properties: &'a BTreeMap<String, String>,
    key: &str,
) -> Result<&'a str, TopicError> {
    properties
        .get(key)
        .map(String::as_str)
        .ok_or_else(|| TopicError::Damaged {
            path: path.to_owned(),
            reason: format!("{key} is missing"),
        })
}

fn number<T: std::str::FromStr>(
    path: &Path,
    properties: &BTreeMap<String, String>,
    key: &str,
) -> Result<T, TopicError> {
    property(path, properties, key)?
        .parse()
        .map_err(|_| TopicError::Damaged {
            path: path.to_owned(),
            reason: format!("{key} is no number"),
        })
}

fn number_or_zero(path: &Path, properties: &BTreeMap<String, String>, key: &str) -> Result<i32, TopicError> {
    if properties.contains_key(key) {
        number(path, properties, key)
    } else {
        Ok(0)
    }
}

/// A value on one line.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => plain.extend(characters.next().map(|escaped| match escaped {
                'n' => '\n',
                'r' => '\r',
                other => other,
            })),
            (plain_character, false) => plain.push(plain_character),
        }
    }
    plain
}

const ID_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Characters of an id as text.
const ID_CHARACTERS: usize = 22;

/// An id as Kafka prints it: URL-safe base64 of its 16 bytes, without padding.
pub fn encode_id(id: Uuid) -> String {
    let bits = id.as_u128();
    (0..ID_CHARACTERS)
        .map(|index| {
            // The last character carries only two bits, at its upper end.
            let shift = 122 - 6 * index as i32;
            let six = if shift >= 0 { bits >> shift } else { bits << -shift };
            char::from(ID_ALPHABET[(six & 0x3f) as usize])
        })
        .collect()
}

/// Reads what [`encode_id`] wrote; `None` for anything else.
pub fn decode_id(text: &str) -> Option<Uuid> {
    if text.len() != ID_CHARACTERS {
        return None;
    }
    let mut bits = 0_u128;
    for (index, character) in text.bytes().enumerate() {
        let six = ID_ALPHABET.iter().position(|known| *known == character)? as u128;
        bits = if index + 1 < ID_CHARACTERS {
            bits << 6 | six
        } else {
            bits << 2 | six >> 4
        };
    }
    let id = Uuid::from_u128(bits);
    (encode_id(id) == text).then_some(id)
}
