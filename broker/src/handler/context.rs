//! What comes with a request, and what becomes of it.

use std::sync::Arc;

use super::{Parked, Response};
use crate::group::Client;

/// What is known of a request beside its body.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Version of the request: some rules and fields depend on it.
    pub version: i16,
    /// Who asks.
    pub client: Client,
    /// As whom it authenticated.
    pub principal: Principal,
    /// Name of the listener it came through; None in process.
    pub listener: Option<Arc<str>>,
}

impl RequestContext {
    /// A request of somebody who did not authenticate.
    pub fn new(version: i16, client: Client) -> Self {
        Self {
            version,
            client,
            principal: Principal::anonymous(),
            listener: None,
        }
    }
}

/// As whom a client authenticated: `User:alice`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Who did not authenticate: `User:ANONYMOUS`.
    pub fn anonymous() -> Self {
        Self::user("ANONYMOUS")
    }

    /// The user of this name.
    pub fn user(name: &str) -> Self {
        Self(format!("User:{name}").into())
    }

    /// `User:name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The answer.
    Ready(Response),
    /// The answer comes later: a member waits for the rest of its group.
    Parked(Parked),
}
