//! DescribeConfigs and ListConfigResources: which value is in force, who said so, and what it means.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicConfigs;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::{Broker, Refusal, text};
use crate::cluster::{ClusterState, Configs};
use crate::config::{
    CLIENT_METRICS_KEYS, ConfigKey, GROUP_KEYS, TOPIC_KEYS, TopicKey, Update, ValueType, broker_key,
    broker_keys,
};

/// First version of ListConfigResources that names types; before, it lists client metrics.
const RESOURCE_TYPES_VERSION: i16 = 1;

/// What has configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourceType {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl ResourceType {
    const ALL: [Self; 5] = [
        Self::Topic,
        Self::Broker,
        Self::BrokerLogger,
        Self::ClientMetrics,
        Self::Group,
    ];

    fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    pub(super) fn of(code: i8) -> Result<Self, Refusal> {
        let found = Self::ALL.into_iter().find(|resource| resource.code() == code);
        found.ok_or_else(|| {
            let message = format!("there are no configs of resource type {code}");
            Refusal::new(ResponseError::InvalidRequest, message)
        })
    }
}

/// Who said what a config is, as DescribeConfigs numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefault = 3,
    StaticBroker = 4,
    Default = 5,
    Logger = 6,
    Group = 8,
}

/// A value that somebody gave, under the name it was given.
struct Said {
    name: &'static str,
    value: Option<String>,
    source: Source,
}

/// One config as it is in force, with everybody who had a say, the strongest first.
struct Described {
    key: ConfigKey,
    value: Option<String>,
    read_only: bool,
    said: Vec<Said>,
}

impl Described {
    fn source(&self) -> Source {
        self.said.first().map_or(Source::Default, |said| said.source)
    }

    fn into_result(self, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
        let hidden = self.key.is_sensitive();
        let shown = |value: Option<String>| value.filter(|_| !hidden).map(|value| text(&value));
        let source = self.source();
        let result = DescribeConfigsResourceResult::default()
            .with_name(text(self.key.name))
            .with_read_only(self.read_only)
            .with_config_source(source as i8)
            .with_is_sensitive(hidden)
            .with_config_type(self.key.value_type.code())
            .with_documentation(documentation.then(|| text(self.key.doc)))
            .with_value(shown(self.value));
        if !synonyms {
            return result;
        }
        let synonym = |said: Said| {
            DescribeConfigsSynonym::default()
                .with_name(text(said.name))
                .with_value(shown(said.value))
                .with_source(said.source as i8)
        };
        result.with_synonyms(self.said.into_iter().map(synonym).collect())
    }
}

