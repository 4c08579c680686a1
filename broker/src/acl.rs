//! Access control lists: who may do what on what, as Kafka's StandardAuthorizer decides it. Values only: where they are kept
//! is [`cluster`](crate::cluster)'s business, and what each request needs is the handler's.

mod authorizer;
mod filter;
#[cfg(test)]
mod tests;

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

pub use authorizer::{Authorizer, Decision};
pub use filter::{AclFilter, FilterParts};

/// The name of the one resource of type CLUSTER.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// A resource name that stands for all.
pub const WILDCARD: &str = "*";
/// A principal that stands for all.
pub const WILDCARD_PRINCIPAL: &str = "User:*";

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)* }

        impl $name {
            /// Its number in requests.
            pub fn code(self) -> i8 {
                self as i8
            }

            /// What has this number in requests.
            pub fn from_code(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

coded! {
    /// What can be protected.
    ResourceType {
        /// A topic.
        Topic = 2,
        /// A group.
        Group = 3,
        /// The cluster, see [`CLUSTER_NAME`].
        Cluster = 4,
        /// A transactional id.
        TransactionalId = 5,
        /// A delegation token.
        DelegationToken = 6,
        /// A user, as the owner of tokens.
        User = 7,
    }
}

coded! {
    /// What can be done to it.
    Operation {
        /// Everything.
        All = 2,
        /// Read records or offsets.
        Read = 3,
        /// Write records.
        Write = 4,
        /// Make it.
        Create = 5,
        /// Delete it, or what is in it.
        Delete = 6,
        /// Change it.
        Alter = 7,
        /// See that it is there, and how it is.
        Describe = 8,
        /// What brokers do among themselves.
        ClusterAction = 9,
        /// See its configs.
        DescribeConfigs = 10,
        /// Change its configs.
        AlterConfigs = 11,
        /// Produce idempotently.
        IdempotentWrite = 12,
        /// Make delegation tokens.
        CreateTokens = 13,
        /// See delegation tokens.
        DescribeTokens = 14,
        /// Take part in transactions that never time out.
        TwoPhaseCommit = 15,
    }
}

coded! {
    /// How a name is meant.
    PatternType {
        /// It is that name, or `*`.
        Literal = 3,
        /// It is how names begin.
        Prefixed = 4,
    }
}

coded! {
    /// What a rule says.
    Permission {
        /// No, whatever others say.
        Deny = 2,
        /// Yes.
        Allow = 3,
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acl {
    /// What it is about.
    pub resource_type: ResourceType,
    /// Name of that, or how its name begins.
    pub name: String,
    /// Which of both.
    pub pattern_type: PatternType,
    /// Whom it is about: `User:name`, or [`WILDCARD_PRINCIPAL`].
    pub principal: String,
    /// From where: an address, or `*`.
    pub host: String,
    /// What is done.
    pub operation: Operation,
    /// Whether that may be.
    pub permission: Permission,
}

impl Acl {
    /// Says whether this is a rule that can be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("the name of the resource is empty".to_owned());
        }
        if self.resource_type == ResourceType::Cluster && self.name != CLUSTER_NAME {
            return Err(format!(
                "the only resource of type CLUSTER is {CLUSTER_NAME}, and not {}",
                self.name
            ));
        }
        match self.principal.split_once(':') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(()),
            _ => Err(format!(
                "{:?} is no principal: write it as User:name",
                self.principal
            )),
        }
    }
}

impl ResourceType {
    /// What can be done to such a resource.
    pub fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            Self::Topic => &[
                Read,
                Write,
                Create,
                Delete,
                Alter,
                Describe,
                DescribeConfigs,
                AlterConfigs,
            ],
            Self::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[
                Create,
                Alter,
                Describe,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
            ],
            Self::TransactionalId => &[Write, Describe, TwoPhaseCommit],
            Self::DelegationToken => &[Describe],
            Self::User => &[CreateTokens, DescribeTokens],
        }
    }

    /// The error of who may not.
    pub fn refusal(self) -> ResponseError {
        match self {
            Self::Topic => ResponseError::TopicAuthorizationFailed,
            Self::Group => ResponseError::GroupAuthorizationFailed,
            Self::TransactionalId => ResponseError::TransactionalIdAuthorizationFailed,
            Self::Cluster => ResponseError::ClusterAuthorizationFailed,
            Self::DelegationToken | Self::User => ResponseError::DelegationTokenAuthorizationFailed,
        }
    }
}
