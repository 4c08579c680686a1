//! Where a program begins: topics become streams and tables.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::error::{Result, StreamsError};
use streams_core::serde::{DefaultSerde, NullableSerde};
use streams_core::store::StoreBuilder;
use streams_core::topology::{SourceOptions, TopicName, Topology};

use crate::names::prefix;
use crate::operators::table_source;
use crate::options::{Consumed, Materialized};
use crate::plan::{Plan, SharedPlan};
use crate::stream::KStream;
use crate::table::KTable;

/// Declares a topology with the DSL (Kafka's `StreamsBuilder`).
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in").map_values(|text| text.to_uppercase()).to("out");
/// let topology = builder.build()?;
///
/// let driver = TopologyTestDriver::new(&topology)?;
/// driver.input::<String, String>("in").pipe("a".into(), "hello".into())?;
/// assert_eq!(driver.output::<String, String>("out").read_key_values(), [("a".into(), "HELLO".into())]);
/// # Ok::<(), StreamsError>(())
/// ```
#[derive(Debug, Default)]
pub struct StreamsBuilder {
    plan: SharedPlan,
}

impl StreamsBuilder {
    /// A program that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of a topic as a stream, read with the types' default serdes. Null keys and values need `Option` types: a
    /// null where the type has none is dropped and counted.
    #[must_use]
    pub fn stream<K, V>(&self, topic: &str) -> KStream<K, V>
    where
        K: DefaultSerde + Clone,
        V: DefaultSerde + Clone,
    {
        self.stream_with(topic, Consumed::new())
    }

    /// The records of a topic as a stream.
    #[must_use]
    pub fn stream_with<K, V>(&self, topic: &str, consumed: Consumed<K, V>) -> KStream<K, V>
    where
        K: Clone + 'static,
        V: Clone + 'static,
    {
        let Consumed {
            key_serde,
            value_serde,
            timestamp_extractor,
            name,
        } = consumed;
        let options = SourceOptions {
            key_serde: Arc::clone(&key_serde),
            value_serde: Arc::clone(&value_serde),
            timestamp_extractor,
        };
        let topic = TopicName::external(topic);
        let mut plan = self.plan.borrow_mut();
        let generated = plan.names.processor(prefix::STREAM_SOURCE);
        let node = plan.add(name.unwrap_or(generated), &[], move |builder, name, _| {
            builder.add_source(name, [topic], options).id()
        });
        drop(plan);
        let source = vec![node];
        KStream::new(
            Rc::clone(&self.plan),
            node,
            source,
            Some(key_serde),
            Some(value_serde),
            false,
        )
    }

    /// The latest value of each key of a topic, as a table. A null value deletes its key; records with null keys are dropped
    /// and counted. An update with an older timestamp replaces a newer one: the order of the topic decides.
    ///
    /// The table has a store if it is given a name, or something looks values up in it.
    #[must_use]
    pub fn table<K, V>(&self, topic: &str, materialized: Materialized<V>) -> KTable<K, V>
    where
        K: DefaultSerde + Clone,
        V: Clone + 'static,
    {
        let value_serde = Arc::new(NullableSerde::new(Arc::clone(&materialized.value_serde)));
        self.table_with(
            topic,
            Consumed::with(K::default_serde(), value_serde),
            materialized,
        )
    }

    /// As [`table`](Self::table), with serdes, timestamps and name of its source.
    #[must_use]
    pub fn table_with<K, V>(
        &self,
        topic: &str,
        consumed: Consumed<K, Option<V>>,
        materialized: Materialized<V>,
    ) -> KTable<K, V>
    where
        K: Clone + 'static,
        V: Clone + 'static,
    {
        let store = match &materialized.name {
            Some(name) => name.clone(),
            None => self.plan.borrow_mut().names.store(&format!("{topic}-")),
        };
        let needed = materialized.name.is_some();
        let processor_name = consumed.name.clone();
        let consumed = match consumed.name.clone() {
            Some(name) => consumed.named(format!("{name}-source")),
            None => consumed,
        };
        let table = table_source::table(
            &self.stream_with(topic, consumed),
            store,
            needed,
            materialized,
            prefix::TABLE_SOURCE,
        );
        match processor_name {
            Some(name) => table.named(&name),
            None => table,
        }
    }

    /// Adds a store for processors of [`KStream::process`] to use.
    pub fn add_store(&self, store: impl StoreBuilder + 'static) {
        // No processor: the store is part of the topology where a processor names it.
        self.plan.borrow_mut().add_store(store);
    }

    /// Checks and finishes the topology. The builder's handles must not be used any more.
    ///
    /// # Errors
    /// [`StreamsError::Topology`] with all that is wrong.
    pub fn build(self) -> Result<Topology> {
        let plan: Plan = self.plan.take();
        if plan.is_empty() {
            return Err(StreamsError::Topology(
                "there is no source: nothing would ever be processed".to_owned(),
            ));
        }
        plan.lower()
    }
}
