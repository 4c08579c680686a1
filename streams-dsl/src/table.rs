//! `KTable`: a handle to a table in the plan: for each key its latest value.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::{NullableSerde, Serde};
use streams_core::topology::Wiring;

use crate::lower::{operator, table_operator_of};
use crate::names::prefix;
use crate::operators::Tried;
use crate::operators::table_filter::{Keep, TableFilter};
use crate::operators::table_map::{Map, TableMap};
use crate::operators::table_store::TableStore;
use crate::operators::to_stream::ToStream;
use crate::operators::update_cache::{self, Cache};
use crate::options::Materialized;
use crate::plan::{PlanId, PlanNode, SharedPlan, TableState};
use crate::view::{self, OpenView};
use crate::{Change, Data, KStream, stores};

/// A table: for each key its latest value, and a stream of its updates (Kafka's `KTable`).
///
/// Each update is passed on as it happens. `V` is never null: that a row is deleted is said by the table, not by a value.
/// A cheap handle: clones are the same table.
pub struct KTable<K, V> {
    pub(crate) plan: SharedPlan,
    pub(crate) node: PlanId,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Option<Arc<dyn Serde<V>>>,
    pub(crate) view: OpenView<K, V>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            node: self.node,
            key_serde: Arc::clone(&self.key_serde),
            value_serde: self.value_serde.clone(),
            view: Arc::clone(&self.view),
        }
    }
}

