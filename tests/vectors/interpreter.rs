//! Builds a vector's topology through the typed DSL. Keys and values are nullable text everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::topology::Topology;
use streams_dsl::{KGroupedStream, KGroupedTable, SessionWindowedKStream, TimeWindowedKStream};

use crate::functions::{Key, Text, concatenate, key_function, predicate, value_function, words};
use crate::vector::{Op, Vector};

/// What an operator made.
#[derive(Clone)]
enum Made {
    Stream(KStream<Key, Text>),
    Table(KTable<Key, Text>),
    GlobalTable(GlobalKTable<Key, Text>),
    Counts(KTable<Key, i64>),
    Windowed(KTable<Windowed<Key>, Text>),
    WindowedCounts(KTable<Windowed<Key>, i64>),
    Grouped(KGroupedStream<Key, Text>),
    GroupedTable(KGroupedTable<Key, Text>),
}

/// Why a topology could not be built.
pub(crate) enum Problem {
    /// It uses something we do not have.
    Unsupported(String),
    /// The builder refused it.
    Refused(String),
}

type Answer<T> = Result<T, Problem>;

pub(crate) fn build(vector: &Vector) -> Answer<Topology> {
    let mut interpreter = Interpreter {
        builder: StreamsBuilder::new(),
        made: BTreeMap::new(),
    };
    for op in &vector.topology {
        interpreter.add(op)?;
    }
    interpreter
        .builder
        .build_with(if vector.optimize {
            Optimization::ALL
        } else {
            Optimization::NONE
        })
        .map_err(|error| Problem::Refused(error.to_string()))
}

struct Interpreter {
    builder: StreamsBuilder,
    made: BTreeMap<String, Made>,
}

impl Interpreter {
    fn add(&mut self, op: &Op) -> Answer<()> {
        let made = match op.kind() {
            "stream" => Made::Stream(self.builder.stream(op.texts("topics"))),
            "table" => self.table(op)?,
            "global_table" => {
                let topic = text(op, "topic")?;
                Made::GlobalTable(self.builder.global_table(topic, materialized(op)))
            }
            "to" => {
                self.stream(op, "from")?.to(text(op, "topic")?);
                return Ok(());
            }
            "split" => return self.split(op),
            "filter" | "filter_not" => self.filter(op)?,
            "map_values" => self.map_values(op)?,
            "map" => {
                let (key, value) = (keys(op)?, values(op)?);
                let stream = self.stream(op, "from")?;
                Made::Stream(stream.map(move |k, v| (key(&k, &v), v.and_then(value))))
            }
            "select_key" => Made::Stream(self.stream(op, "from")?.select_key(keys(op)?)),
            "flat_map_values" => {
                let stream = self.stream(op, "from")?;
                Made::Stream(stream.flat_map_values(|v| words(v).into_iter().map(Some)))
            }
            "flat_map" => {
                let stream = self.stream(op, "from")?;
                Made::Stream(
                    stream.flat_map(|k, v| words(v).into_iter().map(move |word| (Some(word), k.clone()))),
                )
            }
            "merge" => Made::Stream(self.stream(op, "from")?.merge(&self.stream(op, "other")?)),
            "repartition" => {
                let options = op
                    .text("name")
                    .map_or_else(Repartitioned::default, Repartitioned::named);
                Made::Stream(self.stream(op, "from")?.repartition(options))
            }
            "to_table" => Made::Table(self.stream(op, "from")?.to_table(materialized(op))),
            "group_by_key" => Made::Grouped(self.stream(op, "from")?.group_by_key_with(grouped(op))),
            "group_by" => self.group_by(op)?,
            "count" | "reduce" | "aggregate" => self.aggregation(op)?,
            "to_stream" => self.to_stream(op)?,
            "join_table" => self.join_table(op)?,
            "join_global" => self.join_global(op)?,
            "join_stream" => self.join_stream(op)?,
            "suppress" => self.suppress(op)?,
            "join_foreign_key" => self.join_foreign_key(op)?,
            "cogroup" => self.cogroup(op)?,
            other => return Err(Problem::Unsupported(other.to_owned())),
        };
        self.made.insert(text(op, "id")?.to_owned(), made);
        Ok(())
    }

    fn table(&self, op: &Op) -> Answer<Made> {
        Ok(Made::Table(
            self.builder.table(text(op, "topic")?, materialized(op)),
        ))
    }

