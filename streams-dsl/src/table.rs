//! `KTable`: the latest value of each key, as a flow of updates and as something to look up.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use streams_core::error::Result;
use streams_core::serde::{DefaultSerde, NullableSerde, Serde};
use streams_core::store::{StoreResult, ValueAndTimestamp};
use streams_core::topology::Wiring;

use crate::names::prefix;
use crate::operators::table_map::{self, Step, map_found};
use crate::options::Materialized;
use crate::plan::{PlanId, SharedPlan};
use crate::stream::KStream;
use crate::windowed::Windowed;

/// A table that changes (Kafka's `KTable`): at any time one value a key, or none. A cheap handle.
pub struct KTable<K, V> {
    pub(crate) plan: SharedPlan,
    pub(crate) node: PlanId,
    pub(crate) sources: Vec<PlanId>,
    pub(crate) key_serde: Option<Arc<dyn Serde<K>>>,
    pub(crate) value_serde: Option<Arc<dyn Serde<V>>>,
    pub(crate) view: View<K, V>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            plan: Rc::clone(&self.plan),
            node: self.node,
            sources: self.sources.clone(),
            key_serde: self.key_serde.clone(),
            value_serde: self.value_serde.clone(),
            view: self.view.clone(),
        }
    }
}

/// Looks up one row, in a live task.
pub(crate) type Getter<K, V> = Box<dyn Fn(&K) -> StoreResult<Option<ValueAndTimestamp<V>>>>;

type MakeGetter<K, V> = Arc<dyn Fn(&Wiring<'_>) -> Result<Getter<K, V>> + Send + Sync>;

/// How a table's rows are looked up by operators that join with it.
pub(crate) struct View<K, V> {
    /// Stores that such an operator must be connected to.
    pub(crate) stores: Vec<String>,
    pub(crate) getter: MakeGetter<K, V>,
    /// Set when somebody looks: the table then needs a store.
    needed: Option<Rc<Cell<bool>>>,
}

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self {
            stores: self.stores.clone(),
            getter: Arc::clone(&self.getter),
            needed: self.needed.clone(),
        }
    }
}

impl<K: 'static, V: Clone + 'static> View<K, V> {
    pub(crate) fn of_store(store: &str) -> Self {
        let name = store.to_owned();
        let getter: MakeGetter<K, V> = Arc::new(move |wiring| {
            let store = wiring.key_value_store::<K, V>(&name)?;
            Ok(Box::new(move |key: &K| store.get(key)))
        });
        Self {
            stores: vec![store.to_owned()],
            getter,
            needed: None,
        }
    }

    pub(crate) fn of_optional_store(store: &str, needed: Rc<Cell<bool>>) -> Self {
        Self {
            needed: Some(needed),
            ..Self::of_store(store)
        }
    }

    /// The view through a step that is not materialised.
    pub(crate) fn map<W: 'static>(&self, step: Step<K, V, W>) -> View<K, W> {
        let inner = Arc::clone(&self.getter);
        let getter: MakeGetter<K, W> = Arc::new(move |wiring| {
            let (get, step) = (inner(wiring)?, Arc::clone(&step));
            Ok(Box::new(move |key: &K| Ok(map_found(&step, key, get(key)?))))
        });
        View {
            stores: self.stores.clone(),
            getter,
            needed: self.needed.clone(),
        }
    }
}

impl<K, V> View<K, V> {
    /// Makes sure that the table has a store.
    pub(crate) fn require(&self) {
        if let Some(needed) = &self.needed {
            needed.set(true);
        }
    }
}

impl<K: 'static, V: Clone + 'static> View<Windowed<K>, V> {
    pub(crate) fn of_window_store(store: &str) -> Self {
        let name = store.to_owned();
        let getter: MakeGetter<Windowed<K>, V> = Arc::new(move |wiring| {
            let store = wiring.window_store::<K, V>(&name)?;
            Ok(Box::new(move |key: &Windowed<K>| {
                store.fetch(&key.key, key.window.start_ms)
            }))
        });
        Self {
            stores: vec![store.to_owned()],
            getter,
            needed: None,
        }
    }
}

type Serdes<K, V> = (Option<Arc<dyn Serde<K>>>, Option<Arc<dyn Serde<V>>>);

