//! From text to typed settings: which key sets which field. A key that is not here is accepted and described, and nothing
//! acts on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{BrokerConfigError, ConfigScope};
use super::key::{ConfigKey, Update, split_list};
use super::listener::{check_own_configs, listeners, read_overrides};
use super::properties::Properties;
use super::security::security;
use super::{TOPIC_KEYS, broker_keys};
use crate::group::{Assignor, MigrationPolicy};
use crate::handler::BrokerConfig;

const MINUTE_MS: i64 = 60_000;
/// Least `segment.bytes`.
const MIN_SEGMENT_BYTES: usize = 14;
/// The data directory where nobody names one.
const DEFAULT_DATA_DIR: &str = "/tmp/kafka-logs";

impl BrokerConfig {
    /// A server as these properties describe it; what they do not say is Kafka's default.
    ///
    /// # Errors
    /// They contradict each other, or ask for what this broker does not have.
    ///
    /// ```
    /// use broker::BrokerConfig;
    /// use broker::config::Properties;
    ///
    /// let mut properties = Properties::default();
    /// properties.set("listeners", "PLAINTEXT://127.0.0.1:0").unwrap();
    /// properties.set("log.retention.hours", "2").unwrap();
    /// let config = BrokerConfig::from_properties(properties).unwrap();
    /// assert_eq!(config.log.retention_ms, 7_200_000);
    /// assert_eq!(config.network.listeners[0].port, 0);
    /// ```
    pub fn from_properties(properties: Properties) -> Result<Self, BrokerConfigError> {
        let mut config = Self::server();
        config.apply(&properties)?;
        config.network.listeners = listeners(&properties)?;
        check_own_configs(&properties, &config.network.listeners)?;
        read_overrides(&mut config.network.listener_overrides, &properties);
        if let Some(first) = config.network.listeners.first() {
            config.host.clone_from(&first.advertised_host);
            config.port = i32::from(first.advertised_port);
        }
        config.security = security(&properties, &config.network.listeners)?;
        if split_list(properties.get("log.dirs").unwrap_or_default()).count() > 1 {
            return Err(BrokerConfigError::Contradiction(
                "log.dirs names several directories: this broker keeps all of its data in one".to_owned(),
            ));
        }
        config.properties = properties;
        // Two names of one thing: who asks is told both, as by Kafka.
        for name in ["broker.id", "node.id"] {
            config.properties.set(name, &config.node_id.to_string())?;
        }
        Ok(config)
    }

    /// These settings with dynamic ones over them. Those that cannot change while the broker runs are left alone.
    ///
    /// # Errors
    /// A value is not one its key can have.
    pub fn with_dynamic(&self, dynamic: &Properties) -> Result<Self, BrokerConfigError> {
        let mut config = self.clone();
        for key in broker_keys().filter(|key| key.update != Update::ReadOnly) {
            if let Some(value) = dynamic.get(key.name) {
                config.set(key, value)?;
            }
        }
        read_overrides(&mut config.network.listener_overrides, dynamic);
        Ok(config)
    }

