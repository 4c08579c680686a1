//! Updates of a table that are held until the next commit: of each key only the last one is sent on, with the value that was
//! there before the first (Kafka's record cache). They go in the order of their last updates, with its timestamp and headers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use streams_core::edge::{AtCommit, Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult};
use streams_core::serde::Serde;
use streams_core::topology::Wiring;
use streams_core::{Record, TaskContext};

use super::place;
use crate::Change;

/// How many keys may wait in one task; with more, all are sent on before the commit.
const KEYS_MAX: usize = 10_000;

/// What comes after a table's operator, behind a cache if there is one: `cache` is the serde of the keys then.
pub(crate) fn cached<K: 'static, V: 'static>(
    cache: Option<&Arc<dyn Serde<K>>>,
    wiring: &mut Wiring<'_>,
    next: Edge<K, Change<V>>,
) -> Edge<K, Change<V>> {
    let Some(key_serde) = cache else { return next };
    let node = wiring.node_name().to_owned();
    wiring.at_commit(UpdateCache {
        node,
        key_serde: Arc::clone(key_serde),
        places: HashMap::new(),
        updates: Vec::new(),
        next,
    })
}

struct UpdateCache<K, V> {
    node: String,
    key_serde: Arc<dyn Serde<K>>,
    /// Where in `updates` a key is, by its bytes.
    places: HashMap<Vec<u8>, usize>,
    /// In the order of their last updates; what was updated again is not there any more.
    updates: Vec<Option<Record<K, Change<V>>>>,
    next: Edge<K, Change<V>>,
}

impl<K, V> Process<K, Change<V>> for UpdateCache<K, V> {
    fn process(&mut self, mut record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut key = Vec::new();
        let written = self.key_serde.serialize(&self.node, &record.key, &mut key);
        written.map_err(|error| {
            let cause = ProcessCause::Serde {
                action: "write",
                part: "key",
                topic: self.node.clone(),
                error,
            };
            place(cause, &self.node, task)
        })?;
        match self.places.entry(key) {
            Entry::Occupied(mut known) => {
                let earlier = self.updates[*known.get()].take();
                if let Some(earlier) = earlier {
                    record.value.old = earlier.value.old;
                }
                known.insert(self.updates.len());
            }
            Entry::Vacant(new) => {
                new.insert(self.updates.len());
            }
        }
        self.updates.push(Some(record));
        // Most places may be empty, if few keys are updated often.
        if self.places.len() > KEYS_MAX || self.updates.len() > 2 * KEYS_MAX {
            return self.at_commit(task);
        }
        Ok(())
    }
}

impl<K, V> AtCommit for UpdateCache<K, V> {
    fn at_commit(&mut self, task: &mut TaskContext<'_>) -> ProcessResult {
        self.places.clear();
        for update in std::mem::take(&mut self.updates).into_iter().flatten() {
            self.next.process(update, task)?;
        }
        Ok(())
    }
}
