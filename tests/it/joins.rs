//! Joins in topologies where more than the join matters: what two tables share, what is below, what is above.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::store::engine::{self, KeyValueStore, MemoryEngine, StoreEngine, StoreSpec};

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

/// A store of the user's: remembers what was opened in it.
#[derive(Debug, Default)]
struct Own(Mutex<BTreeSet<String>>);

impl StoreEngine for Own {
    fn open(&self, spec: &StoreSpec, _: Option<&Path>) -> engine::Result<Arc<dyn KeyValueStore>> {
        self.0.lock().unwrap().insert(spec.identity.store_name.clone());
        MemoryEngine.open(spec, None)
    }
}

/// Which stores of an outer join are in a store for all sides, for this one, and for the other.
fn kept(said: [bool; 3]) -> [Vec<String>; 3] {
    let own: [Arc<Own>; 3] = Default::default();
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, String>("left"), builder.stream("right"));
    let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    let mut joined = StreamJoined::default()
        .with_store_name("s")
        .other_store_name("other");
    let kind = |index: usize| StoreKind::Custom(own[index].clone());
    for (index, _) in said.iter().enumerate().filter(|(_, said)| **said) {
        joined = match index {
            0 => joined.kind(kind(0)),
            1 => joined.this_kind(kind(1)),
            _ => joined.other_kind(kind(2)),
        };
    }
    let joiner = |one: Option<&String>, other: Option<&String>| format!("{one:?}{other:?}");
    left.outer_join_stream_with(&right, joiner, within, joined)
        .to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    put(&driver, "left", "k", "a");
    put(&driver, "right", "k", "b");
    let out = driver.output::<String, String>("out").read_values();
    assert_eq!(out, [r#"Some("a")Some("b")"#]);
    own.map(|own| own.0.lock().unwrap().iter().cloned().collect())
}

#[test]
fn each_side_of_a_join_of_streams_has_its_own_kind_of_store() {
    let (this, other, waiting) = ("s-outer-this-join-store", "other", "s-outer-shared-join-store");
    let none: [&str; 0] = [];
    assert_eq!(kept([false; 3]), [none; 3]);
    assert_eq!(
        kept([true, false, false]),
        [&[other, waiting, this][..], &[], &[]]
    );
    // What waits is kept as this side is, unless something is said of both.
    assert_eq!(kept([false, true, false]), [&[][..], &[waiting, this], &[]]);
    assert_eq!(kept([false, false, true]), [&[][..], &[], &[other]]);
    assert_eq!(kept([true, true, true]), [&[waiting][..], &[this], &[other]]);
}

#[test]
fn both_sides_of_a_join_cannot_have_one_store() {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, String>("left"), builder.stream("right"));
    let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    let joined = StreamJoined::named("j")
        .this_store_name("s")
        .other_store_name("s");
    left.join_stream_with(&right, pair, within, joined).to("out");
    let error = builder.build().unwrap_err().to_string();
    assert!(
        error.contains("j-merge: both sides of a join are to be kept in the store s"),
        "{error}"
    );
}
