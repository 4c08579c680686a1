//! What listeners hear: of the state of an application, and of stores that are restored.

use std::sync::{Arc, Mutex};

use streams_dsl::log::TopicPartition;
use streams_dsl::prelude::*;

use crate::support::{create_topics, embedded, send, wait, wait_for_failure};

/// What was heard, a line each; numbers of records are added up.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.0.lock().unwrap());
        lines.sort();
        lines
    }
}

struct Restores {
    heard: Heard,
    in_batches: Mutex<u64>,
}

impl RestoreListener for Restores {
    fn on_restore_start(&self, changelog: &TopicPartition, store: &str, start_offset: i64, end_offset: i64) {
        assert!(start_offset <= end_offset);
        self.heard.add(format!("{store}: begins {changelog}"));
    }

    fn on_batch_restored(&self, _: &TopicPartition, _: &str, last_offset: i64, restored: u64) {
        assert!(restored > 0 && last_offset + 1 >= restored.cast_signed());
        *self.in_batches.lock().unwrap() += restored;
    }

    fn on_restore_end(&self, changelog: &TopicPartition, store: &str, restored: u64) {
        let in_batches = std::mem::take(&mut *self.in_batches.lock().unwrap());
        assert_eq!(in_batches, restored);
        self.heard
            .add(format!("{store}: ends {changelog} after {restored}"));
    }
}

#[test]
fn restores_are_heard_of() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("cities", 1), ("clicks", 1)]);
    let keys: Vec<String> = (0..10).map(|n| format!("key-{n}")).collect();
    for topic in ["cities", "clicks"] {
        let value = Some(b"value".as_slice());
        send(&*log, keys.iter().map(|key| (topic, 0, key.as_bytes(), value, 1)));
    }
    let builder = StreamsBuilder::new();
    let _cities = builder.global_table::<String, String>("cities", Materialized::named("cities"));
    let clicks = builder.stream::<String, String>("clicks").group_by_key();
    let _ = clicks.count(Materialized::named("counts"));
    let topology = builder.build().unwrap();
    let run = || {
        let heard = Heard::default();
        let listener = Restores {
            heard: heard.clone(),
            in_batches: Mutex::default(),
        };
        let config = StreamsConfig::new("app")
            .state_dir(dir.path().join("state"))
            .restore_listener(listener);
        let streams = Streams::start(&topology, config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
        heard.take()
    };
    let told = |cities: u32, counts: u32| {
        vec![
            "cities: begins cities-0".to_owned(),
            format!("cities: ends cities-0 after {cities}"),
            "counts: begins app-counts-changelog-0".to_owned(),
            format!("counts: ends app-counts-changelog-0 after {counts}"),
        ]
    };
    assert_eq!(run(), told(10, 0));
    assert_eq!(run(), told(0, 0));
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    assert_eq!(run(), told(10, 10));
}

#[test]
fn states_are_heard_of() {
    let (log, dir) = embedded();
    create_topics(&*log, &[("clicks", 2)]);
    let run = |fails: bool| {
        let states: Arc<Mutex<Vec<State>>> = Arc::default();
        let heard = Arc::clone(&states);
        let listener = move |new: State, old: State| {
            let mut states = heard.lock().unwrap();
            assert_eq!(*states.last().unwrap_or(&State::Created), old);
            states.push(new);
        };
        let builder = StreamsBuilder::new();
        let clicks = builder.stream::<String, String>("clicks");
        clicks
            .map_values(move |value| {
                assert!(!fails, "nobody clicks here");
                value
            })
            .for_each(|_, _| ());
        let config = StreamsConfig::new("app")
            .state_dir(dir.path().join("state"))
            .state_listener(listener);
        let streams = Streams::start(&builder.build().unwrap(), config, Arc::clone(&log)).unwrap();
        wait(&[&streams]);
        if fails {
            send(
                &*log,
                [("clicks", 0, b"key".as_slice(), Some(b"value".as_slice()), 1)],
            );
            wait_for_failure(&streams);
        }
        drop(streams);
        let states = states.lock().unwrap();
        states.clone()
    };
    let started = [State::Rebalancing, State::Running];
    let closed = [State::PendingShutdown, State::NotRunning];
    assert_eq!(run(false), [started, closed].concat());
    assert_eq!(run(true), [started.as_slice(), &[State::Error]].concat());
}