    /// `log.dirs`, or `log.dir`: where a server keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        let named = self
            .properties
            .get("log.dirs")
            .or_else(|| self.properties.get("log.dir"));
        PathBuf::from(named.unwrap_or(DEFAULT_DATA_DIR))
    }

    /// Settings of a broker that is no server, where they differ from Kafka's defaults: as properties too, so that who asks
    /// is told what is in force.
    pub(crate) fn with_own_defaults(mut self, differing: &[(&str, String)]) -> Self {
        for (key, value) in differing {
            self.properties
                .set(key, value)
                .expect("the differing defaults are valid: a test opens such a broker");
        }
        let properties = self.properties.clone();
        self.apply(&properties)
            .expect("the differing defaults are valid: a test opens such a broker");
        self
    }

    fn apply(&mut self, properties: &Properties) -> Result<(), BrokerConfigError> {
        for key in broker_keys() {
            if let Some(value) = properties.get(key.name) {
                self.set(key, value)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &ConfigKey, value: &str) -> Result<(), BrokerConfigError> {
        key.validate(ConfigScope::Broker, value)?;
        let value = value.trim();
        let _ = self.set_log(key, value)?
            || self.set_network(key, value)?
            || self.set_general(key, value)
            || self.set_group(key, value)
            || self.set_transaction(key, value);
        Ok(())
    }

    /// The defaults of topic configs go the way of topic configs.
    fn set_log(&mut self, key: &ConfigKey, value: &str) -> Result<bool, BrokerConfigError> {
        if key.name == "producer.id.expiration.ms" {
            self.log.producer_id_expiration_ms = number(value);
            return Ok(true);
        }
        let default_of = TOPIC_KEYS.iter().find_map(|topic| {
            let (_, unit_ms) = topic.defaults.iter().find(|(name, _)| *name == key.name)?;
            Some((topic.key.name, *unit_ms))
        });
        let Some((topic_config, unit_ms)) = default_of else {
            return Ok(false);
        };
        let value = match number(value) {
            // Any negative time is "never".
            count if unit_ms > 1 => count
                .max(-1)
                .saturating_mul(if count < 0 { 1 } else { unit_ms })
                .to_string(),
            _ => value.to_owned(),
        };
        let overrides = BTreeMap::from([(topic_config.to_owned(), value)]);
        self.log = self
            .log
            .with_overrides(&overrides)
            .map_err(|error| BrokerConfigError::Contradiction(format!("{}: {error}", key.name)))?;
        Ok(true)
    }

    fn set_network(&mut self, key: &ConfigKey, value: &str) -> Result<bool, BrokerConfigError> {
        let network = &mut self.network;
        match key.name {
            "socket.request.max.bytes" => network.request_max_bytes = count(value),
            "socket.send.buffer.bytes" => network.send_buffer_bytes = buffer(value),
            "socket.receive.buffer.bytes" => network.receive_buffer_bytes = buffer(value),
            "socket.listen.backlog.size" => network.listen_backlog = count(value) as u32,
            "max.connections" => network.max_connections = count(value),
            "max.connections.per.ip" => network.max_connections_per_ip = count(value),
            "max.connections.per.ip.overrides" => {
                network.max_connections_per_ip_overrides = per_ip_overrides(value)?;
            }
            "max.connection.creation.rate" => network.max_connection_creation_rate = count(value) as u32,
            "connections.max.idle.ms" => network.connections_max_idle_ms = number(value),
            "connections.max.reauth.ms" => network.connections_max_reauth_ms = number(value),
            "connection.failed.authentication.delay.ms" => {
                network.failed_authentication_delay_ms = number(value);
            }
            "sasl.server.max.receive.size" => network.sasl_max_receive_bytes = count(value),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_general(&mut self, key: &ConfigKey, value: &str) -> bool {
        match key.name {
            // Kafka's -1 of broker.id asks for a generated one: there is one broker, it is 0.
            "broker.id" if number(value) < 0 => {}
            "broker.id" | "node.id" => self.node_id = number(value) as i32,
            "broker.rack" => self.rack = Some(value.to_owned()),
            "auto.create.topics.enable" => self.auto_create_topics = is_true(value),
            "headwater.group.commit.enable" => self.log.group_commit = is_true(value),
            "headwater.strict.validation.enable" => self.log.strict_validation = is_true(value),
            "delete.topic.enable" => self.delete_topics = is_true(value),
            "num.partitions" => self.default_partitions = number(value) as i32,
            "fetch.max.bytes" => self.max_fetch_bytes = count(value),
            "max.incremental.fetch.session.cache.slots" => self.fetch_session_slots = count(value),
            "max.request.partition.size.limit" => self.max_described_partitions = count(value),
            "log.retention.check.interval.ms" => self.retention_check_interval_ms = number(value),
            // Off stays off: the key that says so comes later.
            "log.cleaner.backoff.ms" if self.cleaner_interval_ms == 0 => {}
            "log.cleaner.backoff.ms" => self.cleaner_interval_ms = number(value).max(1),
            "log.cleaner.enable" if is_true(value) => {}
            "log.cleaner.enable" => self.cleaner_interval_ms = 0,
            "log.cleaner.dedupe.buffer.size" => self.cleaner.dedupe_buffer_bytes = count(value),
            "offsets.topic.segment.bytes" => self.offsets_segment_bytes = segment(value),
            "transaction.state.log.segment.bytes" => {
                self.transaction_state_segment_bytes = segment(value);
            }
            "quota.window.num" => self.quota_window.samples = count(value),
            "controller.quota.window.num" => self.mutation_quota_window.samples = count(value),
            "controller.quota.window.size.seconds" => {
                self.mutation_quota_window.sample_ms = number(value) * 1000;
            }
            "quota.window.size.seconds" => self.quota_window.sample_ms = number(value) * 1000,
            _ => return false,
        }
        true
    }

    fn set_group(&mut self, key: &ConfigKey, value: &str) -> bool {
        let group = &mut self.group;
        match key.name {
            "offsets.topic.num.partitions" => group.partition_count = number(value) as i32,
            "group.min.session.timeout.ms" => group.min_session_timeout_ms = number(value) as i32,
            "group.max.session.timeout.ms" => group.max_session_timeout_ms = number(value) as i32,
            "group.initial.rebalance.delay.ms" => group.initial_rebalance_delay_ms = number(value),
            "group.max.size" => group.max_size = count(value),
            "offset.metadata.max.bytes" => group.offset_metadata_max_bytes = count(value),
            "offsets.retention.minutes" => group.offsets_retention_ms = number(value) * MINUTE_MS,
            "offsets.retention.check.interval.ms" => {
                group.offsets_retention_check_interval_ms = number(value);
            }
            "group.consumer.session.timeout.ms" => group.consumer.session_timeout_ms = number(value) as i32,
            "group.consumer.heartbeat.interval.ms" => {
                group.consumer.heartbeat_interval_ms = number(value) as i32;
            }
            "group.consumer.migration.policy" => {
                group.consumer.migration = MigrationPolicy::of_name(value).unwrap_or_default();
            }
            "group.consumer.max.size" => group.consumer.max_size = count(value),
            "group.streams.session.timeout.ms" => group.streams.session_timeout_ms = number(value) as i32,
            "group.streams.heartbeat.interval.ms" => {
                group.streams.heartbeat_interval_ms = number(value) as i32;
            }
            "group.streams.max.size" => group.streams.max_size = count(value),
            "group.streams.num.standby.replicas" => group.streams.standby_replicas = number(value) as i32,
            "group.consumer.assignors" => {
                let assignors: Vec<_> = split_list(value).filter_map(Assignor::of_name).collect();
                if let Some(first) = assignors.first() {
                    group.consumer.assignor = *first;
                    group.consumer.assignors = assignors;
                }
            }
            _ => return false,
        }
        true
    }

    fn set_transaction(&mut self, key: &ConfigKey, value: &str) -> bool {
        let transaction = &mut self.transaction;
        match key.name {
            "transaction.state.log.num.partitions" => transaction.partition_count = number(value) as i32,
            "transaction.max.timeout.ms" => transaction.max_timeout_ms = number(value) as i32,
            "transactional.id.expiration.ms" => transaction.id_expiration_ms = number(value),
            "transaction.abort.timed.out.transaction.cleanup.interval.ms" => {
                transaction.abort_interval_ms = number(value);
            }
            "transaction.remove.expired.transaction.cleanup.interval.ms" => {
                transaction.expire_interval_ms = number(value);
            }
            _ => return false,
        }
        true
    }
}

/// A number that its key has checked.
fn number(value: &str) -> i64 {
    value.parse().unwrap_or_default()
}

/// As [`number`], where what is below zero means nothing.
fn count(value: &str) -> usize {
    usize::try_from(number(value)).unwrap_or(0)
}

/// Size of an internal topic's segments, at least the smallest that a topic can have.
fn segment(value: &str) -> usize {
    count(value).max(MIN_SEGMENT_BYTES)
}

fn buffer(value: &str) -> Option<usize> {
    usize::try_from(number(value)).ok().filter(|bytes| *bytes > 0)
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn per_ip_overrides(value: &str) -> Result<BTreeMap<String, usize>, BrokerConfigError> {
    let parse = |pair: &str| {
        let (host, limit) = pair.rsplit_once(':')?;
        Some((host.trim().to_owned(), limit.trim().parse().ok()?))
    };
    split_list(value)
        .map(|pair| {
            parse(pair).ok_or_else(|| BrokerConfigError::Invalid {
                scope: ConfigScope::Broker,
                name: "max.connections.per.ip.overrides".to_owned(),
                value: value.to_owned(),
                expected: "host:limit, several separated by commas".to_owned(),
            })
        })
        .collect()
}
