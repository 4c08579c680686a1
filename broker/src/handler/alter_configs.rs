//! AlterConfigs and IncrementalAlterConfigs: configs of topics, of this broker, of all brokers, of groups. Everything a request
//! says of one resource is done or nothing of it; what is done is on disk and in force before the answer.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlterResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResult;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::configs::ResourceType;
use super::{Broker, BrokerConfig, Refusal, text};
use crate::cluster::{Change, ClusterState, Configs, MAX_ENTRIES};
use crate::config::{
    BrokerConfigError, ConfigKey, ConfigScope, Properties, Update, broker_key, check_own_config,
    check_topic_config, group_key, split_list, topic_key,
};

/// One thing to do to one config.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operation<'a> {
    Set(&'a str),
    Delete,
    Append(&'a str),
    Subtract(&'a str),
}

/// What a request wants of one resource's configs.
enum Wish<'a> {
    /// These steps, on what there is.
    Steps(Vec<(&'a str, Operation<'a>)>),
    /// These and no others.
    Exactly(Vec<(&'a str, &'a str)>),
}

/// Whose configs are altered.
#[derive(Debug, Clone, Copy)]
enum Target<'a> {
    Topic(&'a str),
    ThisBroker,
    AllBrokers,
    Group(&'a str),
}

impl Broker {
    pub(super) fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
        now_ms: i64,
    ) -> IncrementalAlterConfigsResponse {
        let mut named = Names::default();
        for resource in &request.resources {
            named.add(resource.resource_type, &resource.resource_name);
        }
        let responses = request.resources.iter().map(|resource| {
            let (code, name) = (resource.resource_type, resource.resource_name.as_str());
            let steps = resource.configs.iter().map(|config| {
                let value = config.value.as_deref();
                operation(&config.name, config.config_operation, value)
                    .map(|operation| (config.name.as_str(), operation))
            });
            let altered = named.check_once(code, name).and_then(|()| {
                let wish = Wish::Steps(steps.collect::<Result<_, _>>()?);
                self.alter(code, name, &wish, request.validate_only, now_ms)
            });
            let result = IncrementalResult::default()
                .with_resource_type(code)
                .with_resource_name(resource.resource_name.clone());
            match altered {
                Ok(()) => result,
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    pub(super) fn alter_configs(&self, request: &AlterConfigsRequest, now_ms: i64) -> AlterConfigsResponse {
        let mut named = Names::default();
        for resource in &request.resources {
            named.add(resource.resource_type, &resource.resource_name);
        }
        let responses = request.resources.iter().map(|resource| {
            let (code, name) = (resource.resource_type, resource.resource_name.as_str());
            let values = resource.configs.iter().map(|config| match &config.value {
                Some(value) => Ok((config.name.as_str(), value.as_str())),
                None => Err(no_value(&config.name)),
            });
            let altered = named.check_once(code, name).and_then(|()| {
                let wish = Wish::Exactly(values.collect::<Result<_, _>>()?);
                self.alter(code, name, &wish, request.validate_only, now_ms)
            });
            let result = AlterResult::default()
                .with_resource_type(code)
                .with_resource_name(resource.resource_name.clone());
            match altered {
                Ok(()) => result,
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            }
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }

    fn alter(
        &self,
        code: i8,
        name: &str,
        wish: &Wish<'_>,
        validate_only: bool,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        wish.check_names()?;
        match self.target(code, name)? {
            Target::Topic(name) => self.alter_topic(name, wish, validate_only),
            target => self.alter_cluster(target, wish, validate_only, now_ms),
        }
    }

    fn target<'a>(&self, code: i8, name: &'a str) -> Result<Target<'a>, Refusal> {
        let refused = |message: &str| Err(Refusal::new(ResponseError::InvalidRequest, message));
        match ResourceType::of(code)? {
            ResourceType::Topic => Ok(Target::Topic(name)),
            ResourceType::Broker if name.is_empty() => Ok(Target::AllBrokers),
            ResourceType::Broker => self.check_broker_id(name).map(|()| Target::ThisBroker),
            ResourceType::Group if name.is_empty() => refused("the name of the group is empty"),
            ResourceType::Group => Ok(Target::Group(name)),
            ResourceType::BrokerLogger => {
                refused("levels of loggers are set by RUST_LOG when the broker starts")
            }
            ResourceType::ClientMetrics => refused("metrics of clients are not collected by this broker"),
        }
    }

    fn alter_topic(&self, name: &str, wish: &Wish<'_>, validate_only: bool) -> Result<(), Refusal> {
        let cluster = self.cluster.current();
        let list = |name: &str| {
            let topic = topic_key(name)?;
            Ok((topic.key, self.topic_default(&cluster, topic)))
        };
        let change = |old: &Configs| {
            let configs = wish.applied_to(old, &list)?;
            for (name, value) in configs
                .iter()
                .filter(|(name, value)| old.get(*name) != Some(value))
            {
                check_topic_config(name, value)?;
            }
            self.check_compaction_lags(&configs)?;
            Ok::<_, Refusal>(configs)
        };
        if validate_only {
            let topic = self.topics.topic(name)?;
            return Ok(self.topics.validate_configs(name, &change(topic.configs())?)?);
        }
        self.topics.alter_configs(name, change).map(|_| ())
    }

    /// Records cannot be safe from compaction for longer than they may wait for it.
    pub(super) fn check_compaction_lags(&self, configs: &Configs) -> Result<(), Refusal> {
        let cluster = self.cluster.current();
        let lag_ms = |name: &str| {
            let own = configs.get(name).cloned();
            let value = match own {
                Some(value) => value,
                None => self.topic_default(&cluster, topic_key(name)?),
            };
            Ok::<_, Refusal>(value.trim().parse::<i64>().unwrap_or_default())
        };
        let (least, most) = (lag_ms("min.compaction.lag.ms")?, lag_ms("max.compaction.lag.ms")?);
        if least <= most {
            return Ok(());
        }
        let message = format!("min.compaction.lag.ms ({least}) is more than max.compaction.lag.ms ({most})");
        Err(Refusal::new(ResponseError::InvalidConfig, message))
    }

    fn alter_cluster(
        &self,
        target: Target<'_>,
        wish: &Wish<'_>,
        validate_only: bool,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let kept = if validate_only {
            Change::Discard
        } else {
            Change::Keep
        };
        let live = self.cluster.update(|state| {
            let old = match target {
                Target::AllBrokers => state.broker_defaults.clone(),
                Target::Group(group) => state.groups.get(group).cloned().unwrap_or_default(),
                Target::ThisBroker | Target::Topic(_) => state.broker(self.config.node_id).clone(),
            };
            let before = state.clone();
            let list = |name: &str| {
                let (key, broker_name) = match target {
                    Target::Group(_) => group_key(name).map(|group| (group.key, group.default))?,
                    _ => broker_key(name).map(|key| (*key, key.name))?,
                };
                let value = self.broker_value(&before, broker_name);
                Ok((
                    key,
                    value
                        .or_else(|| key.default.map(str::to_owned))
                        .unwrap_or_default(),
                ))
            };
            let configs = wish.applied_to(&old, &list)?;
            for (name, value) in configs
                .iter()
                .filter(|(name, value)| old.get(*name) != Some(value))
            {
                match target {
                    Target::Group(_) => self.check_group_config(&before, name, value)?,
                    _ => check_dynamic(name, value)?,
                }
            }
            match target {
                Target::AllBrokers => state.broker_defaults = configs,
                Target::Group(group) => replace(&mut state.groups, group.to_owned(), configs)?,
                Target::ThisBroker | Target::Topic(_) => {
                    replace(&mut state.brokers, self.config.node_id, configs)?;
                }
            }
            Ok::<_, Refusal>((live_config(&self.config, state)?, kept))
        })?;
        match target {
            _ if kept == Change::Discard => Ok(()),
            Target::Group(group) => {
                let cluster = self.cluster.current();
                let configs = cluster.groups.get(group).cloned().unwrap_or_default();
                Ok(self.override_group(group, &configs, now_ms)?)
            }
            _ => self.go_live(live),
        }
    }

    /// Puts dynamic settings in force.
    fn go_live(&self, config: BrokerConfig) -> Result<(), Refusal> {
        let log = config.log.clone();
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(self.topics.set_defaults(log)?)
    }

    fn check_group_config(&self, cluster: &ClusterState, name: &str, value: &str) -> Result<(), Refusal> {
        let group = group_key(name)?;
        group.key.validate(ConfigScope::Group, value)?;
        let number = |name: &&str| {
            let value = self.broker_value(cluster, name);
            let default = || broker_key(name).ok()?.default.map(str::to_owned);
            value.or_else(default)?.parse::<i64>().ok()
        };
        let least = group.limits.0.as_ref().and_then(number).unwrap_or(i64::MIN);
        let most = group.limits.1.as_ref().and_then(number).unwrap_or(i64::MAX);
        if value
            .trim()
            .parse()
            .is_ok_and(|value: i64| (least..=most).contains(&value))
        {
            return Ok(());
        }
        let message = format!(
            "{name} must be from {least} to {most}, which this broker's configs say, and not {value}"
        );
        Err(Refusal::new(ResponseError::InvalidConfig, message))
    }
}

/// These settings with what administrators set over them: for all brokers, then for this one.
pub(super) fn live_config(
    config: &BrokerConfig,
    cluster: &ClusterState,
) -> Result<BrokerConfig, BrokerConfigError> {
    let mut dynamic = Properties::default();
    for (name, value) in cluster
        .broker_defaults
        .iter()
        .chain(cluster.broker(config.node_id))
    {
        dynamic.set(name, value)?;
    }
    config.with_dynamic(&dynamic)
}

/// Puts configs in their place, or takes the place away if there are none.
fn replace<K: Ord>(
    all: &mut std::collections::BTreeMap<K, Configs>,
    key: K,
    configs: Configs,
) -> Result<(), Refusal> {
    if configs.is_empty() {
        all.remove(&key);
    } else {
        all.insert(key, configs);
    }
    if all.len() > MAX_ENTRIES {
        let message = format!("{MAX_ENTRIES} groups have configs of their own: no more are kept");
        return Err(Refusal::new(ResponseError::PolicyViolation, message));
    }
    Ok(())
}

fn check_dynamic(name: &str, value: &str) -> Result<(), Refusal> {
    let key = broker_key(name)?;
    if key.update == Update::ReadOnly {
        let message = format!(
            "{name} cannot change while the broker runs: set it in server.properties and start again"
        );
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    check_own_config(name).map_err(|error| Refusal::new(ResponseError::InvalidRequest, error.to_string()))?;
    // A topic's bad value is INVALID_CONFIG, a broker's INVALID_REQUEST: Kafka judges them in different places.
    key.validate(ConfigScope::Broker, value)
        .map_err(|error| Refusal::new(ResponseError::InvalidRequest, error.to_string()))
}

impl Wish<'_> {
    /// A name may occur once, and cannot be empty.
    fn check_names(&self) -> Result<(), Refusal> {
        let names: Vec<&str> = match self {
            Self::Steps(steps) => steps.iter().map(|(name, _)| *name).collect(),
            Self::Exactly(values) => values.iter().map(|(name, _)| *name).collect(),
        };
        let mut seen = BTreeSet::new();
        match names
            .into_iter()
            .find(|name| name.is_empty() || !seen.insert(*name))
        {
            Some(name) => {
                let message = format!("the config {name:?} is named twice, or has no name");
                Err(Refusal::new(ResponseError::InvalidRequest, message))
            }
            None => Ok(()),
        }
    }

    /// The configs there are then. `list` tells what a config is, and its value where nobody set one.
    fn applied_to(
        &self,
        old: &Configs,
        list: &impl Fn(&str) -> Result<(ConfigKey, String), Refusal>,
    ) -> Result<Configs, Refusal> {
        let steps = match self {
            Self::Exactly(values) => {
                return Ok(values
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect());
            }
            Self::Steps(steps) => steps,
        };
        let mut configs = old.clone();
        for (name, operation) in steps {
            let value = match operation {
                Operation::Set(value) => (*value).to_owned(),
                Operation::Delete => {
                    configs.remove(*name);
                    continue;
                }
                Operation::Append(words) => changed_list(&configs, name, words, list, |all, word| {
                    if !all.contains(&word) {
                        all.push(word);
                    }
                })?,
                Operation::Subtract(words) => changed_list(&configs, name, words, list, |all, word| {
                    all.retain(|other| *other != word);
                })?,
            };
            configs.insert((*name).to_owned(), value);
        }
        Ok(configs)
    }
}

fn changed_list(
    configs: &Configs,
    name: &str,
    words: &str,
    list: &impl Fn(&str) -> Result<(ConfigKey, String), Refusal>,
    change: impl Fn(&mut Vec<String>, String),
) -> Result<String, Refusal> {
    let (key, default) = list(name)?;
    if !key.is_list() {
        let message = format!("{name} is no list: nothing can be added to it or taken from it");
        return Err(Refusal::new(ResponseError::InvalidConfig, message));
    }
    let now = configs.get(name).unwrap_or(&default);
    let mut all: Vec<String> = split_list(now).map(str::to_owned).collect();
    for word in split_list(words) {
        change(&mut all, word.to_owned());
    }
    Ok(all.join(","))
}

fn operation<'a>(name: &str, code: i8, value: Option<&'a str>) -> Result<Operation<'a>, Refusal> {
    let value_of = || value.ok_or_else(|| no_value(name));
    match code {
        0 => value_of().map(Operation::Set),
        1 => Ok(Operation::Delete),
        2 => value_of().map(Operation::Append),
        3 => value_of().map(Operation::Subtract),
        other => {
            let message = format!("there is no operation {other} on configs");
            Err(Refusal::new(ResponseError::InvalidRequest, message))
        }
    }
}

fn no_value(name: &str) -> Refusal {
    Refusal::new(
        ResponseError::InvalidRequest,
        format!("the config {name} has no value"),
    )
}

/// The resources of a request: each may be there once.
#[derive(Default)]
struct Names {
    seen: BTreeSet<(i8, String)>,
    twice: BTreeSet<(i8, String)>,
}

impl Names {
    fn add(&mut self, code: i8, name: &str) {
        if !self.seen.insert((code, name.to_owned())) {
            self.twice.insert((code, name.to_owned()));
        }
    }

    fn check_once(&self, code: i8, name: &str) -> Result<(), Refusal> {
        if self.twice.contains(&(code, name.to_owned())) {
            let message = "the resource is there more than once".to_owned();
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        }
        Ok(())
    }
}
