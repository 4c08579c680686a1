//! `KStream`: a handle to a stream in the plan. Each method adds one operator to the plan and returns the handle after it.

mod grouping;
mod stateless;

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::Serde;

use crate::lower::Lower;
use crate::plan::{KeyEffect, PlanId, PlanNode, SharedPlan};

/// An unbounded stream of records (Kafka's `KStream`).
///
/// A cheap handle: clones are the same stream, and one that is used twice sends each record both ways. Results keep the
/// timestamp and the headers of the record they come from, unless an operator says otherwise.
///
/// Each operator's processor has a generated name, which shifts when an operator is inserted before it; with
/// [`named`](Self::named) it keeps the one it is given.
pub struct KStream<K, V> {
    pub(crate) plan: SharedPlan,
    pub(crate) node: PlanId,
    pub(crate) key_serde: Option<Arc<dyn Serde<K>>>,
    pub(crate) value_serde: Option<Arc<dyn Serde<V>>>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        self.with_node(self.node)
    }
}

impl<K, V> std::fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KStream")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl<K, V> KStream<K, V> {
    pub(crate) fn new(
        plan: SharedPlan,
        node: PlanId,
        key_serde: Option<Arc<dyn Serde<K>>>,
        value_serde: Option<Arc<dyn Serde<V>>>,
    ) -> Self {
        Self {
            plan,
            node,
            key_serde,
            value_serde,
        }
    }

    /// The same types and serdes at another node.
    pub(crate) fn with_node(&self, node: PlanId) -> Self {
        Self::new(
            Rc::clone(&self.plan),
            node,
            self.key_serde.clone(),
            self.value_serde.clone(),
        )
    }

    /// Other values at another node: their serde is not known.
    pub(crate) fn with_values<W>(&self, node: PlanId) -> KStream<K, W> {
        KStream::new(Rc::clone(&self.plan), node, self.key_serde.clone(), None)
    }

    /// Adds a node after this one.
    pub(crate) fn add(&self, prefix: &str, make: impl FnOnce(String, Vec<PlanId>) -> PlanNode) -> PlanId {
        let mut plan = self.plan.borrow_mut();
        let name = plan.names.processor(prefix);
        plan.add(make(name, vec![self.node]))
    }

    pub(crate) fn then(&self, prefix: &str, key: KeyEffect, lower: Lower) -> PlanId {
        self.add(prefix, |name, parents| {
            let mut node = PlanNode::new(name, parents, lower);
            node.key = key;
            node
        })
    }

    /// Names the processor of the last operator, instead of a generated name. Call it right after the operator: names of
    /// internal topics are made of it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.filter(|_, word| word.len() > 2).named("long-words").to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: long-words"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("words").pipe("a".to_string(), "to".to_string())?;
    /// assert!(driver.output::<String, String>("out").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.plan.borrow_mut().rename(self.node, name);
        self
    }

    pub(crate) fn same_builder(&self, other: &SharedPlan, what: &str) -> bool {
        let same = Rc::ptr_eq(&self.plan, other);
        if !same {
            let mut plan = self.plan.borrow_mut();
            let problem = format!(
                "{what} after {} with a stream or table of another StreamsBuilder",
                plan.node(self.node).name
            );
            plan.problems.push(problem);
        }
        same
    }
}
