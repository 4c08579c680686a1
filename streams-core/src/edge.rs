//! How live processors call one another: typed edges, owned from the sink upward.
//!
//! A processor owns what comes after it as `Box<dyn Process<K, V>>`. Passing a record on is one virtual call with the
//! record moved by value: no allocation, no downcast, no lock. Processing is depth-first: `process` returns when all
//! downstream work is done. Only where several parents meet is a node shared; the graph has no cycles, so a
//! shared node is never entered twice.

use std::cell::RefCell;
use std::rc::Rc;

use crate::context::TaskContext;
use crate::error::ProcessResult;
use crate::record::Record;

/// Takes records of one type: an operator, a sink, or a group of them.
pub trait Process<K, V> {
    /// Processes one record, and all that follows from it downstream.
    ///
    /// # Errors
    /// If a serde, a store, the log or user code failed; the record's effects are then not committed.
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult;

    /// If this is a [group](fan_out) of several edges: one of them.
    fn member(&mut self, index: usize) -> Option<&mut dyn Process<K, V>> {
        let _ = index;
        None
    }
}

/// A node that its task enters before each commit, to have done what it held back.
pub trait AtCommit {
    /// Processes what was held back, all the way down.
    ///
    /// # Errors
    /// As for [`Process::process`].
    fn at_commit(&mut self, task: &mut TaskContext<'_>) -> ProcessResult;
}

/// A typed link to what comes next.
pub type Edge<K, V> = Box<dyn Process<K, V>>;

impl<K, V, P: Process<K, V> + ?Sized> Process<K, V> for Box<P> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        (**self).process(record, task)
    }

    fn member(&mut self, index: usize) -> Option<&mut dyn Process<K, V>> {
        (**self).member(index)
    }
}

/// One edge from any number: none drops records, one is passed through, several get a clone each, in order, the last the
/// original.
pub fn fan_out<K: Clone + 'static, V: Clone + 'static>(mut edges: Vec<Edge<K, V>>) -> Edge<K, V> {
    let Some(last) = edges.pop() else {
        return Box::new(End);
    };
    if edges.is_empty() {
        return last;
    }
    Box::new(FanOut { others: edges, last })
}

/// The end of a chain that leads nowhere.
struct End;

impl<K, V> Process<K, V> for End {
    fn process(&mut self, _record: Record<K, V>, _task: &mut TaskContext<'_>) -> ProcessResult {
        Ok(())
    }
}

struct FanOut<K, V> {
    others: Vec<Edge<K, V>>,
    last: Edge<K, V>,
}

impl<K: Clone, V: Clone> Process<K, V> for FanOut<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        for edge in &mut self.others {
            edge.process(record.clone(), task)?;
        }
        self.last.process(record, task)
    }

    fn member(&mut self, index: usize) -> Option<&mut dyn Process<K, V>> {
        if index == self.others.len() {
            return Some(&mut *self.last);
        }
        let edge = self.others.get_mut(index)?;
        Some(&mut **edge)
    }
}

/// An edge to a node that others reach too, or that the task enters from outside.
pub(crate) struct Shared<P: ?Sized>(pub(crate) Rc<RefCell<P>>);

impl<K, V, P: Process<K, V> + ?Sized> Process<K, V> for Shared<P> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        self.0.borrow_mut().process(record, task)
    }
}
