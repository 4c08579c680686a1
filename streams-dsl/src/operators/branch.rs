//! `split`: each record goes to the first branch that takes it.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

use super::Tried;

/// Whether a branch takes a record; `None` takes all.
pub(crate) type Predicate<K, V> = Option<Arc<dyn Fn(&K, &V) -> Tried<bool> + Send + Sync>>;

pub(crate) struct Branch<K, V> {
    pub(crate) node: String,
    /// In the order they are asked.
    pub(crate) branches: Vec<(Predicate<K, V>, Edge<K, V>)>,
}

impl<K, V> Process<K, V> for Branch<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        for (takes, next) in &mut self.branches {
            let taken = match takes {
                None => Ok(true),
                Some(takes) => takes(&record.key, &record.value),
            };
            match taken {
                Ok(true) => return next.process(record, task),
                Ok(false) => {}
                Err(error) => return task.processing_failed(error, &self.node),
            }
        }
        Ok(())
    }
}