impl<K, V> std::fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KTable")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl<K, V> KTable<K, V> {
    pub(crate) fn new(
        plan: SharedPlan,
        node: PlanId,
        key_serde: Arc<dyn Serde<K>>,
        value_serde: Option<Arc<dyn Serde<V>>>,
        view: OpenView<K, V>,
    ) -> Self {
        Self {
            plan,
            node,
            key_serde,
            value_serde,
            view,
        }
    }

    /// Names the processor of the last operator, instead of a generated name. Stores are named by `Materialized`.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// stock.filter(|_, n| *n > 0).named("in-stock").to_stream().to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: in-stock"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("stock").pipe("tea".to_string(), 3_i64)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("tea".into(), 3)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.plan.borrow_mut().rename(self.node, name);
        self
    }

    /// Name of the store the table is kept in, by which it can be read from outside (Kafka's `queryableStoreName`); `None` if
    /// nobody named it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    /// let (named, other) = (clicks.count(Materialized::named("counts")), clicks.count(Materialized::default()));
    /// let store = named.store_name().unwrap();
    /// assert_eq!((store.as_str(), other.store_name()), ("counts", None));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe("ada".to_string(), 1_i64)?;
    /// let counts = driver.key_value_store::<String, i64>(&store)?;
    /// assert_eq!(counts.get(&"ada".into()).unwrap().unwrap().value, 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn store_name(&self) -> Option<String> {
        let plan = self.plan.borrow();
        match &plan.node(self.node).table {
            TableState::Stored(store) | TableState::Merged(store) => {
                (!plan.names.is_generated_store(store)).then(|| store.clone())
            }
            _ => None,
        }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// The table's updates as a stream. `None` says that a row was deleted. Kafka's `toStream` with a mapper is a
    /// [`select_key`](KStream::select_key) after it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let updates: KStream<String, Option<i64>> = builder.table::<String, i64>("table", Materialized::default()).to_stream();
    /// updates.to("updates");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("table").pipe("a".to_string(), None::<i64>)?;
    /// let updates = driver.output::<String, Option<i64>>("updates").read_key_values();
    /// assert_eq!(updates, [("a".into(), None)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        let value_serde = self
            .value_serde
            .clone()
            .map(|serde| Arc::new(NullableSerde::new(serde)) as Arc<dyn Serde<Option<V>>>);
        self.streamed(|new| new, value_serde)
    }

    fn streamed<R: Data>(
        &self,
        value: impl Fn(Option<V>) -> R + Copy + Send + Sync + 'static,
        value_serde: Option<Arc<dyn Serde<R>>>,
    ) -> KStream<K, R> {
        let lower = operator::<K, Change<V>, K, R>(move |_, next| Ok(Box::new(ToStream { value, next })));
        let mut plan = self.plan.borrow_mut();
        let name = plan.names.processor(prefix::TO_STREAM);
        let node = plan.add(PlanNode::new(name, vec![self.node], lower));
        KStream::new(
            Rc::clone(&self.plan),
            node,
            Some(Arc::clone(&self.key_serde)),
            value_serde,
        )
    }

    /// The rows for which `keep` holds. Computed where it is needed, not stored.
    ///
    /// A row that does not pass is sent as a deletion, even if it had never passed, unless old values are known.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("stock", Materialized::default()).filter(|_, n| *n > 0).to_stream().to("in-stock");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [3_i64, 0] {
    ///     driver.input("stock").pipe("tea".to_string(), n)?;
    /// }
    /// let updates = driver.output::<String, Option<i64>>("in-stock").read_key_values();
    /// assert_eq!(updates, [("tea".into(), Some(3)), ("tea".into(), None)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        self.filtered(move |key, value| Ok(keep(key, value)), None)
    }

    /// The rows for which `keep` holds, in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// stock.filter_with(|_, n| *n > 0, Materialized::named("in-stock"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (item, n) in [("tea", 3_i64), ("milk", 0)] {
    ///     driver.input("stock").pipe(item.to_string(), n)?;
    /// }
    /// let in_stock = driver.key_value_store::<String, i64>("in-stock")?;
    /// assert_eq!(in_stock.get(&"tea".into()).unwrap().unwrap().value, 3);
    /// assert!(in_stock.get(&"milk".into()).unwrap().is_none());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_with(
        &self,
        keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| Ok(keep(key, value)), Some(materialized))
    }

    /// The rows for which `drop` does not hold. As [`filter`](Self::filter).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// stock.filter_not(|_, n| *n > 0).to_stream().to("to-order");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [0_i64, 9] {
    ///     driver.input("stock").pipe("tea".to_string(), n)?;
    /// }
    /// let to_order = driver.output::<String, Option<i64>>("to-order").read_key_values();
    /// assert_eq!(to_order, [("tea".into(), Some(0)), ("tea".into(), None)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        self.filtered(move |key, value| Ok(!drop(key, value)), None)
    }

    /// The rows for which `drop` does not hold, in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// stock.filter_not_with(|_, n| *n > 0, Materialized::named("to-order"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("stock").pipe("tea".to_string(), 0_i64)?;
    /// let to_order = driver.key_value_store::<String, i64>("to-order")?;
    /// assert_eq!(to_order.get(&"tea".into()).unwrap().unwrap().value, 0);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_not_with(
        &self,
        drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| Ok(!drop(key, value)), Some(materialized))
    }

    pub(crate) fn filtered(
        &self,
        keep: impl Fn(&K, &V) -> Tried<bool> + Send + Sync + 'static,
        materialized: Option<Materialized<V>>,
    ) -> KTable<K, V> {
        let old_values = self.plan.borrow_mut().enable_old_values(self.node, false);
        let is_there = not_null(materialized.as_ref(), self.value_serde.as_ref());
        let keep: Keep<K, V> = Arc::new(move |key: &K, value: &V| Ok(is_there(value) && keep(key, value)?));
        let shown = Arc::clone(&keep);
        let computed = view::derived(Arc::clone(&self.view), move |key, value: &V| {
            Ok(shown(key, value)?.then(|| value.clone()))
        });
        let derivation = self.derive(
            prefix::TABLE_FILTER,
            materialized,
            self.value_serde.as_ref(),
            computed,
        );
        let store = derivation.store.clone();
        let lower = table_operator_of(derivation.cache.clone(), move |node| {
            let (send_old, uses_versions) = (node.send_old_values, node.uses_versions);
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, Change<V>>| {
                let store = open::<K, V>(wiring, store.as_deref())?;
                let (node, keep) = (node.clone(), Arc::clone(&keep));
                Ok(Box::new(TableFilter {
                    node,
                    keep,
                    store,
                    send_old,
                    uses_versions,
                    next,
                }) as Edge<K, Change<V>>)
            }
        });
        self.add_derived(derivation, lower, old_values)
    }

    /// A new value for each row. Computed where it is needed, not stored.
    ///
    /// Where `W` is an `Option`, a `None` is a row until somebody writes it: [`map_values_with`](Self::map_values_with), which
    /// knows how it is written, and [`filter_map_values`](Self::filter_map_values) delete the row at once.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("cents", Materialized::default()).map_values(|n| n as f64 / 100.0).to_stream().to("euros");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("cents").pipe("tea".to_string(), 250_i64)?;
    /// let euros = driver.output::<String, Option<f64>>("euros").read_key_values();
    /// assert_eq!(euros, [("tea".into(), Some(2.5))]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values<W: Data>(&self, map: impl Fn(V) -> W + Send + Sync + 'static) -> KTable<K, W> {
        self.mapped(move |_, value| Ok(Some(map(value))), None)
    }

    /// As [`map_values`](Self::map_values), with a function that gets the key. In a store, it is
    /// [`filter_map_values_with`](Self::filter_map_values_with).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// stock.map_values_with_key(|item, n| format!("{n} x {item}")).to_stream().to("labels");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("stock").pipe("tea".to_string(), 3_i64)?;
    /// assert_eq!(driver.output::<String, String>("labels").read_values(), ["3 x tea"]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values_with_key<W: Data>(
        &self,
        map: impl Fn(&K, V) -> W + Send + Sync + 'static,
    ) -> KTable<K, W> {
        self.mapped(move |key, value| Ok(Some(map(key, value))), None)
    }

    /// A new value for each row, in a store if `materialized` has a name. A value that is null on the wire deletes the row.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let doubled = builder.table::<String, i64>("in", Materialized::default()).map_values_with(|n| n * 2, Materialized::named("doubled"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// let row = driver.key_value_store::<String, i64>("doubled")?.get(&"a".into()).unwrap().unwrap();
    /// assert_eq!(row.value, 14);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values_with<W: Data>(
        &self,
        map: impl Fn(V) -> W + Send + Sync + 'static,
        materialized: Materialized<W>,
    ) -> KTable<K, W> {
        self.mapped(move |_, value| Ok(Some(map(value))), Some(materialized))
    }

    /// A new value for each row, made of key and value; `None` deletes the row. This is Kafka's `mapValues` with a mapper
    /// that may return null.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let numbers = builder.table::<String, String>("texts", Materialized::default()).filter_map_values(|_, text| text.parse::<i64>().ok());
    /// numbers.to_stream().to("numbers");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("texts").pipe("a".to_string(), "seven".to_string())?;
    /// assert_eq!(driver.output::<String, Option<i64>>("numbers").read_value().unwrap(), None);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_map_values<W: Data>(
        &self,
        map: impl Fn(&K, V) -> Option<W> + Send + Sync + 'static,
    ) -> KTable<K, W> {
        self.mapped(move |key, value| Ok(map(key, value)), None)
    }

    /// As [`filter_map_values`](Self::filter_map_values), in a store if `materialized` has a name.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.filter_map_values_with(|_, text| text.parse::<i64>().ok(), Materialized::named("numbers"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (key, text) in [("a", "7"), ("b", "seven")] {
    ///     driver.input("texts").pipe(key.to_string(), text.to_string())?;
    /// }
    /// let numbers = driver.key_value_store::<String, i64>("numbers")?;
    /// assert_eq!(numbers.get(&"a".into()).unwrap().unwrap().value, 7);
    /// assert!(numbers.get(&"b".into()).unwrap().is_none());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_map_values_with<W: Data>(
        &self,
        map: impl Fn(&K, V) -> Option<W> + Send + Sync + 'static,
        materialized: Materialized<W>,
    ) -> KTable<K, W> {
        self.mapped(move |key, value| Ok(map(key, value)), Some(materialized))
    }

    pub(crate) fn mapped<W: Data>(
        &self,
        map: impl Fn(&K, V) -> Tried<Option<W>> + Send + Sync + 'static,
        materialized: Option<Materialized<W>>,
    ) -> KTable<K, W> {
        let is_there = not_null(materialized.as_ref(), None);
        let map: Map<K, V, W> =
            Arc::new(move |key: &K, value: V| Ok(map(key, value)?.filter(|value| is_there(value))));
        let shown = Arc::clone(&map);
        let computed = view::derived(Arc::clone(&self.view), move |key, value: &V| {
            shown(key, value.clone())
        });
        let derivation = self.derive(prefix::TABLE_MAP_VALUES, materialized, None, computed);
        let store = derivation.store.clone();
        let lower = table_operator_of(derivation.cache.clone(), move |node| {
            let (node, send_old) = (node.name.clone(), node.send_old_values);
            move |wiring: &mut Wiring<'_>, next: Edge<K, Change<W>>| {
                let store = open::<K, W>(wiring, store.as_deref())?;
                let (node, map) = (node.clone(), Arc::clone(&map));
                Ok(Box::new(TableMap {
                    node,
                    map,
                    store,
                    send_old,
                    next,
                }) as Edge<K, Change<V>>)
            }
        });
        self.add_derived(derivation, lower, false)
    }

    /// Takes names and declares the store of a table made of this one. Options without a name take a number that nothing
    /// is named by, as in Kafka.
    pub(crate) fn derive<W: Data>(
        &self,
        prefix: &str,
        materialized: Option<Materialized<W>>,
        carried: Option<&Arc<dyn Serde<W>>>,
        computed: OpenView<K, W>,
    ) -> Derivation<K, W> {
        let mut plan = self.plan.borrow_mut();
        let mut value_serde = carried.cloned();
        let (mut store, mut cache, mut is_versioned) = (None, None, None);
        if let Some(mut materialized) = materialized {
            is_versioned = Some(materialized.checked_versions(&mut plan, prefix));
            let serde = materialized.value_serde.clone().resolve(carried);
            value_serde = Some(Arc::clone(&serde));
            match materialized.name.take() {
                None => plan.names.burn(),
                Some(name) => {
                    cache = materialized.cache_of(&self.key_serde, update_cache::rows::<K, W>(&name));
                    let key_serde = Arc::clone(&self.key_serde);
                    plan.stores
                        .push(stores::table(materialized, &name, key_serde, serde));
                    store = Some(name);
                }
            }
        }
        let view = store.as_deref().map_or(computed, |store| {
            view::of_table(store, is_versioned == Some(true))
        });
        Derivation {
            name: plan.names.processor(prefix),
            store,
            is_versioned,
            cache,
            value_serde,
            view,
        }
    }

    pub(crate) fn add_derived<W>(
        &self,
        derivation: Derivation<K, W>,
        lower: crate::lower::Lower,
        old_values: bool,
    ) -> KTable<K, W> {
        let mut node = PlanNode::new(derivation.name.clone(), vec![self.node], lower);
        node.send_old_values = old_values;
        derivation.store_in(&mut node);
        let node = self.plan.borrow_mut().add(node);
        let key_serde = Arc::clone(&self.key_serde);
        KTable::new(
            Rc::clone(&self.plan),
            node,
            key_serde,
            derivation.value_serde,
            derivation.view,
        )
    }
}