    fn group_by(&self, op: &Op) -> Answer<Made> {
        let key = keys(op)?;
        Ok(match self.from(op)? {
            Made::Stream(stream) => Made::Grouped(stream.group_by_with(key, grouped(op))),
            Made::Table(table) => {
                let select = move |k: &Key, v: &Text| (key(k, v), v.clone());
                Made::GroupedTable(table.group_by_with(select, grouped(op)))
            }
            _ => return unsupported("group_by of this"),
        })
    }

    fn split(&mut self, op: &Op) -> Answer<()> {
        let id = text(op, "id")?;
        let mut split = self.stream(op, "from")?.split().named(&format!("{id}-"));
        for (index, name) in op.texts("preds").iter().enumerate() {
            let takes = predicate(name).ok_or_else(|| Problem::Unsupported(name.clone()))?;
            let branch = format!("{id}-{index}");
            let stream = split.branch(takes).named(&index.to_string());
            self.made.insert(branch, Made::Stream(stream));
        }
        if op.0["default"].as_bool() == Some(true) {
            let branch = format!("{id}-rest");
            let stream = split.default_branch().named("rest");
            self.made.insert(branch, Made::Stream(stream));
        }
        Ok(())
    }

    fn filter(&self, op: &Op) -> Answer<Made> {
        let holds = predicates(op)?;
        let not = op.kind() == "filter_not";
        Ok(match (self.from(op)?, op.text("store")) {
            (Made::Stream(stream), _) => {
                let stream = if not {
                    stream.filter_not(holds)
                } else {
                    stream.filter(holds)
                };
                Made::Stream(named(stream, op))
            }
            (Made::Table(table), None) if not => Made::Table(table.filter_not(holds)),
            (Made::Table(table), None) => Made::Table(table.filter(holds)),
            (Made::Table(table), Some(_)) if not => {
                Made::Table(table.filter_not_with(holds, materialized(op)))
            }
            (Made::Table(table), Some(_)) => Made::Table(table.filter_with(holds, materialized(op))),
            _ => return unsupported("filter of this"),
        })
    }

    fn map_values(&self, op: &Op) -> Answer<Made> {
        let function = values(op)?;
        let map_row = move |_: &Key, value: Text| value.and_then(function).map(Some);
        Ok(match (self.from(op)?, op.text("store")) {
            (Made::Stream(stream), _) => {
                Made::Stream(named(stream.map_values(move |v| v.and_then(function)), op))
            }
            (Made::Table(table), None) => Made::Table(table.filter_map_values(map_row)),
            (Made::Table(table), Some(_)) => {
                Made::Table(table.filter_map_values_with(map_row, materialized(op)))
            }
            _ => return unsupported("map_values of this"),
        })
    }

    fn aggregation(&self, op: &Op) -> Answer<Made> {
        let grouped = match self.from(op)? {
            Made::Grouped(grouped) => grouped,
            Made::GroupedTable(grouped) => return Ok(table_aggregation(&grouped, op)),
            _ => return unsupported("aggregation of this"),
        };
        if op.0.get("window").is_some() {
            let window = Op(op.0["window"].clone());
            let close = window.text("emit") == Some("close");
            if window.text("type") == Some("session") {
                let sessions = grouped.windowed_by(sessions(&window));
                let sessions = if close {
                    sessions.emit_on_window_close()
                } else {
                    sessions
                };
                return Ok(session_aggregation(&sessions, op));
            }
            let windowed = match window.text("type") {
                Some("sliding") => grouped.windowed_by(sliding(&window)),
                _ => grouped.windowed_by(windows(&window)?),
            };
            let windowed = if close {
                windowed.emit_on_window_close()
            } else {
                windowed
            };
            return Ok(windowed_aggregation(&windowed, op));
        }
        Ok(match op.kind() {
            "count" => Made::Counts(grouped.count(materialized(op))),
            "reduce" => Made::Table(grouped.reduce(append, materialized(op))),
            _ => Made::Table(grouped.aggregate(empty, |_, v, agg| append(agg, v), materialized(op))),
        })
    }

    fn to_stream(&self, op: &Op) -> Answer<Made> {
        let to_text = |value: Option<i64>| value.map(|value| value.to_string());
        Ok(Made::Stream(match (self.from(op)?, op.text("of")) {
            (Made::Table(table), None) => table.to_nullable_stream(),
            (Made::Counts(table), Some("long")) => table.to_stream().map_values(to_text),
            (Made::Windowed(table), Some("windowed")) => {
                table.to_nullable_stream().select_key(|key, _| windowed_text(key))
            }
            (Made::WindowedCounts(table), Some("windowed_long")) => table
                .to_stream()
                .select_key(|key, _| windowed_text(key))
                .map_values(to_text),
            _ => return unsupported("to_stream of this"),
        }))
    }

