//! Group commit when the power goes: what was never synced is thrown away, and everything acknowledged is there all the same.
//! Files that were synced are on disk; of the others, segments end where they were last synced, and the rest is there, empty
//! or gone, as the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::Topics;
use crate::log::files::synced;
use crate::log::{
    AppendInfo, AppendOptions, BatchBuilder, Batches, CleanerConfig, Isolation, LogConfig, ProducerStamp,
};

const PARTITIONS: i32 = 3;
const KEYS: i32 = 5;
const NOW_MS: i64 = 1_700_000_000_000;
const CUTS: usize = 10;

fn config() -> LogConfig {
    LogConfig {
        group_commit: true,
        // Small, so that segments are sealed while others are written.
        segment_bytes: 4_000,
        ..LogConfig::default()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn batch(key: &str, value: &str, stamp: ProducerStamp) -> bytes::Bytes {
    let mut builder = BatchBuilder::new();
    builder
        .append(NOW_MS, Some(key.as_bytes()), Some(value.as_bytes()), &[])
        .unwrap();
    builder.finish(stamp).unwrap()
}

/// A copy of the data directory as the disk may have it.
fn after_power_cut(topics: &Topics, copy: &Path, random: &mut TestRng) {
    for entry in fs::read_dir(topics.dir()).unwrap() {
        let path = entry.unwrap().path();
        let target = copy.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "topics" {
            for file in fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
            }
        } else if path.is_dir() {
            let (topic, partition) = name.rsplit_once('-').unwrap();
            let topic = topics.topic(topic).unwrap();
            // Files do not come and go meanwhile; they are synced at any time.
            let _log = topic.lock(partition.parse().unwrap()).unwrap();
            for file in fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                copy_what_is_on_disk(&file, &target.join(file.file_name().unwrap()), random);
            }
        } else if name == "meta.properties" {
            fs::copy(&path, target).unwrap();
        }
    }
}

fn copy_what_is_on_disk(file: &Path, target: &Path, random: &mut TestRng) {
    let on_disk = synced::lengths().get(&fs::metadata(file).unwrap().ino()).copied();
    let mut bytes = fs::read(file).unwrap();
    if file.file_name().unwrap() == "partition.metadata" {
        fs::write(target, bytes).unwrap();
    } else if file.extension().is_some_and(|extension| extension == "log") {
        bytes.truncate(on_disk.unwrap_or(0) as usize);
        fs::write(target, bytes).unwrap();
    } else if on_disk == Some(bytes.len() as u64) {
        fs::write(target, bytes).unwrap();
    } else {
        match random.next_u32() % 3 {
            0 => fs::write(target, bytes).unwrap(),
            1 => fs::write(target, b"").unwrap(),
            _ => {}
        }
    }
}

/// Partition, offset and value of what a consumer of this isolation reads.
fn values(topics: &Topics, topic: &str, isolation: Isolation) -> Vec<(i32, i64, String)> {
    let topic = topics.topic(topic).unwrap();
    let mut found = Vec::new();
    let mut scratch = Vec::new();
    for partition in 0..PARTITIONS {
        let log = topic.lock(partition).unwrap();
        let mut offset = log.log_start_offset();
        loop {
            let read = log.read(offset, 1_000_000, isolation, true).unwrap();
            if read.records.is_empty() {
                break;
            }
            // Each transaction has a producer of its own here.
            let aborted: BTreeSet<i64> = read
                .aborted
                .iter()
                .flatten()
                .map(|entry| entry.producer_id)
                .collect();
            for batch in Batches::new(&read.records) {
                let batch = batch.unwrap();
                let header = *batch.header();
                offset = header.next_offset();
                if header.is_control() || aborted.contains(&header.producer_id) {
                    continue;
                }
                for record in batch.records(&mut scratch).unwrap() {
                    let record = record.unwrap();
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    found.push((partition, record.offset, value));
                }
            }
        }
    }
    found
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    plain: Vec<(i32, i64, String)>,
    committed: Vec<(i32, i64, String)>,
    /// Of every key of the compacted topic.
    latest: BTreeMap<i32, i32>,
}

struct Load {
    topics: Topics,
    stop: AtomicBool,
    acknowledged: Mutex<Acknowledged>,
}

impl Load {
    fn append(&self, topic: &str, partition: i32, batch: bytes::Bytes) -> AppendInfo {
        let topic = self.topics.topic(topic).unwrap();
        let mut log = topic.lock(partition).unwrap();
        log.append(batch, AppendOptions::CLIENT.verified(), NOW_MS)
            .unwrap()
    }

    fn numbers(&self) -> impl Iterator<Item = i32> {
        (0..).take_while(|_| !self.stop.load(Ordering::Relaxed))
    }

