//! One recorded vector, as its file has it.

use std::collections::BTreeMap;

use serde_json::Value;

/// A topology, its input, and what Kafka Streams made of it.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) optimize: bool,
    pub(crate) topology: Vec<Op>,
    pub(crate) describe: String,
    pub(crate) steps: Vec<Step>,
    /// For each step what appeared on each output topic.
    pub(crate) outputs: Vec<BTreeMap<String, Vec<Row>>>,
    /// All that was written to internal topics, in hex.
    pub(crate) internal_topics: BTreeMap<String, Vec<Row>>,
}

/// Key, value, timestamp; of changelogs of buffers the timestamp is the clock's and not recorded.
pub(crate) type Row = (Option<String>, Option<String>, Option<i64>);

pub(crate) enum Step {
    Pipe {
        topic: String,
        key: Option<String>,
        value: Option<String>,
        timestamp_ms: i64,
    },
    AdvanceWallClock(u64),
}

/// One operator: its members by name.
pub(crate) struct Op(pub(crate) Value);

impl Op {
    pub(crate) fn kind(&self) -> &str {
        self.text("op").unwrap_or_default()
    }

    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.0.get(member)?.as_str()
    }

    pub(crate) fn number(&self, member: &str) -> Option<i64> {
        self.0.get(member)?.as_i64()
    }

    pub(crate) fn texts(&self, member: &str) -> Vec<String> {
        let all = self.0.get(member).and_then(Value::as_array);
        all.into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }
}

impl Vector {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let list = |member: &str| {
            let list = json.get(member).and_then(Value::as_array);
            list.ok_or_else(|| format!("there is no list `{member}`"))
        };
        Ok(Self {
            name: json["name"].as_str().unwrap_or("unnamed").to_owned(),
            optimize: json["optimize"].as_bool().unwrap_or(false),
            topology: list("topology")?.iter().cloned().map(Op).collect(),
            describe: list("describe")?
                .iter()
                .map(|line| line.as_str().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("\n"),
            steps: list("steps")?.iter().map(step).collect(),
            outputs: list("outputs")?.iter().map(topics).collect(),
            internal_topics: topics(&json["internal_topics"]),
        })
    }
}

fn step(json: &Value) -> Step {
    if let Some(by) = json["wall_clock_ms"].as_u64() {
        return Step::AdvanceWallClock(by);
    }
    Step::Pipe {
        topic: json["topic"].as_str().unwrap_or_default().to_owned(),
        key: json["key"].as_str().map(str::to_owned),
        value: json["value"].as_str().map(str::to_owned),
        timestamp_ms: json["ts"].as_i64().unwrap_or_default(),
    }
}

fn topics(json: &Value) -> BTreeMap<String, Vec<Row>> {
    let topics = json.as_object().into_iter().flatten();
    topics
        .map(|(topic, rows)| {
            let rows = rows.as_array().into_iter().flatten();
            let rows = rows.map(|row| {
                (
                    row[0].as_str().map(str::to_owned),
                    row[1].as_str().map(str::to_owned),
                    row[2].as_i64(),
                )
            });
            (topic.clone(), rows.collect())
        })
        .collect()
}
