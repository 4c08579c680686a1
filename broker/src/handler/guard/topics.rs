//! Making, growing and deleting topics.

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::{TOPIC_DENIED, take_denied};
use crate::acl::Operation;
use crate::handler::{Broker, RequestContext, Response, text};

impl Broker {
    pub(super) fn guard_create_topics(
        &self,
        context: &RequestContext,
        mut request: CreateTopicsRequest,
        now_ms: i64,
    ) -> Response {
        let may_all = self.may_on_cluster(context, Operation::Create);
        let denied = take_denied(&mut request.topics, |topic| {
            may_all || self.may_topic(context, Operation::Create, &topic.name)
        });
        let mut response: CreateTopicsResponse = self.answer(context, request, now_ms);
        for topic in &mut response.topics {
            // Who may make a topic may not, for that, see how it is configured.
            if topic.error_code == 0 && !self.may_topic(context, Operation::DescribeConfigs, &topic.name) {
                topic.topic_config_error_code = TOPIC_DENIED;
                topic.num_partitions = -1;
                topic.replication_factor = -1;
                topic.configs = Some(Vec::new());
            }
        }
        response.topics.extend(denied.into_iter().map(|topic| {
            CreatableTopicResult::default()
                .with_name(topic.name)
                .with_error_code(TOPIC_DENIED)
                .with_error_message(Some(text("who asks may not make this topic")))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_configs(Some(Vec::new()))
        }));
        Response::CreateTopics(response)
    }

    pub(super) fn guard_delete_topics(
        &self,
        context: &RequestContext,
        mut request: DeleteTopicsRequest,
        now_ms: i64,
    ) -> Response {
        let may = |name: &str| self.may_topic(context, Operation::Delete, name);
        let denied_names = take_denied(&mut request.topic_names, |name| may(name));
        let denied = take_denied(&mut request.topics, |topic| {
            let name = topic.name.clone().unwrap_or_default();
            self.name_of(&name, topic.topic_id).is_none_or(|name| may(&name))
        });
        let refused = |name: Option<TopicName>, id: Uuid| {
            DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(id)
                .with_error_code(TOPIC_DENIED)
        };
        let mut response: DeleteTopicsResponse = self.answer(context, request, now_ms);
        let denied_names = denied_names
            .into_iter()
            .map(|name| refused(Some(name), Uuid::nil()));
        response.responses.extend(denied_names);
        let denied = denied
            .into_iter()
            .map(|topic| refused(topic.name, topic.topic_id));
        response.responses.extend(denied);
        Response::DeleteTopics(response)
    }

    pub(super) fn guard_create_partitions(
        &self,
        context: &RequestContext,
        mut request: CreatePartitionsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.topics, |topic| {
            self.may_topic(context, Operation::Alter, &topic.name)
        });
        let mut response: CreatePartitionsResponse = self.answer(context, request, now_ms);
        response.results.extend(denied.into_iter().map(|topic| {
            CreatePartitionsTopicResult::default()
                .with_name(topic.name)
                .with_error_code(TOPIC_DENIED)
        }));
        Response::CreatePartitions(response)
    }
}
