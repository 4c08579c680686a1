//! `peek` and `for_each`: for their side effects.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

use super::Tried;

pub(crate) struct Peek<K, V, F> {
    pub(crate) node: String,
    pub(crate) look: Arc<F>,
    pub(crate) next: Edge<K, V>,
}

impl<K, V, F: Fn(&K, &V) -> Tried<()>> Process<K, V> for Peek<K, V, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        match (self.look)(&record.key, &record.value) {
            Ok(()) => self.next.process(record, task),
            Err(error) => task.processing_failed(error, &self.node),
        }
    }
}

pub(crate) struct ForEach<F> {
    pub(crate) node: String,
    pub(crate) action: Arc<F>,
}

impl<K, V, F: Fn(K, V) -> Tried<()>> Process<K, V> for ForEach<F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        match (self.action)(record.key, record.value) {
            Ok(()) => Ok(()),
            Err(error) => task.processing_failed(error, &self.node),
        }
    }
}
