//! Values that are null in a table's own type: they delete, in the store, in its changelog, and for everyone downstream.

use std::sync::Arc;
use std::time::Duration;

use streams_dsl::Headers;
use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};
use streams_dsl::store::{
    KeyValueStore, KeyValueStoreBuilder, SessionStore, SessionStoreBuilder, WindowStore, WindowStoreBuilder,
};
use streams_dsl::testing::WrittenRecord;

use crate::support::{create_topics, embedded, read, send, wait};

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn stored<V: DefaultSerde>(name: &str) -> Materialized<Option<V>> {
    Materialized::named(name)
}

/// Every operator of tables whose function can give a null, each with a store.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Materialized::default());
    let mapped = table.map_values_with(|text| number(&text), stored("mapped"));
    mapped.to_nullable_stream().to("mapped");
    let texts = table.map_values_with(|text| number(&text).map(|_| text), stored::<String>("texts"));
    texts.to_nullable_stream().to("texts");
    let joined = table.join_with(&table, |text, _| number(text), stored("joined"));
    joined.to_nullable_stream().to("joined");
    let outer = table.outer_join_with(&table, |text, _| number(text?), stored("outer"));
    outer.to_nullable_stream().to("outer");
    let transformed = table.transform_values(
        &[],
        |_| Ok(|_: &String, text: Option<&String>| Ok(text.map(|text| number(text)))),
        stored("transformed"),
    );
    transformed.to_nullable_stream().to("transformed");
    let by_key = table.join_foreign_key_with(
        &table,
        |key, _| Some(key.clone()),
        |text, _| number(text),
        TableJoined::default(),
        stored("by-key"),
    );
    by_key.to_nullable_stream().to("by-key");
    builder.build().unwrap()
}

const TABLES: [&str; 6] = ["mapped", "texts", "joined", "outer", "transformed", "by-key"];

#[test]
fn what_is_null_is_deleted_in_the_changelog() {
    let driver = TopologyTestDriver::new(&topology()).unwrap();
    for (at, text) in ["1", "one"].into_iter().enumerate() {
        let input = driver.input("in");
        input.pipe_at("a".to_owned(), text.to_owned(), at as i64).unwrap();
    }
    for table in TABLES {
        let last = driver.written(&format!("app-{table}-changelog")).pop().unwrap();
        assert_eq!(last.value, None, "{table}");
        assert_eq!(driver.written(table).pop().unwrap().value, None, "{table}");
    }
    let row = driver.key_value_store::<String, Option<i64>>("mapped").unwrap();
    assert_eq!(row.get(&"a".to_owned()).unwrap(), None);
}

#[test]
fn what_is_null_is_not_there_after_a_restart() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("in", 1)]);
    create_topics(&*log, &TABLES.map(|table| (table, 1)));
    for (at, text) in ["1", "one", "2"].into_iter().enumerate() {
        send(
            &*log,
            [("in", 0, b"a".as_slice(), Some(text.as_bytes()), at as i64)],
        );
        let state = dir.path().join(format!("state-{at}"));
        let config = StreamsConfig::new("app").state_dir(state);
        let streams = Streams::start(&topology(), config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
    }
    for table in TABLES {
        let records = read(&*log, table, 0);
        let last = records.last().unwrap();
        assert!(last.1.is_some(), "{table}: {records:?}");
    }
}

/// A table that nothing says how to write, until it is held back.
#[test]
fn what_is_null_is_a_deletion_when_it_was_held_back() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Materialized::default());
    let wait = Suppressed::until_time_limit(Duration::ZERO, BufferConfig::unbounded());
    let held = table.map_values(|text| number(&text)).suppress(wait);
    held.to_nullable_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for text in ["1", "one"] {
        driver.input("in").pipe("a".to_owned(), text.to_owned()).unwrap();
    }
    let out = driver.output::<String, Option<i64>>("out").read_key_values();
    assert_eq!(out, [("a".to_owned(), Some(1)), ("a".to_owned(), None)]);
}

/// What a processor puts.
struct Puts {
    rows: KeyValueStore<String, Option<i64>>,
    windows: WindowStore<String, Option<i64>>,
    sessions: SessionStore<String, Option<i64>>,
}

impl FixedKeyProcessor<String, String, ()> for Puts {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, String>,
        _: &mut FixedKeyProcessorContext<'_, '_, '_, String, ()>,
    ) -> Result<(), BoxError> {
        let value = number(record.value());
        self.rows.put(record.key(), Some(value), 0)?;
        self.windows.put(record.key(), 0, Some(value), 0)?;
        self.sessions.put(record.key(), (0, 0), Some(value), 0)?;
        Ok(())
    }
}

#[test]
fn stores_take_null_for_a_deletion() {
    type Nullable = Option<i64>;
    let builder = StreamsBuilder::new();
    builder.add_state_store("rows", KeyValueStoreBuilder::<String, Nullable>::new("rows"));
    builder.add_state_store(
        "windows",
        WindowStoreBuilder::<String, Nullable>::new("windows", 9),
    );
    builder.add_state_store(
        "sessions",
        SessionStoreBuilder::<String, Nullable>::new("sessions", 9),
    );
    let stores = ["rows", "windows", "sessions"];
    let texts = builder.stream::<String, String>("in");
    let put = texts.process_values(&stores, |init| {
        Ok(Puts {
            rows: init.key_value_store("rows")?,
            windows: init.window_store("windows")?,
            sessions: init.session_store("sessions")?,
        })
    });
    put.for_each(|_, ()| ());
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for text in ["1", "one"] {
        driver.input("in").pipe("a".to_owned(), text.to_owned()).unwrap();
    }
    for store in stores {
        let written = driver.written(&format!("app-{store}-changelog"));
        let values = written.into_iter().map(|record| record.value.is_some());
        assert_eq!(values.collect::<Vec<_>>(), [true, false], "{store}");
    }
}

#[test]
fn a_null_key_from_the_topic_of_a_grouped_table_is_an_error() {
    let build = || {
        let builder = StreamsBuilder::new();
        let table = builder.table::<String, String>("in", Materialized::default());
        let grouped = table.group_by(|key, text| (Some(key.clone()), text.clone()));
        let counts = grouped.count(Materialized::named("counts"));
        counts.to_stream().to("out");
        builder.build().unwrap()
    };
    let record = WrittenRecord {
        key: None,
        value: Some(b"x\x01".as_slice().into()),
        timestamp_ms: 0,
        headers: Headers::default(),
    };
    let driver = TopologyTestDriver::new(&build()).unwrap();
    let error = driver
        .pipe_raw("app-counts-repartition", &record)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("counts") && error.contains("KTABLE-AGGREGATE"),
        "{error}"
    );
    let handlers = ErrorHandlers::default().processing(LogAndContinue);
    let options = TestDriverOptions::default().errors(handlers);
    let driver = TopologyTestDriver::with_options(&build(), options).unwrap();
    driver.pipe_raw("app-counts-repartition", &record).unwrap();
    assert_eq!(driver.dropped(DropReason::Processing), 1);
}