    fn suppress(&self, op: &Op) -> Answer<Made> {
        if op.text("until") == Some("window_closes") {
            return Ok(match self.from(op)? {
                Made::Windowed(table) => Made::Windowed(table.suppress(final_results())),
                Made::WindowedCounts(table) => Made::WindowedCounts(table.suppress(final_results())),
                _ => return unsupported("suppress of this"),
            });
        }
        Ok(match self.from(op)? {
            Made::Table(table) => Made::Table(table.suppress(time_limit(op))),
            Made::Counts(table) => Made::Counts(table.suppress(time_limit(op))),
            Made::Windowed(table) => Made::Windowed(table.suppress(time_limit(op))),
            Made::WindowedCounts(table) => Made::WindowedCounts(table.suppress(time_limit(op))),
            _ => return unsupported("suppress of this"),
        })
    }

    fn cogroup(&self, op: &Op) -> Answer<Made> {
        let (Made::Grouped(one), Made::Grouped(other)) = (self.from(op)?, self.get(op, "other")?) else {
            return unsupported("cogroup of these");
        };
        let both = one
            .cogroup(|_, value, aggregate| append(aggregate, value))
            .cogroup(&other, |_, value: Text, aggregate: Text| {
                concatenate(aggregate.as_deref(), ";", value.as_deref())
            });
        if op.0.get("window").is_none() {
            return Ok(Made::Table(both.aggregate(empty, materialized(op))));
        }
        let window = Op(op.0["window"].clone());
        Ok(Made::Windowed(match window.text("type") {
            Some("session") => {
                let merge =
                    |_: &Key, one: Text, other: Text| concatenate(one.as_deref(), "&", other.as_deref());
                both.windowed_by(sessions(&window))
                    .aggregate(empty, merge, materialized(op))
            }
            Some("sliding") => both
                .windowed_by(sliding(&window))
                .aggregate(empty, materialized(op)),
            _ => both
                .windowed_by(windows(&window)?)
                .aggregate(empty, materialized(op)),
        }))
    }

    fn join_foreign_key(&self, op: &Op) -> Answer<Made> {
        let (Made::Table(left), Made::Table(right)) = (self.from(op)?, self.get(op, "other")?) else {
            return unsupported("foreign-key join of these");
        };
        let foreign_key = |_: &Key, value: &Text| {
            let (head, _) = value.as_ref()?.split_once(':')?;
            Some(Some(head.to_owned()))
        };
        let flat = |value: Option<&Text>| value.cloned().flatten();
        let both = move |left: &Text, right: Option<&Text>| {
            concatenate(left.as_deref(), "+", flat(right).as_deref())
        };
        let joined = TableJoined::default();
        Ok(Made::Table(match op.text("kind") {
            Some("inner") => {
                let join = move |left: &Text, right: &Text| both(left, Some(right));
                left.join_foreign_key_with(&right, foreign_key, join, joined, materialized(op))
            }
            _ => left.left_join_foreign_key_with(&right, foreign_key, both, joined, materialized(op)),
        }))
    }

    fn join_stream(&self, op: &Op) -> Answer<Made> {
        let (left, right) = (self.stream(op, "from")?, self.stream(op, "other")?);
        let windows = JoinWindows::of_time_difference_and_grace(Duration::ZERO, millis(op, "grace_ms"))
            .before(millis(op, "before_ms"))
            .after(millis(op, "after_ms"));
        let mut joined = op
            .text("name")
            .map_or_else(StreamJoined::default, StreamJoined::named);
        if let Some(store) = op.text("store") {
            joined = joined.with_store_name(store);
        }
        let flat = |value: Option<&Text>| value.cloned().flatten();
        let both = move |left: Option<&Text>, right: Option<&Text>| {
            concatenate(flat(left).as_deref(), "+", flat(right).as_deref())
        };
        Ok(Made::Stream(match op.text("kind") {
            Some("inner") => {
                left.join_stream_with(&right, move |a, b| both(Some(a), Some(b)), windows, joined)
            }
            Some("left") => left.left_join_stream_with(&right, move |a, b| both(Some(a), b), windows, joined),
            Some("outer") => left.outer_join_stream_with(&right, both, windows, joined),
            _ => return unsupported("join of this kind"),
        }))
    }

