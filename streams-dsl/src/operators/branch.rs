//! Split: each record goes to the first branch whose predicate it satisfies, or to the default branch, or nowhere.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::{Record, TaskContext};

/// A branch's predicate.
pub(crate) type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// Children are the branches, in the order of their predicates; one more child is the default branch.
pub(crate) struct Branch<K, V> {
    pub(crate) predicates: Arc<Vec<Predicate<K, V>>>,
    pub(crate) branches: Vec<Edge<K, V>>,
}

impl<K, V> Process<K, V> for Branch<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        let first = self
            .predicates
            .iter()
            .position(|predicate| predicate(&record.key, &record.value));
        match self.branches.get_mut(first.unwrap_or(self.predicates.len())) {
            Some(branch) => branch.process(record, task),
            None => Ok(()),
        }
    }
}
