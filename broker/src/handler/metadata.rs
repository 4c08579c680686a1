//! Metadata and FindCoordinator: one broker, which leads and coordinates everything.

use std::collections::BTreeMap;
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

use super::{Broker, RequestContext, text};
use crate::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::coordinator_records::is_internal_topic;
use crate::topic::{Topic, TopicError, validate_name};

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
    pub(super) fn metadata(
        &self,
        context: &RequestContext,
        request: &MetadataRequest,
        now_ms: i64,
    ) -> MetadataResponse {
        let version = context.version;
        let node = BrokerId(self.config.node_id);
        let (host, port) = self.advertised(context);
        let broker = MetadataResponseBroker::default()
            .with_node_id(node)
            .with_host(text(host))
            .with_port(port)
            .with_rack(self.config.rack.as_deref().map(text));
        let operations = if request.include_cluster_authorized_operations {
            self.authorized_operations(context, ResourceType::Cluster, CLUSTER_NAME)
        } else {
            OPERATIONS_NOT_REQUESTED
        };
        let response = MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(text(self.topics.cluster_id())))
            .with_controller_id(node)
            .with_cluster_authorized_operations(operations);
        let asked = match &request.topics {
            Some(topics) if topics.is_empty() && version < NULL_IS_ALL_VERSION => None,
            topics => topics.as_ref(),
        };
        let Some(asked) = asked else {
            let all = self.topics.list().unwrap_or_default();
            let visible = all
                .iter()
                .filter(|topic| self.may(context, Operation::Describe, ResourceType::Topic, topic.name()));
            return response.with_topics(
                visible
                    .map(|topic| self.describe_topic(context, request, topic))
                    .collect(),
            );
        };
        let may_create = self.config.auto_create_topics
            && (version < AUTO_CREATE_FIELD_VERSION || request.allow_auto_topic_creation);
        let topics = asked.iter().map(|topic| match &topic.name {
            // Java names a topic by its id with an empty name beside it.
            _ if version >= TOPIC_ID_VERSION && !topic.topic_id.is_nil() => {
                self.topic_with_id(context, request, topic.topic_id)
            }
            Some(name) => match self.topic_to_describe(context, name, may_create, now_ms) {
                Ok(topic) => self.describe_topic(context, request, &topic),
                Err(code) => {
                    failed(Some(name.clone()), Uuid::nil(), code).with_is_internal(is_internal_topic(name))
                }
            },
            // Neither a name nor an id. Older versions have no null for it.
            None => failed(
                Some(TopicName::default()),
                topic.topic_id,
                ResponseError::InvalidRequest.code(),
            ),
        });
        response.with_topics(topics.collect())
    }

    /// The topic of this name, or the code of the error; one that is created for the occasion is told of from the next time
    /// on, as by Kafka, whose clients ask again.
    fn topic_to_describe(
        &self,
        context: &RequestContext,
        name: &TopicName,
        may_create: bool,
        now_ms: i64,
    ) -> Result<Arc<Topic>, i16> {
        let unauthorized = ResponseError::TopicAuthorizationFailed.code();
        if !self.may(context, Operation::Describe, ResourceType::Topic, name) {
            return Err(unauthorized);
        }
        let unknown = match self.topics.topic(name) {
            Err(error @ TopicError::UnknownTopic { .. }) => error,
            found => return found.map_err(|error| error.error_code()),
        };
        if let Err(error) = validate_name(name) {
            return Err(error.error_code());
        }
        if !may_create || is_internal_topic(name) {
            return Err(unknown.error_code());
        }
        if !self.may_on_cluster(context, Operation::Create)
            && !self.may(context, Operation::Create, ResourceType::Topic, name)
        {
            return Err(unauthorized);
        }
        let partitions = self.config.default_partitions;
        let mut quota = self.mutation_quota(context, 0, now_ms);
        if quota.record(usize::try_from(partitions).unwrap_or(0)).is_err() {
            return Err(unknown.error_code());
        }
        match self
            .topics
            .create_topic(name, partitions, &BTreeMap::new(), now_ms)
        {
            // Two clients asked at once: it is there for the second too.
            Ok(_) | Err(TopicError::TopicAlreadyExists { .. }) => Err(unknown.error_code()),
            Err(error) => Err(error.error_code()),
        }
    }

    fn topic_with_id(
        &self,
        context: &RequestContext,
        request: &MetadataRequest,
        id: Uuid,
    ) -> MetadataResponseTopic {
        match self.topics.topic_by_id(id) {
            Ok(topic) if self.may(context, Operation::Describe, ResourceType::Topic, topic.name()) => {
                self.describe_topic(context, request, &topic)
            }
            Ok(_) => failed(None, id, ResponseError::TopicAuthorizationFailed.code()),
            Err(_) => failed(None, id, ResponseError::UnknownTopicId.code()),
        }
    }

    fn describe_topic(
        &self,
        context: &RequestContext,
        request: &MetadataRequest,
        topic: &Arc<Topic>,
    ) -> MetadataResponseTopic {
        let node = BrokerId(self.config.node_id);
        let partitions = (0..topic.partitions().len() as i32).map(|index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(node)
                .with_leader_epoch(topic.leader_epoch())
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node])
        });
        let operations = if request.include_topic_authorized_operations {
            self.authorized_operations(context, ResourceType::Topic, topic.name())
        } else {
            OPERATIONS_NOT_REQUESTED
        };
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(text(topic.name()))))
            .with_topic_id(topic.id())
            .with_is_internal(is_internal_topic(topic.name()))
            .with_partitions(partitions.collect())
            .with_topic_authorized_operations(operations)
    }

    pub(super) fn find_coordinator(
        &self,
        context: &RequestContext,
        request: &FindCoordinatorRequest,
    ) -> FindCoordinatorResponse {
        let version = context.version;
        let (own_host, own_port) = self.advertised(context);
        // 0 is a group, 1 a transactional id; anything else this broker does not coordinate.
        let known_type = matches!(request.key_type, 0 | 1);
        let error_code = if known_type {
            0
        } else {
            ResponseError::InvalidRequest.code()
        };
        let node_id = BrokerId(if known_type { self.config.node_id } else { -1 });
        let host = if known_type {
            text(own_host)
        } else {
            StrBytes::default()
        };
        let port = if known_type { own_port } else { -1 };
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
