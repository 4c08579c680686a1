//! The part of [`TopologyBuilder`] that adds stores: of processors, read-only, global.

use std::convert::Infallible;
use std::sync::Arc;

use super::TopologyBuilder;
use crate::error::Result;
use crate::processor::{BoxError, Processor, ProcessorInit};
use crate::record::Record;
use crate::store::{
    GlobalProcessor, GlobalStoreBuilder, GlobalStoreWriter, StoreBuilder, StoreKind, StoreSpec,
    UpdateFunction,
};
use crate::topology::graph::NodeKind;
use crate::topology::{Node, SourceOptions, TopicName};

/// Stores.
impl TopologyBuilder {
    /// Adds a store. It becomes part of the topology where a processor names it. To add it twice, by the same builder or one that
    /// says the same, changes nothing.
    pub fn add_store(&mut self, store: impl StoreBuilder) {
        self.share_store_spec(store.into_spec());
    }

    /// Adds a store that others may bring too.
    #[doc(hidden)]
    pub fn share_store_spec(&mut self, mut spec: StoreSpec) {
        spec.is_shared = true;
        let is_same =
            |other: &StoreSpec| other.is_shared && (&other.name, &other.said) == (&spec.name, &spec.said);
        if !self.graph.stores.iter().any(is_same) {
            self.add_store_spec(spec);
        }
    }

    /// Adds a store that belongs to one operator.
    #[doc(hidden)]
    pub fn add_store_spec(&mut self, spec: StoreSpec) {
        self.check_store_is_new(&spec.name);
        self.graph.stores.push(spec);
    }

    /// Adds a store that is filled from a topic by a processor, in each task from its own partitions, and restored from that topic:
    /// there is no changelog (Kafka's `Topology.addReadOnlyStateStore`, KIP-813). Other processors connect it by its name, and
    /// should only read it: what they write is not restored.
    ///
    /// The store gets bytes of the topic as they are when it is restored, without the processor. So of each record it must keep the
    /// value under the key, as they were read, with the record's timestamp, or delete the row.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use streams_core::Record;
    /// use streams_core::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_core::store::{KeyValueStore, KeyValueStoreBuilder};
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// struct KeepNames(KeyValueStore<i64, String>);
    ///
    /// impl Processor<i64, Option<String>, Infallible, Infallible> for KeepNames {
    ///     fn process(
    ///         &mut self,
    ///         name: Record<i64, Option<String>>,
    ///         _: &mut ProcessorContext<'_, '_, Infallible, Infallible>,
    ///     ) -> Result<(), BoxError> {
    ///         self.0.put(&name.key, name.value, name.timestamp_ms)?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Greet(KeyValueStore<i64, String>);
    ///
    /// impl Processor<i64, String, i64, String> for Greet {
    ///     fn process(
    ///         &mut self,
    ///         greeting: Record<i64, String>,
    ///         context: &mut ProcessorContext<'_, '_, i64, String>,
    ///     ) -> Result<(), BoxError> {
    ///         let name = self.0.get(&greeting.key)?.map_or_else(|| "stranger".to_string(), |row| row.value);
    ///         context.forward(greeting.map_value(|greeting| format!("{greeting}, {name}!")))
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_read_only_store(
    ///     KeyValueStoreBuilder::<i64, String>::new("names"),
    ///     ("read-names", "names"),
    ///     "keep-names",
    ///     SourceOptions::<i64, Option<String>>::default(),
    ///     |init| Ok(KeepNames(init.key_value_store("names")?)),
    /// );
    /// let topics = [TopicName::external("greetings")];
    /// let greetings = builder.add_source::<i64, String>("read-greetings", topics, SourceOptions::default());
    /// let greeted = builder.add_processor("greet", &[greetings], "names", |init| Ok(Greet(init.key_value_store("names")?)));
    /// builder.add_sink("write", TopicName::external("out"), &[greeted], SinkOptions::default());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe(7_i64, "Ada".to_string())?;
    /// for to in [7_i64, 8] {
    ///     driver.input("greetings").pipe(to, "Hello".to_string())?;
    /// }
    /// assert_eq!(driver.output::<i64, String>("out").read_values(), ["Hello, Ada!", "Hello, stranger!"]);
    /// assert_eq!(driver.produced_topic_names(), ["out".to_string()].into());
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    pub fn add_read_only_store<K: Clone + 'static, V: Clone + 'static, P>(
        &mut self,
        store: impl StoreBuilder,
        (source, topic): (&str, &str),
        processor: &str,
        options: SourceOptions<K, V>,
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) where
        P: Processor<K, V, Infallible, Infallible>,
    {
        let topic = TopicName::external(topic);
        let mut spec = store.into_spec();
        let name = spec.name.clone();
        // Its log is the topic, whatever was said of a changelog.
        spec.logged = true;
        self.add_store_spec(spec);
        self.restore_from(&name, topic.clone());
        let source = self.add_source(source, [topic], options);
        let _ = self.add_processor(processor, &[source], name.as_str(), supplier);
    }

    /// Adds a store that is filled from all partitions of a topic and that all processors of all tasks can read, without being
    /// connected to it (Kafka's `Topology.addGlobalStore`).
    ///
    /// `update` turns each record of the topic into rows; what it returns as an error stops the application. It runs for the
    /// topic's records from the first on, before any task does, and then for each new one as it comes; a restart goes on where
    /// the store is. Nothing is sent on from here, and nothing but the topic and the store may decide what it writes. What has
    /// a state of its own is a [processor](Self::add_global_store_processor).
    ///
    /// ```
    /// use streams_core::Record;
    /// use streams_core::store::GlobalStoreBuilder;
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SourceOptions, TopologyBuilder};
    ///
    /// let mut builder = TopologyBuilder::new();
    /// builder.add_global_store(
    ///     GlobalStoreBuilder::<String, i64>::new("lengths"),
    ///     ("words", "words"),
    ///     "measure",
    ///     SourceOptions::<String, String>::default(),
    ///     |record, store| Ok(store.put(&record.key, Some(&(record.value.len() as i64)), record.timestamp_ms)?),
    /// );
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe("a".to_string(), "tea".to_string())?;
    /// let lengths = driver.global_store::<String, i64>("lengths")?;
    /// assert_eq!(lengths.get(&"a".into()).unwrap().unwrap().value, 3);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    pub fn add_global_store<KI: 'static, VI: 'static, K: 'static, V: 'static>(
        &mut self,
        store: GlobalStoreBuilder<K, V>,
        (source, topic): (&str, &str),
        processor: &str,
        options: SourceOptions<KI, VI>,
        update: impl Fn(Record<KI, VI>, &mut GlobalStoreWriter<'_, K, V>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) {
        let update = Arc::new(update);
        let supplier = move || UpdateFunction(Arc::clone(&update));
        self.add_global_store_processor(store, (source, topic), processor, options, supplier);
    }

