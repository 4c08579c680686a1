//! Global tables over the embedded broker: whole on each instance, there before the first record, kept over restarts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use streams_dsl::log::{Log, TopicPartition};
use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
use streams_dsl::store::{
    Direction, GlobalKeyValueStore, GlobalProcessor, GlobalStoreBuilder, GlobalStoreWriter, SessionSpan,
    WindowStart,
};
use tempfile::TempDir;

use crate::support::{create_topics, embedded, read, send, wait, wait_for_failure};

const ITEMS: i32 = 2_000;

/// Orders of two partitions, joined with prices of three.
fn topology(kind: StoreKind) -> Topology {
    let builder = StreamsBuilder::new();
    let prices = builder.global_table::<String, i64>("prices", Materialized::named("prices").kind(kind));
    let orders = builder.stream::<String, String>("orders");
    let price = |_: String, price: Option<&i64>| price.copied().unwrap_or(-1);
    orders
        .left_join_global(&prices, |_, item| item.clone(), price)
        .to("out");
    builder.build().unwrap()
}

fn prepared() -> (Arc<dyn Log>, TempDir) {
    let (log, dir) = embedded();
    create_topics(&*log, &[("prices", 3), ("orders", 2), ("out", 2)]);
    (log, dir)
}

fn start(log: &Arc<dyn Log>, topology: &Topology, state: &Path) -> Streams {
    let config = StreamsConfig::new("app").state_dir(state).num_stream_threads(2);
    Streams::start(topology, config, Arc::clone(log)).unwrap()
}

/// Sets the prices of all items, each in some partition.
fn set_prices(log: &dyn Log, price: i64) {
    let keys: Vec<String> = (0..ITEMS).map(|n| format!("item-{n}")).collect();
    let price = price.to_be_bytes();
    let records = (0..ITEMS).zip(&keys);
    send(
        log,
        records.map(|(n, key)| ("prices", n % 3, key.as_bytes(), Some(price.as_slice()), 5)),
    );
}

/// Orders an item on both partitions. Answers the prices that were found.
fn prices_found(log: &dyn Log, streams: &Streams, item: &str) -> Vec<i64> {
    for partition in 0..2 {
        send(
            log,
            [("orders", partition, b"order".as_slice(), Some(item.as_bytes()), 1)],
        );
    }
    wait(&[streams]);
    // One key, so one partition.
    let mut found: Vec<_> = (0..2).flat_map(|partition| read(log, "out", partition)).collect();
    let last = found.split_off(found.len() - 2).into_iter();
    last.map(|(_, price, _)| i64::from_be_bytes(price.unwrap().try_into().unwrap()))
        .collect()
}

#[test]
fn a_global_table_is_whole_before_the_first_record() {
    for kind in [StoreKind::Persistent, StoreKind::InMemory] {
        let (log, dir) = prepared();
        let (topology, state) = (topology(kind), dir.path().join("state"));
        set_prices(&*log, 7);
        let streams = start(&log, &topology, &state);
        for item in ["item-0", "item-1", "item-1999"] {
            assert_eq!(prices_found(&*log, &streams, item), [7, 7], "{item}");
        }
        assert_eq!(prices_found(&*log, &streams, "unknown"), [-1, -1]);
        set_prices(&*log, 8);
        wait(&[&streams]);
        assert_eq!(prices_found(&*log, &streams, "item-5"), [8, 8]);
        send(&*log, [("prices", 2, b"item-5".as_slice(), None, 6)]);
        wait(&[&streams]);
        assert_eq!(prices_found(&*log, &streams, "item-5"), [-1, -1]);
        streams.close().unwrap();
        set_prices(&*log, 9);
        let streams = start(&log, &topology, &state);
        assert_eq!(prices_found(&*log, &streams, "item-5"), [9, 9]);
        streams.close().unwrap();
    }
}

