//! Records that fail: dropped and counted, kept as dead letters, or the end of the application, as its handlers say.

use std::sync::Arc;

use streams_dsl::log::Log;
use streams_dsl::metrics::DropReason;
use streams_dsl::prelude::*;
use streams_dsl::serde::SerdeError;
use streams_dsl::testing::WrittenRecord;
use tempfile::TempDir;

use crate::support::{create_topics, embedded, read, send, wait, wait_for_failure};

/// Each number of a text, doubled.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let texts = builder.stream::<String, String>("texts");
    let words = texts.flat_map_values(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let numbers = words.try_map_values(|word| word.parse::<i64>()).named("parse");
    numbers.map_values(|number| number * 2).to("numbers");
    builder.build().unwrap()
}

fn prepared(texts: &[&[u8]]) -> (Arc<dyn Log>, TempDir) {
    let (log, dir) = embedded();
    create_topics(&*log, &[("texts", 1), ("numbers", 1), ("dead", 1)]);
    send(
        &*log,
        texts
            .iter()
            .map(|text| ("texts", 0, b"k".as_slice(), Some(*text), 7)),
    );
    (log, dir)
}

fn numbers(log: &dyn Log) -> Vec<i64> {
    let records = read(log, "numbers", 0).into_iter();
    let number = |bytes: Vec<u8>| i64::from_be_bytes(bytes.try_into().unwrap());
    records.map(|(_, value, _)| number(value.unwrap())).collect()
}

#[test]
fn what_fails_is_dropped_counted_and_kept() {
    let (log, dir) = prepared(&[b"1 two 3", b"\xff", b"4"]);
    let handlers = ErrorHandlers::default()
        .deserialization(LogAndContinue)
        .processing(LogAndContinue)
        .dead_letter_topic("dead");
    let config = StreamsConfig::new("app")
        .state_dir(dir.path().join("state"))
        .errors(handlers);
    let streams = Streams::start(&topology(), config, Arc::clone(&log)).unwrap();
    wait(&[&streams]);
    assert_eq!(streams.dropped(DropReason::Processing), 1);
    assert_eq!(streams.dropped(DropReason::Deserialization), 1);
    streams.close().unwrap();
    // Of the words of one text, those that are numbers went on.
    assert_eq!(numbers(&*log), [2, 6, 8]);
    let dead: Vec<_> = read(&*log, "dead", 0)
        .into_iter()
        .map(|(_, value, timestamp_ms)| (value.unwrap(), timestamp_ms))
        .collect();
    assert_eq!(dead, [(b"1 two 3".to_vec(), 7), (b"\xff".to_vec(), 7)]);
}

#[test]
fn a_dead_letter_says_what_happened_and_where() {
    let handlers = ErrorHandlers::default()
        .processing(LogAndContinue)
        .dead_letter_topic("dead");
    let driver =
        TopologyTestDriver::with_options(&topology(), TestDriverOptions::default().errors(handlers)).unwrap();
    for text in ["1", "one"] {
        driver
            .input("texts")
            .pipe("k".to_string(), text.to_string())
            .unwrap();
    }
    let dead: Vec<WrittenRecord> = driver.written("dead");
    let headers: Vec<(&str, String)> = dead[0]
        .headers
        .iter()
        .map(|header| {
            let value = header.value.as_ref().unwrap().to_vec();
            (&*header.key, String::from_utf8(value).unwrap())
        })
        .collect();
    let expected = [
        (
            "__streams.errors.exception",
            "streams_core::error::ProcessCause::User",
        ),
        ("__streams.errors.message", "invalid digit found in string"),
        (
            "__streams.errors.stacktrace",
            "invalid digit found in string\n\tat processor parse\n\tat task 0_0\n\tat offset 1 of texts-0",
        ),
        ("__streams.errors.topic", "texts"),
        ("__streams.errors.partition", "0"),
        ("__streams.errors.offset", "1"),
    ];
    assert_eq!(headers, expected.map(|(key, value)| (key, value.to_owned())));
}

#[test]
fn without_a_handler_the_application_stops_and_loses_nothing() {
    let (log, dir) = prepared(&[b"1", b"two", b"3"]);
    let config = StreamsConfig::new("app").state_dir(dir.path().join("state"));
    let streams = Streams::start(&topology(), config.clone(), Arc::clone(&log)).unwrap();
    let error = wait_for_failure(&streams);
    for part in ["invalid digit", "parse", "task 0_0", "offset 1 of texts-0"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    drop(streams);
    // With one that knows of it, the same application goes on.
    let second = |error: &streams_dsl::error::ProcessError| match error.input {
        Some((_, 1)) => ErrorResponse::Continue,
        _ => ErrorResponse::Fail,
    };
    let config = config.errors(ErrorHandlers::default().processing(second));
    let streams = Streams::start(&topology(), config, Arc::clone(&log)).unwrap();
    wait(&[&streams]);
    streams.close().unwrap();
    assert_eq!(numbers(&*log), [2, 6]);
}

#[test]
fn results_that_cannot_be_written_are_dropped_if_the_handler_says_so() {
    #[derive(Debug)]
    struct OnlyEven;
    impl Serde<i64> for OnlyEven {
        fn serialize(&self, _: &str, value: &i64, out: &mut Vec<u8>) -> Result<(), SerdeError> {
            if value % 2 == 1 {
                return Err(SerdeError::new("an odd number"));
            }
            out.extend(value.to_be_bytes());
            Ok(())
        }
        fn deserialize(&self, _: &str, _: &[u8]) -> Result<i64, SerdeError> {
            Err(SerdeError::new("is only written"))
        }
    }
    let builder = StreamsBuilder::new();
    let serdes = Produced::with(String::default_serde(), Arc::new(OnlyEven));
    builder.stream::<String, i64>("in").to_with("out", serdes);
    let topology = builder.build().unwrap();
    let run = |handlers: ErrorHandlers| {
        let driver =
            TopologyTestDriver::with_options(&topology, TestDriverOptions::default().errors(handlers))
                .unwrap();
        let input = driver.input("in");
        let piped: Result<Vec<()>, _> = [1_i64, 2]
            .map(|n| input.pipe("k".to_string(), n))
            .into_iter()
            .collect();
        (piped.map_err(|error| error.to_string()), driver)
    };
    let (piped, _) = run(ErrorHandlers::default());
    assert!(piped.unwrap_err().contains("an odd number"));
    let (piped, driver) = run(ErrorHandlers::default().production(LogAndContinue));
    piped.unwrap();
    assert_eq!(driver.dropped(DropReason::Production), 1);
    assert_eq!(
        driver.output::<String, i64>("out").read_key_values(),
        [("k".into(), 2)]
    );
}

#[test]
fn the_topic_of_dead_letters_must_exist() {
    let (log, dir) = prepared(&[]);
    let handlers = ErrorHandlers::default().dead_letter_topic("nowhere");
    let config = StreamsConfig::new("app")
        .state_dir(dir.path().join("state"))
        .errors(handlers);
    let error = Streams::start(&topology(), config, log).unwrap_err().to_string();
    assert!(error.contains("topic nowhere does not exist"), "{error}");
}
