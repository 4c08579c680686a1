//! Versioned stores, wherever Kafka Streams has them; and where it has none, a word on that.

use std::time::Duration;

use streams_dsl::prelude::*;

const HISTORY: Duration = Duration::from_secs(1);

fn versioned<V: DefaultSerde>(name: &str) -> Materialized<V> {
    Materialized::named(name).versioned(HISTORY)
}

/// Every operator with a key-value store, made as `with` says.
fn every_table(with: impl Fn(&str) -> Materialized<i64>) -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("in", with("table"));
    let _ = table.filter_with(|_, _| true, with("filtered"));
    let _ = table.map_values_with(|n| n, with("mapped"));
    let _ = table.filter_map_values_with(|_, n| Some(n), with("filter-mapped"));
    let _ = table.transform_values(
        &[],
        |_| Ok(|_: &String, n: Option<&i64>| Ok(n.copied())),
        with("transformed"),
    );
    let _ = table.join_with(&table, |a, _| *a, with("joined"));
    let key = |key: &String, _: &i64| Some(key.clone());
    let _ = table.join_foreign_key_with(&table, key, |a, _| *a, TableJoined::default(), with("by-key"));
    let grouped = table.group_by(|key, n| (key.clone(), *n));
    let _ = grouped.reduce(|_, new| new, |old, _| old, with("table-reduced"));
    let stream = builder.stream::<String, i64>("stream");
    let _ = stream.to_table(with("made-a-table"));
    let grouped = stream.group_by_key();
    let _ = grouped.reduce(|_, new| new, with("reduced"));
    let _ = grouped.count(with("counted"));
    let _ = grouped.aggregate(|| 0, |_, n, _| n, with("aggregated"));
    let _ = grouped.cogroup(|_, n, _| n).aggregate(|| 0, with("cogrouped"));
    builder
}

const TABLES: [&str; 13] = [
    "table",
    "filtered",
    "mapped",
    "filter-mapped",
    "transformed",
    "joined",
    "by-key",
    "table-reduced",
    "made-a-table",
    "reduced",
    "counted",
    "aggregated",
    "cogrouped",
];

#[test]
fn every_key_value_store_can_keep_versions() {
    let topology = every_table(versioned).build().unwrap();
    let driver = TopologyTestDriver::new(&topology).unwrap();
    for (n, at_ms) in [(1_i64, 100), (2, 200)] {
        for topic in ["in", "stream"] {
            driver.input(topic).pipe_at("a".to_owned(), n, at_ms).unwrap();
        }
    }
    for table in TABLES {
        let store = driver.versioned_store::<String, i64>(table);
        let store = store.unwrap_or_else(|error| panic!("{table}: {error}"));
        let at = |ms| store.get_as_of(&"a".to_owned(), ms).unwrap().map(|row| row.value);
        assert_eq!((at(150), at(250)), (Some(1), Some(2)), "{table}");
    }
}

#[test]
fn what_comes_late_changes_what_was() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("in", versioned("table"));
    let mapped = table.map_values_with(|n| n * 10, versioned("mapped"));
    // Rows that are not the latest are in no group, and those too old for the store go no further.
    let sum = mapped.group_by(|_, n| ("all".to_owned(), *n));
    let sum = sum.reduce(|a, b| a + b, |a, b| a - b, Materialized::named("sum"));
    sum.to_stream().to("sum");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for (n, at_ms) in [(1_i64, 5_000), (2, 4_500), (3, 1_000), (4, 6_000)] {
        driver.input("in").pipe_at("a".to_owned(), n, at_ms).unwrap();
    }
    let sums = driver.output::<String, Option<i64>>("sum").read_key_values();
    let sums: Vec<_> = sums.into_iter().map(|(_, sum)| sum.unwrap()).collect();
    assert_eq!(sums, [10, 40]);
    let mapped = driver.versioned_store::<String, i64>("mapped").unwrap();
    let at = |ms| {
        mapped
            .get_as_of(&"a".to_owned(), ms)
            .unwrap()
            .map(|row| row.value)
    };
    assert_eq!((at(5_200), at(6_000)), (Some(10), Some(40)));
}

#[test]
fn stores_of_windows_keep_no_versions() {
    let windowed = |add: fn(&KGroupedStream<String, i64>)| {
        let builder = StreamsBuilder::new();
        add(&builder.stream::<String, i64>("in").group_by_key());
        builder.build().unwrap_err().to_string()
    };
    let errors = [
        windowed(|stream| {
            let windows = TimeWindows::of_size_with_no_grace(HISTORY);
            stream
                .windowed_by(windows)
                .count(versioned("kept"))
                .to_stream()
                .to("out");
        }),
        windowed(|stream| {
            let windows = SlidingWindows::of_time_difference_with_no_grace(HISTORY);
            stream
                .windowed_by(windows)
                .count(versioned("kept"))
                .to_stream()
                .to("out");
        }),
        windowed(|stream| {
            let windows = SessionWindows::of_inactivity_gap_with_no_grace(HISTORY);
            stream
                .windowed_by(windows)
                .count(versioned("kept"))
                .to_stream()
                .to("out");
        }),
    ];
    for error in errors {
        assert!(
            error.contains("kept: a store of windows cannot be versioned"),
            "{error}"
        );
    }
}

#[test]
fn what_is_versioned_is_not_an_lru_store() {
    let error = every_table(|name| versioned(name).lru(3))
        .build()
        .unwrap_err()
        .to_string();
    for table in TABLES {
        let problem = format!("{table}: a versioned store cannot be an LRU store");
        assert!(error.contains(&problem), "{table} is not in {error}");
    }
}
