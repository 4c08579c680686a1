//! Serdes that write the topic they are given: what is compared or looked up must have been written with the same one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::serde::SerdeError;

/// Text, behind the topic it was written for; remembers all topics.
#[derive(Clone, Debug, Default)]
struct WithTopic(Arc<Mutex<BTreeSet<String>>>);

impl Serde<String> for WithTopic {
    fn serialize(&self, topic: &str, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.lock().unwrap().insert(topic.to_owned());
        out.extend_from_slice(format!("{topic}|{value}").as_bytes());
        Ok(())
    }

    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<String, SerdeError> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        match text.split_once('|') {
            Some((of, value)) if of == topic => Ok(value.to_owned()),
            _ => Err(SerdeError::new(format!("{text} was not written for {topic}"))),
        }
    }
}

fn serde() -> Arc<WithTopic> {
    Arc::default()
}

#[test]
fn updates_find_their_subscribers() {
    let (primary_keys, foreign_keys, values) = (serde(), serde(), serde());
    let builder = StreamsBuilder::new();
    let left = builder.table_with(
        "left",
        Consumed::with(primary_keys.clone(), values.clone()),
        Materialized::with(values.clone()),
    );
    let right = builder.table_with(
        "right",
        Consumed::with(foreign_keys.clone(), values.clone()),
        Materialized::with(values.clone()),
    );
    let joined = left.join_foreign_key_with(
        &right,
        |_, value| Some(value.clone()),
        |left, right| format!("{left}+{right}"),
        TableJoined::with(values.clone(), values.clone()).with_name("fk"),
        Materialized::with(values.clone()),
    );
    joined.to_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    let lefts = driver.input_with("left", primary_keys.clone(), values.clone());
    lefts.pipe("k".to_owned(), "f".to_owned()).unwrap();
    let rights = driver.input_with("right", foreign_keys.clone(), values.clone());
    for value in ["1", "2"] {
        rights.pipe("f".to_owned(), value.to_owned()).unwrap();
    }
    let out = driver.output_with("out", primary_keys.clone(), values);
    let values: Vec<String> = out
        .read_key_values()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, ["f+1", "f+2"]);
    // Kafka's names.
    let registration = "app-fk-subscription-registration-topic";
    let told = primary_keys.0.lock().unwrap();
    assert!(told.contains(&format!("{registration}-pk")), "{told:?}");
    assert!(!told.contains(registration) && !told.contains("app-fk-subscription-store-changelog"));
    let told = foreign_keys.0.lock().unwrap();
    assert!(
        told.contains(&format!("{registration}-fk")) && told.contains(registration),
        "{told:?}"
    );
}

#[test]
fn groups_are_told_apart_as_in_a_topic() {
    let (keys, values) = (serde(), serde());
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Materialized::default());
    let grouped = table.group_by_with(
        |key, value| (value.clone(), key.clone()),
        Grouped::with(keys.clone(), values),
    );
    grouped.count(Materialized::named("counts")).to_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for value in ["a", "a", "b"] {
        driver.input("in").pipe("k".to_owned(), value.to_owned()).unwrap();
    }
    let told = keys.0.lock().unwrap();
    assert!(
        told.iter()
            .all(|topic| topic.starts_with("app-") || topic == "out"),
        "{told:?}"
    );
}

#[test]
fn windows_are_not_written_in_a_way_that_nobody_chose() {
    let builder = StreamsBuilder::new();
    let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(10));
    let clicks = builder.stream::<String, String>("clicks").group_by_key();
    let counts = clicks.windowed_by(gap).count(Materialized::default()).to_stream();
    counts.to("carried");
    let louder = |key: Windowed<String>, count| {
        (
            Windowed {
                key: key.key.to_uppercase(),
                ..key
            },
            count,
        )
    };
    counts.map(louder).to("lost");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    let error = driver
        .input("clicks")
        .pipe("ada".to_owned(), "home".to_owned())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("give a TimeWindowedSerde or a SessionWindowedSerde"),
        "{error}"
    );
    let serde = Arc::new(SessionWindowedSerde::new(String::default_serde()));
    assert_eq!(
        driver
            .output_with("carried", serde, i64::default_serde())
            .read_record()
            .unwrap()
            .value,
        1
    );
}
