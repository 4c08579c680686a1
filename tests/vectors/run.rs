//! Runs one vector on the test driver and finds the first difference on each level.

use std::collections::BTreeMap;
use std::time::Duration;

use streams_dsl::Headers;
use streams_dsl::error::StreamsError;
use streams_dsl::testing::{TopologyTestDriver, WrittenRecord};

use crate::LEVELS;
use crate::interpreter::{Problem, build};
use crate::vector::{Row, Step, Vector};

/// What became of a vector.
pub(crate) enum Outcome {
    /// It uses something we do not have.
    Unsupported(String),
    /// For each level the first difference, if there is one.
    Compared([Option<String>; LEVELS.len()]),
}

pub(crate) fn run(vector: &Vector) -> Outcome {
    let topology = match build(vector) {
        Ok(topology) => topology,
        Err(Problem::Unsupported(what)) => return Outcome::Unsupported(what),
        Err(Problem::Refused(why)) => return Outcome::Compared(LEVELS.map(|_| Some(why.clone()))),
    };
    let described = first_line(&vector.describe, &topology.describe());
    let (outputs, internal) = match TopologyTestDriver::new(&topology) {
        Ok(driver) => {
            let outputs = outputs(vector, &driver);
            (outputs, internal_topics(vector, &driver))
        }
        Err(error) => (Some(error.to_string()), Some(error.to_string())),
    };
    Outcome::Compared([outputs, described, internal])
}

fn outputs(vector: &Vector, driver: &TopologyTestDriver) -> Option<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (number, (step, expected)) in vector.steps.iter().zip(&vector.outputs).enumerate() {
        if let Err(error) = take(step, driver) {
            return Some(format!("step {number}: {error}"));
        }
        for topic in driver.produced_topic_names() {
            if topic.starts_with("app-") {
                continue;
            }
            let all = driver.written(&topic);
            let from = seen.insert(topic.clone(), all.len()).unwrap_or_default();
            let found: Vec<Row> = all[from..].iter().map(|record| row(record, text)).collect();
            let expected = expected.get(&topic).cloned().unwrap_or_default();
            if let Some(difference) = first_row(&expected, &found) {
                return Some(format!("step {number}, topic {topic}: {difference}"));
            }
        }
        if let Some(topic) = expected.keys().find(|topic| !seen.contains_key(*topic)) {
            return Some(format!("step {number}: topic {topic} is not written"));
        }
    }
    None
}

fn take(step: &Step, driver: &TopologyTestDriver) -> Result<(), StreamsError> {
    match step {
        Step::AdvanceWallClock(by) => driver.advance_wall_clock(Duration::from_millis(*by)),
        Step::Pipe {
            topic,
            key,
            value,
            timestamp_ms,
        } => {
            let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes().into());
            driver.pipe_raw(
                topic,
                &WrittenRecord {
                    key: bytes(key),
                    value: bytes(value),
                    timestamp_ms: *timestamp_ms,
                    headers: Headers::default(),
                },
            )
        }
    }
}

fn internal_topics(vector: &Vector, driver: &TopologyTestDriver) -> Option<String> {
    let mut found: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for topic in driver
        .produced_topic_names()
        .into_iter()
        .filter(|topic| topic.starts_with("app-"))
    {
        let rows: Vec<Row> = driver
            .written(&topic)
            .iter()
            .map(|record| row(record, hex))
            .collect();
        if !rows.is_empty() {
            found.insert(topic, rows);
        }
    }
    for (topic, rows) in &found {
        let Some(expected) = vector.internal_topics.get(topic) else {
            return Some(format!("topic {topic} is written, but not by Kafka"));
        };
        if let Some(difference) = first_row(expected, rows) {
            return Some(format!("topic {topic}: {difference}"));
        }
    }
    let missing = vector
        .internal_topics
        .iter()
        .find(|(topic, rows)| !rows.is_empty() && !found.contains_key(*topic));
    missing.map(|(topic, _)| format!("topic {topic} is not written"))
}

fn row(record: &WrittenRecord, bytes: fn(&[u8]) -> String) -> Row {
    (
        record.key.as_deref().map(bytes),
        record.value.as_deref().map(bytes),
        Some(record.timestamp_ms),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first_row(expected: &[Row], found: &[Row]) -> Option<String> {
    let count = expected.len().max(found.len());
    let same = |expected: &Row, found: &Row| {
        let known = expected.2.is_none_or(|_| expected.2 == found.2);
        (&expected.0, &expected.1) == (&found.0, &found.1) && known
    };
    let different = (0..count).find(|&index| match (expected.get(index), found.get(index)) {
        (Some(expected), Some(found)) => !same(expected, found),
        _ => true,
    })?;
    Some(format!(
        "record {different}: expected {:?}, found {:?}",
        expected.get(different),
        found.get(different)
    ))
}

fn first_line(expected: &str, found: &str) -> Option<String> {
    let (expected, found): (Vec<&str>, Vec<&str>) = (
        expected.trim_end().lines().collect(),
        found.trim_end().lines().collect(),
    );
    let count = expected.len().max(found.len());
    let different = (0..count).find(|&index| expected.get(index) != found.get(index))?;
    Some(format!(
        "line {}: expected {:?}, found {:?}",
        different + 1,
        expected.get(different),
        found.get(different)
    ))
}
