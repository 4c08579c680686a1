//! `flat_map` and `flat_map_values`: one record in, any number out, all with its timestamp and headers.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

use super::Tried;

pub(crate) struct FlatMap<KO, VO, F> {
    pub(crate) node: String,
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<KO, VO>,
}

impl<K, V, KO, VO, I, F> Process<K, V> for FlatMap<KO, VO, F>
where
    I: IntoIterator<Item = (KO, VO)>,
    F: Fn(K, V) -> Tried<I>,
{
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let records = match (self.map)(record.key, record.value) {
            Ok(records) => records,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        for (key, value) in records {
            let record = Record {
                key,
                value,
                timestamp_ms: record.timestamp_ms,
                headers: record.headers.clone(),
            };
            self.next.process(record, task)?;
        }
        Ok(())
    }
}

pub(crate) struct FlatMapValues<K, VO, F> {
    pub(crate) node: String,
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<K, VO>,
}

impl<K, V, VO, I, F> Process<K, V> for FlatMapValues<K, VO, F>
where
    K: Clone,
    I: IntoIterator<Item = VO>,
    F: Fn(&K, V) -> Tried<I>,
{
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut values = match (self.map)(&record.key, record.value) {
            Ok(values) => values.into_iter(),
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let Some(mut value) = values.next() else {
            return Ok(());
        };
        // One value is held back, so that the last one gets the key itself and not a clone.
        for following in values {
            let record = Record {
                key: record.key.clone(),
                value: std::mem::replace(&mut value, following),
                timestamp_ms: record.timestamp_ms,
                headers: record.headers.clone(),
            };
            self.next.process(record, task)?;
        }
        let record = Record {
            key: record.key,
            value,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers,
        };
        self.next.process(record, task)
    }
}
