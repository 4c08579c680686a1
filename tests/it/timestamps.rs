//! Event time: what extractors see, what they may answer, and which of them is asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_dsl::Headers;
use streams_dsl::handlers::LogAndContinue;
use streams_dsl::prelude::*;
use streams_dsl::testing::WrittenRecord;
use streams_dsl::topology::{
    ConsumerRecord, ExtractedTimestamp, fail_on_invalid_timestamp, log_and_skip_on_invalid_timestamp,
    use_partition_time_on_invalid_timestamp, wallclock_timestamp,
};

type Options = fn(TestDriverOptions) -> TestDriverOptions;

/// Copies `in` to `out`.
fn copy(consumed: Consumed<String, i64>, options: Options) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    builder.stream_with("in", consumed).to("out");
    let options = options(TestDriverOptions::default());
    TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap()
}

fn pipe(driver: &TopologyTestDriver, timestamp_ms: i64) -> Result<(), String> {
    let piped = driver.input("in").pipe_at("k".to_owned(), 7_i64, timestamp_ms);
    piped.map_err(|error| error.to_string())
}

fn times(driver: &TopologyTestDriver, topic: &str) -> Vec<i64> {
    let written = driver.written(topic);
    written.iter().map(|record| record.timestamp_ms).collect()
}

#[test]
fn an_extractor_sees_all_there_is_to_a_record() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let consumed = Consumed::<String, Option<i64>>::default().timestamp_extractor(move |record| {
        let headers = record.headers.len();
        let what = format!(
            "{}-{}@{} {} {headers} {:?} {:?} {} {}",
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
            record.partition_time_ms,
            record.wall_clock_ms,
        );
        sees.lock().unwrap().push(what);
        record.timestamp_ms * 10
    });
    let builder = StreamsBuilder::new();
    builder.stream_with("in", consumed).to("out");
    let options = TestDriverOptions::default().wall_clock_ms(99).partitions("in", 2);
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    let input = driver.on_partition(1).input::<String, Option<i64>>("in");
    let mut record = Record::new("k".to_owned(), Some(7), 5);
    record.headers = Headers::default().with("id", None);
    input.pipe_record(&record).unwrap();
    input.pipe_at("k".to_owned(), None, 4).unwrap();
    input.pipe_at("k".to_owned(), None, 6).unwrap();
    let expected = [
        r#"in-1@0 5 1 Some("k") Some(Some(7)) -1 99"#,
        r#"in-1@1 4 0 Some("k") Some(None) 50 99"#,
        r#"in-1@2 6 0 Some("k") Some(None) 50 99"#,
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(times(&driver, "out"), [50, 40, 60]);
}

/// A table's records: an update, and a deletion.
fn update_and_delete(driver: &TopologyTestDriver) {
    let input = driver.input::<String, Option<i64>>("in");
    input.pipe_at("k".to_owned(), Some(7), 1).unwrap();
    input.pipe_at("k".to_owned(), None, 2).unwrap();
}

#[test]
fn extractors_of_tables_are_asked_about_deletions() {
    let by_value = || {
        let consumed = Consumed::<String, i64>::default();
        consumed.timestamp_extractor(|record| record.value.map_or(1_000, |value| value * 10))
    };
    let builder = StreamsBuilder::new();
    let table = builder.table_with("in", by_value(), Materialized::default());
    table.to_stream().to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    update_and_delete(&driver);
    assert_eq!(times(&driver, "out"), [70, 1_000]);

    // Of global tables too, which have no null keys.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asks = Arc::clone(&asked);
    let consumed = Consumed::<String, i64>::default().timestamp_extractor(move |record| {
        asks.lock().unwrap().push(record.value.copied());
        None
    });
    let builder = StreamsBuilder::new();
    builder.global_table_with("in", consumed, Materialized::named("rows"));
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    update_and_delete(&driver);
    assert_eq!(*asked.lock().unwrap(), [Some(7), None]);
}

#[test]
fn nulls_that_a_stream_has_no_type_for_move_time_and_are_dropped() {
    let consumed = Consumed::<String, i64>::default().timestamp_extractor(|record| match record.value {
        Some(_) => record.partition_time_ms,
        None => 500,
    });
    let driver = copy(consumed, |options| options);
    driver.input("in").pipe("k".to_owned(), None::<i64>).unwrap();
    pipe(&driver, 1).unwrap();
    assert_eq!(driver.dropped(DropReason::UnexpectedNull), 1);
    assert_eq!(times(&driver, "out"), [500]);
}

/// A record of a late time whose value is no number.
fn unreadable() -> WrittenRecord {
    WrittenRecord {
        key: None,
        value: Some(b"abc".as_slice().into()),
        timestamp_ms: 1_000_000,
        headers: Headers::default(),
    }
}

#[test]
fn nothing_is_late_for_what_cannot_be_read() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
    let counts = builder
        .stream::<String, i64>("in")
        .group_by_key()
        .windowed_by(windows);
    counts.count(Materialized::named("counts")).to_stream().to("out");
    let options =
        TestDriverOptions::default().errors(ErrorHandlers::default().deserialization(LogAndContinue));
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    let unreadable = unreadable();
    driver.pipe_raw("in", &unreadable).unwrap();
    pipe(&driver, 1).unwrap();
    assert_eq!(driver.dropped(DropReason::Deserialization), 1);
    assert_eq!(times(&driver, "out"), [1]);
}