    fn wait(&self) {
        block_on(self.topics.sync_queue().barrier()).unwrap();
    }

    fn plain(&self, writer: i32) {
        for number in self.numbers() {
            let (partition, value) = ((writer + number) % PARTITIONS, format!("{writer}-{number}"));
            let appended = self.append("t", partition, batch("k", &value, ProducerStamp::NONE));
            self.wait();
            let mut acknowledged = self.acknowledged.lock().unwrap();
            acknowledged.plain.push((partition, appended.base_offset, value));
        }
    }

    /// Transactions, every other one aborted.
    fn transactions(&self) {
        for number in self.numbers() {
            let (commit, partition, producer_id) = (number % 2 == 0, number % PARTITIONS, i64::from(number));
            let value = format!("{}-{number}", if commit { "committed" } else { "aborted" });
            let stamp = ProducerStamp {
                producer_id,
                producer_epoch: 0,
                base_sequence: 0,
                transactional: true,
            };
            let appended = self.append("x", partition, batch("k", &value, stamp));
            let topic = self.topics.topic("x").unwrap();
            let ended = topic
                .lock(partition)
                .unwrap()
                .append_marker(producer_id, 0, commit, 0, NOW_MS);
            ended.unwrap();
            self.wait();
            if commit {
                let mut acknowledged = self.acknowledged.lock().unwrap();
                acknowledged
                    .committed
                    .push((partition, appended.base_offset, value));
            }
        }
    }

    fn keyed(&self) {
        for number in self.numbers() {
            let key = number % KEYS;
            let value = format!("{key} {number}");
            self.append("c", 0, batch(&key.to_string(), &value, ProducerStamp::NONE));
            self.wait();
            self.acknowledged.lock().unwrap().latest.insert(key, number);
        }
    }

    fn compact(&self) {
        for _ in self.numbers() {
            let errors = self
                .topics
                .compact(&CleanerConfig::default(), NOW_MS, &AtomicBool::new(false));
            assert!(errors.is_empty(), "{errors:?}");
            thread::sleep(Duration::from_millis(7));
        }
    }

    /// Cuts the power, and looks whether all that is certain by now is there afterwards.
    fn cut_power(&self, random: &mut TestRng) {
        // In this order: what is acknowledged or seen by now has been synced before.
        let seen = values(&self.topics, "t", Isolation::ReadUncommitted);
        let (plain, committed, latest) = {
            let acknowledged = self.acknowledged.lock().unwrap();
            (
                acknowledged.plain.clone(),
                acknowledged.committed.clone(),
                acknowledged.latest.clone(),
            )
        };
        let copy = tempfile::tempdir().unwrap();
        after_power_cut(&self.topics, copy.path(), random);
        let recovered = Topics::open(copy.path(), config(), NOW_MS).unwrap();
        let found = values(&recovered, "t", Isolation::ReadUncommitted);
        for record in plain.iter().chain(&seen) {
            assert!(found.contains(record), "{record:?} is lost");
        }
        let found = values(&recovered, "x", Isolation::ReadCommitted);
        for record in &committed {
            assert!(found.contains(record), "{record:?} is lost");
        }
        let aborted = found.iter().find(|(_, _, value)| value.starts_with("aborted"));
        assert_eq!(aborted, None, "an aborted record can be read");
        let found = values(&recovered, "c", Isolation::ReadUncommitted);
        for (key, number) in latest {
            let of_key = found.iter().filter_map(|(_, _, value)| value.split_once(' '));
            let newest = of_key
                .filter(|(other, _)| *other == key.to_string())
                .map(|(_, number)| number.parse().unwrap());
            assert!(
                newest.max() >= Some(number),
                "{number}, the latest of key {key}, is lost"
            );
        }
    }
}

#[test]
fn what_was_acknowledged_survives_and_what_was_seen_does_too() {
    let data = tempfile::tempdir().unwrap();
    let load = Load {
        topics: Topics::open(data.path(), config(), NOW_MS).unwrap(),
        stop: AtomicBool::new(false),
        acknowledged: Mutex::default(),
    };
    let compacted = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    let compacted = compacted
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    for (topic, configs) in [("t", BTreeMap::new()), ("x", BTreeMap::new()), ("c", compacted)] {
        load.topics
            .create_topic(topic, PARTITIONS, &configs, NOW_MS)
            .unwrap();
    }
    // Ends after those who wait for it.
    let stop_syncing = AtomicBool::new(false);
    let mut random = TestRng::from_seed(RngAlgorithm::XorShift, &[3; 16]);
    thread::scope(|scope| {
        let syncer = scope.spawn(|| {
            while !stop_syncing.load(Ordering::Relaxed) {
                assert!(load.topics.sync_round(Duration::from_millis(20)).is_empty());
            }
        });
        let mut writers: Vec<_> = (0..3)
            .map(|writer| {
                scope.spawn({
                    let load = &load;
                    move || load.plain(writer)
                })
            })
            .collect();
        writers.push(scope.spawn(|| load.transactions()));
        writers.push(scope.spawn(|| load.keyed()));
        writers.push(scope.spawn(|| load.compact()));
        let cuts = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..CUTS {
                thread::sleep(Duration::from_millis(60));
                load.cut_power(&mut random);
            }
        }));
        load.stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
        stop_syncing.store(true, Ordering::Relaxed);
        syncer.join().unwrap();
        cuts.unwrap();
    });
    let acknowledged = load.acknowledged.into_inner().unwrap();
    assert!(
        acknowledged.plain.len() > 20
            && acknowledged.committed.len() > 5
            && acknowledged.latest.len() == KEYS as usize
    );
}

