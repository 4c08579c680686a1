//! Processors that bring their stores, and those that share them.

use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext, ProcessorInit};
use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder, SessionStoreBuilder, WindowStoreBuilder};

/// Sends the sum of a key's values so far.
struct Sum(KeyValueStore<String, i64>);

impl Sum {
    fn new(init: &ProcessorInit<'_, '_>) -> Result<Self, StreamsError> {
        Ok(Self(init.key_value_store("sums")?))
    }
}

impl Processor<String, i64, String, i64> for Sum {
    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        let sum = self.0.get(&record.key)?.map_or(0, |row| row.value) + record.value;
        self.0.put(&record.key, Some(sum), record.timestamp_ms)?;
        context.forward(record.with_value(sum))
    }
}

fn sums() -> KeyValueStoreBuilder<String, i64> {
    KeyValueStoreBuilder::new("sums")
}

#[test]
fn a_store_that_is_brought_is_named_where_it_is_shared() {
    let builder = StreamsBuilder::new();
    let summed = builder
        .stream::<String, i64>("a")
        .process(sums(), |init| Sum::new(init));
    summed.to("out");
    let summed = builder
        .stream::<String, i64>("b")
        .process("sums", |init| Sum::new(init));
    summed.to("out");
    let topology = builder.build().unwrap();
    // As if it had been added and connected to both.
    let described = topology.describe();
    assert_eq!(described.matches("(stores: [sums])").count(), 2, "{described}");
    assert_eq!(topology.subtopologies().len(), 1);
    let driver = TopologyTestDriver::new(&topology).unwrap();
    for topic in ["a", "b", "a"] {
        driver.input(topic).pipe("k".to_owned(), 1_i64).unwrap();
    }
    assert_eq!(driver.output::<String, i64>("out").read_values(), [1, 2, 3]);
    assert_eq!(driver.written("app-sums-changelog").len(), 3);
}

#[test]
fn a_store_is_brought_once() {
    let builder = StreamsBuilder::new();
    for topic in ["a", "b"] {
        let summed = builder
            .stream::<String, i64>(topic)
            .process(sums(), |init| Sum::new(init));
        summed.to("out");
    }
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("store sums is added twice: add or bring it once"),
        "{error}"
    );
}

#[test]
fn stores_of_all_kinds_and_names_come_together() {
    let builder = StreamsBuilder::new();
    builder.add_state_store("seen", KeyValueStoreBuilder::<String, i64>::new("seen"));
    let windows = WindowStoreBuilder::<String, i64>::new("windows", 60_000).kind(StoreKind::InMemory);
    let sessions = SessionStoreBuilder::<String, i64>::new("sessions", 60_000).logging_disabled();
    let stores = (sums(), (windows, sessions), &["seen"]);
    let summed = builder.stream::<String, i64>("in").process(stores, |init| {
        init.window_store::<String, i64>("windows")?;
        init.session_store::<String, i64>("sessions")?;
        init.key_value_store::<String, i64>("seen")?;
        Sum::new(init)
    });
    summed.to("out");
    let topology = builder.build().unwrap();
    let described = topology.describe();
    assert!(
        described.contains("(stores: [sessions, windows, sums, seen])"),
        "{described}"
    );
    let driver = TopologyTestDriver::new(&topology).unwrap();
    driver.input("in").pipe("k".to_owned(), 7_i64).unwrap();
    assert_eq!(driver.output::<String, i64>("out").read_values(), [7]);
}