    fn join_table(&self, op: &Op) -> Answer<Made> {
        let (stream, table) = match (self.from(op)?, self.get(op, "other")?) {
            (Made::Stream(stream), Made::Table(table)) => (stream, table),
            (Made::Table(left), Made::Table(right)) => return join_tables(&left, &right, op),
            _ => return unsupported("join of these"),
        };
        let mut joined = op.text("name").map_or_else(Joined::default, Joined::named);
        if op.number("grace_ms").is_some() {
            joined = joined.grace_period(millis(op, "grace_ms"));
        }
        Ok(Made::Stream(match op.text("kind") {
            Some("inner") => {
                let join = |v: Text, row: &Text| concatenate(v.as_deref(), "+", row.as_deref());
                stream.join_with(&table, join, joined)
            }
            Some("left") => {
                let join = |v: Text, row: Option<&Text>| {
                    concatenate(v.as_deref(), "+", row.and_then(|row| row.as_deref()))
                };
                stream.left_join_with(&table, join, joined)
            }
            _ => return unsupported("join of this kind"),
        }))
    }

    fn join_global(&self, op: &Op) -> Answer<Made> {
        let (stream, select) = (self.stream(op, "from")?, keys(op)?);
        let Made::GlobalTable(table) = self.get(op, "other")? else {
            return unsupported("global join with this");
        };
        let joined = op.text("name").map_or_else(Joined::default, Joined::named);
        let join =
            |v: Text, row: Option<&Text>| concatenate(v.as_deref(), "+", row.and_then(|row| row.as_deref()));
        Ok(Made::Stream(match op.text("kind") {
            Some("inner") => {
                stream.join_global_with(&table, select, move |v, row| join(v, Some(row)), joined)
            }
            Some("left") => stream.left_join_global_with(&table, select, join, joined),
            _ => return unsupported("join of this kind"),
        }))
    }

    fn from(&self, op: &Op) -> Answer<Made> {
        self.get(op, "from")
    }

    fn stream(&self, op: &Op, member: &str) -> Answer<KStream<Key, Text>> {
        match self.get(op, member)? {
            Made::Stream(stream) => Ok(stream),
            _ => unsupported(&format!("{} of a table", op.kind())),
        }
    }

    fn get(&self, op: &Op, member: &str) -> Answer<Made> {
        let id = text(op, member)?;
        let made = self.made.get(id).cloned();
        made.ok_or_else(|| Problem::Refused(format!("nothing was made as {id}")))
    }
}

fn join_tables(left: &KTable<Key, Text>, right: &KTable<Key, Text>, op: &Op) -> Answer<Made> {
    let flat = |value: Option<&Text>| value.cloned().flatten();
    let both = move |left: Option<&Text>, right: Option<&Text>| {
        concatenate(flat(left).as_deref(), "+", flat(right).as_deref())
    };
    let stored = op.text("store").map(|_| materialized(op));
    Ok(Made::Table(match (op.text("kind"), stored) {
        (Some("inner"), None) => left.join(right, move |a, b| both(Some(a), Some(b))),
        (Some("inner"), Some(stored)) => left.join_with(right, move |a, b| both(Some(a), Some(b)), stored),
        (Some("left"), None) => left.left_join(right, move |a, b| both(Some(a), b)),
        (Some("left"), Some(stored)) => left.left_join_with(right, move |a, b| both(Some(a), b), stored),
        (Some("outer"), None) => left.outer_join(right, both),
        (Some("outer"), Some(stored)) => left.outer_join_with(right, both, stored),
        _ => return unsupported("join of this kind"),
    }))
}

fn table_aggregation(grouped: &KGroupedTable<Key, Text>, op: &Op) -> Made {
    let add = |aggregate: Text, value: Text| concatenate(aggregate.as_deref(), "|", value.as_deref());
    let subtract = |aggregate: Text, value: Text| concatenate(aggregate.as_deref(), "-", value.as_deref());
    match op.kind() {
        "count" => Made::Counts(grouped.count(materialized(op))),
        "reduce" => Made::Table(grouped.reduce(add, subtract, materialized(op))),
        _ => Made::Table(grouped.aggregate(
            empty,
            move |_, value, aggregate| add(aggregate, value),
            move |_, value, aggregate| subtract(aggregate, value),
            materialized(op),
        )),
    }
}