impl<K: Clone + 'static, V: Clone + 'static> KTable<K, V> {
    pub(crate) fn new(
        plan: SharedPlan,
        node: PlanId,
        sources: Vec<PlanId>,
        serdes: Serdes<K, V>,
        view: View<K, V>,
    ) -> Self {
        let (key_serde, value_serde) = serdes;
        Self {
            plan,
            node,
            sources,
            key_serde,
            value_serde,
            view,
        }
    }

    /// Gives the table's processor a name instead of its number.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.plan.borrow_mut().rename(self.node, name);
        self
    }

    /// The table's updates as a stream; `None` is a deletion.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// builder.table::<String, String>("people", Materialized::default()).to_stream().to("updates");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let people = driver.input::<String, Option<String>>("people");
    /// people.pipe("1".into(), Some("Ada".into()))?;
    /// people.pipe("1".into(), None)?;
    /// let updates = driver.output::<String, Option<String>>("updates").read_key_values();
    /// assert_eq!(updates, [("1".into(), Some("Ada".into())), ("1".into(), None)]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        let node = table_map::to_stream(self);
        let value_serde = self
            .value_serde
            .clone()
            .map(|serde| -> Arc<dyn Serde<Option<V>>> { Arc::new(NullableSerde::new(serde)) });
        let sources = self.sources.clone();
        KStream::new(
            Rc::clone(&self.plan),
            node,
            sources,
            self.key_serde.clone(),
            value_serde,
            false,
        )
    }

    /// The rows that satisfy a predicate. A row that does not, or no longer does, is deleted downstream.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let ages = builder.table::<String, i64>("ages", Materialized::default());
    /// ages.filter(|_, age| *age >= 18).to_stream().to("adults");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let input = driver.input::<String, i64>("ages");
    /// input.pipe("ada".into(), 36)?;
    /// input.pipe("bob".into(), 7)?;
    /// let adults = driver.output::<String, Option<i64>>("adults").read_key_values();
    /// assert_eq!(adults, [("ada".into(), Some(36)), ("bob".into(), None)]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        let step: Step<K, V, V> = Arc::new(move |key, value| predicate(key, &value).then_some(value));
        let mut filtered = table_map::table(self, prefix::TABLE_FILTER, step, None);
        filtered.value_serde.clone_from(&self.value_serde);
        filtered
    }

    /// The rows that do not satisfy a predicate; see [`filter`](Self::filter).
    #[must_use]
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// Each row with its value mapped; deletions stay deletions.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", Materialized::default());
    /// names.map_values(|name| name.len() as i64).to_stream().to("lengths");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input::<String, String>("names").pipe("1".into(), "Ada".into())?;
    /// assert_eq!(driver.output::<String, Option<i64>>("lengths").read_key_values(), [("1".into(), Some(3))]);
    /// # Ok::<(), StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values<W: Clone + 'static>(
        &self,
        map: impl Fn(V) -> W + Send + Sync + 'static,
    ) -> KTable<K, W> {
        let step: Step<K, V, W> = Arc::new(move |_, value| Some(map(value)));
        table_map::table(self, prefix::TABLE_MAP_VALUES, step, None)
    }

    /// As [`map_values`](Self::map_values), with the result in a store of its own.
    #[must_use]
    pub fn map_values_with<W: Clone + 'static>(
        &self,
        map: impl Fn(V) -> W + Send + Sync + 'static,
        materialized: Materialized<W>,
    ) -> KTable<K, W>
    where
        K: DefaultSerde,
    {
        let step: Step<K, V, W> = Arc::new(move |_, value| Some(map(value)));
        table_map::table(
            &self.with_key_serde(),
            prefix::TABLE_MAP_VALUES,
            step,
            Some(materialized),
        )
    }

    /// As [`filter`](Self::filter), with the result in a store of its own.
    #[must_use]
    pub fn filter_with(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V>
    where
        K: DefaultSerde,
    {
        let step: Step<K, V, V> = Arc::new(move |key, value| predicate(key, &value).then_some(value));
        table_map::table(
            &self.with_key_serde(),
            prefix::TABLE_FILTER,
            step,
            Some(materialized),
        )
    }

    fn with_key_serde(&self) -> Self
    where
        K: DefaultSerde,
    {
        let mut table = self.clone();
        table.key_serde.get_or_insert_with(K::default_serde);
        table
    }
}

impl<K, V> std::fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KTable")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
