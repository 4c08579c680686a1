//! `listeners`, `advertised.listeners` and what belongs to them: where a server listens, with what protocol, and what it
//! tells clients.

use std::collections::BTreeMap;

use super::error::{BrokerConfigError, ConfigScope};
use super::key::split_list;
use super::properties::Properties;

/// What is spoken on a listener. TLS is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Kafka's protocol, everybody is `User:ANONYMOUS`.
    Plaintext,
    /// The same after a client has authenticated.
    SaslPlaintext,
}

impl SecurityProtocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// What is spoken.
    pub protocol: SecurityProtocol,
    /// Where to listen; empty is every address.
    pub host: String,
    /// Port to listen on; 0 is a free one.
    pub port: u16,
    /// Host that clients are told.
    pub advertised_host: String,
    /// Port that clients are told; 0 is the one that was listened on.
    pub advertised_port: u16,
    /// Nobody says what clients are told, and it listens on every address: they are told this machine's name, if it can be
    /// resolved, from when the socket is open.
    pub advertises_machine: bool,
}

/// What clients are told of a listener that listens on every address, if nothing else is said and this machine has no name.
const DEFAULT_ADVERTISED_HOST: &str = "localhost";
const LISTENER_PREFIX: &str = "listener.name.";
/// Names of mechanisms as they occur in keys.
const MECHANISM_PREFIXES: [&str; 3] = ["plain.", "scram-sha-256.", "scram-sha-512."];
/// Config of the users of a listener; the only one that a mechanism may stand before.
const JAAS_CONFIG: &str = "sasl.jaas.config";
/// The configs that a listener can have of its own.
const OWN_CONFIGS: [&str; 5] = [
    "connections.max.reauth.ms",
    "max.connection.creation.rate",
    "max.connections",
    "sasl.enabled.mechanisms",
    JAAS_CONFIG,
];

/// What a listener has of its own, as `listener.name.NAME.KEY`; None is what holds for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerOverrides {
    /// `max.connections`: a limit beside that of all listeners together.
    pub max_connections: Option<usize>,
    /// `max.connection.creation.rate`: a limit beside that of all listeners together.
    pub max_connection_creation_rate: Option<u32>,
    /// `connections.max.reauth.ms`, instead of that of all.
    pub connections_max_reauth_ms: Option<i64>,
}

/// A key `listener.name.NAME.KEY` in its parts.
pub(super) struct OwnConfig<'a> {
    /// The listener's name as it is written.
    pub(super) listener: &'a str,
    /// Whether a mechanism is named before the key.
    has_mechanism: bool,
    /// The key.
    pub(super) key: &'a str,
}

impl<'a> OwnConfig<'a> {
    /// None of a key that is no listener's.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let (listener, rest) = name.strip_prefix(LISTENER_PREFIX)?.split_once('.')?;
        let key = MECHANISM_PREFIXES
            .iter()
            .find_map(|prefix| rest.strip_prefix(prefix));
        Some(Self {
            listener,
            has_mechanism: key.is_some(),
            key: key.unwrap_or(rest),
        })
    }
}

/// `listener.name.NAME.KEY`, also with a mechanism before the key, without what is before the key.
pub(super) fn without_listener(name: &str) -> &str {
    OwnConfig::of(name).map_or(name, |own| own.key)
}

/// Says whether a listener can have this config of its own. Every other name is right.
///
/// # Errors
/// It cannot: what is set for one listener must not be ignored.
pub fn check_own_config(name: &str) -> Result<(), BrokerConfigError> {
    match OwnConfig::of(name) {
        Some(own) if !OWN_CONFIGS.contains(&own.key) || (own.has_mechanism && own.key != JAAS_CONFIG) => {
            let (key, own_configs) = (own.key, OWN_CONFIGS.join(", "));
            Err(BrokerConfigError::Contradiction(format!(
                "{name}: this broker has no {key} for a single listener or mechanism: set {key} for all of them (a listener \
                 can have its own {own_configs})"
            )))
        }
        _ => Ok(()),
    }
}

/// Says whether every config of a single listener is that of one there is, and one it can have. Those of the controller's
/// listeners mean nothing here, as these are not opened.
pub(super) fn check_own_configs(
    properties: &Properties,
    listeners: &[Listener],
) -> Result<(), BrokerConfigError> {
    let controller = controller_names(properties);
    for (name, _) in properties.iter() {
        let Some(own) = OwnConfig::of(name) else { continue };
        if controller.contains(&own.listener.to_ascii_uppercase()) {
            continue;
        }
        check_own_config(name)?;
        if !listeners
            .iter()
            .any(|listener| listener.name.eq_ignore_ascii_case(own.listener))
        {
            let listener = own.listener;
            return Err(BrokerConfigError::Contradiction(format!(
                "{name} is about the listener {listener}, which is not among listeners"
            )));
        }
    }
    Ok(())
}

