//! Joins of a stream with a table of the same key. Follows Kafka's `KStream.join` and `leftJoin` with a `KTable`.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::DefaultSerde;
use streams_core::topology::Wiring;

use crate::lower::{Lower, operator_of};
use crate::names::prefix;
use crate::operators::Tried;
use crate::operators::stream_table_join::{Join, StreamTableJoin, Waiting};
use crate::options::Joined;
use crate::plan::PlanNode;
use crate::repartition::{self, Serdes};
use crate::{Data, KStream, KTable, stores, view};

/// Joins with a table of the same key.
impl<K: Data, V: Data> KStream<K, V> {
    /// Each record with the row of its key; dropped if there is none.
    ///
    /// The stream drives: an update of the table sends nothing. The result has the record's timestamp. Null values, and null
    /// keys, are dropped and counted. The stream is repartitioned if its key may have changed; stream and table must have
    /// the same number of partitions.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// visits.join(&names, |page, name| format!("{name} saw {page}")).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("visits").pipe(1_i64, "too soon".to_string())?;
    /// driver.input("names").pipe(1_i64, "Ada".to_string())?;
    /// driver.input("visits").pipe(1_i64, "home".to_string())?;
    /// assert_eq!(driver.output::<i64, String>("out").read_key_values(), [(1, "Ada saw home".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, &T) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.join_with(table, joiner, Joined::default())
    }

    /// As [`join`](Self::join), with the stream's serdes and a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// let by_user = visits.map(|page, user| (user.len() as i64, page));
    /// by_user.join_with(&names, |page, name| format!("{name} saw {page}"), Joined::named("who")).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe(3_i64, "Ada".to_string())?;
    /// driver.input("visits").pipe(7_i64, "ada".to_string())?;
    /// // The key changed, so that the stream is repartitioned.
    /// assert_eq!(driver.written("app-who-repartition").len(), 1);
    /// assert_eq!(driver.output::<i64, String>("out").read_key_values(), [(3, "Ada saw 7".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_with<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, &T) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, value: V, row: Option<&T>| Some(Ok(joiner(value, row?)));
        self.join_table(table, joiner, joined, false)
    }

    /// Each record with the row of its key, or with none. As [`join`](Self::join), but a null key is joined with none.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// let known = visits.left_join(&names, |page, name| {
    ///     format!("{} saw {page}", name.map_or("somebody", String::as_str))
    /// });
    /// known.to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("visits").pipe(1_i64, "home".to_string())?;
    /// let out = driver.output::<i64, String>("out").read_key_values();
    /// assert_eq!(out, [(1, "somebody saw home".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.left_join_with(table, joiner, Joined::default())
    }

    /// As [`left_join`](Self::left_join), with the stream's serdes and a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// visits.left_join_with(&names, |_, name| name.is_some(), Joined::named("is-known")).to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: is-known"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("visits").pipe(1_i64, "home".to_string())?;
    /// assert_eq!(driver.output::<i64, bool>("out").read_key_values(), [(1, false)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_with<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(V, Option<&T>) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, value: V, row: Option<&T>| Some(Ok(joiner(value, row)));
        self.join_table(table, joiner, joined, true)
    }

    pub(crate) fn join_table<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        join: impl Fn(&K, V, Option<&T>) -> Option<Tried<R>> + Send + Sync + 'static,
        joined: Joined<K, V>,
        left: bool,
    ) -> KStream<K, R> {
        let join: Join<K, V, T, R> =
            Arc::new(move |key: &K, value: V, row: Option<&T>| join(key, value, row).transpose());
        let other = self.same_builder(&table.plan, "join").then_some(table.node);
        let serdes = Serdes {
            key: joined.key_serde.resolve(self.key_serde.as_ref()),
            value: joined.value_serde.resolve(self.value_serde.as_ref()),
        };
        let mut plan = self.plan.borrow_mut();
        let parent = if plan.repartition_required(self.node) {
            let prefix = joined.name.clone();
            let prefix = prefix.unwrap_or_else(|| plan.node(self.node).name.clone());
            repartition::shared(&mut plan, self.node, &prefix, serdes.clone())
        } else {
            self.node
        };
        let prefix = if left { prefix::LEFT_JOIN } else { prefix::JOIN };
        let name = plan.names.processor_or(joined.name.as_deref(), prefix);
        let buffer = joined
            .grace_ms
            .map(|grace_ms| (grace_ms, format!("{name}-Buffer")));
        if let Some((_, store)) = &buffer {
            if other.is_some_and(|other| !plan.is_versioned(other)) {
                let problem =
                    format!("{name}: records can wait only for a versioned table (Materialized::versioned)");
                plan.problems.push(problem);
            }
            plan.stores.push(stores::waiting(store, &serdes));
        }
        let lower = lower_join(
            join,
            left,
            serdes.clone(),
            Arc::clone(&table.view),
            buffer.clone(),
        );
        let mut node = PlanNode::new(name, vec![parent], lower);
        node.takes_null_keys = left;
        node.joined = other;
        if let Some(other) = other {
            node.stores = plan.look_up(other);
            plan.copartition(parent, other);
        }
        node.stores.extend(buffer.map(|(_, store)| store));
        let node = plan.add(node);
        KStream::new(Rc::clone(&self.plan), node, Some(serdes.key), None)
    }
}

fn lower_join<K: Data, V: Data, T: Data, R: Data>(
    join: Join<K, V, T, R>,
    left: bool,
    serdes: Serdes<K, V>,
    view: view::OpenView<K, T>,
    buffer: Option<(i64, String)>,
) -> Lower {
    operator_of(move |node| {
        let node = node.name.clone();
        move |wiring: &mut Wiring<'_>, next: Edge<K, R>| {
            let Serdes { key, value } = serdes.clone();
            Ok(Box::new(StreamTableJoin {
                node: node.clone(),
                join: Arc::clone(&join),
                left,
                key_serde: key,
                value_serde: value,
                table: view(wiring)?,
                waiting: match &buffer {
                    Some((grace_ms, store)) => Some(Waiting::new(*grace_ms, wiring.key_value_store(store)?)),
                    None => None,
                },
                next,
            }) as Edge<K, V>)
        }
    })
}
