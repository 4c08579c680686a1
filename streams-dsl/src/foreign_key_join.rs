//! Joins of a table with another by a key that is part of its value.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::{DefaultSerde, NullableSerde, Serde};
use streams_core::topology::{SinkOptions, SinkSupplier, SourceOptions, SourceSupplier, TopicName, Wiring};

use crate::foreign_key_serde::{
    CombinedKeySerde, KeyTopics, Response, ResponseSerde, Subscription, SubscriptionSerde,
};
use crate::lower::{Lower, Lowered, operator_of, table_operator_of};
use crate::names::prefix;
use crate::operators::foreign_key_join::{
    Extract, ForeignTableJoin, HashedBy, ResponseJoin, SubscriptionJoin, SubscriptionReceive,
    SubscriptionSend,
};
use crate::operators::table_join::Join;
use crate::options::{Materialized, SerdeOf};
use crate::plan::{KeyEffect, Kind, Plan, PlanId, PlanNode};
use crate::repartition::Serdes;
use crate::stores::{self, StoreSettings};
use crate::table::not_null;
use crate::view::{self, OpenView};
use crate::{Change, Data, KTable, builder};

/// Chooses a partition from a key and the number of partitions.
type KeyPartitioner<K> = Arc<dyn Fn(&K, u32) -> i32 + Send + Sync>;

/// How tables are joined by a foreign key: serdes of both values, partitioners of both keys, and a name (Kafka's
/// `TableJoined`). `K` and `V` are key and value of this table, `F` and `W` those of the other.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.table::<i64, String>("orders", Materialized::default());
/// let customers = builder.table::<String, String>("customers", Materialized::default());
/// let joined = TableJoined::named("owners");
/// let owners = orders.join_foreign_key_with(
///     &customers,
///     |_, customer| Some(customer.clone()),
///     |_, name| name.clone(),
///     joined,
///     Materialized::named("owners"),
/// );
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
/// driver.input("orders").pipe(7_i64, "c1".to_string())?;
/// assert_eq!(driver.written("app-owners-subscription-registration-topic").len(), 1);
/// let row = driver.key_value_store::<i64, String>("owners")?.get(&7).unwrap().unwrap();
/// assert_eq!(row.value, "Ada");
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct TableJoined<K, V, F, W> {
    value_serde: SerdeOf<V>,
    other_value_serde: SerdeOf<W>,
    partitioner: Option<KeyPartitioner<K>>,
    other_partitioner: Option<KeyPartitioner<F>>,
    name: Option<String>,
}

impl<K, V: DefaultSerde, F, W: DefaultSerde> Default for TableJoined<K, V, F, W> {
    fn default() -> Self {
        Self::of(SerdeOf::carried(), SerdeOf::carried())
    }
}

impl<K, V: DefaultSerde, F, W: DefaultSerde> TableJoined<K, V, F, W> {
    /// With this name, which names processors, topics and the store of subscriptions, and the serdes of the tables or types.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let joined = TableJoined::named("owners");
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(7_i64, "c1".to_string())?;
    /// assert_eq!(driver.written("app-owners-subscription-registration-topic").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().with_name(name)
    }
}

impl<K, V, F, W> TableJoined<K, V, F, W> {
    fn of(value_serde: SerdeOf<V>, other_value_serde: SerdeOf<W>) -> Self {
        Self {
            value_serde,
            other_value_serde,
            partitioner: None,
            other_partitioner: None,
            name: None,
        }
    }

