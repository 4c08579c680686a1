//! Timestamps and durations at the ends of what there can be: results may be strange there, but nothing panics.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::processor::{
    BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, ProcessorContext, PunctuationType,
    Schedule,
};

/// As a source reads them: those before 0 are no timestamps there.
const TIMES_MS: [i64; 14] = [
    0,
    1,
    2,
    999,
    1_000,
    1_001,
    i64::MAX / 2,
    i64::MAX / 2 + 1,
    i64::MAX - 1_001,
    i64::MAX - 1_000,
    i64::MAX - 999,
    i64::MAX - 2,
    i64::MAX - 1,
    i64::MAX,
];

/// As a processor can set them.
const TIMES_BEFORE_0_MS: [i64; 6] = [-1, -2, -1_000, i64::MIN / 2, i64::MIN + 1, i64::MIN];

const DURATIONS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(1_000),
    Duration::from_millis(i64::MAX as u64 / 2),
    Duration::from_millis(i64::MAX as u64 - 1),
    Duration::MAX,
];

/// A record's value is its time.
struct Retime;

impl FixedKeyProcessor<String, i64, i64> for Retime {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, i64>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        let time_ms = *record.value();
        context.forward(record.with_timestamp_ms(time_ms))
    }
}

fn timed(builder: &StreamsBuilder, topic: &str) -> KStream<String, i64> {
    builder
        .stream::<String, i64>(topic)
        .process_values(&[], |_| Ok(Retime))
}

/// Pipes all times into two topics, in several orders. What cannot be built is not run.
fn survive(name: &str, add: impl Fn(KStream<String, i64>, KStream<String, i64>)) {
    let builder = StreamsBuilder::new();
    add(timed(&builder, "left"), timed(&builder, "right"));
    let Ok(topology) = builder.build() else { return };
    let described = topology.describe();
    let times: Vec<i64> = TIMES_MS.into_iter().chain(TIMES_BEFORE_0_MS).collect();
    for step in [1, 3, 7, 9, 11, 13, 17, 19] {
        let driver = TopologyTestDriver::new(&topology).unwrap();
        for n in 0..2 * times.len() {
            let time_ms = times[n * step % times.len()];
            for topic in ["left", "right"] {
                if described.contains(&format!("(topics: [{topic}])")) {
                    let key = format!("k{}", n % 2);
                    let piped = driver.input(topic).pipe_at(key, time_ms, 0);
                    // An error is an answer too.
                    if let Err(error) = piped {
                        assert!(!error.to_string().is_empty(), "{name}");
                    }
                }
            }
        }
    }
}

fn pairs() -> impl Iterator<Item = (Duration, Duration)> {
    DURATIONS
        .into_iter()
        .flat_map(|a| DURATIONS.into_iter().map(move |b| (a, b)))
}

/// Counts in windows: each update, what is left when they close, and what is sent when they close. One kind of windows is as
/// another here, but each has its own types.
macro_rules! counts_survive {
    ($name:literal, $windows:expr) => {
        survive($name, |left, _| {
            let windowed = left.group_by_key().windowed_by($windows);
            let counts = windowed.count(Materialized::default());
            counts
                .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
                .to_stream()
                .to("out");
        });
        survive(concat!($name, ", final"), |left, _| {
            let windowed = left.group_by_key().windowed_by($windows).emit_on_window_close();
            windowed.count(Materialized::default()).to_stream().to("out");
        });
    };
}

#[test]
fn windows_survive() {
    for (size, grace) in pairs() {
        counts_survive!("tumbling", TimeWindows::of_size_and_grace(size, grace));
        counts_survive!(
            "sliding",
            SlidingWindows::of_time_difference_and_grace(size, grace)
        );
        counts_survive!(
            "sessions",
            SessionWindows::of_inactivity_gap_and_grace(size, grace)
        );
    }
}

#[test]
fn windows_that_overlap_or_have_no_end_survive() {
    for grace in DURATIONS {
        let windows = TimeWindows::of_size_and_grace(Duration::from_millis(1_000), grace);
        survive("hopping", |left, _| {
            let windows = windows.advance_by(Duration::from_millis(7));
            let counts = left
                .group_by_key()
                .windowed_by(windows)
                .count(Materialized::default());
            counts.to_stream().to("out");
        });
    }
    for start_ms in TIMES_MS.into_iter().chain(TIMES_BEFORE_0_MS) {
        survive("unlimited", |left, _| {
            let windows = UnlimitedWindows::start_on(start_ms);
            let counts = left
                .group_by_key()
                .windowed_by(windows)
                .count(Materialized::default());
            counts.to_stream().to("out");
        });
    }
}

#[test]
fn joins_of_streams_survive() {
    for (difference, grace) in pairs() {
        let windows = JoinWindows::of_time_difference_and_grace(difference, grace);
        for windows in [
            windows,
            windows.before(Duration::ZERO),
            windows.after(Duration::ZERO),
        ] {
            survive("join", |left, right| {
                left.join_stream(&right, |a, _| *a, windows).to("out");
            });
            survive("left join", |left, right| {
                left.left_join_stream(&right, |a, _| *a, windows).to("out");
            });
            survive("outer join", |left, right| {
                left.outer_join_stream(&right, |a, b| a.or(b).copied(), windows)
                    .to("out");
            });
            survive("self-join", |left, _| {
                left.join_stream(&left, |a, _| *a, windows).to("out");
            });
        }
    }
}

#[test]
fn tables_survive() {
    for duration in DURATIONS {
        survive("join with a table", |left, right| {
            let table = right.to_table(Materialized::named("table").versioned(duration));
            let joined = Joined::default().grace_period(duration);
            left.join_with(&table, |a, _| a, joined).to("out");
        });
        survive("suppress", |left, _| {
            let wait = Suppressed::until_time_limit(duration, BufferConfig::unbounded());
            let table = left.to_table(Materialized::named("table"));
            table.suppress(wait).to_stream().to("out");
        });
    }
    survive("joins of tables", |left, right| {
        let left = left.to_table(Materialized::named("left"));
        let right = right.to_table(Materialized::named("right"));
        let outer = left.outer_join(&right, |a, b| a.or(b).copied());
        let both = outer.join_foreign_key_with(
            &right,
            |key, _| Some(key.clone()),
            |a, _| a.unwrap_or_default(),
            TableJoined::default(),
            Materialized::default(),
        );
        both.group_by(|key, n| (key.clone(), *n))
            .count(Materialized::default())
            .to_stream()
            .to("out");
    });
}

/// Is called as often as time says.
struct Ticks;

impl streams_dsl::processor::Processor<String, i64, String, i64> for Ticks {
    fn process(
        &mut self,
        _: Record<String, i64>,
        _: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        context.forward(Record::new("tick".to_owned(), timestamp_ms, timestamp_ms))
    }
}

#[test]
fn schedules_survive() {
    for every in DURATIONS {
        for kind in [PunctuationType::StreamTime, PunctuationType::WallClockTime] {
            let builder = StreamsBuilder::new();
            let input = builder.stream::<String, i64>("in");
            let ticks = input.process(&[], move |init| {
                let _ = init.schedule(every, kind);
                Ok(Ticks)
            });
            ticks.to("out");
            let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
            for time_ms in TIMES_MS {
                driver
                    .input("in")
                    .pipe_at("a".to_owned(), 0_i64, time_ms)
                    .unwrap();
            }
            for by in DURATIONS {
                driver.advance_wall_clock(by).unwrap();
            }
        }
    }
}
