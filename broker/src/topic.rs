//! The data directory of a broker: its topics, their partitions, their configuration, and the lock that
//! keeps a second process out.
//!
//! ```text
//! DIR/.lock  meta.properties  .kafka_cleanshutdown
//! DIR/topics/orders.properties        the topic exists: id, number of partitions, configs
//! DIR/orders-0/                       one partition log
//! ```
//!
//! A topic exists from the moment its file in `topics/` is there, until that is renamed to `.deleted`.
//! Folders follow: a start completes what a crash interrupted. Looking a topic up is one hash and gives a
//! [`Topic`] that does not change; each partition has its own lock.

mod changes;
mod error;
mod handle;
mod maintenance;
mod metadata;
mod name;
pub mod progress;
mod registry;
pub mod sync;
pub mod waiter;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use uuid::Uuid;

use crate::log::files::{self, Durability};
use crate::log::{LogConfig, LogError, PartitionLog, RecoveryReport};
use crate::topic::metadata::{ClusterMetadata, TopicMetadata};
use crate::topic::progress::Progress;
use crate::topic::registry::Registry;
use crate::topic::sync::SyncQueue;

pub use error::TopicError;
pub use handle::{PartitionHandle, Topic};
pub use metadata::{decode_id, encode_id};
pub use name::MAX_TOPIC_NAME_BYTES;
pub(crate) use name::validate as validate_name;

/// The most partitions one topic can have.
pub const MAX_PARTITIONS: i32 = 10_000;

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// Where new topics and clusters get their ids from.
pub type IdSource = Box<dyn FnMut() -> Uuid + Send>;

/// All topics of a data directory. Dropping it without [`Topics::close`] is what a crash looks like.
pub struct Topics {
    dir: PathBuf,
    cluster: ClusterMetadata,
    defaults: RwLock<LogConfig>,
    registry: RwLock<Registry>,
    progress: Arc<Progress>,
    sync_queue: Arc<SyncQueue>,
    changes: AtomicU64,
    new_id: Mutex<IdSource>,
    recovery: Vec<(String, RecoveryReport)>,
    /// Locked as long as this lives.
    lock: File,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics")
            .field("dir", &self.dir)
            .field("cluster", &self.cluster)
            .finish()
    }
}

impl Topics {
    /// Opens a data directory, or makes one, with random ids for what is new.
    ///
    /// # Errors
    /// [`TopicError::InUse`], [`TopicError::NewerFormat`], [`TopicError::Damaged`], or
    /// [`TopicError::Storage`] with [`LogError::Corrupt`] if a log is damaged; nothing was changed then.
    ///
    /// ```
    /// use broker::log::{AppendOrigin, BatchBuilder, Isolation, LogConfig, ProducerStamp};
    /// use broker::topic::Topics;
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let topics = Topics::open(dir.path(), LogConfig::default(), 0).unwrap();
    /// let orders = topics.create_topic("orders", 2, &Default::default(), 0).unwrap();
    ///
    /// let mut builder = BatchBuilder::new();
    /// builder.append(5, None, Some(b"one apple"), &[]).unwrap();
    /// let batch = builder.finish(ProducerStamp::NONE).unwrap();
    /// let mut log = orders.lock(1).unwrap();
    /// assert_eq!(log.append(batch, AppendOrigin::Client, 10).unwrap().base_offset, 0);
    /// assert!(!log.read(0, 1024, Isolation::ReadCommitted, true).unwrap().records.is_empty());
    /// ```
    pub fn open(dir: &Path, defaults: LogConfig, now_ms: i64) -> Result<Self, TopicError> {
        Self::open_with_ids(dir, defaults, now_ms, Box::new(Uuid::new_v4))
    }

    /// As [`Topics::open`], with ids from elsewhere: a simulation needs to repeat them.
    ///
    /// # Errors
    /// As [`Topics::open`].
    pub fn open_with_ids(
        dir: &Path,
        defaults: LogConfig,
        now_ms: i64,
        mut new_id: IdSource,
    ) -> Result<Self, TopicError> {
        fs::create_dir_all(dir).map_err(LogError::io("create", dir))?;
        let lock = lock_directory(dir)?;
        let cluster = metadata::open_cluster(dir, || usable_id(&mut new_id))?;
        let clean_file = dir.join(CLEAN_SHUTDOWN_FILE);
        let clean = clean_file.exists();

        let (live, deleted) = TopicMetadata::read_all(dir)?;
        let mut topics = Self {
            dir: dir.to_owned(),
            cluster,
            defaults: RwLock::new(defaults),
            registry: RwLock::default(),
            progress: Arc::default(),
            sync_queue: Arc::default(),
            changes: AtomicU64::new(0),
            new_id: Mutex::new(new_id),
            recovery: Vec::new(),
            lock,
        };
        let mut registry = Registry::default();
        for metadata in live {
            let (topic, reports) = topics.open_topic(metadata, clean, now_ms)?;
            topics.recovery.extend(reports);
            registry.insert(Arc::new(topic));
        }
        topics.registry = RwLock::new(registry);
        for metadata in deleted {
            metadata.finish_deletion(dir)?;
        }
        if clean {
            // From here on the directory changes: the next start may only trust a new mark.
            files::remove_if_present(&clean_file)?;
            files::sync_dir(dir)?;
        }
        Ok(topics)
    }

