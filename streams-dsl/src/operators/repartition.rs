//! What stands before a repartition topic: records without a key would all go to one partition for nothing, so they are
//! dropped, as in Kafka, and counted.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::metrics::DropReason;
use streams_core::serde::Serde;
use streams_core::{Record, TaskContext};

pub(crate) struct DropNullKeys<K, V> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) next: Edge<K, V>,
}

impl<K, V> Process<K, V> for DropNullKeys<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        self.next.process(record, task)
    }
}
