//! Metadata and FindCoordinator: one broker, which leads and coordinates everything.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::fetch::LEADER_EPOCH;
use super::{Broker, text};
use crate::coordinator_records::is_internal_topic;
use crate::topic::{Topic, TopicError};

/// First version in which null means all topics; before, an empty list does.
const NULL_IS_ALL_VERSION: i16 = 1;
/// First version that says whether topics may be created.
const AUTO_CREATE_FIELD_VERSION: i16 = 4;
/// First version that asks by topic id.
const TOPIC_ID_VERSION: i16 = 12;
/// First version of FindCoordinator for several keys.
const KEYS_VERSION: i16 = 4;
/// "Not requested" in `authorized_operations`.
const OPERATIONS_NOT_REQUESTED: i32 = i32::MIN;

impl Broker {
    pub(super) fn metadata(&self, version: i16, request: &MetadataRequest, now_ms: i64) -> MetadataResponse {
        let node = BrokerId(self.config.node_id);
        let mut response = MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(node)
                    .with_host(text(&self.config.host))
                    .with_port(self.config.port),
            ])
            .with_cluster_id(Some(text(self.topics.cluster_id())))
            .with_controller_id(node)
            .with_cluster_authorized_operations(OPERATIONS_NOT_REQUESTED);
        let asked = match &request.topics {
            Some(topics) if topics.is_empty() && version < NULL_IS_ALL_VERSION => None,
            topics => topics.as_ref(),
        };
        let Some(asked) = asked else {
            let all = self.topics.list().unwrap_or_default();
            response.topics = all.iter().map(|topic| self.describe_topic(topic)).collect();
            return response;
        };
        let may_create = self.config.auto_create_topics
            && (version < AUTO_CREATE_FIELD_VERSION || request.allow_auto_topic_creation);
        for topic in asked {
            let described = match &topic.name {
                Some(name) => self.topic_by_name(name, may_create, now_ms),
                None if version >= TOPIC_ID_VERSION => self.topic_with_id(topic.topic_id),
                None => failed(None, Uuid::nil(), ResponseError::InvalidRequest.code()),
            };
            response.topics.push(described);
        }
        response
    }

    fn topic_by_name(&self, name: &TopicName, may_create: bool, now_ms: i64) -> MetadataResponseTopic {
        let created = match self.topics.topic(name) {
            Err(TopicError::UnknownTopic { .. }) if may_create && !is_internal_topic(name) => self
                .topics
                .create_topic(name, self.config.default_partitions, &Default::default(), now_ms),
            found => found,
        };
        match created {
            Ok(topic) => self.describe_topic(&topic),
            // Two clients asked at once: it is there for the second too.
            Err(TopicError::TopicAlreadyExists { .. }) => failed(
                Some(name.clone()),
                Uuid::nil(),
                ResponseError::LeaderNotAvailable.code(),
            ),
            Err(error) => failed(Some(name.clone()), Uuid::nil(), error.error_code()),
        }
    }

    fn topic_with_id(&self, id: Uuid) -> MetadataResponseTopic {
        match self.topics.topic_by_id(id) {
            Ok(topic) => self.describe_topic(&topic),
            Err(_) => failed(None, id, ResponseError::UnknownTopicId.code()),
        }
    }

    fn describe_topic(&self, topic: &Arc<Topic>) -> MetadataResponseTopic {
        let node = BrokerId(self.config.node_id);
        let partitions = (0..topic.partitions().len() as i32).map(|index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(node)
                .with_leader_epoch(LEADER_EPOCH)
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node])
        });
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(text(topic.name()))))
            .with_topic_id(topic.id())
            .with_is_internal(is_internal_topic(topic.name()))
            .with_partitions(partitions.collect())
            .with_topic_authorized_operations(OPERATIONS_NOT_REQUESTED)
    }

    pub(super) fn find_coordinator(
        &self,
        version: i16,
        request: &FindCoordinatorRequest,
    ) -> FindCoordinatorResponse {
        // 0 is a group, 1 a transactional id; anything else this broker does not coordinate.
        let known_type = matches!(request.key_type, 0 | 1);
        let error_code = if known_type {
            0
        } else {
            ResponseError::InvalidRequest.code()
        };
        let node_id = BrokerId(if known_type { self.config.node_id } else { -1 });
        let host = if known_type {
            text(&self.config.host)
        } else {
            StrBytes::default()
        };
        let port = if known_type { self.config.port } else { -1 };
        if version < KEYS_VERSION {
            return FindCoordinatorResponse::default()
                .with_error_code(error_code)
                .with_node_id(node_id)
                .with_host(host)
                .with_port(port);
        }
        let coordinators = request.coordinator_keys.iter().map(|key| {
            Coordinator::default()
                .with_key(key.clone())
                .with_error_code(error_code)
                .with_node_id(node_id)
                .with_host(host.clone())
                .with_port(port)
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    }
}

fn failed(name: Option<TopicName>, id: Uuid, error_code: i16) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(name)
        .with_topic_id(id)
        .with_error_code(error_code)
        .with_topic_authorized_operations(OPERATIONS_NOT_REQUESTED)
}
