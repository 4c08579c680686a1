//! What can be said of a topology without running it: names, pictures, and what an upgrade does to its state.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::topology::{TopologySummary, UpgradeFinding};

fn built(add: impl FnOnce(&StreamsBuilder)) -> Topology {
    let builder = StreamsBuilder::new();
    add(&builder);
    builder.build().unwrap()
}

/// Counts by another key, in windows, beside a table.
fn version(counts: &str, table_first: bool) -> Topology {
    built(|builder| {
        let table = || {
            builder
                .table::<String, i64>("prices", Materialized::named("prices"))
                .to_stream()
                .to("changes");
        };
        if table_first {
            table();
        }
        let words = builder.stream::<String, String>("words");
        let grouped = words.group_by_with(|_, word| word.clone(), Grouped::named("by-word"));
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
        let counted = grouped.windowed_by(windows).count(Materialized::named(counts));
        counted.to_stream().to("counts");
        if !table_first {
            table();
        }
    })
}

#[test]
fn everything_that_outlives_the_program_can_be_named() {
    assert!(version("counts", true).check_names().is_ok());
    let unnamed = built(|builder| {
        let words = builder.stream::<String, String>("words");
        let grouped = words.group_by(|_, word| word.clone());
        grouped.count(Materialized::default()).to_stream().to("counts");
    });
    let error = unnamed.check_names().unwrap_err().to_string();
    for name in [
        "store KSTREAM-AGGREGATE-STATE-STORE-0000000003",
        "changelog topic KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog",
        "repartition topic KSTREAM-AGGREGATE-STATE-STORE-0000000003-repartition",
    ] {
        assert!(error.contains(name), "{name} in {error}");
    }
}

#[test]
fn the_topic_of_a_table_made_of_a_stream_goes_by_its_name() {
    let named = built(|builder| {
        let words = builder.stream::<String, String>("words").named("words");
        let by_length = words.select_key(|_, word| word.len() as i64).named("by-length");
        let table = by_length.to_table(Materialized::named("latest")).named("latest");
        table.to_stream().named("changes").to("changes").named("out");
    });
    assert!(
        named.check_names().is_ok(),
        "{}",
        named.check_names().unwrap_err()
    );
    let described = named.describe();
    for name in [
        "Sink: latest-repartition-sink (topic: latest-repartition)",
        "Source: latest-repartition-source",
    ] {
        assert!(described.contains(name), "{name} in {described}");
    }
}

#[test]
fn an_upgrade_says_what_it_orphans() {
    let before = version("counts", false).summary();
    let kept = serde_json::to_string(&before).unwrap();
    let before: TopologySummary = serde_json::from_str(&kept).unwrap();
    assert_eq!(before.upgrade_to(&version("counts", false).summary()), []);
    let renamed = before.upgrade_to(&version("totals", false).summary());
    let orphaned = UpgradeFinding::StoreOrphaned {
        store: "counts".into(),
        changelog_topic: Some("counts-changelog".into()),
    };
    let new = UpgradeFinding::StoreNew {
        store: "totals".into(),
    };
    assert_eq!(renamed, [orphaned, new]);
    let moved = before.upgrade_to(&version("counts", true).summary());
    let texts: Vec<String> = moved.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts.iter().all(|text| text.contains("moves from sub-topology")),
        "{texts:?}"
    );
    let other = built(|builder| {
        let words = builder.stream::<String, String>("other-words");
        let _ = words.group_by_key().count(Materialized::named("counts"));
    });
    let texts: Vec<String> = before
        .upgrade_to(&other.summary())
        .iter()
        .map(ToString::to_string)
        .collect();
    for text in [
        "store counts changes from Segmented",
        "internal topic by-word-repartition is orphaned",
        "topic words is not read any more",
        "store prices is orphaned",
    ] {
        assert!(
            texts.iter().any(|found| found.starts_with(text)),
            "{text} in {texts:?}"
        );
    }
}

#[test]
fn pictures_show_topics_processors_and_stores() {
    let topology = version("counts", true);
    let mermaid = topology.to_mermaid();
    let described = topology.describe();
    for line in [
        "flowchart LR",
        "  subgraph sub0 [Sub-topology 0]",
        "  t_words>\"words\"]",
        "    s_counts[(\"counts\")]",
    ] {
        assert!(mermaid.lines().any(|found| found == line), "{line} in {mermaid}");
    }
    let graphviz = topology.to_graphviz();
    assert_eq!(graphviz.matches('{').count(), graphviz.matches('}').count());
    let nodes = described
        .lines()
        .filter(|line| line.contains(" (topic") || line.contains(" (stores"))
        .count();
    assert_eq!(graphviz.matches("shape=box").count(), nodes);
    // Each edge of the description is there.
    let arrows = |line: &str| {
        line.split_once("--> ").map_or(0, |(_, names)| {
            names.split(", ").filter(|name| *name != "none").count()
        })
    };
    let edges: usize = described.lines().map(arrows).sum();
    let drawn = graphviz
        .lines()
        .filter(|line| line.trim_start().starts_with('n') && line.contains("-> n"))
        .count();
    assert_eq!(drawn, edges);
}
