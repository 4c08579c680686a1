//! `GlobalKTable`: a table that every instance has whole, and the joins of streams with it.
//! Follows Kafka's `GlobalKTable` and `KStreamGlobalKTableJoin`.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::Record;
use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::processor::BoxError;
use streams_core::serde::{DefaultSerde, NullableSerde, Serde};
use streams_core::store::{GlobalProcessor, GlobalStoreBuilder, GlobalStoreWriter};
use streams_core::topology::{SourceOptions, TopologyBuilder, Wiring};

use crate::builder::of_values;
use crate::lower::{Lower, Lowered, operator_of};
use crate::names::prefix;
use crate::operators::Tried;
use crate::operators::global_table_join::{GlobalTableJoin, Join, Select};
use crate::options::{Consumed, Joined, Materialized};
use crate::plan::{Kind, PlanId, PlanNode, SharedPlan};
use crate::{Data, KStream, StreamsBuilder, Terminal};

/// A table that every instance has whole (Kafka's `GlobalKTable`): each reads all partitions of its topic.
///
/// It is filled before the application processes its first record, and from then on is not in step with it: a join finds
/// what has been read of the topic by then. It can be joined by any key, and its topic may have any number of partitions. Only
/// streams can be joined with it. A cheap handle: clones are the same table.
pub struct GlobalKTable<K, V> {
    plan: SharedPlan,
    node: PlanId,
    store: String,
    key_serde: Arc<dyn Serde<K>>,
    types: std::marker::PhantomData<fn() -> V>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            node: self.node,
            store: self.store.clone(),
            key_serde: Arc::clone(&self.key_serde),
            types: std::marker::PhantomData,
        }
    }
}

impl<K, V> std::fmt::Debug for GlobalKTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalKTable")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<K, V> GlobalKTable<K, V> {
    /// Names the table's processor, instead of a generated name. Its store is named by [`Materialized`].
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.global_table::<i64, String>("cities", Materialized::named("by-number")).named("cities");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Source: cities-source (topics: [cities])"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("cities").pipe(7_i64, "London".to_string())?;
    /// let store = driver.global_store::<i64, String>("by-number")?;
    /// assert_eq!(store.get(&7).unwrap().unwrap().value, "London");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.plan.borrow_mut().rename(self.node, name);
        self
    }

    /// Name of the store the table is kept in. Every processor can read it, by
    /// [`global_store`](streams_core::processor::ProcessorInit::global_store).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<i64, String>("cities", Materialized::default());
    /// assert_eq!(cities.store_name(), "cities-STATE-STORE-0000000000");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("cities").pipe(7_i64, "London".to_string())?;
    /// let store = driver.global_store::<i64, String>(cities.store_name())?;
    /// assert_eq!(store.get(&7).unwrap().unwrap().value, "London");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn store_name(&self) -> &str {
        &self.store
    }
}

