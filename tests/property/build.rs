//! A topology through the typed DSL, run on the test driver.

use std::time::Duration;

use streams_dsl::prelude::*;

use crate::algebra::{Case, Id, JoinKind, Op, Until, Windows, Within, stream_topic, table_topic};
use crate::functions::{How, Key, Text, join, windowed_text, words};

/// A record that came out: the input that it came out on, key, value, timestamp.
pub(crate) type Row = (usize, Key, Text, i64);

enum Made {
    Stream(KStream<Key, Text>),
    /// Until it has its default branch.
    Split(Option<BranchedKStream<Key, Text>>),
    Table(KTable<Key, Text>),
    Windowed(KTable<Windowed<Key>, Text>),
}

/// What came out of each operator, in order.
pub(crate) fn run(case: &Case) -> Result<Vec<Vec<Row>>, StreamsError> {
    let driver = TopologyTestDriver::new(&build(&case.ops)?)?;
    let outputs = (0..case.ops.len()).map(|id| driver.output::<Key, Text>(&output(id)));
    let outputs: Vec<_> = outputs.collect();
    let mut rows = vec![Vec::new(); outputs.len()];
    for (number, record) in case.input.iter().enumerate() {
        let input = driver.input::<Key, Text>(&record.topic);
        input.pipe_at(record.key.clone(), record.value.clone(), record.at_ms)?;
        for (rows, output) in rows.iter_mut().zip(&outputs) {
            let read = output.read_records().into_iter();
            rows.extend(read.map(|record| (number, record.key, record.value, record.timestamp_ms)));
        }
    }
    Ok(rows)
}

fn output(id: Id) -> String {
    format!("out-{id}")
}

fn build(ops: &[Op]) -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    let mut made: Vec<Made> = Vec::new();
    for (id, op) in ops.iter().enumerate() {
        let next = add(&builder, &mut made, id, op);
        made.push(next);
    }
    for (id, made) in made.into_iter().enumerate() {
        match made {
            Made::Stream(stream) => drop(stream.to(&output(id))),
            Made::Table(table) => drop(table.to_nullable_stream().to(&output(id))),
            Made::Windowed(table) => drop(as_stream(&table).to(&output(id))),
            Made::Split(_) => {}
        }
    }
    builder.build()
}

fn add(builder: &StreamsBuilder, made: &mut [Made], id: Id, op: &Op) -> Made {
    match *op {
        Op::Stream { topic } => Made::Stream(builder.stream(stream_topic(topic))),
        Op::Table { topic, stored } => {
            Made::Table(builder.table(&table_topic(topic), materialized(id, stored)))
        }
        Op::Branch { split, takes } => {
            let Made::Split(open) = &mut made[split] else {
                unreachable!("shapes were checked")
            };
            Made::Stream(match (open, takes) {
                (Some(split), Some(takes)) => split.branch(move |k, v| takes.holds(k, v)),
                (open, None) => match open.take() {
                    Some(split) => split.default_branch(),
                    None => unreachable!("shapes were checked"),
                },
                (None, Some(_)) => unreachable!("shapes were checked"),
            })
        }
        Op::ToStream { from } => Made::Stream(match &made[from] {
            Made::Table(table) => table.to_nullable_stream(),
            Made::Windowed(table) => as_stream(table),
            _ => unreachable!("shapes were checked"),
        }),
        Op::Aggregate {
            from,
            by,
            how,
            windows,
        } => {
            let stream = stream(made, from);
            let grouped = match by {
                Some(by) => stream.group_by(move |k, v| by.of(k, v)),
                None => stream.group_by_key(),
            };
            match windows {
                None => Made::Table(aggregated(&grouped, how)),
                Some(windows) => Made::Windowed(windowed(grouped, windows, how)),
            }
        }
        Op::FilterRows { from, .. }
        | Op::MapRows { from, .. }
        | Op::GroupRows { from, .. }
        | Op::JoinRows { from, .. }
        | Op::Suppress { from, .. } => match &made[from] {
            Made::Windowed(_) => windowed_table_op(made, id, op),
            _ => table_op(made, id, op),
        },
        _ => stream_op(made, id, op),
    }
}

