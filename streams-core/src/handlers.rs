//! What is done about records that fail: stop, or drop them, and where to keep them (Kafka's exception handlers, KIP-1033 and
//! KIP-1034).

use std::fmt::{self, Debug};
use std::sync::Arc;

use crate::error::ProcessError;
use crate::log::{LogResult, Producer, RecordView, TopicHandle};
use crate::metrics::DropReason;
use crate::partitioner::partition_for_key;
use crate::topology::RawInput;

/// Decides about records that fail (Kafka's `DeserializationExceptionHandler`, `ProcessingExceptionHandler` and
/// `ProductionExceptionHandler`). Implemented for functions.
///
/// ```
/// use streams_core::handlers::{ErrorHandlers, ErrorResponse};
/// use streams_core::error::ProcessError;
///
/// let only_orders = |error: &ProcessError| match &error.input {
///     Some((partition, _)) if &*partition.topic == "orders" => ErrorResponse::Continue,
///     _ => ErrorResponse::Fail,
/// };
/// let handlers = ErrorHandlers::default().processing(only_orders).dead_letter_topic("failed-orders");
/// ```
pub trait ErrorHandler: Send + Sync {
    /// What to do. The error says what happened, in which processor and task, and at which input.
    fn handle(&self, error: &ProcessError) -> ErrorResponse;
}

/// What to do about a record that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorResponse {
    /// Stop the application before it commits: nothing is lost, and nothing goes on until the record or the program is mended.
    Fail,
    /// Drop the record, count it with its reason, and go on. What was done for it before it failed stays.
    Continue,
}

impl<F: Fn(&ProcessError) -> ErrorResponse + Send + Sync> ErrorHandler for F {
    fn handle(&self, error: &ProcessError) -> ErrorResponse {
        self(error)
    }
}

/// Stops at every failure. The default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogAndFail;

impl ErrorHandler for LogAndFail {
    fn handle(&self, _: &ProcessError) -> ErrorResponse {
        ErrorResponse::Fail
    }
}

/// Logs what fails, counts it, and goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogAndContinue;

impl ErrorHandler for LogAndContinue {
    fn handle(&self, _: &ProcessError) -> ErrorResponse {
        ErrorResponse::Continue
    }
}

/// The handlers of an application. By default every failure stops it, and nothing is kept elsewhere.
#[derive(Clone)]
pub struct ErrorHandlers {
    deserialization: Arc<dyn ErrorHandler>,
    processing: Arc<dyn ErrorHandler>,
    production: Arc<dyn ErrorHandler>,
    dead_letter_topic: Option<Arc<str>>,
}

impl Default for ErrorHandlers {
    fn default() -> Self {
        Self {
            deserialization: Arc::new(LogAndFail),
            processing: Arc::new(LogAndFail),
            production: Arc::new(LogAndFail),
            dead_letter_topic: None,
        }
    }
}

impl Debug for ErrorHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorHandlers")
            .field("dead_letter_topic", &self.dead_letter_topic)
            .finish_non_exhaustive()
    }
}

impl ErrorHandlers {
    /// For input records whose key or value cannot be read (`deserialization.exception.handler`).
    #[must_use]
    pub fn deserialization(mut self, handler: impl ErrorHandler + 'static) -> Self {
        self.deserialization = Arc::new(handler);
        self
    }

    /// For records on which a processor of the user's returns an error (`processing.exception.handler`). The record goes no
    /// further from there; others that come from the same input do.
    #[must_use]
    pub fn processing(mut self, handler: impl ErrorHandler + 'static) -> Self {
        self.processing = Arc::new(handler);
        self
    }

    /// For records whose key or value cannot be written to a topic (`production.exception.handler`). What the log refuses
    /// cannot be dropped: it stops the application.
    #[must_use]
    pub fn production(mut self, handler: impl ErrorHandler + 'static) -> Self {
        self.production = Arc::new(handler);
        self
    }

    /// Where input records go that failed, whatever their handler answered (`errors.dead.letter.queue.topic.name`). The topic
    /// must exist. A dead letter has the input's key, value and timestamp, and Kafka's headers `__streams.errors.exception`: the type
    /// of the failure, such as `streams_core::error::ProcessCause::User` for an error of a processor of the user's; `.message`;
    /// `.stacktrace`: the message, what caused it as errors tell by `source`, then the processor, the task and the input, a line each;
    /// `.topic`, `.partition` and `.offset` of the input. It is written with the task's commit:
    /// with exactly-once, that of a record that stops the application is not. Records of global stores have none.
    #[must_use]
    pub fn dead_letter_topic(mut self, topic: &str) -> Self {
        self.dead_letter_topic = Some(Arc::from(topic));
        self
    }

    pub(crate) fn dead_letters(&self) -> Option<&Arc<str>> {
        self.dead_letter_topic.as_ref()
    }

    pub(crate) fn handle(&self, stage: Stage, error: &ProcessError) -> ErrorResponse {
        let handler = match stage {
            Stage::Deserialization => &self.deserialization,
            Stage::Processing => &self.processing,
            Stage::Production => &self.production,
        };
        handler.handle(error)
    }
}

/// Where a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// While it was read.
    Deserialization,
    /// In a processor.
    Processing,
    /// While a result was written.
    Production,
}

impl Stage {
    pub(crate) fn drop_reason(self) -> DropReason {
        match self {
            Stage::Deserialization => DropReason::Deserialization,
            Stage::Processing => DropReason::Processing,
            Stage::Production => DropReason::Production,
        }
    }
}

/// What caused a failure, and where it was. Errors know no calls, so there are none.
fn trace(error: &ProcessError) -> String {
    let mut lines = vec![error.cause.to_string()];
    let mut next = error.cause.caused_by();
    while let Some(cause) = next {
        lines.push(format!("Caused by: {cause}"));
        next = cause.source();
    }
    let processor = error
        .processor
        .iter()
        .map(|name| format!("\tat processor {name}"));
    let task = error.task.iter().map(|task| format!("\tat task {task}"));
    let input = error.input.iter();
    let input = input.map(|(partition, offset)| format!("\tat offset {offset} of {partition}"));
    lines.extend(processor.chain(task).chain(input));
    lines.join("\n")
}

/// Writes an input record to the topic of dead letters.
pub(crate) fn send_dead_letter(
    producer: &mut dyn Producer,
    topic: TopicHandle,
    input: &RawInput<'_>,
    error: &ProcessError,
) -> LogResult<()> {
    let (message, trace) = (error.cause.to_string(), trace(error));
    let headers = input.headers.clone();
    let mut headers = headers
        .with(
            "__streams.errors.exception",
            Some(error.cause.type_name().as_bytes()),
        )
        .with("__streams.errors.message", Some(message.as_bytes()))
        .with("__streams.errors.stacktrace", Some(trace.as_bytes()));
    if let Some((partition, offset)) = &error.input {
        let (number, offset) = (partition.partition.to_string(), offset.to_string());
        headers = headers
            .with("__streams.errors.topic", Some(partition.topic.as_bytes()))
            .with("__streams.errors.partition", Some(number.as_bytes()))
            .with("__streams.errors.offset", Some(offset.as_bytes()));
    }
    let partition = input
        .key
        .map_or(0, |key| partition_for_key(key, topic.partitions));
    let record = RecordView {
        key: input.key,
        value: input.value,
        timestamp_ms: input.timestamp_ms,
        headers: &headers,
    };
    producer.send(topic, partition, record)
}
