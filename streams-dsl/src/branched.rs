//! Splitting a stream into branches.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::topology::Node;

use crate::names::prefix;
use crate::operators::branch::{Branch, Predicate};
use crate::plan::PlanId;
use crate::stream::KStream;

/// A stream being split (Kafka's `BranchedKStream`): each record goes to the first branch whose predicate it satisfies. What
/// satisfies none goes to the default branch, or is dropped if there is none.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let mut split = builder.stream::<String, i64>("in").split();
/// split.branch(|_, n| *n < 0).to("negative");
/// split.branch(|_, n| *n == 0).to("zero");
/// split.default_branch().to("positive");
///
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for n in [-1, 0, 1, 2] {
///     driver.input::<String, i64>("in").pipe("k".into(), n)?;
/// }
/// assert_eq!(driver.output::<String, i64>("positive").read_key_values().len(), 2);
/// # Ok::<(), StreamsError>(())
/// ```
#[must_use = "a split without branches drops everything"]
pub struct BranchedKStream<K, V> {
    stream: KStream<K, V>,
    router: PlanId,
    predicates: Rc<RefCell<Vec<Predicate<K, V>>>>,
}

impl<K: Clone + 'static, V: Clone + 'static> BranchedKStream<K, V> {
    pub(crate) fn new(stream: KStream<K, V>) -> Self {
        let predicates: Rc<RefCell<Vec<Predicate<K, V>>>> = Rc::default();
        let collected = Rc::clone(&predicates);
        let mut plan = stream.plan.borrow_mut();
        let name = plan.names.processor(prefix::STREAM_BRANCH);
        let router = plan.add(name, &[stream.node], move |builder, name, parents| {
            let parents: Vec<Node<K, V>> = parents.iter().map(|parent| builder.node(*parent)).collect();
            let predicates = Arc::new(collected.take());
            let build = move |_: &mut streams_core::topology::Wiring<'_>, branches: Vec<Edge<K, V>>| {
                Ok(Box::new(Branch {
                    predicates: Arc::clone(&predicates),
                    branches,
                }) as Edge<K, V>)
            };
            builder.add_router(name, &parents, &[], build).id()
        });
        drop(plan);
        Self {
            stream,
            router,
            predicates,
        }
    }

    /// Gives the split a name, with which the names of its branches begin. Before the first branch.
    pub fn named(self, name: &str) -> Self {
        self.stream.plan.borrow_mut().rename(self.router, name);
        self
    }

    /// The records that satisfy this predicate and none of the earlier branches'.
    #[must_use]
    pub fn branch(&mut self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.predicates.borrow_mut().push(Arc::new(predicate));
        let number = self.predicates.borrow().len();
        self.child(number)
    }

    /// The records that satisfy no branch's predicate.
    #[must_use]
    pub fn default_branch(self) -> KStream<K, V> {
        self.child(0)
    }

    /// Branches are numbered from 1, the default branch is 0; each takes a number of the counter too.
    fn child(&self, number: usize) -> KStream<K, V> {
        let mut plan = self.stream.plan.borrow_mut();
        let name = format!("{}{number}", plan.name(self.router));
        let node = plan.add_operator::<K, V, K, V>(prefix::STREAM_BRANCH, &[self.router], |_, next| Ok(next));
        plan.rename(node, &name);
        drop(plan);
        KStream {
            node,
            ..self.stream.clone()
        }
    }
}

impl<K, V> std::fmt::Debug for BranchedKStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BranchedKStream")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}
