//! Joins of two tables with the same keys. Follows Kafka's `KTable.join`, `leftJoin` and `outerJoin`.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::Serde;
use streams_core::topology::Wiring;

use crate::lower::{Lower, cache_behind, operator_of, table_operator_of};
use crate::names::prefix;
use crate::operators::Tried;
use crate::operators::table_join::{Join, TableJoinSide, TableMerge};
use crate::options::Materialized;
use crate::plan::{Kind, PlanId, PlanNode, TableState};
use crate::table::{not_null, open};
use crate::view::{self, OpenView};
use crate::{Change, Data, KTable};

/// Which rows a join has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// Those that both tables have.
    Inner,
    /// Those that the left table has.
    Left,
    /// Those that either has.
    Outer,
}

/// Joins with another table of the same key.
///
/// An update of either table looks the other one up, so both are kept in stores, and the result has the later of both
/// timestamps. Rows are replaced as updates come: one that is older than what is there is joined too. The tables must have
/// the same number of partitions. The result is computed where it is needed, or kept in a store if `materialized` has a
/// name.
impl<K: Data, V: Data> KTable<K, V> {
    /// The rows that both tables have.
    ///
    /// A row that goes from either table is deleted from the result, even if it was not in it. An update that finds nothing
    /// on the other side sends nothing.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let cities = builder.table::<i64, String>("cities", Materialized::default());
    /// names.join(&cities, |name, city| format!("{name} of {city}")).to_stream().to("people");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe(1_i64, "Ada".to_string())?;
    /// driver.input("cities").pipe(1_i64, "London".to_string())?;
    /// driver.input("names").pipe(1_i64, None::<String>)?;
    /// let people = driver.output::<i64, Option<String>>("people").read_key_values();
    /// assert_eq!(people, [(1, Some("Ada of London".into())), (1, None)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, &T) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        self.joined(
            other,
            JoinKind::Inner,
            move |left, right| Some(Ok(joiner(left?, right?))),
            None,
        )
    }

    /// As [`join`](Self::join), in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let amounts = builder.table::<String, i64>("amounts", Materialized::default());
    /// let _sums = prices.join_with(&amounts, |price, amount| price * amount, Materialized::named("sums"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// driver.input("amounts").pipe("tea".to_string(), 2_i64)?;
    /// let row = driver.key_value_store::<String, i64>("sums")?.get(&"tea".into()).unwrap().unwrap();
    /// assert_eq!(row.value, 6);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_with<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, &T) -> R + Send + Sync + 'static,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(Ok(joiner(left?, right?)));
        self.joined(other, JoinKind::Inner, joiner, Some(materialized))
    }

    /// The rows of this table, each with the other's if that has one.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let cities = builder.table::<i64, String>("cities", Materialized::default());
    /// let people = names.left_join(&cities, |name, city| format!("{name} of {}", city.map_or("nowhere", String::as_str)));
    /// people.to_stream().to("people");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe(1_i64, "Ada".to_string())?;
    /// driver.input("cities").pipe(1_i64, "London".to_string())?;
    /// let people = driver.output::<i64, String>("people").read_key_values();
    /// assert_eq!(people, [(1, "Ada of nowhere".into()), (1, "Ada of London".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(Ok(joiner(left?, right)));
        self.joined(other, JoinKind::Left, joiner, None)
    }

    /// As [`left_join`](Self::left_join), in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// let sold = builder.table::<String, i64>("sold", Materialized::default());
    /// let _left = stock.left_join_with(&sold, |stock, sold| stock - sold.unwrap_or(&0), Materialized::named("left"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("stock").pipe("tea".to_string(), 9_i64)?;
    /// let row = driver.key_value_store::<String, i64>("left")?.get(&"tea".into()).unwrap().unwrap();
    /// assert_eq!(row.value, 9);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_with<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, Option<&T>) -> R + Send + Sync + 'static,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(Ok(joiner(left?, right)));
        self.joined(other, JoinKind::Left, joiner, Some(materialized))
    }

    /// The rows that either table has. The joiner is never called with neither.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mine = builder.table::<String, i64>("mine", Materialized::default());
    /// let yours = builder.table::<String, i64>("yours", Materialized::default());
    /// mine.outer_join(&yours, |a, b| a.unwrap_or(&0) + b.unwrap_or(&0)).to_stream().to("ours");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("yours").pipe("tea".to_string(), 2_i64)?;
    /// driver.input("mine").pipe("tea".to_string(), 3_i64)?;
    /// let ours = driver.output::<String, i64>("ours").read_key_values();
    /// assert_eq!(ours, [("tea".into(), 2), ("tea".into(), 5)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn outer_join<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(Option<&V>, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        self.joined(
            other,
            JoinKind::Outer,
            move |left, right| Some(Ok(joiner(left, right))),
            None,
        )
    }

    /// As [`outer_join`](Self::outer_join), in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mine = builder.table::<String, i64>("mine", Materialized::default());
    /// let yours = builder.table::<String, i64>("yours", Materialized::default());
    /// let _ours = mine.outer_join_with(&yours, |a, b| a.or(b).copied().unwrap_or(0), Materialized::named("ours"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("yours").pipe("tea".to_string(), 2_i64)?;
    /// let row = driver.key_value_store::<String, i64>("ours")?.get(&"tea".into()).unwrap().unwrap();
    /// assert_eq!(row.value, 2);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn outer_join_with<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(Option<&V>, Option<&T>) -> R + Send + Sync + 'static,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(Ok(joiner(left, right)));
        self.joined(other, JoinKind::Outer, joiner, Some(materialized))
    }

    pub(crate) fn joined<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        kind: JoinKind,
        joiner: impl Fn(Option<&V>, Option<&T>) -> Option<Tried<R>> + Send + Sync + 'static,
        materialized: Option<Materialized<R>>,
    ) -> KTable<K, R> {
        let is_there = not_null(materialized.as_ref(), None);
        let joiner: Join<V, T, R> = Arc::new(move |left: Option<&V>, right: Option<&T>| {
            if left.is_none() && right.is_none() {
                return Ok(None);
            }
            Ok(joiner(left, right).transpose()?.filter(&is_there))
        });
        let computed = view::joined(
            Arc::clone(&self.view),
            Arc::clone(&other.view),
            Arc::clone(&joiner),
        );
        let derivation = self.derive(prefix::TABLE_MERGE, materialized, None, computed);
        if !Rc::ptr_eq(&self.plan, &other.plan) {
            let problem = "a table cannot be joined with one of another builder".to_owned();
            self.plan.borrow_mut().problems.push(problem);
            return self.merged(derivation, vec![self.node, self.node]);
        }
        {
            let mut plan = self.plan.borrow_mut();
            plan.copartition(self.node, other.node);
            if kind != JoinKind::Inner {
                plan.enable_old_values(self.node, true);
            }
            if kind == JoinKind::Outer {
                plan.enable_old_values(other.node, true);
            }
        }
        let straight = Arc::clone(&joiner);
        let reversed: Join<T, V, R> = Arc::new(move |b, a| joiner(a, b));
        let (inner, outer) = (kind == JoinKind::Inner, kind == JoinKind::Outer);
        let this = self.side(other, prefix::TABLE_JOIN_THIS, inner, straight);
        let that = other.side(self, prefix::TABLE_JOIN_OTHER, !outer, reversed);
        self.merged(derivation, vec![this, that])
    }

    /// The node that joins this table's updates with the other's rows.
    fn side<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        prefix: &str,
        needs_other: bool,
        join: Join<V, T, R>,
    ) -> PlanId {
        let mut plan = self.plan.borrow_mut();
        let name = plan.names.processor(prefix);
        let lower = lower_side(
            Arc::clone(&other.view),
            Arc::clone(&self.key_serde),
            needs_other,
            join,
        );
        let mut node = PlanNode::new(name, vec![self.node], lower);
        node.joined = Some(other.node);
        node.table = TableState::Computed;
        node.stores = plan.look_up(other.node);
        plan.add(node)
    }

    fn merged<R: Data>(
        &self,
        derivation: crate::table::Derivation<K, R>,
        sides: Vec<PlanId>,
    ) -> KTable<K, R> {
        let (store, cache) = (derivation.store.clone(), derivation.cache.clone());
        let lower = table_operator_of(derivation.cache.clone(), move |node| {
            let is_cached = cache_behind(node, cache).is_some();
            let (node, send_old) = (node.name.clone(), node.send_old_values);
            move |wiring: &mut Wiring<'_>, next: Edge<K, Change<R>>| {
                Ok(Box::new(TableMerge {
                    node: node.clone(),
                    store: open::<K, R>(wiring, store.as_deref())?,
                    send_old,
                    is_cached,
                    next,
                }) as Edge<K, Change<R>>)
            }
        });
        let mut node = PlanNode::new(derivation.name.clone(), sides, lower);
        node.kind = Kind::TableMerge;
        // Even if both tables are (KIP-914).
        node.is_versioned = Some(false);
        derivation.store_in(&mut node);
        // What is joined is not versioned, unless its own store is.
        node.is_versioned = Some(derivation.is_versioned == Some(true));
        let node = self.plan.borrow_mut().add(node);
        KTable::new(
            Rc::clone(&self.plan),
            node,
            Arc::clone(&self.key_serde),
            derivation.value_serde,
            derivation.view,
        )
    }
}

fn lower_side<K: Data, V: Data, T: Data, R: Data>(
    view: OpenView<K, T>,
    key_serde: Arc<dyn Serde<K>>,
    needs_other: bool,
    join: Join<V, T, R>,
) -> Lower {
    operator_of(move |node| {
        let (send_old, uses_versions) = (node.send_old_values, node.uses_versions);
        let node = node.name.clone();
        move |wiring: &mut Wiring<'_>, next: Edge<K, Change<R>>| {
            Ok(Box::new(TableJoinSide {
                node: node.clone(),
                join: Arc::clone(&join),
                needs_other,
                key_serde: Arc::clone(&key_serde),
                other: view(wiring)?,
                send_old,
                uses_versions,
                next,
            }) as Edge<K, Change<V>>)
        }
    })
}
