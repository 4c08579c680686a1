//! Processors of the user's own in a stream.

use std::any::TypeId;
use std::rc::Rc;

use streams_core::error::Result;
use streams_core::processor::{FixedKeyProcessor, Processor, ProcessorInit};
use streams_core::store::ConnectedStores;
use streams_core::topology::OperatorSupplier;

use crate::lower::Lower;
use crate::names::prefix;
use crate::plan::{KeyEffect, PlanNode};
use crate::{Data, KStream};

/// Processors of your own.
impl<K: Data, V: Data> KStream<K, V> {
    /// A processor of your own (Kafka's Processor API): see [`Processor`]. `supplier` makes one for each task; it takes the
    /// stores, and schedules, from its argument. `stores` are [brought along](ConnectedStores), in a tuple if there are several,
    /// as those of Kafka's `ProcessorSupplier.stores()`; or they are named, if others use them too.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder};
    ///
    /// /// Passes a value on if it differs from the key's last one.
    /// struct Distinct(KeyValueStore<String, i64>);
    ///
    /// impl Processor<String, i64, String, i64> for Distinct {
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         context: &mut ProcessorContext<'_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         let before = self.0.put(&record.key, Some(record.value), record.timestamp_ms)?;
    ///         match before {
    ///             Some(before) if before.value == record.value => Ok(()),
    ///             _ => context.forward(record),
    ///         }
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let last = KeyValueStoreBuilder::<String, i64>::new("last");
    /// let input = builder.stream::<String, i64>("in");
    /// input.process(last, |init| Ok(Distinct(init.key_value_store("last")?))).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [1_i64, 1, 2] {
    ///     driver.input("in").pipe("a".to_string(), n)?;
    /// }
    /// let out = driver.output::<String, i64>("out").read_key_values();
    /// assert_eq!(out, [("a".into(), 1), ("a".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn process<KO: Data, VO: Data, P: Processor<K, V, KO, VO>>(
        &self,
        stores: impl ConnectedStores,
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let lower = Lower::Operator(OperatorSupplier::processor::<K, V, KO, VO, P>(supplier));
        let stores = self.plan.borrow_mut().connected(stores);
        let node = self.add(prefix::PROCESSOR, |name, parents| {
            let mut node = PlanNode::new(name, parents, lower);
            node.key = KeyEffect::MayChange;
            node.changes_values = true;
            node.stores = stores;
            node
        });
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// A processor of your own that leaves keys as they are (Kafka's `processValues`): nothing behind it is repartitioned for its
    /// sake. See [`FixedKeyProcessor`]; stores and schedules as for [`process`](Self::process).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    /// use streams_dsl::processor::{BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};
    /// use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder};
    ///
    /// /// Passes on the difference to the key's last value.
    /// struct Difference(KeyValueStore<String, i64>);
    ///
    /// impl FixedKeyProcessor<String, i64, i64> for Difference {
    ///     fn process(
    ///         &mut self,
    ///         record: FixedKeyRecord<String, i64>,
    ///         context: &mut FixedKeyProcessorContext<'_, '_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         let value = *record.value();
    ///         let before = self.0.put(record.key(), Some(value), record.timestamp_ms())?;
    ///         context.forward(record.with_value(value - before.map_or(0, |row| row.value)))
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let last = KeyValueStoreBuilder::<String, i64>::new("last");
    /// let input = builder.stream::<String, i64>("in");
    /// input.process_values(last, |init| Ok(Difference(init.key_value_store("last")?))).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for n in [5_i64, 7] {
    ///     driver.input("in").pipe("a".to_string(), n)?;
    /// }
    /// let out = driver.output::<String, i64>("out").read_key_values();
    /// assert_eq!(out, [("a".into(), 5), ("a".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn process_values<VO: Data, P: FixedKeyProcessor<K, V, VO>>(
        &self,
        stores: impl ConnectedStores,
        supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let lower = Lower::Operator(OperatorSupplier::fixed_key_processor::<K, V, VO, P>(supplier));
        let stores = self.plan.borrow_mut().connected(stores);
        let node = self.add(prefix::PROCESS_VALUES, |name, parents| {
            let mut node = PlanNode::new(name, parents, lower);
            // As in Kafka, a repartition may go above it, if that can write the values there: see ADR 0009.
            node.changes_values = TypeId::of::<V>() != TypeId::of::<VO>();
            node.stores = stores;
            node
        });
        self.with_values(node)
    }
}
