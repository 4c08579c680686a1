//! Stores of a program's own making, over the embedded broker: logged, restored, kept on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use streams_dsl::log::Log;
use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
use streams_dsl::store::{ChangelogRecord, Custom, CustomStore, CustomStoreBuilder, KeyValueStoreBuilder};

use crate::support::{create_topics, embedded, read, send, wait};

/// What all lives of a store have seen.
#[derive(Default)]
struct Seen {
    restored: AtomicUsize,
    cleared: AtomicUsize,
    flushed: Mutex<Vec<Option<i64>>>,
}

/// Words by how often they came, and the total of it; in a file if there is one.
#[derive(Default)]
struct Words {
    counts: BTreeMap<String, u64>,
    total: u64,
    file: Option<PathBuf>,
    offset: Option<i64>,
    seen: Arc<Seen>,
}

impl Words {
    fn set(&mut self, word: &str, count: u64) {
        let before = match count {
            0 => self.counts.remove(word),
            _ => self.counts.insert(word.to_owned(), count),
        };
        self.total = self.total + count - before.unwrap_or_default();
    }

    fn load(file: PathBuf, seen: Arc<Seen>) -> Result<Self, BoxError> {
        let mut words = Self {
            seen,
            ..Self::default()
        };
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        words.file = Some(file);
        let mut lines = text.lines();
        words.offset = lines.next().map(str::parse).transpose()?;
        for line in lines {
            let (word, count) = line.split_once(' ').ok_or("a word and a count")?;
            words.set(word, count.parse()?);
        }
        Ok(words)
    }
}

impl CustomStore for Words {
    fn restore(&mut self, records: &[ChangelogRecord<'_>]) -> Result<(), BoxError> {
        self.seen.restored.fetch_add(records.len(), Ordering::Relaxed);
        for record in records {
            assert_eq!(record.timestamp_ms, 5);
            let count = record.value.map(TryInto::try_into).transpose()?;
            self.set(
                std::str::from_utf8(record.key)?,
                count.map_or(0, u64::from_be_bytes),
            );
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), BoxError> {
        self.seen.cleared.fetch_add(1, Ordering::Relaxed);
        (self.counts, self.total, self.offset) = Default::default();
        Ok(())
    }

    fn changelog_offset(&self) -> Result<Option<i64>, BoxError> {
        Ok(self.offset)
    }

    fn flush(&mut self, changelog_offset: Option<i64>) -> Result<(), BoxError> {
        self.seen.flushed.lock().unwrap().push(changelog_offset);
        let (Some(file), Some(offset)) = (&self.file, changelog_offset) else {
            return Ok(());
        };
        let counts = self
            .counts
            .iter()
            .map(|(word, count)| format!("{word} {count}\n"));
        std::fs::create_dir_all(file.parent().ok_or("a directory")?)?;
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{offset}\n{}", counts.collect::<String>()))?;
        Ok(std::fs::rename(new, file)?)
    }
}

/// Counts a word, or with `-` in front forgets it; sends how many there are in all.
struct Count(Custom<Words>);

impl Processor<String, String, String, String> for Count {
    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut ProcessorContext<'_, '_, String, String>,
    ) -> Result<(), BoxError> {
        let total = self.0.write(|words, changes| {
            let word = record.value.trim_start_matches('-');
            let count = match record.value.starts_with('-') {
                true => 0,
                false => words.counts.get(word).copied().unwrap_or_default() + 1,
            };
            words.set(word, count);
            let value = (count > 0).then(|| count.to_be_bytes());
            changes.log(
                word.as_bytes(),
                value.as_ref().map(<[u8; 8]>::as_slice),
                record.timestamp_ms,
            );
            words.total
        });
        context.forward(record.with_value(total.to_string()))
    }
}

fn topology(words: CustomStoreBuilder<Words>) -> Topology {
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>("in");
    input
        .process(words, |init| Ok(Count(init.custom_store("words")?)))
        .to("out");
    builder.build().unwrap()
}

fn say(log: &dyn Log, streams: &Streams, words: &[&str]) {
    for word in words {
        send(log, [("in", 0, b"k".as_slice(), Some(word.as_bytes()), 5)]);
    }
    wait(&[streams]);
}

fn totals(log: &dyn Log) -> Vec<String> {
    let written = read(log, "out", 0).into_iter();
    let text = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap()).unwrap();
    written.map(|(_, value, _)| text(value)).collect()
}