/// Global tables and stores.
impl StreamsBuilder {
    /// A topic as a table that every instance has whole, with the types' default serdes.
    ///
    /// Each record sets the value of its key, a null deletes it; a null key is dropped and counted. The topic is the changelog:
    /// a restart goes on where the store is. The topic cannot be read by a stream or table beside it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<i64, String>("cities", Materialized::default());
    /// let people = builder.stream::<String, i64>("people");
    /// people.join_global(&cities, |_, city| *city, |_, city| city.clone()).to("homes");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("cities").pipe(7_i64, "London".to_string())?;
    /// driver.input("people").pipe("Ada".to_string(), 7_i64)?;
    /// let homes = driver.output::<String, String>("homes").read_key_values();
    /// assert_eq!(homes, [("Ada".into(), "London".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn global_table<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        &self,
        topic: &str,
        materialized: Materialized<V>,
    ) -> GlobalKTable<K, V> {
        self.global_table_with(topic, Consumed::default(), materialized)
    }

    /// A topic as a table that every instance has whole, read as `consumed` says. Of `materialized`, the name, the kind and the
    /// serde count; there is no changelog to configure, and a global table cannot be versioned.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let consumed = Consumed::<i64, String>::default();
    /// builder.global_table_with("cities", consumed, Materialized::named("by-number"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("cities").pipe(7_i64, "London".to_string())?;
    /// let store = driver.global_store::<i64, String>("by-number")?;
    /// assert_eq!(store.get(&7).unwrap().unwrap().value, "London");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn global_table_with<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<V>,
    ) -> GlobalKTable<K, V> {
        let key_serde = consumed.key_serde.resolve(None);
        let value_serde = consumed.value_serde.resolve(None);
        let stored_serde = materialized.value_serde.resolve(Some(&value_serde));
        let mut options = SourceOptions::<K, Option<V>>::new(
            Arc::clone(&key_serde),
            Arc::new(NullableSerde::new(value_serde)),
        );
        options.timestamp_extractor = consumed.timestamp_extractor.map(of_values);
        let store = {
            let mut plan = self.plan.borrow_mut();
            if materialized.history_ms.is_some() {
                let problem = format!("global table of {topic}: a global table cannot be versioned");
                plan.problems.push(problem);
            }
            let names = &mut plan.names;
            names.store_or(materialized.name.as_deref(), &format!("{topic}-"))
        };
        let mut builder = GlobalStoreBuilder::with_serdes(&store, Arc::clone(&key_serde), stored_serde);
        if let Some(kind) = materialized.settings.kind {
            builder = builder.kind(kind);
        }
        let update = |record: Record<K, Option<V>>, store: &mut GlobalStoreWriter<'_, K, V>| {
            store.put(&record.key, record.value.as_ref(), record.timestamp_ms)?;
            Ok(())
        };
        let node = self.add_global(topic, move |topology, source, processor| {
            topology.add_global_store(builder, source, processor, options, update);
        });
        GlobalKTable {
            plan: Rc::clone(&self.plan),
            node,
            store,
            key_serde,
            types: std::marker::PhantomData,
        }
    }

    /// Adds a store that every instance fills from all of a topic, by a function of the user's (Kafka's `addGlobalStore`).
    ///
    /// `update` turns each record into rows. It runs for all of the topic before the application processes its first record,
    /// and then as records come; a restart goes on where the store is. An error stops the application. Every
    /// processor can read the store, by [`global_store`](streams_core::processor::ProcessorInit::global_store). What is returned can
    /// [name](Terminal::named) the processor.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::store::GlobalStoreBuilder;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.add_global_store(
    ///     GlobalStoreBuilder::<String, i64>::new("largest"),
    ///     "amounts",
    ///     Consumed::<String, i64>::default(),
    ///     |record, store| {
    ///         let known = store.get(&record.key)?.map_or(i64::MIN, |row| row.value);
    ///         Ok(store.put(&record.key, Some(&known.max(record.value)), record.timestamp_ms)?)
    ///     },
    /// );
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for amount in [3_i64, 9, 4] {
    ///     driver.input("amounts").pipe("tea".to_string(), amount)?;
    /// }
    /// let largest = driver.global_store::<String, i64>("largest")?;
    /// assert_eq!(largest.get(&"tea".into()).unwrap().unwrap().value, 9);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    ///
    /// The store may be one of [windows](GlobalStoreBuilder::windows) or [sessions](GlobalStoreBuilder::sessions), and what fills it
    /// may have a name:
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::store::{GlobalStoreBuilder, WindowStart};
    ///
    /// let builder = StreamsBuilder::new();
    /// let keep = builder.add_global_store(
    ///     GlobalStoreBuilder::<String, i64>::new("shifts").windows(7 * 24 * 3_600_000).kind(StoreKind::InMemory),
    ///     "workers",
    ///     Consumed::<String, i64>::default(),
    ///     |record, store| {
    ///         let start_ms = record.timestamp_ms / 28_800_000 * 28_800_000;
    ///         let shift = WindowStart { key: record.key, start_ms };
    ///         Ok(store.put(&shift, Some(&record.value), record.timestamp_ms)?)
    ///     },
    /// );
    /// keep.named("keep-shifts");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Source: keep-shifts-source (topics: [workers])"));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn add_global_store<KI: Data, VI: Data, K: Data, V: Data>(
        &self,
        store: GlobalStoreBuilder<K, V>,
        topic: &str,
        consumed: Consumed<KI, VI>,
        update: impl Fn(Record<KI, VI>, &mut GlobalStoreWriter<'_, K, V>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) -> Terminal {
        let options = global_options(consumed);
        let node = self.add_global(topic, move |builder, source, processor| {
            builder.add_global_store(store, source, processor, options, update);
        });
        Terminal::new(&self.plan, node)
    }

    /// As [`add_global_store`](Self::add_global_store), with a processor, which may have a state of its own: `supplier` makes one
    /// when an instance of the application starts. What is restored goes through it too: see [`GlobalProcessor`].
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::processor::BoxError;
    /// use streams_dsl::store::{GlobalProcessor, GlobalStoreBuilder, GlobalStoreWriter};
    ///
    /// /// Takes prices from one clock: what is older than the last record it took is of another.
    /// #[derive(Default)]
    /// struct InOrder { last_ms: i64 }
    ///
    /// impl GlobalProcessor<String, i64, String, i64> for InOrder {
    ///     fn process(
    ///         &mut self,
    ///         price: Record<String, i64>,
    ///         store: &mut GlobalStoreWriter<'_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         if price.timestamp_ms < self.last_ms {
    ///             store.count_dropped(DropReason::OutOfOrder);
    ///             return Ok(());
    ///         }
    ///         self.last_ms = price.timestamp_ms;
    ///         Ok(store.put(&price.key, Some(&price.value), price.timestamp_ms)?)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = GlobalStoreBuilder::<String, i64>::new("prices");
    /// builder.add_global_store_processor(prices, "prices", Consumed::<String, i64>::default(), InOrder::default);
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (price, at_ms) in [(3_i64, 2_000), (4, 1_000)] {
    ///     driver.input("prices").pipe_at("tea".to_string(), price, at_ms)?;
    /// }
    /// let prices = driver.global_store::<String, i64>("prices")?;
    /// assert_eq!(prices.get(&"tea".into()).unwrap().unwrap().value, 3);
    /// assert_eq!(driver.dropped(DropReason::OutOfOrder), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn add_global_store_processor<
        KI: Data,
        VI: Data,
        K: Data,
        V: Data,
        P: GlobalProcessor<KI, VI, K, V>,
    >(
        &self,
        store: GlobalStoreBuilder<K, V>,
        topic: &str,
        consumed: Consumed<KI, VI>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) -> Terminal {
        let options = global_options(consumed);
        let node = self.add_global(topic, move |builder, source, processor| {
            builder.add_global_store_processor(store, source, processor, options, supplier);
        });
        Terminal::new(&self.plan, node)
    }

    /// Adds the two nodes of a global store. `add` gets the names of the source and its topic, and of the processor.
    fn add_global(
        &self,
        topic: &str,
        add: impl FnOnce(&mut TopologyBuilder, (&str, &str), &str) + 'static,
    ) -> PlanId {
        let topic = topic.to_owned();
        let lower = Lower::nodes(move |lowering| {
            let Kind::GlobalSource { source_name } = &lowering.node.kind else {
                unreachable!("made as a global source, and kinds do not change");
            };
            let source = (source_name.as_str(), topic.as_str());
            let builder = &mut *lowering.builder;
            add(builder, source, &lowering.node.name);
            Lowered::default()
        });
        let mut plan = self.plan.borrow_mut();
        let source_name = plan.names.processor(prefix::SOURCE);
        let name = plan.names.processor(prefix::TABLE_SOURCE);
        let mut node = PlanNode::new(name, Vec::new(), lower);
        node.kind = Kind::GlobalSource { source_name };
        plan.add(node)
    }
}

/// How the topic of a global store is read.
fn global_options<K: Data, V: Data>(consumed: Consumed<K, V>) -> SourceOptions<K, V> {
    let mut options = SourceOptions::new(
        consumed.key_serde.resolve(None),
        consumed.value_serde.resolve(None),
    );
    options.timestamp_extractor = consumed.timestamp_extractor;
    options
}

/// Joins with a global table.
///
/// The stream drives: an update of the table sends nothing. `select` says which row a record is joined with; records keep
/// their own key, and are not repartitioned. The result has the record's timestamp. Null values are dropped and counted.
impl<K: Data, V: Data> KStream<K, V> {
    /// Each record with the row that `select` chooses; dropped if there is none. `select` gives a key, or an `Option` of
    /// one: where it gives none, the record is dropped and counted.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    /// let orders = builder.stream::<i64, String>("orders");
    /// orders.join_global(&prices, |_, item| item.clone(), |_, price| *price).to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// for item in ["tea", "milk"] {
    ///     driver.input("orders").pipe(1_i64, item.to_string())?;
    /// }
    /// assert_eq!(driver.output::<i64, i64>("amounts").read_key_values(), [(1, 3)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_global<GK: Data, GV: Data, S: Into<Option<GK>>, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(V, &GV) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.join_global_with(table, select, joiner, Joined::default())
    }

    /// As [`join_global`](Self::join_global), with the stream's serdes and a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    /// let orders = builder.stream::<i64, String>("orders");
    /// orders.join_global_with(&prices, |_, item| item.clone(), |_, price| *price, Joined::named("price")).to("amounts");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: price"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// driver.input("orders").pipe(1_i64, "tea".to_string())?;
    /// assert_eq!(driver.output::<i64, i64>("amounts").read_key_values(), [(1, 3)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_global_with<GK: Data, GV: Data, S: Into<Option<GK>>, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(V, &GV) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let join = move |_: &K, _: Option<&GK>, value: V, row: Option<GV>| Some(Ok(joiner(value, &row?)));
        let select = move |key: &K, value: &V| Ok(select(key, value).into());
        self.joined_globally(table, select, join, joined, false)
    }

    /// Each record with the row that `select` chooses, or with none, if there is none or it chooses none.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    /// let orders = builder.stream::<i64, String>("orders");
    /// let priced = orders.left_join_global(&prices, |_, item| item.clone(), |_, price| price.copied().unwrap_or(-1));
    /// priced.to("amounts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(1_i64, "milk".to_string())?;
    /// assert_eq!(driver.output::<i64, i64>("amounts").read_key_values(), [(1, -1)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_global<GK: Data, GV: Data, S: Into<Option<GK>>, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(V, Option<&GV>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.left_join_global_with(table, select, joiner, Joined::default())
    }

    /// As [`left_join_global`](Self::left_join_global), with the stream's serdes and a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    /// let orders = builder.stream::<i64, String>("orders");
    /// let is_priced = |_: String, price: Option<&i64>| price.is_some();
    /// orders.left_join_global_with(&prices, |_, item| item.clone(), is_priced, Joined::named("priced")).to("priced");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(1_i64, "tea".to_string())?;
    /// assert_eq!(driver.output::<i64, bool>("priced").read_key_values(), [(1, false)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_global_with<GK: Data, GV: Data, S: Into<Option<GK>>, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(V, Option<&GV>) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let join =
            move |_: &K, _: Option<&GK>, value: V, row: Option<GV>| Some(Ok(joiner(value, row.as_ref())));
        let select = move |key: &K, value: &V| Ok(select(key, value).into());
        self.joined_globally(table, select, join, joined, true)
    }

    pub(crate) fn joined_globally<GK: Data, GV: Data, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> Tried<Option<GK>> + Send + Sync + 'static,
        join: impl Fn(&K, Option<&GK>, V, Option<GV>) -> Option<Tried<R>> + Send + Sync + 'static,
        joined: Joined<K, V>,
        left: bool,
    ) -> KStream<K, R> {
        self.same_builder(&table.plan, "join");
        let select: Select<K, V, GK> = Arc::new(select);
        let join: Join<K, V, GK, GV, R> =
            Arc::new(move |key: &K, chosen: Option<&GK>, value: V, row: Option<GV>| {
                join(key, chosen, value, row).transpose()
            });
        let key_serde = joined.key_serde.resolve(self.key_serde.as_ref());
        let value_serde = joined.value_serde.resolve(self.value_serde.as_ref());
        let (store, table_key_serde) = (table.store.clone(), Arc::clone(&table.key_serde));
        let lower = operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, R>| {
                Ok(Box::new(GlobalTableJoin {
                    node: node.clone(),
                    select: Arc::clone(&select),
                    join: Arc::clone(&join),
                    left,
                    value_serde: Arc::clone(&value_serde),
                    table_key_serde: Arc::clone(&table_key_serde),
                    table: wiring.global_store::<GK, GV>(&store)?,
                    next,
                }) as Edge<K, V>)
            }
        });
        let mut plan = self.plan.borrow_mut();
        // Kafka's prefix is this one for inner joins too.
        let name = plan.names.processor_or(joined.name.as_deref(), prefix::LEFT_JOIN);
        let mut node = PlanNode::new(name, vec![self.node], lower);
        node.takes_null_keys = left;
        let node = plan.add(node);
        KStream::new(Rc::clone(&self.plan), node, Some(key_serde), None)
    }
}