fn stream_op(made: &[Made], id: Id, op: &Op) -> Made {
    let stream = |id| stream(made, id);
    Made::Stream(match *op {
        Op::Filter {
            from,
            takes,
            not: false,
        } => stream(from).filter(move |k, v| takes.holds(k, v)),
        Op::Filter { from, takes, .. } => stream(from).filter_not(move |k, v| takes.holds(k, v)),
        Op::MapValues { from, value } => stream(from).map_values(move |v: Text| v.and_then(|v| value.of(v))),
        Op::Map { from, key, value } => {
            stream(from).map(move |k, v: Text| (key.of(&k, &v), v.and_then(|v| value.of(v))))
        }
        Op::SelectKey { from, key } => stream(from).select_key(move |k, v| key.of(k, v)),
        Op::FlatMapValues { from } => stream(from).flat_map_values(|v| words(v).into_iter().map(Some)),
        Op::FlatMap { from } => {
            stream(from).flat_map(|k, v| words(v).into_iter().map(move |word| (Some(word), k.clone())))
        }
        Op::Merge { from, other } => stream(from).merge(&stream(other)),
        Op::Split { from } => return Made::Split(Some(stream(from).split())),
        Op::Repartition { from } => stream(from).repartition(Repartitioned::default()),
        Op::ToTable { from, stored } => return Made::Table(stream(from).to_table(materialized(id, stored))),
        Op::JoinTable { from, table, left } => join_table(&stream(from), &made[table], left),
        Op::JoinStream {
            from,
            other,
            kind,
            within,
        } => join_streams(&stream(from), &stream(other), kind, within),
        _ => unreachable!("{op:?} is not of streams"),
    })
}

fn join_table(stream: &KStream<Key, Text>, table: &Made, left: bool) -> KStream<Key, Text> {
    let Made::Table(table) = table else {
        unreachable!("shapes were checked")
    };
    let joiner = |v: Text, row: Option<&Text>| join(v.as_deref(), row.and_then(|row| row.as_deref()));
    match left {
        true => stream.left_join(table, joiner),
        false => stream.join(table, move |v, row| joiner(v, Some(row))),
    }
}

fn join_streams(
    left: &KStream<Key, Text>,
    right: &KStream<Key, Text>,
    kind: JoinKind,
    within: Within,
) -> KStream<Key, Text> {
    let windows = JoinWindows::of_time_difference_and_grace(Duration::ZERO, millis(within.grace_ms))
        .before(millis(within.before_ms))
        .after(millis(within.after_ms));
    match kind {
        JoinKind::Inner => left.join_stream(right, |a, b| both(Some(a), Some(b)), windows),
        JoinKind::Left => left.left_join_stream(right, |a, b| both(Some(a), b), windows),
        JoinKind::Outer => left.outer_join_stream(right, both, windows),
    }
}

/// Operators of tables, for both kinds of keys. `$inner`: the key that a key function gets.
macro_rules! table_ops {
    ($name:ident, $made:path, $inner:expr, $suppressed:expr) => {
        fn $name(made: &[Made], id: Id, op: &Op) -> Made {
            let table = |id: Id| match &made[id] {
                $made(table) => table.clone(),
                _ => unreachable!("shapes were checked"),
            };
            $made(match *op {
                Op::FilterRows {
                    from,
                    takes,
                    not,
                    stored,
                } => {
                    let (table, holds) = (table(from), move |k: &_, v: &Text| {
                        takes.holds($inner(k), v)
                    });
                    match (not, stored) {
                        (false, false) => table.filter(holds),
                        (false, true) => table.filter_with(holds, materialized(id, stored)),
                        (true, false) => table.filter_not(holds),
                        (true, true) => table.filter_not_with(holds, materialized(id, stored)),
                    }
                }
                Op::MapRows {
                    from,
                    value,
                    stored,
                } => {
                    let map = move |_: &_, v: Text| v.and_then(|v| value.of(v)).map(Some);
                    match stored {
                        false => table(from).filter_map_values(map),
                        true => table(from).filter_map_values_with(map, materialized(id, stored)),
                    }
                }
                Op::GroupRows { from, by, how } => {
                    let grouped = table(from).group_by(move |k, v: &Text| (by.of($inner(k), v), v.clone()));
                    return Made::Table(regrouped(&grouped, how));
                }
                Op::JoinRows {
                    from,
                    other,
                    kind,
                    stored,
                } => {
                    let (left, right, stored) = (
                        table(from),
                        table(other),
                        stored.then(|| materialized(id, true)),
                    );
                    let inner = |a: &Text, b: &Text| both(Some(a), Some(b));
                    let outer = |a: &Text, b: Option<&Text>| both(Some(a), b);
                    match (kind, stored) {
                        (JoinKind::Inner, None) => left.join(&right, inner),
                        (JoinKind::Inner, Some(stored)) => left.join_with(&right, inner, stored),
                        (JoinKind::Left, None) => left.left_join(&right, outer),
                        (JoinKind::Left, Some(stored)) => left.left_join_with(&right, outer, stored),
                        (JoinKind::Outer, None) => left.outer_join(&right, both),
                        (JoinKind::Outer, Some(stored)) => left.outer_join_with(&right, both, stored),
                    }
                }
                Op::Suppress { from, until } => table(from).suppress($suppressed(until)),
                _ => unreachable!("{op:?} is not of tables"),
            })
        }
    };
}

