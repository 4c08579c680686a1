//! What can be wrong with a configuration, for the person who wrote it.

use std::path::PathBuf;

/// What has the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigScope {
    /// The broker.
    Broker,
    /// A topic.
    Topic,
    /// A group.
    Group,
}

impl std::fmt::Display for ConfigScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Topic => "topic",
            Self::Group => "group",
        })
    }
}

/// Names further apart than this are not what was meant.
const NEAREST_DISTANCE: f64 = 0.8;

/// A configuration that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BrokerConfigError {
    /// No config has this name.
    #[error("unknown {scope} config {name}{}", nearest.map_or(String::new(), |known| format!(": did you mean {known}?")))]
    Unknown {
        /// What was to have it.
        scope: ConfigScope,
        /// The name.
        name: String,
        /// The known name nearest to it, if one is near.
        nearest: Option<&'static str>,
    },
    /// The config cannot have this value.
    #[error("invalid value {value:?} for {scope} config {name}: expected {expected}")]
    Invalid {
        /// What was to have it.
        scope: ConfigScope,
        /// Name of the config.
        name: String,
        /// The value, if it is not a secret.
        value: String,
        /// What it should be.
        expected: String,
    },
    /// Two configs contradict each other, or one asks for what this broker does not have.
    #[error("{0}")]
    Contradiction(String),
    /// An override is not `key=value`.
    #[error("{0:?} is no setting: write key=value")]
    NoSetting(String),
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no properties file.
    #[error("the configuration file {path} is no properties file: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why not.
        reason: String,
    },
    /// What a file says is wrong.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<BrokerConfigError>,
    },
}

impl BrokerConfigError {
    pub(super) fn unknown(scope: ConfigScope, name: &str, known: impl Iterator<Item = &'static str>) -> Self {
        let nearest = known
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .filter(|(likeness, _)| *likeness >= NEAREST_DISTANCE)
            .max_by(|one, other| one.0.total_cmp(&other.0));
        Self::Unknown {
            scope,
            name: name.to_owned(),
            nearest: nearest.map(|(_, known)| known),
        }
    }
}
