//! `peek` and `for_each`: for their side effects.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

pub(crate) struct Peek<K, V, F> {
    pub(crate) look: Arc<F>,
    pub(crate) next: Edge<K, V>,
}

impl<K, V, F: Fn(&K, &V)> Process<K, V> for Peek<K, V, F> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        (self.look)(&record.key, &record.value);
        self.next.process(record, task)
    }
}

pub(crate) struct ForEach<F> {
    pub(crate) action: Arc<F>,
}

impl<K, V, F: Fn(K, V)> Process<K, V> for ForEach<F> {
    fn process(&mut self, record: Record<K, V>, _task: &mut TaskContext<'_>) -> ProcessResult {
        (self.action)(record.key, record.value);
        Ok(())
    }
}
