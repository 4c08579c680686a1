//! DescribeAcls, CreateAcls and DeleteAcls. Without an authorizer nothing would come of rules: SECURITY_DISABLED.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};

use super::{Broker, Refusal, RequestContext, text};
use crate::acl::{Acl, AclFilter, FilterParts, Operation, PatternType, Permission, ResourceType};
use crate::cluster::{Change, MAX_ENTRIES};

impl Broker {
    pub(super) fn describe_acls(
        &self,
        context: &RequestContext,
        request: &DescribeAclsRequest,
    ) -> DescribeAclsResponse {
        match self.matching_acls(context, request) {
            Ok(resources) => DescribeAclsResponse::default().with_resources(resources),
            Err(refusal) => DescribeAclsResponse::default()
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message))),
        }
    }

    fn matching_acls(
        &self,
        context: &RequestContext,
        request: &DescribeAclsRequest,
    ) -> Result<Vec<DescribeAclsResource>, Refusal> {
        self.check_acls_are_kept(context, Operation::Describe)?;
        let filter = filter(FilterParts {
            resource_type: request.resource_type_filter,
            name: request.resource_name_filter.as_deref(),
            pattern_type: request.pattern_type_filter,
            principal: request.principal_filter.as_deref(),
            host: request.host_filter.as_deref(),
            operation: request.operation,
            permission: request.permission_type,
        })?;
        let cluster = self.cluster.current();
        let mut by_resource: BTreeMap<_, Vec<AclDescription>> = BTreeMap::new();
        for acl in cluster.acls.iter().filter(|acl| filter.matches(acl)) {
            let resource = (acl.resource_type, &acl.name, acl.pattern_type);
            by_resource.entry(resource).or_default().push(
                AclDescription::default()
                    .with_principal(text(&acl.principal))
                    .with_host(text(&acl.host))
                    .with_operation(acl.operation.code())
                    .with_permission_type(acl.permission.code()),
            );
        }
        let described = by_resource
            .into_iter()
            .map(|((resource_type, name, pattern_type), acls)| {
                DescribeAclsResource::default()
                    .with_resource_type(resource_type.code())
                    .with_resource_name(text(name))
                    .with_pattern_type(pattern_type.code())
                    .with_acls(acls)
            });
        Ok(described.collect())
    }

    pub(super) fn create_acls(
        &self,
        context: &RequestContext,
        request: &CreateAclsRequest,
    ) -> CreateAclsResponse {
        let asked: Vec<Result<Acl, Refusal>> = request.creations.iter().map(created).collect();
        let written = self
            .check_acls_are_kept(context, Operation::Alter)
            .and_then(|()| {
                self.cluster.update(|state| {
                    state.acls.extend(asked.iter().flatten().cloned());
                    if state.acls.len() > MAX_ENTRIES {
                        let message = format!(
                            "there would be more than {MAX_ENTRIES} rules, which is the most that are kept"
                        );
                        return Err(Refusal::new(ResponseError::PolicyViolation, message));
                    }
                    Ok(((), Change::Keep))
                })
            });
        let results = asked
            .into_iter()
            .map(|acl| match written.clone().and_then(|()| acl.map(|_| ())) {
                Ok(()) => AclCreationResult::default(),
                Err(refusal) => AclCreationResult::default()
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            });
        CreateAclsResponse::default().with_results(results.collect())
    }

    pub(super) fn delete_acls(
        &self,
        context: &RequestContext,
        request: &DeleteAclsRequest,
    ) -> DeleteAclsResponse {
        let results = request
            .filters
            .iter()
            .map(|filter| match self.delete_matching(context, filter) {
                Ok(deleted) => DeleteAclsFilterResult::default()
                    .with_matching_acls(deleted.iter().map(deleted_acl).collect()),
                Err(refusal) => DeleteAclsFilterResult::default()
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            });
        DeleteAclsResponse::default().with_filter_results(results.collect())
    }

    fn delete_matching(
        &self,
        context: &RequestContext,
        asked: &DeleteAclsFilter,
    ) -> Result<Vec<Acl>, Refusal> {
        self.check_acls_are_kept(context, Operation::Alter)?;
        let filter = filter(FilterParts {
            resource_type: asked.resource_type_filter,
            name: asked.resource_name_filter.as_deref(),
            pattern_type: asked.pattern_type_filter,
            principal: asked.principal_filter.as_deref(),
            host: asked.host_filter.as_deref(),
            operation: asked.operation,
            permission: asked.permission_type,
        })?;
        self.cluster.update(|state| {
            let deleted: Vec<Acl> = state
                .acls
                .iter()
                .filter(|acl| filter.matches(acl))
                .cloned()
                .collect();
            state.acls.retain(|acl| !filter.matches(acl));
            let change = if deleted.is_empty() {
                Change::Discard
            } else {
                Change::Keep
            };
            Ok((deleted, change))
        })
    }

    fn check_acls_are_kept(&self, context: &RequestContext, operation: Operation) -> Result<(), Refusal> {
        if !self.config.security.authorizer {
            let message =
                "no authorizer is configured: set authorizer.class.name for rules to be kept and enforced";
            return Err(Refusal::new(ResponseError::SecurityDisabled, message));
        }
        self.check_on_cluster(context, operation)
    }
}

fn filter(parts: FilterParts<'_>) -> Result<AclFilter, Refusal> {
    AclFilter::new(parts).map_err(|message| Refusal::new(ResponseError::InvalidRequest, message))
}

fn created(asked: &AclCreation) -> Result<Acl, Refusal> {
    let invalid = |message: String| Refusal::new(ResponseError::InvalidRequest, message);
    let no_number = |what: &str, code: i8| invalid(format!("a rule cannot have the {what} {code}"));
    let acl = Acl {
        resource_type: ResourceType::from_code(asked.resource_type)
            .ok_or_else(|| no_number("resource type", asked.resource_type))?,
        name: asked.resource_name.to_string(),
        pattern_type: PatternType::from_code(asked.resource_pattern_type)
            .ok_or_else(|| no_number("pattern type", asked.resource_pattern_type))?,
        principal: asked.principal.to_string(),
        host: asked.host.to_string(),
        operation: Operation::from_code(asked.operation)
            .ok_or_else(|| no_number("operation", asked.operation))?,
        permission: Permission::from_code(asked.permission_type)
            .ok_or_else(|| no_number("permission", asked.permission_type))?,
    };
    acl.validate().map_err(invalid)?;
    Ok(acl)
}

fn deleted_acl(acl: &Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_resource_type(acl.resource_type.code())
        .with_resource_name(text(&acl.name))
        .with_pattern_type(acl.pattern_type.code())
        .with_principal(text(&acl.principal))
        .with_host(text(&acl.host))
        .with_operation(acl.operation.code())
        .with_permission_type(acl.permission.code())
}