#[test]
fn deleted_records_stay_deleted() {
    let data = tempfile::tempdir().unwrap();
    let topics = Topics::open(data.path(), config(), NOW_MS).unwrap();
    let topic = topics
        .create_topic("t", PARTITIONS, &BTreeMap::new(), NOW_MS)
        .unwrap();
    for number in 0..10 {
        let batch = batch("k", &number.to_string(), ProducerStamp::NONE);
        topic
            .lock(0)
            .unwrap()
            .append(batch, AppendOptions::CLIENT, NOW_MS)
            .unwrap();
    }
    assert!(topics.sync_round(Duration::ZERO).is_empty());
    assert_eq!(topic.lock(0).unwrap().delete_records_before(7).unwrap(), 7);
    for seed in 0..8 {
        let copy = tempfile::tempdir().unwrap();
        after_power_cut(
            &topics,
            copy.path(),
            &mut TestRng::from_seed(RngAlgorithm::XorShift, &[seed + 1; 16]),
        );
        let recovered = Topics::open(copy.path(), config(), NOW_MS).unwrap();
        assert_eq!(
            recovered.topic("t").unwrap().lock(0).unwrap().log_start_offset(),
            7
        );
        assert_eq!(values(&recovered, "t", Isolation::ReadUncommitted).len(), 3);
    }
}

/// A process that is killed leaves records in the page cache; the power goes during its next life.
#[test]
fn what_a_former_life_left_in_memory_is_synced_before_it_is_seen() {
    let data = tempfile::tempdir().unwrap();
    let topics = Topics::open(data.path(), config(), NOW_MS).unwrap();
    let topic = topics
        .create_topic("t", PARTITIONS, &BTreeMap::new(), NOW_MS)
        .unwrap();
    for number in 0..200 {
        let batch = batch("k", &format!("number {number} of many"), ProducerStamp::NONE);
        topic
            .lock(0)
            .unwrap()
            .append(batch, AppendOptions::CLIENT, NOW_MS)
            .unwrap();
    }
    let killed = tempfile::tempdir().unwrap();
    copy_all(data.path(), killed.path());
    let topics = Topics::open(killed.path(), config(), NOW_MS).unwrap();
    let seen = values(&topics, "t", Isolation::ReadUncommitted);
    assert_eq!(seen.len(), 200);
    let copy = tempfile::tempdir().unwrap();
    after_power_cut(
        &topics,
        copy.path(),
        &mut TestRng::from_seed(RngAlgorithm::XorShift, &[5; 16]),
    );
    let recovered = Topics::open(copy.path(), config(), NOW_MS).unwrap();
    assert_eq!(values(&recovered, "t", Isolation::ReadUncommitted), seen);
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy_all(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn without_a_sync_nothing_is_seen_and_nobody_is_told() {
    let data = tempfile::tempdir().unwrap();
    let topics = Topics::open(data.path(), config(), NOW_MS).unwrap();
    let topic = topics
        .create_topic("t", PARTITIONS, &BTreeMap::new(), NOW_MS)
        .unwrap();
    let batch = batch("k", "v", ProducerStamp::NONE);
    topic
        .lock(0)
        .unwrap()
        .append(batch, AppendOptions::CLIENT, NOW_MS)
        .unwrap();
    let seen = || values(&topics, "t", Isolation::ReadUncommitted).len();
    assert_eq!(seen(), 0);
    let mut barrier = pin!(topics.sync_queue().barrier());
    let mut context = Context::from_waker(Waker::noop());
    assert!(barrier.as_mut().poll(&mut context).is_pending());
    assert!(topics.sync_round(Duration::ZERO).is_empty());
    assert_eq!(barrier.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(seen(), 1);
    let mut idle = pin!(topics.sync_queue().barrier());
    assert_eq!(
        idle.as_mut().poll(&mut context),
        Poll::Ready(Ok(())),
        "nothing to wait for"
    );
}
