//! Processors that bring their stores, those that share them, and those that fill them from a topic.

use std::convert::Infallible;
use std::sync::Arc;

use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext, ProcessorInit};
use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder, SessionStoreBuilder, WindowStoreBuilder};
use streams_dsl::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};

use crate::support::{create_topics, embedded, read, send, wait};

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
fn processors_that_bring_the_same_store_share_it() {
    let builder = StreamsBuilder::new();
    let clones = sums();
    builder.add_state_store("sums", clones.clone());
    for (topic, stores) in [("a", clones.clone()), ("b", clones), ("c", sums())] {
        let summed = builder
            .stream::<String, i64>(topic)
            .process((stores.clone(), stores), |init| Sum::new(init));
        summed.to("out");
    }
    let topology = builder.build().unwrap();
    let described = topology.describe();
    assert_eq!(described.matches("(stores: [sums])").count(), 3, "{described}");
    assert_eq!(topology.subtopologies().len(), 1);
    let driver = TopologyTestDriver::new(&topology).unwrap();
    for topic in ["a", "b", "c", "a"] {
        driver.input(topic).pipe("k".to_owned(), 1_i64).unwrap();
    }
    assert_eq!(driver.output::<String, i64>("out").read_values(), [1, 2, 3, 4]);
}

#[test]
fn different_stores_of_one_name_are_an_error() {
    let others: [fn(&StreamsBuilder); 6] = [
        |builder| builder.add_state_store("sums", sums().kind(StoreKind::InMemory)),
        |builder| builder.add_state_store("sums", sums().logging_disabled()),
        |builder| builder.add_state_store("sums", sums().changelog_config("retention.bytes", "1")),
        |builder| builder.add_state_store("sums", KeyValueStoreBuilder::<String, i32>::new("sums")),
        |builder| builder.add_state_store("sums", WindowStoreBuilder::<String, i64>::new("sums", 1)),
        // The store of an operator is its own.
        |builder| {
            let sums = Materialized::named("sums");
            let _ = builder.stream::<String, i64>("b").group_by_key().count(sums);
        },
    ];
    for (case, other) in others.iter().enumerate() {
        let builder = StreamsBuilder::new();
        let input = builder.stream::<String, i64>("a");
        input.process(sums(), |init| Sum::new(init)).to("out");
        other(&builder);
        let input = builder.stream::<String, i64>("c");
        input.process("sums", |init| Sum::new(init)).to("out");
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains("store sums is added twice"), "{case}: {error}");
    }
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

/// Keeps what the topic has.
struct Keep(KeyValueStore<String, String>);

impl Processor<String, Option<String>, Infallible, Infallible> for Keep {
    fn process(
        &mut self,
        record: Record<String, Option<String>>,
        _: &mut ProcessorContext<'_, '_, Infallible, Infallible>,
    ) -> Result<(), BoxError> {
        self.0.put(&record.key, record.value, record.timestamp_ms)?;
        Ok(())
    }
}

/// Sends what is kept of a key, and since when.
struct LookUp(KeyValueStore<String, String>);

impl Processor<String, String, String, String> for LookUp {
    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut ProcessorContext<'_, '_, String, String>,
    ) -> Result<(), BoxError> {
        let kept = self.0.get(&record.key)?;
        let kept = kept.map_or_else(
            || "none".to_owned(),
            |row| format!("{} of {}", row.value, row.timestamp_ms),
        );
        context.forward(record.with_value(kept))
    }
}

fn looked_up(kind: StoreKind) -> Topology {
    let mut builder = TopologyBuilder::new();
    builder.add_read_only_store(
        KeyValueStoreBuilder::<String, String>::new("kept").kind(kind),
        ("read-kept", "kept"),
        "keep",
        SourceOptions::<String, Option<String>>::default(),
        |init| Ok(Keep(init.key_value_store("kept")?)),
    );
    let asked = [TopicName::external("asked")];
    let asked = builder.add_source::<String, String>("read-asked", asked, SourceOptions::default());
    let found = builder.add_processor("look-up", &[asked], "kept", |init| {
        Ok(LookUp(init.key_value_store("kept")?))
    });
    builder.add_sink(
        "out",
        TopicName::external("out"),
        &[found],
        SinkOptions::default(),
    );
    builder.build().unwrap()
}

#[test]
fn a_read_only_store_is_restored_from_its_topic() {
    for kind in [StoreKind::Persistent, StoreKind::InMemory] {
        let (log, dir) = embedded();
        create_topics(&*log, &[("kept", 1), ("asked", 1), ("out", 1)]);
        let topology = looked_up(kind);
        let run = |state: &str| {
            let config = StreamsConfig::new("app").state_dir(dir.path().join(state));
            Streams::start(&topology, config, Arc::clone(&log)).unwrap()
        };
        let ask = |streams: &Streams| {
            for key in [b"a", b"b", b"c"] {
                send(&*log, [("asked", 0, key.as_slice(), Some(b"?".as_slice()), 9)]);
            }
            wait(&[streams]);
            let found = read(&*log, "out", 0).into_iter().rev().take(3);
            let found = found.map(|(_, value, _)| String::from_utf8(value.unwrap()).unwrap());
            found.collect::<Vec<String>>()
        };
        let first = run("state");
        for (key, value, at_ms) in [
            ("a", Some("1"), 5),
            ("b", Some("2"), 6),
            ("a", Some("3"), 7),
            ("b", None, 8),
        ] {
            send(
                &*log,
                [("kept", 0, key.as_bytes(), value.map(str::as_bytes), at_ms)],
            );
        }
        wait(&[&first]);
        let expected = ["none", "none", "3 of 7"];
        assert_eq!(ask(&first), expected);
        first.close().unwrap();
        // With its state and without.
        for state in ["state", "other-state"] {
            let again = run(state);
            assert_eq!(ask(&again), expected, "{state}");
            again.close().unwrap();
        }
        let topics = log.admin().unwrap().topics().unwrap();
        let own: Vec<&String> = topics.keys().filter(|topic| !topic.starts_with("__")).collect();
        assert_eq!(own, ["asked", "kept", "out"]);
    }
}