#[test]
fn a_global_table_goes_on_where_it_is_or_begins_again() {
    let (log, dir) = prepared();
    let (topology, state) = (topology(StoreKind::Persistent), dir.path().join("state"));
    set_prices(&*log, 7);
    start(&log, &topology, &state).close().unwrap();
    // Nothing that was read is on the log any more: what is there now must come from the disk.
    let end = i64::from(ITEMS / 3 + 1);
    let ends = [end, end, end - 1].into_iter().zip(0..);
    let before: Vec<_> = ends
        .map(|(end, partition)| (TopicPartition::new("prices", partition), end))
        .collect();
    log.admin().unwrap().delete_records(&before).unwrap();
    send(
        &*log,
        [(
            "prices",
            1,
            b"item-1".as_slice(),
            Some(8_i64.to_be_bytes().as_slice()),
            6,
        )],
    );
    let streams = start(&log, &topology, &state);
    assert_eq!(prices_found(&*log, &streams, "item-0"), [7, 7]);
    assert_eq!(prices_found(&*log, &streams, "item-1"), [8, 8]);
    streams.close().unwrap();
    // What was deleted before it could be read may have been deletions: the store begins again.
    send(
        &*log,
        [
            ("prices", 0, b"item-3".as_slice(), None, 7),
            ("prices", 0, b"item-6".as_slice(), None, 7),
        ],
    );
    let last = (TopicPartition::new("prices", 0), end + 1);
    log.admin().unwrap().delete_records(&[last]).unwrap();
    let streams = start(&log, &topology, &state);
    assert_eq!(prices_found(&*log, &streams, "item-0"), [-1, -1]);
    assert_eq!(prices_found(&*log, &streams, "item-1"), [8, 8]);
    streams.close().unwrap();
}

#[test]
fn what_cannot_be_read_stops_the_application_and_says_where() {
    let (log, dir) = prepared();
    send(
        &*log,
        [("prices", 1, b"item-1".as_slice(), Some(b"three".as_slice()), 6)],
    );
    let (topology, state) = (topology(StoreKind::Persistent), dir.path().join("state"));
    let config = StreamsConfig::new("app").state_dir(&state);
    let error = Streams::start(&topology, config.clone(), Arc::clone(&log))
        .unwrap_err()
        .to_string();
    for part in ["prices", "KTABLE-SOURCE-", "offset 0 of prices-1", "5 were found"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let lenient = config.errors(ErrorHandlers::default().deserialization(LogAndContinue));
    let streams = Streams::start(&topology, lenient, Arc::clone(&log)).unwrap();
    assert_eq!(prices_found(&*log, &streams, "item-1"), [-1, -1]);
    assert_eq!(streams.dropped(DropReason::Deserialization), 1);
    streams.close().unwrap();
    // And while it runs.
    let streams = start(&log, &topology, &state);
    send(
        &*log,
        [("prices", 2, b"item-2".as_slice(), Some(b"two".as_slice()), 6)],
    );
    let error = wait_for_failure(&streams);
    assert!(error.contains("offset 0 of prices-2"), "{error}");
}

#[test]
fn an_application_may_have_nothing_but_a_global_store() {
    let (log, dir) = prepared();
    set_prices(&*log, 7);
    let builder = StreamsBuilder::new();
    builder.add_global_store(
        GlobalStoreBuilder::<String, i64>::new("sums"),
        "prices",
        Consumed::<String, i64>::default(),
        |record, store| {
            let key = "all".to_owned();
            let sum = store.get(&key)?.map_or(0, |row| row.value) + record.value;
            Ok(store.put(&key, Some(&sum), record.timestamp_ms)?)
        },
    );
    let topology = builder.build().unwrap();
    for _ in 0..2 {
        let streams = start(&log, &topology, &dir.path().join("state"));
        streams.wait_until_running(Duration::from_secs(10)).unwrap();
        wait(&[&streams]);
        streams.close().unwrap();
    }
}

/// Keeps the price of each item and the partition it came from, and counts what it sees.
struct Places(Arc<AtomicI32>);

impl GlobalProcessor<String, i64, String, String> for Places {
    fn process(
        &mut self,
        record: Record<String, i64>,
        store: &mut GlobalStoreWriter<'_, String, String>,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if record.value < 0 {
            return Err("a price below zero".into());
        }
        let place = format!("{} from {}", record.value, store.record_metadata().partition);
        Ok(store.put(&record.key, Some(&place), record.timestamp_ms)?)
    }
}

fn places(kind: StoreKind, seen: &Arc<AtomicI32>) -> Topology {
    let builder = StreamsBuilder::new();
    let seen = Arc::clone(seen);
    builder.add_global_store_processor(
        GlobalStoreBuilder::<String, String>::new("places").kind(kind),
        "prices",
        Consumed::<String, i64>::default(),
        move || Places(Arc::clone(&seen)),
    );
    builder.build().unwrap()
}

#[test]
fn what_is_restored_goes_through_the_processor() {
    for (kind, restored) in [(StoreKind::Persistent, 0), (StoreKind::InMemory, ITEMS)] {
        let (log, dir) = prepared();
        let seen = Arc::default();
        let topology = places(kind, &seen);
        set_prices(&*log, 7);
        for expected in [ITEMS, restored] {
            let streams = start(&log, &topology, &dir.path().join("state"));
            streams.wait_until_running(Duration::from_secs(10)).unwrap();
            wait(&[&streams]);
            streams.close().unwrap();
            assert_eq!(seen.swap(0, Ordering::Relaxed), expected);
        }
    }
}

