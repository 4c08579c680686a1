//! `KGroupedTable`: a table grouped by something else than its key, to be aggregated into another table.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::Wiring;

use crate::change_serde::ChangeSerde;
use crate::grouped::aggregation;
use crate::lower::{operator_of, table_operator_of};
use crate::names::prefix;
use crate::operators::Tried;
use crate::operators::table_group::{Refold, Regroup, Rereduce, Select, TableAggregate, TableSelect};
use crate::operators::table_store::TableStore;
use crate::options::{Grouped, Materialized};
use crate::plan::{PlanId, PlanNode, SharedPlan};
use crate::repartition::{self, Serdes};
use crate::{Change, Data, KTable, stores, view};

/// A table grouped by a new key (Kafka's `KGroupedTable`).
///
/// A row belongs to one group at a time: when it changes, its old value is taken out of the aggregate of its old group and
/// the new one put into that of its new group. If both are the same group, that is one update of the aggregate; otherwise
/// two, one after the other. The result's timestamp is the largest that went into it.
pub struct KGroupedTable<K, V> {
    plan: SharedPlan,
    node: PlanId,
    pub(crate) serdes: Serdes<K, V>,
    /// Names the repartition topic.
    name: Option<String>,
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            node: self.node,
            serdes: self.serdes.clone(),
            name: self.name.clone(),
        }
    }
}

impl<K, V> std::fmt::Debug for KGroupedTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KGroupedTable")
            .field("node", &self.node)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Grouping by a new key.
