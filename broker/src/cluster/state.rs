//! The content of `cluster.json`.

use std::collections::{BTreeMap, BTreeSet};

use crate::acl::{Acl, Authorizer};
use crate::quota::QuotaLimits;
use crate::sasl::scram::{ScramCredential, ScramMechanism};
use serde::{Deserialize, Serialize};

/// Format of the file that this program writes.
const FORMAT_VERSION: u32 = 1;
/// Most entries of each kind: groups with configs, quotas, users, ACLs. The file is written as a whole.
pub const MAX_ENTRIES: usize = 20_000;

/// Configs by name.
pub type Configs = BTreeMap<String, String>;

/// Whom a quota is for: `user`, `client-id`, `ip`, each with a name or, without one, for all who have none of their own.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// Limits of some clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientQuota {
    /// Whose.
    pub entity: QuotaEntity,
    /// Kafka's names and values, for example `producer_byte_rate`.
    pub limits: BTreeMap<String, f64>,
}

/// Everything administrators decided.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterState {
    version: u32,
    /// Dynamic configs that hold for every broker.
    pub broker_defaults: Configs,
    /// Dynamic configs of single brokers.
    pub brokers: BTreeMap<i32, Configs>,
    /// Configs of groups.
    pub groups: BTreeMap<String, Configs>,
    /// Access rules.
    pub acls: BTreeSet<Acl>,
    /// Credentials of users, by name and mechanism.
    pub users: BTreeMap<String, BTreeMap<ScramMechanism, ScramCredential>>,
    /// Limits of clients, by whom they are for.
    pub quotas: Vec<ClientQuota>,
    /// The rules, as they are looked up.
    #[serde(skip)]
    authorizer: Authorizer,
    /// The quotas, as they are looked up.
    #[serde(skip)]
    limits: QuotaLimits,
}

impl ClusterState {
    pub(super) fn decode(content: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if state.version > FORMAT_VERSION {
            return Err(format!(
                "its format is {}, this program knows {FORMAT_VERSION} and older",
                state.version
            ));
        }
        Ok(state.indexed())
    }

    /// With what is derived from the rest.
    pub(super) fn indexed(mut self) -> Self {
        self.authorizer = Authorizer::new(&self.acls);
        self.limits = QuotaLimits::new(&self.quotas);
        self
    }

    /// The access rules, as they are looked up.
    pub fn authorizer(&self) -> &Authorizer {
        &self.authorizer
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let state = Self {
            version: FORMAT_VERSION,
            ..self.clone()
        };
        serde_json::to_vec_pretty(&state).expect("texts and numbers always have a JSON form")
    }

    /// The quotas, as they are looked up.
    pub fn limits(&self) -> &QuotaLimits {
        &self.limits
    }

    /// The dynamic configs of a broker; None if it has none.
    pub fn broker(&self, id: i32) -> &Configs {
        const NONE: &Configs = &Configs::new();
        self.brokers.get(&id).unwrap_or(NONE)
    }
}
