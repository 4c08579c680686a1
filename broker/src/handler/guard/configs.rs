//! Configs of topics, groups and brokers.

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlterResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};

use super::{CLUSTER_DENIED, GROUP_DENIED, TOPIC_DENIED, take_denied};
use crate::acl::Operation;
use crate::handler::configs::ResourceType;
use crate::handler::{Broker, RequestContext, Response};

impl Broker {
    pub(super) fn guard_describe_configs(
        &self,
        context: &RequestContext,
        mut request: DescribeConfigsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.resources, |resource| {
            let (code, name) = (resource.resource_type, &resource.resource_name);
            self.may_config(context, Operation::DescribeConfigs, code, name)
        });
        let mut response: DescribeConfigsResponse = self.answer(context, request, now_ms);
        response.results.extend(denied.into_iter().map(|resource| {
            DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(denied_code(resource.resource_type))
        }));
        Response::DescribeConfigs(response)
    }

    pub(super) fn guard_alter_configs(
        &self,
        context: &RequestContext,
        mut request: AlterConfigsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.resources, |resource| {
            let (code, name) = (resource.resource_type, &resource.resource_name);
            self.may_config(context, Operation::AlterConfigs, code, name)
        });
        let mut response: AlterConfigsResponse = self.answer(context, request, now_ms);
        response.responses.extend(denied.into_iter().map(|resource| {
            AlterResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(denied_code(resource.resource_type))
        }));
        Response::AlterConfigs(response)
    }

    pub(super) fn guard_incremental_alter_configs(
        &self,
        context: &RequestContext,
        mut request: IncrementalAlterConfigsRequest,
        now_ms: i64,
    ) -> Response {
        let denied = take_denied(&mut request.resources, |resource| {
            let (code, name) = (resource.resource_type, &resource.resource_name);
            self.may_config(context, Operation::AlterConfigs, code, name)
        });
        let mut response: IncrementalAlterConfigsResponse = self.answer(context, request, now_ms);
        response.responses.extend(denied.into_iter().map(|resource| {
            IncrementalResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(denied_code(resource.resource_type))
        }));
        Response::IncrementalAlterConfigs(response)
    }

    pub(super) fn guard_list_config_resources(
        &self,
        context: &RequestContext,
        request: ListConfigResourcesRequest,
        now_ms: i64,
    ) -> Response {
        if self.may_on_cluster(context, Operation::DescribeConfigs) {
            return Response::ListConfigResources(self.answer(context, request, now_ms));
        }
        Response::ListConfigResources(ListConfigResourcesResponse::default().with_error_code(CLUSTER_DENIED))
    }

    fn may_config(&self, context: &RequestContext, operation: Operation, code: i8, name: &str) -> bool {
        match ResourceType::of(code) {
            Ok(ResourceType::Topic) => self.may_topic(context, operation, name),
            Ok(ResourceType::Group) => self.may_group(context, operation, name),
            // What is no resource is refused as such.
            Err(_) => true,
            Ok(_) => self.may_on_cluster(context, operation),
        }
    }
}

fn denied_code(resource_type: i8) -> i16 {
    match ResourceType::of(resource_type) {
        Ok(ResourceType::Topic) => TOPIC_DENIED,
        Ok(ResourceType::Group) => GROUP_DENIED,
        _ => CLUSTER_DENIED,
    }
}
