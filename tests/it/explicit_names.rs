//! Topologies that must name all that they keep.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::store::GlobalStoreBuilder;

/// What is wrong with a topology, if anything is.
fn unnamed(add: impl Fn(&StreamsBuilder)) -> Option<String> {
    let builder = StreamsBuilder::new();
    builder.require_explicit_names();
    add(&builder);
    builder.build().err().map(|error| error.to_string())
}

fn within() -> JoinWindows {
    JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(1))
}

#[test]
fn what_is_kept_under_generated_names_is_refused() {
    let error = unnamed(|builder| {
        let words = builder.stream::<String, String>("words");
        let _counts = words
            .group_by(|_, word| word.clone())
            .count(Materialized::default());
    });
    let error = error.unwrap();
    assert!(error.contains("stores KSTREAM-AGGREGATE-STATE-STORE-"), "{error}");
    assert!(
        error.contains("repartition topics KSTREAM-AGGREGATE-STATE-STORE-"),
        "{error}"
    );

    let error = unnamed(|builder| {
        let (left, right) = (builder.stream::<String, String>("left"), builder.stream("right"));
        let both = |a: Option<&String>, b: Option<&String>| format!("{a:?}{b:?}");
        left.outer_join_stream_with(&right, both, within(), StreamJoined::named("both"))
            .to("out");
    });
    let error = error.unwrap();
    for store in [
        "KSTREAM-OUTERTHIS-",
        "KSTREAM-OUTEROTHER-",
        "KSTREAM-OUTERSHARED-",
    ] {
        assert!(error.contains(store), "{error}");
    }
    assert!(!error.contains("repartition topics KSTREAM"), "{error}");

    let error = unnamed(|builder| {
        let orders = builder.table::<i64, i64>("orders", Materialized::named("orders"));
        let names = builder.table::<i64, String>("names", Materialized::named("names"));
        let joined = orders.join_foreign_key(&names, |_, id| Some(*id), |_, name| name.clone());
        joined.to_stream().to("out");
    });
    assert!(
        error
            .unwrap()
            .contains("KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-")
    );
}

#[test]
fn what_is_named_or_not_kept_is_fine() {
    let error = unnamed(|builder| {
        let words = builder
            .stream::<String, String>("words")
            .map(|_, word| (word.clone(), word));
        let by_word = words.group_by_key_with(Grouped::named("by-word"));
        let counts = by_word.count(Materialized::named("counts-0000000001"));
        counts.filter(|_, n| *n > 1).to_stream().to("counts");
        let joined = StreamJoined::named("both").with_store_name("both");
        words
            .join_stream_with(&words, |a, b| format!("{a}{b}"), within(), joined)
            .to("both");
        // Nobody needs the rows of this table, and those of this one are read again from its topic.
        builder
            .table::<String, String>("table", Materialized::default())
            .to_stream()
            .to("out");
        let _global = builder.global_table::<String, String>("global", Materialized::default());
        let orders = builder.table::<i64, i64>("orders", Materialized::named("orders"));
        let names = builder.table::<i64, String>("names", Materialized::named("names"));
        let joined = orders.join_foreign_key_with(
            &names,
            |_, id| Some(*id),
            |_, name| name.clone(),
            TableJoined::named("named"),
            Materialized::default(),
        );
        joined.to_stream().to("out");
    });
    assert_eq!(error, None);
}

#[test]
fn processors_of_global_stores_have_names() {
    let builder = StreamsBuilder::new();
    let store = GlobalStoreBuilder::<String, i64>::new("largest");
    let largest = builder.add_global_store(
        store,
        "amounts",
        Consumed::<String, i64>::default(),
        |record, store| Ok(store.put(&record.key, Some(&record.value), record.timestamp_ms)?),
    );
    largest.named("keep");
    let description = builder.build().unwrap().describe();
    assert!(
        description.contains("Source: keep-source (topics: [amounts])"),
        "{description}"
    );
    assert!(
        description.contains("Processor: keep (stores: [largest])"),
        "{description}"
    );
}
