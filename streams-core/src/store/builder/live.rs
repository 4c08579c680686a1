//! How a store comes to life in a task: a cache in front of its bytes, in the shape that the kind of store needs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::serde::Serde;
use crate::store::cached::{Cached, RowIndex, UntypedCached};
use crate::store::spec::OpenStore;
use crate::store::task::{LiveStore, TaskStore};

/// How a cache's rows are read and logged.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// One at a time.
    Single,
    /// By ranges, all the time.
    Ranged,
    /// By ranges, and they are versions of keys, with a history of so many milliseconds.
    Versions(i64),
}

impl Shape {
    pub(super) fn ranged(is_ranged: bool) -> Self {
        if is_ranged { Self::Ranged } else { Self::Single }
    }
}

/// For the task, and for the handle of the store.
pub(super) fn live<V: 'static>(
    name: &str,
    open: OpenStore,
    value_serde: &Arc<dyn Serde<V>>,
    shape: Shape,
) -> (Box<dyn TaskStore>, Rc<RefCell<Cached<V>>>) {
    let index = index_of(&open, Cached::<V>::ROW_BYTES, shape);
    let cached = Cached::new(index, Arc::clone(&open.topic), Arc::clone(value_serde));
    let cached = Rc::new(RefCell::new(cached));
    let any = Rc::clone(&cached) as Rc<RefCell<dyn UntypedCached>>;
    (live_store(name, open, any), cached)
}

fn index_of(open: &OpenStore, row_bytes: usize, shape: Shape) -> RowIndex {
    let mut index = RowIndex::new(Arc::clone(&open.bytes), row_bytes, open.cache_bytes);
    if open.logs_every_put || matches!(shape, Shape::Versions(_)) {
        index.log_every_put();
    }
    match shape {
        Shape::Single => {}
        Shape::Ranged => index.keep_order(),
        Shape::Versions(history_ms) => {
            index.keep_order();
            index.history_ms = Some(history_ms);
        }
    }
    index
}

fn live_store(name: &str, open: OpenStore, cached: Rc<RefCell<dyn UntypedCached>>) -> Box<dyn TaskStore> {
    Box::new(LiveStore {
        base: open.base(name),
        cached,
    })
}
