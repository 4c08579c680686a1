//! What a processor can reach of its task while a record is processed.
//!
//! Made anew for each record from parts that the task and its thread own, so that nothing here needs a lock or a cell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assignment::TaskId;
use crate::error::{ProcessError, ProcessResult, Result, StreamsError};
use crate::handlers::{ErrorHandlers, ErrorResponse, Stage};
use crate::log::{Producer, RecordView, TopicHandle, TopicPartition};
use crate::metrics::{DropReason, Sensor, TaskMetrics};
use crate::record::RecordMetadata;

/// The task a record is processed in (what Kafka's `ProcessorContext` offers beside `forward`).
pub struct TaskContext<'a> {
    pub(crate) state: &'a mut TaskState,
    pub(crate) producer: &'a mut dyn Producer,
}

/// What a task remembers between records.
#[derive(Debug)]
pub(crate) struct TaskState {
    pub(crate) task_id: TaskId,
    pub(crate) application_id: Arc<str>,
    /// The task's directory, which need not be there.
    pub(crate) state_dir: Option<PathBuf>,
    /// Largest timestamp processed so far; -1 before the first record.
    pub(crate) stream_time_ms: i64,
    /// As of the last time the thread looked.
    pub(crate) wall_clock_ms: i64,
    pub(crate) partitions: Vec<TopicPartition>,
    /// Input of the record being processed: index into `partitions`, and offset. None during punctuation.
    pub(crate) input: Option<(usize, i64)>,
    pub(crate) commit_requested: bool,
    /// What processors keep beside the committed offsets, see [`TaskContext::set_processor_time_ms`].
    pub(crate) processor_times_ms: BTreeMap<String, i64>,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) handlers: ErrorHandlers,
    /// What failed of the current input and was dropped, for dead letters.
    pub(crate) failures: Vec<ProcessError>,
    /// Reused by sinks.
    pub(crate) key_buffer: Vec<u8>,
    pub(crate) value_buffer: Vec<u8>,
}

impl TaskState {
    pub(crate) fn new(task_id: TaskId, application_id: Arc<str>, partitions: Vec<TopicPartition>) -> Self {
        Self {
            task_id,
            application_id,
            state_dir: None,
            stream_time_ms: -1,
            wall_clock_ms: 0,
            partitions,
            input: None,
            commit_requested: false,
            processor_times_ms: BTreeMap::new(),
            metrics: Arc::default(),
            handlers: ErrorHandlers::default(),
            failures: Vec::new(),
            key_buffer: Vec::new(),
            value_buffer: Vec::new(),
        }
    }

    /// The input record, for error messages.
    pub(crate) fn input_position(&self) -> Option<(TopicPartition, i64)> {
        self.input
            .map(|(index, offset)| (self.partitions[index].clone(), offset))
    }
}

/// A task's directory, made if it is not there.
pub(crate) fn made_state_dir(path: Option<&Path>) -> Result<&Path> {
    let Some(path) = path else {
        let remedy = "there is no state directory: name one in the options of the test";
        return Err(StreamsError::Config(remedy.to_owned()));
    };
    std::fs::create_dir_all(path).map_err(|error| StreamsError::File {
        path: path.to_owned(),
        reason: format!("cannot be made: {error}"),
    })?;
    Ok(path)
}

