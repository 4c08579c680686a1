//! CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::quotas::MutationQuota;
use super::{Broker, Refusal, RequestContext, text};
use crate::config::check_topic_config;
use crate::coordinator_records::is_internal_topic;
use crate::group::GroupEvent;
use crate::topic::{MAX_PARTITIONS, TopicError, validate_name};

/// First versions that are refused changes above the limit, instead of being held back after them (KIP-599).
const STRICT_CREATE_VERSION: i16 = 6;
const STRICT_DELETE_VERSION: i16 = 5;
const STRICT_PARTITIONS_VERSION: i16 = 3;
/// First version of DeleteTopics that names topics by id.
const DELETE_BY_ID_VERSION: i16 = 6;
/// First version of DeleteTopics that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_VERSION: i16 = 3;
/// What DeleteRecords takes for "everything there is".
const HIGH_WATERMARK: i64 = -1;

/// A topic that is to be: its partitions and configs, checked as far as one can without looking at the others.
struct Plan {
    partitions: i32,
    configs: BTreeMap<String, String>,
}

impl Broker {
    pub(super) fn create_topics(
        &self,
        context: &RequestContext,
        request: &CreateTopicsRequest,
        now_ms: i64,
    ) -> CreateTopicsResponse {
        let mut quota = self.mutation_quota(context, STRICT_CREATE_VERSION, now_ms);
        let twice = named_twice(request.topics.iter().map(|topic| &topic.name));
        let results = request.topics.iter().map(|topic| {
            // Java's Admin needs the list to be there, whatever happened.
            let result = CreatableTopicResult::default()
                .with_name(topic.name.clone())
                .with_configs(Some(Vec::new()));
            let created = if twice.contains(&topic.name) {
                Err(Refusal::new(
                    ResponseError::InvalidRequest,
                    "the topic is named more than once",
                ))
            } else {
                self.create_topic(topic, request.validate_only, &mut quota, now_ms)
            };
            match created {
                Ok((id, plan)) => result
                    .with_topic_id(id)
                    .with_num_partitions(plan.partitions)
                    .with_replication_factor(1)
                    .with_configs(Some(self.created_topic_configs(&plan.configs))),
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message)))
                    .with_num_partitions(-1)
                    .with_replication_factor(-1),
            }
        });
        let results = results.collect();
        CreateTopicsResponse::default()
            .with_topics(results)
            .with_throttle_time_ms(quota.throttle_ms)
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        validate_only: bool,
        quota: &mut MutationQuota<'_>,
        now_ms: i64,
    ) -> Result<(Uuid, Plan), Refusal> {
        if is_internal_topic(&topic.name) {
            return Err(Refusal::new(
                ResponseError::InvalidTopicException,
                "the broker makes its internal topics itself",
            ));
        }
        validate_name(&topic.name)?;
        if self.topics.topic(&topic.name).is_ok() {
            let name = topic.name.to_string();
            return Err(TopicError::TopicAlreadyExists { name }.into());
        }
        let plan = Plan {
            configs: asked_configs(topic)?,
            partitions: self.asked_partitions(topic)?,
        };
        self.check_compaction_lags(&plan.configs)?;
        self.topics
            .validate_topic(&topic.name, plan.partitions, &plan.configs)?;
        quota.record(usize::try_from(plan.partitions).unwrap_or(0))?;
        if validate_only {
            return Ok((Uuid::nil(), plan));
        }
        let created = self
            .topics
            .create_topic(&topic.name, plan.partitions, &plan.configs, now_ms)?;
        Ok((created.id(), plan))
    }

    /// The number of partitions, from either a number or an assignment.
    fn asked_partitions(&self, topic: &CreatableTopic) -> Result<i32, Refusal> {
        let (partitions, replicas) = (topic.num_partitions, topic.replication_factor);
        if !topic.assignments.is_empty() {
            if partitions != -1 || replicas != -1 {
                let message =
                    "with an assignment of replicas, number of partitions and replication factor must be -1";
                return Err(Refusal::new(ResponseError::InvalidRequest, message));
            }
            return self.assigned_partitions(topic);
        }
        if !matches!(replicas, -1 | 1) {
            let message = format!(
                "this broker keeps one replica: ask for a replication factor of 1 or -1, and not {replicas}"
            );
            return Err(Refusal::new(ResponseError::InvalidReplicationFactor, message));
        }
        match partitions {
            -1 => Ok(self.config.default_partitions),
            partitions => Ok(partitions),
        }
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
        let here = topic
            .assignments
            .iter()
            .all(|assignment| self.is_own_replica(&assignment.broker_ids));
        if here && seen.into_iter().eq(0..count) {
            return Ok(count);
        }
        Err(self.foreign_replicas())
    }

    /// Whether replicas are this broker alone.
    pub(super) fn is_own_replica(&self, replicas: &[BrokerId]) -> bool {
        matches!(replicas, [replica] if replica.0 == self.config.node_id)
    }

    pub(super) fn foreign_replicas(&self) -> Refusal {
        let own = self.config.node_id;
        let message = format!(
            "every partition from the first on must be assigned to broker {own} alone, there is no other"
        );
        Refusal::new(ResponseError::InvalidReplicaAssignment, message)
    }

    pub(super) fn delete_topics(
        &self,
        context: &RequestContext,
        request: &DeleteTopicsRequest,
        now_ms: i64,
    ) -> DeleteTopicsResponse {
        let version = context.version;
        let mut quota = self.mutation_quota(context, STRICT_DELETE_VERSION, now_ms);
        let asked: Vec<_> = if version < DELETE_BY_ID_VERSION {
            let names = request.topic_names.iter();
            names.map(|name| (Some(name.clone()), Uuid::nil())).collect()
        } else {
            let topics = request.topics.iter();
            topics.map(|topic| (topic.name.clone(), topic.topic_id)).collect()
        };
        let twice = named_twice(asked.iter());
        let responses = asked.iter().map(|topic| {
            let (name, id) = topic.clone();
            let result = DeletableTopicResult::default()
                .with_name(name.clone())
                .with_topic_id(id);
            let found = if twice.contains(topic) {
                Err(Refusal::new(
                    ResponseError::InvalidRequest,
                    "the topic is named more than once",
                ))
            } else {
                self.topic_to_delete(version, name.as_ref(), id)
            };
            let (result, deleted) = match found {
                Ok((name, id)) => {
                    let deleted = self.delete_topic(&name, &mut quota, now_ms);
                    (result.with_name(Some(name)).with_topic_id(id), deleted)
                }
                Err(refusal) => (result, Err(refusal)),
            };
            match deleted {
                Ok(()) => result,
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        let responses = responses.collect();
        DeleteTopicsResponse::default()
            .with_responses(responses)
            .with_throttle_time_ms(quota.throttle_ms)
    }

    /// Name and id of a topic that is named by one of them.
    fn topic_to_delete(
        &self,
        version: i16,
        name: Option<&TopicName>,
        id: Uuid,
    ) -> Result<(TopicName, Uuid), Refusal> {
        if !self.config.delete_topics {
            let error = if version < DELETION_DISABLED_VERSION {
                ResponseError::InvalidRequest
            } else {
                ResponseError::TopicDeletionDisabled
            };
            return Err(Refusal::new(error, "delete.topic.enable is false"));
        }
        match name {
            Some(name) if id.is_nil() => {
                let topic = self.topics.topic(name)?;
                Ok((name.clone(), topic.id()))
            }
            None if !id.is_nil() => match self.topics.topic_by_id(id) {
                Ok(topic) => Ok((TopicName(text(topic.name())), id)),
                Err(error) => Err(Refusal::new(ResponseError::UnknownTopicId, error.to_string())),
            },
            _ => {
                let message = "name a topic by its name or by its id, and not by both";
                Err(Refusal::new(ResponseError::InvalidRequest, message))
            }
        }
    }

    fn delete_topic(&self, name: &str, quota: &mut MutationQuota<'_>, now_ms: i64) -> Result<(), Refusal> {
        if is_internal_topic(name) {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                "the broker needs its internal topics",
            ));
        }
        quota.record(self.topics.topic(name)?.partitions().len())?;
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
        context: &RequestContext,
        request: &CreatePartitionsRequest,
        now_ms: i64,
    ) -> CreatePartitionsResponse {
        let mut quota = self.mutation_quota(context, STRICT_PARTITIONS_VERSION, now_ms);
        let twice = named_twice(request.topics.iter().map(|topic| &topic.name));
        let results = request.topics.iter().map(|topic| {
            let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            let created = if twice.contains(&topic.name) {
                Err(Refusal::new(
                    ResponseError::InvalidRequest,
                    "the topic is named more than once",
                ))
            } else {
                self.add_partitions(topic, request.validate_only, &mut quota, now_ms)
            };
            match created {
                Ok(()) => result,
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        let results = results.collect();
        CreatePartitionsResponse::default()
            .with_results(results)
            .with_throttle_time_ms(quota.throttle_ms)
    }

    fn add_partitions(
        &self,
        asked: &CreatePartitionsTopic,
        validate_only: bool,
        quota: &mut MutationQuota<'_>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let name = asked.name.as_str();
        if is_internal_topic(name) {
            let message =
                "partitions of internal topics cannot change: what is in them was placed by their number";
            return Err(Refusal::new(ResponseError::InvalidTopicException, message));
        }
        let topic = self.topics.topic(name)?;
        let now = topic.partitions().len();
        let added = usize::try_from(asked.count).unwrap_or(0).saturating_sub(now);
        if added == 0 || asked.count > MAX_PARTITIONS {
            let message = format!(
                "topic {name} has {now} partitions: ask for more than that, and at most {MAX_PARTITIONS}"
            );
            return Err(Refusal::new(ResponseError::InvalidPartitions, message));
        }
        if let Some(assignments) = &asked.assignments {
            if assignments.len() != added {
                let message = format!("{added} partitions are added, {} are assigned", assignments.len());
                return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, message));
            }
            if !assignments
                .iter()
                .all(|replicas| self.is_own_replica(&replicas.broker_ids))
            {
                return Err(self.foreign_replicas());
            }
        }
        quota.record(added)?;
        if !validate_only {
            self.topics.create_partitions(name, asked.count, now_ms)?;
        }
        Ok(())
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

/// The configs that were asked for, each with a value that it can have.
fn asked_configs(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, Refusal> {
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let (name, Some(value)) = (&config.name, &config.value) else {
            let message = format!("the config {} has no value", config.name);
            return Err(Refusal::new(ResponseError::InvalidConfig, message));
        };
        check_topic_config(name, value)?;
        configs.insert(name.to_string(), value.to_string());
    }
    Ok(configs)
}

/// What occurs more than once.
fn named_twice<T: Ord>(names: impl Iterator<Item = T>) -> BTreeSet<T> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        match seen.take(&name) {
            Some(_) => {
                twice.insert(name);
            }
            None => {
                seen.insert(name);
            }
        }
    }
    twice
}