    /// With these serdes of this table's and the other's values; the types then need no default ones.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { customer: String }
    ///
    /// let builder = StreamsBuilder::new();
    /// let read = Consumed::with(i64::default_serde(), Arc::new(JsonSerde));
    /// let orders = builder.table_with("orders", read, Materialized::with(Arc::new(JsonSerde)));
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let joined = TableJoined::with(Arc::new(JsonSerde), String::default_serde());
    /// let customer = |_: &i64, order: &Order| Some(order.customer.clone());
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("owners");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
    /// driver.input("orders").pipe(7_i64, r#"{"customer":"c1"}"#.to_string())?;
    /// assert_eq!(driver.output::<i64, String>("owners").read_key_values(), [(7, "Ada".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with(value_serde: Arc<dyn Serde<V>>, other_value_serde: Arc<dyn Serde<W>>) -> Self {
        Self::of(SerdeOf::Given(value_serde), SerdeOf::Given(other_value_serde))
    }

    /// Sets the name of processors, topics and the store of subscriptions. Default: generated names.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let joined = TableJoined::with(String::default_serde(), String::default_serde()).with_name("owners");
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("stores: [owners-subscription-store]"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("orders").pipe(7_i64, "c1".to_string())?;
    /// assert_eq!(driver.written("app-owners-subscription-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Chooses the partition of answers from this table's key and the number of partitions. Default: the one that the row came
    /// from, which is right however the topic of this table was partitioned.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// // As whoever writes the orders chooses it.
    /// let joined = TableJoined::named("owners").partitioner(|order: &i64, n| (*order % i64::from(n)) as i32);
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("owners");
    /// let options = TestDriverOptions::default().partitions("orders", 2).partitions("customers", 2);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
    /// driver.on_partition(1).input("orders").pipe(7_i64, "c1".to_string())?;
    /// let answers = driver.on_partition(1).written("app-owners-subscription-response-topic");
    /// assert_eq!(answers.len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl Fn(&K, u32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Chooses the partition to ask in, from the other table's key and the number of partitions: as the topic of the other table
    /// is partitioned. Default: Kafka's hash of the key's bytes.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let joined = TableJoined::named("owners").other_partitioner(|customer: &String, _| i32::from(customer.as_str() > "c5"));
    /// let customer = |_: &i64, customer: &String| Some(customer.clone());
    /// let owners = orders.join_foreign_key_with(&customers, customer, |_, name| name.clone(), joined, Materialized::default());
    /// owners.to_stream().to("owners");
    /// let options = TestDriverOptions::default().partitions("orders", 2).partitions("customers", 2);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// for (partition, customer) in [(0, "c1"), (1, "c9")] {
    ///     driver.on_partition(partition).input("customers").pipe(customer.to_string(), customer.to_uppercase())?;
    ///     driver.input("orders").pipe(i64::from(partition), customer.to_string())?;
    /// }
    /// let owners = driver.output::<i64, String>("owners").read_key_values();
    /// assert_eq!(owners, [(0, "C1".into()), (1, "C9".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn other_partitioner(mut self, partitioner: impl Fn(&F, u32) -> i32 + Send + Sync + 'static) -> Self {
        self.other_partitioner = Some(Arc::new(partitioner));
        self
    }
}

impl<K, V, F, W> std::fmt::Debug for TableJoined<K, V, F, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableJoined")
            .field("value_serde", &self.value_serde)
            .field("other_value_serde", &self.other_value_serde)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Joins by a foreign key. Each row is joined with the row of the other table that `foreign_key` of it names: many rows may name
