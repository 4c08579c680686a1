//! `split`: one stream into several, each record into at most one of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::lower::{Lowered, operator};
use crate::operators::branch::{Branch, Predicate};
use crate::plan::PlanNode;
use crate::{Data, KStream};

/// A stream being split (Kafka's `BranchedKStream`): see [`KStream::split`].
#[derive(Clone)]
pub struct BranchedKStream<K, V> {
    /// The splitting node, as a stream that nothing else hangs on.
    splitter: KStream<K, V>,
    branches: Rc<RefCell<Vec<Predicate<K, V>>>>,
}

impl<K: Data, V: Data> BranchedKStream<K, V> {
    pub(crate) fn new(parent: &KStream<K, V>) -> Self {
        let branches: Rc<RefCell<Vec<Predicate<K, V>>>> = Rc::default();
        let taken = Rc::clone(&branches);
        let node = parent.add(crate::names::prefix::BRANCH, move |name, parents| {
            PlanNode::new(
                name,
                parents,
                Box::new(move |lowering| {
                    let predicates = taken.take();
                    let parents = lowering.parents::<K, V>();
                    let name = lowering.node.name.as_str();
                    let node = lowering
                        .builder
                        .add_router(name, &parents, &[], move |_, children| {
                            let branches = predicates.iter().cloned().zip(children).collect();
                            Ok(Box::new(Branch { branches }))
                        });
                    Lowered::operator::<K, V>(node)
                }),
            )
        });
        Self {
            splitter: parent.with_node(node),
            branches,
        }
    }

    /// Names the splitter, and so begins the names of its branches. Call it before the first branch.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            splitter: self.splitter.named(name),
            branches: self.branches,
        }
    }

    /// The records for which `takes` holds and no earlier branch took them.
    #[must_use]
    pub fn branch(&mut self, takes: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        let index = self.branches.borrow().len() + 1;
        self.add(Some(Arc::new(takes)), index)
    }

    /// The records that no branch took. Without a default branch they are dropped.
    #[must_use]
    pub fn default_branch(self) -> KStream<K, V> {
        self.add(None, 0)
    }

    fn add(&self, takes: Predicate<K, V>, index: usize) -> KStream<K, V> {
        self.branches.borrow_mut().push(takes);
        let mut plan = self.splitter.plan.borrow_mut();
        // Kafka takes a number for the child, and names it after the splitter.
        plan.names.burn();
        let name = format!("{}{index}", plan.node(self.splitter.node).name);
        let pass = operator::<K, V, K, V>(|_, next| Ok(next));
        let node = plan.add(PlanNode::new(name, vec![self.splitter.node], pass));
        self.splitter.with_node(node)
    }
}

impl<K, V> std::fmt::Debug for BranchedKStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BranchedKStream")
            .field("branches", &self.branches.borrow().len())
            .finish_non_exhaustive()
    }
}