impl Broker {
    pub(super) fn describe_configs(&self, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match self.described(resource) {
                Ok(described) => {
                    let wanted = |name: &str| match &resource.configuration_keys {
                        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == name),
                        _ => true,
                    };
                    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
                    let configs = described
                        .into_iter()
                        .filter(|config| wanted(config.key.name))
                        .map(|config| config.into_result(synonyms, documentation));
                    result.with_configs(configs.collect())
                }
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn described(&self, resource: &DescribeConfigsResource) -> Result<Vec<Described>, Refusal> {
        let name = resource.resource_name.as_str();
        let cluster = self.cluster.current();
        match ResourceType::of(resource.resource_type)? {
            ResourceType::Topic => {
                crate::topic::validate_name(name)?;
                let topic = self.topics.topic(name)?;
                Ok(self.topic_configs(&cluster, topic.configs()))
            }
            ResourceType::Broker if name.is_empty() => Ok(default_configs(&cluster)),
            ResourceType::Broker => {
                self.check_broker_id(name)?;
                Ok(broker_keys()
                    .map(|key| self.broker_config(&cluster, key))
                    .collect())
            }
            ResourceType::BrokerLogger => {
                self.check_broker_id(name)?;
                Ok(vec![root_logger()])
            }
            ResourceType::ClientMetrics if !name.is_empty() => Ok(client_metrics()),
            ResourceType::Group if !name.is_empty() => Ok(self.group_configs(&cluster, name)),
            ResourceType::ClientMetrics | ResourceType::Group => Err(Refusal::new(
                ResponseError::InvalidRequest,
                "the name of the resource is empty",
            )),
        }
    }

    /// Whether a broker's configs are asked of the broker that has them.
    pub(super) fn check_broker_id(&self, name: &str) -> Result<(), Refusal> {
        let own = self.config.node_id;
        let message = match name.parse::<i32>() {
            Ok(id) if id == own => return Ok(()),
            Ok(id) => format!("this is broker {own}, not {id}"),
            Err(_) => format!("a broker is named by its number, and {name:?} is none; this is broker {own}"),
        };
        Err(Refusal::new(ResponseError::InvalidRequest, message))
    }

    /// All configs of a topic that has these of its own.
    fn topic_configs(&self, cluster: &ClusterState, own: &Configs) -> Vec<Described> {
        let describe = |topic: &TopicKey| {
            let defaults = topic
                .defaults
                .first()
                .map_or(Vec::new(), |(name, _)| self.broker_said(cluster, name));
            let value = own.get(topic.key.name).cloned();
            let said = value.iter().map(|value| Said {
                name: topic.key.name,
                value: Some(value.clone()),
                source: Source::Topic,
            });
            Described {
                key: topic.key,
                said: said.chain(defaults).collect(),
                value: Some(value.unwrap_or_else(|| self.topic_default(cluster, topic))),
                read_only: false,
            }
        };
        TOPIC_KEYS.iter().map(describe).collect()
    }

    /// What a topic that does not say has.
    pub(super) fn topic_default(&self, cluster: &ClusterState, topic: &TopicKey) -> String {
        let said = topic.defaults.iter().find_map(|(name, unit_ms)| {
            let value = self.broker_value(cluster, name)?;
            match value.parse::<i64>() {
                Ok(count) if *unit_ms > 1 => Some(count.max(-1).saturating_mul(*unit_ms).max(-1).to_string()),
                _ => Some(value),
            }
        });
        said.or_else(|| topic.key.default.map(str::to_owned))
            .unwrap_or_default()
    }

    fn broker_config(&self, cluster: &ClusterState, key: &'static ConfigKey) -> Described {
        let value = self
            .broker_value(cluster, key.name)
            .or_else(|| key.default.map(str::to_owned));
        Described {
            key: *key,
            value,
            read_only: key.update == Update::ReadOnly,
            said: self.broker_said(cluster, key.name),
        }
    }

    /// What was set for a key of the broker, by the strongest who set it.
    pub(super) fn broker_value(&self, cluster: &ClusterState, name: &str) -> Option<String> {
        let dynamic = cluster.broker(self.config.node_id).get(name);
        dynamic
            .or_else(|| cluster.broker_defaults.get(name))
            .map(String::as_str)
            .or_else(|| self.config.properties.get(name))
            .map(str::to_owned)
    }

    /// Everybody who had a say on a key of the broker: first for this broker, then for all, then in the file, then by default;
    /// and in each place the stronger of keys that mean the same first.
    fn broker_said(&self, cluster: &ClusterState, name: &str) -> Vec<Said> {
        let names = same_meaning(name);
        let mut said = Vec::new();
        let mut add = |source: Source, value_of: &dyn Fn(&str) -> Option<String>| {
            for name in &names {
                if let Some(value) = value_of(name) {
                    said.push(Said {
                        name,
                        value: Some(value),
                        source,
                    });
                }
            }
        };
        let dynamic = cluster.broker(self.config.node_id);
        add(Source::DynamicBroker, &|name| dynamic.get(name).cloned());
        add(Source::DynamicDefault, &|name| {
            cluster.broker_defaults.get(name).cloned()
        });
        add(Source::StaticBroker, &|name| {
            self.config.properties.get(name).map(str::to_owned)
        });
        add(Source::Default, &|name| {
            broker_key(name).ok()?.default.map(str::to_owned)
        });
        // Kafka begins the list with the key that was asked about.
        said.into_iter().skip_while(|said| said.name != name).collect()
    }

    fn group_configs(&self, cluster: &ClusterState, group: &str) -> Vec<Described> {
        let own = cluster.groups.get(group);
        let describe = |group: &crate::config::GroupKey| {
            let value = own.and_then(|own| own.get(group.key.name)).cloned();
            let source = if value.is_some() {
                Source::Group
            } else {
                Source::Default
            };
            let value = value
                .or_else(|| self.broker_value(cluster, group.default))
                .or_else(|| group.key.default.map(str::to_owned));
            let said = vec![Said {
                name: group.key.name,
                value: value.clone(),
                source,
            }];
            Described {
                key: group.key,
                value,
                read_only: false,
                said,
            }
        };
        GROUP_KEYS.iter().map(describe).collect()
    }

    /// The configs of a topic as CreateTopics tells them: a source that clients know for each.
    pub(super) fn created_topic_configs(&self, own: &Configs) -> Vec<CreatableTopicConfigs> {
        let described = self.topic_configs(&self.cluster.current(), own);
        let config = |config: Described| {
            CreatableTopicConfigs::default()
                .with_name(text(config.key.name))
                .with_config_source(config.source() as i8)
                .with_value(config.value.as_deref().map(text))
        };
        described.into_iter().map(config).collect()
    }

    pub(super) fn list_config_resources(
        &self,
        version: i16,
        request: &ListConfigResourcesRequest,
    ) -> ListConfigResourcesResponse {
        let mut response = ListConfigResourcesResponse::default();
        // Before there were types, only client metrics were listed: there are none.
        if version < RESOURCE_TYPES_VERSION {
            return response;
        }
        let asked: Result<Vec<_>, _> = request
            .resource_types
            .iter()
            .map(|code| ResourceType::of(*code))
            .collect();
        let types = match asked {
            Ok(types) if types.is_empty() => ResourceType::ALL.to_vec(),
            Ok(types) => types,
            Err(_) => return response.with_error_code(ResponseError::UnsupportedVersion.code()),
        };
        for resource in types {
            let names = match resource {
                ResourceType::Topic => {
                    let topics = self.topics.list().unwrap_or_default();
                    topics.iter().map(|topic| topic.name().to_owned()).collect()
                }
                ResourceType::Broker | ResourceType::BrokerLogger => vec![self.config.node_id.to_string()],
                ResourceType::ClientMetrics => Vec::new(),
                ResourceType::Group => self.cluster.current().groups.keys().cloned().collect(),
            };
            response.config_resources.extend(names.iter().map(|name| {
                ConfigResource::default()
                    .with_resource_name(text(name))
                    .with_resource_type(resource.code())
            }));
        }
        response
    }
}

/// The keys that mean the same as this one, the strongest first.
fn same_meaning(name: &str) -> Vec<&'static str> {
    let among = |topic: &&TopicKey| topic.defaults.iter().any(|(default, _)| *default == name);
    match TOPIC_KEYS.iter().find(among) {
        Some(topic) => topic.defaults.iter().map(|(name, _)| *name).collect(),
        None => broker_key(name).map(|key| key.name).into_iter().collect(),
    }
}