/// one. A result changes when either row does; its timestamp is the later one's.
///
/// Rows travel over two internal topics, to the partition of their foreign key and back, so that a result comes a little later
/// than what it is made of; one that is overtaken by a newer row is dropped and counted. The tables need not be partitioned alike.
impl<K: Data, V: Data> KTable<K, V> {
    /// The rows whose foreign key has a row. A row without a foreign key has no result, and is counted.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, order: &String| order.split(':').next().map(str::to_owned);
    /// let named = orders.join_foreign_key(&customers, customer, |order, name| format!("{order} for {name}"));
    /// named.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(1_i64, "c1:tea".to_string())?;
    /// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
    /// let out = driver.output::<i64, String>("out").read_key_values();
    /// assert_eq!(out, [(1, "c1:tea for Ada".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_foreign_key<F: Data, W: Data + DefaultSerde, R: Data + DefaultSerde>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
    ) -> KTable<K, R>
    where
        V: DefaultSerde,
    {
        self.join_foreign_key_with(
            other,
            foreign_key,
            joiner,
            TableJoined::default(),
            Materialized::default(),
        )
    }

    /// As [`join_foreign_key`](Self::join_foreign_key), with serdes and a name, in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, order: &String| order.split(':').next().map(str::to_owned);
    /// orders.join_foreign_key_with(
    ///     &customers,
    ///     customer,
    ///     |order, name| format!("{order} for {name}"),
    ///     TableJoined::default(),
    ///     Materialized::named("named-orders"),
    /// );
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("customers").pipe("c1".to_string(), "Ada".to_string())?;
    /// driver.input("orders").pipe(1_i64, "c1:tea".to_string())?;
    /// let store = driver.key_value_store::<i64, String>("named-orders")?;
    /// assert_eq!(store.get(&1).unwrap().unwrap().value, "c1:tea for Ada");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_foreign_key_with<F: Data, W: Data, R: Data>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
        joined: TableJoined<K, V, F, W>,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&W>| Some(joiner(left?, right?));
        self.joined_by_key(other, Arc::new(foreign_key), joiner, false, joined, materialized)
    }

    /// All rows, each with the row of its foreign key if there is one.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, order: &String| order.split(':').next().map(str::to_owned);
    /// let named = orders.left_join_foreign_key(&customers, customer, |order, name| {
    ///     format!("{order} for {}", name.map_or("somebody", String::as_str))
    /// });
    /// named.to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(1_i64, "c1:tea".to_string())?;
    /// let out = driver.output::<i64, String>("out").read_key_values();
    /// assert_eq!(out, [(1, "c1:tea for somebody".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_foreign_key<F: Data, W: Data + DefaultSerde, R: Data + DefaultSerde>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R>
    where
        V: DefaultSerde,
    {
        self.left_join_foreign_key_with(
            other,
            foreign_key,
            joiner,
            TableJoined::default(),
            Materialized::default(),
        )
    }

    /// As [`left_join_foreign_key`](Self::left_join_foreign_key), with serdes and a name, in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let customers = builder.table::<String, String>("customers", Materialized::default());
    /// let customer = |_: &i64, order: &String| order.split(':').next().map(str::to_owned);
    /// orders.left_join_foreign_key_with(
    ///     &customers,
    ///     customer,
    ///     |_, name| name.is_some(),
    ///     TableJoined::default(),
    ///     Materialized::named("is-known"),
    /// );
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(1_i64, "c1:tea".to_string())?;
    /// let store = driver.key_value_store::<i64, bool>("is-known")?;
    /// assert!(!store.get(&1).unwrap().unwrap().value);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_foreign_key_with<F: Data, W: Data, R: Data>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
        joined: TableJoined<K, V, F, W>,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&W>| Some(joiner(left?, right));
        self.joined_by_key(other, Arc::new(foreign_key), joiner, true, joined, materialized)
    }

    fn joined_by_key<F: Data, W: Data, R: Data>(
        &self,
        other: &KTable<F, W>,
        extract: Extract<K, V, F>,
        join: impl Fn(Option<&V>, Option<&W>) -> Option<R> + Send + Sync + 'static,
        is_left: bool,
        joined: TableJoined<K, V, F, W>,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let mut plan = self.plan.borrow_mut();
        let right = if Rc::ptr_eq(&self.plan, &other.plan) {
            other.node
        } else {
            plan.problems
                .push("a table cannot be joined with one of another builder".to_owned());
            self.node
        };
        plan.enable_old_values(right, true);
        plan.enable_old_values(self.node, true);
        let names = JoinNames::new(&mut plan, joined.name.as_deref());
        let parts = Parts {
            is_left,
            extract,
            left: Serdes {
                key: Arc::clone(&self.key_serde),
                value: joined.value_serde.resolve(self.value_serde.as_ref()),
            },
            right: Serdes {
                key: Arc::clone(&other.key_serde),
                value: joined.other_value_serde.resolve(other.value_serde.as_ref()),
            },
            left_view: Arc::clone(&self.view),
            right_view: Arc::clone(&other.view),
            left_partitioner: joined.partitioner,
            right_partitioner: joined.other_partitioner,
            names,
        };
        let responses = parts.add(&mut plan, self.node, right);
        let resolver = parts.add_resolver(&mut plan, responses, self.node, Arc::new(join));
        parts.add_result(&mut plan, &self.plan, resolver, materialized)
    }
}

