//! What `server.properties` and the overrides behind it say, checked: every key is known, every value allowed.

use std::collections::BTreeMap;
use std::path::Path;

use super::broker_key;
use super::error::{BrokerConfigError, ConfigScope};

/// Settings of a broker as text, by key. Later ones win.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<String, String>,
}

/// Passwords are not for logs.
impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_shown = |key: &str| broker_key(key).is_ok_and(|key| !key.is_sensitive());
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(key, value)| (key, if is_shown(key) { value } else { "[hidden]" })),
            )
            .finish()
    }
}

impl Properties {
    /// Reads a file in the format of `server.properties`.
    ///
    /// # Errors
    /// The file cannot be read, or what it says is wrong.
    pub fn read(path: &Path) -> Result<Self, BrokerConfigError> {
        let content = std::fs::read(path).map_err(|source| BrokerConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let parsed =
            java_properties::read(content.as_slice()).map_err(|error| BrokerConfigError::Syntax {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        let mut properties = Self::default();
        for (key, value) in parsed {
            properties
                .set(&key, &value)
                .map_err(|source| BrokerConfigError::InFile {
                    path: path.to_owned(),
                    source: Box::new(source),
                })?;
        }
        Ok(properties)
    }

    /// Sets one key.
    ///
    /// # Errors
    /// [`BrokerConfigError::Unknown`], [`BrokerConfigError::Invalid`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), BrokerConfigError> {
        let (key, value) = (key.trim(), value.trim());
        broker_key(key)?.validate(ConfigScope::Broker, value)?;
        self.values.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Sets what an argument `key=value` says.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`BrokerConfigError::NoSetting`].
    ///
    /// ```
    /// let mut properties = broker::config::Properties::default();
    /// properties.set_argument("num.partitions=3").unwrap();
    /// let error = properties.set_argument("num.partition=3").unwrap_err().to_string();
    /// assert_eq!(error, "unknown broker config num.partition: did you mean num.partitions?");
    /// ```
    pub fn set_argument(&mut self, argument: &str) -> Result<(), BrokerConfigError> {
        match argument.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => self.set(key, value),
            _ => Err(BrokerConfigError::NoSetting(argument.to_owned())),
        }
    }

    /// The value of a key that was set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All that was set, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets a key; answers whether it was set.
    pub fn remove(&mut self, key: &str) -> bool {
        self.values.remove(key).is_some()
    }
}
