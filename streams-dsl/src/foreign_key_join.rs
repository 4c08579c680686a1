//! Joins of a table with another by a key that is part of its value: the part of `KTable` that declares them.

mod names;
mod nodes;
mod parts;

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::DefaultSerde;

use self::names::JoinNames;
use self::parts::Parts;
use crate::operators::Tried;
use crate::options::{Materialized, TableJoined};
use crate::repartition::Serdes;
use crate::{Data, KTable};

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
        let joiner = move |left: Option<&V>, right: Option<&W>| Some(Ok(joiner(left?, right?)));
        self.joined_by_key(
            other,
            move |key, value| Ok(foreign_key(key, value)),
            joiner,
            false,
            joined,
            materialized,
        )
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
        let joiner = move |left: Option<&V>, right: Option<&W>| Some(Ok(joiner(left?, right)));
        self.joined_by_key(
            other,
            move |key, value| Ok(foreign_key(key, value)),
            joiner,
            true,
            joined,
            materialized,
        )
    }

    pub(crate) fn joined_by_key<F: Data, W: Data, R: Data>(
        &self,
        other: &KTable<F, W>,
        extract: impl Fn(&K, &V) -> Tried<Option<F>> + Send + Sync + 'static,
        join: impl Fn(Option<&V>, Option<&W>) -> Option<Tried<R>> + Send + Sync + 'static,
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
            extract: Arc::new(extract),
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
        let resolver = parts.add_resolver(
            &mut plan,
            responses,
            self.node,
            Arc::new(move |left: Option<&V>, right: Option<&W>| join(left, right).transpose()),
        );
        parts.add_result(&mut plan, &self.plan, resolver, materialized)
    }
}
