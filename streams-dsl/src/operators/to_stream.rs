//! `to_stream`: a table's updates as records, without the old values.

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

use crate::change::Change;

pub(crate) struct ToStream<K, R, F> {
    /// The record's value of the new one, which is `None` for a deletion.
    pub(crate) value: F,
    pub(crate) next: Edge<K, R>,
}

impl<K, V, R, F: Fn(Option<V>) -> R> Process<K, Change<V>> for ToStream<K, R, F> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let record = record.map_value(|change| (self.value)(change.new));
        self.next.process(record, task)
    }
}
