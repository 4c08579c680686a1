//! The live operators: one struct, one `Process`, per kind. They know records, stores and the task, and nothing of plans
//! or names.

pub(crate) mod aggregate;
pub(crate) mod branch;
pub(crate) mod filter;
pub(crate) mod final_results;
pub(crate) mod flat_map;
pub(crate) mod foreign_key_join;
pub(crate) mod global_table_join;
pub(crate) mod map;
pub(crate) mod peek;
pub(crate) mod repartition;
pub(crate) mod self_join;
pub(crate) mod session_aggregate;
pub(crate) mod sliding_aggregate;
pub(crate) mod stream_join;
pub(crate) mod stream_table_join;
pub(crate) mod suppress;
pub(crate) mod table_filter;
pub(crate) mod table_group;
pub(crate) mod table_join;
pub(crate) mod table_map;
pub(crate) mod table_source;
pub(crate) mod table_store;
pub(crate) mod table_transform;
pub(crate) mod to_stream;
pub(crate) mod update_cache;
pub(crate) mod window_aggregate;
pub(crate) mod window_rows;

use streams_core::TaskContext;
use streams_core::error::{ProcessCause, ProcessError, ProcessResult};
use streams_core::log::TopicPartition;
use streams_core::processor::BoxError;

/// What a function of the user's gave. Those that cannot fail are wrapped where they are declared.
pub(crate) type Tried<T> = Result<T, BoxError>;

/// Says where a store or a serde failed.
#[cold]
pub(crate) fn place(cause: ProcessCause, processor: &str, task: &TaskContext<'_>) -> Box<ProcessError> {
    Box::new(ProcessError {
        cause,
        processor: Some(processor.to_owned()),
        task: Some(task.task_id().to_string()),
        input: task
            .record_metadata()
            .map(|at| (TopicPartition::new(at.topic, at.partition), at.offset)),
    })
}

/// What comes of a record whose step failed: about a user's function the processing handler decides, and what stores and serdes
/// say stops the task.
#[cold]
pub(crate) fn failed(cause: ProcessCause, processor: &str, task: &mut TaskContext<'_>) -> ProcessResult {
    match cause {
        ProcessCause::User(error) => task.processing_failed(error, processor),
        cause => Err(place(cause, processor, task)),
    }
}

/// Says where a step of an aggregation failed. If it was a function of the user's, that is [still to be decided](decided) about,
/// once nothing more is done about the record.
#[cold]
pub(crate) fn place_step(cause: ProcessCause, processor: &str, task: &TaskContext<'_>) -> Box<ProcessError> {
    match cause {
        ProcessCause::User(_) => Box::from(cause),
        cause => place(cause, processor, task),
    }
}

/// What is done about a record whose processing ended so: the application's processing handler decides about errors of this
/// operator's functions. Those of others say where they were.
#[inline]
pub(crate) fn decided(result: ProcessResult, processor: &str, task: &mut TaskContext<'_>) -> ProcessResult {
    match result {
        Err(error) if error.processor.is_none() => decided_error(error, processor, task),
        result => result,
    }
}

#[cold]
fn decided_error(error: Box<ProcessError>, processor: &str, task: &mut TaskContext<'_>) -> ProcessResult {
    match error.cause {
        ProcessCause::User(error) => task.processing_failed(error, processor),
        _ => Err(error),
    }
}