#[test]
fn what_a_global_processor_returns_as_an_error_goes_to_the_handler() {
    let (log, dir) = prepared();
    let seen = Arc::default();
    let topology = places(StoreKind::Persistent, &seen);
    let price = (-1_i64).to_be_bytes();
    send(
        &*log,
        [("prices", 1, b"item-1".as_slice(), Some(price.as_slice()), 6)],
    );
    let config = StreamsConfig::new("app").state_dir(dir.path().join("state"));
    let error = Streams::start(&topology, config.clone(), Arc::clone(&log))
        .unwrap_err()
        .to_string();
    for part in ["a price below zero", "KTABLE-SOURCE-", "offset 0 of prices-1"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let lenient = config.errors(ErrorHandlers::default().processing(LogAndContinue));
    let streams = Streams::start(&topology, lenient, Arc::clone(&log)).unwrap();
    wait(&[&streams]);
    assert_eq!(streams.dropped(DropReason::Processing), 1);
    streams.close().unwrap();
}

#[test]
fn the_driver_runs_a_global_processor_too() {
    let seen = Arc::default();
    let driver = TopologyTestDriver::new(&places(StoreKind::InMemory, &seen)).unwrap();
    driver.input("prices").pipe("tea".to_owned(), 3_i64).unwrap();
    let error = driver.input("prices").pipe("tea".to_owned(), -1_i64).unwrap_err();
    assert!(error.to_string().contains("a price below zero"), "{error}");
    let places = driver.global_store::<String, String>("places").unwrap();
    assert_eq!(places.get(&"tea".to_owned()).unwrap().unwrap().value, "3 from 0");
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

const HOUR_MS: i64 = 3_600_000;

/// The last price of each hour, for three hours, by item.
fn hourly(kind: StoreKind) -> Topology {
    let builder = StreamsBuilder::new();
    let keep = builder.add_global_store(
        GlobalStoreBuilder::<String, i64>::new("hourly")
            .windows(3 * HOUR_MS)
            .kind(kind),
        "prices",
        Consumed::<String, Option<i64>>::default(),
        |record, store| {
            let start_ms = record.timestamp_ms / HOUR_MS * HOUR_MS;
            let hour = WindowStart {
                key: record.key,
                start_ms,
            };
            Ok(store.put(&hour, record.value.as_ref(), record.timestamp_ms)?)
        },
    );
    keep.named("keep-hours");
    let orders = builder.stream::<String, String>("orders");
    let found = orders.process(&[], |init| Ok(Hours(init.global_store("hourly")?)));
    found.to("out");
    builder.build().unwrap()
}

/// Sends the prices of an item in all hours, the latest first.
struct Hours(GlobalKeyValueStore<WindowStart<String>, i64>);

impl Processor<String, String, String, String> for Hours {
    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut ProcessorContext<'_, '_, String, String>,
    ) -> Result<(), BoxError> {
        let mut hours = Vec::new();
        for row in self.0.fetch_range(&record.value, .., Direction::Backward)? {
            let (hour, price) = row?;
            hours.push(format!("{}:{}", hour.start_ms / HOUR_MS, price.value));
        }
        context.forward(record.with_value(hours.join(" ")))
    }
}

/// Partition, item, price, hour.
const HOURLY_PRICES: [(i32, &str, Option<i64>, i64); 8] = [
    (0, "tea", Some(1), 1),
    (1, "te", Some(2), 1),
    (0, "tea", Some(3), 2),
    (0, "tea", Some(4), 2),
    (1, "te", Some(5), 3),
    (1, "te", None, 3),
    (0, "tea", Some(6), 4),
    // Too late: the first hour is over.
    (0, "tea", Some(7), 1),
];

#[test]
fn windows_of_a_global_store_end_with_their_time_and_outlive_restarts() {
    for kind in [StoreKind::Persistent, StoreKind::InMemory] {
        let (log, dir) = prepared();
        let topology = hourly(kind);
        let described = topology.describe();
        assert!(described.contains("Source: keep-hours-source (topics: [prices])"));
        for (partition, item, price, hour) in HOURLY_PRICES {
            let price = price.map(i64::to_be_bytes);
            let price = price.as_ref().map(<[u8; 8]>::as_slice);
            let record = ("prices", partition, item.as_bytes(), price, hour * HOUR_MS + 5);
            send(&*log, [record]);
        }
        for _ in 0..2 {
            let streams = start(&log, &topology, &dir.path().join("state"));
            streams.wait_until_running(Duration::from_secs(10)).unwrap();
            for item in ["tea", "te"] {
                send(&*log, [("orders", 0, b"?".as_slice(), Some(item.as_bytes()), 1)]);
            }
            wait(&[&streams]);
            let found = read(&*log, "out", 0).into_iter().rev().take(2);
            let found: Vec<Vec<u8>> = found.map(|(_, value, _)| value.unwrap()).collect();
            assert_eq!(found, [b"".to_vec(), b"4:6 2:4".to_vec()]);
            streams.close().unwrap();
        }
    }
}

#[test]
fn rows_of_a_global_store_that_are_over_are_dropped_and_late_ones_counted() {
    let driver = TopologyTestDriver::new(&hourly(StoreKind::InMemory)).unwrap();
    for (_, item, price, hour) in HOURLY_PRICES {
        let at_ms = hour * HOUR_MS;
        driver
            .input("prices")
            .pipe_at(item.to_owned(), price, at_ms)
            .unwrap();
    }
    assert_eq!(driver.dropped(DropReason::Expired), 1);
    let store = driver.global_store::<WindowStart<String>, i64>("hourly").unwrap();
    let rows = |rows: Vec<(WindowStart<String>, i64)>| -> Vec<(String, i64, i64)> {
        let row = |(at, price): (WindowStart<String>, i64)| (at.key, at.start_ms / HOUR_MS, price);
        rows.into_iter().map(row).collect()
    };
    let all = || {
        store
            .all()
            .unwrap()
            .map(|row| row.map(|(at, row)| (at, row.value)).unwrap())
    };
    assert_eq!(
        rows(all().collect()),
        [("tea".to_owned(), 2, 4), ("tea".to_owned(), 4, 6)]
    );
    assert_eq!(store.approximate_num_entries().unwrap(), 2);
    let (te, tea) = ("te".to_owned(), "tea".to_owned());
    assert_eq!(store.fetch(&tea, HOUR_MS).unwrap(), None);
    assert_eq!(store.fetch(&tea, 2 * HOUR_MS).unwrap().unwrap().value, 4);
    let until_2 = store
        .fetch_all(&te..=&tea, ..3 * HOUR_MS, Direction::Forward)
        .unwrap();
    assert_eq!(until_2.map(|row| row.unwrap().1.value).collect::<Vec<_>>(), [4]);
    let other = store.fetch_all(..&tea, .., Direction::Forward).unwrap();
    assert_eq!(other.count(), 0);
    let before_time = driver
        .input("prices")
        .pipe_at(te.clone(), Some(9_i64), 100 * HOUR_MS);
    before_time.unwrap();
    assert_eq!(rows(all().collect()), [("te".to_owned(), 100, 9)]);
    assert_eq!(store.approximate_num_entries().unwrap(), 1);
}

#[test]
fn sessions_of_a_global_store_are_found_by_their_times() {
    let builder = StreamsBuilder::new();
    builder.add_global_store(
        GlobalStoreBuilder::<String, i64>::new("visits").sessions(1_000),
        "visits",
        Consumed::<String, i64>::default(),
        |record, store| {
            // The value is how long it took.
            let visit = SessionSpan {
                key: record.key,
                start_ms: record.timestamp_ms - record.value,
                end_ms: record.timestamp_ms,
            };
            Ok(store.put(&visit, Some(&record.value), record.timestamp_ms)?)
        },
    );
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for (key, took_ms, end_ms) in [
        ("ada", 10_i64, 100),
        ("bob", 300, 400),
        ("ada", 50, 500),
        ("ada", 1, 1_300),
    ] {
        driver
            .input("visits")
            .pipe_at(key.to_owned(), took_ms, end_ms)
            .unwrap();
    }
    let visits = driver.global_store::<SessionSpan<String>, i64>("visits").unwrap();
    let (ada, bob) = ("ada".to_owned(), "bob".to_owned());
    let ends = |rows: streams_dsl::store::GlobalIter<'_, SessionSpan<String>, i64>| -> Vec<i64> {
        rows.map(|row| row.unwrap().0.end_ms).collect()
    };
    let of_ada = |ends_ms, starts_ms| visits.find_sessions(&ada, ends_ms, starts_ms, Direction::Backward);
    assert_eq!(ends(of_ada(0..2_000, 0..2_000).unwrap()), [1_300, 500]);
    assert_eq!(ends(of_ada(0..2_000, 0..451).unwrap()), [500]);
    let around_200 = visits.find_all_sessions(&ada..=&bob, 200.., ..=200, Direction::Forward);
    assert_eq!(ends(around_200.unwrap()), [400]);
    let all = visits.find_all_sessions(.., .., .., Direction::Forward);
    assert_eq!(ends(all.unwrap()), [500, 1_300, 400]);
    assert_eq!(visits.all().unwrap().count(), 3);
}
