//! Whether somebody may do something: the configured authorizer's answer, in the words of the handler.

use std::sync::Arc;

use super::{Broker, Principal, Refusal, RequestContext};
use crate::acl::{CLUSTER_NAME, Decision, Operation, ResourceType};
use crate::cluster::ClusterState;
use crate::group::{IN_PROCESS_HOST, Viewer};

/// Who asks, with the rules of that moment: for where the request is not at hand.
#[derive(Debug)]
pub(super) struct Asker {
    cluster: Arc<ClusterState>,
    principal: Principal,
    host: String,
    may_what_no_rule_is_about: bool,
}

impl Asker {
    fn may(&self, operation: Operation, resource_type: ResourceType, name: &str) -> bool {
        let rules = self.cluster.authorizer();
        let decision = rules.decide(
            self.principal.as_str(),
            &self.host,
            operation,
            resource_type,
            name,
        );
        is_yes(decision, self.may_what_no_rule_is_about)
    }

    /// Whether who asks may make a topic of this name.
    pub(super) fn may_create(&self, topic: &str) -> bool {
        self.may(Operation::Create, ResourceType::Cluster, CLUSTER_NAME)
            || self.may(Operation::Create, ResourceType::Topic, topic)
    }
}

impl Viewer for Asker {
    fn may_see(&self, topic: &str) -> bool {
        self.may(Operation::Describe, ResourceType::Topic, topic)
    }
}

impl Broker {
    /// Whether rules hold for this request at all: not without an authorizer, nor for the process's own.
    pub(super) fn enforces_acls(&self, context: &RequestContext) -> bool {
        self.config.security.authorizer && context.client.host != IN_PROCESS_HOST
    }

    /// Who asks; None who may do everything.
    pub(super) fn asker(&self, context: &RequestContext) -> Option<Arc<Asker>> {
        (!self.is_free(context)).then(|| {
            Arc::new(Asker {
                cluster: self.cluster.current(),
                principal: context.principal.clone(),
                host: host_of(context).to_owned(),
                may_what_no_rule_is_about: self.config.security.allow_everyone_if_no_acl_found,
            })
        })
    }

    /// Whether who asks may do this.
    pub(super) fn may(
        &self,
        context: &RequestContext,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> bool {
        self.is_free(context) || {
            let cluster = self.cluster.current();
            let (principal, host) = (context.principal.as_str(), host_of(context));
            let decision = cluster
                .authorizer()
                .decide(principal, host, operation, resource_type, name);
            self.is_yes(decision)
        }
    }

    /// Whether who asks may do this on any resource of the type.
    pub(super) fn may_on_any(
        &self,
        context: &RequestContext,
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        self.is_free(context) || {
            let cluster = self.cluster.current();
            let (principal, host) = (context.principal.as_str(), host_of(context));
            self.is_yes(
                cluster
                    .authorizer()
                    .decide_any(principal, host, operation, resource_type),
            )
        }
    }

    /// Whether who asks may do this on the cluster.
    pub(super) fn may_on_cluster(&self, context: &RequestContext, operation: Operation) -> bool {
        self.may(context, operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    /// As [`may_on_cluster`](Self::may_on_cluster), with the error of who may not.
    pub(super) fn check_on_cluster(
        &self,
        context: &RequestContext,
        operation: Operation,
    ) -> Result<(), Refusal> {
        if self.may_on_cluster(context, operation) {
            return Ok(());
        }
        let principal = context.principal.as_str();
        let message = format!("{principal} may not do this: it takes {operation:?} on the cluster");
        Err(Refusal::new(ResourceType::Cluster.refusal(), message))
    }

    /// Everything who asks may do on a resource, one bit for each operation.
    pub(super) fn authorized_operations(
        &self,
        context: &RequestContext,
        resource_type: ResourceType,
        name: &str,
    ) -> i32 {
        let operations = resource_type.operations().iter();
        operations
            .filter(|operation| self.may(context, **operation, resource_type, name))
            .fold(0, |bits, operation| bits | 1 << operation.code())
    }

    /// Everything who asks may do on a group.
    pub(super) fn group_operations(&self, context: &RequestContext, group: &str) -> i32 {
        self.authorized_operations(context, ResourceType::Group, group)
    }

    fn is_free(&self, context: &RequestContext) -> bool {
        let is_super = |user: &String| user == context.principal.as_str();
        !self.enforces_acls(context) || self.config.security.super_users.iter().any(is_super)
    }

    fn is_yes(&self, decision: Decision) -> bool {
        is_yes(decision, self.config.security.allow_everyone_if_no_acl_found)
    }
}

fn is_yes(decision: Decision, may_what_no_rule_is_about: bool) -> bool {
    match decision {
        Decision::Allowed => true,
        Decision::Denied => false,
        Decision::NoRule => may_what_no_rule_is_about,
    }
}

/// The address in rules is that of the client, which comes with a slash before it.
fn host_of(context: &RequestContext) -> &str {
    context.client.host.trim_start_matches('/')
}
