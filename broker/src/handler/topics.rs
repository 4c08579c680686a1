//! CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::{Broker, Refusal, text};
use crate::coordinator_records::is_internal_topic;
use crate::group::GroupEvent;
use crate::topic::MAX_PARTITIONS;

/// `config_source` of a config that was set on the topic.
const TOPIC_CONFIG: i8 = 1;
/// First version of DeleteTopics that names topics by id.
const DELETE_BY_ID_VERSION: i16 = 6;
/// What DeleteRecords takes for "everything there is".
const HIGH_WATERMARK: i64 = -1;

impl Broker {
    pub(super) fn create_topics(&self, request: &CreateTopicsRequest, now_ms: i64) -> CreateTopicsResponse {
        let results = request.topics.iter().map(|topic| {
            let result = CreatableTopicResult::default()
                .with_name(topic.name.clone())
                .with_configs(Some(Vec::new()));
            match self.create_topic(topic, request.validate_only, now_ms) {
                Ok((id, partitions, configs)) => result
                    .with_topic_id(id)
                    .with_num_partitions(partitions)
                    .with_replication_factor(1)
                    .with_configs(Some(configs)),
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message)))
                    .with_num_partitions(-1)
                    .with_replication_factor(-1),
            }
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        validate_only: bool,
        now_ms: i64,
    ) -> Result<(Uuid, i32, Vec<CreatableTopicConfigs>), Refusal> {
        let refuse = |error: ResponseError, message: &str| Refusal {
            code: error.code(),
            message: message.to_owned(),
        };
        if is_internal_topic(&topic.name) {
            return Err(refuse(
                ResponseError::InvalidTopicException,
                "the broker makes its internal topics itself",
            ));
        }
        let partitions = if topic.assignments.is_empty() {
            if !matches!(topic.replication_factor, -1 | 1) {
                let message = "this broker keeps one replica: ask for a replication factor of 1 or -1";
                return Err(refuse(ResponseError::InvalidReplicationFactor, message));
            }
            if topic.num_partitions == -1 {
                self.config.default_partitions
            } else {
                topic.num_partitions
            }
        } else {
            self.assigned_partitions(topic)?
        };
        let mut configs = BTreeMap::new();
        for config in &topic.configs {
            let Some(value) = &config.value else {
                return Err(refuse(
                    ResponseError::InvalidConfig,
                    &format!("the config {} has no value", config.name),
                ));
            };
            configs.insert(config.name.to_string(), value.to_string());
        }
        let described = configs
            .iter()
            .map(|(name, value)| {
                CreatableTopicConfigs::default()
                    .with_name(text(name))
                    .with_value(Some(text(value)))
                    .with_config_source(TOPIC_CONFIG)
            })
            .collect();
        if validate_only {
            self.topics.validate_topic(&topic.name, partitions, &configs)?;
            return Ok((Uuid::nil(), partitions, described));
        }
        let created = self
            .topics
            .create_topic(&topic.name, partitions, &configs, now_ms)?;
        Ok((created.id(), partitions, described))
    }

    /// The number of partitions of an explicit assignment, which can only be to this broker.
    fn assigned_partitions(&self, topic: &CreatableTopic) -> Result<i32, Refusal> {
        let count = i32::try_from(topic.assignments.len()).unwrap_or(MAX_PARTITIONS);
        let mut seen: Vec<i32> = topic
            .assignments
            .iter()
            .map(|assignment| assignment.partition_index)
            .collect();
        seen.sort_unstable();
        let here = topic.assignments.iter().all(|assignment| {
            assignment.broker_ids.len() == 1 && assignment.broker_ids[0].0 == self.config.node_id
        });
        if here && seen.into_iter().eq(0..count) {
            return Ok(count);
        }
        let message = format!(
            "every partition from 0 on must be assigned to broker {} alone",
            self.config.node_id
        );
        Err(Refusal {
            code: ResponseError::InvalidReplicaAssignment.code(),
            message,
        })
    }

    pub(super) fn delete_topics(
        &self,
        version: i16,
        request: &DeleteTopicsRequest,
        now_ms: i64,
    ) -> DeleteTopicsResponse {
        let mut response = DeleteTopicsResponse::default();
        if version < DELETE_BY_ID_VERSION {
            for name in &request.topic_names {
                let result = DeletableTopicResult::default().with_name(Some(name.clone()));
                response
                    .responses
                    .push(finish_deletion(result, self.delete_topic(name, now_ms)));
            }
            return response;
        }
        for topic in &request.topics {
            let result = DeletableTopicResult::default()
                .with_topic_id(topic.topic_id)
                .with_name(topic.name.clone());
            let found = match &topic.name {
                Some(name) => Ok(name.clone()),
                None => match self.topics.topic_by_id(topic.topic_id) {
                    Ok(topic) => Ok(TopicName(text(topic.name()))),
                    Err(error) => Err(Refusal {
                        code: ResponseError::UnknownTopicId.code(),
                        message: error.to_string(),
                    }),
                },
            };
            let deleted = found.and_then(|name| self.delete_topic(&name, now_ms));
            response.responses.push(finish_deletion(result, deleted));
        }
        response
    }

    fn delete_topic(&self, name: &str, now_ms: i64) -> Result<(), Refusal> {
        if is_internal_topic(name) {
            let message = "the broker needs its internal topics".to_owned();
            return Err(Refusal {
                code: ResponseError::InvalidRequest.code(),
                message,
            });
        }
        self.topics.delete_topic(name)?;
        let mut groups = self.lock_groups()?;
        self.run_group(
            &mut groups,
            GroupEvent::TopicDeleted {
                topic: name.to_owned(),
            },
            None,
            now_ms,
        );
        Ok(())
    }

    pub(super) fn create_partitions(
        &self,
        request: &CreatePartitionsRequest,
        now_ms: i64,
    ) -> CreatePartitionsResponse {
        let results = request.topics.iter().map(|topic| {
            let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            let created = if is_internal_topic(&topic.name) {
                Err(Refusal::from(ResponseError::InvalidTopicException))
            } else if request.validate_only {
                self.validate_partitions(&topic.name, topic.count)
            } else {
                self.topics
                    .create_partitions(&topic.name, topic.count, now_ms)
                    .map(|_| ())
                    .map_err(Refusal::from)
            };
            match created {
                Ok(()) => result,
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    fn validate_partitions(&self, name: &str, count: i32) -> Result<(), Refusal> {
        let topic = self.topics.topic(name)?;
        let now = topic.partitions().len();
        if usize::try_from(count).is_ok_and(|count| count > now) && count <= MAX_PARTITIONS {
            return Ok(());
        }
        let message = format!("topic {name} has {now} partitions, at most are {MAX_PARTITIONS}");
        Err(Refusal {
            code: ResponseError::InvalidPartitions.code(),
            message,
        })
    }

    pub(super) fn delete_records(&self, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let result =
                    DeleteRecordsPartitionResult::default().with_partition_index(partition.partition_index);
                match self.delete_records_before(&topic.name, partition.partition_index, partition.offset) {
                    Ok(low_watermark) => result.with_low_watermark(low_watermark),
                    Err(refusal) => result.with_error_code(refusal.code).with_low_watermark(-1),
                }
            });
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        DeleteRecordsResponse::default().with_topics(topics.collect())
    }

    fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Result<i64, Refusal> {
        if is_internal_topic(topic) {
            return Err(ResponseError::InvalidTopicException.into());
        }
        let topic = self.topics.topic(topic)?;
        let mut log = topic.lock(partition)?;
        let offset = if offset == HIGH_WATERMARK {
            log.high_watermark()
        } else {
            offset
        };
        Ok(log.delete_records_before(offset)?)
    }
}

fn finish_deletion(result: DeletableTopicResult, deleted: Result<(), Refusal>) -> DeletableTopicResult {
    match deleted {
        Ok(()) => result,
        Err(refusal) => result
            .with_error_code(refusal.code)
            .with_error_message(Some(text(&refusal.message))),
    }
}
