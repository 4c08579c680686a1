//! Schedules, children and places of processors, on the test driver.

use std::time::Duration;

use super::{
    BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, Processor, ProcessorContext,
    ProcessorInit, PunctuationType, Schedule,
};
use crate::context::TaskContext;
use crate::error::Result;
use crate::handlers::{ErrorHandlers, LogAndContinue};
use crate::record::Record;
use crate::testing::{TestDriverOptions, TopologyTestDriver};
use crate::topology::{Node, SinkOptions, SourceOptions, TopicName, TopologyBuilder};

type Context<'a, 'b, 'c> = &'a mut ProcessorContext<'b, 'c, String, i64>;

/// Why a processor is called.
enum Event {
    Record(Record<String, i64>),
    Due(Schedule, i64),
}

struct Calls<F>(F);

impl<F> Processor<String, i64, String, i64> for Calls<F>
where
    F: FnMut(Event, Context<'_, '_, '_>) -> Result<(), BoxError> + 'static,
{
    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        (self.0)(Event::Record(record), context)
    }

    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        (self.0)(Event::Due(schedule, timestamp_ms), context)
    }
}

/// Ties the types of a closure.
fn calls<F>(f: F) -> Result<Calls<F>>
where
    F: FnMut(Event, Context<'_, '_, '_>) -> Result<(), BoxError> + 'static,
{
    Ok(Calls(f))
}

fn source(builder: &mut TopologyBuilder) -> Node<String, i64> {
    builder.add_source("source", [TopicName::external("in")], SourceOptions::default())
}

fn sink(builder: &mut TopologyBuilder, name: &str, parent: Node<String, i64>) {
    builder.add_sink(name, TopicName::external(name), &[parent], SinkOptions::default());
}

/// A driver of one processor, between the topics `in` and `out`.
fn driver<P: Processor<String, i64, String, i64>>(
    supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
) -> TopologyTestDriver {
    driver_with(TestDriverOptions::default(), supplier)
}

fn driver_with<P: Processor<String, i64, String, i64>>(
    options: TestDriverOptions,
    supplier: impl Fn(&mut ProcessorInit<'_, '_>) -> Result<P> + Send + Sync + 'static,
) -> TopologyTestDriver {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder);
    let output = builder.add_processor("processor", &[input], &[], supplier);
    sink(&mut builder, "out", output);
    TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap()
}

fn out(driver: &TopologyTestDriver) -> Vec<i64> {
    driver.output::<String, i64>("out").read_values()
}

