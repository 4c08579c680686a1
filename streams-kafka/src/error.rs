//! librdkafka's errors as those of the seam.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use streams_core::error::LogError;

/// Which error it is, with what was being done.
pub(crate) fn log_error(context: impl Into<String>, error: KafkaError) -> LogError {
    let context = context.into();
    match error.rdkafka_error_code() {
        Some(code) if is_fenced(code) => LogError::Fenced {
            reason: format!("{context}: {error}"),
        },
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => LogError::TimedOut {
            what: format!("{context}: {error}"),
        },
        _ => LogError::failed(context, error),
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::InvalidProducerIdMapping
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::StaleMemberEpoch
    )
}
