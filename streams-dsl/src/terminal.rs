//! Where streams end: written to topics.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::DefaultSerde;
use streams_core::topology::{SinkOptions, SinkSupplier, TopicName};
use streams_core::{Record, TaskContext};

use crate::lower::Lower;
use crate::names::prefix;
use crate::operators::Tried;
use crate::options::Produced;
use crate::plan::{KeyEffect, PlanId, SharedPlan};
use crate::{Data, KStream};

/// Writing to topics.
impl<K: Data, V: Data> KStream<K, V> {
    /// Writes the stream to a topic, with the serdes it carries or the types' own.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map_values(|n| n + 1).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 8)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn to(&self, topic: &str) -> Terminal
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.to_with(topic, Produced::default())
    }

    /// Writes the stream to a topic as `produced` says.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::serde::JsonSerde;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { item: String }
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("in").map_values(|item| Order { item });
    /// orders.to_with("orders", Produced::with(String::default_serde(), Arc::new(JsonSerde)));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), "tea".to_string())?;
    /// let json = driver.output::<String, String>("orders").read_value().unwrap();
    /// assert_eq!(json, r#"{"item":"tea"}"#);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn to_with(&self, topic: &str, produced: Produced<K, V>) -> Terminal {
        let topic = TopicName::external(topic);
        let options = self.sink_options(produced);
        let lower = Lower::Sink(Some(topic), SinkSupplier::new(options));
        self.terminal(self.then(prefix::SINK, KeyEffect::Keeps, lower))
    }

    /// Writes each record to the topic that `extractor` chooses for it (Kafka's `TopicNameExtractor`), as `produced` says. The
    /// task it is given knows where the record came from. The topics must exist: one that does not stops the application.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// orders.to_dynamic(|order, _| format!("orders-of-{}", order.key), Produced::default());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe("ada".to_string(), "tea".to_string())?;
    /// let of_ada = driver.output::<String, String>("orders-of-ada").read_key_values();
    /// assert_eq!(of_ada, [("ada".into(), "tea".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn to_dynamic(
        &self,
        extractor: impl Fn(&Record<K, V>, &TaskContext<'_>) -> String + Send + Sync + 'static,
        produced: Produced<K, V>,
    ) -> Terminal {
        self.to_chosen(move |record, task| Ok(extractor(record, task)), produced)
    }

    pub(crate) fn to_chosen(
        &self,
        extractor: impl Fn(&Record<K, V>, &TaskContext<'_>) -> Tried<String> + Send + Sync + 'static,
        produced: Produced<K, V>,
    ) -> Terminal {
        let options = self.sink_options(produced);
        let lower = Lower::Sink(None, SinkSupplier::try_dynamic(Arc::new(extractor), options));
        self.terminal(self.then(prefix::SINK, KeyEffect::Keeps, lower))
    }

    fn sink_options(&self, produced: Produced<K, V>) -> SinkOptions<K, V> {
        let key_serde = produced.key_serde.resolve(self.key_serde.as_ref());
        let value_serde = produced.value_serde.resolve(self.value_serde.as_ref());
        let mut options = SinkOptions::new(key_serde, value_serde);
        options.partitioner = produced.partitioner;
        options
    }

    pub(crate) fn terminal(&self, node: PlanId) -> Terminal {
        Terminal::new(&self.plan, node)
    }
}

/// The end of a stream: a sink, a [`for_each`](KStream::for_each), or what fills a
/// [global store](crate::StreamsBuilder::add_global_store). Only its name can still be set.
#[derive(Clone)]
pub struct Terminal {
    plan: SharedPlan,
    node: PlanId,
}

impl Terminal {
    pub(crate) fn new(plan: &SharedPlan, node: PlanId) -> Self {
        Self {
            plan: Rc::clone(plan),
            node,
        }
    }

    /// Names the processor, instead of a generated name; of a global store, also its source: `<name>-source`.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").to("out").named("write-out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Sink: write-out (topic: out)"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("out").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn named(self, name: &str) {
        self.plan.borrow_mut().rename(self.node, name);
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
