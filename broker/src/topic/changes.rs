//! The part of [`Topics`] that makes, changes and deletes topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::metadata::TopicMetadata;
use super::registry::Registry;
use super::{MAX_PARTITIONS, Topic, TopicError, Topics, name, poisoned, usable_id};
use crate::log::LogConfig;

impl Topics {
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
            created_after_starts: self.cluster.starts,
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
        let topic = Arc::new(self.assemble(metadata, partitions));
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
        let topic = Arc::new(self.assemble(metadata, old.partitions.clone()));
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
}
