//! Kafka's configuration: the keys of `server.properties`, of topics and of groups, and what a broker makes of them.
//!
//! ```text
//!  server.properties, key=value --> Properties (every key known, every value allowed) --> BrokerConfig (typed)
//! ```
//!
//! The tables say of each key its type, default and meaning; DescribeConfigs tells them to clients. A key that is not in them
//! is an error that names the nearest one: a misspelt setting that is silently ignored costs somebody a night.

mod apply;
mod broker_keys;
mod error;
mod group_keys;
mod key;
mod listener;
mod network;
mod properties;
mod security;
#[cfg(test)]
mod tests;
mod topic_keys;

pub use broker_keys::broker_keys;
pub use error::{BrokerConfigError, ConfigScope};
pub use group_keys::{GROUP_KEYS, GroupKey};
pub use key::{Allowed, ConfigKey, Update, ValueType};
pub use listener::{Listener, ListenerOverrides, SecurityProtocol, check_own_config};
pub use network::NetworkConfig;
pub use properties::Properties;
pub use security::{SASL_MECHANISMS, STANDARD_AUTHORIZER, SecurityConfig};
pub use topic_keys::{CLIENT_METRICS_KEYS, RETIRED_TOPIC_CONFIGS, TOPIC_KEYS, TopicKey};

pub(crate) use key::split_list;

/// The broker's config of this name. Of a listener's own config (`listener.name.NAME.KEY`), the config it is one of.
///
/// # Errors
/// [`BrokerConfigError::Unknown`], with the nearest name there is.
pub fn broker_key(name: &str) -> Result<&'static ConfigKey, BrokerConfigError> {
    let plain = listener::without_listener(name);
    let find = |name: &str| broker_keys().find(|key| key.name == name);
    find(plain).ok_or_else(|| {
        BrokerConfigError::unknown(ConfigScope::Broker, name, broker_keys().map(|key| key.name))
    })
}

/// The topic config of this name.
///
/// # Errors
/// [`BrokerConfigError::Unknown`], with the nearest name there is.
pub fn topic_key(name: &str) -> Result<&'static TopicKey, BrokerConfigError> {
    let all = TOPIC_KEYS.iter().map(|topic| topic.key.name);
    let found = TOPIC_KEYS.iter().find(|topic| topic.key.name == name);
    found.ok_or_else(|| BrokerConfigError::unknown(ConfigScope::Topic, name, all))
}

/// The group config of this name.
///
/// # Errors
/// [`BrokerConfigError::Unknown`], with the nearest name there is.
pub fn group_key(name: &str) -> Result<&'static GroupKey, BrokerConfigError> {
    let all = GROUP_KEYS.iter().map(|group| group.key.name);
    let found = GROUP_KEYS.iter().find(|group| group.key.name == name);
    found.ok_or_else(|| BrokerConfigError::unknown(ConfigScope::Group, name, all))
}

/// Says whether a topic may have this config.
///
/// # Errors
/// There is no such config, or not with this value.
pub fn check_topic_config(name: &str, value: &str) -> Result<(), BrokerConfigError> {
    if RETIRED_TOPIC_CONFIGS.contains(&name) {
        return Ok(());
    }
    topic_key(name)?.key.validate(ConfigScope::Topic, value)
}