struct JoinNames {
    registration_topic: String,
    send: String,
    registration_sink: String,
    registration_source: String,
    store: String,
    receive: String,
    join_foreign: String,
    foreign_join: String,
    response_topic: String,
    response_sink: String,
    response_source: String,
    resolver: String,
    result: String,
}

impl JoinNames {
    fn new(plan: &mut Plan, name: Option<&str>) -> Self {
        let mut next = |suffix: &str, prefix: &str| {
            let given = name.map(|name| format!("{name}{suffix}"));
            plan.names.processor_or(given.as_deref(), prefix)
        };
        Self {
            registration_topic: next("-subscription-registration", prefix::FK_REGISTRATION) + "-topic",
            send: next("-subscription-registration-processor", prefix::FK_REGISTRATION),
            registration_sink: next("-subscription-registration-sink", prefix::TABLE_SINK),
            registration_source: next("-subscription-registration-source", prefix::TABLE_SOURCE),
            store: next("-subscription-store", prefix::FK_STORE),
            receive: next("-subscription-receive", prefix::FK_PROCESSOR),
            join_foreign: next("-subscription-join-foreign", prefix::FK_PROCESSOR),
            foreign_join: next("-foreign-join-subscription", prefix::FK_PROCESSOR),
            response_topic: next("-subscription-response", prefix::FK_RESPONSE) + "-topic",
            response_sink: next("-subscription-response-sink", prefix::TABLE_SINK),
            response_source: next("-subscription-response-source", prefix::TABLE_SOURCE),
            resolver: next("-subscription-response-resolver", prefix::FK_RESOLVER),
            result: next("-result", prefix::FK_OUTPUT),
        }
    }

    fn key_topics(&self) -> KeyTopics {
        KeyTopics::new(&self.registration_topic, &self.store)
    }
}

struct Parts<K, V, F, W> {
    is_left: bool,
    extract: Extract<K, V, F>,
    left: Serdes<K, V>,
    right: Serdes<F, W>,
    left_view: OpenView<K, V>,
    right_view: OpenView<F, W>,
    left_partitioner: Option<KeyPartitioner<K>>,
    right_partitioner: Option<KeyPartitioner<F>>,
    names: JoinNames,
}

impl<K: Data, V: Data, F: Data, W: Data> Parts<K, V, F, W> {
    /// Everything up to the topic of responses.
    fn add(&self, plan: &mut Plan, left: PlanId, right: PlanId) -> PlanId {
        let names = &self.names;
        let send = plan.add(PlanNode::new(names.send.clone(), vec![left], self.send()));
        let registration = exchange(plan, &names.registration_source, vec![send], self.registration());
        plan.copartition(registration, right);

        let keys = self.combined_keys();
        let serdes = Serdes {
            key: Arc::new(keys) as Arc<dyn Serde<_>>,
            value: self.subscriptions(),
        };
        let stored = stores::rows(&names.store, &serdes, StoreSettings::default());
        plan.stores.push(stored);
        let mut receive = PlanNode::new(names.receive.clone(), vec![registration], self.receive());
        receive.stores.push(names.store.clone());
        let receive = plan.add(receive);
        let mut join_foreign = PlanNode::new(names.join_foreign.clone(), vec![receive], self.join_foreign());
        join_foreign.joined = Some(right);
        join_foreign.stores = plan.look_up(right);
        let join_foreign = plan.add(join_foreign);
        let mut foreign_join = PlanNode::new(names.foreign_join.clone(), vec![right], self.foreign_join());
        foreign_join.stores.push(names.store.clone());
        let foreign_join = plan.add(foreign_join);
        let responses = exchange(
            plan,
            &names.response_source,
            vec![join_foreign, foreign_join],
            self.responses(),
        );
        plan.copartition(responses, left);
        responses
    }

