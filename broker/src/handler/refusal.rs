//! An error of one partition, topic or group in an answer.

use kafka_protocol::ResponseError;

use crate::config::BrokerConfigError;
use crate::log::{AppendError, ReadError};
use crate::topic::TopicError;

/// An error of a partition as a client gets it: Kafka's code, and the whole story in words.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: i16,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            code: error.code(),
            message: message.into(),
        }
    }

    /// Whether there is no such topic or partition.
    pub(super) fn is_of_unknown_topic(&self) -> bool {
        let codes = [
            ResponseError::UnknownTopicOrPartition,
            ResponseError::UnknownTopicId,
        ];
        codes.iter().any(|error| error.code() == self.code)
    }
}

impl From<BrokerConfigError> for Refusal {
    fn from(error: BrokerConfigError) -> Self {
        Self::new(ResponseError::InvalidConfig, error.to_string())
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self {
            code: error.error_code(),
            message: error.to_string(),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self {
            code: error.error_code(),
            message: error.to_string(),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self {
            code: error.error_code(),
            message: error.to_string(),
        }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
        }
    }
}