fn due(timestamp_ms: i64) -> Record<String, i64> {
    Record::new("due".to_owned(), timestamp_ms, timestamp_ms)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_schedule_made_for_a_record_starts_there() {
    let driver = driver(|init| {
        let scheduler = init.scheduler();
        calls(move |event, context| match event {
            Event::Record(_) => {
                scheduler.schedule(SECOND, PunctuationType::WallClockTime);
                Ok(())
            }
            Event::Due(_, timestamp_ms) => context.forward(due(timestamp_ms)),
        })
    });
    driver.advance_wall_clock(SECOND * 60).unwrap();
    driver.input("in").pipe("a".to_owned(), 1_i64).unwrap();
    driver.advance_wall_clock(SECOND / 2).unwrap();
    assert_eq!(out(&driver), [0; 0]);
    driver.advance_wall_clock(SECOND / 2).unwrap();
    assert_eq!(out(&driver), [61_000]);
    // Missed intervals are one call.
    driver.advance_wall_clock(SECOND * 7 / 2).unwrap();
    driver.advance_wall_clock(SECOND / 2).unwrap();
    assert_eq!(out(&driver), [61_000, 64_500, 65_000]);
}

#[test]
fn stream_time_is_due_after_the_record_that_it_was_made_for() {
    let driver = driver(|init| {
        let scheduler = init.scheduler();
        calls(move |event, context| match event {
            Event::Record(record) => {
                if record.value == 1 {
                    scheduler.schedule(SECOND, PunctuationType::StreamTime);
                }
                context.forward(record)
            }
            Event::Due(_, timestamp_ms) => context.forward(due(timestamp_ms)),
        })
    });
    let input = driver.input::<String, i64>("in").starting_at(1_400, SECOND / 2);
    input
        .pipe_key_values([0, 1, 2, 3].map(|n| ("a".to_owned(), n)))
        .unwrap();
    assert_eq!(out(&driver), [0, 1, 1_900, 2, 2_400, 3]);
}

#[test]
fn what_is_anchored_keeps_to_its_times() {
    let driver = driver(|init| {
        let scheduler = init.scheduler();
        // Of the time before the first record nothing is known: it is due with that.
        scheduler.schedule_at(1_250, SECOND, PunctuationType::StreamTime);
        calls(move |event, context| match event {
            Event::Record(record) => {
                if record.value == 7 {
                    scheduler.schedule_at(2_000, SECOND * 5, PunctuationType::StreamTime);
                    scheduler.schedule_at(10_000, SECOND, PunctuationType::WallClockTime);
                    scheduler.schedule_at(-1_500, SECOND, PunctuationType::WallClockTime);
                }
                Ok(())
            }
            Event::Due(schedule, timestamp_ms) => {
                let every = i64::try_from(schedule.every().as_secs())?;
                context.forward(Record::new(
                    "due".to_owned(),
                    timestamp_ms * 10 + every,
                    timestamp_ms,
                ))
            }
        })
    });
    let output = driver.output::<String, i64>("out");
    let pipe = |value: i64, at_ms: i64| {
        driver.input("in").pipe_at("a".to_owned(), value, at_ms).unwrap();
        output.read_values()
    };
    assert_eq!(pipe(0, 1_249), [0; 0]);
    assert_eq!(pipe(0, 2_000), [20_001]);
    assert_eq!(pipe(0, 2_249), [0; 0]);
    assert_eq!(pipe(0, 5_000), [50_001]);
    assert_eq!(pipe(0, 5_250), [52_501]);
    // That of 2,000 and every 5 s has passed: it is due at 7,000, 12,000 and so on.
    driver.advance_wall_clock(SECOND * 9).unwrap();
    assert_eq!(pipe(7, 5_251), [0; 0]);
    assert_eq!(pipe(0, 7_000), [70_001, 70_005]);
    assert_eq!(pipe(0, 13_000), [130_001, 130_005]);
    // The clock stands at 9 s. That which began long ago is due at half seconds, the other one not before 10 s.
    let advance = |by: Duration| {
        driver.advance_wall_clock(by).unwrap();
        output.read_values()
    };
    assert_eq!(advance(SECOND / 2), [95_001]);
    assert_eq!(advance(SECOND / 2), [100_001]);
    assert_eq!(advance(SECOND * 2), [120_001, 120_001]);
}

#[test]
fn what_is_cancelled_is_not_called_even_if_it_is_due() {
    let driver = driver(|init| {
        let first = init.schedule(SECOND, PunctuationType::WallClockTime);
        let second = init.schedule(SECOND, PunctuationType::WallClockTime);
        calls(move |event, context| match event {
            Event::Record(record) => context.forward(Record {
                value: i64::from(second.is_cancelled()),
                ..record
            }),
            Event::Due(schedule, timestamp_ms) => {
                assert!(schedule == first && schedule != second);
                second.cancel();
                second.cancel();
                context.forward(due(timestamp_ms))
            }
        })
    });
    for n in 0..2_i64 {
        driver.input("in").pipe("a".to_owned(), n).unwrap();
        driver.advance_wall_clock(SECOND).unwrap();
    }
    assert_eq!(out(&driver), [0, 1_000, 1, 2_000]);
}

/// Cancels its schedule when it is called for the first time.
struct Once(Schedule);

impl FixedKeyProcessor<String, i64, i64> for Once {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, i64>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        let record = record.with_value(i64::from(self.0.is_cancelled()));
        context.forward_to("out", record)
    }

    fn punctuate(&mut self, schedule: Schedule, _: i64, _: &mut TaskContext<'_>) -> Result<(), BoxError> {
        assert_eq!(schedule, self.0);
        self.0.cancel();
        Ok(())
    }
}

#[test]
fn a_fixed_key_processor_cancels_its_schedules() {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder);
    let output = builder.add_fixed_key_processor("once", &[input], &[], |init| {
        Ok(Once(init.schedule(SECOND, PunctuationType::StreamTime)))
    });
    sink(&mut builder, "out", output);
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for n in 0..2_i64 {
        driver.input("in").pipe("a".to_owned(), n).unwrap();
    }
    assert_eq!(out(&driver), [0, 1]);
}

