//! Who may connect and do what: mechanisms, users of PLAIN, and whether ACLs are enforced.

use std::collections::BTreeMap;

use super::error::{BrokerConfigError, ConfigScope};
use super::key::split_list;
use super::listener::{Listener, OwnConfig, SecurityProtocol};
use super::properties::Properties;

/// The authorizer of Apache Kafka whose rules this broker follows.
pub const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
/// The SASL mechanisms that are served.
pub const SASL_MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const MECHANISMS: &str = "sasl.enabled.mechanisms";

/// Settings of authentication and authorization.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecurityConfig {
    /// `authorizer.class.name` is set: ACLs are enforced. False.
    pub authorizer: bool,
    /// `super.users`, as `User:name`. Nobody.
    pub super_users: Vec<String>,
    /// `allow.everyone.if.no.acl.found`. False.
    pub allow_everyone_if_no_acl_found: bool,
    /// `sasl.enabled.mechanisms` of each listener with SASL, of those that are served, by its name in small letters.
    pub mechanisms: BTreeMap<String, Vec<String>>,
    /// Users of PLAIN by listener name, from `sasl.jaas.config`; those under the empty name are every listener's.
    pub plain_users: BTreeMap<String, BTreeMap<String, String>>,
}

/// Passwords are not for logs.
impl std::fmt::Debug for SecurityConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecurityConfig")
            .field("authorizer", &self.authorizer)
            .field("super_users", &self.super_users)
            .field(
                "allow_everyone_if_no_acl_found",
                &self.allow_everyone_if_no_acl_found,
            )
            .field("mechanisms", &self.mechanisms)
            .finish_non_exhaustive()
    }
}

impl SecurityConfig {
    /// The mechanisms that a listener offers. None without SASL.
    pub fn mechanisms(&self, listener: &str) -> &[String] {
        self.mechanisms
            .get(&listener.to_ascii_lowercase())
            .map_or(&[], Vec::as_slice)
    }

    /// The password of a user of PLAIN on a listener.
    pub fn plain_password(&self, listener: &str, user: &str) -> Option<&str> {
        let users = self
            .plain_users
            .get(&listener.to_ascii_lowercase())
            .or_else(|| self.plain_users.get(""))?;
        users.get(user).map(String::as_str)
    }
}

pub(super) fn security(
    properties: &Properties,
    listeners: &[Listener],
) -> Result<SecurityConfig, BrokerConfigError> {
    let mut config = SecurityConfig {
        authorizer: authorizer(properties.get("authorizer.class.name").unwrap_or_default())?,
        super_users: super_users(properties.get("super.users").unwrap_or_default())?,
        allow_everyone_if_no_acl_found: properties
            .get("allow.everyone.if.no.acl.found")
            .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        mechanisms: BTreeMap::new(),
        plain_users: BTreeMap::new(),
    };
    for listener in listeners
        .iter()
        .filter(|listener| listener.protocol == SecurityProtocol::SaslPlaintext)
    {
        let own = properties.iter().find_map(|(key, value)| {
            let own = OwnConfig::of(key)?;
            let is_it = own.key == MECHANISMS && own.listener.eq_ignore_ascii_case(&listener.name);
            is_it.then_some(value)
        });
        let value = own.or_else(|| properties.get(MECHANISMS)).unwrap_or("GSSAPI");
        let offered = mechanisms(&listener.name, value)?;
        config
            .mechanisms
            .insert(listener.name.to_ascii_lowercase(), offered);
    }
    for (key, value) in properties
        .iter()
        .filter(|(key, _)| key.ends_with("sasl.jaas.config"))
    {
        let listener = OwnConfig::of(key).map_or("", |own| own.listener);
        let users = config
            .plain_users
            .entry(listener.to_ascii_lowercase())
            .or_default();
        users.extend(jaas_users(value));
    }
    Ok(config)
}

fn authorizer(class: &str) -> Result<bool, BrokerConfigError> {
    match class {
        "" => Ok(false),
        STANDARD_AUTHORIZER => Ok(true),
        other => Err(BrokerConfigError::Contradiction(format!(
            "authorizer.class.name is {other}, which this broker cannot load: use {STANDARD_AUTHORIZER}, or leave it empty \
             for no authorization"
        ))),
    }
}

fn super_users(value: &str) -> Result<Vec<String>, BrokerConfigError> {
    let principal = |user: &str| match user.split_once(':') {
        Some((_, name)) if !name.is_empty() => Ok(user.to_owned()),
        _ => Err(BrokerConfigError::Invalid {
            scope: ConfigScope::Broker,
            name: "super.users".to_owned(),
            value: value.to_owned(),
            expected: "principals separated by semicolons, for example User:admin;User:ops".to_owned(),
        }),
    };
    value
        .split(';')
        .map(str::trim)
        .filter(|user| !user.is_empty())
        .map(principal)
        .collect()
}

fn mechanisms(listener: &str, value: &str) -> Result<Vec<String>, BrokerConfigError> {
    let served = |mechanism: &str| {
        SASL_MECHANISMS
            .contains(&mechanism)
            .then(|| mechanism.to_owned())
            .ok_or_else(|| {
                BrokerConfigError::Contradiction(format!(
                    "the listener {listener} uses SASL with the mechanism {mechanism}, which is not served: set {MECHANISMS} to \
                     some of {}",
                    SASL_MECHANISMS.join(", ")
                ))
            })
    };
    split_list(value).map(served).collect()
}

/// The users of a JAAS line: each option `user_NAME="PASSWORD"`.
fn jaas_users(line: &str) -> BTreeMap<String, String> {
    let mut users = BTreeMap::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let after = after.trim_start();
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find([' ', '\t', ';']).unwrap_or(after.len())),
        };
        if let Some(user) = name.strip_prefix("user_") {
            users.insert(user.to_owned(), value.to_owned());
        }
        rest = tail;
    }
    users
}
