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

mod error;
mod metadata;
mod name;
pub mod progress;
pub mod sync;
pub mod waiter;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use uuid::Uuid;

use crate::log::files::{self, Durability};
use crate::log::{CleanerConfig, LogConfig, LogError, PartitionLog, RecoveryReport};
use crate::topic::metadata::TopicMetadata;
use crate::topic::progress::Progress;
use crate::topic::sync::SyncQueue;

pub use error::TopicError;
pub use metadata::{decode_id, encode_id};
pub use name::MAX_TOPIC_NAME_BYTES;
pub(crate) use name::validate as validate_name;

/// The most partitions one topic can have.
pub const MAX_PARTITIONS: i32 = 10_000;

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// Where new topics and clusters get their ids from.
pub type IdSource = Box<dyn FnMut() -> Uuid + Send>;

/// A partition log that several threads use.
pub type PartitionHandle = Arc<Mutex<PartitionLog>>;

/// One topic as it was when it was looked up. Changing a topic makes a new one with the same logs.
#[derive(Debug)]
pub struct Topic {
    metadata: TopicMetadata,
    partitions: Vec<PartitionHandle>,
}

impl Topic {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its id, never used again for another topic.
    pub fn id(&self) -> Uuid {
        self.metadata.id
    }

    /// The configuration that differs from the broker's defaults.
    pub fn configs(&self) -> &BTreeMap<String, String> {
        &self.metadata.configs
    }

    /// The logs, by partition.
    pub fn partitions(&self) -> &[PartitionHandle] {
        &self.partitions
    }

    /// The log of a partition, to keep.
    ///
    /// # Errors
    /// [`TopicError::UnknownPartition`].
    pub fn partition(&self, partition: i32) -> Result<&PartitionHandle, TopicError> {
        usize::try_from(partition)
            .ok()
            .and_then(|index| self.partitions.get(index))
            .ok_or_else(|| TopicError::UnknownPartition {
                name: self.metadata.name.clone(),
                partition,
                count: self.partitions.len(),
            })
    }

    /// The log of a partition, locked.
    ///
    /// # Errors
    /// [`TopicError::UnknownPartition`], or [`TopicError::Poisoned`] if a thread panicked with it.
    pub fn lock(&self, partition: i32) -> Result<MutexGuard<'_, PartitionLog>, TopicError> {
        self.partition(partition)?
            .lock()
            .map_err(|_| TopicError::Poisoned {
                what: format!("partition {}-{partition}", self.metadata.name),
            })
    }
}

#[derive(Debug, Default)]
struct Registry {
    by_name: HashMap<String, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Registry {
    fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id(), topic.clone());
        self.by_name.insert(topic.name().to_owned(), topic);
    }

    fn get(&self, name: &str) -> Result<&Arc<Topic>, TopicError> {
        self.by_name.get(name).ok_or_else(|| TopicError::UnknownTopic {
            name: name.to_owned(),
        })
    }
}

/// All topics of a data directory. Dropping it without [`Topics::close`] is what a crash looks like.
pub struct Topics {
    dir: PathBuf,
    cluster_id: String,
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
            .field("cluster_id", &self.cluster_id)
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
        let cluster_id = metadata::open_cluster(dir, || usable_id(&mut new_id))?;
        let clean_file = dir.join(CLEAN_SHUTDOWN_FILE);
        let clean = clean_file.exists();

