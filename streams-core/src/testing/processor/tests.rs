//! What a test can say to a processor, and ask of it.

use std::time::Duration;

use super::{CapturedForward, MockProcessorContext};
use crate::assignment::TaskId;
use crate::context::TaskContext;
use crate::metrics::DropReason;
use crate::processor::{
    BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, Processor, ProcessorContext,
    ProcessorInit, PunctuationType, Schedule, Scheduler,
};
use crate::record::Record;
use crate::store::{GlobalKeyValueStore, GlobalStoreBuilder, KeyValueStoreBuilder, WindowStoreBuilder};

/// Tells where and when it is, and makes a schedule for each record.
struct Witness {
    scheduler: Scheduler,
    prices: GlobalKeyValueStore<String, i64>,
}

impl Witness {
    fn new(init: &mut ProcessorInit<'_, '_>) -> crate::error::Result<Self> {
        Ok(Self {
            scheduler: init.scheduler(),
            prices: init.global_store("prices")?,
        })
    }

    fn told(task: &TaskContext<'_>) -> String {
        let place = task
            .record_metadata()
            .map(|place| format!("{}-{}@{}", place.topic, place.partition, place.offset));
        let place = place.unwrap_or_else(|| "nowhere".to_owned());
        let (application, id) = (task.application_id(), task.task_id());
        let times = (task.stream_time_ms(), task.wall_clock_ms());
        format!("{application} {id} {place} {times:?}")
    }
}

impl Processor<String, i64, String, String> for Witness {
    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, String>,
    ) -> Result<(), BoxError> {
        let Some(price) = self.prices.get(&record.key)? else {
            context.task().count_dropped(DropReason::NullValue);
            return Ok(());
        };
        self.scheduler
            .schedule(Duration::from_secs(1), PunctuationType::WallClockTime);
        let told = format!("{} {}", Self::told(context.task()), price.value * record.value);
        context.forward_to("told", record.with_value(told))
    }

    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, String, String>,
    ) -> Result<(), BoxError> {
        schedule.cancel();
        let told = Self::told(context.task());
        context.forward(Record::new("due".to_owned(), told, timestamp_ms))
    }
}

fn forward(
    child: Option<&str>,
    (key, value): (&str, &str),
    timestamp_ms: i64,
) -> CapturedForward<String, String> {
    CapturedForward {
        child: child.map(str::to_owned),
        record: Record::new(key.to_owned(), value.to_owned(), timestamp_ms),
    }
}

#[test]
fn a_processor_is_told_what_the_test_says() {
    let mut context = MockProcessorContext::new()
        .application_id("shop")
        .task_id(TaskId {
            subtopology: 1,
            partition: 2,
        })
        .children(&["told"]);
    let prices = GlobalStoreBuilder::<String, i64>::new("prices");
    let prices = context
        .add_global_store(prices, [("tea".to_owned(), 3, 0)])
        .unwrap();
    assert_eq!(prices.all().unwrap().count(), 1);
    let mut witness = context.make(Witness::new).unwrap();
    let tea = |value, timestamp_ms| Record::new("tea".to_owned(), value, timestamp_ms);

    context.process(&mut witness, tea(1, 5)).unwrap();
    context.set_record_metadata("orders", 2, 17);
    context.set_stream_time_ms(40);
    context.set_wall_clock_ms(50);
    context.process(&mut witness, tea(2, 6)).unwrap();
    let milk = Record::new("milk".to_owned(), 1, 7);
    context.process(&mut witness, milk).unwrap();
    assert_eq!(context.metrics().dropped(DropReason::NullValue), 1);
    let schedules = context.schedules();
    context.punctuate(&mut witness, &schedules[1], 60).unwrap();
    context.process(&mut witness, tea(3, 8)).unwrap();

    let expected = [
        forward(Some("told"), ("tea", "shop 1_2 nowhere (-1, 0) 3"), 5),
        forward(Some("told"), ("tea", "shop 1_2 orders-2@17 (40, 50) 6"), 6),
        forward(None, ("due", "shop 1_2 nowhere (40, 50)"), 60),
        forward(Some("told"), ("tea", "shop 1_2 orders-2@17 (40, 50) 9"), 8),
    ];
    assert_eq!(context.take_forwarded(), expected);
    assert_eq!(context.take_forwarded(), []);
    assert!(schedules[1].is_cancelled() && !schedules[0].is_cancelled());
    assert_eq!(context.schedules().len(), 2);
    assert!(!context.take_commit_requested());
}

#[test]
fn what_is_not_there_is_an_error() {
    let mut context = MockProcessorContext::<String, String>::new();
    let error = context.make(Witness::new).map(drop).unwrap_err().to_string();
    assert!(error.contains("there is no global store prices"), "{error}");
    let prices = GlobalStoreBuilder::<String, i64>::new("prices");
    context
        .add_global_store(prices.clone(), [("tea".to_owned(), 3, 0)])
        .unwrap();
    assert!(context.add_global_store(prices, []).is_err());
    let windows = WindowStoreBuilder::<String, i64>::new("prices", 1_000);
    assert!(context.add_store(windows).is_err());

    let mut witness = context.make(Witness::new).unwrap();
    let record = Record::new("tea".to_owned(), 1, 0);
    let error = context.process(&mut witness, record).unwrap_err().to_string();
    assert!(error.contains("has no child told"), "{error}");
}

/// Forgets a key when its schedule is due.
struct Forget;

impl FixedKeyProcessor<String, i64, i64> for Forget {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, i64>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        let value = *record.value();
        context.forward(record.with_value(value + 1))
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> Result<(), BoxError> {
        assert_eq!((timestamp_ms, task.record_metadata()), (9, None));
        task.request_commit();
        Ok(())
    }
}

#[test]
fn a_fixed_key_processor_is_tested_alike() {
    let mut context = MockProcessorContext::new();
    let store = context
        .add_store(KeyValueStoreBuilder::<String, i64>::new("rows").lru(1))
        .unwrap();
    let mut forget = context
        .make(|init| {
            init.key_value_store::<String, i64>("rows")?;
            init.schedule(Duration::ZERO, PunctuationType::StreamTime);
            Ok(Forget)
        })
        .unwrap();
    for (key, value) in [("a", 1), ("b", 2)] {
        store.put(&key.to_owned(), Some(value), 0).unwrap();
    }
    assert_eq!(store.all().unwrap().count(), 1);
    context.set_record_metadata("in", 0, 0);
    let record = Record::new("a".to_owned(), 1, 5);
    context.process_fixed_key(&mut forget, record.clone()).unwrap();
    let [schedule] = &context.schedules()[..] else {
        panic!("one schedule was made");
    };
    assert_eq!(
        (schedule.every(), schedule.kind()),
        (Duration::from_millis(1), PunctuationType::StreamTime)
    );
    context.punctuate_fixed_key(&mut forget, schedule, 9).unwrap();
    assert!(context.take_commit_requested() && !context.take_commit_requested());
    let record = record.with_value(2);
    assert_eq!(
        context.take_forwarded(),
        [CapturedForward { child: None, record }]
    );
}
