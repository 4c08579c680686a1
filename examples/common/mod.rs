//! What the examples share: a data directory with broker and state in it, input that is loaded once, and the wait for the end.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::embedded::EmbeddedBroker;
use broker::handler::BrokerConfig;
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use streams_core::log::{
    ConsumerConfig, Isolation, Log, NewTopic, OffsetSpec, ProducerConfig, RecordView, TopicPartition,
};
use streams_core::time::SystemClock;
use streams_dsl::prelude::*;
use tempfile::TempDir;

/// Any error, with a sentence for a person.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// One record to be loaded: key, value, timestamp in milliseconds.
pub(crate) type Input = (Option<String>, String, i64);

/// A broker and a place for state, in one directory.
pub(crate) struct Workspace {
    /// The embedded broker.
    pub(crate) broker: Arc<EmbeddedBroker>,
    directory: PathBuf,
    /// Removed at the end, if no directory was asked for.
    _temporary: Option<TempDir>,
}

impl Workspace {
    /// Opens `directory`, or a temporary one.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, Failure> {
        let temporary = match directory {
            Some(_) => None,
            None => Some(TempDir::with_prefix("headwater-")?),
        };
        let directory = directory.map_or_else(
            || {
                temporary
                    .as_ref()
                    .map(TempDir::path)
                    .unwrap_or(Path::new("."))
                    .to_owned()
            },
            Path::to_owned,
        );
        fs::create_dir_all(&directory)
            .map_err(|error| format!("{}: cannot be made: {error}", directory.display()))?;
        let clock = Arc::new(SystemClock::default());
        let broker = EmbeddedBroker::open(&directory.join("broker"), BrokerConfig::embedded(), clock)?;
        Ok(Self {
            broker,
            directory,
            _temporary: temporary,
        })
    }

    /// Where stores live.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Creates topics of one partition that are not there yet.
    pub(crate) fn create_topics(&self, topics: &[&str]) -> Result<(), Failure> {
        for topic in topics {
            match self.broker.admin()?.create_topic(&NewTopic::new(*topic, 1)) {
                Ok(()) | Err(LogError::TopicExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Refuses a directory that was filled from other input: its results would be a mixture.
    pub(crate) fn check_input(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let input = InputFile {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            crc32: crc.sum(),
        };
        let path = self.directory.join("input.json");
        match fs::read(&path) {
            Ok(known) => {
                let known: InputFile = serde_json::from_slice(&known).map_err(|error| {
                    format!(
                        "{}: cannot be understood: {error}; use a new --data-dir",
                        path.display()
                    )
                })?;
                if (known.bytes, known.crc32) != (input.bytes, input.crc32) {
                    return Err(format!(
                        "{}: this data directory holds results of {} ({} bytes), not of {name} ({} bytes): use another --data-dir",
                        self.directory.display(),
                        known.name,
                        known.bytes,
                        input.bytes
                    )
                    .into());
                }
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let fresh = self.directory.join("input.json.tmp");
                fs::write(&fresh, serde_json::to_vec(&input)?)?;
                Ok(fs::rename(fresh, path)?)
            }
            Err(error) => Err(format!("{}: cannot be read: {error}", path.display()).into()),
        }
    }

    /// Writes what is not yet on the topic: one record is one offset, so that the log itself says how far loading came.
    pub(crate) fn load(&self, topic: &str, records: &[Input]) -> Result<(), Failure> {
        let partition = TopicPartition::new(topic, 0);
        let loaded =
            self.broker
                .admin()?
                .offsets(&[partition], OffsetSpec::Latest, Isolation::ReadUncommitted)?[0];
        let loaded = usize::try_from(loaded)?;
        if loaded > records.len() {
            return Err(format!(
                "topic {topic} holds {loaded} records, more than the {} of the input: use another --data-dir",
                records.len()
            )
            .into());
        }
        let mut producer = self.broker.producer(&ProducerConfig::new("loader"))?;
        let handle = producer.topic(topic)?;
        let headers = streams_core::Headers::default();
        for (key, value, timestamp_ms) in &records[loaded..] {
            let (key, value) = (key.as_deref().map(str::as_bytes), Some(value.as_bytes()));
            producer.send(
                handle,
                0,
                RecordView {
                    key,
                    value,
                    timestamp_ms: *timestamp_ms,
                    headers: &headers,
                },
            )?;
        }
        Ok(producer.flush()?)
    }

    /// Starts the application on this broker.
    pub(crate) fn start(&self, topology: &Topology, config: StreamsConfig) -> Result<Streams, Failure> {
        let log: Arc<dyn Log> = Arc::clone(&self.broker) as Arc<dyn Log>;
        Ok(Streams::start(topology, config.state_dir(self.state_dir()), log)?)
    }

    /// Reads all of a topic, committed records only.
    pub(crate) fn read(
        &self,
        topic: &str,
        mut each: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let partition = TopicPartition::new(topic, 0);
        let of = std::slice::from_ref(&partition);
        let end = self
            .broker
            .admin()?
            .offsets(of, OffsetSpec::Latest, Isolation::ReadCommitted)?[0];
        let mut consumer = self.broker.consumer(&ConsumerConfig::new("reader"))?;
        consumer.assign(&[(partition, Some(0))])?;
        let mut position = 0;
        while position < end {
            for fetched in consumer.poll(Duration::from_secs(1))? {
                position = fetched.next_offset;
                for index in 0..fetched.records.len() {
                    each(
                        fetched.records.key(index).unwrap_or_default(),
                        fetched.records.value(index),
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct InputFile {
    name: String,
    bytes: u64,
    crc32: u32,
}

/// All bytes of a file, unpacked if its name ends in `.gz`.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let problem = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let mut reader = BufReader::new(File::open(path).map_err(problem)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(reader)
            .read_to_end(&mut bytes)
            .map_err(problem)?;
    } else {
        reader.read_to_end(&mut bytes).map_err(problem)?;
    }
    Ok(bytes)
}

/// Unpacks what is bundled with the program.
pub(crate) fn unpack(bundled: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(bundled).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits until all input is processed and committed, with progress on a terminal.
pub(crate) fn wait_for_the_end(streams: &Streams, total: u64, what: &str) -> Result<(), Failure> {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} ({per_sec})")?;
    bar.set_style(style);
    bar.set_message(what.to_owned());
    while !streams.caught_up()? {
        bar.set_position(streams.processed_by(0).min(total));
        std::thread::sleep(Duration::from_millis(20));
    }
    bar.finish_and_clear();
    Ok(())
}

/// Runs a program; an error is one line on standard error and exit code 1.
pub(crate) fn main(program: &str, run: impl FnOnce() -> Result<(), Failure>) -> std::process::ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