        let (live, deleted) = TopicMetadata::read_all(dir)?;
        let mut topics = Self {
            dir: dir.to_owned(),
            cluster_id,
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
        &self.cluster_id
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

    /// Creates a topic. Once its file is written the topic exists, even if the process dies.
    ///
    /// # Errors
    /// [`TopicError::InvalidTopic`], [`TopicError::TopicAlreadyExists`],
    /// [`TopicError::InvalidPartitions`] (1 to [`MAX_PARTITIONS`]), [`TopicError::InvalidConfig`],
    /// [`TopicError::Storage`].
    pub fn create_topic(
        &self,
        name: &str,
        partition_count: i32,
        configs: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Result<Arc<Topic>, TopicError> {
        let mut registry = self.write()?;
        self.check_new_topic(&registry, name, partition_count, configs)?;
        let id = {
            let mut new_id = self
                .new_id
                .lock()
                .map_err(|_| poisoned("the source of topic ids"))?;
            usable_id(&mut new_id)
        };
        let metadata = TopicMetadata {
            name: name.to_owned(),
            id,
            partition_count,
            configs: configs.clone(),
        };
        metadata.write(&self.dir)?;
        let (topic, _) = self.open_topic(metadata, false, now_ms)?;
        let topic = Arc::new(topic);
        registry.insert(topic.clone());
        self.changes.fetch_add(1, Ordering::Release);
        self.progress.bump();
        Ok(topic)
    }

    /// Says whether [`Topics::create_topic`] would accept this, without creating anything.
    ///
    /// # Errors
    /// As [`Topics::create_topic`].
    pub fn validate_topic(
        &self,
        name: &str,
        partition_count: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<(), TopicError> {
        self.check_new_topic(&*self.read()?, name, partition_count, configs)
    }

    /// Deletes a topic with all its records. Handles that somebody kept answer errors from now on.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`], [`TopicError::Storage`] (the next start then goes on deleting).
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let mut registry = self.write()?;
        let topic = registry.get(name)?.clone();
        topic.metadata.mark_deleted(&self.dir)?;
        registry.by_name.remove(name);
        registry.by_id.remove(&topic.id());
        self.changes.fetch_add(1, Ordering::Release);
        for partition in &topic.partitions {
            // A poisoned log is deleted like any other.
            partition
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .mark_deleted();
        }
        topic.metadata.finish_deletion(&self.dir)
    }

    /// Adds partitions until there are `partition_count`.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`], [`TopicError::InvalidPartitions`] if that is not more than before,
    /// [`TopicError::Storage`].
    pub fn create_partitions(
        &self,
        name: &str,
        partition_count: i32,
        now_ms: i64,
    ) -> Result<Arc<Topic>, TopicError> {
        let mut registry = self.write()?;
        let old = registry.get(name)?.clone();
        if partition_count <= old.metadata.partition_count || partition_count > MAX_PARTITIONS {
            return Err(TopicError::InvalidPartitions {
                name: name.to_owned(),
                count: partition_count,
                reason: format!(
                    "it has {}, at most are {MAX_PARTITIONS}",
                    old.metadata.partition_count
                ),
            });
        }
        let metadata = TopicMetadata {
            partition_count,
            ..old.metadata.clone()
        };
        metadata.write(&self.dir)?;
        let mut partitions = old.partitions.clone();
        for partition in old.metadata.partition_count..partition_count {
            partitions.push(self.open_partition(&metadata, partition, false, now_ms)?.0);
        }
        let topic = Arc::new(Topic { metadata, partitions });
        registry.insert(topic.clone());
        self.changes.fetch_add(1, Ordering::Release);
        self.progress.bump();
        Ok(topic)
    }

    /// Replaces the configuration of a topic by what `change` makes of it; it applies at once.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`], [`TopicError::InvalidConfig`], [`TopicError::Storage`], or that of `change`.
    pub fn alter_configs<E: From<TopicError>>(
        &self,
        name: &str,
        change: impl FnOnce(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, E>,
    ) -> Result<Arc<Topic>, E> {
        let mut registry = self.write()?;
        let old = registry.get(name)?.clone();
        let configs = change(old.configs())?;
        let config = self.log_config(name, &configs)?;
        let metadata = TopicMetadata {
            configs,
            ..old.metadata.clone()
        };
        metadata.write(&self.dir).map_err(TopicError::from)?;
        for partition in 0..metadata.partition_count {
            old.lock(partition)?.set_config(config.clone());
        }
        let topic = Arc::new(Topic {
            metadata,
            partitions: old.partitions.clone(),
        });
        registry.insert(topic.clone());
        Ok(topic)
    }

    /// Says whether a topic could have this configuration.
    ///
    /// # Errors
    /// [`TopicError::InvalidConfig`].
    pub fn validate_configs(&self, name: &str, configs: &BTreeMap<String, String>) -> Result<(), TopicError> {
        self.log_config(name, configs).map(|_| ())
    }

    /// Replaces the configuration of what topics do not say; it applies at once.
    ///
    /// # Errors
    /// [`TopicError::Poisoned`].
    pub fn set_defaults(&self, defaults: LogConfig) -> Result<(), TopicError> {
        // No topic is made or altered meanwhile, which would miss it.
        let registry = self.write()?;
        *self
            .defaults
            .write()
            .map_err(|_| poisoned("the defaults of topics"))? = defaults;
        for topic in registry.by_name.values() {
            let config = self.log_config(topic.name(), topic.configs())?;
            for partition in 0..topic.metadata.partition_count {
                topic.lock(partition)?.set_config(config.clone());
            }
        }
        Ok(())
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

    /// What is due: retention, idle producers, syncing. To be called every few seconds or minutes; it
    /// goes through all partitions whatever fails, and answers the failures.
    pub fn maintain(&self, now_ms: i64, enforce_retention: bool) -> Vec<TopicError> {
        let topics = match self.list() {
            Ok(topics) => topics,
            Err(error) => return vec![error],
        };
        let mut errors = Vec::new();
        for topic in topics {
            for partition in 0..topic.metadata.partition_count {
                errors.extend(maintain_partition(&topic, partition, now_ms, enforce_retention).err());
            }
        }
        errors
    }

    /// With group commit: who waits for what was appended.
    pub fn sync_queue(&self) -> &Arc<SyncQueue> {
        &self.sync_queue
    }

    /// One round of group commit: waits until something was appended, at most `timeout`, and syncs it. Answers the failures;
    /// the logs concerned take no more requests.
    pub fn sync_round(&self, timeout: Duration) -> Vec<TopicError> {
        let Some(round) = self.sync_queue.begin_round(timeout) else {
            return Vec::new();
        };
        let mut errors = Vec::new();
        for partition in round.partitions.iter().filter_map(Weak::upgrade) {
            let Ok(mut log) = partition.lock() else { continue };
            if log.has_failed_to_sync() {
                errors.extend(log.check_available().err().map(TopicError::from));
                continue;
            }
            let Some(flush) = log.begin_group_commit() else {
                continue;
            };
            drop(log);
            let synced = flush.sync();
            let Ok(mut log) = partition.lock() else { continue };
            errors.extend(log.finish_flush(&flush, synced).err().map(TopicError::from));
        }
        if errors.is_empty() {
            round.succeed();
        }
        errors
    }

    /// Compacts the logs that are due, the dirtiest first, and answers the failures. It may take long and holds no lock while
    /// it does; `cancelled` ends it early, with nothing changed in the log it was at.
    pub fn compact(&self, config: &CleanerConfig, now_ms: i64, cancelled: &AtomicBool) -> Vec<TopicError> {
        let topics = match self.list() {
            Ok(topics) => topics,
            Err(error) => return vec![error],
        };
        let mut plans = Vec::new();
        for topic in &topics {
            for partition in &topic.partitions {
                let Ok(log) = partition.lock() else { continue };
                if let Some(plan) = log.plan_cleaning(now_ms) {
                    plans.push((partition.clone(), plan));
                }
            }
        }
        plans.sort_by(|(_, one), (_, other)| other.dirty_ratio.total_cmp(&one.dirty_ratio));
        let mut errors = Vec::new();
        for (partition, plan) in plans {
            let cleaned = plan.clean(config, now_ms, cancelled);
            // A poisoned log is not touched any more, and says so to who asks.
            let Ok(mut log) = partition.lock() else { continue };
            let swapped = match cleaned {
                Ok(Some(cleaned)) => cleaned.swap_into(&mut log),
                Ok(None) => return errors,
                Err(error) => {
                    log.mark_uncleanable();
                    Err(error)
                }
            };
            match swapped {
                Ok(()) | Err(LogError::Unavailable { .. }) => {}
                Err(error) => errors.push(error.into()),
            }
        }
        errors
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

    fn check_new_topic(
        &self,
        registry: &Registry,
        name: &str,
        partition_count: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<(), TopicError> {
        name::validate(name)?;
        if registry.by_name.contains_key(name) {
            return Err(TopicError::TopicAlreadyExists {
                name: name.to_owned(),
            });
        }
        if let Some(other) = registry.by_name.keys().find(|other| name::collide(name, other)) {
            let reason = format!("it differs from topic {other} only in '.' and '_'");
            return Err(TopicError::InvalidTopic {
                name: name.to_owned(),
                reason,
            });
        }
        if !(1..=MAX_PARTITIONS).contains(&partition_count) {
            return Err(TopicError::InvalidPartitions {
                name: name.to_owned(),
                count: partition_count,
                reason: format!("1 to {MAX_PARTITIONS} are possible"),
            });
        }
        self.log_config(name, configs).map(|_| ())
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
        Ok((Topic { metadata, partitions }, reports))
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

fn maintain_partition(
    topic: &Topic,
    partition: i32,
    now_ms: i64,
    enforce_retention: bool,
) -> Result<(), TopicError> {
    let due = {
        let mut log = topic.lock(partition)?;
        if enforce_retention {
            log.enforce_retention(now_ms)?;
        }
        log.expire_producers(now_ms);
        log.begin_flush_if_due(now_ms)
    };
    if let Some(due) = due {
        // The disk may take its time: nobody waits for the lock meanwhile.
        let synced = due.sync();
        topic.lock(partition)?.finish_flush(&due, synced)?;
    }
    Ok(())
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