fn session_aggregation(sessions: &SessionWindowedKStream<Key, Text>, op: &Op) -> Made {
    let merge = |_: &Key, one: Text, other: Text| concatenate(one.as_deref(), "&", other.as_deref());
    match op.kind() {
        "count" => Made::WindowedCounts(sessions.count(materialized(op))),
        "reduce" => Made::Windowed(sessions.reduce(append, materialized(op))),
        _ => Made::Windowed(sessions.aggregate(empty, |_, v, agg| append(agg, v), merge, materialized(op))),
    }
}

fn sessions(window: &Op) -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(millis(window, "gap_ms"), millis(window, "grace_ms"))
}

fn sliding(window: &Op) -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(millis(window, "size_ms"), millis(window, "grace_ms"))
}

fn millis(op: &Op, member: &str) -> Duration {
    let number = op.number(member).unwrap_or_default();
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}

fn windowed_aggregation(windowed: &TimeWindowedKStream<Key, Text>, op: &Op) -> Made {
    match op.kind() {
        "count" => Made::WindowedCounts(windowed.count(materialized(op))),
        "reduce" => Made::Windowed(windowed.reduce(append, materialized(op))),
        _ => Made::Windowed(windowed.aggregate(empty, |_, v, agg| append(agg, v), materialized(op))),
    }
}

fn windows(window: &Op) -> Answer<TimeWindows> {
    let kind = window.text("type").unwrap_or_default();
    if !matches!(kind, "tumbling" | "hopping") {
        return unsupported(&format!("{kind} windows"));
    }
    let windows = TimeWindows::of_size_and_grace(millis(window, "size_ms"), millis(window, "grace_ms"));
    Ok(match kind {
        "hopping" => windows.advance_by(millis(window, "advance_ms")),
        _ => windows,
    })
}

fn windowed_text(key: &Windowed<Key>) -> Key {
    let Windowed { key, window } = key;
    concatenate(
        key.as_deref(),
        "@",
        Some(&format!("{}/{}", window.start_ms, window.end_ms)),
    )
}

fn final_results() -> Suppressed<Windowed<Key>> {
    Suppressed::until_window_closes(BufferConfig::unbounded())
}

fn time_limit<K>(op: &Op) -> Suppressed<K> {
    let most = op
        .number("max_records")
        .and_then(|most| usize::try_from(most).ok());
    let buffer = most.map_or_else(|| BufferConfig::unbounded().into(), BufferConfig::max_records);
    Suppressed::until_time_limit(millis(op, "ms"), buffer)
}

fn empty() -> Text {
    Some(String::new())
}

#[allow(clippy::needless_pass_by_value, reason = "reducers own what they get")]
fn append(aggregate: Text, value: Text) -> Text {
    concatenate(aggregate.as_deref(), ",", value.as_deref())
}

fn materialized<V: DefaultSerde>(op: &Op) -> Materialized<V> {
    let stored = op
        .text("store")
        .map_or_else(Materialized::default, Materialized::named);
    match op.number("history_ms") {
        Some(_) => stored.versioned(millis(op, "history_ms")),
        None => stored,
    }
}

fn grouped(op: &Op) -> Grouped<Key, Text> {
    op.text("name").map_or_else(Grouped::default, Grouped::named)
}

fn named(stream: KStream<Key, Text>, op: &Op) -> KStream<Key, Text> {
    match op.text("name") {
        Some(name) => stream.named(name),
        None => stream,
    }
}

fn text<'a>(op: &'a Op, member: &str) -> Answer<&'a str> {
    let text = op.text(member);
    text.ok_or_else(|| Problem::Refused(format!("a {} has no {member}", op.kind())))
}

fn keys(op: &Op) -> Answer<fn(&Key, &Text) -> Key> {
    let name = text(op, "kf")?;
    key_function(name).ok_or_else(|| Problem::Unsupported(name.to_owned()))
}

fn values(op: &Op) -> Answer<fn(String) -> Text> {
    let name = text(op, "f")?;
    value_function(name).ok_or_else(|| Problem::Unsupported(name.to_owned()))
}

fn predicates(op: &Op) -> Answer<fn(&Key, &Text) -> bool> {
    let name = text(op, "pred")?;
    predicate(name).ok_or_else(|| Problem::Unsupported(name.to_owned()))
}

fn unsupported<T>(what: &str) -> Answer<T> {
    Err(Problem::Unsupported(what.to_owned()))
}
