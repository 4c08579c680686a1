//! `map`, `map_values` and `select_key`: one record in, one out.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

use super::Tried;

pub(crate) struct Map<KO, VO, F> {
    pub(crate) node: String,
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<KO, VO>,
}

impl<K, V, KO, VO, F: Fn(K, V) -> Tried<(KO, VO)>> Process<K, V> for Map<KO, VO, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let (key, value) = match (self.map)(record.key, record.value) {
            Ok(mapped) => mapped,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let record = Record {
            key,
            value,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers,
        };
        self.next.process(record, task)
    }
}

pub(crate) struct MapValues<K, VO, F> {
    pub(crate) node: String,
    pub(crate) map: Arc<F>,
    pub(crate) next: Edge<K, VO>,
}

impl<K, V, VO, F: Fn(&K, V) -> Tried<VO>> Process<K, V> for MapValues<K, VO, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let value = match (self.map)(&record.key, record.value) {
            Ok(value) => value,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let record = Record {
            key: record.key,
            value,
            timestamp_ms: record.timestamp_ms,
            headers: record.headers,
        };
        self.next.process(record, task)
    }
}

pub(crate) struct SelectKey<KO, V, F> {
    pub(crate) node: String,
    pub(crate) select: Arc<F>,
    pub(crate) next: Edge<KO, V>,
}

impl<K, V, KO, F: Fn(&K, &V) -> Tried<KO>> Process<K, V> for SelectKey<KO, V, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        match (self.select)(&record.key, &record.value) {
            Ok(key) => self.next.process(record.with_key(key), task),
            Err(error) => task.processing_failed(error, &self.node),
        }
    }
}
