//! Group commit when the power goes: what was never synced is thrown away, and everything acknowledged is there all the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::Topics;
use crate::log::files::synced;
use crate::log::{AppendOptions, BatchBuilder, Batches, Isolation, LogConfig, ProducerStamp};

const PARTITIONS: i32 = 3;
const NOW_MS: i64 = 1_700_000_000_000;

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

fn batch(value: &str) -> bytes::Bytes {
    let mut builder = BatchBuilder::new();
    builder.append(NOW_MS, None, Some(value.as_bytes()), &[]).unwrap();
    builder.finish(ProducerStamp::NONE).unwrap()
}

/// A copy of the data directory as the disk has it: of every segment what was synced, of other files nothing but those that
/// say which topics there are.
fn after_power_cut(data: &Path, copy: &Path) {
    let lengths = synced::lengths();
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let target = copy.join(path.file_name().unwrap());
        if path.is_dir() && path.file_name().unwrap() == "topics" {
            fs::create_dir(&target).unwrap();
            for file in fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
            }
        } else if path.is_dir() {
            fs::create_dir(&target).unwrap();
            for file in fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                let Ok(metadata) = fs::metadata(&file) else {
                    continue;
                };
                let synced = lengths.get(&metadata.ino()).copied();
                if file.extension().is_some_and(|extension| extension == "log") {
                    let mut bytes = fs::read(&file).unwrap();
                    bytes.truncate(synced.unwrap_or(0) as usize);
                    fs::write(target.join(file.file_name().unwrap()), bytes).unwrap();
                } else if file.file_name().unwrap() == "partition.metadata" {
                    fs::copy(&file, target.join("partition.metadata")).unwrap();
                }
            }
        } else if path.file_name().unwrap() == "meta.properties" {
            fs::copy(&path, target).unwrap();
        }
    }
}

fn values(topics: &Topics) -> Vec<(i32, i64, String)> {
    let topic = topics.topic("t").unwrap();
    let mut found = Vec::new();
    let mut scratch = Vec::new();
    for partition in 0..PARTITIONS {
        let log = topic.lock(partition).unwrap();
        let mut offset = 0;
        loop {
            let read = log
                .read(offset, 1_000_000, Isolation::ReadUncommitted, true)
                .unwrap();
            if read.records.is_empty() {
                break;
            }
            for batch in Batches::new(&read.records) {
                let batch = batch.unwrap();
                offset = batch.header().next_offset();
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

#[test]
fn what_was_acknowledged_survives_and_what_was_seen_does_too() {
    let data = tempfile::tempdir().unwrap();
    let topics = Arc::new(Topics::open(data.path(), config(), NOW_MS).unwrap());
    topics
        .create_topic("t", PARTITIONS, &BTreeMap::new(), NOW_MS)
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    // Ends after those who wait for it.
    let stop_syncing = Arc::new(AtomicBool::new(false));
    let syncer = thread::spawn({
        let (topics, stop) = (topics.clone(), stop_syncing.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                assert!(topics.sync_round(Duration::from_millis(20)).is_empty());
            }
        }
    });
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (topics, stop, acknowledged) = (topics.clone(), stop.clone(), acknowledged.clone());
            thread::spawn(move || {
                let topic = topics.topic("t").unwrap();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let partition = (writer + number) % PARTITIONS;
                    let value = format!("{writer}-{number}");
                    let log = topic.lock(partition);
                    let appended = log
                        .unwrap()
                        .append(batch(&value), AppendOptions::CLIENT, NOW_MS)
                        .unwrap();
                    block_on(topics.sync_queue().barrier()).unwrap();
                    acknowledged
                        .lock()
                        .unwrap()
                        .push((partition, appended.base_offset, value));
                }
            })
        })
        .collect();
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(60));
        // In this order: what is acknowledged or seen by now has been synced before.
        let (certain, seen) = (acknowledged.lock().unwrap().clone(), values(&topics));
        let copy = tempfile::tempdir().unwrap();
        after_power_cut(data.path(), copy.path());
        let recovered = values(&Topics::open(copy.path(), config(), NOW_MS).unwrap());
        for record in certain.iter().chain(&seen) {
            assert!(recovered.contains(record), "{record:?} is lost");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in writers {
        thread.join().unwrap();
    }
    stop_syncing.store(true, Ordering::Relaxed);
    syncer.join().unwrap();
    assert!(acknowledged.lock().unwrap().len() > 20);
}

#[test]
fn without_a_sync_nothing_is_seen_and_nobody_is_told() {
    let data = tempfile::tempdir().unwrap();
    let topics = Topics::open(data.path(), config(), NOW_MS).unwrap();
    let topic = topics
        .create_topic("t", PARTITIONS, &BTreeMap::new(), NOW_MS)
        .unwrap();
    topic
        .lock(0)
        .unwrap()
        .append(batch("v"), AppendOptions::CLIENT, NOW_MS)
        .unwrap();
    assert_eq!(values(&topics), []);
    let mut barrier = pin!(topics.sync_queue().barrier());
    let mut context = Context::from_waker(Waker::noop());
    assert!(barrier.as_mut().poll(&mut context).is_pending());
    assert!(topics.sync_round(Duration::ZERO).is_empty());
    assert_eq!(barrier.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(values(&topics).len(), 1);
    assert_eq!(
        pin!(topics.sync_queue().barrier()).poll(&mut context),
        Poll::Ready(Ok(())),
        "nothing to wait for"
    );
}