    /// The id of the cluster that this directory belongs to; it never changes.
    pub fn cluster_id(&self) -> &str {
        &self.cluster.cluster_id
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What opening each partition log found, by `topic-partition`.
    pub fn recovery(&self) -> &[(String, RecoveryReport)] {
        &self.recovery
    }

    /// A topic by its name.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`].
    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, TopicError> {
        self.read()?.get(name).cloned()
    }

    /// A topic by its id.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`].
    pub fn topic_by_id(&self, id: Uuid) -> Result<Arc<Topic>, TopicError> {
        let unknown = || TopicError::UnknownTopic {
            name: format!("with id {}", encode_id(id)),
        };
        self.read()?.by_id.get(&id).cloned().ok_or_else(unknown)
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// [`TopicError::Poisoned`].
    pub fn list(&self) -> Result<Vec<Arc<Topic>>, TopicError> {
        let mut topics: Vec<_> = self.read()?.by_name.values().cloned().collect();
        topics.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        Ok(topics)
    }

    /// Counts up whenever a topic is created or deleted, or gets partitions.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The count of changes now; see [`Topics::wait_for_progress`].
    pub fn progress(&self) -> u64 {
        self.progress.current()
    }

    /// Sleeps until something was appended to any partition since the count was `seen`, at most
    /// `timeout`; answers the count then. Read [`Topics::progress`] before looking for records.
    pub fn wait_for_progress(&self, seen: u64, timeout: Duration) -> u64 {
        self.progress.wait(seen, timeout)
    }

    /// Closes all logs, so that the next start needs no recovery, and lets go of the directory. Handles that
    /// somebody kept answer errors from now on.
    ///
    /// # Errors
    /// The first failure; the next start then recovers as after a crash.
    pub fn close(&self) -> Result<(), TopicError> {
        for topic in self.list()? {
            for partition in 0..topic.metadata.partition_count {
                topic.lock(partition)?.close()?;
            }
        }
        files::replace(&self.dir.join(CLEAN_SHUTDOWN_FILE), b"", Durability::Disk)?;
        Ok(self
            .lock
            .unlock()
            .map_err(LogError::io("unlock", &self.dir.join(LOCK_FILE)))?)
    }

    fn log_config(&self, name: &str, configs: &BTreeMap<String, String>) -> Result<LogConfig, TopicError> {
        let defaults = self
            .defaults
            .read()
            .map_err(|_| poisoned("the defaults of topics"))?;
        defaults
            .with_overrides(configs)
            .map_err(|source| TopicError::InvalidConfig {
                name: name.to_owned(),
                source,
            })
    }

    fn open_topic(
        &self,
        metadata: TopicMetadata,
        clean: bool,
        now_ms: i64,
    ) -> Result<(Topic, Vec<(String, RecoveryReport)>), TopicError> {
        let mut partitions = Vec::new();
        let mut reports = Vec::new();
        for partition in 0..metadata.partition_count {
            let (handle, report) = self.open_partition(&metadata, partition, clean, now_ms)?;
            partitions.push(handle);
            reports.push((format!("{}-{partition}", metadata.name), report));
        }
        Ok((self.assemble(metadata, partitions), reports))
    }

    fn assemble(&self, metadata: TopicMetadata, partitions: Vec<PartitionHandle>) -> Topic {
        Topic {
            leader_epoch: self.leader_epoch(&metadata),
            metadata,
            partitions,
        }
    }

    /// Every start is an election, as it is in Kafka: what was read of a log that then lost its unsynced end is of an earlier epoch.
    fn leader_epoch(&self, metadata: &TopicMetadata) -> i32 {
        self.cluster.starts.saturating_sub(metadata.created_after_starts)
    }

    fn open_partition(
        &self,
        metadata: &TopicMetadata,
        partition: i32,
        clean: bool,
        now_ms: i64,
    ) -> Result<(PartitionHandle, RecoveryReport), TopicError> {
        let config = self.log_config(&metadata.name, &metadata.configs)?;
        let folder = metadata.claim_partition(&self.dir, partition)?;
        let (mut log, report) =
            PartitionLog::open(&folder, &metadata.name, partition, config, clean, now_ms)?;
        log.set_progress(self.progress.clone());
        log.set_leader_epoch(self.leader_epoch(metadata));
        if log.config().group_commit {
            // What a former life left unsynced becomes visible: it must be certain first.
            log.flush()?;
        }
        let handle = Arc::new_cyclic(|own| {
            log.set_sync_queue(self.sync_queue.clone(), own.clone());
            Mutex::new(log)
        });
        Ok((handle, report))
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Registry>, TopicError> {
        self.registry.read().map_err(|_| poisoned("the list of topics"))
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Registry>, TopicError> {
        self.registry.write().map_err(|_| poisoned("the list of topics"))
    }
}

fn lock_directory(dir: &Path) -> Result<File, TopicError> {
    let path = dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(LogError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TopicError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(LogError::io("lock", &path)(error).into()),
    }
}

/// Kafka reserves the ids 0 and 1, and its tools take a leading '-' for an option.
fn usable_id(new_id: &mut IdSource) -> Uuid {
    loop {
        let id = new_id();
        if id.as_u128() > 1 && !encode_id(id).starts_with('-') {
            return id;
        }
    }
}

fn poisoned(what: &str) -> TopicError {
    TopicError::Poisoned {
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod tests;
