//! The coordinators' own topics: made when first needed, and read once at the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Broker, BrokerError};
use crate::coordinator_records::{OFFSETS_TOPIC, RecordError, TRANSACTION_STATE_TOPIC};
use crate::log::{BatchView, Batches, ControlType, Isolation};
use crate::topic::{Topic, TopicError};

/// Bytes read at a time while loading.
const LOAD_BYTES: usize = 4 * 1024 * 1024;

/// A record as the loader sees it.
struct Loaded<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
    offset: i64,
    /// Producer id of a transactional batch.
    transaction: Option<i64>,
}

/// What the loader found: a record, or the marker of a producer (true: commit).
enum Item<'a> {
    Record(Loaded<'a>),
    Marker(i64, bool),
}

impl Broker {
    /// An internal topic, made if it is not there.
    pub(super) fn internal_topic(&self, name: &'static str, now_ms: i64) -> Result<Arc<Topic>, TopicError> {
        match self.topics.topic(name) {
            Err(TopicError::UnknownTopic { .. }) => {}
            found => return found,
        }
        let (partitions, segment_bytes) = match name {
            OFFSETS_TOPIC => (
                self.config.group.partition_count,
                self.config.offsets_segment_bytes,
            ),
            _ => (
                self.config.transaction.partition_count,
                self.config.transaction_state_segment_bytes,
            ),
        };
        let configs = BTreeMap::from([
            ("cleanup.policy".to_owned(), "compact".to_owned()),
            ("segment.bytes".to_owned(), segment_bytes.to_string()),
        ]);
        match self.topics.create_topic(name, partitions, &configs, now_ms) {
            // Somebody else was first.
            Err(TopicError::TopicAlreadyExists { .. }) => self.topics.topic(name),
            created => created,
        }
    }

    /// Replays both internal topics and does what the coordinators ask for then.
    pub(super) fn load_coordinators(&self, now_ms: i64) -> Result<(), BrokerError> {
        let mut transactions = self
            .transactions
            .lock()
            .map_err(|_| BrokerError::Poisoned("transaction"))?;
        self.load_topic(TRANSACTION_STATE_TOPIC, |_, item| match item {
            Item::Record(record) => transactions.load(record.key, record.value),
            Item::Marker(..) => Ok(()),
        })?;
        {
            let mut groups = self.groups.lock().map_err(|_| BrokerError::Poisoned("group"))?;
            self.load_topic(OFFSETS_TOPIC, |partition, item| match item {
                Item::Record(record) => {
                    let Loaded {
                        key,
                        value,
                        offset,
                        transaction,
                    } = record;
                    groups.coordinator.load(key, value, offset, transaction, now_ms)
                }
                Item::Marker(producer_id, committed) => {
                    groups.coordinator.load_marker(partition, producer_id, committed);
                    Ok(())
                }
            })?;
        }
        for (group_id, configs) in &self.cluster.current().groups {
            self.override_group(group_id, configs, now_ms)
                .map_err(|_| BrokerError::Poisoned("group"))?;
        }
        // Markers first: they complete offsets that the groups then show.
        let actions = transactions.finish_loading();
        self.perform_transactions(&mut transactions, actions, None, now_ms);
        let mut groups = self.groups.lock().map_err(|_| BrokerError::Poisoned("group"))?;
        let actions = groups.coordinator.finish_loading(now_ms);
        self.perform_group(&mut groups, actions, None, now_ms);
        Ok(())
    }

    fn load_topic(
        &self,
        name: &'static str,
        mut visit: impl FnMut(i32, Item<'_>) -> Result<(), RecordError>,
    ) -> Result<(), BrokerError> {
        let Ok(topic) = self.topics.topic(name) else {
            return Ok(());
        };
        for partition in 0..topic.partitions().len() as i32 {
            let (mut offset, end) = {
                let log = topic.lock(partition)?;
                (log.log_start_offset(), log.log_end_offset())
            };
            while offset < end {
                let unreadable = |source| BrokerError::Load {
                    topic: name,
                    partition,
                    source,
                };
                let read = topic
                    .lock(partition)?
                    .read(offset, LOAD_BYTES, Isolation::ReadUncommitted, true);
                let records = read.map_err(unreadable)?.records;
                if records.is_empty() {
                    break;
                }
                for batch in Batches::new(&records) {
                    let batch = batch.map_err(|reason| undecodable(name, partition, offset, &reason))?;
                    load_batch(name, partition, &batch, &mut |item| visit(partition, item))?;
                    offset = batch.header().next_offset();
                }
            }
        }
        Ok(())
    }
}

fn load_batch(
    topic: &'static str,
    partition: i32,
    batch: &BatchView<'_>,
    visit: &mut impl FnMut(Item<'_>) -> Result<(), RecordError>,
) -> Result<(), BrokerError> {
    let header = *batch.header();
    let mut scratch = Vec::new();
    let damaged = |reason| undecodable(topic, partition, header.base_offset, &reason);
    for record in batch.records(&mut scratch).map_err(damaged)? {
        let record = record.map_err(damaged)?;
        let key = record.key.unwrap_or_default();
        let item = if header.is_control() {
            let committed = ControlType::from_key(key) == Some(ControlType::Commit);
            Item::Marker(header.producer_id, committed)
        } else {
            let transaction = header.is_transactional().then_some(header.producer_id);
            Item::Record(Loaded {
                key,
                value: record.value,
                offset: record.offset,
                transaction,
            })
        };
        visit(item).map_err(|source| BrokerError::Record {
            topic,
            partition,
            offset: record.offset,
            source,
        })?;
    }
    Ok(())
}

fn undecodable(
    topic: &'static str,
    partition: i32,
    offset: i64,
    reason: &crate::log::BatchError,
) -> BrokerError {
    let partition_name = format!("{topic}-{partition}").into();
    let source = crate::log::ReadError::Undecodable {
        partition: partition_name,
        offset,
        reason: reason.clone(),
    };
    BrokerError::Load {
        topic,
        partition,
        source,
    }
}
