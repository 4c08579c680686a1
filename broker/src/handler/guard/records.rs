//! Writing, reading and deleting records.

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, FetchRequest, ListOffsetsRequest, ListOffsetsResponse,
    ProduceRequest, ProduceResponse,
};

use super::{TOPIC_DENIED, TRANSACTIONAL_ID_DENIED, take_denied};
use crate::acl::Operation;
use crate::handler::fetch_answer::{PartitionAnswer, TopicAnswer};
use crate::handler::produce::lacks_transactional_id;
use crate::handler::{Broker, Refusal, RequestContext, Response};

impl Broker {
    pub(super) fn guard_produce(
        &self,
        context: &RequestContext,
        mut request: ProduceRequest,
        now_ms: i64,
    ) -> Response {
        if lacks_transactional_id(&request) {
            return Response::Produce(self.answer(context, request, now_ms));
        }
        let may_transact = |id: &str| self.may_transact(context, Operation::Write, id);
        if request
            .transactional_id
            .as_ref()
            .is_some_and(|id| !may_transact(id))
        {
            let denied = denied_produce(&request.topic_data, TRANSACTIONAL_ID_DENIED);
            return Response::Produce(ProduceResponse::default().with_responses(denied));
        }
        let denied = take_denied(&mut request.topic_data, |topic| {
            let name = self.name_of(&topic.name, topic.topic_id);
            name.is_none_or(|name| self.may_topic(context, Operation::Write, &name))
        });
        let denied = denied_produce(&denied, TOPIC_DENIED);
        let mut response: ProduceResponse = self.answer(context, request, now_ms);
        response.responses.extend(denied);
        Response::Produce(response)
    }

    /// Takes the topics out of a Fetch that its sender may not read; answers what to say of them.
    pub(crate) fn take_unreadable(
        &self,
        context: &RequestContext,
        request: &mut FetchRequest,
    ) -> Vec<TopicAnswer> {
        if !self.enforces_acls(context) {
            return Vec::new();
        }
        let denied = take_denied(&mut request.topics, |topic| {
            let name = self.name_of(&topic.topic, topic.topic_id);
            name.is_none_or(|name| self.may_topic(context, Operation::Read, &name))
        });
        let refusal = || Refusal {
            code: TOPIC_DENIED,
            message: String::new(),
        };
        let answers = denied.into_iter().map(|topic| {
            let partitions = topic.partitions.iter();
            TopicAnswer {
                partitions: partitions
                    .map(|partition| PartitionAnswer::new(partition.partition, Err(refusal())))
                    .collect(),
                name: topic.topic,
                id: topic.topic_id,
            }
        });
        answers.collect()
    }

    pub(super) fn guard_list_offsets(
        &self,
        context: &RequestContext,
        mut request: ListOffsetsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.topics, |topic| {
            self.may_topic(context, Operation::Describe, &topic.name)
        });
        let mut response: ListOffsetsResponse = self.answer(context, request, now_ms);
        response.topics.extend(denied.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(TOPIC_DENIED)
            });
            ListOffsetsTopicResponse::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        }));
        Response::ListOffsets(response)
    }

    pub(super) fn guard_delete_records(
        &self,
        context: &RequestContext,
        mut request: DeleteRecordsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.topics, |topic| {
            self.may_topic(context, Operation::Delete, &topic.name)
        });
        let mut response: DeleteRecordsResponse = self.answer(context, request, now_ms);
        response.topics.extend(denied.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(partition.partition_index)
                    .with_low_watermark(-1)
                    .with_error_code(TOPIC_DENIED)
            });
            DeleteRecordsTopicResult::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        }));
        Response::DeleteRecords(response)
    }
}

fn denied_produce(topics: &[TopicProduceData], code: i16) -> Vec<TopicProduceResponse> {
    let denied = topics.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(code)
                .with_base_offset(-1)
        });
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions.collect())
    });
    denied.collect()
}
