//! DescribeClientQuotas and AlterClientQuotas: limits of users, clients and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::{self, OpData};
use kafka_protocol::messages::alter_client_quotas_response;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
};

use super::{Broker, Refusal, RequestContext, text};
use crate::acl::Operation;
use crate::cluster::{Change, ClientQuota, ClusterState, MAX_ENTRIES, QuotaEntity};
use crate::quota::{self, CLIENT_ID, IP, Quotas, Rate, USER};

/// How a part of an entity is asked for.
const EXACTLY: i8 = 0;
const DEFAULT: i8 = 1;
const ANY_NAME: i8 = 2;

impl Broker {
    /// Counts bytes that a client produced or fetched, or percents of a thread's second that it took; answers for how many
    /// milliseconds it must be quiet, which the response says too.
    pub fn throttle_ms(&self, context: &RequestContext, rate: Rate, amount: f64, now_ms: i64) -> i32 {
        let cluster = self.cluster.current();
        if cluster.limits().is_empty() {
            return 0;
        }
        let mut used = self.lock_quotas();
        used.record(cluster.limits(), rate, whom(context), amount, now_ms)
    }

    /// The most bytes that a client should be sent at once: with more it would be held back for longer than what is measured,
    /// and take the broker for gone.
    pub fn most_fetch_bytes(&self, context: &RequestContext) -> Option<i32> {
        let cluster = self.cluster.current();
        if cluster.limits().is_empty() {
            return None;
        }
        let most = self
            .lock_quotas()
            .most(cluster.limits(), Rate::Fetch, whom(context))?;
        Some(most as i32)
    }

    /// Whether it has to be measured how long requests take.
    pub fn limits_requests(&self) -> bool {
        let cluster = self.cluster.current();
        !cluster.limits().is_empty() && cluster.limits().has(Rate::Request)
    }

    /// The limit on changes of topics, for one request; from `strict_version` on it is refused what is over it.
    pub(super) fn mutation_quota<'a>(
        &'a self,
        context: &'a RequestContext,
        strict_version: i16,
        now_ms: i64,
    ) -> MutationQuota<'a> {
        MutationQuota {
            broker: self,
            context,
            is_strict: context.version >= strict_version,
            now_ms,
            throttle_ms: 0,
        }
    }

    fn lock_quotas(&self) -> MutexGuard<'_, Quotas> {
        // Only counts are kept under the lock: they are whole whatever their holder did.
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn describe_client_quotas(
        &self,
        context: &RequestContext,
        request: &DescribeClientQuotasRequest,
    ) -> DescribeClientQuotasResponse {
        let checked = self
            .check_on_cluster(context, Operation::DescribeConfigs)
            .and_then(|()| check_components(&request.components));
        if let Err(refusal) = checked {
            return DescribeClientQuotasResponse::default()
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message)))
                .with_entries(None);
        }
        let cluster = self.cluster.current();
        let is_wanted = |quota: &&ClientQuota| {
            let parts = &request.components;
            parts.iter().all(|part| matches(part, &quota.entity))
                && (!request.strict || quota.entity.len() == parts.len())
        };
        let entries = cluster.quotas.iter().filter(is_wanted).map(|quota| {
            let entity = quota.entity.iter().map(|(kind, name)| {
                EntityData::default()
                    .with_entity_type(text(kind))
                    .with_entity_name(name.as_deref().map(text))
            });
            let values = quota
                .limits
                .iter()
                .map(|(key, value)| ValueData::default().with_key(text(key)).with_value(*value));
            EntryData::default()
                .with_entity(entity.collect())
                .with_values(values.collect())
        });
        DescribeClientQuotasResponse::default().with_entries(Some(entries.collect()))
    }

    pub(super) fn alter_client_quotas(
        &self,
        context: &RequestContext,
        request: &AlterClientQuotasRequest,
    ) -> AlterClientQuotasResponse {
        let allowed = self.check_on_cluster(context, Operation::AlterConfigs);
        let kept = if request.validate_only {
            Change::Discard
        } else {
            Change::Keep
        };
        let mut seen = BTreeSet::new();
        let mut response = AlterClientQuotasResponse::default();
        for entry in &request.entries {
            let altered = allowed.clone().and_then(|()| {
                let entity = entity(entry)?;
                if !seen.insert(entity.clone()) {
                    return Err(invalid("the entity is there more than once"));
                }
                self.cluster.update(|state| {
                    alter(state, &entity, &entry.ops)?;
                    Ok(((), kept))
                })
            });
            let parts = entry.entity.iter().map(|part| {
                alter_client_quotas_response::EntityData::default()
                    .with_entity_type(part.entity_type.clone())
                    .with_entity_name(part.entity_name.clone())
            });
            let result = alter_client_quotas_response::EntryData::default().with_entity(parts.collect());
            response.entries.push(match altered {
                Ok(()) => result,
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            });
        }
        response
    }
}

