//! Tables whose rows are made by a function with state. Follows Kafka's `KTable.transformValues`.

use std::cell::RefCell;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::{ProcessCause, Result};
use streams_core::processor::BoxError;
use streams_core::store::{ConnectedStores, StoreResult};
use streams_core::topology::Wiring;

use crate::lower::table_operator_of;
use crate::names::prefix;
use crate::operators::table_transform::TableTransform;
use crate::options::Materialized;
use crate::plan::TableState;
use crate::table::{not_null, open};
use crate::view::{OpenView, TableView};
use crate::{Change, Data, KTable};

/// Transforming values.
impl<K: Data, V: Data> KTable<K, V> {
    /// A new value for each row, from a function that may have state and may fail. `supplier` makes one for each task; it takes
    /// the stores, [brought along](ConnectedStores) or named here, from its argument. The function gets the key and the row, or none if the row is deleted; `None`
    /// deletes the row of the result.
    ///
    /// What the function returns as an error goes to the [processing handler](streams_core::handlers::ErrorHandlers::processing).
    /// The result is kept in a store if `materialized` has a name: then the function sees each update once. Otherwise it is
    /// computed where it is needed, as in Kafka: whoever looks the table up, by a join for example, has a function of its own,
    /// and where old values are needed it is called for them, too. So it should answer by its arguments alone.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::store::KeyValueStoreBuilder;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let numbered = prices.transform_values(
    ///     KeyValueStoreBuilder::<String, i64>::new("changes"),
    ///     |stores| {
    ///         let changes = stores.key_value_store::<String, i64>("changes")?;
    ///         Ok(move |item: &String, price: Option<&i64>| {
    ///             let number = changes.get(item)?.map_or(0, |row| row.value) + 1;
    ///             changes.put(item, Some(number), 0)?;
    ///             Ok(price.map(|price| format!("change {number}: {price}")))
    ///         })
    ///     },
    ///     Materialized::default(),
    /// );
    /// numbered.to_stream().to("numbered");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for price in [3_i64, 4] {
    ///     driver.input("prices").pipe("tea".to_string(), price)?;
    /// }
    /// let last = driver.output::<String, Option<String>>("numbered").read_records().pop().unwrap();
    /// assert_eq!(last.value.unwrap(), "change 2: 4");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn transform_values<W: Data, T>(
        &self,
        stores: impl ConnectedStores,
        supplier: impl Fn(&Wiring<'_>) -> Result<T> + Send + Sync + 'static,
        materialized: Materialized<W>,
    ) -> KTable<K, W>
    where
        T: FnMut(&K, Option<&V>) -> Result<Option<W>, BoxError> + 'static,
    {
        let value_serde = materialized.value_serde.clone().resolve(None);
        let is_there = not_null(Some(&materialized), None);
        let named = materialized.name.is_some();
        let materialized = named.then_some(materialized);
        let prefix = prefix::TABLE_TRANSFORM_VALUES;
        let supplier = Arc::new(supplier);
        let computed = transformed(Arc::clone(&self.view), Arc::clone(&supplier), is_there.clone());
        let derivation = self.derive(prefix, materialized, Some(&value_serde), computed);
        let store = derivation.store.clone();
        let lower = table_operator_of(derivation.cache.clone(), move |node| {
            let (name, send_old) = (node.name.clone(), node.send_old_values);
            move |wiring: &mut Wiring<'_>, next: Edge<K, Change<W>>| {
                let (mut transform, is_there) = (supplier(wiring)?, is_there.clone());
                Ok(Box::new(TableTransform {
                    node: name.clone(),
                    transform: move |key: &K, value: Option<&V>| Ok(transform(key, value)?.filter(&is_there)),
                    store: open::<K, W>(wiring, store.as_deref())?,
                    send_old,
                    next,
                }) as Edge<K, Change<V>>)
            }
        });
        let table = self.add_derived(derivation, lower, false);
        let mut plan = self.plan.borrow_mut();
        let stores = plan.connected(stores);
        let node = plan.node_mut(table.node);
        if !named {
            node.table = TableState::Transformed;
        }
        node.stores.extend(stores);
        drop(plan);
        table
    }
}

/// The view of a table whose rows are made of another's by a function with state.
fn transformed<K: Data, V: Data, W: Data, T>(
    parent: OpenView<K, V>,
    supplier: Arc<impl Fn(&Wiring<'_>) -> Result<T> + Send + Sync + 'static>,
    is_there: impl Fn(&W) -> bool + Clone + Send + Sync + 'static,
) -> OpenView<K, W>
where
    T: FnMut(&K, Option<&V>) -> Result<Option<W>, BoxError> + 'static,
{
    Arc::new(move |wiring| {
        let (mut transform, is_there) = (supplier(wiring)?, is_there.clone());
        let transform = move |key: &K, value: Option<&V>| Ok(transform(key, value)?.filter(&is_there));
        Ok(Box::new(Transformed {
            parent: parent(wiring)?,
            transform: RefCell::new(transform),
        }))
    })
}

struct Transformed<K, V, T> {
    parent: Box<dyn TableView<K, V>>,
    transform: RefCell<T>,
}

/// A row that has no timestamp.
const NO_TIME_MS: i64 = -1;

impl<K, V, T> Transformed<K, V, T> {
    /// The row is the table's own copy: the function may read the store that it is in.
    fn row<W>(&self, key: &K, row: Option<(V, i64)>) -> StoreResult<Option<(W, i64)>>
    where
        T: FnMut(&K, Option<&V>) -> Result<Option<W>, BoxError>,
    {
        let value = (self.transform.borrow_mut())(key, row.as_ref().map(|(value, _)| value));
        let time_ms = row.map_or(NO_TIME_MS, |(_, time_ms)| time_ms);
        let value = value.map_err(cause_of)?;
        Ok(value.map(|value| (value, time_ms)))
    }
}

/// What failed: a store, or the function itself.
fn cause_of(error: BoxError) -> ProcessCause {
    match error.downcast::<ProcessCause>() {
        Ok(cause) => *cause,
        Err(error) => ProcessCause::User(error),
    }
}

impl<K, V: Clone, W, T> TableView<K, W> for Transformed<K, V, T>
where
    T: FnMut(&K, Option<&V>) -> Result<Option<W>, BoxError>,
{
    fn read(&self, key: &K, look: &mut (dyn FnMut(Option<(&W, i64)>) + '_)) -> StoreResult<()> {
        let mut copy = None;
        self.parent.read(key, &mut |row| copy = copied(row))?;
        let row = self.row(key, copy)?;
        look(row.as_ref().map(|(value, time_ms)| (value, *time_ms)));
        Ok(())
    }

    fn read_as_of(
        &self,
        key: &K,
        at_ms: i64,
        look: &mut (dyn FnMut(Option<(&W, i64)>) + '_),
    ) -> StoreResult<()> {
        let mut copy = None;
        self.parent
            .read_as_of(key, at_ms, &mut |row| copy = copied(row))?;
        let row = self.row(key, copy)?;
        look(row.as_ref().map(|(value, time_ms)| (value, *time_ms)));
        Ok(())
    }
}

fn copied<V: Clone>(row: Option<(&V, i64)>) -> Option<(V, i64)> {
    row.map(|(value, time_ms)| (value.clone(), time_ms))
}