fn prepared() -> (Arc<dyn Log>, tempfile::TempDir) {
    let (log, dir) = embedded();
    create_topics(&*log, &[("in", 1), ("out", 1)]);
    (log, dir)
}

fn run(log: &Arc<dyn Log>, topology: &Topology, state: &Path) -> Streams {
    let config = StreamsConfig::new("app").state_dir(state);
    Streams::start(topology, config, Arc::clone(log)).unwrap()
}

#[test]
fn a_store_in_memory_is_restored_from_all_of_its_changelog() {
    let (log, dir) = prepared();
    let seen = Arc::new(Seen::default());
    let of_store = Arc::clone(&seen);
    let words = CustomStoreBuilder::new("words", move |_| {
        Ok(Words {
            seen: Arc::clone(&of_store),
            ..Words::default()
        })
    });
    let topology = topology(words);
    let first = run(&log, &topology, dir.path());
    say(&*log, &first, &["tea", "milk", "tea", "-milk"]);
    first.close().unwrap();
    let second = run(&log, &topology, dir.path());
    say(&*log, &second, &["tea"]);
    second.close().unwrap();
    assert_eq!(totals(&*log), ["1", "2", "3", "2", "3"]);
    assert_eq!(seen.restored.load(Ordering::Relaxed), 4, "each change is logged");
}

#[test]
fn a_store_on_disk_is_restored_from_where_it_is() {
    let (log, dir) = prepared();
    let seen = Arc::new(Seen::default());
    let of_store = Arc::clone(&seen);
    let words = CustomStoreBuilder::new("words", move |directory: Option<&Path>| {
        let directory = directory.ok_or("a directory")?;
        Words::load(directory.join("words"), Arc::clone(&of_store))
    });
    let topology = topology(words);
    let first = run(&log, &topology, dir.path());
    say(&*log, &first, &["tea", "milk", "tea"]);
    first.close().unwrap();
    let offset = seen.flushed.lock().unwrap().last().copied().flatten().unwrap();
    assert!(offset >= 3, "{offset}");
    let second = run(&log, &topology, dir.path());
    say(&*log, &second, &["milk"]);
    second.close().unwrap();
    assert_eq!(seen.restored.load(Ordering::Relaxed), 0);
    // One that comes from elsewhere, and does not fit its changelog.
    let file = dir.path().join("app/0_0/rocksdb/words/words");
    assert!(file.exists(), "{}", file.display());
    std::fs::write(&file, "1000000\nwine 7\n").unwrap();
    let third = run(&log, &topology, dir.path());
    say(&*log, &third, &["tea"]);
    third.close().unwrap();
    assert_eq!(totals(&*log), ["1", "2", "3", "4", "5"]);
    assert_eq!(seen.cleared.load(Ordering::Relaxed), 1);
    assert_eq!(seen.restored.load(Ordering::Relaxed), 4);
}

#[test]
fn what_a_custom_store_cannot_do_is_said() {
    let (log, dir) = prepared();
    let words = CustomStoreBuilder::new("words", |_| Err("no words today".into()));
    let streams = run(&log, &topology(words), dir.path());
    let error = crate::support::wait_for_failure(&streams);
    assert!(
        error.contains("words") && error.contains("no words today"),
        "{error}"
    );
    // And of another type.
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>("in");
    let words = KeyValueStoreBuilder::<String, i64>::new("words");
    input
        .process(words, |init| Ok(Count(init.custom_store("words")?)))
        .to("out");
    let error = TopologyTestDriver::new(&builder.build().unwrap()).unwrap_err();
    assert!(error.to_string().contains("words"), "{error}");
}

#[test]
fn processors_share_a_custom_store_that_they_bring() {
    let words = CustomStoreBuilder::new("words", |_| Ok(Words::default())).logging_disabled();
    let builder = StreamsBuilder::new();
    for topic in ["a", "b"] {
        let input = builder.stream::<String, String>(topic);
        input
            .process(words.clone(), |init| Ok(Count(init.custom_store("words")?)))
            .to("out");
    }
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).unwrap();
    for topic in ["a", "b"] {
        driver
            .input(topic)
            .pipe("k".to_owned(), "tea".to_owned())
            .unwrap();
    }
    assert_eq!(driver.output::<String, String>("out").read_values(), ["1", "2"]);
    let words = driver.custom_store::<Words>("words").unwrap();
    assert_eq!(words.read(|words| words.counts["tea"]), 2);
    assert!(driver.written("app-words-changelog").is_empty());
}