#[test]
fn what_cannot_be_read_has_no_time() {
    let own = Consumed::<String, i64>::default().timestamp_extractor(|record| {
        let is_in_time = record.timestamp_ms >= record.partition_time_ms;
        is_in_time.then_some(record.timestamp_ms).ok_or("late")
    });
    let go_on: Options = |options| options.errors(ErrorHandlers::default().deserialization(LogAndContinue));
    let driver = copy(own, go_on);
    let unreadable = unreadable();
    driver.pipe_raw("in", &unreadable).unwrap();
    pipe(&driver, 1).unwrap();
    driver.pipe_raw("in", &unreadable).unwrap();
    pipe(&driver, 2).unwrap();
    assert_eq!(driver.dropped(DropReason::Deserialization), 2);
    assert_eq!(times(&driver, "out"), [1, 2]);
}

#[test]
fn an_extractor_that_fails_stops_the_application_whatever_handlers_say() {
    let failing = Consumed::<String, i64>::default()
        .timestamp_extractor(|record| u8::try_from(record.timestamp_ms).map(i64::from));
    let go_on: Options = |options| {
        let handlers = ErrorHandlers::default().processing(LogAndContinue);
        options.errors(handlers.deserialization(LogAndContinue))
    };
    let driver = copy(failing, go_on);
    pipe(&driver, 255).unwrap();
    let error = pipe(&driver, 256).unwrap_err();
    let expected = "the timestamp extractor failed: out of range integral type conversion attempted, task 0_0, while processing \
                    offset 1 of in-0";
    assert_eq!(error, expected);
    assert_eq!(times(&driver, "out"), [255]);
}

#[test]
fn sources_come_before_the_application_and_internal_topics_keep_their_time() {
    let builder = StreamsBuilder::new();
    let own = Consumed::<String, i64>::default().timestamp_extractor(|_| 5);
    builder.stream_with("own", own).to("own-out");
    let stream = builder.stream::<String, i64>("default");
    stream.repartition(Repartitioned::default()).to("default-out");
    // Sees bytes.
    let default = |record: &ConsumerRecord<'_, [u8], [u8]>| match record.value {
        Some(value) => record.timestamp_ms * value.len() as i64,
        None => 3,
    };
    let options = TestDriverOptions::default().default_timestamp_extractor(default);
    let driver = TopologyTestDriver::with_options(&builder.build().unwrap(), options).unwrap();
    for topic in ["own", "default"] {
        driver.input(topic).pipe_at("k".to_owned(), 1_i64, 100).unwrap();
    }
    assert_eq!(times(&driver, "own-out"), [5]);
    // Once eight times as late.
    assert_eq!(times(&driver, "default-out"), [800]);
}

#[test]
fn kafkas_extractors_know_what_to_do_about_records_without_a_timestamp() {
    let fails = "the record's timestamp is -1";
    let driver = copy(Consumed::default(), |options| options);
    assert!(pipe(&driver, -1).unwrap_err().starts_with(fails));

    let driver = copy(Consumed::default(), |options| {
        options.default_timestamp_extractor(fail_on_invalid_timestamp)
    });
    pipe(&driver, 3).unwrap();
    assert!(pipe(&driver, -1).unwrap_err().contains(fails));

    let driver = copy(Consumed::default(), |options| {
        options.default_timestamp_extractor(log_and_skip_on_invalid_timestamp)
    });
    for timestamp_ms in [3, -1, 4] {
        pipe(&driver, timestamp_ms).unwrap();
    }
    assert_eq!(times(&driver, "out"), [3, 4]);
    assert_eq!(driver.dropped(DropReason::InvalidTimestamp), 1);

    let driver = copy(
        Consumed::default().timestamp_extractor(use_partition_time_on_invalid_timestamp),
        |options| options,
    );
    for timestamp_ms in [3, 2, -1] {
        pipe(&driver, timestamp_ms).unwrap();
    }
    assert_eq!(times(&driver, "out"), [3, 2, 3]);
    let driver = copy(
        Consumed::default().timestamp_extractor(use_partition_time_on_invalid_timestamp),
        |options| options,
    );
    assert!(pipe(&driver, -1).unwrap_err().contains("no record before it"));

    let driver = copy(
        Consumed::default().timestamp_extractor(wallclock_timestamp),
        |options| options.wall_clock_ms(77),
    );
    pipe(&driver, -1).unwrap();
    assert_eq!(times(&driver, "out"), [77]);
}

#[test]
fn answers_are_made_of_many_things() {
    let answer = |answer: ExtractedTimestamp| match answer {
        ExtractedTimestamp::At(ms) => ms.to_string(),
        ExtractedTimestamp::Own => "own".to_owned(),
        ExtractedTimestamp::Failed(error) => error.to_string(),
    };
    assert_eq!(answer(7.into()), "7");
    assert_eq!(answer(Some(7).into()), "7");
    assert_eq!(answer(None.into()), "own");
    assert_eq!(answer(Ok::<i64, String>(7).into()), "7");
    assert_eq!(answer(Ok::<Option<i64>, String>(None).into()), "own");
    assert_eq!(answer(Err::<i64, _>("no").into()), "no");
}