impl TaskContext<'_> {
    /// The task.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.state.task_id
    }

    /// The application.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.state.application_id
    }

    /// The directory of the task's persistent stores, in which a processor may keep files of its own under other names than theirs.
    /// Made if it is not there. The task's state is complete without it: it stays with the machine, and is not restored.
    ///
    /// # Errors
    /// If it cannot be made, or a test keeps everything in memory and did not [say](crate::testing::TestDriverOptions::state_dir)
    /// where.
    pub fn state_dir(&self) -> Result<&Path> {
        made_state_dir(self.state.state_dir.as_deref())
    }

    /// What the task counts.
    #[must_use]
    pub fn metrics(&self) -> &TaskMetrics {
        &self.state.metrics
    }

    /// Largest event time this task has processed, milliseconds since the Unix epoch; -1 before the first record. Never
    /// goes back.
    #[must_use]
    pub fn stream_time_ms(&self) -> i64 {
        self.state.stream_time_ms
    }

    /// Wall-clock time, milliseconds since the Unix epoch, as of the last time the thread looked.
    #[must_use]
    pub fn wall_clock_ms(&self) -> i64 {
        self.state.wall_clock_ms
    }

    /// Where the record being processed came from; `None` during punctuation.
    #[must_use]
    pub fn record_metadata(&self) -> Option<RecordMetadata> {
        self.state.input.map(|(index, offset)| {
            let TopicPartition { topic, partition } = &self.state.partitions[index];
            RecordMetadata {
                topic: Arc::clone(topic),
                partition: *partition,
                offset,
            }
        })
    }

    /// Does something as if the record being processed had come from elsewhere: what was held back goes on with the place
    /// it came from.
    pub fn as_from<R>(&mut self, origin: &RecordMetadata, f: impl FnOnce(&mut TaskContext<'_>) -> R) -> R {
        let partitions = &mut self.state.partitions;
        let place = |p: &TopicPartition| p.topic == origin.topic && p.partition == origin.partition;
        let index = partitions.iter().position(place).unwrap_or_else(|| {
            partitions.push(TopicPartition::new(Arc::clone(&origin.topic), origin.partition));
            partitions.len() - 1
        });
        let before = self.state.input.replace((index, origin.offset));
        let mut task = TaskContext {
            state: self.state,
            producer: self.producer,
        };
        let result = f(&mut task);
        self.state.input = before;
        result
    }

    /// Asks for a commit as soon as this record is processed. The whole thread commits.
    pub fn request_commit(&mut self) {
        self.state.commit_requested = true;
    }

    /// The time that was kept under this name, in milliseconds; `None` if none ever was.
    #[must_use]
    pub fn processor_time_ms(&self, name: &str) -> Option<i64> {
        self.state.processor_times_ms.get(name).copied()
    }

    /// Keeps a time under a name, usually a store's: it is committed with the input's offsets, and so as exact as they are.
    /// After a restart the largest of what the partitions have is there (Kafka's processor metadata).
    pub fn set_processor_time_ms(&mut self, name: &str, time_ms: i64) {
        match self.state.processor_times_ms.get_mut(name) {
            Some(kept) => *kept = time_ms,
            None => {
                self.state.processor_times_ms.insert(name.to_owned(), time_ms);
            }
        }
    }

    /// Counts a record that is dropped here.
    pub fn count_dropped(&mut self, reason: DropReason) {
        self.state.metrics.count_dropped(reason);
    }

    /// Records a value with a sensor of the task's, as of its [wall-clock time](Self::wall_clock_ms). See
    /// [`ProcessorInit::add_sensor`](crate::processor::ProcessorInit::add_sensor).
    pub fn record(&self, sensor: &Sensor, value: f64) {
        sensor.record(value, self.state.wall_clock_ms);
    }

    /// Decides about a record that failed.
    #[cold]
    pub(crate) fn failed(&mut self, stage: Stage, error: Box<ProcessError>) -> ProcessResult {
        match self.state.handlers.handle(stage, &error) {
            ErrorResponse::Fail => Err(error),
            ErrorResponse::Continue => {
                tracing::warn!(%error, "record dropped");
                self.count_dropped(stage.drop_reason());
                if self.state.handlers.dead_letters().is_some() {
                    self.state.failures.push(*error);
                }
                Ok(())
            }
        }
    }

    /// Writes one record to a topic, as part of the task's commit.
    ///
    /// # Errors
    /// If the log refused it, or one before it.
    pub fn send(&mut self, topic: TopicHandle, partition: i32, record: RecordView<'_>) -> ProcessResult {
        self.producer.send(topic, partition, record)?;
        self.state.metrics.count_sent();
        Ok(())
    }
}

impl std::fmt::Debug for TaskContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskContext")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