impl<K: Data, V: Data> KTable<K, V> {
    /// Groups the rows by a new key, with a new value. Always repartitions, and keeps this table in a store, because old
    /// values are needed. A row whose new key or value is null belongs to no group; it is not counted as dropped.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let homes = builder.table::<String, String>("home-of", Materialized::default());
    /// let people = homes.group_by(|person, city| (city.clone(), person.clone())).count(Materialized::named("people"));
    /// people.to_stream().to("people");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for city in ["Paris", "Rome"] {
    ///     driver.input("home-of").pipe("ada".to_string(), city.to_string())?;
    /// }
    /// let people = driver.output::<String, i64>("people").read_key_values();
    /// assert_eq!(people, [("Paris".into(), 1), ("Paris".into(), 0), ("Rome".into(), 1)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by<KO: Data + DefaultSerde, VO: Data + DefaultSerde>(
        &self,
        select: impl Fn(&K, &V) -> (KO, VO) + Send + Sync + 'static,
    ) -> KGroupedTable<KO, VO> {
        self.group_by_with(select, Grouped::default())
    }

    /// Groups the rows by a new key as `grouped` says. As [`group_by`](Self::group_by).
    ///
    /// A row whose new key or value is null is in no group, and counted. A null key that comes back from the repartition topic,
    /// where this application writes none, is an error, which goes to the
    /// [processing handler](streams_core::handlers::ErrorHandlers::processing): Kafka Streams fails there too.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// let all = stock.group_by_with(|_, n| ("all".to_string(), *n), Grouped::named("all"));
    /// all.reduce(|sum, n| sum + n, |sum, n| sum - n, Materialized::named("total")).to_stream().to("total");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("stock").pipe("tea".to_string(), 7_i64)?;
    /// assert_eq!(driver.written("app-all-repartition").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn group_by_with<KO: Data, VO: Data>(
        &self,
        select: impl Fn(&K, &V) -> (KO, VO) + Send + Sync + 'static,
        grouped: Grouped<KO, VO>,
    ) -> KGroupedTable<KO, VO> {
        self.grouped_by(move |key, value| Ok(select(key, value)), grouped)
    }

    pub(crate) fn grouped_by<KO: Data, VO: Data>(
        &self,
        select: impl Fn(&K, &V) -> Tried<(KO, VO)> + Send + Sync + 'static,
        grouped: Grouped<KO, VO>,
    ) -> KGroupedTable<KO, VO> {
        let serdes = Serdes {
            key: grouped.key_serde.resolve(None),
            value: grouped.value_serde.resolve(None),
        };
        let mut plan = self.plan.borrow_mut();
        let name = plan
            .names
            .processor_or(grouped.name.as_deref(), prefix::TABLE_SELECT);
        plan.enable_old_values(self.node, true);
        let (select, sent): (Select<K, V, KO, VO>, _) = (Arc::new(select), serdes.clone());
        let lower = operator_of(move |node| {
            let (node, uses_versions) = (node.name.clone(), node.uses_versions);
            move |wiring: &mut Wiring<'_>, next: Edge<KO, Change<VO>>| {
                Ok(Box::new(TableSelect {
                    node: node.clone(),
                    topic: format!("{}-{node}-repartition", wiring.application_id()),
                    select: Arc::clone(&select),
                    key_serde: Arc::clone(&sent.key),
                    value_serde: Arc::clone(&sent.value),
                    uses_versions,
                    next,
                }) as Edge<K, Change<V>>)
            }
        });
        let node = plan.add(PlanNode::new(name, vec![self.node], lower));
        KGroupedTable {
            plan: Rc::clone(&self.plan),
            node,
            serdes,
            name: grouped.name,
        }
    }
}

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// How many rows each group has. A group that loses its last row stays, with 0.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let teams = builder.table::<String, String>("team-of", Materialized::default());
    /// teams.group_by(|who, team| (team.clone(), who.clone())).count(Materialized::named("sizes")).to_stream().to("sizes");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("team-of").pipe("ada".to_string(), "red".to_string())?;
    /// driver.input("team-of").pipe("ada".to_string(), None::<String>)?;
    /// let sizes = driver.output::<String, i64>("sizes").read_key_values();
    /// assert_eq!(sizes, [("red".into(), 1), ("red".into(), 0)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn count(&self, materialized: Materialized<i64>) -> KTable<K, i64> {
        self.aggregate(
            || 0,
            |_, _, count| count + 1,
            |_, _, count| count - 1,
            materialized,
        )
    }

    /// All values of a group reduced to one: `add(so far, value)` when a value enters it, `subtract(so far, value)` when one
    /// leaves it. The first value is the first result.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// let total = stock.group_by(|_, n| ("all".to_string(), *n));
    /// total.reduce(|sum, n| sum + n, |sum, n| sum - n, Materialized::named("total")).to_stream().to("total");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (item, n) in [("tea", 3_i64), ("rice", 4), ("tea", 1)] {
    ///     driver.input("stock").pipe(item.to_string(), n)?;
    /// }
    /// let total = driver.output::<String, i64>("total").read_key_values();
    /// assert_eq!(total, [("all".into(), 3), ("all".into(), 7), ("all".into(), 5)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn reduce(
        &self,
        add: impl Fn(V, V) -> V + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        let materialized = materialized.carried_by(&self.serdes.value);
        let step = Arc::new(Rereduce {
            add,
            remove: subtract,
        });
        self.stepped(prefix::TABLE_REDUCE, step, materialized)
    }

    /// All values of a group folded into one of another type, from `initial()` on: `add` when a value enters the group,
    /// `subtract` when one leaves it. A null result deletes the row.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let scores = builder.table::<String, i64>("scores", Materialized::default());
    /// let by_parity = scores.group_by(|_, n| (n % 2, *n)).aggregate(
    ///     || 0.0,
    ///     |_, n, sum| sum + n as f64,
    ///     |_, n, sum| sum - n as f64,
    ///     Materialized::named("sums"),
    /// );
    /// by_parity.to_stream().to("sums");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("scores").pipe("ada".to_string(), 5_i64)?;
    /// assert_eq!(driver.output::<i64, f64>("sums").read_key_values(), [(1, 5.0)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn aggregate<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        subtract: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let step = Arc::new(Refold {
            initial,
            add,
            remove: subtract,
        });
        self.stepped(prefix::TABLE_AGGREGATE, step, materialized)
    }

    pub(crate) fn stepped<A: Data>(
        &self,
        prefix: &str,
        step: Arc<dyn Regroup<K, V, A>>,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let mut plan = self.plan.borrow_mut();
        let store = plan.names.store_or(materialized.name.as_deref(), prefix);
        let change_serde: Arc<dyn Serde<Change<V>>> = Arc::new(ChangeSerde {
            value: Arc::clone(&self.serdes.value),
        });
        let serdes = Serdes {
            key: Arc::clone(&self.serdes.key),
            value: change_serde,
        };
        let topic_prefix = self.name.as_deref().unwrap_or(&store);
        let parent = repartition::of_changes(&mut plan, self.node, topic_prefix, self.name.is_some(), serdes);
        let name = plan.names.processor(prefix);
        let rows = Serdes {
            key: Arc::clone(&self.serdes.key),
            value: materialized.value_serde.clone().resolve(None),
        };
        let (is_versioned, cache) = stores::add_table(&mut plan, materialized, (&name, &store), &rows);
        let (kept, store_name) = (rows.clone(), store.clone());
        let lower = table_operator_of(cache, move |node| {
            let (node, send_old) = (node.name.clone(), node.send_old_values);
            move |wiring: &mut Wiring<'_>, next: Edge<K, Change<A>>| {
                Ok(Box::new(TableAggregate {
                    node: node.clone(),
                    store_name: store_name.clone(),
                    step: Arc::clone(&step),
                    key_serde: Arc::clone(&kept.key),
                    result_serde: Arc::clone(&kept.value),
                    store: TableStore::open(wiring, &store_name)?,
                    send_old,
                    next,
                }) as Edge<K, Change<V>>)
            }
        });
        let mut node = aggregation(name, parent, &store, lower);
        node.is_versioned = Some(is_versioned);
        let node = plan.add(node);
        KTable::new(
            Rc::clone(&self.plan),
            node,
            rows.key,
            Some(rows.value),
            view::of_table(&store, is_versioned),
        )
    }
}