impl<K: Data, V: Data> KTable<K, Option<V>> {
    /// The updates of a table whose values are `Option` themselves: a null value and a deleted row are the same on the
    /// wire, and here. Otherwise as [`to_stream`](Self::to_stream).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, Option<i64>>("in");
    /// let updates: KStream<String, Option<i64>> = stream.to_table(Materialized::default()).to_nullable_stream();
    /// updates.to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), None::<i64>)?;
    /// assert_eq!(driver.output::<String, Option<i64>>("out").read_value().unwrap(), None);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_nullable_stream(&self) -> KStream<K, Option<V>> {
        self.streamed(Option::flatten, self.value_serde.clone())
    }
}

/// What a table made of another is, before its node is added.
pub(crate) struct Derivation<K, W> {
    pub(crate) name: String,
    pub(crate) store: Option<String>,
    /// The serde of the keys of updates that wait for a commit, if they do.
    /// Whether what is made is a versioned table; if nothing says so, it is as what it is made of.
    pub(crate) is_versioned: Option<bool>,
    pub(crate) cache: Option<Cache<K>>,
    pub(crate) value_serde: Option<Arc<dyn Serde<W>>>,
    pub(crate) view: OpenView<K, W>,
}

impl<K, W> Derivation<K, W> {
    /// How its rows can be looked up, and the stores its node owns.
    pub(crate) fn store_in(&self, node: &mut PlanNode) {
        node.is_versioned = self.is_versioned;
        node.table = match &self.store {
            Some(store) => {
                node.stores.push(store.clone());
                TableState::Stored(store.clone())
            }
            None => TableState::Computed,
        };
    }
}

/// Says of a result whether it is a row: a value that is null on the wire is none. Of results that nothing says how to write
/// nobody can tell: those are taken as they are.
pub(crate) fn not_null<W: 'static>(
    materialized: Option<&Materialized<W>>,
    carried: Option<&Arc<dyn Serde<W>>>,
) -> impl Fn(&W) -> bool + Clone + Send + Sync + 'static {
    let serde = materialized.map(|materialized| materialized.value_serde.clone().resolve(carried));
    move |value| serde.as_ref().is_none_or(|serde| !serde.is_null(value))
}

pub(crate) fn open<K: 'static, V: Clone + 'static>(
    wiring: &Wiring<'_>,
    store: Option<&str>,
) -> streams_core::error::Result<Option<TableStore<K, V>>> {
    store.map(|store| TableStore::open(wiring, store)).transpose()
}