/// What a request may still change of topics, see [`Broker::mutation_quota`].
pub(super) struct MutationQuota<'a> {
    broker: &'a Broker,
    context: &'a RequestContext,
    is_strict: bool,
    now_ms: i64,
    /// For how long its client should ask for nothing more.
    pub(super) throttle_ms: i32,
}

impl MutationQuota<'_> {
    /// Counts partitions that are about to be created or deleted.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED: there were too many already.
    pub(super) fn record(&mut self, partitions: usize) -> Result<(), Refusal> {
        let cluster = self.broker.cluster.current();
        if cluster.limits().is_empty() {
            return Ok(());
        }
        let mut used = self.broker.lock_quotas();
        let client = whom(self.context);
        let throttle_ms = used.change(cluster.limits(), client, partitions, self.is_strict, self.now_ms);
        self.throttle_ms = self.throttle_ms.max(throttle_ms);
        if throttle_ms == 0 || !self.is_strict {
            return Ok(());
        }
        let message = format!(
            "the limit controller_mutation_rate is reached: ask again in {throttle_ms} ms, or have it raised"
        );
        Err(Refusal::new(ResponseError::ThrottlingQuotaExceeded, message))
    }
}

/// User and client id, as quotas name them.
fn whom(context: &RequestContext) -> (&str, &str) {
    let principal = context.principal.as_str();
    let user = principal.strip_prefix("User:").unwrap_or(principal);
    (user, context.client.id.as_str())
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, message)
}

fn check_components(components: &[ComponentData]) -> Result<(), Refusal> {
    let mut kinds = BTreeSet::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return Err(invalid("a type of entity is empty"));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            let message = format!("there are quotas of {USER}, {CLIENT_ID} and {IP}, and none of {kind}");
            return Err(Refusal::new(ResponseError::UnsupportedVersion, message));
        }
        if !kinds.insert(kind) {
            return Err(invalid(format!("{kind} is asked for more than once")));
        }
        if !matches!(component.match_type, EXACTLY | DEFAULT | ANY_NAME) {
            return Err(invalid(format!(
                "there is no match type {}",
                component.match_type
            )));
        }
    }
    if kinds.contains(IP) && kinds.len() > 1 {
        return Err(invalid("no quota is of an address and of something else"));
    }
    Ok(())
}

fn matches(part: &ComponentData, entity: &QuotaEntity) -> bool {
    let Some(name) = entity.get(part.entity_type.as_str()) else {
        return false;
    };
    match part.match_type {
        EXACTLY => name.as_deref() == part._match.as_deref(),
        DEFAULT => name.is_none(),
        _ => true,
    }
}

fn entity(entry: &alter_client_quotas_request::EntryData) -> Result<QuotaEntity, Refusal> {
    let mut entity = QuotaEntity::new();
    for part in &entry.entity {
        let kind = part.entity_type.as_str();
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            return Err(invalid(format!(
                "there are quotas of {USER}, {CLIENT_ID} and {IP}, and none of {kind:?}"
            )));
        }
        if part.entity_name.as_deref() == Some("") {
            return Err(invalid(format!("the name of the {kind} is empty")));
        }
        let name = part.entity_name.as_ref().map(ToString::to_string);
        if entity.insert(kind.to_owned(), name).is_some() {
            return Err(invalid(format!("{kind} is there more than once")));
        }
    }
    if entity.is_empty() {
        return Err(invalid("the entity is empty"));
    }
    if entity.contains_key(IP) && entity.len() > 1 {
        return Err(invalid("a quota is of an address, or of a user and a client"));
    }
    if let Some(Some(address)) = entity.get(IP)
        && address.parse::<std::net::IpAddr>().is_err()
    {
        return Err(invalid(format!("{address:?} is no address")));
    }
    Ok(entity)
}

fn alter(state: &mut ClusterState, entity: &QuotaEntity, operations: &[OpData]) -> Result<(), Refusal> {
    let place = state.quotas.iter().position(|quota| quota.entity == *entity);
    let mut limits = place.map_or_else(BTreeMap::new, |index| state.quotas[index].limits.clone());
    for operation in operations {
        let key = operation.key.as_str();
        if operation.remove {
            limits.remove(key);
            continue;
        }
        quota::check_limit(entity, key, operation.value).map_err(invalid)?;
        limits.insert(key.to_owned(), operation.value);
    }
    match place {
        Some(index) if limits.is_empty() => {
            state.quotas.remove(index);
        }
        Some(index) => state.quotas[index].limits = limits,
        None if limits.is_empty() => {}
        None => state.quotas.push(ClientQuota {
            entity: entity.clone(),
            limits,
        }),
    }
    if state.quotas.len() > MAX_ENTRIES {
        let message = format!("there are {MAX_ENTRIES} quotas, which is the most that are kept");
        return Err(Refusal::new(ResponseError::PolicyViolation, message));
    }
    Ok(())
}