/// What was set for all brokers: nothing else has a value there.
fn default_configs(cluster: &ClusterState) -> Vec<Described> {
    let described = broker_keys().filter_map(|key| {
        let value = cluster.broker_defaults.get(key.name)?.clone();
        Some(Described {
            key: *key,
            value: Some(value.clone()),
            read_only: false,
            said: vec![Said {
                name: key.name,
                value: Some(value),
                source: Source::DynamicDefault,
            }],
        })
    });
    described.collect()
}

/// What every subscription to clients' metrics says: nobody can have made one.
fn client_metrics() -> Vec<Described> {
    let described = CLIENT_METRICS_KEYS.iter().map(|key| Described {
        key: *key,
        value: key.default.map(str::to_owned),
        read_only: false,
        said: Vec::new(),
    });
    described.collect()
}

/// The one logger there is: its level is set when the process starts.
fn root_logger() -> Described {
    let level = match tracing::level_filters::LevelFilter::current().into_level() {
        Some(level) => level.as_str(),
        None => "OFF",
    };
    Described {
        key: ConfigKey {
            name: "root",
            value_type: ValueType::String,
            default: None,
            allowed: crate::config::Allowed::Any,
            update: Update::ReadOnly,
            doc: "Level of what is logged, from RUST_LOG.",
        },
        value: Some(level.to_owned()),
        read_only: true,
        said: vec![Said {
            name: "root",
            value: Some(level.to_owned()),
            source: Source::Logger,
        }],
    }
}