table_ops!(table_op, Made::Table, plain_key, time_limit);
table_ops!(windowed_table_op, Made::Windowed, inner_key, window_closes);

fn plain_key(key: &Key) -> &Key {
    key
}

fn inner_key(key: &Windowed<Key>) -> &Key {
    &key.key
}

fn window_closes(until: Until) -> Suppressed<Windowed<Key>> {
    match until {
        Until::WindowCloses => Suppressed::until_window_closes(BufferConfig::unbounded()),
        Until::TimeLimit { .. } => time_limit(until),
    }
}

fn time_limit<K>(until: Until) -> Suppressed<K> {
    let Until::TimeLimit { wait_ms, rows_max } = until else {
        unreachable!("shapes were checked")
    };
    let buffer = rows_max.map_or_else(|| BufferConfig::unbounded().into(), BufferConfig::max_records);
    Suppressed::until_time_limit(millis(wait_ms), buffer)
}

fn aggregated(grouped: &KGroupedStream<Key, Text>, how: How) -> KTable<Key, Text> {
    let add = move |_: &Key, value: Text, aggregate: Text| how.add(aggregate, value);
    match how {
        How::Count => grouped.count(Materialized::default()).map_values(number),
        How::Reduce => grouped.reduce(move |a, v| how.add(a, v), Materialized::default()),
        How::Aggregate | How::Delete => grouped.aggregate(empty, add, Materialized::default()),
    }
}

fn regrouped(grouped: &KGroupedTable<Key, Text>, how: How) -> KTable<Key, Text> {
    let (enter, leave) = (move |a, v| how.enter(a, v), move |a, v| how.leave(a, v));
    match how {
        How::Count => grouped.count(Materialized::default()).map_values(number),
        How::Reduce => grouped.reduce(enter, leave, Materialized::default()),
        How::Aggregate | How::Delete => grouped.aggregate(
            empty,
            move |_, v, a| enter(a, v),
            move |_, v, a| leave(a, v),
            Materialized::default(),
        ),
    }
}

fn windowed(grouped: KGroupedStream<Key, Text>, windows: Windows, how: How) -> KTable<Windowed<Key>, Text> {
    let add = move |_: &Key, value: Text, aggregate: Text| how.add(aggregate, value);
    let fixed = match windows {
        Windows::Session { gap_ms, grace_ms } => {
            let windows = SessionWindows::of_inactivity_gap_and_grace(millis(gap_ms), millis(grace_ms));
            let sessions = grouped.windowed_by(windows);
            let merge = move |_: &Key, one, other| how.merge(one, other);
            return match how {
                How::Count => sessions.count(Materialized::default()).map_values(number),
                How::Reduce => sessions.reduce(move |a, v| how.add(a, v), Materialized::default()),
                How::Aggregate | How::Delete => {
                    sessions.aggregate(empty, add, merge, Materialized::default())
                }
            };
        }
        Windows::Time {
            size_ms,
            advance_ms,
            grace_ms,
        } => {
            let windows = TimeWindows::of_size_and_grace(millis(size_ms), millis(grace_ms));
            grouped.windowed_by(windows.advance_by(millis(advance_ms)))
        }
        Windows::Sliding {
            difference_ms,
            grace_ms,
        } => grouped.windowed_by(SlidingWindows::of_time_difference_and_grace(
            millis(difference_ms),
            millis(grace_ms),
        )),
    };
    match how {
        How::Count => fixed.count(Materialized::default()).map_values(number),
        How::Reduce => fixed.reduce(move |a, v| how.add(a, v), Materialized::default()),
        How::Aggregate | How::Delete => fixed.aggregate(empty, add, Materialized::default()),
    }
}

fn as_stream(table: &KTable<Windowed<Key>, Text>) -> KStream<Key, Text> {
    let text =
        |key: &Windowed<Key>, _: &Text| windowed_text(&key.key, key.window.start_ms, key.window.end_ms);
    table.to_nullable_stream().select_key(text)
}

fn stream(made: &[Made], id: Id) -> KStream<Key, Text> {
    match &made[id] {
        Made::Stream(stream) => stream.clone(),
        _ => unreachable!("shapes were checked"),
    }
}

fn both(left: Option<&Text>, right: Option<&Text>) -> Text {
    let flat = |value: Option<&Text>| value.cloned().flatten();
    join(flat(left).as_deref(), flat(right).as_deref())
}

fn empty() -> Text {
    Some(String::new())
}

fn number(count: i64) -> Text {
    Some(count.to_string())
}

fn materialized(id: Id, stored: bool) -> Materialized<Text> {
    match stored {
        true => Materialized::named(format!("store-{id}")),
        false => Materialized::default(),
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
