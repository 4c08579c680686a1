//! One topic as it was when it was looked up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use uuid::Uuid;

use super::TopicError;
use super::metadata::TopicMetadata;
use crate::log::PartitionLog;

/// A partition log that several threads use.
pub type PartitionHandle = Arc<Mutex<PartitionLog>>;

/// One topic as it was when it was looked up. Changing a topic makes a new one with the same logs.
#[derive(Debug)]
pub struct Topic {
    pub(super) metadata: TopicMetadata,
    pub(super) leader_epoch: i32,
    pub(super) partitions: Vec<PartitionHandle>,
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

    /// The leader epoch of its partitions: how many times the broker has started since the topic was created.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
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
