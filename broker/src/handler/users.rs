//! DescribeUserScramCredentials and AlterUserScramCredentials: users that authenticate with SCRAM.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};

use super::{Broker, Refusal, RequestContext, text};
use crate::acl::Operation;
use crate::cluster::{Change, ClusterState, MAX_ENTRIES};
use crate::sasl::scram::{MAX_ITERATIONS, MIN_ITERATIONS, ScramCredential, ScramMechanism};

/// One thing to do to one credential.
enum Alteration<'a> {
    Delete,
    Upsert(&'a ScramCredentialUpsertion),
}

impl Broker {
    pub(super) fn describe_scram_users(
        &self,
        context: &RequestContext,
        request: &DescribeUserScramCredentialsRequest,
    ) -> DescribeUserScramCredentialsResponse {
        let response = DescribeUserScramCredentialsResponse::default();
        if let Err(refusal) = self.check_on_cluster(context, Operation::Describe) {
            return response
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message)));
        }
        let cluster = self.cluster.current();
        let asked: Vec<&str> = match &request.users {
            Some(users) if !users.is_empty() => users.iter().map(|user| user.name.as_str()).collect(),
            _ => cluster.users.keys().map(String::as_str).collect(),
        };
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for name in asked {
            *times.entry(name).or_default() += 1;
        }
        let results = times.into_iter().map(|(name, times)| {
            let result = DescribeUserScramCredentialsResult::default().with_user(text(name));
            let refused = |error: ResponseError, message: &str| {
                let result = result.clone().with_error_code(error.code());
                result.with_error_message(Some(text(message)))
            };
            match cluster.users.get(name) {
                _ if times > 1 => refused(
                    ResponseError::DuplicateResource,
                    "the user is named more than once",
                ),
                None => refused(ResponseError::ResourceNotFound, "the user has no credentials"),
                Some(credentials) => {
                    let infos = credentials.iter().map(|(mechanism, credential)| {
                        CredentialInfo::default()
                            .with_mechanism(mechanism.code())
                            .with_iterations(credential.iterations)
                    });
                    result.with_credential_infos(infos.collect())
                }
            }
        });
        response.with_results(results.collect())
    }

    /// Of each user everything is done that the request says, or nothing.
    pub(super) fn alter_scram_users(
        &self,
        context: &RequestContext,
        request: &AlterUserScramCredentialsRequest,
    ) -> AlterUserScramCredentialsResponse {
        let mut by_user: BTreeMap<&str, Vec<(i8, Alteration<'_>)>> = BTreeMap::new();
        for deletion in &request.deletions {
            let of_user = by_user.entry(&deletion.name).or_default();
            of_user.push((deletion.mechanism, Alteration::Delete));
        }
        for upsertion in &request.upsertions {
            let of_user = by_user.entry(&upsertion.name).or_default();
            of_user.push((upsertion.mechanism, Alteration::Upsert(upsertion)));
        }
        let allowed = self.check_on_cluster(context, Operation::Alter);
        let results = by_user.iter().map(|(user, alterations)| {
            let altered = allowed.clone().and_then(|()| {
                self.cluster.update(|state| {
                    alter_user(state, user, alterations)?;
                    Ok(((), Change::Keep))
                })
            });
            let result = AlterUserScramCredentialsResult::default().with_user(text(user));
            match altered {
                Ok(()) => result,
                Err::<(), Refusal>(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        AlterUserScramCredentialsResponse::default().with_results(results.collect())
    }
}

fn alter_user(
    state: &mut ClusterState,
    user: &str,
    alterations: &[(i8, Alteration<'_>)],
) -> Result<(), Refusal> {
    if user.is_empty() {
        return Err(Refusal::new(
            ResponseError::UnacceptableCredential,
            "the name of the user is empty",
        ));
    }
    let mut credentials = state.users.remove(user).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for (code, alteration) in alterations {
        let mechanism = ScramMechanism::from_code(*code).ok_or_else(|| {
            let message = format!("there is no SCRAM mechanism {code}");
            Refusal::new(ResponseError::UnsupportedSaslMechanism, message)
        })?;
        if !seen.insert(mechanism) {
            let message = "a credential cannot be altered twice in one request";
            return Err(Refusal::new(ResponseError::DuplicateResource, message));
        }
        match alteration {
            Alteration::Upsert(upsertion) => {
                credentials.insert(mechanism, credential(mechanism, upsertion)?);
            }
            Alteration::Delete if credentials.remove(&mechanism).is_some() => {}
            Alteration::Delete => {
                let message = format!("user {user} has no credential of {}", mechanism.name());
                return Err(Refusal::new(ResponseError::ResourceNotFound, message));
            }
        }
    }
    if !credentials.is_empty() {
        state.users.insert(user.to_owned(), credentials);
    }
    if state.users.len() > MAX_ENTRIES {
        let message = format!("there are {MAX_ENTRIES} users, which is the most that are kept");
        return Err(Refusal::new(ResponseError::PolicyViolation, message));
    }
    Ok(())
}

fn credential(
    mechanism: ScramMechanism,
    upsertion: &ScramCredentialUpsertion,
) -> Result<ScramCredential, Refusal> {
    let iterations = upsertion.iterations;
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
        let message =
            format!("{iterations} iterations are not possible: {MIN_ITERATIONS} to {MAX_ITERATIONS} are");
        return Err(Refusal::new(ResponseError::UnacceptableCredential, message));
    }
    Ok(ScramCredential::new(
        mechanism,
        &upsertion.salt,
        iterations,
        &upsertion.salted_password,
    ))
}