    fn add_resolver<R: Data>(
        &self,
        plan: &mut Plan,
        responses: PlanId,
        left: PlanId,
        join: Join<V, W, R>,
    ) -> PlanId {
        let (view, value_serde) = (Arc::clone(&self.left_view), Arc::clone(&self.left.value));
        let topic = self.names.registration_topic.clone();
        let lower = operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, Option<R>>| {
                Ok(Box::new(ResponseJoin {
                    node: node.clone(),
                    left: view(wiring)?,
                    value: hashed_by(wiring, &value_serde, &topic, "vh"),
                    join: Arc::clone(&join),
                    next,
                }) as Edge<K, Response<W>>)
            }
        });
        let mut node = PlanNode::new(self.names.resolver.clone(), vec![responses], lower);
        node.joined = Some(left);
        node.stores = plan.look_up(left);
        plan.add(node)
    }

    fn add_result<R: Data>(
        &self,
        plan: &mut Plan,
        shared: &crate::plan::SharedPlan,
        resolver: PlanId,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let named = materialized.name.is_some();
        let store = plan
            .names
            .store_or(materialized.name.as_deref(), prefix::FK_OUTPUT);
        let rows = Serdes {
            key: Arc::clone(&self.left.key),
            value: materialized.value_serde.clone().resolve(None),
        };
        let is_there = not_null(Some(&materialized), None);
        let place = (self.names.result.as_str(), store.as_str());
        let (is_versioned, cache) = stores::add_table(plan, materialized, place, &rows);
        let (keys, store_name) = (Arc::clone(&rows.key), store.clone());
        let lower = table_operator_of(cache.filter(|_| named), move |node| {
            let value = Arc::new(move |value: Option<R>| value.filter(&is_there));
            builder::table_source(node, keys, (store_name, is_versioned), value)
        });
        let mut node = PlanNode::new(self.names.result.clone(), vec![resolver], lower);
        node.keeps_table(&store, named, is_versioned);
        let node = plan.add(node);
        KTable::new(
            Rc::clone(shared),
            node,
            rows.key,
            Some(rows.value),
            view::of_table(&store, is_versioned),
        )
    }

    fn combined_keys(&self) -> CombinedKeySerde<F, K> {
        CombinedKeySerde {
            foreign_key: Arc::clone(&self.right.key),
            primary_key: Arc::clone(&self.left.key),
            topics: self.names.key_topics(),
        }
    }

    fn subscriptions(&self) -> Arc<dyn Serde<Subscription<K>>> {
        Arc::new(SubscriptionSerde {
            primary_key: Arc::clone(&self.left.key),
            topics: self.names.key_topics(),
        })
    }

    fn send(&self) -> Lower {
        let (extract, is_left) = (Arc::clone(&self.extract), self.is_left);
        let (value_serde, foreign_key_serde) = (Arc::clone(&self.left.value), Arc::clone(&self.right.key));
        let topic = self.names.registration_topic.clone();
        operator_of(move |node| {
            let (node, uses_versions) = (node.name.clone(), node.uses_versions);
            move |wiring: &mut Wiring<'_>, next: Edge<Option<F>, Subscription<K>>| {
                Ok(Box::new(SubscriptionSend {
                    node: node.clone(),
                    extract: Arc::clone(&extract),
                    is_left,
                    uses_versions,
                    value: hashed_by(wiring, &value_serde, &topic, "vh"),
                    foreign_key: hashed_by(wiring, &foreign_key_serde, &topic, "fk"),
                    next,
                }) as Edge<K, Change<V>>)
            }
        })
    }

    fn registration(&self) -> Lower {
        let keys: Arc<dyn Serde<Option<F>>> = Arc::new(NullableSerde::new(Arc::clone(&self.right.key)));
        let values = self.subscriptions();
        let mut written = SinkOptions::new(Arc::clone(&keys), Arc::clone(&values));
        if let Some(partitioner) = self.right_partitioner.clone() {
            // Nothing is asked for without a foreign key: any partition will answer.
            written = written.partitioner(
                move |key: &Option<F>, subscription: &Subscription<K>, partitions| match key {
                    Some(key) => partitioner(key, partitions),
                    None => anywhere(subscription.primary_partition, partitions),
                },
            );
        }
        let (topic, sink) = (
            self.names.registration_topic.clone(),
            self.names.registration_sink.clone(),
        );
        write_and_read(topic, sink, written, SourceOptions::new(keys, values))
    }

    fn responses(&self) -> Lower {
        let keys = Arc::clone(&self.left.key);
        let values: Arc<dyn Serde<Response<W>>> = Arc::new(ResponseSerde(Arc::clone(&self.right.value)));
        let by_key = self.left_partitioner.clone();
        let written = SinkOptions::new(Arc::clone(&keys), Arc::clone(&values)).partitioner(
            move |key: &K, response: &Response<W>, partitions| match &by_key {
                Some(partitioner) => partitioner(key, partitions),
                None => response.primary_partition,
            },
        );
        let (topic, sink) = (
            self.names.response_topic.clone(),
            self.names.response_sink.clone(),
        );
        write_and_read(topic, sink, written, SourceOptions::new(keys, values))
    }

    fn receive(&self) -> Lower {
        let store = self.names.store.clone();
        operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<Option<F>, Subscription<K>>| {
                Ok(Box::new(SubscriptionReceive {
                    node: node.clone(),
                    store: wiring.key_value_store(&store)?,
                    next,
                }) as Edge<Option<F>, Subscription<K>>)
            }
        })
    }

    fn join_foreign(&self) -> Lower {
        let view = Arc::clone(&self.right_view);
        operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, Response<W>>| {
                Ok(Box::new(SubscriptionJoin {
                    node: node.clone(),
                    right: view(wiring)?,
                    next,
                }) as Edge<Option<F>, Subscription<K>>)
            }
        })
    }

    fn foreign_join(&self) -> Lower {
        let names = &self.names;
        let (store, registration) = (names.store.clone(), names.registration_topic.clone());
        let (foreign_key, primary_key) = (Arc::clone(&self.right.key), Arc::clone(&self.left.key));
        operator_of(move |node| {
            let (node, uses_versions) = (node.name.clone(), node.uses_versions);
            move |wiring: &mut Wiring<'_>, next: Edge<K, Response<W>>| {
                Ok(Box::new(ForeignTableJoin {
                    node: node.clone(),
                    store: wiring.key_value_store(&store)?,
                    keys: CombinedKeySerde {
                        foreign_key: Arc::clone(&foreign_key),
                        primary_key: Arc::clone(&primary_key),
                        topics: KeyTopics::new(&registration, &store),
                    },
                    foreign_key_serde: Arc::clone(&foreign_key),
                    changelog: format!("{}-{store}-changelog", wiring.application_id()),
                    uses_versions,
                    next,
                }) as Edge<F, Change<W>>)
            }
        })
    }
}

