//! The test driver with partitions: tasks, state and topics are divided as in a running application.

use std::collections::BTreeSet;

use streams_dsl::prelude::*;

fn counts_by_word() -> Topology {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<Option<String>, String>("lines");
    let words = lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let counts = words
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"));
    counts.to_stream().to("counts");
    builder.build().unwrap()
}

#[test]
fn keys_meet_on_one_partition_behind_a_repartition() {
    let options = TestDriverOptions::default()
        .partitions("lines", 3)
        .partitions("counts", 3);
    let driver = TopologyTestDriver::with_options(&counts_by_word(), options).unwrap();
    for (partition, line) in [(0, "a b c d"), (1, "d c b a"), (2, "a a e")] {
        let lines = driver
            .on_partition(partition)
            .input::<Option<String>, String>("lines");
        lines.pipe(None, line.to_owned()).unwrap();
    }
    let mut all = BTreeSet::new();
    for partition in 0..3 {
        let driver = driver.on_partition(partition);
        let store = driver.key_value_store::<String, i64>("counts").unwrap();
        let rows: Vec<(String, i64)> = store
            .all()
            .unwrap()
            .map(|row| row.map(|(key, row)| (key, row.value)).unwrap())
            .collect();
        // What a task counted, it wrote to its partition of the topic, for the keys are the same.
        let written: BTreeSet<(String, i64)> =
            driver.output("counts").read_key_values().into_iter().collect();
        assert!(
            rows.iter().all(|row| written.contains(row)),
            "{rows:?} in {written:?}"
        );
        assert_eq!(driver.written("app-counts-changelog").len(), written.len());
        all.extend(rows);
    }
    let expected = [("a", 4), ("b", 2), ("c", 2), ("d", 2), ("e", 1)];
    assert_eq!(all, expected.map(|(key, n)| (key.to_owned(), n)).into());
    let error = driver
        .key_value_store::<String, i64>("counts")
        .unwrap_err()
        .to_string();
    assert!(error.contains("on_partition"), "{error}");
}

#[test]
fn without_a_partition_the_key_decides() {
    let builder = StreamsBuilder::new();
    let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    clicks
        .count(Materialized::named("clicks"))
        .to_stream()
        .to("counts");
    let options = TestDriverOptions::default().partitions("clicks", 4);
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    let users: Vec<String> = (0..40).map(|n| format!("user-{}", n % 20)).collect();
    for user in &users {
        driver.input("clicks").pipe(user.clone(), 1_i64).unwrap();
    }
    let updates = driver.output::<String, i64>("counts").read_key_values();
    assert_eq!(updates.iter().filter(|(_, count)| *count == 2).count(), 20);
    let rows = |partition| {
        let store = driver
            .on_partition(partition)
            .key_value_store::<String, i64>("clicks");
        store.unwrap().all().unwrap().count()
    };
    let rows = [0, 1, 2, 3].map(rows);
    assert_eq!(rows.iter().sum::<usize>(), 20);
    assert!(rows.iter().all(|&count| count > 0), "{rows:?}");
}

#[test]
fn what_is_joined_must_have_equal_counts() {
    let builder = StreamsBuilder::new();
    let prices = builder.table::<String, i64>("prices", Materialized::default());
    let sold = builder.stream::<String, i64>("sold");
    sold.join(&prices, |n, price| n * price).to("paid");
    let topology = builder.build().unwrap();
    let options = |prices| {
        TestDriverOptions::default()
            .partitions("prices", prices)
            .partitions("sold", 2)
    };
    let error = TopologyTestDriver::with_options(&topology, options(3))
        .unwrap_err()
        .to_string();
    assert!(error.contains("joined topics need equal counts"), "{error}");
    let driver = TopologyTestDriver::with_options(&topology, options(2)).unwrap();
    for item in ["tea", "milk", "bread"] {
        driver.input("prices").pipe(item.to_owned(), 3_i64).unwrap();
        driver.input("sold").pipe(item.to_owned(), 2_i64).unwrap();
    }
    let paid = driver.output::<String, i64>("paid").read_key_values();
    assert_eq!(paid, ["tea", "milk", "bread"].map(|item| (item.to_owned(), 6)));
    let error = driver
        .on_partition(7)
        .input("sold")
        .pipe("tea".to_owned(), 1_i64)
        .unwrap_err()
        .to_string();
    assert!(error.contains("topic sold has no partition 7"), "{error}");
}
