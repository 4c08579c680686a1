//! The part of [`KStream`] that brings equal keys together: grouping, repartitions, tables.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};

use super::KStream;
use crate::lower::table_operator_of;
use crate::names::prefix;
use crate::operators::Tried;
use crate::options::{Grouped, Materialized, Repartitioned};
use crate::plan::PlanNode;
use crate::repartition::{self, Partitioning, Serdes};
use crate::{Data, KGroupedStream, KTable, builder, stores, view};

/// Grouping, tables, and repartitions.
impl<K: Data, V: Data> KStream<K, V> {
    /// Groups the stream by its key, to be aggregated. Repartitions if the key may have changed.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sums = builder.stream::<String, i64>("in").group_by_key().reduce(|a, b| a + b, Materialized::default());
    /// sums.to_stream().to("sums");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [1_i64, 2] {
    ///     driver.input("in").pipe("a".to_string(), n)?;
    /// }
    /// let sums = driver.output::<String, i64>("sums").read_key_values();
    /// assert_eq!(sums, [("a".into(), 1), ("a".into(), 3)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_key(&self) -> KGroupedStream<K, V>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.group_by_key_with(Grouped::default())
    }

    /// Groups the stream by its key as `grouped` says.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_length = builder.stream::<i64, String>("words").map(|_, word| (word.len() as i64, word));
    /// by_length.group_by_key_with(Grouped::named("by-length")).count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(0_i64, "be".to_string())?;
    /// assert_eq!(driver.written("app-by-length-repartition").len(), 1);
    /// let counts = driver.key_value_store::<i64, i64>("counts")?;
    /// assert_eq!(counts.get(&2).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        let serdes = Serdes {
            key: grouped.key_serde.resolve(self.key_serde.as_ref()),
            value: grouped.value_serde.resolve(self.value_serde.as_ref()),
        };
        KGroupedStream::new(Rc::clone(&self.plan), self.node, serdes, grouped.name)
    }

    /// Groups the stream by a new key, and so repartitions it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<Option<String>, String>("words");
    /// let counts = words.group_by(|_, word| word.len() as i64).count(Materialized::named("by-length"));
    /// counts.to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(None::<String>, "be".to_string())?;
    /// assert_eq!(driver.output::<i64, i64>("counts").read_key_values(), [(2, 1)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by<KO: Data + DefaultSerde>(
        &self,
        select: impl Fn(&K, &V) -> KO + Send + Sync + 'static,
    ) -> KGroupedStream<KO, V>
    where
        V: DefaultSerde,
    {
        self.group_by_with(select, Grouped::default())
    }

    /// Groups the stream by a new key as `grouped` says.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<Option<String>, String>("words");
    /// let by_length = words.group_by_with(|_, word| word.len() as i64, Grouped::named("by-length"));
    /// by_length.count(Materialized::named("counts"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for word in ["to", "be"] {
    ///     driver.input("words").pipe(None::<String>, word.to_string())?;
    /// }
    /// assert_eq!(driver.written("app-by-length-repartition").len(), 2);
    /// let counts = driver.key_value_store::<i64, i64>("counts")?;
    /// assert_eq!(counts.get(&2).unwrap().unwrap().value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_with<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> KO + Send + Sync + 'static,
        grouped: Grouped<KO, V>,
    ) -> KGroupedStream<KO, V> {
        self.grouped_by(move |key, value| Ok(select(key, value)), grouped)
    }

    pub(crate) fn grouped_by<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> Tried<KO> + Send + Sync + 'static,
        grouped: Grouped<KO, V>,
    ) -> KGroupedStream<KO, V> {
        let node = self.select(select);
        if let Some(name) = &grouped.name {
            self.plan.borrow_mut().rename(node, name);
        }
        let serdes = Serdes {
            key: grouped.key_serde.resolve(None),
            value: grouped.value_serde.resolve(self.value_serde.as_ref()),
        };
        KGroupedStream::new(Rc::clone(&self.plan), node, serdes, grouped.name)
    }

    /// Sends the stream through a topic of its own, partitioned by key, whether or not that is needed. Null keys are
    /// dropped.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").repartition(Repartitioned::named("wide").partitions(12)).to("out");
    /// let topology = builder.build()?;
    /// assert_eq!(topology.subtopologies().len(), 2);
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-wide-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> KStream<K, V> {
        let serdes = Serdes {
            key: repartitioned.key_serde.resolve(self.key_serde.as_ref()),
            value: repartitioned.value_serde.resolve(self.value_serde.as_ref()),
        };
        let mut plan = self.plan.borrow_mut();
        let prefix = match repartitioned.name {
            Some(name) => name,
            None => plan.names.processor(prefix::REPARTITION),
        };
        let names = plan.names.repartition(&prefix);
        let partitioning = Partitioning {
            partitions: repartitioned.partitions,
            partitioner: repartitioned.partitioner,
        };
        let node = repartition::add(&mut plan, self.node, names, serdes.clone(), partitioning);
        KStream::new(Rc::clone(&self.plan), node, Some(serdes.key), Some(serdes.value))
    }

    /// The stream as a table: each record sets the value of its key, a null deletes it. Repartitions if the key may have
    /// changed. Null keys are dropped and counted.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let latest = builder.stream::<String, i64>("in").to_table(Materialized::named("latest"));
    /// latest.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_table(&self, materialized: Materialized<V>) -> KTable<K, V>
    where
        K: DefaultSerde,
    {
        let key_serde = self.key_serde.clone().unwrap_or_else(K::default_serde);
        self.to_table_with(key_serde, materialized)
    }

    /// As [`to_table`](Self::to_table), with this serde for the keys: those of the store, and of all that is made of the table.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Seat { row: u32 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_seat = builder.stream::<i64, String>("guests").map(|row, name| (Seat { row: row as u32 }, name));
    /// let guests = by_seat.to_table_with(Arc::new(JsonSerde), Materialized::named("guests"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("guests").pipe(7_i64, "Ada".to_string())?;
    /// let row = driver.key_value_store::<Seat, String>("guests")?.get(&Seat { row: 7 }).unwrap().unwrap();
    /// assert_eq!(row.value, "Ada");
    /// assert_eq!(driver.written("app-guests-changelog")[0].key.as_deref(), Some(&br#"{"row":7}"#[..]));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_table_with(&self, key_serde: Arc<dyn Serde<K>>, materialized: Materialized<V>) -> KTable<K, V> {
        let serdes = Serdes {
            key: key_serde,
            value: materialized
                .value_serde
                .clone()
                .resolve(self.value_serde.as_ref()),
        };
        let mut plan = self.plan.borrow_mut();
        let named = materialized.name.is_some();
        let name = plan.names.processor(prefix::TO_TABLE);
        let store = plan
            .names
            .store_or(materialized.name.as_deref(), prefix::TO_TABLE);
        let parent = if plan.repartition_required(self.node) {
            repartition::shared(&mut plan, self.node, &name, serdes.clone())
        } else {
            self.node
        };
        let (is_versioned, cache) = stores::add_table(&mut plan, materialized, (&name, &store), &serdes);
        let (key_serde, value_serde) = (Arc::clone(&serdes.key), Arc::clone(&serdes.value));
        let store_name = store.clone();
        let lower = table_operator_of(cache, move |node| {
            let value = move |value: V| (!value_serde.is_null(&value)).then_some(value);
            builder::table_source(node, key_serde, (store_name, is_versioned), Arc::new(value))
        });
        let mut node = PlanNode::new(name, vec![parent], lower);
        node.keeps_table(&store, named, is_versioned);
        let node = plan.add(node);
        KTable::new(
            Rc::clone(&self.plan),
            node,
            serdes.key,
            Some(serdes.value),
            view::of_table(&store, is_versioned),
        )
    }
}