/// Spreads what has no key, by a number that it has.
fn anywhere(number: i32, partitions: u32) -> i32 {
    number.rem_euclid(i32::try_from(partitions.max(1)).unwrap_or(i32::MAX))
}

fn hashed_by<T>(wiring: &Wiring<'_>, serde: &Arc<dyn Serde<T>>, topic: &str, suffix: &str) -> HashedBy<T> {
    HashedBy {
        serde: Arc::clone(serde),
        topic: format!("{}-{topic}-{suffix}", wiring.application_id()),
    }
}

/// A topic between two sub-topologies.
fn exchange(plan: &mut Plan, name: &str, parents: Vec<PlanId>, lower: Lower) -> PlanId {
    let mut node = PlanNode::new(name.to_owned(), parents, lower);
    node.kind = Kind::Exchange;
    node.key = KeyEffect::Settles;
    plan.add(node)
}

fn write_and_read<A: Data, B: Data>(
    topic: String,
    sink: String,
    written: SinkOptions<A, B>,
    read: SourceOptions<A, B>,
) -> Lower {
    topic_between(topic, sink, SinkSupplier::new(written), SourceSupplier::new(read))
}

fn topic_between(topic: String, sink_name: String, sink: SinkSupplier, source: SourceSupplier) -> Lower {
    Lower::nodes(move |lowering| {
        let builder = &mut *lowering.builder;
        builder.add_repartition_topic(&topic, None);
        let topic = TopicName::internal(topic);
        builder.add_sink_of(&sink_name, Some(topic.clone()), sink, &lowering.parents);
        let source = builder.add_source_of(&lowering.node.name, vec![topic], source);
        Lowered::source(source, source)
    })
}
