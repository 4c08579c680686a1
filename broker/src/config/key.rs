//! One row of the tables of config keys: name, type, default, what is allowed, whether it can change while the broker runs.
//! The rows are written with the short functions below, one line each.

use super::error::{BrokerConfigError, ConfigScope};

/// Type of a value, as DescribeConfigs tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// 16 bits.
    Short,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A decimal number.
    Double,
    /// Words separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl ValueType {
    /// Its number in DescribeConfigs responses.
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }
}

/// What values of a key's type are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// All.
    Any,
    /// Numbers from the first to the second.
    Between(i64, i64),
    /// Decimal numbers from the first to the second.
    Ratio(f64, f64),
    /// One of these words; of a list, each.
    Words(&'static [&'static str]),
    /// `*`, or pairs of numbers `partition:broker`.
    Replicas,
    /// Nothing but the default: it names Java classes, and this broker loads none.
    DefaultClass,
}

/// Whether and how a broker's config can be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only in `server.properties`.
    ReadOnly,
    /// For one broker, or as a default for all.
    ClusterWide,
}

/// One config key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// Type of its value.
    pub value_type: ValueType,
    /// The value where nobody says anything; None if there is none.
    pub default: Option<&'static str>,
    /// What values are allowed.
    pub allowed: Allowed,
    /// How a broker's config can be changed. Configs of topics and groups always can.
    pub update: Update,
    /// What it is about, in a sentence.
    pub doc: &'static str,
}

pub(super) const NONE: &str = "\0";
pub(super) const ANY: Allowed = Allowed::Any;
pub(super) const DEFAULT_CLASS: Allowed = Allowed::DefaultClass;
pub(super) const fn at_least(least: i64) -> Allowed {
    Allowed::Between(least, i64::MAX)
}
pub(super) const fn between(least: i64, most: i64) -> Allowed {
    Allowed::Between(least, most)
}
pub(super) const fn words(words: &'static [&'static str]) -> Allowed {
    Allowed::Words(words)
}

macro_rules! rows {
    ($($function:ident $value_type:ident),* $(,)?) => {
        $(pub(super) const fn $function(name: &'static str, default: &'static str, allowed: Allowed, doc: &'static str) -> ConfigKey {
            ConfigKey {
                name,
                value_type: ValueType::$value_type,
                default: if matches!(default.as_bytes(), b"\0") { None } else { Some(default) },
                allowed,
                update: Update::ReadOnly,
                doc,
            }
        })*
    };
}
rows! { string String, short Short, int Int, long Long, double Double, list List, class Class, password Password }

pub(super) const fn boolean(name: &'static str, default: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey {
        name,
        value_type: ValueType::Boolean,
        default: Some(default),
        allowed: ANY,
        update: Update::ReadOnly,
        doc,
    }
}

impl ConfigKey {
    pub(super) const fn cluster_wide(mut self) -> Self {
        self.update = Update::ClusterWide;
        self
    }

    /// Whether its value is kept from those who ask.
    pub fn is_sensitive(&self) -> bool {
        self.value_type == ValueType::Password
    }

    /// Whether it holds several words, to which some can be added and of which some can be taken away.
    pub fn is_list(&self) -> bool {
        self.value_type == ValueType::List
    }

    /// Says whether `value` is one this key can have, in words that go on from "expected".
    ///
    /// # Errors
    /// What it should be.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let value = value.trim();
        if self.allowed == Allowed::DefaultClass {
            return self.check_class(value);
        }
        let in_range = |least: i64, most: i64| {
            let (from, to) = match self.allowed {
                Allowed::Between(from, to) => (from.max(least), to.min(most)),
                _ => (least, most),
            };
            let fits = value
                .parse()
                .is_ok_and(|number: i64| (from..=to).contains(&number));
            fits.then_some(()).ok_or_else(|| whole_number(from, to))
        };
        match self.value_type {
            ValueType::Boolean => match value.to_ascii_lowercase().as_str() {
                "true" | "false" => Ok(()),
                _ => Err("true or false".to_owned()),
            },
            ValueType::Short => in_range(i64::from(i16::MIN), i64::from(i16::MAX)),
            ValueType::Int => in_range(i64::from(i32::MIN), i64::from(i32::MAX)),
            ValueType::Long => in_range(i64::MIN, i64::MAX),
            ValueType::Double => {
                let (least, most) = match self.allowed {
                    Allowed::Ratio(least, most) => (least, most),
                    _ => (f64::MIN, f64::MAX),
                };
                let fits = value
                    .parse()
                    .is_ok_and(|number: f64| (least..=most).contains(&number));
                fits.then_some(())
                    .ok_or_else(|| format!("a number from {least} to {most}"))
            }
            ValueType::List if self.allowed == Allowed::Replicas => {
                let is_number =
                    |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let is_pair = |word: &str| {
                    word.split_once(':')
                        .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
                };
                let fits = value == "*" || split_list(value).all(is_pair);
                fits.then_some(())
                    .ok_or_else(|| "*, or partition:broker, several separated by commas".to_owned())
            }
            ValueType::List => self.check_words(split_list(value)),
            ValueType::String | ValueType::Class | ValueType::Password => {
                self.check_words(std::iter::once(value))
            }
        }
    }

    /// Whoever relies on a plug-in must not run without it unawares.
    fn check_class(&self, value: &str) -> Result<(), String> {
        if value.is_empty() || Some(value) == self.default {
            return Ok(());
        }
        let only = self.default.unwrap_or("no value");
        Err(format!(
            "{only}, as this broker loads no plug-ins: remove the key"
        ))
    }

    fn check_words<'a>(&self, mut found: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let Allowed::Words(known) = self.allowed else {
            return Ok(());
        };
        let each = |word: &str| known.iter().any(|known| known.eq_ignore_ascii_case(word));
        if found.all(each) {
            return Ok(());
        }
        let lead = if self.is_list() { "a list of" } else { "one of" };
        Err(format!("{lead} {}", known.join(", ")))
    }
}

impl ConfigKey {
    /// [`check`](Self::check) as an error that names key and value.
    ///
    /// # Errors
    /// [`BrokerConfigError::Invalid`].
    pub fn validate(&self, scope: ConfigScope, value: &str) -> Result<(), BrokerConfigError> {
        self.check(value).map_err(|expected| BrokerConfigError::Invalid {
            scope,
            name: self.name.to_owned(),
            value: (if self.is_sensitive() { "[hidden]" } else { value }).to_owned(),
            expected,
        })
    }
}

/// The words of a list, without empty ones.
pub(crate) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn whole_number(from: i64, to: i64) -> String {
    match (from, to) {
        (from, i64::MAX) => format!("a whole number, at least {from}"),
        (from, to) => format!("a whole number from {from} to {to}"),
    }
}
