//! Tables whose rows are made by a function with state. Follows Kafka's `KTable.transformValues`.

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::processor::BoxError;
use streams_core::topology::Wiring;

use crate::lower::table_operator_of;
use crate::names::prefix;
use crate::operators::table_transform::TableTransform;
use crate::options::Materialized;
use crate::plan::TableState;
use crate::table::{not_null, open};
use crate::{Change, Data, KTable, view};

/// Transforming values.
impl<K: Data, V: Data> KTable<K, V> {
    /// A new value for each row, from a function that may have state and may fail. `supplier` makes one for each task; it takes
    /// the stores named here from its argument. The function gets the key and the row, or none if the row is deleted; `None`
    /// deletes the row of the result.
    ///
    /// What the function returns as an error goes to the [processing handler](streams_core::handlers::ErrorHandlers::processing).
    /// The result is kept in a store if `materialized` has a name, or once it is looked up, by a join for example: the function
    /// sees each update once.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::store::KeyValueStoreBuilder;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.add_state_store("changes", KeyValueStoreBuilder::<String, i64>::new("changes"));
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let numbered = prices.transform_values(
    ///     &["changes"],
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
        stores: &[&str],
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
        let derivation = self.derive(prefix, materialized, Some(&value_serde), view::key_value(""));
        let derivation = derivation.stored_on_demand(self, value_serde);
        let store = derivation.store.clone();
        let lower = table_operator_of(derivation.cache.clone(), move |node| {
            let (name, send_old) = (node.name.clone(), node.send_old_values);
            let store = store.filter(|store| node.stores.contains(store));
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
        let on_demand = derivation.store.clone().filter(|_| !named);
        let table = self.add_derived(derivation, lower, false);
        let mut plan = self.plan.borrow_mut();
        let node = plan.node_mut(table.node);
        if let Some(store) = on_demand {
            node.stores.clear();
            node.table = TableState::OnDemand(store);
        }
        node.stores.extend(stores.iter().map(|&store| store.to_owned()));
        drop(plan);
        table
    }
}
