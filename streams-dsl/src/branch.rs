//! `split`: one stream into several, each record into at most one of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use streams_core::topology::OperatorSupplier;

use crate::lower::{Lower, operator};
use crate::operators::Tried;
use crate::operators::branch::{Branch, Predicate};
use crate::plan::{Kind, PlanNode};
use crate::{Data, KStream};

/// A stream being split (Kafka's `BranchedKStream`): see [`KStream::split`].
///
/// Not `Clone`: nothing comes after the default branch.
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
            let lower = Lower::OperatorOf(Box::new(move |_| {
                let predicates = taken.take();
                OperatorSupplier::router::<K, V, K, V>(move |wiring, children| {
                    let node = wiring.node_name().to_owned();
                    let branches = predicates.iter().cloned().zip(children).collect();
                    Ok(Box::new(Branch { node, branches }))
                })
            }));
            PlanNode::new(name, parents, lower)
        });
        Self {
            splitter: parent.with_node(node),
            branches,
        }
    }

    /// Names the splitter, and so begins the names of its branches. Call it before the first branch.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mut split = builder.stream::<String, i64>("in").split().named("by-size-");
    /// split.branch(|_, n| *n > 9).named("large").to("large");
    /// split.default_branch().to("small");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: by-size-large"));
    /// assert!(topology.describe().contains("Processor: by-size-0"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("in").pipe("a".to_string(), 10_i64)?;
    /// assert_eq!(driver.output::<String, i64>("large").read_key_values(), [("a".into(), 10)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            splitter: self.splitter.named(name),
            branches: self.branches,
        }
    }

    /// The records for which `takes` holds and no earlier branch took them.
    ///
    /// Its name is the splitter's and its number, from 1; [`named`](KStream::named) right after it sets what comes after the
    /// splitter's name instead, as Kafka's `Branched.as` does.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mut split = builder.stream::<String, i64>("in").split();
    /// split.branch(|_, n| *n > 9).to("large");
    /// split.branch(|_, n| *n > 0).to("positive");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [10_i64, 1, -1] {
    ///     driver.input("in").pipe("a".to_string(), n)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("large").read_key_values(), [("a".into(), 10)]);
    /// assert_eq!(driver.output::<String, i64>("positive").read_key_values(), [("a".into(), 1)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn branch(&mut self, takes: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.branched(move |key, value| Ok(takes(key, value)))
    }

    pub(crate) fn branched(
        &self,
        takes: impl Fn(&K, &V) -> Tried<bool> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let index = self.branches.borrow().len() + 1;
        self.add(Some(Arc::new(takes)), index)
    }

    /// The records that no branch took. Without a default branch they are dropped. Its name ends in 0, unless it is
    /// [named](KStream::named).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mut split = builder.stream::<String, String>("mails").split();
    /// split.branch(|_, mail| mail.contains("prize")).to("spam");
    /// split.default_branch().to("inbox");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("mails").pipe("ada".to_string(), "lunch?".to_string())?;
    /// assert!(driver.output::<String, String>("spam").is_empty());
    /// assert_eq!(driver.output::<String, String>("inbox").read_record().unwrap().value, "lunch?");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
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
        let mut node = PlanNode::new(name, vec![self.splitter.node], pass);
        node.kind = Kind::Branch;
        let node = plan.add(node);
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