#[test]
fn a_record_goes_to_the_child_that_is_named() {
    let mut builder = TopologyBuilder::new();
    let input = source(&mut builder);
    let named = builder.add_processor("named", &[input], &[], |_| {
        calls(|event, context| match event {
            Event::Record(record) => context.forward_to(&record.key.clone(), record),
            Event::Due(..) => Ok(()),
        })
    });
    // What comes after it is a group of two, but this is one child.
    let both = builder.add_operator("both", &[named], &[], |_, next| Ok(next));
    sink(&mut builder, "left", both);
    sink(&mut builder, "right", both);
    let only = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    let read = |driver: &TopologyTestDriver, topic| driver.output::<String, i64>(topic).read_values();
    only.input("in").pipe("both".to_owned(), 1_i64).unwrap();
    let error = only.input("in").pipe("left".to_owned(), 2_i64).unwrap_err();
    assert_eq!((read(&only, "left"), read(&only, "right")), (vec![1], vec![1]));
    let error = error.to_string();
    assert!(
        error.starts_with("processor named has no child left to forward to, only: both, in processor named"),
        "{error}"
    );
}

#[test]
fn a_task_has_a_directory_where_one_is_named() {
    let topology = || {
        let mut builder = TopologyBuilder::new();
        let input = source(&mut builder);
        let output = builder.add_processor("processor", &[input], &[], |init| {
            let at_first = (init.application_id().to_owned(), init.task_id());
            calls(move |event, context| match event {
                Event::Record(record) => {
                    let task = context.task();
                    assert_eq!(
                        (task.application_id(), task.task_id()),
                        (&*at_first.0, at_first.1)
                    );
                    std::fs::write(task.state_dir()?.join("kept"), &record.key)?;
                    let processed = i64::try_from(task.metrics().processed())?;
                    context.forward(record.with_value(processed))
                }
                Event::Due(..) => Ok(()),
            })
        });
        sink(&mut builder, "out", output);
        builder.build().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let options = TestDriverOptions::default()
        .application_id("shop")
        .state_dir(folder.path());
    let driver = TopologyTestDriver::with_options(&topology(), options).unwrap();
    for _ in 0..2 {
        driver.input("in").pipe("a".to_owned(), 7_i64).unwrap();
    }
    assert_eq!(out(&driver), [0, 1]);
    assert_eq!(std::fs::read(folder.path().join("shop/0_0/kept")).unwrap(), b"a");

    let driver = TopologyTestDriver::new(&topology()).unwrap();
    let error = driver
        .input("in")
        .pipe("a".to_owned(), 7_i64)
        .unwrap_err()
        .to_string();
    assert!(error.contains("there is no state directory"), "{error}");
}

#[test]
fn what_fails_on_a_schedule_is_a_dead_letter_of_its_own() {
    let handlers = ErrorHandlers::default()
        .processing(LogAndContinue)
        .dead_letter_topic("dead");
    let driver = driver_with(TestDriverOptions::default().errors(handlers), |init| {
        init.schedule(SECOND, PunctuationType::WallClockTime);
        calls(|event, context| match event {
            Event::Record(record) => context.forward(record),
            Event::Due(..) => Err("no answer".into()),
        })
    });
    driver.advance_wall_clock(SECOND).unwrap();
    let dead = driver.written("dead");
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0].key, &dead[0].value, dead[0].timestamp_ms),
        (&None, &None, 1_000)
    );
    let message = dead[0]
        .headers
        .iter()
        .find(|header| &*header.key == "__streams.errors.message");
    assert_eq!(message.unwrap().value.as_deref(), Some(b"no answer".as_slice()));
    // The next record has not failed.
    driver.input("in").pipe("a".to_owned(), 1_i64).unwrap();
    assert_eq!(driver.written("dead").len(), 1);
    assert_eq!(out(&driver), [1]);
}

#[test]
fn a_negative_timestamp_is_not_forwarded() {
    let driver = driver(|_| {
        calls(|event, context| match event {
            Event::Record(record) => context.forward(Record {
                timestamp_ms: record.value,
                ..record
            }),
            Event::Due(..) => Ok(()),
        })
    });
    driver.input("in").pipe("a".to_owned(), 0_i64).unwrap();
    let error = driver
        .input("in")
        .pipe("a".to_owned(), -1_i64)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("processor processor forwards a record with the timestamp -1"),
        "{error}"
    );
    assert_eq!(out(&driver), [0]);
}
