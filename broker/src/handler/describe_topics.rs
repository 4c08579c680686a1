//! DescribeTopicPartitions: topics a page at a time, each partition with what clients need of it.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};

use super::{Broker, RequestContext, text};
use crate::acl::{Operation, ResourceType};
use crate::coordinator_records::is_internal_topic;
use crate::topic::Topic;

/// "Not requested" in `authorized_operations`.
const OPERATIONS_NOT_REQUESTED: i32 = i32::MIN;

impl Broker {
    pub(super) fn describe_topic_partitions(
        &self,
        context: &RequestContext,
        request: &DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        let every = request.topics.is_empty();
        let mut names: BTreeSet<String> = if every {
            let topics = self.topics.list().unwrap_or_default();
            topics.iter().map(|topic| topic.name().to_owned()).collect()
        } else {
            request
                .topics
                .iter()
                .map(|topic| topic.name.to_string())
                .collect()
        };
        if let Some(cursor) = &request.cursor {
            names = names.split_off(cursor.topic_name.as_str());
        }
        let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
        let mut left = limit.clamp(1, self.config.max_described_partitions.max(1));
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names {
            if !self.may(context, Operation::Describe, ResourceType::Topic, &name) {
                if !every {
                    let error = ResponseError::TopicAuthorizationFailed;
                    response.topics.push(failed(&name, error.code()));
                }
                continue;
            }
            let first = match &request.cursor {
                Some(cursor) if cursor.topic_name.as_str() == name => cursor.partition_index.max(0) as usize,
                _ => 0,
            };
            if left == 0 {
                response.next_cursor = Some(cursor(&name, 0));
                break;
            }
            match self.topics.topic(&name) {
                Ok(topic) => {
                    let end = topic.partitions().len().min(first.saturating_add(left));
                    response
                        .topics
                        .push(self.describe_partitions(context, &topic, first, end));
                    if end < topic.partitions().len() {
                        response.next_cursor = Some(cursor(&name, end));
                        break;
                    }
                    left -= end.saturating_sub(first);
                }
                // Deleted since it was listed.
                Err(_) if every => {}
                Err(error) => {
                    let code = match crate::topic::validate_name(&name) {
                        Ok(()) => error.error_code(),
                        Err(error) => error.error_code(),
                    };
                    response.topics.push(failed(&name, code));
                }
            }
        }
        response
    }

    fn describe_partitions(
        &self,
        context: &RequestContext,
        topic: &Topic,
        first: usize,
        end: usize,
    ) -> DescribeTopicPartitionsResponseTopic {
        let node = BrokerId(self.config.node_id);
        let partition = |index: usize| {
            DescribeTopicPartitionsResponsePartition::default()
                .with_partition_index(index as i32)
                .with_leader_id(node)
                .with_leader_epoch(topic.leader_epoch())
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node])
                // Java's Admin fails on null.
                .with_eligible_leader_replicas(Some(Vec::new()))
                .with_last_known_elr(Some(Vec::new()))
        };
        let operations = self.authorized_operations(context, ResourceType::Topic, topic.name());
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(TopicName(text(topic.name()))))
            .with_topic_id(topic.id())
            .with_is_internal(is_internal_topic(topic.name()))
            .with_partitions((first..end).map(partition).collect())
            .with_topic_authorized_operations(operations)
    }
}

fn cursor(topic: &str, partition: usize) -> Cursor {
    Cursor::default()
        .with_topic_name(TopicName(text(topic)))
        .with_partition_index(partition as i32)
}

fn failed(name: &str, code: i16) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(text(name))))
        .with_error_code(code)
        .with_topic_authorized_operations(OPERATIONS_NOT_REQUESTED)
}
