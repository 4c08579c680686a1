//! Joins in topologies where more than the join matters: what two tables share, what is below, what is above.

use std::time::Duration;

use streams_dsl::prelude::*;

fn put(driver: &TopologyTestDriver, topic: &str, key: &str, value: &str) {
    let record = (key.to_owned(), value.to_owned());
    driver.input(topic).pipe(record.0, record.1).unwrap();
}

fn pair(one: &String, other: &String) -> String {
    format!("{one}{other}")
}

#[test]
fn joined_tables_may_need_the_same_store() {
    let builder = StreamsBuilder::new();
    let one = builder.table::<String, String>("one", Materialized::default());
    let other = builder.table::<String, String>("other", Materialized::default());
    let shouted = one.map_values(|value| value.to_uppercase());
    let (twice, both) = (one.join(&shouted, pair), other.join(&one, pair));
    let stream = builder.stream::<String, String>("in");
    let looked_up = stream.join(&twice.join(&both, pair), |value, row| pair(&value, row));
    looked_up.to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for (topic, value) in [("one", "a"), ("other", "b"), ("in", "?")] {
        put(&driver, topic, "k", value);
    }
    let out = driver.output::<String, String>("out").read_key_values();
    assert_eq!(out, [("k".into(), "?aAba".into())]);
}

#[test]
fn a_stored_join_knows_what_leaves_a_group() {
    let builder = StreamsBuilder::new();
    let one = builder.table::<String, String>("one", Materialized::default());
    let other = builder.table::<String, String>("other", Materialized::default());
    let both = one.join_with(&other, pair, Materialized::named("both"));
    let counts = both.group_by(|key, row| (row.clone(), key.clone()));
    counts.count(Materialized::default()).to_stream().to("counts");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for (topic, value) in [("one", "a"), ("other", "b"), ("one", "c")] {
        put(&driver, topic, "k", value);
    }
    let counts = driver.output::<String, i64>("counts").read_key_values();
    assert_eq!(counts, [("ab".into(), 1), ("ab".into(), 0), ("cb".into(), 1)]);
}

#[test]
fn null_keys_pass_repartitions_above_left_joins_only() {
    let builder = StreamsBuilder::new();
    let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    let through = |topic: &str| {
        let stream = builder.stream::<Option<String>, String>(topic);
        stream.repartition(Repartitioned::default())
    };
    let item = |_: &Option<String>, item: &String| item.clone();
    through("left")
        .left_join_global(&prices, item, |_, price| price.copied().unwrap_or(-1))
        .to("left-out");
    through("inner")
        .join_global(&prices, item, |_, price| *price)
        .to("inner-out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    driver.input("prices").pipe("tea".to_owned(), 3_i64).unwrap();
    for topic in ["left", "inner"] {
        for key in [None, Some("k".to_owned())] {
            driver.input(topic).pipe(key, "tea".to_owned()).unwrap();
        }
    }
    let out = |topic| driver.output::<Option<String>, i64>(topic).read_key_values();
    assert_eq!(out("left-out"), [(None, 3), (Some("k".into()), 3)]);
    assert_eq!(out("inner-out"), [(Some("k".into()), 3)]);
}

#[test]
fn a_stream_merged_with_itself_is_sent_once() {
    let builder = StreamsBuilder::new();
    let stream = || builder.stream::<String, String>("in");
    stream().merge(&stream()).to("out");
    let topology = builder.build().unwrap();
    assert!(topology.describe().contains("<-- KSTREAM-SOURCE-0000000000\n"));
    let driver = TopologyTestDriver::new(&topology).unwrap();
    put(&driver, "in", "k", "v");
    let out = driver.output::<String, String>("out").read_key_values();
    assert_eq!(out, [("k".into(), "v".into())]);
}

#[test]
fn a_join_of_versioned_tables_is_not_versioned() {
    let builder = StreamsBuilder::new();
    let table = |topic: &str| {
        let history = Materialized::named(topic).versioned(Duration::from_secs(60));
        builder.table::<String, String>(topic, history)
    };
    let both = table("one").join(&table("other"), pair);
    let at_once = Suppressed::until_time_limit(Duration::ZERO, BufferConfig::unbounded());
    // Of a versioned table nothing can be held back.
    both.suppress(at_once).to_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    put(&driver, "one", "k", "a");
    put(&driver, "other", "k", "b");
    let out = driver.output::<String, String>("out").read_key_values();
    assert_eq!(out, [("k".into(), "ab".into())]);
}