/// Takes over what `properties` say of single listeners.
pub(super) fn read_overrides(overrides: &mut BTreeMap<String, ListenerOverrides>, properties: &Properties) {
    for (name, value) in properties.iter() {
        let Some(own) = OwnConfig::of(name) else { continue };
        let of_listener = overrides.entry(own.listener.to_ascii_lowercase()).or_default();
        match own.key {
            "max.connections" => of_listener.max_connections = value.parse().ok(),
            "max.connection.creation.rate" => of_listener.max_connection_creation_rate = value.parse().ok(),
            "connections.max.reauth.ms" => of_listener.connections_max_reauth_ms = value.parse().ok(),
            _ => {}
        }
    }
}

fn controller_names(properties: &Properties) -> Vec<String> {
    split_list(properties.get("controller.listener.names").unwrap_or_default())
        .map(str::to_ascii_uppercase)
        .collect()
}

/// The listeners that `properties` ask for, but for the controller's.
pub(super) fn listeners(properties: &Properties) -> Result<Vec<Listener>, BrokerConfigError> {
    let controller = controller_names(properties);
    let advertised = endpoints("advertised.listeners", properties.get("advertised.listeners"))?;
    let mut listeners = Vec::new();
    let asked = properties.get("listeners").unwrap_or("PLAINTEXT://:9092");
    for (name, host, port) in endpoints("listeners", Some(asked))? {
        if controller.contains(&name) {
            continue;
        }
        if listeners.iter().any(|other: &Listener| other.name == name) {
            return Err(invalid("listeners", asked, "every listener name once"));
        }
        let told = advertised.iter().find(|(other, ..)| *other == name);
        let (advertised_host, advertised_port) = match told {
            Some((_, host, port)) => (host.clone(), *port),
            None => (default_advertised(&name, &host)?, port),
        };
        listeners.push(Listener {
            advertises_machine: told.is_none() && host.is_empty(),
            protocol: protocol(properties, &name)?,
            name,
            host,
            port,
            advertised_host,
            advertised_port,
        });
    }
    let stray = advertised
        .iter()
        .filter(|(name, ..)| !controller.contains(name))
        .find(|(name, ..)| !listeners.iter().any(|listener| listener.name == *name));
    match stray {
        Some((name, ..)) => Err(BrokerConfigError::Contradiction(format!(
            "advertised.listeners names the listener {name}, which is not among listeners"
        ))),
        None if listeners.is_empty() => Err(invalid(
            "listeners",
            asked,
            "at least one that is not the controller's",
        )),
        None => Ok(listeners),
    }
}

fn default_advertised(name: &str, host: &str) -> Result<String, BrokerConfigError> {
    match host {
        "" => Ok(DEFAULT_ADVERTISED_HOST.to_owned()),
        "0.0.0.0" | "::" => Err(BrokerConfigError::Contradiction(format!(
            "clients cannot connect to {host}: say in advertised.listeners by what name they reach the listener {name}, for \
             example {name}://localhost:9092"
        ))),
        host => Ok(host.to_owned()),
    }
}

fn protocol(properties: &Properties, name: &str) -> Result<SecurityProtocol, BrokerConfigError> {
    let key = "listener.security.protocol.map";
    let map = properties.get(key).unwrap_or_default();
    let mapped = split_list(map)
        .filter_map(|pair| pair.split_once(':'))
        .find(|(mapped, _)| mapped.trim().eq_ignore_ascii_case(name))
        .map(|(_, protocol)| protocol.trim().to_ascii_uppercase());
    match mapped.as_deref().unwrap_or(name) {
        "PLAINTEXT" => Ok(SecurityProtocol::Plaintext),
        "SASL_PLAINTEXT" => Ok(SecurityProtocol::SaslPlaintext),
        "SSL" | "SASL_SSL" => Err(BrokerConfigError::Contradiction(format!(
            "the listener {name} asks for TLS, which is not served: use PLAINTEXT or SASL_PLAINTEXT"
        ))),
        _ => Err(BrokerConfigError::Contradiction(format!(
            "{key} does not say what the listener {name} speaks: add {name}:PLAINTEXT or {name}:SASL_PLAINTEXT"
        ))),
    }
}

fn invalid(key: &str, value: &str, expected: &str) -> BrokerConfigError {
    BrokerConfigError::Invalid {
        scope: ConfigScope::Broker,
        name: key.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

/// Name, host and port of each `NAME://host:port`.
fn endpoints(key: &str, value: Option<&str>) -> Result<Vec<(String, String, u16)>, BrokerConfigError> {
    let value = value.unwrap_or_default();
    let parse = |endpoint: &str| {
        let (name, address) = endpoint.split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((name.to_ascii_uppercase(), host.to_owned(), port.parse().ok()?))
    };
    split_list(value)
        .map(|endpoint| {
            let expected =
                "NAME://host:port, several separated by commas, for example PLAINTEXT://127.0.0.1:9092";
            parse(endpoint).ok_or_else(|| invalid(key, value, expected))
        })
        .collect()
}