    /// As [`add_global_store`](Self::add_global_store), with a processor, which `supplier` makes at each start: see
    /// [`GlobalProcessor`], also for an example.
    pub fn add_global_store_processor<KI: 'static, VI: 'static, K: 'static, V: 'static, P>(
        &mut self,
        store: GlobalStoreBuilder<K, V>,
        (source, topic): (&str, &str),
        processor: &str,
        options: SourceOptions<KI, VI>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) where
        P: GlobalProcessor<KI, VI, K, V>,
    {
        let spec = store.into_spec(topic, processor, options, supplier);
        self.check_store_is_new(&spec.name);
        let kind = NodeKind::GlobalSource {
            topic: TopicName::external(topic),
        };
        let source = self.add_node(source, kind, &[], &[]);
        self.add_node(processor, NodeKind::GlobalUpdate, &[source], &[&spec.name]);
        self.graph.global_stores.push(spec);
    }

    fn check_store_is_new(&mut self, name: &str) {
        let stores = self.graph.stores.iter().map(|store| &store.name);
        let globals = self.graph.global_stores.iter().map(|store| &store.name);
        if stores.chain(globals).any(|other| other == name) {
            self.problems.push(format!(
                "store {name} is added twice, and not by builders that say the same: give one of them another name, or only \
                 name the store where else it is used"
            ));
        }
    }

    /// Where the rows of stores are kept that do not say so themselves (Kafka's `dsl.store.suppliers.class`). Default: on disk. Call it when
    /// all stores are added.
    pub fn default_store_kind(&mut self, kind: StoreKind) {
        for unsaid in self.store_kinds().filter(|of| of.is_none()) {
            *unsaid = Some(kind.clone());
        }
    }

    fn store_kinds(&mut self) -> impl Iterator<Item = &mut Option<StoreKind>> {
        let globals = self.graph.global_stores.iter_mut().map(|store| &mut store.kind);
        self.graph
            .stores
            .iter_mut()
            .map(|store| &mut store.kind)
            .chain(globals)
    }

    /// Has a store restored from the topic its rows are read from, instead of a changelog: of each record the bytes of key and
    /// value must be those of the row.
    pub fn restore_from(&mut self, store: &str, topic: TopicName) {
        match self.graph.stores.iter_mut().find(|spec| spec.name == store) {
            Some(spec) => spec.source_topic = Some(topic),
            None => self
                .problems
                .push(format!("store {store} is not there to be restored from {topic}")),
        }
    }

    /// Connects a store that was added to a processor that was added.
    pub fn connect_store<K, V>(&mut self, node: Node<K, V>, store: &str) {
        if !self.is_own(node.id(), || {
            format!("the processor that store {store} is connected to")
        }) {
            return;
        }
        let stores = &mut self.graph.nodes[node.id().0].stores;
        if !stores.iter().any(|name| name == store) {
            stores.push(store.to_owned());
        }
    }
}
