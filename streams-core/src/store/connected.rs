//! The stores of a processor, as they are said where it is added: by name, or brought along.

use super::{StoreBuilder, StoreSpec};

/// The stores that a processor is connected to. Either names of stores that were added to the topology; or the stores
/// themselves, which are added with it, as those of a `ProcessorSupplier.stores()` are in Kafka; or both, in a tuple.
///
/// Processors share a store if they bring the same one: by clones of one builder, or by builders that say the same, serdes
/// included (what tells serdes apart is how they are shown with `{:?}`). Or they name it. Two builders that say different things of
/// one name are an error of the topology, as is a store of an operator's that somebody brings. A processor that has its stores with
/// it is a function for whoever uses it, who need not know that there are any:
///
/// ```
/// use streams_core::Record;
/// use streams_core::processor::{BoxError, Processor, ProcessorContext};
/// use streams_core::store::{KeyValueStore, KeyValueStoreBuilder};
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{Node, SinkOptions, SourceOptions, TopicName, TopologyBuilder};
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
/// fn distinct(builder: &mut TopologyBuilder, name: &str, numbers: Node<String, i64>) -> Node<String, i64> {
///     let last = KeyValueStoreBuilder::<String, i64>::new("last");
///     builder.add_processor(name, &[numbers], last, |init| Ok(Distinct(init.key_value_store("last")?)))
/// }
///
/// let mut builder = TopologyBuilder::new();
/// let mut input = |topic| builder.add_source::<String, i64>(topic, [TopicName::external(topic)], SourceOptions::default());
/// let (numbers, more) = (input("in"), input("more"));
/// // Both have the values of both, as if each had brought all of it.
/// let distinct = [distinct(&mut builder, "distinct", numbers), distinct(&mut builder, "distinct-more", more)];
/// builder.add_sink("out", TopicName::external("out"), &distinct, SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("in").pipe_key_values([7_i64, 7, 8].map(|n| ("a".to_string(), n)))?;
/// driver.input("more").pipe_key_values([8_i64, 9].map(|n| ("a".to_string(), n)))?;
/// assert_eq!(driver.output::<String, i64>("out").read_values(), [7, 8, 9]);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which stores a processor is connected to",
    note = "give their names as `&str`, as in `&[\"counts\"]` or `&[name.as_str()]`; or the stores themselves, as their builders; several in a tuple"
)]
pub trait ConnectedStores {
    /// Adds these to what a processor is connected to.
    #[doc(hidden)]
    fn connect_to(self, connections: &mut StoreConnections);
}

/// What a processor is connected to.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct StoreConnections {
    /// Of all, those that are brought too.
    pub names: Vec<String>,
    /// To be added to the topology.
    pub brought: Vec<StoreSpec>,
}

impl StoreConnections {
    /// What these stores say.
    pub fn of(stores: impl ConnectedStores) -> Self {
        let mut connections = Self::default();
        stores.connect_to(&mut connections);
        connections
    }
}

impl<B: StoreBuilder> ConnectedStores for B {
    fn connect_to(self, connections: &mut StoreConnections) {
        let spec = self.into_spec();
        if !connections.names.contains(&spec.name) {
            connections.names.push(spec.name.clone());
        }
        connections.brought.push(spec);
    }
}

impl ConnectedStores for &str {
    fn connect_to(self, connections: &mut StoreConnections) {
        connections.names.push(self.to_owned());
    }
}

impl ConnectedStores for &[&str] {
    fn connect_to(self, connections: &mut StoreConnections) {
        for &name in self {
            name.connect_to(connections);
        }
    }
}

impl<const N: usize> ConnectedStores for &[&str; N] {
    fn connect_to(self, connections: &mut StoreConnections) {
        self.as_slice().connect_to(connections);
    }
}

macro_rules! connected_tuple {
    ($($stores:ident)+) => {
        impl<$($stores: ConnectedStores),+> ConnectedStores for ($($stores,)+) {
            #[expect(non_snake_case, reason = "a variable for each type parameter")]
            fn connect_to(self, connections: &mut StoreConnections) {
                let ($($stores,)+) = self;
                $($stores.connect_to(connections);)+
            }
        }
    };
}

connected_tuple!(A B);
connected_tuple!(A B C);
connected_tuple!(A B C D);
