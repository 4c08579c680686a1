//! Serdes that read and write headers: which of them are told, and what they add.

use std::sync::{Arc, Mutex};

use streams_dsl::Headers;
use streams_dsl::prelude::*;
use streams_dsl::serde::{ListSerde, NullableSerde, SerdeError};
use streams_dsl::topology::Partitions;

/// Text. Remembers where it was asked to read what, with which headers, and marks what it writes.
#[derive(Debug, Default)]
struct Marked(Mutex<Vec<String>>);

impl Marked {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl Serde<String> for Marked {
    fn serialize(&self, topic: &str, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.note(format!("{topic} < {value}"));
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<String, SerdeError> {
        let value = String::from_utf8_lossy(bytes).into_owned();
        self.note(format!("{topic} > {value}"));
        Ok(value)
    }

    fn serialize_with_headers(
        &self,
        topic: &str,
        headers: &mut Headers,
        value: &String,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.note(format!("{topic} < {value} with {}", names(headers)));
        headers.add("mark", Some(value.as_bytes()));
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize_with_headers(
        &self,
        topic: &str,
        headers: &Headers,
        bytes: &[u8],
    ) -> Result<String, SerdeError> {
        let value = String::from_utf8_lossy(bytes).into_owned();
        self.note(format!("{topic} > {value} with {}", names(headers)));
        Ok(value)
    }
}

fn names(headers: &Headers) -> String {
    let names: Vec<&str> = headers.iter().map(|header| &*header.key).collect();
    format!("[{}]", names.join(" "))
}

/// A record that was piped with one header, `id`.
fn pipe(driver: &TopologyTestDriver, topic: &str, value: &str) {
    let mut record = Record::new("k".to_owned(), value.to_owned(), 0);
    record.headers = Headers::default().with("id", Some(b"7"));
    driver
        .input::<String, String>(topic)
        .pipe_record(&record)
        .unwrap();
}

fn headers_of(driver: &TopologyTestDriver, topic: &str) -> Vec<String> {
    let written = driver.written(topic);
    written.iter().map(|record| names(&record.headers)).collect()
}

#[test]
fn sources_and_sinks_are_told_and_what_a_sink_adds_is_written_there_only() {
    let (read, written) = (Arc::new(Marked::default()), Arc::new(Marked::default()));
    let builder = StreamsBuilder::new();
    let words = builder.stream_with("in", Consumed::with(String::default_serde(), read.clone()));
    let everywhere = Produced::with(String::default_serde(), written.clone())
        .partitioner(|record| Partitions::all(record.partitions));
    words.to_with("marked", everywhere);
    words.to_with(
        "plain",
        Produced::with(String::default_serde(), String::default_serde()),
    );
    let options = TestDriverOptions::default().partitions("marked", 2);
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    pipe(&driver, "in", "v");
    assert_eq!(read.told(), ["in > v with [id]"]);
    // Written once, for both partitions.
    assert_eq!(written.told(), ["marked < v with [id]"]);
    assert_eq!(headers_of(&driver, "marked"), ["[id mark]", "[id mark]"]);
    assert_eq!(headers_of(&driver, "plain"), ["[id]"]);
}

#[test]
fn keys_are_written_before_values_and_nulls_not_at_all() {
    let serde = Arc::new(Marked::default());
    let nullable = || Arc::new(NullableSerde::new(serde.clone() as Arc<dyn Serde<String>>));
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, Option<String>>("in");
    words.to_with("out", Produced::with(serde.clone(), nullable()));
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    pipe(&driver, "in", "v");
    driver
        .input("in")
        .pipe("gone".to_owned(), None::<String>)
        .unwrap();
    let told = [
        "out < k with [id]",
        "out < v with [id mark]",
        "out < gone with []",
    ];
    assert_eq!(serde.told(), told);
    assert_eq!(headers_of(&driver, "out"), ["[id mark mark]", "[mark]"]);
    // The driver's own topics are told as well.
    let out = driver.output_with("out", serde.clone(), nullable());
    assert_eq!(out.read_key_value(), Some(("k".into(), Some("v".into()))));
    let told = ["out > k with [id mark mark]", "out > v with [id mark mark]"];
    assert_eq!(serde.told(), told);
}

#[test]
fn stores_are_not_told() {
    let serde = Arc::new(Marked::default());
    let builder = StreamsBuilder::new();
    let table = builder.table_with(
        "in",
        Consumed::with(String::default_serde(), serde.clone()),
        Materialized::named("rows"),
    );
    table.to_stream().map_values(|_| 0_i64).to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    pipe(&driver, "in", "v");
    let rows = driver.key_value_store::<String, String>("rows").unwrap();
    assert_eq!(rows.get(&"k".to_owned()).unwrap().unwrap().value, "v");
    let told = serde.told();
    let (source, store) = told.split_first().unwrap();
    assert_eq!(source, "in > v with [id]");
    let is_store = |what: &String| what.starts_with("app-rows-changelog ") && !what.contains(" with ");
    assert!(!store.is_empty() && store.iter().all(is_store), "{told:?}");
    assert_eq!(headers_of(&driver, "app-rows-changelog"), ["[]"]);
}

#[test]
fn both_values_of_a_change_are_told_on_their_way_to_a_grouped_table() {
    let serde = Arc::new(Marked::default());
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Materialized::default());
    let by_value = Grouped::with(String::default_serde(), serde.clone()).with_name("by-value");
    let grouped = table.group_by_with(|_, value| ("all".to_owned(), value.clone()), by_value);
    grouped.count(Materialized::default()).to_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    pipe(&driver, "in", "a");
    serde.told();
    pipe(&driver, "in", "b");
    let topic = "app-by-value-repartition";
    let told = [
        format!("{topic} < b with [id]"),
        format!("{topic} < a with [id mark]"),
        format!("{topic} > b with [id mark mark]"),
        format!("{topic} > a with [id mark mark]"),
    ];
    assert_eq!(serde.told(), told);
}

#[test]
fn the_inner_serdes_of_lists_and_windows_are_not_told() {
    let serde = Arc::new(Marked::default());
    let headers = &mut Headers::default().with("id", None);
    let list = ListSerde::new(serde.clone() as Arc<dyn Serde<String>>);
    let mut bytes = Vec::new();
    list.serialize_with_headers("t", headers, &vec!["v".to_owned()], &mut bytes)
        .unwrap();
    list.deserialize_with_headers("t", headers, &bytes).unwrap();
    assert_eq!(serde.told(), ["t < v", "t > v"]);
    assert_eq!(names(headers), "[id]");
}

#[test]
fn global_tables_are_told() {
    let serde = Arc::new(Marked::default());
    let builder = StreamsBuilder::new();
    builder.global_table_with(
        "in",
        Consumed::with(String::default_serde(), serde.clone()),
        Materialized::with(String::default_serde()).with_name("rows"),
    );
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    pipe(&driver, "in", "v");
    assert_eq!(serde.told(), ["in > v with [id]"]);
}
